"""Which points of a line are joined: not those of two fits, and not two learning rates that differ."""

from bisect import bisect_right

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray


class Joins(Struct, frozen=True):
    """Which points of a line are joined with the point before.

    Example:
        >>> Joins(breaks=(3,)).parted(np.array([2, 3, 4]), np.array([0.5, 0.4, 0.9]), slice(0, 3)).tolist()
        [False, False, True]
        >>> Joins(is_held=True).parted(np.array([2, 3, 4]), np.array([0.1, 0.1, 0.01]), slice(0, 3)).tolist()
        [False, False, True]
    """

    breaks: tuple[int, ...] = ()
    """The steps after which a line begins anew: no point up to one of them is joined with a later one."""
    is_held: bool = False
    """True: only equal values are joined, for nobody knows when and how the value changed between two others."""

    def parted(self, steps: IntArray, values: FloatArray, part: slice) -> npt.NDArray[np.bool_]:
        """Return which points of a part are not joined with the point before, shape ``(part.stop - part.start,)``.

        Args:
            steps: The steps of all points, never descending.
            values: The values of all points.
            part: The points that are asked for.
        """
        found = np.zeros(part.stop - part.start, dtype=bool)
        for step in self.breaks:
            place = bisect_right(steps, step) - part.start
            if 0 <= place < len(found) and part.start + place:
                found[place] = True
        if self.is_held:
            first = max(part.start, 1)
            found[first - part.start :] |= values[first : part.stop] != values[first - 1 : part.stop - 1]
        return found


JOINED = Joins()
"""All points are joined."""
