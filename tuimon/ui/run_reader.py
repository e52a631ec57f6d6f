"""Reads a run from a thread: its log, what the trainer prints, whether the trainer lives."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tuimon.alerting.sent import Trouble
from tuimon.protocol.events import AnyEvent, FitStarted, RunEnded, RunStarted
from tuimon.regular_file import open_regular
from tuimon.runs.log.bad_lines import BadLines
from tuimon.runs.log.long_log import LONG_BYTES, LongLog
from tuimon.runs.log.lost_log import REMOVED, lost_words, no_log_words
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import Blind, RunDirectory
from tuimon.text import printed_lines
from tuimon.ui.messages import Heard
from tuimon.ui.viewer.news import (
    AlertTrouble,
    CaughtUp,
    Facts,
    LinesUnread,
    LinkChanged,
    LogReplaced,
    LogUnreadable,
    News,
    OlderRead,
    RequestLost,
    TrainerExited,
    TrainerGone,
    TrainerPrinted,
)

_LOOK_SECONDS = 0.1
_QUIET_LOOK_SECONDS, _QUIET_SECONDS = 0.2, 3.0
"""How often to look at a log that has not grown for so long; each look opens it anew."""
_OVER_LOOK_SECONDS = 0.5
"""How often to look whether a run that is over goes on."""
_YIELD_SECONDS = 0.001
"""While older history is read, keys come first."""
_GONE_SECONDS = 1.0
_PRINTED_SECONDS = 0.5
_FIRST_BYTES = 64 * 1024
_CHUNK_BYTES = 1024 * 1024
_PRINTED_BYTES = 16 * 1024
_PRINTED_LINES = 60


class Trainer(Protocol):
    """The training process of `tuimon run`."""

    def start(self) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """

    def poll(self) -> int | None:
        """Return its exit status; None while it runs."""


