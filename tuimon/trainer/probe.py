"""Measures the gap between training mode and inference mode on a few batches, and the causes of it.

To measure a BatchNormalization layer's part, a pass in inference mode switches that layer from moving to batch
statistics.
"""

import time
from collections.abc import Sequence
from functools import partial

import numpy as np
from msgspec import Struct

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, Number, scalars_to_wire, to_wire
from tuimon.trainer.batch_norm import LayerArrays
from tuimon.trainer.engine import PASSES_OF_A_GRADIENT, Batch, Engine, Gradient, Moments, Pass, PassSet, ProbeError
from tuimon.trainer.modes import Mode
from tuimon.trainer.pool import Pool
from tuimon.trainer.uncertainty import PartsOfBatch, estimate, mean_loss

MASKS = 8
"""Random masks over which the stochastic part is averaged; half as many in each mode if inference is random as well."""
PASSES_OF_A_FURTHER_BATCH = 4
"""At most: training, inference, batch statistics, random layers off."""
GRADIENT_BATCHES = 4
"""Batches on which gradients are measured, if there are as many."""


class Depth(Struct, frozen=True):
    """What a probe measures besides the gap and its parts."""

    each_layer: bool = True
    """The part of each layer; else only that of all layers together."""
    gradients: bool = True
    """The gradients of the weights."""


WHOLE = Depth()
LIGHT = Depth(each_layer=False, gradients=False)


def most_passes(layers: int, batches: int = 1, validation_batches: int = 1, depth: Depth = WHOLE) -> int:
    """Return the largest number of forward passes of a probe of so many BatchNormalization layers and batches.

    A gradient counts as the passes that take as long.
    """
    further = PASSES_OF_A_FURTHER_BATCH * max(0, batches - 1)
    gradients = PASSES_OF_A_GRADIENT * min(batches, GRADIENT_BATCHES) if depth.gradients else 0
    return 2 + MASKS + 2 * (layers if depth.each_layer else 1) + further + validation_batches + gradients


# Whole: one event, field by field.
def measure(
    engine: Engine,
    batches: Sequence[Batch],
    validation: Sequence[Batch],
    mode: Mode,
    reason: str,
    *,
    depth: Depth = WHOLE,
    examples_of_epoch: int | None = None,
) -> events.Probe:
    """Probe batches. Changes no variable and no random state.

    The first batch takes at most 2 + `MASKS` + 2 × (BatchNormalization layers in training mode) passes; one mask is
    enough if nothing is random. Each further batch takes at most `PASSES_OF_A_FURTHER_BATCH`, a validation batch one,
    and a batch with sample weights one more.

    `other` holds everything else that depends on ``training``. That includes random numbers that no layer draws, but
    the ``call`` of a subclassed model or a function that the user compiled.

    Args:
        engine: The model.
        batches: As the training step takes them, at least one, each of the same size.
        validation: Validation batches, as the validation step takes them; empty: there are none.
        mode: The mode in force.
        reason: Why the probe is made.
        depth: What to measure.
        examples_of_epoch: Examples of all training data; None: unknown.

    Raises:
        ProbeError: These batches or this model cannot be probed.
    """
    started = time.perf_counter()
    with engine.passes.begin(mode) as passes:
        first = _losses(passes, batches[0], each_layer=depth.each_layer)
        further = [
            _losses(passes, batch, each_layer=False, seed=MASKS + number, most_masks=1)
            for number, batch in enumerate(batches[1:])
        ]
        unweighted = [
            _unweighted(engine, passes, batch, each.in_inference)
            for batch, each in zip(batches, [first, *further], strict=True)
        ]
        held = [passes.inference(batch, looks=True) for batch in validation]
        held_unweighted = [
            _unweighted(engine, passes, batch, each) for batch, each in zip(validation, held, strict=True)
        ]
        gain = _gain(passes, batches, [first, *further])
    gradients = _gradients(engine, batches[:GRADIENT_BATCHES] if depth.gradients else [], mode)
    count, first_seconds = passes.costs()
    arrays = engine.layers.read()
    sizes = [engine.passes.examples(batch) for batch in batches]
    found = estimate([first.parts, *(each.parts for each in further)], sizes, examples_of_epoch)
    loss, error = mean_loss(unweighted, sizes, examples_of_epoch)
    validation_sizes = [engine.passes.examples(batch) for batch in validation]
    validation_loss, validation_error = mean_loss(held_unweighted, validation_sizes)
    seen = _Seen(first, further, held)
    return events.Probe(
        reason=reason,
        examples=sum(sizes),
        batches=len(batches),
        train=to_wire(found.train),
        inference=to_wire(found.train - found.gap),
        gap=to_wire(found.gap),
        batch_norm=to_wire(found.batch_norm),
        stochastic=to_wire(found.gap - found.batch_norm - found.other),
        other=to_wire(found.other),
        errors=scalars_to_wire(found.errors),
        share_errors=scalars_to_wire(found.share_errors),
        masks=first.masks,
        standard_error=to_wire(first.parts.error_of_masks),
        validation=to_wire(held[0].loss) if held else None,
        unweighted=to_wire(loss),
        unweighted_error=to_wire(error),
        validation_unweighted=to_wire(validation_loss),
        validation_error=to_wire(validation_error),
        validation_examples=sum(validation_sizes),
        layers={
            path: _layer(path, seen, arrays[path], engine.layers.batch_norm[path].epsilon, passes)
            for path in passes.calls
            if path in arrays
        },
        constant=to_wire(gain.constant),
        floor=to_wire(gain.floor),
        gain=to_wire(gain.value),
        gain_error=to_wire(gain.error),
        gradient_norm=to_wire(gradients.norm),
        gradients=gradients.layers,
        gradient_batches=gradients.batches,
        why_no_gradients=gradients.why_not,
        passes=count + gradients.passes,
        seconds=max(0.0, time.perf_counter() - started - first_seconds - gradients.first_seconds),
        traced_seconds=first_seconds + gradients.first_seconds,
    )


