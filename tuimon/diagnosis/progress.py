"""Runs that no longer make progress: R13."""

from collections.abc import Iterator

import numpy as np

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.history import beginning, epochs_since, falls, finite_since, is_usual, is_usual_step
from tuimon.numbers import figure, setting
from tuimon.protocol.wire import FloatArray, to_wire
from tuimon.runs.state import RunState

STUCK_EPOCHS = 5
"""A run that has not moved from the start is not judged before."""
STUCK_STEPS = 200
"""A run with fewer steps is not judged either."""
SAMPLE = 2_000
"""Steps at each end of the run that are compared at most."""
TINY = 1e-3
"""A smaller improvement, as a share of the loss, does not count."""
CERTAIN = 0.05
"""With more noise than this (two standard errors, as a share of the loss), the rule is silent."""
PLATEAU_EPOCHS = 50
"""A run with fewer epochs is not reported to stand still after it had made progress."""
PLATEAU_SHARE = 0.7
"""A run stands still if neither loss has improved for this share of its epochs."""
IMPROVEMENT = 0.005
"""The smallest improvement that counts, as a share of how far the loss has fallen in all."""


def findings(state: RunState) -> Iterator[Finding]:
    """Return what R13 finds."""
    if state.epochs_ended < STUCK_EPOCHS:
        return
    begin = beginning(state)
    stuck = _stuck(state, begin)
    yield from (stuck,) if stuck else _stands_still(state, begin)


def _stuck(state: RunState, begin: int) -> Finding | None:
    """R13: the loss has not fallen since the start.

    Threshold: after `STUCK_EPOCHS` epochs and `STUCK_STEPS` steps the mean loss of the last fifth of the batches is not
    below that of the first fifth by more than two standard errors and `TINY` of it; and the noise is small enough to
    tell, two standard errors being at most `CERTAIN` of the loss. The validation loss, where there is one, has not
    fallen either. Slow progress is progress: neither the training nor the validation losses of the epochs have a
    falling trend by Mann and Kendall's test (two standard deviations). The start is that of the present model:
    what another one did in an earlier `fit` does not count.

    Source: the two-sample z-test; Mann, "Nonparametric tests against trend", 1945; Hochreiter 1991 and Lu et al. 2019
    (vanishing gradients, dying ReLUs) are what it mostly comes from.
    """
    series, epochs = state.batch_metrics.get("loss"), len(epochs_since(state, begin)[0])
    if series is None or epochs < STUCK_EPOCHS:
        return None
    row = int(np.searchsorted(series.steps, begin))
    values = series.values[row:]
    if len(values) < STUCK_STEPS or series.steps[row] != begin:
        return None
    values = values[is_usual_step(state, series.steps[row:])]
    if len(values) < STUCK_STEPS:
        return None
    count = min(len(values) // 5, SAMPLE)
    first, last = values[:count], values[-count:]
    if not (np.isfinite(first).all() and np.isfinite(last).all()):
        return None
    before, after = float(np.mean(first)), float(np.mean(last))
    error = float(np.sqrt((np.var(first) + np.var(last)) / count))
    scale = max(abs(before), abs(after))
    if 2 * error > CERTAIN * scale or before - after > max(2 * error, TINY * scale):
        return None
    _, validation = finite_since(state, "val_loss", begin)
    if any(falls(finite_since(state, name, begin)[1]) for name in ("loss", "val_loss")):
        return None
    if len(validation) and validation[0] - validation.min() > max(2 * error, IMPROVEMENT * abs(validation[0])):
        return None
    return Finding(
        rule="R13",
        severity="warning",
        step=begin,
        what=f"the loss has not fallen since the start: {figure(before)} in the first batches, {figure(after)} in "
        "the last",
        evidence={
            "loss_of_first_batches": to_wire(before),
            "loss_of_last_batches": to_wire(after),
            "standard_error": to_wire(error),
            "steps": state.step - begin,
            "epochs": epochs,
            "learning_rate": to_wire(state.learning_rate),
        },
        advice=_advice(state),
        weight=0.5,
    )


def _stands_still(state: RunState, begin: int) -> Iterator[Finding]:
    """R13: for the larger part of the run neither the training nor the validation loss has improved.

    Threshold: of at least `PLATEAU_EPOCHS` epochs, in the last `PLATEAU_SHARE` neither loss has fallen below what it
    had reached before by `IMPROVEMENT` of how far it has fallen in all. Epochs are counted by their ends: a validation
    that is made every tenth epoch belongs to the epoch it was made in. Epochs with `phase inference` do not count:
    their training loss is that of inference mode. It is a note: a run may well be done.

    Source: the criterion of early stopping (Prechelt, "Early Stopping – But When?", 1998), with a patience of
    `PLATEAU_SHARE` of the run; keras#13239 (patience counts validations, not epochs).
    """
    ends, numbers = epochs_since(state, begin)
    is_of_training = is_usual(state, "loss", ends)
    ends, numbers = ends[is_of_training], numbers[is_of_training]
    losses = {name: finite_since(state, name, begin) for name in ("loss", "val_loss")}
    losses = {name: each for name, each in losses.items() if len(each[0])}
    epochs = len(ends)
    if epochs < PLATEAU_EPOCHS or "loss" not in losses or len(losses["loss"][0]) != epochs:
        return
    newest_step = max(int(steps[_last_improvement(values)]) for steps, values in losses.values())
    newest = min(int(np.searchsorted(ends, newest_step)), epochs - 1)
    if epochs - newest < PLATEAU_SHARE * epochs:
        return
    _, values = losses["loss"]
    yield Finding(
        rule="R13",
        severity="info",
        step=newest_step,
        what=f"{' and '.join(losses)} improved by under {setting(100 * IMPROVEMENT)} % of the total fall since "
        f"{state.fits.epoch_words(int(numbers[newest]), int(ends[newest]))}; {epochs:,} have ended",
        evidence={
            "epochs_without_improvement": epochs - newest - 1,
            "epochs": epochs,
            "best_loss": to_wire(float(values.min())),
            "newest_loss": to_wire(float(values[-1])),
            "learning_rate": to_wire(state.learning_rate),
        },
        advice="further epochs like these gain little: a lower learning rate shows whether there is more in it",
        request="stop" if state.ended is None else "",
        weight=0.2,
    )


def _last_improvement(values: FloatArray) -> int:
    """Return the index of the first value that all later ones together are hardly better than."""
    enough = IMPROVEMENT * float(values.max() - values.min())
    return int(np.argmax(values <= values.min() + enough))


def _advice(state: RunState) -> str:
    if state.learning_rate == 0:
        return "the learning rate is 0: set one"
    return (
        "see whether a much smaller or a much larger learning rate moves it, whether inputs and targets belong "
        "together, and whether gradients arrive (dead ReLUs, saturated activations, frozen layers)"
    )
