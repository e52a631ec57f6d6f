"""One batch that moves the moving statistics far away from the others: R21."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.layers import MEDIAN, half_life, request, sets_statistics
from tuimon.numbers import figure
from tuimon.protocol import events
from tuimon.protocol.wire import Number, to_wire
from tuimon.runs.series import IntArray
from tuimon.runs.state import LayerHistory, RunState

OUTLIER = 10.0
"""The batches between two samples have on average so many times the variance of those before and of those behind."""
ADDED = 1.0
"""And add so many times what those make the moving variance to it."""
LEVEL_INTERVALS = 5
"""Intervals on each side that say what is usual."""
FEWEST_BEFORE, FEWEST_BEHIND = 3, 2
"""With fewer of them, it may be the beginning of something that stays."""
FEWEST_SAMPLES = FEWEST_BEFORE + 1 + FEWEST_BEHIND + 1
PRECISION = 4e-7
"""Of a moving variance in float32: the digits that are left of a small one behind a large one."""
SHARE_OF_LOSS = 0.1
"""It is a warning if the validation loss is higher by this share of it; else a note."""
FORGOTTEN = 0.1
"""It is forgotten when no more than this share of what the others make the moving variance is left on top."""


class Outlier(Struct, frozen=True):
    """A batch, or a few, whose variance is far from that of the others."""

    path: str
    """The layer."""
    after: int
    """It came after this step, the last one before that the layer was sampled at."""
    until: int
    """And until this step."""
    variance: float
    """The moving variance then, the median over the channels."""
    usual: float
    """What the other batches make of it."""

    @property
    def times(self) -> float:
        """How many times as large it is as the others make it."""
        return self.variance / self.usual


def outliers(state: RunState) -> list[Outlier]:
    """Return the batches that have moved the moving statistics of a layer away from all others, in order of steps.

    Two samples of the moving variance tell what the batches between them had on average: (newer − older ×
    momentum^steps) / (1 − momentum^steps). Only of layers that are in training mode, and since a recalibration, a
    rollback or a `fit` of another model.
    """
    since = _since(state)
    found = [each for path, history in state.layers.items() for each in _of_layer(state, path, history, since)]
    return sorted(found, key=lambda each: each.until)


def _of_layer(state: RunState, path: str, history: LayerHistory, since: int) -> Iterator[Outlier]:
    momentum = state.momentum.get(path, history.layer.momentum)
    if history.mode != "training" or momentum != history.layer.momentum or not 0 < momentum < 1:
        return
    # Of several samples at one step, after a rollback, say, the newest counts.
    samples = history.moving_variance
    newest = np.flatnonzero((np.diff(samples.steps, append=np.inf) > 0) & (samples.steps >= since))
    steps, values = samples.steps[newest], samples.rows[newest, MEDIAN]
    if len(steps) < FEWEST_SAMPLES or not np.isfinite(values).all():
        return
    forgets = 1 - momentum ** np.diff(steps).astype(np.float64)
    met = (values[1:] - (1 - forgets) * values[:-1]) / forgets
    certain = met - PRECISION * values[1:] / forgets
    # Of few intervals the neighbours need a look: those that add to the moving variance as much as there was.
    for place in np.flatnonzero(forgets * met > ADDED * np.min(values)):
        before = met[max(0, place - LEVEL_INTERVALS) : place]
        behind = certain[place + 1 : place + 1 + LEVEL_INTERVALS]
        if len(before) < FEWEST_BEFORE or len(behind) < FEWEST_BEHIND:
            continue
        usual = float(np.max([np.median(before), np.median(behind), before[-1], behind[0]]))
        if usual > 0 and met[place] > max(OUTLIER, ADDED / forgets[place]) * usual:
            yield Outlier(path, int(steps[place]), int(steps[place + 1]), float(values[place + 1]), usual)


def _since(state: RunState) -> int:
    """Return the step from which on nothing but train steps has changed the moving statistics."""
    for entry in reversed(state.timeline):
        if sets_statistics(entry) or (isinstance(entry, events.FitStarted) and not entry.same_model):
            return entry.step
    return 0


def findings(state: RunState) -> Iterator[Finding]:
    """R21: one batch, or a few, have moved the moving statistics of a layer far from those of all others.

    Training, which normalizes each batch by itself, hardly notices. Validation does, until the layer has forgotten it.

    Threshold: between two samples the batches had on average `OUTLIER` times the variance of those before and of those
    behind, the median over the channels, and added `ADDED` times what these make the moving variance to it. At least
    `FEWEST_BEFORE` intervals before and `FEWEST_BEHIND` behind must be known: else it may be the beginning of something
    that stays. It is a warning if the next validation loss is above the one before by `SHARE_OF_LOSS` of it; else a
    note. Of several layers the first one in the order of the model is named: there it comes in.

    Source: moving ← momentum × moving + (1 − momentum) × batch, so that a batch of v times the variance adds
    (1 − momentum) × v, and half of that is left after ln 2 / −ln(momentum) steps. tensorflow#44371.
    """
    found = outliers(state)
    if not found:
        return
    paths = [path for path in state.layers if any(each.path == path for each in found)]
    mine = [each for each in found if each.path == paths[0]]
    worst = max(mine, key=lambda each: each.times)
    momentum = state.layers[worst.path].layer.momentum
    until = max(each.until + _steps_to_forget(each, momentum) for each in mine)
    losses = _losses_around(state, worst)
    is_costly = losses is not None and losses[1] - losses[0] >= SHARE_OF_LOSS * abs(losses[0])
    is_forgotten = state.step >= until
    evidence: dict[str, Number] = {
        "batches": len(mine),
        "after_step": worst.after,
        "until_step": worst.until,
        "moving_variance": to_wire(worst.variance),
        "moving_variance_of_other_batches": to_wire(worst.usual),
        "threshold": 1 + ADDED,
        "momentum": momentum,
        "half_life_steps": half_life(momentum),
        "layers": len(paths),
        "of_layers": len(state.layers),
    }
    if losses is not None:
        evidence |= {"validation_loss_before": losses[0], "validation_loss": losses[1]}
    yield Finding(
        rule="R21",
        severity="warning" if is_costly else "info",
        layer=worst.path,
        step=worst.until,
        what=f"{_when(worst, len(mine))} made the moving variance of {worst.path} {figure(worst.times, 2)} times what "
        "the other batches make it, which training does not use and validation does"
        + (f": its loss went from {figure(losses[0], 3)} to {figure(losses[1], 3)}" if losses and is_costly else "")
        + _until(state, until),
        evidence=evidence,
        advice="look at the data of that batch for an example that is broken, or not scaled as the others are"
        + ("" if is_forgotten else ", and recalibrate, which estimates the moving statistics afresh"),
        request="" if is_forgotten else request(state, "recalibrate"),
        weight=0.8,
    )


def _when(worst: Outlier, batches: int) -> str:
    between = f"between steps {worst.after:,} and {worst.until:,}"
    return f"a batch {between}" if batches == 1 else f"{batches} times a batch, at worst one {between},"


def _until(state: RunState, forgotten: int) -> str:
    if state.step >= forgotten:
        return f"; it was forgotten by step {forgotten:,}"
    return "; it was not forgotten when training ended" if state.ended else f"; it is forgotten by step {forgotten:,}"


def _steps_to_forget(outlier: Outlier, momentum: float) -> int:
    excess = (outlier.variance - outlier.usual) / (FORGOTTEN * outlier.usual)
    return math.ceil(math.log(max(1.0, excess)) / -math.log(momentum))


def _losses_around(state: RunState, outlier: Outlier) -> tuple[float, float] | None:
    """Return the validation loss before a batch and the one behind it; None: there are not both."""
    losses = state.epoch_metrics.get("val_loss")
    if losses is None:
        return None
    # An epoch that ends between the samples may end before the batch, or behind it.
    before = losses.values[losses.steps <= outlier.after]
    behind = losses.values[(losses.steps > outlier.after)][: 1 + int(np.sum(_within(losses.steps, outlier)))]
    if not len(before) or not len(behind) or not np.isfinite([before[-1], *behind]).all():
        return None
    return float(before[-1]), float(np.max(behind))


def _within(steps: IntArray, outlier: Outlier) -> npt.NDArray[np.bool_]:
    return np.asarray((steps > outlier.after) & (steps < outlier.until))
