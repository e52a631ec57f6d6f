"""Takes the whole difference of an epoch's `loss` and `val_loss` apart."""

import math
from dataclasses import dataclass

from tuimon.diagnosis.gap.shares import ALIKE, PARTS
from tuimon.diagnosis.generalization import CERTAIN, data_part
from tuimon.diagnosis.layers import has_changed_since
from tuimon.protocol.wire import from_wire
from tuimon.runs.state import RunState

PART_OF_WHOLE = 0.5
"""The mean over the epoch, or weights, are worth a sentence if they make this share of the difference."""
UNEXPLAINED = 0.5
"""Weights are not named as the reason if the unexplained rest is this share of what they make: it may be the weights of
validation examples."""


@dataclass(frozen=True)
class Part:
    """One part of the difference."""

    name: str
    """`epoch mean`, one of `PARTS`, `weighting`, `data` or `rest`."""
    value: float
    """What it adds to `loss` − `val_loss`."""
    error: float = math.nan
    """Its standard error; NaN: not known."""


@dataclass(frozen=True)
class Whole:
    """What lies between the `loss` and the `val_loss` of an epoch, as Keras logs them."""

    epoch: int
    """The epoch, from 0."""
    loss: float
    """The mean over the epoch's batches, each in training mode, with the weights of its step."""
    val_loss: float
    """The loss of the validation data, in inference mode, with the weights of the epoch's end."""
    has_other_weights: bool
    """Whether the validation saw other weights: averages, say (R17). Their effect is in `rest`."""
    has_other_batches: bool
    """Whether a layer uses batch statistics in validation, too: `data` then has the effect of its batch size."""
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
        """Whether most of it is that `loss` is the mean over the epoch, beyond chance."""
        part = self.epoch_mean
        is_certain = abs(part.value) > CERTAIN * part.error
        return self.is_worth_a_word and is_certain and part.value / self.difference >= PART_OF_WHOLE


def whole(state: RunState) -> Whole | None:
    """Return what lies between the losses of the last epoch; None if no probe was made at its end."""
    loss, val_loss = (state.epoch_metrics.get(name) for name in ("loss", "val_loss"))
    if not state.probes or loss is None or val_loss is None or not len(loss) or not len(val_loss):
        return None
    probe = state.probes[-1]
    if not (probe.step == loss.steps[-1] == val_loss.steps[-1]) or has_changed_since(state, probe):
        return None
    part = data_part(probe)
    if part is None:
        return None
    trained, validated = float(loss.values[-1]), float(val_loss.values[-1])
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
    has_other_weights = "validation" in state.weights_replaced
    has_other_batches = any(layer.batch_statistics_in_inference for layer in probe.layers.values())
    return Whole(int(state.epoch_numbers.values[-1]), trained, validated, has_other_weights, has_other_batches, parts)
