"""Deletes a run for good, unless its training may go on."""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from tuimon.protocol.events import RunStarted
from tuimon.runs import liveness
from tuimon.runs.glance import Glance
from tuimon.runs.listing.tags import FILE_NAME
from tuimon.runs.log.session_log import newest_start
from tuimon.runs.run_directory import DELETED_PREFIX, RunDirectory
from tuimon.text import plain

_WRITTEN = frozenset(
    ("session.jsonl", "commands", "checkpoints", "config.toml", "trainer.log", "trainer.log.1", "alerts", FILE_NAME)
)
"""What tuimon writes into a run directory."""
_QUIET_SECONDS = 600.0
"""A directory without a first fact may be of a training that is starting, until it has not changed for so long."""
_NAMED = 3


class NotDeletedError(Exception):
    """A run is not deleted. The text says why and what to do, in words for people."""


class Doubt(Struct, frozen=True):
    """Why a run is not deleted without further ado."""

    words: str
    """The reason."""
    may_be_forced: bool
    """True where a person may know better: then `delete` with ``force`` deletes it."""


class Contents(Struct, frozen=True):
    """What goes with a run."""

    bytes: int
    """Size of all files."""
    checkpoints: int
    """How many checkpoints there are."""
    others: tuple[str, ...]
    """Files and directories that tuimon did not write, such as saved models."""

    @property
    def words(self) -> str:
        """In a few words, such as "12 MB, 3 checkpoints, and best.keras, which tuimon did not write"."""
        parts = [size_in_words(self.bytes)]
        if self.checkpoints:
            parts.append(f"{self.checkpoints} checkpoint{'s' * (self.checkpoints != 1)}")
        if self.others:
            left = len(self.others) - _NAMED
            more = f" and {left} more" if left > 0 else ""
            parts.append(
                f"and {', '.join(plain(name, 60) for name in self.others[:_NAMED])}{more}, which tuimon did not write"
            )
        return ", ".join(parts)


def doubt(run: RunDirectory, now: float | None = None) -> Doubt | None:
    """Return why a run may still be needed by a training, looking at it now; None where it is over.

    It is over if its trainer is proven to be gone. Of a trainer on another machine nothing is proven: then its run is
    over if its log says how it ended, and may be deleted by force once it is silent.

    Args:
        run: The run.
        now: The time, Unix seconds; None: the time of now.

    Raises:
        OSError: its log cannot be read.
    """
    now = time.time() if now is None else now
    if run.path.is_symlink():
        return Doubt("it is a link; delete the run where it lies", may_be_forced=False)
    started = newest_start(run.session_log)
    if liveness.lock_is_free(run.session_log) is False:
        return Doubt(f"it is running{_process(started)}", may_be_forced=False)
    if started is None:
        is_quiet = now - _changed_at(run) > _QUIET_SECONDS
        return None if is_quiet else Doubt("its training may be starting: its log has no line yet", may_be_forced=True)
    if started.source:
        # A translation: what it was made of lies elsewhere.
        return None
    glance = Glance(run)
    glance.look()
    has_ended = glance.state.ended is not None
    if liveness.trainer_lives(started):
        words = f"its process lives{_process(started)} and may train on"
        return Doubt(words if has_ended else f"it is running{_process(started)}", may_be_forced=has_ended)
    if has_ended or liveness.is_gone(run.session_log, started):
        return None
    is_silent = now - run.session_log.stat().st_mtime > liveness.SILENT_SECONDS
    if not is_silent:
        return Doubt(f"it is running on {started.host}: its log grows", may_be_forced=False)
    return Doubt(
        f"whether it still runs on {started.host} cannot be seen from here, and its log does not say that it ended",
        may_be_forced=True,
    )


def contents(run: RunDirectory) -> Contents:
    """Return what would be deleted with a run."""
    size = 0
    for directory, _, names in os.walk(run.path):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(directory, name)).st_size  # noqa: PTH118
    return Contents(size, _entries(run.checkpoints), tuple(sorted(_others(run))))


def delete(run: RunDirectory, *, force: bool = False) -> None:
    """Delete a run for good: its log, its checkpoints, everything in its directory.

    Its training is looked for right before. Then the directory is renamed, so that no list shows half a run, and
    emptied. What an earlier deletion left, because it was interrupted, is removed as well.

    Args:
        run: The run.
        force: Delete it also where `doubt` says that a person may know better.

    Raises:
        NotDeletedError: it may be running, or somebody else's.
        OSError: its log cannot be read.
    """
    if not run.path.is_dir():
        raise NotDeletedError("it is not there any more")
    with _locked(run.session_log):
        reason = doubt(run)
        if reason is not None and not (force and reason.may_be_forced):
            raise NotDeletedError(reason.words)
        hidden = run.path.with_name(f"{DELETED_PREFIX}{time.time_ns()}-{os.getpid()}")
        try:
            run.path.rename(hidden)
        except OSError as error:
            raise NotDeletedError(f"its directory cannot be renamed: {error.strerror}") from error
    _sweep(run.path.parent)
    if hidden.exists():
        raise NotDeletedError(f"a part of it cannot be removed, and is now {hidden}")


def size_in_words(size: int) -> str:
    """Return a size of files.

    Example:
        >>> size_in_words(812), size_in_words(12_400_000)
        ('812 B', '12 MB')
    """
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def _process(started: RunStarted | None) -> str:
    return f" (process {started.pid} on {started.host})" if started is not None else ""


def _changed_at(run: RunDirectory) -> float:
    times = [0.0]
    for path in (run.path, run.session_log, run.trainer_log, run.config):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    return max(times)


def _entries(directory: Path) -> int:
    try:
        return sum(not entry.name.startswith(".") for entry in directory.iterdir())
    except OSError:
        return 0


def _others(run: RunDirectory) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield from (entry.name for entry in run.path.iterdir() if entry.name not in _WRITTEN)


@contextlib.contextmanager
def _locked(log: Path) -> Iterator[None]:
    """Hold the lock of a log, so that no trainer resumes its run meanwhile; without locks, hold nothing."""
    try:
        descriptor = os.open(log, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        # A shared lock: a trainer wants the lock for itself, and a look at the log still finds it free.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _sweep(directory: Path) -> None:
    """Remove what deletions have renamed."""
    for path in directory.glob(f"{DELETED_PREFIX}*"):
        # Another one may remove it at the same time.
        shutil.rmtree(path, ignore_errors=True)
