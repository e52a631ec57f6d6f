"""Whether a run's trainer is gone: proven, or not known.

On a network file system another host's lock may look free, and a pid of another container means
nothing here. So only a reader on the same kernel concludes anything; everybody else sees how long the
run has been silent.
"""

import fcntl
import os
from functools import cache
from pathlib import Path

from tuimon.protocol.events import RunStarted
from tuimon.regular_file import open_regular
from tuimon.runs.state import RunState

KILLED = "its process is gone; no error was recorded"
"""What is said of a crash, which leaves no fact: not whether a signal, the system or the program itself ended it."""
SILENT_SECONDS = 30.0
"""A living trainer writes at least every 5 s; after this long without a line a run is called silent."""


def is_gone(session_log: Path, started: RunStarted | None) -> bool:
    """Whether it is proven that no trainer writes this log any more.

    A trainer holds the log's lock while it trains, so on the same kernel a free lock is proof; but between two
    fits of one Monitor the lock is free while the process lives. A pid alone proves nothing: in a container the
    trainer has another one. So where the file system has no locks, nothing is proven.
    """
    if started is None or started.lock_error or not is_of_this_machine(started):
        return False
    return lock_is_free(session_log) is True and not _lives(started)


def may_live_here(session_log: Path, started: RunStarted | None) -> bool:
    """Whether a trainer of this machine may write this log: it holds the lock, or is of this boot and lives."""
    if lock_is_free(session_log) is False:
        return True
    return started is not None and trainer_lives(started)


def is_of_this_machine(started: RunStarted) -> bool:
    """Whether it is proven that a run's trainer trains on this machine, or did since it was booted."""
    return started.boot_id is not None and started.boot_id == boot_id()


def trainer_lives(started: RunStarted) -> bool:
    """Whether the trainer's process is one of this machine that can be seen from here and runs."""
    return is_of_this_machine(started) and _lives(started)


def _lives(started: RunStarted) -> bool:
    start = process_start(started.pid)
    return start is not None and start == started.process_started


def lock_is_free(session_log: Path) -> bool | None:
    """Whether no process holds the log's lock; None where that cannot be told."""
    try:
        file = open_regular(session_log)
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return None
    return True


def status(state: RunState, *, gone: bool, silent_seconds: float) -> str:
    """Return the one word for what a run does.

    Args:
        state: What its log says.
        gone: Whether its trainer is proven to be gone.
        silent_seconds: How long its log has not grown.

    Returns:
        `starting`, what `state_changed` says (`training`, `paused`, …), `finished`, `stopped`, `failed`,
        `crashed`, `silent`, or `imported` of a log that another program wrote: nothing tells whether it goes on.
    """
    if state.ended:
        return state.ended.status
    if state.run is not None and state.run.source:
        return "imported"
    if gone:
        return "crashed"
    if silent_seconds > SILENT_SECONDS:
        return "silent"
    return state.state.state if state.state else "starting"


@cache
def boot_id() -> str | None:
    """Return the kernel's boot id, None where it is not told (not Linux). It is read once: lists ask for each run."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def process_start(pid: int) -> float | None:
    """Return when a running process started, in clock ticks since boot; None where it is not told, or has ended."""
    try:
        # In a pid namespace without a /proc of its own, the own number is there another process's.
        stat = Path(f"/proc/{'self' if pid == os.getpid() else pid}/stat").read_text()
    except OSError:
        return None
    return start_in(stat)


def start_in(stat: str) -> float | None:
    """Return when a process started, by the line of its ``/proc/PID/stat``; None for one that has ended."""
    # The second field, the command, may hold blanks and brackets: count from its end.
    fields = stat.rpartition(")")[2].split()
    # What has ended and was not waited for yet is there, but does not run.
    return None if fields[0] in "ZX" else float(fields[19])
