"""The base of every panel: it draws cells, and sends to the terminal only those that changed."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.color import TRANSPARENT, Color
from textual.events import Resize, Show
from textual.filter import LineFilter
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tuimon.text import plain
from tuimon.ui.drawing.ascii import AsciiFilter
from tuimon.ui.drawing.cells import Cells, cell_width, differences, fit
from tuimon.ui.drawing.theme import styles_of
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

NOT_DRAWN = "an error of tuimon"
"""Is said in the place of a panel that cannot be drawn."""
_TO_ASCII = AsciiFilter()


class CellView(Widget):
    """A widget whose content is `draw` of a moment. Subclasses draw; nothing else touches the screen."""

    about: ClassVar[str] = ""
    """The tooltip: one or two sentences about the panel."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.tooltip = self.about or None
        self.moment: Moment | None = None
        """The moment that is shown; None before the first one."""
        self._cells = Cells(0, 0)
        self._is_drawn = False
        """True where the cells hold what there is to show; False where that changed while nothing could be seen."""
        self._strips: dict[int, Strip] = {}
        """Rows as Textual draws them, kept until they change."""
        self._shown_styles = _CodeStyles(({}, Style.null(), (), TRANSPARENT))
        self._styles_version: tuple[object, ...] = ()
        """Differs once a style of this view or of one around it may have changed."""

    @property
    def has_colors(self) -> bool:
        """True on a terminal with colours."""
        return not self.app.no_color

    @property
    def is_ready(self) -> bool:
        """True once a moment is drawn."""
        return self.moment is not None and self._is_drawn

    def show(self, moment: Moment) -> None:
        """Show a moment."""
        self.moment = moment
        self.redraw()

    def show_safely(self, moment: Moment) -> None:
        """Show a moment; where that fails, one line says so in the place of the panel."""
        try:
            self.show(moment)
        except Exception as error:  # noqa: BLE001 - no panel takes the others down.
            self._cells = self._instead(error, self._cells)
            self._strips.clear()
            self.refresh()

    def redraw(self) -> None:
        """Draw again, and let Textual send the cells that changed."""
        width, height = self.size
        if not width or not height or not self.display:
            self._is_drawn = False
            return
        self._is_drawn = True
        cells = Cells(width, height)
        if self.moment is not None:
            cells = self._drawn(cells, self.moment)
        old, self._cells = self._cells, cells
        if (old.width, old.height) != (width, height):
            self._strips.clear()
            self.refresh()
        elif regions := differences(old, cells):
            for region in regions:
                self._strips.pop(region.y, None)
            self.refresh(*regions)

    @np.errstate(all="ignore")
    def _drawn(self, cells: Cells, moment: Moment) -> Cells:
        try:
            self.draw(cells, moment)
        except Exception as error:  # noqa: BLE001 - no panel takes the others down.
            return self._instead(error, cells)
        return cells

    @staticmethod
    def _instead(error: Exception, cells: Cells) -> Cells:
        """Return cells of the same size with one line: what went wrong."""
        instead = Cells(cells.width, cells.height)
        if cells.width and cells.height:
            words = f"cannot be drawn, {NOT_DRAWN} ({type(error).__name__}: {error})"
            instead.put(0, 0, plain(words, 300), Meaning.ERROR, width=cells.width)
        return instead

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw ``moment`` into empty ``cells`` of the size of this widget."""
        raise NotImplementedError

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the rows of a part of the cells.

        A view has no border, padding or opacity of Textual's: it draws its frame itself. So each row is
        put together once; Textual's own way costs twice that, for every row on the screen, at every frame.
        """
        styles = self._styles
        strips = []
        for row in crop.line_range:
            strip = self._strips.get(row)
            if strip is None:
                strip = self._cells.strip(row, styles)
                if styles.is_ascii:
                    strip = Strip(_TO_ASCII.apply(list(strip), TRANSPARENT), self._cells.width)
                self._strips[row] = strip
            strips.append(strip)
        if crop.column_span != (0, self._cells.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    @property
    def _styles(self) -> "_CodeStyles":
        """The styles of the codes in the palette of now."""
        filters = self.get_line_filters()
        # Textual counts the changes of each node's styles; to add the styles up takes it much longer.
        changes = (node.styles._cache_key for node in self.ancestors_with_self)
        version = self.app.theme, *filters, *changes
        if version == self._styles_version:
            return self._shown_styles
        self._styles_version = version
        _, background = self.background_colors
        parts = (styles_of(self.app), self.rich_style, filters, background)
        if parts != self._shown_styles.parts:
            self._shown_styles = _CodeStyles(parts)
            self._strips.clear()
        return self._shown_styles

    def text(self) -> str:
        """Return the cells as lines of text."""
        return "\n".join(self._cells.text(row).rstrip() for row in range(self._cells.height))

    def on_mount(self) -> None:
        """Follow the palette."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.refresh())

    def on_unmount(self) -> None:
        """Let go of the signal, which would keep this view for ever."""
        self.app.theme_changed_signal.unsubscribe(self)

    def on_resize(self, _: Resize) -> None:
        """Draw for the new size."""
        if not self._is_drawn or (self._cells.width, self._cells.height) != tuple(self.size):
            self.redraw()

    def on_show(self, _: Show) -> None:
        """Catch up with what happened while hidden."""
        if not self._is_drawn:
            self.redraw()


class _CodeStyles(dict[int, Style]):
    """The styles of codes on the background of a view, each made once.

    Args:
        parts: Styles of the palette, style of the view, Textual's filters of lines, background.
    """

    def __init__(self, parts: tuple[dict[int, Style], Style, Sequence[LineFilter], Color]) -> None:
        super().__init__()
        self.parts = parts
        self.is_ascii = any(isinstance(each, AsciiFilter) for each in parts[2])
        """True where texts become ASCII, too."""

    def __missing__(self, code: int) -> Style:
        palette, base, filters, background = self.parts
        segments = [Segment(" ", base + palette[code])]
        for each in filters:
            segments = each.apply(segments, background)
        style = self[code] = segments[0].style or Style.null()
        return style


def draw_panel(cells: Cells, title: str, extra: list[tuple[str, int]] | None = None, *, kept: int = 0) -> None:
    """Draw a panel's frame with its title, and with short texts at the right of its upper edge.

    Args:
        cells: The cells of the panel.
        title: Its title.
        extra: The texts with their colours. Where there is no room for all of them, the first ones are left out.
        kept: How many of the first ones are left out after all others.
    """
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
        needed -= cell_width(texts.pop(min(kept, len(texts) - 1))[0]) + 2
    column = right - 1 - needed
    for text, code in texts:
        column = cells.put(0, column, f" {text} ", code)
