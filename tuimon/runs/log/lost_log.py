"""What is known of a run whose log is not in its place any more."""

import contextlib
import os
import shlex
import time
from pathlib import Path

from tuimon.protocol.events import RunStarted
from tuimon.regular_file import open_regular
from tuimon.runs import liveness
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.runs.state import RunState

REMOVED = "the log was removed"
TOLD_REMOVED = "it was removed; facts are not recorded any more, training goes on"
"""What a trainer says in its output, behind the path of the log, once it has noticed."""
_OUTPUT_BYTES = 256 * 1024
"""Of a trainer's output, the end that is searched for it."""


def lost_words(changed: LogChangedError, tail: Tail, started: RunStarted | None) -> str:
    """Return what happened to the log, where it is now, and that its trainer lives where that is known.

    A directory that was renamed is found beside its former place.

    Args:
        changed: What happened.
        tail: What was read before.
        started: The newest attempt; None where it is not known.

    Example:
        `the log was removed, and its trainer (process 4711) still runs`
    """
    renamed = next((run for run in runs_in(tail.path.parent.parent) if tail.is_now_at(run.session_log)), None)
    # That no process has its number proves nothing: in a container it has another one.
    lives = started is not None and liveness.trainer_lives(started)
    if renamed is not None:
        # The banner has room for the command, not for the process as well.
        return f"the run was renamed{' while it trains' * lives}. Watch it: {watch_command(renamed)}"
    return (
        f"{changed.words}, and its trainer (process {started.pid}) still runs" if started and lives else changed.words
    )


def status_now(run: RunDirectory, state: RunState) -> str:
    """Return what a run does now, by its log, whose facts add up to ``state``: ``log removed``, or as `liveness`."""
    if was_removed(run):
        return "log removed"
    silent = 0.0
    with contextlib.suppress(OSError):
        # A trainer that never got so far as to open its log does not start for ever.
        silent = time.time() - (run.session_log if run.session_log.exists() else run.path).stat().st_mtime
    return liveness.status(state, gone=run.is_gone(state.run), silent_seconds=silent)


def no_log_words(run: RunDirectory) -> str:
    """Return why a run has no log, as far as its directory tells; empty where it has one, or is about to begin.

    Example:
        `the log was removed`
    """
    if was_removed(run):
        return REMOVED
    with contextlib.suppress(OSError):
        if not run.session_log.exists() and time.time() - run.path.stat().st_mtime > liveness.SILENT_SECONDS:
            return "there is no log: its training has not begun to write one, or it was removed"
    return ""


def was_removed(run: RunDirectory) -> bool:
    """Return whether a run had a log that is gone. The directory proves it, or nothing does.

    A checkpoint is made only of a run that has a log. Of a user's own script, which has no config there, the output is
    kept only once the log is open. And the trainer says in its output that it has lost its log.
    """
    try:
        if os.path.lexists(run.session_log) or not run.path.is_dir():
            return False
        if run.checkpoints.is_dir() and any(run.checkpoints.iterdir()):
            return True
        if not run.trainer_log.exists():
            return False
        return not run.config.exists() or _says_removed(run.trainer_log)
    except OSError:
        return False


def _says_removed(trainer_log: Path) -> bool:
    with open_regular(trainer_log) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _OUTPUT_BYTES))
        return TOLD_REMOVED.encode() in file.read(_OUTPUT_BYTES)


def watch_command(run: RunDirectory) -> str:
    """Return the command that watches a run."""
    return f"tuimon watch {shlex.quote(run.place)}"
