"""Reads the run that is shown, and shows another one in its place: one that has begun, or the one before."""

import threading
import time
from functools import partial

from textual.widgets import Input

from tuimon.runs.beginnings import Beginnings
from tuimon.ui.frame.base_screen import shown_screen
from tuimon.ui.messages import Heard
from tuimon.ui.open_screens import OpenScreens
from tuimon.ui.run_reader import Reader, Trainer, has_lines
from tuimon.ui.terminal.paced_app import PacedApp
from tuimon.ui.viewer.news import Facts
from tuimon.ui.viewer.view_memory import ViewMemory
from tuimon.ui.viewer.viewer import Viewer

LOOK_SECONDS = 1.0
"""How often to look for a run that has begun."""
SHOW_SECONDS = 1.0
"""How often to ask whether the run that has begun may be shown."""


class ShownRun:
    """Starts the threads that read: one the run that is shown, one its directory for runs that begin.

    Another run never takes its place under the user's hands: not while a question is open or text is typed, not on the
    screen that compares runs, and not right after a key.

    Args:
        app: Gets the messages of the threads.
        viewer: Knows the run.
        screens: Show it.
        trainer: The training process to start and wait for; None where another one trains.
        memory: Keeps what was chosen on a run until the next time; None forgets it.
    """

    def __init__(
        self, app: PacedApp, viewer: Viewer, screens: OpenScreens, trainer: Trainer | None, memory: ViewMemory | None
    ) -> None:
        self.reader: Reader | None = None
        """Who reads the run now; what another one says comes too late."""
        self._app = app
        self._viewer = viewer
        self._screens = screens
        self._trainer = trainer
        self._memory = memory
        self._beginnings: Beginnings | None = None
        self._stop_reading = threading.Event()
        self._stop_looking = threading.Event()

    def tell_of(self, beginnings: Beginnings, *, follows: bool) -> None:
        """Tell of other runs that begin. Call it before the app runs.

        Args:
            beginnings: Notices them.
            follows: Whether a run that begins takes the place of the one that is shown once that one is over.
        """
        self._viewer.others.follows = follows
        self._beginnings = beginnings

    def begin(self) -> None:
        """Start the threads."""
        self._read()
        if self._beginnings is not None:
            self._app.run_worker(partial(self._look, self._beginnings), name="beginnings", thread=True)
            self._app.set_interval(SHOW_SECONDS, self._change_if_due)

    def end(self) -> None:
        """Stop the threads, for which the interpreter waits; keep what was chosen until the next time."""
        self._stop_reading.set()
        self._stop_looking.set()
        self._remember()

    async def change(self, *, by_hand: bool) -> None:
        """Show the other run, on the same screen; leave all as it is where there is no other run."""
        if self._viewer.others.other is None:
            return
        if by_hand and self._viewer.has_just_changed:
            self._viewer.say("This is the run that has just begun: it was opened by itself.")
            return
        self._stop_reading.set()
        self._remember()
        self._viewer.change_run(by_hand=by_hand)
        self._read()
        shown = shown_screen(self._app).screen_name
        if shown != "dashboard":
            # Some screens read files of the run that they were opened on.
            await self._screens.open("dashboard")
            await self._screens.open(shown)

    def _remember(self) -> None:
        if self._memory is not None:
            self._memory.save(self._viewer.run, self._screens.remembered())

    def _read(self) -> None:
        viewer, self._stop_reading = self._viewer, threading.Event()
        if viewer.replay is None and has_lines(viewer.run):
            # What it does is not known before its log is read.
            viewer.hear(Facts((), reading=0.0))
        self.reader = Reader(viewer.run, self._app.post_message, follow=viewer.replay is None, trainer=self._trainer)
        self._app.run_worker(partial(self.reader.run, self._stop_reading), name="reader", thread=True)

    async def _change_if_due(self) -> None:
        others, viewer = self._viewer.others, self._viewer
        quiet = time.monotonic() - self._app.touched_at
        if others.is_newer and self._may_change() and others.is_due(viewer.state, viewer.moment().status, quiet):
            await self.change(by_hand=False)

    def _may_change(self) -> bool:
        shown = shown_screen(self._app)
        is_free = self._app.screen is shown and not isinstance(self._app.focused, Input)
        return is_free and shown.screen_name != "compare"

    def _look(self, beginnings: Beginnings) -> None:
        while True:
            for begun in beginnings.look():
                self._app.post_message(Heard(begun))
            if self._stop_looking.wait(LOOK_SECONDS):
                return
