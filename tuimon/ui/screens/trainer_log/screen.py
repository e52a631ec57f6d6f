"""The screen of `trainer.log`: the output of the training process, or of a script while it trains."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.drawing.lines_view import LinesView
from tuimon.ui.frame.base_screen import bindings_of
from tuimon.ui.frame.paged_screen import PagedScreen
from tuimon.ui.frame.searched_screen import SearchedScreen
from tuimon.ui.screens.trainer_log.log_reader import LogChanged, LogRead, LogReader, LogSearched
from tuimon.ui.screens.trainer_log.log_view import LogView
from tuimon.ui.viewer.moment import Moment


class LogScreen(PagedScreen, SearchedScreen):
    """The printed lines. A thread reads them while the screen is open."""

    screen_name = "log"
    hint = "words to search for, as they are; enter goes to the newest; esc clears, then closes"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("log")

    def __init__(self) -> None:
        super().__init__()
        self._view = LogView()
        self._reader: LogReader | None = None

    def panels(self) -> Iterable[Widget]:
        """Yield the lines and the search field."""
        yield self._view
        yield self.field

    @property
    def moved(self) -> LinesView:
        """The panel that keys move."""
        return self._view

    def show(self, moment: Moment) -> None:
        """Show a moment. The first one says which log to read."""
        super().show(moment)
        if self._reader is None:
            self._reader = LogReader(RunDirectory(moment.run_path).trainer_log, self.post_message)
            self._view.read_with(self._reader)
            self.run_worker(self._reader.run, name="log", thread=True)

    def on_unmount(self) -> None:
        """Stop the reading thread."""
        if self._reader is not None:
            self._reader.close()

    def on_log_changed(self, message: LogChanged) -> None:
        """Read the new lines."""
        self._view.changed(message)

    def on_log_read(self, message: LogRead) -> None:
        """Show the lines that were read."""
        self._view.take(message)

    def on_log_searched(self, message: LogSearched) -> None:
        """Go to the line that was found."""
        self._view.found(message)

    def search(self, words: str) -> None:
        """Mark the words."""
        self._view.search(words)

    def searched(self) -> None:
        """Go to the newest line that holds the words."""
        self.action_next_match(-1)

    def action_next_match(self, by: int) -> None:
        """Go to the next line that holds the words, or to the one before."""
        self._view.next_match(by)
