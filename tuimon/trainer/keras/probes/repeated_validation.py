"""Repeats a validation whose loss stood out, once as it was and once with batch statistics, to see why it did."""

import time
from typing import Any

import numpy as np
import tensorflow as tf

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, to_wire
from tuimon.trainer.keras import keras_internals
from tuimon.trainer.keras.measuring import evaluation
from tuimon.trainer.keras.probes.measure import Probes
from tuimon.trainer.keras.steps.modes import Mode

HIGHEST = 0.01
"""The share of the examples that is left out to see whether a few carry the loss."""


def why_not(model: Any) -> str:
    """Return why the validation of the ``fit`` that runs is not repeated unless somebody asks; empty where it can be.

    Only where the data come again the same, and their next coming is not changed by it: the run's own numbers stay what
    they are.
    """
    if not keras_internals.validation_comes_again(model):
        return "its data may come in another order, or as others, when they are read again"
    if keras_internals.has_own_test_step(model):
        return "the model's test_step is its own: which loss it has is not known"
    return ""


def repeat(model: Any, probes: Probes, mode: Mode, metric: str, value: float) -> events.ValidationRepeated | None:
    """Repeat the validation of the ``fit`` that runs; changes nothing. None where there is none, or no probe was made.

    Args:
        model: The model.
        probes: Makes the passes.
        mode: The mode in force.
        metric: What stood out, by its name in Keras' logs.
        value: How much it was.
    """
    if not probes.has_probed(mode):
        return None
    started = time.monotonic()
    sums: dict[bool, float] = {False: 0.0, True: 0.0}
    counts, examples = 0, _Examples()
    switches = [False, True] if probes.switches(mode) else [False]
    steps = int(model.steps_per_execution or 1)

    def look(iterator: Any) -> dict[str, Any]:
        nonlocal counts
        for number in range(steps):
            try:
                batch = next(iterator)
            except (StopIteration, tf.errors.OutOfRangeError):
                if not number:
                    raise  # So Keras learns where data end whose length nobody knew.
                break
            for switched in switches:
                one = probes.validate(batch, mode, switched=switched)
                sums[switched] += one.loss * one.size
                if not switched:
                    counts += one.size
                    examples.add(one.losses)
        return {}

    def before_step() -> None:
        undo.append(keras_internals.set_untracked(model, "test_function", look)) if not undo else None

    undo: list[Any] = []
    try:
        if evaluation.evaluate(model, before_step) is None or not counts:
            return None
    finally:
        for put_back in undo:
            put_back()
    examples.forget_unless(sums[False] / counts)
    highest, without = examples.without_highest()
    return events.ValidationRepeated(
        metric=metric,
        value=to_wire(value),
        moving=to_wire(sums[False] / counts),
        batch=to_wire(sums[True] / counts) if True in switches else None,
        examples=examples.count,
        highest=highest,
        without_highest=to_wire(without),
        seconds=time.monotonic() - started,
    )


class _Examples:
    """The losses of single examples, as long as they are known."""

    def __init__(self) -> None:
        self._losses: list[FloatArray] | None = []

    @property
    def count(self) -> int | None:
        return None if self._losses is None else sum(map(len, self._losses))

    def add(self, losses: FloatArray | None) -> None:
        if losses is None or self._losses is None:
            self._losses = None
        else:
            self._losses.append(losses)

    def forget_unless(self, mean: float) -> None:
        """Keep them only where they are what the loss is made of: no weights, no regularisation, no other reduction."""
        if self._losses and not np.isclose(np.mean(np.concatenate(self._losses)), mean, rtol=1e-4, atol=1e-6):
            self._losses = None

    def without_highest(self) -> tuple[int, float | None]:
        """Return how many the highest are, and the mean of the others."""
        if not self._losses:
            return 0, None
        ordered = np.sort(np.concatenate(self._losses))
        highest = max(1, round(HIGHEST * len(ordered)))
        return highest, float(np.mean(ordered[:-highest])) if len(ordered) > highest else None
