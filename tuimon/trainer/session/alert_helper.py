"""Starts the process that sends alerts of a user's own script: the script cannot tell of its own crash."""

import os

from tuimon import settings
from tuimon.alerting import helper
from tuimon.runs.run_directory import RunDirectory


class AlertHelper:
    """Has a process send the alerts of one run, if the user's settings name a command for them.

    Args:
        run: The run.
        is_new: Whether the log began with this process: then all of it is news.
    """

    def __init__(self, run: RunDirectory, *, is_new: bool) -> None:
        self._run = run
        self._is_new = is_new

    def start(self) -> None:
        """Start the process, which ends by itself when the run is over."""
        mine, _ = settings.read(settings.settings_path())
        since = 0 if self._is_new else None
        helper.start(self._run, mine.alerts, since_bytes=since, trainer_pid=os.getpid())
        self._is_new = False

    def stop(self) -> None:
        """Leave the process alone: it has to tell how the run ended."""
