"""Notices when other weights than those of training are validated, or left by ``fit``: moving averages, mostly.

The moving statistics of BatchNormalization belong to the weights that were trained. Put averages in their place, and
the statistics need not fit them.
"""

import contextlib
import math
import time
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, to_wire
from tuimon.trainer.budget import Budget
from tuimon.trainer.engine import Batch, Engine, FitFacts, ProbeError
from tuimon.trainer.modes import Mode
from tuimon.trainer.sampling import Sampling
from tuimon.trainer.schedule import ProbeSchedule
from tuimon.trainer.session.recorder import Recorder
from tuimon.trainer.uncertainty import mean_loss

LAYERS = 2
"""Layers whose weights are compared."""
MOST_BYTES = 1024**2
"""A layer with more is not compared."""
SAME = 1e-5
"""Weights are the same within this share of their norm: a swap by addition and subtraction rounds."""
REPLACED = 1e-3
"""What ``fit`` leaves is other weights from this share on."""
LOOKS, CHEAP = 3, 0.005
"""Looks of an epoch, and the share of its time that they may take without regard to the budget."""
FIRST_EPOCHS = 3
"""Epochs that are looked at whatever the budget says."""
REMEMBERED = 256
"""Validations whose weights are remembered: `EarlyStopping` may restore those of an earlier epoch."""


class _Losses(Struct, frozen=True):
    """The losses with other weights, with moving and with batch statistics; None: unknown."""

    moving: float | None = None
    moving_error: float | None = None
    batch: float | None = None
    error: float | None = None
    """Standard error of their difference."""
    examples: int = 0


