"""A traced function that computes the gradient of the loss of one batch in training mode, and writes no variable."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tuimon.trainer.engine import Gradient, ProbeError
from tuimon.trainer.keras.internals import graphs
from tuimon.trainer.keras.layers import KerasLayers
from tuimon.trainer.keras.probes.forward import Forward, InForce


class GradientPass(Forward):
    """Computes the gradient of the loss with respect to the weights that a training step changes.

    Args:
        model: The model.
        layers: Its layers.
        in_force: The mode and flags of the pass.
    """

    def __init__(self, model: Any, layers: KerasLayers, in_force: InForce) -> None:
        super().__init__(model, layers, "training", in_force, {})
        self.has_run = False
        """True once it is traced."""
        self._weights = {path: weights for path, weights in layers.trained(in_force.mode).items() if weights}

    def gradients(self, batch: Any, seed: int = 0) -> Mapping[str, Gradient]:
        """Return the gradient of each layer by path; nothing if the factor of a LossScaleOptimizer was too large.

        Raises:
            ProbeError: The pass would write a variable.
        """
        function = self._run.get_concrete_function(batch, tf.constant(seed, tf.uint32))
        if graphs.has_state_of_its_own(function):
            raise ProbeError("the gradient needs state that Keras does not know")
        self.has_run = True
        numbers, factor = self._run(batch, tf.constant(seed, tf.uint32))
        numbers = np.asarray(numbers, np.float64)
        if float(factor) != 1 and not np.isfinite(numbers).all():
            return {}
        found, row = {}, 0
        for path, weights in self._weights.items():
            gradient, size, zeros, elements, connected = numbers[row : row + len(weights)].sum(axis=0)
            row += len(weights)
            share = float(zeros / max(elements, 1))
            found[path] = Gradient(float(np.sqrt(gradient)), float(np.sqrt(size)), share, bool(connected))
        return found

    def _forward(self, batch: Any, seed: Any) -> Any:
        variables = [weight.value for weights in self._weights.values() for weight in weights]
        optimizer = self._model.optimizer
        # Without the factor of a LossScaleOptimizer, float16 gradients would underflow to 0.
        factor = tf.ones(()) if optimizer is None else tf.cast(optimizer.scale_loss(tf.ones(())), tf.float32)
        with tf.GradientTape() as tape:
            loss = super()._forward(batch, seed)[0] * factor
        gradients = tape.gradient(loss, variables)
        rows = [_row(variable, gradient, factor) for variable, gradient in zip(variables, gradients, strict=True)]
        return tf.stack(rows), factor


def _row(variable: Any, gradient: Any, factor: Any) -> Any:
    """Return the squares of the gradient and of the weights, the elements whose gradient is 0, all elements, and 1.

    The last number is 0 if the loss does not depend on these weights.
    """
    size = tf.reduce_sum(tf.cast(variable, tf.float32) ** 2)
    if gradient is None:
        return tf.stack([0.0, size, 1.0, 1.0, 0.0])
    if isinstance(gradient, tf.IndexedSlices):
        # Rows of an embedding that the batch does not use have a gradient of 0, which says nothing.
        rows, places = tf.unique(tf.reshape(gradient.indices, [-1]))
        values = tf.reshape(gradient.values, [tf.size(gradient.indices), -1])
        gradient = tf.math.unsorted_segment_sum(values, places, tf.size(rows))
    wide = tf.cast(gradient, tf.float32) / factor
    zeros = tf.reduce_sum(tf.cast(wide == 0, tf.float32))
    return tf.stack([tf.reduce_sum(wide**2), size, zeros, tf.cast(tf.size(wide), tf.float32), 1.0])
