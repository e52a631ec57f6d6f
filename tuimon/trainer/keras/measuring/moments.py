"""Reads the inputs of each BatchNormalization layer, in passes over training batches that change nothing."""

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tuimon.trainer.engine import Moments
from tuimon.trainer.keras.internals import patches, variables
from tuimon.trainer.keras.internals.layers import takes_training
from tuimon.trainer.keras.steps.mode_scope import ModeScope

Tensors = tuple[Any, Any, Any]
"""`Moments` as tensors of a graph."""


def of_batches(
    model: Any, layers: Mapping[str, Any], batches: Sequence[Any], scope: ModeScope
) -> Iterator[dict[str, list[Moments]]]:
    """Yield the moments of every layer's inputs, for each batch and each replica. Changes no variable.

    Args:
        model: The model.
        layers: Its BatchNormalization layers by path.
        batches: As its training step takes them.
        scope: Puts the mode in force, and keeps the model's call from changing any state.
    """
    strategy = model.distribute_strategy
    paths = list(layers)
    # Each replica runs the model in a thread of its own, interleaved with the others.
    seen: dict[int, dict[str, list[Tensors]]] = {}

    def forward(batch: Any) -> list[list[Tensors]]:
        mine = seen[threading.get_ident()] = {path: [] for path in paths}
        x = keras.utils.unpack_x_y_sample_weight(variables.without_optionals(batch))[0]
        with scope():
            model(x, training=True) if takes_training(model) else model(x)
        return [mine[path] for path in paths]

    def note(path: str, given: Callable[[], Tensors]) -> None:
        # Another thread may call the layers meanwhile, such as a data loader or a second model.
        if (mine := seen.get(threading.get_ident())) is not None:
            mine[path].append(given())

    def step(batch: Any) -> Any:
        with contextlib.ExitStack() as undo:
            undo.callback(seen.clear)
            for path, layer in layers.items():
                undo.callback(_watch(layer, partial(note, path)))
            return strategy.run(forward, args=(batch,))

    run = step if model.run_eagerly else tf.function(step, reduce_retracing=True, autograph=False)
    for batch in batches:
        for replica in strategy.experimental_local_results(run(batch)):
            yield {
                path: [Moments(float(count), np.asarray(mean), np.asarray(variance)) for count, mean, variance in calls]
                for path, calls in zip(paths, replica, strict=True)
            }


def _watch(layer: Any, note: Callable[[Callable[[], Tensors]], None]) -> Callable[[], None]:
    """Call ``note`` when a layer uses batch statistics; return a function that undoes the change."""

    def call(original: Callable[..., Any], bound: inspect.BoundArguments) -> Any:
        arguments = bound.arguments
        if arguments.get("training") and layer.trainable:
            note(lambda: of_inputs(layer, next(iter(arguments.values())), arguments.get("mask")))
        return original(*bound.args, **bound.kwargs)

    return patches.wrap_call(layer, call)


def of_inputs(layer: Any, inputs: Any, mask: Any) -> Tensors:
    """Return the number of values per channel, their mean and their biased variance, ``(channels,)`` each."""
    x = tf.cast(inputs, tf.float32)
    axes = [axis for axis in range(x.shape.rank) if axis != layer.axis % x.shape.rank]
    if mask is None:
        mean, variance = tf.nn.moments(x, axes)
        return tf.size(x, tf.int64) // tf.size(mean, tf.int64), mean, variance
    weights = tf.cast(tf.broadcast_to(tf.expand_dims(tf.cast(mask, tf.bool), -1), tf.shape(x)), tf.float32)
    # A masked value may be NaN, and zero times NaN is NaN.
    x = tf.where(weights > 0, x, 0.0)
    count = tf.reduce_max(tf.reduce_sum(weights, axes))
    mean = tf.math.divide_no_nan(tf.reduce_sum(x, axes), count)
    shape = [-1 if axis == layer.axis % x.shape.rank else 1 for axis in range(x.shape.rank)]
    squares = tf.reduce_sum(weights * (x - tf.reshape(mean, shape)) ** 2, axes)
    return count, mean, tf.math.divide_no_nan(squares, count)
