"""The chart of the gap between training mode and inference mode, and of its parts."""

import numpy as np

from tuimon.numbers import number
from tuimon.plot.run_joins import joins_of
from tuimon.protocol.wire import from_wire
from tuimon.runs.facts_in_words import PART_NAMES
from tuimon.ui.charts.canvas import Canvas, Curve, Dash
from tuimon.ui.charts.reduced_curves import Plot
from tuimon.ui.charts.step_chart import StepChart
from tuimon.ui.drawing.cells import Cells, wrap
from tuimon.ui.screens.dashboard.gap_line import draw_gap_lines
from tuimon.ui.screens.dashboard.gap_words import SIGNS, drawn_parts, has_gap, parts_of, whole_of
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment, no_probe_words, probe_words

_NAME_WIDTH = max(map(len, PART_NAMES.values()))
_VALUE_WIDTH = 9
"""Room for a share with its standard error; of a value that is longer with its own, the value alone is written."""
_BESIDE_WIDTH = _VALUE_WIDTH + _NAME_WIDTH + 6
"""Room for a sign, a name and its number on one line."""
_ABOVE_WIDTH = _NAME_WIDTH + 3
"""Room for a sign and a name, with the number on the next line."""
_WIDE = 60
"""A panel this wide has name and number on one line."""
_VERY_WIDE, _WHOLE_WIDTH = 78, 38
"""A panel this wide has so much room beside the chart: each number has its error, and the difference of `loss` and
`val_loss` is taken apart below them."""
_LEAST_HEIGHT, _LEAST_WIDTH = 8, 44
"""A smaller panel has no chart: lines tell more."""
_LONG_TITLE = 80
"""A panel this wide has room for the long name, and for both losses."""
_DASHES: dict[str, Dash] = {"stochastic": "dashed", "other": "dotted"}


class GapChart(StepChart):
    """The gap of each probe as a line, its part from BatchNormalization as an area from 0 on, other parts as dashes.

    In a small panel, before the first probe, and for a model that computes the same in both modes: a few lines.
    """

    about = (
        "Loss in training mode minus loss in inference mode, on the same held batches, and what makes it. "
        "g measures it now. Below it, what the loss minus val_loss of the last epoch is made of. ± is a standard error."
    )

    from_zero = True

    def title(self, moment: Moment) -> str:
        """Return the name of the gap, a short one where the two losses stand beside it, and where it was measured."""
        if not moment.state.probes:
            return "train - inference gap"
        return f"{'gap' if self.size.width < _LONG_TITLE else 'train - inference gap'}, {probe_words(moment.state)}"

    def legend(self, moment: Moment) -> list[tuple[str, int]]:
        """Return the two losses of the newest probe."""
        if not moment.state.probes:
            return []
        probe = moment.state.probes[-1]
        return [
            (f"train {number(from_wire(probe.train)):<7}", int(Meaning.TRAINING)),
            (f"inference {number(from_wire(probe.inference)):<7}", int(Meaning.INFERENCE)),
        ]

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the chart, or lines where it would say less."""
        if cells.height < _LEAST_HEIGHT or cells.width < _LEAST_WIDTH or not has_gap(moment.state):
            draw_gap_lines(cells, self.title(moment), self.legend(moment), moment)
        else:
            super().draw(cells, moment)

    def curves(self, moment: Moment) -> list[Curve]:
        """Return the parts of the gap that this model has, and the gap in front of them."""
        found: list[Curve] = []
        joins = joins_of(moment.state)
        for name in reversed(drawn_parts(moment.state)):
            series = moment.state.gap_parts[name]
            sign, _, meaning = SIGNS[name]
            steps, values = series.steps, series.values
            if name == "batch_norm":
                lower, upper = np.minimum(values, 0.0), np.maximum(values, 0.0)
                found.insert(0, Curve(name, steps, lower, meaning, upper=upper, fill="hatch", joins=joins))
                # The signs stand on the line: a number part has its line below 0.
                found.append(Curve(f"{name} line", steps, values, meaning, dash="dotted", sign=sign, joins=joins))
            elif name == "gap":
                found.append(Curve(name, steps, values, meaning, over="replace", sign=sign, joins=joins))
            else:
                dash = _DASHES[name]
                found.append(Curve(name, steps, values, meaning, over="replace", dash=dash, sign=sign, joins=joins))
        return found

    def empty_words(self, moment: Moment) -> str:
        """Say when the first probe comes."""
        return no_probe_words(moment)

    def room_for_names(self, width: int) -> int:
        """Return the width of the newest numbers."""
        return _WHOLE_WIDTH if width >= _VERY_WIDE else _BESIDE_WIDTH if width >= _WIDE else _ABOVE_WIDTH

    def draw_names(self, canvas: Canvas, plot: Plot, curves: list[Curve], moment: Moment) -> None:
        """Write the numbers of the newest probe, each beside the sign of its line; below, `loss` − `val_loss`."""
        del plot, curves
        state = moment.state
        is_very_wide, beside = canvas.cells.width >= _VERY_WIDE, canvas.cells.width >= _WIDE
        left, right = canvas.column + canvas.columns + (2 if beside else 1), canvas.cells.width - 2
        room = right - left - _NAME_WIDTH - 3 if beside else right - left
        row = 1
        for part in parts_of(state.probes[-1], drawn_parts(state), room):
            sign, word, meaning = SIGNS[part.name]
            if row + (not beside) > canvas.rows:
                return
            canvas.cells.put(row, left, f"{sign} {word}", meaning)
            if not beside:
                row += 1
            canvas.cells.put_right(row, right, part.text, Meaning.TEXT)
            row += 1
        if is_very_wide:
            _draw_whole(canvas.cells, row + 1, 1 + canvas.rows, left, right, moment)


def _draw_whole(cells: Cells, row: int, below: int, left: int, right: int, moment: Moment) -> None:
    """Write what `loss` − `val_loss` is made of, from ``row`` to above ``below``: the largest parts that fit."""
    found = whole_of(moment.state)
    if found is None or row >= below:
        return
    difference, parts, why = found
    cells.put(row, left, difference.name, Meaning.VALIDATION)
    cells.put_right(row, right, difference.text, Meaning.TEXT)
    room = max(0, below - row - 1)
    kept = sorted(parts, key=lambda part: -part.size)[:room]
    for at, part in enumerate((part for part in parts if part in kept), start=row + 1):
        cells.put(at, left + 2, part.name, Meaning.DIM)
        cells.put_right(at, right, part.text, Meaning.TEXT)
    for at, words in enumerate(wrap(why, right - left - 2) if why else (), start=row + 1 + len(kept)):
        cells.put(at if at < below else -1, left + 2, words, Meaning.DIM)
