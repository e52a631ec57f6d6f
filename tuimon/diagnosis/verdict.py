"""The verdict: how far training mode and inference mode are apart and what makes it, in a few sentences.

Names from outside go through `tuimon.text.plain`.
"""

import math
from collections.abc import Sequence

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.gap import ALIKE, PARTS, SMALL, are_alike, cause, gap_shares
from tuimon.diagnosis.sums import Sums, sums
from tuimon.diagnosis.telling import Telling, telling
from tuimon.protocol import events
from tuimon.protocol.commands import Freeze
from tuimon.protocol.wire import from_wire
from tuimon.runs import liveness
from tuimon.runs.state import OVER, RunState
from tuimon.text import last_line_of, plain

PART_WORDS = {
    "batch_norm": "batch statistics (BatchNormalization)",
    "stochastic": "dropout (stochastic)",
    "other": "other layers that depend on `training`",
}
"""The parts of the gap as a sentence names them."""
_GAP_RULES = ("R1", "R2")
"""The sentence on the gap says already what these rules find."""


def verdict(state: RunState, found: Sequence[Finding], status: str = "") -> str:
    """Return the verdict on a run in a few sentences.

    Args:
        state: What its log says.
        found: What the rules find in it, the worst first.
        status: As `tuimon.runs.liveness.status` has it; empty: not known.
    """
    if state.last_seq < 0:
        return "The log has no line yet: there is nothing to diagnose."
    status = status or (state.ended.status if state.ended else "")
    serious = [finding for finding in found if finding.severity != "info"]
    if not serious and state.step == 0:
        return " ".join(
            filter(None, (_broken(state, status), "No step was trained yet: there is nothing to diagnose."))
        )
    told = telling(state)
    sentences = [_broken(state, status), *_health(serious, told, is_broken=status in ("failed", "crashed"))]
    sentences += [_no_probe(state, status)] if told is None else [_gap(told), _since(told), _data(told.probe)]
    return " ".join(filter(None, sentences))


def _health(serious: Sequence[Finding], told: Telling | None, *, is_broken: bool) -> list[str]:
    if serious:
        worst = serious[0]
        if worst.rule in _GAP_RULES and told is not None and not are_alike(told.probe):
            return []
        where = f" ({plain(worst.layer, 200)})" if worst.layer and worst.layer not in worst.what else ""
        return [f"First of all: {plain(worst.what)}{where}."]
    if is_broken:
        return ["Nothing wrong was found before that."]
    if told is not None and told.is_closed:
        return ["The run is healthy now: nothing wrong is left."]
    return ["The run is healthy: nothing wrong was found."]


def _broken(state: RunState, status: str) -> str:
    steps = f"{state.step:,} step{'' if state.step == 1 else 's'}"
    if status == "crashed":
        return f"The run crashed after {steps}: {liveness.KILLED}."
    if status == "failed":
        error = last_line_of(state.ended.traceback) if state.ended else ""
        return f"The run failed after {steps}{f': {error}' if error else ''}."
    return ""


def _gap(told: Telling) -> str:
    probe, written = told.probe, sums(told.probe)
    scale, verb = written.scale, "was" if told.is_closed else "is"
    examples = f"{probe.examples:,} example{'' if probe.examples == 1 else 's'}"
    losses = [
        scale.text(units, unknown=str(from_wire(value)).replace("-", "−"))
        for units, value in ((written.train, probe.train), (written.inference, probe.inference))
    ]
    if written.gap is None:
        return (
            f"On the same {examples} the training loss {verb} {losses[0]} and the inference loss {losses[1]}: "
            "the gap is not known."
        )
    if are_alike(probe):
        return (
            f"On the same {examples} training and inference mode agree: "
            f"a loss of {losses[0]} and of {losses[1]}, a gap of {scale.text(written.gap)}."
        )
    return (
        f"On the same {examples} the training loss {verb} {losses[0]} and the inference loss {losses[1]}: "
        f"a gap of {scale.text(written.gap)}, {_made_by(probe, written)}."
    )


def _made_by(probe: events.Probe, written: Sums) -> str:
    gap = from_wire(probe.gap)
    shares = {name: from_wire(getattr(probe, name)) / gap for name in PARTS}
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
        said = [
            f"{min(100, round(100 * shares[name]))} % by {PART_WORDS[name]}{layer}" for name, layer in named.items()
        ]
        return said[0].replace(" % by", " % of it made by", 1) + "".join(f" and {more}" for more in said[1:])
    texts = {name: written.scale.text(written.parts[name], signed=True) for name in large}
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


def _data(probe: events.Probe) -> str:
    inference, validation = from_wire(probe.inference), from_wire(probe.validation)
    written = sums(probe)
    if written.validation is None or written.inference is None:
        return ""
    if abs(validation - inference) <= ALIKE * max(abs(validation), abs(inference)):
        return ""
    # From the rounded numbers: the difference that is written must be the difference of the two that are written.
    apart = written.validation - written.inference
    text = written.scale.text(abs(apart))
    return (
        f"On one validation batch the inference loss is {written.scale.text(written.validation)}, which is {text} "
        f"{'more' if apart > 0 else 'less'}: that is data, not mode (one batch against one, so only a hint)."
    )


def can_probe(state: RunState, status: str) -> bool:
    """Whether a request would make a probe of this run now, and one that could tell something."""
    return status not in OVER and state.fit is not None and state.fit.can.get("probe") == "" and _has_phases(state)


def _has_phases(state: RunState) -> bool:
    return state.model is None or bool(state.model.batch_norm_layers or state.model.other_layers)


def _no_probe(state: RunState, status: str) -> str:
    if not _has_phases(state):
        return "The model has no layer whose result depends on `training`: training and inference mode are the same."
    refused = state.fit.can.get("probe", "") if state.fit else ""
    if refused:
        remedy = f"this run cannot make one ({plain(refused, 300)})"
    elif can_probe(state, status):
        remedy = "the request `probe` makes one"
    else:
        remedy = "`tuimon.Monitor(probe_every=100)` makes one every 100 steps"
    return (
        f"{_last_epoch(state)}How far training mode and inference mode are apart is not known: "
        f"there was no probe; {remedy}."
    )


def _last_epoch(state: RunState) -> str:
    losses = [series.last for name in ("loss", "val_loss") if (series := state.epoch_metrics.get(name)) is not None]
    if len(losses) < 2:
        return ""
    loss, validation = (f"{value:.3g}".replace("-", "−") for value in losses if value is not None)
    return f"In the last epoch the loss was {loss} and the validation loss {validation}. "
