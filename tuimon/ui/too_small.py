"""What a terminal shows that has no room for anything: one sentence."""

from textual.geometry import Size

from tuimon.ui.cell_view import CellView
from tuimon.ui.cells import Cells, wrap
from tuimon.ui.moment import Moment
from tuimon.ui.palette import Meaning

LEAST = Size(40, 10)
"""The smallest terminal in which something is drawn."""


class TooSmall(CellView):
    """Lies over all panels where the terminal is too small for them."""

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the sentence."""
        del moment
        words = f"Too small: tuimon needs {LEAST.width} columns and {LEAST.height} lines."
        for row, line in enumerate(wrap(words, cells.width)):
            cells.put(row, 0, line, Meaning.WARNING)


def is_too_small(size: Size) -> bool:
    """Whether a terminal of this size has no room for panels."""
    return size.width < LEAST.width or size.height < LEAST.height
