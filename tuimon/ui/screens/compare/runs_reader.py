"""Reads other runs in a thread: all of them at a glance, drawn ones in full."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace
from textual.message import Message

from tuimon.protocol import events
from tuimon.runs import liveness, thinning
from tuimon.runs.glance import Glance, why_unreadable
from tuimon.runs.listing.parameters import config_of
from tuimon.runs.listing.summary import Summary, glanced
from tuimon.runs.listing.tags import read_tags
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.runs.state import OVER, RunState
from tuimon.ui.screens.compare.run_curves import RunCurves, curves_of

SKIMMED_BYTES = 64 * 1024 * 1024
"""Up to this length, a log is searched for its best value, once all runs are listed."""
SKIMMED_IN_ALL = 4 * SKIMMED_BYTES
"""So much is searched in all logs together."""
_ROOM = thinning.ROOM // 4
"""The numbers that are kept of a run that is drawn: there are several."""
_LOOK_SECONDS = 1.0
_SCAN_SECONDS = 5.0
_POST_SECONDS = 0.25
_BREATH_SECONDS = 0.005
"""Pause between two pieces of a long log, so that the screen can be drawn."""
_CHUNK_BYTES = 512 * 1024
_NOT_DRAWN = (events.BatchNorm, events.BatchNormChannels, events.Probe, events.ValidationBatches, events.Overhead)
"""These facts are most of a log, and no comparison uses them."""
_OF_EPOCHS: tuple[type[events.AnyEvent], ...] = (
    events.RunStarted,
    events.FitStarted,
    events.ModelBuilt,
    events.EpochEnded,
    events.RunEnded,
)
"""The facts that curves of epochs need."""


@dataclass
class RunsListed(Message):
    """What the runs of a directory do has changed."""

    lines: tuple[Summary, ...]
    """One for each run that was looked at by now."""
    is_complete: bool
    """True once every run of the directory was looked at."""


@dataclass
class RunRead(Message):
    """More is known of a run that is compared."""

    path: Path
    """The path of the run's directory."""
    curves: RunCurves
    """All that is known."""


class RunsReader:
    """Watches the runs of a directory until told to stop. It touches no widget, and posts messages.

    Args:
        directory: The directory that holds the runs.
        post: Takes the messages.
    """

    def __init__(self, directory: Path, post: Callable[[Message], object]) -> None:
        self._directory = directory
        self._post = post
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._wanted: tuple[tuple[Path, ...], bool] = (), False
        self._listed: dict[Path, _ListedRun] = {}
        self._posted: RunsListed | None = None
        self._full: dict[Path, _FullRun] = {}
        self._skimmed = 0
        self._is_stale = False

    def want(self, paths: Iterable[Path], *, only_epochs: bool = False) -> None:
        """Read these runs in full, and only these. Called from another thread.

        Args:
            paths: The runs.
            only_epochs: Leave out the values of batches: many long logs are read in a twentieth of the time.
        """
        self._wanted = tuple(paths), only_epochs
        self._wake.set()

    def refresh(self) -> None:
        """Look at the directory now: something in it was changed. Called from another thread."""
        self._is_stale = True
        self._wake.set()

    def stop(self) -> None:
        """End `run` soon. Called from another thread."""
        self._stopped.set()
        self._wake.set()

    def run(self) -> None:
        """Read until told to stop."""
        next_scan = next_look = 0.0
        while not self._stopped.is_set():
            self._wake.clear()
            now = time.monotonic()
            if self._is_stale:
                self._is_stale, next_scan, next_look = False, 0.0, 0.0
            if is_due := now >= next_scan:
                next_scan = now + _SCAN_SECONDS
                self._scan()
            if now >= next_look or is_due:
                next_look = now + _LOOK_SECONDS
                self._look(only_living=not is_due)
            if self._read_wanted() or self._search():
                self._wake.wait(_BREATH_SECONDS)
            else:
                self._wake.wait(max(0.0, next_look - time.monotonic()))

    def _scan(self) -> None:
        # The newest first: of many runs, these are the ones that somebody waits for.
        runs = {run.path: run for run in reversed(list(runs_in(self._directory)))}
        self._listed = {path: self._listed.get(path) or _ListedRun(run) for path, run in runs.items()}

    def _look(self, *, only_living: bool = False) -> None:
        posted_at = time.monotonic()
        for listed in self._listed.values():
            if self._stopped.is_set() or self._is_stale:
                return
            if only_living and listed.is_settled:
                continue
            listed.look()
            if time.monotonic() > posted_at + _POST_SECONDS:
                posted_at = time.monotonic()
                self._post_lines()
        self._post_lines()

    def _post_lines(self) -> None:
        lines = tuple(listed.summary for listed in self._listed.values() if listed.summary is not None)
        message = RunsListed(lines, is_complete=len(lines) == len(self._listed))
        if self._posted is None or (message.lines, message.is_complete) != (
            self._posted.lines,
            self._posted.is_complete,
        ):
            self._posted = message
            self._post(message)

    def _search(self) -> bool:
        """Search one long log for its best value; return True if there are more."""
        left = min(SKIMMED_BYTES, SKIMMED_IN_ALL - self._skimmed)
        if left <= 0:
            return False
        for listed in self._listed.values():
            if listed.is_searched or (listed.summary is not None and listed.summary.is_best_known):
                continue
            self._skimmed += listed.search(left)
            self._post_lines()
            return True
        return False

    def _read_wanted(self) -> bool:
        """Read a piece of each wanted run; return True if more is there already."""
        wanted, only_epochs = self._wanted
        self._full = {
            path: known
            if (known := self._full.get(path)) is not None and known.only_epochs == only_epochs
            else _FullRun(RunDirectory(path), only_epochs=only_epochs)
            for path in wanted
        }
        behind = False
        for path, full in self._full.items():
            if self._stopped.is_set():
                return False
            if (curves := full.advance()) is not None:
                self._post(RunRead(path, curves))
            behind = behind or full.is_behind
        return behind


