"""The verdict: how far training mode and inference mode are apart and what makes it, in a few sentences.

Names from outside go through `tuimon.text.plain`.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tuimon.diagnosis.examination import Examined, examine, missing
from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.gap.measured import measured
from tuimon.diagnosis.gap.shares import (
    ALIKE,
    PARTS,
    SMALL,
    are_alike,
    cause,
    differ_little,
    gap_shares,
    share_error,
)
from tuimon.diagnosis.gap.sums import Sums, sums
from tuimon.diagnosis.gap.telling import Telling, telling
from tuimon.diagnosis.gap.whole import whole
from tuimon.diagnosis.generalization import data_part
from tuimon.diagnosis.history import beginning, epochs_since, finite_since
from tuimon.numbers import figure
from tuimon.protocol import events
from tuimon.protocol.commands import Freeze
from tuimon.protocol.wire import from_wire
from tuimon.runs import end_reasons, liveness
from tuimon.runs.state import RunState
from tuimon.text import plain

PART_WORDS = {
    "batch_norm": "batch statistics (BatchNormalization)",
    "stochastic": "random layers (dropout, augmentation)",
    "other": "other layers that depend on `training`",
}
"""The parts of the gap as a sentence names them."""
RECENT_SHARE, RECENT_STEPS = 0.9, 50
"""A probe is told in the present tense if it was made in the last tenth of the steps, or in the last 50."""
FEWEST_VALIDATIONS = 6
"""Fewer validations have no course."""
FEWEST_SINCE = 3
"""A best validation that fewer came after is within the ordinary ups and downs."""
STILL_FALLS = 0.05
"""The validation loss still falls if its best of the last third is this share of its whole fall below the others."""
_NO_LINE = "Not examined: the log has no line yet."
_GAP_RULES = ("R1", "R2")
"""The sentence on the gap says already what these rules find, where they rest on the gap."""


@np.errstate(all="ignore")
def verdict(
    state: RunState,
    found: Sequence[Finding],
    status: str = "",
    errors: Mapping[str, str] | None = None,
    lacks: Sequence[str] = (),
) -> str:
    """Return the verdict on a run in a few sentences: findings, healthy, or not examined, and what the gap is made of.

    What its log lacks comes right behind whether it is healthy: the rules have not seen that.

    Args:
        state: What its log says.
        found: What the rules find in it, the worst first.
        status: What `tuimon.runs.liveness.status` returns; empty: not known.
        errors: Why rules could not look, by their numbers.
        lacks: What its log lacks or nobody could read, a sentence each.
    """
    if state.last_seq < 0:
        return " ".join(["Not examined: no fact could be read.", *lacks]) if lacks else _NO_LINE
    status = status or (state.ended.status if state.ended else "")
    serious = [finding for finding in found if finding.severity != "info"]
    if not serious and state.step == 0:
        return " ".join(filter(None, (_broken(state, status), "Not examined: no step was trained yet.", *lacks)))
    told = telling(state)
    is_broken = status in ("failed", "crashed")
    health = _health(state, found, told, errors, is_broken=is_broken, is_whole=not lacks)
    sentences = [_broken(state, status), *health, *lacks]
    if told is None:
        sentences.append(_last_epoch(state))
    else:
        sentences += [_gap(told, state), _since(told), _data(told.probe), _whole(state)]
        sentences.append(_validation(state, found))
    return " ".join(filter(None, sentences))


def _health(
    state: RunState,
    found: Sequence[Finding],
    told: Telling | None,
    errors: Mapping[str, str] | None,
    *,
    is_broken: bool,
    is_whole: bool,
) -> list[str]:
    serious = [finding for finding in found if finding.severity != "info"]
    if serious:
        worst = serious[0]
        if told is not None and not are_alike(told.probe) and _is_of_gap(worst):
            return []
        where = f" ({plain(worst.layer, 200)})" if worst.layer and worst.layer not in worst.what else ""
        return [f"First of all: {plain(worst.what)}{where}."]
    # A crash is in no log, so the rules do not know of it.
    examined = examine(state, found, errors, is_over=is_broken)
    blind = missing(examined)
    if blind:
        return [
            f"{'Before that, nothing' if is_broken else 'Nothing'} wrong was found, but not all was examined.",
            *_blind(blind),
        ]
    if is_broken:
        return ["Nothing wrong was found before that."]
    limit = "" if is_whole else " as far as its log tells, which is not whole"
    if told is not None and told.is_closed:
        return [f"The run is healthy now{limit}: nothing wrong is left."]
    quiet = sum(rule.outcome in ("quiet", "fired") for rule in examined)
    return [f"The run is healthy{limit}: {quiet} rules looked, and none found anything wrong."]


def _is_of_gap(finding: Finding) -> bool:
    return finding.rule in _GAP_RULES and not {"gap", "gap_of_batch_norm"}.isdisjoint(finding.evidence)


def _blind(blind: Sequence[Examined]) -> list[str]:
    """Return what could not be looked at and why, the same reason once, and the one thing to do."""
    reasons: dict[str, list[Examined]] = {}
    for rule in blind:
        reasons.setdefault(rule.detail, []).append(rule)
    detail, rules = max(reasons.items(), key=lambda item: len(item[1]))
    names = [rule.name for rule in rules]
    named = ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
    remedy = rules[0].remedy
    return [f"Not examined: {named}; {detail}." + (f" {remedy[:1].upper()}{remedy[1:]}." if remedy else "")]


def _broken(state: RunState, status: str) -> str:
    steps = f"{state.step:,} step{'' if state.step == 1 else 's'}"
    if status == "crashed":
        return f"The run crashed after {steps}: {liveness.KILLED}."
    if status == "failed":
        reason = end_reasons.of_ended(state.ended)
        return f"The run failed after {steps}{f': {reason}' if reason else ''}."
    if status == "stopped" and (reason := end_reasons.of_ended(state.ended)):
        return f"The run was stopped after {steps}: {reason}."
    return ""


def _gap(told: Telling, state: RunState) -> str:
    probe, written = told.probe, sums(told.probe)
    is_old = is_outdated(probe, state) and not told.is_closed
    scale, verb = written.scale, "was" if told.is_closed or is_old else "is"
    examples = f"{probe.examples:,} example{'' if probe.examples == 1 else 's'}"
    when = f"At step {probe.step:,} of {state.step:,}, on" if is_old else "On"
    losses = [
        scale.text(units, unknown=str(from_wire(value)))
        for units, value in ((written.train, probe.train), (written.inference, probe.inference))
    ]
    if written.gap is None:
        return (
            f"{when} the same {examples} the training loss {verb} {losses[0]} and the inference loss {losses[1]}: "
            "the gap is not known."
        )
    if are_alike(probe):
        within = "" if differ_little(probe) else " within chance"
        return (
            f"{when} the same {examples} training and inference mode {'agreed' if is_old else 'agree'}{within}: "
            f"a loss of {losses[0]} and of {losses[1]}, a gap of {scale.text(written.gap)}."
        )
    return (
        f"{when} the same {examples} the training loss {verb} {losses[0]} and the inference loss {losses[1]}: "
        f"a gap of {scale.text(written.gap)}, {_made_by(probe, written)}."
    )


def _made_by(probe: events.Probe, written: Sums) -> str:
    gap = from_wire(probe.gap)
    shares = {name: from_wire(getattr(probe, name)) / gap if gap else math.nan for name in PARTS}
    if not all(map(math.isfinite, shares.values())):
        return "whose cause is not known"
    large = sorted((name for name in PARTS if abs(shares[name]) >= SMALL), key=lambda name: -abs(shares[name]))
    named = dict.fromkeys(large, "")
    because = cause(probe)
    if "batch_norm" in named and len(probe.layers) > 1 and because is not None and because.is_agreed:
        named["batch_norm"] = f", {'most' if because.share > 0.5 else 'the largest part'} of it in " + plain(
            because.in_order, 200
        )
    if gap_shares(probe) is not None:
        said = [f"{_share(probe, name, shares[name])} % by {PART_WORDS[name]}{layer}" for name, layer in named.items()]
        return said[0].replace(" % by", " % of it made by", 1) + "".join(f" and {more}" for more in said[1:])
    texts = {name: written.scale.text(written.parts[name], signed=True) + _error(probe, name) for name in large}
    said = [f"{texts[name]} by {PART_WORDS[name]}{layer}" for name, layer in named.items()]
    return "made of " + " and ".join(said)


def _since(told: Telling) -> str:
    change, other = told.change, told.other
    if change is None or other is None:
        return ""
    scale = sums(told.probe).scale
    gap = scale.text(scale.units(from_wire(other.gap)))
    words, step = plain(change.words, 100), f"{change.step:,}"
    if not told.is_closed:
        return f"Before “{words}” at step {step} the gap was {gap}."
    if change.request == Freeze():
        return f"Frozen from step {step} on, the gap is {gap}."
    return f"Since “{words}” at step {step} the gap is {gap}."


def is_outdated(probe: events.Probe, state: RunState) -> bool:
    """Return True if so many steps came after a probe that it is told in the past tense."""
    return state.step - probe.step > max(RECENT_STEPS, (1 - RECENT_SHARE) * state.step)


def _share(probe: events.Probe, part: str, share: float) -> str:
    """Return a share in percent with its standard error, where that is known and not 0."""
    error = share_error(probe, part)
    text = f"{min(100, round(100 * share))}"
    return f"{text} ± {max(1, round(100 * error))}" if error > 0 else text


def _error(probe: events.Probe, part: str) -> str:
    error = from_wire(probe.errors.get(part))
    return f" ± {figure(error, 2)}" if error > 0 else ""


def _data(probe: events.Probe) -> str:
    part = data_part(probe)
    if part is None:
        return _one_batch(probe)
    if any(layer.batch_statistics_in_inference for layer in probe.layers.values()):
        return ""  # Batches of another size have other statistics, so it need not be the data.
    alike = ALIKE * max(abs(part.training), abs(part.validation))
    if abs(part.difference) <= max(alike, 2 * part.error if math.isfinite(part.error) else 0.0):
        return ""
    unsure = " (how sure that is, is not known)" if math.isnan(part.error) else ""
    difference = measured(abs(part.difference), part.error)
    said = (
        f"In inference mode the loss is {figure(part.training, 3)} on training data and "
        f"{figure(part.validation, 3)} on "
        f"{probe.validation_examples:,} validation examples, {difference} {'more' if part.difference > 0 else 'less'}"
        f"{unsure}: that is data, not mode."
    )
    weighting = from_wire(probe.inference) - part.training
    if abs(weighting) > ALIKE * max(abs(part.training), abs(from_wire(probe.inference))):
        change = measured(weighting, math.nan, signed=True)
        said += f" Both are without sample and class weights, which change the loss on training data by {change}."
    return said


def _whole(state: RunState) -> str:
    """Return why the last epoch's losses differ, if it is mostly the mean over the epoch, or mostly weights."""
    parts = whole(state)
    if parts is None:
        return ""
    if parts.is_mostly_epoch_mean:
        made = measured(parts.epoch_mean.value, math.nan, signed=True)
        why = (
            "loss is the mean over the epoch, while it changed, and val_loss is measured at the end, which makes "
            f"{made}"
        )
    elif parts.is_mostly_weighting:
        made = measured(parts.weighting.value, math.nan, signed=True)
        why = f"sample and class weights, which val_loss does not have, make {made}"
    else:
        return ""
    side = "above" if parts.difference > 0 else "below"
    difference = measured(abs(parts.difference), math.nan)
    return f"In {parts.epoch_words} loss is {difference} {side} val_loss: {why}."


