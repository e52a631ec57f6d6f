"""Moving statistics that are not those of the data: R1 and R10."""

import math
from collections.abc import Iterator

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.history import beginning
from tuimon.diagnosis.layers import (
    MEDIAN,
    half_life,
    has_changed_since,
    kept,
    named,
    only,
    request,
    starts_fresh,
    uses_batch_statistics,
)
from tuimon.diagnosis.spike_causes import NOISY, spikes
from tuimon.numbers import figure, percent, setting
from tuimon.protocol import events
from tuimon.protocol.wire import Number, from_wire, to_wire
from tuimon.runs.state import RunState

STALE_DRIFT = 0.25
"""Nats: a mean that is half a standard deviation off, or a variance that is off by a factor of two."""
CHANCE_FACTOR = 4.0
"""The drift must be this many times what chance produces."""
ENOUGH_ELEMENTS = 16
"""Batch statistics of fewer numbers say little themselves (R2)."""
SHARE_OF_LOSS = 0.1
"""The share of the loss that the moving statistics must cost."""
ARRIVED = 0.1
"""A moving average that is made of its initial value by no more than this has forgotten it."""
NEVER_ARRIVES = 0.9
"""A momentum with which more than this share of the initial value is left at the end of the run is too high."""
DEFAULT_MOMENTUM = 0.99
"""Keras' own: where it is too high, the run is short, not the momentum wrong."""
LOWEST_ADVISED = 0.9
"""A momentum that is no higher is not to be lowered."""
LOW = 1 / 3
"""A momentum below it makes an average of fewer than two batches."""
NOISE = 0.05
"""Nats that chance makes of the moving statistics: a mean that is a fifth of a standard deviation off."""
FEWEST_UPDATES = 20
"""A shorter run says nothing about momentum."""


def stale(state: RunState) -> Iterator[Finding]:
    """R1: the moving statistics are far from the statistics of a batch, and validation pays for it.

    Threshold: all of these conditions hold:

    1. The drift (symmetric KL divergence, in nats) is above `STALE_DRIFT`, and above `CHANCE_FACTOR` times what chance
       produces. That is a fourth of the divergence between the two halves of the batch: the variance of an estimate is
       inverse to its size.
    2. The batch statistics are made from at least `ENOUGH_ELEMENTS` values per channel.
    3. The moving statistics of all layers make the loss of the same batch worse, by at least `SHARE_OF_LOSS` of it (or
       of the loss of a validation batch, if that is larger). Those of this layer alone make it worse by half as much.
    4. Waiting does not help: the initial value was forgotten when the batch was probed, or will not be by the end of
       the run. It is forgotten when at most `ARRIVED` of the moving mean and of the median moving variance is made of
       it: beside a variance of 0.1, what is left of the initial 1 is ten times as large. Before the end of the run,
       momentum^updates alone is foretold.

    Source: Ioffe & Szegedy 2015, section 3.1; Wu & Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3 (the
    moving average lags behind; PreciseBN); keras#10666, #6977. Half-life: ln 2 / −ln(momentum) steps; share of the
    initial value left: momentum^updates.
    """
    drifts = _stale_layers(state)
    if not drifts:
        return
    probe = state.probes[-1]
    batch_norm, inference = from_wire(probe.batch_norm), from_wire(probe.inference)
    paths = sorted(drifts, key=lambda path: -drifts[path])
    worst = paths[0]
    momentum = state.momentum.get(worst, state.layers[worst].layer.momentum)
    left = kept(momentum, probe.step - beginning(state))
    is_initial = _initial_share(state, worst, momentum, probe.step) > ARRIVED
    why = (
        f"{percent(left, 0)} of the initial value is still left after {probe.step - beginning(state):,} steps"
        if is_initial
        else f"half of what they are made of is older than {_steps(half_life(momentum))} steps, and since then the "
        "weights have moved on, or other batches were far from these"
    )
    yield Finding(
        rule="R1",
        severity="warning",
        layer=only(paths),
        step=probe.step,
        what=f"the moving statistics of {named(paths)} are not those of the batches: {why}; on the same batch, "
        f"inference with them has a loss of {figure(inference, 3)} instead of {figure(inference + batch_norm, 3)}",
        evidence={
            "drift": to_wire(drifts[worst]),
            "drift_threshold": STALE_DRIFT,
            "gap_of_batch_norm": to_wire(batch_norm),
            "inference_loss": to_wire(inference),
            "momentum": to_wire(momentum),
            "half_life_steps": to_wire(half_life(momentum)),
            "initial_value_left": to_wire(left),
            "layers": len(paths),
        },
        advice="recalibrate, which estimates them afresh"
        + (", or take a lower momentum, so that they follow sooner" if momentum > LOWEST_ADVISED else "")
        + ("" if is_initial else "; where that does not last, look for examples that are not scaled as the others are"),
        request=request(state, "recalibrate"),
        weight=min(1.0, -batch_norm / _scale_of_losses(probe)),
    )


