"""Columns of (step, value) that grow: what charts and exports read.

A value takes 8 bytes of memory. So does its step, but where one step follows the other, as with the values of single
batches, all series share one column of steps.
"""

import math
import mmap
import threading
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tuimon.protocol.wire import FloatArray

IntArray = npt.NDArray[np.int64]

_FIRST_CAPACITY = 64
_LONG = 1 << 20
_MAPPED_BYTES = 1 << 19
_FILLED_AT_A_TIME = 1 << 16
_LATEST_FIRST_STEP = 1 << 20
"""A series that begins later, after a resumption say, has steps of its own: the shared ones begin at 0."""


class _Counted:
    """The steps 0, 1, 2, … that series share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Half as long as other integers: of ten million points, 40 MB less.
        self._steps: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._size = 0

    def between(self, first: int, last: int) -> IntArray:
        """Return the steps from ``first`` to before ``last``."""
        with self._lock:
            if last > self._size:
                filled = last + _FILLED_AT_A_TIME
                if filled > len(self._steps):
                    self._steps = _with_room(self._steps, self._size, filled)
                # In pieces: NumPy makes each as a column of its own first.
                for begin in range(self._size, filled, _FILLED_AT_A_TIME):
                    end = min(begin + _FILLED_AT_A_TIME, filled)
                    self._steps[begin:end] = np.arange(begin, end)
                self._size = filled
            return cast(IntArray, self._steps[first:last])


_counted = _Counted()


class Series:
    """Rows of values over steps, in the order of the steps; of one step, in the order they come.

    Steps of a log never go back, unless its lines were moved or written twice: such rows are put in order.

    Args:
        width: Values a row; 1 for a metric, 7 for the quantiles of a BatchNormalization array.

    Example:
        >>> loss = Series()
        >>> loss.append(0, [0.5])
        >>> loss.steps.tolist(), loss.values.tolist()
        ([0], [0.5])
    """

    def __init__(self, width: int = 1) -> None:
        self.width = width
        self._size = 0
        self._first: int | None = None
        """The first step, where one follows the other and they are shared; else None."""
        self._steps: IntArray = np.empty(0, dtype=np.int64)
        self._rows: FloatArray = np.empty((_FIRST_CAPACITY, width), dtype=np.float64)
        self._is_in_order = True

    def __len__(self) -> int:
        return self._size

    @property
    def steps(self) -> IntArray:
        """Steps, shape ``(len(self),)``, of 4 or 8 bytes each; a view to read from, valid until the next append."""
        if self._first is not None:
            return _counted.between(self._first, self._first + self._size)
        self._put_in_order()
        return self._steps[: self._size]

    @property
    def rows(self) -> FloatArray:
        """Values, shape ``(len(self), width)``."""
        self._put_in_order()
        return self._rows[: self._size]

    @property
    def values(self) -> FloatArray:
        """The first value of each row, shape ``(len(self),)``."""
        return self.rows[:, 0]

    @property
    def last(self) -> float | None:
        """The last row's first value; None while there is no row."""
        return float(self.rows[-1, 0]) if self._size else None

    def at(self, step: int) -> float | None:
        """Return the first value of the newest row of a step; None where there is no such row.

        Example:
            >>> loss = Series()
            >>> loss.append(4, [0.5])
            >>> loss.append(4, [0.3])
            >>> loss.at(4), loss.at(5)
            (0.3, None)
        """
        row = int(np.searchsorted(self.steps, step, side="right")) - 1
        return float(self.values[row]) if row >= 0 and self.steps[row] == step else None

    def append(self, step: int, row: Sequence[float] | FloatArray) -> None:
        """Add one row."""
        self._reserve(1)
        if not self._goes_on(step):
            self._put_steps(step, 1)
        self._rows[self._size] = row
        self._size += 1

    def extend(self, first_step: int, values: FloatArray) -> None:
        """Add single values, one a step from ``first_step`` on."""
        count = len(values)
        self._reserve(count)
        if count and not self._goes_on(first_step):
            self._put_steps(np.arange(first_step, first_step + count), count)
        self._rows[self._size : self._size + count, 0] = values
        self._size += count

    def extend_rows(self, steps: IntArray, values: FloatArray) -> None:
        """Add single values at these steps."""
        count = len(values)
        self._reserve(count)
        self._put_steps(steps, count)
        self._rows[self._size : self._size + count, 0] = values
        self._size += count

    def keep_newest(self, rows: int) -> None:
        """Drop all but the newest rows, once there are twice as many."""
        if self._size >= 2 * rows:
            steps = self._own_steps(0)
            steps[:rows], self._rows[:rows] = self.steps[-rows:], self.rows[-rows:]
            self._size = rows

    @property
    def numbers(self) -> int:
        """How many numbers it keeps for itself, of 8 bytes each."""
        return self._size * (self.width + (self._first is None))

    def keep(self, places: IntArray) -> None:
        """Drop all rows but these, shape ``(n,)``, ascending; give their memory back."""
        self._steps, self._rows = self.steps[places].astype(np.int64), self.rows[places]
        self._first, self._size = None, len(places)

    def _put_steps(self, steps: int | IntArray, count: int) -> None:
        """Note the steps of the next rows, which do not follow from those before."""
        own = self._own_steps(count)
        own[self._size : self._size + count] = steps
        if count and self._size and own[self._size] < own[self._size - 1]:
            self._is_in_order = False

    def _put_in_order(self) -> None:
        if self._is_in_order:
            return
        order = np.argsort(self._steps[: self._size], kind="stable")
        self._steps[: self._size] = self._steps[: self._size][order]
        self._rows[: self._size] = self._rows[: self._size][order]
        self._is_in_order = True

    def _goes_on(self, step: int) -> bool:
        """Return whether this step follows the others, and all of them can be shared."""
        if self._size == 0 and not len(self._steps) and 0 <= step < _LATEST_FIRST_STEP:
            self._first = step
        return self._first is not None and step == self._first + self._size

    def _own_steps(self, count: int) -> IntArray:
        """Return the column of steps of this series alone, with room for ``count`` further ones."""
        known = self._steps[: self._size] if self._first is None else self.steps
        self._first = None
        if self._size + count > len(self._steps) or not len(self._steps):
            self._steps = _with_room(self._steps, 0, self._size + count)
            self._steps[: self._size] = known
        return self._steps

    def _reserve(self, count: int) -> None:
        needed = self._size + count
        if needed > len(self._rows):
            self._rows = _with_room(self._rows, self._size, needed)


def _with_room(column: npt.NDArray[Any], size: int, needed: int) -> npt.NDArray[Any]:
    """Return a column that begins with the first ``size`` rows of another one, and has room for ``needed`` rows."""
    # Memory that nobody has written to yet is only promised: in a long run, room is cheap and copies are not.
    factor = 2 if needed < _LONG else 4
    capacity = max(_FIRST_CAPACITY, needed, factor * len(column))
    shape = (capacity, *column.shape[1:])
    size_bytes = column.dtype.itemsize * math.prod(shape)
    if size_bytes < _MAPPED_BYTES:
        longer = np.empty(shape, dtype=column.dtype)
    else:
        # Pages of their own are given back at once; what malloc gets back, it keeps.
        pages = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        longer = np.frombuffer(pages, dtype=column.dtype).reshape(shape)
    longer[:size] = column[:size]
    return longer
