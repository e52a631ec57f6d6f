"""Lines of a page: pieces of text with roles, and the codes that show the roles on a terminal."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from tuimon.text import shown_lines, width_of

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
"""The role of a piece of text. Colour tells nothing that a sign or a word does not tell as well."""

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


class Span(Struct, frozen=True):
    """A piece of text of one kind."""

    text: str
    role: Role = "text"


Line = tuple[Span, ...]


def line(*pieces: str | Span) -> Line:
    """Return a line of ``pieces``; those without a role are text."""
    return tuple(piece if isinstance(piece, Span) else Span(piece) for piece in pieces)


def as_text(pieces: Line) -> str:
    """Return a line without colour."""
    return shown_lines("".join(span.text for span in pieces)).rstrip()


def as_ansi(pieces: Line) -> str:
    r"""Return a line for a terminal with colours.

    Example:
        >>> as_ansi(line("a ", Span("bad", "error"), " sign"))
        'a \x1b[1;31mbad\x1b[0m sign'
    """
    codes = [(shown_lines(span.text), _CODES.get(span.role)) for span in pieces]
    return "".join(f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text for text, code in codes).rstrip()


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


def aligned(texts: Sequence[str]) -> list[str]:
    """Return numbers padded to one width, their points one below the other.

    Example:
        >>> aligned(["0.25", "12", "-3.5"])
        [' 0.25', '12   ', '-3.5 ']
    """
    heads = [len(text.partition(".")[0]) if "e" not in text or "." in text else len(text) for text in texts]
    head = max(heads, default=0)
    tails = [len(text) - size for text, size in zip(texts, heads, strict=True)]
    tail = max(tails, default=0)
    return [
        " " * (head - first) + text + " " * (tail - last) for text, first, last in zip(texts, heads, tails, strict=True)
    ]
