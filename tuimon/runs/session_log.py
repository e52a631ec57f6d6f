"""Reading ``session.jsonl``: whole, or as it grows.

A line may be torn (the trainer died in the middle of it, or is writing it now) and may carry types
that this version does not know: neither stops a reader.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from tuimon.protocol.checks import check
from tuimon.protocol.events import AnyEvent, RunStarted
from tuimon.runs.bad_lines import BadLines

_CHUNK_BYTES = 4 * 1024 * 1024
_END_BYTES = 1024 * 1024
_TYPE = b'\n{"type":"'
_MANY = (b'batches"', b'batch_norm"', b'batch_norm_channels"')
"""How lines go on of which a log has most."""
_STARTED = b'{"type":"run_started"'
_KNOWN_TYPES = frozenset(str(kind.__struct_config__.tag) for kind in AnyEvent.__args__)

_decoder = msgspec.json.Decoder(AnyEvent)
encoder = msgspec.json.Encoder()


class _Typed(msgspec.Struct):
    type: str


_type_decoder = msgspec.json.Decoder(_Typed)


class Tail:
    """Follows one log. Each ``read`` returns the events of the lines that are whole by now.

    The file is opened anew each time: on a network file system that is what makes another host's
    writes visible.

    Example:
        ```python
        tail = Tail(run.session_log)
        for event in tail.read():
            ...
        ```
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        """Bytes read so far, up to the end of the last whole line."""
        self.bad_lines = BadLines()
        """Lines that are no event: torn, not JSON, or with values that none can have."""
        self.unknown = 0
        """Lines of a type that this version does not know."""
        self._counted_bytes = self._counted_lines = 0

    @property
    def unreadable(self) -> int:
        """How many lines are no event."""
        return self.bad_lines.count

    def read(self, limit: int = _CHUNK_BYTES) -> list[AnyEvent]:
        """Return the events of at most about ``limit`` further bytes; none where there are none yet.

        Raises:
            OSError: the log is there and cannot be read.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        with os.fdopen(descriptor, "rb") as file:
            data = self._whole_lines(file, limit)
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
        """
        begins = tuple(f'{{"type":"{kind.__struct_config__.tag}"'.encode() for kind in kinds)
        while self.offset < offset:
            before = self.offset
            with self.path.open("rb") as file:
                data = self._whole_lines(file, min(_CHUNK_BYTES, offset - self.offset))
            yield from self._decode(b"\n".join(line for line in data.splitlines() if line.startswith(begins)))
            if self.offset == before:
                return

    def outline(self, limit: int) -> list[AnyEvent]:
        """Return the facts of about ``limit`` further bytes, but those of single batches and of layers' statistics.

        These are nearly all of a long log; to find the others takes about a fiftieth of the time of reading all.
        """
        with self.path.open("rb") as file:
            data = self._whole_lines(file, limit)
        parts = (b"\n" + data).split(_TYPE)
        return list(self._decode(b"\n".join(_TYPE[1:] + part for part in parts[1:] if not part.startswith(_MANY))))

    def _advance(self) -> list[AnyEvent]:
        # A chunk may hold nothing that this version knows: go on until the offset stands still.
        while True:
            before = self.offset
            events = self.read()
            if events or self.offset == before:
                return events

    def _whole_lines(self, file: BinaryIO, limit: int) -> bytes:
        file.seek(self.offset)
        data = file.read(limit)
        end = data.rfind(b"\n") + 1
        while end == 0 and len(data) >= limit:
            # One line longer than the limit: a line is never cut.
            more = file.read(limit)
            if not more:
                break
            data += more
            end = data.rfind(b"\n") + 1
            limit += len(more)
        self.offset += end
        return data[:end]

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
    """Return the size of a log, without its last line where that is not whole yet, and whether the run is paused."""
    try:
        with path.open("rb") as file:
            start = file.seek(max(0, file.seek(0, 2) - _END_BYTES))
            data = file.read()
    except FileNotFoundError:
        return 0, False
    data = data[: data.rfind(b"\n") + 1]
    state = data.rfind(b'\n{"type":"state_changed"')
    return start + len(data), state >= 0 and b'"state":"paused"' in data[state + 1 :].partition(b"\n")[0]


def newest_start(path: Path) -> RunStarted | None:
    """Return the fact that began the newest attempt of a run, without reading what lies between."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            while end > 0:
                start = max(0, end - _CHUNK_BYTES)
                file.seek(start)
                # A little more than the chunk: what begins in it may go on behind it.
                data = file.read(end - start + len(_STARTED))
                place = data.rfind(_STARTED)
                while place >= 0:
                    file.seek(max(0, start + place - 1))
                    is_a_line = start + place == 0 or file.read(1) == b"\n"
                    line = file.readline() if is_a_line else b""
                    if line.endswith(b"\n"):
                        with contextlib.suppress(ValueError):
                            if isinstance(event := decode(line), RunStarted):
                                return event
                    place = data.rfind(_STARTED, 0, place)
                end = start
    except FileNotFoundError:
        pass
    return None
