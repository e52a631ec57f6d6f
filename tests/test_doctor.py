"""`tuimon doctor`: the verdict, the page, the JSON, the exit code; and all of it on real training."""

import ast
import fcntl
import io
import json
import os
import pty
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from helpers import (
    ROOT,
    SENDER,
    a_run,
    command,
    encode_log,
    environment,
    fit_started,
    fold,
    layer,
    make_run,
    model_built,
    numbered,
    read_log,
    stand_in,
    started,
    statistics,
    until,
)
from tuimon.cli import doctor
from tuimon.cli.common import progress as progress_line
from tuimon.cli.main import main
from tuimon.diagnosis.examination import RULES_SAY, examine, judge
from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.gap.shares import cause
from tuimon.diagnosis.gap.sums import sums
from tuimon.diagnosis.gap.telling import telling
from tuimon.diagnosis.gap.whole import whole
from tuimon.diagnosis.rules import findings
from tuimon.diagnosis.verdict import verdict
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire, to_wire
from tuimon.report.chart import Curve, Mark, chart
from tuimon.report.findings import SIGNS
from tuimon.report.layer_shares import layer_shares
from tuimon.report.layout import Subject
from tuimon.report.lines import as_text
from tuimon.report.page import page
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.text import width_of

Capture = pytest.CaptureFixture[str]
EVIL = "bn\x1b[31m\x1b]0;title\x07[red]\nx\u202e"


def probe(step: int, train: float | str, inference: float | str, **fields: object) -> events.Probe:
    """Return a probe; what it does not say is made by batch statistics."""
    gap = to_wire(from_wire(train) - from_wire(inference))
    values: dict[str, object] = {
        "reason": "epoch",
        "examples": 1,
        "train": train,
        "inference": inference,
        "gap": gap,
        "batch_norm": gap,
        "stochastic": 0.0,
        "other": 0.0,
        "masks": 1,
        "standard_error": 0.0,
        "passes": 9,
        "seconds": 0.1,
        "step": step,
    }
    return events.Probe(**{**values, **fields})  # type: ignore[arg-type]


def share(in_order: float | str, alone: float | str, drift: float = 1.0, **fields: object) -> events.ProbeLayer:
    return events.ProbeLayer(in_order=in_order, alone=alone, drift=drift, elements=1, **fields)  # type: ignore[arg-type]


def asked(words: dict[str, object], step: int) -> events.CommandApplied:
    return events.CommandApplied(id=f"a-{step}", request=words, sender=SENDER, first_step=step, step=step)


FREEZE: dict[str, object] = {"command": "freeze", "layers": []}
UNFREEZE: dict[str, object] = {"command": "unfreeze", "layers": []}
SHARES = {"bn_1": share(4.5, 4.0), "bn_2": share(1.321, 1.0)}
OPEN = probe(230, -0.283, -6.104, layers=SHARES)
CLOSED = probe(240, -6.12, -6.12, layers={"bn_1": share(0.0, 0.0), "bn_2": share(0.0, 0.0)})


def built(*names: str, **fields: object) -> events.ModelBuilt:
    layers = [layer(name, **fields) for name in names or ("bn_1", "bn_2")]
    return model_built(*layers, other_layers=["dropout"])


def state_of(*facts: events.AnyEvent, model: events.ModelBuilt | None = None) -> RunState:
    """Return what a run of some facts adds up to, a second apart."""
    fit = fit_started(epochs=40, steps_per_epoch=10, can={"freeze": "", "probe": ""})
    # Copies: each gets a number and a time, and some facts are in several runs.
    return fold(numbered([started(), model or built(), fit, *map(msgspec.structs.replace, facts)]))


def finding(rule: str = "R2", severity: str = "warning", **fields: object) -> Finding:
    values: dict[str, object] = {"step": 5, "what": "something is wrong", "advice": "mend it"}
    return Finding(rule=rule, severity=severity, **{**values, **fields})  # type: ignore[arg-type]


def lines_of(
    state: RunState, found: list[Finding] | None = None, *, width: int = 80, status: str = "training", name: str = "run"
) -> list[str]:
    lines = [as_text(line) for line in page(state, found or [], Subject(name, shlex.quote(name), status), width)]
    # What a terminal would act on never comes from outside.
    assert all(character.isprintable() for line in lines for character in line), lines
    return lines


def printed(state: RunState, found: list[Finding] | None = None, **options: object) -> str:
    return " ".join(" ".join(lines_of(state, found, **options)).split())  # type: ignore[arg-type]


# The verdict


def test_the_question_that_started_it() -> None:
    state = state_of(OPEN, asked(FREEZE, 231), CLOSED)
    found = [finding("R2", "error", evidence={"gap": 5.82})]
    assert verdict(state, found) == (
        "On the same 1 example the training loss was -0.28 and the inference loss -6.10: a gap of 5.82, 100 % of it "
        "made by batch statistics (BatchNormalization), most of it in bn_1. Frozen from step 231 on, the gap is 0.00."
    )
    assert verdict(state_of(OPEN), []).startswith("Nothing wrong was found, but not all was examined. Not examined: ")
    assert verdict(state_of(OPEN), found).startswith("On the same 1 example the training loss is -0.28 and")


@pytest.mark.parametrize(
    ("facts", "step", "closed"),
    [
        ([OPEN], 230, False),
        ([OPEN, asked(FREEZE, 231), CLOSED], 230, True),
        ([OPEN, asked({"command": "phase", "phase": "inference"}, 231), CLOSED], 230, True),
        ([OPEN, asked(FREEZE, 231), CLOSED, asked({**FREEZE, "weights": True, "layers": ["x"]}, 250)], 230, True),
        # The newest probe shows no gap, but no request made that so.
        ([OPEN, CLOSED], 240, False),
        ([OPEN, asked(UNFREEZE, 231), CLOSED], 240, False),
        ([OPEN, asked(FREEZE, 231), asked(UNFREEZE, 235), CLOSED], 240, False),
        ([OPEN, asked({"command": "note"}, 231), CLOSED], 240, False),
        ([OPEN, asked(FREEZE, 231), events.RolledBack(checkpoint="c", to_step=1, to_epoch=0), CLOSED], 240, False),
        # It was closed before as well.
        ([probe(10, 1.0, 1.0), asked(FREEZE, 231), CLOSED], 240, False),
        # A layer's name is no part of the request's kind.
        ([OPEN, asked(FREEZE, 231), asked({**UNFREEZE, "layers": ["weights"]}, 235), CLOSED], 240, False),
        # Unfrozen again: what is in force now tells most.
        ([OPEN, asked(FREEZE, 231), CLOSED, asked(UNFREEZE, 250), probe(260, 0.5, -6.0)], 260, False),
        ([OPEN, asked(FREEZE, 231), probe(240, "nan", -6.0)], 240, False),
    ],
)
def test_the_telling_probe(facts: list[events.AnyEvent], step: int, closed: bool) -> None:
    told = telling(state_of(*facts))
    assert told is not None
    assert (told.probe.step, told.is_closed) == (step, closed)


def test_a_request_that_helped_but_not_all_the_way() -> None:
    state = state_of(OPEN, asked({"command": "freeze", "layers": ["bn_1"]}, 231), probe(240, -4.9, -6.1))
    words = verdict(state, [finding()])
    assert "a gap of 1.20, 100 % of it" in words
    assert words.endswith("Before “freeze bn_1” at step 231 the gap was 5.82.")


