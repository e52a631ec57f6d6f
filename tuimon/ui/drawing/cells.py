"""The grid of character cells that every panel draws into, and the difference of two grids."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from rich.cells import get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip

from tuimon import text as text_module
from tuimon.ui.viewer.meanings import Meaning

CharArray = npt.NDArray[np.str_]
CodeArray = npt.NDArray[np.uint8]

_MERGE_GAP = 8
"""Changed spans closer than this become one region."""


class Cells:
    """``height`` rows of ``width`` cells, each a character and a code (a meaning, perhaps selected).

    A character that is two cells wide is followed by a cell that holds the empty string.

    Example:
        >>> cells = Cells(10, 1)
        >>> cells.put(0, 2, "loss")
        6
        >>> cells.text(0)
        '  loss    '
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = max(0, width)
        self.height = max(0, height)
        self.chars: CharArray = np.full((self.height, self.width), " ", dtype="<U1")
        self.codes: CodeArray = np.zeros((self.height, self.width), dtype=np.uint8)

    def put(self, row: int, column: int, text: str, code: int = Meaning.TEXT, *, width: int | None = None) -> int:
        """Write ``text`` from ``column`` on and return the column after it.

        Args:
            row: Outside of the grid, nothing is written.
            column: Where the text begins, at least 0.
            text: One line; what does not fit is cut off, with an ellipsis where ``width`` is given.
            code: The code of each of its cells.
            width: At most this many cells.
        """
        end = self.width if width is None else min(self.width, column + width)
        if not 0 <= row < self.height or column < 0 or column >= end:
            return max(column, 0)
        if width is not None:
            text = fit(text, end - column)
        if text.isascii() and text.isprintable():
            text = text[: end - column]
            self.chars[row, column : column + len(text)] = list(text)
            self.codes[row, column : column + len(text)] = code
            return column + len(text)
        for character in text:
            size = get_character_cell_size(character)
            # A terminal obeys control characters instead of showing them.
            if size == 0 or not character.isprintable():
                continue
            if column + size > end:
                break
            self.chars[row, column] = character
            if size == 2:
                self.chars[row, column + 1] = ""
            self.codes[row, column : column + size] = code
            column += size
        return column

    def put_right(self, row: int, end: int, text: str, code: int = Meaning.TEXT) -> None:
        """Write ``text`` so that it ends before column ``end``."""
        self.put(row, max(0, end - cell_width(text)), text, code)

    def text(self, row: int) -> str:
        """Return one row as text."""
        return "".join(self.chars[row].tolist())

    def strip(self, row: int, styles: Mapping[int, Style]) -> Strip:
        """Return one row as Textual draws it, in the styles of the codes."""
        if not 0 <= row < self.height or self.width == 0:
            return Strip.blank(self.width, styles[0])
        codes = self.codes[row]
        starts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist(), self.width]
        characters = self.chars[row].tolist()
        segments = [
            Segment("".join(characters[start:end]), styles[int(codes[start])]) for start, end in pairwise(starts)
        ]
        return Strip(segments, self.width)


def differences(old: Cells, new: Cells) -> list[Region]:
    """Return the regions in which two grids of the same size differ, a row high each."""
    changed = (old.chars != new.chars) | (old.codes != new.codes)
    regions = []
    for row in np.flatnonzero(changed.any(axis=1)).tolist():
        if (old.chars[row] == "").any() or (new.chars[row] == "").any():
            # A wide character must not be cut in two.
            regions.append(Region(0, row, new.width, 1))
            continue
        columns = np.flatnonzero(changed[row])
        breaks = np.flatnonzero(np.diff(columns) > _MERGE_GAP)
        firsts = columns[np.concatenate(([0], breaks + 1))].tolist()
        lasts = columns[np.concatenate((breaks, [len(columns) - 1]))].tolist()
        regions += [Region(first, row, last - first + 1, 1) for first, last in zip(firsts, lasts, strict=True)]
    return regions


def cell_width(text: str) -> int:
    """Return how many cells ``text`` takes."""
    return len(text) if text.isascii() else sum(map(get_character_cell_size, text))


def fit(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` cells, cut at its end with an ellipsis.

    Example:
        >>> fit("batch_normalization", 8)
        'batch_n…'
    """
    if width <= 0:
        return ""
    if cell_width(text) <= width:
        return text
    kept, used = [], 0
    for character in text:
        used += get_character_cell_size(character)
        if used > width - 1:
            break
        kept.append(character)
    return "".join(kept) + "…"


def fit_end(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` cells, cut at its beginning: paths differ at their ends.

    Example:
        >>> fit_end("encoder/block_1/bn_1", 8)
        '…_1/bn_1'
    """
    if cell_width(text) <= width or width <= 0:
        return fit(text, width)
    return fit(text[::-1], width)[::-1]


def wrap(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` cells, broken between words."""
    return text_module.wrap(text, width, cell_width)
