"""Two buffers, of the cells that the terminal shows and of those that it is to show: only cells that differ are sent.

Textual resends whole spans with full styles: at the right edge of a wide chart, a hundred times what changed. A whole
frame of a large terminal takes a slow line more than ten seconds.
No other module knows how Textual's compositor hands over an update.
"""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import chain, pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from rich.cells import split_graphemes
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate

from tuimon.ui.terminal.sequences import PLAIN, RESET, Look, look, move, transition
from tuimon.ui.terminal.widths import CONTINUED, widths

_STYLE_SHIFT = 32
"""A cell is a number: the code of its character, and above it the number of its style."""
_CODE = (1 << _STYLE_SHIFT) - 1
_UNKNOWN = 0
"""The content of a cell before it is drawn for the first time; no character has this code."""
_REPLACED = 0xFFFD
_JOINER = "\u200d"
_MOST_STYLES = 10_000

UPDATES = (LayoutUpdate, ChopsUpdate)
"""The updates that Textual's compositor hands over."""


class VirtualScreen:
    r"""The cells of the terminal as they are to be, and as they were sent, as in curses.

    Example:
        >>> screen = VirtualScreen()
        >>> screen.resize(10, 2)
        >>> screen.put(0, 0, [Segment("epoch 7")])
        >>> screen.changes(ColorSystem.TRUECOLOR, 1000).count("epoch 7")
        1
        >>> screen.put(0, 0, [Segment("epoch 8")])
        >>> screen.changes(ColorSystem.TRUECOLOR, 1000)
        '\x1b[1;7H8'
    """

    def __init__(self) -> None:
        self._wanted = np.zeros((0, 0), dtype=np.uint64)
        self._shown = self._wanted
        self._numbers: dict[Style | None, int] = {None: 0}
        self._looks: dict[Look, int] = {PLAIN: 0}
        self._transitions: dict[tuple[int, int], str] = {}
        self._clusters: list[str] = []
        self._cluster_codes: dict[str, int] = {}
        self._next_text = self._next_drawing = 0
        """The cells at which the next frame goes on sending texts, and drawings."""
        self._was_cut = False
        """True where there was no room for all cells the last time."""

    @property
    def has_size(self) -> bool:
        """True once the size of the terminal is known."""
        return bool(self._wanted.size)

    @property
    def is_behind(self) -> bool:
        """True while cells are still to be sent."""
        return not np.array_equal(self._wanted, self._shown)

    def forget(self) -> None:
        """Send every cell again: the terminal may have lost what was sent."""
        self._shown = np.full_like(self._wanted, _UNKNOWN)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size, and send every cell again: terminals treat their content differently."""
        if self._wanted.shape != (rows, columns):
            self._wanted = np.full((rows, columns), ord(" "), dtype=np.uint64)
            self.forget()

    def take(self, update: LayoutUpdate | ChopsUpdate) -> None:
        """Apply an update of the compositor."""
        if isinstance(update, LayoutUpdate):
            left, top, width, height = update.region
            if (left, top) == (0, 0):
                self.resize(width, height)
                # This is mostly another screen, which is read from its top.
                self._next_text = self._next_drawing = 0
            for row, strips in enumerate(update.strips, top):
                self.put(row, left, chain.from_iterable(strips))
            return
        for row, first, last in update.spans:
            for end, (start, part) in zip(update.chop_ends[row], update.chops[row].items(), strict=False):
                if part is not None and start < last and end > first:
                    self.put(row, start, part, max(start, first), min(end, last))

    def put(self, row: int, column: int, segments: Iterable[Segment], first: int = 0, last: int | None = None) -> None:
        """Put texts into a row, from ``column`` on, but change only the columns from ``first`` to before ``last``.

        Args:
            row: The row; outside of the screen, nothing is changed.
            column: Where the texts begin.
            segments: The texts.
            first: The first column that may change.
            last: The column after the last one that may change; None: the end of the row.
        """
        rows, columns = self._wanted.shape
        if not 0 <= row < rows:
            return
        texts = [(text, self._number(style)) for text, style, control in segments if text and not control]
        codes, lengths = self._codes([text for text, _ in texts])
        numbers = np.array([number for _, number in texts], dtype=np.uint64)
        cells = codes | np.repeat(numbers << np.uint64(_STYLE_SHIFT), lengths)
        begin, stop = max(first, column), min(columns if last is None else min(last, columns), column + len(cells))
        if begin >= stop:
            return
        # A span may begin or end within a wide character, an old or a new one.
        if begin > column and _is_right_half(cells[begin - column]):
            begin -= 1
        if stop < min(columns, column + len(cells)) and _is_right_half(cells[stop - column]):
            stop += 1
        line = self._wanted[row]
        if begin and _is_right_half(line[begin]):
            line[begin - 1] = _blank(line[begin - 1])
        if stop < columns and _is_right_half(line[stop]):
            line[stop] = _blank(line[stop])
        line[begin:stop] = _part(cells, begin - column, stop - column)

    def changes(self, colors: ColorSystem, most: float) -> str:
        """Return what to write so that the terminal shows what it is to show, or the first part of that.

        Args:
            colors: The colours that the terminal has.
            most: About how many bytes at most. If that is too little for all, text comes first. Colours, dots and bars
                are many times as long, and may be late.
        """
        differing = np.flatnonzero(self._wanted != self._shown)
        if len(differing) == 0 or most <= 0:
            return ""
        right = self._right_halves()
        positions, texts = self._to_send(differing, right, most)
        cells = _Stretches(self._wanted, positions, right)
        columns = self._wanted.shape[1]
        written: list[str] = []
        length, sent, style, expected = 0, 0, 0, -1
        spoiled: set[int] = set()
        for first, last in pairwise(cells.begins):
            if length >= most and not cells.is_right[first]:
                break
            position, code, number = cells.positions[first], cells.codes[first], cells.styles[first]
            if code == CONTINUED:
                # Its left half was written just before, and moved the cursor over both.
                spoiled.discard(position)
                sent, expected = sent + 1, position + 1 if expected >= 0 else -1
                continue
            if position != expected or position % columns == 0:
                # After the last column, a terminal's cursor is not where one would expect it.
                written.append(moved := move(expected, position, columns))
                length += len(moved)
            if number != style:
                written.append(change := self._transition(style, number, colors))
                length += len(change)
                style = number
            count = cells.count_within(first, last, most - length)
            sent, expected = sent + count, position + count
            spoiled.difference_update(range(position, expected))
            text = cells.text[first : first + count] if code < CONTINUED else self._clusters[code - CONTINUED - 1]
            if not cells.is_sure[first]:
                text, doubtful = self._unsure(text, position)
                spoiled.update(doubtful)
                expected = -1
            written.append(text)
            length += len(text.encode())
            if count < last - first:
                break
        if style:
            written.append(RESET)
        done, self._was_cut = positions[:sent], sent < len(positions)
        self._shown.ravel()[done] = self._wanted.ravel()[done]
        self._shown.ravel()[list(spoiled)] = _UNKNOWN
        if sent <= texts:
            self._next_text = int(done[-1]) + 1
        else:
            self._next_drawing = int(done[-1]) + 1
        return "".join(written)

    def _to_send(
        self, differing: npt.NDArray[np.int64], right: npt.NDArray[np.bool_] | None, most: float
    ) -> tuple[npt.NDArray[np.int64], int]:
        """Return the positions to send, in their order; and how many of them come first because they are texts."""
        positions = _with_other_halves(differing, right) if right is not None else differing
        if self._was_cut or 4 * len(positions) > most:
            return self._in_order_of_use(positions, right)
        return positions, len(positions)

    def _unsure(self, character: str, position: int) -> tuple[str, range]:
        """Return how to write a character on whose width terminals do not agree, and the cells that it may spoil.

        The terminal may leave the second of two cells as it was, or write over some more, up to two cells for each part
        of a character; and so it moves its cursor.
        """
        columns = self._wanted.shape[1]
        size = 1 + (position + 1 < self._wanted.size and _is_right_half(self._wanted.flat[position + 1]))
        end_of_row = position - position % columns + columns
        spoiled = range(position + size, min(position + 2 * len(character), end_of_row))
        return " " * size + move(-1, position, columns) + character, spoiled

    def _right_halves(self) -> npt.NDArray[np.bool_] | None:
        """Return which cells are right halves of wide characters, old or new ones; None where none is."""
        right: npt.NDArray[np.bool_] = ((self._wanted & np.uint64(_CODE)) == CONTINUED) | (
            (self._shown & np.uint64(_CODE)) == CONTINUED
        )
        return right.ravel() if right.any() else None

    def _in_order_of_use(
        self, positions: npt.NDArray[np.int64], right: npt.NDArray[np.bool_] | None
    ) -> tuple[npt.NDArray[np.int64], int]:
        """Return the positions, texts before drawings, both from where they were left off; and the number of texts."""
        codes = [cells.ravel()[positions] & np.uint64(_CODE) for cells in (self._wanted, self._shown)]
        drawn = _is_drawing(codes[0]) | _is_drawing(codes[1])
        # Cells that only change their colour wait as well: those of a map, and all that lie behind a question.
        drawn |= codes[0] == codes[1]
        if right is not None:
            # Both halves of a wide character are text, whatever was drawn there before.
            drawn &= ~(right | np.append(right[1:], False))[positions]
        text, drawing = positions[~drawn], positions[drawn]
        # If there is never room for all, cells further down must not wait for ever.
        first = self._next_text
        while right is not None and first < len(right) and right[first]:
            # Not in the middle of a wide character.
            first -= 1
        return np.concatenate((_from(first, text), _from(self._next_drawing, drawing))), len(text)

    def _codes(self, texts: list[str]) -> tuple[npt.NDArray[np.uint64], list[int]]:
        """Return the codes of the cells of consecutive texts, and the number of cells of each text."""
        joined = "".join(texts)
        codes = np.frombuffer(joined.encode("utf-32-le", "replace"), dtype=np.uint32).astype(np.uint64)
        if (joined.isascii() and joined.isprintable()) or (widths(codes) == 1).all():
            return codes, list(map(len, texts))
        parts, begin = [], 0
        for text in texts:
            part, begin = codes[begin : begin + len(text)], begin + len(text)
            parts.append(part if (widths(part) == 1).all() else self._codes_of_graphemes(text))
        return np.concatenate(parts), list(map(len, parts))

    def _codes_of_graphemes(self, text: str) -> npt.NDArray[np.uint64]:
        """Return the codes of the cells of a text that holds more than narrow characters."""
        cells: list[int] = []
        for first, last, size in split_graphemes(text)[0]:
            if size:
                cells += [self._code(text[first:last]), CONTINUED][:size]
        return np.array(cells, dtype=np.uint64)

    def _code(self, grapheme: str) -> int:
        """Return the code of a character with its marks, without anything that a terminal would obey."""
        shown = "".join(character for character in grapheme if character.isprintable() or character == _JOINER)
        if not grapheme[0].isprintable():
            return _REPLACED
        if len(shown) == 1:
            return ord(shown)
        if shown not in self._cluster_codes:
            self._clusters.append(shown)
            self._cluster_codes[shown] = CONTINUED + len(self._clusters)
        return self._cluster_codes[shown]

    def _number(self, style: Style | None) -> int:
        number = self._numbers.get(style)
        if number is None:
            if len(self._numbers) > _MOST_STYLES:
                # Styles carry more than looks: Textual makes as many of them as there are cells.
                self._numbers = {None: 0}
            number = self._numbers[style] = self._looks.setdefault(look(style or Style.null()), len(self._looks))
        return number

    def _transition(self, old: int, new: int, colors: ColorSystem) -> str:
        """Return the SGR sequence that turns one look into another; it leaves out what they share."""
        known = self._transitions.get((old, new))
        if known is None:
            looks = list(self._looks)
            known = self._transitions[old, new] = transition(looks[old], looks[new], colors)
        return known


class _Stretches:
    """Cells to send, as stretches that are written at once: sure characters side by side in one style.

    Any other cell is a stretch of its own.

    Args:
        wanted: The cells of the screen.
        positions: The cells to send, in the order in which they are sent.
        right: Which cells of the screen are right halves of wide characters; None where none is.
    """

    def __init__(
        self, wanted: npt.NDArray[np.uint64], positions: npt.NDArray[np.int64], right: npt.NDArray[np.bool_] | None
    ) -> None:
        cells = wanted.ravel()[positions]
        codes, styles = cells & np.uint64(_CODE), cells >> np.uint64(_STYLE_SHIFT)
        is_right = right[positions] if right is not None else np.zeros(len(positions), dtype=bool)
        is_sure = widths(codes) > 0
        is_plain = is_sure & ~is_right & (codes < CONTINUED)
        begins = (np.diff(positions) != 1) | (np.diff(styles) != 0) | ~(is_plain[1:] & is_plain[:-1])
        begins |= positions[1:] % wanted.shape[1] == 0
        sizes = 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
        self.begins: list[int] = [0, *(np.flatnonzero(begins) + 1).tolist(), len(positions)]
        """Where each stretch begins, and where the last one ends."""
        self.positions: list[int] = positions.tolist()
        self.codes: list[int] = codes.tolist()
        self.styles: list[int] = styles.tolist()
        self.is_right: list[bool] = is_right.tolist()
        self.is_sure: list[bool] = is_sure.tolist()
        """Whether terminals agree on the width."""
        self.text = np.where(codes < CONTINUED, codes, _REPLACED).astype("<u4").tobytes().decode("utf-32-le")
        """A character for each cell; those with marks are not among them."""
        self._bytes_before: list[int] = [0, *np.cumsum(sizes).tolist()]

    def count_within(self, first: int, last: int, most: float) -> int:
        """Return how many cells of a stretch to write until ``most`` bytes are full, at least one."""
        return bisect_left(self._bytes_before, most + self._bytes_before[first], first + 1, last) - first


class Frame(CompositorUpdate):
    """The bytes for an update of the compositor: only the cells that the terminal does not show yet.

    Args:
        screen: The cells of the terminal.
        update: The update of the compositor; None to send the rest of earlier ones.
        most: About how many bytes at most.
    """

    def __init__(self, screen: VirtualScreen, update: Any, most: float) -> None:
        self._screen = screen
        self._update = update
        self._most = most
        self.written = 0
        """How many bytes were written, once the frame is rendered."""

    def render_segments(self, console: Console) -> str:
        """Return what to write to the terminal."""
        if isinstance(self._update, LayoutUpdate | ChopsUpdate):
            self._screen.take(self._update)
        # Textual itself reads this attribute where it draws without colours.
        changes = self._screen.changes(cast(Any, console)._color_system or ColorSystem.TRUECOLOR, self._most)
        self.written = len(changes.encode())
        return changes


def _with_other_halves(positions: npt.NDArray[np.int64], right: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return the positions, with the other halves of wide characters: a terminal shows no half."""
    chosen = np.zeros(len(right), dtype=bool)
    chosen[positions] = True
    while True:
        # Where wide characters replace wide ones one column further, halves of several depend on each other.
        grown = chosen.copy()
        grown[:-1] |= chosen[1:] & right[1:]
        grown[1:] |= chosen[:-1] & right[1:]
        if (grown == chosen).all():
            return np.flatnonzero(chosen)
        chosen = grown


def _from(first: int, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return ascending positions from ``first`` on, then those before it."""
    begin = int(np.searchsorted(positions, first))
    return np.concatenate((positions[begin:], positions[:begin]))


def _part(cells: npt.NDArray[np.uint64], first: int, last: int) -> npt.NDArray[np.uint64]:
    """Return a part of the cells, with blanks for halves of wide characters."""
    part = cells[first:last]
    if first and _is_right_half(part[0]):
        part = np.concatenate(([_blank(part[0])], part[1:]))
    if last < len(cells) and _is_right_half(cells[last]):
        part = np.concatenate((part[:-1], [_blank(part[-1])]))
    return part


def _is_right_half(cell: np.uint64) -> bool:
    return int(cell) & _CODE == CONTINUED


def _blank(cell: np.uint64) -> np.uint64:
    """Return a blank in the style of a cell."""
    return np.uint64((int(cell) & ~_CODE) | ord(" "))


def _is_drawing(codes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Return which characters are dots, bars or shades."""
    return ((codes >= 0x2580) & (codes <= 0x259F)) | ((codes >= 0x2800) & (codes <= 0x28FF))
