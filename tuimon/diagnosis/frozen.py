"""Layers that compute otherwise than their flags say: R4, R6 and R7.

The proof is the moving statistics: in training mode each step moves them (unless momentum is 1), in inference mode none
does.
"""

from collections.abc import Iterator

import numpy as np

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.history import beginning, is_usual_step
from tuimon.diagnosis.layers import Movement, movement, named, only, request, starts_fresh
from tuimon.numbers import learning_rate
from tuimon.protocol.wire import list_from_wire, to_wire
from tuimon.runs.state import LayerHistory, RunState

ENOUGH_INTERVALS = 2
"""Between samples; what happens once may be a callback that puts the best weights back."""
ENOUGH_STEPS = 20
"""Moving statistics that stand still for fewer are no proof."""
OF_OTHER_DATA = 30.0
"""Nats: a scale that is off by a factor of eight, or a mean that is 5.5 standard deviations off."""
IDLE_SHARE = 0.05
"""The share of the run's steps at a learning rate of 0 from which on it is a warning."""
FIRST_BATCHES = 8
"""Batches at the start of a run whose losses are compared with those at a learning rate of 0."""
STANDS_OUT = 5.0
"""Standard errors by which the losses of the first batches must be above the others."""


def findings(state: RunState) -> Iterator[Finding]:
    """Return what R4, R6 and R7 find."""
    if state.step == 0:
        return
    seen = {path: movement(history) for path, history in state.layers.items()}
    held = {path: _trainable_but_held(state, path, moved) for path, moved in seen.items()}
    moving = {
        path: state.layers[path].mode in ("frozen", "inference") and moved.moved >= ENOUGH_INTERVALS
        for path, moved in seen.items()
    }
    changed = {path: history.trainable_changed is not None for path, history in state.layers.items()}
    yield from _never_in_training_mode(
        state,
        {path: seen[path] for path in seen if held[path] and not changed[path] and starts_fresh(state.layers[path])},
    )
    yield from _statistics_of_other_data(
        state,
        [path for path, history in state.layers.items() if not history.layer.trainable or held[path]],
    )
    yield from _move_while_frozen(state, {path: seen[path] for path in seen if moving[path] and not changed[path]})
    yield from _rate_is_zero(state)
    yield from _change_without_effect(
        state, {path: seen[path] for path in seen if changed[path] and (moving[path] or held[path])}
    )


def _trainable_but_held(state: RunState, path: str, seen: Movement) -> bool:
    return (
        state.layers[path].mode == "training"
        and 0 <= state.momentum.get(path, state.layers[path].layer.momentum) < 1
        and seen.is_held
        and seen.intervals >= ENOUGH_INTERVALS
        and seen.steps >= ENOUGH_STEPS
    )


def _never_in_training_mode(state: RunState, layers: dict[str, Movement]) -> Iterator[Finding]:
    """R4: a layer that is not frozen computes in inference mode, with the initial statistics.

    Threshold: over at least `ENOUGH_STEPS` steps and `ENOUGH_INTERVALS` pairs of samples no quantile of the moving
    statistics changed at all, and they are Keras' initial ones, 0 and 1. A pre-trained base that is called with
    `training=False` is no fault (Keras guide "Transfer learning & fine-tuning"), and has others.

    Source: Keras' `Model.train_step` passes `training` on only to a `call` that takes it; without it, a model of one's
    own never puts its layers in training mode (keras/src/backend/tensorflow/trainer.py, `_call_has_training_arg`).
    """
    if not layers:
        return
    paths = list(layers)
    worst = max(layers.values(), key=lambda seen: seen.steps)
    inert = (
        f", nor {'is' if len(state.model.other_layers) == 1 else 'are'} {named(state.model.other_layers)}"
        if (state.model and state.model.other_layers and len(paths) == len(state.layers))
        else ""
    )
    yield Finding(
        rule="R4",
        severity="error",
        layer=only(paths),
        step=worst.first_step,
        what=f"{named(paths)} {_are(paths)} not frozen, but {_are(paths)} never in training mode: the moving "
        f"statistics still are 0 and 1 after {worst.steps:,} steps, so that nothing is normalized",
        evidence={
            "steps_without_a_change": worst.steps,
            "layers": len(paths),
            "of_layers": len(state.layers),
            "momentum": to_wire(state.momentum.get(paths[0], state.layers[paths[0]].layer.momentum)),
        },
        advice="give the model's own `call` an argument `training` and hand it on to its layers"
        + (f"; as it is, most likely no other layer sees training mode{inert}" if inert else ""),
        weight=0.9,
    )


