"""Reads standing orders from a file, such as ``tuimon export --to schedule`` writes."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from tuimon.protocol import orders

LARGEST_BYTES = 4 * 1024 * 1024
"""A larger file is no list of orders."""


def given(source: Sequence[str] | str | Path) -> tuple[str, ...]:
    """Return orders as a Monitor is given them: a list of them, one of them, or the path of a file.

    Raises:
        ValueError: One is no order, or the file cannot be read; the message names it.

    Example:
        >>> given("when nan stop"), given(["at step 3 freeze"])
        (('when nan stop',), ('at step 3 freeze',))
    """
    if isinstance(source, Path) or (isinstance(source, str) and source.endswith(".toml")):
        return read(Path(source))
    return checked([source] if isinstance(source, str) else source)


def read(path: Path) -> tuple[str, ...]:
    """Return the orders of a TOML file: `orders` in its table `[monitor]`.

    Raises:
        ValueError: There are none, or one is no order; the message names the file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise ValueError(f"it has more than {LARGEST_BYTES} bytes")
        found = tomllib.loads(data.decode()).get("monitor", {}).get("orders")
        if not isinstance(found, list):
            raise ValueError("it has no `orders` in a table [monitor]")
        return checked(found)
    except OSError as error:
        raise ValueError(f"orders: {path}: {error.strerror}") from None
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"orders: {path}: {error}") from None


def checked(texts: Sequence[str]) -> tuple[str, ...]:
    """Return orders, all of which can be read.

    Raises:
        ValueError: One cannot; the message names it.
    """
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"orders[{number}]: expected a text, got {type(text).__name__}")
        try:
            orders.parse(text)
        except ValueError as error:
            raise ValueError(f"orders[{number}]: {text!r}: {error}") from None
    return tuple(texts)
