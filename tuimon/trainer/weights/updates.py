"""Measures how far a step moves the weights of each layer, as a share of their size."""

import time

import numpy as np
import numpy.typing as npt

from tuimon.protocol import events
from tuimon.protocol.wire import to_wire
from tuimon.trainer.budget import Budget
from tuimon.trainer.engine import Data, Engine, FitFacts
from tuimon.trainer.sampling import Sampling
from tuimon.trainer.session.recorder import Recorder

MOST_BYTES = 256 * 1024**2
"""Weights that are copied before a step and compared after it; a model with more is not measured."""

Weights = dict[str, list[npt.NDArray[np.generic]]]
"""Weights of each layer by path."""


class WeightUpdates:
    """Compares the weights before and after a step of one ``fit``, in its training thread.

    It measures the last step of an epoch, if the budget allows it, and that of the last of several epochs in any case:
    the closing examination comes right after it. Where gradients are accumulated, it measures nothing.

    Args:
        recorder: Writes the facts.
        engine: The model.
        budget: Limits the cost.
        sampling: Knows the position in the epoch.
    """

    def __init__(self, recorder: Recorder, engine: Engine, budget: Budget, sampling: Sampling) -> None:
        self._recorder = recorder
        self._engine = engine
        self._budget = budget
        self._sampling = sampling
        self._updates_each_step = True
        self._fact: events.WeightUpdates | None = None

    def describe(self, facts: FitFacts) -> None:
        """Take the facts of the ``fit``."""
        self._updates_each_step = facts.updates_each_step

    def before_last_step(self) -> None:
        """Measure the coming step, the last of an epoch, if it is time."""
        is_due = self._sampling.is_last_of_epochs or self._budget.allows("weights", time.monotonic())
        # A call of several steps would tell their sum.
        is_one = self._engine.steps.steps_per_call == 1 and self._updates_each_step
        if is_due and is_one and self._size() <= MOST_BYTES:
            self._engine.steps.before_next(self._begin)

    def end_epoch(self) -> None:
        """Record what was measured."""
        if self._fact is not None:
            self._recorder.record(self._fact)
            self._fact = None

    def _size(self) -> int:
        layers = self._engine.layers
        return sum(layers.weight_bytes(path) for path in layers.weighted)

    def _begin(self, data: Data) -> None:
        del data
        with self._budget.charged("weights"):
            before = self._read()
        self._engine.steps.after_next(lambda: self._end(before))

    def _end(self, before: Weights) -> None:
        with self._budget.charged("weights"):
            after = self._read()
            shares = {path: _share_moved(before[path], after[path]) for path in before if path in after}
            self._fact = events.WeightUpdates(layers={path: to_wire(share) for path, share in shares.items()})

    def _read(self) -> Weights:
        """Return copies of the weights of each layer that the step may train."""
        layers, mode = self._engine.layers, self._engine.steps.mode
        paths = (path for path in layers.weighted if path not in mode.frozen and not layers.is_frozen_by_user(path))
        return {path: list(layers.read_weights(path)) for path in paths if layers.weight_bytes(path)}


def _share_moved(before: list[npt.NDArray[np.generic]], after: list[npt.NDArray[np.generic]]) -> float | None:
    """Return the norm of the difference as a share of the norm; None if the weights are all 0."""
    moved = sum(float(np.sum((_wide(one) - _wide(other)) ** 2)) for one, other in zip(after, before, strict=True))
    size = sum(float(np.sum(_wide(one) ** 2)) for one in before)
    return float(np.sqrt(moved / size)) if size else None


def _wide(array: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    return np.asarray(array, np.float64)
