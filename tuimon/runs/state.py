"""What a run's facts add up to: the one fold that live screen, replay, export and list share.

Pure: no clock, no files.
"""

from collections.abc import Iterable
from functools import singledispatchmethod

import numpy as np
from msgspec import Struct, field, structs

from tuimon.protocol import events
from tuimon.protocol.commands import Epochs, LearningRate, Note, describe, from_fact, undone_by
from tuimon.protocol.wire import from_wire, list_from_wire
from tuimon.runs.best import Bests
from tuimon.runs.command import Command as Command
from tuimon.runs.command import InForce
from tuimon.runs.fits import Fits
from tuimon.runs.layer_history import LayerHistory as LayerHistory
from tuimon.runs.orders import KINDS as OF_ORDERS
from tuimon.runs.orders import Orders
from tuimon.runs.pace import Pace
from tuimon.runs.series import Series
from tuimon.runs.system_load import SystemLoad
from tuimon.runs.thinning import LEAST_ROWS, fair_share, thin
from tuimon.runs.time_spent import TimeSpent

GAP_PARTS = ("train", "inference", "gap", "batch_norm", "stochastic", "other")
"""Numbers of a probe that are kept over time."""
RECENT_VALIDATIONS = 200
"""Validations that are kept batch by batch."""
OVER = ("finished", "stopped", "failed", "crashed", "imported")
"""What `tuimon.runs.liveness.status` says of a run that takes no requests any more."""

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
    | events.OrderGiven
    | events.OrderFired
    | events.OrderEnded
    | events.Note
    | events.LogGap
    | events.RunEnded
    | Command
)
"""What the timeline lists, in the order of the log."""


