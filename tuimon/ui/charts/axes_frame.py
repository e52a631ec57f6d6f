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
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plot_size(width, height)
    plotext.theme("clear")
    plotext.xaxes(True, False)
    plotext.yaxes(True, False)
    plotext.xlim(0, columns - 1)
    plotext.ylim(0, rows - 1)
    plotext.xticks([column for column, _ in step_ticks], [label for _, label in step_ticks])
    plotext.yticks([rows - 1 - row for row, _ in value_ticks], [label.rjust(room) for _, label in value_ticks])
    # Without any point plotext draws no axes.
    plotext.scatter([0], [0], marker=" ")
    lines = plotext.uncolorize(plotext.build()).split("\n")
    characters = np.array([list(line.ljust(width)[:width]) for line in lines[:height]], dtype="<U1")
    return characters, room + 1


def _apart(ticks: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Leave out ticks that would share a row with another."""
    rows: dict[int, str] = {}
    for row, label in ticks:
        rows.setdefault(row, label)
    return list(rows.items())
