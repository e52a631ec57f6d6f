"""A run as tidy CSV: ``step,epoch,time,metric,value``, one value a line.

All that was measured is there, in the order of the log. `branch` has no column: a rollback or a resumption undoes
what earlier rows show of the weights, not the rows, and `step` never goes back but in rows of `best/`.

`best/<metric>` has a row for each epoch that was better than those before, with the value, step and epoch of that
epoch: the last one is the best of the run. After a rollback or a resumption that undoes it, a row repeats the best one
that is left, with its own step and epoch; where none is left, and where another model begins, the value is empty. A
metric of which nobody knows whether more or less is better has no such rows.

`system/<name>` and `system/gpu/<number>/<name>` are the load of the machine that trains, in the units of the log:
shares from 0 to 1, bytes, degrees Celsius, watts. What was not read has no row.

The log is streamed: memory does not grow with the run.
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from functools import singledispatch
from pathlib import Path
from typing import TextIO

from tuimon.atomic_file import whole_file
from tuimon.protocol import events
from tuimon.protocol.wire import Number
from tuimon.runs.best import KINDS, Best, Bests
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import GAP_PARTS

COLUMNS = ("step", "epoch", "time", "metric", "value")
QUANTILE_NAMES = tuple(f"p{round(100 * quantile)}" for quantile in events.QUANTILES)

Row = tuple[int, int, float, str, Number]
"""Numbers that are not finite are `nan`, `inf` or `-inf`; unknown ones are empty."""


def export(run: RunDirectory, out: str, stdout: TextIO | None = None) -> None:
    """Write a run's metrics to the file ``out``, whole or not at all; ``-``: to stdout.

    Args:
        run: The run.
        out: A path, or ``-``.
        stdout: Takes the lines for ``-``; by default that of the process.

    Raises:
        OSError: the log cannot be read, or the file not written.
    """
    if out == "-":
        _write(run, stdout or sys.stdout)
        return
    path = Path(out)
    if path.is_dir():
        raise IsADirectoryError(out)
    with whole_file(path) as file:
        _write(run, file)


def rows(new: Iterable[events.AnyEvent], best: Bests | None = None) -> Iterator[Row]:
    """Yield the rows of some events, in the order of the log.

    A batch's step is its number, from 0; an epoch's the steps that were completed at its end.

    Args:
        new: The events.
        best: The best values before them, none by default; those of the events are added.
    """
    best = Bests() if best is None else best
    for event in new:
        for step, metric, value in _values(event):
            yield step, event.epoch, event.time, metric, value
        if isinstance(event, KINDS):
            before = best.values
            best.add(event)
            yield from _changes(event, before, best.values)


def _changes(event: events.AnyEvent, before: dict[str, Best], after: dict[str, Best]) -> Iterator[Row]:
    for name in before | after:
        found = after.get(name)
        if found is None:
            yield event.step, event.epoch, event.time, f"best/{name}", None
        elif found != before.get(name):
            yield found.step, found.epoch, event.time, f"best/{name}", found.value


def _write(run: RunDirectory, file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    tail, best = Tail(run.session_log), Bests()
    while True:
        before = tail.offset
        writer.writerows(rows(tail.read(), best))
        if tail.offset == before:
            return


Value = tuple[int, str, Number]
"""Step, metric, value."""


@singledispatch
def _values(event: events.Event) -> Iterable[Value]:
    """Return the numbers of one event; most have none."""
    del event
    return ()


@_values.register
def _(event: events.Batches) -> Iterator[Value]:
    for name, numbers in event.metrics.items():
        for step, number in enumerate(numbers, event.first_step):
            if number is not None:  # It was not logged in this step.
                yield step, f"batch/{name}", number
    for name, number in event.running.items():
        yield event.first_step + max(event.batches, 1) - 1, f"running/{name}", number


@_values.register
def _(event: events.EpochEnded) -> Iterator[Value]:
    for name, number in event.logs.items():
        yield event.step, name, number
    if "learning_rate" not in event.logs:
        yield event.step, "learning_rate", event.learning_rate


@_values.register
def _(event: events.Evaluated) -> Iterator[Value]:
    # The step has a column of its own: evaluations that were asked for are one metric.
    what = "" if event.name == f"at step {event.step}" else f"{event.name}/"
    for name, number in event.logs.items():
        yield event.step, f"evaluated/{what}{name}", number


@_values.register
def _(event: events.Recalibrated) -> Iterator[Value]:
    # A dry run's numbers are of a model that never was.
    kind = "recalibrated_dry_run" if event.dry_run else "recalibrated"
    for when, logs in (("before", event.before), ("after", event.after)):
        for name, number in logs.items():
            yield event.step, f"{kind}/{when}/{name}", number


@_values.register
def _(event: events.BatchNorm) -> Iterator[Value]:
    for path, statistics in event.layers.items():
        for array in ("moving_mean", "moving_variance", "gamma", "beta"):
            quantiles: list[Number] = getattr(statistics, array) or []
            for name, number in zip(QUANTILE_NAMES, quantiles, strict=False):
                yield event.step, f"batch_norm/{path}/{array}/{name}", number


@_values.register
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


@_values.register
def _(event: events.System) -> Iterator[Value]:
    for name in ("cpu", "process_cpu", "memory_used", "process_memory", "disk_free"):
        if (number := getattr(event, name)) is not None:
            yield event.step, f"system/{name}", number
    for gpu in event.gpus:
        for name in ("busy", "memory_used", "process_memory", "temperature", "watts"):
            if (number := getattr(gpu, name)) is not None:
                yield event.step, f"system/gpu/{gpu.index}/{name}", number


@_values.register
def _(event: events.WeightUpdates) -> Iterator[Value]:
    for path, share in event.layers.items():
        yield event.step, f"weights/{path}/share_moved", share