# Whole: one short method for each fact, beside the fields that it changes.
class RunState(Struct, eq=False):
    """Fold of a run's events.

    Example:
        ```python
        state = RunState()
        state.apply(tail.read())
        state.batch_metrics["loss"].values
        ```
    """

    run: events.RunStarted | None = None
    """The newest attempt."""
    fit: events.FitStarted | None = None
    """The newest `fit`."""
    fits: Fits = field(default_factory=Fits)
    """All fits, with their numbers."""
    orders: Orders = field(default_factory=Orders)
    """The standing orders."""
    epochs_asked: int | None = None
    """At which epoch this `fit` ends because of a request; None: as it was given."""
    model: events.ModelBuilt | None = None
    """The model; None until it is built."""
    state: events.StateChanged | None = None
    """What the trainer does now, as the log says; None before the first word."""
    ended: events.RunEnded | None = None
    """How it ended; None while it goes on, as far as the log says."""
    step: int = 0
    """Train steps completed."""
    epoch: int = 0
    """The epoch under way, from 0."""
    epochs_ended: int = 0
    """How many epochs ended."""
    last_seq: int = -1
    """Number of the newest line."""
    last_time: float | None = None
    """Time of the newest line, Unix seconds by the trainer's clock."""
    learning_rate: float | None = None
    """The learning rate at the begin of this `fit` or at its last epoch's end, or what a request has set since."""
    learning_rates: Series = field(default_factory=Series)
    """The learning rate at each epoch's end and after each request that set it."""
    batch_metrics: dict[str, Series] = field(default_factory=dict)
    """Per metric, each batch's own value."""
    running_metrics: dict[str, Series] = field(default_factory=dict)
    """Per metric without a value of a batch's own, Keras' running value."""
    thinned_before: int | None = None
    """The step before which only the extremes of single batches are kept; None where all of them are."""
    epoch_metrics: dict[str, Series] = field(default_factory=dict)
    """Per name of Keras' epoch logs (`loss`, `val_loss`, …), at the step where the epoch ended."""
    epoch_numbers: Series = field(default_factory=Series)
    """The epoch that ended at each step of `epoch_metrics`."""
    epoch_phases: Series = field(default_factory=Series)
    """Whether a request's learning phase, 1, or Keras' own, 0, was in force at each epoch's end."""
    best: Bests = field(default_factory=Bests)
    """The best value of each metric of the epochs; of all epochs, also those whose rows are forgotten."""
    clock: Series = field(default_factory=Series)
    """Unix time at each step that the log has told the time of."""
    validation_batches: events.ValidationBatches | None = None
    """The newest validation, batch by batch."""
    validation_history: dict[int, events.ValidationBatches] = field(default_factory=dict)
    """Validations batch by batch, by the epoch they belong to, the newest `RECENT_VALIDATIONS`."""
    repeated_validations: dict[int, events.ValidationRepeated] = field(default_factory=dict)
    """Validations that were repeated to see why their loss stood out, by epoch."""
    probes: list[events.Probe] = field(default_factory=list)
    """All probes, in order."""
    gap_parts: dict[str, Series] = field(default_factory=lambda: {name: Series() for name in GAP_PARTS})
    """The losses of the probes and the parts of their difference, by `GAP_PARTS`."""
    weight_updates: events.WeightUpdates | None = None
    """How far a step moved the weights, as last measured in this `fit`."""
    steps_without_change: dict[str, int] = field(default_factory=dict)
    """By path of a layer: how many steps, one after another as they were measured, changed none of its weights."""
    weights_replaced: dict[str, events.WeightsReplaced] = field(default_factory=dict)
    """The newest of each `where` of this `fit`: other weights than those of training were validated, or left."""
    alerts: list[events.Alert] = field(default_factory=list)
    """What the rules found while it trained, in order."""
    probe_planned: events.ProbePlanned | None = None
    """When the first probe comes by itself; None while not known."""
    overhead: events.Overhead | None = None
    """What monitoring takes, as last measured; None while not known."""
    time_split: TimeSpent = field(default_factory=TimeSpent)
    """Where the time of the steps went."""
    system: SystemLoad = field(default_factory=SystemLoad)
    """The load of the machine that trains."""
    layers: dict[str, LayerHistory] = field(default_factory=dict)
    """BatchNormalization layers by path, in the order of the model."""
    phase: str = "auto"
    """The learning phase in force."""
    phases: list[tuple[int, str]] = field(default_factory=list)
    """Each learning phase that was put in force, with its first step, in order."""
    frozen: frozenset[str] = frozenset()
    """Paths of the frozen BatchNormalization layers."""
    statistics_held: frozenset[str] = frozenset()
    """Paths of the BatchNormalization layers whose moving statistics alone are held."""
    frozen_weights: frozenset[str] = frozenset()
    """Paths of the other layers that requests froze."""
    momentum: dict[str, float] = field(default_factory=dict)
    """Momentum of the BatchNormalization layers by path, as in force."""
    branch: int = 0
    """One more after each rollback or resumption."""
    checkpoints: dict[str, events.CheckpointSaved] = field(default_factory=dict)
    """Checkpoints by name, oldest first; some may have made room for newer ones."""
    commands: dict[str, Command] = field(default_factory=dict)
    """Answered requests by id, in the order of their answers."""
    undoable: list[Command] = field(default_factory=list)
    """Requests that changed something and were not taken back since, of this attempt, the newest last."""
    timeline: list[TimelineEntry] = field(default_factory=list)
    """What happened, in order."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Events that the writer had to drop, by type."""
    untaken: list[str] = field(default_factory=list)
    """Facts that could not be folded, each with the reason: an error of tuimon. Empty, as far as is known."""
    _pace: Pace = field(default_factory=Pace)
    _fit_first_step: int = 0
    _fit_epochs_ended: int = 0
    _disturbances: int = 0
    _own_learning_rate: bool = False
    _is_resumed: bool = False
    _own_learning_rate_at: dict[str, bool] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"RunState(step={self.step}, epoch={self.epoch}, last_seq={self.last_seq})"

    @np.errstate(all="ignore")
    def apply(self, new: Iterable[events.AnyEvent]) -> None:
        """Fold further events, in the order of the log.

        One that cannot be folded is noted in `untaken`, and those behind it are folded. Numbers that are too large
        become infinite, without a warning: a curve shows where.
        """
        fold = self._fold  # Each look at the attribute makes a function.
        for event in new:
            self.last_seq = event.seq
            self.last_time = event.time
            self.step = max(self.step, event.step)
            self.epoch = event.epoch
            self.branch = event.branch
            try:
                if isinstance(event, OF_ORDERS):
                    self.orders.add(event)
                fold(event)
            except Exception as error:  # noqa: BLE001 - no fact may hide the others; checks are before, this is the last.
                kind = type(event).__struct_config__.tag
                self.untaken.append(f"fact {event.seq}, {kind}: {type(error).__name__}: {error}")

    def forget_before(self, rows: int) -> None:
        """Keep only the newest rows of everything that grows with steps and epochs.

        For a reader that lives as long as the run.
        """
        for metrics in (self.batch_metrics, self.running_metrics, self.epoch_metrics):
            for series in metrics.values():
                series.keep_newest(rows)
        self.learning_rates.keep_newest(rows)
        self.clock.keep_newest(rows)
        del self.probes[:-rows]

    def thin(self, numbers: int) -> None:
        """Once curves take twice as many numbers, keep their newest parts, and of what is older the extremes.

        For a reader that draws the whole run, however long it gets. See `tuimon.runs.thinning`.

        Args:
            numbers: Of 8 bytes each. What takes less than its share of them stays whole.
        """
        single = [*self.batch_metrics.values(), *self.running_metrics.values()]
        layers = list(self.layers.values())
        sizes = [series.numbers for series in single]
        sizes += [layer.numbers for layer in layers]
        if sum(sizes) <= 2 * numbers:
            return
        share = fair_share(sizes, numbers)
        # Well below the share, so that it is not done again soon; and a row's step is kept beside it from then on.
        rows = max(LEAST_ROWS, int(share / 4))
        for series in single:
            if series.numbers > share and thin((series,), rows) is not None:
                self.thinned_before = max(self.thinned_before or 0, int(series.steps[-rows]))
        for layer in layers:
            if layer.numbers > share:
                layer.thin(max(LEAST_ROWS, int(rows / (layer.moving_mean.width + 1))))

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
        """Train steps a second, of about the last 10 s of training before the newest line; None while not known."""
        return self._pace.steps_per_second

    @property
    def pace(self) -> Pace:
        """How fast it trains, and whether the next step is late."""
        return self._pace

    @property
    def total_steps(self) -> int | None:
        """Steps of the run when `fit` is through; None while not known."""
        if self.fit is None or self.fit.epochs is None or self.fit.steps_per_epoch is None:
            return None
        return self._fit_first_step + (self.fit.epochs - self.fit.initial_epoch) * self.fit.steps_per_epoch

    @property
    def seconds_left(self) -> float | None:
        """Until the last epoch ends, by what steps and ends of epochs take; None while not known."""
        total = self.total_steps
        if self.fit is None or self.fit.epochs is None or total is None or self.ended:
            return None
        epochs = self.fit.epochs - self.fit.initial_epoch - self._fit_epochs_ended
        return self._pace.seconds_left(max(0, total - self.step), max(0, epochs))

    @property
    def leaves_out_validation(self) -> bool:
        """Whether `seconds_left` is without the validations that may come: none was timed yet."""
        may_validate = not self._fit_epochs_ended or any(name.startswith("val_") for name in self.epoch_metrics)
        return may_validate and self._pace.epoch_end_seconds is None

    @singledispatchmethod
    def _fold(self, event: events.Event) -> None:
        """Leave the state as it is: heartbeats carry nothing for it."""

    @_fold.register
    def _(self, event: events.RunStarted) -> None:
        self.run = event
        self.ended = None
        # Of the attempt before, no step is awaited any more.
        self._pace.enter("preparing", event.time)
        self.system.begin()
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.FitStarted) -> None:
        self.fit = event
        if not self._is_resumed:
            self.epochs_asked = None
        self._is_resumed = False
        self.fits.add(event)
        self.ended = None
        self.weights_replaced, self.weight_updates, self.steps_without_change = {}, None, {}
        self.best.add(event)
        before = self.in_force
        self._set_mode(event)
        if self.in_force != before:
            # A new Monitor begins in the mode of the model: what was asked before is no longer in force.
            self.undoable = []
        # That of the fit before says nothing of this one.
        self.learning_rate = None if event.learning_rate is None else from_wire(event.learning_rate)
        self._disturbances += 1
        self._fit_first_step = event.step
        self._fit_epochs_ended = 0
        self._pace.begin(event.time, event.step, event.steps_per_epoch)
        self.clock.append(event.step, [event.time])
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.ModelBuilt) -> None:
        self.model = event
        self.fits.add(event)
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
        self.state = event
        self._pace.enter(event.state, event.time)
        if event.state in ("preparing", "compiling"):
            self.timeline.append(event)

    @_fold.register
    def _(self, event: events.Batches) -> None:
        _extend(self.batch_metrics, event)
        last_step = event.first_step + event.batches
        for name, number in event.running.items():
            _series(self.running_metrics, name).append(last_step, [from_wire(number)])
        self._pace.advance(event.time, event.first_step, last_step)
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
        self.fits.add(event)
        self._fit_epochs_ended += 1
        self._pace.end_epoch(event.step)
        self.best.add(event)
        rate = from_wire(event.learning_rate)
        # Another program's log may not say it.
        is_known = event.learning_rate is not None and (self.run is None or not self.run.source or not np.isnan(rate))
        self.learning_rate = rate if is_known else None
        if is_known:
            self.learning_rates.append(event.step, [rate])
        self.epoch_numbers.append(event.step, [event.epoch])
        self.epoch_phases.append(event.step, [self.phase != "auto"])
        self.clock.append(event.step, [event.time])
        for name, number in event.logs.items():
            _series(self.epoch_metrics, name).append(event.step, [from_wire(number)])

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
    def _(self, event: events.ProbePlanned) -> None:
        self.probe_planned = event

    @_fold.register
    def _(self, event: events.ValidationRepeated) -> None:
        self.repeated_validations[event.epoch] = event

    @_fold.register
    def _(self, event: events.WeightUpdates) -> None:
        self.weight_updates = event
        known = self.steps_without_change
        self.steps_without_change = {
            path: known.get(path, 0) + 1 if from_wire(share) == 0 else 0 for path, share in event.layers.items()
        }

    @_fold.register
    def _(self, event: events.WeightsReplaced) -> None:
        self.weights_replaced[event.where] = event

    @_fold.register
    def _(self, event: events.Alert) -> None:
        self.alerts.append(event)
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.Overhead) -> None:
        self.overhead = event

    @_fold.register
    def _(self, event: events.TimeSplit) -> None:
        self.time_split.add(event)

    @_fold.register
    def _(self, event: events.System) -> None:
        self.system.add(event)

    @_fold.register
    def _(self, event: events.CommandApplied) -> None:
        before = self.in_force
        self.best.add(event)
        self._set_mode(event)
        self._disturbances += 1
        if event.learning_rate is not None:
            self.learning_rate = from_wire(event.learning_rate)
            self.learning_rates.append(event.first_step, [self.learning_rate])
        command = self._answered(event, event.first_step, applied=True, detail=event.detail)
        if isinstance(command.request, Epochs) and self.fit is not None:
            self.epochs_asked = command.request.epochs
            self.fit = structs.replace(self.fit, epochs=self.epochs_asked)
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
    def _(
        self,
        event: events.Evaluated | events.Note | events.OrderGiven | events.OrderFired | events.OrderEnded,
    ) -> None:
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.Recalibrated) -> None:
        self._disturbances += not event.dry_run
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.CheckpointSaved) -> None:
        self.checkpoints.pop(event.name, None)
        self.checkpoints[event.name] = event
        self.best.add(event)
        self._own_learning_rate_at[event.name] = self._own_learning_rate
        self.timeline.append(event)

    @_fold.register
    def _(self, event: events.RolledBack | events.RunResumed) -> None:
        self.best.add(event)
        self._own_learning_rate = self._own_learning_rate_at.get(event.checkpoint, False)
        self._disturbances += 1
        if isinstance(event, events.RunResumed):
            self.fits.add(event)
            self._is_resumed = True
            # What was in force at the checkpoint is, whatever was asked after it.
            self.undoable = []
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
        if not self.phases or self.phases[-1][1] != event.phase:
            self.phases.append((event.step if isinstance(event, events.FitStarted) else event.first_step, event.phase))
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
        self._find_undone(command)
        self.commands[event.id] = command
        if not applied or not isinstance(request, Note):
            # An applied note has a fact of its own.
            self.timeline.append(command)
        return command

    def _find_undone(self, command: Command) -> None:
        number = undone_by(command.id)
        if number is None:
            return
        command.undoes = next((other for other in self.commands.values() if other.seq == number), None)
        for other in self.commands.values():
            if other.undoes is not None and other.undoes is command.undoes:
                other.is_part = command.is_part = True


def _series(metrics: dict[str, Series], name: str) -> Series:
    # Not with `setdefault`, which would make a series for every value.
    found = metrics.get(name)
    if found is None:
        found = metrics[name] = Series()
    return found


def _extend(metrics: dict[str, Series], event: events.Batches) -> None:
    for name, numbers in event.metrics.items():
        series = _series(metrics, name)
        if None not in numbers:
            series.extend(event.first_step, list_from_wire(numbers))
            continue
        # Missing in these steps, which is no NaN.
        known = [(step, number) for step, number in enumerate(numbers, event.first_step) if number is not None]
        steps = np.array([step for step, _ in known], dtype=np.int64)
        series.extend_rows(steps, list_from_wire([number for _, number in known]))
