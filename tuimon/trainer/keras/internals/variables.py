"""Reads variables and batches, on one device or on replicas."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.ops import resource_variable_ops


def own(value: Any, name: str) -> Any:
    """Return a variable of tuimon's own with a first value, never mirrored: not even in the scope of a strategy."""
    with tf.init_scope():
        return resource_variable_ops.ResourceVariable(value, trainable=False, name=name)


def array(variable: Any) -> Any:
    """Return a copy of a variable's value in its own dtype; of a mirrored variable, the first replica's."""
    return np.array(tf.convert_to_tensor(variable.value))


def on_replicas(variable: Any) -> list[Any]:
    """Return the TensorFlow variables behind a Keras variable, one for each replica."""
    return list(getattr(variable.value, "values", (variable.value,)))


def keep(variables: Iterable[Any]) -> Callable[[], None]:
    """Note the values of variables; return a function that restores them.

    Each replica gets its own value back, because Keras keeps metrics and moving means for each replica.
    """
    parts = [part for variable in variables for part in on_replicas(variable)]
    saved = [(part, np.array(tf.convert_to_tensor(part))) for part in parts]

    def undo() -> None:
        for part, value in saved:
            part.assign(value)

    return undo


def returns_early() -> bool:
    """Return True if there is a device on which a step may go on after its call has returned."""
    return any(tf.config.list_logical_devices(kind) for kind in ("GPU", "TPU"))


def numpy_dtype(variable: Any) -> Any:
    """Return the NumPy dtype of a variable."""
    return tf.as_dtype(variable.dtype).as_numpy_dtype


def bytes_of(variable: Any) -> int:
    """Return the size of a variable in bytes."""
    return int(np.prod(variable.shape)) * int(tf.as_dtype(variable.dtype).size)


def bytes_of_batch(batch: Any) -> int:
    """Return the size of a batch in bytes; of a distributed one, of what is seen as tensors."""
    tensors = [part for part in tf.nest.flatten(batch, expand_composites=True) if tf.is_tensor(part)]
    return sum(int(tf.size(part)) * max(1, part.dtype.size) for part in tensors)


def number(variable: Any) -> float:
    """Return the value of a scalar variable, which may be mirrored on several devices."""
    value = getattr(variable, "value", variable)
    return float(value.numpy() if hasattr(value, "numpy") else value)


def as_float32(value: float) -> float:
    """Return a number rounded to float32, the dtype of Keras' learning rates."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def examples(model: Any, batch: Any) -> int:
    """Return the number of examples of a batch on all replicas together."""
    return sum(examples_of_replicas(model, batch))


def examples_of_replicas(model: Any, batch: Any) -> list[int]:
    """Return the number of examples of a batch on each replica."""
    return list(map(_examples, model.distribute_strategy.experimental_local_results(batch)))


def _examples(batch: Any) -> int:
    first = next((part for part in tf.nest.flatten(batch) if tf.is_tensor(part)), None)
    return 0 if first is None or not first.shape.rank else int(first.shape[0] or 0)


def without_optionals(batch: Any) -> Any:
    """Return a batch with None for its missing parts, as Keras passes it to its step."""
    return keras.tree.map_structure(lambda part: None if isinstance(part, tf.experimental.Optional) else part, batch)
