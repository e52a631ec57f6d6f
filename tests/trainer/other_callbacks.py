"""Callbacks of Keras and of users, and what a training with some of them leaves behind."""

import importlib.util
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

EPOCHS = 3
SAMPLES, BATCH = 24, 8


class Fails(keras.callbacks.Callback):
    """Raises in the second epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            raise LookupError("no such metric")


class Looks(keras.callbacks.Callback):
    """Evaluates and predicts within hooks, trains another model and, at the end, this one; looks at its model."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            x, y = numbers()
            self.seen.append(self.model.evaluate(x, y, BATCH, verbose=0))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        x, y = numbers()
        self.seen += [self.model.predict(x[:3], verbose=0).tolist(), sorted(vars(self.model)), sorted(self.params)]
        self.seen.append([layer.trainable for layer in self.model.layers])
        if epoch == 1:
            other = network(uses_averages=False)
            self.seen.append(other.fit(x, y, BATCH, verbose=0, shuffle=False).history)

    def on_train_end(self, logs: Any = None) -> None:
        x, y = numbers()
        self.seen.append(self.model.fit(x, y, BATCH, verbose=0, shuffle=False).history)


class Hears(keras.callbacks.Callback):
    """Is called for each batch by Keras' asynchronous way, and notes each hook."""

    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(("batch", batch))


def _lambda() -> Any:
    seen: list[Any] = []
    hooks = [f"on_{what}_{edge}" for what in ("train", "epoch", "train_batch") for edge in ("begin", "end")]
    noting = {name: lambda *given, name=name, **by_name: seen.append((name, repr((given, by_name)))) for name in hooks}
    callback = keras.callbacks.LambdaCallback(**noting)
    callback.seen = seen
    return callback


KERAS_OWN: dict[str, Callable[[], Any]] = {
    "TensorBoard": lambda: keras.callbacks.TensorBoard("board", update_freq=2),
    "ModelCheckpoint": lambda: keras.callbacks.ModelCheckpoint("saved/{epoch}.weights.h5", save_weights_only=True),
    "BackupAndRestore": lambda: keras.callbacks.BackupAndRestore("backup", save_freq=2, delete_checkpoint=False),
    "EarlyStopping": lambda: keras.callbacks.EarlyStopping(
        monitor="loss", mode="max", patience=1, restore_best_weights=True
    ),
    "ReduceLROnPlateau": lambda: keras.callbacks.ReduceLROnPlateau(monitor="loss", mode="max", patience=1, factor=0.5),
    "CSVLogger": lambda: keras.callbacks.CSVLogger("log.csv"),
    "TerminateOnNaN": keras.callbacks.TerminateOnNaN,
    "SwapEMAWeights": lambda: keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
    "LambdaCallback": _lambda,
}
if importlib.util.find_spec("tensorboard") is None:
    del KERAS_OWN["TensorBoard"]
USERS_OWN: dict[str, Callable[[], Any]] = {"Fails": Fails, "Looks": Looks, "Hears": Hears}
OTHERS = {**KERAS_OWN, **USERS_OWN}


def numbers(*, has_nan: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return samples of 6 numbers with one label each."""
    x = np.random.default_rng(0).normal(1.0, 2.0, (SAMPLES, 6)).astype("float32")
    y = (x[:, :1] * x[:, 1:2] > 1).astype("float32")
    if has_nan:
        y[-1] = np.nan
    return x, y


def network(*, uses_averages: bool) -> keras.Model:
    """Return a small model, compiled so that its step runs fast."""
    layers = [keras.Input((6,)), keras.layers.BatchNormalization(), keras.layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.SGD(0.1, use_ema=uses_averages, ema_momentum=0.9)
    model.compile(optimizer, "binary_crossentropy", run_eagerly=True)
    return model


def train(
    place: Path, names: Sequence[str], monitor: Any = None, at: int = 0, *, as_list: bool = False
) -> dict[str, Any]:
    """Train with some of `OTHERS` in a directory of its own, and return all that the training leaves.

    Args:
        place: The directory, which is made.
        names: The callbacks, in their order.
        monitor: A Monitor; None: train without.
        at: Its place among them.
        as_list: Whether Keras is given a list of its own kind.
    """
    place.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(place)
    try:
        return _train(names, monitor, at, as_list)
    finally:
        os.chdir(before)


def _train(names: Sequence[str], monitor: Any, at: int, as_list: bool) -> dict[str, Any]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(5)
    model = network(uses_averages="SwapEMAWeights" in names)
    others = [OTHERS[name]() for name in names]
    x, y = numbers(has_nan="TerminateOnNaN" in names)
    callbacks: Any = [*others[:at], *([] if monitor is None else [monitor]), *others[at:]]
    given = list(callbacks)
    if as_list:
        callbacks = keras.callbacks.CallbackList(callbacks, add_history=True, model=model, epochs=EPOCHS, verbose=0)
    error = ""
    try:
        model.fit(*(x, y, BATCH, EPOCHS), shuffle=False, verbose=0, validation_data=numbers(), callbacks=callbacks)
    except LookupError as raised:
        error = repr(raised)
        for each in others:
            if getattr(each, "csv_file", None) is not None:
                each.csv_file.close()  # Keras leaves it to Python, which warns of it.
    left = [each for each in (callbacks.callbacks if as_list else callbacks) if each not in given]
    variables = [*model.variables, *model.optimizer.variables]
    return {
        "error": error,
        "left in the list": [type(each).__name__ for each in left],
        "weights": [(each.dtype, np.asarray(each).tobytes()) for each in variables],
        "history": repr((model.history.epoch, model.history.history)),
        "attributes of the model": sorted(set(vars(model))),
        "callbacks": [_kept(each) for each in others],
        "files": _files(),
    }


def _kept(callback: Any) -> dict[str, Any]:
    """Return what a callback has noted: numbers, words, lists of them, weights."""
    return {
        name: repr(np.asarray(value, dtype=object).tolist() if name.endswith("weights") else value)
        for name, value in vars(callback).items()
        if isinstance(value, bool | int | float | str | list | tuple | None) and not name.startswith("__")
    }


def _files() -> dict[str, Any]:
    found = {}
    for path in sorted(Path().rglob("*")):
        name = re.sub(r"tfevents\.\d+.*", "tfevents", str(path))
        if path.suffix == ".h5":
            found[name] = _arrays(path)
        elif path.suffix in (".csv", ".json"):
            found[name] = path.read_text()
        else:
            found[name] = "" if path.is_dir() or "tfevents" in name else path.read_bytes()
    return found


def _arrays(path: Path) -> dict[str, bytes]:
    arrays: dict[str, bytes] = {}

    def visit(name: str, part: Any) -> None:
        if isinstance(part, h5py.Dataset):
            arrays[name] = np.asarray(part).tobytes()

    with h5py.File(path) as file:
        file.visititems(visit)
    return arrays
