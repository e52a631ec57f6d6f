"""Runs side by side: their curves, their metrics, and how their settings differ."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from tuimon.numbers import count, learning_rate, setting
from tuimon.plot.raster import XOf
from tuimon.plot.x_axis import between
from tuimon.protocol.events import FitStarted
from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray, Series
from tuimon.runs.state import RunState
from tuimon.text import plain

LETTERS = "ABCDEF"
"""The letters of the runs that are drawn: one each, and no more runs than letters."""
UNKNOWN = "–"
"""Stands for a setting that a run's log does not have."""
OF_EACH_BATCH = " of each batch"
"""Ends the name of a metric whose values are those of batches."""

_HIGHER_IS_BETTER = re.compile(
    r"acc|auc|precision|recall|f1|fbeta|f_score|iou|dice|r2|top_k|similarity|psnr|ssim|hit|sensitivity|specificity",
)
_NOT_COMPARED = frozenset(("run.name", "run.source"))
"""Keys of a config that differ between any two runs, so that the difference says nothing."""
_SAID_BY_FIT = frozenset(("training.optimizer", "training.epochs", "training.batch_size", "training.learning_rate"))
"""Keys of a config left out, since the facts of the fit say the same, for a user's own script, too."""
_VALUE_LIMIT = 60


@dataclass(frozen=True)
class RunLine:
    """One run in the list."""

    path: Path
    """The path of its directory."""
    status: str
    """The word of `liveness.status`; empty if it is not known."""
    started: float | None = None
    """The time at which the run began, Unix seconds; None while not known."""
    loss: float | None = None
    """The newest loss; None while not known."""
    val_loss: float | None = None
    """The newest validation loss; None while not known."""
    trouble: str = ""
    """Why the run cannot be read; empty if it can."""


@dataclass(frozen=True)
class Points:
    """A metric over the steps of a run."""

    steps: IntArray
    """The steps, ascending, shape ``(points,)``."""
    values: FloatArray
    """The values, shape ``(points,)``."""

    def newest(self) -> float | None:
        """Return the last value; None where there is none."""
        return float(self.values[-1]) if len(self.values) else None

    def best(self, *, lowest: bool) -> tuple[int, float] | None:
        """Return step and value of the best point that is finite; None where there is none."""
        finite = np.flatnonzero(np.isfinite(self.values))
        if not len(finite):
            return None
        values = self.values[finite]
        place = finite[values.argmin() if lowest else values.argmax()]
        return int(self.steps[place]), float(self.values[place])


@dataclass(frozen=True)
class RunCurves:
    """The curves and settings of one run, as of when they were read."""

    name: str
    """The name of its directory."""
    metrics: Mapping[str, Points] = field(default_factory=dict)
    """Metrics by name: those of epochs named as in Keras, those of batches with `OF_EACH_BATCH` after the name."""
    clock: Points | None = None
    """Seconds since training began, over steps; None while no step has a time."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Its settings in words, the most telling ones first."""
    is_over: bool = False
    """True once the run is over."""
    share: float | None = None
    """The share of its log read so far; None when all of it is read."""
    trouble: str = ""
    """Why the run cannot be read; empty if it can."""

    @cached_property
    def seconds(self) -> XOf:
        """Converts steps to seconds since training began."""
        if self.clock is None:
            return lambda steps: np.zeros(len(steps))
        return between(self.clock.steps, self.clock.values)


def line_of(path: Path, state: RunState, status: str, started: float | None = None) -> RunLine:
    """Return a run's line in the list."""
    loss = _last(state.epoch_metrics.get("loss"))
    return RunLine(
        path,
        status,
        started=started if started is not None else _begin(state),
        loss=_last(state.batch_metrics.get("loss")) if loss is None else loss,
        val_loss=_last(state.epoch_metrics.get("val_loss")),
    )


def curves_of(
    name: str, state: RunState, config: Mapping[str, object] | None = None, *, is_over: bool, share: float | None = None
) -> RunCurves:
    """Return the curves and settings of a run.

    They do not change while the run goes on: a `Series` only gains rows, and the result holds the rows of now.

    Args:
        name: The name of its directory.
        state: The run.
        config: The config in its directory, for a run without one in its facts.
        is_over: True once the run is over.
        share: The share of its log read so far; None for all.
    """
    metrics = {metric: _points(series) for metric, series in state.epoch_metrics.items()}
    metrics |= {f"{metric}{OF_EACH_BATCH}": _points(series) for metric, series in state.batch_metrics.items()}
    return RunCurves(
        name,
        {metric: points for metric, points in metrics.items() if len(points.steps)},
        _clock(state),
        dict(_facts(state, config or {})),
        is_over=is_over,
        share=share,
    )


