"""Other callbacks beside the Monitor: those of Keras, and what users do in their own."""

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from zoo.script import Callbacks, classifier, fast, network, numbers, script


def train(model: keras.Model, others: list[Any], callbacks: Callbacks, **options: Any) -> Iterator[keras.Model]:
    """Fit with the Monitor before and, in another model, behind the other callbacks."""
    x, y = numbers()
    model.fit(x, y, 16, callbacks=[*others, *callbacks], **{"epochs": 3, "validation_split": 0.2, **options})
    yield model


def on(**hooks: Callable[..., Any]) -> Any:
    """Return a callback with these methods; ``model`` is the first argument of each."""

    def method(hook: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, *arguments, **_: hook(self.model, *arguments)

    return type("Mine", (keras.callbacks.Callback,), {name: method(hook) for name, hook in hooks.items()})()


@script(20)
def early_stopping(callbacks: Callbacks) -> Iterator[keras.Model]:
    stops = keras.callbacks.EarlyStopping(monitor="loss", mode="max", patience=2, restore_best_weights=True)
    yield from train(classifier(), [stops], callbacks, epochs=9)


@script(12)
def model_checkpoint(callbacks: Callbacks) -> Iterator[keras.Model]:
    saves = keras.callbacks.ModelCheckpoint("model-{epoch}.keras")
    best = keras.callbacks.ModelCheckpoint(
        "best.weights.h5", save_weights_only=True, save_best_only=True, monitor="loss"
    )
    yield from train(classifier(), [saves, best], callbacks)
    yield keras.models.load_model("model-2.keras")


@script(12)
def model_checkpoint_of_steps(callbacks: Callbacks) -> Iterator[keras.Model]:
    saves = keras.callbacks.ModelCheckpoint("at-{batch}.weights.h5", save_weights_only=True, save_freq=5)
    yield from train(fast(), [saves], callbacks)


@script(12)
def reduce_lr_on_plateau(callbacks: Callbacks) -> Iterator[keras.Model]:
    reduces = keras.callbacks.ReduceLROnPlateau(monitor="loss", mode="max", patience=1, factor=0.5)
    yield from train(classifier(), [reduces], callbacks)


@script(12)
def learning_rate_scheduler(callbacks: Callbacks) -> Iterator[keras.Model]:
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5, verbose=1)
    yield from train(fast(), [schedule], callbacks)


@script(12)
def csv_logger(callbacks: Callbacks) -> Iterator[keras.Model]:
    yield from train(fast(), [keras.callbacks.CSVLogger("log.csv")], callbacks)
    print(Path("log.csv").read_text())


@script(12)
def tensorboard(callbacks: Callbacks) -> Iterator[keras.Model]:
    pytest.importorskip("tensorboard")
    board = keras.callbacks.TensorBoard("board", histogram_freq=1, write_steps_per_second=True, update_freq=2)
    yield from train(fast(), [board], callbacks)


@script(12)
def backup_and_restore(callbacks: Callbacks) -> Iterator[keras.Model]:
    backup = keras.callbacks.BackupAndRestore("backup", delete_checkpoint=False)
    yield from train(fast(), [backup], callbacks)


@script(4, 8, status="failed, then finished")
def backup_and_restore_after_a_failure(callbacks: Callbacks) -> Iterator[keras.Model]:
    def fails(model: Any, batch: int, logs: Any = None) -> None:
        if model.optimizer.iterations == 5:
            raise RuntimeError("the machine is gone")

    try:
        backup = keras.callbacks.BackupAndRestore("backup")
        yield from train(fast(), [backup, on(on_train_batch_end=fails)], callbacks)
    except RuntimeError as error:
        print(error)
    yield from train(fast(), [keras.callbacks.BackupAndRestore("backup")], callbacks.another())