def test_a_layer_called_all_is_not_all_layers() -> None:
    state = state_of(OPEN, asked({"command": "freeze", "layers": ["all"]}, 231), CLOSED)
    assert "Since “freeze all” at step 231 the gap is 0.00." in verdict(state, [])


def test_parts_with_their_shares_and_signs() -> None:
    both = probe(5, 0.9, 0.5, batch_norm=0.1, stochastic=0.3, masks=8, standard_error=0.013, examples=32)
    assert "On the same 32 examples" in verdict(state_of(both), [])
    # Without an error a share is not told, with one it bears it.
    apart = "a gap of 0.400, made of +0.300 by random layers (dropout, augmentation) and +0.100 by batch statistics"
    assert apart in verdict(state_of(both), [])
    errors = {"batch_norm": 0.031, "stochastic": 0.031, "other": 0.0}
    sure = msgspec.structs.replace(both, share_errors=errors)
    assert (
        "75 ± 3 % of it made by random layers (dropout, augmentation) and 25 ± 3 % by batch statistics "
        "(BatchNormalization)." in verdict(state_of(sure), [])
    )
    unsure = msgspec.structs.replace(both, share_errors={**errors, "stochastic": 0.4}, errors={"stochastic": 0.12})
    assert "+0.300 ± 0.12 by random layers" in verdict(state_of(unsure), [])
    against = probe(5, 0.5, 3.5, batch_norm=-3.2, stochastic=0.2, masks=8, standard_error=0.013)
    assert "a gap of -3.00, made of -3.20 by batch statistics (BatchNormalization) and +0.20 by random" in verdict(
        state_of(against), []
    )
    rows = [line.rstrip() for line in lines_of(state_of(against))]
    # Parts that cancel are no shares.
    assert "    random layers   +0.20  ± 0.013 (standard error)" in rows
    assert "    other            0.00" in rows
    rows = lines_of(state_of(both))
    assert "    random layers   +0.300  ± 0.013 (standard error)" in rows
    assert "    random layers   +0.300  75 ± 3 %, ± 0.013 (standard error)" in lines_of(state_of(sure))


def test_chance_is_no_gap() -> None:
    alike = probe(5, 0.55, 0.5, batch_norm=0.0, stochastic=0.05, masks=8, standard_error=0.03)
    assert "inference mode agree within chance: a loss of 0.550 and of 0.500" in verdict(state_of(alike), [])
    sure = probe(5, 0.55, 0.5, batch_norm=0.0, stochastic=0.05, masks=8, standard_error=0.003)
    assert "a gap of 0.050, 100 % of it made by random layers" in verdict(state_of(sure), [])
    over_examples = msgspec.structs.replace(sure, errors={"gap": 0.03})
    assert "training and inference mode agree within chance" in verdict(state_of(over_examples), [])
    little = probe(5, 0.505, 0.5, batch_norm=0.0, stochastic=0.005, masks=8, standard_error=0.0001)
    assert "training and inference mode agree: a loss of 0.505 and of 0.500" in verdict(state_of(little), [])
    # The error of the gap has that of the masks of the first batch in it, which alone is larger.
    known = probe(5, 0.55, 0.5, stochastic=0.05, standard_error=0.04, errors={"gap": 0.01, "stochastic": 0.01})
    assert "within chance" not in verdict(state_of(known), [])


LOSSES = st.floats(-1e9, 1e9) | st.floats(-1e-6, 1e-6) | st.floats(-10, 10)


@given(LOSSES, LOSSES, LOSSES, LOSSES, st.none() | LOSSES)
@example(0.0, 5e-324, 5e-324, 5e-324, 1.0)
@example(0.0, 0.0, 0.0, 5e-324, None)
@example(0.0, 0.0, 0.0, 1e-320, 1e9)
def test_what_is_written_is_what_was_measured(
    inference: float, batch_norm: float, stochastic: float, other: float, validation: float | None
) -> None:
    gap = batch_norm + stochastic + other
    fact = probe(
        1, inference + gap, inference, gap=gap, batch_norm=batch_norm, stochastic=stochastic, other=other,
        validation=validation,
    )  # fmt: skip
    written = sums(fact)
    unit = Decimal(10) ** (written.scale.exponent - written.scale.decimals)
    told = {"train": written.train, "inference": written.inference, "gap": written.gap, **written.parts}
    for name, units in told.items():
        text = Decimal(written.scale.text(units).replace("-", "-"))
        value = Decimal(from_wire(getattr(fact, name)))
        # A part that is far larger than the losses has more digits than a float.
        assert abs(text - value) <= unit * Decimal("0.500001") + abs(value) * Decimal("1e-15")


def test_data_and_mode_are_told_apart() -> None:
    measured = {"unweighted": 0.5, "unweighted_error": 0.03, "validation_unweighted": 0.9, "validation_error": 0.04}
    fact = probe(5, 0.52, 0.5, batch_norm=0.02, validation=0.9, validation_examples=256, **measured)
    words = verdict(state_of(fact), [])
    assert (
        "In inference mode the loss is 0.5 on training data and 0.9 on 256 validation examples, 0.400 ± 0.050 more: "
        "that is data, not mode." in words
    )
    rows = lines_of(state_of(fact))
    assert "  validation loss    0.900  256 examples" in rows
    assert "  = data            +0.400  ± 0.05 (standard error)" in rows
    assert "data" not in verdict(state_of(msgspec.structs.replace(fact, validation_unweighted=0.55)), [])
    weighted = msgspec.structs.replace(fact, train=1.52, inference=1.5)
    words = verdict(state_of(weighted), [])
    assert "without sample and class weights, which change the loss on training data by +1." in words
    assert "  = weighting       +1.00" in [row.rstrip() for row in lines_of(state_of(weighted))]
    # Validation with batch statistics, and with batches of another size: that is more than the data.
    fixed = msgspec.structs.replace(fact, layers={"bn_1": share(0.0, 0.0, batch_statistics_in_inference=True)})
    assert "that is data" not in verdict(state_of(fixed), [])
    unsure = msgspec.structs.replace(fact, validation_error=None)
    assert "0.4 more (how sure that is, is not known): that is data" in verdict(state_of(unsure), [])
    # A log of an older version has one batch alone.
    old = probe(5, 0.52, 0.5, batch_norm=0.02, validation=0.9)
    assert "is 0.900 (one validation batch), which does not tell data from chance." in verdict(state_of(old), [])


