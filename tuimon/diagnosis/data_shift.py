"""Inputs of layers that are not alike: of training and validation data, of batches, with dropout: R3, R16, R18."""

import itertools
import math
from collections.abc import Iterator

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.generalization import data_part
from tuimon.diagnosis.layers import kept
from tuimon.numbers import figure
from tuimon.protocol import events
from tuimon.protocol.wire import Number, from_wire, to_wire
from tuimon.runs.state import RunState

LARGE_DIVERGENCE = 0.5
"""Nats: means that are 0.7 standard deviations apart, or variances that differ by a factor of 2.6."""
OTHER_UNITS = 20.0
"""Nats: means that are 4.5 standard deviations apart, or variances that differ by a factor of 40. No augmentation."""
CHANCE_FACTOR = 5.0
"""The divergence must be this many times that between the two halves of the training batch."""
ENOUGH_ELEMENTS = 16
"""Halves of a batch with fewer numbers say nothing."""
FEWEST_BATCHES = 3
"""Fewer batches do not tell an order from chance."""
LARGER_VARIANCE = 2.0
"""Variance in training mode over that in inference mode: inference divides by a third too much."""
ARRIVED, SETTLED = 0.1, 0.25
"""The share of the initial value that may be left in the moving statistics, and their drift in nats: else they lag."""
SHARE_OF_LOSS = 0.05
"""It is a warning if it costs this share of the loss; else a note."""


def different_data(state: RunState) -> Iterator[Finding]:
    """R3: what reaches a layer from the validation data is distributed otherwise than what the training data give.

    Threshold: the symmetric KL divergence of the two, both in inference mode and with the same weights, is above
    `LARGE_DIVERGENCE` and above `CHANCE_FACTOR` times that between the two halves of the training batch, which chance
    alone makes (and which, of half as many numbers, is twice that of two whole batches of the same data). The first
    such layer in the order of the model is named: there the difference comes in. It is a note where validation does not
    pay for it, and the divergence is at most `OTHER_UNITS`: its loss is not above that on training data beyond chance,
    as with augmentation, or where rare classes are drawn more often.

    Source: Kullback & Leibler, "On Information and Sufficiency", 1951; Li et al., "Revisiting Batch Normalization For
    Practical Domain Adaptation", 2016 (the statistics of a layer tell one domain from another).
    """
    if not state.probes:
        return
    probe = state.probes[-1]
    found = [path for path, layer in probe.layers.items() if _differs(layer)]
    if not found:
        return
    path, layer = found[0], probe.layers[found[0]]
    evidence: dict[str, Number] = {
        "validation_divergence": to_wire(from_wire(layer.validation_divergence)),
        "divergence_by_chance": to_wire(from_wire(layer.sampling_divergence)),
        "threshold": LARGE_DIVERGENCE,
        "layers": len(found),
        "of_layers": len(probe.layers),
    }
    if probe.validation is not None:
        evidence |= {
            "inference_loss_training_batch": probe.inference,
            "inference_loss_validation_batch": probe.validation,
        }
    more = f", and the {len(found) - 1} after it that show it" if len(found) > 1 else ""
    yield Finding(
        rule="R3",
        severity="warning" if _costs(probe) else "info",
        layer=path,
        step=probe.step,
        what=f"what reaches {path} from the validation data is distributed otherwise than from the training data, "
        f"{_times(layer)} more than chance makes of it{more}",
        evidence=evidence,
        advice="look whether both are prepared alike (scaling, order of the channels) and come from the same source; "
        "augmentation, or classes drawn more often, for training alone may be meant",
        weight=0.6,
    )


def _costs(probe: events.Probe) -> bool:
    """Return True unless the validation loss is known not to be above that on training data, for all the difference."""
    part = data_part(probe)
    is_other = any(from_wire(layer.validation_divergence) > OTHER_UNITS for layer in probe.layers.values())
    return is_other or part is None or math.isnan(part.error) or part.is_certain


def _differs(layer: events.ProbeLayer) -> bool:
    validation, chance = from_wire(layer.validation_divergence), from_wire(layer.sampling_divergence)
    elements = min(layer.elements, layer.validation_elements)
    return elements >= ENOUGH_ELEMENTS and validation > max(LARGE_DIVERGENCE, CHANCE_FACTOR * chance)


