"""Lets nothing reach the terminal that it would obey: the last place that all lines of the command line pass."""

import json
import math
from typing import Any, TextIO

from tuimon.text import shown_lines


class SafeStream:
    """A text stream that shows control characters instead of sending them, those from a run's files among them.

    All else goes to the stream behind it. Its own codes, such as colours, a command sends to `raw`.

    Args:
        stream: Where the text goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.raw = stream
        """The stream behind it, which takes everything."""

    def write(self, text: str) -> int:
        """Write a text, its control characters but line ends and tabs made visible."""
        self.raw.write(shown_lines(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Return what the stream behind it has."""
        return getattr(self.raw, name)


def raw(stream: Any) -> TextIO:
    r"""Return the stream that takes codes for the terminal. What comes from outside must be made safe by the caller.

    Example:
        ```python
        print("\x1b[1mfinished\x1b[0m", file=raw(sys.stdout))
        ```
    """
    return stream.raw if isinstance(stream, SafeStream) else stream


def as_json(value: str | float | None) -> str | float | None:
    """Return a value as JSON has it: a number that is not finite is the text of it, as in the log.

    Example:
        >>> as_json(0.5), as_json(float("nan")), as_json("Adam")
        (0.5, 'nan', 'Adam')
    """
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def ascii_json(document: object, *, indent: int | None = 2) -> str:
    r"""Return JSON in which every character that a terminal could obey is written as an escape.

    Example:
        >>> ascii_json(["\x7f\x9b"], indent=None)
        '["\\u007f\\u009b"]'
    """
    separators = None if indent else (",", ":")
    text = json.dumps(document, indent=indent, allow_nan=False, separators=separators)
    # The one control character that is ASCII and that JSON lets stand.
    return text.replace("\x7f", "\\u007f")
