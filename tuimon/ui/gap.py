"""What a probe says, in shares: of the gap, and of each layer in it. Pure.

The gap is the loss in training mode minus the loss in inference mode, on the same batch.
"""

import math

from tuimon.diagnosis.verdict import PARTS
from tuimon.events import Probe
from tuimon.ui.moment import Moment
from tuimon.wire import from_wire

_TINY = 1e-3
"""A gap of less than this part of the losses is none, and has no shares."""
_NOTHING = 5e-4
"""A part of less than this share is 0.0 %, whatever its sign."""


def gap_shares(probe: Probe) -> dict[str, float] | None:
    """Return the share of each of `PARTS` in the gap, adding up to about 1.

    None where shares would mislead: the parts have different signs, one is not finite, or the gap is tiny
    beside the losses or within its own noise.

    Example:
        >>> gap_shares(Probe(reason="asked", examples=1, train=2.0, inference=1.0, gap=1.0, batch_norm=0.75,
        ...     stochastic=0.25, other=0.0, masks=8, standard_error=0.01, passes=16, seconds=0.1))
        {'batch_norm': 0.75, 'stochastic': 0.25, 'other': 0.0}
    """
    gap = from_wire(probe.gap)
    losses = max(abs(from_wire(probe.train)), abs(from_wire(probe.inference)))
    error = from_wire(probe.standard_error)
    noise = 2 * error if math.isfinite(error) else 0.0
    if not math.isfinite(gap) or abs(gap) <= max(_TINY * losses, noise, 1e-9):
        return None
    shares = {name: from_wire(getattr(probe, name)) / gap for name in PARTS}
    if not all(math.isfinite(share) and share > -_NOTHING for share in shares.values()):
        return None
    return shares


def layer_share(probe: Probe, path: str) -> float | None:
    """Return a layer's share of `batch_norm`, in the order of the model; None where it is not known or has no meaning.

    Negative where the layer makes the gap smaller.
    """
    layer = probe.layers.get(path)
    whole, part = from_wire(probe.batch_norm), from_wire(layer.in_order if layer else None)
    losses = max(abs(from_wire(probe.train)), abs(from_wire(probe.inference)))
    if not (math.isfinite(whole) and math.isfinite(part)) or abs(whole) <= max(_TINY * losses, 1e-9):
        return None
    return part / whole


def disputed(probe: Probe) -> frozenset[str]:
    """Return the layers that the two ways of looking for the worst one name, where these are not the same layer.

    One way switches the layers in order, the other each alone. Empty where both agree: that layer is the cause.
    """
    sign = math.copysign(1.0, from_wire(probe.batch_norm))
    worst = []
    for way in ("in_order", "alone"):
        known = {path: sign * from_wire(getattr(layer, way)) for path, layer in probe.layers.items()}
        finite = {path: value for path, value in known.items() if math.isfinite(value)}
        if not finite or max(finite.values()) <= 0:
            return frozenset()
        worst.append({path for path, value in finite.items() if value == max(finite.values())})
    return frozenset() if worst[0] & worst[1] else frozenset(worst[0] | worst[1])


def no_probe_words(moment: Moment) -> str:
    """Return why there is no probe, and what to do."""
    if moment.state.ended or moment.status in ("crashed", "failed"):
        return "This run has made no probe."
    if reason := moment.cannot("probe"):
        return f"No probe: {reason}."
    if moment.refusal:
        return "No probe yet: at the next epoch's end."
    return "No probe yet: at the next epoch's end, or press g."
