"""What the first step under a mode showed: whether the variables did what the mode says."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tuimon.trainer.keras import keras_internals
from tuimon.trainer.keras.measuring.batch_norm import LayerArrays
from tuimon.trainer.keras.steps.modes import Mode
from tuimon.trainer.keras.watched_model import WatchedModel

MAXIMUM_BYTES = 256 * 1024 * 1024
"""Copies of frozen weights, to be compared after the step, take no more than this."""

_HELD_STATISTICS = ("moving_mean", "moving_variance")


@dataclass(frozen=True)
class Seen:
    """What was seen."""

    held: bool
    """Whether the variables did what the mode says."""
    detail: str
    """In words."""
    unexpected: list[str]
    """Paths of the layers that did otherwise."""


@dataclass(frozen=True)
class Before:
    """The variables before the first step under a mode."""

    arrays: dict[str, LayerArrays]
    """Of the BatchNormalization layers, by path."""
    weights: dict[str, list[Any]] = field(default_factory=dict)
    """Of the other layers that the mode freezes, by path."""


def look(instruments: WatchedModel, mode: Mode) -> Before:
    """Read what will be compared, before the first step under ``mode``."""
    weights: dict[str, list[Any]] = {}
    left = MAXIMUM_BYTES
    for path in instruments.frozen_weights(mode):
        variables = keras_internals.own_weights(instruments.layers[path])
        left -= sum(keras_internals.bytes_of(variable) for variable in variables)
        if left < 0:
            break
        weights[path] = [keras_internals.array(variable) for variable in variables]
    return Before(instruments.reader.read(), weights)


def compare(before: Before, instruments: WatchedModel, mode: Mode) -> Seen:
    """Return what the first step under ``mode`` showed."""
    momentum = dict(mode.momentum)
    held, moved, unexpected = 0, 0, []
    for path, arrays in instruments.reader.read().items():
        if path not in before.arrays:
            continue  # A layer that came into being with this step.
        layer_mode = instruments.traced_mode(path, mode)
        names = tuple(arrays) if layer_mode == "frozen" else _HELD_STATISTICS
        same = all(_equal(arrays[name], before.arrays[path][name]) for name in names)
        held, moved = held + same, moved + (not same)
        expects_same = layer_mode != "training" or momentum.get(path) == 1
        if same != expects_same:
            unexpected.append(path)
    changed = [path for path, arrays in before.weights.items() if not _unchanged(instruments.layers[path], arrays)]
    total = len(before.weights)
    parts = [_statistics(held, moved, ", gamma and beta" if instruments.frozen(mode) else "")] if held + moved else []
    parts += [f"weights of {total - len(changed)}/{total} other layers unchanged"] if total else []
    return Seen(not unexpected and not changed, "; ".join(parts), unexpected + changed)


def _statistics(held: int, moved: int, also: str) -> str:
    total = held + moved
    if not held:
        return f"moving statistics of {moved}/{total} layers moved"
    unchanged = f"moving statistics{also} of {held}/{total} layers unchanged"
    return unchanged + (f", of {moved} moved" if moved else "")


def _unchanged(layer: Any, arrays: list[Any]) -> bool:
    now = map(keras_internals.array, keras_internals.own_weights(layer))
    return all(new.tobytes() == old.tobytes() for new, old in zip(now, arrays, strict=True))


def _equal(left: Any, right: Any) -> bool:
    return left is right or bool(np.array_equal(left, right, equal_nan=True))
