"""One bad line, one bad run: it is named, and takes nothing else down."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from helpers import a_run, encode_log, fold, layer, make_run, model_built, numbered, probe_fact, started, statistics
from tuimon.cli.main import main
from tuimon.diagnosis import rules
from tuimon.diagnosis.examination import examine
from tuimon.diagnosis.finding import Finding
from tuimon.protocol import events
from tuimon.runs import facts_in_words
from tuimon.runs.glance import Glance
from tuimon.runs.listing.parameters import parameters_of
from tuimon.runs.live_runs import live_runs, newest
from tuimon.runs.log.bad_lines import BadLines, unread
from tuimon.runs.log.session_log import Tail, newest_start
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.runs.state import RunState

Capture = pytest.CaptureFixture[str]

LINES = [json.loads(line) for line in encode_log(a_run()).splitlines()]


def line_of(kind: str, **changes: Any) -> bytes:
    """Return a line of a whole log with other values; names with dots lead to values inside."""
    line = json.loads(json.dumps(next(line for line in LINES if line["type"] == kind)))
    for name, value in changes.items():
        place, *way = name.split("__")
        inner = line
        for key in way:
            inner, place = inner[place], key
        inner[place] = value
    return json.dumps(line).encode() + b"\n"


def deep(levels: int) -> bytes:
    return b'{"type":"note","text":"x","later":' + b"[" * levels + b"]" * levels + b"}\n"


ARRAY = "AAAAAAAAgD8AAABA"
CHANNELS = {"moving_mean_base64": ARRAY, "moving_variance_base64": ARRAY, "gamma_base64": None, "beta_base64": None}
BAD = {
    "six quantiles": line_of("batch_norm", layers__bn_1__moving_mean=[0.0] * 6),
    "eight quantiles": line_of("batch_norm", layers__bn_1__gamma=[0.0] * 8),
    "a step beyond 2^63": line_of("batches", first_step=2**63 - 1),
    "a step beyond 2^64": line_of("epoch_ended", step=2**64),
    "a negative step": line_of("batches", first_step=-3),
    "a negative number of batches": line_of("batches", batches=-1),
    "more values than batches": line_of("batches", metrics={"loss": [1.0] * 9}),
    "a negative epoch": line_of("epoch_ended", epoch=-1),
    "a huge epoch": line_of("epoch_ended", epoch=10**300),
    "a time of 1e18": line_of("run_started", time=1e18),
    "a time of 1e300": line_of("heartbeat", time=1e300),
    "2,000 levels": deep(2000),
    "100,000 brackets": b"[" * 100_000 + b"\n",
    "a config of 40 levels": line_of("run_started", config=json.loads('{"a":' * 40 + "1" + "}" * 40)),
    "an integer of 5,000 digits": line_of("run_started", config={"a": 1}).replace(b'"a": 1', b'"a": ' + b"9" * 5000),
    "an integer of 70 digits": line_of("run_started", config={"a": int("9" * 70)}),
    "a number beyond floats": b'{"type":"epoch_ended","logs":{},"learning_rate":1e999,"seconds":1}\n',
    "words in the place of a number": line_of("epoch_ended", learning_rate="fast"),
    "other words for nan": line_of("batches", metrics={"loss": ["NaN", 1.0]}),
    "no base64": json.dumps(
        {"type": "batch_norm_channels", "layers": {"bn_1": {**CHANNELS, "moving_mean_base64": "!!!!"}}}
    ).encode()
    + b"\n",
    "a part of a float32": json.dumps(
        {"type": "batch_norm_channels", "layers": {"bn_1": {**CHANNELS, "moving_mean_base64": "AAAA"}}}
    ).encode()
    + b"\n",
    "arrays of different lengths": json.dumps(
        {"type": "batch_norm_channels", "layers": {"bn_1": {**CHANNELS, "moving_mean_base64": ARRAY * 2}}}
    ).encode()
    + b"\n",
}
"""Lines that are no fact, each for another reason."""


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_line_that_no_run_can_have_is_counted_and_named_and_the_others_are_read(
    runs: Path, bad: bytes, capsys: Capture
) -> None:
    run, healthy = make_run(runs, a_run(), "damaged"), make_run(runs, a_run(), "healthy")
    lines = run.session_log.read_bytes().splitlines(keepends=True)
    run.session_log.write_bytes(b"".join([*lines[:7], bad, *lines[7:]]))
    tail = Tail(run.session_log)
    assert [event.seq for event in tail.read_all()] == list(range(len(lines)))
    assert tail.bad_lines == BadLines(1, (8,))
    started_by = newest_start(run.session_log)
    assert started_by is not None
    assert started_by.config == {}
    assert main(["list", str(runs)]) == 0
    listed = capsys.readouterr().out
    assert listed.count(" finished ") == 2
    assert main(["doctor", str(run.path)]) in (0, 1, 3)
    assert "1 line of the log could not be read: line 8." in " ".join(capsys.readouterr().out.split())
    assert main(["export", str(run.path), "--to", "csv", "--out", "-"]) == 0
    whole = capsys.readouterr().out
    assert main(["export", str(healthy.path), "--to", "csv", "--out", "-"]) == 0
    assert capsys.readouterr().out == whole


def test_lines_are_named_by_their_numbers_as_long_as_all_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_bytes(b"\n" + b"torn\n" * 7 + encode_log(a_run()) + b"torn\n")
    tail = Tail(path)
    while tail.offset < path.stat().st_size:
        tail.read(20)
    assert tail.bad_lines == BadLines(8, (2, 3, 4, 5, 6))
    assert tail.bad_lines.words == "8 lines of the log could not be read, the first in lines 2, 3, 4, 5, 6"
    skipping = Tail(path)
    skipping.skip_to(6)
    skipping.read_all()
    assert skipping.bad_lines == BadLines(7)
    assert skipping.bad_lines.words == "7 lines of the log could not be read"


def damaged_in_order() -> Iterator[tuple[str, list[events.AnyEvent]]]:
    """Yield logs whose lines are facts, each by itself, but not one after the other."""

    def log() -> list[events.AnyEvent]:
        return numbered([*a_run()[:-1], probe_fact(step=4, epoch=1), *a_run()[-1:]])

    facts = log()
    facts[6], facts[11] = facts[11], facts[6]
    yield "two lines of batches swapped", facts
    yield "every line twice", [event for event in log() for _ in range(2)]
    yield "all lines the other way round", log()[::-1]
    facts = log()
    facts[8:9] = [events.BatchNorm(layers={"nowhere": statistics()}, step=2), facts[8]]
    yield "a layer that the model has not", facts
    facts = log()
    for event in facts[8:]:
        event.time -= 3600
    yield "a clock that was set back", facts
    facts = log()
    for event in facts[8:]:
        event.step, event.epoch = 0, 0
    yield "steps that go back", facts
    facts = log()
    facts.insert(8, events.StateChanged(state="dreaming", step=2))
    yield "a state of another version", facts
    facts = log()
    facts[-2] = probe_fact(train=2.0, inference=1.0, gap=0.0, batch_norm=0.5, step=4, epoch=1)
    yield "a gap of 0 between losses that differ", facts
    facts = log()
    facts[2] = model_built(layer("bn_1", momentum=-5e9, channels=0), layer("bn_2", momentum=5e9), seq=2)
    measured = {path: events.ProbeLayer(in_order=0.5, alone=0.5, drift=1.0, elements=64) for path in ("bn_1", "bn_2")}
    facts[-2] = probe_fact(gap=1.0, batch_norm=1.0, inference=0.0, layers=measured, step=1000, epoch=1)
    yield "momenta that are none", facts
    facts = log()
    measured = {"bn_3": events.ProbeLayer(in_order=0.5, alone=0.5, drift=100.0, elements=64)}
    facts[-2] = probe_fact(layers=measured, step=4, epoch=1)
    facts[-1] = model_built(layer("bn_3", trainable=False), seq=99, step=4, epoch=1)
    yield "a layer that is told after its probe", facts
    facts = log()
    facts[6] = events.Batches(first_step=0, metrics={"loss": [], "accuracy": [1e-45], "": [None] * 2}, batches=2)
    yield "metrics of different lengths", facts


ORDERS = dict(damaged_in_order())


@pytest.mark.parametrize("facts", ORDERS.values(), ids=ORDERS.keys())
def test_facts_that_do_not_follow_from_each_other_are_folded_and_looked_at(
    runs: Path, facts: list[events.AnyEvent], capsys: Capture
) -> None:
    run = RunDirectory.at(runs / "run")
    run.session_log.write_bytes(b"".join(msgspec.json.encode(fact) + b"\n" for fact in facts))
    state = fold(Tail(run.session_log).read_all())
    assert state.untaken == []
    for metrics in (state.batch_metrics, state.epoch_metrics):
        assert all(np.all(np.diff(series.steps) >= 0) for series in metrics.values())
    assert rules.look(state)[1] == {}
    for words in (["list", str(runs)], ["doctor", str(run.path)], ["doctor", str(run.path), "--json"]):
        assert main(words) in (0, 1, 3)
    assert "error of tuimon" not in capsys.readouterr().out


def test_swapped_lines_are_the_same_curve() -> None:
    swapped, whole = fold(ORDERS["two lines of batches swapped"]), fold(numbered(a_run()))
    assert swapped.batch_metrics["loss"].steps.tolist() == [0, 1, 2, 3]
    assert np.array_equal(swapped.batch_metrics["loss"].values, whole.batch_metrics["loss"].values, equal_nan=True)


def test_a_fact_that_cannot_be_folded_is_named_and_those_behind_it_are_folded() -> None:
    facts = numbered(a_run())
    assert isinstance(facts[8], events.BatchNorm)
    # The trainer's own facts are not checked: that could end a training.
    facts[8].layers["bn_1"].moving_mean = [0.0] * 6
    state = fold(facts)
    assert state.ended is not None
    (said,) = unread(state, BadLines(), 0)
    assert said.startswith("1 fact was left out for an error of tuimon, first fact 8, batch_norm: ValueError: ")


def test_a_rule_that_fails_is_blind_and_the_others_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(state: RunState) -> list[Finding]:
        raise ZeroDivisionError(f"at step {state.step}")

    monkeypatch.setattr(rules, "RULES", {failing: ("R1", "R3"), **rules.RULES})
    state = fold(numbered(a_run()))
    found, errors = rules.look(state)
    assert found
    examined = {rule.rule: rule for rule in examine(state, found, errors)}
    assert [examined[rule].outcome for rule in ("R1", "R3")] == ["blind", "blind"]
    assert examined["R1"].detail == "an error of tuimon (ZeroDivisionError: at step 4)"
    assert examined["R12"].outcome == "fired"


def test_every_rule_of_the_examination_is_a_rule() -> None:
    numbers = {number for numbers in rules.RULES.values() for number in numbers}
    assert numbers == {rule.rule for rule in examine(RunState(), [])}


def test_a_log_of_another_version_of_the_protocol_is_told(runs: Path, capsys: Capture) -> None:
    run = make_run(runs, [started(protocol=7), *a_run()[1:]])
    main(["doctor", str(run.path)])
    words = "The log is of version 7 of the protocol, this tuimon reads version 1: what it says may be misread."
    assert words in " ".join(capsys.readouterr().out.split())
    said = facts_in_words.of(started(protocol=7), RunState())
    assert said.endswith("protocol 7, this tuimon reads 1: it may be misread")


def test_a_run_that_cannot_be_read_hides_no_other(runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Also where the reason is an error of tuimon."""
    for name in ("bad", "good", "torn"):
        make_run(runs, a_run(), name)
    (runs / "torn" / "session.jsonl").write_bytes(b"torn\n" * 3)
    (runs / "good" / "config.toml").write_text(f"[model]\nunits = {'9' * 5000}\n")
    look = Glance.look

    def failing(glance: Glance) -> bool:
        if glance.run.name == "bad":
            raise IndexError("list index out of range")
        return look(glance)

    monkeypatch.setattr(Glance, "look", failing)
    assert main(["list", str(runs)]) == 0
    printed = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "finished" in printed["good"]
    assert "cannot be read, an error of tuimon (IndexError: list index out of range)" in printed["bad"]
    assert "cannot be read: 3 lines of the log could not be read: lines 1, 2 and 3" in printed["torn"]
    assert live_runs(runs) == []
    assert newest(runs)[0].name in [run.name for run in runs_in(runs)]


def test_numbers_of_a_config_that_are_too_long_are_texts() -> None:
    state = fold([started()])
    digits = "9" * 400
    found = parameters_of(state, {"model": {"units": int(digits)}, "training": {"learning_rate": int(digits)}})
    assert found["model.units"] == digits
    assert "learning rate" not in found