@script(3)
def terminate_on_nan(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers()
    y[40] = np.nan
    model = fast()
    model.fit(x, y, 16, 2, shuffle=False, callbacks=[keras.callbacks.TerminateOnNaN(), *callbacks])
    yield model


@script(12)
def swap_ema_weights(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = classifier(optimizer=keras.optimizers.Adam(use_ema=True, ema_momentum=0.9))
    yield from train(model, [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)], callbacks)


@script(12)
def swap_ema_weights_behind(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = classifier(optimizer=keras.optimizers.Adam(use_ema=True, ema_momentum=0.9), jit_compile=False)
    x, y = numbers()
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    model.fit(x, y, 16, 3, validation_split=0.2, callbacks=[*callbacks, swap])
    yield model


@script(12)
def lambda_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    prints = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: print("begin", epoch, logs),
        on_epoch_end=lambda epoch, logs: print("end", epoch, json.dumps(logs)),
        on_train_batch_end=lambda batch, logs: print("batch", batch, sorted(logs)),
        on_train_end=lambda logs: print("over", sorted(logs)),
    )
    yield from train(fast(), [prints], callbacks, verbose=0)


@script(12)
def logs_that_a_callback_adds_to(callbacks: Callbacks) -> Iterator[keras.Model]:
    def adds(model: Any, epoch: int, logs: Any) -> None:
        logs["lr"] = np.float32(model.optimizer.learning_rate)
        logs["words"] = "not a number"

    yield from train(fast(), [on(on_epoch_end=adds)], callbacks, verbose=0)


@script(12)
def trainable_set_by_a_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    def freezes(model: Any, epoch: int, logs: Any = None) -> None:
        model.layers[0].trainable = epoch != 1

    yield from train(classifier(), [on(on_epoch_begin=freezes)], callbacks)


@script(4, status="failed")
def compiled_anew_by_a_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    def compiles(model: Any, epoch: int, logs: Any = None) -> None:
        model.layers[0].trainable = False
        model.compile("sgd", "mse", jit_compile=False)

    yield from train(fast(), [on(on_epoch_end=compiles)], callbacks)


@script(12)
def compiled_anew_with_a_new_function(callbacks: Callbacks) -> Iterator[keras.Model]:
    def compiles(model: Any, epoch: int, logs: Any = None) -> None:
        model.layers[0].trainable = False
        model.compile("sgd", "mse", jit_compile=False)
        model.make_train_function()

    yield from train(fast(), [on(on_epoch_end=compiles)], callbacks)


@script(12)
def train_function_made_anew(callbacks: Callbacks) -> Iterator[keras.Model]:
    def makes(model: Any, epoch: int, logs: Any = None) -> None:
        model.layers[0].trainable = epoch != 1
        model.make_train_function(force=True)

    yield from train(fast(), [on(on_epoch_begin=makes)], callbacks)


@script(12, notes=["`model.train_function` was set by the user"])
def train_function_replaced(callbacks: Callbacks) -> Iterator[keras.Model]:
    calls: list[int] = []

    def replaces(model: Any, epoch: int, logs: Any = None) -> None:
        before = model.train_function

        def counting(iterator: Any) -> Any:
            calls.append(epoch)
            return before(iterator)

        model.train_function = counting

    yield from train(fast(), [on(on_epoch_begin=replaces)], callbacks)
    print(calls)


@script(12)
def train_function_that_the_model_makes_its_own_way(callbacks: Callbacks) -> Iterator[keras.Model]:
    calls: list[int] = []

    class Mine(keras.Model):
        def make_train_function(self, force: bool = False) -> Any:
            if self.train_function is None or force:
                super().make_train_function(force=force)
                made = self.train_function

                def counting(iterator: Any) -> Any:
                    calls.append(1)
                    return made(iterator)

                self.train_function = counting

    layers = network()
    model = Mine(layers.inputs, layers.outputs)
    model.compile("sgd", "mse", jit_compile=False)
    yield from train(model, [], callbacks)
    print(len(calls))


@script(12, notes=["`model.train_function` was set by the user"])
def train_function_replaced_before(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.make_train_function()
    before, calls = model.train_function, []

    def counting(iterator: Any) -> Any:
        calls.append(1)
        return before(iterator)

    model.train_function = counting
    yield from train(model, [], callbacks)
    print(len(calls), model.train_function is counting)


@script(12, notes=["`model.test_function` was set by the user"])
def test_function_replaced(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    model.make_test_function()
    before, calls = model.test_function, []

    def counting(iterator: Any) -> Any:
        calls.append(1)
        return before(iterator)

    model.test_function = counting
    yield from train(model, [], callbacks)
    print(len(calls), model.test_function is counting)


@script(12)
def learning_rate_set_by_a_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    def sets(model: Any, batch: int, logs: Any = None) -> None:
        model.optimizer.learning_rate = 0.1 / (batch + 1)

    yield from train(classifier(), [on(on_train_batch_begin=sets)], callbacks)


@script(12)
def weights_set_by_a_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    def halves(model: Any, epoch: int, logs: Any = None) -> None:
        model.set_weights([weight * 0.5 for weight in model.get_weights()])

    yield from train(fast(), [on(on_epoch_end=halves)], callbacks)


@script(8)
def stopped_by_a_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    def stops(model: Any, epoch: int, logs: Any = None) -> None:
        model.stop_training = epoch == 1

    yield from train(fast(), [on(on_epoch_end=stops)], callbacks, epochs=9)


@script(4, status="failed")
def exception_in_a_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    def fails(model: Any, epoch: int, logs: Any = None) -> None:
        raise LookupError("no such metric")

    model = fast()
    try:
        # Whether a progress bar shows the last step of an epoch that does not end, is a matter of time.
        yield from train(model, [on(on_epoch_end=fails)], callbacks, verbose=2)
    finally:
        yield model


@script(7, status="failed, then finished")
def exception_in_a_callback_then_another_fit(callbacks: Callbacks) -> Iterator[keras.Model]:
    def fails(model: Any, batch: int, logs: Any = None) -> None:
        if batch == 2:
            raise LookupError("no such metric")

    model = fast()
    try:
        yield from train(model, [on(on_train_batch_end=fails)], callbacks)
    except LookupError as error:
        print(error)
    yield model
    yield from train(model, [], callbacks, epochs=1)


@script(1, status="failed")
def interrupt_in_a_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    def interrupts(model: Any, batch: int, logs: Any = None) -> None:
        if batch == 2:
            raise KeyboardInterrupt

    model = fast()
    try:
        yield from train(model, [on(on_train_batch_begin=interrupts)], callbacks)
    except KeyboardInterrupt:
        print("interrupted")
    yield model


@script(12)
def evaluate_and_predict_in_a_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, y = numbers()

    def looks(model: Any, epoch: int, logs: Any = None) -> None:
        print(epoch, model.evaluate(x, y, verbose=0), model.predict(x[:2], verbose=0).tolist())

    yield from train(fast(), [on(on_epoch_end=looks)], callbacks, verbose=2)


@script(12)
def save_and_copy_in_a_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    copies: list[keras.Model] = []

    def saves(model: Any, epoch: int, logs: Any = None) -> None:
        model.save(f"{epoch}.keras")
        copies.append(keras.models.clone_model(model))
        copies[-1].set_weights(model.get_weights())
        copies.append(pickle.loads(pickle.dumps(model)))

    yield from train(fast(), [on(on_epoch_end=saves)], callbacks)
    yield from copies


@script(12)
def layer_outputs_in_a_callback(callbacks: Callbacks) -> Iterator[keras.Model]:
    x, _ = numbers()

    def looks(model: Any, epoch: int, logs: Any = None) -> None:
        inner = keras.Model(model.inputs, model.layers[1].output)
        print(epoch, np.asarray(inner(x[:1])).tolist())

    yield from train(fast(), [on(on_epoch_end=looks)], callbacks, verbose=0)


@script(12)
def callback_list(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = fast()
    together = keras.callbacks.CallbackList([*callbacks], add_history=True, model=model, epochs=3)
    model.fit(*numbers(), 16, 3, validation_split=0.2, callbacks=together)
    yield model
