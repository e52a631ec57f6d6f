"""Where the training of the present model began, and its epochs since.

A run may have several `fit`s. Some of them go on with the same model, others begin anew: a fold of a cross-validation,
or weights that were set back to the initial ones. What a model before this one did is no history of it.
"""

import numpy as np
import numpy.typing as npt

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray
from tuimon.runs.state import RunState

BACK_AT_THE_START = 2 / 3
"""A `fit` begins anew if its first epoch's loss is back by this share of what the loss had fallen by before."""
FALLEN = 0.02
"""And if the loss had fallen by this share of itself before: else there is nothing to tell it by."""


TREND_EPOCHS = 5
"""Fewer epochs have no trend."""
TREND = 2.0
"""A trend of the epochs' losses that is so many standard deviations is one."""


def falls(losses: FloatArray) -> bool:
    """Return whether losses have a falling trend, however small: Mann and Kendall's test."""
    count = len(losses)
    if count < TREND_EPOCHS:
        return False
    pairs = np.sign(losses[None, :] - losses[:, None])[np.triu_indices(count, 1)]
    deviation = np.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return bool(-float(pairs.sum()) - 1 > TREND * deviation)


def beginning(state: RunState) -> int:
    """Return the step at which the training of the present model began.

    That is the newest `fit` of another model, or one whose first epoch has a training loss much nearer to that of the
    first epoch than to that of the last epoch before it. While this epoch goes on, it is not known yet.
    """
    fits = [entry for entry in state.timeline if isinstance(entry, events.FitStarted)]
    if not fits:
        return 0
    begin = fits[0].step
    for fit in fits[1:]:
        if fit.step > begin and (not fit.same_model or _is_back(state, begin, fit.step)):
            begin = fit.step
    return begin


def epochs_since(state: RunState, begin: int) -> tuple[IntArray, IntArray]:
    """Return the steps at which epochs ended since a step, and the numbers of these epochs, from 0."""
    ends = state.epoch_numbers
    rows = ends.steps > begin
    return ends.steps[rows], ends.values[rows].astype(np.int64)


def epoch_begin(state: RunState, end: int, *, epochs: int = 1) -> int:
    """Return the step at which the epoch began that ends with a step; with more ``epochs``, one of those before."""
    ends = state.epoch_numbers.steps
    number = int(np.searchsorted(ends, end)) - epochs
    return int(ends[number]) if number >= 0 else 0


def finite_since(state: RunState, name: str, begin: int) -> tuple[IntArray, FloatArray]:
    """Return the finite values of a metric of epochs since a step, and the steps at which these epochs ended.

    An epoch without the metric, such as `val_loss` where validation is not made in each, has no value; nor has one in
    a learning phase in which the metric is something else, see `is_usual`.
    """
    series = state.epoch_metrics.get(name)
    if series is None:
        return np.empty(0, dtype=np.int64), np.empty(0)
    rows = np.isfinite(series.values) & (series.steps > begin) & is_usual(state, name, series.steps)
    return series.steps[rows], series.values[rows]


def is_usual(state: RunState, name: str, ends: IntArray) -> npt.NDArray[np.bool_]:
    """Return whether the values of a metric of epochs were computed as training, or validation, computes it by itself.

    With `phase inference` the training loss is that of inference mode, with `phase train` the validation loss is that
    of training mode: neither says anything of progress beside the others.

    Args:
        state: The run.
        name: Of the metric: `loss`, `val_loss`.
        ends: The steps at which the epochs ended.
    """
    all_ends = state.epoch_numbers.steps
    if name.startswith("val_"):
        return ~_is_within(ends - 1, ends, _stretches(state, "train"))
    rows = np.searchsorted(all_ends, ends)
    begins = np.where(rows > 0, all_ends[np.maximum(rows - 1, 0)], 0) if len(all_ends) else np.zeros_like(ends)
    return ~_is_within(begins, ends, _stretches(state, "inference"))


def is_usual_step(state: RunState, steps: IntArray) -> npt.NDArray[np.bool_]:
    """Return whether the losses of batches are those of training: not of `phase inference`."""
    return ~_is_within(steps, steps + 1, _stretches(state, "inference"))


def _stretches(state: RunState, phase: str) -> list[tuple[int, int]]:
    """Return the first step of each stretch in a learning phase, and the first one after it."""
    last = max(state.step, state.phases[-1][0]) + 1 if state.phases else 0
    ends = [*(step for step, _ in state.phases[1:]), last]
    return [(step, end) for (step, each), end in zip(state.phases, ends, strict=False) if each == phase and step < end]


def _is_within(begins: IntArray, ends: IntArray, stretches: list[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    """Return whether any step from a begin to before its end lies in a stretch."""
    within = np.zeros(len(ends), dtype=bool)
    for first, after in stretches:
        within |= (begins < after) & (ends > first)
    return within


def _is_back(state: RunState, begin: int, step: int) -> bool:
    loss = state.epoch_metrics.get("loss")
    if loss is None:
        return False
    usual = is_usual(state, "loss", loss.steps)
    before = loss.values[usual & (loss.steps > begin) & (loss.steps <= step)]
    after = loss.values[usual & (loss.steps > step)]
    if not len(before) or not len(after):
        return False
    first, last, new = float(before[0]), float(before[-1]), float(after[0])
    if not np.isfinite([first, last, new]).all():
        return bool(np.isfinite(new)) and not np.isfinite(last)
    fallen = first - last
    return fallen > FALLEN * max(abs(first), abs(last)) and new - last >= BACK_AT_THE_START * fallen
