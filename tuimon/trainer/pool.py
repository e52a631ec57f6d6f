"""Pools the moments of parts of the data."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tuimon.protocol.wire import FloatArray
from tuimon.trainer.engine import Moments


class Pool:
    """Mean and variance of all values, pooled from those of parts (Chan, Golub & LeVeque, 1979)."""

    def __init__(self, parts: Iterable[Moments] = ()) -> None:
        self.count = 0.0
        """Values so far."""
        self._mean: Any = 0.0
        self._squares: Any = 0.0
        for moments in parts:
            self.add(moments)

    def add(self, moments: Moments) -> None:
        """Add a part."""
        count = float(moments.count)
        mean, variance = moments.mean.astype(np.float64), moments.variance.astype(np.float64)
        if not count:
            return  # A mask hides all values.
        total = self.count + count
        delta = mean - self._mean
        self._squares = self._squares + variance * count + delta**2 * (self.count * count / total)
        self._mean = self._mean + delta * (count / total)
        self.count = total

    def result(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and biased variance, each of shape ``(channels,)``; there must be values."""
        return np.asarray(self._mean, np.float64), np.asarray(self._squares / self.count, np.float64)
