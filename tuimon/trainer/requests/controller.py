"""Takes requests in the training thread, between two steps, and answers each with facts."""

import math
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from tuimon.protocol import commands, events
from tuimon.protocol.values import SCHEDULE_SET_ASIDE
from tuimon.protocol.wire import to_wire
from tuimon.text import plain
from tuimon.trainer.keras import keras_internals
from tuimon.trainer.keras.steps.modes import Mode
from tuimon.trainer.keras.steps.step_functions import Switch
from tuimon.trainer.keras.watched_model import WatchedModel
from tuimon.trainer.requests import mode_changes, verification
from tuimon.trainer.requests.actions import RequestActions
from tuimon.trainer.requests.inbox import Received
from tuimon.trainer.requests.mode_changes import RejectedError
from tuimon.trainer.session.recorder import Recorder


class Looks(Protocol):
    """What a controller needs of the ``fit`` that it steers."""

    def read_steps(self) -> None:
        """Fetch the values of the steps since the last time."""

    def sample(self) -> None:
        """Record every BatchNormalization layer, summed up."""

    def write_channels(self) -> None:
        """Record the full arrays of every BatchNormalization layer."""

    def why_no_probe(self) -> str:
        """Return why nothing can be probed; empty where it can."""

    def probe(self, applied: Callable[[str], None], rejected: Callable[[str], None]) -> None:
        """Measure the gap between training mode and inference mode now."""

    def mode_changed(self, words: str) -> None:
        """A step was made in another mode."""

    def count_anew(self) -> None:
        """Steps are counted on though the model's own counter was put back."""


