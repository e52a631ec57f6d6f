"""Which rows of a long run stay where there is no room for all of them."""

from collections.abc import Iterable, Sequence

import numpy as np

from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray, Series

ROOM = 1 << 22
"""The numbers that a viewer keeps of a run's curves, once it has had twice as many: of 8 bytes each."""
LEAST_ROWS = 64
"""The fewest newest rows that stay."""
_PARTS_AT_A_TIME = 1 << 14
"""The smaller, the less memory is taken for copies."""


def thin(series: Sequence[Series], rows: int) -> IntArray | None:
    """Once there are twice as many rows, keep the newest, and of the older ones the first and each part's extremes.

    The parts are equally long in steps, and there are so many that as many old rows stay as half the newest: a curve of
    the whole run is drawn as before.

    Args:
        series: Have a row at the same steps each; so do they afterwards.
        rows: How many of the newest rows all stay, at least `LEAST_ROWS`.

    Returns:
        Which rows stayed; None where all did.
    """
    size = min(map(len, series))
    if size < 2 * rows:
        return None
    older, parts = size - rows, rows // (4 * len(series))
    found = [extremes(each.steps[:older], each.rows[:older], parts) for each in series]
    kept = np.concatenate([np.unique(np.concatenate([np.zeros(1, dtype=np.int64), *found])), np.arange(older, size)])
    for each in series:
        each.keep(kept)
    return kept


def extremes(steps: IntArray, rows: FloatArray, parts: int) -> IntArray:
    """Return which rows are the smallest and the largest of their part of the steps, in ascending order.

    Of the rows of a part that hold a NaN or an infinity, the first stays as well.

    Args:
        steps: Steps, shape ``(n,)``, never descending.
        rows: Values, shape ``(n, width)``; a row is as small as its first value and as large as its last one.
        parts: How many equally long parts there are.

    Example:
        >>> extremes(np.arange(6), np.array([[3.0], [1.0], [2.0], [5.0], [9.0], [7.0]]), parts=2).tolist()
        [0, 1, 2, 4]
    """
    if not len(steps):
        return np.empty(0, dtype=np.int64)
    # Numbers of the type of the steps: others would need a copy of all steps.
    edges = int(steps[0]) + np.arange(parts) * (int(steps[-1]) - int(steps[0])) // parts
    begins = np.unique(np.searchsorted(steps, edges.astype(steps.dtype)))
    ends = np.append(begins[_PARTS_AT_A_TIME::_PARTS_AT_A_TIME], len(steps))
    found = [np.empty(0, dtype=np.int64)]
    for first, end in zip(begins[::_PARTS_AT_A_TIME].tolist(), ends.tolist(), strict=True):
        inside = begins[(begins >= first) & (begins < end)] - first
        values = rows[first:end]
        finite = np.isfinite(values).all(axis=1)
        kept = (
            _smallest(np.where(finite, values[:, 0], np.inf), inside),
            _smallest(np.where(finite, -values[:, -1], np.inf), inside),
            _first(np.flatnonzero(~finite), inside),
        )
        found.append(np.unique(np.concatenate(kept)) + first)
    return np.concatenate(found)


def _smallest(values: FloatArray, begins: IntArray) -> IntArray:
    """Return where the first of the smallest values of each part is."""
    counts = np.diff(np.append(begins, len(values)))
    return _first(np.flatnonzero(values == np.repeat(np.minimum.reduceat(values, begins), counts)), begins)


def _first(places: IntArray, begins: IntArray) -> IntArray:
    """Return the first of the places in each part that has any."""
    parts = np.searchsorted(begins, places, side="right")
    return places[np.diff(parts, prepend=0) > 0]


def fair_share(sizes: Iterable[int], room: int) -> float:
    """Return what each may have of the room: the small ones all that they want, the others equally much.

    Example:
        >>> fair_share([10, 500, 900], room=410)
        200.0
    """
    wanted = sorted(sizes)
    for place, size in enumerate(wanted):
        share = room / (len(wanted) - place)
        if size > share:
            return share
        room -= size
    return float("inf")
