"""A run as TensorBoard's log directory: its own reader finds every step and value."""

import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crooked import NAMES, crooked_run
from helpers import ROOT, SENDER, a_run, environment, make_run, statistics
from hostile import hostile_run
from tuimon.cli.main import main
from tuimon.crc32c import of_many
from tuimon.protocol import events
from tuimon.protocol.wire import Number, from_wire
from tuimon.runs.run_directory import RunDirectory


def export(run: RunDirectory, out: Path) -> int:
    return main(["export", str(run.path), "--to", "tensorboard", "--out", str(out)])


def read(directory: Path) -> dict[str, Any]:
    """Return what TensorBoard's own reader finds, by run; skip where it is not installed."""
    pytest.importorskip("tensorboard")
    script = [sys.executable, str(ROOT / "tests" / "read_event_files.py"), str(directory)]
    done = subprocess.run(script, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def single(value: Number) -> str:
    """Return what TensorBoard's reader gives of a number."""
    with np.errstate(over="ignore"):
        return repr(float(np.float32(from_wire(value))))


def test_every_step_and_value_is_there(runs: Path, tmp_path: Path) -> None:
    facts = list(crooked_run())
    run = make_run(runs, facts)
    assert export(run, tmp_path / "logs") == 0
    found = read(tmp_path / "logs")
    assert {name.rpartition("/")[0] for name in found} == {"", "branch_1", "fit_2/branch_1", "fit_2/branch_2"}
    assert {place["writer"] for place in found.values()} == {"tuimon"}

    expected: dict[str, list[tuple[int, str]]] = {}
    for event in facts:
        if isinstance(event, events.Batches):
            for name, numbers in event.metrics.items():
                # Keras' callback counts from 1: the steps that are completed with this batch.
                expected.setdefault(f"batch_{name}", []).extend(
                    (event.first_step + place, single(number))
                    for place, number in enumerate(numbers, 1)
                    if number is not None
                )
    written: dict[str, list[tuple[int, str]]] = {}
    for place in ("train", "branch_1/train", "fit_2/branch_1/train", "fit_2/branch_2/train"):
        for tag, values in found[place]["scalars"].items():
            if tag.startswith("batch_"):
                written.setdefault(tag, []).extend(map(tuple, values))
    assert written == expected
    assert len(written) == len(NAMES) + 1


def test_no_curve_goes_back(runs: Path, tmp_path: Path) -> None:
    """Curves that go back are drawn as zigzags: tensorflow/tensorboard issues 5448 and 6782, fvisin/main_loop_tf 22."""
    run = make_run(runs, crooked_run())
    assert export(run, tmp_path / "logs") == 0
    found = read(tmp_path / "logs")
    for place in found.values():
        for kind in ("scalars", "histograms", "texts"):
            for tag, values in place[kind].items():
                steps = [step for step, _ in values]
                assert steps == sorted(set(steps)), tag
    epochs = {name: place["scalars"]["epoch_loss"] for name, place in found.items() if "train" in name}
    assert epochs == {
        "train": [[0, "4.5"], [1, "8.5"]],
        "branch_1/train": [[2, "12.5"]],
        "fit_2/branch_1/train": [[0, "16.5"], [1, "20.5"]],
        "fit_2/branch_2/train": [[0, "24.5"]],
    }


def test_runs_and_names_are_those_of_keras_callback(runs: Path, tmp_path: Path) -> None:
    run = make_run(runs, a_run())
    assert export(run, tmp_path / "logs") == 0
    found = read(tmp_path / "logs")
    assert set(found) == {"train", "validation"}
    train, validation = found["train"]["scalars"], found["validation"]["scalars"]
    assert validation == {
        "epoch_loss": [[0, "inf"], [1, "-0.5"]],
        "evaluation_loss_vs_iterations": [[2, "inf"], [4, "-0.5"]],
    }
    assert train["batch_loss"] == [[1, "0.5"], [2, "nan"], [3, "-0.25"], [4, "-0.5"]]
    assert train["batch_auc"] == [[2, "0.75"]]
    assert train["epoch_loss"] == [[0, single(0.45)], [1, "-0.375"]]
    assert train["epoch_learning_rate"] == [[0, single(1e-3)], [1, single(1e-3)]]
    assert train["evaluated/before training/loss"] == [[0, single(-6.1)]]
    # The times are those of the log.
    assert found["train"]["times"]["epoch_loss"] == [1007.0, 1012.0]


def test_statistics_are_histograms_over_the_channels(runs: Path, tmp_path: Path) -> None:
    broken = statistics()
    broken.moving_mean = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, "inf"]
    broken.moving_variance = [0.0, 0.0, 0.0, 1.0, 1.0, 3.0, 3.0]
    broken.non_finite = 2
    facts = [*a_run()[:-1], events.BatchNorm(layers={"bn_1": broken}, step=6)]
    assert export(make_run(runs, facts), tmp_path / "logs") == 0
    train = read(tmp_path / "logs")["train"]
    histograms = train["histograms"]
    first = histograms["BatchNormalization/bn_1/moving_mean"][0]
    # Three channels, between the quantiles 0, 5, 25, 50, 75, 95 and 100 %.
    assert first[0] == 2
    assert [edge for edge, _, _ in first[1]] == [0, 1, 2, 3, 4, 5]
    assert [count for _, _, count in first[1]] == pytest.approx([0.15, 0.6, 0.75, 0.75, 0.6, 0.15])
    # A quantile that is not finite: no histogram is made up, the count says it.
    assert [step for step, _ in histograms["BatchNormalization/bn_1/moving_mean"]] == [2, 4]
    assert train["scalars"]["BatchNormalization/bn_1/non_finite"] == [[2, "0.0"], [4, "0.0"], [6, "2.0"]]
    # Between equal quantiles there is no width to draw: their channels are in the bucket beside them.
    step, buckets = histograms["BatchNormalization/bn_1/moving_variance"][-1]
    assert step == 6
    assert [bucket[:2] for bucket in buckets] == [[0, 1], [1, 3]]
    assert [bucket[2] for bucket in buckets] == pytest.approx([3 * 0.75, 3 * 0.25])
    assert "BatchNormalization/bn_2/gamma" not in histograms