def test_the_whole_of_loss_and_val_loss_is_taken_apart() -> None:
    """`loss` is the mean over an epoch in which it fell, which is most of why it is above `val_loss`."""
    measured = {"unweighted": 0.5, "unweighted_error": 0.01, "validation_unweighted": 0.45, "validation_error": 0.02}
    errors = {"gap": 0.005, "batch_norm": 0.005, "stochastic": 0.0, "other": 0.0}
    fact = probe(10, 0.52, 0.5, batch_norm=0.02, validation=0.45, validation_examples=256, errors=errors, **measured)
    ended = events.EpochEnded(logs={"loss": 0.9, "val_loss": 0.44}, learning_rate=1e-3, seconds=1.0, step=10, epoch=3)
    before = events.EpochEnded(logs={"loss": 1.3}, learning_rate=1e-3, seconds=1.0, step=5, epoch=2)
    state = state_of(before, ended, fact)
    parts = whole(state)
    assert parts is not None
    assert {part.name: round(part.value, 9) for part in parts.parts} == {
        "epoch mean": 0.38,
        "batch_norm": 0.02,
        "stochastic": 0.0,
        "other": 0.0,
        "weighting": 0.0,
        "data": 0.05,
        "rest": 0.01,
    }
    assert sum(part.value for part in parts.parts) == pytest.approx(0.9 - 0.44)
    words = verdict(state, [])
    assert "In epoch 4 loss is 0.46 above val_loss: loss is the mean over the epoch, while it changed, and" in words
    assert "val_loss is measured at the end, which makes +0.38." in words
    rows = lines_of(state)
    assert "  = difference  +0.460" in rows
    assert "    epoch mean  +0.380  mean - end of epoch, ± 0.011 (standard error)" in rows
    assert "    BatchNorm   +0.020  ± 0.005 (standard error)" in rows
    assert not any("weighting" in row for row in rows)
    # An epoch later, it is what that epoch was; a probe elsewhere says nothing of an epoch's end.
    later = events.EpochEnded(logs={"loss": 0.8, "val_loss": 0.4}, learning_rate=1e-3, seconds=1.0, step=20, epoch=4)
    assert whole(state_of(before, ended, fact, later, msgspec.structs.replace(fact, step=25))) == parts
    assert whole(state_of(before, ended, msgspec.structs.replace(fact, step=12), later)) is None
    assert whole(state_of(fact)) is None
    alike = msgspec.structs.replace(ended, logs={"loss": 0.53, "val_loss": 0.44})
    assert "mean over the epoch" not in verdict(state_of(alike, fact), [])


def test_weights_of_training_are_told_as_the_reason_why_loss_and_val_loss_differ() -> None:
    measured = {"unweighted": 0.28, "unweighted_error": 0.01, "validation_unweighted": 0.29, "validation_error": 0.02}
    errors = {"gap": 0.005, "batch_norm": 0.005, "stochastic": 0.0, "other": 0.0}
    fact = probe(10, 0.52, 0.55, batch_norm=-0.03, validation=0.3, validation_examples=256, errors=errors, **measured)
    ended = events.EpochEnded(logs={"loss": 0.46, "val_loss": 0.28}, learning_rate=1e-3, seconds=1.0, step=10, epoch=3)
    words = verdict(state_of(ended, fact), [])
    assert "loss is 0.18 above val_loss: sample and class weights, which val_loss does not have, make +0.27." in words
    # Weights of validation examples are in the rest.
    both = msgspec.structs.replace(ended, logs={"loss": 0.46, "val_loss": 0.52})
    assert "class weights" not in verdict(state_of(both, fact), [])
    rows = lines_of(state_of(both, fact))
    assert any("not probed, and weights" in row for row in rows)


def test_a_single_value_per_channel_is_the_reason_why_no_gradient_passes() -> None:
    gradient = events.ProbeGradient(norm=0.0, weight_norm=1.0, zeros=1.0)
    told = {"gradients": {"dense": gradient}, "gradient_batches": 1}
    assert [found.rule for found in findings(state_of(probe(230, -0.283, -6.104, layers=SHARES, **told)))] == ["R2"]
    (alone,) = findings(state_of(probe(230, 0.5, 0.5, **told)))
    assert alone.rule == "R20"
    assert "it is exactly 0 in the probed batch, so" in alone.what


def test_a_single_spike_is_told_with_the_request_of_its_epoch() -> None:
    losses = [0.5 + 0.001 * (epoch % 3) for epoch in range(20)] + [0.9, 0.5, 0.501]
    facts: list[events.AnyEvent] = []
    for epoch, loss in enumerate(losses):
        if epoch == 20:
            facts.append(asked({"command": "momentum", "momentum": 0.99, "layers": []}, 10 * epoch + 5))
        logs = {"loss": 0.5, "val_loss": loss}
        facts.append(events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=1.0, step=10 * epoch + 10, epoch=epoch))
    (found,) = findings(state_of(*facts))
    assert found.what == (
        "the validation loss spiked once, in epoch 21 (unexplained): 0.9 instead of 0.501; “momentum 0.99 of all” was "
        "applied in that epoch"
    )


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([1.0, 0.8, 0.6, 0.5, 0.45, 0.4], "The validation loss still falls: 0.4 in the last epoch."),
        ([1.0, 0.5, 0.4, 0.41, 0.5, 0.6], "The validation loss was best in epoch 3, 0.4; in the last one it was 0.6."),
        ([1.0, 0.5, 0.4, 0.4, 0.41, 0.402], ""),
        ([1.0, 0.5, 0.5, 0.4, 0.41, 0.42], ""),
        ([0.691, 0.6905, 0.6903, 0.69, 0.689, 0.688], ""),
        ([1.0, 0.5, 0.4], ""),
    ],
)
def test_the_course_of_the_validation_is_told(losses: list[float], words: str) -> None:
    ended = [
        events.EpochEnded(
            logs={"loss": 0.5, "val_loss": loss}, learning_rate=1e-3, seconds=1.0, step=10 * epoch + 10, epoch=epoch
        )
        for epoch, loss in enumerate(losses)
    ]
    state = state_of(*ended, probe(10 * len(losses), 0.5, 0.5))
    said = verdict(state, [])
    assert said.endswith(words) if words else "The validation loss" not in said
    overfits = [finding("R14", evidence={"best_epoch": 3})]
    assert "The validation loss" not in verdict(state, overfits)


def test_a_run_without_a_probe_says_what_would_make_one() -> None:
    ended = events.EpochEnded(logs={"loss": 0.25, "val_loss": -0.5}, learning_rate=0.1, seconds=1.0, step=9)
    state = state_of(ended)
    words = verdict(state, [], "training")
    assert words.startswith(
        "Nothing wrong was found, but not all was examined. Not examined: moving statistics that lag,"
    )
    assert "; there was no probe. The request `probe` makes one now." in words
    assert words.endswith("In the last epoch the loss was 0.25 and the validation loss -0.5.")
    assert "healthy" not in words
    assert "    tuimon send run probe" in [f"  {line}" for line in lines_of(state)]
    over = state_of(ended, events.RunEnded(status="finished", step=9))
    assert "Train with `tuimon.Monitor(probe_every=100)`" in verdict(over, [], "finished")
    assert "tuimon send" not in printed(state, status="crashed")
    assert "Train with `tuimon.Monitor(probe_every=100)`" in verdict(state, [], "crashed"), "nobody takes a request"
    planned = events.ProbePlanned(seconds=None, reason="it would take \x1b[1mlong", step=9)
    assert "there was no probe (it would take long)." in verdict(state_of(ended, planned), [])
    refused = state_of(fit_started(epochs=40, steps_per_epoch=10, can={"probe": "eager \x1b[1mmodel"}), ended)
    assert "no probe can be made (eager model)" in verdict(refused, [], "training")
    assert "tuimon send" not in printed(refused)


def looks(state: RunState) -> dict[str, str]:
    return {rule.rule: rule.outcome for rule in examine(state, [])}


