"""The chart of the gap between training mode and inference mode, and of its parts."""

import numpy as np

from tuimon.diagnosis.gap.shares import PARTS, gap_shares
from tuimon.plot.numbers import negative, percent, signed
from tuimon.protocol.wire import from_wire
from tuimon.runs.facts_in_words import PART_NAMES
from tuimon.ui.charts.canvas import Canvas, Curve, Dash
from tuimon.ui.charts.reduced_curves import Plot
from tuimon.ui.charts.step_chart import StepChart
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment, no_probe_words

_VALUE_WIDTH = 7
_NAME_WIDTH = max(map(len, PART_NAMES.values()))
_BESIDE_WIDTH = _VALUE_WIDTH + _NAME_WIDTH + 6
"""Room for a sign, a name and its number on one line."""
_ABOVE_WIDTH = _NAME_WIDTH + 3
"""Room for a sign and a name, with the number on the next line."""
_WIDE = 60
"""A panel this wide has name and number on one line."""

_SIGNS = {
    "gap": ("●", "gap", Meaning.GAP),
    "batch_norm": ("◆", PART_NAMES["batch_norm"], Meaning.BATCH_NORM_PART),
    "stochastic": ("○", PART_NAMES["stochastic"], Meaning.STOCHASTIC_PART),
    "other": ("×", PART_NAMES["other"], Meaning.OTHER_PART),
}
"""Sign, word and colour of each field of a probe."""
_DASHES: dict[str, Dash] = {"stochastic": "dashed", "other": "dotted"}


class GapChart(StepChart):
    """The gap of each probe as a line, its part from BatchNormalization as an area from 0 on, other parts as dashes."""

    about = (
        "Loss in training mode minus loss in inference mode, on the same held batches, and what makes it. "
        "g measures it now."
    )

    from_zero = True

    def title(self, moment: Moment) -> str:
        """Return the name of the gap."""
        del moment
        return "train - inference gap"

    def legend(self, moment: Moment) -> list[tuple[str, int]]:
        """Return the two losses of the newest probe."""
        if not moment.state.probes:
            return []
        probe = moment.state.probes[-1]
        return [
            (f"train {negative(from_wire(probe.train)):<7}", int(Meaning.TRAINING)),
            (f"inference {negative(from_wire(probe.inference)):<7}", int(Meaning.INFERENCE)),
        ]

    def curves(self, moment: Moment) -> list[Curve]:
        """Return the parts of the gap that this model has, and the gap in front of them."""
        found: list[Curve] = []
        for name in reversed(_drawn(moment)):
            series = moment.state.gap_parts[name]
            sign, _, meaning = _SIGNS[name]
            steps, values = series.steps, series.values
            if name == "batch_norm":
                lower, upper = np.minimum(values, 0.0), np.maximum(values, 0.0)
                found.insert(0, Curve(name, steps, lower, meaning, upper=upper, fill="hatch"))
                # The signs stand on the line: a negative part has its line below 0.
                found.append(Curve(f"{name} line", steps, values, meaning, dash="dotted", sign=sign))
            elif name == "gap":
                found.append(Curve(name, steps, values, meaning, over="replace", sign=sign))
            else:
                found.append(Curve(name, steps, values, meaning, over="replace", dash=_DASHES[name], sign=sign))
        return found

    def empty_words(self, moment: Moment) -> str:
        """Say when the first probe comes."""
        return no_probe_words(moment)

    def room_for_names(self, width: int) -> int:
        """Return the width of the newest numbers."""
        return _BESIDE_WIDTH if width >= _WIDE else _ABOVE_WIDTH

    def draw_names(self, canvas: Canvas, plot: Plot, curves: list[Curve], moment: Moment) -> None:
        """Write the numbers of the newest probe, each beside the sign of its line."""
        del plot, curves
        probe = moment.state.probes[-1]
        shares = gap_shares(probe)
        beside = canvas.cells.width >= _WIDE
        left, right = canvas.column + canvas.columns + (2 if beside else 1), canvas.cells.width - 2
        row = 1
        for name in _drawn(moment):
            sign, word, meaning = _SIGNS[name]
            value = from_wire(getattr(probe, name))
            text = percent(shares[name]) if shares is not None and name in shares else signed(value)
            if row + (not beside) > canvas.rows:
                return
            canvas.cells.put(row, left, f"{sign} {word}", meaning)
            if not beside:
                row += 1
            canvas.cells.put_right(row, right, text, Meaning.TEXT)
            row += 1


def _drawn(moment: Moment) -> list[str]:
    """Return the gap and its parts, without those that this model does not have."""
    state = moment.state
    if not state.probes:
        return []
    drawn = ["gap"]
    for name in PARTS:
        values = state.gap_parts[name].values
        if (name == "batch_norm" and state.layers) or np.any(values != 0):
            drawn.append(name)
    return drawn
