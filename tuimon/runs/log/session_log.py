"""Reading ``session.jsonl``: whole, or as it grows.

A line may be torn (the trainer died in the middle of it, or is writing it now) and may carry types
that this version does not know: neither stops a reader.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from tuimon.protocol.checks import check
from tuimon.protocol.events import AnyEvent, RunStarted
from tuimon.regular_file import open_regular
from tuimon.runs.log.bad_lines import BadLines

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of the longest line that is read. The trainer's longest has all channels of all layers: 21 bytes for each."""
_CHUNK_BYTES = 4 * 1024 * 1024
_HEAD_BYTES = 512
"""Of the first line, which names process and time, so that two logs differ in it."""
_FOOT_BYTES = 256
"""Of the newest lines that were read: a copy of a log may have gone on otherwise."""
_END_BYTES = 1024 * 1024
_MANY = (b'{"type":"batches"', b'{"type":"batch_norm"', b'{"type":"batch_norm_channels"')
"""How lines begin of which a log has most."""
_STARTED = b'{"type":"run_started"'
_KNOWN_TYPES = frozenset(str(kind.__struct_config__.tag) for kind in AnyEvent.__args__)

_decoder = msgspec.json.Decoder(AnyEvent)
encoder = msgspec.json.Encoder()


class _Typed(msgspec.Struct):
    type: str


_type_decoder = msgspec.json.Decoder(_Typed)


class LogChangedError(OSError):
    """A log is not what it was while it was read: what was read of it says nothing about what is there now."""

    def __init__(self, path: Path, words: str, *, is_removed: bool = False) -> None:
        super().__init__(errno.ENOENT if is_removed else errno.ESTALE, words, str(path))
        self.words = words
        """What happened, such as "the log was removed"."""
        self.is_removed = is_removed
        """Whether nothing is in its place; else `Tail.restart` reads what is there from its beginning."""


