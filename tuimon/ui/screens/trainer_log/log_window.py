"""The lines of a printed log that are at hand, by their offsets in the file.

A log may have hundreds of MB. Only blocks of it are read: its end, and others when somebody goes there.
"""

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from tuimon.regular_file import open_regular
from tuimon.text import printed_line

BLOCK_BYTES = 256 * 1024
"""Bytes read at once."""
_PIECE_BYTES = 16 * 1024
"""A longer line is split: a progress bar may never end its line."""
_LINE_CHARACTERS = 4000
_MOST_LINES = 20_000
"""More lines are not kept: those farthest from the newest block are dropped."""


class LogLine(Struct, frozen=True):
    """One line of the log."""

    offset: int
    """The offset of the line in the file, in bytes."""
    end: int
    """The offset of the next line."""
    text: str
    """The text to show."""


class Block(Struct, frozen=True):
    """Consecutive lines."""

    lines: tuple[LogLine, ...]
    """The lines, in the order of the file."""
    size: int
    """Bytes of the whole file at the time of reading."""


class LogWindow:
    """Consecutive lines, empty at first, which grow at both ends."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        """The lines, in the order of the file."""

    @property
    def start(self) -> int:
        """The offset of the first line."""
        return self.lines[0].offset if self.lines else 0

    @property
    def end(self) -> int:
        """The offset of the line after the last one."""
        return self.lines[-1].end if self.lines else 0

    def take(self, block: Block) -> None:
        """Join a block to the lines at hand, or replace them with it if it does not meet them."""
        if not block.lines:
            return
        first, last = block.lines[0].offset, block.lines[-1].end
        if first > self.end or last < self.start:
            self.lines = list(block.lines)
            return
        # A line in both may have been read without its end.
        before = [line for line in self.lines if line.end <= first]
        after = [line for line in self.lines if line.offset >= last]
        joined = [*before, *block.lines, *after]
        self.lines = joined[-_MOST_LINES:] if len(before) > len(after) else joined[:_MOST_LINES]

    def index_at(self, offset: int) -> int:
        """Return the index of the line at an offset; of the nearest line if that one is not at hand."""
        return max(0, bisect_right(self.lines, offset, key=lambda line: line.offset) - 1)


def read_block(path: Path, *, start: int | None = None, before: int | None = None) -> Block:
    """Read the lines from ``start`` on, or those that end at ``before``; neither: the last ones.

    Raises:
        OSError: The log cannot be read.
    """
    data, first, size = _read(path, start, before)
    return Block(tuple(lines_of(data, first)), size)


def _read(path: Path, start: int | None, before: int | None) -> tuple[bytes, int, int]:
    """Return whole lines, where they begin, and the size of the file."""
    with open_regular(path) as file:
        size = file.seek(0, os.SEEK_END)
        if start is not None:
            first, last = min(start, size), min(start + BLOCK_BYTES, size)
        else:
            last = size if before is None else min(before, size)
            first = max(0, last - BLOCK_BYTES)
        file.seek(first)
        data = file.read(last - first)
    if start is None and first > 0:
        # The block begins within a line, unless that line is longer than the block.
        skipped = data.find(b"\n", 0, -1) + 1
        first, data = first + skipped, data[skipped:]
    if start is not None and last < size and b"\n" in data:
        data = data[: data.rfind(b"\n") + 1]
    return data, first, size


def with_lines_before(path: Path, line: LogLine) -> Block:
    """Read a line with the lines around it.

    Raises:
        OSError: The log cannot be read.
    """
    after = read_block(path, start=line.offset)
    return Block((*(read_block(path, before=line.offset).lines if line.offset else ()), *after.lines), after.size)


def find(
    path: Path, words: str, *, start: int | None = None, before: int | None = None, go_on: Callable[[], bool]
) -> LogLine | None:
    """Return the next line from ``start`` on, or the last one that ends at ``before``, that holds ``words``.

    Args:
        path: The log.
        words: The words; capital and small letters are the same.
        start: Search from here on; None: search back from ``before``.
        before: Search back from here.
        go_on: Called now and then; once it returns False, the search is given up.

    Raises:
        OSError: The log cannot be read.
    """
    pattern = pattern_of(words)
    while go_on():
        data, first, _ = _read(path, start, before)
        if not data:
            return None
        if _may_hold(data, words):
            lines = list(lines_of(data, first))
            found = (line for line in (lines if before is None else reversed(lines)) if pattern.search(line.text))
            if line := next(found, None):
                return line
        if before is None:
            start = first + len(data)
        elif first == 0:
            return None
        else:
            before = first
    return None


def _may_hold(data: bytes, words: str) -> bool:
    """Return False if no line can hold ``words`` when shown; found without making the lines."""
    # Escape sequences and backspaces are not shown, and capital letters beyond ASCII are not bytes.
    if not words.isascii() or b"\x1b" in data or b"\b" in data:
        return True
    return words.lower().encode() in data.lower().replace(b"\t", b" ")


def pattern_of(words: str) -> re.Pattern[str]:
    """Return a pattern that finds ``words`` literally."""
    return re.compile(re.escape(words), re.IGNORECASE)


def lines_of(data: bytes, offset: int) -> Iterator[LogLine]:
    """Yield the lines of ``data``, which begins at ``offset`` of the file."""
    for whole in _split(data):
        for begin in range(0, len(whole), _PIECE_BYTES):
            piece = whole[begin : begin + _PIECE_BYTES]
            text = printed_line(piece.decode(errors="replace").removesuffix("\n"), _LINE_CHARACTERS)
            yield LogLine(offset, offset + len(piece), text)
            offset += len(piece)


def _split(data: bytes) -> Iterator[bytes]:
    """Yield lines with their ends. The carriage returns of a progress bar begin no new line."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin) + 1 or len(data)
        yield data[begin:end]
        begin = end
