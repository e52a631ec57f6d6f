"""Notices that a run begins in a directory: a new one, or one that goes on after its end."""

import contextlib
import time
from pathlib import Path

from msgspec import Struct

from tuimon.protocol.events import FitStarted, RunStarted
from tuimon.regular_file import open_regular
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import RunDirectory, runs_in

LIST_SECONDS = 10.0
"""The directory is listed this often where its time says nothing, as some network file systems have it; else at once
after a change."""
_WATCHED = 20
"""Runs whose logs are looked at: the newest ones. One that is older does not go on."""

_HEAD_BYTES = 512
"""By so much of its first line a log is known again."""


class Begun(Struct, frozen=True):
    """A run that has begun."""

    run: RunDirectory
    """Its directory."""
    time: float
    """When it began, Unix seconds by the trainer's clock."""


class Beginnings:
    """Looks at a directory of runs again and again. What is there at first has begun before.

    Args:
        directory: Where the runs are; it may not exist yet.

    Example:
        ```python
        beginnings = Beginnings(Path("runs"))
        for begun in beginnings.look():
            ...
        ```
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._changed: int | None = None
        self._listed_at = 0.0
        self._tails: dict[Path, Tail] = {}
        self._heads: dict[Path, bytes] = {}
        self._list(is_first=True)

    def look(self) -> list[Begun]:
        """Return the runs that have begun since the last look, in the order in which they began."""
        if self._changed_at() != self._changed or time.monotonic() - self._listed_at >= LIST_SECONDS:
            self._list()
        found = (self._begun(path) for path in list(self._tails)[-_WATCHED:])
        return sorted((begun for begun in found if begun is not None), key=lambda begun: begun.time)

    def _list(self, *, is_first: bool = False) -> None:
        # Asked before the list is made: what comes meanwhile changes it once more.
        self._changed, self._listed_at = self._changed_at(), time.monotonic()
        before, self._tails = self._tails, {}
        runs = list(runs_in(self._directory))
        paths = {run.path for run in runs}
        # A directory that was renamed is no run that begins.
        former = {head: before[path] for path, head in self._heads.items() if path in before and path not in paths}
        self._heads = {run.path: head for run in runs[-_WATCHED:] if (head := _head(run))}
        for run in runs:
            tail = before.get(run.path)
            if tail is None:
                tail = Tail(run.session_log)
                renamed = former.get(self._heads.get(run.path, b""))
                if is_first:
                    with contextlib.suppress(OSError):
                        tail.skip_to(run.session_log.stat().st_size)
                elif renamed is not None:
                    tail.skip_to(renamed.offset)
            self._tails[run.path] = tail

    def _begun(self, path: Path) -> Begun | None:
        tail, times = self._tails[path], list[float]()
        try:
            size = tail.path.stat().st_size
            if size > tail.offset:
                times = [event.time for event in tail.skim(size, (RunStarted, FitStarted))]
            elif size < tail.offset:
                # Another log has its place.
                tail.restart()
        except LogChangedError:
            tail.restart()
        except OSError:
            pass
        return Begun(RunDirectory(path), times[-1]) if times else None

    def _changed_at(self) -> int | None:
        try:
            return self._directory.stat().st_mtime_ns
        except OSError:
            return None


def _head(run: RunDirectory) -> bytes:
    """Return the beginning of a log's first line, which has the process and its start; empty where there is none."""
    try:
        with open_regular(run.session_log) as file:
            head: bytes = file.read(_HEAD_BYTES)
    except OSError:
        return b""
    return head.partition(b"\n")[0]
