"""What a probe costs: in forward passes, in time, and as a share of a run that makes as many as it can afford."""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import overhead

import tuimon
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory


def resnet() -> keras.Model:
    return keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)


@dataclass(frozen=True)
class Case:
    """A model, and for how long it is trained."""

    name: str
    model: Callable[[], keras.Model]
    shape: tuple[int, ...]
    batch: int
    steps: int
    seconds: float


CASES = [
    Case("three Dense and BatchNormalization layers of 64", overhead.dense, (64,), 128, 500, 30.0),
    Case(
        "three Conv2D and BatchNormalization layers on 32×32 images", overhead.convolutional, (32, 32, 3), 32, 60, 30.0
    ),
    Case("ResNet50 on 64×64 images", resnet, (64, 64, 3), 16, 10, 90.0),
]


class StopAfter(keras.callbacks.Callback):
    """Ends a run at the first epoch's end after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def on_train_begin(self, logs: Any = None) -> None:
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = time.monotonic() - self.began > self.seconds


def pass_seconds(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """Return what a forward pass in inference mode takes, with its loss, as Keras itself makes it."""
    times = []
    for _ in range(12):
        started = time.perf_counter()
        model.test_on_batch(x, y)
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def prepared(build: Callable[[], keras.Model], shape: tuple[int, ...]) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """Return a compiled model, and inputs of a shape with labels for it."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=shape).astype(np.float32)
    keras.utils.set_random_seed(0)
    model = build()
    is_classifier = model.output_shape[-1] > 1
    y = generator.integers(0, 10, len(x)) if is_classifier else x.reshape(len(x), -1)[:, :1]
    model.compile("adam", "sparse_categorical_crossentropy" if is_classifier else "mse", jit_compile=False)
    return model, x, y


def measure(case: Case, directory: Path) -> None:
    """Train, and print what the probes of the run took."""
    model, x, y = prepared(case.model, (case.batch * case.steps, *case.shape))
    monitor = tuimon.Monitor(runs_dir=directory, probe_every=1)
    model.fit(x, y, batch_size=case.batch, epochs=10**6, verbose=0, callbacks=[StopAfter(case.seconds), monitor])
    assert monitor.run_dir is not None
    log = Tail(RunDirectory(monitor.run_dir).session_log).read_all()
    probes = [event for event in log if isinstance(event, events.Probe)]
    total = [event for event in log if isinstance(event, events.Overhead)][-1]
    later = probes[1:] or probes
    seconds = statistics.median(probe.seconds for probe in later)
    layers = len(probes[0].layers)
    bound = 2 + probes[0].masks + 2 * layers
    one = pass_seconds(model, x[: case.batch], y[: case.batch])
    print(f"{case.name}, batch {case.batch}: {layers} BatchNormalization layers, {probes[0].masks} masks")
    print(f"  forward passes of a probe        {probes[0].passes} (at most {bound})")
    print(
        f"  a probe                          {seconds * 1e3:.1f} ms, {seconds / one:.1f} × a forward pass of Keras' own"
    )
    print(f"  its first trace                  {probes[0].traced_seconds:.2f} s")
    parts = ", ".join(f"{name} {from_wire(value):.2f} s" for name, value in total.parts.items())
    print(f"  probes made with overhead 0.01   {len(probes)}; measured share {from_wire(total.share):.2%} ({parts})")


def main() -> None:
    """Print what each model's probes cost."""
    for case in CASES:
        with tempfile.TemporaryDirectory() as directory:
            measure(case, Path(directory))


if __name__ == "__main__":
    main()
