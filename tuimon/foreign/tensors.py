"""The arrays inside event files: TensorProto, and the histograms of TensorFlow 1 and of PyTorch."""

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from tuimon.foreign import protobuf

_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 19: "<f2", 17: "<u2"}
"""NumPy's types of the numbers of TensorFlow's DataType that are read."""
_DTYPE, _SHAPE, _CONTENT, _FLOATS, _DOUBLES, _INTS, _TEXTS, _LONGS, _BOOLS = 1, 2, 4, 5, 6, 7, 8, 10, 11
_PACKED = {_FLOATS: "<f4", _DOUBLES: "<f8"}
_MOST_NUMBERS = 1 << 20

FloatArray = npt.NDArray[np.float64]


class Tensor(Struct):
    """One array, or texts."""

    numbers: FloatArray = field(default_factory=lambda: np.empty(0))
    """All numbers, flat; none where the type is not read."""
    shape: tuple[int, ...] = ()
    """Of the array."""
    texts: list[str] = field(default_factory=list)
    """The texts of an array of texts."""
    number_at: int | None = None
    """Where a single number begins; None where it is not one of fixed size."""
    number_kind: str = ""
    """NumPy's type of that number."""


def tensor(record: bytes, start: int, end: int) -> Tensor:
    """Read a TensorProto.

    Raises:
        ValueError: it is none.
    """
    read = Tensor()
    kind = ""
    for number, wire, begin, stop in protobuf.fields(record, start, end):
        if number == _DTYPE and wire == protobuf.VARINT:
            kind = _DTYPES.get(protobuf.varint(record, begin, stop)[0], "")
        elif number == _SHAPE and wire == protobuf.BYTES:
            read.shape = _shape(record, begin, stop)
        elif number == _CONTENT and wire == protobuf.BYTES:
            _take(read, record, begin, stop, kind)
        elif number in _PACKED:
            _take(read, record, begin, stop, _PACKED[number])
        elif number in (_INTS, _LONGS, _BOOLS):
            read.numbers = np.append(read.numbers, _integers(record, begin, stop, wire))
        elif number == _TEXTS and wire == protobuf.BYTES:
            read.texts.append(protobuf.text(record, begin, stop))
    return _spread(read)


def _take(read: Tensor, record: bytes, begin: int, stop: int, kind: str) -> None:
    if not kind or (stop - begin) % np.dtype(kind).itemsize:
        return
    numbers = np.frombuffer(record[begin:stop], dtype=kind)
    read.number_at, read.number_kind = (begin, kind) if len(numbers) == 1 and not read.numbers.size else (None, "")
    with np.errstate(invalid="ignore"):
        read.numbers = np.append(read.numbers, numbers.astype(np.float64))


def _integers(record: bytes, begin: int, stop: int, wire: int) -> list[int]:
    if wire not in (protobuf.VARINT, protobuf.BYTES):
        raise ValueError("integers of another wire type")
    found = []
    while begin < stop:
        value, begin = protobuf.varint(record, begin, stop)
        found.append(protobuf.signed(value))
    return found


def _spread(read: Tensor) -> Tensor:
    """Repeat the last number up to the size of the array: what is equal at its end is written once."""
    size = int(np.prod(read.shape, dtype=np.float64))
    if 0 < read.numbers.size < size <= _MOST_NUMBERS:
        read.numbers = np.append(read.numbers, np.full(size - read.numbers.size, read.numbers[-1]))
        read.number_at = None
    if read.numbers.size != size:
        read.numbers, read.number_at = np.empty(0), None
    return read


def _shape(record: bytes, start: int, end: int) -> tuple[int, ...]:
    sizes = []
    for number, wire, begin, stop in protobuf.fields(record, start, end):
        if number == 2 and wire == protobuf.BYTES:
            inner = protobuf.fields(record, begin, stop)
            sizes.append(next((protobuf.varint(record, at, to)[0] for one, _, at, to in inner if one == 1), 0))
    return tuple(sizes)


def old_histogram(record: bytes, start: int, end: int) -> FloatArray:
    """Return a HistogramProto as rows of left edge, right edge and count, without empty ones, shape ``(buckets, 3)``.

    Its outermost buckets reach to the limits of all numbers: their ends are taken from the least and the largest one.

    Raises:
        ValueError: it is none.
    """
    limits, counts, least, largest = np.empty(0), np.empty(0), 0.0, 0.0
    for number, wire, begin, stop in protobuf.fields(record, start, end):
        if number in (1, 2) and wire == protobuf.FIXED64:
            value = protobuf.double(record, begin)
            least, largest = (value, largest) if number == 1 else (least, value)
        elif number in (6, 7) and (stop - begin) % 8 == 0:
            values = np.frombuffer(record[begin:stop], dtype="<f8")
            limits, counts = (np.append(limits, values), counts) if number == 6 else (limits, np.append(counts, values))
    if len(limits) != len(counts) or not len(limits):
        return np.empty((0, 3))
    left = np.concatenate(([least], limits[:-1]))
    rows = np.column_stack((np.clip(left, least, largest), np.clip(limits, least, largest), counts))
    filled: FloatArray = rows[counts > 0]
    return filled
