"""Reads the steps, layers and timings of one ``fit``, and its position in the epoch, for the log."""

import math
import time
from collections.abc import MutableMapping
from typing import Any

from msgspec import Struct

from tuimon.protocol import events
from tuimon.protocol.wire import Number, list_to_wire, scalars_to_wire
from tuimon.trainer import batch_norm
from tuimon.trainer.budget import Budget
from tuimon.trainer.engine import Engine
from tuimon.trainer.session.recorder import Recorder

LOOK_SECONDS = 0.25
"""Time between two readings of the steps' values; the layers are read at most as often."""
CHANNELS_SECONDS = 10.0
"""Shortest time between two records of the full arrays, unless a request asks for one."""
OLDEST_SECONDS = 5.0
"""The layers are read at least this often, whatever the first reading took, unless one takes long."""
LONGEST_SHARE = 0.01
"""A reading is not due for its age before this is its share of the time since the last one."""
FIRST_SAMPLES, FIRST_STEPS = 3, 10
"""The first samples come after so many steps each: a short run, too, is to show whether anything moves."""
SAMPLES = 1000
"""After t seconds, the layers are read at most every t / 1000 seconds, so the log of a long run stays small."""


class EpochLeft(Struct, frozen=True):
    """The rest of the epoch under way; all zero if its length is unknown."""

    steps: int = 0
    """Steps of a whole epoch; 0 if unknown."""
    left: int = 0
    """Steps still to come in this epoch."""
    follows: bool = False
    """True if another epoch follows."""

    def ends_whole(self, *, was_stopped: bool) -> bool:
        """Return True if all steps of an epoch are made at its end; after a stop, Keras ends it all the same."""
        return not was_stopped or (self.steps > 0 and self.left <= 0)


