"""The charts of a run: loss and metrics, the gap, BatchNormalization's moving statistics, the learning rate."""

import math
from collections.abc import Iterator

import numpy as np

from tuimon.diagnosis.gap.shares import PARTS
from tuimon.plot.axes import Axis, decades_of, step_axis
from tuimon.plot.metric_names import LEARNING_RATE, loss_name, names_of
from tuimon.plot.run_joins import joins_of, known_rates
from tuimon.plot.smoothing import Smoothed, nearest_strength
from tuimon.plot.undone import undone
from tuimon.protocol.wire import FloatArray, from_wire
from tuimon.report.web.changes import marks_of
from tuimon.report.web.svg_chart import Chart, Line
from tuimon.runs.facts_in_words import PART_NAMES, counted
from tuimon.runs.series import IntArray, Series
from tuimon.runs.state import LayerHistory, RunState
from tuimon.text import plain

NOTHING_TO_DRAW = "There is no batch: nothing to draw."
"""What stands in place of the charts of a run without points."""
MOST_METRICS = 12
"""Metrics that have a chart, the loss included."""
MOST_LAYERS = 3
"""BatchNormalization layers whose moving statistics are drawn."""
MOST_DRIFTS = 6
"""Layers whose drift is drawn: as many as lines can be told apart."""
SMOOTHED_FROM = 200
"""A batch metric of so many values has a smoothed line as well."""
MANY_EPOCHS = 20
"""Beside the values of so many epochs it says nothing new."""
_WINDOWS = 30
"""About how many times the window of the moving average fits into the run."""
_TICKS = 6
_NO_POINTS = Series()


def axis_of(state: RunState, *, is_over: bool) -> Axis:
    """Return the axis of steps that all charts share: of a run that goes on, with room for what is to come."""
    return step_axis(state.step, state.total_steps, exact=is_over, ticks=_TICKS)


def charts_of(state: RunState) -> tuple[list[Chart], list[Chart]]:
    """Return the charts that a run has points for: those of the whole model, and those of layers, in pairs."""
    of_model = [*metric_charts(state), *gap_charts(state), *drift_charts(state), *learning_rate_charts(state)]
    return of_model, statistic_charts(state)


def metric_charts(state: RunState) -> list[Chart]:
    """Return the charts of the loss and of the other metrics."""
    loss = loss_name(state)
    names = sorted((name for name in names_of(state) if name != LEARNING_RATE), key=lambda name: name != loss)
    found = (_metric(state, name) for name in names[:MOST_METRICS])
    return [chart for chart in found if chart.lines]


def metrics_without_chart(state: RunState) -> int:
    """Return how many metrics have no chart, because there are too many."""
    return max(0, sum(name != LEARNING_RATE for name in names_of(state)) - MOST_METRICS)


def _metric(state: RunState, name: str) -> Chart:
    batch = state.batch_metrics.get(name, _NO_POINTS)
    joins, of_batches = joins_of(state, name), joins_of(state, name, of_batches=True)
    lines = [
        Line("each batch", batch.steps, batch.values, "batch", joins=of_batches),
        Line("running mean", *_points(state.running_metrics.get(name)), "batch", joins=joins_of(state)),
    ]
    weight = nearest_strength(1 - _WINDOWS / max(1, len(batch)))
    is_smoothed = len(batch) >= SMOOTHED_FROM and len(state.epoch_numbers) < MANY_EPOCHS
    if is_smoothed:
        smooth = Smoothed("ema", weight).update(batch.steps, batch.values)
        lines.append(Line("batches, smoothed", smooth.steps, smooth.values, "smoothed", joins=of_batches))
    lines += [
        Line("training, per epoch", *_points(state.epoch_metrics.get(name)), "training", joins=joins),
        Line("validation", *_points(state.epoch_metrics.get(f"val_{name}")), "validation", joins=joins),
    ]
    lines = [line for line in lines if len(line.steps)]
    has_epochs = any(line.kind in ("training", "validation") for line in lines)
    about = "Of each epoch, as Keras logs it." if has_epochs else "No epoch has ended."
    if is_smoothed:
        about += f" Smoothed: a moving average with weight {weight} of the past."
    return _chart(state, plain(name, 80), about, lines, log_decades=decades_of(name))


