"""What a run's facts add up to: the one fold that live screen, replay, export and list share.

Pure: no clock, no files. Must not import Keras, TensorFlow or Textual.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod

import numpy as np

from tuimon.protocol import events
from tuimon.protocol.commands import (
    AnyRequest,
    LearningRate,
    Note,
    Recalibrate,
    Rollback,
    UnknownRequest,
    describe,
    from_fact,
    undone_by,
)
from tuimon.protocol.wire import from_wire, list_from_wire
from tuimon.runs.series import Series

RECENT_BATCHES = 64
"""Lines of `batches` from which the speed is read."""
GAP_PARTS = ("train", "inference", "gap", "batch_norm", "stochastic", "other")
"""Numbers of a probe that are kept over time."""
RECENT_VALIDATIONS = 200
"""Validations that are kept batch by batch."""
OVER = ("finished", "stopped", "failed", "crashed")
"""What `tuimon.runs.liveness.status` says of a run that takes no requests any more."""
_NO_STEPS = frozenset(("compiling", "paused", "recalibrating"))
"""States that come once, and say nothing of how fast it trains."""
RATE_SECONDS = 10.0
"""The speed is that of about this many seconds."""


@dataclass
class LayerHistory:
    """One BatchNormalization layer over time."""

    layer: events.BatchNormLayer
    """As the model has it."""
    moving_mean: Series = field(default_factory=lambda: Series(len(events.QUANTILES)))
    """Quantiles over channels, one row a sample."""
    moving_variance: Series = field(default_factory=lambda: Series(len(events.QUANTILES)))
    """Likewise."""
    latest: events.BatchNormStatistics | None = None
    """The newest sample; None while there is none."""
    channels: events.BatchNormChannelValues | None = None
    """The newest full arrays; None while there are none."""
    probe: events.ProbeLayer | None = None
    """What the newest probe says of it; None while there is none."""
    drift: Series = field(default_factory=Series)
    """Of the moving from the batch statistics, at each probe."""
    undisturbed_from: int = 0
    """Row of `moving_mean` since which the mode is the same and nothing but train steps has changed the arrays."""
    trainable_changed: int | None = None
    """Step at which the user was last seen to have set `trainable` to another value; None: never."""
    disturbances: int = 0
    """Of the run, when the newest sample was taken."""

    @property
    def mode(self) -> str | None:
        """`training`, `frozen`, `inference`; None while not known."""
        return self.latest.mode if self.latest else None

    def change(self) -> float | None:
        """How far the moving mean has gone since the first sample.

        The root mean square over the quantiles of (newest − first), in units of the first moving
        variance's root; None while there are fewer than two samples.
        """
        means, variances = self.moving_mean.rows, self.moving_variance.rows
        if len(means) < 2:
            return None
        scale = np.sqrt(np.maximum(np.mean(variances[0]), self.layer.epsilon))
        return float(np.sqrt(np.mean((means[-1] - means[0]) ** 2)) / scale)


@dataclass(frozen=True)
class InForce:
    """What requests can change, at one time."""

    phase: str = "auto"
    """The learning phase."""
    frozen: frozenset[str] = frozenset()
    """Paths of the frozen BatchNormalization layers."""
    statistics_held: frozenset[str] = frozenset()
    """Paths of those whose moving statistics alone are held."""
    frozen_weights: frozenset[str] = frozenset()
    """Paths of the other layers that requests froze."""
    momentum: dict[str, float] = field(default_factory=dict)
    """Of the BatchNormalization layers, by path."""
    learning_rate: float | None = None
    """As of the last epoch's end, or of a request since; None while not known."""
    own_learning_rate: bool = False
    """Whether a request set it."""


