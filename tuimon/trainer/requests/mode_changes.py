"""From a request to the mode that it asks for, or to the reason why it cannot be."""

import fnmatch
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from tuimon.protocol import commands
from tuimon.text import plain
from tuimon.trainer.keras import keras_internals
from tuimon.trainer.keras.steps.modes import Mode
from tuimon.trainer.keras.watched_model import WatchedModel

ModeRequest = commands.Freeze | commands.Unfreeze | commands.Phase | commands.Momentum
"""The requests that change nothing but the mode."""

_SHOWN_NAMES = 5


class RejectedError(Exception):
    """A request cannot be taken; says why, in words."""


def changed(mode: Mode, request: ModeRequest, instruments: WatchedModel) -> Mode:
    """Return ``mode`` with what is asked.

    Raises:
        RejectedError: it names no layer, or cannot be.
    """
    match request:
        case commands.Phase():
            return replace(mode, phase=request.phase)
        case commands.Momentum():
            return _with_momentum(mode, request, instruments)
        case commands.Freeze(weights=True):
            new = replace(mode, frozen=mode.frozen | _within(matched(request, instruments), instruments))
        case commands.Freeze(statistics=True):
            paths = set(matched(request, instruments)) - set(instruments.users_frozen)
            new = replace(mode, statistics=mode.statistics | paths, frozen=mode.frozen - paths)
        case commands.Freeze():
            paths = set(matched(request, instruments)) - set(instruments.users_frozen)
            new = replace(mode, frozen=mode.frozen | paths)
        case commands.Unfreeze():
            new = _thawed(mode, request, instruments)
    if new.frozen > mode.frozen and not _trained(new, instruments):
        raise RejectedError("no weight would be left to train")
    return new


def matched(request: commands.Freeze | commands.Unfreeze | commands.Momentum, instruments: WatchedModel) -> list[str]:
    """Return the paths of the layers that a request names, in the order of its globs.

    Raises:
        RejectedError: one of them names no layer.
    """
    if getattr(request, "weights", False):
        paths = [path for path, layer in instruments.layers.items() if layer.variables]
        kind = "layer with weights"
    else:
        paths, kind = list(instruments.reader.layers), "BatchNormalization layer"
        if not paths:
            raise RejectedError("this model has no BatchNormalization layers")
    return _match(request.layers, paths, kind)


def _with_momentum(mode: Mode, request: commands.Momentum, instruments: WatchedModel) -> Mode:
    momentum = dict(mode.momentum)
    for path in matched(request, instruments):
        # What the user has set needs no help of ours, and no trace.
        if request.momentum == float(instruments.reader.layers[path].momentum):
            momentum.pop(path, None)
        else:
            momentum[path] = request.momentum
    return replace(mode, momentum=frozenset(momentum.items()))


def _thawed(mode: Mode, request: commands.Unfreeze, instruments: WatchedModel) -> Mode:
    paths = matched(request, instruments)
    if request.statistics:
        return replace(mode, statistics=mode.statistics - set(paths))
    if request.weights:
        wanted = _within(paths, instruments)
        users = {path for path in wanted if instruments.flags.has_frozen_weights(instruments.layers[path])}
    else:
        wanted, users = frozenset(paths), set(instruments.users_frozen)
    if wanted and wanted <= users:
        if any(instruments.flags.was_changed(instruments.layers[path]) for path in wanted):
            raise RejectedError(
                "these layers were frozen when the step was traced, and setting trainable=True since has no effect: "
                "compile the model anew"
            )
        raise RejectedError(
            "these layers were frozen before training, so the optimizer does not know their weights: "
            "set trainable=True before compile"
        )
    return replace(mode, frozen=mode.frozen - wanted, statistics=mode.statistics - wanted)


def _within(paths: Iterable[str], instruments: WatchedModel) -> frozenset[str]:
    """Return these layers and every layer in them."""
    wanted = {id(inner) for path in paths for inner in keras_internals.flatten_layers(instruments.layers[path])}
    return frozenset(path for path, layer in instruments.layers.items() if id(layer) in wanted)


def _trained(mode: Mode, instruments: WatchedModel) -> bool:
    frozen = {
        id(variable)
        for path in mode.frozen
        if path in instruments.layers
        for variable in keras_internals.own_weights(instruments.layers[path])
    }
    return any(id(variable) not in frozen for variable in instruments.flags.trained())


def _match(patterns: Sequence[str], paths: Collection[str], kind: str) -> list[str]:
    if not patterns:
        return list(paths)
    found: list[str] = []
    for pattern in patterns:
        matching = [path for path in paths if _matches(path, pattern)]
        if not matching:
            names = ", ".join([*paths][:_SHOWN_NAMES]) + (", …" if len(paths) > _SHOWN_NAMES else "")
            raise RejectedError(f"no {kind} matches {plain(pattern)!r}; there are {plain(names)}")
        found += matching
    return list(dict.fromkeys(found))


def _matches(path: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)
