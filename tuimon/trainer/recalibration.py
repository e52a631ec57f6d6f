"""Estimates the moving statistics of BatchNormalization anew and exactly, from training batches.

The estimate is the mean and variance over all inputs of a layer, with the weights held and the model in training mode.
An exponential average lags behind the weights and forgets old batches; this one does neither. Source: Wu & Johnson,
"Rethinking 'Batch' in BatchNorm", 2021 (PreciseBN).
"""

from collections.abc import Sequence

from msgspec import Struct

from tuimon.protocol.wire import FloatArray
from tuimon.trainer.engine import Batch, Engine
from tuimon.trainer.modes import Mode
from tuimon.trainer.pool import Pool


class Estimate(Struct, frozen=True):
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
    pools = {path: Pool() for path in engine.layers.batch_norm}
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