def test_what_was_changed_is_text_that_is_shown_and_never_interpreted(runs: Path, tmp_path: Path) -> None:
    evil = "<img src=http://example.com/x> **bold** [a](http://example.com)\n# title\x1b[31m"
    facts = [
        *a_run()[:-1],
        events.Note(text=evil, step=4),
        events.Note(text="second note of this step", step=4),
        events.CommandApplied(
            id="a-1", request={"command": "lr", "learning_rate": 1e-4}, sender=SENDER, first_step=4, step=4
        ),
        events.OrderGiven(number=1, order="when nan stop", origin="script", step=4),
        events.OrderFired(number=1, order="when nan stop", request="a-2", why="loss is nan", step=4),
        events.RunEnded(status="failed", reason="ValueError: no", step=4),
    ]
    assert export(make_run(runs, facts), tmp_path / "logs") == 0
    train = read(tmp_path / "logs")["train"]
    assert train["texts"]["changes"] == [
        [2, "    freeze all: applied, 0.5 s to trace"],
        [
            4,
            "    learning rate 1e-4: applied\n    order 1 stands: when nan stop\n"
            "    order 1 fires, as loss is nan: when nan stop",
        ],
    ]
    assert train["texts"]["run"][-1] == [4, "    failed after 4 steps: ValueError: no"]
    # TensorBoard keeps one text of a tag and step.
    [(step, notes)] = train["texts"]["notes"]
    assert step == 4
    assert notes.splitlines()[1] == "    note: second note of this step"
    [shown] = train["shown"]["notes"]
    assert shown.startswith("<pre><code>note: &lt;img src")
    assert not any(sign in shown for sign in ("<img", "<strong", "<a ", "<h1", "\x1b"))


