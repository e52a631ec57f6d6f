"""A curve over steps in a few lines of text: braille dots, limits at the left, marks and steps below."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from tuimon.numbers import figure
from tuimon.plot.raster import RARE_ZEROS, braille, joined
from tuimon.protocol.wire import FloatArray
from tuimon.report.lines import Line, Role, Span, line
from tuimon.runs.series import IntArray
from tuimon.text import plain, width_of

MOST_COLUMNS = 60
ROWS = 4
"""Of dots; with marks and steps a chart has at most two more."""

_LOGARITHMIC_FROM = 100.0
"""Values that are all above 0 and span more than this factor are drawn on a logarithmic scale."""


class Mark(Struct, frozen=True):
    """A step to mark."""

    step: int
    word: str = ""
    """What happened there: "freeze all"; empty: the sign says enough."""
    sign: str = "▲"
    role: Role = "command"


class Curve(Struct, frozen=True):
    """What a chart shows."""

    title: str
    steps: IntArray
    values: FloatArray
    marks: tuple[Mark, ...] = ()
    shows_zero: bool = False
    """Whether 0 is on the scale in any case: for what should be 0."""
    is_broken_at_marks: bool = False
    """Whether points before and after a mark are not joined: for what jumps there, and was measured now and then."""
    breaks: tuple[int, ...] = ()
    """The steps after which the curve begins anew: points before and after are not joined."""


def chart(curve: Curve, width: int, rows: int = ROWS) -> list[Line]:
    """Return a chart of at most ``width`` cells; nothing where there are no two points to join.

    Each column keeps its smallest and its largest value. Where values begin not to be finite there is a ✗.
    """
    finite = np.isfinite(curve.values)
    steps, values = curve.steps[finite], curve.values[finite]
    if len(values) < 2 or curve.steps[0] >= curve.steps[-1]:
        return []
    low, high = float(values.min()), float(values.max())
    if curve.shows_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    above = values[values > 0]
    if low == 0 and not curve.shows_zero and len(above) >= (1 - RARE_ZEROS) * len(values):
        # A few zeros lie at the lower edge of a logarithmic scale.
        least = float(above.min())
        low = least if high > _LOGARITHMIC_FROM * least else low
    is_logarithmic = low > 0 and high > _LOGARITHMIC_FROM * low
    labels = [figure(high, 3), figure(low, 3)] if high > low else [figure(high, 3), ""]
    margin = max(map(len, labels))
    columns = min(MOST_COLUMNS, width - margin - 2)
    if columns < 10:
        return []
    heights = _heights(values, low, high, 4 * rows, logarithmic=is_logarithmic)
    first, last = int(curve.steps[0]), int(curve.steps[-1])
    jumps = np.array([mark.step for mark in curve.marks if curve.is_broken_at_marks], dtype=np.int64)
    # How many jumps a point has behind it: points that differ in that are not joined.
    pieces = np.searchsorted(np.sort(jumps), steps, side="right")
    pieces += np.searchsorted(np.array(curve.breaks, dtype=np.int64), steps, side="left")
    dots = joined(_places(steps, first, last, 2 * columns), heights, pieces, rows, 2 * columns)
    title = plain(f"{curve.title}{', log scale' if is_logarithmic else ''}", width)
    lines = [line(" " * min(margin + 2, width - len(title)), Span(title, "dim"))]
    for row, characters in enumerate(braille(dots)):
        label = labels[0] if row == 0 else labels[1] if row == rows - 1 else ""
        curve_row = Span("".join(characters.tolist()), "curve")
        lines.append(line(Span(f"{label:>{margin}} {'┤' if label else '│'}", "dim"), curve_row))
    begins = ~finite & np.concatenate(([True], finite[:-1]))
    breaks = tuple(Mark(int(step), sign="✗", role="error") for step in curve.steps[begins])
    marks = _marks((*curve.marks, *breaks), first, last, columns)
    if marks:
        lines.append(line(" " * (margin + 2), *marks))
    ends = f"{first:,} ", f" step {last:,}"
    rule = "─" * (columns - len(ends[0]) - len(ends[1]))
    lines.append(line(Span(f"{' ' * margin} └{ends[0]}{rule}{ends[1]}", "dim")))
    return lines


def _places(steps: IntArray, first: int, last: int, columns: int) -> IntArray:
    places: IntArray = np.clip((steps - first) * (columns - 1) / (last - first) + 0.5, 0, columns - 1).astype(np.int64)
    return places


def _heights(values: FloatArray, low: float, high: float, rows: int, *, logarithmic: bool) -> IntArray:
    """Return the row of dots of each value, 0 at the top."""
    # Halves, for the difference of two very large numbers would be none.
    scaled, bottom, top = values / 2, low / 2, high / 2
    if logarithmic:
        scaled, bottom, top = np.log(np.maximum(values, low)), float(np.log(low)), float(np.log(high))
    span = top - bottom
    share = (scaled - bottom) / span if span > 0 else np.full(len(values), 0.5)
    heights: IntArray = np.floor((1 - share) * (rows - 1) + 0.5).astype(np.int64)
    return np.clip(heights, 0, rows - 1)


def _marks(marks: Sequence[Mark], first: int, last: int, columns: int) -> list[Span]:
    """Return the line of marks; a word that would run into another mark is left out."""
    placed: dict[int, Mark] = {}
    for mark in marks:
        if first <= mark.step <= last:
            placed.setdefault(round((mark.step - first) * (columns - 1) / (last - first)), mark)
    spans: list[Span] = []
    end = 0
    ordered = sorted(placed.items())
    for index, (column, mark) in enumerate(ordered):
        limit = ordered[index + 1][0] if index + 1 < len(ordered) else columns
        behind, before = f"{mark.sign} {mark.word}", f"{mark.word} {mark.sign}"
        if mark.word and column + width_of(behind) < limit + (limit == columns):
            begin, text = column, behind
        elif mark.word and column + 1 - width_of(before) >= end + bool(end):
            begin, text = column + 1 - width_of(before), before
        else:
            begin, text = column, mark.sign
        spans += [Span(" " * (begin - end)), Span(text, mark.role)]
        end = begin + width_of(text)
    return spans
