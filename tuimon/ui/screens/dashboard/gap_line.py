"""The gap in a few lines, where there is no room for its chart or nothing to draw in one."""

import math

import numpy as np
from msgspec import Struct

from tuimon.runs.state import RunState
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, cell_width, fit, wrap
from tuimon.ui.screens.dashboard.gap_words import SIGNS, Part, drawn_parts, has_gap, parts_of, whole_of
from tuimon.ui.screens.layers.bars import BARS
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment, no_probe_words, probe_words

_SPARK_CELLS, _FEW_SPARK_CELLS = 16, 8
"""Width of the line of bars, in a wide panel and in one that is not."""
_WIDE = 100
"""A panel this wide has room for the standard error of each loss as well; shares have theirs at any width."""
_NARROW = 50
"""A narrower panel has short names."""
_SHORT = 9
"""Width of a loss in a panel that is not wide."""
_BETWEEN = 3
"""Cells between two items."""
_FRAMED = 3
"""From this height on, there is a frame."""

_STEP, _LAST = 9, 100
"""The ranks of the step, behind the parts, and of what is left out first."""


class Item(Struct, frozen=True):
    """Texts that are drawn together or not at all."""

    texts: tuple[tuple[str, int], ...]
    """Each with its colour."""
    rank: int
    """Without room for all, items of high rank are left out first."""
    begins_line: bool = False
    """Whether it begins a line of its own."""

    @property
    def width(self) -> int:
        """Its width in cells."""
        return sum(cell_width(text) for text, _ in self.texts)


def draw_gap_lines(cells: Cells, title: str, legend: list[tuple[str, int]], moment: Moment) -> None:
    """Draw the gap of the newest probe, its parts, how it went so far, and `loss` − `val_loss`.

    What does not fit is left out: the bars first, then the smallest parts.
    """
    is_framed = cells.height >= _FRAMED
    first, rows = (1, cells.height - 2) if is_framed else (0, cells.height)
    column, end = (3, cells.width - 3) if is_framed else (1, cells.width - 1)
    if is_framed:
        draw_panel(cells, title, legend)
    state = moment.state
    if not state.probes:
        _draw_words(cells, first, rows, column, end, moment, is_framed)
        return
    items = [*_gap_items(state, cells.width), *_whole_items(state)]
    if not is_framed:
        # Else the title says it.
        items.insert(1, Item(((probe_words(state), int(Meaning.DIM)),), _STEP))
    _draw_items(cells, first, rows, column, end, items)


def spark(state: RunState, width: int) -> str:
    """Return the gap of each probe as a bar, from 0 or the lowest one up; of many probes, several are one bar.

    Such a bar has the value furthest from 0 of its probes, and a sign where one is not finite.
    """
    values = state.gap_parts["gap"].values
    groups = np.array_split(values, min(width, len(values)))
    furthest = [float(group[np.argmax(np.abs(group))]) if np.isfinite(group).all() else math.nan for group in groups]
    known = [value for value in furthest if math.isfinite(value)]
    low, high = min([0.0, *known]), max([0.0, *known])
    return "".join(
        BARS[round((value - low) / (high - low) * (len(BARS) - 1)) if high > low else 0]
        if math.isfinite(value)
        else "▲"
        for value in furthest
    )


def _draw_words(cells: Cells, first: int, rows: int, column: int, end: int, moment: Moment, is_framed: bool) -> None:
    """Draw when the first probe comes."""
    if not is_framed:
        column = cells.put(first, column, "gap –", Meaning.GAP) + 2
    lines = wrap(no_probe_words(moment), max(1, end - column))
    for row, words in enumerate(lines[:rows]):
        is_cut = row == rows - 1 and len(lines) > rows
        cells.put(first + row, column, fit(words + " …", end - column) if is_cut else words, Meaning.DIM)
    difference = whole_of(moment.state)
    if difference is None:
        return
    item, beside = _item(difference[0], 0), column + cell_width(lines[-1]) + _BETWEEN
    if len(lines) <= rows and beside + item.width <= end:
        _draw_items(cells, first + len(lines) - 1, 1, beside, end, [item])
    elif len(lines) < rows:
        _draw_items(cells, first + len(lines), 1, column, end, [item])


def _gap_items(state: RunState, width: int) -> list[Item]:
    """Return the gap, how it went, and its parts, the largest first, for a panel of a width."""
    is_wide, is_narrow = width >= _WIDE, width < _NARROW
    gap, *parts = parts_of(state.probes[-1], drawn_parts(state), *(() if is_wide else (_SHORT,)))
    first = _signed_item(gap, 0, is_narrow)
    if not has_gap(state):
        return [first, Item((("both modes compute the same", int(Meaning.DIM)),), _LAST)]
    bars = Item(((spark(state, _SPARK_CELLS if is_wide else _FEW_SPARK_CELLS), int(Meaning.GAP)),), 10)
    return [first, bars, *(_signed_item(part, rank, is_narrow) for rank, part in enumerate(_by_size(parts), start=1))]


def _whole_items(state: RunState) -> list[Item]:
    """Return `loss` − `val_loss` and what it is made of, the largest first."""
    found = whole_of(state)
    if found is None:
        return []
    difference, parts, why = found
    beside_gap = has_gap(state)
    first = _item(difference, 20 if beside_gap else 1, begins_line=beside_gap)
    reason = [Item(((why, int(Meaning.DIM)),), _LAST)] if why else []
    return [first, *(_item(part, rank) for rank, part in enumerate(_by_size(parts), start=21)), *reason]


def _by_size(parts: list[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: -part.size)


def _signed_item(part: Part, rank: int, is_narrow: bool) -> Item:
    sign, word, meaning = SIGNS[part.name]
    word = word.partition(" ")[0] if is_narrow else word
    return Item(((f"{sign} {word} ", int(meaning)), (part.text, int(Meaning.TEXT))), rank)


def _item(part: Part, rank: int, *, begins_line: bool = False) -> Item:
    return Item(((f"{part.name} ", int(Meaning.DIM)), (part.text, int(Meaning.TEXT))), rank, begins_line)


def _draw_items(cells: Cells, first: int, rows: int, column: int, end: int, items: list[Item]) -> None:
    """Draw items one after another, as many as there are rows for."""
    items = list(items)
    while len(items) > 1 and len(_flowing(items, end - column)) > rows:
        items.remove(max(reversed(items), key=lambda item: item.rank))
    for row, line in enumerate(_flowing(items, end - column)[:rows]):
        at = column
        for item in line:
            for text, code in item.texts:
                at = cells.put(first + row, at, text, code, width=max(0, end - at))
            at += _BETWEEN


def _flowing(items: list[Item], width: int) -> list[list[Item]]:
    """Return the items of each line."""
    lines: list[list[Item]] = [[]]
    used = 0
    for item in items:
        if lines[-1] and (item.begins_line or used + _BETWEEN + item.width > width):
            lines.append([])
        used = (used + _BETWEEN if lines[-1] else 0) + item.width
        lines[-1].append(item)
    return lines
