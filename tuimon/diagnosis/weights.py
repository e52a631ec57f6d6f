"""What training does to the weights, and which ones are validated and kept: R17 and R20."""

import math
from collections.abc import Iterator

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.gap.measured import measured
from tuimon.diagnosis.history import beginning
from tuimon.diagnosis.layers import has_changed_since, named, only, uses_batch_statistics
from tuimon.numbers import figure
from tuimon.protocol import events
from tuimon.protocol.wire import Number, from_wire
from tuimon.runs.state import RunState

SHARE_OF_LOSS = 0.1
"""The moving statistics must make the loss worse by at least this share of it."""
CERTAIN = 3.0
"""And by this many standard errors."""
MORE_THAN_TRAINED = 2.0
"""And by this many times what they make worse with the trained weights."""
FIRST_STEPS = 20
"""Before so many steps, layers behind weights that begin at 0 have no gradient yet."""
FEWEST_LOOKS = 2
"""A single step may change nothing: with float16, one whose gradient overflows is left out."""
MOVED = 1e-5
"""A layer that a step moves by this share of its size learns. Weight decay moves it by less."""
NO_LOSS = 1e-6
"""A loss of at most this size may be done: then no gradient is left."""


def replaced(state: RunState) -> Iterator[Finding]:
    """R17: other weights than those of training are validated, or left by `fit`.

    Moving averages of the weights are, mostly. The weights of a few small layers are compared: after an epoch's last
    step, in the validation, before the next step, and with what `fit` leaves. It is a note: the validation loss is that
    of other weights than the probe's and the training loss, which may well be wanted.

    It is a warning in two cases. The moving statistics of BatchNormalization, which follow the trained weights, do not
    fit the others. Threshold: on training data, in inference mode, with the other weights, they make the loss worse
    than batch statistics do by `SHARE_OF_LOSS` of it and by `CERTAIN` standard errors, and by `MORE_THAN_TRAINED` times
    what they do with the trained weights. Or the other weights are worse themselves: their loss on training data is
    above that of the trained weights, of a probe at the same step, by as much.

    Source: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018, section 3.2 (one
    more pass over the data for the statistics); `torch.optim.swa_utils.update_bn`.
    """
    for where, fact in state.weights_replaced.items():
        if where == "restored":
            continue  # Somebody wanted the best weights back.
        averages = "moving averages of the weights" if _averages(state) else "other weights than those of training"
        if where == "validation":
            told = f"validation sees {averages}"
            note = "val_loss is theirs; the training loss and the probe are those of the trained weights"
        else:
            told = f"fit left {averages}, which its last validation did not see"
            note = "evaluate the model as it is now; the val_loss above is that of the trained weights"
            if _averages(state):
                note += " (`keras.callbacks.SwapEMAWeights()` validates the averages)"
        evidence: dict[str, Number] = {"distance_to_trained_weights": fact.change}
        harm, behind = from_wire(fact.moving) - from_wire(fact.batch), _behind(state, fact)
        if fact.examples:
            evidence |= {"examples": fact.examples, "loss_with_moving_statistics": fact.moving}
        if math.isfinite(harm):
            evidence |= {"loss_with_batch_statistics": fact.batch, "standard_error": fact.standard_error}
        is_harmful = _is_harmful(state, fact, harm)
        if is_harmful:
            worse = measured(harm, from_wire(fact.standard_error))
            told += f"; the moving statistics of BatchNormalization do not fit them: they make the loss {worse} worse"
            note = (
                "let the statistics follow these weights before you use them: put them into the model and train an "
                "epoch at a learning rate of 0"
            )
            if _averages(state):
                note += "; or average over fewer steps (a lower `ema_momentum`)"
        elif behind is not None:
            evidence["loss_with_trained_weights"] = state.probes[-1].inference
            told += f"; on training data their loss is {behind} above that of the trained weights"
            note = "average over fewer or later steps"
            note += " (a lower `ema_momentum`), or train for longer" if _averages(state) else ", or train for longer"
        yield Finding(
            rule="R17",
            severity="warning" if is_harmful or behind is not None else "info",
            step=fact.step,
            what=told,
            evidence=evidence,
            advice=note,
            weight=0.5 if is_harmful or behind is not None else 0.1,
        )


def _behind(state: RunState, fact: events.WeightsReplaced) -> str | None:
    """Return how much worse the other weights are than the trained ones, if that is worth a warning."""
    if not state.probes or state.probes[-1].step != fact.step or not fact.examples:
        return None
    probe = state.probes[-1]
    moving, trained = from_wire(fact.moving), from_wire(probe.inference)
    error = math.hypot(from_wire(fact.moving_error), from_wire(probe.unweighted_error))
    return measured(moving - trained, error) if _is_worse(moving, trained, error) else None


def _is_worse(loss: float, other: float, error: float) -> bool:
    """Return True if a loss is above another one by enough, beyond chance; False if one of them is not known."""
    return loss - other > max(SHARE_OF_LOSS * max(abs(loss), abs(other)), CERTAIN * error)


def _averages(state: RunState) -> bool:
    return state.fit is not None and state.fit.averages_weights


def _is_harmful(state: RunState, fact: events.WeightsReplaced, harm: float) -> bool:
    moving, batch, error = map(from_wire, (fact.moving, fact.batch, fact.standard_error))
    if not math.isfinite(harm) or not _is_worse(moving, batch, error):
        return False
    of_trained = -from_wire(state.probes[-1].batch_norm) if state.probes else math.nan
    return not harm < MORE_THAN_TRAINED * of_trained


