"""Estimates the moving statistics of BatchNormalization anew and exactly, from training batches.

The estimate is the mean and variance over all inputs of a layer, with the weights held and the model in training mode.
An exponential average lags behind the weights and forgets old batches; this one does neither. Source: Wu & Johnson,
"Rethinking 'Batch' in BatchNorm", 2021 (PreciseBN).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuimon.protocol.wire import FloatArray
from tuimon.trainer.engine import Batch, Engine, Moments
from tuimon.trainer.modes import Mode


@dataclass(frozen=True)
class Estimate:
    """New moving statistics, not yet set."""

    layers: dict[str, tuple[FloatArray, FloatArray]]
    """Mean and biased variance by path, each of shape ``(channels,)``."""
    batches: int
    """Training batches used."""
    examples: int
    """Examples in these batches."""
    skipped: list[str]
    """Paths of the layers that used their moving statistics: frozen ones, and those called with ``training=False``."""


def estimate(engine: Engine, batches: Sequence[Batch], mode: Mode) -> Estimate:
    """Run the model over batches and pool the inputs of each BatchNormalization layer. Changes no variable."""
    pools = {path: _Pool() for path in engine.layers.batch_norm}
    for seen in engine.passes.moments(batches, mode):
        for path, calls in seen.items():
            for call in calls:
                pools[path].add(call)
    return Estimate(
        layers={path: pool.result() for path, pool in pools.items() if pool.count > 0},
        batches=len(batches),
        examples=sum(map(engine.passes.examples, batches)),
        skipped=[path for path, pool in pools.items() if not pool.count > 0],
    )


class _Pool:
    """Mean and variance of all values, pooled from those of parts (Chan, Golub & LeVeque, 1979)."""

    def __init__(self) -> None:
        self.count = 0.0
        self._mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, moments: Moments) -> None:
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
        return np.asarray(self._mean, np.float64), np.asarray(self._squares / self.count, np.float64)
