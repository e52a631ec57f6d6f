"""Every way to feed ``fit``."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from zoo.script import Callbacks, classifier, fast, numbers, script


@script(6)
def arrays(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = classifier()
    model.fit(*numbers(), epochs=2, callbacks=[*callbacks])
    yield model


@script(8)
def validation_split(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = classifier()
    model.fit(*numbers(), epochs=2, batch_size=16, validation_split=0.2, callbacks=[*callbacks])
    yield model


@script(20)
def validation_freq(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    data = numbers()
    model.fit(*data, 16, 2, validation_data=data, validation_freq=2, callbacks=[*callbacks])
    yield model
    model.fit(*data, 16, 2, validation_data=data, validation_freq=[1], validation_batch_size=64, callbacks=[*callbacks])
    yield model


@script(15)
def validation_steps(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    endless = tf.data.Dataset.from_tensor_slices(numbers(48)).batch(16).repeat()
    model.fit(*numbers(), 16, 3, validation_data=endless, validation_steps=2, callbacks=[*callbacks])
    yield model


@script(10)
def finite_dataset(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = classifier()
    data = tf.data.Dataset.from_tensor_slices(numbers()).shuffle(80, seed=1).batch(16)
    model.fit(data, epochs=2, validation_data=data.take(2), callbacks=[*callbacks])
    yield model


@script(6)
def repeated_dataset(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    data = tf.data.Dataset.from_tensor_slices(numbers()).repeat().batch(16)
    model.fit(data, steps_per_epoch=3, epochs=2, callbacks=[*callbacks])
    yield model


@script(7)
def endless_dataset_that_a_callback_stops(callbacks: Callbacks) -> Iterator[keras.Model]:
    class StopsAt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 6:
                self.model.stop_training = True

    model = fast()
    model.fit(tf.data.Dataset.from_tensor_slices(numbers()).repeat().batch(16), callbacks=[StopsAt(), *callbacks])
    yield model


@script(10)
def dataset_of_a_generator(callbacks: Callbacks) -> Iterator[keras.Model]:
    def samples() -> Iterator[Any]:
        yield from zip(*numbers(), strict=True)

    signature = (tf.TensorSpec((6,)), tf.TensorSpec((1,)))
    model = fast()
    data = tf.data.Dataset.from_generator(samples, output_signature=signature).batch(16).prefetch(tf.data.AUTOTUNE)
    model.fit(data, epochs=2, validation_data=data, callbacks=[*callbacks])
    yield model


@script(5)
def dataset_that_runs_out(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    data = tf.data.Dataset.from_tensor_slices(numbers()).batch(16)
    model.fit(data, steps_per_epoch=4, epochs=2, callbacks=[*callbacks])
    yield model


@script(12)
def interleaved_dataset(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers(96)

    def shard(number: Any) -> Any:
        return tf.data.Dataset.from_tensor_slices((x, y)).shard(3, number)

    data = tf.data.Dataset.range(3).interleave(shard, cycle_length=3, num_parallel_calls=2, deterministic=True)
    data = data.map(lambda a, b: (a * 2.0, b), num_parallel_calls=2).cache().batch(16).prefetch(2)
    model = fast()
    model.fit(data, epochs=2, callbacks=[*callbacks])
    yield model


@script(6)
def python_generator(callbacks: Callbacks) -> Iterator[keras.Model]:
    def batches() -> Iterator[Any]:
        x, y = numbers()
        while True:
            for start in range(0, 80, 16):
                yield x[start : start + 16], y[start : start + 16]

    model = classifier()
    model.fit(batches(), steps_per_epoch=3, epochs=2, callbacks=[*callbacks])
    yield model


@script(3)
def generator_that_ends(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers(48)
    model = fast()
    model.fit(((x[at : at + 16], y[at : at + 16]) for at in (0, 16, 32)), callbacks=[*callbacks])
    yield model


class Batches(keras.utils.PyDataset):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.epochs = 0

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        x, y = numbers()
        return x[index * 16 : index * 16 + 16] + self.epochs, y[index * 16 : index * 16 + 16]

    def on_epoch_end(self) -> None:
        self.epochs += 1


@script(10)
def pydataset(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.fit(Batches(), epochs=2, validation_data=Batches(), callbacks=[*callbacks])
    yield model


@script(10)
def pydataset_with_workers(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    # Its workers read ahead, so what an epoch's end changes would come at any time.
    data = Batches(workers=2, use_multiprocessing=False, max_queue_size=4)
    data.on_epoch_end = lambda: None
    model.fit(data, epochs=2, callbacks=[*callbacks])
    yield model


@script(4)
def class_weight(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = classifier(weighted_metrics=["accuracy"])
    model.fit(*numbers(), epochs=2, class_weight={0: 1.0, 1: 5.0}, validation_split=0.2, callbacks=[*callbacks])
    yield model


@script(6)
def sample_weight(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    weight = np.linspace(0.1, 2.0, 80).astype("float32")
    model.fit(*numbers(), epochs=2, sample_weight=weight, callbacks=[*callbacks])
    yield model


@script(10)
def sample_weight_of_a_dataset(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers()
    data = tf.data.Dataset.from_tensor_slices((x, y, np.linspace(0.1, 2.0, 80).astype("float32"))).batch(16)
    model = fast()
    model.fit(data, epochs=2, validation_data=data, callbacks=[*callbacks])
    yield model


def two_by_two(**options: Any) -> keras.Model:
    inputs = {"left": keras.Input((6,), name="left"), "right": keras.Input((6,), name="right")}
    joined = layers.BatchNormalization()(layers.Concatenate()([*inputs.values()]))
    outputs = {
        "label": layers.Dense(1, activation="sigmoid", name="label")(joined),
        "sum": layers.Dense(1, name="sum")(joined),
    }
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam",
        loss={"label": "binary_crossentropy", "sum": "mse"},
        loss_weights={"label": 1.0, "sum": 0.1},
        metrics={"label": ["accuracy"], "sum": ["mae"]},
        **options,
    )
    return model


@script(4)
def dictionaries_of_inputs_and_outputs(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers()
    model = two_by_two()
    targets = {"label": y, "sum": x.sum(axis=1, keepdims=True)}
    model.fit({"left": x, "right": x[:, ::-1]}, targets, epochs=2, validation_split=0.25, callbacks=[*callbacks])
    yield model


@script(10)
def dataset_of_dictionaries(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers()
    samples = ({"left": x, "right": x}, {"label": y, "sum": x[:, :1]})
    model = two_by_two(jit_compile=False)
    model.fit(tf.data.Dataset.from_tensor_slices(samples).batch(16), epochs=2, callbacks=[*callbacks])
    yield model


@script(10)
def ragged_last_batch(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = classifier()
    model.fit(*numbers(70), 16, 2, validation_data=numbers(20), callbacks=[*callbacks])
    yield model


@script(6)
def batches_of_one_shape_after_another(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers()

    def batches() -> Iterator[Any]:
        for size in (16, 8, 4, 16, 8, 1):
            yield x[:size], y[:size]

    model = classifier()
    model.fit(batches(), steps_per_epoch=6, callbacks=[*callbacks])
    yield model


@script(6)
def masked_sequences(callbacks: Callbacks) -> Iterator[keras.Model]:
    words = np.random.default_rng(0).integers(0, 20, (48, 7))
    words[:, 5:] = 0
    model = keras.Sequential([layers.Embedding(20, 4, mask_zero=True), layers.LSTM(5), layers.Dense(1)])
    model.compile("rmsprop", "mse")
    model.fit(words, words[:, :1].astype("float32"), 16, 2, callbacks=[*callbacks])
    yield model


@script(4)
def texts(callbacks: Callbacks) -> Iterator[keras.Model]:
    lines = tf.constant(["one two three", "two three four", "four", "five one"] * 8)
    vectorize = layers.TextVectorization(max_tokens=10, output_sequence_length=4)
    vectorize.adapt(lines)
    model = keras.Sequential([vectorize, layers.Embedding(10, 4), layers.GlobalAveragePooling1D(), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(tf.data.Dataset.from_tensor_slices((lines, tf.ones((32, 1)))).batch(16), epochs=2, callbacks=[*callbacks])
    yield model


@script(9)
def initial_epoch(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.fit(*numbers(), epochs=5, initial_epoch=2, verbose=2, callbacks=[*callbacks])
    yield model


@script(9)
def verbose(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    for verbosity in (0, 1, 2):
        model.fit(*numbers(), verbose=verbosity, validation_split=0.1, callbacks=[*callbacks])
    yield model


@script(4, status="failed", data_fail=True)
def generator_that_fails(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers()

    def batches() -> Iterator[Any]:
        for _ in range(4):
            yield x[:16], y[:16]
        raise ValueError("a file is missing")

    model = fast()
    try:
        model.fit(batches(), steps_per_epoch=9, callbacks=[*callbacks])
    finally:
        yield model


@script(0, status="failed")
def labels_of_another_shape(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    x, y = numbers()
    model.fit(x, np.repeat(y, 3, axis=1), callbacks=[*callbacks])
    yield model


@script(0)
def no_data(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.fit(tf.data.Dataset.from_tensor_slices(numbers()).take(0).batch(16), callbacks=[*callbacks])
    yield model


@script(0)
def no_epoch(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.fit(*numbers(), epochs=0, callbacks=[*callbacks])
    yield model
