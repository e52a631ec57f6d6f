"""Where a metric stands out from what was shortly before: what somebody who looks for a spike wants to see."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from tuimon.diagnosis.validation_spike import FEWEST, LEVEL_EPOCHS, MARGIN, limits
from tuimon.protocol.wire import FloatArray
from tuimon.runs.best import is_lower_better
from tuimon.runs.series import IntArray
from tuimon.ui.charts.metric_lines import Line

MOST = 9
"""Spikes of a line that are gone through, the highest first."""
BLOCK = 32
"""Batches before that make the level; of a short run fewer, down to `LEAST_BLOCK`."""
LEAST_BLOCK = 4
DEVIATIONS = 8.0
"""A batch stands out where it is this many median absolute deviations of the batches before above their median: 5.4
normal deviations, for a run has many batches."""
LEAST_RISE = 0.1
"""And by this share of that median, or of all that the line goes through where this is less."""
_FEWEST_EPOCHS = 3
"""Epochs before, of which the level is made where there are too few for the rule."""


class Spike(Struct, frozen=True):
    """A value that stands out."""

    step: int
    rise: float
    """What it is above the level before it; infinite for a value that is not finite."""


def spikes_of(lines: Sequence[Line], metric: str, parts: Sequence[slice]) -> list[Spike]:
    """Return the values of a metric that stand out, in the order in which they are worth a look.

    First the first value that is not finite, of whichever line; then those of validation, the one that is the most
    above the values shortly before it first; then those of single batches, and of epochs where there are no others.
    Of a metric that is better where it is higher, it is what falls.

    Args:
        lines: The lines of the metric.
        metric: Its name.
        parts: The points of each line that are shown.
    """
    sign = -1.0 if is_lower_better(metric) is False else 1.0
    bad: list[int] = []
    found: dict[str, list[Spike]] = {}
    for line, part in zip(lines, parts, strict=True):
        steps, values = line.series.steps, sign * line.series.values
        broken = np.flatnonzero(~np.isfinite(values[part]))
        bad += [int(steps[part.start + broken[0]])] if len(broken) else []
        finite = np.isfinite(values[: part.stop])
        known = steps[: part.stop][finite], values[: part.stop][finite]
        rises = _rises_of_batches(known[1]) if line.can_be_smoothed else _rises_of_epochs(known[1])
        found[line.name] = _peaks(*known, rises, int(np.count_nonzero(finite[: part.start])))
    ordered = [*found.get("val", ()), *(found.get("batch") or found.get("running") or ())]
    ordered = ordered or [spike for spikes in found.values() for spike in spikes]
    first = [Spike(min(bad), np.inf)] if bad else []
    return [*first, *ordered]


def _peaks(steps: IntArray, values: FloatArray, rises: FloatArray, first: int) -> list[Spike]:
    """Return the highest value of each rise, from one point on; the one with the largest rise first.

    Args:
        steps: The steps of the points.
        values: Their values.
        rises: What each is above its level; 0 where it does not stand out.
        first: The first point that counts.
    """
    out = np.flatnonzero(rises > 0)
    found = []
    for piece in np.split(out, np.flatnonzero(np.diff(out) > 1) + 1):
        shown = piece[piece >= first]
        if len(shown):
            at = int(shown[np.argmax(values[shown])])
            found.append(Spike(int(steps[at]), float(rises[at])))
    return sorted(found, key=lambda spike: -spike.rise)[:MOST]


def _rises_of_epochs(values: FloatArray) -> FloatArray:
    """Return what each value is above its level, 0 where it does not stand out, shape ``(epochs,)``."""
    measured = limits(values)
    levels, thresholds = measured.levels.copy(), measured.thresholds.copy()
    # Too few epochs say what is ordinary: only what rises far counts.
    for index in range(_FEWEST_EPOCHS, min(len(values), LEVEL_EPOCHS + FEWEST)):
        before = values[:index]
        levels[index] = np.median(before[-_FEWEST_EPOCHS:])
        thresholds[index] = levels[index] + MARGIN * min(abs(levels[index]), 2 * float(np.ptp(before)))
    return np.where(values > thresholds, values - levels, 0.0)


def _rises_of_batches(values: FloatArray) -> FloatArray:
    """Return what each value is above its level, 0 where it does not stand out, shape ``(batches,)``.

    The level is that of the block before the value's own: so a long run takes no longer than reading it.
    """
    size = min(BLOCK, max(LEAST_BLOCK, len(values) // 8))
    blocks = len(values) // size
    rises = np.zeros(len(values))
    if blocks < 2:
        return rises
    before = values[: blocks * size].reshape(blocks, size)
    level = np.median(before, axis=1)
    deviation = np.median(np.abs(before - level[:, None]), axis=1)
    least = LEAST_RISE * np.minimum(np.abs(level), float(np.ptp(values)))
    thresholds = np.maximum(DEVIATIONS * deviation, least)
    whole, end = slice(size, blocks * size), slice(blocks * size, None)
    above = before[1:] - level[:-1, None]
    rises[whole] = np.where(above > thresholds[:-1, None], above, 0.0).ravel()
    above = values[end] - level[-1]
    rises[end] = np.where(above > thresholds[-1], above, 0.0)
    return rises
