"""What a probe says of its gap: the share of each part, of each layer, and which layer makes most of it.

The gap is the loss in training mode minus the loss in inference mode, on the same batch.
"""

import math

from msgspec import Struct

from tuimon.protocol.events import Probe
from tuimon.protocol.wire import from_wire

PARTS = ("batch_norm", "stochastic", "other")
"""The parts of a gap; they add up to it."""
ALIKE = 0.02
"""Two losses that differ by less than this share of the larger one are called alike."""
SMALL = 0.01
"""A part that makes a smaller share of the gap is not worth a word, whatever its sign."""
AS_LARGE = 0.05
"""Two layers that differ by less than this share make as much, alone: neither is the cause."""
UNSURE = 0.25
"""A share with a larger standard error is not told."""
CHANCE = 2.0
"""So many standard errors are within chance."""
_CANCELLED = 3.0
"""If the sizes of the layers' parts add up to more than this many times their sum, the parts mostly cancel each other,
and a share would mislead."""
_TINY = 1e-3
"""A gap below this share of the losses has no shares."""
_MOST = 1e6
"""Shares and their standard errors are below this; numbers that give larger ones are no parts of a gap."""


def are_alike(probe: Probe) -> bool:
    """Whether the losses of training and of inference mode are the same but for a little, or for chance."""
    gap = abs(from_wire(probe.train) - from_wire(probe.inference))
    return differ_little(probe) or gap <= _chance(probe)


def differ_little(probe: Probe) -> bool:
    """Whether the losses of training and of inference mode are the same but for a little, whatever chance makes."""
    return abs(from_wire(probe.train) - from_wire(probe.inference)) <= ALIKE * _losses(probe)


def is_open(probe: Probe) -> bool:
    """Whether there is a gap worth a word: it is finite and not 0, and the losses are not alike."""
    gap = from_wire(probe.gap)
    return math.isfinite(gap) and gap != 0 and not are_alike(probe)


def gap_shares(probe: Probe) -> dict[str, float] | None:
    """Return the share of each of `PARTS` in the gap, adding up to about 1.

    None where shares would mislead: the parts have different signs, one is not finite, the gap is tiny beside the
    losses or within its own noise, or a share has a standard error above `UNSURE`. Where the errors are unknown, only a
    part that makes all of the gap has a share.

    Example:
        >>> gap_shares(Probe(reason="asked", examples=1, train=2.0, inference=1.0, gap=1.0, batch_norm=0.75,
        ...     stochastic=0.25, other=0.0, masks=8, standard_error=0.01, passes=16, seconds=0.1,
        ...     share_errors={"batch_norm": 0.03, "stochastic": 0.03, "other": 0.0}))
        {'batch_norm': 0.75, 'stochastic': 0.25, 'other': 0.0}
    """
    gap = from_wire(probe.gap)
    if not math.isfinite(gap) or abs(gap) <= max(_TINY * _losses(probe), _chance(probe), 1e-9):
        return None
    shares = {name: from_wire(getattr(probe, name)) / gap for name in PARTS}
    if not all(-SMALL < share < _MOST for share in shares.values()):
        return None
    is_one = max(shares.values()) >= 1 - SMALL
    errors = [share_error(probe, name) for name in PARTS]
    if not is_one and not all(error <= UNSURE for error in errors):
        return None
    return shares


def share_error(probe: Probe, part: str) -> float:
    """Return the standard error of a part's share in the gap; NaN if it is unknown, or too large to say anything."""
    error = from_wire(probe.share_errors.get(part))
    return error if error < _MOST else math.nan


def shares_of_layers(probe: Probe) -> dict[str, float]:
    """Return the shares of layers in `batch_norm`, in the order of the model, of those of which they are known.

    Negative where a layer makes the gap smaller. Empty where shares have no meaning: there is next to no gap, or the
    layers cancel each other.
    """
    parts = {path: from_wire(layer.in_order) for path, layer in probe.layers.items()}
    whole = sum(parts.values())
    smallest = min(abs(whole), abs(from_wire(probe.batch_norm)))
    if not math.isfinite(whole) or not smallest > max(_TINY * _losses(probe), 1e-9):
        return {}
    if layers_cancel(probe):
        return {}
    return {path: part / whole for path, part in parts.items() if math.isfinite(part)}


class Cause(Struct, frozen=True):
    """Which layer makes most of what batch statistics make."""

    in_order: str
    """Path of the layer with the largest share, the layers switched one after another."""
    alone: tuple[str, ...]
    """Paths of those that make most when they alone are switched: the largest, and what is nearly as large."""
    share: float
    """The share that `in_order` makes of `batch_norm`; above 1 if other layers make up for it."""

    @property
    def is_agreed(self) -> bool:
        """Whether both ways of asking name the same layer, and it alone. Else none is to be named."""
        return self.alone == (self.in_order,)


def cause(probe: Probe) -> Cause | None:
    """Return which layer makes most of what batch statistics make; None where they make nothing beyond chance."""
    batch_norm, total = from_wire(probe.batch_norm), _losses(probe)
    if abs(batch_norm) <= CHANCE * from_wire(probe.errors.get("batch_norm")):
        return None
    if not math.isfinite(batch_norm) or not math.isfinite(total) or abs(batch_norm) <= ALIKE * total:
        return None
    if layers_cancel(probe):
        return None
    sign = math.copysign(1.0, batch_norm)
    in_order = {path: sign * from_wire(layer.in_order) for path, layer in probe.layers.items()}
    alone = {path: sign * from_wire(layer.alone) for path, layer in probe.layers.items()}
    if not in_order or not all(map(math.isfinite, (*in_order.values(), *alone.values()))):
        return None
    first, most = max(in_order, key=in_order.__getitem__), max(alone.values())
    as_large = tuple(path for path, size in alone.items() if size >= most - AS_LARGE * abs(most))
    # Of the first batch, on which the layers were measured.
    whole = abs(sum(in_order.values())) or abs(batch_norm)
    return Cause(first, as_large, in_order[first] / whole)


def layers_cancel(probe: Probe) -> bool:
    """Return True if the layers' parts mostly cancel each other, so that no layer has a share."""
    parts = [from_wire(layer.in_order) for layer in probe.layers.values()]
    return math.isfinite(sum(parts)) and sum(map(abs, parts)) > _CANCELLED * abs(sum(parts))


def disputed(probe: Probe) -> frozenset[str]:
    """Return the layers that the two ways of looking for the worst one name, where these are not the same layer."""
    found = cause(probe)
    return frozenset() if found is None or found.is_agreed else frozenset((found.in_order, *found.alone))


def _losses(probe: Probe) -> float:
    return max(abs(from_wire(probe.train)), abs(from_wire(probe.inference)))


def _chance(probe: Probe) -> float:
    """Return the gap that chance alone makes."""
    error = from_wire(probe.errors.get("gap"))
    # It has the error of the masks in it; it is 0 where one batch has all data, and then the masks are what is left.
    error = error if error > 0 else from_wire(probe.standard_error)
    return CHANCE * error if math.isfinite(error) else 0.0
