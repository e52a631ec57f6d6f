"""Measures where the time of the training steps goes: data, step, validation, callbacks, monitoring.

Nothing waits for the device, and no step computes anything else. Every call of the step is timed as a whole. Only a few
calls are timed in two parts, because that costs a millisecond: first the batch is read, then the step runs on it.
"""

import random
import time
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import astuple

from tuimon.protocol import events
from tuimon.protocol.wire import to_wire
from tuimon.trainer.budget import Budget
from tuimon.trainer.engine import Engine, FitFacts
from tuimon.trainer.sampling import Sampling
from tuimon.trainer.session.recorder import Recorder

FIRST_SECONDS = 5.0
"""Time from the first step to the first record."""
EVERY_SECONDS = 10.0
"""Shortest time between two records, but for the last one."""
WAIT_SECONDS = 1.0
"""Time before a call is timed in two parts: the first steps of a ``fit`` are slower than the others."""
EARLY_CALLS = 8
"""Calls that are timed in two parts before the budget has saved for them, so that the first record rests on some."""
EARLY_EVERY, LATER_EVERY = 0.45, 1.0
"""Mean seconds between two calls that are timed in two parts: the early ones, and the others at most."""
FEWEST_CALLS = 6
"""With fewer of these calls nothing is recorded."""


class Totals(Struct):
    """Running totals, in seconds but for the counts."""

    steps: int = 0
    calls: int = 0
    in_calls: float = 0.0
    left_out: float = 0.0
    """Calls that trace, traces of probes, and pauses: neither training nor monitoring."""
    monitoring: float = 0.0
    validation: float = 0.0
    reading: float = 0.0
    """The part of `monitoring` that reads the steps' values, and waits for the device if it is not done with them."""
    reads: int = 0

    def since(self, other: "Totals") -> "Totals":
        """Return what came on top of earlier totals."""
        return Totals(*(new - old for new, old in zip(astuple(self), astuple(other), strict=True)))


