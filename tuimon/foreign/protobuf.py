"""Reads the few protocol buffers of TensorBoard's event files, field by field.

Source: https://protobuf.dev/programming-guides/encoding/.
"""

from collections.abc import Iterator
from struct import unpack_from

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""The wire types that are read."""
_LONGEST_VARINT = 10

Field = tuple[int, int, int, int]
"""Number, wire type, and where the value begins and ends. Of bytes, the length lies before the value."""


def fields(data: bytes, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of a message.

    Raises:
        ValueError: the bytes are no message.
    """
    place = start
    while place < end:
        key, place = varint(data, place, end)
        number, kind = key >> 3, key & 7
        begin = place
        if kind == VARINT:
            _, place = varint(data, place, end)
        elif kind == FIXED64:
            place += 8
        elif kind == FIXED32:
            place += 4
        elif kind == BYTES:
            length, begin = varint(data, place, end)
            place = begin + length
        else:
            raise ValueError(f"a field of wire type {kind}")
        if place > end or number == 0:
            raise ValueError("a field that ends behind its message")
        yield number, kind, begin, place


def varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    """Return an integer, below 2^64, and where it ends.

    Raises:
        ValueError: it does not end.
    """
    value = 0
    for shift in range(_LONGEST_VARINT):
        if place >= end:
            break
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place
    raise ValueError("an integer that does not end")


def signed(value: int) -> int:
    """Return an int64 that a varint carries."""
    return value - (1 << 64) if value >= 1 << 63 else value


def text(data: bytes, start: int, end: int) -> str:
    """Return a text. What is no UTF-8 in it is replaced."""
    return data[start:end].decode(errors="replace")


def double(data: bytes, start: int) -> float:
    """Return a number of 8 bytes."""
    return float(unpack_from("<d", data, start)[0])


def single(data: bytes, start: int) -> float:
    """Return a number of 4 bytes."""
    return float(unpack_from("<f", data, start)[0])
