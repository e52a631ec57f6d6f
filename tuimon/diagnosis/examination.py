"""What was examined of a run, and what not. A run is healthy only if every rule that matters for it could look."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from tuimon.diagnosis.data_shift import FEWEST_BATCHES
from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.frozen import ENOUGH_STEPS
from tuimon.diagnosis.generalization import FEWEST_EPOCHS, FEWEST_EXAMPLES
from tuimon.diagnosis.layers import has_changed_since
from tuimon.diagnosis.outlier_batch import FEWEST_SAMPLES
from tuimon.diagnosis.progress import STUCK_EPOCHS
from tuimon.diagnosis.validation_spike import FEWEST
from tuimon.protocol.wire import from_wire
from tuimon.runs.state import OVER, RunState
from tuimon.text import plain

Outcome = Literal["fired", "quiet", "blind", "beside"]
"""``fired``: the rule found something. ``quiet``: it looked and found nothing. ``blind``: it could not look.
``beside``: there is nothing in this run that it is about."""

Judgement = Literal["findings", "healthy", "not examined"]
"""What the doctor says of a run as a whole."""

ENOUGH_SAMPLES = 2
"""So many samples of a layer do not tell whether its moving statistics move; one more does."""

PROBE_NOW = "the request `probe` makes one now"
"""What to do where a probe is missing, while a run trains."""
PROBE_AGAIN = "the request `probe` makes another"
"""The same where the last probe is out of date."""
PROBE_AFTER_VALIDATION = "the request `probe` makes another after the next validation"
"""The same where the last probe had no validation batch."""
PROBE_NEXT_TIME = "train with `tuimon.Monitor(probe_every=100)`, which makes one every 100 steps"
"""The same of a run that is over."""
OF_OTHERS = frozenset(("R11", "R12", "R13"))
"""Rules that look at losses alone: another program's log has what they need."""
_OF_LIVE_RUNS = {PROBE_NOW: PROBE_NEXT_TIME, PROBE_AGAIN: PROBE_NEXT_TIME, PROBE_AFTER_VALIDATION: ""}
"""What to do that only a run can do that trains, and what to do where it is over."""


class Sight(Struct, frozen=True):
    """What a rule could see. One of the first three is filled in."""

    seen: str = ""
    """The evidence it looked at, as a part of a sentence."""
    blind: str = ""
    """Why it could not look, as a part of a sentence."""
    beside: str = ""
    """Why it has nothing to look at, as a part of a sentence."""
    remedy: str = ""
    """For a blind rule: the one thing to do, as a sentence without a full stop."""
    is_minor: bool = False
    """For a blind rule: True if a run may be called healthy all the same."""


class Examined(Struct, frozen=True):
    """What one rule says of itself."""

    rule: str
    """Its number."""
    name: str
    """What it looks for."""
    outcome: Outcome
    """What came of it."""
    detail: str
    """The evidence, or why there is none."""
    remedy: str = ""
    """For a blind rule: the one thing to do."""
    matters: bool = True
    """Whether a run is not called healthy while the rule is blind."""


@np.errstate(all="ignore")
def examine(
    state: RunState, found: Sequence[Finding], errors: Mapping[str, str] | None = None, *, is_over: bool = False
) -> list[Examined]:
    """Return what each rule says of itself, in the order of their numbers.

    Args:
        state: The run.
        found: What the rules found.
        errors: Why rules could not look, by their numbers, as `tuimon.diagnosis.rules.look` returns it.
        is_over: Whether nobody takes a request any more though the log has no end: a crash is in no log.
    """
    fired = {finding.rule for finding in found}
    examined = [
        _examined(rule, look, state, is_fired=rule in fired, error=(errors or {}).get(rule, ""))
        for rule, look in RULES_SAY.items()
    ]
    if not is_over and state.ended is None:
        return examined
    return [replace(rule, remedy=_OF_LIVE_RUNS.get(rule.remedy, rule.remedy)) for rule in examined]


def judge(found: Sequence[Finding], examined: Sequence[Examined]) -> Judgement:
    """Return what to say of the run as a whole."""
    if any(finding.severity != "info" for finding in found):
        return "findings"
    return "not examined" if missing(examined) else "healthy"


