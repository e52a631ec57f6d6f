"""Decides when to probe a ``fit``, and keeps the batches for it."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tuimon.diagnosis.validation_spike import is_spike
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire, scalars_to_wire
from tuimon.text import plain
from tuimon.trainer import probe, repeated_validation
from tuimon.trainer.budget import Budget
from tuimon.trainer.engine import MAXIMUM_BYTES_AHEAD, Data, Engine, ProbeError
from tuimon.trainer.modes import Mode
from tuimon.trainer.options import ProbeOptions
from tuimon.trainer.sampling import Sampling
from tuimon.trainer.session.recorder import Recorder

TRACE_SHARE = 0.05
"""Without a request, no probe is traced until the trace takes at most this share of the time so far."""
FORWARD_SHARE = 1 / 3
"""Share of a training step that a forward pass takes; the backward pass takes about twice as long."""
READINGS = 2
"""Passes over the data of a repeated validation: with moving and with batch statistics."""
METRIC = "val_loss"
"""The metric whose spikes lead to a repeated validation."""
REMEMBERED = 200
"""Epochs whose value of that metric is remembered."""
LONG_SECONDS = 0.5
"""If the last probe took longer, the log says that one begins."""

Say = Callable[[str], None]


class ProbeSchedule:
    """Probes one ``fit``, in its training thread.

    Args:
        recorder: Writes the facts.
        engine: The model.
        options: When and on which batch to probe.
        budget: Limits the cost of probes.
        sampling: Knows the duration of a step and of a trace.
    """

    def __init__(
        self, recorder: Recorder, engine: Engine, options: ProbeOptions, budget: Budget, sampling: Sampling
    ) -> None:
        self.newest: events.Probe | None = None
        """The newest probe of this ``fit``."""
        self._recorder = recorder
        self._engine = engine
        self._options = options
        self._budget = budget
        self._sampling = sampling
        self._validation_began: float | None = None
        self._batch: Any = None
        self._validation: Any = None
        self._why_off = ""
        self._is_on = options.is_on or options.batch is not None or options.every is not None
        self._next_step = None if options.every is None else recorder.step + options.every
        self._waits = False
        self._cannot_repeat = ""
        self._validation_losses: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def why_not(self) -> str:
        """The reason why this ``fit`` cannot be probed; empty if it can."""
        no_data = self._engine.why_not("probe") if self._options.batch is None else ""
        return self._why_off or self._engine.passes.why_not or no_data

    def end_epoch(self, now: float) -> None:
        """Probe at the end of an epoch, with the validated weights, if it is time."""
        if self._options.every is None and self._is_due(now):
            self._make("epoch")

    def is_due_at(self, step: int, now: float) -> bool:
        """Return True if ``probe_every`` steps have passed and the budget allows a probe. Called before each step."""
        return self._next_step is not None and step >= self._next_step and self._is_due(now)

    def probe_between_steps(self) -> None:
        """Make the probe of every ``probe_every`` steps."""
        self._next_step = self._recorder.step + (self._options.every or 0)
        self._make("steps")

    def mode_changed(self, words: str) -> None:
        """Probe in the new mode, if the run has been probed before; ``words`` become the reason."""
        if self.newest is not None and self._trace_pays(time.monotonic()) and self._is_unasked:
            self._make(words)

    def ask(self, applied: Say, rejected: Say) -> None:
        """Probe now for a request, without regard to the budget."""
        self._make("asked", applied, rejected)

    def end_validation(self, logs: Mapping[str, Any], now: float) -> None:
        """Probe and repeat the validation if the validation loss in an epoch's logs stands out."""
        mode = self._engine.steps.mode
        began, self._validation_began = self._validation_began, None
        expected = 0.0 if began is None else READINGS * (now - began)
        value = from_wire(scalars_to_wire(logs).get(METRIC))
        if np.isnan(value) or mode.phase != "auto":
            return
        self._validation_losses.append(value)
        if self.newest is None or self._cannot_repeat or not self._is_unasked:
            return
        if not self._budget.allows("repeated validation", now, expected):
            return
        if not is_spike(np.array(self._validation_losses)):
            return
        if self.newest.step != self._recorder.step:
            self._make("validation spike")
        self._cannot_repeat = self._engine.validation.why_not_repeated()
        if not self._cannot_repeat:
            try:
                self._repeat_validation(mode, value)
            except Exception as error:  # noqa: BLE001 - an error of the user's data on a second reading must not end training
                self._cannot_repeat = plain(str(error), 200)
        if self._cannot_repeat:
            self._recorder.record(events.Note(text=f"the validation is not repeated: {self._cannot_repeat}"))

    def before_validation_step(self, now: float) -> None:
        """Keep a validation batch for probes, unless one is kept."""
        if self._validation_began is None:
            self._validation_began = now
        if self._validation is None and self._trace_pays(now) and self._is_unasked:
            self._validation = ()  # Do not ask again.
            self._engine.validation.before_next(self._hold_validation)

    def _repeat_validation(self, mode: Mode, value: float) -> None:
        passes, started = self._engine.passes, time.perf_counter()
        traced_before = passes.first_seconds
        fact = repeated_validation.repeat(self._engine, mode, METRIC, value)
        traced, now = passes.first_seconds - traced_before, time.monotonic()
        self._budget.charge("traces", traced, now)
        self._budget.charge("repeated validation", max(0.0, time.perf_counter() - started - traced), now)
        if fact is not None:
            self._recorder.record(fact)

    @property
    def _is_wanted(self) -> bool:
        """True if the user's options say how to probe."""
        return self._options.batch is not None or self._options.every is not None

    @property
    def _is_unasked(self) -> bool:
        """True if the run is probed without a request."""
        return self._is_on and not self.why_not

    def _is_due(self, now: float) -> bool:
        # Called at each step of some runs: the cheapest test comes first.
        return self._budget.allows("probe", now, self._expected()) and self._trace_pays(now) and self._is_unasked

    def _expected(self) -> float:
        """Return the expected seconds of the first probe; 0 if the user wants probes."""
        if self.newest is not None or self._is_wanted:
            return 0.0
        return probe.most_passes(len(self._engine.layers.batch_norm)) * FORWARD_SHARE * self._sampling.step_seconds

    def _trace_pays(self, now: float) -> bool:
        if self._is_wanted:
            return True
        return self._sampling.compile_seconds <= TRACE_SHARE * (now - self._sampling.began)

    def _make(self, reason: str, applied: Say | None = None, rejected: Say | None = None) -> None:
        if self._batch is None and self._options.batch is not None:
            try:
                self._batch = self._held(self._engine.passes.as_batch(self._options.batch))
            except Exception as error:  # noqa: BLE001 - whatever the user's batch raises, training goes on
                self._turn_off(f"the batch given cannot be used: {error}", rejected)
                return
        steps = self._engine.steps
        # A mode that was requested earlier, and waits for the next step, comes first.
        if self._batch is not None and steps.has_run and steps.coming_mode is None:
            self._measure(reason, applied, rejected)
        elif applied is not None or not self._waits:
            self._waits = self._waits or applied is None
            steps.before_next(partial(self._measure_there, reason, applied, rejected))

    def _measure_there(self, reason: str, applied: Say | None, rejected: Say | None, data: Data) -> None:
        """Probe within the call of a step, before it, where its data are at hand."""
        steps = self._engine.steps
        has_batch = self._batch is not None
        batches = data.ahead(1, MAXIMUM_BYTES_AHEAD) if steps.has_run and not has_batch else []
        if not steps.has_run or steps.coming_mode is not None or not (has_batch or batches):
            # The first step makes the metrics' variables; if an epoch has no batch left, the next one has.
            steps.before_next(partial(self._measure_there, reason, applied, rejected))
            return
        self._waits = self._waits and applied is not None
        if batches:
            try:
                self._batch = self._held(batches[0])
            except ProbeError as error:
                self._turn_off(str(error), rejected)
                return
        self._measure(reason, applied, rejected)

    def _measure(self, reason: str, applied: Say | None, rejected: Say | None) -> None:
        is_long = self.newest is None or self.newest.seconds > LONG_SECONDS
        if is_long:
            self._recorder.record(events.StateChanged(state="probing"))
        try:
            mode = self._engine.steps.mode
            fact = probe.measure(self._engine, self._batch, self._validation or None, mode, reason)
        except ProbeError as error:
            self._turn_off(str(error), rejected)
            return
        finally:
            if is_long:
                self._recorder.record(events.StateChanged(state="training"))
        self.newest = fact
        self._budget.charge("probe", fact.seconds, time.monotonic())
        self._budget.charge("traces", fact.traced_seconds, time.monotonic())
        self._recorder.record(fact)
        if applied is not None:
            applied("")

    def _turn_off(self, why: str, rejected: Say | None) -> None:
        self._why_off = why
        if rejected is not None:
            rejected(why)
        else:
            self._recorder.record(events.Note(text=f"the probe is off: {why}"))

    def _hold_validation(self, data: Data) -> None:
        batches = data.ahead(1, MAXIMUM_BYTES_AHEAD)
        if batches:
            try:
                self._validation = self._held(batches[0])
            except ProbeError as error:
                self._recorder.record(events.Note(text=f"the probe does without validation data: {error}"))

    def _held(self, batch: Any) -> Any:
        self._engine.passes.check(batch)
        return batch