def test_each_rule_says_whether_it_could_look() -> None:
    losses = events.Batches(first_step=0, metrics={"loss": [1.0] * 40}, batches=40, step=40)
    samples = [
        events.BatchNorm(layers={name: statistics(float(step)) for name in ("bn_1", "bn_2")}, step=step)
        for step in (0, 20, 40)
    ]
    bare = looks(state_of(losses, model=model_built()))
    assert {bare[f"R{number}"] for number in (*range(1, 11),)} == {"beside"}
    assert (bare["R12"], bare["R14"]) == ("quiet", "blind")
    unprobed = looks(state_of(losses, *samples))
    assert {rule for rule, outcome in unprobed.items() if outcome == "quiet"} == {"R4", "R5", "R6", "R8", "R10", "R12"}
    assert {unprobed[rule] for rule in ("R1", "R2", "R3", "R9", "R11", "R13", "R14")} == {"blind"}
    probed = looks(state_of(losses, *samples, OPEN))
    assert {probed[rule] for rule in ("R1", "R2")} == {"quiet"}
    changed = looks(state_of(OPEN, events.Recalibrated(batches=1, examples=1, dry_run=False, step=231)))
    assert {changed[rule] for rule in ("R1", "R2", "R3")} == {"blind"}
    few = looks(state_of(losses, *samples[:2], OPEN))
    assert (few["R4"], few["R6"], few["R5"]) == ("blind", "blind", "quiet")


def test_a_run_is_healthy_only_if_all_that_matters_was_examined() -> None:
    losses = events.Batches(first_step=0, metrics={"loss": [1.0] * 40}, batches=40, step=40)
    samples = [
        events.BatchNorm(layers={name: statistics(float(step)) for name in ("bn_1", "bn_2")}, step=step)
        for step in (0, 20, 40)
    ]
    ended = events.EpochEnded(logs={"loss": 0.25}, learning_rate=0.1, seconds=1.0, step=40)
    state = state_of(losses, *samples, ended, probe(40, 1.0, 1.0))
    examined = examine(state, [])
    assert judge([], examined) == "healthy"
    assert verdict(state, []).startswith(
        "The run is healthy: 9 rules looked, and none found anything wrong. On the same"
    )
    assert "R13 no progress: 1 epoch is too few" in printed(state)
    assert judge([finding()], examined) == "findings"
    assert judge([finding(severity="info")], examined) == "healthy"
    unprobed = state_of(losses, *samples, ended)
    assert judge([], examine(unprobed, [])) == "not examined"
    assert judge([finding()], examine(unprobed, [])) == "findings"


HEALTHY = [
    events.Batches(first_step=0, metrics={"loss": [1.0] * 40}, batches=40, step=40),
    *(
        events.BatchNorm(layers={name: statistics(float(step)) for name in ("bn_1", "bn_2")}, step=step)
        for step in (0, 20, 40)
    ),
    events.EpochEnded(logs={"loss": 0.25}, learning_rate=0.1, seconds=1.0, step=40),
    probe(40, 1.0, 1.0),
]
BAD_LINE, NO_LINE = b'{"type":"batches","first\n', b""
GAP = events.LogGap(dropped={"batches": 2, "batch_norm": 1}, reason="full", step=40)
NO_DISK = events.LogGap(dropped={}, reason="no room", step=40)


