"""One metric of several runs in one chart: each run with a letter, a line and a colour of its own."""

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
from msgspec import Struct

from tuimon.numbers import count, number
from tuimon.plot.axes import Axis, decades_of, fitted_axis, ticks_in
from tuimon.plot.raster import ColumnExtremes, DotArray, XOf, braille, dashed, heights, line, mask, thinned, touched
from tuimon.plot.x_axis import XKind, whole_axis
from tuimon.text import plain
from tuimon.ui.charts.canvas import Canvas, Reduced, draw_empty, put_middle
from tuimon.ui.charts.reduced_curves import Plot, ReducedCurves
from tuimon.ui.drawing.cell_view import CellView, draw_panel
from tuimon.ui.drawing.cells import Cells, CharArray, cell_width, fit_end
from tuimon.ui.screens.compare.comparison import Comparison
from tuimon.ui.screens.compare.run_curves import MOST_IN_ONE, Points, RunCurves, code_of, letter_of, lower_is_better
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

PATTERNS = ("1", "111100", "100", "11111100100", "1100", "11111111100100100")
"""The pattern of each run's line, for `raster.dashed`."""

_NAMES_WIDTH = 3
_SAMPLE_COLUMNS = 8
_LETTER_EVERY = 30
"""Columns of cells between two letters on a curve."""
_ROOMY_HEIGHT = 16
"""A chart with this many rows has a line for each run in its legend."""
_COMPACT_WIDTH = 37
_STEEP_DOTS = 8
"""A column of more dots is drawn whole. Fewer would hide the patterns of noisy curves."""


class _Drawn(Struct, frozen=True):
    """A run in the chart."""

    slot: int
    run: RunCurves
    metric: str
    points: Points
    by_time: bool

    @property
    def key(self) -> tuple[int, str, str]:
        """Identifies the curve from one frame to the next."""
        return self.slot, self.run.name, self.metric

    @property
    def x_of(self) -> XOf | None:
        """Converts steps to x; None where x is the step."""
        return self.run.seconds if self.by_time else None

    @property
    def newest(self) -> float:
        """The x of the newest point."""
        last = self.points.steps[-1:]
        return float((last if self.x_of is None else self.x_of(last))[0])


