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

from tuimon.crc32c import masked_of_many
from tuimon.protocol.wire import Number, from_wire

VERSION = b"brain.Event:2"
"""What the first event of a file says of its format."""
_BUFFERED_BYTES = 1024 * 1024


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
    of_lengths, of_events = masked_of_many(lengths), masked_of_many(events)
    return b"".join(part for together in zip(lengths, of_lengths, events, of_events, strict=True) for part in together)


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