class TimeSplitter:
    """Splits the time of one ``fit``, in its training thread.

    Args:
        recorder: Writes the facts.
        engine: The model; times the calls of its step.
        budget: Limits the cost of timing calls in two parts.
        sampling: Reads the steps' values.
    """

    def __init__(self, recorder: Recorder, engine: Engine, budget: Budget, sampling: Sampling) -> None:
        self._recorder = recorder
        self._engine = engine
        self._budget = budget
        self._sampling = sampling
        self._facts: FitFacts | None = None
        self._hooks = self._paused = self._validation = 0.0
        self._validation_began = 0.0
        self._due = 0.0
        self._began: float | None = None
        self._next_record = self._next_timed = 0.0
        self._is_postponed = False
        self._suspended = 0.0
        self._random = random.Random(0)  # noqa: S311 - only spreads the timed calls; the user's random numbers stay.
        self._timed_before = engine.steps.times.timed_calls
        self._charged = engine.steps.times.timing
        self._before = Totals()

    def describe(self, facts: FitFacts) -> None:
        """Take the facts of this ``fit``."""
        self._facts = facts

    def add_monitoring(self, began: float) -> None:
        """Count the time since ``began``, by `time.perf_counter`, as monitoring."""
        self._hooks += time.perf_counter() - began

    def add_pause(self, began: float) -> None:
        """Leave out the time since ``began``, in which the run was paused."""
        self._paused += time.perf_counter() - began

    def end_hook(self, began: float, *, has_worked: bool) -> None:
        """Count what came before a step as monitoring; time its call in two parts, or record, if it is time.

        Args:
            began: When it began, by `time.perf_counter`.
            has_worked: True if it took long enough for the data to arrive in the meantime.
        """
        now = time.perf_counter()
        self._hooks += now - began
        if now < self._due:
            return
        if has_worked and not self._is_postponed:
            self._is_postponed = True
            return
        self._is_postponed = False
        self._attend(now)

    def begin_validation(self) -> None:
        """Begin to count as validation."""
        self._validation_began = time.perf_counter()

    def end_validation(self) -> None:
        """End to count as validation."""
        self._validation += time.perf_counter() - self._validation_began

    def record(self) -> None:
        """Record where the time since the last record went, if it is known."""
        now, totals = time.perf_counter(), self._totals()
        times = self._engine.steps.times
        timed = [*times.timed][-max(0, times.timed_calls - self._timed_before) :] if self._timed_calls else []
        if self._began is None or len(timed) < FEWEST_CALLS:
            return
        if self._suspended != self._recorder.suspended_seconds:
            self._suspended = self._recorder.suspended_seconds
            # Nobody knows in which part the process stood still, so this time is in none.
            self._began, self._before = now, totals
            self._timed_before = times.timed_calls
            return
        new, wall = totals.since(self._before), now - self._began
        steps = new.calls * self._engine.steps.steps_per_call
        # A step that the engine could not time would count as a callback.
        if steps and steps >= new.steps / 2:
            seconds = self._parts(new, wall - new.left_out, timed)
            self._recorder.record(
                events.TimeSplit(
                    steps=steps,
                    seconds={name: to_wire(value) for name, value in seconds.items()},
                    timed_calls=len(timed),
                    data=self._facts.data if self._facts else "",
                    returns_early=self._returns_early,
                )
            )
        self._began, self._before = now, totals

    @property
    def _returns_early(self) -> bool:
        return self._facts is not None and self._facts.returns_early

    @property
    def _timed_calls(self) -> int:
        return self._engine.steps.times.timed_calls - self._timed_before

    def _attend(self, now: float) -> None:
        if self._began is None:
            self._began, self._before = now, self._totals()
            self._suspended = self._recorder.suspended_seconds
            self._next_record, self._next_timed = now + FIRST_SECONDS, now + WAIT_SECONDS
        if now >= self._next_record and self._timed_calls >= FEWEST_CALLS:
            self.record()
            self._next_record = now + EVERY_SECONDS
        if now >= self._next_timed:
            self._charge()
            is_early = self._timed_calls < EARLY_CALLS
            if is_early or self._budget.allows("timing", time.monotonic()):
                self._engine.steps.time_next()
            # At random times, so that they do not keep step with batches that arrive several at once.
            self._next_timed = now + (EARLY_EVERY if is_early else LATER_EVERY) * self._random.uniform(0.5, 1.5)
        self._due = min(self._next_timed, max(self._next_record, now + EARLY_EVERY))

    def _charge(self) -> None:
        times = self._engine.steps.times
        seconds, self._charged = times.timing - self._charged, times.timing
        if seconds > 0 and self._engine.steps.steps_per_call > 1 and times.timed:
            # The data of several steps were read before the first of them, which otherwise overlap.
            seconds += times.timed[-1][0]
        if seconds > 0:
            self._budget.charge("timing", seconds, time.monotonic())

    def _totals(self) -> Totals:
        times, traces = self._engine.steps.times, self._budget.seconds["traces"]
        return Totals(
            steps=self._recorder.step,
            calls=times.calls,
            in_calls=times.seconds,
            left_out=times.left_out + self._paused + traces,
            monitoring=self._hooks + times.own - self._paused - traces,
            validation=self._validation,
            reading=self._sampling.reading_seconds,
            reads=self._sampling.readings,
        )

    def _parts(self, new: Totals, wall: float, timed: Sequence[tuple[float, float]]) -> dict[str, float]:
        monitoring = max(0.0, new.monitoring)
        callbacks = max(0.0, wall - new.in_calls - monitoring - new.validation)
        data = waited(timed, new.calls, new.in_calls)
        parts = {"data": data, "step": new.in_calls - data, "validation": new.validation}
        if not self._returns_early:
            return parts | {"callbacks": callbacks, "monitoring": monitoring}
        # Whoever reads a value first waits for the device: a callback, or tuimon.
        reading = min(new.reading, monitoring)
        training = new.in_calls + callbacks + reading
        launch = float(np.mean([step for _, step in timed]))
        device = new.calls * (launch + (new.reading / new.reads if new.reads else 0.0))
        data = min(data, max(0.0, training - device))
        return parts | {"data": data, "step": training - data, "monitoring": monitoring - reading}


def waited(timed: Sequence[tuple[float, float]], calls: int, seconds: float) -> float:
    """Estimate the seconds that all calls waited for data, from those that were timed in two parts.

    It is the regression estimator: the mean wait of the timed calls, corrected by how much longer or shorter all calls
    are than these. So few timed calls suffice where the wait varies, and noise of the step does not count as a wait.
    Source: Cochran, "Sampling Techniques", 1977, chapter 7.

    Args:
        timed: Seconds of waiting, and of the rest, of some calls.
        calls: Number of all calls.
        seconds: Seconds of all calls, waits included.
    """
    waits, rests = np.array(timed).T
    whole = waits + rests
    variance = float(np.var(whole))
    slope = float(np.mean((waits - waits.mean()) * (whole - whole.mean()))) / variance if variance > 0 else 0.0
    mean = float(waits.mean()) + min(max(slope, 0.0), 1.0) * (seconds / calls - float(whole.mean()))
    return min(max(0.0, calls * mean), seconds)