def _validation(state: RunState, found: Sequence[Finding]) -> str:
    """Return whether the validation loss still falls, or when it was best; nothing if a finding tells that."""
    begin = beginning(state)
    steps, values = finite_since(state, "val_loss", begin)
    if len(values) < FEWEST_VALIDATIONS or any("best_epoch" in finding.evidence for finding in found):
        return ""
    ends, numbers = epochs_since(state, begin)
    best, late = int(np.argmin(values)), len(values) * 2 // 3
    fallen = float(values[0] - values[best])
    if not np.isfinite(from_wire(state.epoch_metrics["val_loss"].last)):
        return ""  # Another rule tells it.
    is_low = values[-1] - values[late:].min() <= STILL_FALLS * fallen
    if is_low and fallen > ALIKE * abs(values[0]) and values[:late].min() - values[late:].min() > STILL_FALLS * fallen:
        verb = "was still falling when training ended" if state.ended else "still falls"
        return f"The validation loss {verb}: {measured(values[-1], math.nan)} in the last epoch."
    risen, since = float(values[-1] - values[best]), len(values) - 1 - best
    if since < FEWEST_SINCE or risen <= ALIKE * max(abs(values[best]), abs(values[-1])):
        return ""
    where = state.fits.epoch_words(int(numbers[np.searchsorted(ends, steps[best])]), int(steps[best]))
    return (
        f"The validation loss was best in {where}, {measured(values[best], math.nan)}; in the last one it was "
        f"{measured(values[-1], math.nan)}."
    )


def _one_batch(probe: events.Probe) -> str:
    """Return the same of a log of an older version, which has one validation batch."""
    inference, validation = from_wire(probe.inference), from_wire(probe.validation)
    written = sums(probe)
    if written.validation is None or written.inference is None:
        return ""
    if abs(validation - inference) <= ALIKE * max(abs(validation), abs(inference)):
        return ""
    return (
        f"The inference loss is {written.scale.text(written.validation)} (one validation batch), which does not tell "
        "data from chance."
    )


def _last_epoch(state: RunState) -> str:
    losses = [series.last for name in ("loss", "val_loss") if (series := state.epoch_metrics.get(name)) is not None]
    if len(losses) < 2:
        return ""
    loss, validation = (figure(value, 3) for value in losses if value is not None)
    return f"In the last epoch the loss was {loss} and the validation loss {validation}."
