"""Runs side by side: their curves, their metrics, and how their settings differ."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from msgspec import Struct, field

from tuimon.plot.joins import JOINED, Joins
from tuimon.plot.raster import XOf
from tuimon.plot.run_joins import joins_of
from tuimon.plot.run_values import parameter
from tuimon.plot.x_axis import between
from tuimon.protocol.events import FitStarted
from tuimon.protocol.wire import FloatArray
from tuimon.runs.listing.parameters import parameters_of
from tuimon.runs.series import IntArray, Series
from tuimon.runs.state import RunState
from tuimon.text import plain
from tuimon.ui.viewer.meanings import RUN

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""The letters of the runs that are drawn, one each."""
NO_LETTER = "•"
"""Marks the runs that are drawn when all letters are given."""
MOST_IN_ONE = 6
"""So many runs are drawn in one chart; more have a chart each."""
UNKNOWN = "–"
"""Stands for a setting that a run's log does not have."""
OF_EACH_BATCH = " of each batch"
"""Ends the name of a metric whose values are those of batches."""

_HIGHER_IS_BETTER = re.compile(
    r"acc|auc|precision|recall|f1|fbeta|f_score|iou|dice|r2|top_k|similarity|psnr|ssim|hit|sensitivity|specificity",
)


class Points(Struct, frozen=True):
    """A metric over the steps of a run."""

    steps: IntArray
    """The steps, ascending, shape ``(points,)``."""
    values: FloatArray
    """The values, shape ``(points,)``."""
    joins: Joins = JOINED
    """Which of its points are joined."""

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


class RunCurves(Struct, frozen=True, dict=True):
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
    metrics = {metric: _points(series, joins_of(state, metric)) for metric, series in state.epoch_metrics.items()}
    of_batches = joins_of(state, of_batches=True)
    metrics |= {
        f"{metric}{OF_EACH_BATCH}": _points(series, of_batches) for metric, series in state.batch_metrics.items()
    }
    return RunCurves(
        name,
        {metric: points for metric, points in metrics.items() if len(points.steps)},
        _clock(state),
        {plain(key, 60): parameter(key, value) for key, value in parameters_of(state, config).items()},
        is_over=is_over,
        share=share,
    )


def letter_of(slot: int) -> str:
    """Return the letter of a run by its place among those that are drawn."""
    return LETTERS[slot] if slot < len(LETTERS) else NO_LETTER


def code_of(slot: int) -> int:
    """Return the colour of a run by its place among those that are drawn."""
    return RUN + slot % MOST_IN_ONE


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


def _points(series: Series, joins: Joins) -> Points:
    return Points(series.steps, series.values, joins)


def _clock(state: RunState) -> Points | None:
    times = state.clock
    first = next((entry for entry in state.timeline if isinstance(entry, FitStarted)), None)
    if not len(times):
        return None
    begin = first.time if first is not None else float(times.values[0])
    steps = np.concatenate(([first.step if first is not None else 0], times.steps))
    return Points(steps, np.concatenate(([0.0], np.maximum(times.values - begin, 0.0))))
