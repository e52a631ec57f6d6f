"""The losses of a probe as they are written: each rounded by itself, all to the same digit."""

import math

from msgspec import Struct

from tuimon.diagnosis.gap.shares import PARTS, is_open
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire

_LEAST_POWER = -290
"""Losses are not written in smaller powers of ten: the steps in between would leave the range of floats."""


class Scale(Struct, frozen=True):
    """How the losses of a probe are written: all in the same units."""

    exponent: int
    """Numbers are written times ten to this; 0 but for very large and very small losses."""
    decimals: int
    """Digits after the point."""

    def units(self, value: float) -> int | None:
        """Return ``value`` in units of the last digit; None where it is not finite, or too large to be written so."""
        units = value / 10.0**self.exponent * 10**self.decimals
        return round(units) if math.isfinite(units) else None

    def text(self, units: int | None, *, signed: bool = False, unknown: str = "–") -> str:
        """Return what is written.

        Example:
            >>> Scale(0, 2).text(-610), Scale(0, 2).text(582, signed=True), Scale(-7, 1).text(15)
            ('-6.10', '+5.82', '1.5e-7')
        """
        if units is None:
            return unknown
        sign = "-" if units < 0 else "+" if signed and units > 0 else ""
        whole = f"{abs(units) / 10**self.decimals:.{self.decimals}f}"
        return sign + whole + (f"e{self.exponent}" if self.exponent else "")


class Sums(Struct, frozen=True):
    """The losses of a probe as they are written, in units of the last digit; None for what is not finite.

    Each is rounded by itself, so a sum on paper may be off by the last digit.
    """

    scale: Scale
    train: int | None
    inference: int | None
    gap: int | None
    parts: dict[str, int | None]
    """Units of each of `PARTS`, by name."""
    validation: int | None


def sums(probe: events.Probe) -> Sums:
    """Return the losses of a probe as they are written."""
    scale = _scale(probe)
    train, inference = scale.units(from_wire(probe.train)), scale.units(from_wire(probe.inference))
    gap = None if train is None or inference is None else scale.units(from_wire(probe.gap))
    parts = {name: scale.units(from_wire(getattr(probe, name))) for name in PARTS}
    return Sums(scale, train, inference, gap, parts, scale.units(from_wire(probe.validation)))


def _scale(probe: events.Probe) -> Scale:
    sizes = [abs(from_wire(value)) for value in (probe.train, probe.inference)]
    size = max((value for value in sizes if math.isfinite(value)), default=0.0) or 1.0
    power = max(_LEAST_POWER, math.floor(math.log10(size)))
    exponent = power if not -4 < power < 6 else 0
    decimals = max(0, 2 - power + exponent)
    gap = abs(from_wire(probe.gap))
    if is_open(probe):
        # At least two digits of a gap that is worth a word.
        decimals = max(decimals, 1 - math.floor(math.log10(gap)) + exponent)
    return Scale(exponent, min(decimals, 12))