class Controller:
    """Answers requests.

    Args:
        recorder: Takes the answers.
        instruments: The model they act on.
        fit: Reads the model for the log.
        interventions: Does what is more than a change of mode.
    """

    def __init__(
        self, recorder: Recorder, instruments: WatchedModel, fit: Looks, interventions: RequestActions
    ) -> None:
        self.stop_after_epoch = False
        """Whether somebody asked for it."""
        self.was_stopped = False
        """Whether training ends because somebody asked."""
        self.is_paused = False
        """Whether training waits before its next step."""
        self._recorder = recorder
        self._instruments = instruments
        self._fit = fit
        self._interventions = interventions
        self._waiting: list[Received] = []
        self._in_force: list[Received] = []
        self._before: verification.Before | None = None
        self._open: dict[str, Received] = {}
        self._rate_before: float | None = None

    @property
    def can(self) -> dict[str, str]:
        """Per request, why it cannot be taken; empty where it can."""
        return _what_it_can(self._instruments) | {"probe": self._fit.why_no_probe()}

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return self._instruments.train.mode

    @property
    def coming_mode(self) -> Mode:
        """The mode of the next step: the one in force, or the one that waits for it."""
        pending = self._instruments.train.pending
        return pending.mode if pending else self.mode

    def take(self, received: Received) -> None:
        """Answer a request, or have the next step do it."""
        if not received.claim():
            return  # Withdrawn.
        self._open[received.id] = received
        try:
            self._take(received)
        except RejectedError as error:
            self.reject(received, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, training goes on
            self.reject(received, f"it could not be done: {type(error).__name__}: {plain(str(error))}")

    def begin_in(self, mode: Mode, learning_rate: float | None) -> None:
        """Put a mode in force with the first step that nobody asks for anew: that of the attempt before."""
        if self._instruments.why_not_steerable:
            return
        if learning_rate is not None:
            self._instruments.own_learning_rate.assign(learning_rate)
        self._instruments.train.switch(self._to(mode))

    def reject(self, received: Received, reason: str) -> None:
        """Answer that a request is not taken."""
        self._open.pop(received.id, None)
        fact = events.CommandRejected(id=received.id, request=received.fields, sender=received.sender, reason=reason)
        self._recorder.record(fact, received.delete)

    def retreat(self, error: Exception) -> None:
        """Record that the mode in force could not be traced for a batch of a new shape, and that it was left."""
        self._recorder.record(
            self._fact(
                f"retreat-{self._recorder.step}",
                {"command": "phase", "phase": "auto"},
                events.Sender(uid=os.getuid(), user="tuimon", host=socket.gethostname(), pid=os.getpid()),
                detail=f"the mode could not be traced for a batch of a new shape: {plain(str(error))}",
            )
        )

    def end(self) -> None:
        """Answer what still waits: no step will come."""
        for received in list(self._open.values()):
            self.reject(received, "training ended before the next step")
        self._waiting = []

    def _take(self, received: Received) -> None:
        request = received.request
        if request is None:
            raise RejectedError(received.reason)
        if request.attempt not in (None, self._recorder.attempt):
            raise RejectedError(f"it was meant for attempt {request.attempt}; this is {self._recorder.attempt}")
        # With `weights`, freezing needs no BatchNormalization.
        of_weights = getattr(request, "weights", False)
        can = self._instruments.why_not_steerable if of_weights else self.can[str(received.fields["command"])]
        if can:
            raise RejectedError(can)
        applied, rejected = partial(self._applied, received), partial(self.reject, received)

        def recalibrated(detail: str) -> None:
            self._look_again()
            applied(detail)

        match request:
            case commands.Freeze() | commands.Unfreeze() | commands.Phase() | commands.Momentum():
                self._switch(mode_changes.changed(self.coming_mode, request, self._instruments), received)
            case commands.LearningRate():
                self._set_learning_rate(request.learning_rate, received)
            case commands.Recalibrate():
                self._interventions.recalibrate(request, recalibrated, rejected)
            case commands.Pause():
                detail = "training is paused already" if self.is_paused else ""
                self.is_paused = True
                applied(detail)
            case commands.Resume():
                detail = "" if self.is_paused else "training is not paused"
                self.is_paused = False
                applied(detail)
            case commands.Stop(after="epoch"):
                self.stop_after_epoch = True
                applied("training ends with this epoch")
            case commands.Stop():
                self._instruments.model.stop_training = self.was_stopped = True
                applied("training ends with this batch")
            case commands.Checkpoint():
                self._interventions.save_checkpoint("asked", applied, rejected, mode=self.coming_mode)
            case commands.Rollback():
                self._roll_back(request.checkpoint, received)
            case commands.Evaluate():
                self._interventions.evaluate(f"at step {self._recorder.step}")
                applied()
            case commands.Probe():
                self._fit.probe(applied, rejected)
            case commands.Snapshot():
                applied()
                self._fit.write_channels()
            case commands.Note():
                applied()
                self._recorder.record(events.Note(text=request.text))

    def _set_learning_rate(self, rate: float | None, received: Received) -> None:
        if rate is not None and not 0 < (kept := keras_internals.as_float32(rate)) < math.inf:
            raise RejectedError(f"the optimizer keeps it as float32, in which {rate:g} is {kept:g}")
        optimizer = self._instruments.model.optimizer
        scheduled = keras_internals.schedule_owner(optimizer) is not None
        if not scheduled:
            if rate is None:
                raise RejectedError("this optimizer has no schedule")
            optimizer.learning_rate = rate
            drivers = self._interventions.drivers_of_learning_rate()
            self._applied(received, f"{' and '.join(drivers)} may set it again" if drivers else "")
        elif rate is None:
            self._switch(replace(self.coming_mode, own_learning_rate=False), received)
        elif self._instruments.why_not_steerable:
            raise RejectedError(self._instruments.why_not_steerable)
        else:
            own = self._instruments.own_learning_rate
            if self._rate_before is None:
                self._rate_before = keras_internals.number(own)
            own.assign(rate)
            self._switch(replace(self.coming_mode, own_learning_rate=True), received)

    def _roll_back(self, checkpoint: str, received: Received) -> None:
        if self._instruments.train.pending:
            raise RejectedError("a change of mode waits for the next step: ask again")
        there = self._interventions.roll_back(checkpoint)
        self._fit.count_anew()
        if there.learning_rate is not None:
            self._instruments.own_learning_rate.assign(there.learning_rate)
        if there.mode == self.mode:
            self._look_again()
            self._applied(received, there.detail)
            self._fit.sample()
        else:
            self._switch(there.mode, received)

    def _switch(self, mode: Mode, received: Received) -> None:
        # Whatever is asked before the next step comes with the same switch, and is traced once.
        self._waiting.append(received)
        self._instruments.train.switch(self._to(mode))

    def _to(self, mode: Mode) -> Switch:
        return Switch(
            mode,
            prepare=partial(self._prepare, mode),
            done=partial(self._switched, mode),
            ran=self._verify,
            failed=self._failed,
        )

    def _prepare(self, mode: Mode, is_traced: bool) -> None:
        self._fit.read_steps()
        optimizer = self._instruments.model.optimizer
        if optimizer is not None and not optimizer.built:
            # Else it would be built on what is trainable in this mode, and the way back would end the run.
            optimizer.build(self._instruments.model.trainable_variables)
        self._before = verification.look(self._instruments, mode)
        if is_traced:
            words = ", ".join(commands.describe(received.fields) for received in self._waiting) or str(mode)
            self._recorder.record(events.StateChanged(state="compiling", detail=words))

    def _switched(self, mode: Mode, seconds: float) -> None:
        waiting, self._waiting = self._waiting, []
        self._rate_before = None
        self._settle_averages(mode)
        self._recorder.record(events.StateChanged(state="paused" if self.is_paused else "training"))
        for received in waiting:
            self._applied(received, self._detail(received), seconds)
            seconds = 0.0  # The trace was one for all of them.
        self._in_force += waiting

    def _failed(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        self._recorder.record(events.StateChanged(state="paused" if self.is_paused else "training"))
        is_refused = isinstance(error, RejectedError)
        reason = str(error) if is_refused else f"the model cannot be traced that way: {plain(str(error))}"
        if self._rate_before is not None:
            self._instruments.own_learning_rate.assign(self._rate_before)
            self._rate_before = None
        for received in waiting:
            if isinstance(received.request, commands.Rollback):
                self._applied(received, f"but for the mode of the checkpoint: {reason}")
            else:
                self.reject(received, reason)
        if not waiting:
            self._recorder.record(events.Note(text=f"the mode of the attempt before is left: {reason}"))

    def _settle_averages(self, mode: Mode) -> None:
        """Keep what is frozen from being overwritten when ``fit`` puts the weights' moving averages in their place."""
        optimizer = self._instruments.model.optimizer
        averaging = keras_internals.averaging_optimizer(optimizer) if optimizer is not None else None
        if averaging is not None and averaging.built:
            layers = [layer for path, layer in self._instruments.layers.items() if path in mode.frozen]
            weights = [weight for layer in layers for weight in keras_internals.own_weights(layer)]
            keras_internals.settle_averages(averaging, weights)

    def _applied(self, received: Received, detail: str = "", seconds: float = 0.0) -> None:
        self._open.pop(received.id, None)
        fact = self._fact(received.id, received.fields, received.sender, detail=detail, seconds=seconds)
        self._recorder.record(fact, received.delete)

    def _fact(
        self, identity: str, request: dict[str, Any], sender: events.Sender, *, detail: str, seconds: float = 0.0
    ) -> events.CommandApplied:
        mode, instruments = self.mode, self._instruments
        return events.CommandApplied(
            id=identity,
            request=request,
            sender=sender,
            first_step=self._recorder.step,
            traced_seconds=seconds,
            phase=mode.phase,
            frozen=instruments.frozen(mode),
            statistics_held=[path for path in instruments.reader.layers if path in mode.statistics],
            frozen_weights=instruments.frozen_weights(mode),
            momentum=dict(sorted(mode.momentum)),
            learning_rate=to_wire(instruments.learning_rate(mode)),
            detail=detail,
        )

    def _detail(self, received: Received) -> str:
        request = received.request
        if isinstance(request, commands.Unfreeze | commands.Freeze) and not request.weights:
            left = set(mode_changes.matched(request, self._instruments)) & set(self._instruments.users_frozen)
            if left and isinstance(request, commands.Freeze):
                return f"{len(left)} layers are as they were: they were frozen before training"
            if left:
                return f"{len(left)} layers stay frozen: they were frozen before training"
        if isinstance(request, commands.LearningRate) and request.learning_rate is not None:
            return SCHEDULE_SET_ASIDE
        return ""

    def _look_again(self) -> None:
        """Variables were set while a mode that was traced in a pause waits for its first step."""
        if self._before is not None:
            self._before = verification.look(self._instruments, self.mode)

    def _verify(self) -> None:
        in_force, self._in_force = self._in_force, []
        before, self._before = self._before, None
        self._fit.sample()
        if before is None or not in_force:
            return
        seen = verification.compare(before, self._instruments, self.mode)
        for received in in_force:
            if seen.detail:
                fact = events.CommandVerified(
                    id=received.id, held=seen.held, detail=seen.detail, unexpected=seen.unexpected
                )
                self._recorder.record(fact)
        self._fit.mode_changed(", ".join(commands.describe(received.fields) for received in in_force))


def _what_it_can(instruments: WatchedModel) -> dict[str, str]:
    steering = instruments.why_not_steerable
    # What is not built yet may have any layer.
    has_layers = instruments.reader.layers or not instruments.model.built
    layers = steering or ("" if has_layers else "this model has no BatchNormalization layers")
    depends = has_layers or instruments.other_layers
    phase = steering or ("" if depends else "no layer of this model depends on the learning phase")
    optimizer = "" if instruments.model.optimizer is not None else "this model has no optimizer"
    reasons = dict.fromkeys(("freeze", "unfreeze", "momentum", "recalibrate"), layers)
    reasons |= {"phase": phase, "lr": optimizer, "evaluate": instruments.why_no_data}
    reasons["recalibrate"] = layers or instruments.why_no_data
    return {command: reasons.get(command, "") for command in commands.NAMES}
