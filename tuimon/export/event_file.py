"""TensorBoard's event files: records with checksums, of events in the encoding of protocol buffers.

A record is: length (8 bytes), checksum of the length (4), the event, checksum of the event (4), all little-endian; the
checksums are CRC-32C, masked. Source: `tensorflow/core/lib/io/record_writer.h`, `crc32c.h`, and the field numbers of
`event.proto`, `summary.proto`, `tensor.proto` and `tensor_shape.proto`.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tuimon.protocol.wire import Number, from_wire

VERSION = b"brain.Event:2"
"""What the first event of a file says of its format."""
_BUFFERED_BYTES = 1024 * 1024
_TOGETHER = 1024
"""Records whose checksums are computed at once."""
_MASK = 0xA282EAD8
_POLYNOMIAL = 0x82F63B78
"""Of CRC-32C (Castagnoli), lowest bit first."""

Checksums = npt.NDArray[np.uint32]


class EventFile:
    """Appends events to an event file.

    Args:
        file: Takes the bytes; stays open.

    Example:
        ```python
        events = EventFile(file)
        events.add(1012.0, 4, [scalar("epoch_loss", 0.5)])
        events.flush()
        ```
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def begin(self, time: float) -> None:
        """Write what an event file begins with."""
        writer = _field(10, _field(1, b"tuimon"))
        self._put(b"\x09" + struct.pack("<d", time) + _field(3, VERSION) + writer)

    def add(self, time: float, step: int, values: Iterable[bytes]) -> None:
        """Write the values of one step.

        Args:
            time: Unix time in seconds.
            step: Where TensorBoard draws them.
            values: What `scalar`, `histogram` and `text` returned.
        """
        self._put(b"\x09" + struct.pack("<d", time) + b"\x10" + _varint(step) + _field(5, b"".join(values)))

    def flush(self) -> None:
        """Hand everything to the file."""
        self._file.write(records(self._waiting))
        self._waiting, self._waiting_bytes = [], 0

    def _put(self, event: bytes) -> None:
        self._waiting.append(event)
        self._waiting_bytes += len(event)
        if self._waiting_bytes >= _BUFFERED_BYTES:
            self.flush()


def scalar(tag: str, value: Number, description: str = "") -> bytes:
    """Return a number as a value of an event, in single precision: what is too large for it becomes infinite.

    In the older one of the two encodings: TensorBoard draws both alike, and `EventAccumulator.Scalars` returns this one
    only.

    Args:
        tag: Its name.
        value: The number.
        description: What TensorBoard says of the curve.
    """
    number = from_wire(value)
    before, behind = _around_scalar(tag, description)
    try:
        return before + struct.pack("<f", number) + behind
    except OverflowError:
        return before + struct.pack("<f", math.copysign(math.inf, number)) + behind


def histogram(tag: str, buckets: Sequence[tuple[float, float, float]]) -> bytes:
    """Return a histogram as a value of an event.

    Args:
        tag: Its name.
        buckets: Left edge, right edge and count of each, from left to right.
    """
    shape = b"".join(_field(2, b"\x08" + _varint(size)) for size in (len(buckets), 3))
    content = np.asarray(buckets, dtype="<f8").tobytes()
    # 2: DT_DOUBLE.
    return _tensor(tag, b"histograms", b"\x08\x02" + _field(2, shape) + _field(4, content))


def text(tag: str, lines: Iterable[str]) -> bytes:
    """Return lines of text as a value of an event.

    TensorBoard takes text for Markdown, in which four blanks begin what is shown as it is.
    """
    words = "\n".join(f"    {line}" for line in lines)
    # 7: DT_STRING, without dimensions.
    return _tensor(tag, b"text", b"\x08\x07" + _field(2, b"") + _field(8, _utf8(words)))


def records(events: Sequence[bytes]) -> bytes:
    """Return events as records of a file."""
    lengths = [struct.pack("<Q", len(event)) for event in events]
    of_lengths, of_events = _masked(crc32c(lengths)), _masked(crc32c(events))
    return b"".join(part for together in zip(lengths, of_lengths, events, of_events, strict=True) for part in together)


def crc32c(messages: Sequence[bytes]) -> Checksums:
    """Return the CRC-32C of messages of four bytes at least, of shape ``(messages,)``.

    Many together: a step of the loop takes one byte of each.

    Example:
        >>> hex(crc32c([b"123456789"])[0])
        '0xe3069283'
    """
    checksums = np.zeros(len(messages), dtype=np.uint32)
    by_length = sorted(range(len(messages)), key=lambda place: len(messages[place]))
    for first in range(0, len(messages), _TOGETHER):
        places = by_length[first : first + _TOGETHER]
        checksums[places] = _crc32c_of([messages[place] for place in places])
    return checksums


def _crc32c_of(messages: Sequence[bytes]) -> Checksums:
    longest = max(map(len, messages))
    # Zeros before a message change nothing of a checksum that begins with 0. One that begins with all bits set is that
    # of the message with its first four bytes turned round.
    padded = b"".join(message.rjust(longest, b"\0") for message in messages)
    columns = np.frombuffer(padded, dtype=np.uint8).reshape(len(messages), longest).T.copy()
    starts = longest - np.array([len(message) for message in messages])
    for byte in range(4):
        columns[starts + byte, np.arange(len(messages))] ^= 0xFF
    checksums = np.zeros(len(messages), dtype=np.uint32)
    table = _table()
    for column in columns:
        checksums = table[(checksums ^ column) & 0xFF] ^ (checksums >> 8)
    return ~checksums


def _masked(checksums: Checksums) -> list[bytes]:
    turned = (checksums >> 15) | (checksums << 17)
    together = (turned + np.uint32(_MASK)).astype("<u4").tobytes()
    return [together[place : place + 4] for place in range(0, len(together), 4)]


@lru_cache(maxsize=1)
def _table() -> Checksums:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@lru_cache(maxsize=4096)
def _around_scalar(tag: str, description: str) -> tuple[bytes, bytes]:
    name = _field(1, _utf8(tag))
    # 1: DATA_CLASS_SCALAR.
    metadata = _field(1, _field(1, b"scalars")) + _field(3, _utf8(description)) + b"\x20\x01"
    behind = _field(9, metadata) if description else b""
    # The number takes four bytes, and its key one.
    return b"\x0a" + _varint(len(name) + 5 + len(behind)) + name + b"\x15", behind


def _tensor(tag: str, plugin: bytes, tensor: bytes) -> bytes:
    # 2: DATA_CLASS_TENSOR.
    metadata = _field(1, _field(1, plugin)) + b"\x20\x02"
    return _field(1, _field(1, _utf8(tag)) + _field(8, tensor) + _field(9, metadata))


def _field(number: int, content: bytes) -> bytes:
    """Return a field that has a length: bytes, text or another message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _utf8(words: str) -> bytes:
    return words.encode(errors="replace")