def _stale_layers(state: RunState) -> dict[str, float]:
    """Return the drift of each layer of which the conditions of R1 hold."""
    if not state.probes or has_changed_since(state, state.probes[-1]):
        return {}
    probe = state.probes[-1]
    matters = SHARE_OF_LOSS * _scale_of_losses(probe)
    if not -from_wire(probe.batch_norm) >= matters:
        return {}
    return {
        path: from_wire(layer.drift)
        for path, layer in probe.layers.items()
        if _is_stale(state, path, layer) and -from_wire(layer.alone) >= matters / 2
    }


def _scale_of_losses(probe: events.Probe) -> float:
    batch_norm, inference = from_wire(probe.batch_norm), from_wire(probe.inference)
    losses = (inference, inference + batch_norm, from_wire(probe.validation))
    return max((abs(loss) for loss in losses if math.isfinite(loss)), default=0.0) or 1e-12


def _steps(number: float) -> str:
    return f"{number:,.0f}" if number >= 2 else f"{number:.1f}"


def _is_stale(state: RunState, path: str, layer: events.ProbeLayer) -> bool:
    if path not in state.layers or not uses_batch_statistics(layer) or layer.elements < ENOUGH_ELEMENTS:
        return False
    momentum = state.momentum.get(path, state.layers[path].layer.momentum)
    chance = from_wire(layer.sampling_divergence) / 4
    # Without halves to compare: Gaussian samples of this size differ by 2 / n.
    chance = 2 / layer.elements if math.isnan(chance) else chance
    drift = from_wire(layer.drift)
    return drift > max(STALE_DRIFT, CHANCE_FACTOR * chance) and not _arrives(state, path, momentum)


def _arrives(state: RunState, path: str, momentum: float) -> bool:
    """Whether the initial value was still there at the newest probe, and is forgotten by the end of the run.

    Such a probe says nothing of the time after it, however old it is.
    """
    end = state.total_steps if state.ended is None else state.step
    if end is None or not 0 < momentum < 1:
        return False
    # What arrives by a planned end is not known yet.
    at_end = (
        kept(momentum, end - beginning(state)) if state.ended is None else _initial_share(state, path, momentum, end)
    )
    return _initial_share(state, path, momentum, state.probes[-1].step) > ARRIVED >= at_end


def _initial_share(state: RunState, path: str, momentum: float, step: int) -> float:
    """Return the share of its initial value in a layer's moving statistics at a step, by what arrived until now.

    The moving variance is left × 1 + (1 − left) × what arrives, with left = momentum^updates.
    """
    begin, history = beginning(state), state.layers[path]
    left = kept(momentum, step - begin)
    samples = history.moving_variance
    if not 0 < momentum < 1 or not starts_fresh(history) or samples.steps[-1] <= begin:
        return left
    left_now = kept(momentum, int(samples.steps[-1] - begin))
    arriving = (float(samples.rows[-1][MEDIAN]) - left_now) / (1 - left_now)
    return max(left, left / (left + (1 - left) * arriving)) if arriving > 0 else 1.0


def momentum_out_of_bounds(state: RunState) -> Iterator[Finding]:
    """R10: momentum is at or outside of its bounds, or so high that nearly nothing of the run arrives.

    Threshold: ≤ 0 or ≥ 1; or above Keras' own 0.99, with initial values of 0 and 1 of which momentum^steps leaves more
    than `NEVER_ARRIVES` at the end of the run, as planned. Only of layers in training mode, and not where a request set
    it: 1 is one way of holding the statistics.

    Source: moving ← momentum × moving + (1 − momentum) × batch (Keras' BatchNormalization): an average only for
    0 < momentum < 1; what it has forgotten after n steps is 1 − momentum^n.
    """
    end = state.total_steps if state.ended is None else state.step
    total = None if end is None else end - beginning(state)
    wrong: dict[float, list[str]] = {}
    for path, history in state.layers.items():
        momentum = state.momentum.get(path, history.layer.momentum)
        is_asked_for = momentum != history.layer.momentum
        if state.step == 0 or history.mode != "training" or is_asked_for:
            continue
        if not 0 < momentum < 1 or (_lets_nothing_in(momentum, total) and starts_fresh(history)):
            wrong.setdefault(momentum, []).append(path)
    for momentum, paths in wrong.items():
        evidence: dict[str, Number] = {"momentum": momentum, "steps": state.step, "layers": len(paths)}
        if 0 < momentum < 1 and total is not None:
            evidence |= {"initial_value_left": kept(momentum, total), "half_life_steps": half_life(momentum)}
            evidence |= {"planned_steps": total}
        yield Finding(
            rule="R10",
            severity="warning" if 0 <= momentum <= 1 else "error",
            layer=only(paths),
            step=state.step,
            what=f"the momentum of {named(paths)} is {setting(momentum)}: {_comes_of(momentum, total)}",
            evidence=evidence,
            advice="set a momentum between 0.9 and 0.99, the lower the shorter the run, then recalibrate",
            request=request(state, "momentum", "0.9", layers=paths),
            weight=0.6,
        )