class ReplacedWeights:
    """Compares a sample of the weights at certain moments of one ``fit``, in its training thread.

    At the end of the last step of each epoch, in the validation, before the first step of the next epoch, at the end of
    the epoch and of ``fit``. Weights that a validation sees, and neither the step before nor the step after it, were
    put there for the validation. It looks in each epoch if that takes next to nothing of its time; else in the first
    epochs, in the last, and in between as often as the budget allows it.

    Args:
        recorder: Writes the facts.
        engine: The model.
        budget: Limits the cost of measuring what other weights do.
        sampling: Knows the position in the epoch.
        schedule: Has batches to measure it on.
    """

    def __init__(
        self, recorder: Recorder, engine: Engine, budget: Budget, sampling: Sampling, schedule: ProbeSchedule
    ) -> None:
        self._recorder = recorder
        self._engine = engine
        self._budget = budget
        self._sampling = sampling
        self._schedule = schedule
        self._restores_best = False
        self._paths: Sequence[str] | None = None
        self._of_last_step: FloatArray | None = None
        self._of_epoch_end: FloatArray | None = None
        self._validated: list[FloatArray] = []
        self._epochs = 0
        self._look_seconds = 0.0
        self._looks = False
        self._has_skipped = False
        self._is_validating = False
        self._suspected: events.WeightsReplaced | None = None
        self._is_swapped: bool | None = None

    def describe(self, facts: FitFacts) -> None:
        """Take the facts of the ``fit``."""
        self._restores_best = facts.restores_best

    def before_step(self) -> None:
        """Compare the weights before the first step of an epoch. Called before each step."""
        if self._suspected is not None:
            fact, validated, self._suspected = self._suspected, self._validated[-1], None
            self._is_swapped = not _are_same(self._sample(), validated)
            if self._is_swapped:
                self._recorder.record(fact)

    def before_last_step(self) -> None:
        """Look at the weights after the coming step, the last of an epoch, if it is time."""
        now = time.monotonic()
        is_cheap = LOOKS * self._look_seconds <= CHEAP * self._sampling.epoch_seconds(now)
        is_wanted = is_cheap or self._epochs < FIRST_EPOCHS or self._sampling.is_last_of_epochs
        self._looks = is_wanted or self._budget.allows("weights", now)
        if self._looks and self._is_swapped is not False:
            self._engine.steps.after_next(self._note_last_step)

    def before_validation_step(self) -> None:
        """Compare the weights that a validation sees. Called before each validation step."""
        if self._is_validating:
            return
        self._is_validating = True
        sample = self._sample() if self._looks else None
        if sample is None:
            self._has_skipped = True
            return
        self._validated.append(sample)
        del self._validated[:-REMEMBERED]
        before, self._of_last_step = self._of_last_step, None
        if before is None or self._is_swapped is False or _are_same(sample, before):
            return
        is_new, is_last, now = self._is_swapped is None, self._sampling.is_last_of_epochs, time.monotonic()
        if is_new or is_last or self._budget.allows("probe", now):
            # The closing examination needs the same functions, so a trace of theirs costs nothing more now.
            fact = self._measure("validation", sample, before, may_trace=is_last and self._may_trace(now))
            if is_new:
                self._suspected = fact
            elif fact.examples:
                self._recorder.record(fact)

    def end_epoch(self) -> None:
        """Note the weights at the end of an epoch."""
        self._epochs += 1
        self._of_epoch_end = self._sample() if self._looks else None
        self._is_validating = self._looks = False

    def end_fit(self) -> None:
        """Compare what ``fit`` leaves with what its epochs ended with, and with what was validated."""
        sample, before = self._sample(), self._of_epoch_end
        if self._suspected is not None and not _are_same(before, self._validated[-1]):
            self._is_swapped = True
            self._recorder.record(self._suspected)
        if sample is None or before is None or _distance(sample, before) < REPLACED:
            return
        if any(_are_same(sample, each) for each in self._validated):
            if self._is_swapped:
                return  # The averages that the last validation saw.
            self._recorder.record(events.WeightsReplaced(where="restored", change=to_wire(_distance(sample, before))))
        elif not (self._has_skipped and self._restores_best):
            # The best weights may be those of a validation that was not looked at.
            self._recorder.record(self._measure("end", sample, before))

    def _note_last_step(self) -> None:
        self._of_last_step = self._sample()

    def _choose(self) -> None:
        """Choose the layers to compare. Those of a subclassed model get other paths when its first step builds it."""
        layers = self._engine.layers
        sizes = {path: layers.weight_bytes(path) for path in layers.weighted}
        small = [path for path, size in sizes.items() if 0 < size <= MOST_BYTES]
        small = [path for path in small if not layers.is_frozen_by_user(path)]
        self._paths = small[:: max(1, len(small) // LAYERS)][:LAYERS]
        # Samples of other layers cannot be compared with those to come.
        self._of_last_step = self._of_epoch_end = self._suspected = None
        self._validated.clear()

    def _sample(self) -> FloatArray | None:
        """Return weights of a few small layers; None if there is no such layer, or a weight is not finite."""
        layers = self._engine.layers
        if self._paths is None or not {*self._paths} <= {*layers.weighted}:
            self._choose()
        began = time.perf_counter()
        found = [np.ravel(array) for path in self._paths or () for array in layers.read_weights(path)]
        sample = np.concatenate(found).astype(np.float64) if found else None
        self._look_seconds = time.perf_counter() - began
        self._budget.charge("weights", self._look_seconds, time.monotonic())
        return sample if sample is not None and np.isfinite(sample).all() else None

    def _measure(
        self, where: str, sample: FloatArray, before: FloatArray, *, may_trace: bool = False
    ) -> events.WeightsReplaced:
        """Measure the loss with the weights that are in the model now, with moving and with batch statistics."""
        began = time.perf_counter()
        measured = _Losses()
        traced, batches = 0.0, self._schedule.held.training
        if batches and not self._schedule.why_not and (may_trace or self._engine.passes.has_begun(self._mode)):
            # If it cannot be measured, what other weights do is not known.
            with contextlib.suppress(ProbeError):
                measured, traced = self._losses(batches)
        self._budget.charge("traces", traced, time.monotonic())
        self._budget.charge("probe", max(0.0, time.perf_counter() - began - traced), time.monotonic())
        return events.WeightsReplaced(
            where=where,
            change=to_wire(_distance(sample, before)),
            examples=measured.examples,
            moving=to_wire(measured.moving),
            moving_error=to_wire(measured.moving_error),
            batch=to_wire(measured.batch),
            standard_error=to_wire(measured.error),
        )

    def _may_trace(self, now: float) -> bool:
        return self._schedule.may_examine(is_loop=False) and self._schedule.costs.at_end(now)[0] is not None

    @property
    def _mode(self) -> Mode:
        return self._engine.steps.mode

    def _losses(self, batches: list[Batch]) -> tuple[_Losses, float]:
        """Return the losses of batches, and the seconds of traces."""
        passes = self._engine.passes
        is_traced = passes.has_begun(self._mode)
        with passes.begin(self._mode) as of_probe:
            if not is_traced:
                of_probe.training(batches[0])  # It tells which layers use batch statistics.
            switched = [path for path, used in of_probe.calls.items() if any(used)]
            moving = [of_probe.inference(batch) for batch in batches]
            own = [of_probe.inference(batch, batch_statistics=switched) for batch in batches] if switched else []
        traced, sizes = of_probe.costs()[1], [passes.examples(batch) for batch in batches]
        loss, loss_error = mean_loss(moving, sizes)
        if not own:
            return _Losses(loss, loss_error, examples=sum(sizes)), traced
        differences = [one.minus(other) for one, other in zip(moving, own, strict=True)]
        error = mean_loss(differences, sizes)[1]
        return _Losses(loss, loss_error, mean_loss(own, sizes)[0], error, sum(sizes)), traced


def _are_same(left: FloatArray | None, right: FloatArray | None) -> bool:
    return left is not None and right is not None and _distance(left, right) < SAME


def _distance(left: FloatArray, right: FloatArray) -> float:
    """Return the distance of two samples as a share of the norm of the second."""
    if left.shape != right.shape:
        return math.nan
    return float(np.linalg.norm(left - right) / max(float(np.linalg.norm(right)), 1e-30))
