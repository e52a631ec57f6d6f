"""The base of panels with more lines than there is room for."""

from typing import ClassVar

from textual.events import MouseScrollDown, MouseScrollUp

from tuimon.ui.drawing.cell_view import CellView

_ALL = 1 << 40
"""More lines than any panel has."""


class LinesView(CellView):
    """A panel whose lines are moved by keys and the wheel. Subclasses move them."""

    head_rows: ClassVar[int] = 1
    """Rows above the first line: the frame, and perhaps headings."""
    wheel_lines: ClassVar[int] = 3
    """Lines that one turn of the wheel moves."""

    @property
    def page(self) -> int:
        """How many lines there is room for, at least one."""
        return max(1, self.size.height - self.head_rows - 1)

    def move(self, by: int) -> None:
        """Move by lines, as far as there are any."""
        raise NotImplementedError

    def to_first(self) -> None:
        """Go to the first line."""
        self.move(-_ALL)

    def to_last(self) -> None:
        """Go to the last line."""
        self.move(_ALL)

    def on_mouse_scroll_down(self, _: MouseScrollDown) -> None:
        """Move towards the last line."""
        self.move(self.wheel_lines)

    def on_mouse_scroll_up(self, _: MouseScrollUp) -> None:
        """Move towards the first line."""
        self.move(-self.wheel_lines)