@dataclass
class Command:
    """A request and what became of it."""

    id: str
    """Of the request."""
    words: str
    """The request in words: "freeze all"."""
    request: AnyRequest | UnknownRequest
    """The request; an unknown one has nothing but its name."""
    sender: events.Sender
    """Who asked."""
    time: float
    """Of the answer."""
    step: int
    """The first step under the new mode; for a rejected one, when it was rejected."""
    applied: bool
    """Applied or rejected."""
    detail: str = ""
    """What is worth saying of it; the reason where it was rejected."""
    traced_seconds: float = 0.0
    """What its first use cost."""
    verified: events.CommandVerified | None = None
    """What the next step showed; None while not known."""
    seq: int = -1
    """Number of the answer."""
    before: InForce = field(default_factory=InForce)
    """What was in force until then."""
    after: InForce = field(default_factory=InForce)
    """What is in force since."""

    @property
    def is_final(self) -> bool:
        """Whether there is no request that takes it back: it changed what the model has learned."""
        match self.request:
            case Rollback() | Recalibrate(dry_run=False):
                return True
        return False

    @property
    def has_changed_something(self) -> bool:
        """Whether something else was in force afterwards. A learning rate moves by itself, too."""
        before, after = self.before, self.after
        if not isinstance(self.request, LearningRate):
            before = replace(before, learning_rate=after.learning_rate)
        return before != after


TimelineEntry = (
    events.RunStarted
    | events.FitStarted
    | events.StateChanged
    | events.Alert
    | events.Evaluated
    | events.Recalibrated
    | events.CheckpointSaved
    | events.RolledBack
    | events.RunResumed
    | events.Note
    | events.LogGap
    | events.RunEnded
    | Command
)
"""What the timeline lists, in the order of the log."""


