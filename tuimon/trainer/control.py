"""Takes requests in the training thread, between two steps, and answers each with facts."""

import fnmatch
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tuimon import commands, events
from tuimon.text import plain
from tuimon.trainer.batch_norm import LayerArrays
from tuimon.trainer.inbox import Received
from tuimon.trainer.instruments import Instruments
from tuimon.trainer.modes import Mode
from tuimon.trainer.recorder import Recorder
from tuimon.trainer.step_functions import Switch

_HELD_STATISTICS = ("moving_mean", "moving_variance")


class RejectedError(Exception):
    """A request cannot be taken; says why, in words."""


class Controller:
    """Answers requests.

    Args:
        recorder: Takes the answers.
        instruments: The model they act on.
        before_change: Called right before the first step under a new mode.
        after_change: Called after it: what was known of the layers is old.
        on_snapshot: Called when somebody asks for the full arrays.
    """

    def __init__(
        self,
        recorder: Recorder,
        instruments: Instruments,
        *,
        before_change: Callable[[], None],
        after_change: Callable[[], None],
        on_snapshot: Callable[[], None],
    ) -> None:
        self.stop_after_epoch = False
        """Whether somebody asked for it."""
        self.was_stopped = False
        """Whether training ends because somebody asked."""
        self.can = _what_it_can(instruments)
        """Per request, why it cannot be taken; empty where it can."""
        self._recorder = recorder
        self._instruments = instruments
        self._before_change = before_change
        self._after_change = after_change
        self._on_snapshot = on_snapshot
        self._waiting: list[Received] = []
        self._before: dict[str, LayerArrays] = {}

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return self._instruments.train.mode

    def take(self, received: Received) -> None:
        """Answer a request, or have the next step do it."""
        if not received.claim():
            return  # Withdrawn.
        try:
            self._take(received)
        except RejectedError as error:
            self.reject(received, str(error))

    def reject(self, received: Received, reason: str) -> None:
        """Answer that a request is not taken."""
        fact = events.CommandRejected(id=received.id, request=received.fields, sender=received.sender, reason=reason)
        self._recorder.record(fact, received.delete)

    def retreat(self, error: Exception) -> None:
        """Record that the mode in force could not be traced for a batch of a new shape, and that it was left."""
        self._recorder.record(
            events.CommandApplied(
                id=f"retreat-{self._recorder.step}",
                request={"command": "phase", "phase": "auto"},
                sender=events.Sender(uid=os.getuid(), user="tuimon", host=socket.gethostname(), pid=os.getpid()),
                first_step=self._recorder.step,
                phase=self.mode.phase,
                frozen=self._instruments.frozen(self.mode),
                detail=f"the mode could not be traced for a batch of a new shape: {plain(str(error))}",
            )
        )

    def end(self) -> None:
        """Answer what still waits: no step will come."""
        for received in self._waiting:
            self.reject(received, "training ended before the next step")
        self._waiting = []

    def _take(self, received: Received) -> None:
        request = received.request
        if request is None:
            raise RejectedError(received.reason)
        if request.attempt not in (None, self._recorder.attempt):
            raise RejectedError(f"it was meant for attempt {request.attempt}; this is {self._recorder.attempt}")
        if reason := self.can[str(received.fields["command"])]:
            raise RejectedError(reason)
        match request:
            case commands.Freeze() | commands.Unfreeze() | commands.Phase():
                self._switch(self._changed(request), received)
            case commands.Stop(after="epoch"):
                self.stop_after_epoch = True
                self._applied(received, "training ends with this epoch")
            case commands.Stop():
                self._instruments.model.stop_training = self.was_stopped = True
                self._applied(received, "training ends with this batch")
            case commands.Snapshot():
                self._applied(received)
                self._on_snapshot()
            case commands.Note():
                self._applied(received)
                self._recorder.record(events.Note(text=request.text))

    def _changed(self, request: commands.Freeze | commands.Unfreeze | commands.Phase) -> Mode:
        pending = self._instruments.train.pending
        mode = pending.mode if pending else self.mode
        if isinstance(request, commands.Phase):
            return replace(mode, phase=request.phase)
        paths = self._match(request.layers)
        mine = [path for path in paths if path not in self._instruments.users_frozen]
        if isinstance(request, commands.Freeze):
            return replace(mode, frozen=mode.frozen | set(mine))
        if paths and not mine:
            raise RejectedError(
                "these layers were frozen before training, so the optimizer does not know their weights: "
                "set trainable=True before compile"
            )
        return replace(mode, frozen=mode.frozen - set(mine))

    def _match(self, patterns: Sequence[str]) -> list[str]:
        paths = list(self._instruments.reader.layers)
        if not patterns:
            return paths
        matched = []
        for pattern in patterns:
            found = [path for path in paths if _matches(path, pattern)]
            if not found:
                names = ", ".join(paths[:5]) + (", …" if len(paths) > 5 else "")
                raise RejectedError(f"no BatchNormalization layer matches {plain(pattern)!r}; there are {names}")
            matched += found
        return matched

    def _switch(self, mode: Mode, received: Received) -> None:
        # Whatever is asked before the next step comes with the same switch, and is traced once.
        self._waiting.append(received)
        self._instruments.train.switch(
            Switch(mode, prepare=self._prepare, done=partial(self._switched, mode), failed=self._failed)
        )

    def _prepare(self, is_traced: bool) -> None:
        self._before_change()
        optimizer = self._instruments.model.optimizer
        if optimizer is not None and not optimizer.built:
            # Else it would be built on what is trainable in this mode, and the way back would end the run.
            optimizer.build(self._instruments.model.trainable_variables)
        self._before = self._instruments.reader.read()
        if is_traced:
            words = ", ".join(commands.describe(received.fields) for received in self._waiting)
            self._recorder.record(events.StateChanged(state="compiling", detail=words))

    def _switched(self, mode: Mode, seconds: float) -> None:
        waiting, self._waiting = self._waiting, []
        self._recorder.record(events.StateChanged(state="training"))
        for received in waiting:
            self._applied(received, self._detail(received), seconds, mode)
            seconds = 0.0  # The trace was one for all of them.
        self._after_change()
        self._verify(waiting, mode)

    def _failed(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        self._recorder.record(events.StateChanged(state="training"))
        for received in waiting:
            self.reject(received, f"the model cannot be traced that way: {plain(str(error))}")

    def _applied(self, received: Received, detail: str = "", seconds: float = 0.0, mode: Mode | None = None) -> None:
        mode = mode or self.mode
        fact = events.CommandApplied(
            id=received.id,
            request=received.fields,
            sender=received.sender,
            first_step=self._recorder.step,
            traced_seconds=seconds,
            phase=mode.phase,
            frozen=self._instruments.frozen(mode),
            detail=detail,
        )
        self._recorder.record(fact, received.delete)

    def _detail(self, received: Received) -> str:
        request = received.request
        if isinstance(request, commands.Unfreeze):
            left = set(self._match(request.layers)) & set(self._instruments.users_frozen)
            if left:
                return f"{len(left)} layers stay frozen: they were frozen before training"
        return ""

    def _verify(self, waiting: list[Received], mode: Mode) -> None:
        if not self._before:
            return
        after = self._instruments.reader.read()
        before, self._before = self._before, {}
        held, moved, unexpected = 0, 0, []
        for path, arrays in after.items():
            layer_mode = self._instruments.layer_mode(path, mode)
            names = tuple(arrays) if layer_mode == "frozen" else _HELD_STATISTICS
            same = all(_equal(arrays[name], before[path][name]) for name in names)
            held, moved = held + same, moved + (not same)
            if same != (layer_mode != "training"):
                unexpected.append(path)
        detail = _what_was_seen(held, moved, ", gamma and beta" if mode.frozen and mode.phase == "auto" else "")
        for received in waiting:
            fact = events.CommandVerified(id=received.id, held=not unexpected, detail=detail, unexpected=unexpected)
            self._recorder.record(fact)


def _what_was_seen(held: int, moved: int, also: str) -> str:
    total = held + moved
    if not held:
        return f"moving statistics of {moved}/{total} layers moved"
    unchanged = f"moving statistics{also} of {held}/{total} layers unchanged"
    return unchanged + (f", of {moved} moved" if moved else "")


def _what_it_can(instruments: Instruments) -> dict[str, str]:
    steering = instruments.why_not_steerable
    freezing = steering or ("" if instruments.reader.layers else "this model has no BatchNormalization layers")
    anything = instruments.reader.layers or instruments.other_layers
    phase = steering or ("" if anything else "no layer of this model depends on the learning phase")
    return {"freeze": freezing, "unfreeze": freezing, "phase": phase, "stop": "", "snapshot": "", "note": ""}


def _matches(path: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path.rpartition("/")[2], pattern)


def _equal(left: Any, right: Any) -> bool:
    return left is right or bool(np.array_equal(left, right, equal_nan=True))
