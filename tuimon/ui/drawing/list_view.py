"""The base of lists with a cursor: its keys, its mouse, and scrolling along with it."""

from collections.abc import Iterator

from textual.events import Click

from tuimon.numbers import count
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.drawing.lines_view import LinesView
from tuimon.ui.viewer.meanings import SELECTED, Meaning


class ListView(LinesView):
    """A list in a panel. Subclasses hold its lines and the place of the cursor."""

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
        """The line under the cursor, counted from 0; of no meaning in an empty list."""
        raise NotImplementedError

    def select_line(self, index: int) -> None:
        """Put the cursor on an existing line."""
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
        """Return the place of the cursor for the upper edge of the panel, such as "3 of 40"; empty if all lines fit."""
        length = self.length
        if length <= self._rows(cells):
            return []
        return [(f"{count(self.selected + 1)} of {count(length)}", int(Meaning.DIM))]

    def draw_cursor(self, cells: Cells) -> Iterator[tuple[int, int, int]]:
        """Scroll the cursor into view, and draw it.

        Yields:
            For each visible line: its row, its index, and the code to add to those of its texts.
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