def batches_are_not_alike(state: RunState) -> Iterator[Finding]:
    """R18: the training batches are not alike: they come in an order, and each is of one kind of data.

    Threshold: of at least `FEWEST_BATCHES` batches that were held over the epoch, the symmetric KL divergence between
    what reaches a layer from the first one and from the others, in inference mode, is on average above
    `LARGE_DIVERGENCE` and above `CHANCE_FACTOR` times that between the two halves of the first batch. The first such
    layer in the order of the model is named.

    Source: keras#12851, openpifpaf#308 (batches of one recording, of one class); the moving statistics are those of all
    kinds together, and fit no batch.
    """
    if not state.probes or state.probes[-1].batches < FEWEST_BATCHES:
        return
    probe = state.probes[-1]
    found = [path for path, layer in probe.layers.items() if _jumps(layer)]
    if not found:
        return
    layer = probe.layers[found[0]]
    yield Finding(
        rule="R18",
        severity="warning",
        layer=found[0],
        step=probe.step,
        what=f"the training batches are not alike: what reaches {found[0]} differs from batch to batch far more than "
        "within a batch, so the moving statistics fit no batch",
        evidence={
            "divergence_between_batches": layer.batches_divergence,
            "divergence_within_a_batch": layer.sampling_divergence,
            "threshold": LARGE_DIVERGENCE,
            "batches": probe.batches,
            "layers": len(found),
            "of_layers": len(probe.layers),
        },
        advice="shuffle the training data, so that each batch has examples of every kind",
        weight=0.8,
    )


def _jumps(layer: events.ProbeLayer) -> bool:
    between, within = from_wire(layer.batches_divergence), from_wire(layer.sampling_divergence)
    is_large = between > max(LARGE_DIVERGENCE, CHANCE_FACTOR * within)
    return layer.elements >= ENOUGH_ELEMENTS and is_large


def variance_shift(state: RunState) -> Iterator[Finding]:
    """R16: dropout makes the variance that a layer learns larger than the one that it meets in inference mode.

    Threshold: the model has random layers; the variance of a layer's inputs in training mode is at least
    `LARGER_VARIANCE` times that with the random layers off; and its moving statistics are those of training, at most
    `ARRIVED` of the initial value and a drift of `SETTLED` being left, as are those of all layers before it. The first
    such layer in the order of the model is named. It is a warning if with batch statistics the loss in inference mode
    would be lower by `SHARE_OF_LOSS` of it.

    Source: Li et al., "Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift", 2019.
    """
    if not state.probes or state.model is None or not state.model.other_layers:
        return
    probe = state.probes[-1]
    # What a layer with other statistics makes of its inputs reaches all layers behind it.
    settled = itertools.takewhile(lambda item: from_wire(item[1].drift) <= SETTLED, probe.layers.items())
    found = [path for path, layer in settled if _is_shifted(state, path, layer, probe.step)]
    if not found or not from_wire(probe.stochastic):
        return
    ratio, inference = from_wire(probe.layers[found[0]].variance_ratio), from_wire(probe.inference)
    batch_norm = from_wire(probe.batch_norm)
    yield Finding(
        rule="R16",
        severity="warning" if batch_norm < -SHARE_OF_LOSS * abs(inference) else "info",
        layer=found[0],
        step=probe.step,
        what=f"random layers (dropout, noise) before {found[0]} make the variance of its inputs {figure(ratio, 2)} "
        "times as large in training as in inference mode, where the layer still divides by the larger one",
        evidence={
            "variance_ratio": to_wire(ratio),
            "inference_loss": probe.inference,
            "inference_loss_with_batch_statistics": to_wire(inference + batch_norm),
            "layers": len(found),
            "of_layers": len(probe.layers),
        },
        advice="put them behind the last BatchNormalization layer, or take a smaller rate, and compare",
        weight=0.5,
    )


def _is_shifted(state: RunState, path: str, layer: events.ProbeLayer, step: int) -> bool:
    momentum = state.momentum.get(path, 1.0)
    has_arrived = 0 <= momentum < 1 and kept(momentum, step * max(1, layer.calls)) <= ARRIVED
    return has_arrived and from_wire(layer.variance_ratio) >= LARGER_VARIANCE


def _times(layer: events.ProbeLayer) -> str:
    chance = from_wire(layer.sampling_divergence)
    times = from_wire(layer.validation_divergence) / chance if chance > 0 else float("inf")
    return f"{times:,.0f} times" if times < 1000 else "by far"
