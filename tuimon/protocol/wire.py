"""Numbers as the log writes them: JSON has no NaN and no infinity, a loss sometimes has both.

A finite number is a JSON number; any other number is the string ``"nan"``, ``"inf"`` or
``"-inf"``, and ``null`` is "not known". Arrays of full per-channel values travel as base64 of
little-endian float32.
"""

import base64
import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

Number = float | Literal["nan", "inf", "-inf"] | None
"""A number on the wire."""

# Limits of what is read, far beyond what any run reaches: within them, sums of a few values are exact and no date, no
# array of steps and no file of another process overflows.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""How many, or the number of one that is counted from 0."""
Whole = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
"""Any other integer."""
UnixTime = Annotated[float, msgspec.Meta(ge=0, le=100_000_000_000)]
"""Unix seconds, up to the year 5138."""
Seconds = Annotated[float, msgspec.Meta(ge=-100_000_000_000, le=100_000_000_000)]
"""How long something took; below 0 where a clock was set back."""

FloatArray = npt.NDArray[np.float64]


def to_wire(value: float | None) -> Number:
    """Return ``value`` as the log writes it.

    Example:
        >>> to_wire(0.5), to_wire(float("inf")), to_wire(None)
        (0.5, 'inf', None)
    """
    if value is None or math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def from_wire(number: Number) -> float:
    """Return the float that ``number`` stands for; NaN for ``null`` and for words not known.

    Example:
        >>> from_wire("-inf"), from_wire(2)
        (-inf, 2.0)
    """
    if isinstance(number, str):
        return {"inf": math.inf, "-inf": -math.inf}.get(number, math.nan)
    return math.nan if number is None else float(number)


def list_to_wire(values: Iterable[float | None]) -> list[Number]:
    """Return many values as the log writes them; None is a value that is missing.

    Example:
        >>> list_to_wire([0.5, math.nan, None])
        [0.5, 'nan', None]
    """
    return [None if value is None else to_wire(float(value)) for value in values]


def scalars_to_wire(logs: Mapping[str, Any]) -> dict[str, Number]:
    """Return Keras' logs as the log carries them; values that are no single number are left out."""
    numbers = {}
    for name, value in logs.items():
        with contextlib.suppress(TypeError, ValueError):
            numbers[str(name)] = to_wire(float(value))
    return numbers


def list_from_wire(numbers: Sequence[Number]) -> FloatArray:
    """Return many numbers of the log as an array of shape ``(len(numbers),)``."""
    try:
        return np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array([from_wire(number) for number in numbers], dtype=np.float64)


def encode_array(values: npt.ArrayLike) -> str:
    """Return ``values`` as base64 of little-endian float32, row by row."""
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode("ascii")


def decode_array(text: str) -> npt.NDArray[np.float32]:
    """Return the values that ``encode_array`` wrote, of shape ``(values,)``.

    Raises:
        ValueError: ``text`` is not base64 of whole float32 numbers.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4")