def momentum_too_low(state: RunState) -> Iterator[Finding]:
    """R10: momentum is so low that the moving statistics are those of the last batch, and noise.

    Threshold: momentum is below `LOW`, so that the average is made of fewer than two batches, (1 + m) / (1 − m); and
    that is too few: what chance alone makes of it is above `NOISE` nats (a fourth of the divergence between the two
    halves of the held batch, over the number of batches), or the conditions of R1 hold, or a validation loss stood out
    that batch statistics bring back (R11). Of large batches it is no fault. Only of layers in training mode, and not
    where a request set it.

    Source: an exponential average of independent values has the variance of the mean of (1 + m) / (1 − m) of them.
    pix2pix-tensorflow#126, transformers#19454: PyTorch's momentum is the share of the new value, Keras' that of the old
    one.
    """
    paths = [path for path, history in state.layers.items() if _is_low(state, path) and history.mode == "training"]
    if not paths:
        return
    noise = {path: _noise(state, path) for path in paths}
    stale_ones, spiked = _stale_layers(state), [each for each in spikes(state) if each.cause == NOISY]
    paths = [path for path in paths if noise[path] > NOISE or path in stale_ones or spiked]
    if not paths:
        return
    worst = max(paths, key=lambda path: noise[path])
    momentum = state.momentum.get(worst, state.layers[worst].layer.momentum)
    better = setting(1 - momentum) if momentum <= 0.1 else "0.9"
    evidence: dict[str, Number] = {
        "momentum": momentum,
        "batches_in_the_average": (1 + momentum) / (1 - momentum),
        "noise": to_wire(noise[worst]) if noise[worst] >= 0 else None,
        "noise_threshold": NOISE,
        "validation_spikes": len(spiked),
        "layers": len(paths),
    }
    yield Finding(
        rule="R10",
        severity="warning",
        layer=only(paths),
        step=state.step,
        what=f"the momentum of {named(paths)} is {setting(momentum)}, which is too low: the moving statistics are "
        "those of "
        "the last batch or two, too few values to be those of the data, so that validation is a matter of chance",
        evidence=evidence,
        advice=f"take a higher momentum, {better}: it is the share of the old value that is kept (PyTorch's momentum "
        f"of {setting(momentum)} is {setting(1 - momentum)} here)",
        request=request(state, "momentum", better, layers=paths),
        weight=0.7,
    )


def _is_low(state: RunState, path: str) -> bool:
    momentum = state.layers[path].layer.momentum
    return 0 < momentum < LOW and state.momentum.get(path, momentum) == momentum


def _noise(state: RunState, path: str) -> float:
    """Return what chance makes of the moving statistics, in nats; -1: not known."""
    probe = state.probes[-1] if state.probes else None
    layer = probe.layers.get(path) if probe is not None else None
    if probe is None or layer is None or not layer.elements:
        return -1.0
    momentum = state.layers[path].layer.momentum
    halves = from_wire(layer.sampling_divergence)
    halves = halves if math.isfinite(halves) else 8 / layer.elements
    size = state.fit.batch_size if state.fit else None
    of_a_batch = halves / 4 * (probe.examples / size if size and probe.examples else 1.0)
    return of_a_batch * (1 - momentum) / (1 + momentum)


def _lets_nothing_in(momentum: float, steps: int | None) -> bool:
    is_long_enough = steps is not None and steps >= FEWEST_UPDATES
    return momentum > DEFAULT_MOMENTUM and is_long_enough and kept(momentum, steps or 0) > NEVER_ARRIVES


def _comes_of(momentum: float, steps: int | None) -> str:
    if not 0 <= momentum <= 1:
        return "what it makes is no average, and its variances may become negative"
    if momentum == 1:
        return "the moving statistics never move"
    if momentum == 0:
        return "the moving statistics are those of the last batch alone"
    left = kept(momentum, steps or 0)
    return (
        f"after the {steps:,} steps of this run {percent(left, 0)} of the moving statistics still are the "
        "initial 0 and 1"
    )
