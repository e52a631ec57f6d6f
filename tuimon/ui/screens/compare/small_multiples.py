"""One metric of many runs: a small chart each, all with the same axes, and in each the curve of the baseline."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from textual.geometry import Region

from tuimon.numbers import duration, number, tick
from tuimon.plot.axes import Axis, decades_of, fitted_axis, ticks_in
from tuimon.plot.raster import ColumnExtremes, DotArray, braille, dashed, line, thinned, touched
from tuimon.plot.x_axis import XKind, whole_axis
from tuimon.text import plain
from tuimon.ui.charts.canvas import draw_empty
from tuimon.ui.charts.reduced_curves import ReducedCurves
from tuimon.ui.drawing.cell_view import CellView, draw_panel
from tuimon.ui.drawing.cells import Cells, cell_width, fit_end
from tuimon.ui.drawing.names import short_names
from tuimon.ui.screens.compare.comparison import Comparison
from tuimon.ui.screens.compare.run_curves import RunCurves, letter_of, lower_is_better
from tuimon.ui.viewer.meanings import RUN, SELECTED, Meaning
from tuimon.ui.viewer.moment import Moment

_LEAST_WIDTH, _LEAST_HEIGHT = 18, 4
"""The least cells of a chart with its title."""
_SHAPE = 3.2
"""A chart that is this many times as wide as high, in cells, is easy to read."""
_DASHES = "1100"
"""The line of the baseline, for `raster.dashed`."""
_STEEP_DOTS = 8
"""A column of more dots is drawn whole."""


class Grid(NamedTuple):
    """How charts are laid out."""

    rows: int
    columns: int

    @property
    def places(self) -> int:
        """How many charts there is room for."""
        return self.rows * self.columns


def grid_for(charts: int, width: int, height: int) -> Grid:
    """Return the grid whose charts are the easiest to read; with too many charts, the one with the most places.

    Example:
        >>> grid_for(9, 120, 30), grid_for(300, 78, 20)
        (Grid(rows=3, columns=3), Grid(rows=5, columns=4))
    """
    most = Grid(max(1, height // _LEAST_HEIGHT), max(1, width // _LEAST_WIDTH))
    if charts >= most.places:
        return most
    # A column more that needs as many rows would only leave places empty.
    fitting = [
        Grid(rows, columns)
        for columns in range(1, most.columns + 1)
        if (rows := -(-charts // columns)) <= most.rows and (columns == 1 or -(-charts // (columns - 1)) > rows)
    ]
    # Each doubling away from the wanted shape counts the same, whichever way.
    return min(fitting, key=lambda grid: abs(np.log((width / grid.columns) / (height / grid.rows) / _SHAPE)))


class SmallMultiples(CellView):
    """The charts of the runs that are drawn, in the order of the list, on pages where there are too many.

    Args:
        comparison: The runs.
        id: Of the widget.
    """

    def __init__(self, comparison: Comparison, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.selected: Path | None = None
        """The run under the cursor of the list: its page is shown."""
        self._comparison = comparison
        self._reduced = ReducedCurves()
        self._page = 0
        self._shown: tuple[object, ...] = ()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw a page of charts."""
        del moment
        known, metric = self._comparison, self._comparison.drawn.shown_metric
        if metric is None:
            draw_empty(cells, "metrics", known.drawn.why_none)
            return
        paths = known.drawn_in_order()
        grid = grid_for(len(paths), cells.width - 2, cells.height - 2)
        width, height = (cells.width - 2) // grid.columns, (cells.height - 2) // grid.rows
        if width < 4 or height < 2:
            draw_panel(cells, plain(metric, 60))
            return
        pages = -(-len(paths) // grid.places)
        if self.selected in paths:
            self._page = paths.index(self.selected) // grid.places
        self._page = min(self._page, pages - 1)
        page = paths[self._page * grid.places : (self._page + 1) * grid.places]
        axes = self._axes(paths, metric, width - 1, height - 1)
        over = "time" if known.drawn.by_time else "steps"
        first = self._page * grid.places + 1
        extra = [(self._axes_in_words(*axes), int(Meaning.DIM))]
        if pages > 1:
            extra.append((f"{first}–{first + len(page) - 1} of {len(paths)}", int(Meaning.DIM)))
        draw_panel(cells, f"{plain(metric, 40)} over {over}{' (log)' if axes[1].logarithmic else ''}", extra)
        if known.baseline is not None:
            words = f" dashed: the baseline, {plain(known.baseline.name, 60)} "
            cells.put(cells.height - 1, 2, words, Meaning.DIM, width=cells.width - 4)
        names = dict(zip(paths, short_names([path.name for path in paths]), strict=True))
        for index, path in enumerate(page):
            row, column = divmod(index, grid.columns)
            area = Region(1 + column * width, 1 + row * height, width - 1, height)
            self._draw_title(cells, area, path, names[path], metric)
            if height > 1:
                self._draw_chart(cells, area, path, metric, axes)

    def _axes(self, paths: Sequence[Path], metric: str, columns: int, rows: int) -> tuple[Axis, Axis]:
        """Return the axes of x and of the values that hold all runs, on whichever page."""
        known = self._comparison
        runs = [known.drawn.curves[path] for path in paths]
        ends = [
            float((run.seconds if known.drawn.by_time else np.asarray)(points.steps[-1:])[0])
            for run in runs
            if (points := run.metrics.get(metric)) is not None
        ]
        kind: XKind = "relative" if known.drawn.by_time else "step"
        is_over = all(run.is_over for run in runs)
        x = whole_axis(kind, 0.0, max(ends, default=1.0), None, exact=is_over, ticks=ticks_in(columns))
        if (shown := (metric, known.drawn.by_time)) != self._shown or known.drawn.by_time:
            # A time may move: it is interpolated between two lines of the log, and the next line may follow.
            self._shown = shown
            self._reduced.forget()
        found = [self._points(path, metric, x, columns) for path in paths]
        reduced = [each for each in found if each is not None]
        limits, decades = [points.limits for points in reduced], decades_of(metric)
        return x, fitted_axis(limits, [points.log_limits for points in reduced], max(2, rows), log_decades=decades)

    def _points(self, path: Path, metric: str, x: Axis, columns: int) -> ColumnExtremes | None:
        run = self._comparison.drawn.curves[path]
        points = run.metrics.get(metric)
        if points is None:
            return None
        x_of = run.seconds if self._comparison.drawn.by_time else None
        return self._reduced.of((path, metric), points.steps, points.values, x, columns, x_of, points.joins)

    def _axes_in_words(self, x: Axis, values: Axis) -> str:
        end = duration(x.last) if self._comparison.drawn.by_time else tick(x.last, max(1.0, x.last / 100))
        return f"{number(values.first, 3)} to {number(values.last, 3)}, 0 to {end}"

    def _draw_title(self, cells: Cells, area: Region, path: Path, name: str, metric: str) -> None:
        run, slot = self._comparison.drawn.curves[path], self._comparison.drawn.slots[path]
        code = SELECTED if path == self.selected else 0
        cells.codes[area.y, area.x : area.right] = code
        value = self._value(run, metric)
        room = area.width - 2 - (cell_width(value) + 1 if value else 0)
        cells.put(area.y, area.x, f"{letter_of(slot)} ", RUN | code)
        cells.put(area.y, area.x + 2, fit_end(plain(name), room), (Meaning.STRONG if code else Meaning.TEXT) | code)
        cells.put_right(area.y, area.right, value, Meaning.DIM | code)

    def _draw_chart(self, cells: Cells, area: Region, path: Path, metric: str, axes: tuple[Axis, Axis]) -> None:
        x, values = axes
        rows, columns = area.height - 1, area.width
        dots: DotArray = np.zeros((4 * rows, 2 * columns), dtype=bool)
        place = slice(area.y + 1, area.bottom), slice(area.x, area.right)
        baseline = self._comparison.baseline
        behind = baseline.path if baseline is not None else None
        if behind is not None and behind != path and behind in self._comparison.drawn.curves:
            points = self._points(behind, metric, x, columns)
            if points is not None:
                dots = thinned(dashed(line(points, values, rows), _DASHES, steep=_STEEP_DOTS))
                cells.codes[place][touched(dots)] = Meaning.DIM
        points = self._points(path, metric, x, columns)
        if points is not None:
            new = line(points, values, rows)
            dots |= new
            cells.codes[place][touched(new)] = Meaning.KEY if path == behind else RUN
        cells.chars[place] = braille(dots)
        if points is not None and points.limits is None and points.non_finite.any():
            cells.put(area.y + area.height // 2, area.x, fit_end("no finite value", columns), Meaning.DIM)
        elif points is not None and points.non_finite.any():
            bad = points.non_finite.reshape(columns, 2).any(axis=1)
            cells.chars[place][0, bad], cells.codes[place][0, bad] = "▲", Meaning.ERROR

    def _value(self, run: RunCurves, metric: str) -> str:
        if run.trouble:
            return "✗"
        if run.share is not None:
            return f"{int(run.share * 100)} %"
        points = run.metrics.get(metric)
        best = points.best(lowest=lower_is_better(metric)) if points is not None else None
        return "–" if best is None else number(best[1], 3)
