"""Runs one ``fit`` of one model: what tuimon does at each step, validation and epoch, and in which order."""

import contextlib
import time
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any, ClassVar

from tuimon.numbers import count
from tuimon.protocol import commands, events
from tuimon.protocol.wire import scalars_to_wire, to_wire
from tuimon.text import plain
from tuimon.trainer.budget import Budget
from tuimon.trainer.checkpoints import Checkpoints
from tuimon.trainer.engine import Data, Engine, Layers, frozen, frozen_weights, statistics_held
from tuimon.trainer.modes import AUTO, Mode
from tuimon.trainer.options import Options
from tuimon.trainer.probe_memory import ProbeMemory
from tuimon.trainer.requests import mode_changes
from tuimon.trainer.requests.actions import RequestActions
from tuimon.trainer.requests.controller import Controller
from tuimon.trainer.requests.inbox import Inbox
from tuimon.trainer.requests.program_stop import ProgramStop
from tuimon.trainer.requests.rejected import RejectedError
from tuimon.trainer.sampling import Sampling
from tuimon.trainer.schedule import ProbeSchedule
from tuimon.trainer.session.recorder import Recorder
from tuimon.trainer.standard_error import say
from tuimon.trainer.time_split import TimeSplitter
from tuimon.trainer.weights.replaced import ReplacedWeights
from tuimon.trainer.weights.updates import WeightUpdates

OVERHEAD_SECONDS = 10.0
"""Shortest time between two records of the cost of monitoring."""
TAKE_SECONDS = 0.05
"""Longest time between two steps in which further requests are taken; the others follow before the next step."""


