"""What the closing examination takes, by size of the model: runs with default settings, as a user makes them."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import overhead
from probe import StopAfter, prepared

import tuimon
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory


def deep() -> keras.Model:
    layers = [keras.Input((64,))]
    for _ in range(12):
        layers += [keras.layers.Dense(256), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    return keras.Sequential([*layers, keras.layers.Dense(1)])


@dataclass(frozen=True)
class Case:
    """A model, and for how long it is trained."""

    name: str
    model: Callable[[], keras.Model]
    shape: tuple[int, ...]
    seconds: float


CASES = [
    Case("3 Dense and BatchNormalization layers of 64", overhead.dense, (64,), 20.0),
    Case("12 Dense and BatchNormalization layers of 256", deep, (64,), 60.0),
    Case("3 Conv2D and BatchNormalization layers, 32×32", overhead.convolutional, (32, 32, 3), 60.0),
    Case("MobileNetV2, 96×96", lambda: _application("MobileNetV2", 96), (96, 96, 3), 120.0),
    Case("ResNet50, 64×64", lambda: _application("ResNet50", 64), (64, 64, 3), 120.0),
]


def _application(name: str, size: int) -> keras.Model:
    return getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)


class EndsAfter(StopAfter):
    """Also notes when the first step had ended."""

    first_step = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.first_step = self.first_step or time.monotonic() - self.began


def measure(case: Case, directory: Path) -> None:
    """Train with default settings, and print what the closing examination took."""
    model, x, y = prepared(case.model, (32 * 20, *case.shape))
    ends, monitor = EndsAfter(case.seconds), tuimon.Monitor(runs_dir=directory)
    began = time.monotonic()
    model.fit(x, y, epochs=10**6, validation_split=0.2, verbose=0, callbacks=[ends, monitor])
    seconds = time.monotonic() - began
    assert monitor.run_dir is not None
    log = Tail(RunDirectory(monitor.run_dir).session_log).read_all()
    last = [event for event in log if isinstance(event, events.Probe) and event.reason == "end"]
    total = [event for event in log if isinstance(event, events.Overhead)][-1]
    print(f"{case.name}: a run of {seconds:.0f} s, first step {ends.first_step:.1f} s")
    if not last:
        planned = [event.reason for event in log if isinstance(event, events.ProbePlanned)]
        newest = [event.step for event in log if isinstance(event, events.Probe)]
        print(f"  no closing examination: last probe at step {newest[-1] if newest else '–'}; {planned[-1:]}")
    for probe in last:
        layers = any(layer.in_order is not None for layer in probe.layers.values())
        depth = f"{'each layer' if layers else 'all layers together'}{', gradients' if probe.gradients else ''}"
        taken = probe.seconds + probe.traced_seconds
        print(f"  {probe.seconds:.2f} s and {probe.traced_seconds:.2f} s of traces, {taken / seconds:.1%} ({depth})")
    print(f"  watching beside it: {from_wire(total.share):.2%}")


def main() -> None:
    """Print it for each model."""
    for case in CASES:
        with tempfile.TemporaryDirectory() as directory:
            measure(case, Path(directory))


if __name__ == "__main__":
    main()
