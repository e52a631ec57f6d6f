"""Numbers that a histogram tells: its limits exactly, its median to within a bucket."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def summary(buckets: FloatArray) -> dict[str, float]:
    """Return ``min``, ``p50`` and ``max`` of a histogram; none where it counts nothing.

    Args:
        buckets: Left edge, right edge and count, shape ``(buckets, 3)``.

    Example:
        >>> summary(np.array([[0.0, 1.0, 1.0], [1.0, 2.0, 3.0]]))
        {'min': 0.0, 'p50': 1.3333333333333333, 'max': 2.0}
    """
    filled = buckets[buckets[:, 2] > 0]
    if not len(filled) or not np.isfinite(filled).all():
        return {}
    below = np.concatenate(([0.0], np.cumsum(filled[:, 2])))
    half = below[-1] / 2
    place = min(int(np.searchsorted(below, half, side="right")) - 1, len(filled) - 1)
    left, right, count = filled[place]
    median = left + (right - left) * (half - below[place]) / count
    return {"min": float(filled[0, 0]), "p50": float(median), "max": float(filled[-1, 1])}
