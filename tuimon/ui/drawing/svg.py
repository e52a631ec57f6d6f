"""A screen as an SVG picture that looks the same wherever it is opened.

It needs no font of its own: braille, lines and bars are shapes, and each word begins at its cell and is as wide as its
cells, whatever font is there. It needs no style sheet and loads nothing, so that a page may show it as it is.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import chain
from typing import Any, NamedTuple

from rich.cells import get_character_cell_size
from rich.color import blend_rgb
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from textual._compositor import LayoutUpdate
from textual.app import App

from tuimon.text import plain

CELL_WIDTH, CELL_HEIGHT = 12, 24
"""Pixels of a cell. Monospaced fonts are about 0.6 times as wide as high; whole numbers leave no seams."""
FONTS = "'Cascadia Mono', 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
"""Fonts that come with the systems, then whatever is monospaced."""
_FONT_SIZE, _BASELINE = 20, 18
_ADJUST = 'lengthAdjust="spacingAndGlyphs"'
_LEFT, _TOP, _BORDER = 9, 41, 9
_CIRCLES = ("#ff5f57", "#febc2e", "#28c840")
_DOTS = ((0x01, 0, 0), (0x02, 0, 1), (0x04, 0, 2), (0x40, 0, 3), (0x08, 1, 0), (0x10, 1, 1), (0x20, 1, 2), (0x80, 1, 3))
"""Of a braille character: the bit, the column and the row of each dot."""
_DOT = 4
_QUADRANTS = {"▖": 4, "▗": 8, "▘": 1, "▙": 13, "▚": 9, "▛": 7, "▜": 11, "▝": 2, "▞": 6, "▟": 14}
"""Which quarters are filled: 1 and 2 above, 4 and 8 below."""
_SHADES = {"░": 0.25, "▒": 0.5, "▓": 0.75}
_THICKNESS = {"LIGHT": 2, "HEAVY": 4}
_DASHES = {"DOUBLE DASH ": 2, "TRIPLE DASH ": 3, "QUADRUPLE DASH ": 4}
_BOX = re.compile(r"BOX DRAWINGS (LIGHT|HEAVY) ((?:DOUBLE|TRIPLE|QUADRUPLE) DASH |ARC )?([A-Z ]+)")

Box = tuple[float, float, float, float]
"""Left, top, width and height, in pixels."""


class _Look(NamedTuple):
    ink: str
    paper: str
    is_bold: bool
    is_italic: bool
    is_underlined: bool
    is_struck: bool


class _Picture:
    """Collects what each look draws."""

    def __init__(self) -> None:
        self.papers: list[tuple[int, int, int, str]] = []
        """Row, column, cells and colour."""
        self.boxes: dict[tuple[str, float], list[Box]] = defaultdict(list)
        """Filled rectangles by colour and opacity."""
        self.arcs: dict[str, list[str]] = defaultdict(list)
        """Rounded corners by colour."""
        self.words: dict[tuple[str, bool, bool], list[str]] = defaultdict(list)
        """Texts by colour, bold and italic."""

    def put(self, row: int, column: int, text: str, look: _Look) -> int:
        """Draw a text of one look, and return the column after it."""
        first, word, begin = column, "", column
        y = row * CELL_HEIGHT
        for character in text:
            cells = get_character_cell_size(character)
            is_blank = character == " " or not character.isprintable()
            is_letter = character.isascii() and not is_blank
            if word and not is_letter:
                self._write(begin, y, word, column - begin, look)
                word = ""
            if is_letter:
                begin, word = begin if word else column, word + character
            elif cells and not is_blank and not self._draw(column * CELL_WIDTH, y, character, look.ink):
                # Another font may have it, with widths of its own.
                self._write(column, y, character, cells, look)
            column += cells
        if word:
            self._write(begin, y, word, column - begin, look)
        self.papers.append((row, first, column - first, look.paper))
        for is_there, height in ((look.is_underlined, _BASELINE + 2), (look.is_struck, CELL_HEIGHT / 2)):
            if is_there:
                line = (first * CELL_WIDTH, y + height, (column - first) * CELL_WIDTH, 1)
                self.boxes[look.ink, 1.0].append(line)
        return column

    def _write(self, column: int, y: int, text: str, cells: int, look: _Look) -> None:
        place = f'x="{column * CELL_WIDTH}" y="{y + _BASELINE}" textLength="{cells * CELL_WIDTH}" {_ADJUST}'
        self.words[look.ink, look.is_bold, look.is_italic].append(f"<text {place}>{escape(text)}</text>")

    def _draw(self, x: int, y: int, character: str, ink: str) -> bool:
        """Draw a character as a shape; return False for one that is none."""
        if arc := _arc(character):
            self.arcs[ink].append(f"M{x + arc[0]} {y + arc[1]}{arc[2]}")
            return True
        if character not in _KNOWN:
            _KNOWN[character] = tuple(_boxes(character))
        boxes = _KNOWN[character]
        shapes = self.boxes[ink, _SHADES.get(character, 1.0)]
        for left, top, width, height in boxes:
            last = shapes[-1] if shapes else (0, 0, 0, 0)
            if last[0] + last[2] == x + left and (last[1], last[3]) == (y + top, height):
                # A line goes on.
                shapes[-1] = (last[0], last[1], last[2] + width, height)
            else:
                shapes.append((x + left, y + top, width, height))
        return bool(boxes) or "\u2800" <= character <= "\u28ff"


_KNOWN: dict[str, tuple[Box, ...]] = {}


def picture(app: App[Any], title: str) -> str:
    """Return the screen that an app shows, with what lies over it, as an SVG picture."""
    update = app.screen._compositor.render_update(full=True, screen_stack=app._background_screens)
    assert isinstance(update, LayoutUpdate)
    return to_svg([chain.from_iterable(strips) for strips in update.strips], app.size.width, title)


def to_svg(lines: Sequence[Iterable[Segment]], columns: int, title: str) -> str:
    """Return a screen as an SVG picture.

    Args:
        lines: The rows of the screen, from above.
        columns: How many columns it has.
        title: What stands above the screen, and is its name for programs that read it aloud.
    """
    drawn = _Picture()
    for row, segments in enumerate(lines):
        column = 0
        for text, style, control in segments:
            if not control:
                column = drawn.put(row, column, text, _look(style or Style.null()))
    width, height = columns * CELL_WIDTH, len(lines) * CELL_HEIGHT
    return "\n".join(_document(drawn, width, height, title)) + "\n"


def _document(drawn: _Picture, width: int, height: int, title: str) -> Iterator[str]:
    area: Counter[str] = Counter()
    for _, _, cells, color in drawn.papers:
        area[color] += cells
    paper = area.most_common(1)[0][0] if area else SVG_EXPORT_THEME.background_color.hex
    whole = width + 2 * _BORDER, height + _TOP + _BORDER
    name = escape(plain(title))
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole[0]} {whole[1]}" role="img">'
    yield f"<title>{name}</title>"
    yield f'<rect x="1" y="1" width="{whole[0] - 2}" height="{whole[1] - 2}" rx="8" fill="{paper}" stroke="#808080"/>'
    for number, color in enumerate(_CIRCLES):
        yield f'<circle cx="{26 + 22 * number}" cy="22" r="7" fill="{color}"/>'
    ink = SVG_EXPORT_THEME.foreground_color if _is_dark(paper) else SVG_EXPORT_THEME.background_color
    heading = (
        'font-size="18" font-weight="bold" font-family="Arial, Helvetica, DejaVu Sans, sans-serif" text-anchor="middle"'
    )
    yield f'<text x="{whole[0] // 2}" y="28" fill="{ink.hex}" {heading}>{name}</text>'
    yield f'<g transform="translate({_LEFT}, {_TOP})">'
    yield from _papers(drawn, paper)
    for (color, opacity), boxes in drawn.boxes.items():
        if boxes:
            see_through = f' fill-opacity="{opacity}"' if opacity < 1 else ""
            outline = "".join(
                f"M{left:g} {top:g}h{width:g}v{height:g}h{-width:g}z" for left, top, width, height in boxes
            )
            yield f'<path fill="{color}"{see_through} d="{outline}"/>'
    for color, arcs in drawn.arcs.items():
        yield f'<path fill="none" stroke="{color}" stroke-width="{_THICKNESS["LIGHT"]}" d="{"".join(arcs)}"/>'
    yield f'<g font-family="{FONTS}" font-size="{_FONT_SIZE}">'
    for (color, is_bold, is_italic), words in drawn.words.items():
        looks = (' font-weight="bold"' if is_bold else "") + (' font-style="italic"' if is_italic else "")
        yield f'<g fill="{color}"{looks}>'
        yield from words
        yield "</g>"
    yield "</g>\n</g>\n</svg>"


def _papers(drawn: _Picture, most: str) -> Iterator[str]:
    """Yield the backgrounds that differ from that of most cells; neighbours of one colour together."""
    joined: list[tuple[int, int, int, str]] = []
    for row, column, cells, color in drawn.papers:
        if joined and joined[-1][0] == row and joined[-1][3] == color and sum(joined[-1][1:3]) == column:
            joined[-1] = (row, joined[-1][1], joined[-1][2] + cells, color)
        else:
            joined.append((row, column, cells, color))
    for row, column, cells, color in joined:
        if color != most and cells:
            place = f'x="{column * CELL_WIDTH}" y="{row * CELL_HEIGHT}"'
            yield f'<rect {place} width="{cells * CELL_WIDTH}" height="{CELL_HEIGHT}" fill="{color}"/>'


def _look(style: Style) -> _Look:
    theme = SVG_EXPORT_THEME
    is_default = style.color is None or style.color.is_default
    ink = theme.foreground_color if is_default or style.color is None else style.color.get_truecolor(theme)
    is_default = style.bgcolor is None or style.bgcolor.is_default
    paper = theme.background_color if is_default or style.bgcolor is None else style.bgcolor.get_truecolor(theme)
    if style.reverse:
        ink, paper = paper, ink
    if style.dim:
        ink = blend_rgb(ink, paper, 0.4)
    marks = (style.bold, style.italic, style.underline, style.strike)
    return _Look(ink.hex, paper.hex, *map(bool, marks))


def _is_dark(color: str) -> bool:
    return sum(int(color[place : place + 2], 16) for place in (1, 3, 5)) < 3 * 128


def _boxes(character: str) -> Iterator[Box]:
    """Yield the rectangles that make up a character, in pixels of its cell; none where it is not made of any."""
    code = ord(character)
    if 0x2800 <= code <= 0x28FF:
        for bit, column, row in _DOTS:
            if code & bit:
                yield 1 + 6 * column, 1 + 6 * row, _DOT, _DOT
    elif 0x2580 <= code <= 0x259F:
        yield from _blocks(character)
    elif 0x2500 <= code <= 0x257F and (found := _BOX.fullmatch(unicodedata.name(character))):
        yield from _lines(_THICKNESS[found[1]], _DASHES.get(found[2] or "", 1), found[3].split())


def _blocks(character: str) -> Iterator[Box]:
    code, width, height = ord(character), CELL_WIDTH, CELL_HEIGHT
    if character == "▀":
        yield 0, 0, width, height / 2
    elif code <= 0x2588:
        filled = height * (code - 0x2580) / 8
        yield 0, height - filled, width, filled
    elif code <= 0x258F:
        yield 0, 0, width * (0x2590 - code) / 8, height
    elif character == "▐":
        yield width / 2, 0, width / 2, height
    elif character in _SHADES:
        yield 0, 0, width, height
    elif character == "▔":
        yield 0, 0, width, height / 8
    elif character == "▕":
        yield width * 7 / 8, 0, width / 8, height
    else:
        for number in range(4):
            if _QUADRANTS[character] & (1 << number):
                yield number % 2 * width / 2, number // 2 * height / 2, width / 2, height / 2


def _lines(thickness: int, dashes: int, arms: list[str]) -> Iterator[Box]:
    """Yield the lines from the middle of a cell to its edges; names of Unicode say to which."""
    left, top = (CELL_WIDTH - thickness) / 2, (CELL_HEIGHT - thickness) / 2
    if dashes > 1:
        is_flat = "HORIZONTAL" in arms
        length = (CELL_WIDTH if is_flat else CELL_HEIGHT) / dashes
        for number in range(dashes):
            begin, size = (number + 0.25) * length, length / 2
            yield (begin, top, size, thickness) if is_flat else (left, begin, thickness, size)
        return
    if "HORIZONTAL" in arms:
        yield 0, top, CELL_WIDTH, thickness
    if "VERTICAL" in arms:
        yield left, 0, thickness, CELL_HEIGHT
    for arm in arms:
        match arm:
            case "LEFT":
                yield 0, top, left + thickness, thickness
            case "RIGHT":
                yield left, top, CELL_WIDTH - left, thickness
            case "UP":
                yield left, 0, thickness, top + thickness
            case "DOWN":
                yield left, top, thickness, CELL_HEIGHT - top


def _arc(character: str) -> tuple[int, int, str] | None:
    """Return where the line of a rounded corner begins and how it goes on; None for another character."""
    middle, half = CELL_WIDTH // 2, CELL_HEIGHT // 2
    match character:
        case "╭":
            return middle, CELL_HEIGHT, f"v{-half + 6}q0 -6 6 -6"
        case "╮":
            return middle, CELL_HEIGHT, f"v{-half + 6}q0 -6 -6 -6"
        case "╰":
            return middle, 0, f"v{half - 6}q0 6 6 6"
        case "╯":
            return middle, 0, f"v{half - 6}q0 6 -6 6"
    return None
