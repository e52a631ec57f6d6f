"""Turns values of Python into JSON and arrays, and back. Reading them back runs no code, as a pickle would."""

import math
from typing import Any

import numpy as np

from tuimon.trainer.engine import Arrays

_LARGEST = 2**63


def store(value: Any, name: str, arrays: Arrays) -> Any:
    """Return a value as JSON; arrays within it are copied into ``arrays``.

    Args:
        value: None, a truth value, a number, a text, an array, or a list, tuple or dictionary of such values.
        name: Begins the names of the arrays.
        arrays: Gets the arrays.

    Raises:
        TypeError: The value is, or holds, something else.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if type(value) is int:
        return value if abs(value) < _LARGEST else {"int": str(value)}
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, list | tuple):
        parts = [store(part, f"{name}/{number}", arrays) for number, part in enumerate(value)]
        return parts if isinstance(value, list) else {"tuple": parts}
    if isinstance(value, dict):
        pairs = enumerate(value.items())
        return {"dict": [[store(key, name, {}), store(part, f"{name}/{n}", arrays)] for n, (key, part) in pairs]}
    if not hasattr(value, "__array__"):
        raise TypeError(f"{type(value).__name__} is no number, text, array, list or dictionary")
    array = np.array(value)
    if array.dtype.hasobject:
        raise TypeError("an array of Python objects cannot be stored")
    arrays[name] = array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")
    return {"scalar" if isinstance(value, np.generic) else "array": name, "dtype": array.dtype.name}


def restored(stored: Any, arrays: Arrays) -> Any:
    """Return the value that `store` made ``stored`` of.

    Raises:
        ValueError: It is damaged.
    """
    if isinstance(stored, list):
        return [restored(part, arrays) for part in stored]
    if not isinstance(stored, dict):
        return stored
    try:
        match stored:
            case {"int": text}:
                return int(text)
            case {"float": text}:
                return float(text)
            case {"tuple": parts}:
                return tuple(restored(part, arrays) for part in parts)
            case {"dict": pairs}:
                return {restored(key, arrays): restored(part, arrays) for key, part in pairs}
            case {"array": name, "dtype": dtype}:
                return _array(arrays[name], dtype)
            case {"scalar": name, "dtype": dtype}:
                return _array(arrays[name], dtype)[()]
    except (KeyError, TypeError) as error:
        raise ValueError(f"it is damaged: {error!r}") from error
    raise ValueError("it is damaged")


def _array(array: Any, dtype: str) -> Any:
    # TensorFlow has registered the types that NumPy lacks, such as bfloat16.
    return array.copy() if array.dtype.name == dtype else array.view(np.dtype(dtype))
