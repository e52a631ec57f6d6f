"""The nearest character in ASCII of every other one: for fonts, terminals and encodings that have no other."""

import unicodedata
from collections.abc import Callable

from tuimon.text import width_of

_SIGNS = {
    "●": "*",
    "○": "o",
    "◇": "o",
    "◌": ".",
    "◔": "o",
    "◑": "o",
    "◉": "*",
    "◍": "o",
    "◎": "@",
    "◆": "#",
    "‖": "|",
    "✓": "v",
    "✗": "x",
    "■": "#",
    "▲": "!",
    "•": "i",
    "▶": ">",
    "›": ">",
    "≠": "?",
    "┊": ":",
    "…": "~",
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "x",
    "·": ".",
    "±": "~",
    "→": ">",
    "←": "<",
    "↑": "^",
    "↓": "v",
    "⏎": "<",
    "“": '"',
    "”": '"',
    "„": '"',
    "‘": "'",
    "’": "'",
    "σ": "s",
    "μ": "u",
    "γ": "g",
    "β": "b",
    "ε": "e",
    "√": "V",
    "≥": ">",
    "≤": "<",
    "≪": "<",
    "≫": ">",
    # Progress: done, and still to do.
    "━": "=",
    "╸": "=",
    # Shades, from light to dark.
    "░": "-",
    "▒": "+",
    "▓": "*",
    # Bars that grow to the right, and those that grow upwards.
    "▏": ".",
    "▎": ":",
    "▍": ":",
    "▌": "+",
    "▋": "+",
    "▊": "+",
    "▉": "#",
    "█": "#",
    "▁": "_",
    "▂": ".",
    "▃": "-",
    "▄": "=",
    "▅": "+",
    "▆": "*",
    "▇": "%",
    "▔": "-",
    "▕": "|",
}
_BRAILLE, _BOXES = range(0x2800, 0x2900), range(0x2500, 0x2580)
_FLAT, _UPRIGHT = frozenset("─━┄┅┈┉╌╍═╴╶╸╺╼╾"), frozenset("│┃┆┇┊┋╎╏║╵╷╹╻╽╿")
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of a braille cell: four rows of two dots."""
_SPARSE = (([0, 2], [1, 3]), ([1, 3], [0, 2]))
"""Every second dot: the rows of the left ones and of the right ones."""
_DENSE = 7
"""A cell with this many of its eight dots looks full."""


class AsciiTable(dict[int, str]):
    """Replacements of characters in the same number of cells, for ``str.translate``; each is found once.

    Args:
        width: How many cells a character takes.

    Example:
        >>> "● training  ▁▃▆ 5–95 %".translate(AsciiTable()), "bn_層 café".translate(AsciiTable())
        ('* training  _-* 5-95 %', 'bn_?? cafe')
    """

    def __init__(self, width: Callable[[str], int] = width_of) -> None:
        super().__init__()
        self._width = width

    def __missing__(self, code: int) -> str:
        found = self[code] = _nearest(chr(code), self._width)
        return found


def _nearest(character: str, width_of_it: Callable[[str], int]) -> str:
    code = ord(character)
    if character.isascii():
        return character
    if character in _SIGNS:
        return _SIGNS[character]
    if code in _BRAILLE:
        return _of_dots(code - _BRAILLE.start)
    if code in _BOXES:
        return "-" if character in _FLAT else "|" if character in _UPRIGHT else "+"
    width = width_of_it(character)
    letters = unicodedata.normalize("NFKD", character)[:1]
    if width == 1 and letters.isascii() and letters.isprintable():
        return letters
    return "?" * width


def _of_dots(bits: int) -> str:
    """Return the character that is as high, as slanted and as dense as the dots of a braille cell."""
    left, right = ([row for row, pair in enumerate(_DOTS) if bits & pair[side]] for side in (0, 1))
    rows = sorted({*left, *right})
    number = len(left) + len(right)
    if not number:
        return " "
    if number >= _DENSE:
        return "#"
    span = rows[-1] - rows[0]
    if span < 2:
        middle = (rows[0] + rows[-1]) / 2
        return "'" if middle < 1 else "-" if middle < 2.5 else "_" if number > 1 else "."
    if len(rows) <= span or (left, right) in _SPARSE:
        # Lines one above the other, or the sparse dots between two edges.
        return ":"
    if left and right:
        lean = sum(left) / len(left) - sum(right) / len(right)
        if abs(lean) > 1:
            return "/" if lean > 0 else "\\"
    return "|"
