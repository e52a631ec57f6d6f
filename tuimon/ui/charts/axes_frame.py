"""The axes of a chart, drawn by plotext: the one module that imports it.

plotext is handed no data: its cost grows with every point, and the data are cells of `raster`. The
frame is in cell coordinates, so that ticks and data meet exactly, and is made anew only when an axis
or the size changes.
"""

from functools import lru_cache

import numpy as np
import plotext

from tuimon.plot.axes import Axis
from tuimon.ui.drawing.cells import CharArray

LABEL_WIDTH = 6
"""Room for the labels of the values; more only where a label needs it, so that charts line up."""
_LEAST_DATA = 2
"""Columns or rows that are left for data where an axis is drawn alone."""
_Ticks = tuple[tuple[int, str], ...]
"""Where ticks are, in cells, and their labels."""


@lru_cache(maxsize=64)
def plot_frame(width: int, height: int, steps: Axis, values: Axis) -> tuple[CharArray, int]:
    """Return the axes as characters of shape ``(height, width)``, and the column where the data begin.

    The data have the rows 0 to ``height - 2`` (exclusive) and the columns from the one returned on.
    Where there is no room for axes, the characters are blank.
    """
    labels = [label for _, label in values.ticks]
    room = max(LABEL_WIDTH, *(len(label) for label in labels))
    columns, rows = width - room - 1, height - 2
    if columns < 2 or rows < 2:
        return np.full((max(0, height), max(0, width)), " ", dtype="<U1"), 0
    value_ticks = _apart(
        [
            (round(float(1 - values.positions(np.array([value]))[0]) * (rows * 4 - 1)) // 4, label)
            for value, label in values.ticks
        ]
    )
    step_ticks: list[tuple[int, str]] = []
    for value, label in steps.ticks:
        column = round(float(steps.positions(np.array([value]))[0]) * (columns * 2 - 1)) // 2
        begin = column - len(label) // 2
        previous = step_ticks[-1] if step_ticks else None
        if previous is not None and begin < previous[0] + len(previous[1]) // 2 + 3:
            continue
        if begin + len(label) <= columns:
            step_ticks.append((column, label))
    characters = np.full((height, width), " ", dtype="<U1")
    characters[:-2, : room + 1] = _value_side(height, room, tuple(value_ticks))[:-2, : room + 1]
    characters[-2:] = _step_side(width, room, tuple(step_ticks))[-2:]
    return characters, room + 1


@lru_cache(maxsize=64)
def _value_side(height: int, room: int, ticks: _Ticks) -> CharArray:
    """Return the axis of the values with hardly any room for data: plotext takes its time for every cell."""
    return _drawn(
        room + 1 + _LEAST_DATA, height, ((0, ""),), tuple((height - 3 - row, word) for row, word in ticks), room
    )


@lru_cache(maxsize=64)
def _step_side(width: int, room: int, ticks: _Ticks) -> CharArray:
    """Return the axis of the steps, the same for all charts of a width."""
    return _drawn(width, 2 + _LEAST_DATA, ticks, ((0, ""),), room)


def _drawn(width: int, height: int, step_ticks: _Ticks, value_ticks: _Ticks, room: int) -> CharArray:
    """Return what plotext draws, as characters of shape ``(height, width)``.

    Args:
        width: Width in cells.
        height: Height in cells.
        step_ticks: The column and the label of each tick along x.
        value_ticks: The row and the label of each tick along y, counted from the bottom.
        room: Cells for the labels of the values.
    """
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plot_size(width, height)
    plotext.theme("clear")
    plotext.xaxes(True, False)
    plotext.yaxes(True, False)
    plotext.xlim(0, width - room - 2)
    plotext.ylim(0, height - 3)
    plotext.xticks([column for column, _ in step_ticks], [label for _, label in step_ticks])
    plotext.yticks([row for row, _ in value_ticks], [label.rjust(room) for _, label in value_ticks])
    # Without any point plotext draws no axes.
    plotext.scatter([0], [0], marker=" ")
    lines = plotext.uncolorize(plotext.build()).split("\n")
    return np.array([list(line.ljust(width)[:width]) for line in lines[:height]], dtype="<U1")


def _apart(ticks: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Leave out ticks that would share a row with another."""
    rows: dict[int, str] = {}
    for row, label in ticks:
        rows.setdefault(row, label)
    return list(rows.items())
