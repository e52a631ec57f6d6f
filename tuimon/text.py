"""Text that comes from outside (names of layers and metrics, notes, logs) is shown, never interpreted."""

import re
import unicodedata
from collections.abc import Callable

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[@-_]")
"""A command to the terminal that does not end is no reason to leave out what stands behind it."""


_TENSORFLOW_INFORMATION = re.compile(
    r"I\d{4} \d\d:|\d{4}-\d\d-\d\d .*: I |WARNING: All log messages before absl|To enable the following instructions"
)
"""Lines that TensorFlow prints at every start; they would bury the output of the user's own code."""


def printed_lines(data: bytes) -> list[str]:
    r"""Return the lines that a process printed as they can be shown: without empty ones and TensorFlow's own.

    Of a line that is rewritten with ``\r``, as a progress bar does, its newest text.

    Example:
        >>> printed_lines(b"epoch 1\repoch 2\r\n\nI0000 00:00:1 cpu_feature_guard.cc\n")
        ['epoch 2']
    """
    # Not splitlines: a progress bar's carriage returns begin no new line.
    shown = map(printed_line, data.decode(errors="replace").split("\n"))
    return [line for line in shown if line.strip() and not is_tensorflow_information(line)]


def printed_line(line: str, limit: int = 500) -> str:
    r"""Return one printed line as it can be shown: where it was rewritten with ``\r``, its newest text.

    Example:
        >>> printed_line("batch 1\rbatch 2\r")
        'batch 2'
    """
    return plain(line.replace("\b", "").rstrip("\r").rpartition("\r")[2], limit)


def is_tensorflow_information(line: str) -> bool:
    """True for lines that TensorFlow prints at every start."""
    return _TENSORFLOW_INFORMATION.match(line) is not None


def plain(text: str, limit: int = 500) -> str:
    r"""Return ``text`` as one line without escape sequences and control characters.

    Characters that a terminal would act on become a visible sign; a text of more than ``limit``
    characters ends in an ellipsis.

    Example:
        >>> plain("loss\x1b[31m\nred")
        'loss red'
    """
    text = text[: limit * 4]
    # Nearly all text is printable, and then none of its characters needs a look of its own.
    shown = text if text.isprintable() else "".join(map(_visible, _ESCAPES.sub("", text)))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _visible(character: str) -> str:
    if character in "\t\n\r":
        return " "
    # Cc: control characters, Cf: invisible ones that turn the direction of text, Cs: lone surrogates.
    return "�" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") else character


def shown_lines(text: str) -> str:
    r"""Return text of several lines without escape sequences and control characters but line ends and tabs.

    Example:
        >>> shown_lines("a\tb\n\x1b[31mred\x07\n")
        'a\tb\nred�\n'
    """
    if text.isprintable():
        return text
    return "".join(character if character in "\t\n" else _visible(character) for character in _ESCAPES.sub("", text))


def width_of(text: str) -> int:
    """Return how many cells of a terminal a text takes.

    Example:
        >>> width_of("bn_1"), width_of("層")
        (4, 2)
    """
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def wrap(text: str, width: int, measure: Callable[[str], int] = width_of) -> list[str]:
    """Return a text in lines of at most ``width`` cells, broken at blanks; a word that is longer is cut.

    Args:
        text: What is to be broken.
        width: Of a line; a wide character in a line of one cell sticks out.
        measure: How many cells a text takes.

    Example:
        >>> wrap("a gap of 5.82, 100 % of it", 18)
        ['a gap of 5.82,', '100 % of it']
    """
    lines: list[str] = []
    current = ""
    # A number and its per cent sign stay together; a text that can be shown has no zero character.
    for word in text.replace(" %", "\0%").split():
        word = word.replace("\0", " ")
        if current and measure(f"{current} {word}") <= width:
            current += f" {word}"
            continue
        if current:
            lines.append(current)
        while measure(word) > width and len(word) > 1:
            head = _head(word, width, measure)
            lines.append(head)
            word = word[len(head) :]
        current = word
    return [*lines, current] if current else lines


def _head(word: str, width: int, measure: Callable[[str], int]) -> str:
    size = 1
    while size < len(word) and measure(word[: size + 1]) <= width:
        size += 1
    return word[:size]
