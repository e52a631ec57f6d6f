"""How many examples the batches of a ``fit`` have, as its log says."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tuimon.trainer.keras.internals.running_fit import BatchSizes, batch_sizes

EXAMPLES = 21


def arrays(examples: int = EXAMPLES) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return np.zeros((examples, 2), np.float32), np.zeros((examples, 1), np.float32)


def examples() -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays())


class Sizes(keras.callbacks.Callback):
    """Notes what is known of the batches when ``fit`` begins."""

    seen: BatchSizes

    def on_train_begin(self, logs: Any = None) -> None:
        self.seen = batch_sizes(self.model)


def sizes(x: Any, y: Any = None, **options: Any) -> tuple[int | None, int | None]:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    noted = Sizes()
    model.fit(x, y, callbacks=[noted], verbose=0, shuffle=False, **options)
    return noted.seen.usual, noted.seen.last


def swapped(x: Any, y: Any) -> Any:
    return 2 * x, y


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Of an unknown number of batches.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (lambda: examples().batch(5), (5, 1)),
        (lambda: examples().shuffle(99).batch(5).map(swapped).prefetch(1), (5, 1)),
        (lambda: examples().batch(5, num_parallel_calls=2).cache().map(swapped, num_parallel_calls=2), (5, 1)),
        (lambda: examples().padded_batch(8), (8, 5)),
        (lambda: examples().batch(7), (7, None)),
        (lambda: examples().batch(5, drop_remainder=True), (5, None)),
        # The last batch may come at any time, or not at all.
        (lambda: examples().batch(5).shuffle(9), (None, None)),
        (lambda: examples().batch(5).take(2), (None, None)),
        (lambda: examples().filter(lambda x, y: True).batch(5), (5, None)),
    ],
)
def test_a_tf_data_set(data: Callable[[], Any], expected: tuple[int | None, int | None]) -> None:
    assert sizes(data()) == expected


def test_a_tf_data_set_without_an_end() -> None:
    assert sizes(examples().repeat().batch(5), steps_per_epoch=2) == (5, None)
    assert sizes(examples().batch(5).repeat(), steps_per_epoch=2) == (None, None)


def test_arrays_and_weights_of_classes() -> None:
    assert sizes(*arrays(), batch_size=5) == (5, 1)
    assert sizes(examples().batch(5), class_weight={0: 1.0}) == (5, 1)
