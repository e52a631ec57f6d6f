"""Smoothed curves, point by point as they come: no point is smoothed twice."""

from typing import Literal, get_args

import numpy as np

from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray, Series

Smoothing = Literal["none", "ema", "median"]
SMOOTHINGS: tuple[Smoothing, ...] = get_args(Smoothing)
STRENGTHS = (0.6, 0.8, 0.9, 0.95, 0.99, 0.999)
"""Weights of the past in the exponential moving average; the median is over about as many points."""

_BLOCK = 64
_MEDIAN_BLOCK = 65536


def window_of(strength: float) -> int:
    """Return the window, in points, of the median that is about as smooth as an average of this weight; odd.

    Example:
        >>> window_of(0.5), window_of(0.9), window_of(0.99)
        (3, 19, 199)
    """
    return max(3, 2 * round(1 / (1 - strength)) - 1)


def nearest_strength(weight: float) -> float:
    """Return the nearest of `STRENGTHS`."""
    return min(STRENGTHS, key=lambda strength: abs(strength - weight))


class Smoothed:
    """One curve, smoothed.

    The exponential moving average is corrected for its bias towards 0, as in TensorBoard:
    y[t] = w y[t-1] + (1 - w) x[t], divided by 1 - w^t. The median is over the newest points. A value that is not finite
    stays where it is and has no part in what follows.

    Args:
        smoothing: The kind of smoothing.
        strength: The weight of the past: see `STRENGTHS`.
    """

    def __init__(self, smoothing: Smoothing, strength: float) -> None:
        self.smoothing = smoothing
        self.strength = strength
        self._series = Series()
        self._mean, self._finite = 0.0, 0
        self._newest: FloatArray = np.empty(0)

    def update(self, steps: IntArray, values: FloatArray) -> Series:
        """Smooth the new points of a series and return all smoothed points: as many as there are points."""
        done = len(self._series)
        # Fewer points than before, or other ones: a replay has gone back, or older history is read by now.
        if done > len(values) or (done and self._series.steps[-1] != steps[done - 1]):
            self.__init__(self.smoothing, self.strength)  # type: ignore[misc]
            done = 0
        new = np.asarray(values[done:], dtype=np.float64)
        if len(new):
            smooth = new.copy()
            finite = np.isfinite(new)
            smooth[finite] = self._average(new[finite]) if self.smoothing == "ema" else self._median(new[finite])
            self._series.extend_rows(steps[done:], smooth)
        return self._series

    def _average(self, values: FloatArray) -> FloatArray:
        weight, found = self.strength, np.empty(len(values))
        exponents = np.subtract.outer(np.arange(_BLOCK), np.arange(_BLOCK))
        kernel = np.where(exponents >= 0, (1 - weight) * weight ** np.maximum(exponents, 0.0), 0.0)
        decay = weight ** np.arange(1, _BLOCK + 1)
        for begin in range(0, len(values), _BLOCK):
            block = values[begin : begin + _BLOCK]
            size = len(block)
            smooth = kernel[:size, :size] @ block + decay[:size] * self._mean
            self._mean = float(smooth[-1])
            found[begin : begin + size] = smooth
        counts = self._finite + np.arange(1, len(values) + 1)
        self._finite += len(values)
        result: FloatArray = found / -np.expm1(counts * np.log(weight))
        return result

    def _median(self, values: FloatArray) -> FloatArray:
        window = window_of(self.strength)
        known = np.concatenate((self._newest, values))
        found = np.empty(len(values))
        missing = len(known) - len(values)
        for begin in range(0, len(values), _MEDIAN_BLOCK):
            end = min(len(values), begin + _MEDIAN_BLOCK)
            first = missing + begin - window + 1
            part = known[max(0, first) : missing + end]
            padded = np.concatenate((np.full(max(0, -first), np.nan), part))
            windows = np.lib.stride_tricks.sliding_window_view(padded, window)
            full = max(0, -first)
            found[begin:end][full:] = np.median(windows[full:], axis=1)
            for index in range(min(full, end - begin)):
                # Fewer points come before the first ones.
                found[begin + index] = np.median(known[: missing + begin + index + 1])
        self._newest = known[-(window - 1) :]
        return found
