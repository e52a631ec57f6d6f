"""One ``fit`` of one model: what is read from it, when, and what of it becomes a fact."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tuimon.protocol import commands, events
from tuimon.protocol.wire import Number, list_to_wire, scalars_to_wire, to_wire
from tuimon.text import plain
from tuimon.trainer.budget import Budget
from tuimon.trainer.keras import keras_internals
from tuimon.trainer.keras.checkpoint import Checkpoints
from tuimon.trainer.keras.measuring import batch_norm
from tuimon.trainer.keras.steps.batch_values import RING_STEPS
from tuimon.trainer.keras.steps.modes import AUTO, Mode
from tuimon.trainer.keras.watched_model import UNKNOWN_FLAGS, WatchedModel
from tuimon.trainer.options import Options
from tuimon.trainer.requests import mode_changes
from tuimon.trainer.requests.actions import AT_THE_END_SECONDS, EpochLeft, RequestActions
from tuimon.trainer.requests.controller import Controller
from tuimon.trainer.requests.inbox import Inbox
from tuimon.trainer.requests.mode_changes import RejectedError
from tuimon.trainer.schedule import ProbeSchedule, Say
from tuimon.trainer.session.recorder import Recorder

LOOK_SECONDS = 0.25
"""How often the steps' values are fetched from the device, and the layers at most."""
CHANNELS_SECONDS = 10.0
"""How often the full arrays are written at most."""
OVERHEAD_SECONDS = 10.0
"""How often it is written at most what monitoring takes."""
SAMPLES = 1000
"""After t seconds the layers are sampled every t / 1000 s at most, so that a long run's log stays small."""


