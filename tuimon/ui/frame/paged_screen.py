"""The base of the screens whose keys move lines."""

from tuimon.ui.drawing.lines_view import LinesView
from tuimon.ui.frame.base_screen import BaseScreen


class PagedScreen(BaseScreen):
    """A screen with one panel of lines that keys move. Subclasses say which panel."""

    @property
    def moved(self) -> LinesView:
        """The panel that keys move."""
        raise NotImplementedError

    def action_page(self, by: int) -> None:
        """Move by pages."""
        self.moved.move(by * self.moved.page)

    def action_to_first(self) -> None:
        """Go to the first line."""
        self.moved.to_first()

    def action_to_last(self) -> None:
        """Go to the last line."""
        self.moved.to_last()

    def move_cursor(self, by: int) -> None:
        """Move by lines."""
        self.moved.move(by)
