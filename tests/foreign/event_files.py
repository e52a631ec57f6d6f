"""Writes event files byte by byte, as TensorFlow and PyTorch do, without either."""

import struct
from collections.abc import Iterable
from pathlib import Path

from tuimon import crc32c


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def record(content: bytes) -> bytes:
    """Return a frame with its checksums."""
    length = struct.pack("<Q", len(content))
    return b"".join(
        (length, struct.pack("<I", crc32c.masked(length)), content, struct.pack("<I", crc32c.masked(content)))
    )


def event(step: int, *values: bytes, time: float = 1000.0, rest: bytes = b"") -> bytes:
    """Return a record of some values of one step."""
    summary = message(5, b"".join(message(1, value) for value in values)) if values else b""
    number = b"\x10" + varint(step) if step else b""
    return record(b"\x09" + struct.pack("<d", time) + number + summary + rest)


def simple(tag: str, value: float) -> bytes:
    """Return a scalar as TensorFlow 1 and PyTorch write it."""
    return message(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def tensor(tag: str, value: float) -> bytes:
    """Return a scalar as TensorFlow 2 writes it."""
    return (
        message(1, tag.encode())
        + message(8, b"\x08\x01" + message(2, b"") + message(4, struct.pack("<f", value)))
        + message(9, message(1, message(1, b"scalars")))
    )


def starts_at(step: int) -> bytes:
    """Return the record by which training says that it begins anew at a step, as `purge_step` does."""
    return event(step, rest=message(7, b"\x08\x01"))


def version() -> bytes:
    return event(0, rest=message(3, b"brain.Event:2"))


def write(directory: Path, records: Iterable[bytes], name: str = "events.out.tfevents.1000.host.1.0.v2") -> Path:
    """Write an event file, with its first record."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_bytes(version() + b"".join(records))
    return path


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)
