"""Data to braille cells, by NumPy: every column keeps its smallest and its largest value.

A cell is two dots wide and four high; a *column* here is one column of dots.
"""

import itertools
import math
from bisect import bisect_left
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from tuimon.plot.axes import Axis
from tuimon.plot.joins import JOINED, Joins
from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray

DotArray = npt.NDArray[np.bool_]
"""Dots, shape ``(4 * rows, 2 * columns)``, the upper left first."""

Fill = Literal["dense", "hatch"]
"""How the area between the edges of a band is filled."""

XOf = Callable[[IntArray], FloatArray | IntArray]
"""Converts steps to x; the result never descends."""

STEEP_DOTS = 2
"""A column of a line with more dots than this is a jump."""
RARE_ZEROS = 0.05
"""Up to this share of values that are exactly 0, a logarithmic axis is one of the others."""
_NARROW = 8
"""A band of fewer columns has no room for slanting lines."""
_LARGEST = 1e300
_AT_A_TIME = 1 << 18
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)
_BRAILLE = np.array([" ", *(chr(0x2800 + bits) for bits in range(1, 256))], dtype="<U1")


class ColumnExtremes:
    """Points reduced to the columns of an axis, point by point as they come.

    The cost of drawing does not grow with the run: until the axis changes, only new points are looked at.

    Args:
        columns: How many columns of dots.
        last: The x at the last column.
        first: The x at the first one.
        skip: How many points to leave out. All of them lie before ``first``; the last of them is looked at.
    """

    def __init__(self, columns: int, last: float, first: float = 0.0, skip: int = 0) -> None:
        self.columns = columns
        self.first = first
        self.last = last
        self.low: FloatArray = np.full(columns, np.inf)
        """Smallest finite value, shape ``(columns,)``; inf where there is none."""
        self.high: FloatArray = np.full(columns, -np.inf)
        """Largest finite value; -inf where there is none."""
        self.entry: FloatArray = np.full(columns, np.nan)
        """First finite value."""
        self.exit: FloatArray = np.full(columns, np.nan)
        """Last finite value."""
        self.non_finite: DotArray = np.zeros(columns, dtype=bool)
        """True for columns with a NaN or an infinity."""
        self.parted: DotArray = np.zeros(columns, dtype=bool)
        """True for columns whose first value is not joined with the value before."""
        self._least = np.inf
        self._values = self._zeros = 0
        self.consumed = skip
        """How many points are reduced so far."""
        self._newest: tuple[float, float, int] | None = None
        """The x, the value and the piece of the line of the newest point."""
        self._piece = self._piece_drawn = 0
        self._is_begun = self._is_left = False

    def update(self, steps: IntArray, values: FloatArray, x_of: XOf | None = None, joins: Joins = JOINED) -> None:
        """Reduce the new points of a series.

        Args:
            steps: The steps of all points, old ones too; never descending.
            values: The values of all points.
            x_of: Converts steps to x; None: x is the step.
            joins: Which points are joined.
        """
        # A chart in a tiny terminal has no column.
        while self.consumed < len(steps) and self.columns and not self._is_left:
            # A long run is converted in parts: the copy takes little memory.
            new = slice(self.consumed, min(len(steps), self.consumed + _AT_A_TIME))
            pieces = self._piece + np.cumsum(joins.parted(steps, values, new))
            self._piece = int(pieces[-1])
            self._take((steps[new] if x_of is None else x_of(steps[new])).astype(np.float64), values[new], pieces)
            self.consumed = new.stop
        self.consumed = len(steps)

    def _take(self, x: FloatArray, values: FloatArray, pieces: IntArray) -> None:
        def point(at: int) -> tuple[float, float, int]:
            return float(x[at]), float(values[at]), int(pieces[at])

        inside = within(x, self.first, self.last)
        if inside.start:
            self._newest = point(inside.start - 1)
        if not self._is_begun and inside.start < len(x):
            self._is_begun = True
            self._cross(point(inside.start), self.first, 0)
        self._reduce(x[inside], values[inside], pieces[inside])
        if inside.stop:
            self._newest = point(inside.stop - 1)
        if inside.stop < len(x):
            self._is_left = True
            self._cross(point(inside.stop), self.last, self.columns - 1)

    def _reduce(self, x: FloatArray, values: FloatArray, pieces: IntArray) -> None:
        column = np.floor((x - self.first) / (self.last - self.first) * (self.columns - 1) + 0.5).astype(np.int64)
        value = np.clip(values, -_LARGEST, _LARGEST)
        finite = np.isfinite(values)
        self.non_finite[column[~finite]] = True
        column, value, pieces = column[finite], value[finite], pieces[finite]
        if not len(column):
            return
        self._values += len(value)
        self._zeros += int(np.count_nonzero(value == 0))
        self._least = min(self._least, float(np.min(value, where=value > 0, initial=np.inf)))
        # Points in one column form a run: the reduction touches each point once, and each run twice.
        starts = np.concatenate(([0], np.flatnonzero(np.diff(column)) + 1))
        ends = np.concatenate((starts[1:], [len(column)])) - 1
        runs = column[starts]
        np.minimum.at(self.low, runs, np.minimum.reduceat(value, starts))
        np.maximum.at(self.high, runs, np.maximum.reduceat(value, starts))
        empty = np.isnan(self.entry[runs])
        before = np.concatenate(([self._piece_drawn], pieces[ends[:-1]]))
        self.parted[runs[empty]] = (pieces[starts] != before)[empty]
        self._piece_drawn = int(pieces[-1])
        self.entry[runs[empty][::-1]] = value[starts][empty][::-1]
        self.exit[runs] = value[ends]

    def _cross(self, point: tuple[float, float, int], at: float, column: int) -> None:
        """Draw the line from the newest point to another one through a column, where they are joined."""
        x, value, piece = point
        if self._newest is None or piece != self._newest[2]:
            return
        before, former, _ = self._newest
        share = (at - before) / (x - before) if x > before else 0.0
        crossing = former + share * (value - former)
        if not math.isfinite(crossing):
            return
        self.low[column], self.high[column] = min(self.low[column], crossing), max(self.high[column], crossing)
        if math.isnan(self.entry[column]):
            self.entry[column] = crossing
        self.exit[column] = crossing

    @property
    def limits(self) -> tuple[float, float] | None:
        """Smallest and largest value; None while there is no finite one."""
        low, high = float(self.low.min(initial=np.inf)), float(self.high.max(initial=-np.inf))
        return (low, high) if low <= high else None

    @property
    def log_limits(self) -> tuple[float, float] | None:
        """What a logarithmic axis holds: `limits` without zeros, where these are rare. They lie at its lower edge."""
        limits = self.limits
        if limits is None or limits[0] or self._zeros > RARE_ZEROS * self._values or not math.isfinite(self._least):
            return limits
        return self._least, limits[1]

    @property
    def newest(self) -> tuple[int, float] | None:
        """Column and value of the newest finite point; None while there is none."""
        present = np.flatnonzero(np.isfinite(self.exit))
        return (int(present[-1]), float(self.exit[present[-1]])) if len(present) else None


