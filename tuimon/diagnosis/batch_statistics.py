"""Batch statistics that are no good to normalize with: R2 and R9."""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.gap.shares import are_alike
from tuimon.diagnosis.gap.telling import Telling, telling
from tuimon.diagnosis.layers import named, only, request, uses_batch_statistics
from tuimon.numbers import figure, percent
from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, Number, from_wire, to_wire
from tuimon.runs.state import RunState

FEW_ELEMENTS = 16
"""Batch statistics of fewer values are noisy: the mean is off by a fourth of a standard deviation, and more."""
PART_OF_GAP = 0.5
"""The share of the gap that batch statistics must make."""
RAGGED = 4
"""A last batch of at most so many examples may be too small."""
RAGGED_EPOCHS = 3
"""Epochs whose last step must be known."""
RECENT_EPOCHS = 40
"""Epochs that are looked at, the newest."""
ENOUGH_EPOCHS = 8
"""Epochs whose last step must be known where nothing is known of its size."""
STANDS_OUT = 3.0
"""Spreads of the other batches' losses by which the last one's must stand out."""
CERTAIN = 5.0
"""Standard errors by which the losses of the last batches must be above the others."""
OUTLIERS = 0.1
"""The share of the epochs, those with the highest last loss, that is left out: one odd example is no pattern."""
COLLAPSE_PRECISION = 0.02
"""The relative error with which a moving variance must follow momentum^steps."""
VISIBLE_DECAY = 0.9
"""A decay is recognized only once the variance has fallen to this share."""
SHARED_DIVERGENCE = 0.5
"""Nats between two inputs of one layer: means that are 0.7 standard deviations apart."""
CHANCE_FACTOR = 5.0
"""The divergence must be this many times that between the two halves of the batch."""


def too_noisy(state: RunState) -> Iterator[Finding]:
    """R2: a batch has too few values for its statistics to be worth something.

    Three ways to see it, the first that does is told:

    - The probe: batch statistics from fewer than `FEW_ELEMENTS` values per channel make training worse than inference,
      and are at least `PART_OF_GAP` of the gap. Where the gap was closed by a request since, the probe before it is
      told, with what is left of the gap; then it is a note.
    - No probe, a batch of one: the moving variance falls as momentum^steps, within `COLLAPSE_PRECISION`: each batch's
      variance was 0.
    - A last batch of at most `RAGGED` examples: over at least `RAGGED_EPOCHS` epochs, its loss is above the median of
      the epoch's others by more than `STANDS_OUT` spreads of these (1.48 × MAD), and by more than `CERTAIN` standard
      errors of what so few examples make of a loss by chance: spread × √(examples of a batch / examples of the last) /
      √(epochs). In the mean, without the tenth of the epochs in which it is highest. Where the sizes of the batches are
      not known (a generator, say) it is a note, and only if in the median of at least `ENOUGH_EPOCHS` epochs of the
      same length the last step stands out by `STANDS_OUT` spreads, and no other step by half as much.

    Source: of n numbers the mean has a standard error of σ / √n, the variance one of σ² √(2 / (n − 1)); of one, the
    variance is 0 and the layer gives beta, whatever the input is. Wu & He, "Group Normalization", 2018, figure 1 (the
    error grows below 16 a batch); keras#10214, #7265 (training and evaluation disagree on the same data).
    """
    looks = (_by_probe, _by_collapse, _by_last_batch)
    found = next(filter(None, (look(state) for look in looks)), None)
    if found is not None:
        yield found