class _Gain(Struct, frozen=True):
    """How much less the model loses than a constant answer; None: unknown."""

    constant: float | None = None
    floor: float | None = None
    value: float | None = None
    error: float | None = None


def _gain(passes: PassSet, batches: Sequence[Batch], measured: Sequence["_Losses"]) -> _Gain:
    inferred = [each.in_inference for each in measured]
    of_model = _all_losses(inferred)
    of_constant = None if of_model is None else passes.losses_of_constant(batches, inferred)
    if of_model is None or of_constant is None:
        return _Gain()
    with np.errstate(invalid="ignore", over="ignore"):
        gains = of_constant - np.concatenate(of_model)
    if not np.isfinite(gains).all():
        return _Gain()
    labels = passes.losses_of_labels(batches)
    floor = None if labels is None else float(np.mean(labels))
    error = float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else None
    return _Gain(float(np.mean(of_constant)), floor, float(np.mean(gains)), error)


class _Gradients(Struct, frozen=True):
    layers: dict[str, events.ProbeGradient]
    batches: int = 0
    norm: float | None = None
    why_not: str = ""
    passes: int = 0
    first_seconds: float = 0.0
    """Seconds of traces."""


def _gradients(engine: Engine, batches: Sequence[Batch], mode: Mode) -> _Gradients:
    """Measure the gradients; what they cannot do is no error of the probe."""
    if not batches:
        return _Gradients({})
    try:
        with engine.passes.begin(mode) as passes:
            found = [passes.gradients(batch, seed=seed) for seed, batch in enumerate(batches)]
    except ProbeError as error:
        return _Gradients({}, 0, None, str(error), *passes.costs())
    known = [each for each in found if each]
    if not known:
        return _Gradients({}, 0, None, "", *passes.costs())
    layers = {path: [each[path] for each in known] for path in known[0]}
    norm = _root_mean_square([float(np.sqrt(sum(each.norm**2 for each in batch.values()))) for batch in known])
    return _Gradients({path: _gradient(each) for path, each in layers.items()}, len(known), norm, "", *passes.costs())


def _gradient(of_batches: Sequence[Gradient]) -> events.ProbeGradient:
    return events.ProbeGradient(
        norm=to_wire(_root_mean_square([each.norm for each in of_batches])),
        weight_norm=to_wire(of_batches[0].weight_norm),
        zeros=to_wire(min(each.zeros for each in of_batches)),
        connected=any(each.is_connected for each in of_batches),
    )


def _root_mean_square(numbers: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(numbers))))


class _Shares(Struct, frozen=True):
    all_switched: Pass
    """The pass with all layers on batch statistics."""
    of: dict[str, tuple[float, float]]
    """Each layer's part of the loss by path: switched in order, and switched alone."""


