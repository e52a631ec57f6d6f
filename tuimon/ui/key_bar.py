"""The last line: the keys that do something now."""

from textual.events import Click

from tuimon.ui.cell_view import CellView
from tuimon.ui.cells import Cells, cell_width
from tuimon.ui.keys import KEYS, Key
from tuimon.ui.moment import Moment
from tuimon.ui.palette import Meaning


class KeyBar(CellView):
    """Keys with their labels; a click does what the key does."""

    tabs = False
    """Whether there is one chart at a time."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._places: list[tuple[int, int, Key]] = []

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the keys, and at the right why this screen does not steer, where it does not."""
        self._places = []
        column = 1
        for key in KEYS:
            if not key.label or not self._useful(key, moment):
                continue
            shown = "↑↓" if key.shown == "↓" else key.shown
            if column + cell_width(shown) + 1 + len(key.label) > cells.width:
                break
            start = column
            column = cells.put(0, column, shown, Meaning.KEY) + 1
            column = cells.put(0, column, key.label, Meaning.DIM)
            self._places.append((start, column, key))
            column += 2
        if moment.refusal and moment.replay is None and column + len(moment.refusal) + 3 <= cells.width:
            cells.put_right(0, cells.width - 1, moment.refusal, Meaning.DIM)

    async def on_click(self, event: Click) -> None:
        """Do what the clicked key does."""
        for start, end, key in self._places:
            if start <= event.x < end:
                await self.run_action(f"app.{key.action}")

    def _useful(self, key: Key, moment: Moment) -> bool:
        if key.needs == "steering":
            return not moment.refusal
        if key.needs == "replay":
            return moment.replay is not None
        if key.needs == "tabs":
            return self.tabs and moment.has_facts
        return key.label != "layer" or len(moment.layers) > 1
