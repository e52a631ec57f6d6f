"""The last line: the keys that do something now."""

from textual.events import Click

from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells, cell_width
from tuimon.ui.viewer.key import SCREEN_NAMES, Key, ScreenName
from tuimon.ui.viewer.keys import keys_of
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.undo import newest_undoable

_GAP = 2
_FOR_SEVERAL = {"↓": "↑↓", "2": f"1–{len(SCREEN_NAMES)}"}
"""How keys are written that stand for others as well."""
_FOR_ANY = ("2",)
"""The keys that stand for those of all screens."""
_OWN_FIRST = 100
"""Added to the rank of keys that are not the screen's own."""


class KeyBar(CellView):
    """Shows keys with their labels; a click on one does what the key does.

    Args:
        screen_name: The screen whose keys are shown.
    """

    tabs = False
    """Whether there are more charts than are shown."""
    layer_path: str | None = None
    """Path of the layer under the cursor."""

    def __init__(self, screen_name: ScreenName) -> None:
        super().__init__()
        self._keys = [key for key in keys_of(screen_name) if key.label]
        self._spans: list[tuple[int, int, Key]] = []
        self._labels: dict[str, str] = {}

    def tell(self, labels: dict[str, str]) -> None:
        """Take what keys of the screen do now, where that is not what their own labels say.

        Args:
            labels: The label of each such key by its action; empty for a key that does nothing now.
        """
        if labels != self._labels:
            self._labels = labels
            self.redraw()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the keys; at the right, why this viewer sends no requests, where it sends none."""
        self._spans = []
        column = 1
        for key in self._fitting(cells.width - 1, moment):
            start = column
            can = self._can(key, moment)
            column = cells.put(0, column, _shown(key), Meaning.KEY if can else Meaning.FRAME) + 1
            column = cells.put(0, column, self._label(key, moment), Meaning.DIM if can else Meaning.FRAME)
            self._spans.append((start, column, key))
            column += _GAP
        if moment.refusal and moment.replay is None and column + len(moment.refusal) + 3 <= cells.width:
            cells.put_right(0, cells.width - 1, moment.refusal, Meaning.DIM)

    async def on_click(self, event: Click) -> None:
        """Do what the clicked key does."""
        for start, end, key in self._spans:
            if start <= event.x < end:
                # The key of one screen stands for all of them.
                await self.run_action("app.program('screens')" if key.shown in _FOR_ANY else key.full_action)

    def _fitting(self, width: int, moment: Moment) -> list[Key]:
        """Return the keys for which there is room; the screen's own, help and quit are left out last."""
        keys = [key for key in self._keys if self._useful(key, moment)]
        while (
            len(keys) > 1
            and width < sum(cell_width(_shown(key)) + 1 + len(self._label(key, moment)) + _GAP for key in keys) - _GAP
        ):
            keys.remove(max(reversed(keys), key=lambda key: _rank(key, moment)))
        return keys

    def _label(self, key: Key, moment: Moment) -> str:
        """Return what a key does now: a key that freezes also unfreezes."""
        if key.action == "ask('freeze_layer')" and self.layer_path is not None and moment.is_frozen(self.layer_path):
            return "unfreeze"
        if (
            key.action == "ask('freeze_all')"
            and moment.state.layers
            and all(map(moment.is_frozen, moment.state.layers))
        ):
            return "unfreeze all"
        if key.action == "ask('freeze_all')" and self.layer_path is not None:
            # The key stands beside the one that freezes one layer.
            return "all"
        if key.action == "ask('hold_layer')" and self.layer_path is not None and moment.is_held(self.layer_path):
            return "unhold"
        if key.request == "pause" and moment.is_paused:
            return "resume"
        if key.needs == "other run" and moment.other_is_newer:
            return "newer run"
        return self._labels.get(key.action, key.label)

    def _can(self, key: Key, moment: Moment) -> bool:
        """Return whether a key that asks for something is not refused for sure."""
        if key.action == "ask('freeze_all')" and moment.stays_frozen(()):
            return False
        if key.action == "ask('freeze_layer')" and self.layer_path is not None:
            return not (moment.stays_frozen((self.layer_path,)) or moment.cannot(key.request))
        return not (key.request and moment.cannot(key.request))

    def _useful(self, key: Key, moment: Moment) -> bool:
        if key.action == "ask('undo')":
            newest = newest_undoable(moment)
            return newest is not None and not newest.is_final and key.is_useful(moment)
        return key.is_useful(moment) and bool(self._label(key, moment)) and (key.needs != "tabs" or self.tabs)


def _rank(key: Key, moment: Moment) -> int:
    # While training waits, the key that resumes it is needed most.
    if key.request == "pause" and moment.is_paused:
        return -1
    return key.rank if key.is_own or key.rank < 0 else key.rank + _OWN_FIRST


def _shown(key: Key) -> str:
    return _FOR_SEVERAL.get(key.shown, key.shown)
