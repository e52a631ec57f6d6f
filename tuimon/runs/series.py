"""Columns of (step, value) that grow: what charts and exports read."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tuimon.protocol.wire import FloatArray

IntArray = npt.NDArray[np.int64]

_FIRST_CAPACITY = 64
_LONG = 1_000_000


class Series:
    """Rows of values over steps, appended in the order they come.

    Args:
        width: Values a row; 1 for a metric, 7 for the quantiles of a BatchNormalization array.

    Example:
        >>> loss = Series()
        >>> loss.append(0, [0.5])
        >>> loss.steps, loss.values
        (array([0]), array([0.5]))
    """

    def __init__(self, width: int = 1) -> None:
        self.width = width
        self._size = 0
        self._steps: IntArray = np.empty(_FIRST_CAPACITY, dtype=np.int64)
        self._rows: FloatArray = np.empty((_FIRST_CAPACITY, width), dtype=np.float64)

    def __len__(self) -> int:
        return self._size

    @property
    def steps(self) -> IntArray:
        """Steps, shape ``(len(self),)``; a view that is valid until the next append."""
        return self._steps[: self._size]

    @property
    def rows(self) -> FloatArray:
        """Values, shape ``(len(self), width)``."""
        return self._rows[: self._size]

    @property
    def values(self) -> FloatArray:
        """The first value of each row, shape ``(len(self),)``."""
        return self._rows[: self._size, 0]

    @property
    def last(self) -> float | None:
        """The newest row's first value; None while there is no row."""
        return float(self._rows[self._size - 1, 0]) if self._size else None

    def append(self, step: int, row: Sequence[float] | FloatArray) -> None:
        """Add one row."""
        self._reserve(1)
        self._steps[self._size] = step
        self._rows[self._size] = row
        self._size += 1

    def extend(self, first_step: int, values: FloatArray) -> None:
        """Add single values, one a step from ``first_step`` on."""
        count = len(values)
        self._reserve(count)
        self._steps[self._size : self._size + count] = np.arange(first_step, first_step + count)
        self._rows[self._size : self._size + count, 0] = values
        self._size += count

    def extend_rows(self, steps: IntArray, values: FloatArray) -> None:
        """Add single values at these steps."""
        count = len(values)
        self._reserve(count)
        self._steps[self._size : self._size + count] = steps
        self._rows[self._size : self._size + count, 0] = values
        self._size += count

    def keep_newest(self, rows: int) -> None:
        """Drop all but the newest rows, once there are twice as many."""
        if self._size >= 2 * rows:
            self._steps[:rows], self._rows[:rows] = self.steps[-rows:], self.rows[-rows:]
            self._size = rows

    def _reserve(self, count: int) -> None:
        needed = self._size + count
        if needed <= len(self._steps):
            return
        # Of a long run, the old and the new columns are in memory at once: one after the other, and not twice as long.
        capacity = max(needed, 2 * len(self._steps) if needed < _LONG else len(self._steps) * 5 // 4)
        steps = np.empty(capacity, dtype=np.int64)
        steps[: self._size] = self.steps
        self._steps = steps
        rows = np.empty((capacity, self.width), dtype=np.float64)
        rows[: self._size] = self.rows
        self._rows = rows
