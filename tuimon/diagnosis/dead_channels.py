"""Channels that carry nothing, and channels of so small a scale that epsilon decides: R8."""

import math
from collections.abc import Iterator

import numpy as np

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.layers import kept
from tuimon.numbers import figure, setting
from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, to_wire
from tuimon.runs.state import LayerHistory, RunState

DEAD_SHARE = 0.1
"""Share of a layer's channels; fewer dead channels are no finding."""
FEWEST_DEAD = 2
"""One dead channel of a small layer is no finding either, unless it is the only one."""
MOST_DEAD = 0.5
"""From this share on it is a warning, below it a note."""
NOTHING = 1e-4
"""What reaches a channel does not vary if its variance is at most this share of epsilon."""
HALVED = math.log(2)
"""What reaches a channel is told from samples between which the moving average forgot at least half of what it held."""


def dead_channels(state: RunState) -> Iterator[Finding]:
    """R8: channels of a layer carry nothing: whatever the input is, they are the same number.

    Threshold: `DEAD_SHARE` of the channels, and `FEWEST_DEAD` (or all), have a moving variance of at most a hundredth
    of epsilon, and what reaches them does not vary: the variance that the moving one has met lately, (newest − older ×
    momentum^steps) / (1 − momentum^steps), is at most `NOTHING` of epsilon. If it is more, the channels are not dead
    but of small scale, and epsilon, not the deviation, is what the layer divides by: that is told as a note. Channels
    that were so before the first step, as in a pre-trained net, are none of this run's. Only of layers in training
    mode. Dead channels are a warning from `MOST_DEAD` on.

    Source: y = γ (x − μ) / √(σ² + ε) + β is β for σ² ≪ ε; channels before which a ReLU has died (Lu et al., "Dying ReLU
    and Initialization", 2019) come to that, as momentum^steps. Small scale: tensorflow#33027.
    """
    for path, history in state.layers.items():
        latest, channels = history.latest, history.layer.channels
        if latest is None or latest.mode != "training" or not _are_enough(latest.dead, channels):
            continue
        dead, small = _counts(state, path, history, latest.dead)
        if _are_enough(dead, channels) and not _were_so_before(state, path, history, dead / channels):
            yield _dead(path, history, dead)
        elif _are_enough(small, channels) and not _were_so_before(state, path, history, small / channels):
            yield _small(path, history, small)


def _dead(path: str, history: LayerHistory, dead: int) -> Finding:
    channels, epsilon, rows = history.layer.channels, history.layer.epsilon, history.moving_variance.rows
    share = dead / channels
    return Finding(
        rule="R8",
        severity="warning" if share >= MOST_DEAD else "info",
        layer=path,
        step=_since(history, share / 2, epsilon),
        what=f"{dead} of {channels} channels of {path} are dead: "
        "whatever the input is, what reaches them does not vary",
        evidence={
            "dead_channels": dead,
            "channels": channels,
            "moving_variance_min": to_wire(float(rows[-1, 0])),
            "moving_variance_median": to_wire(float(rows[-1, 3])),
            "epsilon": epsilon,
        },
        advice="look at what comes before the layer (a ReLU that is never positive, inputs that are constant), "
        "and take a smaller learning rate or a leaky activation",
        weight=0.7 * share,
    )


def _small(path: str, history: LayerHistory, small: int) -> Finding:
    channels, epsilon, rows = history.layer.channels, history.layer.epsilon, history.moving_variance.rows
    typical = _quantile(rows[-1], small / channels / 2)
    scale = math.sqrt(typical / (typical + epsilon))
    return Finding(
        rule="R8",
        severity="info",
        layer=path,
        step=_since(history, small / channels / 2, epsilon),
        what=f"{small} of {channels} channels that reach {path} vary so little that epsilon dominates: their variance "
        f"is {figure(typical, 2)}, epsilon {setting(epsilon)}, so that the layer does not bring them to unit "
        "scale, but to "
        f"{figure(scale, 2)} of it",
        evidence={
            "channels_of_small_scale": small,
            "channels": channels,
            "moving_variance_min": to_wire(float(rows[-1, 0])),
            "moving_variance_median": to_wire(float(rows[-1, 3])),
            "epsilon": epsilon,
            "scale_behind_the_layer": to_wire(scale),
        },
        advice="scale what comes before the layer (inputs that are divided by 255 twice, say), or take a smaller "
        "epsilon",
        weight=0.2 * small / channels,
    )


