"""The frames of a TFRecord file: where each record lies, without reading what is in it.

A frame is a length of 8 bytes, its checksum of 4, the record, and its checksum of 4.
"""

from struct import unpack_from

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from tuimon import crc32c

HEADER_BYTES = 12
FOOTER_BYTES = 4
LONGEST_RECORD = 1 << 30
"""No record of a log is longer: what says so is damaged."""
_LEARNED = 512
"""So many frames are walked one by one, to learn how their lengths repeat; more each time that none do."""
_MOST_LEARNED = 1 << 16

IntArray = npt.NDArray[np.int64]


class Frames(Struct, frozen=True):
    """The whole records in a piece of a file."""

    starts: IntArray
    """Where each record begins, behind its header; shape ``(records,)``."""
    lengths: IntArray
    """The bytes of each, shape ``(records,)``."""
    end: int
    """Where the last whole frame ends."""
    is_damaged: bool
    """Whether what begins at `end` is no frame; else it is one that is not whole yet, or nothing."""


def frames(data: bytes) -> Frames:
    """Find the records in a piece of a file that begins with a frame.

    The checksums of the lengths are checked: they decide where everything behind them lies.
    """
    starts, end = _walk(np.frombuffer(data, dtype=np.uint8), data)
    lengths = _numbers(data, starts - HEADER_BYTES, "<u8").astype(np.int64)
    wrong = _wrong(data, starts, lengths)
    if len(wrong):
        first = int(wrong[0])
        end = int(starts[first]) - HEADER_BYTES
        return Frames(starts[:first], lengths[:first], end, is_damaged=True)
    return Frames(starts, lengths, end, is_damaged=_is_damage(data, end))


def is_whole(data: bytes, start: int, length: int) -> bool:
    """Return whether a record is as it was written, by its checksum."""
    return bool(unpack_from("<I", data, start + length)[0] == crc32c.masked(data[start : start + length]))


def _walk(array: npt.NDArray[np.uint8], data: bytes) -> tuple[IntArray, int]:
    """Return where the records begin, and where the last whole frame ends."""
    found: list[IntArray] = []
    place, size, learned = 0, len(data), _LEARNED
    while True:
        some: list[int] = []
        before = place
        while len(some) < learned and place + HEADER_BYTES <= size:
            frame = unpack_from("<Q", data, place)[0] + HEADER_BYTES + FOOTER_BYTES
            if place + frame > size:
                break
            some.append(place)
            place += frame
        found.append(np.array(some, dtype=np.int64))
        if len(some) < learned:
            break
        guessed = _go_on(array, np.diff(np.array([*some, place])), place)
        if len(guessed):
            found.append(guessed[:-1])
            place = int(guessed[-1])
        learned = _LEARNED if len(guessed) > learned else min(2 * learned, _MOST_LEARNED)
        if place == before:
            break
    return np.concatenate(found) + HEADER_BYTES, place


def _go_on(array: npt.NDArray[np.uint8], sizes: IntArray, place: int) -> IntArray:
    """Return where further frames begin whose sizes repeat those before, and where the last one of them ends."""
    period = _period(sizes)
    if period == 0:
        return np.empty(0, dtype=np.int64)
    pattern = sizes[-period:]
    offsets = np.concatenate(([0], np.cumsum(pattern)))
    rounds = (len(array) - place) // int(offsets[-1])
    if rounds < 1:
        return np.empty(0, dtype=np.int64)
    begins = (place + np.arange(rounds)[:, None] * offsets[-1] + offsets[:-1]).ravel()
    expected = np.tile(pattern, rounds) - HEADER_BYTES - FOOTER_BYTES
    lengths = _at(array, begins, "<u8")
    differs = np.flatnonzero(lengths != expected.astype(np.uint64))
    count = int(differs[0]) if len(differs) else len(begins)
    if count == 0:
        return np.empty(0, dtype=np.int64)
    end = begins[count - 1] + expected[count - 1] + HEADER_BYTES + FOOTER_BYTES
    return np.append(begins[:count], end)


def _period(sizes: IntArray) -> int:
    """Return after how many frames their sizes repeat, as the metrics of a step do; 0: they do not."""
    half = len(sizes) // 2
    last = sizes[-half:]
    candidates = np.flatnonzero(sizes[::-1][: half // 2 + 1] == sizes[-1])[1:]
    return next((int(each) for each in candidates if np.array_equal(last[each:], last[:-each])), 0)


def _wrong(data: bytes, starts: IntArray, lengths: IntArray) -> IntArray:
    """Return which records have a length that its checksum does not confirm."""
    stored = _numbers(data, starts - FOOTER_BYTES, "<u4")
    known, place = np.unique(lengths, return_inverse=True)
    right = np.array([crc32c.of_length(int(length)) for length in known], dtype=np.uint32)
    return np.flatnonzero(stored != right[place]) if len(known) else np.empty(0, dtype=np.int64)


def _is_damage(data: bytes, end: int) -> bool:
    """Return whether what begins at the end of the whole frames is no frame that is being written."""
    if len(data) - end < HEADER_BYTES:
        return False
    length, checksum = unpack_from("<QI", data, end)
    if length == checksum == 0:
        # Room that some file systems show before it is written.
        return False
    return bool(length > LONGEST_RECORD or checksum != crc32c.of_length(length))


def _numbers(data: bytes, places: IntArray, kind: str) -> npt.NDArray[np.integer]:
    return _at(np.frombuffer(data, dtype=np.uint8), places, kind)


def _at(array: npt.NDArray[np.uint8], places: IntArray, kind: str) -> npt.NDArray[np.integer]:
    """Return the numbers of some type at any places, shape ``(len(places),)``."""
    size = np.dtype(kind).itemsize
    if len(array) < size:
        return np.empty(0, dtype=kind)
    # A view of each place as a number: what is not aligned is copied when it is taken.
    views = np.lib.stride_tricks.as_strided(array[: len(array) - size + 1], (len(array) - size + 1, size), (1, 1))
    return np.ascontiguousarray(views[places]).view(kind)[:, 0]
