"""The numbers of a metric that is shown in full."""

import numpy as np

from tuimon.numbers import count, number
from tuimon.plot.raster import XOf, steps_within
from tuimon.plot.x_axis import words
from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray
from tuimon.ui.charts.metric_lines import lines_of
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.screens.metrics.metric_chart import READ_DIGITS, MetricChart
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment


class Statistics(CellView):
    """Numbers of the metric that is shown in full, of the visible part of x."""

    chart: MetricChart | None = None
    """The chart of that metric."""

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw a table with a line for each curve."""
        if self.chart is None:
            return
        window, to_x = self.chart.viewport.window(self.chart.whole(moment)), self.chart.to_x(moment)
        columns = (("", 8), ("newest", 12), ("smallest", 12), ("at", 16), ("largest", 12), ("at", 16), ("mean", 12))
        column = 2
        for heading, width in (*columns, ("values", 10)):
            if column + width > cells.width:
                break
            cells.put(0, column, heading, Meaning.DIM, width=width - 1)
            column += width
        for row, line in enumerate(lines_of(moment.state, self.chart.metric), start=1):
            if row >= cells.height:
                break
            inside = steps_within(line.series.steps, *window, to_x)
            cells.put(row, 2, line.name, line.meaning)
            steps, values = line.series.steps[inside], line.series.values[inside]
            thinned = moment.state.thinned_before if line.can_be_smoothed else None
            is_whole = thinned is None or not len(steps) or int(steps[0]) >= thinned
            self._draw_numbers(cells, row, steps, values, to_x, is_whole=is_whole)

    def _draw_numbers(
        self, cells: Cells, row: int, steps: IntArray, values: FloatArray, to_x: XOf, *, is_whole: bool
    ) -> None:
        assert self.chart is not None
        finite = np.isfinite(values)
        shown = ["–"] * 6
        if finite.any():
            # Of a long run, a copy of the values takes a lot of memory.
            known = values if finite.all() else values[finite]
            low, high = int(np.argmin(known)), int(np.argmax(known))
            if known is not values:
                low, high = (int(np.flatnonzero(finite)[place]) for place in (low, high))
            x = {place: float(to_x(steps[place : place + 1])[0]) for place in (low, high)}
            kind = self.chart.viewport.x
            shown = [
                number(float(values[-1]), READ_DIGITS),
                number(float(values[low]), READ_DIGITS),
                words(kind, x[low]),
                number(float(values[high]), READ_DIGITS),
                words(kind, x[high]),
                # Of extremes alone it would be another one.
                number(float(known.mean()), READ_DIGITS) if is_whole else "–",
            ]
        column = 10
        for text, width in zip(shown, (12, 12, 16, 12, 16, 12), strict=True):
            if column + width > cells.width:
                return
            cells.put(row, column, text, Meaning.TEXT, width=width - 1)
            column += width
        bad = len(values) - int(finite.sum())
        held = count(len(values)) + ("" if is_whole else " kept")
        cells.put(row, column, held, Meaning.TEXT)
        told = f"{count(bad)} not finite"
        # Half a number would be another number.
        if bad and column + len(held) + 2 + len(told) <= cells.width:
            cells.put(row, column + len(held) + 2, told, Meaning.ERROR)