def gap_charts(state: RunState) -> list[Chart]:
    """Return the chart of the gap between training and inference mode; none before the first probe."""
    if not state.probes:
        return []
    gap = state.gap_parts["gap"]
    lines, joins = [], joins_of(state)
    for name in PARTS:
        series = state.gap_parts[name]
        if not (name == "batch_norm" and state.layers) and not np.any(series.values != 0):
            continue
        kind = name.replace("_", "-")
        if name == "batch_norm":
            low, high = np.minimum(series.values, 0.0), np.maximum(series.values, 0.0)
            lines.append(Line("", series.steps, low, kind, upper=high, is_in_legend=False, joins=joins))
        lines.append(Line(PART_NAMES[name], series.steps, series.values, kind, joins=joins))
    lines.append(Line("gap", gap.steps, gap.values, "gap", joins=joins))
    about = (
        "Loss in training mode minus loss in inference mode, on the same held batches, and what makes it: batch "
        "statistics, random layers such as dropout, and what else depends on the mode."
    )
    return [_chart(state, "train − inference gap", about, lines, from_zero=True)]


def drift_charts(state: RunState) -> list[Chart]:
    """Return the chart of the drift of the layers; none before the first probe."""
    drifting = [layer for layer in _by_drift(state) if len(layer.drift)]
    if drifting:
        lines = [
            Line(plain(layer.layer.path, 80), *_points(layer.drift), f"layer-{number}")
            for number, layer in enumerate(drifting[:MOST_DRIFTS])
        ]
        are_more = len(drifting) > MOST_DRIFTS
        rest = f" The {MOST_DRIFTS} layers with most of it, of {len(drifting):,}." if are_more else ""
        about = (
            "How far the moving mean and variance are from those of the batches, at each probe: symmetric KL "
            f"divergence in nats, the mean over channels. 0: the same.{rest}"
        )
        return [_chart(state, "moving statistics against the batches': drift", about, lines)]
    return []


def statistic_charts(state: RunState) -> list[Chart]:
    """Return moving mean and moving variance of the layers with most drift."""
    return [chart for layer in _by_drift(state)[:MOST_LAYERS] for chart in _statistics(state, layer)]


def _by_drift(state: RunState) -> list[LayerHistory]:
    """Return the layers with samples, the one with the largest newest drift first; else in the order of the model."""

    def size(layer: LayerHistory) -> float:
        drift = from_wire(layer.probe.drift) if layer.probe is not None else -1.0
        # What is not finite is worth a look before all else.
        return math.inf if math.isnan(drift) else drift

    return sorted((layer for layer in state.layers.values() if len(layer.moving_mean)), key=lambda layer: -size(layer))


def _statistics(state: RunState, layer: LayerHistory) -> Iterator[Chart]:
    for word, series in (("mean", layer.moving_mean), ("variance", layer.moving_variance)):
        rows, steps = series.rows, series.steps
        lines = [
            Line("5 to 95 % of the channels", steps, rows[:, 1], "band", upper=rows[:, 5]),
            Line("median", steps, rows[:, 3], "statistic"),
        ]
        about = f"Over the {counted(layer.layer.channels, 'channel')} of the layer: nine of ten lie in the band."
        # The end of a path tells more than its beginning.
        path = plain(layer.layer.path, 500)
        name = path if len(path) <= 60 else f"…{path[-59:]}"
        yield _chart(state, f"{name} moving {word}", about, lines, log_decades=1.0)


def learning_rate_charts(state: RunState) -> list[Chart]:
    """Return the chart of the learning rate; none before the first epoch's end."""
    rates = known_rates(state)
    if not len(rates):
        return []
    about = (
        "At the beginning of each fit, at the end of each epoch, and where a request set it. Where it changed between "
        "two of these, no line joins them: when and how is not known."
    )
    line = Line("learning rate", rates.steps, rates.values, "command", joins=joins_of(state, LEARNING_RATE))
    return [_chart(state, LEARNING_RATE, about, [line])]


def _points(series: Series | None) -> tuple[IntArray, FloatArray]:
    series = _NO_POINTS if series is None else series
    return series.steps, series.values


def _chart(
    state: RunState, title: str, about: str, lines: list[Line], *, log_decades: float = 2.0, from_zero: bool = False
) -> Chart:
    return Chart(
        title,
        about,
        tuple(lines),
        log_decades=log_decades,
        from_zero=from_zero,
        marks=marks_of(state),
        undone=undone(state.timeline),
    )
