"""Axes: limits that grow in steps, and ticks people can read."""

import math
import sys
from collections.abc import Iterable
from typing import Literal

import numpy as np
from msgspec import Struct

from tuimon.numbers import tick
from tuimon.protocol.wire import FloatArray

_NICE = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_LARGEST = 1e300
_NOISE = 1e-7
"""Values of 32 bits are this far from the round numbers that they stand for."""


class Axis(Struct, frozen=True):
    """From ``first`` to ``last``, linear or logarithmic, with labelled ticks."""

    first: float
    last: float
    ticks: tuple[tuple[float, str], ...]
    """Each tick's value and label."""
    logarithmic: bool = False

    def positions(self, values: FloatArray) -> FloatArray:
        """Return where ``values`` are: 0 at ``first``, 1 at ``last``, not limited to between."""
        first, last = self.first, self.last
        if self.logarithmic:
            smallest = np.finfo(np.float64).tiny
            first, last = math.log10(first), math.log10(last)
            values = np.log10(np.maximum(values, smallest))
        result: FloatArray = (values - first) / (last - first)
        return result


def step_axis(last_step: float, total: float | None, *, exact: bool, ticks: int) -> Axis:
    """Return the axis of steps from 0 on.

    Args:
        last_step: The newest step with a value.
        total: Steps of the whole run, where known: the axis does not grow beyond.
        exact: End at ``last_step`` itself, as for a run that is over; else at the next round number.
        ticks: About how many ticks there is room for.
    """
    last = max(1.0, min(float(last_step), _LARGEST))
    if not exact:
        last = nice_ceiling(last)
        if total is not None and last_step <= total < last:
            last = float(total)
    return Axis(0.0, last, _ticks(0.0, last, max(1.0, spacing(last, ticks))))


def value_axis(low: float, high: float, ticks: int) -> Axis:
    """Return a linear axis that holds ``low`` to ``high`` and begins and ends at round numbers."""
    low, high = (min(max(limit, -_LARGEST), _LARGEST) for limit in (low, high))
    room = max(abs(low), abs(high)) * (1e-5 if low < high else 0.1) or 1.0
    if high - low < room:
        low, high = low - room, high + room
    gap = spacing(high - low, ticks)
    # Half ticks: limits that are as calm as round numbers, with less empty room.
    first = math.floor(low / gap * 2 + 1e-9) * gap / 2
    last = math.ceil(high / gap * 2 - 1e-9) * gap / 2
    found = _ticks(first, last, gap)
    # One number alone is no scale.
    return Axis(first, last, found if len(found) > 1 else _ticks(first, last, gap / 2))


def decades_of(metric: str) -> float:
    """Return how many decades of a metric a linear axis shows well.

    The first values of a loss are often several times the later ones, which then would be a flat line.
    """
    return 1.0 if "loss" in metric.lower() else 2.0


def fitted_axis(
    limits: Iterable[tuple[float, float] | None],
    log_limits: Iterable[tuple[float, float] | None],
    height: int,
    *,
    log_decades: float = 2.0,
    from_zero: bool = False,
    scale: Literal["auto", "linear", "log"] = "auto",
) -> Axis:
    """Return the axis that holds all of some curves' values.

    Args:
        limits: Smallest and largest value of each curve; None for one without a finite value.
        log_limits: What a logarithmic axis holds of it: the same, but for a few zeros.
        height: Height of the chart, in cells.
        log_decades: With the scale `auto`, values above 0 that span more decades than this get a logarithmic axis.
        from_zero: True: the axis always holds 0.
        scale: The scale asked for; a logarithmic one needs a value above 0.
    """
    known = [pair for pair in limits if pair is not None]
    if not known:
        return value_axis(0.0, 1.0, 2)
    low, high = min(pair[0] for pair in known), max(pair[1] for pair in known)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    ticks = max(2, min(8, height // 3))
    least = low if from_zero else min(pair[0] for pair in log_limits if pair is not None)
    is_far = least > 0 and math.log10(high) - math.log10(least) > log_decades
    if high > 0 and (scale == "log" or (scale == "auto" and is_far)):
        return log_axis(least if least > 0 else high * 1e-6, high, ticks)
    return value_axis(low, high, ticks)


def log_axis(low: float, high: float, ticks: int) -> Axis:
    """Return a logarithmic axis that holds ``low`` to ``high``, both above 0."""
    low, high = max(low, 1e-300), min(high, _LARGEST)
    first, last = _floor_125(low), _floor_125(high)
    if last * (1 + _NOISE) < high:
        last = _next_125(last)
    if first == last:
        # All values are the same.
        first, last = _floor_125(first * 0.5), _next_125(last)
    decades = list(range(math.floor(math.log10(first) + 1e-9), math.ceil(math.log10(last) - 1e-9) + 1))
    every = max(1, math.ceil(len(decades) / max(2, ticks)))
    values = [float(f"1e{decade}") for decade in decades if decade % every == 0]
    if len(decades) <= 3 and ticks >= 4:
        values = sorted(value * factor for value in values for factor in (1, 2, 5))
    shown = [value for value in values if first * 0.999 <= value <= last * 1.001]
    if len(shown) < 2:
        # One number alone is no scale; both ends are round.
        shown = sorted({first, *shown, last})
    return Axis(first, last, tuple((value, tick(value, value)) for value in shown), logarithmic=True)


def nice_ceiling(value: float) -> float:
    """Return the smallest round number that is at least ``value``.

    Example:
        >>> nice_ceiling(23), nice_ceiling(30), nice_ceiling(8001)
        (30.0, 30.0, 10000.0)
    """
    power = 10.0 ** math.floor(math.log10(value))
    return next((factor * power for factor in _NICE if factor * power >= value * (1 - 1e-12)), 10 * power)


def ticks_in(width: int) -> int:
    """Return about how many ticks along x a chart ``width`` cells wide has room for."""
    return max(3, width // 13)


def spacing(span: float, ticks: int) -> float:
    """Return a round distance that divides ``span`` into at most about ``ticks`` parts.

    Example:
        >>> spacing(10, 5), spacing(5e-324, 5) > 0
        (2.0, True)
    """
    # Below it, floats are too coarse to divide anything.
    rough = max(span / max(1, ticks), sys.float_info.min)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))


def _ticks(first: float, last: float, gap: float) -> tuple[tuple[float, str], ...]:
    numbers = range(math.ceil(first / gap - 1e-9), math.floor(last / gap + 1e-9) + 1)
    return tuple((index * gap, tick(index * gap, gap)) for index in numbers)


def _floor_125(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return max(factor * power for factor in (0.5, 1.0, 2.0, 5.0) if factor * power <= value * (1 + _NOISE))


def _next_125(value: float) -> float:
    return _floor_125(value * 2.6)
