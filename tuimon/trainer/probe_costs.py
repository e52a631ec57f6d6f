"""Estimates what probes take, and when the first one fits into the budget."""

from tuimon.trainer import probe
from tuimon.trainer.budget import Budget
from tuimon.trainer.engine import Engine
from tuimon.trainer.held_batches import HeldBatches
from tuimon.trainer.options import ProbeOptions
from tuimon.trainer.probe import LIGHT, WHOLE, Depth
from tuimon.trainer.probe_memory import ProbeMemory
from tuimon.trainer.sampling import Sampling

TRACE_SHARE = 0.05
"""Without a request, no probe is traced until the trace takes at most this share of the time so far."""
FORWARD_SHARE = 1 / 3
"""Share of a training step that a forward pass takes; the backward pass takes about twice as long."""
TRACE_OF_STEP, TRACE_OF_GRADIENT = 0.5, 0.5
"""The traces of a probe take at most about this share of the first step's time, and that of a gradient this one.
Measured: 0.35 to 0.5 each."""
CLOSING_SHARE, CLOSING_LEAST, CLOSING_MOST = 0.1, 3.0, 60.0
"""The closing examination may take this share of the run, but at least and at most so many seconds."""


class ProbeCosts:
    """Knows what the probes of one ``fit`` take.

    Args:
        engine: The model.
        options: When and on which batch to probe.
        budget: Limits the cost of probes.
        sampling: Knows the duration of a step and of a trace.
        held: The batches to probe.
        memory: The newest probe.
    """

    def __init__(
        self,
        engine: Engine,
        options: ProbeOptions,
        budget: Budget,
        sampling: Sampling,
        held: HeldBatches,
        memory: ProbeMemory,
    ) -> None:
        self._engine = engine
        self._budget = budget
        self._sampling = sampling
        self._held = held
        self._memory = memory
        self.is_wanted = options.batch is not None or options.every is not None
        """True if the user's options say how to probe: then the first probe waits for nothing."""

    def allow(self, now: float) -> bool:
        """Return True if a probe that nobody asks for may be made now."""
        # Called at each step of some runs: the cheapest test comes first.
        return self._budget.allows("probe", now, self._of_first()) and self.trace_pays(now)

    def trace_pays(self, now: float) -> bool:
        """Return True if the trace of a probe is worth its time by now."""
        return self.is_wanted or self._compile_seconds <= TRACE_SHARE * self._budget.elapsed(now)

    def first_at(self) -> float:
        """Return when the first probe fits into the budget, by `time.monotonic`."""
        at = self._budget.allowed_at("probe", self._of_first())
        return at if self.is_wanted else max(at, self._budget.began + self._compile_seconds / TRACE_SHARE)

    def seconds(self, depth: Depth) -> float:
        """Return the expected seconds of a probe, without its trace."""
        held, newest = self._held, self._memory.newest
        layers = len(self._engine.layers.batch_norm)
        passes = probe.most_passes(layers, max(1, len(held.training)), len(held.validation), depth)
        if newest is not None and newest.passes:
            return passes * newest.seconds / newest.passes
        return passes * FORWARD_SHARE * self._sampling.step_seconds

    def at_end(self, now: float) -> tuple[Depth | None, float]:
        """Return what a closing examination can measure, and its expected seconds with its traces.

        None: whatever it measured, it would take too long.
        """
        allowed = min(CLOSING_MOST, max(CLOSING_LEAST, CLOSING_SHARE * self._budget.elapsed(now)))
        is_traced = self._engine.passes.has_begun(self._engine.steps.mode)
        trace = 0.0 if is_traced else TRACE_OF_STEP * self._engine.compile_seconds
        gradient = 0.0 if self.has_gradients else TRACE_OF_GRADIENT * self._engine.compile_seconds
        seconds = 0.0
        for depth in (WHOLE, Depth(gradients=False), LIGHT):
            seconds = trace + (gradient if depth.gradients else 0.0) + self.seconds(depth)
            if seconds <= allowed:
                return depth, seconds
        return None, seconds

    @property
    def has_gradients(self) -> bool:
        """True if the newest probe measured gradients, so that they are traced, or cannot be."""
        newest = self._memory.newest
        return newest is not None and bool(newest.gradients or newest.why_no_gradients)

    def _of_first(self) -> float:
        """Return the expected seconds of the first probe; 0 after it, or if the user wants probes."""
        return 0.0 if self._memory.newest is not None or self.is_wanted else self.seconds(LIGHT)

    @property
    def _compile_seconds(self) -> float:
        """Seconds that a trace of the step takes; infinite before the first step of this ``fit``."""
        return max(self._sampling.compile_seconds, self._engine.compile_seconds)
