"""Reads and sets TensorFlow's global random generator."""

from typing import Any

import tensorflow as tf
from tensorflow.python.ops import stateful_random_ops


def global_state() -> Any:
    """Return the state of TensorFlow's global generator; None if nobody has drawn from it."""
    generator = getattr(stateful_random_ops, "global_generator", None)
    return None if generator is None else generator.state.numpy()


def put_global_state(state: Any) -> None:
    """Set the state of TensorFlow's global generator.

    Raises:
        ValueError: The state is of another algorithm.
    """
    tf.random.get_global_generator().state.assign(state)
