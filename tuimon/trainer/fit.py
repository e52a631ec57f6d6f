"""One ``fit`` of one model: what happens at its steps, validations and epochs, in which order."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tuimon.protocol import commands, events
from tuimon.protocol.wire import scalars_to_wire, to_wire
from tuimon.text import plain
from tuimon.trainer.budget import Budget
from tuimon.trainer.checkpoints import Checkpoints
from tuimon.trainer.engine import Data, Engine, frozen, frozen_weights, statistics_held
from tuimon.trainer.modes import AUTO, Mode
from tuimon.trainer.options import Options
from tuimon.trainer.requests import mode_changes
from tuimon.trainer.requests.actions import AT_THE_END_SECONDS, RequestActions
from tuimon.trainer.requests.controller import Controller
from tuimon.trainer.requests.inbox import Inbox
from tuimon.trainer.requests.rejected import RejectedError
from tuimon.trainer.sampling import Sampling
from tuimon.trainer.schedule import ProbeSchedule
from tuimon.trainer.session.recorder import Recorder

OVERHEAD_SECONDS = 10.0
"""The cost of monitoring is written no more often."""


class Fit:
    """Observes and steers one ``fit``, from its first step to its last. All of it runs in the training thread.

    Built from below: `Sampling` reads, `ProbeSchedule` probes, `RequestActions` act, `Controller` answers requests.

    Args:
        recorder: The run.
        engine: The model.
        plan: ``epochs`` and ``steps`` (of an epoch) as far as they are known; a loop may learn them later.
        options: How the Monitor was set up.
        on_trouble: Called with an exception in a thread that reads requests.
    """

    def __init__(
        self,
        recorder: Recorder,
        engine: Engine,
        plan: Mapping[str, Any],
        options: Options,
        *,
        on_trouble: Callable[[Exception], None],
    ) -> None:
        self._recorder = recorder
        self._engine = engine
        self._options = options
        self._plan = plan
        notes = engine.begin()
        recorder.budget = recorder.budget or Budget(options.overhead, time.monotonic())
        self._budget = recorder.budget
        self._sampling = Sampling(recorder, engine, self._budget, plan)
        began = self._sampling.began
        self._next_overhead = began + OVERHEAD_SECONDS
        self._next_checkpoint = began + options.checkpoint_minutes * 60
        self._diagnoses = True
        self._is_described = False
        for words in notes:
            self.note(words)
        self._record_model()
        self._schedule = ProbeSchedule(recorder, engine, options.probe, self._budget, self._sampling)
        checkpoints = Checkpoints(recorder.run.checkpoints, kept=options.checkpoints_kept)
        self._actions = RequestActions(recorder, engine, checkpoints, self._sampling)
        self._controller = Controller(recorder, engine, self._sampling, self._schedule, self._actions)
        if not engine.why_not("freeze"):
            self._prepare_modes()
        self._inbox = Inbox(recorder.run.commands, on_trouble)

    @property
    def was_stopped(self) -> bool:
        """Whether training ends because somebody asked."""
        return self._controller.was_stopped

    def begin_in(self, mode: Mode, learning_rate: float | None) -> None:
        """Begin in the mode of an earlier attempt."""
        self._controller.begin_in(mode, learning_rate)

    def begin_epoch(self, epoch: int) -> None:
        """Record that an epoch begins; with the first one, that the fit does."""
        self._sampling.begin_epoch(epoch)
        if not self._is_described:
            # A framework tells the number of the first epoch only now.
            self._is_described = True
            self._recorder.record(self._describe(epoch))
            self._recorder.record(events.StateChanged(state="compiling", detail="the training step"))
            self._sampling.sample()

    def before_step(self) -> None:
        """Take requests and, now and then, fetch what the steps left."""
        self._engine.before_step()
        self._sampling.begin_call()
        if self._inbox.received:
            self._take_requests()
        if self._controller.is_paused:
            self._pause()
        now = time.monotonic()
        if self._sampling.look(now):
            self._diagnose(now)
        if self._schedule.is_due_at(self._sampling.coming_step, now):
            self._sampling.read_steps()
            self._schedule.probe_between_steps()

    def begin_validation(self) -> None:
        """Record that a validation begins."""
        self._sampling.begin_validation()

    def before_validation_step(self) -> None:
        """Take the validation step's place, for one step."""
        self._engine.validation.before_step(self._controller.mode)
        self._schedule.before_validation_step(time.monotonic())
        self._sampling.begin_validation_call()

    def end_validation(self) -> None:
        """Give the validation step back and record the validation."""
        self._engine.validation.end()
        self._sampling.end_validation()

    def end_epoch(self, logs: dict[str, Any]) -> None:
        """Record an epoch, its validation included; probe, save and stop where it is time for that."""
        self._sampling.read_steps()
        self._sampling.end_first_step()
        # Where training was stopped within the epoch, Keras ends it all the same.
        left = self._sampling.epoch_left
        is_whole = not self._controller.was_stopped or (left.steps > 0 and left.left <= 0)
        now = time.monotonic()
        self._recorder.record(
            events.EpochEnded(
                logs=scalars_to_wire(logs),
                learning_rate=to_wire(self._engine.learning_rate.now(self._controller.mode)),
                seconds=self._sampling.epoch_seconds(now),
            )
        )
        self._sampling.write_channels_if_due(now)
        self._schedule.end_epoch(now)
        self._schedule.end_validation(logs, now)
        self._diagnose(now)
        if now >= self._next_overhead:
            self._write_overhead(now)
        if self._controller.stop_after_epoch:
            self._engine.stop()
            self._controller.was_stopped = True
        minutes = self._options.checkpoint_minutes
        if self.was_stopped and self._options.checkpoint_at_stop:
            # Here, not at the end of `fit`: there, Keras and callbacks may put averages or the best weights in place.
            self._save_checkpoint("training was stopped", at_epoch_end=is_whole)
        elif minutes and now >= self._next_checkpoint:
            self._save_checkpoint(f"{minutes:g} minutes", at_epoch_end=is_whole)

    def note(self, words: str) -> None:
        """Record a sentence of ours."""
        self._recorder.record(events.Note(text=words))

    def retreat(self, error: Exception) -> None:
        """Record that the mode in force gave way to the framework's own step."""
        self._sampling.read_steps()
        self._controller.retreat(error)

    def read_steps(self) -> None:
        """Fetch the values of the steps since the last time."""
        self._sampling.read_steps()

    def write_last(self) -> None:
        """Record the end of a fit that went well."""
        self._sampling.read_steps()
        self._sampling.sample()
        self._sampling.write_channels()
        self._diagnose(None)
        self._write_overhead(time.monotonic())

    def end(self, *, keeps_mode: bool = False) -> None:
        """Give everything back to the user, whether the fit went well or not.

        Args:
            keeps_mode: Whether it goes on without us, and the step's mode with it.
        """
        self._engine.end(keeps_mode=keeps_mode)
        self._actions.finish_saving(AT_THE_END_SECONDS)
        self.close_inbox()
        self._controller.end()

    def close_inbox(self) -> None:
        """Take no further requests, and say so to those that have come."""
        self._inbox.close()
        while self._inbox.received:
            received = self._inbox.received.popleft()
            if received.claim():
                self._controller.reject(received, "training has ended")

    def _record_model(self) -> None:
        """Record the layers; first with the flags that have effect, where the user has set others since the trace."""
        layers = self._engine.layers
        if not layers.look():
            return
        as_traced = layers.describe_as_traced()
        if as_traced is not None:
            self._recorder.record(as_traced)
            changed = len(layers.flags_without_effect)
            count = "1 layer" if changed == 1 else f"{changed} layers"
            self.note(
                f"`trainable` of {count} was set after the step was traced, without effect: compile the model anew"
            )
        self._recorder.record(layers.describe())

    def _take_requests(self) -> None:
        self._sampling.read_steps()
        while self._inbox.received:
            self._controller.take(self._inbox.received.popleft())

    def _pause(self) -> None:
        """Wait before the next step."""
        if self._engine.waits_in_step:
            # There the data are at hand: what needs a trace can be done meanwhile.
            self._engine.steps.before_next(self._wait)
        else:
            self._wait(None)

    def _wait(self, data: Data | None) -> None:
        self._sampling.read_steps()
        while self._controller.is_paused and not self._engine.is_stopping and not self._inbox.is_closed:
            # Again after what was asked meanwhile: a checkpoint, say.
            self._recorder.record(events.StateChanged(state="paused"))
            if data is not None and data.catch_up():
                self._recorder.record(events.StateChanged(state="paused"))
            self._inbox.wait()
            self._take_requests()
        self._controller.is_paused = False
        self._recorder.record(events.StateChanged(state="training"))

    def _save_checkpoint(self, reason: str, *, at_epoch_end: bool) -> None:
        self._next_checkpoint = time.monotonic() + self._options.checkpoint_minutes * 60

        self._actions.save_checkpoint(reason, lambda _: None, self.note, at_epoch_end=at_epoch_end)

    def _prepare_modes(self) -> None:
        for words in self._options.prepare:
            request = commands.from_words(words)
            try:
                mode = mode_changes.changed(AUTO, request, self._engine.layers)
            except RejectedError as error:
                self.note(f"prepare {words!r}: {error}")
            else:
                self._engine.steps.prepare(mode, partial(self._prepared, words))

    def _prepared(self, words: str, seconds: float, error: Exception | None) -> None:
        text = f"cannot be traced: {plain(str(error))}" if error else f"traced in {seconds:.1f} s"
        self.note(f"prepare {words!r}: {text}")

    def _diagnose(self, now: float | None) -> None:
        """Look for problems where the budget allows it; in any case where no time is given."""
        if not self._diagnoses or (now is not None and not self._budget.allows("diagnosis", now)):
            return
        try:
            with self._budget.charged("diagnosis"):
                for alert in self._recorder.diagnosis.look():
                    self._recorder.record(alert)
        except Exception as error:  # noqa: BLE001 - a mistake in a rule must not end the recording
            self._diagnoses = False
            self.note(f"the diagnosis is off by an error of tuimon's own: {error!r}")

    def _write_overhead(self, now: float) -> None:
        self._next_overhead = now + OVERHEAD_SECONDS
        share, parts = self._budget.share(now), self._budget.seconds
        self._recorder.record(events.Overhead(share=to_wire(share), parts=scalars_to_wire(parts)))

    def _describe(self, initial_epoch: int) -> events.FitStarted:
        mode, facts, layers = self._controller.coming_mode, self._engine.facts(), self._engine.layers
        return events.FitStarted(
            optimizer=facts.optimizer,
            epochs=self._plan.get("epochs"),
            initial_epoch=initial_epoch,
            steps_per_epoch=self._plan.get("steps"),
            jit_compile=facts.jit_compile,
            batch_size=facts.batch_size,
            last_batch_size=facts.last_batch_size,
            can=self._controller.can,
            phase=mode.phase,
            frozen=frozen(layers, mode),
            statistics_held=statistics_held(layers, mode),
            frozen_weights=frozen_weights(layers, mode),
            momentum=dict(sorted(mode.momentum)),
        )