class Sampling:
    """Reads one ``fit``, in its training thread.

    Args:
        recorder: Writes the facts. During a ``fit``, only this object tells it the step and the epoch.
        engine: The model.
        budget: Limits the cost of reading the layers.
        plan: ``epochs`` and ``steps`` (of an epoch) if known; a loop may add them later.
    """

    def __init__(self, recorder: Recorder, engine: Engine, budget: Budget, plan: MutableMapping[str, Any]) -> None:
        self.began = time.monotonic()
        """When the fit began, by `time.monotonic`."""
        self.compile_seconds = math.inf
        """Seconds of the first step, with its trace; infinite before it."""
        self.is_compiling = True
        """True until the first step has ended."""
        self.epoch_first_step = recorder.step
        """The step at which the epoch under way began."""
        self.readings = 0
        """How often the steps' values were read."""
        self.reading_seconds = 0.0
        """What that took. The device may have to finish these steps first."""
        self._recorder = recorder
        self._engine = engine
        self._budget = budget
        self._plan = plan
        self._base_step = recorder.step - engine.steps_made()
        self._first_step = recorder.step
        self._first_step_began: float | None = None
        self._epoch_began = self.began
        self._next_look = self._next_sample = 0.0
        self._samples, self._sampled_at, self._sampled_step = 0, self.began, recorder.step
        self._sample_seconds = 0.0
        self._next_channels = self.began + CHANNELS_SECONDS
        self._unread_calls = self._calls_of_epoch = 0
        self._last_call: float | None = None
        self._timed_seconds, self._timed_steps = 0.0, 0
        self._validation: dict[str, list[Number]] = {}
        self._validation_calls = 0

    @property
    def coming_step(self) -> int:
        """Steps completed before the coming call, including those whose values are not read yet."""
        return self.epoch_first_step + (self._calls_of_epoch - 1) * self._engine.steps.steps_per_call

    @property
    def epoch_left(self) -> EpochLeft:
        """The rest of the epoch under way."""
        steps, epochs = self._plan.get("steps"), self._plan.get("epochs")
        if steps is None:
            return EpochLeft()
        done = self._recorder.step - self.epoch_first_step
        return EpochLeft(steps, steps - done, follows=epochs is not None and self._recorder.epoch + 1 < epochs)

    @property
    def is_last_call(self) -> bool:
        """True before the last call of the training step in an epoch, if the length of the epoch is known."""
        steps = self._plan.get("steps")
        end = self.coming_step + self._engine.steps.steps_per_call
        return steps is not None and end >= self.epoch_first_step + steps

    @property
    def is_last_epoch(self) -> bool:
        """True in the last epoch of the ``fit``, if the number of epochs is known."""
        return bool(self._plan.get("epochs") == self._recorder.epoch + 1)

    @property
    def is_complete(self) -> bool:
        """True once all steps of the last epoch are made, if their number is known."""
        return self.is_last_epoch and self.epoch_left.ends_whole(was_stopped=True)

    @property
    def last_epoch(self) -> int | None:
        """The number of the last epoch of the ``fit``, from 1; None if unknown."""
        epochs = self._plan.get("epochs")
        return None if epochs is None else int(epochs)

    def end_after(self, epochs: int) -> None:
        """Note that the ``fit`` ends after another number of epochs."""
        self._plan["epochs"] = epochs

    @property
    def is_last_of_epochs(self) -> bool:
        """True in the last of several epochs. A ``fit`` of one may be one of many."""
        return self.is_last_epoch and self.epoch_first_step > self._first_step

    @property
    def step_seconds(self) -> float:
        """Mean seconds of a step of this ``fit``, without the first step, and where possible without validations."""
        if self._timed_steps:
            return self._timed_seconds / self._timed_steps
        compiling = 0.0 if self.is_compiling else self.compile_seconds
        return max(0.0, time.monotonic() - self.began - compiling) / max(1, self._recorder.step - self._first_step)

    def epoch_seconds(self, now: float) -> float:
        """Return the seconds since the epoch began."""
        return now - self._epoch_began

    def begin_epoch(self, epoch: int) -> None:
        """Set the epoch under way, and the step and time at which it began."""
        self._recorder.enter_epoch(epoch)
        self._calls_of_epoch = 0
        self._last_call = None
        self._epoch_began = time.monotonic()
        self.epoch_first_step = self._recorder.step

    def begin_call(self) -> None:
        """Count a call of the training step that is about to begin."""
        if self._first_step_began is not None:
            self.end_first_step()
        self._unread_calls += 1
        self._calls_of_epoch += 1
        now = time.monotonic()
        if self._first_step_began is None:
            self._first_step_began = now
            return
        if self._last_call is not None:
            self._timed_seconds += now - self._last_call
            self._timed_steps += self._engine.steps.steps_per_call
        self._last_call = now

    def end_first_step(self) -> None:
        """Record that the first step has ended, unless that was recorded."""
        if not self.is_compiling:
            return
        self.is_compiling = False
        if self._first_step_began is not None:
            seconds = time.monotonic() - self._first_step_began
            self.compile_seconds = self._engine.compile_seconds = max(seconds, self._engine.compile_seconds)
        self._recorder.record(events.StateChanged(state="training"))

    def look(self, now: float) -> bool:
        """Read steps and layers if it is time; return True if it was."""
        if now < self._next_look and self._unread_calls < self._engine.steps.calls_unread:
            return False
        self._next_look = now + LOOK_SECONDS
        self.read_steps()
        if self._is_old(now) or (now >= self._next_sample and self._budget.allows("sampling", now)):
            self.sample()
        return True

    def _is_old(self, now: float) -> bool:
        """Return True if the layers are to be read for the age of what was read last."""
        if self._samples < FIRST_SAMPLES and self._recorder.step >= self._sampled_step + FIRST_STEPS:
            return True
        return now - self._sampled_at >= max(OLDEST_SECONDS, self._sample_seconds / LONGEST_SHARE)

    def read_steps(self) -> None:
        """Record the values of the steps since the last time."""
        self._unread_calls = 0
        began = time.perf_counter()
        own = self._engine.read_values()
        read = time.perf_counter()
        step = self._base_step + self._engine.steps_made()
        batches = step - self._recorder.step
        if batches <= 0:
            return
        self.readings += 1
        self.reading_seconds += read - began
        self._recorder.reach(step)
        count = len(next(iter(own.values()), ())) or batches
        running = {name: value for name, value in self._engine.running_values().items() if name not in own}
        self._recorder.record(
            events.Batches(
                first_step=step - count,
                metrics={name: list_to_wire(column) for name, column in own.items()},
                running=scalars_to_wire(running),
                batches=count,
            )
        )

    def count_anew(self) -> None:
        """Continue the run's count of steps after a rollback set the framework's count back."""
        self._base_step = self._recorder.step - self._engine.steps_made()

    def sample(self) -> None:
        """Record quantiles of every BatchNormalization layer over its channels."""
        started = time.perf_counter()  # Finding the layers of a large model is part of the cost.
        layers = self._engine.layers
        if layers.look():
            self._recorder.record(layers.describe())
        if not layers.batch_norm:
            return
        self.read_steps()
        mode = self._engine.steps.mode
        statistics = {
            path: batch_norm.statistics(arrays, layers.batch_norm[path].epsilon, layers.flagged(path, mode))
            for path, arrays in layers.read().items()
        }
        self._recorder.record(events.BatchNorm(layers=statistics))
        now, self._sample_seconds = time.monotonic(), time.perf_counter() - started
        self._samples, self._sampled_at, self._sampled_step = self._samples + 1, now, self._recorder.step
        self._budget.charge("sampling", self._sample_seconds, now)
        self._next_sample = now + (now - self.began) / SAMPLES

    def write_channels_if_due(self, now: float) -> None:
        """Record the full arrays if the last ones are old enough."""
        if now >= self._next_channels:
            self.write_channels()

    def write_channels(self) -> None:
        """Record the full arrays of every BatchNormalization layer."""
        self._next_channels = time.monotonic() + CHANNELS_SECONDS
        if self._engine.layers.batch_norm:
            arrays = self._engine.layers.read()
            channels = {path: batch_norm.channel_values(of_layer) for path, of_layer in arrays.items()}
            self._recorder.record(events.BatchNormChannels(layers=channels))

    def begin_validation(self) -> None:
        """Record that a validation begins."""
        self.read_steps()
        self.end_first_step()
        self._recorder.record(events.StateChanged(state="validating"))
        self._validation, self._validation_calls = {}, 0

    def begin_validation_call(self) -> None:
        """Count a call of the validation step; read the values before the engine must drop some."""
        self._validation_calls += 1
        if self._validation_calls % self._engine.steps.calls_unread == 0:
            self._read_validation()

    def end_validation(self) -> None:
        """Record the values of a validation's batches."""
        self._read_validation()
        if self._validation:
            batches = max(map(len, self._validation.values()))
            self._recorder.record(events.ValidationBatches(metrics=self._validation, batches=batches))
        self._recorder.record(events.StateChanged(state="training"))

    def _read_validation(self) -> None:
        for name, column in self._engine.validation.read_values().items():
            self._validation.setdefault(name, []).extend(list_to_wire(column))
