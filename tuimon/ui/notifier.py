"""Tells the terminal of what happens in the run that is shown: its bell, a desktop notification."""

import time

from tuimon.alerting.happenings import ENDINGS, Happening, Happenings, Told
from tuimon.alerting.message import About, message
from tuimon.settings import Settings
from tuimon.ui.terminal.notifications import sequences
from tuimon.ui.terminal.paced_app import PacedApp
from tuimon.ui.viewer.news import CaughtUp, Facts, LogReplaced, News
from tuimon.ui.viewer.viewer import Viewer

_LOOK_SECONDS = 1.0
_LEAST_SECONDS = 1.0
_MOST_PENDING = 1000


class Notifier:
    """Tells the terminal, as rarely as the settings say; what happens meanwhile is one notification with a count.

    What a log held before it was opened, and what a replay shows, is no news.

    Args:
        app: Writes to the terminal.
        viewer: Knows the run.
        settings: How the terminal is told, and of what.
    """

    def __init__(self, app: PacedApp, viewer: Viewer, settings: Settings) -> None:
        self._app = app
        self._viewer = viewer
        self._settings = settings
        self._is_on = bool(settings.notify) and viewer.replay is None
        self._happenings: Happenings | None = None
        self._run = viewer.run
        self._pending: list[Happening] = []
        self._due_at = self._ending_due_at = 0.0

    def begin(self) -> None:
        """Look at the run from now on, if the terminal is to be told of anything."""
        if self._is_on:
            self._app.set_interval(_LOOK_SECONDS, self._look)

    def hear(self, news: News) -> None:
        """Take in what has happened, once the viewer has."""
        if not self._is_on:
            return
        state = self._viewer.state
        match news:
            case CaughtUp():
                self._begin()
            case LogReplaced():
                self._happenings = Happenings(self._settings.alerts)
            case Facts() if self._happenings is not None and self._run == self._viewer.run:
                self._add(self._happenings.in_facts(news.events, state, now=time.monotonic()))

    def _begin(self) -> None:
        """Know what was so before."""
        state, self._run, self._pending = self._viewer.state, self._viewer.run, []
        status = self._viewer.moment().status
        attempt = state.run.attempt if state.run is not None else 0
        self._happenings = Happenings(
            self._settings.alerts,
            Told(
                crashed_attempt=attempt if status in ("crashed", "failed") else -1,
                silent_seq=state.last_seq if status == "silent" else -1,
            ),
        )

    def _add(self, found: list[Happening]) -> None:
        self._pending = [*self._pending, *found][-_MOST_PENDING:]

    def _look(self) -> None:
        """Notice what no fact tells; tell the terminal what is due."""
        if self._happenings is None or self._run != self._viewer.run:
            return
        state, status, now = self._viewer.state, self._viewer.moment().status, time.monotonic()
        gone = state.ended is None and status in ("crashed", "failed")
        self._add(self._happenings.in_time(state, gone=gone, now=now, wall=time.time()))
        is_ending = any(happening.kind in ENDINGS for happening in self._pending)
        if not self._pending or now < (self._ending_due_at if is_ending else self._due_at):
            return
        told = message(self._pending, About(self._run.path, state, status))
        shown = sequences(self._settings.notify, told.text, ascii_only=bool(self._settings.ascii))
        if self._app.tell_terminal(shown):
            self._pending = []
            self._due_at = now + max(_LEAST_SECONDS, self._settings.alerts.every_seconds)
            self._ending_due_at = self._due_at if is_ending else self._ending_due_at
