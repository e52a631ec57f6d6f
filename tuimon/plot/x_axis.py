"""What a chart's x is: step, epoch, time since the run began, time of day.

Points are kept by step. The log gives epochs and times of some steps; between them they are interpolated.
"""

import math
import time
from typing import Literal, get_args

import numpy as np

from tuimon.numbers import duration, tick
from tuimon.plot.axes import Axis, nice_ceiling, spacing
from tuimon.plot.raster import XOf
from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray
from tuimon.runs.state import RunState

XKind = Literal["step", "epoch", "relative", "wall"]
"""The quantity on the x axis."""
X_KINDS: tuple[XKind, ...] = get_args(XKind)
X_WORDS: dict[XKind, str] = {
    "step": "step",
    "epoch": "epoch",
    "relative": "time since the start",
    "wall": "time of day",
}
"""Each kind in words."""

_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Round spans of time."""


def x_of(state: RunState, kind: XKind) -> XOf:
    """Return the function that converts a run's steps to x."""
    if kind == "step":
        return lambda steps: steps  # No copy of millions of points: whole numbers do here.
    if kind == "epoch":
        known_steps = np.concatenate(([0], state.epoch_numbers.steps)).astype(np.float64)
        ended = state.fits.epochs_of_run(state.epoch_numbers.steps, state.epoch_numbers.values)
        known = np.concatenate(([float(state.fits.first_epoch)], ended + 1))
        return between(known_steps, known, grows=True)
    clock = state.clock
    if not len(clock):
        return lambda steps: np.zeros(len(steps))
    begin = clock.values[0] if kind == "relative" else 0.0
    return between(clock.steps.astype(np.float64), clock.values - begin)


class StepsToX:
    """Keeps the result of `x_of` until more of the log is read."""

    def __init__(self) -> None:
        self._made_of: tuple[object, ...] = ()
        self._made: XOf | None = None

    def of(self, state: RunState, kind: XKind) -> XOf:
        """Return the function that converts a run's steps to x."""
        made_of = kind, state, state.fit, len(state.epoch_numbers), len(state.clock)
        if self._made is None or made_of != self._made_of:
            self._made_of, self._made = made_of, x_of(state, kind)
        return self._made


def between(known_steps: FloatArray | IntArray, known: FloatArray, *, grows: bool = False) -> XOf:
    """Return the function that converts steps to x, from the x of some steps: linear between them.

    Args:
        known_steps: Never descending, at least one.
        known: The x of each of them.
        grows: True: beyond the last step, x grows as between the last two. False: x stays.
    """
    # A run that went back to a checkpoint repeats some epochs, and a clock may be set back: x never descends.
    known = np.maximum.accumulate(known)

    def look_up(steps: IntArray) -> FloatArray:
        found: FloatArray = np.interp(steps.astype(np.float64), known_steps, known)
        if grows and len(known) > 1 and known_steps[-1] > known_steps[-2]:
            # The running epoch is taken to be as long as the one before.
            rate = (known[-1] - known[-2]) / (known_steps[-1] - known_steps[-2])
            found += np.maximum(0.0, steps - known_steps[-1]) * rate
        return found

    return look_up


def whole_axis(kind: XKind, first: float, newest: float, total: float | None, *, exact: bool, ticks: int) -> Axis:
    """Return an axis that holds a whole run.

    Args:
        kind: What x is.
        first: The x at which the run begins.
        newest: The newest x.
        total: The end of the run, where known: the axis does not grow beyond.
        exact: End at ``newest`` itself, as for a run that is over; else a little later, so that the axis rarely grows.
        ticks: About how many ticks there is room for.
    """
    span = max(newest - first, 1.0 if kind in ("step", "epoch") else 0.1)
    if not exact:
        grown = nice_ceiling(span)
        span = total - first if total is not None and span <= total - first < grown else grown
    return window_axis(kind, first, first + span, ticks)


def window_axis(kind: XKind, first: float, last: float, ticks: int) -> Axis:
    """Return an axis from ``first`` to ``last``, with ticks at round places."""
    span = last - first
    if kind in ("step", "epoch"):
        gap = max(1.0, spacing(span, ticks)) if kind == "step" else spacing(span, ticks)
        if len(places := _places(first, last, gap)) < 2 and (kind == "epoch" or gap > 1):
            # One number alone is no scale.
            gap = spacing(span, 2 * ticks)
            places = _places(first, last, gap)
        return Axis(first, last, tuple((at, tick(at, gap)) for at in places))
    wanted = span / max(1, ticks)
    if wanted < 1:
        gap = spacing(span, ticks)
    elif wanted > _SECONDS[-1]:
        gap = 86400 * nice_ceiling(wanted / 86400)
    else:
        gap = float(next(each for each in _SECONDS if each >= wanted))
    offset = _utc_offset(first) if kind == "wall" else 0.0
    places = [at - offset for at in _places(first + offset, last + offset, gap)]
    return Axis(first, last, tuple((at, _time_words(at, kind, gap)) for at in places))


def words(kind: XKind, x: float) -> str:
    """Return an x in words, for the cursor."""
    if kind == "step":
        return f"step {round(x):,}"
    if kind == "epoch":
        return f"epoch {x:.2f}"
    return _time_words(x, kind, 1.0)


def _places(first: float, last: float, gap: float) -> list[float]:
    begin, end = math.ceil(first / gap - 1e-9), math.floor(last / gap + 1e-9)
    return [index * gap for index in range(begin, end + 1)]


def _time_words(at: float, kind: XKind, gap: float) -> str:
    if kind == "relative":
        return duration(at) if gap >= 1 else f"{at:.{max(0, -math.floor(math.log10(gap)))}f} s"
    if gap >= 86400:
        return time.strftime("%d %b", time.localtime(at))
    return time.strftime("%H:%M" if gap >= 60 else "%H:%M:%S", time.localtime(at))


def _utc_offset(at: float) -> float:
    return float(time.localtime(at).tm_gmtoff)
