"""The page about a run: process, config, model, requests, checkpoints, attempts."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from tuimon.ui.drawing.lines_view import LinesView
from tuimon.ui.frame.base_screen import bindings_of
from tuimon.ui.frame.paged_screen import PagedScreen
from tuimon.ui.screens.run_info.run_files import RunFiles, read_run_files
from tuimon.ui.screens.run_info.run_view import RunView
from tuimon.ui.viewer.moment import Moment


class RunScreen(PagedScreen):
    """One page with everything that the log and the run directory say about the run itself."""

    screen_name = "run"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("run")

    def __init__(self) -> None:
        super().__init__()
        self._view = RunView()
        self._attempt: int | None = None

    def panels(self) -> Iterable[Widget]:
        """Yield the page."""
        yield self._view

    @property
    def moved(self) -> LinesView:
        """The panel that keys move."""
        return self._view

    def show(self, moment: Moment) -> None:
        """Show a moment. The first one of each attempt starts the reading of the run directory, in a thread."""
        super().show(moment)
        run = moment.state.run
        attempt = -1 if run is None else run.attempt
        if attempt != self._attempt:
            self._attempt = attempt
            path = moment.run_path
            self.run_worker(
                lambda: self.post_message(read_run_files(path, run)), name="run files", thread=True, exclusive=True
            )

    def on_run_files(self, message: RunFiles) -> None:
        """Show the files of the run directory."""
        self._view.take(message)
