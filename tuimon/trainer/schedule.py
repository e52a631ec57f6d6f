"""Decides when to probe a ``fit``."""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tuimon.diagnosis.validation_spike import is_spike
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire, scalars_to_wire, to_wire
from tuimon.text import plain
from tuimon.trainer import probe, repeated_validation
from tuimon.trainer.budget import Budget
from tuimon.trainer.engine import Data, Engine, ProbeError
from tuimon.trainer.held_batches import HeldBatches
from tuimon.trainer.modes import Mode
from tuimon.trainer.options import ProbeOptions
from tuimon.trainer.probe import LIGHT, WHOLE, Depth
from tuimon.trainer.probe_costs import ProbeCosts
from tuimon.trainer.probe_memory import ProbeMemory
from tuimon.trainer.sampling import Sampling
from tuimon.trainer.session.recorder import Recorder

READINGS = 2
"""Passes over the data of a repeated validation: with moving and with batch statistics."""
METRIC = "val_loss"
"""The metric whose spikes lead to a repeated validation."""
LONG_SECONDS = 0.5
"""If the last probe took longer, the log says that one begins."""
LIGHT_SECONDS = 2.0
"""If a probe of each layer takes longer, those that nobody asks for measure all layers together."""
STILL_NEW, STILL_NEW_IN_A_LOOP = 0.9, 0.5
"""A ``fit`` needs no closing examination if its last probe came after this share of the steps; for a ``fit`` of one
epoch, of which there may be many, the smaller share."""
PLAN_PRECISION = 0.3
"""The time of the first probe is recorded again if it changes by this share of what is left until then."""

Say = Callable[[str], None]