class Fit:
    """Observes and steers one ``fit``, from its first step to its last, in the training thread.

    Built from below: `Sampling` reads, `ProbeSchedule` probes, `RequestActions` act, `Controller` answers requests.

    Args:
        recorder: Writes the run's log.
        engine: The model.
        plan: ``epochs`` and ``steps`` (of an epoch) if known; a loop may add them later.
        options: The Monitor's options.
        on_trouble: Called with an exception of the thread that reads requests.
        memory: What the probes of earlier fits of this model left; None: this is its first.
    """

    begun: ClassVar[int] = 0
    """How many fits of this process have begun."""

    def __init__(
        self,
        recorder: Recorder,
        engine: Engine,
        plan: MutableMapping[str, Any],
        options: Options,
        *,
        on_trouble: Callable[[Exception], None],
        memory: ProbeMemory | None = None,
    ) -> None:
        Fit.begun += 1
        self._recorder = recorder
        self._engine = engine
        self._options = options
        self._plan = plan
        notes = engine.begin()
        if (epochs := recorder.take_epochs_asked()) is not None:
            engine.epochs.end_after(epochs)
            plan["epochs"] = epochs
        self._is_same_model = memory is not None or recorder.budget is None
        recorder.budget = recorder.budget or Budget(options.overhead, time.monotonic())
        self._budget = recorder.budget
        self._budget.overhead = options.overhead  # Each Monitor of a run has its own.
        self._sampling = Sampling(recorder, engine, self._budget, plan)
        self._splitter = TimeSplitter(recorder, engine, self._budget, self._sampling)
        began = self._sampling.began
        self._next_overhead = began + OVERHEAD_SECONDS
        self._next_checkpoint = began + options.checkpoint_minutes * 60
        self.has_ended = False
        """True once everything is given back to the user."""
        self._is_whole_epoch = self._diagnoses = True
        self._is_described = self._is_of_one_epoch = self._leaves_pause = False
        for words in notes:
            self._recorder.note(words)
        _record_model(self._recorder, self._engine.layers)
        self.memory = memory or ProbeMemory()
        """What the probes leave for the next ``fit`` of the model."""
        self._schedule = ProbeSchedule(recorder, engine, options.probe, self._budget, self._sampling, self.memory)
        self._updates = WeightUpdates(recorder, engine, self._budget, self._sampling)
        self._replaced = ReplacedWeights(recorder, engine, self._budget, self._sampling, self._schedule)
        checkpoints = Checkpoints(recorder.run.checkpoints, kept=options.checkpoints_kept)
        self._actions = RequestActions(recorder, engine, checkpoints, self._sampling, Fit.begun)
        self.program_stop = ProgramStop(engine, self._sampling)
        """Knows whether the program itself has stopped the training."""
        self._controller = Controller(recorder, engine, self._sampling, self._schedule, self._actions)
        if not engine.why_not("freeze"):
            self._prepare_modes()
        self._inbox = Inbox(recorder.run.commands, on_trouble, recorder.note)

    @property
    def was_stopped(self) -> bool:
        """True if training ends because of a request, or because the program itself ends it for a signal."""
        return self._controller.was_stopped or bool(self.program_stop.reason)

    def begin_in(self, mode: Mode, learning_rate: float | None) -> None:
        """Restore the previous attempt's mode at the first step."""
        self._controller.begin_in(mode, learning_rate)

    def begin_epoch(self, epoch: int) -> None:
        """Record that an epoch begins; at the first epoch, also that the ``fit`` begins."""
        self._sampling.begin_epoch(epoch)
        if not self._is_described:
            # Only now is the number of the first epoch known.
            self._is_described = True
            self._recorder.record(self._describe(epoch))
            self._recorder.record(events.StateChanged(state="compiling", detail="the training step"))
            self._sampling.sample()
            self._controller.orders.begin(self._options.orders)
        self._controller.orders.begin_epoch(epoch)

    def before_step(self) -> None:
        """Take requests, wait while paused, and now and then read values and layers. Call it before each step."""
        began = time.perf_counter()
        self._engine.before_step()
        self._sampling.begin_call()
        if self._inbox.received or self._controller.orders.is_due():
            self._take_requests()
        if self._controller.is_paused:
            self._pause()
        now = time.monotonic()
        has_looked = self._sampling.look(now)
        if has_looked:
            self._schedule.plan(now)
            self._diagnose(now)
        coming_step = self._sampling.coming_step
        self._schedule.before_step(coming_step)
        self._replaced.before_step()
        if self._sampling.is_last_call and not self._engine.why_not("freeze"):
            # Nothing runs after a step that is not tuimon's.
            self._replaced.before_last_step()
            self._updates.before_last_step()
        if self._schedule.is_due_at(coming_step, now):
            self._sampling.read_steps()
            self._schedule.probe_between_steps()
        self._splitter.end_hook(began, has_worked=has_looked)

    def begin_validation(self) -> None:
        """Record that a validation begins."""
        self._splitter.begin_validation()
        self._sampling.begin_validation()

    def before_validation_step(self) -> None:
        """Replace the user's validation step for one call. Call it before each validation step."""
        self._engine.validation.before_step(self._controller.mode)
        self._schedule.before_validation_step(time.monotonic())
        self._replaced.before_validation_step()
        self._sampling.begin_validation_call()

    def end_validation(self) -> None:
        """Give the validation step back to the user, and record the validation."""
        self._engine.validation.end()
        self._sampling.end_validation()
        self._splitter.end_validation()

    def end_epoch(self, logs: dict[str, Any]) -> None:
        """Record an epoch with its validation; probe or stop if it is time."""
        began = time.perf_counter()
        self._sampling.read_steps()
        self._sampling.end_first_step()
        self._replaced.end_epoch()
        self._updates.end_epoch()
        now = time.monotonic()
        was_stopped = self._controller.was_stopped or self.program_stop.look()
        self._is_whole_epoch = self._sampling.epoch_left.ends_whole(was_stopped=was_stopped)
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
        if self._sampling.is_last_epoch:
            # The weights are those that were just validated; at the end of `fit`, others may be in their place.
            self._schedule.examine_at_end(now, is_loop=self._is_of_one_epoch)
        self._diagnose(now)
        if now >= self._next_overhead:
            self._write_overhead(now)
        if self._controller.stop_after_epoch:
            self._engine.stop()
            self._controller.was_stopped = True
        self._splitter.add_monitoring(began)

    def save_if_due(self) -> None:
        """Obey orders at the end of an epoch, and save a checkpoint if it is time.

        Call it after all that the user runs there.
        """
        began, now = time.perf_counter(), time.monotonic()
        self._controller.orders.end_epoch(is_whole=self._is_whole_epoch)
        minutes = self._options.checkpoint_minutes
        if (self._controller.was_stopped or self.program_stop.look()) and self._options.checkpoint_at_stop:
            # At the end of `fit`, Keras and callbacks may already have put averages or the best weights in place.
            self._save_checkpoint("training was stopped", at_epoch_end=self._is_whole_epoch)
        elif minutes and now >= self._next_checkpoint:
            self._save_checkpoint(f"{minutes:g} minutes", at_epoch_end=self._is_whole_epoch)
        self._splitter.add_monitoring(began)

    def retreat(self, error: Exception) -> None:
        """Record that the engine left the mode in force for the framework's own step."""
        self._sampling.read_steps()
        self._controller.retreat(error)

    def read_steps(self) -> None:
        """Record the values of the steps since the last time."""
        self._sampling.read_steps()

    def write_last(self) -> None:
        """Record the last values of a ``fit`` that ended well."""
        self._sampling.read_steps()
        self._splitter.record()
        self._replaced.end_fit()
        self._schedule.examine_at_end(time.monotonic(), is_loop=self._is_of_one_epoch)
        self._sampling.sample()
        self._sampling.write_channels()
        self._diagnose(None)
        self._write_overhead(time.monotonic())

    def save_last(self, reason: str, *, after_epoch: bool) -> None:
        """Record the last values between two steps, and save a checkpoint where a stop does that.

        Args:
            reason: Why training ends here.
            after_epoch: Whether it is after the steps of an epoch, and not between them.
        """
        self._sampling.read_steps()
        if self._options.checkpoint_at_stop:
            # One that is being written comes first.
            self._actions.finish_saving(self._options.grace_seconds)
            is_whole = self._sampling.epoch_left.ends_whole(was_stopped=self._controller.was_stopped)
            told = partial(_say_saved, reason, self._recorder.step)
            self._save_checkpoint(reason, at_epoch_end=after_epoch and is_whole, told=told)

    def leave_pause(self) -> None:
        """Let a paused training go on to the next step, where it ends. Called from any thread."""
        self._leaves_pause = True
        self._inbox.wake()

    def end(self, *, keeps_mode: bool = False) -> None:
        """Give everything back to the user, whether the ``fit`` ended well or not.

        Args:
            keeps_mode: True if the ``fit`` continues without tuimon, in the mode in force.
        """
        self.has_ended = True
        # An error of one part must not keep the others from their end.
        with contextlib.ExitStack() as parts:
            parts.callback(self._controller.end)
            parts.callback(self.close_inbox)
            parts.callback(self._actions.finish_saving_at_end)
            parts.callback(self._engine.end, keeps_mode=keeps_mode)

    def close_inbox(self) -> None:
        """Take no further requests, and reject those that have come."""
        self._inbox.close()
        while self._inbox.received:
            received = self._inbox.received.popleft()
            if self._controller.answers.claim(received):
                self._controller.reject(received, "training has ended")

    def _take_requests(self) -> None:
        self._sampling.read_steps()
        deadline = time.perf_counter() + TAKE_SECONDS
        while self._inbox.received and time.perf_counter() < deadline:
            self._controller.take(self._inbox.received.popleft())
        self._controller.orders.obey()

    def _pause(self) -> None:
        """Wait before the next step."""
        if self._engine.waits_in_step:
            # Within the step the data are at hand, so a mode can be traced during the pause.
            self._engine.steps.before_next(self._wait)
        else:
            self._wait(None)

    def _wait(self, data: Data | None) -> None:
        began = time.perf_counter()
        self._sampling.read_steps()
        while self._controller.is_paused and not (
            self._engine.is_stopping or self._inbox.is_closed or self._leaves_pause
        ):
            # A request during the pause, such as a checkpoint, has recorded another state.
            self._recorder.record(events.StateChanged(state="paused"))
            if data is not None and data.catch_up():
                self._recorder.record(events.StateChanged(state="paused"))
            self._controller.tell_what_waits()
            self._inbox.wait()
            self._take_requests()
        self._controller.is_paused = False
        self._recorder.record(events.StateChanged(state="training"))
        self._splitter.add_pause(began)

    def _save_checkpoint(self, reason: str, *, at_epoch_end: bool, told: Callable[[str], None] | None = None) -> None:
        self._next_checkpoint = time.monotonic() + self._options.checkpoint_minutes * 60
        is_over = self._engine.is_stopping and not self.was_stopped
        told = told or (lambda _: None)

        def refused(words: str) -> None:
            self._recorder.note(words)
            told(words)

        self._actions.save_checkpoint(reason, told, refused, at_epoch_end=at_epoch_end, is_over=is_over)

    def _prepare_modes(self) -> None:
        for words in self._options.prepare:
            request = commands.from_words(words)
            try:
                mode = mode_changes.changed(AUTO, request, self._engine.layers)
            except RejectedError as error:
                self._recorder.note(f"prepare {words!r}: {error}")
            else:
                self._engine.steps.prepare(mode, partial(_note_prepared, self._recorder, words))

    def _diagnose(self, now: float | None) -> None:
        """Look for problems if the budget allows it, or if ``now`` is None."""
        if not self._diagnoses or (now is not None and not self._budget.allows("diagnosis", now)):
            return
        try:
            with self._budget.charged("diagnosis"):
                for alert in self._recorder.diagnosis.look():
                    self._recorder.record(alert)
        except Exception as error:  # noqa: BLE001 - an error in a rule must not end the recording
            self._diagnoses = False
            self._recorder.note(f"an error of tuimon turned the diagnosis off: {error!r}")

    def _write_overhead(self, now: float) -> None:
        self._next_overhead = now + OVERHEAD_SECONDS
        share, parts = self._budget.share(now), self._budget.seconds
        self._recorder.record(events.Overhead(share=to_wire(share), parts=scalars_to_wire(parts)))

    def _describe(self, initial_epoch: int) -> events.FitStarted:
        self._is_of_one_epoch = self._plan.get("epochs") == initial_epoch + 1
        mode, facts, layers = self._controller.coming_mode, self._engine.facts(), self._engine.layers
        rate = self._engine.learning_rate
        for part in (self._splitter, self._updates, self._replaced):
            part.describe(facts)
        return events.FitStarted(
            optimizer=facts.optimizer,
            epochs=self._plan.get("epochs"),
            initial_epoch=initial_epoch,
            steps_per_epoch=self._plan.get("steps"),
            jit_compile=facts.jit_compile,
            same_model=self._is_same_model,
            averages_weights=facts.averages_weights,
            restores_best=facts.restores_best,
            batch_size=facts.batch_size,
            last_batch_size=facts.last_batch_size,
            can=self._controller.can,
            phase=mode.phase,
            frozen=frozen(layers, mode),
            statistics_held=statistics_held(layers, mode),
            frozen_weights=frozen_weights(layers, mode),
            momentum=dict(sorted(mode.momentum)),
            learning_rate=None if rate.drivers() else to_wire(rate.now(mode)),
        )


def _say_saved(reason: str, step: int, trouble: str) -> None:
    # Whoever ends a training looks at its terminal, not at the log.
    say(f"{reason}: {trouble or f'a checkpoint of step {count(step)} is saved'}")


def _note_prepared(recorder: Recorder, words: str, seconds: float, error: Exception | None) -> None:
    text = f"cannot be traced: {plain(str(error))}" if error else f"traced in {seconds:.1f} s"
    recorder.note(f"prepare {words!r}: {text}")


def _record_model(recorder: Recorder, layers: Layers) -> None:
    """Record the layers; if the user changed flags after the trace, first with the flags that have effect."""
    if not layers.look():
        return
    as_traced = layers.describe_as_traced()
    if as_traced is not None:
        recorder.record(as_traced)
        changed = len(layers.flags_without_effect)
        count = "1 layer" if changed == 1 else f"{changed} layers"
        recorder.note(
            f"`trainable` of {count} was set after the step was traced, without effect: compile the model anew"
        )
    recorder.record(layers.describe())
