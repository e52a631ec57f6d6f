"""What watching costs a training step, beside Keras' own TensorBoard callback, in one run.

Two models: one small on purpose, three Dense and BatchNormalization layers of 64, whose step takes a millisecond or
two, so that every microsecond of a callback shows; and a small convolutional net. Everything of the Monitor is on.
The fits take turns, so that a noisy neighbour hits all alike.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

import tuimon

Callbacks = Callable[[Path], Sequence[keras.callbacks.Callback]]

KINDS: dict[str, Callbacks] = {
    "without": lambda _: [],
    "tuimon.Monitor": lambda directory: [tuimon.Monitor(runs_dir=directory)],
    "an empty callback": lambda _: [keras.callbacks.Callback()],
    "TensorBoard, per epoch": lambda directory: [keras.callbacks.TensorBoard(str(directory))],
    "TensorBoard, per batch": lambda directory: [keras.callbacks.TensorBoard(str(directory), update_freq="batch")],
}


def dense() -> keras.Model:
    layers = [keras.Input((64,))]
    for _ in range(3):
        layers += [keras.layers.Dense(64), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    return keras.Sequential([*layers, keras.layers.Dense(1)])


def convolutional() -> keras.Model:
    layers = [keras.Input((32, 32, 3))]
    for channels in (32, 64, 128):
        convolution = keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)
        layers += [convolution, keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.MaxPooling2D()]
    return keras.Sequential([*layers, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)])


@dataclass(frozen=True)
class Case:
    """A model and how it is trained."""

    name: str
    model: Callable[[], keras.Model]
    shape: tuple[int, ...]
    batch: int
    steps: int
    rounds: int


CASES = [
    Case("three Dense and BatchNormalization layers of 64", dense, (64,), 128, 500, 40),
    Case("three Conv2D and BatchNormalization layers on 32×32 images", convolutional, (32, 32, 3), 32, 60, 20),
]


class Clock(keras.callbacks.Callback):
    """Takes the time of each epoch."""

    seconds = 0.0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds = time.perf_counter() - self.began


def measure(case: Case, directory: Path) -> dict[str, list[float]]:
    """Return the seconds of each round's step, by kind."""
    x = np.random.default_rng(0).normal(size=(case.batch * case.steps, *case.shape)).astype(np.float32)
    y = x.reshape(len(x), -1)[:, :1]
    results: dict[str, list[float]] = {name: [] for name in KINDS}
    clock = Clock()
    fits = {}
    for number, (name, kind) in enumerate(KINDS.items()):
        keras.utils.set_random_seed(0)
        model = case.model()
        model.compile("adam", "mse", jit_compile=False)
        fits[name] = (model, [*kind(directory / str(number)), clock])
    order = list(fits)
    for round_number in range(-1, case.rounds):
        random.Random(round_number).shuffle(order)
        for name in order:
            model, callbacks = fits[name]
            model.fit(x, y, batch_size=case.batch, verbose=0, callbacks=callbacks)
            if round_number >= 0:  # The first round traces.
                results[name].append(clock.seconds / case.steps)
    return results


def main() -> None:
    """Print the tables."""
    for case in CASES:
        with tempfile.TemporaryDirectory() as directory:
            results = measure(case, Path(directory))
        print(f"a train step of {case.name}, batch {case.batch}, {case.rounds} rounds of {case.steps} steps in turns;")
        print("the ratio is the median of paired rounds")
        for name, times in results.items():
            ratios = sorted(mine / plain for mine, plain in zip(times, results["without"], strict=True))
            quarter = len(ratios) // 4
            spread = f"(half of them {ratios[quarter]:.3f} … {ratios[-1 - quarter]:.3f})"
            print(f"  {name:24} {statistics.median(times) * 1e3:6.3f} ms  {statistics.median(ratios):5.3f}×  {spread}")


if __name__ == "__main__":
    main()