class Reader:
    """Looks at a run until it is told to stop. Touches no widget: it posts messages.

    Args:
        run: The run.
        post: Takes the messages.
        follow: Read on until told to stop; else end at the end of the log.
        trainer: The training process to start and wait for; None where another one trains.
    """

    def __init__(
        self, run: RunDirectory, post: Callable[[Heard], object], *, follow: bool, trainer: Trainer | None
    ) -> None:
        self._run = run
        self._post = post
        self._follow = follow
        self._trainer = trainer
        self._tail = Tail(run.session_log)
        self._started: RunStarted | None = None
        self._ended = False
        self._gone = False
        self._long: LongLog | None = None
        """A long log while its older part is not read."""
        self._told_share = 0
        self._has_caught_up = False
        self._unreadable = self._no_log = LogUnreadable("")
        self._lines = LinesUnread(BadLines(), 0)
        self._printed: tuple[int, int] | None = None
        self._blind: Blind | None = None
        self._trouble = Trouble(run.path)
        self._told_at = 0.0
        """When there was news last, by `time.monotonic`."""

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set."""
        waits_for_trainer = self._start_trainer()
        self._look_at_printed()
        self._catch_up(stop)
        self._look_whether_removed()
        if self._follow and not self._ended:
            # Before the first word about its state: a run whose trainer is gone never seems to train.
            self._look_whether_gone()
        self._has_caught_up = True
        self._tell(CaughtUp(_seconds_since_change(self._run.session_log)))
        next_gone = next_printed = next_trouble = 0.0
        while self._follow and not stop.wait(self._pause_seconds):
            waits_for_trainer = waits_for_trainer and not self._has_exited()
            blind = self._run.blind
            if self._read(_CHUNK_BYTES) is None or blind is not None:
                # Back in the present only once all that came meanwhile is read.
                self._tell_of_link(blind)
            self._read_older()
            now = time.monotonic()
            if now >= next_printed:
                next_printed = now + _PRINTED_SECONDS
                self._look_at_printed()
            if now >= next_gone and not self._ended:
                next_gone = now + _GONE_SECONDS
                self._look_whether_removed()
                self._look_whether_gone()
            if now >= next_trouble:
                next_trouble = now + _GONE_SECONDS
                if words := self._trouble.news():
                    self._tell(AlertTrouble(words))

    @property
    def _pause_seconds(self) -> float:
        if self._long is not None and not self._unreadable.reason:
            return _YIELD_SECONDS
        if time.monotonic() < self._told_at + _QUIET_SECONDS:
            return _LOOK_SECONDS
        return _OVER_LOOK_SECONDS if self._ended else _QUIET_LOOK_SECONDS

    def _start_trainer(self) -> bool:
        if self._trainer is None:
            return False
        try:
            self._trainer.start()
        except OSError as error:
            self._tell(TrainerExited(None, f"The training process cannot be started: {error}"))
            return False
        return True

    def _has_exited(self) -> bool:
        assert self._trainer is not None
        code = self._trainer.poll()
        if code is None:
            return False
        # Its last lines and facts first: they say why.
        self._printed = None
        self._look_at_printed()
        self._read(_CHUNK_BYTES)
        self._tell(TrainerExited(code))
        return True

    def _catch_up(self, stop: threading.Event) -> None:
        if self._follow:
            self._open_on_newest(stop)
        limit = _FIRST_BYTES
        while not stop.is_set():
            before = self._tail.offset
            heard = self._read(limit)
            if self._tail.offset == before:
                return
            limit = _CHUNK_BYTES
            while heard is not None and not heard.taken.wait(_LOOK_SECONDS) and not stop.is_set():
                pass

    def _open_on_newest(self, stop: threading.Event) -> None:
        """Tell all of a long log but older curves, as one piece of news: a part of it would show what is not so."""
        try:
            size = self._run.session_log.stat().st_size
            if size <= LONG_BYTES:
                return
            log, known, told_share = LongLog(self._run.session_log), list[AnyEvent](), 0
            for events, share in log.outline(size):
                known += events
                if int(100 * share) > told_share:
                    told_share = int(100 * share)
                    self._tell(Facts((), share))
                if stop.is_set():
                    return
            known += log.tail.read_all()
        except OSError:
            # Reading on says so.
            return
        self._long, self._tail = log, log.tail
        self._note(known)
        self._tell(OlderRead(0.0))
        heard = self._tell(Facts(known, 1.0))
        while not heard.taken.wait(_LOOK_SECONDS) and not stop.is_set():
            pass

    def _read_older(self) -> None:
        """Fold a further part of a long log; tell of it with each hundredth, and when all is folded."""
        if self._long is None:
            return
        try:
            whole = self._long.read_older()
        except OSError:
            return
        share = self._long.share
        if whole is not None:
            # It has read every line, and knows the numbers of all.
            self._tail, self._long = self._long.older, None
            self._say_lines()
            self._tell(OlderRead(1.0, whole))
        elif int(100 * share) > self._told_share:
            self._told_share = int(100 * share)
            self._tell(OlderRead(share))

    def _note(self, events: list[AnyEvent]) -> None:
        """Note who trains, and whether that is over."""
        for event in events:
            if isinstance(event, RunStarted):
                self._started, self._ended = event, False
            elif isinstance(event, FitStarted):
                self._ended = False
            elif isinstance(event, RunEnded):
                self._ended = True

    def _read(self, limit: int) -> Heard | None:
        """Tell what is new in the log, and return what was posted."""
        try:
            events = self._tail.read(limit)
            size = self._run.session_log.stat().st_size if events else 0
        except LogChangedError as changed:
            self._take_change(changed)
            return None
        except OSError as error:
            self._say_unreadable(f"{self._run.session_log}: cannot be read: {error.strerror}")
            return None
        self._tell_unreadable(LogUnreadable("") if self._tail.offset else self._no_log)
        self._say_lines()
        if not events:
            return None
        self._note(events)
        is_far = not self._has_caught_up or size - self._tail.offset > _CHUNK_BYTES
        return self._tell(Facts(events, self._tail.offset / size if is_far else None))

    def _tell(self, news: News) -> Heard:
        self._told_at = time.monotonic()
        heard = Heard(news, reader=self)
        self._post(heard)
        return heard

    def _take_change(self, changed: LogChangedError) -> None:
        """Tell that the log is gone, or read the one that is in its place."""
        if changed.is_removed or not self._follow:
            if not self._unreadable.is_removed:
                what = lost_words(changed, self._tail, self._started)
                self._say_unreadable(f"{_sentence(what)}. This is what was read before.", is_removed=True)
            return
        self._tail, self._long = Tail(self._run.session_log), None
        self._started, self._ended, self._gone = None, False, False
        self._unreadable, self._lines = LogUnreadable(""), LinesUnread(BadLines(), 0)
        self._tell(LogReplaced(_sentence(changed.words)))

    def _say_unreadable(self, reason: str, *, is_removed: bool = False) -> None:
        self._tell_unreadable(LogUnreadable(reason, is_removed))

    def _tell_unreadable(self, unreadable: LogUnreadable) -> None:
        if unreadable != self._unreadable:
            self._unreadable = unreadable
            self._tell(unreadable)

    def _look_whether_removed(self) -> None:
        """Learn why there is no log, where nothing of one was ever read."""
        if self._tail.offset:
            return
        words = "" if self._trainer is not None else no_log_words(self._run)
        self._no_log = LogUnreadable(f"{_sentence(words)}." if words else "", words == REMOVED)
        if not self._run.session_log.exists():
            self._tell_unreadable(self._no_log)

    def _say_lines(self) -> None:
        """Tell of lines that are no fact, where there are more of them."""
        lines = LinesUnread(self._tail.bad_lines, self._tail.unknown)
        if lines != self._lines:
            self._lines = lines
            self._tell(lines)

    def _tell_of_link(self, blind: Blind | None) -> None:
        """Tell whether the run is known now, and which requests got lost on their way."""
        if blind != self._blind:
            is_back, self._blind = blind is None, blind
            self._tell(LinkChanged(blind))
            if is_back:
                self._tell(CaughtUp(_seconds_since_change(self._run.session_log)))
        for request_id, why in self._run.take_lost():
            self._tell(RequestLost(request_id, why))

    def _look_whether_gone(self) -> None:
        gone = self._run.is_gone(self._started)
        if gone:
            # It may have written its last line between our last look and its end.
            self._read(_CHUNK_BYTES)
            gone = not self._ended
        if gone != self._gone:
            self._gone = gone
            self._tell(TrainerGone(gone))

    def _look_at_printed(self) -> None:
        try:
            status = self._run.trainer_log.stat()
            now = (status.st_size, status.st_mtime_ns)
            if now == self._printed:
                return
            lines = last_lines(self._run.trainer_log)
        except OSError:
            # There is none where the user's own script trains.
            return
        self._printed = now
        self._tell(TrainerPrinted(lines))


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def last_lines(path: Path) -> tuple[str, ...]:
    """Return the last lines of what a process printed.

    Raises:
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _PRINTED_BYTES))
        return tuple(printed_lines(file.read(_PRINTED_BYTES)))[-_PRINTED_LINES:]


def _seconds_since_change(path: Path) -> float:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0


def has_lines(run: RunDirectory) -> bool:
    """Return whether there is anything in the log of a run."""
    try:
        return run.session_log.stat().st_size > 0
    except OSError:
        return False
