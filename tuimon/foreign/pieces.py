"""A piece of an event file as columns: records that are alike but for time, step and number are read together."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from tuimon.foreign import records
from tuimon.foreign.events import Event, Value, parse
from tuimon.foreign.limits import LAST_STEP, possible_times
from tuimon.foreign.records import Frames, IntArray

_FEWEST_ALIKE = 4
"""Of records of which no more are alike the checksum is looked at: one byte that is wrong makes a kind of its own."""
_MOST_KINDS = 64
"""Of one length. What is of a further kind is read record by record."""
_LONGEST_ALIKE = 1024
"""Longer records hold no single scalars."""
_MOST_CHECKED = 1000
"""Checksums of one tag that are looked at because its steps do not grow."""

FloatArray = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


class Rows(Struct, frozen=True):
    """Scalars of one tag, in the order of the file."""

    records: IntArray
    """The number of the record in the piece that each came in, shape ``(rows,)``."""
    steps: IntArray
    """Their steps."""
    times: FloatArray
    """Unix seconds."""
    values: FloatArray
    """The scalars."""

    def between(self, first: int, end: int) -> "Rows":
        """Return the rows of some records."""
        low, high = np.searchsorted(self.records, (first, end))
        return self._taken(slice(low, high))

    def of_steps(self, which: npt.NDArray[np.bool_]) -> "Rows":
        """Return the rows for which a column, shape ``(rows,)``, is true."""
        return self._taken(which)

    def _taken(self, which: slice | IntArray | npt.NDArray[np.bool_]) -> "Rows":
        return Rows(self.records[which], self.steps[which], self.times[which], self.values[which])


class Piece(Struct):
    """What some records hold."""

    scalars: dict[str, Rows] = field(default_factory=dict)
    """By tag, in the order in which the tags come first."""
    described: dict[str, str] = field(default_factory=dict)
    """By tag, what the writer says of scalars."""
    others: list[tuple[int, Event]] = field(default_factory=list)
    """Events with something else than scalars, each with the number of its record."""
    damaged: int = 0
    """Records that are not as they were written; they are left out."""
    misplaced: int = 0
    """Scalars at a step below 0, or too large; they are left out."""


def read(data: bytes, found: Frames) -> Piece:
    """Read the records of a piece of an event file.

    Checksums are looked at where something is odd: a record that cannot be read, one that is like few others, a step
    that is not behind the one before.
    """
    return _Reading(data, found).read()


class _Reading:
    """The tables that are filled while a piece is read."""

    def __init__(self, data: bytes, found: Frames) -> None:
        self._data = data
        self._array = np.frombuffer(data + bytes(8), dtype=np.uint8)
        self._found = found
        self._piece = Piece()
        self._parts: dict[str, list[Rows]] = {}

    def read(self) -> Piece:
        lengths = self._found.lengths
        order = np.argsort(lengths, kind="stable")
        known, begins = np.unique(lengths[order], return_index=True)
        for length, rows in zip(known, np.split(order, begins[1:]), strict=True):
            if length <= _LONGEST_ALIKE:
                self._read_alike(int(length), rows)
            else:
                self._read_each(rows)
        self._piece.others.sort(key=lambda pair: pair[0])
        joined = {tag: self._joined(parts) for tag, parts in self._parts.items()}
        kept = {tag: rows for tag, rows in joined.items() if len(rows.records)}
        self._piece.scalars = dict(sorted(kept.items(), key=lambda item: int(item[1].records[0])))
        return self._piece

    def _read_alike(self, length: int, rows: IntArray) -> None:
        """Read records of one length."""
        words = -(-length // 8)
        windows = np.lib.stride_tricks.sliding_window_view(self._array, 8 * words)
        for _ in range(_MOST_KINDS):
            if not len(rows):
                return
            event = self._parsed(int(rows[0]))
            if event is None or not _is_plain(event):
                self._keep(int(rows[0]), event)
                rows = rows[1:]
                continue
            block = np.ascontiguousarray(windows[self._found.starts[rows]])
            differs = (block ^ block[0]).view("<u8") & _fixed(event, length, words).view("<u8")
            alike = ~differs.any(axis=1)
            if np.count_nonzero(alike) <= _FEWEST_ALIKE:
                self._read_each(rows[alike])
            else:
                self._take_alike(event, block[alike], rows[alike])
            rows = rows[~alike]
        self._read_each(rows)

    def _take_alike(self, event: Event, block: Bytes, rows: IntArray) -> None:
        times = np.ascontiguousarray(block[:, 1:9]).view("<f8")[:, 0]
        steps = np.zeros(len(rows), dtype=np.uint64)
        first, last = event.step_slot or (0, 0)
        for shift, place in enumerate(range(first, last)):
            steps |= (block[:, place] & 0x7F).astype(np.uint64) << np.uint64(7 * shift)
        for value in event.values:
            assert value.slot is not None
            size = np.dtype(value.slot.kind).itemsize
            part = np.ascontiguousarray(block[:, value.slot.start : value.slot.start + size])
            with np.errstate(invalid="ignore"):
                numbers = part.view(value.slot.kind)[:, 0].astype(np.float64)
            self._put(value, Rows(rows, steps.view(np.int64), times, numbers))

    def _read_each(self, rows: IntArray) -> None:
        for row in rows.tolist():
            event = self._parsed(row)
            start, length = int(self._found.starts[row]), int(self._found.lengths[row])
            if event is not None and not records.is_whole(self._data, start, length):
                self._piece.damaged += 1
            else:
                self._keep(row, event)

    def _parsed(self, row: int) -> Event | None:
        """Return the event of a record; None where it is none."""
        start = int(self._found.starts[row])
        try:
            return parse(self._data[start : start + int(self._found.lengths[row])])
        except ValueError:
            return None

    def _keep(self, row: int, event: Event | None) -> None:
        if event is None:
            self._piece.damaged += 1
            return
        scalars = [value for value in event.values if value.kind == "scalar"]
        for value in scalars:
            self._put(value, Rows(np.array([row]), np.array([event.step]), np.array([event.time]), value.numbers))
        if len(scalars) < len(event.values) or event.begins_anew or event.others:
            self._piece.others.append((row, event))

    def _put(self, value: Value, rows: Rows) -> None:
        self._parts.setdefault(value.tag, []).append(rows)
        if value.description:
            self._piece.described[value.tag] = value.description

    def _joined(self, parts: list[Rows]) -> Rows:
        """Return the rows of a tag in the order of the file, without those that cannot be true."""
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in Rows.__annotations__)
        rows = Rows(*columns)
        if len(parts) > 1:
            rows = rows._taken(np.argsort(rows.records, kind="stable"))
        backwards = np.flatnonzero(np.diff(rows.steps) <= 0)[:_MOST_CHECKED]
        odd = np.unique(np.concatenate((backwards, backwards + 1)))
        is_right = np.ones(len(rows.records), dtype=bool)
        for place in odd.tolist():
            record = int(rows.records[place])
            start, length = int(self._found.starts[record]), int(self._found.lengths[record])
            is_right[place] = records.is_whole(self._data, start, length)
        self._piece.damaged += int(np.count_nonzero(~is_right))
        is_placed = (rows.steps >= 0) & (rows.steps <= LAST_STEP)
        self._piece.misplaced += int(np.count_nonzero(is_right & ~is_placed))
        rows = rows._taken(is_right & is_placed)
        return Rows(rows.records, rows.steps, possible_times(rows.times), rows.values)


def _is_plain(event: Event) -> bool:
    """Whether an event has scalars alone, each at a place of its own."""
    is_plain = all(value.slot is not None for value in event.values)
    return bool(event.values) and is_plain and not event.begins_anew and not event.others


def _fixed(event: Event, length: int, words: int) -> Bytes:
    """Return a mask of the bits that records of this kind have in common, shape ``(8 * words,)``."""
    mask = np.zeros(8 * words, dtype=np.uint8)
    mask[:length] = 0xFF
    # The first field is the time, with its key.
    mask[1:9] = 0
    first, last = event.step_slot or (0, 0)
    # Of each byte of the step, whether another one follows.
    mask[first:last] = 0x80
    for start, size in _slots(event):
        mask[start : start + size] = 0
    return mask


def _slots(event: Event) -> Iterator[tuple[int, int]]:
    for value in event.values:
        if value.slot is not None:
            yield value.slot.start, np.dtype(value.slot.kind).itemsize
