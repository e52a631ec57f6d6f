"""Turns a request into the mode that it asks for, or rejects it with the reason."""

import fnmatch
from collections.abc import Collection, Sequence

from msgspec.structs import replace

from tuimon.protocol import commands
from tuimon.text import plain
from tuimon.trainer.engine import Layers, users_frozen
from tuimon.trainer.modes import Mode
from tuimon.trainer.requests.rejected import RejectedError

ModeRequest = commands.Freeze | commands.Unfreeze | commands.Phase | commands.Momentum
"""The requests that only change the mode."""

_SHOWN_NAMES = 5


def changed(mode: Mode, request: ModeRequest, layers: Layers) -> Mode:
    """Return ``mode`` with the change that a request asks for.

    Raises:
        RejectedError: The request names no layer, or no step can do what it asks.
    """
    match request:
        case commands.Phase():
            return replace(mode, phase=request.phase)
        case commands.Momentum():
            return _with_momentum(mode, request, layers)
        case commands.Freeze(weights=True):
            new = replace(mode, frozen=mode.frozen | layers.within(matched(request, layers)))
        case commands.Freeze(statistics=True):
            paths = set(matched(request, layers)) - set(users_frozen(layers))
            new = replace(mode, statistics=mode.statistics | paths, frozen=mode.frozen - paths)
        case commands.Freeze():
            paths = set(matched(request, layers)) - set(users_frozen(layers))
            new = replace(mode, frozen=mode.frozen | paths)
        case commands.Unfreeze():
            new = _unfrozen(mode, request, layers)
    if new.frozen > mode.frozen and not layers.leaves_weights_to_train(new):
        raise RejectedError("no weight would be left to train")
    return new


def matched(request: commands.Freeze | commands.Unfreeze | commands.Momentum, layers: Layers) -> list[str]:
    """Return the paths of the layers that a request names, in the order of its globs.

    Raises:
        RejectedError: A glob matches no layer.
    """
    if getattr(request, "weights", False):
        paths, kind = list(layers.weighted), "layer with weights"
    else:
        paths, kind = list(layers.batch_norm), "BatchNormalization layer"
        if not paths:
            raise RejectedError("this model has no BatchNormalization layers")
    return _match(request.layers, paths, kind)


def _with_momentum(mode: Mode, request: commands.Momentum, layers: Layers) -> Mode:
    momentum = dict(mode.momentum)
    for path in matched(request, layers):
        # The user's own momentum is in force without a mode, and without a trace.
        if request.momentum == layers.batch_norm[path].momentum:
            momentum.pop(path, None)
        else:
            momentum[path] = request.momentum
    return replace(mode, momentum=frozenset(momentum.items()))


def _unfrozen(mode: Mode, request: commands.Unfreeze, layers: Layers) -> Mode:
    paths = matched(request, layers)
    if request.statistics:
        return replace(mode, statistics=mode.statistics - set(paths))
    if request.weights:
        wanted = layers.within(paths)
        users = {path for path in wanted if layers.is_frozen_by_user(path)}
    else:
        wanted, users = frozenset(paths), set(users_frozen(layers))
    if wanted and wanted <= users:
        if not wanted.isdisjoint(layers.flags_without_effect):
            raise RejectedError(
                "compile the model anew: these layers were frozen when the step was traced, and setting "
                "trainable=True since has no effect"
            )
        raise RejectedError(
            "set trainable=True before compile: these layers were frozen before training, so the optimizer does "
            "not know their weights"
        )
    return replace(mode, frozen=mode.frozen - wanted, statistics=mode.statistics - wanted)


def _match(patterns: Sequence[str], paths: Collection[str], kind: str) -> list[str]:
    if not patterns:
        return list(paths)
    found: list[str] = []
    for pattern in patterns:
        matching = [path for path in paths if _matches(path, pattern)]
        if not matching:
            names = ", ".join([*paths][:_SHOWN_NAMES]) + (", …" if len(paths) > _SHOWN_NAMES else "")
            raise RejectedError(
                f"no {kind} matches {plain(pattern)!r}; there are {plain(names)}{_wider(pattern, paths)}"
            )
        found += matching
    return list(dict.fromkeys(found))


def _wider(pattern: str, paths: Collection[str]) -> str:
    """Return a pattern that matches layers with these letters in their names; empty where there are none."""
    wider = f"*{pattern}*"
    matching = sum(_matches(path, wider) for path in paths)
    return f"; {plain(wider)!r} matches {matching} of them" if matching else ""


def _matches(path: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)
