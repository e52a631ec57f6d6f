"""The base of lists: one line is under the cursor."""

from collections.abc import Iterator

from textual.events import Click

from tuimon.plot.numbers import count
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.drawing.lines_view import LinesView
from tuimon.ui.viewer.meanings import SELECTED, Meaning


class ListView(LinesView):
    """A list in a panel. Subclasses know its lines and where the cursor is."""

    wheel_lines = 1

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._first = 0
        """The line in the first row."""

    @property
    def length(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    @property
    def selected(self) -> int:
        """The line under the cursor, counted from 0; any number where there is no line."""
        raise NotImplementedError

    def select_line(self, index: int) -> None:
        """Put the cursor on a line, one that there is."""
        raise NotImplementedError

    def choose(self) -> None:
        """Answer a second click on the line under the cursor."""

    def move(self, by: int) -> None:
        """Move the cursor, as far as there are lines."""
        if length := self.length:
            self.select_line(max(0, min(length - 1, self.selected + by)))

    def on_click(self, event: Click) -> None:
        """Put the cursor on the line that was clicked."""
        index = self._first + event.y - self.head_rows
        if self.head_rows <= event.y < self.size.height - 1 and index < self.length:
            self.select_line(index)
            if event.chain == 2:
                self.choose()

    def position(self, cells: Cells) -> list[tuple[str, int]]:
        """Return where the cursor is, for the upper edge of the panel; nothing where all lines are shown."""
        length = self.length
        if length <= self._rows(cells):
            return []
        return [(f"{count(self.selected + 1)} of {count(length)}", int(Meaning.DIM))]

    def draw_cursor(self, cells: Cells) -> Iterator[tuple[int, int, int]]:
        """Scroll to where the cursor is, and draw it.

        Yields:
            Of each line that there is room for: its row, the line, and what to add to the codes of its texts.
        """
        length, selected, rows = self.length, self.selected, self._rows(cells)
        self._first = max(0, min(self._first, selected, length - rows), selected - rows + 1)
        for row, index in enumerate(range(self._first, min(length, self._first + rows)), start=self.head_rows):
            code = SELECTED if index == selected else 0
            cells.codes[row, 1:-1] = code
            if code:
                cells.put(row, 1, "›", Meaning.STRONG | code)
            yield row, index, code

    def _rows(self, cells: Cells) -> int:
        return max(0, cells.height - self.head_rows - 1)
