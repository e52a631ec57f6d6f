"""Charts of a few lines: without frame and axes, so that more of them is data."""

from collections.abc import Iterable

from tuimon.numbers import number
from tuimon.plot.axes import Axis
from tuimon.ui.charts.canvas import Canvas, Curve, Reduced
from tuimon.ui.charts.reduced_curves import AxisOf
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


def draw_low(cells: Cells, canvas: Canvas, curves: list[Curve], reduced: list[Reduced], axis_of: AxisOf) -> bool:
    """Draw curves with their limits beside them; return False where they have no finite value, which is said then."""
    lines = [points for curve in reduced for points in curve]
    limits, log_limits = [each.limits for each in lines], [each.log_limits for each in lines]
    if not any(limits):
        cells.put(1, 1, "no finite value", Meaning.DIM)
        return False
    values = axis_of(limits, log_limits, cells.height)
    canvas.draw(curves, reduced, values)
    put_limits(cells, values)
    return True


def put_limits(cells: Cells, values: Axis, words: tuple[str, str] | None = None) -> None:
    """Write the first and the last value of an axis beside the data, or these words for them."""
    low, high = words or (number(values.first), number(values.last))
    rows = cells.height - 1
    for row, text in ((1, high), (rows, low)) if rows > 1 else ((1, high),):
        cells.put_right(row, _LIMITS_WIDTH, text, Meaning.DIM)