def test_hostile_facts_leave_the_directory_in_its_place(runs: Path, tmp_path: Path) -> None:
    run = hostile_run(runs)
    assert export(run, tmp_path / "place" / "logs") == 2  # Its parent is not there.
    assert export(run, tmp_path / "logs") == 0
    names = {path.relative_to(tmp_path / "logs").as_posix() for path in (tmp_path / "logs").rglob("*")}
    assert all(name.isascii() and name.isprintable() for name in names)
    read(tmp_path / "logs")


def test_numbers_that_no_trainer_writes_take_no_memory(runs: Path, tmp_path: Path) -> None:
    facts = [
        *a_run()[:-1],
        events.Batches(first_step=2**53, metrics={}, running={"auc": 0.5}, batches=2**53, step=2**53, branch=2**53),
        events.EpochEnded(logs={"loss": 1.0}, learning_rate="nan", seconds=1.0, step=2**53, epoch=2**53, branch=3),
    ]
    assert export(make_run(runs, facts), tmp_path / "logs") == 0
    found = read(tmp_path / "logs")
    assert found["branch_3/train"]["scalars"]["epoch_learning_rate"] == [[2**53, "nan"]]
    assert found[f"branch_{2**53}/train"]["scalars"]["batch_auc"] == [[2**54, "0.5"]]


def test_checksums() -> None:
    """The values are of RFC 3720, B.4, and of the catalogue's check."""
    increasing = bytes(range(32))
    known = {
        b"123456789": 0xE3069283,
        bytes(32): 0x8A9136AA,
        b"\xff" * 32: 0x62A8AB43,
        increasing: 0x46DD794E,
        increasing[::-1]: 0x113FDB5C,
    }
    assert [int(found) for found in of_many(list(known))] == list(known.values())
    alone = [int(of_many([message])[0]) for message in known]
    assert alone == list(known.values())
    many = [struct.pack("<Q", number) for number in range(3000)]
    assert len(set(of_many(many).tolist())) == len(many)


def test_numbers_are_of_single_precision() -> None:
    assert single(3.5e38) == "inf"
    assert math.isnan(float(single("nan")))


def test_an_earlier_export_is_replaced_and_nothing_else(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = make_run(runs, a_run()), tmp_path / "logs"
    out.mkdir()
    assert export(run, out) == 0
    before = sorted(out.rglob("*"))
    assert export(run, out) == 0
    assert sorted(out.rglob("*")) == before
    assert list(tmp_path.glob(".*")) == []
    mine = out / "train" / "notes.txt"
    mine.write_text("mine")
    assert export(run, out) == 2
    assert mine.read_text() == "mine"
    error = capsys.readouterr().err
    assert "something else is in this directory" in error
    assert error.count("\n") == 1


def test_what_cannot_be_written_leaves_nothing(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(runs, a_run())
    file = tmp_path / "file"
    file.write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "logs")
    for out in ("-", file, tmp_path / "nowhere" / "logs", tmp_path / "dangling"):
        assert main(["export", str(run.path), "--to", "tensorboard", "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("tuimon: ")
        assert error.count("\n") == 1
    assert file.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir() if path != runs) == ["dangling", "file"]


def test_a_log_that_goes_away_leaves_the_earlier_export(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = make_run(runs, a_run()), tmp_path / "logs"
    assert export(run, out) == 0
    before = {path: path.read_bytes() for path in out.rglob("*tfevents*")}

    def fails(*_: object) -> None:
        raise OSError(5, os.strerror(5), "session.jsonl")

    monkeypatch.setattr("tuimon.runs.log.session_log.Tail.read", fails)
    assert export(run, out) == 2
    assert {path: path.read_bytes() for path in out.rglob("*tfevents*")} == before
    assert list(tmp_path.glob(".*")) == []


def test_a_run_without_a_line_is_an_empty_directory(runs: Path, tmp_path: Path) -> None:
    assert export(RunDirectory.at(runs / "run"), tmp_path / "logs") == 0
    assert list((tmp_path / "logs").iterdir()) == []
