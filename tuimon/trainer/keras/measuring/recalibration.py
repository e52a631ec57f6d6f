"""Estimates the moving statistics of BatchNormalization afresh and exactly, from training batches.

The mean and variance over every element that a layer sees, with the weights held and the model in training
mode; not an exponential average, which lags behind the weights and forgets. Source: Wu & Johnson, "Rethinking
'Batch' in BatchNorm", 2021 (PreciseBN).
"""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tuimon.protocol.wire import FloatArray
from tuimon.trainer.keras import keras_internals
from tuimon.trainer.keras.steps.modes import ModeScope

Moments = tuple[Any, Any, Any]
"""Of what a layer was given in one call: elements of a channel, their mean, their biased variance."""


@dataclass(frozen=True)
class Estimate:
    """New moving statistics; nothing has been changed yet."""

    layers: dict[str, tuple[FloatArray, FloatArray]]
    """Mean and biased variance by path, each of shape ``(channels,)``."""
    batches: int
    """Training batches used."""
    examples: int
    """Examples in them."""
    skipped: list[str]
    """Paths of the layers that used their moving statistics: frozen ones, and those called with ``training=False``."""


def estimate(model: Any, layers: Mapping[str, Any], batches: Sequence[Any], scope: ModeScope) -> Estimate:
    """Run the model over batches and pool what each BatchNormalization layer saw. Changes no variable.

    Args:
        model: The model.
        layers: Its BatchNormalization layers by path.
        batches: As its train step gets them.
        scope: Puts the mode in force, and keeps the model's call from moving any state.
    """
    strategy = model.distribute_strategy
    paths = list(layers)
    # Replicas run the model in threads of their own, interleaved.
    seen: dict[int, dict[str, list[Moments]]] = {}

    def forward(batch: Any) -> list[list[Moments]]:
        mine = seen[threading.get_ident()] = {path: [] for path in paths}
        x = keras.utils.unpack_x_y_sample_weight(keras_internals.without_optionals(batch))[0]
        with scope():
            model(x, training=True) if keras_internals.takes_training(model) else model(x)
        return [mine[path] for path in paths]

    def note(path: str, given: Callable[[], Moments]) -> None:
        # Another thread may call layers meanwhile: a data loader, a second model.
        if (mine := seen.get(threading.get_ident())) is not None:
            mine[path].append(given())

    def step(batch: Any) -> Any:
        with contextlib.ExitStack() as undo:
            undo.callback(seen.clear)
            for path, layer in layers.items():
                undo.callback(_watch(layer, partial(note, path)))
            return strategy.run(forward, args=(batch,))

    run = step if model.run_eagerly else tf.function(step, reduce_retracing=True, autograph=False)
    pools = {path: _Pool() for path in paths}
    examples = 0
    for batch in batches:
        examples += keras_internals.examples(model, batch)
        for replica in strategy.experimental_local_results(run(batch)):
            for path, calls in zip(paths, replica, strict=True):
                for count, mean, variance in calls:
                    pools[path].add(np.asarray(count), np.asarray(mean), np.asarray(variance))
    return Estimate(
        layers={path: pool.result() for path, pool in pools.items() if pool.count > 0},
        batches=len(batches),
        examples=examples,
        skipped=[path for path, pool in pools.items() if not pool.count > 0],
    )


def apply(layers: Mapping[str, Any], new: Estimate) -> None:
    """Give the layers the new moving statistics."""
    for path, (mean, variance) in new.layers.items():
        layer = layers[path]
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)
        if getattr(layer, "renorm", False):
            # What its moving variance is made of at the next step.
            layer.moving_stddev.assign(np.sqrt(variance + layer.epsilon))


@contextlib.contextmanager
def in_force(layers: Mapping[str, Any], new: Estimate) -> Iterator[None]:
    """Give the layers the new moving statistics for the time of the block; then they have their own, bit for bit."""
    names = ("moving_mean", "moving_variance", "moving_stddev")
    variables = [getattr(layers[path], name, None) for path in new.layers for name in names]
    put_back = keras_internals.keep(variable for variable in variables if variable is not None)
    try:
        apply(layers, new)
        yield
    finally:
        put_back()


class _Pool:
    """Mean and variance of everything seen, from those of its parts: Chan, Golub & LeVeque, 1979."""

    def __init__(self) -> None:
        self.count = 0.0
        self._mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, count: Any, mean: Any, variance: Any) -> None:
        count, mean, variance = float(count), mean.astype(np.float64), variance.astype(np.float64)
        if not count:
            return  # All of it was masked.
        total = self.count + count
        delta = mean - self._mean
        self._squares = self._squares + variance * count + delta**2 * (self.count * count / total)
        self._mean = self._mean + delta * (count / total)
        self.count = total

    def result(self) -> tuple[FloatArray, FloatArray]:
        return np.asarray(self._mean, np.float64), np.asarray(self._squares / self.count, np.float64)


def _watch(layer: Any, note: Callable[[Callable[[], Moments]], None]) -> Callable[[], None]:
    """Note the moments of what a layer is given where it uses batch statistics; returns the way back."""
    original = layer.call
    signature = inspect.signature(original)

    # A mode that forces `training` looks at the signature.
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind(*args, **kwargs).arguments
        if arguments.get("training") and layer.trainable:
            note(lambda: moments(layer, next(iter(arguments.values())), arguments.get("mask")))
        return original(*args, **kwargs)

    return keras_internals.set_untracked(layer, "call", call)


def moments(layer: Any, inputs: Any, mask: Any) -> Moments:
    """Return how many elements a channel has, their mean and their biased variance."""
    x = tf.cast(inputs, tf.float32)
    axes = [axis for axis in range(x.shape.rank) if axis != layer.axis % x.shape.rank]
    if mask is None:
        mean, variance = tf.nn.moments(x, axes)
        return tf.size(x, tf.int64) // tf.size(mean, tf.int64), mean, variance
    weights = tf.cast(tf.broadcast_to(tf.expand_dims(tf.cast(mask, tf.bool), -1), tf.shape(x)), tf.float32)
    # What is masked may hold anything, and nothing times NaN is NaN.
    x = tf.where(weights > 0, x, 0.0)
    count = tf.reduce_max(tf.reduce_sum(weights, axes))
    mean = tf.math.divide_no_nan(tf.reduce_sum(x, axes), count)
    shape = [-1 if axis == layer.axis % x.shape.rank else 1 for axis in range(x.shape.rank)]
    squares = tf.reduce_sum(weights * (x - tf.reshape(mean, shape)) ** 2, axes)
    return count, mean, tf.math.divide_no_nan(squares, count)
