"""Data that a small model can learn: a known function of the inputs, enough examples, little noise.

Each function returns arguments of ``fit``. The validation data are drawn as the training data are, and are others.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

VALIDATION = 512


def parted(x: Any, y: Any, *, batch_size: int = 32, weights: Any = None) -> dict[str, Any]:
    """Return arguments of ``fit``: the last examples are the validation data."""

    def part(data: Any, rows: slice) -> Any:
        return keras.tree.map_structure(lambda array: array[rows], data) if data is not None else None

    training, held = slice(None, -VALIDATION), slice(-VALIDATION, None)
    validation = (part(x, held), part(y, held))
    data = {"x": part(x, training), "validation_data": validation, "batch_size": batch_size}
    if y is None:
        return {**data, "validation_data": validation[0]}
    if weights is not None:
        data["sample_weight"] = part(weights, training)
        data["validation_data"] = (*validation, part(weights, held))
    return {**data, "y": part(y, training)}


def drawn(samples: int, *shape: int, seed: int = 0) -> tuple[np.ndarray, np.random.Generator]:
    """Return normal numbers for the training and the validation examples, and what drew them."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(samples + VALIDATION, *shape)).astype(np.float32), generator


def curve(
    samples: int = 4096, *, features: int = 8, noise: float = 0.05, scale: float = 1.0, batch_size: int = 32
) -> Any:
    """Regression: a smooth function of a weighted sum."""
    x, generator = drawn(samples, features)
    score = x @ np.linspace(-1, 1, features) / 2
    y = score + 0.3 * np.sin(2 * score) + noise * generator.normal(size=len(x))
    return parted(scale * x, y.astype(np.float32)[:, None], batch_size=batch_size)


def two_classes(samples: int = 4096, *, noise: float = 0.3, batch_size: int = 32, scale: float = 1.0) -> Any:
    """A plane tells them apart, but for a little noise."""
    x, generator = drawn(samples, 8)
    score = x @ np.linspace(-1, 1, 8) + noise * generator.normal(size=len(x))
    return parted(scale * x, (score > 0).astype(np.float32)[:, None], batch_size=batch_size)


def rare_class(samples: int = 16_384, *, batch_size: int = 64) -> Any:
    """Of 50 examples one is positive."""
    x, generator = drawn(samples, 8)
    score = x @ np.linspace(-1, 1, 8) + 0.3 * generator.normal(size=len(x))
    return parted(x, (score > np.quantile(score, 0.98)).astype(np.float32)[:, None], batch_size=batch_size)


def uncertain_examples(samples: int = 4096) -> Any:
    """Regression with a weight for each example: those with much noise weigh less."""
    x, generator = drawn(samples, 8)
    noise = generator.uniform(0.1, 1.0, len(x))
    y = x @ np.linspace(-1, 1, 8) + noise * generator.normal(size=len(x))
    return parted(x, y.astype(np.float32)[:, None], weights=(0.01 / noise**2).astype(np.float32))


def four_classes(samples: int = 4096, *, one_hot: bool = False, batch_size: int = 32) -> Any:
    x, generator = drawn(samples, 8)
    scores = x @ generator.normal(size=(8, 4))
    y = scores.argmax(axis=1)
    return parted(x, np.eye(4, dtype=np.float32)[y] if one_hot else y, batch_size=batch_size)


def five_labels(samples: int = 4096) -> Any:
    """Each example may have several."""
    x, generator = drawn(samples, 8)
    return parted(x, (x @ generator.normal(size=(8, 5)) > 0.5).astype(np.float32))


def of_low_rank(samples: int = 4096) -> Any:
    """Sixteen numbers that three numbers make; the inputs are the targets."""
    hidden, generator = drawn(samples, 3)
    x = (hidden @ generator.normal(size=(3, 16)) / np.sqrt(3)).astype(np.float32)
    return parted(x, x)


