"""Elements of HTML and SVG. Whatever is not markup already is shown: nothing of it is interpreted."""

from collections.abc import Iterable
from typing import TypeAlias

from tuimon.export.output import STDOUT
from tuimon.text import shown_lines

_VOID = frozenset(("meta", "link", "br", "col", "wbr"))
LONGEST = 500
"""Characters of a name or a word of somebody else's."""
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


class Markup(str):
    """Text that is markup: it is not escaped again."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"
"""What an element may hold."""


def element(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """Return an element.

    Args:
        name: Its name.
        children: Markup, or texts, which are escaped; lists of them; None is nothing.
        attributes: Values by name. `class_` is `class`; other underscores are hyphens; None leaves one out.

    Example:
        >>> element("p", "a < b ", element("b", "c"), class_="x")
        '<p class="x">a &lt; b <b>c</b></p>'
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value if isinstance(value, str) else short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Return markup of several children, as `element` takes them."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            parts.append(child if isinstance(child, Markup) else escaped(child))
        else:
            parts.append(joined(*child))
    return Markup("".join(parts))


def escaped(text: str) -> Markup:
    r"""Return a text as markup that shows it, in an element or in an attribute.

    Control characters, those that turn the direction of text, and what no XML may hold become a visible sign.

    Example:
        >>> escaped("</script>\x00")
        '&lt;/script&gt;�'
    """
    shown = shown_lines(text)
    if not shown.isascii():
        shown = "".join("�" if _is_no_character(character) else character for character in shown)
    return Markup(shown.translate(_ESCAPES))


def outside(text: str, name: str = "bdi", *, limit: int = LONGEST, **attributes: str | float | None) -> Markup:
    """Return a text of somebody else's: it has its own direction, which reaches nothing beside it.

    Args:
        text: The text.
        name: The element that it is in.
        limit: A longer text ends in an ellipsis.
        attributes: Of the element.
    """
    return element(name, text if len(text) <= limit else f"{text[: limit - 1]}…", dir="auto", **attributes)


def sentence(text: str) -> Markup:
    """Return a sentence of ours that may name something of somebody else's."""
    return element("bdi", text, dir="ltr")


def for_output(text: str, out: str) -> str:
    """Return a document for what it is written to: stdout may know ASCII alone, whatever the document says of itself.

    Example:
        >>> for_output("a → b", "-"), for_output("a → b", "run.html")
        ('a &#8594; b', 'a → b')
    """
    return text.encode("ascii", "xmlcharrefreplace").decode() if out == STDOUT else text


def short(value: float) -> str:
    """Return a coordinate with at most two decimals.

    Example:
        >>> short(3.0), short(0.125), short(-0.001)
        ('3', '0.12', '0')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _is_no_character(character: str) -> bool:
    # U+FFFE, U+FFFF and their like: HTML has none of them, XML not all.
    return ord(character) & 0xFFFE == 0xFFFE or "\ufdd0" <= character <= "\ufdef"