class _Losses(Struct, frozen=True):
    """What one batch gives."""

    parts: PartsOfBatch
    masks: int
    shares: _Shares
    in_training: Pass
    in_inference: Pass


def _losses(passes: PassSet, batch: Batch, *, each_layer: bool, seed: int = 0, most_masks: int = MASKS) -> _Losses:
    trained = [passes.training(batch, seed=seed, looks=True)]
    inferred = [passes.inference(batch, seed=seed, looks=True)]
    # If both modes draw, each pair of passes has the same random numbers.
    masks = 1 if not passes.training_draws else MASKS // 2 if passes.inference_draws else MASKS
    seeds = range(seed + 1, seed + min(masks, most_masks))
    trained += [passes.training(batch, seed=mask) for mask in seeds]
    inferred += [passes.inference(batch, seed=mask) for mask in seeds if passes.inference_draws]
    losses = np.array([each.loss for each in trained])
    gaps = losses - [each.loss for each in inferred]
    gap, inference = float(np.mean(gaps)), inferred[0]
    paths = [path for path, calls in passes.calls.items() if any(calls)]
    shares = _switched_shares(passes, batch, paths, inference, each_layer=each_layer, seed=seed)
    quiet = _quiet(passes, batch, trained[0], inference, shares.all_switched, gap)
    standard_error = float(np.std(gaps, ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else 0.0
    return _Losses(
        parts=PartsOfBatch(
            train=float(np.mean(losses)),
            gap=gap,
            batch_norm=shares.all_switched.loss - inference.loss,
            other=quiet.loss - shares.all_switched.loss,
            error_of_masks=standard_error,
            of_examples=_of_examples(trained, inferred, shares.all_switched, quiet),
        ),
        masks=len(trained),
        shares=shares,
        in_training=trained[0],
        in_inference=inference,
    )


def _quiet(passes: PassSet, batch: Batch, trained: Pass, inference: Pass, switched: Pass, gap: float) -> Pass:
    """Return the pass in training mode with the random layers off, or one that is the same."""
    if not passes.has_random_layers:
        # No layer to switch off. If both modes draw, the layers' shares come from one draw, so compare with that draw.
        return trained if passes.inference_draws else Pass(inference.loss + gap, trained.losses)
    return passes.quiet(batch) if passes.may_be_other else switched


def _of_examples(
    trained: Sequence[Pass], inferred: Sequence[Pass], switched: Pass, quiet: Pass
) -> dict[str, FloatArray] | None:
    """Return each example's part of the gap and of its parts; None if the losses of single examples are unknown."""
    training, inference = _all_losses(trained), _all_losses(inferred)
    if training is None or inference is None or switched.losses is None or quiet.losses is None:
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.mean(training, axis=0) - np.mean(inference, axis=0)
        batch_norm, other = switched.losses - inference[0], quiet.losses - switched.losses
        return {"gap": gap, "batch_norm": batch_norm, "other": other, "stochastic": gap - batch_norm - other}


def _all_losses(passes: Sequence[Pass]) -> list[FloatArray] | None:
    losses = [each.losses for each in passes if each.losses is not None]
    return losses if len(losses) == len(passes) else None


def _unweighted(engine: Engine, passes: PassSet, batch: Batch, inference: Pass) -> Pass:
    """Return the inference pass of a batch without its sample weights."""
    bare = engine.passes.without_weights(batch)
    return inference if bare is batch else passes.inference(bare)


def _switched_shares(
    passes: PassSet, batch: Batch, paths: Sequence[str], inference: Pass, *, each_layer: bool, seed: int
) -> _Shares:
    """Switch the layers from moving to batch statistics: one after another, and each alone; or only all at once."""
    if not paths:
        return _Shares(inference, {})
    if not each_layer:
        together = passes.inference(batch, batch_statistics=paths, seed=seed, looks=True)
        return _Shares(together, dict.fromkeys(paths, (np.nan, np.nan)))
    in_order = [
        passes.inference(batch, batch_statistics=paths[:count], seed=seed, looks=count == len(paths))
        for count in range(1, len(paths) + 1)
    ]
    alone = [in_order[0], *(passes.inference(batch, batch_statistics=[path], seed=seed) for path in paths[1:])]
    shares = np.diff([inference.loss, *(each.loss for each in in_order)])
    return _Shares(
        in_order[-1],
        {
            path: (float(share), one.loss - inference.loss)
            for path, share, one in zip(paths, shares, alone, strict=True)
        },
    )


class _Seen(Struct, frozen=True):
    """What the layers got, in all passes."""

    first: _Losses
    further: Sequence[_Losses]
    held: Sequence[Pass]

    def in_training(self, path: str) -> list[Moments]:
        """Return the moments of a layer's inputs in training mode, of each of its calls, of all batches together."""
        of_batches = [each.in_training.layers.get(path, []) for each in (self.first, *self.further)]
        return [_pooled([call[0] for call in calls]) for calls in zip(*of_batches, strict=False)]

    def in_inference(self, path: str) -> list[Moments]:
        """Return the moments of a layer's inputs in its first call in inference mode, of each training batch."""
        passes = (each.in_inference for each in (self.first, *self.further))
        return [found[0][0] for each in passes if (found := each.layers.get(path, [])) and found[0]]

    def all_switched(self, path: str) -> list[Moments]:
        """Return the same with all layers on batch statistics: as in training mode, but that nothing is random."""
        passes = (each.shares.all_switched for each in (self.first, *self.further))
        return [found[0][0] for each in passes if (found := each.layers.get(path, [])) and found[0]]

    def halves(self, path: str) -> list[Moments]:
        """Return the moments of both halves of the first batch, in inference mode; empty if unknown."""
        return list(next(iter(self.first.in_inference.layers.get(path, [])), [])[1:3])

    def in_validation(self, path: str) -> list[Moments]:
        """Return the moments of a layer's inputs in its first call, of each validation batch."""
        return [found[0][0] for each in self.held if (found := each.layers.get(path, [])) and found[0]]


def _layer(path: str, seen: _Seen, arrays: LayerArrays, epsilon: float, passes: PassSet) -> events.ProbeLayer:
    moving = Moments(np.nan, _float64(arrays["moving_mean"]), _float64(arrays["moving_variance"]))
    divergence = partial(_divergence, epsilon=epsilon)
    in_order, alone = seen.first.shares.of.get(path, (0.0, 0.0))
    calls = seen.in_training(path)
    # Of a shared layer's calls, the first stands for the data, the one furthest from the moving statistics for drift.
    before, there, halves = seen.in_inference(path), seen.in_validation(path), seen.halves(path)
    switched = seen.all_switched(path)
    return events.ProbeLayer(
        in_order=_measured(in_order),
        alone=_measured(alone),
        drift=max((divergence(moving, call) for call in calls), key=_known, default=None),
        elements=int(min((call[0].count for call in seen.first.in_training.layers.get(path, [])), default=0)),
        calls=len(calls),
        calls_divergence=max(
            (divergence(one, other) for number, one in enumerate(calls) for other in calls[number + 1 :]),
            key=_known,
            default=None,
        ),
        validation_divergence=divergence(_pooled(before), _pooled(there)) if before and there else None,
        validation_elements=int(there[0].count) if there else 0,
        sampling_divergence=divergence(*halves) if len(halves) == 2 else None,
        batches_divergence=_mean([divergence(before[0], other) for other in before[1:]]),
        variance_ratio=_variance_ratio(calls[0], _pooled(switched)) if calls and switched else None,
        batch_statistics_in_inference=any(passes.inference_calls.get(path, ())),
    )


def _measured(value: float) -> Number:
    # Not measured, or measured and not a number: a reader can do nothing with either.
    return None if np.isnan(value) else to_wire(value)


def _pooled(moments: Sequence[Moments]) -> Moments:
    """Return the moments of all values together."""
    if len(moments) == 1:
        return moments[0]
    pool = Pool(moments)
    if not pool.count:  # Masks hide all values.
        return Moments(0, np.zeros_like(moments[0].mean), np.zeros_like(moments[0].variance))
    return Moments(pool.count, *pool.result())


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


def _variance_ratio(training: Moments, not_random: Moments) -> Number:
    """Return the first variance over the second one, the geometric mean over channels that vary."""
    varies = (training.variance > 0) & (not_random.variance > 0)
    if not varies.any():
        return None
    return to_wire(float(np.exp(np.mean(np.log(training.variance[varies] / not_random.variance[varies])))))


def _mean(numbers: Sequence[Number]) -> Number:
    known = [number for number in numbers if isinstance(number, float)]
    return to_wire(float(np.mean(known))) if known else None


def _known(number: Number) -> float:
    return number if isinstance(number, float) else float("inf")