def within(x: FloatArray | IntArray, first: float, last: float) -> slice:
    """Return which of ``x``, never descending, lie from ``first`` to ``last``, both included."""
    return slice(*np.searchsorted(x, [first, np.nextafter(last, np.inf)]))


def place_of(x: float, steps: IntArray, x_of: XOf | None = None) -> int:
    """Return how many steps lie before ``x``. Only a few of them are converted.

    Args:
        x: A place on the axis.
        steps: Never descending.
        x_of: Converts steps to x; None: x is the step.
    """
    if x_of is None:
        # NumPy's search would first convert all of them to the type of x.
        return bisect_left(steps, x)
    return bisect_left(steps, x, key=lambda step: float(x_of(np.array([step]))[0]))


def steps_within(steps: IntArray, first: float, last: float, x_of: XOf) -> slice:
    """Return which of ``steps``, never descending, lie from ``first`` to ``last`` on the axis, both included."""
    return slice(place_of(first, steps, x_of), place_of(math.nextafter(last, math.inf), steps, x_of))


def line(points: ColumnExtremes, axis: Axis, rows: int) -> DotArray:
    """Return the dots of a line through ``points``: each column from its smallest to its largest value, joined.

    A column that holds only values that are not finite is a gap in the line, and so is what lies between two points
    that are not joined.

    Args:
        points: The points to draw.
        axis: The axis of the values.
        rows: Height in cells.
    """
    present = np.flatnonzero(np.isfinite(points.low))
    if not len(present):
        return np.zeros((4 * rows, points.columns), dtype=bool)
    columns = np.arange(present[0], present[-1] + 1)
    # Each column with values is a short step from its first to its last one, as long as its own width.
    x = np.repeat(present.astype(np.float64), 2)
    x[1::2] += 1e-6
    y = np.empty(len(x))
    y[0::2] = heights(points.entry[present], axis, rows)
    y[1::2] = heights(points.exit[present], axis, rows)
    left, right = np.interp(columns - 0.5, x, y), np.interp(columns + 0.5, x, y)
    inside = present - present[0]
    apart = points.parted[present[1:]]
    right[inside[:-1][apart]], left[inside[1:][apart]] = y[1:-1:2][apart], y[2::2][apart]
    top, bottom = np.minimum(left, right), np.maximum(left, right)
    top[inside] = np.minimum(top[inside], heights(points.high[present], axis, rows))
    bottom[inside] = np.maximum(bottom[inside], heights(points.low[present], axis, rows))
    drawn = np.isfinite(points.low[columns]) | ~(points.non_finite[columns] | _between(present, apart))
    return _spans(columns[drawn], top[drawn], bottom[drawn], rows, points.columns)


