"""Training data that are learned better than what they stand for, or not at all: R14 and R15."""

import math
from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.gap.measured import measured
from tuimon.diagnosis.gap.shares import ALIKE
from tuimon.diagnosis.history import beginning, falls, finite_since, is_usual_step
from tuimon.diagnosis.layers import has_changed_since
from tuimon.numbers import figure
from tuimon.protocol import events
from tuimon.protocol.wire import Number, from_wire, to_wire
from tuimon.runs.state import RunState

CERTAIN = 3.0
"""Standard errors by which the validation loss must be above the loss on training data."""
FEWEST_EXAMPLES, FEW_EXAMPLES = 30, 100
"""Fewer validation examples than the first number do not tell the standard error of their loss; fewer than the second
do so badly, where a few of them have most of it."""
CERTAIN_OF_FEW = 4.0
"""Standard errors that are asked of few examples."""
PART_OF_FALL = 0.5
"""The difference must be at least this share of what the model has learned."""
FAR_OFF = 2.0
"""A validation loss so many times that of a constant answer may be one of data that are prepared otherwise."""
RISEN_PART = 0.1
"""The validation loss must have risen from its best by this share of what it has learned."""
FEWEST_SINCE = 3
"""Validations after the best one; fewer say nothing."""
SINCE_PART = 0.1
"""Share of all validations that must have come after the best one."""
EXPLAINED, NOTHING = 0.1, 0.02
"""A model whose loss is surely less than the first share below that of a constant answer has learned little; where it
is less than the second, as measured, nothing."""
FEWEST_EPOCHS = 5
"""A run with fewer epochs is not judged for that."""
FEWEST_STEPS = 200
"""Before so many steps, little learned is only noted."""
STANDS_STILL = 0.01
"""The loss stands still if it has fallen by less than this share of itself in the last half of the epochs."""
FIRST_LOSSES = 5
"""Batch losses whose mean is the loss at the start."""


class DataPart(Struct, frozen=True):
    """How much worse the model is on validation data than on training data, all in inference mode."""

    training: float
    """Loss on training data, without weights."""
    validation: float
    """Loss on validation data, without weights."""
    error: float
    """Standard error of their difference; NaN: unknown."""

    @property
    def difference(self) -> float:
        """Validation minus training."""
        return self.validation - self.training

    @property
    def is_certain(self) -> bool:
        """Whether the validation data are harder, beyond chance."""
        return self.difference > CERTAIN * self.error


def data_part(probe: events.Probe) -> DataPart | None:
    """Return what a probe tells of the data; None if it had no validation batch, or is of an older version."""
    training, validation = from_wire(probe.unweighted), from_wire(probe.validation_unweighted)
    if not (math.isfinite(training) and math.isfinite(validation)):
        return None
    return DataPart(
        training, validation, math.hypot(from_wire(probe.unweighted_error), from_wire(probe.validation_error))
    )


def overfitting(state: RunState) -> Iterator[Finding]:
    """R14: the training data are learned better than other data of their kind.

    Threshold: in inference mode, without weights, the loss of the held validation batches, of at least
    `FEWEST_EXAMPLES` examples, is above that of the held training batches by `CERTAIN` standard errors (of fewer than
    `FEW_EXAMPLES` by `CERTAIN_OF_FEW`), so that neither mode, nor randomness, nor weights, nor chance makes the
    difference; and one of two holds. It is at least
    `PART_OF_FALL` of what the model has learned: how far its loss on training data is below that of a constant answer
    (where that is not known, below the loss of the first steps of the present model). Or the validation loss of the
    epochs has risen from its best, `FEWEST_SINCE` validations ago or more, by `CERTAIN` standard errors and
    `RISEN_PART` of what was learned.

    Source: Prechelt, "Early Stopping – But When?", 1998 (generalization loss); Zhang et al., "Understanding deep
    learning requires rethinking generalization", 2017.
    """
    if not state.probes or has_changed_since(state, state.probes[-1]):
        return
    probe = state.probes[-1]
    part = data_part(probe)
    if part is None or not part.is_certain or probe.validation_examples < FEWEST_EXAMPLES:
        return
    if probe.validation_examples < FEW_EXAMPLES and not part.difference > CERTAIN_OF_FEW * part.error:
        return
    begin = beginning(state)
    learned = _learned(state, probe, part, begin)
    if not learned > 0:
        return
    best = _best_validation(state, begin, from_wire(probe.validation_error), learned)
    if best is None and part.difference < PART_OF_FALL * learned:
        return
    evidence: dict[str, Number] = {
        "loss_on_training_data": to_wire(part.training),
        "loss_on_validation_data": to_wire(part.validation),
        "difference": to_wire(part.difference),
        "standard_error": to_wire(part.error),
        "training_examples": probe.examples,
        "validation_examples": probe.validation_examples,
    }
    told = (
        f"the model overfits: in inference mode the loss is {figure(part.training, 3)} on training data and "
        f"{figure(part.validation, 3)} on validation data, {measured(part.difference, part.error)} more"
    )
    advice = "more data, augmentation, dropout or weight decay help; a smaller model does, too"
    if best is not None:
        evidence |= {"best_epoch": best.epoch + 1, "best_validation_loss": best.value, "newest": best.newest}
        more, keep = _of_best(state, best)
        told, advice = f"{told}; {more}", f"{keep}to get further, {advice}"
    constant = from_wire(probe.constant)
    if part.validation > FAR_OFF * constant > 0:
        evidence["loss_of_constant_answer"] = probe.constant
        advice = (
            "look first whether validation data are prepared as training data are (scaling, shuffled before the "
            f"split): one constant answer for all would lose {figure(constant, 3)}; if they are, {advice}"
        )
    yield Finding(
        rule="R14",
        severity="warning",
        step=best.step if best is not None else probe.step,
        what=told,
        evidence=evidence,
        advice=advice,
        weight=0.4,
    )