def _statistics_of_other_data(state: RunState, paths: list[str]) -> Iterator[Finding]:
    """R4: the moving statistics of a frozen layer do not fit the data: what it gives is no longer at unit scale.

    Threshold: of the layers that the user froze before training, or that compute in inference mode though they are not
    frozen (`training=False`), the first one in the order of the model has a drift above `OF_OTHER_DATA`, in the first
    probe and in the newest. Between domains a drift of some nats is ordinary: inputs that are shifted by three standard
    deviations make 9, inputs of 2, 3 and 10 times the scale 1.3, 3.8 and 52, inputs from 0 to 1 in place of normalized
    ones 12; pixels from 0 to 1 in place of 0 to 255 make more than 100,000 (measured).

    Source: keras#13293, tensorflow#34340. A frozen layer subtracts and divides by what it has seen in its own training
    (Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation", 2016).
    """
    probed = state.probes[-1].layers if state.probes else {}  # In the order in which the layers are called.
    # A layer that the model was told to have after the probe has no drift yet.
    drifts = {
        path: state.layers[path].drift.values for path in probed if path in paths and len(state.layers[path].drift)
    }
    if not drifts:
        return
    first = next(iter(drifts))
    least = min(float(drifts[first][0]), float(drifts[first][-1]))
    if not OF_OTHER_DATA < least < np.inf:
        return
    others = [path for path in drifts if path != first and drifts[path][-1] > OF_OTHER_DATA]
    is_fresh = starts_fresh(state.layers[first])
    more = f", nor do those of {named(others)} after it" if others else ""
    yield Finding(
        rule="R4",
        severity="warning",
        layer=first,
        step=int(state.layers[first].drift.steps[0]),
        what=f"the frozen moving statistics of {first} do not fit the data (a drift of {drifts[first][-1]:,.0f} nats)"
        f"{more}: "
        + ("they still are the initial 0 and 1" if is_fresh else "what the layer gives is not at unit scale"),
        evidence={
            "drift": to_wire(float(drifts[first][-1])),
            "drift_at_first": to_wire(float(drifts[first][0])),
            "drift_threshold": OF_OTHER_DATA,
            "layers": 1 + len(others),
        },
        advice="load the weights before the layer is frozen, or let it train"
        if is_fresh
        else "prepare the inputs as the base's own training did (scale, mean, order of the channels)",
        weight=0.9,
    )


def _move_while_frozen(state: RunState, layers: dict[str, Movement]) -> Iterator[Finding]:
    """R6: the moving statistics of a layer change, though it is frozen or held.

    Threshold: any change at all, in at least `ENOUGH_INTERVALS` pairs of samples between which nothing but train steps
    was made; frozen statistics stay as they are, bit for bit.

    Source: `trainable=False` puts a BatchNormalization in inference mode since TensorFlow 2.0 (keras#13892); a layer
    derived from it, or a train step of one's own, may not keep to it.
    """
    if not layers:
        return
    paths = list(layers)
    most = max(layers.values(), key=lambda seen: seen.moved)
    yield Finding(
        rule="R6",
        severity="error",
        layer=only(paths),
        step=most.first_step,
        what=f"{named(paths)} {_are(paths)} frozen, and yet the moving statistics change with the steps",
        evidence={
            "intervals_with_a_change": most.moved,
            "of_intervals": most.intervals,
            "steps": most.steps,
            "largest_move_of_the_mean": to_wire(max(_move(state.layers[path]) for path in paths)),
        },
        advice="look for what calls the layer in training mode or assigns its arrays: a `call` of its own that does "
        "not look at `trainable`, a train step of one's own, a callback",
        weight=0.8,
    )


def _rate_is_zero(state: RunState) -> Iterator[Finding]:
    begin = beginning(state)
    rates = state.learning_rates
    rows = np.flatnonzero(rates.steps > begin)
    values, steps = rates.values[rows], rates.steps[rows]
    if len(values) < 2 or values[-1] != 0 or values[-2] != 0:
        return
    others = np.flatnonzero(values != 0)
    first = int(others[-1]) + 1 if len(others) else 0
    since, epochs = int(steps[first]), len(values) - first
    if len(others) or _learned_before(state, begin, since):
        before = float(np.nanmax(values[others])) if len(others) else None
        yield _schedule_is_over(state, since, epochs, before)
    else:
        yield from _move_at_rate_zero(state, since, epochs)


def _schedule_is_over(state: RunState, since: int, epochs: int, rate_before: float | None) -> Finding:
    """R6: the learning rate has become 0, and the run goes on: nothing is learned any more.

    Threshold: a learning rate of exactly 0 at the ends of the two newest epochs or more (no request can set it), in a
    run that had another one before. That is seen at the end of an epoch or, within the first epoch, by what it did:
    gamma and beta of a layer that began with Keras' initial values are no longer 1 and 0; or, where no layer tells, the
    losses of the first `FIRST_BATCHES` batches are above the others by `STANDS_OUT` of their standard errors. It is a
    note where less than `IDLE_SHARE` of the steps is left to it: a schedule may well end with the run.

    Source: keras#18722, tensorflow#53284. `decay_steps` counts train steps, and those of all `fit`s with the same
    optimizer; a schedule like CosineDecay gives 0 from there on, and Keras says nothing.
    """
    total = max(state.step, state.total_steps or 0) if state.ended is None else state.step
    share = (total - since) / max(total, 1)
    return Finding(
        rule="R6",
        severity="warning" if share >= IDLE_SHARE else "info",
        step=since,
        what=f"the learning rate has been 0 since step {since:,} of {total:,}, or earlier in that epoch: the schedule "
        "is over, and nothing is learned any more",
        evidence={
            "learning_rate": 0.0,
            "epochs_at_rate_0": epochs,
            "steps_at_rate_0": state.step - since,
            "share_of_the_run": to_wire(share),
        },
        advice="give the schedule the steps of the whole run, epochs × steps per epoch (`decay_steps` counts train "
        "steps, not epochs), or set a learning rate",
        request=request(state, "lr", learning_rate(rate_before)) if rate_before is not None and rate_before > 0 else "",
        weight=1.0,
    )