def missing(examined: Sequence[Examined]) -> list[Examined]:
    """Return the blind rules without which a run is not called healthy."""
    return [rule for rule in examined if rule.outcome == "blind" and rule.matters]


def can_probe(state: RunState, status: str) -> bool:
    """Return True if a request would make a probe of this run now, and one that could tell something."""
    return status not in OVER and state.fit is not None and state.fit.can.get("probe") == ""


class _Look(Struct, frozen=True):
    name: str
    sight: Callable[[RunState], Sight]
    matters: bool = True


def _examined(rule: str, look: _Look, state: RunState, *, is_fired: bool, error: str) -> Examined:
    try:
        if state.run is not None and state.run.source and rule not in OF_OTHERS:
            remedy = "train with `tuimon.Monitor`, which records it"
            sight = Sight(blind="the log is of another program, which did not record it", remedy=remedy)
        else:
            sight = Sight(blind=plain(error, 300)) if error else look.sight(state)
    except Exception as failure:  # noqa: BLE001 - whatever it is, the other rules say what they saw.
        sight = Sight(blind=plain(f"an error of tuimon ({type(failure).__name__}: {failure})", 300))
    if is_fired:
        return Examined(rule, look.name, "fired", sight.seen or sight.blind, "", look.matters)
    if sight.beside:
        return Examined(rule, look.name, "beside", sight.beside, "", look.matters)
    if sight.blind:
        matters = look.matters and not sight.is_minor
        return Examined(rule, look.name, "blind", sight.blind, sight.remedy, matters)
    return Examined(rule, look.name, "quiet", sight.seen, "", look.matters)


def _of_probe(state: RunState) -> Sight:
    if not state.probes:
        refused = state.fit.can.get("probe", "") if state.fit else ""
        if refused:
            return Sight(blind=f"no probe can be made ({plain(refused, 300)})", remedy=_refused_remedy(refused))
        planned = state.probe_planned
        why = f" ({plain(planned.reason, 300)})" if planned is not None and planned.seconds is None else ""
        return Sight(blind=f"there was no probe{why}", remedy=PROBE_NOW)
    probe = state.probes[-1]
    if has_changed_since(state, probe):
        return Sight(
            blind=f"the model was changed after the last probe, at step {probe.step:,}",
            remedy=PROBE_AGAIN,
        )
    batches = "" if probe.batches == 1 else f" in {probe.batches} batches"
    examples = f"{probe.examples:,} example{'' if probe.examples == 1 else 's'}"
    return Sight(seen=f"the probe at step {probe.step:,} of {state.step:,} ({examples}{batches})")


def _refused_remedy(refused: str) -> str:
    if "train_step" in refused:
        return "where that will do, override `compute_loss` instead of `train_step`"
    return "compile the model with a loss that Keras computes" if "loss" in refused else "no probe, no answer here"


def _of_batch_norm(look: Callable[[RunState], Sight]) -> Callable[[RunState], Sight]:
    """Return a look that has nothing to see in a model without BatchNormalization."""

    def sight(state: RunState) -> Sight:
        if state.model is not None and not state.model.batch_norm_layers:
            return Sight(beside="the model has no BatchNormalization")
        return look(state)

    return sight


def _of_shared(state: RunState) -> Sight:
    sight = _of_probe(state)
    if sight.seen and all(layer.calls < 2 for layer in state.probes[-1].layers.values()):
        return Sight(beside="no BatchNormalization layer is called twice in a pass")
    return sight


def _of_validation_data(state: RunState) -> Sight:
    if not state.probes or _of_probe(state).blind:
        has_validation = any(name.startswith("val_") for name in state.epoch_metrics)
        if state.epochs_ended and not has_validation:
            return Sight(beside="there are no validation data")
        return _of_probe(state)
    probe = state.probes[-1]
    if probe.validation is None:
        if any(name.startswith("val_") for name in state.epoch_metrics):
            is_endless = state.fit is not None and state.fit.steps_per_epoch is None and state.epochs_ended < 2
            remedy = PROBE_AFTER_VALIDATION
            if is_endless:
                remedy = "give `fit` `steps_per_epoch`, so that epochs end and validation comes"
            return Sight(blind="the last probe had no validation batch", remedy=remedy)
        return Sight(beside="there are no validation data")
    return _of_probe(state)