@pytest.mark.parametrize(
    ("facts", "before", "lacks"),
    [
        ([], BAD_LINE, "1 line of the log could not be read: line 1."),
        ([], b'{"type":"of tomorrow"}\n', "1 line is of a type that this tuimon does not know."),
        ([GAP], NO_LINE, "3 facts were not recorded (full)."),
        ([GAP], BAD_LINE, "3 facts were not recorded (full). 1 line of the log could not be read: line 1."),
        ([NO_DISK], NO_LINE, "Facts after step 40 are not recorded so far (no room)."),
    ],
)
def test_a_run_is_not_healthy_without_a_word_on_what_its_log_lacks(
    runs: Path, facts: list[events.AnyEvent], before: bytes, lacks: str, capsys: Capture
) -> None:
    fit = fit_started(epochs=40, steps_per_epoch=10, can={"freeze": "", "probe": ""})
    beginning = [started(lock_error="No locks available"), built(), fit]
    run = make_run(runs, [*beginning, *HEALTHY])
    assert main(["doctor", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"].startswith("The run is healthy: 9 rules looked")
    run.session_log.write_bytes(before + encode_log(numbered([*beginning, *HEALTHY, *facts])))
    assert main(["doctor", "run"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    said = (
        "The run is healthy as far as its log tells, which is not whole: 9 rules looked, and none found anything "
        f"wrong. {lacks} On the same 1 example"
    )
    assert said in printed
    assert printed.count(lacks) == 1
    assert main(["doctor", "run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert lacks in document["verdict"]
    assert document["facts_lost"] == (3 if GAP in facts else 0)


def test_what_a_log_lacks_is_said_behind_every_kind_of_verdict() -> None:
    lacks = ["1 line of the log could not be read."]
    for state, found, status in (
        (state_of(OPEN), [], ""),
        (state_of(OPEN), [finding("R12", "error", what="the loss is NaN")], ""),
        (state_of(OPEN), [finding("R2", "error", evidence={"gap": 5.82})], ""),
        (state_of(OPEN), [], "crashed"),
        (state_of(), [], ""),
        (fold([]), [], ""),
    ):
        words = verdict(state, found, status, lacks=lacks)
        assert lacks[0] in words, words
        assert "log has no line yet" not in words
    closed = state_of(*HEALTHY[:-1], probe(39, -0.3, -6.1, layers=SHARES), asked(FREEZE, 40), probe(40, -6.1, -6.1))
    assert "healthy now as far as its log tells" in verdict(closed, [], lacks=lacks)


@pytest.mark.parametrize("status", ["finished", "stopped", "failed", "crashed"])
def test_nobody_is_told_to_ask_something_of_a_run_that_is_over(status: str) -> None:
    end = [] if status == "crashed" else [events.RunEnded(status=status, step=231)]
    changed = events.Recalibrated(batches=1, examples=1, dry_run=False, step=231)
    validated = events.EpochEnded(logs={"loss": 0.5, "val_loss": 0.5}, learning_rate=0.1, seconds=1.0, step=230)
    for facts in ([], [OPEN], [OPEN, changed], [validated, OPEN]):
        state = state_of(*facts, events.Batches(first_step=230, metrics={"loss": [1.0]}, batches=1, step=231), *end)
        remedies = {rule.remedy for rule in examine(state, [], is_over=True)}
        assert not any("the request" in remedy for remedy in remedies), remedies
        assert "request" not in verdict(state, [], status)
        assert "tuimon send" not in printed(state, status=status)
    live = {rule.remedy for rule in examine(state_of(OPEN, changed), [])}
    assert "the request `probe` makes another" in live


OF_NOW = re.compile(r"\bpress(es)?\b|\bkeys?\b|\bnext (spike|step|epoch|probe)|\bstop here\b|\bask tuimon\b")


def test_no_advice_names_a_key_or_something_to_wait_for() -> None:
    """It is read of runs that are over, too."""
    for path in (ROOT / "tuimon" / "diagnosis").glob("**/*.py"):
        module = ast.parse(path.read_text())
        told = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}  # docstrings
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
                assert not OF_NOW.search(node.value), f"{path.name}: {node.value}"


def test_an_old_probe_is_told_in_the_past_tense() -> None:
    later = events.Batches(first_step=230, metrics={"loss": [1.0] * 1490}, batches=1490, step=1720)
    words = verdict(state_of(OPEN, later), [])
    assert "At step 230 of 1,720, on the same 1 example the training loss was -0.28" in words
    assert "At step" not in verdict(state_of(OPEN), [])


def test_what_is_not_about_the_gap_comes_first() -> None:
    words = verdict(state_of(OPEN), [finding("R12", "error", what="the loss is NaN", layer="bn_1"), finding("R2")])
    assert words.startswith("First of all: the loss is NaN (bn_1). On the same 1 example the training loss is -0.28")


def test_how_a_run_ended_is_said() -> None:
    failed = events.RunEnded(status="failed", traceback="Traceback\n  x\nValueError: no \x1b[31mdata\n", step=7)
    assert verdict(state_of(failed), []).startswith(
        "The run failed after 7 steps: ValueError: no data. Before that, nothing wrong was found, but not all was "
        "examined."
    )
    crashed = verdict(state_of(OPEN), [], "crashed")
    assert crashed.startswith(
        "The run crashed after 230 steps: its process is gone; no error was recorded. Before that,"
    )
    stopped = events.RunEnded(status="stopped", reason="SIGTERM, and no step ended within 10 s", step=230)
    assert verdict(state_of(OPEN, stopped), []).startswith(
        "The run was stopped after 230 steps: SIGTERM, and no step ended within 10 s. "
    )
    assert lines_of(state_of(OPEN, stopped), status="stopped")[0] == "run   stopped by SIGTERM, step 230"
    assert "was stopped" not in verdict(state_of(OPEN, events.RunEnded(status="stopped", step=230)), [])
    assert verdict(state_of(), []) == "Not examined: no step was trained yet."
    assert "healthy" not in crashed


def test_losses_that_are_not_finite() -> None:
    fact = probe(5, "nan", "-inf", gap="nan", batch_norm="nan", stochastic=None, masks=8, standard_error="nan",  # type: ignore[arg-type]
                 layers={"bn_2": share(0.5, 0.5), "bn_1": share("nan", "inf")}, validation="inf")  # fmt: skip
    state = state_of(fact, events.Batches(first_step=0, metrics={"loss": [1.0, 2.0, "nan", "nan", 3.0]}, batches=5))
    assert "the training loss is nan and the inference loss -inf: the gap is not known." in verdict(state, [])
    rows = lines_of(state, [finding("R12", "error", evidence={"loss": "nan", "before": None, "infinite": "-inf"})])
    assert "  = gap                –" in rows
    assert "    loss       nan" in rows
    assert "    before       –" in rows
    assert "    infinite  -inf" in rows
    assert cause(fact) is None
    # Marked once, where it begins.
    assert [row.strip() for row in rows if "✗" in row and "finite" not in row and "R12" not in row] == ["✗"]
    # What is not finite is looked at first.
    names = [row.split()[0] for row in rows if row.startswith("  bn_")]
    assert names == ["bn_1", "bn_2"]


# Which layer it is


def test_a_layer_is_named_only_if_both_ways_agree() -> None:
    agreed, apart, as_much = (
        probe(5, 6.0, 1.0, layers={"bn_1": share(4.0, first), "bn_2": share(1.0, second)})
        for first, second in ((3.0, 1.0), (1.0, 3.0), (3.0, 2.99))
    )
    assert "most of it in bn_1" in verdict(state_of(agreed), [])
    assert "bn_1 makes 80 % of what batch statistics make" in printed(state_of(agreed))
    for fact, words in (
        (apart, "bn_1 makes most, on its own bn_2 does: they do not agree, so no layer is named as the cause."),
        (as_much, "bn_1 makes most, but on its own bn_2 makes as much: they do not agree, so no layer"),
    ):
        assert "bn_1" not in verdict(state_of(fact), [])
        assert words in printed(state_of(fact))


def test_layers_that_cancel_out_have_no_share_and_no_name() -> None:
    fact = probe(5, 1.1, 1.0, batch_norm=0.1, layers={"bn_1": share(2.1, 2.1), "bn_2": share(-2.0, -2.0)})
    text = printed(state_of(fact))
    assert "The layers cancel out; none is named." in text
    assert "2,100 %" not in text


def test_the_cause_of_a_negative_gap_is_what_makes_it_negative() -> None:
    fact = probe(5, 1.0, 4.0, layers={"bn_1": share(2.0, 2.0), "bn_2": share(-5.0, -4.0)})
    found = cause(fact)
    assert found is not None
    assert (found.in_order, found.is_agreed) == ("bn_2", True)


def test_the_table_of_layers() -> None:
    model = built("bn_1", "bn_2", "bn_3", "bn_4", momentum=0.99)
    model.batch_norm_layers[1].momentum = 1.0
    model.batch_norm_layers[2].trainable = False
    model.batch_norm_layers[3].momentum = 0.0
    layers = {
        "bn_1": share(0.1, 0.2, 0.5),
        "bn_2": share(-3.0, -2.0, 123.456),
        "bn_3": share(0.0, 0.0),
        "bn_4": share(0.01, 0.0, calls=2),
        "gone": share(0.05, 0.0),
    }
    state = state_of(probe(100, 1.0, 4.0, layers=layers), model=model)
    told = telling(state)
    assert told is not None
    rows = {row.path: row for row in layer_shares(state, told)}
    assert list(rows) == ["bn_2", "bn_1", "gone", "bn_4", "bn_3"]
    assert rows["bn_1"].half_life == pytest.approx(68.97, abs=0.01)
    assert rows["bn_1"].initial_left == pytest.approx(0.99**100)
    assert [row.split() for row in lines_of(state) if row.startswith(("  bn_", "  gone"))] == [
        ["bn_2", "-3.00", "-2.00", "123.46", "never", "100", "%", "████████████████"],
        ["bn_1", "+0.10", "+0.20", "0.50", "69", "steps", "37", "%", "▌"],
        ["gone", "+0.05", "0.00", "1.00", "–", "–", "▎"],
        ["bn_4", "+0.01", "0.00", "1.00", "0.0", "steps", "0", "%"],
        ["bn_3", "0.00", "0.00", "1.00", "held", "–"],
    ]
    # The power says nothing of a momentum that was changed on the way.
    state.momentum["bn_1"] = 0.9
    assert np.isnan(layer_shares(state, told)[1].initial_left)


def test_many_layers() -> None:
    names = [f"net/stage_{number // 10}/block_{number}/batch_normalization_{number}" for number in range(200)]
    layers = {name: share(number / 1000, number / 1000) for number, name in enumerate(names)}
    state = state_of(probe(5, 21.0, 1.1, layers=layers), model=built(*names))
    found = [finding("R8", layer=name, evidence={"dead": 1}) for name in names]
    rows = lines_of(state, found, width=160)
    table = [row for row in rows if re.match(r"  net/stage\S*  ", row)]
    assert [row.split()[0] for row in table] == names[:189:-1]
    assert "  … and 190 more" in rows
    assert len(rows) < 80
    assert any("197 more of R8" in row for row in rows)
    assert "    tuimon doctor run --json" in rows
    # In 80 columns the end of a name is what tells it.
    assert any(re.match(r"  …\S*/batch_normalization_199 ", row) for row in lines_of(state, width=80))


# The page


@pytest.mark.parametrize("width", [40, 80, 160])
def test_nothing_but_a_command_is_wider_than_the_terminal(width: int) -> None:
    names = ["a", EVIL, "層" * 60, "x" * 300]
    layers = {name: share(1.0, 1.0) for name in names}
    facts: list[events.AnyEvent] = [
        events.BatchNorm(layers={name: statistics(number) for name in names}, step=number) for number in range(1, 9)
    ]
    for number in range(1, 30):
        facts.append(probe(number, 5.0 + number, 1.0, layers=layers, validation=2.0, masks=8, standard_error=0.1))
        facts.append(events.EpochEnded(logs={"val_loss": 10.0**number}, learning_rate=1.0, seconds=1.0, step=number))
    facts += [
        events.Alert(rule="R9", severity="error", what="word " * 40, evidence={}, advice="none", layer="y" * 90),
        asked({"command": "freeze", "layers": names}, 20),
        events.Overhead(share=0.004, parts={}),
        events.LogGap(dropped={"batches": 3}, reason="full"),
    ]
    evidence = {"a rather long name of a number " * 3: 12345.678, "short": "inf"}
    found = [
        finding(rule, severity, layer=name, what="w" * 200, evidence=evidence, request=f"freeze --layer {'z' * 200}")
        for rule, severity in (("R1", "error"), ("R11", "warning"), ("R5", "warning"), ("R13", "info"))
        for name in (*names, None)
    ]
    rows = lines_of(state_of(*facts, model=built(*names)), found, width=width, name="n" * 100)
    for row in rows:
        assert width_of(row) <= width or row.lstrip().startswith("tuimon "), row
    assert sum(row.lstrip().startswith("tuimon send ") for row in rows) == 12


def test_findings_the_worst_first_each_with_its_sign() -> None:
    found = [
        finding("R8", "info", weight=1.0),
        finding("R10", "warning", weight=0.1, what="bn_1 is held", layer="bn_1"),
        finding("R3", "warning", weight=0.7),
        finding("R12", "error"),
    ]
    rows = lines_of(state_of(OPEN), found)
    heads = [row for row in rows if re.match(r"\S R\d", row)]
    assert [head.split()[:3] for head in heads] == [
        ["✗", "R12", "error"],
        ["▲", "R3", "warning"],
        ["▲", "R10", "warning"],
        ["·", "R8", "note"],
    ]
    assert "▲ R10 warning  bn_1  step 5" in rows
    assert "  Something is wrong." in rows
    assert "  bn_1 is held." in rows
    assert "→ Mend it." in rows
    assert len({sign for sign, _ in SIGNS.values()}) == 3
    assert any(row.startswith("1 error, 2 warnings, 1 note ─") for row in rows)


def test_evidence_is_aligned() -> None:
    found = [finding("R7", evidence={"half_life_steps": 6931.0, "momentum": 0.9999, "gap": -0.5, "tiny": 1.25e-7})]
    rows = lines_of(state_of(OPEN), found)
    first = next(index for index, row in enumerate(rows) if "half life steps" in row)
    assert rows[first : first + 4] == [
        "    half life steps  6,931",
        "    momentum             0.9999",
        "    gap                 -0.5",
        "    tiny                 1.25e-7",
    ]


def test_a_curve_where_one_helps_and_only_once() -> None:
    facts: list[events.AnyEvent] = [probe(step, 5.0, 1.0) for step in (10, 20, 30)]
    for epoch, loss in enumerate((1.0, 1.0, 9.0, 1.0)):
        facts.append(events.EpochEnded(logs={"val_loss": loss}, learning_rate=1.0, seconds=1.0, step=10 * epoch + 10))
        facts.append(events.BatchNorm(layers={"bn_1": statistics()}, step=10 * epoch + 10))
    state = state_of(*facts, asked(FREEZE, 25))
    found = [finding("R1"), finding("R2"), finding("R11", step=30), finding("R5", layer="bn_1"), finding("R10")]
    rows = lines_of(state, found)
    titles = ("train - inference gap", "val_loss, ▲ stands out", "smallest moving variance")
    assert [sum(row.strip() == title for row in rows) for title in titles] == [1, 1, 1]
    assert any(row.strip() == "▲ freeze all" for row in rows)
    # The mark of the spike is below its peak.
    spike = next(index for index, row in enumerate(rows) if row.strip() == "▲")
    peak = next(row for row in reversed(rows[:spike]) if "┤" in row and "9" in row)
    curve = peak[peak.index("┤") + 1 :]
    top = peak.index("┤") + 1 + len(curve) - len(curve.lstrip()), len(peak.rstrip()) - 1
    assert abs(sum(top) / 2 - rows[spike].index("▲")) <= 1
    # From some width on, beside the numbers.
    wide = lines_of(state, [finding("R1", evidence={"gap": 4.0})], width=120)
    assert any(re.match(r"    gap  4 +train - inference gap$", row) for row in wide)
    # Of a note only where it tells that something is over.
    assert any("┤" in row for row in lines_of(state, [finding("R1", "info")]))
    assert not any("┤" in row for row in lines_of(state, [finding("R5", "info", layer="bn_1")]))


def test_a_chart_keeps_every_extreme() -> None:
    values = np.zeros(100_000)
    values[71_234] = 5.0
    rows = [as_text(row) for row in chart(Curve("loss", np.arange(100_000), values), 64)]
    assert rows[1].startswith("5 ┤")
    assert rows[4].startswith("0 ┤")
    place = 3 + round(71_234 / 100_000 * 60)
    for row in rows[1:4]:
        assert abs(len(row) - 1 - place) <= 1
    assert rows[5] == "  └0 " + "─" * 46 + " step 99,999"
    assert max(map(width_of, rows)) <= 64
    assert len(rows) == 6


def test_a_jump_at_a_mark_is_not_drawn_as_a_slope() -> None:
    steps, values = np.array([0, 400, 600, 1000]), np.array([5.0, 5.0, 0.0, 0.0])
    for broken in (True, False):
        curve = Curve("gap", steps, values, (Mark(401),), is_broken_at_marks=broken)
        rows = [as_text(row).partition("│")[2].strip() for row in chart(curve, 64)[2:4]]
        assert any(rows) == (not broken)
        # The rest of the line is there all the same.
        assert len(as_text(chart(curve, 64)[4]).split("┤")[1].strip()) > 20


@pytest.mark.parametrize(
    ("steps", "values"),
    [([], []), ([1], [1.0]), ([1, 1], [1.0, 2.0]), ([1, 2], [np.nan, 1.0]), ([1, 2], [np.inf, -np.inf])],
)
def test_no_chart_of_what_is_no_curve(steps: list[int], values: list[float]) -> None:
    assert chart(Curve("x", np.array(steps, dtype=np.int64), np.array(values)), 60) == []


@pytest.mark.parametrize("values", [[1.0, 1.0], [0.0, 0.0], [-1e308, 1e308], [1e-300, 1.0], [1e-12, 2e-12]])
def test_a_chart_of_any_numbers(values: list[float]) -> None:
    rows = [as_text(row) for row in chart(Curve("x", np.array([1, 9]), np.array(values)), 60)]
    assert len(rows) == 6
    assert any(0x2800 < ord(character) < 0x2900 for row in rows for character in row)
    assert ("log scale" in rows[0]) == (values[0] == 1e-300)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((0, 50, 55, 100), "▲ freeze all       freeze all ▲ ▲ freeze all    freeze all ▲"),
        # Where there is no room for the words, the sign is enough; two on one place are one.
        ((0, 3, 6, 6), "▲ ▲ ▲ freeze all"),
    ],
)
def test_marks_do_not_run_into_each_other(steps: tuple[int, ...], expected: str) -> None:
    marks = tuple(Mark(step, "freeze all") for step in steps)
    assert as_text(chart(Curve("x", np.arange(101), np.arange(101.0), marks), 65)[5]).strip() == expected


def test_what_it_rests_on() -> None:
    state = state_of(
        OPEN,
        events.EpochEnded(logs={"loss": 0.5, "val_loss": 0.625}, learning_rate=0.1, seconds=1.0, step=1234),
        events.Overhead(share=0.0042, parts={}, step=1234),
    )
    lines = page(state, [], Subject("run", "run", "training"), 200)
    said = (
        "This rests on 1 probe, 1 epoch, 1,234 steps. The best val_loss was 0.625, in epoch 1 (step 1,234). "
        "Reading layers, probes and diagnosis took 0.4 % of the time since the first step."
    )
    assert " ".join(as_text(line) for line in lines[-2:]).strip().endswith(said)


def test_what_was_found_earlier_and_is_gone() -> None:
    alerts = [
        events.Alert(
            rule=rule, severity="error", what=f"what {rule} finds", evidence={}, advice="x", layer=where, step=9
        )
        for rule, where in (("R2", None), ("R1", EVIL), ("R8", "bn_1"))
    ]
    rows = lines_of(state_of(*alerts), [finding("R8", layer="bn_1")])
    assert "  step 9: R2 what R2 finds" in rows
    assert any("R1 what R1 finds (bn[red] x" in row for row in rows)
    assert not any("what R8 finds" in row for row in rows)


# The command line


def use(monkeypatch: pytest.MonkeyPatch, *found: Finding) -> None:
    monkeypatch.setattr(doctor, "look", lambda state: (list(found), {}))


@pytest.mark.parametrize(
    ("found", "code"),
    [([], 3), ([finding("R8", "info")], 3), ([finding("R8", "info"), finding()], 1), ([finding("R12", "error")], 1)],
)
def test_exit_codes(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, found: list[Finding], code: int
) -> None:
    use(monkeypatch, *found)
    make_run(runs, a_run())
    assert main(["doctor", "run"]) == code
    assert main(["doctor", "run", "--json"]) == code


@pytest.mark.parametrize("arguments", [["nope"], []])
def test_bad_input_is_one_line(arguments: list[str], capsys: Capture) -> None:
    assert main(["doctor", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_json(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    evidence = {"gap": float("nan"), "limit": float("inf"), "told": "-inf", "count": 3, "unknown": None, "half": 0.5}
    use(
        monkeypatch,
        finding("R8", "info", layer="bn_1"),
        finding("R2", "error", evidence=evidence, request="freeze --layer bn_1"),
    )
    make_run(runs, a_run())
    assert main(["doctor", "run", "--json"]) == 1
    document = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    keys = ["version", "judgement", "verdict", "findings", "best", "fits", "rules", "loss_minus_val_loss", "unread"]
    keys.append("facts_lost")
    assert list(document) == keys
    assert (document["version"], document["judgement"]) == (2, "findings")
    assert [rule["rule"] for rule in document["rules"]] == list(RULES_SAY)
    assert document["rules"][1]["outcome"] == "fired"
    assert document["rules"][0] == {
        "rule": "R1",
        "name": "moving statistics that lag",
        "outcome": "blind",
        "detail": "there was no probe",
        "remedy": "train with `tuimon.Monitor(probe_every=100)`, which makes one every 100 steps",
        "matters": True,
    }
    assert document["verdict"].startswith("First of all: something is wrong. In the last epoch")
    assert document["findings"] == [
        {
            "rule": "R2",
            "severity": "error",
            "layer": None,
            "step": 5,
            "evidence": {"gap": "nan", "limit": "inf", "told": "-inf", "count": 3, "unknown": None, "half": 0.5},
            "advice": "mend it",
            "what": "something is wrong",
            "request": "freeze --layer bn_1",
        },
        {
            "rule": "R8",
            "severity": "info",
            "layer": "bn_1",
            "step": 5,
            "evidence": {},
            "advice": "mend it",
            "what": "something is wrong",
            "request": "",
        },
    ]


def test_the_command_names_the_run_as_a_shell_takes_it(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    use(monkeypatch, finding(request="freeze"))
    near = make_run(runs, a_run(), "my run")
    make_run(runs, a_run(), "-run")
    far = make_run(tmp_path / "far", a_run(), "it's")
    for arguments, expected in (
        (["my run"], "my run"),
        ([str(near.session_log)], "my run"),
        ([str(runs / "-run")], str(runs / "-run")),
        (["it's", "--runs-dir", str(far.path.parent)], str(far.path)),
    ):
        assert main(["doctor", *arguments]) == 1
        (line,) = [row for row in capsys.readouterr().out.splitlines() if "tuimon send" in row]
        assert shlex.split(line) == ["tuimon", "send", expected, "freeze"]
        assert RunDirectory.find(expected, runs).session_log.is_file()


def test_a_run_without_a_line(runs: Path, capsys: Capture) -> None:
    RunDirectory.at(runs / "empty")
    RunDirectory.at(runs / "blank").session_log.write_bytes(b"")
    RunDirectory.at(runs / "torn").session_log.write_bytes(b'{"type":"run_started","proto')
    for name in ("empty", "blank", "torn"):
        assert main(["doctor", name]) == 3
        printed = capsys.readouterr().out
        assert "Not examined: the log has no line yet." in printed
        assert "no line in the log" in printed
        assert main(["doctor", name, "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["findings"] == []


def test_torn_lines(runs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    facts = [*a_run()[:-1], probe(4, 5.0, 1.0)]
    run = make_run(runs, facts)
    whole = run.session_log.read_bytes()
    # The trainer died in the middle of a line, and a new attempt went on behind it.
    run.session_log.write_bytes(
        b'{"type":"batches","first\n{"type":"of tomorrow"}\n' + whole + whole.splitlines()[-1][:50]
    )
    assert main(["doctor", "run"]) == 3
    printed = " ".join(capsys.readouterr().out.split())
    assert "a gap of 4.00" in printed
    assert "1 line of the log could not be read: line 1. 1 line is of a type that this tuimon does not know." in printed


def test_names_that_a_terminal_would_act_on(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    facts = [
        started(name=EVIL),
        built(EVIL, "bn_2"),
        fit_started(epochs=40, steps_per_epoch=10, can={"freeze": ""}),
        probe(9, 5.0, 1.0, layers={EVIL: share(4.0, 4.0), "bn_2": share(0.0, 0.0)}),
    ]
    make_run(runs, facts, "run")
    hostile = {"layer": EVIL, "what": f"of {EVIL}", "advice": EVIL, "request": f"freeze --layer '{EVIL}'"}
    use(monkeypatch, finding(evidence={EVIL: 1.0}, **hostile))
    assert main(["doctor", "run"]) == 1
    printed = capsys.readouterr().out
    assert not set(printed) & {"\x1b", "\x07", "\u202e", "\r"}
    assert "most of it in bn[red] x�" in " ".join(printed.split())


def test_a_run_that_grows_is_read_as_it_is_now(runs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch)
    run = make_run(runs, a_run()[:-1])
    read = Tail.read
    calls = 0

    def growing(tail: Tail, limit: int = 10) -> list[events.AnyEvent]:
        nonlocal calls
        calls += 1
        assert calls < 1000
        with run.session_log.open("ab") as file:
            file.write(b'{"type":"heartbeat","seq":99,"time":5000,"step":4}\n' * 4)
        return read(tail, 100)

    monkeypatch.setattr(Tail, "read", growing)
    assert main(["doctor", "run"]) == 3
    assert "step 4" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, patience, expected in (
        (Terminal(), -1.0, "\rreading the log:  50 %\r\x1b[K"),
        (Terminal(), 1000.0, ""),
        (io.StringIO(), -1.0, ""),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(progress_line, "PATIENCE_SECONDS", patience)
        progress = progress_line.Progress()
        progress.show(5, 10)
        progress.close()
        assert stream.getvalue() == expected


def on_a_terminal(runs: Path, columns: int, **variables: str) -> str:
    """Return what `doctor` writes to a terminal of some width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    kept = {name: value for name, value in environment().items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command("doctor", "run"), cwd=runs.parent, env={**kept, "TERM": "xterm", **variables}, stdout=slave
    )
    os.close(slave)
    written = b""
    try:
        while data := os.read(master, 65536):
            written += data
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(master)
        process.wait()
    return written.decode()


def test_colours_and_width_are_the_terminals(runs: Path) -> None:
    make_run(runs, [started(), built(), fit_started(epochs=40, steps_per_epoch=10), OPEN])
    coloured, plain, dumb = (
        on_a_terminal(runs, 120, **variables) for variables in ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"})
    )
    assert "\x1b[94m" in coloured
    assert "\x1b" not in plain + dumb
    bare = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert bare == plain == dumb
    assert max(map(len, plain.splitlines())) > 80
    narrow = on_a_terminal(runs, 50, NO_COLOR="1").splitlines()
    assert max(map(width_of, narrow)) <= 50
    piped = subprocess.run(
        command("doctor", "run"), cwd=runs.parent, env=environment(COLUMNS="200"), capture_output=True
    )
    assert b"\x1b" not in piped.stdout
    assert max(map(len, piped.stdout.decode().splitlines())) <= 80


def test_a_terminal_of_another_encoding(runs: Path) -> None:
    make_run(runs, [started(), built(), fit_started(epochs=40, steps_per_epoch=10), OPEN])
    done = subprocess.run(
        command("doctor", "run"), cwd=runs.parent, env=environment(PYTHONIOENCODING="ascii"), capture_output=True
    )
    assert (done.returncode in (0, 1), done.stderr) == (True, b"")
    assert b"a gap of 5.82" in b" ".join(done.stdout.split())


def test_it_loads_no_screen() -> None:
    statements = "import sys, tuimon.cli.doctor; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", statements], env=environment(), capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.split()) & {"textual", "rich", "plotext", "keras", "tensorflow", "tuimon.ui"}


def test_a_live_run_is_called_by_what_it_does(runs: Path, capsys: Capture) -> None:
    with stand_in(RunDirectory.at(runs / "run"), "paused"):
        assert main(["doctor", "run"]) == 3
    assert "run   paused, step 0" in capsys.readouterr().out


# Real training

TRAIN = """
import sys, time
import keras
import numpy as np
import tuimon

keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(3.0, 2.0, size=(1, 4)).astype("float32")
y = np.full((1, 1), 5.0, "float32")
layers = keras.layers
model = keras.Sequential([
    keras.Input((4,)), layers.Dense(8), layers.BatchNormalization(name="bn_1"), layers.Dropout(0.5), layers.Dense(1)
])
model.compile(keras.optimizers.SGD(1e-4), "mse")
wait = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: time.sleep(float(sys.argv[2])))
monitor = tuimon.Monitor(name="real", probe_every=5, overhead=0.9)
model.fit(x, y, batch_size=1, epochs=int(sys.argv[1]), validation_data=(x + 1, y), verbose=0, callbacks=[monitor, wait])
"""


def asked_of(run: RunDirectory, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        command("doctor", run.path, *arguments), cwd=run.path, env=environment(), capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def judged(run: RunDirectory) -> str:
    """Return the verdict on a run; what JSON and page say of it is one and the same."""
    code, output = asked_of(run, "--json")
    document = json.loads(output)
    assert code == {"healthy": 0, "findings": 1, "not examined": 3}[document["judgement"]]
    assert (code == 1) == any(found["severity"] != "info" for found in document["findings"])
    return str(document["verdict"])


def probes(run: RunDirectory) -> list[events.Probe]:
    return [fact for fact in read_log(run) if isinstance(fact, events.Probe)]


def assert_sums(page: str, fact: events.Probe) -> None:
    """Assert that the page has a probe's losses and parts, each rounded by itself."""
    numbers = {}
    for name in ("training loss", "- inference loss", "= gap", "BatchNorm", "random layers", "other"):
        found = re.search(rf"^ +{name} +([-+]?[\d.]+)", page, re.MULTILINE)
        assert found, (name, page)
        numbers[name] = Decimal(found[1].replace("-", "-"))
    unit = 10.0 ** -abs(int(numbers["= gap"].as_tuple().exponent))
    for name, value in (("training loss", fact.train), ("= gap", fact.gap), ("BatchNorm", fact.batch_norm)):
        assert float(numbers[name]) == pytest.approx(value, abs=2 * unit)


def test_a_real_run_live_and_killed(runs: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, "100000", "0.02"], cwd=runs.parent, env=environment(), stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: any(runs.iterdir()), what="the run directory")
        run = RunDirectory(next(runs.iterdir()))
        until(lambda: probes(run), what="a probe")
        code, output = asked_of(run)
        assert code in (0, 1, 3)
        assert re.search(r"real   (training|validating|probing|compiling), step \d", output), output
        before = until(lambda: [fact for fact in probes(run) if str(fact.step) in output])[-1]
        assert_sums(output, before)
        assert "by batch statistics (BatchNormalization)" in " ".join(output.split())
        assert "healthy now" not in judged(run)

        subprocess.run(command("send", run.path, "freeze"), env=environment(), check=True, capture_output=True)
        until(lambda: abs(float(probes(run)[-1].batch_norm or 0.0)) == 0.0, what="a probe of the frozen model")
        assert "a gap of" in judged(run)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    words = judged(run)
    assert words.startswith("The run crashed after ")
    assert re.search(r"(Frozen from step|Before “freeze all” at step) \d+", words), words
    assert "crashed, step" in asked_of(run)[1]


def test_a_real_run_that_finished(runs: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", TRAIN, "30", "0"], cwd=runs.parent, env=environment(), check=True, capture_output=True
    )
    run = RunDirectory(next(runs.iterdir()))
    code, output = asked_of(run)
    assert code in (0, 1)
    assert "finished, step 30" in output
    assert_sums(output, probes(run)[-1])
    words = " ".join(output.split())
    assert f"{len(probes(run))} probe" in words
    assert "30 epochs, 30 steps" in words
    assert judged(run) in words
    assert re.search(r"^  \S*bn_1 ", output, re.MULTILINE)
