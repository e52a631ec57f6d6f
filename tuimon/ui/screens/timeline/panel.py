"""The panel of the newest events, on the dashboard."""

from tuimon.numbers import count
from tuimon.ui.drawing.cell_view import CellView, draw_panel
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.screens.timeline.lines import clock_time, lines
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment


class Timeline(CellView):
    """The newest events, as many as fit, in a frame if there is room for one."""

    about = "What happened, newest first. 4 shows all of it, with details."

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the frame and the lines."""
        framed = cells.height >= 5
        if framed:
            draw_panel(cells, "events")
        first, rows = (1, cells.height - 2) if framed else (0, cells.height)
        steps = max(5, len(count(moment.state.step)))
        for row, item in zip(range(first, first + rows), lines(moment), strict=False):
            column = cells.put(row, 2, clock_time(item.time), Meaning.DIM) + 2
            if item.step is not None:
                cells.put(row, column, f"step {count(item.step):>{steps}}", Meaning.DIM)
            column += 5 + steps + 2
            cells.put(row, column, item.words, item.meaning, width=cells.width - column - 2)
