"""BatchNormalization layers as the rules look at them: what moved, what they are called, what may be asked for them."""

import math
import shlex
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from tuimon.diagnosis.history import beginning
from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, from_wire
from tuimon.runs.state import LayerHistory, RunState, TimelineEntry

RECENT_SAMPLES = 64
"""Samples of a layer that are looked at, the newest."""
MEDIAN = events.QUANTILES.index(0.5)
"""The column of a sample that has the median over the channels."""
NAMED = 3
"""Layers that a sentence names."""


class Movement(Struct, frozen=True):
    """What a layer's moving statistics did while nothing but train steps could change them."""

    first_step: int
    """The step of the first sample."""
    steps: int = 0
    """Steps from the first sample to the last."""
    intervals: int = 0
    """Pairs of samples with steps in between."""
    moved: int = 0
    """Intervals in which any quantile of the moving statistics changed, by however little."""

    @property
    def is_held(self) -> bool:
        """Whether nothing ever moved."""
        return self.moved == 0


def movement(history: LayerHistory, *, since: int = 0) -> Movement:
    """Return what a layer's moving statistics did in the mode that they are in.

    Args:
        history: The layer.
        since: Samples before this step are left out.
    """
    steps = history.moving_mean.steps
    first = max(history.undisturbed_from, int(np.searchsorted(steps, since)))
    if len(steps) - first < 2:
        return Movement(since)
    newest = slice(max(first, len(steps) - RECENT_SAMPLES), None)
    advanced = np.diff(steps[newest]) > 0
    changed = _changed(history.moving_mean.rows[newest]) | _changed(history.moving_variance.rows[newest])
    moved = int(np.count_nonzero(changed & advanced))
    if moved == 0 and first < newest.start:
        # It may have moved earlier: statistics that came to rest were not held.
        series = (history.moving_mean, history.moving_variance)
        moved = int(any(_changed(each.rows[[first, newest.start]])[0] for each in series))
    return Movement(int(steps[first]), int(steps[-1] - steps[first]), int(np.count_nonzero(advanced)), moved)


def _changed(rows: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    before, after = rows[:-1], rows[1:]
    different = (before != after) & ~(np.isnan(before) & np.isnan(after))
    return np.asarray(different.any(axis=1))


def uses_batch_statistics(layer: events.ProbeLayer) -> bool:
    """Whether a layer used batch statistics in training when it was probed; else switching it changes nothing."""
    return any(from_wire(share) != 0 for share in (layer.in_order, layer.alone))


def starts_fresh(history: LayerHistory) -> bool:
    """Whether a layer was first seen with Keras' initial values: a moving mean of 0, a moving variance of 1."""
    if not len(history.moving_mean):
        return False
    return bool((history.moving_mean.rows[0] == 0).all() and (history.moving_variance.rows[0] == 1).all())


def half_life(momentum: float) -> float:
    """Return the steps after which half of what a moving average held is gone: ln 2 / −ln(momentum).

    Example:
        >>> round(half_life(0.99))
        69
    """
    return math.log(2) / -math.log(momentum) if 0 < momentum < 1 else math.inf if momentum >= 1 else 0.0


def kept(momentum: float, updates: float) -> float:
    """Return the share of its value that a moving average keeps over some updates: momentum^updates.

    1 for no update, NaN for a momentum that is none: then it is no average, and the power may be beyond all numbers.

    Example:
        >>> round(kept(0.99, 69), 2), kept(0.0, 0), kept(-5e9, 1000)
        (0.5, 1.0, nan)
    """
    if updates <= 0:
        return 1.0
    return momentum**updates if 0 <= momentum <= 1 else math.nan


def has_changed_since(state: RunState, probe: events.Probe) -> bool:
    """Whether something other than train steps has changed the model since a probe: a recalibration, a new `fit`."""
    for entry in reversed(state.timeline):
        if entry is not None and entry.time < probe.time:
            return False
        if sets_statistics(entry) or (isinstance(entry, events.FitStarted) and not _goes_on(state, entry, probe)):
            return True
    return False


def sets_statistics(entry: TimelineEntry) -> bool:
    """Return whether moving statistics were set to others, not by train steps."""
    return isinstance(entry, events.RolledBack | events.RunResumed) or (
        isinstance(entry, events.Recalibrated) and not entry.dry_run
    )


def _goes_on(state: RunState, fit: events.FitStarted, probe: events.Probe) -> bool:
    """Return True if a `fit` goes on with the probed model: many scripts call `fit(epochs=1)` in a loop."""
    return fit.same_model and beginning(state) <= probe.step


def only(paths: Sequence[str]) -> str | None:
    """Return the path a finding is about; None where there are several."""
    return paths[0] if len(paths) == 1 else None


def named(paths: Sequence[str]) -> str:
    """Return layers in words.

    Example:
        >>> named(["bn_1"]), named(["bn_1", "bn_2"]), named(["a", "b", "c", "d"])
        ('bn_1', 'bn_1 and bn_2', 'a, b, c and 1 more')
    """
    first = list(paths[:NAMED])
    if len(paths) > NAMED:
        return f"{', '.join(first)} and {len(paths) - NAMED} more"
    return " and ".join(filter(None, (", ".join(first[:-1]), first[-1]))) if first else "no layer"


def request(state: RunState, command: str, *arguments: str, layers: Sequence[str] | None = None) -> str:
    """Return a request as `tuimon send` spells it; empty where this run cannot take it.

    Args:
        state: The run.
        command: Its name on the wire.
        arguments: What follows.
        layers: Those it is for; None, or all there are: the whole model.
    """
    if state.fit is not None and state.fit.can.get(command):
        return ""
    words = [command, *arguments]
    if layers is not None and len(layers) < len(state.layers):
        words += [word for path in layers for word in ("--layer", shlex.quote(path))]
    return " ".join(words)
