"""A run's applied requests as standing orders, each at its exact step, so that the run can be made again.

The file is TOML, with the orders in `orders` of the table `[monitor]`. `tuimon.Monitor(orders=PATH)` reads it, and
`schedule = PATH` in a config. The same script with the same seed then trains the same weights.

Only what changes training is in it: freezing, the learning phase, momentum, the learning rate, recalibrations, the
number of epochs, stops, rollbacks, and the checkpoints that these go back to. Of validations outside of an epoch there
are those that were asked for: of a `tf.data` set that shuffles itself they change the order of later ones.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import tomlkit

from tuimon.atomic_file import whole_file
from tuimon.errors import UsageError
from tuimon.numbers import count
from tuimon.protocol import commands, events, orders
from tuimon.protocol.orders import AtStep, StandingOrder, Trigger
from tuimon.runs.log.session_log import Tail
from tuimon.runs.orders import Orders
from tuimon.runs.run_directory import RunDirectory
from tuimon.text import plain

_EXPORTED = (
    commands.Freeze
    | commands.Unfreeze
    | commands.Phase
    | commands.Momentum
    | commands.LearningRate
    | commands.Recalibrate
    | commands.Rollback
    | commands.Evaluate
    | commands.Epochs
    | commands.Stop
)
_OF_A_RETREAT = "retreat-"
"""Begins the ids of facts that answer no request."""


def export(run: RunDirectory, out: str, stdout: TextIO | None = None) -> None:
    """Write a run's schedule to the file ``out``, whole or not at all; ``-``: to stdout.

    Args:
        run: The run.
        out: A path, or ``-``.
        stdout: Takes the lines for ``-``; by default that of the process.

    Raises:
        UsageError: The run cannot be made again that way; says why.
        OSError: The log cannot be read, or the file not written.
    """
    path = Path(out)
    if out != "-" and path.is_dir():
        raise IsADirectoryError(out)
    try:
        text = _toml(run.name, schedule(Tail(run.session_log).read_all()))
    except ValueError as error:
        raise UsageError(f"{run.name}: a schedule cannot make this run again: {error}") from None
    if out == "-":
        (stdout or sys.stdout).write(text)
        return
    with whole_file(path) as file:
        file.write(text)


def schedule(facts: Iterable[events.AnyEvent]) -> list[str]:
    """Return the orders that make a run again, in the order of its log.

    Raises:
        ValueError: They would not; says why.
    """
    made = _Made()
    for fact in facts:
        made.add(fact)
    return made.orders()


class _Made:
    """What was made of a run's steps, fact by fact."""

    def __init__(self) -> None:
        self._requests: list[tuple[int, int, commands.AnyRequest]] = []
        self._saved: dict[int, str] = {}
        self._reasons: dict[str, str] = {}
        self._taken: dict[str, int] = {}
        self._fired: dict[str, int] = {}
        self._newest_saved = ""
        self._orders = Orders()
        self._rolled_back: events.RolledBack | None = None
        self._epoch_first_step = self._next_first_step = 0

    def orders(self) -> list[str]:
        """Return the orders."""
        # Answers come in another order: a mode's with the step, a checkpoint's when it is on disk.
        made = sorted(self._requests, key=lambda asked: asked[:2])
        return [orders.spell(StandingOrder(AtStep(step), request)) for step, _, request in made]

    def add(self, fact: events.AnyEvent) -> None:
        """Take in a fact."""
        self._orders.add(fact)
        match fact:
            case events.RunStarted(source=source) if source:
                raise ValueError("it is read from a log of another program, or an export, which has no requests")
            case events.EpochEnded():
                self._epoch_first_step, self._next_first_step = self._next_first_step, fact.step
            case events.OrderFired():
                self._fired[fact.request] = fact.number
            case events.CheckpointSaved():
                self._newest_saved = fact.name
                self._reasons[fact.name] = fact.reason
            case events.RolledBack():
                self._rolled_back = fact
            case events.RunResumed() if fact.lost_steps or fact.repeated_steps:
                raise ValueError(
                    f"it was resumed from {plain(fact.checkpoint, 100)}, with {count(fact.lost_steps)} steps lost and "
                    f"{count(fact.repeated_steps)} repeated"
                )
            case events.LogGap() if "command_applied" in fact.dropped:
                raise ValueError("answers to requests are missing from its log")
            case events.CommandApplied() if not fact.id.startswith(_OF_A_RETREAT):
                self._add_request(fact)

    def _add_request(self, fact: events.CommandApplied) -> None:
        request, step = commands.from_fact(fact.request), fact.first_step
        if isinstance(request, commands.UnknownRequest):
            raise ValueError(f"it has a request that this version does not know: {plain(request.command, 60)!r}")
        if not isinstance(request, _EXPORTED) or getattr(request, "dry_run", False):
            if isinstance(request, commands.Checkpoint):
                # Its answer follows the fact.
                self._taken[self._newest_saved] = fact.taken
            return
        if isinstance(request, commands.Stop) and step == self._next_first_step and self._is_of_epoch_end(fact.id):
            # An order fired at the end of the epoch, where no step follows.
            request, step = commands.Stop(after="epoch"), self._epoch_first_step
        if isinstance(request, commands.Rollback):
            request = self._rollback()
        self._requests.append((step, fact.taken, request))

    def _is_of_epoch_end(self, identity: str) -> bool:
        """Return True if a request was made by an order that can fire at the end of an epoch."""
        trigger = self._trigger(self._fired.get(identity, 0))
        return trigger is not None and not _is_before_step(trigger)

    def _trigger(self, number: int) -> Trigger | None:
        given = self._orders.all.get(number)
        return given.order.trigger if given is not None and given.order is not None else None

    def _rollback(self) -> commands.Rollback:
        rolled_back, self._rolled_back = self._rolled_back, None
        if rolled_back is None:
            raise ValueError("its log does not say where a rollback went")
        reason = self._reasons.get(rolled_back.checkpoint, "")
        name, _, number = reason.partition(" ")
        trigger = self._trigger(int(number)) if name == "order" and number.isdecimal() else None
        if reason != "asked" and not (trigger is not None and _is_before_step(trigger)):
            raise ValueError(
                f"it was rolled back to {plain(rolled_back.checkpoint, 100)}, which was not saved by a request before "
                f"a step ({plain(reason, 60) or 'not known why'})"
            )
        if rolled_back.to_step not in self._saved:
            self._saved[rolled_back.to_step] = rolled_back.checkpoint
            taken = self._taken.get(rolled_back.checkpoint, 0)
            self._requests.append((rolled_back.to_step, taken, commands.Checkpoint()))
        if self._saved[rolled_back.to_step] != rolled_back.checkpoint:
            raise ValueError(f"it was rolled back to two checkpoints of step {count(rolled_back.to_step)}")
        return commands.Rollback(checkpoint=f"step-{rolled_back.to_step:08d}.npz")


def _is_before_step(trigger: Trigger) -> bool:
    """Return True if the order fires right before a step, as a request does; else an epoch may just have ended."""
    if isinstance(trigger, orders.After):
        return trigger.unit == "steps"
    return isinstance(trigger, orders.Now | orders.AtStep | orders.AtEpoch)


def _toml(name: str, texts: list[str]) -> str:
    document = tomlkit.document()
    document.add(tomlkit.comment(f"The requests of the run {plain(name, 200)}, each at its step."))
    document.add(
        tomlkit.comment('In a script: tuimon.Monitor(orders="PATH"). In a config: [monitor] schedule = "PATH".')
    )
    found = tomlkit.array()
    found.extend(texts)
    table = tomlkit.table()
    table.add("orders", found.multiline(bool(texts)))
    document.add("monitor", table)
    return tomlkit.dumps(document)