class RunState:
    """Fold of a run's events.

    Example:
        ```python
        state = RunState()
        state.apply(tail.read())
        state.batch_metrics["loss"].values
        ```
    """

    def __init__(self) -> None:
        self.run: events.RunStarted | None = None
        """The newest attempt."""
        self.fit: events.FitStarted | None = None
        """The newest `fit`."""
        self.model: events.ModelBuilt | None = None
        """The model; None until it is built."""
        self.state: events.StateChanged | None = None
        """What the trainer does now, as the log says; None before the first word."""
        self.ended: events.RunEnded | None = None
        """How it ended; None while it goes on, as far as the log says."""
        self.step = 0
        """Train steps completed."""
        self.epoch = 0
        """The epoch under way, from 0."""
        self.epochs_ended = 0
        """How many epochs ended."""
        self.last_seq = -1
        """Number of the newest line."""
        self.last_time: float | None = None
        """Time of the newest line, Unix seconds by the trainer's clock."""
        self.learning_rate: float | None = None
        """As of the last epoch's end, or of a request since."""
        self.learning_rates = Series()
        """As of each epoch's end and of each request that set it."""
        self.batch_metrics: dict[str, Series] = {}
        """Per metric, each batch's own value."""
        self.running_metrics: dict[str, Series] = {}
        """Per metric without a value of a batch's own, Keras' running value."""
        self.epoch_metrics: dict[str, Series] = {}
        """Per name of Keras' epoch logs (`loss`, `val_loss`, …), at the step where the epoch ended."""
        self.epoch_numbers = Series()
        """The epoch that ended at each step of `epoch_metrics`."""
        self.epoch_phases = Series()
        """Whether a request's learning phase, 1, or Keras' own, 0, was in force at each epoch's end."""
        self.clock = Series()
        """Unix time at each step that the log has told the time of."""
        self.validation_batches: events.ValidationBatches | None = None
        """The newest validation, batch by batch."""
        self.validation_history: dict[int, events.ValidationBatches] = {}
        """Validations batch by batch, by the epoch they belong to, the newest `RECENT_VALIDATIONS`."""
        self.repeated_validations: dict[int, events.ValidationRepeated] = {}
        """Validations that were repeated to see why their loss stood out, by epoch."""
        self.probes: list[events.Probe] = []
        """All probes, in order."""
        self.gap_parts: dict[str, Series] = {name: Series() for name in GAP_PARTS}
        """The losses of the probes and the parts of their difference, by `GAP_PARTS`."""
        self.alerts: list[events.Alert] = []
        """What the rules found while it trained, in order."""
        self.overhead: events.Overhead | None = None
        """What monitoring takes, as last measured; None while not known."""
        self.layers: dict[str, LayerHistory] = {}
        """BatchNormalization layers by path, in the order of the model."""
        self.phase = "auto"
        """The learning phase in force."""
        self.frozen: frozenset[str] = frozenset()
        """Paths of the frozen BatchNormalization layers."""
        self.statistics_held: frozenset[str] = frozenset()
        """Paths of the BatchNormalization layers whose moving statistics alone are held."""
        self.frozen_weights: frozenset[str] = frozenset()
        """Paths of the other layers that requests froze."""
        self.momentum: dict[str, float] = {}
        """Momentum of the BatchNormalization layers by path, as in force."""
        self.branch = 0
        """One more after each rollback or resumption."""
        self.checkpoints: dict[str, events.CheckpointSaved] = {}
        """Checkpoints by name, oldest first; some may have made room for newer ones."""
        self.commands: dict[str, Command] = {}
        """Answered requests by id, in the order of their answers."""
        self.undoable: list[Command] = []
        """Requests that changed something and were not taken back since, of this attempt, the newest last."""
        self.timeline: list[TimelineEntry] = []
        """What happened, in order."""
        self.dropped: dict[str, int] = {}
        """Events that the writer had to drop, by type."""
        self._recent: deque[tuple[float, int]] = deque(maxlen=RECENT_BATCHES)
        self._disturbances = 0
        self._own_learning_rate = False
        self._own_learning_rate_at: dict[str, bool] = {}

    def apply(self, new: Iterable[events.AnyEvent]) -> None:
        """Fold further events, in the order of the log."""
        for event in new:
            self.last_seq = event.seq
            self.last_time = event.time
            self.step = max(self.step, event.step)
            self.epoch = event.epoch
            self.branch = event.branch
            self._fold(event)

    def forget_before(self, rows: int) -> None:
        """Keep only the newest rows of what grows with every step and epoch, for who has to live as long as the run."""
        for metrics in (self.batch_metrics, self.running_metrics, self.epoch_metrics):
            for series in metrics.values():
                series.keep_newest(rows)
        self.learning_rates.keep_newest(rows)
        self.clock.keep_newest(rows)
        del self.probes[:-rows]

    @property
    def in_force(self) -> InForce:
        """What requests can change, as it is now."""
        return InForce(
            self.phase,
            self.frozen,
            self.statistics_held,
            self.frozen_weights,
            self.momentum,
            self.learning_rate,
            self._own_learning_rate,
        )

    @property
    def steps_per_second(self) -> float | None:
        """Train steps a second, of about the last 10 s of training; None while not known."""
        if len(self._recent) < 2:
            return None
        last_time, last_step = self._recent[-1]
        first_time, first_step = next(
            (point for point in self._recent if last_time - point[0] <= RATE_SECONDS), self._recent[-2]
        )
        if first_time == last_time:
            first_time, first_step = self._recent[0]
        seconds = last_time - first_time
        return (last_step - first_step) / seconds if seconds > 0 else None

    @property
    def total_steps(self) -> int | None:
        """Steps of the run when `fit` is through; None while not known."""
        if self.fit is None or self.fit.epochs is None or self.fit.steps_per_epoch is None:
            return None
        return self._fit_first_step + (self.fit.epochs - self.fit.initial_epoch) * self.fit.steps_per_epoch

    @property
    def seconds_left(self) -> float | None:
        """Until the last epoch ends, at the speed of late; None while not known."""
        total = self.total_steps
        if self.steps_per_second is None or total is None or self.ended:
            return None
        # Of all that is kept: one slow validation must not double what is left.
        (first_time, first_step), (last_time, last_step) = self._recent[0], self._recent[-1]
        rate = (last_step - first_step) / (last_time - first_time) if last_time > first_time else 0.0
        return max(0, total - self.step) / rate if rate > 0 else None

    _fit_first_step = 0

    @singledispatchmethod
    def _fold(self, event: events.Event) -> None:
        """Events that carry nothing for the state: heartbeats."""

    @_fold.register
    def _(self, event: events.RunStarted) -> None:
        self.run = event
        self.ended = None
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.FitStarted) -> None:
        self.fit = event
        self.ended = None
        self._set_mode(event)
        self._disturbances += 1
        self._fit_first_step = event.step
        self._recent.clear()
        self._recent.append((event.time, event.step))
        self.clock.append(event.step, [event.time])
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.ModelBuilt) -> None:
        self.model = event
        known = self.layers
        self.layers = {layer.path: known.get(layer.path) or LayerHistory(layer) for layer in event.batch_norm_layers}
        for layer in event.batch_norm_layers:
            history = self.layers[layer.path]
            if history.layer.trainable != layer.trainable:
                history.trainable_changed = event.step
            history.layer = layer
        self.frozen = frozenset(layer.path for layer in event.batch_norm_layers if not layer.trainable)
        self.momentum = {layer.path: layer.momentum for layer in event.batch_norm_layers}

    @_fold.register
    def _(self, event: events.StateChanged) -> None:
        if self.state is not None and self.state.state in _NO_STEPS:
            # How fast it trains is not how long somebody had it wait.
            waited = event.time - self.state.time
            self._recent = deque(((at + waited, step) for at, step in self._recent), maxlen=self._recent.maxlen)
        self.state = event
        if event.state in ("preparing", "compiling"):
            self.timeline.append(event)

    @_fold.register
    def _(self, event: events.Batches) -> None:
        _extend(self.batch_metrics, event)
        last_step = event.first_step + event.batches
        for name, number in event.running.items():
            self.running_metrics.setdefault(name, Series()).append(last_step, [from_wire(number)])
        self._recent.append((event.time, last_step))
        self.clock.append(last_step, [event.time])

    @_fold.register
    def _(self, event: events.ValidationBatches) -> None:
        self.validation_batches = event
        self.validation_history[event.epoch] = event
        while len(self.validation_history) > RECENT_VALIDATIONS:
            del self.validation_history[next(iter(self.validation_history))]

    @_fold.register
    def _(self, event: events.EpochEnded) -> None:
        self.epochs_ended += 1
        self.learning_rate = from_wire(event.learning_rate)
        self.learning_rates.append(event.step, [self.learning_rate])
        self.epoch_numbers.append(event.step, [event.epoch])
        self.epoch_phases.append(event.step, [self.phase != "auto"])
        self.clock.append(event.step, [event.time])
        for name, number in event.logs.items():
            self.epoch_metrics.setdefault(name, Series()).append(event.step, [from_wire(number)])

    @_fold.register
    def _(self, event: events.BatchNorm) -> None:
        for path, statistics in event.layers.items():
            history = self.layers.get(path)
            if history is None:
                continue
            if history.mode != statistics.mode or history.disturbances != self._disturbances:
                history.undisturbed_from = len(history.moving_mean)
                history.disturbances = self._disturbances
            history.latest = statistics
            history.moving_mean.append(event.step, list_from_wire(statistics.moving_mean))
            history.moving_variance.append(event.step, list_from_wire(statistics.moving_variance))

    @_fold.register
    def _(self, event: events.BatchNormChannels) -> None:
        for path, values in event.layers.items():
            if path in self.layers:
                self.layers[path].channels = values

    @_fold.register
    def _(self, event: events.Probe) -> None:
        self.probes.append(event)
        for name, series in self.gap_parts.items():
            series.append(event.step, [from_wire(getattr(event, name))])
        for path, layer in event.layers.items():
            if path in self.layers:
                self.layers[path].probe = layer
                self.layers[path].drift.append(event.step, [from_wire(layer.drift)])

    @_fold.register
    def _(self, event: events.ValidationRepeated) -> None:
        self.repeated_validations[event.epoch] = event

    @_fold.register
    def _(self, event: events.Alert) -> None:
        self.alerts.append(event)
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.Overhead) -> None:
        self.overhead = event

    @_fold.register
    def _(self, event: events.CommandApplied) -> None:
        before = self.in_force
        self._set_mode(event)
        self._disturbances += 1
        if event.learning_rate is not None:
            self.learning_rate = from_wire(event.learning_rate)
            self.learning_rates.append(event.first_step, [self.learning_rate])
        command = self._answered(event, event.first_step, applied=True, detail=event.detail)
        if isinstance(command.request, LearningRate):
            self._own_learning_rate = command.request.learning_rate is not None
        command.traced_seconds, command.before, command.after = event.traced_seconds, before, self.in_force
        undone = undone_by(event.id)
        if undone is not None:
            self.undoable = [other for other in self.undoable if other.seq != undone]
        elif command.is_final or command.has_changed_something:
            self.undoable.append(command)

    @_fold.register
    def _(self, event: events.CommandRejected) -> None:
        self._answered(event, event.step, applied=False, detail=event.reason)

    @_fold.register
    def _(self, event: events.CommandVerified) -> None:
        if event.id in self.commands:
            self.commands[event.id].verified = event

    @_fold.register
    def _(self, event: events.Evaluated) -> None:
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.Recalibrated) -> None:
        self.timeline.append(event)
        self._disturbances += not event.dry_run

    @_fold.register
    def _(self, event: events.CheckpointSaved) -> None:
        self.checkpoints.pop(event.name, None)
        self.checkpoints[event.name] = event
        self._own_learning_rate_at[event.name] = self._own_learning_rate
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.RolledBack) -> None:
        self._own_learning_rate = self._own_learning_rate_at.get(event.checkpoint, False)
        self.timeline.append(event)
        self._disturbances += 1

    @_fold.register
    def _(self, event: events.RunResumed) -> None:
        self._own_learning_rate = self._own_learning_rate_at.get(event.checkpoint, False)
        # What was in force at the checkpoint is, whatever was asked after it.
        self.undoable = []
        self.timeline.append(event)
        self._disturbances += 1

    @_fold.register
    def _(self, event: events.Note) -> None:
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.LogGap) -> None:
        for kind, count in event.dropped.items():
            self.dropped[kind] = self.dropped.get(kind, 0) + count
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.RunEnded) -> None:
        self.ended = event
        self.timeline.append(event)

    def _set_mode(self, event: events.FitStarted | events.CommandApplied) -> None:
        self.phase = event.phase
        self.frozen = frozenset(event.frozen)
        self.statistics_held = frozenset(event.statistics_held)
        self.frozen_weights = frozenset(event.frozen_weights)
        self.momentum = {path: history.layer.momentum for path, history in self.layers.items()} | event.momentum

    def _answered(
        self, event: events.CommandApplied | events.CommandRejected, step: int, *, applied: bool, detail: str
    ) -> Command:
        request = from_fact(event.request)
        command = Command(
            id=event.id,
            words=describe(request),
            sender=event.sender,
            time=event.time,
            step=step,
            applied=applied,
            detail=detail,
            request=request,
            seq=event.seq,
        )
        self.commands[event.id] = command
        if not applied or not isinstance(request, Note):
            # A note that was left stands there by itself.
            self.timeline.append(command)
        return command


def _extend(metrics: dict[str, Series], event: events.Batches) -> None:
    for name, numbers in event.metrics.items():
        metrics.setdefault(name, Series()).extend(event.first_step, list_from_wire(numbers))
