"""Lines of a page: pieces of text, each with what it is, and how a terminal is told.

Pure. Must not import Keras, TensorFlow or Textual.
"""

import unicodedata
from dataclasses import dataclass
from typing import Literal

Role = Literal[
    "text",
    "strong",
    "dim",
    "training",
    "inference",
    "validation",
    "curve",
    "command",
    "good",
    "info",
    "warning",
    "error",
]
"""What a piece of text is. Colour tells nothing that a sign or a word does not tell as well."""

_CODES: dict[Role, str] = {
    "strong": "1",
    "dim": "2",
    "training": "94",
    "inference": "35",
    "validation": "33",
    "curve": "36",
    "command": "95",
    "good": "32",
    "info": "34",
    "warning": "1;33",
    "error": "1;31",
}
"""The terminal's own sixteen colours: they go with a light background as well."""


@dataclass(frozen=True)
class Span:
    """A piece of text of one kind."""

    text: str
    role: Role = "text"


Line = tuple[Span, ...]


def line(*pieces: str | Span) -> Line:
    """Return a line of ``pieces``; those without a role are text."""
    return tuple(piece if isinstance(piece, Span) else Span(piece) for piece in pieces)


def as_text(pieces: Line) -> str:
    """Return a line without colour."""
    return "".join(span.text for span in pieces).rstrip()


def as_ansi(pieces: Line) -> str:
    r"""Return a line for a terminal with colours.

    Example:
        >>> as_ansi(line("a ", Span("bad", "error"), " sign"))
        'a \x1b[1;31mbad\x1b[0m sign'
    """
    codes = [(span.text, _CODES.get(span.role)) for span in pieces]
    return "".join(f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text for text, code in codes).rstrip()


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


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return ``text`` with blanks behind it, or before it, up to ``width`` cells."""
    blanks = " " * (width - width_of(text))
    return blanks + text if right else text + blanks


def shorten(text: str, width: int) -> str:
    """Return a name in at most ``width`` cells: its end tells more than its beginning.

    Example:
        >>> shorten("resnet/stage_1/bn_1", 9)
        '…e_1/bn_1'
    """
    if width_of(text) <= width:
        return text
    while text and width_of(text) > width - 1:
        text = text[1:]
    return f"…{text}"


def wrap(text: str, width: int) -> list[str]:
    """Return a text in lines of at most ``width`` cells, broken at blanks; a word that is longer is cut.

    Example:
        >>> wrap("a gap of 5.82, 100 % of it", 18)
        ['a gap of 5.82,', '100 % of it']
    """
    lines: list[str] = []
    current = ""
    # A number and its per cent sign stay together; no text to be shown has a zero character.
    for word in text.replace(" %", "\0%").split():
        word = word.replace("\0", " ")
        if current and width_of(current) + 1 + width_of(word) <= width:
            current += f" {word}"
            continue
        if current:
            lines.append(current)
        while width_of(word) > width:
            head = _head(word, width)
            lines.append(head)
            word = word[len(head) :]
        current = word
    return [*lines, current] if current else lines


def _head(word: str, width: int) -> str:
    size = 1
    while size < len(word) and width_of(word[: size + 1]) <= width:
        size += 1
    return word[:size]