def stripes(samples: int = 2048, *, size: int = 8, batch_size: int = 32, noise: float = 0.5) -> Any:
    """Pictures of stripes, across or along."""
    x, generator = drawn(samples, size, size)
    y = generator.integers(0, 2, len(x))
    wave = np.where(np.arange(size) % 4 < 2, 1.0, -1.0)
    patterns = np.stack([np.tile(wave, (size, 1)), np.tile(wave[:, None], (1, size))])
    return parted((patterns[y] + noise * x)[..., None].astype(np.float32), y, batch_size=batch_size)


def squares(samples: int = 1024) -> Any:
    """Pictures with a bright square; the target is where it is, pixel by pixel."""
    x, generator = drawn(samples, 12, 12)
    rows, columns = generator.integers(0, 8, (2, len(x)))
    place = np.arange(12)
    is_in = (place >= rows[:, None]) & (place < rows[:, None] + 4)
    mask = is_in[:, :, None] & ((place >= columns[:, None]) & (place < columns[:, None] + 4))[:, None, :]
    return parted((2 * mask + 0.5 * x)[..., None].astype(np.float32), mask[..., None].astype(np.float32))


def colours(samples: int = 2048, *, size: int = 8, batch_size: int = 32) -> Any:
    """Pictures of 0 to 255, in which one of three colours is the brightest."""
    generator = np.random.default_rng(1)
    x = generator.uniform(0, 200, (samples + VALIDATION, size, size, 3))
    y = generator.integers(0, 3, len(x))
    x[np.arange(len(x)), :, :, y] += 55
    return parted(x.astype(np.float32), y, batch_size=batch_size)


def sentences(samples: int = 4096, *, words: int = 50, length: int = 12) -> Any:
    """Sentences of word numbers; half of the words speak for one class, half for the other."""
    generator = np.random.default_rng(2)
    x = generator.integers(1, words, (samples + VALIDATION, length), dtype=np.int32)
    return parted(x, (np.linspace(-1, 1, words)[x].sum(axis=1) > 0).astype(np.float32)[:, None])


def tides(samples: int = 2048) -> Any:
    """Sixteen moments of a wave; the target is the next one."""
    _, generator = drawn(0)
    begin, speed = (
        generator.uniform(0, 6, (samples + VALIDATION, 1)),
        generator.uniform(0.3, 0.6, (samples + VALIDATION, 1)),
    )
    waves = np.sin(begin + speed * np.arange(17))[..., None].astype(np.float32)
    return parted(waves[:, :-1], waves[:, -1])


def counts(samples: int = 4096) -> Any:
    """Counts whose logarithm is a weighted sum."""
    x, generator = drawn(samples, 8)
    return parted(x, generator.poisson(np.exp(x @ np.linspace(-0.6, 0.6, 8) + 1)).astype(np.float32)[:, None])


def outliers(samples: int = 4096) -> Any:
    """One target of 50 is far off."""
    data = curve(samples)
    for y in (data["y"], data["validation_data"][1]):
        y[::50] += 10 * np.random.default_rng(6).normal(size=y[::50].shape)
    return data


def of_scale(scale: float) -> Any:
    """Regression with targets of another scale."""
    data = curve()
    x, y = data["validation_data"]
    return {**data, "y": scale * data["y"], "validation_data": (x, scale * y)}


def rare_inputs(samples: int = 8192) -> Any:
    """Sixty-four inputs that are 0 or 1; one is set in 2 examples of 3, another in one of 100."""
    generator = np.random.default_rng(7)
    x = (generator.random((samples + VALIDATION, 64)) < np.geomspace(0.01, 0.67, 64)).astype(np.float32)
    return parted(x, (x @ generator.normal(size=(64, 1)) / 2).astype(np.float32))


def next_words(samples: int = 2048, *, words: int = 12, length: int = 16) -> Any:
    """Sequences in which a word says with 80 % what the next one is."""
    generator = np.random.default_rng(8)
    x = np.empty((samples + VALIDATION, length + 1), np.int32)
    x[:, 0] = generator.integers(0, words, len(x))
    for place in range(length):
        other = generator.integers(0, words, len(x))
        x[:, place + 1] = np.where(generator.random(len(x)) < 0.8, (5 * x[:, place] + 3) % words, other)
    return parted(x[:, :-1], x[:, 1:])