class ProbeSchedule:
    """Probes one ``fit``, in its training thread.

    Args:
        recorder: Writes the facts.
        engine: The model.
        options: When and on which batch to probe.
        budget: Limits the cost of probes.
        sampling: Knows the duration of a step and of a trace.
        memory: What earlier fits of the model left.
    """

    def __init__(
        self,
        recorder: Recorder,
        engine: Engine,
        options: ProbeOptions,
        budget: Budget,
        sampling: Sampling,
        memory: ProbeMemory,
    ) -> None:
        self._recorder = recorder
        self._engine = engine
        self._options = options
        self._budget = budget
        self._sampling = sampling
        self._memory = memory
        self._validation_began: float | None = None
        self._why_off = ""
        self._is_on = options.is_on or options.batch is not None or options.every is not None
        self.held = HeldBatches(
            engine,
            first_step=recorder.step,
            takes_all=self._is_on and options.batch is None,
            note=recorder.note,
            steps_of_epoch=sampling.epoch_left.steps,
        )
        """The batches to probe."""
        self.costs = ProbeCosts(engine, options, budget, sampling, self.held, memory)
        """Knows what probes take."""
        self.has_changed = False
        """True after a request changed the model by something else than steps: the newest probe is out of date."""
        self._next_step = None if options.every is None else recorder.step + options.every
        self._waits = False
        self._planned: float | None = None
        self._cannot_repeat = ""

    @property
    def newest(self) -> events.Probe | None:
        """The newest probe of the model; None before the first."""
        return self._memory.newest

    @property
    def why_not(self) -> str:
        """The reason why this ``fit`` cannot be probed; empty if it can."""
        no_data = self._engine.why_not("probe") if self._options.batch is None else ""
        return self._why_off or self._engine.passes.why_not or no_data

    def before_step(self, step: int) -> None:
        """Keep a batch for probes if it is time. Called before each step."""
        self.held.before_step(step)

    def end_epoch(self, now: float) -> None:
        """Probe at the end of an epoch, with the validated weights, if it is time."""
        if self._options.every is None and self._is_due(now):
            self._make("epoch")

    def is_due_at(self, step: int, now: float) -> bool:
        """Return True if it is time for a probe between two steps, and the budget allows it. Called before each step.

        It is after ``probe_every`` steps, or for the first probe: the end of an epoch may be far away.
        """
        if self._next_step is None:
            return self.newest is None and not self._waits and step > 0 and self._is_due(now)
        return step >= self._next_step and self._is_due(now)

    def probe_between_steps(self) -> None:
        """Make the first probe, or that of every ``probe_every`` steps."""
        if self._next_step is not None:
            self._next_step = self._recorder.step + (self._options.every or 0)
        self._make("steps" if self._next_step is not None else "first")

    def plan(self, now: float) -> None:
        """Record when the first probe comes, unless that is known."""
        if self.newest is not None or self._sampling.is_compiling:
            return
        seconds, reason = self._first_in(now)
        at = math.inf if seconds is None else now + seconds
        if self._planned is not None:
            left = max(self._planned - now, 1.0)
            is_same = at == self._planned or abs(at - self._planned) <= PLAN_PRECISION * left
            if is_same:
                return
        self._planned = at
        self._recorder.record(events.ProbePlanned(seconds=to_wire(seconds), reason=reason))

    def mode_changed(self, words: str) -> None:
        """Probe in the new mode, if the run has been probed before; ``words`` become the reason."""
        self.has_changed = True
        if self.newest is not None and self.costs.trace_pays(time.monotonic()) and self._is_unasked:
            self._make(words)

    def ask(self, applied: Say, rejected: Say) -> None:
        """Probe now for a request, without regard to the budget."""
        self._make("asked", applied, rejected)

    def may_examine(self, *, is_loop: bool) -> bool:
        """Return True if a closing examination is wanted and possible now; what it takes is another question.

        Args:
            is_loop: True for a ``fit`` of one epoch, of which many may follow.
        """
        steps = self._engine.steps
        is_wanted = self._options.at_end and self._is_unasked and steps.has_run and steps.coming_mode is None
        return is_wanted and self._has_batch() and not self._is_still_new(is_loop=is_loop)

    def examine_at_end(self, now: float, *, is_loop: bool) -> None:
        """Probe the model as the ``fit`` leaves it, unless a probe is still new.

        Args:
            now: By `time.monotonic`.
            is_loop: True for a ``fit`` of one epoch, of which many may follow.
        """
        if not self.may_examine(is_loop=is_loop):
            return
        depth, seconds = self.costs.at_end(now)
        if depth is None:
            reason = f"an examination at the end would take about {seconds:.0f} s, more than a tenth of the run"
            self._recorder.record(events.ProbePlanned(seconds=None, reason=reason))
            return
        words = f"the model as training leaves it, about {max(1, round(seconds))} s"
        self._measure("end", None, None, depth=depth, words=words)

    def end_validation(self, logs: Mapping[str, Any], now: float) -> None:
        """Probe and repeat the validation if the validation loss in an epoch's logs stands out."""
        mode = self._engine.steps.mode
        self.held.end_validation()
        began, self._validation_began = self._validation_began, None
        expected = 0.0 if began is None else READINGS * (now - began)
        value = from_wire(scalars_to_wire(logs).get(METRIC))
        if np.isnan(value) or mode.phase != "auto":
            return
        losses = self._memory.validation_losses
        losses.append(value)
        if self.newest is None or self._cannot_repeat or not self._is_unasked:
            return
        if not self._budget.allows("repeated validation", now, expected):
            return
        if not is_spike(np.array(losses)):
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
            self._recorder.note(f"the validation is not repeated: {self._cannot_repeat}")

    def before_validation_step(self, now: float) -> None:
        """Keep validation batches for probes."""
        if self._validation_began is None:
            self._validation_began = now
            is_late = not self._engine.reads_ahead_freely or self._options.batch is not None
            if is_late and not self.held.validation and self.costs.trace_pays(now) and self._is_unasked:
                self.held.take_validation()
        self.held.before_validation_step()

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
    def _is_unasked(self) -> bool:
        """True if the run is probed without a request."""
        # A callback may have compiled the model anew at the end of the epoch.
        return self._is_on and not self.why_not and self._engine.passes.is_ready

    def _is_due(self, now: float) -> bool:
        return self.costs.allow(now) and self._is_unasked

    def _first_in(self, now: float) -> tuple[float | None, str]:
        """Return in how many seconds the first probe comes by itself, None if none does, and why."""
        if not self._is_on:
            return None, "this run is probed on request alone"
        if self.why_not:
            return None, self.why_not
        if self._next_step is not None:
            steps = max(0, self._next_step - self._recorder.step)
            return steps * self._sampling.step_seconds, f"every {self._options.every:,} steps"
        return max(0.0, self.costs.first_at() - now), f"a budget of {100 * self._budget.overhead:.3g} %"

    def _is_still_new(self, *, is_loop: bool) -> bool:
        if self.newest is None or self.has_changed or self.newest.branch != self._recorder.branch:
            return False
        share = STILL_NEW_IN_A_LOOP if is_loop else STILL_NEW
        return self.newest.step >= share * self._recorder.step

    def _has_batch(self, rejected: Say | None = None) -> bool:
        """Return True if there is a batch to probe; take that of the user's options."""
        if not self.held.training and self._options.batch is not None and not self._why_off:
            try:
                self.held.put(self._engine.passes.as_batch(self._options.batch))
            except Exception as error:  # noqa: BLE001 - whatever the user's batch raises, training goes on
                self._turn_off(f"the batch given cannot be used: {error}", rejected)
        return bool(self.held.training)

    def _make(self, reason: str, applied: Say | None = None, rejected: Say | None = None) -> None:
        has_batch = self._has_batch(rejected)
        if not has_batch and (self._options.batch is not None or self.held.why_not):
            if not self._why_off:
                self._turn_off(self.held.why_not, rejected)
            return
        steps = self._engine.steps
        # A mode that was requested earlier, and waits for the next step, comes first.
        if has_batch and steps.has_run and steps.coming_mode is None:
            self._measure(reason, applied, rejected)
        elif applied is not None or not self._waits:
            self._waits = self._waits or applied is None
            steps.before_next(partial(self._measure_there, reason, applied, rejected))

    def _measure_there(self, reason: str, applied: Say | None, rejected: Say | None, data: Data) -> None:
        """Probe within the call of a step, before it, where its data are at hand."""
        steps = self._engine.steps
        is_ready = steps.has_run and steps.coming_mode is None
        try:
            has_batch = bool(self.held.training) or (is_ready and self.held.take_first(data))
        except ProbeError as error:
            self._waits = self._waits and applied is not None
            self._turn_off(str(error), rejected)
            return
        if not (is_ready and has_batch):
            # The first step makes the metrics' variables; if an epoch has no batch left, the next one has.
            steps.before_next(partial(self._measure_there, reason, applied, rejected))
            return
        self._waits = self._waits and applied is not None
        self._measure(reason, applied, rejected)

    def _measure(
        self,
        reason: str,
        applied: Say | None,
        rejected: Say | None,
        *,
        depth: Depth | None = None,
        words: str = "",
    ) -> None:
        is_long = self.newest is None or self.newest.seconds > LONG_SECONDS
        if is_long or words:
            self._recorder.record(events.StateChanged(state="probing", detail=words))
        if depth is None:
            is_whole = applied is not None or self.costs.is_wanted or self.costs.seconds(WHOLE) <= LIGHT_SECONDS
            depth = WHOLE if is_whole else LIGHT
        try:
            fact = probe.measure(
                self._engine,
                self.held.training,
                self.held.validation,
                self._engine.steps.mode,
                reason,
                depth=depth,
                examples_of_epoch=self._examples_of_epoch(),
            )
        except ProbeError as error:
            self._turn_off(str(error), rejected)
            return
        finally:
            if is_long or words:
                self._recorder.record(events.StateChanged(state="training"))
        self._memory.newest, self.has_changed = fact, False
        self._budget.charge("closing examination" if reason == "end" else "probe", fact.seconds, time.monotonic())
        self._budget.charge("traces", fact.traced_seconds, time.monotonic())
        self._recorder.record(fact)
        if applied is not None:
            applied("")

    def _examples_of_epoch(self) -> int | None:
        """Return the number of training examples; None if unknown, or if the batch is the user's."""
        steps = self._sampling.epoch_left.steps
        if not steps or self._options.batch is not None:
            return None
        return steps * self._engine.passes.examples(self.held.training[0])

    def _turn_off(self, why: str, rejected: Say | None) -> None:
        self._why_off = why
        if rejected is not None:
            rejected(why)
        else:
            self._recorder.note(f"the probe is off: {why}")