def joined(columns: IntArray, dot_rows: IntArray, pieces: IntArray, rows: int, width: int) -> DotArray:
    """Return the dots of a line through few points: each column from its highest to its lowest one, all joined.

    Args:
        columns: The column of dots of each point, shape ``(points,)``, never descending.
        dot_rows: The row of dots of each point, 0 at the top, shape ``(points,)``.
        pieces: The piece of the line that each point is on, shape ``(points,)``. Two pieces are not joined.
        rows: Height in cells.
        width: Width in columns of dots.
    """
    top, bottom = np.full(width, 4 * rows), np.full(width, -1)
    np.minimum.at(top, columns, dot_rows)
    np.maximum.at(bottom, columns, dot_rows)
    first, last = np.full(width, np.iinfo(np.int64).max), np.full(width, -1)
    np.minimum.at(first, columns, pieces)
    np.maximum.at(last, columns, pieces)
    present = np.flatnonzero(bottom >= 0)
    middle = (top + bottom) / 2
    dots = _spans(present, top[present], bottom[present], rows, width)
    for left, right in itertools.pairwise(present.tolist()):
        if last[left] == first[right]:
            between = np.arange(left, right + 1)
            edges = np.interp(np.arange(left, right + 2) - 0.5, (left, right), (middle[left], middle[right]))
            low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
            dots |= _spans(between, low, high, rows, width)
    return dots


def band(low: ColumnExtremes, high: ColumnExtremes, axis: Axis, rows: int, fill: Fill = "dense") -> DotArray:
    """Return the dots of two curves, with every second dot between them, or with slanting lines between them."""
    present = np.flatnonzero(np.isfinite(low.low) & np.isfinite(high.high))
    dots = np.zeros((4 * rows, low.columns), dtype=bool)
    if not len(present):
        return dots
    columns = np.arange(present[0], present[-1] + 1)
    top = np.interp(columns, present, heights(high.high[present], axis, rows))
    bottom = np.interp(columns, present, heights(low.low[present], axis, rows))
    missing = ~(np.isfinite(low.low[columns]) & np.isfinite(high.high[columns]))
    apart = (low.parted | high.parted)[present[1:]]
    drawn = ~(missing & (low.non_finite[columns] | high.non_finite[columns] | _between(present, apart)))
    dots = _spans(columns[drawn], top[drawn], bottom[drawn], rows, low.columns)
    row, column = np.indices(dots.shape)
    if fill == "hatch" and len(columns) > _NARROW:
        dots &= (row + 2 * column) % 8 == 0
    else:
        dots &= (row + column) % 2 == 0
    edge = np.clip(np.floor(np.concatenate((top[drawn], bottom[drawn])) + 0.5), 0, 4 * rows - 1).astype(np.int64)
    dots[edge, np.tile(columns[drawn], 2)] = True
    return dots