class Fit:
    """Observes and steers one ``fit``, from its first step to its last. All of it runs in the training thread.

    Args:
        recorder: The run.
        instruments: The model.
        params: What Keras tells its callbacks: epochs, steps.
        options: What the Monitor was told.
        on_trouble: Called with an exception in a thread that reads requests.
    """

    def __init__(
        self,
        recorder: Recorder,
        instruments: WatchedModel,
        params: dict[str, Any],
        options: Options,
        *,
        on_trouble: Callable[[Exception], None],
    ) -> None:
        self._recorder = recorder
        self._instruments = instruments
        self._model = instruments.model
        self._options = options
        self._base_step = recorder.step - self._steps_of_model()
        self._first_step = recorder.step
        self._began = self._epoch_began = time.monotonic()
        self._next_look = self._next_sample = 0.0
        self._next_channels = self._began + CHANNELS_SECONDS
        self._next_overhead = self._began + OVERHEAD_SECONDS
        recorder.budget = recorder.budget or Budget(options.overhead, self._began)
        self._budget = recorder.budget
        self._diagnoses = True
        self._first_step_began: float | None = None
        self._compile_seconds = math.inf
        self._unread_calls = 0
        self._steps_per_call = int(self._model.steps_per_execution or 1)
        self._calls_per_ring = max(1, RING_STEPS // self._steps_per_call)
        self._is_compiling = True
        self._validation: dict[str, list[Number]] = {}
        self._validation_batches = 0
        self._iterations_before = self._iterations()
        self._record_model()
        self._params = params
        self._is_described = False
        checkpoints = Checkpoints(recorder.run.checkpoints, kept=options.checkpoints_kept)
        self._interventions = RequestActions(recorder, instruments, checkpoints, self._epoch_left)
        self._interventions.epoch_first_step = recorder.step
        self._controller = Controller(recorder, instruments, self, self._interventions)
        self._probing = ProbeSchedule(
            recorder,
            instruments,
            options.probe,
            self._budget,
            mode=lambda: self._controller.mode,
            compile_seconds=lambda: self._compile_seconds,
            step_seconds=self._mean_step_seconds,
        )
        self._next_checkpoint = self._began + options.checkpoint_minutes * 60
        if not instruments.why_not_steerable:
            self._prepare_modes()
        self._inbox = Inbox(recorder.run.commands, on_trouble)
        instruments.in_use = True

    @property
    def was_stopped(self) -> bool:
        """Whether training ends because somebody asked."""
        return self._controller.was_stopped

    def begin_in(self, mode: Mode, learning_rate: float | None) -> None:
        """Begin in a mode that an earlier attempt was in."""
        self._controller.begin_in(mode, learning_rate)

    def begin_epoch(self, epoch: int) -> None:
        """An epoch begins."""
        self._recorder.epoch = epoch
        self._epoch_began = time.monotonic()
        self._interventions.epoch_first_step = self._recorder.step
        if not self._is_described:
            # Which epoch is the first, Keras tells its callbacks only now.
            self._is_described = True
            self._recorder.record(self._describe(epoch))
            self._recorder.record(events.StateChanged(state="compiling", detail="the training step"))
            self.sample()

    def before_step(self) -> None:
        """Take requests and, now and then, fetch what the steps left."""
        # Batches that were read ahead come through it, even where nothing else may.
        if not self._instruments.why_not_steerable or self._instruments.train.is_needed:
            self._instruments.train.install()
        if self._unread_calls and self._is_compiling:
            self._compiled()
        self._unread_calls += 1
        if self._first_step_began is None:
            self._first_step_began = time.monotonic()
        if self._inbox.received:
            self._take_requests()
        if self._controller.is_paused:
            self._pause()
        now = time.monotonic()
        if now >= self._next_look or self._unread_calls >= self._calls_per_ring:
            self._next_look = now + LOOK_SECONDS
            self.read_steps()
            if now >= self._next_sample and self._budget.allows("sampling", now):
                self.sample()
            self._diagnose(now)
        if self._probing.is_due_at(self._recorder.step + (self._unread_calls - 1) * self._steps_per_call, now):
            self.read_steps()
            self._probing.probe_between_steps()

    def begin_validation(self) -> None:
        """A validation begins: put our test function in place of the user's."""
        self.read_steps()
        self._compiled()
        self._recorder.record(events.StateChanged(state="validating"))
        self._validation, self._validation_batches = {}, 0

    def before_validation_step(self) -> None:
        """Put our test function in place for a step; fetch the values before there is no room for more."""
        if not self._instruments.why_not_steerable:
            self._instruments.test.install(self._instruments.validation_mode(self._controller.mode))
            self._probing.before_validation_step(time.monotonic())
        self._validation_batches += 1
        if self._validation_batches % self._calls_per_ring == 0:
            self._read_validation()

    def end_validation(self) -> None:
        """A validation ended: the user's test function comes back."""
        self._instruments.test.restore()
        self._read_validation()
        if self._validation:
            batches = max(map(len, self._validation.values()))
            self._recorder.record(events.ValidationBatches(metrics=self._validation, batches=batches))
        self._recorder.record(events.StateChanged(state="training"))

    def end_epoch(self, logs: dict[str, Any]) -> None:
        """An epoch ended, its validation included."""
        self.read_steps()
        self._compiled()
        # Where training was stopped within the epoch, Keras ends it all the same.
        left = self._epoch_left()
        is_whole = not self._controller.was_stopped or (left.steps > 0 and left.left <= 0)
        now = time.monotonic()
        self._recorder.record(
            events.EpochEnded(
                logs=scalars_to_wire(logs),
                learning_rate=self._learning_rate(),
                seconds=now - self._epoch_began,
            )
        )
        if now >= self._next_channels:
            self.write_channels()
        self._probing.end_epoch(now)
        self._probing.end_validation(logs, now)
        self._diagnose(now)
        if now >= self._next_overhead:
            self._write_overhead(now)
        if self._controller.stop_after_epoch:
            self._model.stop_training = self._controller.was_stopped = True
        minutes = self._options.checkpoint_minutes
        if self.was_stopped and self._options.checkpoint_at_stop:
            # Here, not at the end of `fit`: there, Keras and callbacks may put averages or the best weights in place.
            self._save_checkpoint("training was stopped", at_epoch_end=is_whole)
        elif minutes and now >= self._next_checkpoint:
            self._save_checkpoint(f"{minutes:g} minutes", at_epoch_end=is_whole)

    def retreat_of_validation(self, error: Exception) -> None:
        """The validation's function of the mode in force gave way to Keras' own."""
        words = f"validation goes on as Keras does it: the mode cannot be traced there: {plain(str(error))}"
        self._recorder.record(events.Note(text=words))

    def leave_steps(self, kind: str, error: Exception) -> None:
        """The first step of ours could not be traced, and Keras' own ran in its place."""
        text = f"Keras' own {kind} step runs as it is, without values of single batches: {plain(str(error))}"
        if kind == "test":
            self._instruments.leave_test_values()
        else:
            self._instruments.leave_steps(text)
            self._base_step = self._first_step - self._iterations_before
        self._recorder.record(events.Note(text=text))

    def count_anew(self) -> None:
        """The model's own counter of steps was put back; those of the run go on."""
        self._base_step = self._recorder.step - self._steps_of_model()

    def retreat(self, error: Exception) -> None:
        """The mode in force gave way to Keras' own."""
        self.read_steps()
        self._controller.retreat(error)

    def end(self, *, keeps_mode: bool = False) -> None:
        """The fit ended, well or not: everything is the user's again.

        Args:
            keeps_mode: Whether it goes on without us, and the step's mode with it.
        """
        self._instruments.train.restore()
        self._instruments.test.restore()
        self._instruments.in_use = False
        self._instruments.test.leave_fit()
        if not keeps_mode:
            self._instruments.train.leave_fit()
        self._interventions.finish_saving(AT_THE_END_SECONDS)
        self.close_inbox()
        self._controller.end()

    def leave_functions(self) -> None:
        """The fit ended without a word; from another thread: where a function of ours is left, it is the user's."""
        self._instruments.train.fit_is_over()
        self._instruments.test.fit_is_over()

    def close_inbox(self) -> None:
        """Take no further requests, and say so to those that have come."""
        self._inbox.close()
        while self._inbox.received:
            received = self._inbox.received.popleft()
            if received.claim():
                self._controller.reject(received, "training has ended")

    def write_last(self) -> None:
        """Record the end of a fit that went well."""
        self.read_steps()
        self.sample()
        self.write_channels()
        self._diagnose(None)
        self._write_overhead(time.monotonic())

    def why_no_probe(self) -> str:
        """Return why nothing can be probed; empty where it can."""
        return self._probing.why_not

    def probe(self, applied: Say, rejected: Say) -> None:
        """Measure the gap between training mode and inference mode now."""
        self._probing.ask(applied, rejected)

    def mode_changed(self, words: str) -> None:
        """A step was made in another mode."""
        self._probing.mode_changed(words)

    def read_steps(self) -> None:
        """Fetch the values of the steps since the last time."""
        self._unread_calls = 0
        values = self._instruments.values
        own = values.read() if values else {}
        step = self._base_step + self._steps_of_model()
        batches = step - self._recorder.step
        if batches <= 0:
            return
        self._recorder.step = step
        count = len(next(iter(own.values()), ())) or batches
        self._recorder.record(
            events.Batches(
                first_step=step - count,
                metrics={name: list_to_wire(column) for name, column in own.items()},
                running=self._running_values(own),
                batches=count,
            )
        )

    def sample(self) -> None:
        """Record every BatchNormalization layer, summed up."""
        started = time.perf_counter()  # Walking through a large model is part of the cost.
        if self._instruments.look_for_layers():
            self._recorder.record(self._instruments.describe())
        reader = self._instruments.reader
        if not reader.layers:
            return
        self.read_steps()
        mode = self._controller.mode
        layers = {
            path: batch_norm.statistics(arrays, reader.layers[path].epsilon, self._instruments.layer_mode(path, mode))
            for path, arrays in reader.read().items()
        }
        self._recorder.record(events.BatchNorm(layers=layers))
        now = time.monotonic()
        self._budget.charge("sampling", time.perf_counter() - started, now)
        self._next_sample = now + (now - self._began) / SAMPLES

    def write_channels(self) -> None:
        """Record the full arrays of every BatchNormalization layer."""
        self._next_channels = time.monotonic() + CHANNELS_SECONDS
        reader = self._instruments.reader
        if reader.layers:
            layers = {path: batch_norm.channel_values(arrays) for path, arrays in reader.read().items()}
            self._recorder.record(events.BatchNormChannels(layers=layers))

    def _take_requests(self) -> None:
        self.read_steps()
        while self._inbox.received:
            self._controller.take(self._inbox.received.popleft())

    def _pause(self) -> None:
        """Wait before the next step."""
        if self._instruments.why_not_steerable or self._instruments.why_no_data:
            self._wait(None)
        else:
            # Within the step's call, where the data are at hand: what needs a trace can be done meanwhile.
            self._instruments.train.before_next(self._wait)

    def _wait(self, iterator: Any) -> None:
        self.read_steps()
        train = self._instruments.train
        while self._controller.is_paused and not self._model.stop_training and not self._inbox.is_closed:
            # Again after what was asked meanwhile: a checkpoint, say.
            self._recorder.record(events.StateChanged(state="paused"))
            if iterator is not None:
                train.trace_pending(iterator)
                if train.do_tasks(iterator):
                    self._recorder.record(events.StateChanged(state="paused"))
            self._inbox.wait()
            self._take_requests()
        self._controller.is_paused = False
        self._recorder.record(events.StateChanged(state="training"))

    def _save_checkpoint(self, reason: str, *, at_epoch_end: bool) -> None:
        self._next_checkpoint = time.monotonic() + self._options.checkpoint_minutes * 60

        def failed(words: str) -> None:
            self._recorder.record(events.Note(text=words))

        self._interventions.save_checkpoint(reason, lambda _: None, failed, at_epoch_end=at_epoch_end)

    def _prepare_modes(self) -> None:
        for words in self._options.prepare:
            request = commands.from_words(words)
            try:
                mode = mode_changes.changed(AUTO, request, self._instruments)
            except RejectedError as error:
                self._recorder.record(events.Note(text=f"prepare {words!r}: {error}"))
            else:
                self._instruments.train.prepare(mode, partial(self._prepared, words))

    def _prepared(self, words: str, seconds: float, error: Exception | None) -> None:
        text = f"cannot be traced: {plain(str(error))}" if error else f"traced in {seconds:.1f} s"
        self._recorder.record(events.Note(text=f"prepare {words!r}: {text}"))

    def _epoch_left(self) -> EpochLeft:
        steps, epochs = self._params.get("steps"), self._params.get("epochs")
        if steps is None:
            return EpochLeft()
        done = self._recorder.step - self._interventions.epoch_first_step
        return EpochLeft(steps, steps - done, follows=epochs is not None and self._recorder.epoch + 1 < epochs)

    def _diagnose(self, now: float | None) -> None:
        """Look for what is wrong; by all means where no time is given."""
        if not self._diagnoses or (now is not None and not self._budget.allows("diagnosis", now)):
            return
        try:
            with self._budget.charged("diagnosis"):
                for alert in self._recorder.diagnosis.look():
                    self._recorder.record(alert)
        except Exception as error:  # noqa: BLE001 - a mistake in a rule must not end the recording
            self._diagnoses = False
            self._recorder.record(events.Note(text=f"the diagnosis is off by an error of tuimon's own: {error!r}"))

    def _write_overhead(self, now: float) -> None:
        self._next_overhead = now + OVERHEAD_SECONDS
        share, parts = self._budget.share(now), self._budget.seconds
        self._recorder.record(events.Overhead(share=to_wire(share), parts=scalars_to_wire(parts)))

    def _compiled(self) -> None:
        if self._is_compiling:
            self._is_compiling = False
            if self._first_step_began is not None:
                first_seconds = time.monotonic() - self._first_step_began
                self._compile_seconds = max(first_seconds, self._instruments.compile_seconds)
                self._instruments.compile_seconds = self._compile_seconds
            self._recorder.record(events.StateChanged(state="training"))

    def _mean_step_seconds(self) -> float:
        compiling = 0.0 if self._is_compiling else self._compile_seconds
        return max(0.0, time.monotonic() - self._began - compiling) / max(1, self._recorder.step - self._first_step)

    def _read_validation(self) -> None:
        values = self._instruments.test_values
        for name, column in (values.read() if values else {}).items():
            self._validation.setdefault(name, []).extend(list_to_wire(column))

    def _steps_of_model(self) -> int:
        if self._instruments.values is not None:
            return self._instruments.values.steps
        return self._iterations()

    def _iterations(self) -> int:
        optimizer = self._model.optimizer
        return int(keras_internals.number(optimizer.iterations)) if optimizer is not None else 0

    def _record_model(self) -> None:
        """Record the layers; first with the flags that have effect, where others were set since."""
        if self._instruments.why_not_steerable == UNKNOWN_FLAGS:
            self._recorder.record(events.Note(text=UNKNOWN_FLAGS))
        is_new = not self._instruments.is_described
        if not self._instruments.look_for_layers():
            return
        changed = self._instruments.changed_since_trace if is_new else []
        if changed:
            self._recorder.record(self._instruments.describe_as_traced())
            count = "1 layer" if len(changed) == 1 else f"{len(changed)} layers"
            text = f"`trainable` of {count} was set after the step was traced, without effect: compile the model anew"
            self._recorder.record(events.Note(text=text))
        self._recorder.record(self._instruments.describe())

    def _running_values(self, own: dict[str, Any]) -> dict[str, Number]:
        logs = self._instruments.train.last_logs
        return scalars_to_wire({name: value for name, value in logs.items() if name not in own})

    def _learning_rate(self) -> Number:
        return to_wire(self._instruments.learning_rate(self._controller.mode))

    def _describe(self, initial_epoch: int) -> events.FitStarted:
        mode, optimizer = self._controller.coming_mode, self._model.optimizer
        sizes = keras_internals.batch_sizes(self._model)
        return events.FitStarted(
            optimizer=type(optimizer).__name__ if optimizer is not None else "",
            epochs=self._params.get("epochs"),
            initial_epoch=initial_epoch,
            steps_per_epoch=self._params.get("steps"),
            jit_compile=bool(self._model.jit_compile),
            batch_size=sizes.usual,
            last_batch_size=sizes.last,
            can=self._controller.can,
            phase=mode.phase,
            frozen=self._instruments.frozen(mode),
            statistics_held=[path for path in self._instruments.reader.layers if path in mode.statistics],
            frozen_weights=self._instruments.frozen_weights(mode),
            momentum=dict(sorted(mode.momentum)),
        )
