"""The gap in words and numbers, for a line and for the room beside its chart: the parts with their uncertainty."""

import math

import numpy as np
from msgspec import Struct

from tuimon.diagnosis.gap.measured import measured
from tuimon.diagnosis.gap.shares import ALIKE, PARTS, gap_shares, share_error
from tuimon.diagnosis.gap.sums import sums
from tuimon.diagnosis.gap.whole import Whole, whole
from tuimon.diagnosis.generalization import data_part
from tuimon.numbers import figure, portion, signed
from tuimon.protocol.events import Probe
from tuimon.protocol.wire import from_wire
from tuimon.runs.facts_in_words import PART_NAMES
from tuimon.runs.state import RunState
from tuimon.ui.viewer.meanings import Meaning

SIGNS = {
    "gap": ("●", "gap", Meaning.GAP),
    "batch_norm": ("◆", PART_NAMES["batch_norm"], Meaning.BATCH_NORM_PART),
    "stochastic": ("○", PART_NAMES["stochastic"], Meaning.STOCHASTIC_PART),
    "other": ("×", PART_NAMES["other"], Meaning.OTHER_PART),
}
"""Sign, word and colour of each field of a probe."""
_WHOLE_NAMES = {"epoch mean": "mean over epoch"}
"""Names of the parts of a whole difference that are not those of the gap, nor words."""
NOT_TAKEN_APART = "all parts: after a probe at an epoch's end"
_NOTHING = 1e-6
"""Losses that differ by a smaller share are the same, but for rounding."""


class Part(Struct, frozen=True):
    """A number with its name."""

    name: str
    """What it is."""
    text: str
    """The number, with its uncertainty where that is known."""
    size: float
    """How large it is; NaN: not known."""


def has_gap(state: RunState) -> bool:
    """Return whether training and inference mode ever differed, by more than rounding."""
    gaps, losses = state.gap_parts["gap"].values, state.gap_parts["inference"].values
    parts = [np.abs(state.gap_parts[name].values) for name in PARTS]
    # What is not finite is no equality.
    return bool(any((~(each <= _NOTHING * np.abs(losses))).any() for each in (np.abs(gaps), *parts)))


def drawn_parts(state: RunState) -> list[str]:
    """Return the gap and its parts by name, without those that this model does not have; empty without a probe."""
    if not state.probes:
        return []
    drawn = ["gap"]
    for name in PARTS:
        values = state.gap_parts[name].values
        if (name == "batch_norm" and state.layers) or np.any(values != 0):
            drawn.append(name)
    return drawn


def parts_of(probe: Probe, names: list[str], width: int = 40) -> list[Part]:
    """Return the gap and its parts.

    A part is a share of the gap with its standard error where shares have a meaning, else a loss with its own.

    Args:
        probe: The probe.
        names: The parts, as `drawn_parts` names them.
        width: Of the numbers, in cells: where one with its error is longer, the error of a loss is left out.
    """
    shares = gap_shares(probe)
    found = []
    for name in names:
        value = from_wire(getattr(probe, name))
        if shares is not None and name in shares:
            text = share_words(shares[name], share_error(probe, name))
        else:
            error = from_wire(probe.errors.get(name, probe.standard_error if name == "stochastic" else None))
            text = measured(value, error, signed=True) if error > 0 and math.isfinite(value) else signed(value)
            text = text if len(text) <= width else signed(value)
        found.append(Part(name, text, abs(value)))
    return found


def share_words(share: float, error: float) -> str:
    """Return a share with its standard error, both in per cent; NaN: the error is not known.

    Example:
        >>> share_words(0.723, 0.041), share_words(0.999, 0.0), share_words(0.001, 0.0004)
        ('72 ± 4 %', '100 %', '0 ± 1 %')
    """
    if not error > 0:
        return portion(share)
    return f"{round(100 * share)} ± {max(1, round(100 * error))} %"


def whole_of(state: RunState) -> tuple[Part, list[Part], str] | None:
    """Return `loss` − `val_loss` of the newest epoch that is taken apart, its parts, and why they are not known.

    Where no epoch is taken apart, it is that of the last one.

    The parts are those that are not nothing. Where they are not known, there is that of the data alone, which any probe
    measures, and a reason unless the difference is not worth a word. None without a validation.
    """
    ended = [state.epoch_metrics.get(name) for name in ("loss", "val_loss")]
    losses = [float(series.values[-1]) for series in ended if series is not None and len(series)]
    if len(losses) < 2:
        return None
    found = whole(state)
    if found is not None:
        newest = state.fits.epoch_words(int(state.epoch_numbers.values[-1]), int(state.epoch_numbers.steps[-1]))
        name = "loss - val_loss" if found.epoch_words == newest else f"loss - val_loss, {found.epoch_words}"
        difference = Part(name, _written(state, found.difference), abs(found.difference))
        return difference, _parts(state, found), ""
    value = losses[0] - losses[1]
    is_small = abs(value) <= ALIKE * max(map(abs, losses))
    why = "" if is_small else NOT_TAKEN_APART
    return Part("loss - val_loss", signed(value), abs(value)), _part_of_data(state), why


def _part_of_data(state: RunState) -> list[Part]:
    """Return what the newest probe tells of the data: the loss of training data minus that of validation data."""
    data = data_part(state.probes[-1]) if state.probes else None
    if data is None:
        return []
    return [Part("data", measured(-data.difference, data.error, signed=True), abs(data.difference))]


def _parts(state: RunState, found: Whole) -> list[Part]:
    parts = []
    for part in found.parts:
        if part.value or part.error > 0:
            error = f" ± {figure(float(f'{part.error:.2g}'))}" if part.error > 0 else ""
            name = PART_NAMES.get(part.name, _WHOLE_NAMES.get(part.name, part.name))
            name = "other weights, rest" if part.name == "rest" and found.has_other_weights else name
            parts.append(Part(name, _written(state, part.value) + error, abs(part.value)))
    return parts


def _written(state: RunState, value: float) -> str:
    scale = sums(state.probes[-1]).scale
    return scale.text(scale.units(value), signed=True)