def _are_enough(count: int, channels: int) -> bool:
    return count > 0 and count >= DEAD_SHARE * channels and count >= min(FEWEST_DEAD, channels)


def _counts(state: RunState, path: str, history: LayerHistory, low: int) -> tuple[int, int]:
    """Return how many of the channels with a low variance are dead, and how many of small scale.

    The rest is not known yet: the moving variance still falls, and where to only time tells.
    """
    met = _variance_met(state, path, history)
    if met is None:
        return 0, 0
    epsilon, channels = history.layer.epsilon, history.layer.channels
    is_low = history.moving_variance.rows[-1] <= events.DEAD_VARIANCE * epsilon
    columns = int(np.count_nonzero(is_low))
    dead = int(np.count_nonzero(met[:columns] <= NOTHING * epsilon))
    if dead == columns:
        return low, 0
    if dead == 0:
        return 0, low
    # Between two of the known quantiles; the variances are in order.
    count = min(low, round(channels * (events.QUANTILES[dead - 1] + events.QUANTILES[dead]) / 2))
    return count, low - count


def _variance_met(state: RunState, path: str, history: LayerHistory) -> FloatArray | None:
    """Return the variance of the batches that the moving variance has met lately, by quantile; None: not known yet."""
    momentum = state.momentum.get(path, history.layer.momentum)
    steps = history.moving_variance.steps[history.undisturbed_from :]
    rows = history.moving_variance.rows[history.undisturbed_from :]
    if not 0 <= momentum < 1 or len(steps) < 2:
        return None
    ages = steps[-1] - steps
    forgets = -math.log(momentum) if momentum > 0 else math.inf
    old = np.flatnonzero(ages >= max(1, math.ceil(HALVED / forgets)))
    if not len(old):
        return None
    left = kept(momentum, float(ages[old[-1]]))
    met: FloatArray = (rows[-1] - left * rows[old[-1]]) / (1 - left)
    return met


def _were_so_before(state: RunState, path: str, history: LayerHistory, share: float) -> bool:
    """Whether the channels had a low variance before this run trained them.

    That is so if the first sample shows a low one already, and Keras' initial variance of 1 could not have fallen so
    far until then. A layer whose variances all begin at 0 (`moving_variance_initializer`) is new.
    """
    first, limit = history.moving_variance.rows[0], events.DEAD_VARIANCE * history.layer.epsilon
    if (first == 0).all() or _quantile(first, share / 2) > limit:
        return False
    sampled = int(history.moving_variance.steps[0])
    begins = [each.step for each in state.timeline if isinstance(each, events.FitStarted) and each.step <= sampled]
    momentum = state.momentum.get(path, history.layer.momentum)
    left = kept(momentum, sampled - max(begins, default=0)) if 0 < momentum < 1 else 1.0
    return bool(left > limit)


def _quantile(row: np.ndarray[tuple[int], np.dtype[np.float64]], share: float) -> float:
    """Return the value below which this share of the channels is, between the known quantiles in proportion."""
    logarithms = np.log(np.maximum(row, np.finfo(np.float64).tiny))
    return float(np.exp(np.interp(share, events.QUANTILES, logarithms)))


def _since(history: LayerHistory, share: float, epsilon: float) -> int:
    nearest = min(range(len(events.QUANTILES)), key=lambda number: abs(events.QUANTILES[number] - share))
    is_dead = history.moving_variance.rows[:, nearest] <= events.DEAD_VARIANCE * epsilon
    alive = np.flatnonzero(~is_dead)
    first = min(int(alive[-1]) + 1, len(is_dead) - 1) if len(alive) else 0
    return int(history.moving_variance.steps[first])
