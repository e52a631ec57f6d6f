"""The base of every panel: it draws cells, and sends to the terminal only those that changed."""

from typing import ClassVar

from textual.events import Resize, Show
from textual.strip import Strip
from textual.widget import Widget

from tuimon.ui.cells import Cells, cell_width, differences, fit
from tuimon.ui.looks import styles_of
from tuimon.ui.moment import Moment
from tuimon.ui.palette import Meaning


class CellView(Widget):
    """A widget whose content is `draw` of a moment. Subclasses draw; nothing else touches the screen."""

    about: ClassVar[str] = ""
    """What the mouse is told that rests on it: what is to be seen, in a sentence or two."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.tooltip = self.about or None
        self.moment: Moment | None = None
        """What is shown; None before the first."""
        self._cells = Cells(0, 0)

    def show(self, moment: Moment) -> None:
        """Show another moment."""
        self.moment = moment
        self.redraw()

    def redraw(self) -> None:
        """Draw again, and have Textual send the cells that changed."""
        width, height = self.size
        if not width or not height or not self.display:
            return
        cells = Cells(width, height)
        if self.moment is not None:
            self.draw(cells, self.moment)
        old, self._cells = self._cells, cells
        if (old.width, old.height) != (width, height):
            self.refresh()
        elif regions := differences(old, cells):
            self.refresh(*regions)

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw ``moment`` into empty ``cells`` of the size of this widget."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        """Return one row of the cells."""
        return self._cells.strip(y, self.rich_style, styles_of(self.app))

    def text(self) -> str:
        """Return what is shown, as lines of text."""
        return "\n".join(self._cells.text(row).rstrip() for row in range(self._cells.height))

    def on_mount(self) -> None:
        """Follow the palette."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.refresh())

    def on_resize(self, _: Resize) -> None:
        """Draw for the new size."""
        self.redraw()

    def on_show(self, _: Show) -> None:
        """Draw what happened while hidden."""
        self.redraw()


def draw_panel(cells: Cells, title: str, extra: list[tuple[str, int]] | None = None) -> None:
    """Draw a panel's frame with its title, and with short texts at the right of its upper edge."""
    if cells.width < 4 or cells.height < 2:
        return
    bottom, right = cells.height - 1, cells.width - 1
    cells.codes[[0, bottom], :] = Meaning.FRAME
    cells.codes[:, [0, right]] = Meaning.FRAME
    cells.chars[[0, bottom], 1:right] = "─"
    cells.chars[1:bottom, [0, right]] = "│"
    cells.chars[0, 0], cells.chars[0, right] = "╭", "╮"
    cells.chars[bottom, 0], cells.chars[bottom, right] = "╰", "╯"
    end = cells.put(0, 2, f" {fit(title, cells.width - 8)} ", Meaning.TITLE)
    texts = list(extra or [])
    needed = sum(cell_width(text) + 2 for text, _ in texts)
    while texts and needed > right - 2 - end:
        needed -= cell_width(texts.pop(0)[0]) + 2
    column = right - 1 - needed
    for text, code in texts:
        column = cells.put(0, column, f" {text} ", code)
