"""A chart: curves of braille cells in a panel, on axes that plotext drew."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from textual.events import Resize

from tuimon.series import IntArray
from tuimon.ui.axes import Axis, log_axis, step_axis, value_axis
from tuimon.ui.cell_view import CellView, draw_panel
from tuimon.ui.cells import Cells, wrap
from tuimon.ui.marks import Mark, marks
from tuimon.ui.moment import Moment
from tuimon.ui.palette import Meaning
from tuimon.ui.plot_frame import LABEL_WIDTH, plot_frame
from tuimon.ui.raster import ColumnExtremes, DotArray, band, braille, heights, line
from tuimon.wire import FloatArray

_MARK = "┊"
_NON_FINITE = "▲"


@dataclass(frozen=True)
class Curve:
    """One thing to draw in a chart."""

    name: str
    """What it is called at its end; empty for none."""
    steps: IntArray
    """Shape ``(points,)``, never descending."""
    values: FloatArray
    """Shape ``(points,)``; of a band, its lower edge."""
    meaning: Meaning
    """Its colour."""
    upper: FloatArray | None = None
    """The upper edge of a band; None for a line."""
    upper_name: str = ""
    """What the upper edge is called at its end."""
    over: Literal["merge", "replace"] = "merge"
    """Where it meets what is below it: both show, or only this."""


class Chart(CellView):
    """A panel with curves over steps. Subclasses say which.

    The points of each curve are reduced to columns once and kept: a new point costs the same in a run of
    any length.
    """

    names_width = 6
    """Room at the right, for the names of the curves."""
    log_decades = 2.0
    """The values' axis is logarithmic when all are above 0 and they span more than this."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._extremes: dict[tuple[str, int, int], ColumnExtremes] = {}

    def title(self, moment: Moment) -> str:
        """Return the panel's title."""
        raise NotImplementedError

    def legend(self, moment: Moment) -> list[tuple[str, int]]:
        """Return short texts with their colours for the upper edge of the panel."""
        raise NotImplementedError

    def curves(self, moment: Moment) -> list[Curve]:
        """Return what to draw, from the back to the front."""
        raise NotImplementedError

    def empty_words(self, moment: Moment) -> str:
        """Return what is said while there is nothing to draw."""
        raise NotImplementedError

    def forget(self) -> None:
        """Forget reduced points: the curves are of something else from now on."""
        self._extremes.clear()

    def on_resize(self, event: Resize) -> None:
        """Forget what was reduced to columns of another width."""
        self.forget()
        super().on_resize(event)

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the panel."""
        curves = [curve for curve in self.curves(moment) if len(curve.steps)]
        width, height = cells.width - 2 - self.names_width, cells.height - 2
        if not curves:
            draw_panel(cells, self.title(moment), [])
            lines = wrap(self.empty_words(moment), cells.width - 8)
            for index, text in enumerate(lines[: max(0, height)]):
                cells.put(max(1, (cells.height - len(lines)) // 2) + index, 4, text, Meaning.DIM)
            return
        steps = self._step_axis(moment, curves, width)
        values = self._value_axis(curves, steps, width, height)
        suffix = " (log)" if values.logarithmic else ""
        draw_panel(cells, self.title(moment) + suffix, self.legend(moment))
        frame, origin = plot_frame(width, height, steps, values)
        if not origin:
            return
        cells.chars[1 : 1 + height, 1 : 1 + width] = frame
        cells.codes[1 : 1 + height, 1 : 1 + width] = Meaning.DIM
        cells.codes[1:height, origin] = Meaning.FRAME
        cells.codes[height - 1, 1 + origin - 1 : 1 + width] = Meaning.FRAME
        canvas = _Canvas(cells, column=1 + origin, columns=width - origin, rows=height - 2)
        reduced = [self._reduced(curve, steps, canvas.columns) for curve in curves]
        canvas.draw(curves, reduced, values)
        canvas.mark(marks(moment.state), steps)
        canvas.name(curves, reduced, values, self.names_width)

    def _step_axis(self, moment: Moment, curves: list[Curve], width: int) -> Axis:
        state = moment.state
        last = max(state.step, *(int(curve.steps[-1]) for curve in curves))
        return step_axis(last, state.total_steps, exact=state.ended is not None, ticks=max(2, width // 16))

    def _value_axis(self, curves: list[Curve], steps: Axis, width: int, height: int) -> Axis:
        # Any number of columns knows the limits; nearly always it is the number that is drawn.
        columns = max(1, width - 1 - LABEL_WIDTH)
        limits = []
        for curve in curves:
            limits += [points.limits for points in self._reduced(curve, steps, columns)]
        known = [pair for pair in limits if pair is not None]
        if not known:
            return value_axis(0.0, 1.0, 2)
        low, high = min(pair[0] for pair in known), max(pair[1] for pair in known)
        ticks = max(2, min(8, height // 3))
        if low > 0 and math.log10(high) - math.log10(low) > self.log_decades:
            return log_axis(low, high, ticks)
        return value_axis(low, high, ticks)

    def _reduced(self, curve: Curve, steps: Axis, columns: int) -> tuple[ColumnExtremes, ...]:
        edges = (curve.values,) if curve.upper is None else (curve.values, curve.upper)
        return tuple(
            self._column_extremes((curve.name, index, columns), curve.steps, values, steps.last)
            for index, values in enumerate(edges)
        )

    def _column_extremes(
        self, key: tuple[str, int, int], steps: IntArray, values: FloatArray, last: float
    ) -> ColumnExtremes:
        points = self._extremes.get(key)
        if points is None or points.last != last or points.consumed > len(steps):
            points = self._extremes[key] = ColumnExtremes(2 * key[2], last)
        points.update(steps, values)
        return points


class _Canvas:
    """The part of a panel's cells that holds the data."""

    def __init__(self, cells: Cells, column: int, columns: int, rows: int) -> None:
        self.cells = cells
        self.column = column
        self.columns = columns
        self.rows = rows
        area = slice(1, 1 + rows), slice(column, column + columns)
        self.chars = cells.chars[area]
        self.codes = cells.codes[area]

    def draw(self, curves: list[Curve], reduced: list[tuple[ColumnExtremes, ...]], values: Axis) -> None:
        """Draw the curves, from the back to the front, and what was not finite."""
        dots: DotArray = np.zeros((4 * self.rows, 2 * self.columns), dtype=bool)
        for curve, points in zip(curves, reduced, strict=True):
            first, *others = points
            new = band(first, others[0], values, self.rows) if others else line(first, values, self.rows)
            touched = new.reshape(self.rows, 4, self.columns, 2).any(axis=(1, 3))
            if curve.over == "replace":
                dots &= ~np.repeat(np.repeat(touched, 4, axis=0), 2, axis=1)
            dots |= new
            self.codes[touched] = curve.meaning
        characters = braille(dots)
        self.chars[characters != " "] = characters[characters != " "]
        for points in reduced:
            for extremes in points:
                bad = extremes.non_finite.reshape(self.columns, 2).any(axis=1)
                self.chars[0, bad] = _NON_FINITE
                self.codes[0, bad] = Meaning.ERROR

    def mark(self, wanted: list[Mark], steps: Axis) -> None:
        """Mark steps: a line behind the data, and a word at the axis."""
        labels = 1 + self.rows + 1
        free_until = self.columns
        # The newest first: where words would meet, it is the older one that goes without.
        for mark in reversed(wanted):
            position = float(steps.positions(np.array([float(mark.step)]))[0])
            column = round(position * (2 * self.columns - 1)) // 2
            if not 0 <= column < self.columns:
                continue
            blank = self.chars[:, column] == " "
            self.chars[blank, column] = _MARK
            self.codes[blank, column] = Meaning.COMMAND
            word = f"▲ {mark.word}"
            begin = column
            if begin >= free_until:
                continue
            if begin + len(word) > self.columns and begin + 1 >= len(word):
                # At the right edge, where the newest one mostly is, the word stands on the other side.
                word = f"{mark.word} ▲"
                begin -= len(word) - 1
            elif begin + len(word) > free_until:
                word = "▲"
            self._clear_label(labels, begin, begin + len(word))
            self.cells.put(labels, self.column + begin, word, Meaning.COMMAND)
            free_until = begin - 1

    def name(
        self, curves: list[Curve], reduced: list[tuple[ColumnExtremes, ...]], values: Axis, names_width: int
    ) -> None:
        """Write the names of the curves at the height of their newest values, right of the data."""
        wanted: list[tuple[float, str, Meaning]] = []
        for curve, points in zip(curves, reduced, strict=True):
            for extremes, name in zip(points, (curve.name, curve.upper_name), strict=False):
                if name and extremes.newest:
                    height = heights(np.array([extremes.newest[1]]), values, self.rows)[0]
                    wanted.append((float(height) / 4, name, curve.meaning))
        wanted.sort(key=lambda item: item[0])
        rows: list[int] = []
        for height, _, _ in wanted:
            rows.append(max(int(height), rows[-1] + 1 if rows else 0))
        # Pushed down below the last row, they are pushed up again.
        for index in range(len(rows) - 1, -1, -1):
            limit = self.rows - 1 if index == len(rows) - 1 else rows[index + 1] - 1
            rows[index] = min(rows[index], limit)
        for row, (_, name, meaning) in zip(rows, wanted, strict=True):
            if row >= 0:
                self.cells.put(1 + row, self.column + self.columns + 1, name, meaning, width=names_width - 1)

    def _clear_label(self, row: int, begin: int, end: int) -> None:
        """Blank whole words of the axis that a mark's word would touch."""
        texts = self.cells.chars[row, self.column : self.column + self.columns]
        codes = self.cells.codes[row, self.column : self.column + self.columns]
        while begin > 0 and texts[begin - 1] != " " and codes[begin - 1] != Meaning.COMMAND:
            begin -= 1
        while end < self.columns and texts[end] != " " and codes[end] != Meaning.COMMAND:
            end += 1
        texts[begin:end] = " "
