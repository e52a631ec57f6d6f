"""Several fits, copies of callbacks and models, threads, and loops of one's own."""

import asyncio
import copy
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from zoo.script import Callbacks, classifier, fast, network, numbers, script


@script(9)
def epochs_in_a_loop(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = classifier()
    for _ in range(3):
        model.fit(*numbers(), epochs=1, callbacks=[*callbacks])
        yield model


@script(9)
def epochs_in_a_loop_with_a_new_monitor_each(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    for each in (callbacks, callbacks.another(), callbacks.another()):
        model.fit(*numbers(), epochs=1, callbacks=[*each])
        yield model


@script(9)
def folds(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers()
    for fold in np.array_split(np.arange(80), 3):
        rest = np.setdiff1d(np.arange(80), fold)
        model = fast()
        model.fit(x[rest], y[rest], 20, 1, validation_data=(x[fold], y[fold]), callbacks=[*callbacks])
        print(model.evaluate(x[fold], y[fold], verbose=0))
        yield model


def pretrained() -> tuple[keras.Model, keras.Model]:
    base = keras.Sequential([keras.Input((6,)), layers.Dense(8), layers.BatchNormalization()], name="base")
    base.trainable = False
    inputs = keras.Input((6,))
    return base, keras.Model(inputs, layers.Dense(1)(base(inputs, training=False)))


@script(12)
def transfer_learning(callbacks: Callbacks) -> Iterator[keras.Model]:
    base, model = pretrained()
    model.compile("adam", "mse")
    model.fit(*numbers(), epochs=2, callbacks=[*callbacks])
    yield model
    base.trainable = True
    model.compile(keras.optimizers.Adam(1e-5), "mse")
    model.fit(*numbers(), epochs=4, initial_epoch=2, callbacks=[*callbacks])
    yield model


@script(12)
def transfer_learning_without_compile(callbacks: Callbacks) -> Iterator[keras.Model]:
    base, model = pretrained()
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(*numbers(), epochs=2, callbacks=[*callbacks])
    yield model
    base.trainable = True
    model.fit(*numbers(), epochs=2, callbacks=[*callbacks])
    yield model


@script(6, 6)
def saved_loaded_and_trained_on(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers()
    model = classifier()
    model.fit(x, y, epochs=2, callbacks=[*callbacks])
    print(model.evaluate(x, y, verbose=0), model.predict(x[:3], verbose=0).tolist())
    model.save("model.keras")
    model.save_weights("model.weights.h5")
    model.export("exported", verbose=False)
    loaded = keras.models.load_model("model.keras")
    loaded.fit(x, y, epochs=2, callbacks=[*callbacks.another()])
    yield model
    yield loaded


@script(3, 3)
def copies_of_the_callbacks_for_each_trial(callbacks: Callbacks) -> Iterator[keras.Model]:
    for _ in range(2):
        model = fast()
        model.fit(*numbers(), callbacks=copy.deepcopy([*callbacks]))
        yield model


@script(3, 3, 3)
def copies_of_used_callbacks(callbacks: Callbacks) -> Iterator[keras.Model]:
    used = [keras.callbacks.EarlyStopping("loss"), *callbacks]
    for _ in range(3):
        model = fast()
        model.fit(*numbers(), callbacks=used)
        yield model
        used = copy.deepcopy(used)


@script(3, 3)
def pickled_callbacks(callbacks: Callbacks) -> Iterator[keras.Model]:
    used = pickle.loads(pickle.dumps([*callbacks]))
    for _ in range(2):
        model = fast()
        model.fit(*numbers(), callbacks=used)
        yield model
        used = pickle.loads(pickle.dumps(used))


@script(6, 3)
def copied_between_two_fits_of_the_first(callbacks: Callbacks) -> Iterator[keras.Model]:
    model, other = fast(), fast()
    model.fit(*numbers(), callbacks=[*callbacks])
    copied = copy.deepcopy([*callbacks])
    model.fit(*numbers(), callbacks=[*callbacks])
    other.fit(*numbers(), callbacks=copied)
    yield model
    yield other


@script(3, 3)
def clone_of_a_model(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.fit(*numbers(), callbacks=[*callbacks])
    clone = keras.models.clone_model(model)
    clone.compile("sgd", "mse", jit_compile=False)
    clone.fit(*numbers(), callbacks=[*callbacks.another()])
    yield model
    yield clone


@script(3, 3)
def deep_copy_of_a_model(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.fit(*numbers(), callbacks=[*callbacks])
    other = copy.deepcopy(model)
    other.fit(*numbers(), callbacks=[*callbacks.another()])
    yield model
    yield other


@script(6)
def fit_in_a_thread(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = classifier()
    thread = threading.Thread(target=lambda: model.fit(*numbers(), epochs=2, shuffle=False, callbacks=[*callbacks]))
    thread.start()
    thread.join()
    yield model


@script(6, 6)
def fits_in_two_threads(callbacks: Callbacks) -> Iterator[keras.Model]:
    models = []
    for _ in range(2):
        made = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(1)])
        made.compile("sgd", "mse", jit_compile=False)
        models.append(made)
    lists = [callbacks, callbacks.another()]

    def train(model: keras.Model, mine: Callbacks) -> None:
        model.fit(*numbers(), epochs=2, shuffle=False, verbose=0, callbacks=[*mine])

    threads = [threading.Thread(target=train, args=each) for each in zip(models, lists, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield from models


@script(6)
def fit_in_an_event_loop(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()

    async def cell() -> None:
        model.fit(*numbers(), epochs=2, callbacks=[*callbacks])
        await asyncio.sleep(0)

    asyncio.run(cell())
    yield model


@script(6, 6)
def fit_within_a_fit(callbacks: Callbacks) -> Iterator[keras.Model]:
    inner, outer = fast(), fast()
    others = callbacks.another()

    class FitsAnother(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            inner.fit(*numbers(), verbose=0, callbacks=[*others])

    outer.fit(*numbers(), epochs=2, callbacks=[FitsAnother(), *callbacks])
    yield outer
    yield inner


@script(6)
def train_on_batch_beside_the_monitor(callbacks: Callbacks) -> Iterator[keras.Model]:
    """A loop of `train_on_batch` before, between and after fits."""
    model = fast()
    x, y = numbers()
    for _ in range(2):
        print(model.train_on_batch(x[:16], y[:16]), model.test_on_batch(x[:16], y[:16]))
        model.fit(x, y, callbacks=[*callbacks])
    print(model.train_on_batch(x[:16], y[:16]))
    yield model


@script(10)
def train_on_batch_loop_that_is_watched(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    x, y = numbers()

    def train(batch: int) -> None:
        print(model.train_on_batch(x[batch : batch + 16], y[batch : batch + 16], return_dict=True))

    batches = [*range(0, 80, 16)]
    if not callbacks:
        for _ in range(2):
            for batch in batches:
                train(batch)
    for monitor in callbacks:
        with monitor.watch(model) as loop:
            for _ in loop.epochs(2):
                for batch in loop.steps(batches):
                    train(batch)
    yield model


@script(10)
def gradient_tape_loop_that_is_watched(callbacks: Callbacks) -> Iterator[keras.Model]:
    model, optimizer, x_and_y = network(), keras.optimizers.Adam(), numbers()
    data = tf.data.Dataset.from_tensor_slices(x_and_y).batch(16)

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.binary_crossentropy(y, model(x, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    if not callbacks:
        function = tf.function(step)
        for _ in range(2):
            for x, y in data:
                print(float(function(x, y)))
    for monitor in callbacks:
        with monitor.watch(model, optimizer) as loop:
            function = loop.function(step)
            for _ in loop.epochs(2):
                for x, y in loop.steps(data):
                    loss = float(function(x, y))
                    loop.log(loss=loss)
                    print(loss)
    yield model


@script(6)
def compiled_anew_between_two_fits(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.fit(*numbers(), callbacks=[*callbacks])
    yield model
    model.compile("rmsprop", "mse", metrics=["mae"], jit_compile=False)
    model.fit(*numbers(), callbacks=[*callbacks])
    yield model


@script(3, 3)
def session_cleared_between_two_fits(callbacks: Callbacks) -> Iterator[keras.Model]:
    for each in (callbacks, callbacks.another()):
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        model = fast()
        model.fit(*numbers(), callbacks=[*each])
        yield model


@script(3)
def with_and_then_without(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.fit(*numbers(), callbacks=[*callbacks])
    model.fit(*numbers())
    yield model


@script(3)
def without_and_then_with(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = classifier()
    model.fit(*numbers())
    model.fit(*numbers(), callbacks=[*callbacks])
    yield model


@script(6)
def the_same_monitor_twice(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.fit(*numbers(), epochs=2, callbacks=[*callbacks, *callbacks])
    yield model