def _of_random_layers(state: RunState) -> Sight:
    if state.model is not None and not state.model.other_layers:
        return Sight(beside="the model has no random layers")
    return _of_probe(state)


def _of_batches(state: RunState) -> Sight:
    sight = _of_probe(state)
    if sight.seen and state.probes[-1].batches < FEWEST_BATCHES:
        one = state.fit is not None and state.fit.steps_per_epoch == 1
        return Sight(beside="an epoch has one batch" if one else f"fewer than {FEWEST_BATCHES} batches were probed")
    return sight


def _of_underfitting(state: RunState) -> Sight:
    sight = _of_probe(state)
    if not sight.seen:
        return sight
    probe = state.probes[-1]
    if probe.gain is None:
        words = "what a constant answer would lose is not known for this loss, or with sample weights"
        return Sight(blind=words, is_minor=True)
    if not from_wire(probe.constant) > 0:
        return Sight(blind="a loss that is not above 0 has no share that is explained", is_minor=True)
    if probe.examples < FEWEST_EXAMPLES:
        count = "1 example is" if probe.examples == 1 else f"{probe.examples} examples are"
        return Sight(blind=f"{count} too few to tell it from chance", is_minor=True)
    if state.epochs_ended < FEWEST_EPOCHS:
        return Sight(blind=_too_few_epochs(state), remedy="train for longer", is_minor=True)
    return sight


def _of_weights(state: RunState) -> Sight:
    if state.epochs_ended and "val_loss" not in state.epoch_metrics:
        return Sight(beside="there are no validation data")
    replaced = state.weights_replaced.get("validation") or state.weights_replaced.get("end")
    if replaced is not None and not replaced.examples:
        return Sight(seen=f"a few layers at step {replaced.step:,}; what the other weights do was not measured")
    if not state.epochs_ended:
        return Sight(blind="no epoch has ended")
    return Sight(seen="the weights of a few layers, in training and in validation")


def _of_gradients(state: RunState) -> Sight:
    sight = _of_probe(state)
    if sight.seen and not state.probes[-1].gradients:
        why = state.probes[-1].why_no_gradients
        words = plain(why, 200) if why else "the last probe did not measure them, to save time"
        return Sight(blind=words, is_minor=True)
    return sight


def _of_time(state: RunState) -> Sight:
    if not state.time_split.steps:
        return Sight(blind="where the time goes was not measured", remedy="train for longer")
    return Sight(seen=f"where the time of {state.time_split.steps:,} steps went")


def _of_samples(state: RunState) -> Sight:
    samples = [history.moving_mean.steps for history in state.layers.values()]
    steps = max((int(each[-1] - each[0]) for each in samples if len(each)), default=0)
    if any(len(each) <= ENOUGH_SAMPLES for each in samples) or steps < ENOUGH_STEPS or not samples:
        return Sight(
            blind=f"the moving statistics were read too rarely in {state.step:,} steps", remedy="train for longer"
        )
    return Sight(seen=f"samples of the moving statistics over {steps:,} steps")


def _of_many_samples(state: RunState) -> Sight:
    trained = [history for history in state.layers.values() if history.mode == "training"]
    if not trained and any(history.mode for history in state.layers.values()):
        return Sight(beside="no BatchNormalization layer is in training mode")
    fewest = min((len(history.moving_variance) for history in trained), default=0)
    if fewest < FEWEST_SAMPLES:
        return Sight(
            blind=f"the moving statistics were read {fewest} times, which is too rare", remedy="train for longer"
        )
    return Sight(seen=f"{fewest} samples of the moving statistics")


def _of_a_sample(state: RunState) -> Sight:
    if not state.layers or any(history.latest is None for history in state.layers.values()) or state.step == 0:
        return Sight(blind="the moving statistics were not read", remedy="train for a step")
    return Sight(seen=f"the moving statistics at step {state.step:,}")