def gradients(state: RunState) -> Iterator[Finding]:
    """R20: the gradient does not reach a layer, or is no number, or a step changes no weight.

    Threshold, on the gradients of the last probe, after `FIRST_STEPS` steps, or on the last step that was measured:

    - Not finite: the gradient of a layer is NaN or infinite, while the loss is finite.
    - None: the gradient of a layer is exactly 0 for all of its weights in all probed batches, the loss of the examples
      is above `NO_LOSS`, and the step that was measured last did not move its weights by `MOVED` of their size, as it
      does where the probed batches are of another task, or where a callback sets them. Not where a BatchNormalization
      layer has a single value per channel: it gives beta, and no gradient passes (R2). A note where the loss does not
      depend on the layer at all, of which Keras warns as well.
    - Too small: the last `FEWEST_LOOKS` steps that were measured, or more, changed no weight of a layer at all, in its
      last digit, though the layer has a gradient and the learning rate is above 0. Where gradients are accumulated,
      most steps change nothing, and none is measured.

    How far a step moves the weights is told without a threshold: 0.1 % is usual, but weights that began at 0 move far.

    Source: Lu et al., "Dying ReLU and Initialization", 2019; Pascanu et al., "On the difficulty of training recurrent
    neural networks", 2013; Karpathy, CS231n notes, "Ratio of weights:updates" (about 0.001); tensorflow#31173 (Keras
    dropped `write_grads`).
    """
    yield from _of_probe(state)
    yield from _of_step(state)


def _of_probe(state: RunState) -> Iterator[Finding]:
    if not state.probes or has_changed_since(state, state.probes[-1]):
        return
    probe = state.probes[-1]
    norms = {path: from_wire(each.norm) for path, each in probe.gradients.items()}
    if not norms or not math.isfinite(from_wire(probe.train)):
        return
    broken = [path for path, norm in norms.items() if not math.isfinite(norm)]
    moved = {} if state.weight_updates is None else state.weight_updates.layers
    dead = [path for path, norm in norms.items() if norm == 0 and not from_wire(moved.get(path)) >= MOVED]
    evidence: dict[str, Number] = {"gradient_norm": probe.gradient_norm, "probed_batches": probe.gradient_batches}
    if broken:
        yield Finding(
            rule="R20",
            severity="error",
            step=probe.step,
            layer=only(broken),
            what=f"the gradient of {named(broken)} is no number, though the loss is {figure(probe.train)}",
            evidence=evidence,
            advice="look behind it for a root, a norm or a logarithm of 0, or a division by 0: the value may be finite "
            "where the derivative is not; add a small number there",
            weight=0.9,
        )
    elif probe.step - beginning(state) >= FIRST_STEPS and not (_is_done(probe) or _gives_beta(probe)):
        unused = [path for path in dead if not probe.gradients[path].connected]
        dead = [path for path in dead if path not in unused]
        if dead:
            yield _dead(probe, dead, evidence)
        if unused:
            yield Finding(
                rule="R20",
                severity="info",
                step=probe.step,
                layer=only(unused),
                what=f"the loss does not depend on {named(unused)}, so these weights do not learn",
                evidence=evidence,
                advice="if that is meant (a target network behind a stop_gradient, say), set `trainable = False`; else "
                "connect them to the loss",
                weight=0.2,
            )


def _dead(probe: events.Probe, dead: list[str], evidence: dict[str, Number]) -> Finding:
    where = "any layer" if len(dead) == len(probe.gradients) else named(dead)
    told, count = f"no gradient reaches {where}", probe.gradient_batches
    where = "the probed batch" if count == 1 else f"{count} batches"
    return Finding(
        rule="R20",
        severity="warning",
        step=probe.step,
        layer=only(dead),
        what=f"{told}: it is exactly 0 in {where}, so these weights do not learn",
        evidence=evidence | ({"layers_without_gradient": len(dead)} if len(dead) > 1 else {}),
        advice="look between there and the loss for ReLUs that are never positive, an output that is constant (one "
        "unit with softmax), a saturated activation, or a loss weight of 0",
        weight=0.8,
    )


def _is_done(probe: events.Probe) -> bool:
    """Return True if nothing is left to learn: a hinge loss is exactly 0 then, regularization apart."""
    of_examples = from_wire(probe.constant) - from_wire(probe.gain)
    return abs(from_wire(probe.train) if math.isnan(of_examples) else of_examples) <= NO_LOSS


def _gives_beta(probe: events.Probe) -> bool:
    """Return True if a layer normalizes a single value per channel, which makes it 0."""
    return any(layer.elements == 1 and uses_batch_statistics(layer) for layer in probe.layers.values())


def _of_step(state: RunState) -> Iterator[Finding]:
    fact = state.weight_updates
    if fact is None:
        return
    gradients_of = state.probes[-1].gradients if state.probes else {}
    rate = state.learning_rate
    stuck = [
        path
        for path, steps in state.steps_without_change.items()
        if steps >= FEWEST_LOOKS and path in gradients_of and from_wire(gradients_of[path].norm) > 0
    ]
    if stuck and rate is not None and rate > 0:
        yield Finding(
            rule="R20",
            severity="warning",
            step=fact.step,
            layer=only(stuck),
            what=f"steps change no weight of {named(stuck)}, though there is a gradient: the changes are too small "
            "for the weights' last digit",
            evidence={"learning_rate": rate, "measured_steps": min(state.steps_without_change[path] for path in stuck)},
            advice="raise the learning rate; in float16 or bfloat16 keep the weights in float32 (`mixed_bfloat16`)",
            weight=0.7,
        )
