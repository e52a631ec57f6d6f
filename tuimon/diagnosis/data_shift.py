"""Training and validation data that are not alike: R3."""

from collections.abc import Iterator

from tuimon.diagnosis.finding import Finding
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire, to_wire
from tuimon.runs.state import RunState

LARGE_DIVERGENCE = 0.5
"""Nats: means that are 0.7 standard deviations apart, or variances that differ by a factor of 2.6."""
CHANCE_FACTOR = 5.0
"""The divergence must be this many times that between the two halves of the training batch."""
ENOUGH_ELEMENTS = 16
"""Halves of a batch with fewer numbers say nothing."""


def different_data(state: RunState) -> Iterator[Finding]:
    """R3: what reaches a layer from the validation data is distributed otherwise than what the training data give.

    Threshold: the symmetric KL divergence of the two, both in inference mode and with the same weights, is above
    `LARGE_DIVERGENCE` and above `CHANCE_FACTOR` times that between the two halves of the training batch, which chance
    alone makes (and which, of half as many numbers, is twice that of two whole batches of the same data). The first
    such layer in the order of the model is named: there the difference comes in.

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
    evidence: dict[str, float | str | None] = {
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
        severity="warning",
        layer=path,
        step=probe.step,
        what=f"what reaches {path} from the validation data is distributed otherwise than from the training data, "
        f"{_times(layer)} more than chance makes of it{more}",
        evidence=evidence,
        advice="look whether both are prepared alike (scaling, augmentation, order of the channels) and come from the "
        "same source",
        weight=0.6,
    )


def _differs(layer: events.ProbeLayer) -> bool:
    validation, chance = from_wire(layer.validation_divergence), from_wire(layer.sampling_divergence)
    elements = min(layer.elements, layer.validation_elements)
    return elements >= ENOUGH_ELEMENTS and validation > max(LARGE_DIVERGENCE, CHANCE_FACTOR * chance)


def _times(layer: events.ProbeLayer) -> str:
    chance = from_wire(layer.sampling_divergence)
    times = from_wire(layer.validation_divergence) / chance if chance > 0 else float("inf")
    return f"{times:,.0f} times" if times < 1000 else "by far"