def _of_trainable(state: RunState) -> Sight:
    if all(history.trainable_changed is None for history in state.layers.values()):
        return Sight(beside="`trainable` was not changed")
    return _of_samples(state)


def _of_momentum(state: RunState) -> Sight:
    return Sight(seen=f"the momentum of {len(state.layers)} layers")


def _of_losses(state: RunState) -> Sight:
    count = max((len(series) for series in state.batch_metrics.values()), default=0)
    if count:
        return Sight(seen=f"{count:,} batch losses")
    if state.epochs_ended:
        return Sight(seen=f"the losses of {state.epochs_ended:,} epochs")
    return Sight(blind="no loss was recorded", remedy="log it: `loop.log(loss=…)`")


def _of_validations(state: RunState) -> Sight:
    losses = state.epoch_metrics.get("val_loss")
    if losses is None:
        return Sight(beside="there are no validation data") if state.epochs_ended else Sight(blind="no epoch has ended")
    if len(losses) <= FEWEST:
        count = "1 validation is" if len(losses) == 1 else f"{len(losses)} validations are"
        return Sight(blind=f"{count} too few to know what is usual", remedy="train for longer")
    return Sight(seen=f"{len(losses):,} validations")


def _of_epochs(state: RunState) -> Sight:
    if state.epochs_ended < STUCK_EPOCHS:
        return Sight(blind=_too_few_epochs(state), remedy="train for longer")
    return Sight(seen=f"{state.epochs_ended:,} epochs")


def _too_few_epochs(state: RunState) -> str:
    return f"{'1 epoch is' if state.epochs_ended == 1 else f'{state.epochs_ended} epochs are'} too few"


def _of_generalization(state: RunState) -> Sight:
    sight = _of_validation_data(state)
    if sight.seen:
        probe = state.probes[-1]
        if 0 < probe.validation_examples < FEWEST_EXAMPLES:
            few = f"{probe.validation_examples} validation example{'' if probe.validation_examples == 1 else 's'}"
            return Sight(blind=f"{few} cannot tell it from chance", remedy="validate on more examples", is_minor=True)
        if probe.unweighted is None:
            return Sight(blind="the log is of an older version, which did not measure it", is_minor=True)
        if math.isnan(from_wire(probe.validation_error)):
            return Sight(
                blind="the loss of single examples is not known, so neither is how sure the difference is",
                remedy="validate on more batches",
            )
    return sight


RULES_SAY: dict[str, _Look] = {
    "R1": _Look("moving statistics that lag", _of_batch_norm(_of_probe)),
    "R2": _Look("batches too small for their statistics", _of_batch_norm(_of_probe)),
    "R3": _Look("validation data of another distribution", _of_batch_norm(_of_validation_data)),
    "R4": _Look("layers never in training mode", _of_batch_norm(_of_samples)),
    "R5": _Look("moving variances that are no number", _of_batch_norm(_of_a_sample)),
    "R6": _Look("frozen statistics that move", _of_batch_norm(_of_samples)),
    "R7": _Look("a `trainable` that had no effect", _of_batch_norm(_of_trainable)),
    "R8": _Look("dead channels", _of_batch_norm(_of_a_sample)),
    "R9": _Look("one layer for different inputs", _of_batch_norm(_of_shared)),
    "R10": _Look("momentum out of bounds", _of_batch_norm(_of_momentum)),
    "R11": _Look("validation spikes", _of_validations, matters=False),
    "R12": _Look("losses that explode, or are no number", _of_losses),
    "R13": _Look("no progress", _of_epochs, matters=False),
    "R14": _Look("overfitting", _of_generalization),
    "R15": _Look("underfitting", _of_underfitting),
    "R16": _Look("dropout before BatchNormalization", _of_batch_norm(_of_random_layers)),
    "R17": _Look("weights that training did not make", _of_weights, matters=False),
    "R18": _Look("batches that are not alike", _of_batch_norm(_of_batches)),
    "R19": _Look("steps that wait for data", _of_time, matters=False),
    "R20": _Look("gradients that do not reach the weights", _of_gradients),
    "R21": _Look("batches that move the moving statistics", _of_batch_norm(_of_many_samples), matters=False),
}
"""By number of the rule: what it looks for, and what it can see."""