def _of_best(state: RunState, best: "_Best") -> tuple[str, str]:
    """Return what is said of the best validation, and what to do with its weights."""
    where = state.fits.epoch_words(best.epoch, best.step)
    was = f"the best validation loss was {figure(best.value, 3)}, in {where}, "
    if "restored" in state.weights_replaced or ends_with_best(state):
        return f"{was}and the best weights were put back at the end", ""
    keep = f"keep the weights of {where} (`EarlyStopping(restore_best_weights=True)`); "
    return f"{was}it is {figure(best.newest, 3)} now", keep


def ends_with_best(state: RunState) -> bool:
    """Return True if training was ended early by a callback that puts the best weights back."""
    fit = state.fit
    if fit is None or not fit.restores_best or state.ended is None or state.ended.status != "finished":
        return False
    return fit.epochs is not None and state.epoch + 1 < fit.epochs


def underfitting(state: RunState) -> Iterator[Finding]:
    """R15: the model answers hardly better than a constant, and hardly gets better.

    Threshold: in inference mode, the loss of at least `FEWEST_EXAMPLES` training examples is surely, with `CERTAIN`
    standard errors added, less than `EXPLAINED` below what they would lose if the model's mean output answered each of
    them (of what can be explained: soft labels have a loss of their own); and of at least `FEWEST_EPOCHS` epochs, the
    training loss has fallen by less than `STANDS_STILL` of itself in the last half. It is a note where the model is
    better than the constant by `NOTHING` or more, where the losses of the epochs have a falling trend, and before
    `FEWEST_STEPS` steps.

    Source: the share of the loss that is explained is R² for the squared error, McFadden's pseudo-R² for the cross-
    entropy (McFadden 1974); a model that predicts the mean is the baseline of both.
    """
    if not state.probes or has_changed_since(state, state.probes[-1]):
        return
    probe, begin = state.probes[-1], beginning(state)
    constant, gain, error = map(from_wire, (probe.constant, probe.gain, probe.gain_error))
    whole = constant - (0.0 if probe.floor is None else from_wire(probe.floor))
    if probe.examples < FEWEST_EXAMPLES or not (constant > 0 and whole > 0 and gain <= whole):
        return
    _, losses = finite_since(state, "loss", begin)
    half = losses[len(losses) // 2 :]
    if len(losses) < FEWEST_EPOCHS or not gain + CERTAIN * error < EXPLAINED * whole:
        return
    if half[0] - half.min() > STANDS_STILL * abs(half[0]):
        return
    still_falls = falls(losses) or state.step - begin < FEWEST_STEPS
    is_better = gain >= NOTHING * whole
    known = f"{measured(100 * gain / whole, 100 * error / whole)} % explained" if gain > 0 else "no better"
    yield Finding(
        rule="R15",
        severity="info" if still_falls or is_better else "warning",
        step=probe.step,
        what=f"the model underfits: on training data its loss is {figure(constant - gain, 3)}, that of one "
        "constant answer "
        f"for all inputs {figure(constant, 3)} ({known}), and it "
        f"{'falls slowly' if still_falls else 'hardly falls any more'}",
        evidence={
            "loss_of_constant_answer": probe.constant,
            "loss_of_model": to_wire(constant - gain),
            "standard_error": probe.gain_error,
            "epochs": len(losses),
            "learning_rate": to_wire(state.learning_rate),
        },
        advice="train for longer, or raise the learning rate"
        if still_falls
        else "look whether inputs and labels belong together and are scaled, then try another learning rate or a "
        "larger model; if nothing helps, the inputs may say no more",
        weight=0.45,
    )


def _learned(state: RunState, probe: events.Probe, part: DataPart, begin: int) -> float:
    """Return how far the loss on training data is below that of a constant answer, or of the first steps; or NaN."""
    constant = from_wire(probe.constant)
    if constant > part.training:
        return constant - part.training
    if abs(from_wire(probe.inference) - part.training) > ALIKE * abs(part.training):
        # The log has weighted losses, but of validation.
        _, first = finite_since(state, "val_loss", begin)
        return float(first[0]) - part.training if len(first) else math.nan
    return _first_loss(state, begin) - part.training


def _first_loss(state: RunState, begin: int) -> float:
    series = state.batch_metrics.get("loss")
    if series is not None:
        row = int(np.searchsorted(series.steps, begin))
        if row < len(series) and series.steps[row] == begin:
            first = slice(row, row + FIRST_LOSSES)
            usual = series.values[first][is_usual_step(state, series.steps[first])]
            if len(usual):
                return float(np.mean(usual))
    _, epochs = finite_since(state, "loss", begin)
    return float(epochs[0]) if len(epochs) else math.nan


class _Best(Struct, frozen=True):
    epoch: int
    step: int
    value: float
    newest: float


def _best_validation(state: RunState, begin: int, error: float, learned: float) -> _Best | None:
    """Return the best validation, if the loss has risen since beyond chance."""
    steps, values = finite_since(state, "val_loss", begin)
    if len(values) < FEWEST_SINCE + 1:
        return None
    index = int(np.argmin(values))
    since = len(values) - 1 - index
    newest = float(np.median(values[-FEWEST_SINCE:]))
    risen = newest - float(values[index])
    if since < max(FEWEST_SINCE, SINCE_PART * len(values)) or risen < max(CERTAIN * error, RISEN_PART * learned):
        return None
    step = int(steps[index])
    numbers = state.epoch_numbers
    place = int(np.searchsorted(numbers.steps, step))
    return _Best(int(numbers.values[place]), step, float(values[index]), newest)
