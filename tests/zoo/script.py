"""What a script of the zoo is: a training as users write it, which is run with and without a Monitor.

The scripts are in the other modules of this folder. None of them knows tuimon: without a Monitor, they are plain Keras.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

Play = Callable[["Callbacks"], Iterator[keras.Model]]
"""Trains, and yields the model after each part whose outcome is to be compared."""


class Callbacks:
    """The callbacks of the Monitor's side: empty, or one Monitor.

    Args:
        make: Makes a Monitor; None: the script runs without.
    """

    def __init__(self, make: Callable[[], Any] | None = None) -> None:
        self.make = make
        self.made = [] if make is None else [make()]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.made)

    def __len__(self) -> int:
        return len(self.made)

    def another(self) -> "Callbacks":
        """Return other callbacks, as for a second ``fit`` that has a new Monitor."""
        return Callbacks(self.make)


@dataclass(frozen=True, kw_only=True)
class Script:
    """One script of the zoo, and what a Monitor must have recorded of it."""

    name: str
    play: Play
    steps: Sequence[int]
    """The last step of each run, in the order in which they began."""
    status: str
    """How the runs ended."""
    notes: Sequence[str]
    """What the log must say: beginnings or parts of notes."""
    data_fail: bool
    """Whether its data raise. tuimon may have read that batch ahead of the step. Then the exception comes from there:
    its text does not name the step's graph, and the step counted and drew nothing before it failed."""


SCRIPTS: dict[str, Script] = {}


def script(
    *steps: int, status: str = "finished", notes: Sequence[str] = (), data_fail: bool = False
) -> Callable[[Play], Play]:
    """Enter a function into the table.

    Args:
        steps: The last step of each run that a Monitor records.
        status: How the runs end.
        notes: What the log says about it.
        data_fail: Whether its data raise.
    """

    def enter(play: Play) -> Play:
        name = play.__name__.replace("_", " ")
        assert name not in SCRIPTS, f"two scripts of one name: {name}"
        SCRIPTS[name] = Script(name=name, play=play, steps=steps, status=status, notes=notes, data_fail=data_fail)
        return play

    return enter


def numbers(samples: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Return samples of 6 numbers with one label each."""
    generator = np.random.default_rng(0)
    x = generator.normal(1.0, 2.0, (samples, 6)).astype("float32")
    return x, (x[:, :1] * x[:, 1:2] > 1).astype("float32")


def network() -> keras.Model:
    """Return a small classifier, not compiled."""
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.25),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def classifier(**options: Any) -> keras.Model:
    """Return the small classifier, compiled as most scripts do it."""
    model = network()
    model.compile(**{"optimizer": "adam", "loss": "binary_crossentropy", "metrics": ["accuracy"], **options})
    return model


def fast() -> keras.Model:
    """Return the small classifier, compiled so that its step is traced fast."""
    return classifier(optimizer="sgd", jit_compile=False)
