"""Undo: the requests that restore what was in force before another request. Pure."""

import glob
import math
from collections.abc import Collection, Iterator, Mapping

import numpy as np
from msgspec import Struct, convert

from tuimon.protocol.commands import AnyRequest, Freeze, LearningRate, Momentum, Phase, Unfreeze
from tuimon.protocol.values import SCHEDULE_SET_ASIDE
from tuimon.runs.state import Command, RunState
from tuimon.text import plain
from tuimon.ui.viewer.moment import Moment

_CHANGING = frozenset(("freeze", "unfreeze", "phase", "momentum", "lr", "rollback", "recalibrate"))
"""Requests that change what is in force, or what was learned, by their names on the wire."""


class NothingToUndoError(Exception):
    """Nothing can be undone now; the message says why."""


class Undo(Struct, frozen=True):
    """A request that was applied, and the requests that undo it."""

    command: Command
    """The request that was applied."""
    requests: tuple[AnyRequest, ...]
    """At least one request, in the order in which they are asked."""


def newest_undoable(moment: Moment) -> Command | None:
    """Return the newest request that changed what is in force and is not being taken back already; None without one."""
    undoing = {asked.undoes for asked in moment.asked}
    return next((command for command in reversed(moment.state.undoable) if command.seq not in undoing), None)


def newest_undo(moment: Moment) -> Undo:
    """Return the undo of the newest request that changed what is in force, whoever asked for it.

    Raises:
        NothingToUndoError: there is no such request, or it cannot be undone.
    """
    for asked in reversed(moment.asked):
        if asked.undoes is None and asked.command in _CHANGING:
            raise NothingToUndoError(f"“{plain(asked.words, 100)}” has no answer yet")
    command = newest_undoable(moment)
    if command is None:
        raise NothingToUndoError("no request has changed anything that is still so")
    if command.is_final:
        raise NothingToUndoError(f"“{plain(command.words, 100)}” cannot be undone, it changed the weights themselves")
    return Undo(command, tuple(_way_back(command, moment.state)))


def _way_back(command: Command, state: RunState) -> Iterator[AnyRequest]:
    # Later requests are undone already, or will be by then: the way back starts at `after`.
    before, after = command.before, command.after
    if isinstance(command.request, LearningRate):
        yield _learning_rate(command, command.request)
        return
    if before.phase != after.phase:
        yield convert({"command": "phase", "phase": before.phase}, Phase)
    was_unfrozen = False
    if new := after.frozen_weights - before.frozen_weights:
        # The globs of the request also name layers around others, which no fact lists.
        request = command.request
        globs = request.layers if isinstance(request, Freeze) and request.weights else _escaped(new)
        yield Unfreeze(weights=True, layers=globs)
        was_unfrozen = True
    if before.frozen_weights and before.frozen_weights != after.frozen_weights:
        yield Freeze(weights=True, layers=_escaped(before.frozen_weights))
    yield from _holds(command, state, was_unfrozen=was_unfrozen)
    for value, paths in _momentum(before.momentum, after.momentum, state.layers).items():
        yield Momentum(momentum=value, layers=_named(paths, state))


def _holds(command: Command, state: RunState, *, was_unfrozen: bool) -> Iterator[AnyRequest]:
    """Yield the requests that freeze, hold, unhold and unfreeze BatchNormalization layers.

    `freeze` leaves alone whether statistics are held; `freeze` with `statistics` unfreezes; `unfreeze` does both.
    """
    before, after = command.before, command.after
    unfrozen, unheld, held, frozen = [], [], [], []
    for path in state.layers:
        wanted = path in before.frozen, path in before.statistics_held
        now = (False, False) if was_unfrozen else (path in after.frozen, path in after.statistics_held)
        if wanted == now:
            continue
        if wanted == (False, False):
            unfrozen.append(path)
            continue
        if now[1] and not wanted[1]:
            unheld.append(path)
        hold = wanted[1] and (not now[1] or (now[0] and not wanted[0]))
        if hold:
            held.append(path)
        if wanted[0] and (hold or not now[0]):
            frozen.append(path)
    if unfrozen:
        yield Unfreeze(layers=_named(unfrozen, state))
    if unheld:
        yield Unfreeze(layers=_named(unheld, state), statistics=True)
    if held:
        yield Freeze(layers=_named(held, state), statistics=True)
    if frozen:
        yield Freeze(layers=_named(frozen, state))


def _learning_rate(command: Command, request: LearningRate) -> AnyRequest:
    has_schedule = command.detail == SCHEDULE_SET_ASIDE or request.learning_rate is None
    if has_schedule and not command.before.own_learning_rate:
        return LearningRate(learning_rate=None)
    rate = command.before.learning_rate
    if rate is None or not 0 < rate < math.inf:
        raise NothingToUndoError(f"what the learning rate was before “{plain(command.words, 100)}” is not known")
    # Keras keeps it in 32 bits: the shortest number that is the same there is the one that was meant.
    return LearningRate(learning_rate=float(str(np.float32(rate))))


def _momentum(
    before: Mapping[str, float], after: Mapping[str, float], paths: Collection[str]
) -> dict[float, list[str]]:
    """Return the momentums to restore, each with its layers."""
    wanted: dict[float, list[str]] = {}
    for path in paths:
        if path in before and before[path] != after.get(path):
            wanted.setdefault(before[path], []).append(path)
    return wanted


def _named(paths: Collection[str], state: RunState) -> list[str]:
    """Return globs for BatchNormalization layers; none for all, as requests have it."""
    return [] if set(paths) == set(state.layers) else _escaped(paths)


def _escaped(paths: Collection[str]) -> list[str]:
    # A path may hold what a glob would interpret.
    return [glob.escape(path) for path in sorted(paths)]
