"""Curves, drawn into the cells of a panel."""

from typing import Literal

import numpy as np
from msgspec import Struct

from tuimon.numbers import learning_rate, number
from tuimon.plot.axes import Axis
from tuimon.plot.joins import JOINED, Joins
from tuimon.plot.raster import ColumnExtremes, DotArray, Fill, band, braille, dashed, heights, line, thinned, touched
from tuimon.plot.request_marks import Mark
from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray
from tuimon.ui.charts.axes_frame import plot_frame
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, wrap
from tuimon.ui.viewer.meanings import Meaning

_MARK = "┊"
_NON_FINITE = "▲"
_DASHES = {"dashed": "111100", "dotted": "1000"}
"""The pattern of each dash, for `raster.dashed`."""
_TURN = 2
"""Two lines that share cells change colour after this many cells."""
_FEW = 4
"""Each point has its sign where a point has at least this many columns; else only the newest point has one."""
_LEGEND_WIDTH = 8
"""Width of a number in a legend: the number keeps its place as it changes."""

RATE = "lr"
"""The name of the curve of the learning rate."""

Dash = Literal["solid", "dashed", "dotted"]

Reduced = tuple[ColumnExtremes, ...]
"""The points of a curve by columns: one set for a line, two for the lower and the upper edge of a band."""


class Curve(Struct, frozen=True):
    """One thing to draw in a chart."""

    name: str
    """The name at its end; empty for none."""
    steps: IntArray
    """The steps, never descending, shape ``(points,)``."""
    values: FloatArray
    """The values, or the lower edge of a band; shape ``(points,)``."""
    meaning: Meaning
    """Its colour."""
    upper: FloatArray | None = None
    """The upper edge of a band; None for a line."""
    upper_name: str = ""
    """The name at the end of the upper edge."""
    over: Literal["merge", "replace"] = "merge"
    """Whether a cell shared with a curve behind shows both curves or only this one."""
    gives_way: bool = False
    """True: drawn thinly, and only in cells without other curves. Noise would hide the smooth curve."""
    fill: Fill = "dense"
    """How a band is filled between its edges."""
    dash: Dash = "solid"
    """Tells curves apart without colour."""
    sign: str = ""
    """The sign at each point, where points are few; empty for none."""
    joins: Joins = JOINED
    """Which of its points are joined."""


