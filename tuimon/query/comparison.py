"""Several runs side by side: best and final values, where curves part, what it took to a target, what differs."""

import re
import time
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from tuimon.errors import UsageError
from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray
from tuimon.query.columns import Columns, Metric
from tuimon.query.lookup import ALWAYS
from tuimon.query.nearest import unknown
from tuimon.query.parting import Parting, parting
from tuimon.runs.best import SHOWN, Best, is_lower_better
from tuimon.runs.fits import Fits
from tuimon.runs.glance import Glance
from tuimon.runs.listing.summary import Summary, glanced
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory

_TARGET = re.compile(r"([^<>=!]+)(<=|>=|=|<|>)(.+)")
_WHOLE_LOG = 2**62


class Target(Struct, frozen=True):
    """A value that a metric is to reach at the end of an epoch."""

    metric: str
    value: float
    is_lower_better: bool
    words: str
    """As it was given."""

    def reached(self, values: FloatArray) -> int | None:
        """Return the place of the first value that reaches it; None where none does."""
        found = np.flatnonzero(values <= self.value if self.is_lower_better else values >= self.value)
        return int(found[0]) if len(found) else None


def target_in(words: str) -> Target:
    """Return the target that a person gives: `val_loss=0.3`, `val_loss<0.3`, `score>2`.

    With `=`, the name says whether less or more is better; with a sign, the sign does. A value that is equal reaches
    it.

    Raises:
        ValueError: It is no target; says why.

    Example:
        >>> target_in("val_accuracy=0.9").is_lower_better, target_in("mystery<0.5").is_lower_better
        (False, True)
    """
    found = _TARGET.fullmatch(words.strip())
    if found is None:
        raise ValueError(f'"{words}" is no target; give METRIC=VALUE, such as val_loss=0.3')
    metric, sign, number = found[1].strip(), found[2], found[3].strip()
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f'"{number}" is no number') from None
    if not np.isfinite(value):
        raise ValueError(f'"{number}" is not finite')
    is_lower = is_lower_better(metric) if sign == "=" else sign.startswith("<")
    if is_lower is None:
        raise ValueError(f"whether less or more of {metric} is better is not known; say {metric}<{number} or >{number}")
    return Target(metric, value, is_lower, words)


class Reached(Struct, frozen=True):
    """When a run reached a target."""

    epoch: int
    """From 0."""
    step: int
    """Train steps completed; after a rollback or a resumption with those that were undone."""
    seconds: float
    """From the start of its first `fit` to the end of that epoch: with pauses, and with what was undone."""
    value: float


class ComparedRun(Struct, frozen=True):
    """One run of a comparison."""

    summary: Summary
    """State, progress, best values, parameters."""
    metrics: dict[str, Metric]
    """The metrics of epochs, on the line that led to where the run is now; epochs are counted through all fits."""
    began: float | None
    """When its first `fit` began, Unix seconds; None before."""
    fits: Fits
    """Its fits, with their numbers."""

    def best(self, name: str) -> Best | None:
        """Return the best value of a metric, its epoch counted through all fits; None where it is not known."""
        found, metric = self.summary.best.get(name), self.metrics.get(name)
        if found is None or metric is None:
            return found
        epochs = metric.epochs[metric.steps == found.step]
        return replace(found, epoch=int(epochs[-1])) if len(epochs) else found

    def when(self, target: Target) -> Reached | None:
        """Return when it reached a target; None: it did not, or it does not have the metric."""
        metric = self.metrics.get(target.metric)
        place = None if metric is None else target.reached(metric.values)
        if metric is None or place is None or self.began is None:
            return None
        return Reached(
            int(metric.epochs[place]),
            int(metric.steps[place]),
            float(metric.times[place]) - self.began,
            float(metric.values[place]),
        )


def read(run: RunDirectory) -> ComparedRun:
    """Read a run for a comparison: the ends of its epochs, not its batches.

    Raises:
        OSError: The log cannot be read.
    """
    columns, began = Columns(), None
    try:
        size = run.session_log.stat().st_size
    except FileNotFoundError:
        size = 0
    for event in Tail(run.session_log).skim(size, ALWAYS):
        columns.apply((event,))
        if began is None and isinstance(event, events.FitStarted):
            began = event.time
    metrics = {}
    for name in columns.names:
        if not name.startswith("best/") and len(metric := columns.metric(name)):
            of_run = columns.fits.epochs_of_run(metric.steps, metric.epochs.astype(np.float64))
            metrics[name] = replace(metric, epochs=of_run.astype(np.int64))
    return ComparedRun(glanced(Glance(run, skimmed_bytes=_WHOLE_LOG), time.time()), metrics, began, columns.fits)


def names_in(runs: Sequence[ComparedRun]) -> list[str]:
    """Return the metrics that any of the runs has: losses first, the learning rate last."""
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    return sorted(names, key=lambda name: (name == "learning_rate", name not in SHOWN))


def partings(runs: Sequence[ComparedRun], name: str) -> list[Parting | None]:
    """Return where each run but the first parts from the first; None where one of both does not have the metric."""
    first = runs[0].metrics.get(name)
    found: list[Parting | None] = []
    for run in runs[1:]:
        other = run.metrics.get(name)
        if first is None or other is None:
            found.append(None)
        else:
            found.append(parting(first.epochs, first.values, other.epochs, other.values))
    return found


def require_known(target: Target, runs: Sequence[ComparedRun]) -> None:
    """Check that any run has the metric of a target.

    Raises:
        UsageError: None has it; names the nearest.
    """
    known = names_in(runs)
    if target.metric not in known:
        raise UsageError(f"--target: {unknown('these runs have', 'metric', target.metric, known)}")
