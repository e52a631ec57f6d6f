"""What does the work of keys, loaded after the first screen: its questions and pages are as much as that screen."""

from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TYPE_CHECKING

from textual.events import Event

from tuimon.settings import PaletteName
from tuimon.ui.terminal.paced_app import PacedApp
from tuimon.ui.viewer.viewer import Viewer

if TYPE_CHECKING:
    from tuimon.ui.pasted_keys import PastedKeys
    from tuimon.ui.program_keys import ProgramKeys
    from tuimon.ui.request_keys import RequestKeys


class LateKeys:
    """Makes each object when it is needed first.

    Args:
        app: Shows what the keys open.
        viewer: Knows the run.
        show_palette: Shows a palette, or with None the next one, and returns its name.
        pass_on: Handles an event as an app does without tuimon.
    """

    def __init__(
        self,
        app: PacedApp,
        viewer: Viewer,
        show_palette: Callable[[PaletteName | None], PaletteName],
        pass_on: Callable[[Event], Awaitable[None]],
    ) -> None:
        self._app = app
        self._viewer = viewer
        self._show_palette = show_palette
        self._pass_on = pass_on

    @cached_property
    def pasted(self) -> "PastedKeys":
        """Takes each key first."""
        from tuimon.ui.pasted_keys import PastedKeys

        return PastedKeys(self._app, self._pass_on, self._app.say)

    @cached_property
    def requests(self) -> "RequestKeys":
        """Does what keys ask of the run."""
        from tuimon.ui.request_keys import RequestKeys

        return RequestKeys(self._viewer, self._app, self._app.redraw)

    @cached_property
    def program(self) -> "ProgramKeys":
        """Does what keys ask of the program."""
        from tuimon.ui.program_keys import ProgramKeys

        return ProgramKeys(self._viewer, self._app, self._app.redraw, self._show_palette)

    def load(self) -> None:
        """Load all, so that the first key does not wait for it."""
        _ = self.pasted, self.requests, self.program