def rings(samples: int = 4096) -> Any:
    """Points on a ring; without targets."""
    noise, generator = drawn(samples, 2)
    angle = generator.uniform(0, 2 * np.pi, (len(noise), 1))
    x = (np.hstack([np.cos(angle), np.sin(angle)]) + 0.1 * noise).astype(np.float32)
    return parted(x, None, batch_size=64)


# --- Data for the kinds of model of tests/trainer/kinds.py ----------------------------------------------------------


def six(samples: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Return six numbers an example, as those kinds have them, and a weighted sum of them."""
    x, _ = drawn(samples, 6)
    x = 1 + 2 * x
    return x, ((x - 1) @ np.linspace(-1, 1, 6)[:, None] / 2).astype(np.float32)


def numbers(samples: int = 4096) -> Any:
    return parted(*six(samples))


def classes() -> Any:
    x, y = six()
    return {**parted(x, (y > 0).astype(np.float32)), "class_weight": {0: 1.0, 1: 2.5}}


def pairs() -> Any:
    """Two inputs for one layer, drawn alike."""
    x, _ = six()
    return parted([x[:, :3], x[:, 3:]], (x[:, :1] - x[:, 3:4]) / 2)


def several() -> Any:
    x, y = six()
    inputs = {"left": x[:, :4], "right": x[:, 2:]}
    targets = {"value": x[:, 2:3] / 2, "side": (y > 0).astype(np.float32)}
    weights = {"value": np.linspace(0, 2, len(x), dtype=np.float32), "side": np.ones(len(x), np.float32)}
    return parted(
        inputs, targets, weights={name: np.random.default_rng(4).permutation(w) for name, w in weights.items()}
    )


def short_sentences() -> Any:
    """Words of sentences of different lengths, zeros behind them; the target is the mean of the words."""
    generator = np.random.default_rng(2)
    x = generator.integers(1, 9, (4096 + VALIDATION, 7), dtype=np.int32)
    x[np.arange(7) >= generator.integers(2, 8, len(x))[:, None]] = 0
    return parted(x, (x.sum(axis=1, keepdims=True) / (x > 0).sum(axis=1, keepdims=True) - 4.5).astype(np.float32))


def moments(*, padded: bool = False) -> Any:
    """Six moments of three channels; the target is a sum of the first four."""
    x, _ = drawn(4096, 6, 3)
    if padded:
        x[::2, 4:] = 0.0
    return parted(x, x[:, :4, :1].sum(axis=1) / 2)


def endless() -> Any:
    data = numbers()
    x, y = data.pop("x"), data.pop("y")

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            for start in range(0, len(x), 32):
                yield x[start : start + 32], y[start : start + 32]

    data.pop("batch_size")
    return {**data, "x": batches(), "steps_per_epoch": 128, "shuffle": False}


class Endless(keras.utils.PyDataset):
    """Batches without an end."""

    def __init__(self) -> None:
        super().__init__()
        self.data = numbers()

    @property
    def num_batches(self) -> None:
        return None

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        start = index * 32 % 4096
        return self.data["x"][start : start + 32], self.data["y"][start : start + 32]


def endless_data_set() -> Any:
    data = Endless()
    held = data.data["validation_data"]
    return {"x": data, "steps_per_epoch": 128, "validation_data": held, "validation_batch_size": 32, "shuffle": False}


def data_set(*, length_is_known: bool = True) -> Any:
    data = numbers()
    batches = tf.data.Dataset.from_tensor_slices((data["x"], data["y"])).shuffle(4096)
    if not length_is_known:
        batches = batches.filter(lambda x, y: True)
    return {"x": batches.batch(32), "validation_data": data["validation_data"], "shuffle": False}
