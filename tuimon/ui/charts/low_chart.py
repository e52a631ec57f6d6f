"""Charts of a few lines: without frame and axes, so that more of them is data."""

from collections.abc import Iterable

from tuimon.numbers import number
from tuimon.plot.axes import Axis
from tuimon.ui.charts.canvas import Canvas
from tuimon.ui.drawing.cells import Cells, cell_width
from tuimon.ui.viewer.meanings import Meaning

LOW = 7
"""A lower chart is drawn so."""
_LIMITS_WIDTH = 9
"""Room for the largest and the smallest value, where there are no axes."""


def low_canvas(cells: Cells) -> Canvas | None:
    """Return the canvas below the first line and right of the limits; None without room for it."""
    columns, rows = cells.width - 2 - _LIMITS_WIDTH, cells.height - 1
    return Canvas(cells, 1 + _LIMITS_WIDTH, columns, rows) if columns > 0 and rows > 0 else None


def put_low_title(cells: Cells, title: str, texts: Iterable[tuple[str, int]]) -> None:
    """Write a title and short texts into the first line, those that fit."""
    end = cells.put(0, 1, title, Meaning.TITLE)
    for text, code in texts:
        if end + 2 + cell_width(text.rstrip()) < cells.width:
            end = cells.put(0, end + 2, text.rstrip(), code)


def put_limits(cells: Cells, values: Axis, words: tuple[str, str] | None = None) -> None:
    """Write the first and the last value of an axis beside the data, or these words for them."""
    low, high = words or (number(values.first), number(values.last))
    rows = cells.height - 1
    for row, text in ((1, high), (rows, low)) if rows > 1 else ((1, high),):
        cells.put_right(row, _LIMITS_WIDTH, text, Meaning.DIM)
