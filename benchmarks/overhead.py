"""What watching costs a training step, beside Keras' own TensorBoard callback, in one run.

The model is small on purpose, three Dense and BatchNormalization layers of 64: a step takes a millisecond or
two, so that every microsecond of a callback shows. The fits take turns, so that a noisy neighbour hits all alike.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

import tuimon

BATCH, STEPS, ROUNDS = 128, 500, 40

Callbacks = Callable[[Path], Sequence[keras.callbacks.Callback]]

KINDS: dict[str, Callbacks] = {
    "without": lambda _: [],
    "tuimon.Monitor": lambda directory: [tuimon.Monitor(runs_dir=directory)],
    "an empty callback": lambda _: [keras.callbacks.Callback()],
    "TensorBoard, per epoch": lambda directory: [keras.callbacks.TensorBoard(str(directory))],
    "TensorBoard, per batch": lambda directory: [keras.callbacks.TensorBoard(str(directory), update_freq="batch")],
}


def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.Input((64,))]
    for _ in range(3):
        layers += [keras.layers.Dense(64), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    built = keras.Sequential([*layers, keras.layers.Dense(1)])
    built.compile("adam", "mse", jit_compile=False)
    return built


class Clock(keras.callbacks.Callback):
    """Takes the time of each epoch."""

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds_a_step = (time.perf_counter() - self.began) / STEPS


def main() -> None:
    """Print the table."""
    x = np.random.default_rng(0).normal(size=(BATCH * STEPS, 64)).astype(np.float32)
    results: dict[str, list[float]] = {name: [] for name in KINDS}
    with tempfile.TemporaryDirectory() as directory:
        clock = Clock()
        fits = {
            name: (model(), [*kind(Path(directory, str(number))), clock])
            for number, (name, kind) in enumerate(KINDS.items())
        }
        order = list(fits)
        for round_number in range(-1, ROUNDS):
            random.Random(round_number).shuffle(order)
            for name in order:
                fitted, callbacks = fits[name]
                fitted.fit(x, x[:, :1], batch_size=BATCH, verbose=0, callbacks=callbacks)
                if round_number >= 0:  # The first round traces.
                    results[name].append(clock.seconds_a_step)
    print(f"a train step, {ROUNDS} rounds of {STEPS} steps in turns; the ratio is the median of paired rounds")
    for name, times in results.items():
        ratios = sorted(mine / plain for mine, plain in zip(times, results["without"], strict=True))
        quarter = len(ratios) // 4
        spread = f"(half of them {ratios[quarter]:.3f} … {ratios[-1 - quarter]:.3f})"
        print(f"  {name:24} {statistics.median(times) * 1e3:6.3f} ms  {statistics.median(ratios):5.3f}×  {spread}")


if __name__ == "__main__":
    main()
