"""Screens that are sent to the terminal once they are drawn, not first empty and then in parts."""

import math
import time
from typing import TypeVar

from textual.screen import Screen

from tuimon.ui.drawing.cell_view import CellView

_OPENING_SECONDS = 0.3
"""After this long a screen is sent even where a panel has nothing to show yet."""
_Result = TypeVar("_Result")


class DrawnOnce(Screen[_Result]):
    """Waits, while it opens, until each of its panels has drawn a moment."""

    def __init__(self) -> None:
        super().__init__()
        self._opens_by: float | None = math.inf
        """When it is sent at the latest, by `time.monotonic`; None once it was."""

    def on_mount(self) -> None:
        """Wait, but not for long."""
        self._opens_by = time.monotonic() + _OPENING_SECONDS
        self.set_timer(_OPENING_SECONDS, self._open_as_it_is)

    def _open_as_it_is(self) -> None:
        if self._opens_by is not None:
            self._opens_by = None
            self.refresh()

    def _compositor_refresh(self) -> None:
        if self._opens_by is not None:
            seen = [view for view in self.query(CellView) if view.display and view.size]
            if time.monotonic() < self._opens_by and not (seen and all(view.is_ready for view in seen)):
                return
            self._opens_by = None
        super()._compositor_refresh()
