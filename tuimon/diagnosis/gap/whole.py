"""Takes the whole difference of an epoch's `loss` and `val_loss` apart."""

import math

import numpy as np
from msgspec import Struct

from tuimon.diagnosis.gap.shares import ALIKE, PARTS
from tuimon.diagnosis.generalization import CERTAIN, data_part, ends_with_best
from tuimon.diagnosis.history import epoch_begin
from tuimon.diagnosis.layers import has_changed_since
from tuimon.protocol.events import Probe
from tuimon.protocol.wire import from_wire
from tuimon.runs.state import RunState

SEEN = 0.3
"""The losses of the batches must have fallen by this share of what the mean over the epoch is said to make: a few
batches are probed, and what they miss is in that part as well."""
LAST_PART, FEWEST_STEPS = 3, 9
"""The last third of the epoch's batches is compared with all of them, if there are so many."""
PART_OF_WHOLE = 0.5
"""The mean over the epoch, or weights, are worth a sentence if they make this share of the difference."""
UNEXPLAINED = 0.5
"""Weights are not named as the reason if the unexplained rest is this share of what they make: it may be the weights of
validation examples."""


class Part(Struct, frozen=True):
    """One part of the difference."""

    name: str
    """`epoch mean`, one of `PARTS`, `weighting`, `data` or `rest`."""
    value: float
    """What it adds to `loss` − `val_loss`."""
    error: float = math.nan
    """Its standard error; NaN: not known."""


class Whole(Struct, frozen=True):
    """What lies between the `loss` and the `val_loss` of an epoch, as Keras logs them."""

    epoch: int
    """The epoch, from 0."""
    epoch_words: str
    """The epoch as people are told it: "epoch 3", or "fit 2, epoch 3"."""
    loss: float
    """The mean over the epoch's batches, each in training mode, with the weights of its step."""
    val_loss: float
    """The loss of the validation data, in inference mode, with the weights of the epoch's end."""
    has_other_weights: bool
    """Whether the validation saw other weights: averages, say (R17). Their effect is in `rest`."""
    has_other_batches: bool
    """Whether a layer uses batch statistics in validation, too: `data` then has the effect of its batch size."""
    fell: float
    """How far the losses of the epoch's batches fell below their mean, in the last third of them; 0: within chance, or
    not known."""
    parts: tuple[Part, ...]
    """They add up to `difference`.

    `epoch mean`: the loss at the epoch's end is not the mean over the epoch. Those of the gap. `weighting`: sample and
    class weights. `data`: training data minus validation data, in inference mode. `rest`: the validation batches that
    were not probed, and the weights of validation.
    """

    @property
    def difference(self) -> float:
        """`loss` minus `val_loss`."""
        return self.loss - self.val_loss

    @property
    def is_worth_a_word(self) -> bool:
        """Whether the two losses differ by more than a little."""
        return abs(self.difference) > ALIKE * max(abs(self.loss), abs(self.val_loss))

    @property
    def epoch_mean(self) -> Part:
        """The part that comes from the mean over the epoch."""
        return self.parts[0]

    @property
    def weighting(self) -> Part:
        """The part that comes from sample and class weights in training."""
        return next(part for part in self.parts if part.name == "weighting")

    @property
    def is_mostly_weighting(self) -> bool:
        """Whether most of it is that training has sample or class weights and validation has none."""
        part, rest = self.weighting.value, self.parts[-1].value
        is_explained = abs(rest) < UNEXPLAINED * abs(part)
        return self.is_worth_a_word and is_explained and part / self.difference >= PART_OF_WHOLE

    @property
    def is_mostly_epoch_mean(self) -> bool:
        """Whether most of it is that `loss` is the mean over the epoch, beyond chance, and as the log shows it."""
        part = self.epoch_mean
        is_certain = abs(part.value) > CERTAIN * part.error and self.fell / part.value >= SEEN
        return self.is_worth_a_word and is_certain and part.value / self.difference >= PART_OF_WHOLE


def whole(state: RunState) -> Whole | None:
    """Return what lies between the losses of the newest epoch at whose end a probe was made; None: there is none."""
    found = _newest(state)
    if found is None or has_changed_since(state, found[0]):
        return None
    probe, trained, validated = found
    part = data_part(probe)
    is_of_others = any(fact.where != "validation" and fact.seq < probe.seq for fact in state.weights_replaced.values())
    if part is None or is_of_others or (probe.reason == "end" and ends_with_best(state)):
        return None
    train, inference = from_wire(probe.train), from_wire(probe.inference)
    sampling = math.hypot(from_wire(probe.unweighted_error), from_wire(probe.errors.get("gap")))
    parts = (
        Part("epoch mean", trained - train, sampling),
        *(Part(name, from_wire(getattr(probe, name)), from_wire(probe.errors.get(name))) for name in PARTS),
        Part("weighting", inference - part.training),
        Part("data", -part.difference, part.error),
        Part("rest", part.validation - validated, from_wire(probe.validation_error)),
    )
    if not all(math.isfinite(each.value) for each in parts):
        return None
    epoch = int(state.epoch_numbers.values[np.searchsorted(state.epoch_numbers.steps, probe.step)])
    has_other_weights = "validation" in state.weights_replaced
    has_other_batches = any(layer.batch_statistics_in_inference for layer in probe.layers.values())
    return Whole(
        epoch,
        state.fits.epoch_words(epoch, probe.step),
        trained,
        validated,
        has_other_weights,
        has_other_batches,
        _fell(state, probe.step),
        parts,
    )


def _newest(state: RunState) -> tuple[Probe, float, float] | None:
    """Return the newest probe that was made at the end of an epoch, and the epoch's `loss` and `val_loss`."""
    series = [state.epoch_metrics.get(name) for name in ("loss", "val_loss")]
    for probe in reversed(state.probes):
        # A lookup in each: of a long run, a look at all epochs would take too long for each frame.
        loss, val_loss = (None if each is None else each.at(probe.step) for each in series)
        if loss is not None and val_loss is not None:
            return probe, loss, val_loss
    return None


def _fell(state: RunState, end: int) -> float:
    """Return how far the losses of an epoch's batches fell below their mean in its last third, beyond chance.

    Args:
        state: The run.
        end: The step at which the epoch ended.
    """
    series = state.batch_metrics.get("loss")
    if series is None:
        losses = state.epoch_metrics["loss"]
        row = int(np.searchsorted(losses.steps, end))
        return float(losses.values[row - 1] - losses.values[row]) if row else 0.0
    first, last_step = np.searchsorted(series.steps, (epoch_begin(state, end), end))
    values = series.values[first:last_step]
    if len(values) < FEWEST_STEPS:
        return 0.0
    last = values[-len(values) // LAST_PART :]
    error = float(np.std(last, ddof=1) / np.sqrt(len(last)))
    fell = float(np.mean(values) - np.mean(last))
    return fell if abs(fell) > 2 * error else 0.0
