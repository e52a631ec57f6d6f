"""One record of an event file, read whole: slow, for what is no plain scalar and for the first of each kind."""

from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from tuimon.foreign import protobuf, tensors

_TIME, _STEP, _VERSION, _GRAPH, _SUMMARY, _SESSION_LOG, _META_GRAPH, _SOURCE = 1, 2, 3, 4, 5, 7, 9, 10
_TAG, _SIMPLE, _IMAGE, _HISTOGRAM, _AUDIO, _TENSOR, _METADATA = 1, 2, 4, 5, 6, 8, 9
_START = 1
"""The status of a session log that says that training begins here, maybe anew."""

Kind = Literal["scalar", "histogram", "text", "other"]
FloatArray = npt.NDArray[np.float64]


class Slot(Struct, frozen=True):
    """Where in a record a number lies that differs from one record of a kind to the next."""

    start: int
    """Behind the record's first byte."""
    kind: str
    """NumPy's name of its type."""


class Value(Struct, frozen=True):
    """One value of a summary."""

    tag: str
    """Its name."""
    kind: Kind
    """What it is."""
    plugin: str
    """What shows it, such as "scalars" or "images"; empty: not told."""
    numbers: FloatArray
    """Of a scalar ``(1,)``, of a histogram ``(buckets, 3)``: left and right edge, count."""
    text: str = ""
    """Of a text."""
    slot: Slot | None = None
    """Where the number of a scalar lies; None where records of its kind are not alike."""
    description: str = ""
    """What the writer says of it."""


class Event(Struct):
    """One record."""

    time: float = 0.0
    """Unix seconds."""
    step: int = 0
    """0 where it is not told."""
    step_slot: tuple[int, int] | None = None
    """Where the bytes of the step begin and end."""
    begins_anew: bool = False
    """Whether training begins at this step: what was there at it and behind it is void."""
    values: list[Value] = field(default_factory=list)
    """Its summary."""
    writer: str = ""
    """The program that writes the file; the first record of newer ones tells it."""
    others: list[str] = field(default_factory=list)
    """What else it has, such as "graph"."""


def parse(record: bytes) -> Event:
    """Read a record.

    Raises:
        ValueError: it is no event.
    """
    event = Event()
    for number, kind, start, end in protobuf.fields(record, 0, len(record)):
        if number == _TIME and kind == protobuf.FIXED64:
            event.time = protobuf.double(record, start)
        elif number == _STEP and kind == protobuf.VARINT:
            event.step = protobuf.signed(protobuf.varint(record, start, end)[0])
            event.step_slot = (start, end)
        elif number == _SUMMARY and kind == protobuf.BYTES:
            event.values += [
                _value(record, begin, stop)
                for one, wire, begin, stop in protobuf.fields(record, start, end)
                if one == 1 and wire == protobuf.BYTES
            ]
        elif number == _SESSION_LOG and kind == protobuf.BYTES:
            event.begins_anew = any(
                one == 1 and wire == protobuf.VARINT and protobuf.varint(record, begin, stop)[0] == _START
                for one, wire, begin, stop in protobuf.fields(record, start, end)
            )
        elif number == _SOURCE and kind == protobuf.BYTES:
            event.writer = _text_of(1, record, start, end)
        elif number in (_GRAPH, _META_GRAPH):
            event.others.append("graph")
    return event


def _value(record: bytes, start: int, end: int) -> Value:
    tag, plugin, numbers, text, slot, description = "", "", np.empty(0), "", None, ""
    kind: Kind = "other"
    what = ""
    for number, wire, begin, stop in protobuf.fields(record, start, end):
        if number == _TAG and wire == protobuf.BYTES:
            tag = protobuf.text(record, begin, stop)
        elif number == _SIMPLE and wire == protobuf.FIXED32:
            kind, numbers, slot = "scalar", np.array([protobuf.single(record, begin)]), Slot(begin, "<f4")
        elif number == _HISTOGRAM and wire == protobuf.BYTES:
            kind, numbers = "histogram", tensors.old_histogram(record, begin, stop)
        elif number == _TENSOR and wire == protobuf.BYTES:
            tensor = tensors.tensor(record, begin, stop)
            kind, numbers, text, slot = _of_tensor(tensor)
        elif number == _METADATA and wire == protobuf.BYTES:
            plugin, description = _plugin(record, begin, stop), _text_of(3, record, begin, stop)
        elif number in (_IMAGE, _AUDIO):
            what = "images" if number == _IMAGE else "audio"
    if plugin not in ("", "scalars", "histograms", "text"):
        kind = "other"
    return Value(tag, kind, plugin or what, numbers, text, slot if kind == "scalar" else None, description)


def _of_tensor(tensor: tensors.Tensor) -> tuple[Kind, FloatArray, str, Slot | None]:
    if tensor.texts:
        return "text", np.empty(0), "\n".join(tensor.texts), None
    if tensor.numbers.size == 1:
        slot = None if tensor.number_at is None else Slot(tensor.number_at, tensor.number_kind)
        return "scalar", tensor.numbers.reshape(1), "", slot
    if tensor.shape[-1:] == (3,) and len(tensor.shape) == 2:
        return "histogram", tensor.numbers.reshape(-1, 3), "", None
    return "other", np.empty(0), "", None


def _plugin(record: bytes, start: int, end: int) -> str:
    for number, wire, begin, stop in protobuf.fields(record, start, end):
        if number == 1 and wire == protobuf.BYTES:
            return _text_of(1, record, begin, stop)
    return ""


def _text_of(wanted: int, record: bytes, start: int, end: int) -> str:
    """Return the text that a field of a message is; empty where there is none."""
    for number, wire, begin, stop in protobuf.fields(record, start, end):
        if number == wanted and wire == protobuf.BYTES:
            return protobuf.text(record, begin, stop)
    return ""