def _learned_before(state: RunState, begin: int, since: int) -> bool:
    """Whether weights have moved before the first epoch's end, which tells that the rate was not 0 from the start."""
    fresh = [
        history.latest
        for history in state.layers.values()
        if history.latest is not None and starts_fresh(history) and history.moving_mean.steps[0] == begin
    ]
    arrays = [(each.gamma, 1.0) for each in fresh] + [(each.beta, 0.0) for each in fresh]
    known = [(list_from_wire(values), initial) for values, initial in arrays if values is not None]
    if known:
        return any((values != initial).any() for values, initial in known)
    series = state.batch_metrics.get("loss")
    if series is None:
        return False
    rows = (series.steps >= begin) & is_usual_step(state, series.steps)
    steps, losses = series.steps[rows], series.values[rows]
    first, rest = losses[:FIRST_BATCHES], losses[steps >= since]
    if len(rest) < FIRST_BATCHES or not (np.isfinite(first).all() and np.isfinite(rest).all()):
        return False
    error = float(np.std(rest)) * np.sqrt(1 / len(first) + 1 / len(rest))
    return bool(np.mean(first) - np.mean(rest) > STANDS_OUT * error + 1e-6 * abs(np.mean(rest)))


def _move_at_rate_zero(state: RunState, since: int, epochs: int) -> Iterator[Finding]:
    """R6: the moving statistics change although the learning rate is 0, and the validation loss with them.

    Threshold: a learning rate of exactly 0 at the ends of the two newest epochs or more, from the start on, and since
    then a change in at least `ENOUGH_INTERVALS` pairs of samples.

    Source: keras#10216. The optimizer moves gamma and beta, the forward pass moves the statistics.
    """
    seen = {
        path: movement(history, since=since) for path, history in state.layers.items() if history.mode == "training"
    }
    paths = [path for path, moved in seen.items() if moved.moved >= ENOUGH_INTERVALS]
    if not paths:
        return
    most = max((seen[path] for path in paths), key=lambda moved: moved.moved)
    yield Finding(
        rule="R6",
        severity="warning",
        layer=only(paths),
        step=since,
        what=f"the learning rate is 0, and yet the moving statistics of {named(paths)} change with each step: the "
        "validation loss moves with them",
        evidence={
            "learning_rate": 0.0,
            "epochs_at_rate_0": epochs,
            "intervals_with_a_change": most.moved,
            "steps": most.steps,
        },
        advice="freeze them, if nothing is to change",
        request=request(state, "freeze", layers=paths),
        weight=0.5,
    )


def _change_without_effect(state: RunState, layers: dict[str, Movement]) -> Iterator[Finding]:
    """R7: `trainable` was changed after the step was traced, and the step goes on as it was.

    Threshold: `model_built` shows another `trainable` than before, and since then, in at least `ENOUGH_INTERVALS` pairs
    of samples, the statistics move though the layer is frozen, or do not though it is not (over `ENOUGH_STEPS` steps).

    Source: keras#4762, #14874. `BatchNormalization.call` reads `trainable` as a Python value while the step is traced;
    what is set afterwards takes effect with the next trace, and Keras says nothing.
    """
    if not layers:
        return
    paths = list(layers)
    frozen = [path for path in paths if state.layers[path].mode == "frozen"]
    told = f"`trainable` of {named(paths)} was set to {not frozen} after the step was traced, without effect: "
    steps = [state.layers[path].trainable_changed or 0 for path in paths]
    most = max(layers.values(), key=lambda seen: seen.intervals)
    yield Finding(
        rule="R7",
        severity="error",
        layer=only(paths),
        step=min(steps),
        what=told + ("the moving statistics go on moving" if frozen else "the moving statistics stay where they were"),
        evidence={
            "step_of_the_change": min(steps),
            "steps_since": most.steps,
            "intervals_with_a_change": most.moved,
            "of_intervals": most.intervals,
        },
        advice="compile the model anew before the next `fit`; a freeze by tuimon has the step traced anew, too"
        if frozen
        else "compile the model anew before the next `fit`",
        request=request(state, "freeze", layers=paths) if frozen else "",
        weight=0.9,
    )


def _move(history: LayerHistory) -> float:
    rows = history.moving_mean.rows[history.undisturbed_from :]
    return float(np.max(np.abs(rows[-1] - rows[0])))


def _are(paths: list[str]) -> str:
    return "is" if len(paths) == 1 else "are"