def _between(present: IntArray, apart: DotArray) -> DotArray:
    """Return which columns, from the first one with a value on, lie between two values that are not joined.

    Args:
        present: The columns with a value, ascending.
        apart: Whether the second one and each one after it is not joined with the one before.
    """
    changes = np.zeros(int(present[-1] - present[0]) + 1, dtype=np.int8)
    inside = present - present[0]
    changes[inside[:-1][apart] + 1] += 1
    changes[inside[1:][apart]] -= 1
    found: DotArray = np.cumsum(changes) > 0
    return found


def dashed(dots: DotArray, pattern: str, *, steep: int = STEEP_DOTS) -> DotArray:
    """Return ``dots`` with gaps between dashes. A gap hides no jump and no extreme.

    Args:
        dots: The dots of one line.
        pattern: One letter a column of dots, repeated: "1" keeps the column, "0" clears it.
        steep: A column with more dots than this is a jump.
    """
    rows = np.flatnonzero(dots.any(axis=1))
    kept = mask(pattern, dots.shape[1]) | (dots.sum(axis=0) > steep)
    result: DotArray = dots & kept
    for row in rows[[0, -1]] if len(rows) else ():
        if not result[row].any():
            result[row] = dots[row]
    return result


def thinned(dots: DotArray) -> DotArray:
    """Return ``dots`` without every second one of those that have neighbours on all four sides.

    A thick area, such as the values of many noisy batches, keeps its outline and every spike, and looks less heavy.
    """
    result = dots.copy()
    if min(dots.shape) > 2:
        inner = dots[1:-1, 1:-1] & dots[:-2, 1:-1] & dots[2:, 1:-1] & dots[1:-1, :-2] & dots[1:-1, 2:]
        for first in (0, 1):
            result[1 + first : -1 : 2, 2 - first : -1 : 2] &= ~inner[first::2, 1 - first :: 2]
    return result


def mask(pattern: str, columns: int) -> DotArray:
    """Return which columns a pattern of `dashed` keeps."""
    return np.resize(np.array([letter == "1" for letter in pattern]), columns)


def heights(values: FloatArray, axis: Axis, rows: int) -> FloatArray:
    """Return where ``values`` lie in rows of dots, 0 at the top, limited to the grid."""
    result: FloatArray = np.clip((1.0 - axis.positions(values)) * (4 * rows - 1), 0, 4 * rows - 1)
    return result


def braille(dots: DotArray) -> npt.NDArray[np.str_]:
    """Return dots as characters, shape ``(rows, columns)`` in cells; a blank where there is no dot."""
    height, width = dots.shape
    blocks = dots.reshape(height // 4, 4, width // 2, 2)
    bits = np.einsum("iajb,ab->ij", blocks.astype(np.uint8), _BITS)
    characters: npt.NDArray[np.str_] = _BRAILLE[bits]
    return characters


def touched(dots: DotArray) -> DotArray:
    """Return which cells have a dot, shape ``(rows, columns)`` in cells."""
    # Many times faster than `any` over two axes.
    rows = dots[0::4] | dots[1::4] | dots[2::4] | dots[3::4]
    result: DotArray = rows[:, 0::2] | rows[:, 1::2]
    return result


def _spans(
    columns: IntArray, top: FloatArray | IntArray, bottom: FloatArray | IntArray, rows: int, width: int
) -> DotArray:
    """Return the dots from ``top`` to ``bottom`` in each of some columns."""
    edges = np.zeros((4 * rows + 1, width), dtype=np.int32)
    np.add.at(edges, (np.clip(np.floor(top + 0.5), 0, 4 * rows - 1).astype(np.int64), columns), 1)
    np.add.at(edges, (np.clip(np.floor(bottom + 0.5), 0, 4 * rows - 1).astype(np.int64) + 1, columns), -1)
    dots: DotArray = np.cumsum(edges, axis=0)[:-1] > 0
    return dots
