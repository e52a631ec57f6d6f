"""Reads all BatchNormalization layers of a model in one transfer, and sets their moving statistics."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tuimon.protocol.wire import FloatArray
from tuimon.trainer.batch_norm import ARRAYS, LayerArrays
from tuimon.trainer.keras.internals.variables import keep

_STATISTICS = ("moving_mean", "moving_variance", "moving_stddev")


class BatchNormReader:
    """Reads all arrays of all layers as one tensor, with one transfer for any number of layers.

    Args:
        layers: BatchNormalization layers by path.
    """

    def __init__(self, layers: dict[str, Any]) -> None:
        self.layers = layers
        self._variables = [
            (path, name, variable)
            for path, layer in layers.items()
            for name in ARRAYS
            if (variable := getattr(layer, name, None)) is not None
        ]
        self._read = tf.function(self._concatenated, autograph=False)

    def read(self) -> dict[str, LayerArrays]:
        """Return the arrays of every layer, ``(channels,)`` each, by path."""
        arrays: dict[str, LayerArrays] = {path: dict.fromkeys(ARRAYS) for path in self.layers}
        if not self._variables:
            return arrays
        values = self._read().numpy()
        start = 0
        for path, name, variable in self._variables:
            size = int(np.prod(variable.shape))
            arrays[path][name] = values[start : start + size]
            start += size
        return arrays

    def _concatenated(self) -> Any:
        flat = [tf.reshape(tf.cast(variable.value, tf.float32), [-1]) for _, _, variable in self._variables]
        return tf.concat(flat, axis=0)


def put_statistics(
    layers: Mapping[str, Any], statistics: Mapping[str, tuple[FloatArray, FloatArray]]
) -> Callable[[], None]:
    """Set moving means and variances, ``(channels,)`` each, by path; return a function that undoes it bit for bit."""
    variables = [getattr(layers[path], name, None) for path in statistics for name in _STATISTICS]
    put_back = keep(variable for variable in variables if variable is not None)
    try:
        for path, (mean, variance) in statistics.items():
            layer = layers[path]
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
            if getattr(layer, "renorm", False):
                # With `renorm`, the next step computes the moving variance from this variable.
                layer.moving_stddev.assign(np.sqrt(variance + layer.epsilon))
    except BaseException:
        put_back()
        raise
    return put_back