class Canvas:
    """The part of a panel's cells that holds the data.

    Args:
        cells: The cells of the panel.
        column: The panel's column where the data begin.
        columns: How many columns of cells hold data.
        rows: How many rows, from the panel's second one on.
    """

    def __init__(self, cells: Cells, column: int, columns: int, rows: int) -> None:
        self.cells = cells
        self.column = column
        self.columns = columns
        self.rows = rows
        area = slice(1, 1 + rows), slice(column, column + columns)
        self.chars = cells.chars[area]
        self.codes = cells.codes[area]

    def draw(self, curves: list[Curve], reduced: list[Reduced], values: Axis) -> None:
        """Draw the curves from the back to the front, and mark values that are not finite."""
        dots: DotArray = np.zeros((4 * self.rows, 2 * self.columns), dtype=bool)
        behind = dots.copy()
        taken = np.zeros((self.rows, self.columns), dtype=bool)
        # Lines so near each other that they share cells take turns with their colours.
        turn = np.arange(self.columns) // _TURN % 2 == 0
        for curve, points in zip(curves, reduced, strict=True):
            first, *others = points
            new = band(first, others[0], values, self.rows, curve.fill) if others else line(first, values, self.rows)
            if curve.dash != "solid":
                new = dashed(new, _DASHES[curve.dash])
            in_cells = touched(new)
            shared = taken & (curve.over == "merge")
            self.codes[in_cells & (~shared | turn)] = curve.meaning
            if curve.gives_way:
                behind |= thinned(new)
                continue
            there = np.repeat(np.repeat(in_cells, 4, axis=0), 2, axis=1)
            behind &= ~there
            if curve.over == "replace":
                dots &= ~there
            dots |= new
            if not others:
                taken |= in_cells
        self.put_dots(dots | behind)
        for curve, points in zip(curves, reduced, strict=True):
            if curve.sign:
                self._put_signs(curve, points[-1], values)
        for points in reduced:
            for extremes in points:
                self.mark_non_finite(extremes, Meaning.ERROR)

    def put_dots(self, dots: DotArray) -> None:
        """Write dots as characters. Cells without dots keep their characters."""
        characters = braille(dots)
        self.chars[characters != " "] = characters[characters != " "]

    def mark_non_finite(self, points: ColumnExtremes, code: int) -> None:
        """Mark the columns with a value that is not finite."""
        bad = points.non_finite.reshape(self.columns, 2).any(axis=1)
        self.chars[0, bad] = _NON_FINITE
        self.codes[0, bad] = code

    def _put_signs(self, curve: Curve, points: ColumnExtremes, values: Axis) -> None:
        present = np.flatnonzero(np.isfinite(points.exit))
        if len(present) * _FEW > self.columns:
            present = present[-1:]
        rows = heights(points.exit[present], values, self.rows).astype(np.int64) // 4
        self.chars[rows, present // 2] = curve.sign
        self.codes[rows, present // 2] = curve.meaning

    def mark(self, wanted: list[Mark], steps: Axis) -> None:
        """Mark steps with a line behind the data and a word in the panel's lower edge, where no tick is hidden."""
        edge = self.cells.height - 1
        at = [
            round(float(steps.positions(np.array([float(mark.step)]))[0]) * (2 * self.columns - 1)) // 2
            for mark in wanted
        ]
        places = [(column, mark.word) for column, mark in zip(at, wanted, strict=True) if 0 <= column < self.columns]
        free_until = self.columns
        # The newest first: where words would meet, the older one is left out.
        for index, (column, word) in reversed(list(enumerate(places))):
            blank = self.chars[:, column] == " "
            self.chars[blank, column] = _MARK
            self.codes[blank, column] = Meaning.COMMAND
            if column >= free_until:
                continue
            before = places[index - 1][0] + 1 if index else 0
            text, begin = f"▲ {word} ", column
            if column + len(text) > self.columns and before < column - len(word) - 1:
                # At the right edge, the usual place of the newest mark, the word stands left of it.
                text, begin = f" {word} ▲", column - len(word) - 2
            elif column + len(text) > free_until:
                # Only whole words: half a number would be another number.
                head = word[: max(0, free_until - column - 4)].rpartition(" ")[0]
                text = f"▲ {head.rstrip(',')}… " if head else "▲"
            self.cells.put(edge, self.column + begin, text, Meaning.COMMAND)
            free_until = begin

    def name(self, curves: list[Curve], reduced: list[Reduced], values: Axis, names_width: int) -> None:
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
        # Names below the last row move up again.
        for index in range(len(rows) - 1, -1, -1):
            limit = self.rows - 1 if index == len(rows) - 1 else rows[index + 1] - 1
            rows[index] = min(rows[index], limit)
        for row, (_, name, meaning) in zip(rows, wanted, strict=True):
            if row >= 0:
                self.cells.put(1 + row, self.column + self.columns + 1, name, meaning, width=names_width - 1)


def in_legend(name: str, value: float) -> str:
    """Return a curve's name and its value for the upper edge of a panel."""
    return f"{name} {in_words(name, value):<{_LEGEND_WIDTH}}"


def in_words(name: str, value: float, digits: int = 4) -> str:
    """Return a value of a curve; a learning rate as everywhere else, without needless digits."""
    return learning_rate(value) if name == RATE else number(value, digits)


def draw_axes(cells: Cells, width: int, steps: Axis, values: Axis) -> Canvas | None:
    """Draw axes ``width`` cells wide into a panel and return the canvas for the data; None without room for it."""
    height = cells.height - 2
    frame, origin = plot_frame(width, height, steps, values)
    if not origin:
        return None
    cells.chars[1 : 1 + height, 1 : 1 + width] = frame
    cells.codes[1 : 1 + height, 1 : 1 + width] = Meaning.DIM
    cells.codes[1:height, origin] = Meaning.FRAME
    cells.codes[height - 1, origin : 1 + width] = Meaning.FRAME
    return Canvas(cells, column=1 + origin, columns=width - origin, rows=height - 2)


def draw_empty(cells: Cells, title: str, words: str) -> None:
    """Draw a panel without data, with a sentence in its middle."""
    draw_panel(cells, title)
    put_middle(cells, words)


def put_middle(cells: Cells, words: str) -> None:
    """Write a sentence into the middle of a panel."""
    lines = wrap(words, cells.width - 8)
    for index, text in enumerate(lines[: max(0, cells.height - 2)]):
        cells.put(max(1, (cells.height - len(lines)) // 2) + index, 4, text, Meaning.DIM)
