"""Reads other runs in a thread: all of them at a glance, drawn ones in full."""

import threading
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from tuimon.protocol import events
from tuimon.runs import liveness
from tuimon.runs.glance import Glance
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.runs.session_log import Tail
from tuimon.runs.state import RunState
from tuimon.ui.screens.compare.run_curves import RunCurves, RunLine, curves_of, line_of

_LOOK_SECONDS = 1.0
_SCAN_SECONDS = 5.0
_POST_SECONDS = 0.25
_BREATH_SECONDS = 0.005
"""Pause between two pieces of a long log, so that the screen can be drawn."""
_CHUNK_BYTES = 512 * 1024
_CONFIG_BYTES = 256 * 1024
_NOT_DRAWN = (events.BatchNorm, events.BatchNormChannels, events.Probe, events.ValidationBatches, events.Overhead)
"""These facts are most of a log, and no comparison uses them."""


@dataclass
class RunsListed(Message):
    """What the runs of a directory do has changed."""

    lines: tuple[RunLine, ...]
    """One for each run that was looked at by now."""


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
        self._wanted: tuple[Path, ...] = ()
        self._glances: dict[Path, Glance] = {}
        self._lines: dict[Path, RunLine] = {}
        self._posted: tuple[RunLine, ...] | None = None
        self._full: dict[Path, _FullRun] = {}

    def want(self, paths: Iterable[Path]) -> None:
        """Read these runs in full, and only these. Called from another thread."""
        self._wanted = tuple(paths)
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
            if now >= next_scan:
                next_scan = now + _SCAN_SECONDS
                self._scan()
            if now >= next_look:
                next_look = now + _LOOK_SECONDS
                self._look()
            if self._read_wanted():
                self._wake.wait(_BREATH_SECONDS)
            else:
                self._wake.wait(max(0.0, next_look - time.monotonic()))

    def _scan(self) -> None:
        runs = {run.path: run for run in runs_in(self._directory)}
        self._glances = {path: self._glances.get(path) or Glance(run) for path, run in runs.items()}
        self._lines = {path: line for path, line in self._lines.items() if path in runs}

    def _look(self) -> None:
        posted_at = time.monotonic()
        for path, glance in list(self._glances.items()):
            if self._stopped.is_set():
                return
            try:
                glance.look()
                line = line_of(path, glance.state, glance.status(time.time()), glance.started)
            except OSError as error:
                line = RunLine(path, "", trouble=f"cannot be read: {error.strerror}")
            self._lines[path] = line
            if time.monotonic() > posted_at + _POST_SECONDS:
                posted_at = time.monotonic()
                self._post_lines()
        self._post_lines()

    def _post_lines(self) -> None:
        lines = tuple(self._lines.values())
        if lines != self._posted:
            self._posted = lines
            self._post(RunsListed(lines))

    def _read_wanted(self) -> bool:
        """Read a piece of each wanted run; return True if more is there already."""
        wanted = self._wanted
        self._full = {path: self._full.get(path) or _FullRun(RunDirectory(path)) for path in wanted}
        behind = False
        for path, full in self._full.items():
            if self._stopped.is_set():
                return False
            if (curves := full.advance()) is not None:
                self._post(RunRead(path, curves))
            behind = behind or full.is_behind
        return behind


class _FullRun:
    """A run that is read from beginning to end, and followed."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._tail = Tail(run.session_log)
        self._state = RunState()
        self._config: dict[str, object] | None = None
        self._last: tuple[int, bool, str] | None = None
        self._next_post = 0.0
        self.is_behind = False
        """True while there is more to read at once."""

    def advance(self) -> RunCurves | None:
        """Read a piece; return the curves of the run, if they are new."""
        trouble, size = "", 0
        try:
            before = self._tail.offset
            self._state.apply(event for event in self._tail.read(_CHUNK_BYTES) if not isinstance(event, _NOT_DRAWN))
            size = self._run.session_log.stat().st_size
            # The last line of a log may not be whole yet.
            self.is_behind = self._tail.offset > before and size > self._tail.offset
        except FileNotFoundError:
            self.is_behind = False
        except OSError as error:
            trouble, self.is_behind = f"cannot be read: {error.strerror}", False
        is_over = self._state.ended is not None or liveness.is_gone(self._run.session_log, self._state.run)
        known = self._tail.offset, is_over and not self.is_behind, trouble
        if known == self._last or (self.is_behind and time.monotonic() < self._next_post):
            return None
        self._last, self._next_post = known, time.monotonic() + _POST_SECONDS
        if trouble:
            return RunCurves(self._run.name, trouble=trouble)
        if self._config is None and self._state.run is not None and not self._state.run.config:
            self._config = _config(self._run)
        share = self._tail.offset / size if self.is_behind else None
        return curves_of(self._run.name, self._state, self._config, is_over=known[1], share=share)


def _config(run: RunDirectory) -> dict[str, object]:
    """Return the config in a run's directory; empty without one."""
    try:
        with run.config.open("rb") as file:
            return tomllib.loads(file.read(_CONFIG_BYTES).decode())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        # A user's own script has no config; its settings are then those in the facts.
        return {}
