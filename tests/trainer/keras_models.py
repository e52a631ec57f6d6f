"""Small models to train, data for them, and a callback that asks at a known step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

import tuimon
from helpers import read_log
from trainer.inside import until_seen
from trainer.kinds import small
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory

SAMPLES, BATCH = 80, 16
STEPS = SAMPLES // BATCH


def data(samples: int = SAMPLES) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(1.0, 2.0, (samples, 6)).astype(np.float32)
    return x, (x[:, :1] * x[:, 1:2] > 1).astype(np.float32)


def sequential(*, dropout: float = 0.25) -> keras.Model:
    """Return the small model, each time the same."""
    keras.utils.set_random_seed(3)
    return small(dropout=dropout)


def linear() -> keras.Model:
    """Return a model in which nothing can be frozen."""
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])


class OnlyTrains(keras.layers.Layer):
    """Cannot be called in inference mode while ``is_armed()``."""

    def __init__(self, is_armed: Callable[[], bool]) -> None:
        super().__init__()
        self.is_armed = is_armed

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training and self.is_armed():
            raise RuntimeError("this layer has no inference mode")
        return inputs


def functional() -> keras.Model:
    keras.utils.set_random_seed(4)
    layers = keras.layers
    inputs = keras.Input((6,))
    left = layers.BatchNormalization(name="bn_left")(layers.Dense(4, name="left")(inputs))
    right = layers.BatchNormalization(name="bn_right", scale=False)(layers.Dense(4, name="right")(inputs))
    joined = layers.GaussianNoise(0.1, name="noise")(layers.Concatenate(name="join")([left, right]))
    return keras.Model(inputs, layers.Dense(1, name="out")(joined), name="small")


def compiled(model: keras.Model, optimizer: Any = None, **options: Any) -> keras.Model:
    """Return the model compiled, by default with the optimizer with a state that is traced the fastest."""
    model.compile(
        optimizer or keras.optimizers.SGD(0.01, momentum=0.9),
        "mse",
        **{"metrics": ["mae"], "jit_compile": False, **options},
    )
    return model


def fit(model: keras.Model, epochs: int, callbacks: Sequence[Any] = (), **options: Any) -> Any:
    x, y = data()
    arguments = {"batch_size": BATCH, "validation_data": (x[:24], y[:24]), "shuffle": False, "verbose": 0}
    return model.fit(x, y, epochs=epochs, callbacks=list(callbacks), **{**arguments, **options})


def count_traces(model: keras.Model) -> list[object]:
    """Return a list that gets an entry each time the model's train step is traced."""
    traces: list[object] = []
    real = model.train_step

    def counting(batch: Any) -> Any:
        traces.append(batch)
        return real(batch)

    model.train_step = counting
    return traces


def batch_norms(model: keras.Model) -> list[Any]:
    """Return the BatchNormalization layers, however deep they lie."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]


def same_weights(left: keras.Model, right: keras.Model) -> bool:
    """Whether two models' weights are the same, bit for bit."""
    pairs = zip(left.get_weights(), right.get_weights(), strict=True)
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def send(monitor: tuimon.Monitor, request: commands.AnyRequest, *, attempt: int = 0) -> str:
    """Put a request into the run directory, as a viewer does; return its id."""
    assert monitor.run_dir is not None
    signed = commands.signed(request, attempt=attempt)
    RunDirectory(monitor.run_dir).put_request(signed)
    return signed.id


class Ask(keras.callbacks.Callback):
    """Puts requests at the begin of epochs, so that the first step of the epoch is the first under them.

    Goes before the Monitor in the list of callbacks.
    """

    def __init__(self, monitor: tuimon.Monitor, plan: Mapping[int, Sequence[commands.AnyRequest]]) -> None:
        super().__init__()
        self.monitor = monitor
        self.plan = plan
        self.ids: list[str] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for request in self.plan.get(epoch, ()):
            self.ask(request)

    def ask(self, request: commands.AnyRequest) -> None:
        self.ids.append(send(self.monitor, request))
        until_seen(self.monitor, self.ids[-1])


def facts(monitor: tuimon.Monitor) -> list[events.AnyEvent]:
    assert monitor.run_dir is not None
    return read_log(RunDirectory(monitor.run_dir))


def facts_of(monitor: tuimon.Monitor, kind: type) -> list[Any]:
    return [fact for fact in facts(monitor) if isinstance(fact, kind)]
