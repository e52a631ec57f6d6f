"""Checks the first step under a mode: whether the variables changed, or stayed, as the mode says."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from tuimon.trainer.batch_norm import LayerArrays
from tuimon.trainer.engine import Layers, frozen_weights
from tuimon.trainer.modes import Mode

MAXIMUM_COPIED_BYTES = 256 * 1024 * 1024
"""Memory limit of the copies of frozen weights."""

_HELD_STATISTICS = ("moving_mean", "moving_variance")


class Seen(Struct, frozen=True):
    """The result of a comparison."""

    held: bool
    """True if all variables did what the mode says."""
    detail: str
    """The counts in words."""
    unexpected: list[str]
    """Paths of the layers that did not."""


class Before(Struct, frozen=True):
    """The variables before the first step under a mode."""

    arrays: dict[str, LayerArrays]
    """Arrays of the BatchNormalization layers, by path."""
    weights: dict[str, Sequence[npt.NDArray[Any]]] = field(default_factory=dict)
    """Weights of the other layers that the mode freezes, by path."""


def look(layers: Layers, mode: Mode) -> Before:
    """Read the variables to compare, before the first step under ``mode``."""
    weights: dict[str, Sequence[npt.NDArray[Any]]] = {}
    left = MAXIMUM_COPIED_BYTES
    for path in frozen_weights(layers, mode):
        left -= layers.weight_bytes(path)
        if left < 0:
            break
        weights[path] = layers.read_weights(path)
    return Before(layers.read(), weights)


def compare(before: Before, layers: Layers, mode: Mode) -> Seen:
    """Compare the variables after the first step under ``mode`` with those before it."""
    momentum = dict(mode.momentum)
    unexpected = []
    frozen_layers, others = Tally(), Tally()
    for path, arrays in layers.read().items():
        if path not in before.arrays:
            continue  # This step created the layer.
        computes = layers.computes(path, mode)
        names = tuple(arrays) if computes == "frozen" else _HELD_STATISTICS
        same = all(_equal(arrays[name], before.arrays[path][name]) for name in names)
        (frozen_layers if computes == "frozen" else others).add(same)
        expects_same = computes != "training" or momentum.get(path) == 1
        if same != expects_same:
            unexpected.append(path)
    changed = [path for path, arrays in before.weights.items() if not _unchanged(layers.read_weights(path), arrays)]
    weights = Tally(len(before.weights) - len(changed), len(changed))
    total = frozen_layers.total + others.total
    parts = [
        *frozen_layers.words("moving statistics, gamma and beta", "layer", total),
        *others.words("moving statistics", "layer", total),
        *weights.words("weights", "other layer", weights.total),
    ]
    return Seen(not unexpected and not changed, "; ".join(parts), unexpected + changed)


class Tally(Struct):
    """How many layers a step left as they were, and how many it changed."""

    same: int = 0
    """Layers whose variables stayed the same."""
    changed: int = 0
    """Layers of which a variable changed."""

    @property
    def total(self) -> int:
        """All layers."""
        return self.same + self.changed

    def add(self, same: bool) -> None:
        """Count one layer."""
        self.same, self.changed = self.same + same, self.changed + (not same)

    def words(self, what: str, noun: str, total: int) -> Iterator[str]:
        """Yield what was seen, in words.

        Example:
            >>> list(Tally(1, 2).words("moving statistics", "layer", 3))
            ['moving statistics of 1 layer stayed the same', 'moving statistics of 2 layers changed']
            >>> list(Tally(3).words("moving statistics", "layer", 3))
            ['moving statistics of all 3 layers stayed the same']
        """
        for count, verb in ((self.same, "stayed the same"), (self.changed, "changed")):
            if count:
                every = "all " if count == total > 1 else ""
                yield f"{what} of {every}{count} {noun}{'' if count == 1 else 's'} {verb}"


def _unchanged(now: Sequence[npt.NDArray[Any]], arrays: Sequence[npt.NDArray[Any]]) -> bool:
    return all(new.tobytes() == old.tobytes() for new, old in zip(now, arrays, strict=True))


def _equal(left: Any, right: Any) -> bool:
    return left is right or bool(np.array_equal(left, right, equal_nan=True))
