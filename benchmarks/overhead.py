"""What watching costs a training step, beside Keras' own TensorBoard callback, in one run.

The model is small on purpose, three Dense and BatchNormalization layers of 64: a step takes a millisecond or
two, so that every microsecond of a callback shows. The fits take turns, so that a noisy neighbour hits all alike.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

import tuimon

BATCH, STEPS, EPOCHS, ROUNDS = 128, 400, 3, 7

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


def seconds_a_step(kind: Callbacks, directory: Path) -> float:
    """Median over epochs, the first one (traces) left out."""
    times: list[float] = []
    generator = np.random.default_rng(0)
    x = generator.normal(size=(BATCH * STEPS, 64)).astype(np.float32)

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            times.append((time.perf_counter() - self.began) / STEPS)

    fitted = model()
    fitted.fit(x, x[:, :1], batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[*kind(directory), Clock()])
    return statistics.median(times[1:])


def main() -> None:
    """Print the table."""
    results: dict[str, list[float]] = {name: [] for name in KINDS}
    with tempfile.TemporaryDirectory() as directory:
        for round_number in range(ROUNDS):
            for name, kind in KINDS.items():
                place = Path(directory, str(round_number), name.replace(" ", "-"))
                results[name].append(seconds_a_step(kind, place))
    print(f"a train step, {ROUNDS} rounds of {(EPOCHS - 1) * STEPS} steps, median; the ratio is that of paired rounds")
    for name, times in results.items():
        ratios = [mine / plain for mine, plain in zip(times, results["without"], strict=True)]
        spread = f"({min(ratios):.3f} … {max(ratios):.3f})"
        print(f"  {name:24} {statistics.median(times) * 1e3:6.3f} ms  {statistics.median(ratios):5.3f}×  {spread}")


if __name__ == "__main__":
    main()
