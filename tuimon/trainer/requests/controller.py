"""Takes requests in the training thread, between two steps, and answers each with facts."""

import os
import socket
from functools import partial
from typing import Any

from msgspec.structs import replace

from tuimon.protocol import commands, events
from tuimon.protocol.wire import to_wire
from tuimon.text import plain
from tuimon.trainer.engine import Engine, Switch, frozen, frozen_weights, statistics_held
from tuimon.trainer.modes import Mode
from tuimon.trainer.requests import mode_changes, possible, request_words, verification
from tuimon.trainer.requests.actions import RequestActions
from tuimon.trainer.requests.answers import Answers
from tuimon.trainer.requests.inbox import Received
from tuimon.trainer.requests.rejected import RejectedError
from tuimon.trainer.requests.standing_orders import StandingOrders
from tuimon.trainer.sampling import Sampling
from tuimon.trainer.schedule import ProbeSchedule
from tuimon.trainer.session.recorder import Recorder


class Controller:
    """Decides on each request, changes the mode, and answers.

    Args:
        recorder: Writes the answers.
        engine: The model.
        sampling: Reads the model for the log.
        schedule: Probes the model.
        actions: Carries out requests that do more than change the mode.
    """

    def __init__(
        self,
        recorder: Recorder,
        engine: Engine,
        sampling: Sampling,
        schedule: ProbeSchedule,
        actions: RequestActions,
    ) -> None:
        self.stop_after_epoch = False
        """True if a request stops training after this epoch."""
        self.was_stopped = False
        """True if training ends because of a request."""
        self.is_paused = False
        """True while training waits before its next step."""
        self.answers = Answers(recorder)
        """Claims requests and answers each once."""
        self.orders = StandingOrders(
            recorder,
            sampling,
            check=lambda request: possible.check(request, engine, self.can),
            ask=self.take,
            unused=self.answers.unused,
        )
        """Orders that stand: they make requests of themselves."""
        self._recorder = recorder
        self._engine = engine
        self._sampling = sampling
        self._schedule = schedule
        self._actions = actions
        self._waiting: list[Received] = []
        self._in_force: list[Received] = []
        self._before: verification.Before | None = None
        self._rate_before: float | None = None
        self._told_to_wait = set[str]()

    @property
    def can(self) -> dict[str, str]:
        """For each request, the reason why it cannot be carried out; empty if it can."""
        return request_words.capabilities(self._engine) | {"probe": self._schedule.why_not}

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return self._engine.steps.mode

    @property
    def coming_mode(self) -> Mode:
        """The mode of the next step: the one that waits for it, else the one in force."""
        coming = self._engine.steps.coming_mode
        return self.mode if coming is None else coming

    def take(self, received: Received) -> None:
        """Answer a request now, or after the next step if it needs one."""
        if not self.answers.claim(received):
            return
        try:
            self._take(received)
        except RejectedError as error:
            self.reject(received, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, training goes on
            self.reject(received, f"it could not be done: {type(error).__name__}: {plain(str(error))}")

    def begin_in(self, mode: Mode, learning_rate: float | None) -> None:
        """Restore the previous attempt's mode at the first step."""
        if self._engine.why_not("freeze"):
            return
        if learning_rate is not None:
            self._engine.learning_rate.put_own(learning_rate)
        self._engine.steps.switch(self._to(mode))

    def reject(self, received: Received, reason: str) -> None:
        """Answer that a request is rejected."""
        self.answers.reject(received, reason)

    def retreat(self, error: Exception) -> None:
        """Record that the engine left the mode in force, which it could not trace for a batch of a new shape."""
        self._recorder.record(
            self._fact(
                self.answers.unused(f"retreat-{self._recorder.step}"),
                {"command": "phase", "phase": "auto"},
                events.Sender(uid=os.getuid(), user="tuimon", host=socket.gethostname(), pid=os.getpid()),
                detail=f"the mode could not be traced for a batch of a new shape: {plain(str(error))}",
            )
        )

    def tell_what_waits(self) -> None:
        """Record which requests a paused run cannot answer before it goes on, each once."""
        for received in self.answers.open.values():
            if received.request is None or isinstance(received.request, commands.Checkpoint):
                continue  # A checkpoint waits for its file alone.
            if received.id not in self._told_to_wait:
                self._told_to_wait.add(received.id)
                words = commands.describe(received.request)
                self._recorder.note(
                    f"{words} waits for training to go on: it needs {request_words.needs(received.request)}"
                )

    def end(self) -> None:
        """Reject the requests that still wait for a step: none will come."""
        for received in list(self.answers.open.values()):
            self.reject(received, "training ended before the next step")
        self._waiting = []

    def _take(self, received: Received) -> None:
        request = received.request
        if request is None:
            raise RejectedError(received.reason)
        if request.attempt not in (None, self._recorder.attempt):
            raise RejectedError(f"it was meant for attempt {request.attempt}; this is {self._recorder.attempt}")
        if why_not := possible.why_not_taken(request, self._engine, self.can):
            raise RejectedError(why_not)
        match request:
            case commands.Freeze() | commands.Unfreeze() | commands.Phase() | commands.Momentum():
                self._switch(mode_changes.changed(self.coming_mode, request, self._engine.layers), received)
            case commands.LearningRate():
                self._set_learning_rate(request.learning_rate, received)
            case commands.Rollback():
                self._roll_back(request.checkpoint, received)
            case commands.Pause() | commands.Resume() | commands.Stop():
                self._applied(received, self._pause_or_stop(request))
            case commands.Epochs():
                self._applied(received, self._actions.end_after(request.epochs))
            case commands.Order():
                self._applied(received, self.orders.give(request.order))
            case commands.Cancel():
                self._applied(received, self.orders.cancel(request.number))
            case _:
                self._act(request, received)

    def _pause_or_stop(self, request: commands.Pause | commands.Resume | commands.Stop) -> str:
        """Pause, resume or stop; return details for the answer."""
        match request:
            case commands.Pause():
                was_paused, self.is_paused = self.is_paused, True
                return "training is paused already" if was_paused else ""
            case commands.Resume():
                was_paused, self.is_paused = self.is_paused, False
                return "" if was_paused else "training is not paused"
            case commands.Stop() if self.orders.is_between_epochs:
                self.was_stopped = True
                self._engine.stop()
                return "training ends with this epoch"
            case commands.Stop(after="epoch"):
                self.stop_after_epoch = True
                if not self._sampling.epoch_left.steps:
                    return (
                        "training ends with this epoch, if it ends: its length is not known, and endless data have no "
                        "end; `stop --after batch` ends training now"
                    )
                return "training ends with this epoch"
            case commands.Stop():
                self.was_stopped = True
                self._engine.stop()
                calls = self._engine.steps.steps_per_call
                return "training ends with this batch" if calls == 1 else f"training ends after the next {calls} steps"

    def _act(self, request: commands.AnyRequest, received: Received) -> None:
        """Carry out a request that changes neither the mode nor whether training continues."""
        applied, rejected = partial(self._applied, received), partial(self.reject, received)
        match request:
            case commands.Recalibrate():
                self._actions.recalibrate(request, partial(self._recalibrated, received), rejected)
            case commands.Checkpoint():
                self._actions.save_checkpoint(
                    request_words.why_saved(received),
                    applied,
                    rejected,
                    at_epoch_end=self.orders.is_between_epochs,
                    mode=self.coming_mode,
                )
            case commands.Evaluate():
                self._actions.evaluate(f"at step {self._recorder.step}")
                applied()
            case commands.Probe():
                self._schedule.ask(applied, rejected)
            case commands.Snapshot():
                applied()
                self._sampling.write_channels()
            case commands.Note():
                applied()
                self._recorder.record(events.Note(text=request.text))

    def _recalibrated(self, received: Received, detail: str) -> None:
        self._schedule.has_changed = True
        self._look_again()
        self._applied(received, detail)

    def _set_learning_rate(self, rate: float | None, received: Received) -> None:
        possible.check_rate(rate, self._engine.learning_rate)
        learning_rate = self._engine.learning_rate
        if rate is not None and not learning_rate.has_schedule:
            learning_rate.put(rate)
            drivers = learning_rate.drivers()
            self._applied(received, f"{' and '.join(drivers)} may set it again" if drivers else "")
        elif rate is None:
            self._switch(replace(self.coming_mode, own_learning_rate=False), received)
        elif why_not := self._engine.why_not("freeze"):
            raise RejectedError(why_not)
        else:
            if self._rate_before is None:
                self._rate_before = learning_rate.own()
            learning_rate.put_own(rate)
            self._switch(replace(self.coming_mode, own_learning_rate=True), received)

    def _roll_back(self, checkpoint: str, received: Received) -> None:
        if self._engine.steps.coming_mode is not None:
            raise RejectedError("a change of mode waits for the next step: ask again")
        there = self._actions.roll_back(checkpoint)
        if there.learning_rate is not None:
            self._engine.learning_rate.put_own(there.learning_rate)
        if there.mode == self.mode:
            self._look_again()
            self._applied(received, there.detail)
            self._sampling.sample()
        else:
            self._switch(there.mode, received)

    def _switch(self, mode: Mode, received: Received) -> None:
        # All changes that are requested before the next step come with one switch, and one trace.
        self._waiting.append(received)
        self._engine.steps.switch(self._to(mode))

    def _to(self, mode: Mode) -> Switch:
        return Switch(
            mode,
            prepare=partial(self._prepare, mode),
            done=self._switched,
            ran=self._verify,
            failed=self._failed,
        )

    def _prepare(self, mode: Mode, is_traced: bool) -> None:
        self._sampling.read_steps()
        self._before = verification.look(self._engine.layers, mode)
        if is_traced:
            words = request_words.words(self._waiting) or str(mode)
            self._recorder.record(events.StateChanged(state="compiling", detail=words))

    def _switched(self, seconds: float) -> None:
        waiting, self._waiting = self._waiting, []
        self._rate_before = None
        self._recorder.record(events.StateChanged(state="paused" if self.is_paused else "training"))
        for received in waiting:
            self._applied(received, request_words.detail(received, self._engine), seconds)
            seconds = 0.0  # One trace served all of them.
        self._in_force += waiting

    def _failed(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        self._recorder.record(events.StateChanged(state="paused" if self.is_paused else "training"))
        is_refused = isinstance(error, RejectedError)
        reason = str(error) if is_refused else f"the model cannot be traced that way: {plain(str(error))}"
        if self._rate_before is not None:
            self._engine.learning_rate.put_own(self._rate_before)
            self._rate_before = None
        for received in waiting:
            if isinstance(received.request, commands.Rollback):
                self._applied(received, f"without the mode of the checkpoint: {reason}")
            else:
                self.reject(received, reason)
        if not waiting:
            self._recorder.record(events.Note(text=f"the mode of the previous attempt is not restored: {reason}"))

    def _applied(self, received: Received, detail: str = "", seconds: float = 0.0) -> None:
        fact = self._fact(received.id, received.fields, received.sender, detail=detail, seconds=seconds)
        fact.taken = received.taken
        self.answers.applied(received, fact)

    def _fact(
        self, identity: str, request: dict[str, Any], sender: events.Sender, *, detail: str, seconds: float = 0.0
    ) -> events.CommandApplied:
        mode, layers = self.mode, self._engine.layers
        return events.CommandApplied(
            id=identity,
            request=request,
            sender=sender,
            first_step=self._recorder.step,
            traced_seconds=seconds,
            phase=mode.phase,
            frozen=frozen(layers, mode),
            statistics_held=statistics_held(layers, mode),
            frozen_weights=frozen_weights(layers, mode),
            momentum=dict(sorted(mode.momentum)),
            learning_rate=to_wire(self._engine.learning_rate.now(mode)),
            detail=detail,
        )

    def _look_again(self) -> None:
        """Read the variables again, which a request set while a mode that was traced in a pause waits for its step."""
        if self._before is not None:
            self._before = verification.look(self._engine.layers, self.mode)

    def _verify(self) -> None:
        in_force, self._in_force = self._in_force, []
        before, self._before = self._before, None
        self._sampling.sample()
        if before is None or not in_force:
            return
        seen = verification.compare(before, self._engine.layers, self.mode)
        for received in in_force:
            if seen.detail:
                fact = events.CommandVerified(
                    id=received.id, held=seen.held, detail=seen.detail, unexpected=seen.unexpected
                )
                self._recorder.record(fact)
        self._schedule.mode_changed(request_words.words(in_force))