class Tail:
    """Follows one log. Each ``read`` returns the events of the lines that are whole by now.

    The file is opened anew each time: on a network file system that is what makes another host's
    writes visible. What was read is compared with it by its first and its last bytes, since an inode number may
    change on some of these, and stays where a file is written over.

    A line of more than `LONGEST_LINE` is counted as unreadable. It is read once, in pieces, and not kept.

    Example:
        ```python
        tail = Tail(run.session_log)
        for event in tail.read():
            ...
        ```
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bad_lines = BadLines()
        """Lines that are no event: torn, too long, not JSON, or with values that none can have."""
        self.unknown = 0
        """Lines of a type that this version does not know."""
        self._offset = 0
        self._head = self._foot = b""
        self._inode: tuple[int, int] | None = None
        self._searched = 0
        self._is_in_long_line = False
        self._counted_bytes = self._counted_lines = 0

    @property
    def unreadable(self) -> int:
        """How many lines are no event."""
        return self.bad_lines.count

    @property
    def offset(self) -> int:
        """Bytes read so far: up to the end of the last whole line, or up to a place within one that is too long."""
        return self._offset

    def skip_to(self, offset: int) -> None:
        """Read on from another place."""
        self._offset, self._searched, self._is_in_long_line, self._foot = offset, 0, False, b""

    def restart(self) -> None:
        """Read what is there now from its beginning."""
        self.skip_to(0)
        self._head, self._inode = b"", None
        self.bad_lines, self.unknown = BadLines(), 0
        self._counted_bytes = self._counted_lines = 0

    def read(self, limit: int = _CHUNK_BYTES) -> list[AnyEvent]:
        """Return the events of at most about ``limit`` further bytes; none where there are none yet.

        None may also be in these bytes: more is there as long as `offset` grows.

        Raises:
            LogChangedError: the log was removed, replaced or shortened since it was read.
            OSError: the log is there and cannot be read.
        """
        data = self._read(limit)
        return list(self._decode(data, self._count(data)))

    def read_all(self) -> list[AnyEvent]:
        """Return every event up to the end of the log as it is now."""
        events = []
        while batch := self._advance():
            events += batch
        return events

    def read_until(self, offset: int) -> list[AnyEvent]:
        """Return the events of the lines that begin before ``offset``, in bytes."""
        events: list[AnyEvent] = []
        while self.offset < offset:
            before = self.offset
            events += self.read(min(_CHUNK_BYTES, offset - self.offset))
            if self.offset == before:
                break
        return events

    def skim(self, offset: int, kinds: Iterable[type[AnyEvent]]) -> Iterator[AnyEvent]:
        """Yield the facts of some types in the lines that begin before ``offset``, in bytes; leave out all others.

        Lines of other types are not decoded, which takes about a twentieth of the time of reading them.

        Raises:
            OSError: as `read` does.
        """
        begins = tuple(f'{{"type":"{kind.__struct_config__.tag}"'.encode() for kind in kinds)
        while self.offset < offset:
            before = self.offset
            data = self._read(min(_CHUNK_BYTES, offset - self.offset))
            yield from self._decode(b"\n".join(line for line in data.splitlines() if line.startswith(begins)))
            if self.offset == before:
                return

    def outline(self, limit: int, *, newest: int = 0) -> list[AnyEvent]:
        """Return the facts of about ``limit`` further bytes, but those of single batches and of layers' statistics.

        These are nearly all of a long log; to find the others takes about a hundredth of the time of reading all.

        Args:
            limit: How many bytes.
            newest: How many facts at their end are returned of whatever kind.

        Raises:
            OSError: as `read` does.
        """
        data = self._read(limit)
        last = _begin_of_last(data, newest)
        return list(self._decode(b"\n".join([*_few(data, last), data[last:]])))

    def _advance(self) -> list[AnyEvent]:
        # A chunk may hold nothing that this version knows: go on until the offset stands still.
        while True:
            before = self.offset
            events = self.read()
            if events or self.offset == before:
                return events

    def is_now_at(self, path: Path) -> bool:
        """Return whether the log that was read lies at another path now, as after its directory was renamed."""
        try:
            with open_regular(path) as file:
                is_same = _read_at(file, 0, _HEAD_BYTES).startswith(self._head) and self._has_foot(file)
                return is_same and _inode(file) == self._inode
        except OSError:
            return False

    def _read(self, limit: int) -> bytes:
        try:
            file = open_regular(self.path)
        except FileNotFoundError:
            if not self._offset:
                return b""
            words = "the log was removed" if self.path.parent.is_dir() else "the run's directory was removed or renamed"
            raise LogChangedError(self.path, words, is_removed=True) from None
        with file:
            self._require_same(file)
            return self._whole_lines(file, limit)

    def _require_same(self, file: BinaryIO) -> None:
        """Check that what was read is still there.

        Raises:
            LogChangedError: it is not.
        """
        size, head = os.fstat(file.fileno()).st_size, _read_at(file, 0, _HEAD_BYTES)
        if head[: len(self._head)] != self._head[: len(head)]:
            raise LogChangedError(self.path, "the log was replaced by another one")
        if size < self._offset:
            raise LogChangedError(self.path, "the log has become shorter than what was read of it")
        if not self._has_foot(file):
            raise LogChangedError(self.path, "the log was replaced by another one")
        if size < self._offset + self._searched:
            # A further attempt cuts off a partial last line.
            self._searched = 0
        self._head, self._inode = head, _inode(file)

    def _has_foot(self, file: BinaryIO) -> bool:
        """Return whether the bytes before the offset are those that were read."""
        begin = max(0, self._offset - _FOOT_BYTES)
        foot = _read_at(file, begin, self._offset - begin)
        is_same = not self._foot or foot == self._foot
        if is_same:
            # After a jump, what is there now is what later looks are compared with.
            self._foot = foot
        return is_same

    def _whole_lines(self, file: BinaryIO, limit: int) -> bytes:
        if self._searched and os.fstat(file.fileno()).st_size <= self._offset + self._searched:
            return b""
        if self._searched < limit and not self._is_in_long_line:
            data = _read_at(file, self._offset, limit)
            end = data.rfind(b"\n") + 1
            self._searched = 0 if end else len(data)
            if end or len(data) < limit:
                self._offset += end
                self._foot = (self._foot + data[max(0, end - _FOOT_BYTES) : end])[-_FOOT_BYTES:]
                return data[:end]
        return self._long_line(file)

    def _long_line(self, file: BinaryIO) -> bytes:
        """Return the one line at the offset, which is longer than what is read at once, once it is whole."""
        budget = LONGEST_LINE
        while budget > 0:
            begin = _behind_hole(file, self._offset + self._searched)
            data = _read_at(file, begin, _CHUNK_BYTES)
            end = data.find(b"\n") + 1
            budget -= max(1, len(data))
            self._searched = begin + (end or len(data)) - self._offset
            is_longest = self._searched > LONGEST_LINE
            if end and not is_longest and not self._is_in_long_line:
                line = _read_at(file, self._offset, self._searched)
                self.skip_to(self._offset + self._searched)
                return line
            if is_longest or self._is_in_long_line:
                if not self._is_in_long_line:
                    self.bad_lines = self.bad_lines.and_one(None)
                self.skip_to(self._offset + self._searched)
                self._is_in_long_line = not end
            if end or not data:
                break
        return b""

    def _count(self, data: bytes) -> int | None:
        """Count the lines that were just read; return how many are before them, None where some were skipped."""
        if self._counted_bytes != self.offset - len(data):
            return None
        before = self._counted_lines
        self._counted_bytes, self._counted_lines = self.offset, before + data.count(b"\n")
        return before

    def _decode(self, data: bytes, before: int | None = None) -> Iterator[AnyEvent]:
        """Yield the facts of some lines; count those that are none.

        Args:
            data: Whole lines.
            before: How many lines of the log are before them; None while not known.
        """
        for place, line in enumerate(data.split(b"\n"), 1):
            if not line.strip(b"\0 \r"):
                continue
            try:
                yield decode(line)
            except ValueError:
                if _is_unknown(line):
                    self.unknown += 1
                else:
                    self.bad_lines = self.bad_lines.and_one(None if before is None else before + place)


def _few(data: bytes, end: int) -> Iterator[bytes]:
    """Yield the lines before ``end`` of the types of which a log has few."""
    place, find, begins_with = 0, data.find, data.startswith
    while place < end:
        newline = find(b"\n", place)
        if not begins_with(_MANY, place):
            yield data[place:newline]
        place = newline + 1


def _begin_of_last(data: bytes, count: int) -> int:
    """Return where the last ``count`` of some whole lines begin."""
    place = len(data)
    for _ in range(count):
        place = data.rfind(b"\n", 0, max(0, place - 1)) + 1
    return place


def decode(line: bytes) -> AnyEvent:
    """Return the fact of a line: the edge. Behind it, types, limits and shapes are as the protocol has them.

    Raises:
        ValueError: the line is no fact; says why.
    """
    try:
        event = _decoder.decode(line)
    except RecursionError:
        raise ValueError("nested too deep") from None
    check(event)
    return event


def _is_unknown(line: bytes) -> bool:
    try:
        return _type_decoder.decode(line).type not in _KNOWN_TYPES
    except (ValueError, RecursionError):
        return False


def whole_end(path: Path) -> tuple[int, bool]:
    """Return the size of a log, without its last line where that is not whole yet, and whether the run is paused.

    Raises:
        OSError: the log is there and cannot be read.
    """
    try:
        with open_regular(path) as file:
            start = file.seek(max(0, file.seek(0, os.SEEK_END) - _END_BYTES))
            data = file.read(_END_BYTES)
    except FileNotFoundError:
        return 0, False
    data = data[: data.rfind(b"\n") + 1]
    state = data.rfind(b'\n{"type":"state_changed"')
    return start + len(data), state >= 0 and b'"state":"paused"' in data[state + 1 :].partition(b"\n")[0]


def newest_start(path: Path) -> RunStarted | None:
    """Return the fact that began the newest attempt of a run, without decoding what lies between.

    Raises:
        OSError: the log is there and cannot be read.
    """
    try:
        with open_regular(path) as file:
            end = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(0, end - _CHUNK_BYTES)
                if _behind_hole(file, start) < end and (found := _newest_start_within(file, start, end)):
                    return found
                end = start
    except FileNotFoundError:
        pass
    return None


def _newest_start_within(file: BinaryIO, start: int, end: int) -> RunStarted | None:
    # A little more than this part: what begins in it may go on behind it.
    data = _read_at(file, start, end - start + len(_STARTED))
    place = data.rfind(_STARTED)
    while place >= 0:
        if start + place == 0 or _read_at(file, start + place - 1, 1) == b"\n":
            for size in (_CHUNK_BYTES, LONGEST_LINE):
                line, newline, _ = _read_at(file, start + place, size).partition(b"\n")
                if newline:
                    with contextlib.suppress(ValueError):
                        if isinstance(event := decode(line), RunStarted):
                            return event
                    break
        place = data.rfind(_STARTED, 0, place)
    return None


def _inode(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    # Not through the buffer of `file`: to look for a hole moves the place that it believes to be at.
    return os.pread(file.fileno(), size, offset)


def _behind_hole(file: BinaryIO, offset: int) -> int:
    """Return where data are from ``offset`` on: a hole in a file, which may be as long as no disk is, has no line."""
    try:
        return max(offset, os.lseek(file.fileno(), offset, os.SEEK_DATA))
    except OSError as error:
        # No data follow, or this file system does not say.
        return max(offset, os.fstat(file.fileno()).st_size) if error.errno == errno.ENXIO else offset
