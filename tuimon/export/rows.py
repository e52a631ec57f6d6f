"""What was measured in a run as rows: one value each, with its step, epoch, time, branch and fit.

CSV, JSON lines and Parquet have the same rows and columns, in the order of the log.
"""

from collections.abc import Iterable, Iterator
from functools import singledispatch
from typing import NamedTuple

from tuimon.protocol import events
from tuimon.protocol.wire import Number
from tuimon.runs.best import KINDS, Best, Bests
from tuimon.runs.fits import Fits
from tuimon.runs.state import GAP_PARTS

QUANTILE_NAMES = tuple(f"p{round(100 * quantile)}" for quantile in events.QUANTILES)


class Row(NamedTuple):
    """One value."""

    step: int
    """Of a batch: its number, from 0; of all else: the train steps that were completed."""
    epoch: int
    """From 0."""
    time: float
    """Unix time in seconds."""
    metric: str
    """What was measured, such as `val_loss` or `batch/loss`."""
    value: Number
    """Numbers that are not finite are `nan`, `inf` or `-inf`; None: not known."""
    branch: int
    """How many rollbacks and resumptions came before."""
    fit: int
    """The number of the `fit`, from 1; 0 before the first one. A `fit` that was resumed keeps its number."""


class Rows:
    """Makes the rows of a run, fact by fact.

    Its memory grows with the number of metrics, fits and checkpoints, not with the number of values.

    Example:
        ```python
        rows = Rows()
        for fact in facts(run):
            for row in rows.of(fact):
                ...
        ```
    """

    def __init__(self) -> None:
        self._best = Bests()
        self._fits = Fits()

    def of(self, event: events.AnyEvent) -> Iterator[Row]:
        """Yield the rows of the next fact."""
        if isinstance(event, events.FitStarted | events.EpochEnded | events.RunResumed):
            self._fits.add(event)
        epoch, time, branch, fit = event.epoch, event.time, event.branch, number_of(self._fits)
        for step, metric, value in values(event):
            yield Row(step, epoch, time, metric, value, branch, fit)
        if isinstance(event, KINDS):
            before = self._best.values
            self._best.add(event)
            for best_step, best_epoch, metric, value in _changes(event, before, self._best.values):
                yield Row(best_step, best_epoch, time, metric, value, branch, fit)


def of_all(new: Iterable[events.AnyEvent]) -> Iterator[Row]:
    """Yield the rows of the facts of a log, from its beginning and in its order."""
    rows = Rows()
    for event in new:
        yield from rows.of(event)


def number_of(fits: Fits) -> int:
    """Return the number of the newest of these fits, from 1; 0: there is none yet."""
    return fits.newest.number if fits.newest else 0


def _changes(
    event: events.AnyEvent, before: dict[str, Best], after: dict[str, Best]
) -> Iterator[tuple[int, int, str, Number]]:
    for name in before | after:
        found = after.get(name)
        if found is None:
            yield event.step, event.epoch, f"best/{name}", None
        elif found != before.get(name):
            yield found.step, found.epoch, f"best/{name}", found.value


Value = tuple[int, str, Number]
"""Step, metric, value."""


@singledispatch
def values(event: events.Event) -> Iterable[Value]:
    """Return the numbers of one event; most have none."""
    del event
    return ()


@values.register
def _(event: events.Batches) -> Iterator[Value]:
    for name, numbers in event.metrics.items():
        for step, number in enumerate(numbers, event.first_step):
            if number is not None:  # It was not logged in this step.
                yield step, f"batch/{name}", number
    for name, number in event.running.items():
        yield event.first_step + max(event.batches, 1) - 1, f"running/{name}", number


@values.register
def _(event: events.EpochEnded) -> Iterator[Value]:
    for name, number in event.logs.items():
        yield event.step, name, number
    if "learning_rate" not in event.logs:
        yield event.step, "learning_rate", event.learning_rate


@values.register
def _(event: events.Evaluated) -> Iterator[Value]:
    # The step has a column of its own: evaluations that were asked for are one metric.
    what = "" if event.name == f"at step {event.step}" else f"{event.name}/"
    for name, number in event.logs.items():
        yield event.step, f"evaluated/{what}{name}", number


@values.register
def _(event: events.Recalibrated) -> Iterator[Value]:
    # A dry run's numbers are of a model that never was.
    kind = "recalibrated_dry_run" if event.dry_run else "recalibrated"
    for when, logs in (("before", event.before), ("after", event.after)):
        for name, number in logs.items():
            yield event.step, f"{kind}/{when}/{name}", number


@values.register
def _(event: events.BatchNorm) -> Iterator[Value]:
    for path, statistics in event.layers.items():
        for array in ("moving_mean", "moving_variance", "gamma", "beta"):
            quantiles: list[Number] = getattr(statistics, array) or []
            for name, number in zip(QUANTILE_NAMES, quantiles, strict=False):
                yield event.step, f"batch_norm/{path}/{array}/{name}", number


@values.register
def _(event: events.Probe) -> Iterator[Value]:
    for part in (*GAP_PARTS, "standard_error", "validation"):
        yield event.step, f"probe/{part}", getattr(event, part)
    for path, layer in event.layers.items():
        for name in ("in_order", "alone", "drift"):
            yield event.step, f"probe/{path}/{name}", getattr(layer, name)
    if event.gradients:
        yield event.step, "probe/gradient_norm", event.gradient_norm
    for path, gradient in event.gradients.items():
        yield event.step, f"probe/{path}/gradient_norm", gradient.norm
        yield event.step, f"probe/{path}/weight_norm", gradient.weight_norm


@values.register
def _(event: events.System) -> Iterator[Value]:
    for name in ("cpu", "process_cpu", "memory_used", "process_memory", "disk_free"):
        if (number := getattr(event, name)) is not None:
            yield event.step, f"system/{name}", number
    for gpu in event.gpus:
        for name in ("busy", "memory_used", "process_memory", "temperature", "watts"):
            if (number := getattr(gpu, name)) is not None:
                yield event.step, f"system/gpu/{gpu.index}/{name}", number


@values.register
def _(event: events.WeightUpdates) -> Iterator[Value]:
    for path, share in event.layers.items():
        yield event.step, f"weights/{path}/share_moved", share