class Overlay(CellView):
    """The chart, with a legend below it.

    Args:
        comparison: The runs.
        id: Of the widget.
    """

    def __init__(self, comparison: Comparison, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._comparison = comparison
        self._runs: Mapping[int, RunCurves] = {}
        self._by_time = False
        self._reduced = ReducedCurves()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the curves above the legend."""
        del moment
        self._runs, names = self._comparison.drawn.runs(), self._comparison.drawn.metrics()
        metric = self._comparison.drawn.shown_metric
        if metric is None:
            draw_empty(cells, "metrics", self._comparison.drawn.why_none)
            return
        if self._by_time != self._comparison.drawn.by_time:
            self._by_time = self._comparison.drawn.by_time
            self._reduced.forget()
        over = "time since training began" if self._by_time else "steps"
        place = (f"{names.index(metric) + 1} of {len(names)} metrics", int(Meaning.DIM))
        drawn = [
            _Drawn(slot, run, metric, points, self._by_time)
            for slot, run in sorted(self._runs.items())
            if (points := run.metrics.get(metric)) is not None and not (self._by_time and run.clock is None)
        ]
        legend = self._legend_rows(cells.width, cells.height)
        upper = Cells(cells.width, cells.height - legend)
        suffix = self._draw_chart(upper, drawn, metric)
        draw_panel(cells, f"{plain(metric, 60)} over {over}{suffix}", [place])
        inner = slice(1, upper.height - 1), slice(1, upper.width - 1)
        cells.chars[inner], cells.codes[inner] = upper.chars[inner], upper.codes[inner]
        self._draw_legend(cells, cells.height - 1 - legend, metric)

    def _draw_chart(self, cells: Cells, drawn: list[_Drawn], metric: str) -> str:
        """Draw axes and curves, and return the end of the title: the scale."""
        width = cells.width - 2 - _NAMES_WIDTH
        newest = max((curve.newest for curve in drawn), default=1.0)
        is_over = all(curve.run.is_over for curve in drawn)
        kind: XKind = "relative" if self._by_time else "step"
        below = whole_axis(kind, 0.0, newest, None, exact=is_over, ticks=ticks_in(width))
        if self._by_time:
            # A point may move: its time is interpolated between two lines of the log, and the next line may follow.
            self._reduced.forget()
        axis_of = partial(fitted_axis, log_decades=decades_of(metric))
        plot = self._reduced.lay_out(cells, width, below, lambda columns: self._of_each(drawn, below, columns), axis_of)
        if drawn and not plot.has_values:
            put_middle(cells, plot.why_none)
        if plot.canvas is not None:
            _draw_curves(plot.canvas, drawn, plot)
        return plot.suffix

    def _of_each(self, drawn: list[_Drawn], below: Axis, columns: int) -> list[Reduced]:
        return [
            (self._reduced.of(curve.key, points.steps, points.values, below, columns, curve.x_of, points.joins),)
            for curve, points in ((curve, curve.points) for curve in drawn)
        ]

    def _legend_rows(self, width: int, height: int) -> int:
        if height >= _ROOMY_HEIGHT:
            return len(self._runs) + 1
        a_row = max(1, (width - 4) // _COMPACT_WIDTH)
        return min(math.ceil(len(self._runs) / a_row), max(0, height - 7))

    def _draw_legend(self, cells: Cells, first: int, metric: str) -> None:
        lowest = lower_is_better(metric)
        word = "lowest" if lowest else "highest"
        if cells.height < _ROOMY_HEIGHT:
            a_row = max(1, (cells.width - 4) // _COMPACT_WIDTH)
            for index, (slot, run) in enumerate(sorted(self._runs.items())):
                row, column = first + index // a_row, 2 + index % a_row * _COMPACT_WIDTH
                if row < cells.height - 1:
                    self._draw_compact(cells, row, column, slot, run, metric, word)
            return
        room = cells.width - 4 - _SAMPLE_COLUMNS - 4 - 42
        widest = max((cell_width(plain(run.name)) for run in self._runs.values()), default=0)
        names = max(8, min(room, widest))
        numbers = 2 + 2 + _SAMPLE_COLUMNS + 2 + names + 2
        cells.put_right(first, numbers + 9, "newest", Meaning.DIM)
        cells.put_right(first, numbers + 20, word, Meaning.DIM)
        for row, (slot, run) in enumerate(sorted(self._runs.items()), start=first + 1):
            column = cells.put(row, 2, f"{letter_of(slot)} ", code_of(slot))
            sample = _sample(PATTERNS[slot], _SAMPLE_COLUMNS)
            cells.put(row, column, "".join(sample.tolist()), code_of(slot))
            cells.put(row, column + _SAMPLE_COLUMNS + 2, fit_end(plain(run.name), names), Meaning.TEXT)
            words = _why_no_numbers(run, metric, by_time=self._by_time)
            points = run.metrics.get(metric)
            if points is None or words:
                cells.put(row, numbers + 3, words, Meaning.DIM, width=cells.width - numbers - 4)
                continue
            cells.put_right(row, numbers + 9, number(points.newest()), Meaning.STRONG)
            best = points.best(lowest=lowest)
            if best is not None:
                cells.put_right(row, numbers + 20, number(best[1]), Meaning.STRONG)
                text = f"at step {count(best[0])}"
                cells.put(row, numbers + 22, text, Meaning.DIM, width=cells.width - numbers - 23)

    def _draw_compact(
        self, cells: Cells, row: int, column: int, slot: int, run: RunCurves, metric: str, word: str
    ) -> None:
        sample = "".join(_sample(PATTERNS[slot], 4).tolist())
        column = cells.put(row, column, f"{letter_of(slot)} {sample} ", code_of(slot))
        words = _why_no_numbers(run, metric, by_time=self._by_time)
        points = run.metrics.get(metric)
        if points is None or words:
            cells.put(row, column, words, Meaning.DIM, width=_COMPACT_WIDTH - 9)
            return
        column = cells.put(row, column, f"{number(points.newest(), 3):>7} ", Meaning.STRONG)
        best = points.best(lowest=word == "lowest")
        if best is not None:
            column = cells.put(row, column, f" {word} ", Meaning.DIM)
            cells.put(row, column, number(best[1], 3), Meaning.STRONG)


def _why_no_numbers(run: RunCurves, metric: str, *, by_time: bool) -> str:
    if run.trouble:
        return plain(run.trouble)
    if run.share is not None:
        return f"reading: {int(run.share * 100)} %"
    if metric not in run.metrics:
        return f"has no {plain(metric, 40)}"
    if by_time and run.clock is None:
        return "has no times"
    return ""


def _draw_curves(canvas: Canvas, drawn: list[_Drawn], plot: Plot) -> None:
    dots: DotArray = np.zeros((4 * canvas.rows, 2 * canvas.columns), dtype=bool)
    # The watched run last: it lies in front.
    for curve, (points,) in reversed(list(zip(drawn, plot.reduced, strict=True))):
        new = thinned(dashed(line(points, plot.values, canvas.rows), PATTERNS[curve.slot], steep=_STEEP_DOTS))
        dots |= new
        canvas.codes[touched(new)] = code_of(curve.slot)
    canvas.put_dots(dots)
    ends: list[tuple[int, int]] = []
    for curve, (points,) in zip(drawn, plot.reduced, strict=True):
        _put_letters(canvas, curve.slot, points, plot.values)
        canvas.mark_non_finite(points, code_of(curve.slot))
        if points.newest is not None:
            ends.append((_row_of(points.newest[1], plot.values, canvas.rows), curve.slot))
    _put_ends(canvas, ends)


def _put_letters(canvas: Canvas, slot: int, points: ColumnExtremes, values: Axis) -> None:
    """Write a run's letter onto its curve here and there, in columns of its own."""
    exits = points.exit.reshape(canvas.columns, 2)
    for column in range(4 + slot * (_LETTER_EVERY // MOST_IN_ONE), canvas.columns - 8, _LETTER_EVERY):
        value = exits[column][np.isfinite(exits[column])]
        if len(value):
            row = _row_of(float(value[-1]), values, canvas.rows)
            canvas.chars[row, column] = letter_of(slot)
            canvas.codes[row, column] = code_of(slot)


def _row_of(value: float, values: Axis, rows: int) -> int:
    """Return the row of cells in which a value's dot is."""
    return int(heights(np.array([value]), values, rows)[0] + 0.5) // 4


def _put_ends(canvas: Canvas, ends: list[tuple[int, int]]) -> None:
    """Write the letters right of the data, at the heights of the newest values, side by side where these meet."""
    column = canvas.column + canvas.columns + 1
    rows: dict[int, list[int]] = {}
    for row, slot in sorted(ends):
        while len(rows.get(row, [])) >= _NAMES_WIDTH - 1 and row < canvas.rows - 1:
            row += 1
        rows.setdefault(row, []).append(slot)
    for row, slots in rows.items():
        for index, slot in enumerate(slots[: _NAMES_WIDTH - 1]):
            canvas.cells.put(1 + row, column + index, letter_of(slot), code_of(slot))


def _sample(pattern: str, columns: int) -> CharArray:
    """Return a piece of a line in its pattern."""
    dots: DotArray = np.zeros((4, 2 * columns), dtype=bool)
    dots[2] = mask(pattern, 2 * columns)
    row: CharArray = braille(dots)[0]
    return row
