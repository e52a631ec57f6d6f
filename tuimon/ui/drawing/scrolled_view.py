"""The base of pages of text."""

from tuimon.numbers import count
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, wrap
from tuimon.ui.drawing.lines_view import LinesView
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

TextLine = list[tuple[str, int]]
"""The texts of one line, each with its code."""

_MARGIN = 2
"""Cells free at each side of the lines."""


class ScrolledView(LinesView):
    """A page that is scrolled. Subclasses supply its lines."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._first = 0
        self._count = 0

    def title(self, moment: Moment) -> str:
        """Return the panel's title."""
        raise NotImplementedError

    def lines(self, moment: Moment, width: int) -> list[TextLine]:
        """Return all lines, each in at most ``width`` cells."""
        raise NotImplementedError

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw as many lines as fit."""
        shown = self.lines(moment, cells.width - 2 * _MARGIN)
        self._count, rows = len(shown), max(0, cells.height - 2)
        self._first = max(0, min(self._first, self._count - rows))
        extra: list[tuple[str, int]] = []
        if self._count > rows:
            last = min(self._count, self._first + rows)
            extra.append((f"{count(self._first + 1)}–{count(last)} of {count(self._count)} lines", int(Meaning.DIM)))
        draw_panel(cells, self.title(moment), extra)
        for row, line in enumerate(shown[self._first : self._first + rows], start=1):
            column = _MARGIN
            for text, code in line:
                column = cells.put(row, column, text, code, width=cells.width - _MARGIN - column)

    def move(self, by: int) -> None:
        """Scroll, as far as there are lines."""
        self._first = max(0, min(self._count - self.page, self._first + by))
        self.redraw()


def wrapped(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` cells, each indented as the text is; at least one.

    Example:
        >>> wrapped("  in fit, of the model", 12)
        ['  in fit, of', '  the model']
    """
    indent = min(len(text) - len(text.lstrip(" ")), max(0, width // 2))
    return [" " * indent + line for line in wrap(text, max(1, width - indent))] or [""]


def named(name: str, text: str, width: int, *, name_width: int, code: int = Meaning.TEXT) -> list[TextLine]:
    """Return a name with its text beside it, in as many lines as needed."""
    room = max(8, width - name_width)
    shown = [line for part in text.split("\n") for line in wrapped(part, room)]
    names = [name, *[""] * (len(shown) - 1)]
    return [
        [(name.ljust(name_width), int(Meaning.DIM)), (line, int(code))] for name, line in zip(names, shown, strict=True)
    ]