def metric_names(runs: Iterable[RunCurves]) -> list[str]:
    """Return every metric that one of the runs has: the losses first, each before its validation."""
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    bases = list(dict.fromkeys(map(_base, names)))

    def order(name: str) -> tuple[bool, bool, int, bool]:
        base = _base(name)
        return name.endswith(OF_EACH_BATCH), base != "loss", bases.index(base), name.startswith("val_")

    return sorted(names, key=order)


def lower_is_better(name: str) -> bool:
    """Return True for a metric that is better when lower, judged by its name.

    Example:
        >>> lower_is_better("val_loss"), lower_is_better("val_accuracy")
        (True, False)
    """
    return not _HIGHER_IS_BETTER.search(name.lower()) or "loss" in name.lower()


def differences(runs: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """Return the settings that differ, each with its value in every run, or `UNKNOWN`.

    Settings that the logs of all runs have come first.

    Example:
        >>> differences([{"optimizer": "Adam", "epochs": "3"}, {"optimizer": "SGD", "epochs": "3"}])
        [('optimizer', ['Adam', 'SGD'])]
    """
    # In the order of the run with the most settings: a user's own script has no config.
    keys = dict.fromkeys(key for run in sorted(runs, key=len, reverse=True) for key in run)
    rows = [(key, [run.get(key, UNKNOWN) for run in runs]) for key in keys]
    return sorted(((key, values) for key, values in rows if len(set(values)) > 1), key=lambda row: UNKNOWN in row[1])


def _base(name: str) -> str:
    return name.removesuffix(OF_EACH_BATCH).removeprefix("val_")


def _points(series: Series) -> Points:
    return Points(series.steps, series.values)


def _last(series: Series | None) -> float | None:
    return series.last if series is not None else None


def _begin(state: RunState) -> float | None:
    return next((entry.time for entry in state.timeline), None)


def _clock(state: RunState) -> Points | None:
    times = state.clock
    first = next((entry for entry in state.timeline if isinstance(entry, FitStarted)), None)
    if not len(times):
        return None
    begin = first.time if first is not None else float(times.values[0])
    steps = np.concatenate(([first.step if first is not None else 0], times.steps))
    return Points(steps, np.concatenate(([0.0], np.maximum(times.values - begin, 0.0))))


def _facts(state: RunState, config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    if state.fit is not None:
        yield "optimizer", plain(state.fit.optimizer, _VALUE_LIMIT)
    rates = state.learning_rates.values
    if len(rates):
        first, newest = learning_rate(float(rates[0])), learning_rate(float(rates[-1]))
        yield "learning rate", first
        yield "learning rate, newest", newest
    if state.fit is not None:
        yield "epochs", _count(state.fit.epochs)
        yield "steps per epoch", _count(state.fit.steps_per_epoch)
        yield "batch size", _count(state.fit.batch_size)
        yield "XLA", "yes" if state.fit.jit_compile else "no"
    if state.model is not None:
        yield "parameters", count(state.model.parameters)
        yield "trainable parameters", count(state.model.trainable_parameters)
        yield "BatchNormalization layers", count(len(state.layers))
    tables = state.run.config if state.run is not None and state.run.config else config
    for key, value in _flat(tables, ""):
        if key not in _NOT_COMPARED and not (state.fit is not None and key in _SAID_BY_FIT):
            yield plain(key, _VALUE_LIMIT), plain(value, _VALUE_LIMIT)
    if state.run is not None:
        for name, version in state.run.versions.items():
            yield plain(name, _VALUE_LIMIT), plain(version, _VALUE_LIMIT)
        yield "host", plain(state.run.host, _VALUE_LIMIT)


def _count(number: int | None) -> str:
    return "–" if number is None else count(number)


def _flat(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Yield the keys of nested tables with dots between, and their values as text."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{key}[{number}]")
    elif isinstance(value, bool):
        yield key, "yes" if value else "no"
    else:
        yield key, setting(value) if isinstance(value, float) else str(value)
