"""The line above the charts of metrics: how they are looked at."""

from tuimon.numbers import count
from tuimon.plot.smoothing import window_of
from tuimon.plot.viewport import Viewport
from tuimon.plot.x_axis import X_WORDS
from tuimon.text import plain
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

_GAP = 3


class StatusLine(CellView):
    """One line about the viewport of the charts."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[tuple[str, Meaning]] = []

    def tell(self, viewport: Viewport, part: str, found: int, page: int, pages: int, pattern: str, said: str) -> None:
        """Take the viewport, the numbers and the answer to the last key to show next."""
        smoothing = {
            "none": "none",
            "ema": f"EMA {viewport.strength:g}",
            "median": f"median of {window_of(viewport.strength)}",
        }[viewport.smoothing]
        self._parts = [
            *([(said, Meaning.KEY)] if said else []),
            (f"x {X_WORDS[viewport.x]}", Meaning.TEXT),
            (f"scale {viewport.scale}", Meaning.TEXT),
            (f"smoothing {smoothing}", Meaning.TEXT),
            *([(part, Meaning.KEY)] if part else []),
            (
                "following" if viewport.follows else "not following: G follows",
                Meaning.DIM if viewport.follows else Meaning.KEY,
            ),
            (f"{count(found)} metric{'' if found == 1 else 's'}", Meaning.DIM),
        ]
        if pages > 1:
            self._parts.append((f"page {page} of {pages}", Meaning.DIM))
        if pattern:
            self._parts.append((f"filter {plain(pattern, 30)}", Meaning.KEY))

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw as many parts as fit."""
        column, parts, thinned = 2, self._parts, moment.state.thinned_before
        if thinned is not None:
            parts = [*parts, (f"before step {count(thinned)} extremes only", Meaning.DIM)]
        for text, meaning in parts:
            if column + len(text) + 1 > cells.width:
                break
            column = cells.put(0, column, text, meaning) + _GAP