def _by_probe(state: RunState) -> Finding | None:
    told = telling(state)
    if told is None:
        return None
    probe = told.probe
    gap, batch_norm = from_wire(probe.gap), from_wire(probe.batch_norm)
    if are_alike(probe) or not batch_norm >= PART_OF_GAP * abs(gap):
        return None
    used = {
        path: _elements(state, probe, layer) for path, layer in probe.layers.items() if uses_batch_statistics(layer)
    }
    few = [path for path, elements in used.items() if 0 < elements < FEW_ELEMENTS]
    if not few:
        return None
    elements = min(used[path] for path in few)
    share = batch_norm / gap if gap else math.inf
    evidence: dict[str, Number] = {
        "training_loss": probe.train,
        "inference_loss": probe.inference,
        "gap": to_wire(gap),
        "gap_of_batch_norm": to_wire(batch_norm),
        "share_of_batch_norm": to_wire(share),
        "values_per_channel": elements,
        "batch_size": state.fit.batch_size if state.fit else None,
        "layers": len(few),
        "of_layers": len(used),
    }
    closed, after = _closing(told, evidence)
    values = "a single value" if elements == 1 else f"{elements} values"
    all_of_it = "all" if 0.995 <= share <= 1.005 else percent(share, 0)
    layers = "all layers" if len(few) == len(used) > 1 else named(few)
    return Finding(
        rule="R2",
        severity="info" if told.is_closed else "warning",
        layer=only(few) if len(few) < len(used) or len(used) == 1 else None,
        step=probe.step,
        what=f"batch statistics from {values} per channel ({layers}) make {all_of_it} of the gap of "
        f"{figure(gap, 3)} between "
        f"training and inference mode{closed}",
        evidence=evidence,
        advice="leave the layers frozen: they use their moving statistics in training, too"
        if told.is_closed
        else f"freeze BatchNormalization, which closes the gap ({after}), or train with larger batches",
        request="" if told.is_closed else request(state, "freeze", layers=few),
        weight=min(1.0, share),
    )


def _elements(state: RunState, probe: events.Probe, layer: events.ProbeLayer) -> int:
    """Return how many values of a channel a training batch has: the probe's batch may be larger, or a last one."""
    size = state.fit.batch_size if state.fit else None
    of_a_batch = probe.examples / probe.batches
    return layer.elements if not size or not of_a_batch else round(layer.elements * size / of_a_batch)


def _closing(told: Telling, evidence: dict[str, Number]) -> tuple[str, str]:
    """Return what is measured or computed of a freeze, as a part of what was found and of the advice."""
    gap, batch_norm = from_wire(told.probe.gap), from_wire(told.probe.batch_norm)
    rest = f"{figure(gap - batch_norm, 3)} is left of it"
    if told.change is None or told.other is None:
        evidence["gap_without_batch_norm"] = to_wire(gap - batch_norm)
        return "", rest
    other = from_wire(told.other.gap)
    evidence |= {"gap_when_frozen": to_wire(other), "change_at_step": told.change.step}
    words = f"“{told.change.words}” at step {told.change.step:,}"
    return (
        f"; since {words} it is {figure(other, 3)}" if told.is_closed else f"; before {words} it was {figure(other, 3)}"
    ), rest


def _by_collapse(state: RunState) -> Finding | None:
    if state.fit is None or state.fit.batch_size != 1:
        return None
    collapsed = [path for path in state.layers if _collapses(state, path)]
    if not collapsed:
        return None
    rows = state.layers[collapsed[0]].moving_variance.rows
    first = rows[state.layers[collapsed[0]].undisturbed_from]
    return Finding(
        rule="R2",
        severity="warning",
        layer=only(collapsed),
        step=state.step,
        what=f"a batch is one example, and of a single value per channel the variance is 0: the moving variance of "
        f"{named(collapsed)} falls as momentum to the power of the steps, and in training the layer gives its beta, "
        "whatever the input is",
        evidence={
            "batch_size": 1,
            "moving_variance_median_first": to_wire(float(first[3])),
            "moving_variance_median": to_wire(float(rows[-1, 3])),
            "momentum": to_wire(state.momentum.get(collapsed[0])),
            "layers": len(collapsed),
        },
        advice="freeze BatchNormalization, or train with larger batches",
        request=request(state, "freeze", layers=collapsed),
        weight=0.9,
    )


