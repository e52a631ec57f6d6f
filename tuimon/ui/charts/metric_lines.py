"""The metrics of a run, and the lines of each."""

import fnmatch
import re
from collections.abc import Iterable

from msgspec import Struct

from tuimon.plot.joins import JOINED, Joins
from tuimon.plot.metric_names import LEARNING_RATE, RATE_NAMES, is_learning_rate, names_of
from tuimon.plot.run_joins import joins_of, known_rates
from tuimon.runs.series import Series
from tuimon.runs.state import RunState
from tuimon.ui.charts.canvas import RATE, Curve, Dash
from tuimon.ui.viewer.meanings import Meaning

_NO_POINTS = Series()
_KNOWN = "•"
"""Stands where a learning rate is known."""


class Line(Struct, frozen=True):
    """One line of a metric."""

    name: str
    """The name at its end."""
    series: Series
    """Its points."""
    meaning: Meaning
    """Its colour."""
    can_be_smoothed: bool = False
    """True for a line with a point for each step."""
    dash: Dash = "solid"
    """The dash on a terminal without colours."""
    joins: Joins = JOINED
    """Which of its points are joined."""
    sign: str = ""
    """The sign at each point, where points are few; empty for none."""

    def curve(self, *, colors: bool) -> Curve:
        """Return the curve to draw, on a terminal with colours or without."""
        dash: Dash = "solid" if colors else self.dash
        points = self.series.steps, self.series.values
        return Curve(
            self.name,
            *points,
            self.meaning,
            dash=dash,
            gives_way=self.can_be_smoothed,
            sign=self.sign,
            joins=self.joins,
        )


def lines_of(state: RunState, metric: str) -> list[Line]:
    """Return the lines of a metric that have points, from the back to the front."""
    joins, sign = joins_of(state, metric), _KNOWN if is_learning_rate(metric) else ""
    if metric == LEARNING_RATE and metric not in state.epoch_metrics:
        found = [Line(RATE, known_rates(state), Meaning.COMMAND, joins=joins, sign=sign)]
    else:
        validation = f"val_{metric}"
        validations = state.epoch_metrics.get(validation) or state.batch_metrics.get(validation, _NO_POINTS)
        batches, running, epochs = (
            known.get(metric, _NO_POINTS) for known in (state.batch_metrics, state.running_metrics, state.epoch_metrics)
        )
        of_batches = joins_of(state, metric, of_batches=True)
        found = [
            Line("batch", batches, Meaning.BATCH, can_be_smoothed=True, joins=of_batches),
            Line("running", running, Meaning.BATCH, can_be_smoothed=True, joins=joins_of(state)),
            Line("train", epochs, Meaning.TRAINING, joins=joins, sign=sign),
            Line("val", validations, Meaning.VALIDATION, dash="dashed", joins=joins),
        ]
    return [line for line in found if len(line.series)]


def metrics_matching(state: RunState, pattern: str) -> list[str]:
    """Return the metrics of a run that match a pattern, by their names or by those of their lines.

    `val_loss` is a line of the metric `loss`. That all such names have `val_` in them finds nobody anything: they count
    where it is typed, or where no metric itself matches.
    """
    names = names_of(state)
    lines = {f"val_{name}": name for name in names if {"val"} & {line.name for line in lines_of(state, name)}}
    lines |= dict.fromkeys(RATE_NAMES, LEARNING_RATE) if LEARNING_RATE in names else {}
    found = set(matching(names, pattern))
    if "val" in pattern.lower() or not found:
        found |= {lines[name] for name in matching(lines, pattern)}
    return [name for name in names if name in found]


def matching(found: Iterable[str], pattern: str) -> list[str]:
    """Return the names that match a pattern: a glob, else a regular expression, else a part of a name.

    Example:
        >>> matching(["loss", "accuracy", "top_5"], "*a*"), matching(["loss", "top_5"], "^top|mae")
        (['accuracy'], ['top_5'])
    """
    pattern = pattern.strip()
    if not pattern:
        return list(found)
    found = list(found)
    if "*" in pattern or "?" in pattern:
        globbed = [name for name in found if fnmatch.fnmatchcase(name.lower(), pattern.lower())]
        if globbed:
            return globbed
    try:
        expression = re.compile(pattern, re.IGNORECASE)
    except re.error:
        return [name for name in found if pattern.lower() in name.lower()]
    return [name for name in found if expression.search(name)]
