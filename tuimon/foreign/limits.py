"""What tuimon's log can carry: other programs write steps and times that are further away."""

import numpy as np
import numpy.typing as npt

LAST_STEP = 2**53 - 2
"""No step is behind it."""
LAST_TIME = 1e11
"""No time is behind it, Unix seconds."""


def possible_times(times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return times, those that cannot be moved to the nearest that can; shape ``(times,)``."""
    return np.clip(np.nan_to_num(times, nan=0.0, posinf=LAST_TIME, neginf=0.0), 0.0, LAST_TIME)


def possible_time(time: float) -> float:
    """Return a time, or the nearest one that can be.

    Example:
        >>> possible_time(-3.0), possible_time(float("nan"))
        (0.0, 0.0)
    """
    return float(possible_times(np.array([time]))[0])