def _collapses(state: RunState, path: str) -> bool:
    history = state.layers[path]
    momentum = state.momentum.get(path, history.layer.momentum)
    if history.mode != "training" or not 0 < momentum < 1:
        return False
    steps = history.moving_variance.steps[history.undisturbed_from :]
    rows = history.moving_variance.rows[history.undisturbed_from :]
    expected = (steps - steps[0]) * math.log(momentum) if len(steps) else np.empty(0)
    seen = np.flatnonzero((expected < math.log(VISIBLE_DECAY)) & (expected > -20))
    if not len(seen):
        return False
    newest = int(seen[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        fallen = np.log(rows[newest] / rows[0])
    return bool(np.all(np.abs(fallen / expected[newest] - 1) < COLLAPSE_PRECISION))


def _by_last_batch(state: RunState) -> Finding | None:
    size = state.fit.last_batch_size if state.fit else None
    is_unknown = state.fit is not None and state.fit.batch_size is None
    if state.fit is None or (not is_unknown and (size is None or size > RAGGED)):
        return None
    layers = [path for path, history in state.layers.items() if history.mode == "training"]
    excess, spread = _excess_of_last_steps(state)
    if not layers or len(excess) < RAGGED_EPOCHS:
        return None
    if is_unknown or size is None or state.fit.batch_size is None:
        return _last_step_stands_out(state, layers, excess, spread)
    typical = float(np.mean(np.sort(excess)[: math.ceil(len(excess) * (1 - OUTLIERS))]))
    error = spread * math.sqrt(state.fit.batch_size / size / len(excess))
    if not typical > max(STANDS_OUT * spread, CERTAIN * error):
        return None
    examples = "one example" if size == 1 else f"{size} examples"
    return Finding(
        rule="R2",
        severity="warning",
        layer=only(layers),
        step=int(state.epoch_numbers.steps[-1]),
        what=f"the last batch of each epoch has {examples} of {state.fit.batch_size}, too few for batch statistics: "
        f"its loss is {figure(typical, 3)} above the others",
        evidence={
            "last_batch_size": size,
            "batch_size": state.fit.batch_size,
            "excess_of_last_loss": to_wire(typical),
            "spread_of_other_losses": to_wire(spread),
            "epochs": len(excess),
        },
        advice="leave the rest of the examples out (`drop_remainder=True`), or take a batch size that divides their "
        "number",
        weight=0.6,
    )


def _last_step_stands_out(state: RunState, layers: list[str], excess: FloatArray, spread: float) -> Finding | None:
    losses, typical = _losses_by_step(state), float(np.median(excess))
    if losses is None or len(excess) < ENOUGH_EPOCHS or not typical > STANDS_OUT * spread:
        return None
    others = np.median(losses - np.median(losses, axis=1, keepdims=True), axis=0)[:-1]
    if not np.abs(others).max() < typical / 2:
        return None
    return Finding(
        rule="R2",
        severity="info",
        layer=only(layers),
        step=int(state.epoch_numbers.steps[-1]),
        what=f"the last step of each epoch stands out: its loss is {figure(typical, 3)} above the others, as of a "
        "last batch "
        "of few examples, too few for batch statistics",
        evidence={
            "excess_of_last_loss": to_wire(typical),
            "spread_of_other_losses": to_wire(spread),
            "steps_an_epoch": losses.shape[1],
            "epochs": len(excess),
        },
        advice="look whether the last batch is smaller; if so, leave it out, or take a batch size that divides the "
        "number of examples",
        weight=0.3,
    )


def _losses_by_step(state: RunState) -> FloatArray | None:
    """Return the losses of recent epochs, shape ``(epochs, steps)``; None: their lengths differ, or are not known."""
    series, ends = state.batch_metrics.get("loss"), state.epoch_numbers.steps[-RECENT_EPOCHS - 1 :]
    lengths = np.diff(ends)
    if series is None or not len(lengths) or lengths[0] < 3 or (lengths != lengths[0]).any():
        return None
    first, last = np.searchsorted(series.steps, [ends[0], ends[-1]])
    losses = series.values[first:last]
    if len(losses) != ends[-1] - ends[0] or not np.isfinite(losses).all():
        return None
    return losses.reshape(len(lengths), -1)


def _excess_of_last_steps(state: RunState) -> tuple[FloatArray, float]:
    """Return how far the last batch's loss is above the median of each recent epoch, and the spread of the others."""
    nothing = np.empty(0), math.nan
    series, ends = state.batch_metrics.get("loss"), state.epoch_numbers.steps[-RECENT_EPOCHS - 1 :]
    if series is None or len(ends) < 2:
        return nothing
    excess, spreads = [], []
    for begin, end in itertools.pairwise(ends):
        first, last = np.searchsorted(series.steps, [begin, end])
        losses = series.values[first:last]
        if len(losses) < 3 or len(losses) != end - begin or not np.isfinite(losses).all():
            continue
        others = losses[:-1]
        middle = float(np.median(others))
        excess.append(float(losses[-1]) - middle)
        spreads.append(1.4826 * float(np.median(np.abs(others - middle))))
    return (np.asarray(excess), float(np.median(spreads))) if excess else nothing


def noisy_in_validation(state: RunState) -> Iterator[Finding]:
    """R2: validation, too, normalizes with batch statistics, and its batches have too few values for them.

    Threshold: a layer uses batch statistics in inference mode as well, and a validation batch has fewer than
    `FEW_ELEMENTS` values per channel.

    Source: keras#10381, tensorflow#29480. A layer that is called with `training=True` in the model's own `call` stays
    in training mode in validation, and each validation writes into its moving statistics.
    """
    if not state.probes:
        return
    probe = state.probes[-1]
    paths = [
        path
        for path, layer in probe.layers.items()
        if layer.batch_statistics_in_inference and 0 < layer.validation_elements < FEW_ELEMENTS
    ]
    if not paths:
        return
    elements = min(probe.layers[path].validation_elements for path in paths)
    values = "a single value" if elements == 1 else f"{elements} values"
    yield Finding(
        rule="R2",
        severity="warning",
        layer=only(paths),
        step=probe.step,
        what=f"validation normalizes with batch statistics, from {values} per channel: {named(paths)} "
        f"{'is' if len(paths) == 1 else 'are'} called with `training=True`, so that inference mode does not use the "
        "moving statistics, and each validation changes them",
        evidence={
            "values_per_channel_in_validation": elements,
            "inference_loss_on_training_data": probe.unweighted,
            "inference_loss_on_validation_data": probe.validation_unweighted,
            "layers": len(paths),
            "of_layers": len(probe.layers),
        },
        advice="hand on the `training` that the model is called with, in place of a fixed `training=True`, or take "
        "larger validation batches",
        weight=0.9,
    )


def shared_by_different_inputs(state: RunState) -> Iterator[Finding]:
    """R9: one BatchNormalization is called on inputs of different distribution.

    Its moving statistics are an average of both, and fit neither: training, which normalizes each by its own, is not
    what inference does.

    Threshold: the layer is called more than once in a pass, and the symmetric KL divergence of the batch statistics of
    two of its calls is above `SHARED_DIVERGENCE` and above `CHANCE_FACTOR` times that between the two halves of the
    batch.

    Source: Xie et al., "Adversarial Examples Improve Image Recognition", 2020 (a BatchNormalization for each
    distribution); keras#8794.
    """
    if not state.probes:
        return
    probe = state.probes[-1]
    for path, layer in probe.layers.items():
        if layer.calls > 1 and uses_batch_statistics(layer) and _calls_differ(layer):
            yield Finding(
                rule="R9",
                severity="warning",
                layer=path,
                step=probe.step,
                what=f"{path} is called {layer.calls} times in a pass, on inputs of different distribution: its moving "
                "statistics are an average that fits none of them",
                evidence={
                    "calls": layer.calls,
                    "calls_divergence": layer.calls_divergence,
                    "divergence_by_chance": layer.sampling_divergence,
                    "threshold": SHARED_DIVERGENCE,
                    "gap_of_batch_norm": probe.batch_norm,
                },
                advice="give each input a BatchNormalization of its own; the layers around it may stay shared",
                weight=0.6,
            )


def _calls_differ(layer: events.ProbeLayer) -> bool:
    chance = from_wire(layer.sampling_divergence)
    chance = chance if math.isfinite(chance) else 8 / max(layer.elements, 1)
    return from_wire(layer.calls_divergence) > max(SHARED_DIVERGENCE, CHANCE_FACTOR * chance)
