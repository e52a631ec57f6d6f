"""Reads the output of the training process in a thread: its end, new lines, and blocks on request."""

import os
import queue
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from tuimon.regular_file import open_regular
from tuimon.ui.screens.trainer_log.log_window import Block, find, read_block, with_lines_before

_LOOK_SECONDS = 0.25


@dataclass
class LogChanged(Message):
    """What the training process prints has grown, is another file, or is gone."""

    size: int | None
    """The size of the file in bytes; None if there is no such file."""
    is_other: bool
    """Whether what was read before is not its content any more."""
    reason: str = ""
    """Why the file cannot be read; empty if it can, or is not there."""
    has_older: bool = False
    """Whether a second file, ``trainer.log.1``, has older lines."""


@dataclass
class LogRead(Message):
    """A part of what the training process printed was read."""

    block: Block
    """The lines."""
    is_end: bool = False
    """True if they are the last lines of the file, asked for as such."""


@dataclass
class LogSearched(Message):
    """A search through what the training process printed is over."""

    words: str
    """The words that were searched for."""
    offset: int | None
    """The offset of the line that holds the words; None if none does."""
    back: bool
    """Whether it was searched for towards the begin of the file."""


class LogReader:
    """Watches a log until closed. It touches no widget, and posts messages.

    Args:
        path: The log.
        post: Takes the messages.
    """

    def __init__(self, path: Path, post: Callable[[Message], object]) -> None:
        self._path = path
        self._post = post
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closed = False
        self._search = 0
        self._seen: tuple[int, int] | None = None
        self._has_older = False
        self._said: LogChanged | None = None

    def run(self) -> None:
        """Read until closed."""
        while not self._closed:
            self._look()
            try:
                job = self._jobs.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if job is not None:
                self._do(job)

    def close(self) -> None:
        """End `run` soon. Called from another thread."""
        self._closed = True
        self._jobs.put(None)

    def read_end(self) -> None:
        """Read the last lines."""
        self._jobs.put(lambda: self._read(is_end=True))

    def read_from(self, start: int) -> None:
        """Read the lines from a place on."""
        self._jobs.put(lambda: self._read(start=start))

    def read_before(self, before: int) -> None:
        """Read the lines that end at a place."""
        self._jobs.put(lambda: self._read(before=before))

    def search(self, words: str, offset: int, *, back: bool) -> None:
        """Search on or back from a place for the nearest line that holds ``words``; a running search is given up."""
        self._search += 1
        number = self._search
        self._jobs.put(lambda: self._find(number, words, offset, back))

    def give_up(self) -> None:
        """Give up the running search."""
        self._search += 1

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except OSError as error:
            # Once it can be read again, the next look says so.
            self._seen = None
            self._say(LogChanged(None, is_other=False, reason=error.strerror or str(error)))

    def _read(self, *, start: int | None = None, before: int | None = None, is_end: bool = False) -> None:
        self._post(LogRead(read_block(self._path, start=start, before=before), is_end))

    def _find(self, number: int, words: str, offset: int, back: bool) -> None:
        def go_on() -> bool:
            return number == self._search and not self._closed

        start, before = (None, offset) if back else (offset, None)
        line = find(self._path, words, start=start, before=before, go_on=go_on)
        if not go_on():
            return
        if line is not None:
            self._post(LogRead(with_lines_before(self._path, line)))
        self._post(LogSearched(words, line.offset if line else None, back))

    def _look(self) -> None:
        try:
            with open_regular(self._path) as file:
                status = os.fstat(file.fileno())
        except FileNotFoundError:
            self._say(LogChanged(None, is_other=self._seen is not None))
            self._seen = None
            return
        except OSError as error:
            self._say(LogChanged(None, is_other=False, reason=error.strerror or str(error)))
            return
        before, self._seen = self._seen, (status.st_ino, status.st_size)
        is_other = before is not None and (before[0] != status.st_ino or before[1] > status.st_size)
        if before is None or is_other:
            self._has_older = self._path.with_name(f"{self._path.name}.1").exists()
        self._say(LogChanged(status.st_size, is_other, has_older=self._has_older))

    def _say(self, message: LogChanged) -> None:
        said, self._said = self._said, message
        if said is None or message.is_other or (said.size, said.reason) != (message.size, message.reason):
            self._post(message)
