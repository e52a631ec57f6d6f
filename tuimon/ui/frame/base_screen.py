"""The base of every full screen: it shows moments between a header and a line of keys."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from tuimon.protocol.events import Alert
from tuimon.runs.series import Series
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.drawn_once import DrawnOnce
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.frame.banner import Banner
from tuimon.ui.frame.header import ONE_LINE_COLUMNS, Header
from tuimon.ui.frame.key_bar import KeyBar
from tuimon.ui.frame.replay_bar import ReplayBar
from tuimon.ui.viewer.key import ScreenName
from tuimon.ui.viewer.keys import keys_of
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.view_memory import View

WIDE, TALL, HIGH = ONE_LINE_COLUMNS, 32, 44
"""Columns and rows from which on there is room for more."""
_WIDTHS = [(0, "-narrow"), (WIDE, "-wide")]
_HEIGHTS = [(0, "-short"), (TALL, "-tall"), (HIGH, "-high")]
"""The classes of a screen, each with the columns or rows from which on it has it."""


def bindings_of(screen_name: ScreenName) -> list[BindingType]:
    """Return the bindings of a screen, from the table of keys."""
    return [Binding(key.keys, key.full_action, show=False) for key in keys_of(screen_name)]


def shown_screen(app: App[Any]) -> "BaseScreen":
    """Return the full screen that is shown, though a question may be open over it."""
    return next(screen for screen in reversed(app.screen_stack) if isinstance(screen, BaseScreen))


class BaseScreen(DrawnOnce[None]):
    """A full screen: header, banner, panels, keys. It shows moments, and knows nothing of logs and requests.

    A subclass sets `screen_name`, binds the keys of that screen, and yields its panels.
    """

    screen_name: ClassVar[ScreenName]
    """The name of the screen in the table of keys."""
    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS

    def __init__(self) -> None:
        super().__init__()
        # Kept, not looked up: a message may come while the app is closing and its widgets are gone.
        self.bar = KeyBar(self.screen_name)
        """The line of keys."""

    def compose(self) -> ComposeResult:
        """Lay out header, banner, panels and keys."""
        # Textual does so only after a first layout, and all panels would be drawn twice.
        for cells, breakpoints in zip(self.app.size, (_WIDTHS, _HEIGHTS), strict=True):
            self.add_class(max(each for each in breakpoints if each[0] <= cells)[1], update=False)
        yield Header()
        yield Banner(self.screen_name)
        yield from self.panels()
        yield ReplayBar()
        yield self.bar
        yield TooSmall()

    def panels(self) -> Iterable[Widget]:
        """Yield the panels between banner and keys."""
        raise NotImplementedError

    def show(self, moment: Moment) -> None:
        """Show a moment on every panel."""
        for view in self.query(CellView):
            view.show_safely(moment)

    def shown_curves(self, moment: Moment) -> list[tuple[str, str, Series]]:
        """Return metric, line and points of each curve on the screen, to be saved as CSV."""
        del moment
        return []

    def recall(self, view: View) -> None:
        """Restore what was chosen on this screen the last time."""

    def remember(self, view: View) -> View:
        """Return ``view`` with what is chosen on this screen."""
        return view

    def go_back(self) -> bool:
        """Close what was opened within this screen; return whether anything was."""
        return False

    def read_at(self, step: int) -> None:
        """Read values off at a step, on a screen with curves."""

    def show_metric(self, name: str) -> None:
        """Show one metric in full, on the screen of metrics."""

    @property
    def selected_alert(self) -> Alert | None:
        """The alert under the cursor; None where there is none, and on screens that list no alerts."""
        return None

    @property
    def selected_layer(self) -> str | None:
        """Path of the layer under the cursor; None on screens that list no layers."""
        return None

    @property
    def selected_run(self) -> Path | None:
        """Directory of the run under the cursor; None on screens that list no runs."""
        return None

    def select_layer(self, path: str) -> None:
        """Put the cursor on a layer, on a screen that lists layers."""

    def action_cursor(self, by: int) -> None:
        """Select another line."""
        self.move_cursor(by)

    def move_cursor(self, by: int) -> None:
        """Select another line."""
