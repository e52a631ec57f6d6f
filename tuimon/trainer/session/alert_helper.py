"""Starts the process that sends alerts of a user's own script: the script cannot tell of its own crash."""

import os
import threading
from pathlib import Path
from typing import IO

from tuimon import settings
from tuimon.alerting import helper
from tuimon.trainer.session.recorder import Recorder


class AlertHelper:
    """Has a process send the alerts of one run, if the user's settings name a command for them.

    It is one process for all fits of the run that follow each other soon.

    Args:
        recorder: Writes the run's log.
        is_new: Whether the log began with this process: then all of it is news.
    """

    def __init__(self, recorder: Recorder, *, is_new: bool) -> None:
        self._recorder = recorder
        self._is_new = is_new
        self._has_looked = False
        self._lock = threading.Lock()
        self._lives = self._is_wanted = self._is_kept = False

    def start(self) -> None:
        """Start the process, which ends by itself when the run is over; keep the one of a `fit` just before."""
        with self._lock:
            self._is_wanted, self._is_kept = True, self._lives
            if not self._lives:
                self._begin()

    def stop(self) -> None:
        """Leave the process alone: it has to tell how the run ended."""
        # Without the lock: a fork of the script may have been made while another thread held it.
        self._is_wanted = False

    def _begin(self) -> None:
        mine, warning = settings.read(settings.settings_path())
        if warning and not mine.alerts.command and not self._has_looked:
            self._recorder.note(f"no alerts are sent, since no command for them is known; {warning}")
        self._has_looked = True
        run = self._recorder.run
        since = 0 if self._is_new else _size(run.session_log)
        process = helper.start(run, mine.alerts, since_bytes=since, trainer_pid=os.getpid(), leaves_parent=True)
        self._is_new = False
        if process is not None and process.stdout is not None:
            self._lives = True
            threading.Thread(target=self._wait, args=[process.stdout], name="tuimon-alerts-end", daemon=True).start()

    def _wait(self, end: IO[bytes]) -> None:
        with end:
            os.read(end.fileno(), 1)
        with self._lock:
            self._lives = False
            if self._is_wanted and self._is_kept:
                # It had made up its mind that the run is over, just as another `fit` began.
                self._is_kept = False
                self._begin()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
