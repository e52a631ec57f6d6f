"""Levels of drift of the moving statistics, with the same colours in the heatmap and in the table."""

import math

import numpy as np
import numpy.typing as npt

from tuimon.protocol.wire import FloatArray
from tuimon.ui.viewer.meanings import DRIFT, Meaning

EDGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""The drift, in nats, at which each next level begins: the same scale for every run."""

SHADES = "·::░░▒▒▓▓███"
"""The character of each level, another one for each decade, so that decades differ without colour."""

NOTHING, NOT_FINITE = -1, -2


def levels(drift: FloatArray) -> npt.NDArray[np.int64]:
    """Return the level of each drift: 0 to `len(EDGES)`; `NOT_FINITE` for NaN and infinity.

    Example:
        >>> levels(np.array([0.001, 0.5, 20.0, np.nan]))
        array([ 0,  4,  7, -2])
    """
    known = np.isfinite(drift)
    found = np.searchsorted(EDGES, np.where(known, drift, 0.0), side="right")
    result: npt.NDArray[np.int64] = np.where(known, found, NOT_FINITE)
    return result


def level_code(drift: float) -> int:
    """Return the colour of one drift."""
    return DRIFT + int(np.searchsorted(EDGES, drift, side="right")) if math.isfinite(drift) else int(Meaning.ERROR)
