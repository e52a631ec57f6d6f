"""The screen of all events, with the details of each."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.events import Resize
from textual.message import Message
from textual.widget import Widget

from tuimon.protocol.events import Alert
from tuimon.runs.state import TimelineEntry
from tuimon.ui.drawing.lines_view import LinesView
from tuimon.ui.frame.base_screen import bindings_of
from tuimon.ui.frame.paged_screen import PagedScreen
from tuimon.ui.frame.searched_screen import SearchedScreen
from tuimon.ui.screens.timeline.event_details import EventDetails
from tuimon.ui.screens.timeline.timeline_list import TimelineList
from tuimon.ui.viewer.moment import Asked

_DETAILS_FROM = 14
"""Lines of a terminal that has room for details below the list."""


class TimelineScreen(PagedScreen, SearchedScreen):
    """The list of events above the details of the one under the cursor."""

    class Chosen(Message):
        """An event was chosen."""

        def __init__(self, source: TimelineEntry, time: float, step: int | None) -> None:
            super().__init__()
            self.source = source
            """The event."""
            self.time = time
            """Its time, Unix seconds."""
            self.step = step
            """Its step; None for an event without one."""

    screen_name = "timeline"
    hint = "part of a line, or a glob such as freeze*rejected; esc clears, then closes"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("timeline")

    def __init__(self) -> None:
        super().__init__()
        self._list = TimelineList()
        self._details = EventDetails()
        self._layer: str | None = None

    def panels(self) -> Iterable[Widget]:
        """Yield the list, the details and the search field."""
        yield self._list
        yield self._details
        yield self.field

    def on_resize(self, event: Resize) -> None:
        """Give the whole room to the list where there is too little for both."""
        has_room = event.size.height >= _DETAILS_FROM
        self._details.display = has_room
        self.bar.tell({} if has_room else {"screen.scroll_details(1)": ""})

    @property
    def moved(self) -> LinesView:
        """The panel that keys move."""
        return self._list

    def search(self, words: str) -> None:
        """Show only the events that match."""
        self._list.filter(words)

    def on_timeline_list_selected(self, event: TimelineList.Selected) -> None:
        """Show the details of the event under the cursor."""
        self._details.show_row(event.row)

    def on_timeline_list_chosen(self) -> None:
        """Choose the event that was clicked twice."""
        self.action_choose()

    def action_choose(self) -> None:
        """Choose the event under the cursor."""
        row = self._list.row
        if row is not None and not isinstance(row.source, Asked):
            self.post_message(self.Chosen(row.source, row.line.time, row.line.step))

    def action_scroll_details(self, by: int) -> None:
        """Scroll the details."""
        self._details.move(by)

    @property
    def selected_alert(self) -> Alert | None:
        """The alert under the cursor; None for another event."""
        source = self._list.row.source if self._list.row is not None else None
        return source if isinstance(source, Alert) else None

    @property
    def selected_layer(self) -> str | None:
        """Path of the layer that the key of an alert chose; None before that."""
        return self._layer

    def select_layer(self, path: str) -> None:
        """Choose the layer that keys act on."""
        self._layer = path
