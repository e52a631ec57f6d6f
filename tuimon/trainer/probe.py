"""Measures the gap between training mode and inference mode on one batch, and the causes of it.

To measure a BatchNormalization layer's part, a pass in inference mode switches that layer from moving to batch
statistics.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, Number, to_wire
from tuimon.trainer.batch_norm import LayerArrays
from tuimon.trainer.engine import Batch, Engine, Moments, Pass, PassSet
from tuimon.trainer.modes import Mode

MASKS = 8
"""Random masks over which the stochastic part is averaged; half as many in each mode if inference is random as well."""


def most_passes(layers: int) -> int:
    """Return the largest number of forward passes of a probe of so many BatchNormalization layers."""
    return 2 + MASKS + 2 * layers


def measure(engine: Engine, batch: Batch, validation: Batch | None, mode: Mode, reason: str) -> events.Probe:
    """Probe a batch. Changes no variable and no random state.

    A probe takes at most 2 + `MASKS` + 2 × (BatchNormalization layers in training mode) passes; one mask is enough if
    nothing is random. Without such layers it takes one more if there are validation data, random layers and other
    layers that depend on ``training``.

    `other` holds everything else that depends on ``training``. That includes random numbers that no layer draws, but
    the ``call`` of a subclassed model or a function that the user compiled.

    Args:
        engine: The model.
        batch: As the training step takes it.
        validation: A validation batch, as the validation step takes it; None: there is none.
        mode: The mode in force.
        reason: Why the probe is made.

    Raises:
        ProbeError: This batch or this model cannot be probed.
    """
    started = time.perf_counter()
    with engine.passes.begin(mode) as passes:
        found = _losses(passes, batch)
        held = passes.inference(validation, looks=True) if validation is not None else None
    count, first_seconds = passes.costs()
    arrays = engine.layers.read()
    return events.Probe(
        reason=reason,
        examples=engine.passes.examples(batch),
        train=to_wire(found.train),
        inference=to_wire(found.train - found.gap),
        gap=to_wire(found.gap),
        batch_norm=to_wire(found.batch_norm),
        stochastic=to_wire(found.gap - found.batch_norm - found.other),
        other=to_wire(found.other),
        masks=found.masks,
        standard_error=to_wire(found.standard_error),
        validation=to_wire(held.loss) if held is not None else None,
        layers={
            path: _layer(path, found, arrays[path], engine.layers.batch_norm[path].epsilon, held)
            for path in passes.calls
            if path in arrays
        },
        passes=count,
        seconds=max(0.0, time.perf_counter() - started - first_seconds),
        traced_seconds=first_seconds,
    )


@dataclass(frozen=True)
class _Shares:
    all_switched: float
    """The loss with all layers on batch statistics."""
    of: dict[str, tuple[float, float]]
    """Each layer's part of the loss by path: switched in order, and switched alone."""


@dataclass(frozen=True)
class _Losses:
    train: float
    gap: float
    standard_error: float
    batch_norm: float
    other: float
    masks: int
    shares: _Shares
    in_training: Pass
    in_inference: Pass


def _losses(passes: PassSet, batch: Batch) -> _Losses:
    trained = [passes.training(batch, looks=True)]
    inferred = [passes.inference(batch, looks=True)]
    # If both modes draw, each pair of passes has the same random numbers.
    masks = 1 if not passes.training_draws else MASKS // 2 if passes.inference_draws else MASKS
    trained += [passes.training(batch, seed=mask) for mask in range(1, masks)]
    inferred += [passes.inference(batch, seed=mask) for mask in range(1, masks if passes.inference_draws else 1)]
    losses = np.array([each.loss for each in trained])
    gaps = losses - [each.loss for each in inferred]
    gap, inference = float(np.mean(gaps)), inferred[0]
    shares = _switched_shares(
        passes, batch, [path for path, calls in passes.calls.items() if any(calls)], inference.loss
    )
    if not passes.has_random_layers:
        # No layer to switch off. If both modes draw, the layers' shares come from one draw, so compare with that draw.
        quiet = trained[0].loss if passes.inference_draws else inference.loss + gap
    elif passes.may_be_other:
        quiet = passes.quiet(batch).loss
    else:
        quiet = shares.all_switched
    return _Losses(
        train=float(np.mean(losses)),
        gap=gap,
        standard_error=float(np.std(gaps, ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else 0.0,
        batch_norm=shares.all_switched - inference.loss,
        other=quiet - shares.all_switched,
        masks=len(trained),
        shares=shares,
        in_training=trained[0],
        in_inference=inference,
    )


def _switched_shares(passes: PassSet, batch: Batch, paths: Sequence[str], inference: float) -> _Shares:
    """Switch the layers from moving to batch statistics: one after another, and each alone."""
    if not paths:
        return _Shares(inference, {})
    in_order = [passes.inference(batch, batch_statistics=paths[: count + 1]).loss for count in range(len(paths))]
    alone = [in_order[0], *(passes.inference(batch, batch_statistics=[path]).loss for path in paths[1:])]
    shares = np.diff([inference, *in_order])
    return _Shares(
        in_order[-1],
        {path: (float(share), one - inference) for path, share, one in zip(paths, shares, alone, strict=True)},
    )


def _layer(path: str, found: _Losses, arrays: LayerArrays, epsilon: float, held: Pass | None) -> events.ProbeLayer:
    moving = Moments(np.nan, _float64(arrays["moving_mean"]), _float64(arrays["moving_variance"]))
    divergence = partial(_divergence, epsilon=epsilon)
    in_order, alone = found.shares.of.get(path, (0.0, 0.0))
    calls = [call[0] for call in found.in_training.layers.get(path, [])]
    # Of a shared layer's calls, the first stands for the data, the one furthest from the moving statistics for drift.
    before = next(iter(found.in_inference.layers.get(path, [])), [])
    there = next(iter(held.layers.get(path, [])), []) if held is not None else []
    return events.ProbeLayer(
        in_order=to_wire(in_order),
        alone=to_wire(alone),
        drift=max((divergence(moving, call) for call in calls), key=_known, default=None),
        elements=int(min((call.count for call in calls), default=0)),
        calls=len(calls),
        calls_divergence=max(
            (divergence(one, other) for number, one in enumerate(calls) for other in calls[number + 1 :]),
            key=_known,
            default=None,
        ),
        validation_divergence=divergence(before[0], there[0]) if before and there else None,
        validation_elements=int(there[0].count) if there else 0,
        sampling_divergence=divergence(before[1], before[2]) if len(before) > 2 else None,
    )


def _float64(array: object) -> FloatArray:
    return np.asarray(array, np.float64)


def _divergence(left: Moments, right: Moments, *, epsilon: float) -> Number:
    """Return the mean over channels of KL(left ‖ right) + KL(right ‖ left) of normal distributions, in nats.

    With variances v and w and distance d of the means: (v / w + w / v − 2 + d² (1 / v + 1 / w)) / 2. Source: Kullback &
    Leibler, "On Information and Sufficiency", 1951.
    """
    v, w = left.variance + epsilon, right.variance + epsilon
    distance = (left.mean - right.mean) ** 2
    return to_wire(float(np.mean((v / w + w / v - 2 + distance * (1 / v + 1 / w)) / 2)))


def _known(number: Number) -> float:
    return number if isinstance(number, float) else float("inf")
