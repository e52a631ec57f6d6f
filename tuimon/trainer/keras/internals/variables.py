"""Reads variables and batches, on one device or on replicas."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def array(variable: Any) -> Any:
    """Return what a variable holds as an array of its own dtype; mirrored on several devices, what the first has."""
    return np.array(tf.convert_to_tensor(variable.value))


def on_replicas(variable: Any) -> list[Any]:
    """Return TensorFlow's own variables behind one of Keras: one for each replica."""
    return list(getattr(variable.value, "values", (variable.value,)))


def keep(variables: Iterable[Any]) -> Callable[[], None]:
    """Note what variables hold; returns the way back.

    On each replica what it holds itself: Keras keeps one mean of a metric, and one moving mean of a layer, for each.
    """
    parts = [part for variable in variables for part in on_replicas(variable)]
    saved = [(part, np.array(tf.convert_to_tensor(part))) for part in parts]

    def undo() -> None:
        for part, value in saved:
            part.assign(value)

    return undo


def numpy_dtype(variable: Any) -> Any:
    """Return NumPy's dtype for what a variable holds."""
    return tf.as_dtype(variable.dtype).as_numpy_dtype


def bytes_of(variable: Any) -> int:
    """Return how many bytes a variable takes."""
    return int(np.prod(variable.shape)) * int(tf.as_dtype(variable.dtype).size)


def number(variable: Any) -> float:
    """Return what a scalar variable holds; of one that is mirrored on several devices, what all of them hold."""
    value = getattr(variable, "value", variable)
    return float(value.numpy() if hasattr(value, "numpy") else value)


def as_float32(value: float) -> float:
    """Return what is left of a number in Keras' learning rates, which are float32."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def examples(model: Any, batch: Any) -> int:
    """Return how many examples a batch has, on all replicas together."""
    return sum(examples_of_replicas(model, batch))


def examples_of_replicas(model: Any, batch: Any) -> list[int]:
    """Return how many examples a batch has on each replica."""
    return list(map(_examples, model.distribute_strategy.experimental_local_results(batch)))


def _examples(batch: Any) -> int:
    first = next((part for part in tf.nest.flatten(batch) if tf.is_tensor(part)), None)
    return 0 if first is None or not first.shape.rank else int(first.shape[0] or 0)


def without_optionals(batch: Any) -> Any:
    """Return a batch with None for what is missing, as Keras gives it to its step."""
    return keras.tree.map_structure(lambda part: None if isinstance(part, tf.experimental.Optional) else part, batch)