class _ListedRun:
    """A run in the list. Of one that is over, nothing but its line is kept until a file of it changes."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._glance: Glance | None = None
        self._seen: tuple[int, ...] | None = None
        self.summary: Summary | None = None
        """What the list says; None before the first look."""
        self.is_searched = False
        """True once its log was searched for the best value."""

    def look(self) -> None:
        """Look at what is new."""
        seen, before = _stamp(self._run), self._seen
        if seen == before and self.is_settled:
            return
        self._seen = seen
        if self.summary is not None and self.is_settled and before is not None and seen[:-1] == before[:-1]:
            # Nothing but the directory has changed, as a new file of tags changes it.
            self.summary = replace(self.summary, tags=read_tags(self._run.path))
            return
        if self._glance is None:
            self._glance, self.is_searched = Glance(self._run), False
        self.summary = glanced(self._glance, time.time())
        if self.is_settled:
            self._glance = None

    def search(self, limit: int) -> int:
        """Search the log for the best value; return how many bytes were searched, at most ``limit``."""
        self.is_searched = True
        glance = Glance(self._run, skimmed_bytes=limit)
        found = glanced(glance, time.time())
        if found.is_best_known:
            self.summary = found
            self._glance = None if self.is_settled else glance
        return glance.skimmed

    @property
    def is_settled(self) -> bool:
        """True while nothing but a change of a file can change the line."""
        return self.summary is not None and (self.summary.status in OVER or bool(self.summary.trouble))


def _stamp(run: RunDirectory) -> tuple[int, ...]:
    """Return what differs as soon as the log or the tags of a run are written."""
    try:
        log, directory = os.stat(run.session_log), os.stat(run.path)  # noqa: PTH116
    except OSError:
        return ()
    return log.st_mtime_ns, log.st_size, log.st_ino, directory.st_mtime_ns


class _FullRun:
    """A run that is read from beginning to end, and followed."""

    def __init__(self, run: RunDirectory, *, only_epochs: bool) -> None:
        self.only_epochs = only_epochs
        self._run = run
        self._tail = Tail(run.session_log)
        self._next_post = 0.0
        self._begin()

    def _begin(self) -> None:
        """Know nothing of the log yet."""
        self._tail.restart()
        self._state = RunState()
        self._config: dict[str, object] | None = None
        self._last: tuple[int, bool, str] | None = None
        self.is_behind = False
        """True while there is more to read at once."""

    def advance(self) -> RunCurves | None:
        """Read a piece; return the curves of the run, if they are new."""
        trouble, size = "", 0
        try:
            size = self._run.session_log.stat().st_size
            if self._last is not None and self._last[1] and size == self._last[0]:
                return None
            self._read(size)
        except FileNotFoundError:
            self.is_behind = False
        except LogChangedError as changed:
            if not changed.is_removed:
                self._begin()
                return None
            trouble, self.is_behind = changed.words, False
        except Exception as error:  # noqa: BLE001 - whatever it is, the other runs are compared.
            trouble, self.is_behind = why_unreadable(error), False
        is_over = self._state.ended is not None or liveness.is_gone(self._run.session_log, self._state.run)
        known = self._tail.offset, is_over and not self.is_behind, trouble
        if known == self._last or (self.is_behind and time.monotonic() < self._next_post):
            return None
        self._last, self._next_post = known, time.monotonic() + _POST_SECONDS
        if trouble:
            return RunCurves(self._run.name, trouble=trouble)
        if self._config is None and self._state.run is not None and not self._state.run.config:
            self._config = config_of(self._run)
        share = self._tail.offset / size if self.is_behind and size else None
        return curves_of(self._run.name, self._state, self._config, is_over=known[1], share=share)

    def _read(self, size: int) -> None:
        before = self._tail.offset
        if self.only_epochs:
            self._state.apply(self._tail.skim(min(size, before + 8 * _CHUNK_BYTES), _OF_EPOCHS))
        else:
            new = self._tail.read(_CHUNK_BYTES)
            self._state.apply(event for event in new if not isinstance(event, _NOT_DRAWN))
            self._state.thin(_ROOM)
        # The last line of a log may not be whole yet.
        self.is_behind = self._tail.offset > before and size > self._tail.offset
