"""Asking from the shell: `tuimon get`, `tuimon list` with a filter, `tuimon compare`."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import a_run, fit_started, layer, make_run, model_built, probe_fact, started
from tuimon.cli.main import main
from tuimon.protocol import events
from tuimon.query.parting import parting

Capture = pytest.CaptureFixture[str]


def printed(capsys: Capture, *arguments: str) -> list[str]:
    """Return the lines that a subcommand prints."""
    capsys.readouterr()
    assert main(arguments) == 0, capsys.readouterr().err
    return capsys.readouterr().out.splitlines()


def document(capsys: Capture, *arguments: str) -> Any:
    """Return the JSON that a subcommand prints."""
    return json.loads("\n".join(printed(capsys, *arguments, "--json")))


def complaint(capsys: Capture, *arguments: str) -> str:
    """Return the one line in which a subcommand says what is wrong."""
    capsys.readouterr()
    assert main(arguments) == 2
    words = capsys.readouterr().err
    assert words.count("\n") == 1
    return words


def epochs(losses: list[float], *, first: int = 0, branch: int = 0, **logs: float) -> list[events.AnyEvent]:
    """Return the ends of epochs of ten steps and ten seconds each, from the epoch ``first`` on."""
    return [
        events.EpochEnded(
            logs={"loss": loss, "val_loss": loss, **logs},
            learning_rate=0.1,
            seconds=10.0,
            step=10 * (number + 1),
            epoch=number,
            branch=branch,
            time=1000.0 + 10 * (number + 1),
        )
        for number, loss in enumerate(losses, first)
    ]


def trained(losses: list[float], *, batch: int = 32, **logs: float) -> list[events.AnyEvent]:
    """Return the facts of a run that is over, with these losses."""
    begin: list[events.AnyEvent] = [started(time=990.0), model_built(layer("bn_1"))]
    begin += [fit_started(epochs=len(losses), batch_size=batch, time=1000.0), *epochs(losses, **logs)]
    end = events.RunEnded(status="finished", step=10 * len(losses), epoch=max(0, len(losses) - 1), time=9000.0)
    return [*begin, end]


def gone_back() -> list[events.AnyEvent]:
    """Return the facts of a run that was rolled back to the end of its first epoch after its third."""
    facts = trained([0.5, 0.4, 0.3])[:-1]
    saved = events.CheckpointSaved(name="a.npz", reason="asked", size_bytes=1, seconds=0.1, step=10)
    back = events.RolledBack(checkpoint="a.npz", to_step=10, to_epoch=0, step=30, epoch=2, branch=1, time=1031.0)
    return [*facts[:4], saved, *facts[4:], back]


# get


def test_the_newest_value_is_one_line_that_a_shell_can_cut(runs: Path, capsys: Capture) -> None:
    make_run(runs, trained([0.5, 0.30000001192092896]))
    (line,) = printed(capsys, "get", "run", "val_loss")
    assert line.split("  ")[:4] == ["0.30000001192092896", "step 20", "epoch 2", "branch 0"]


def test_all_names_of_the_export_can_be_asked_for(runs: Path, capsys: Capture, tmp_path: Path) -> None:
    more: list[events.AnyEvent] = [
        probe_fact(step=4, epoch=1),
        events.System(cores=2, cpu=0.25, step=4, epoch=1),
        events.WeightUpdates(layers={"dense": 0.001}, step=4, epoch=1),
        events.Recalibrated(batches=2, examples=4, dry_run=True, before={"loss": 1.5}, step=4, epoch=1),
    ]
    make_run(runs, [*a_run()[:-1], *more])
    assert main(["export", "run", "--to", "csv", "--out", "out.csv"]) == 0
    newest = {line.split(",")[3]: line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()[1:]}
    assert {"probe/gap", "batch_norm/bn_1/beta/p5", "best/val_loss", "running/auc"} < set(newest)
    for name, row in newest.items():
        (value,) = document(capsys, "get", "run", name)["values"]
        assert str(value["step"]) == row[0], name
        assert str("" if value["value"] == "nan" and not row[4] else value["value"]) == row[4], name


def test_values_around_a_step(runs: Path, capsys: Capture) -> None:
    make_run(runs, trained([0.5, 0.4, 0.3, 0.2, 0.1]))

    def steps(*arguments: str) -> list[int]:
        return [value["step"] for value in document(capsys, "get", "run", "val_loss", *arguments)["values"]]

    assert steps("--around", "29") == [20, 30, 40]
    assert steps("--around", "0") == [10, 20, 30]
    assert steps("--around", "1000000", "-n", "1") == [50]
    assert steps("-n", "2") == [40, 50]
    assert steps("-n", "100") == [10, 20, 30, 40, 50]


def test_what_was_undone_is_left_out_unless_it_is_asked_for(runs: Path, capsys: Capture) -> None:
    make_run(runs, gone_back())
    assert printed(capsys, "get", "run", "val_loss")[0].startswith("0.5  step 10  ")
    assert document(capsys, "get", "run", "val_loss", "--branch", "0")["values"][0]["value"] == 0.3
    assert len(printed(capsys, "get", "run", "val_loss", "--branch", "all", "-n", "9")) == 3
    assert "has no value of branch 1" in complaint(capsys, "get", "run", "val_loss", "--branch", "1")


def test_fits_are_told_apart(runs: Path, capsys: Capture) -> None:
    make_run(runs, [*trained([0.5, 0.4])[:-1], fit_started(step=20), *epochs([0.3], first=2)])
    assert "fit 2" in printed(capsys, "get", "run", "loss")[0]
    assert document(capsys, "get", "run", "loss", "--fit", "1")["values"][0]["value"] == 0.4


def test_without_a_run_the_newest_is_asked(runs: Path, capsys: Capture) -> None:
    make_run(runs, trained([0.5]))
    assert printed(capsys, "get", "val_loss")[0].startswith("0.5 ")


def test_a_value_that_is_not_finite_is_a_word(runs: Path, capsys: Capture) -> None:
    make_run(runs, trained(["inf"]))  # type: ignore[list-item]
    make_run(runs, [started(), fit_started(), *epochs([0.1], odd="nan")], "other")  # type: ignore[arg-type]
    assert document(capsys, "get", "run", "loss")["values"][0]["value"] == "inf"
    assert printed(capsys, "get", "run", "loss")[0].startswith("inf ")
    assert printed(capsys, "get", "other", "odd")[0].startswith("nan ")


def test_a_run_without_a_metric_is_told_what_is_missing(runs: Path, capsys: Capture, tmp_path: Path) -> None:
    make_run(runs, trained([0.5]), "digits")
    (tmp_path / "training.csv").touch()
    for named in ("digits", str(runs / "digits"), str(tmp_path / "training.csv")):
        assert main(["get", named]) == 2
        assert f"name the metric, too: tuimon get {named} val_loss\n" in capsys.readouterr().err


def test_a_misspelt_metric_names_the_nearest(runs: Path, capsys: Capture) -> None:
    make_run(runs, a_run())
    words = complaint(capsys, "get", "run", "valloss")
    assert words.startswith('tuimon: run has no metric "valloss"; the nearest: val_loss, loss')
    assert "batch/loss" in complaint(capsys, "get", "run", "batch/los")
    assert "p50" in complaint(capsys, "get", "run", "batch_norm/bn_1/moving_mean/median")
    assert "\x1b" not in complaint(capsys, "get", "run", "\x1b[31m")
    make_run(runs, [], "empty")
    assert "there is none yet" in complaint(capsys, "get", "empty", "loss")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["-n", "0"], "-n"),
        (["--around", "-1"], "--around"),
        (["--around", "soon"], "--around"),
        (["--around", "9" * 30], "--around"),
        (["--branch", "old"], "--branch"),
        (["--fit", "7"], "no value"),
    ],
)
def test_what_cannot_be_asked_is_said(runs: Path, capsys: Capture, arguments: list[str], what: str) -> None:
    make_run(runs, a_run())
    assert what in complaint(capsys, "get", "run", "loss", *arguments)


def test_a_damaged_log_is_asked_all_the_same(runs: Path, capsys: Capture) -> None:
    run = make_run(runs, trained([0.5, 0.4]))
    lines = run.session_log.read_bytes().splitlines(keepends=True)
    run.session_log.write_bytes(b"".join([*lines[:3], b"\0\0\xff{\n", *lines[3:], lines[4][:20]]))
    assert printed(capsys, "get", "run", "loss")[0].startswith("0.4 ")


# list


@pytest.fixture
def three(runs: Path) -> Path:
    """Return a directory of three runs."""
    for age, (name, losses, batch) in enumerate([("a", [0.5, 0.25], 32), ("b", [0.4, 0.3], 64), ("c", [0.9], 64)]):
        run = make_run(runs, trained(losses, batch=batch, accuracy=1 - losses[-1]), name)
        os.utime(run.session_log, (1000 + age, 1000 + age))
    return runs


def test_a_filter_needs_no_option(three: Path, capsys: Capture) -> None:
    def names(*arguments: str) -> list[str]:
        return [run["name"] for run in document(capsys, "list", *arguments)["runs"]]

    assert names("val_loss<0.35") == ["a", "b"]
    assert names("val_loss<0.35 batch=64") == ["b"]
    assert names("val_loss<0.35", "batch=64", "--filter", "finished") == ["b"]
    assert names(str(three), "lr=0.1", "--sort", "accuracy") == ["a", "b", "c"]
    assert names(str(three)) == ["a", "b", "c"]
    assert "tuimon list --filter digits" in complaint(capsys, "list", "digits")
    assert "one directory at a time" in complaint(capsys, "list", str(three), str(three.parent))
    assert 'no run has "val_los"' in complaint(capsys, "list", "val_los<3")


def test_what_was_asked_for_has_a_column(three: Path, capsys: Capture) -> None:
    heading, first, *_ = printed(capsys, "list", "accuracy>0.5 batch=64")
    assert "BEST accuracy" in heading
    assert " batch " in heading
    assert first.split()[0] == "b"
    assert " 0.7 " in first
    plain, *_ = printed(capsys, "list", "val_loss<1", "--sort", "best")
    assert plain.count("BEST") == 1


# compare


def test_best_final_and_differing_settings(three: Path, capsys: Capture) -> None:
    lines = printed(capsys, "compare", "a", "b", "c")
    assert lines[0] == "A  a: finished, epoch 2, step 20"
    row = next(line for line in lines if line.startswith("best val_loss"))
    assert row.split() == ["best", "val_loss", "0.25", "(epoch", "2)", "0.3", "(epoch", "2)", "0.9", "(epoch", "1)"]
    assert next(line for line in lines if line.startswith("batch ")).split() == ["batch", "32", "64", "64"]
    found = document(capsys, "compare", "a", "b", "c")
    assert found["settings"]["batch size"] == [32, 64, 64]
    assert found["runs"][1]["final"]["val_loss"] == {"value": 0.3, "epoch": 1, "step": 20}
    assert found["runs"][0]["best"]["val_loss"] == {"value": 0.25, "epoch": 1, "step": 20}


def test_curves_that_one_run_alone_has_are_counted(runs: Path, capsys: Capture) -> None:
    histograms: dict[str, float] = {f"dense/kernel/{place}": 0.5 for place in range(30)}
    make_run(runs, trained([0.5, 0.4], mystery=0.5), "a")
    make_run(runs, trained([0.5, 0.3], mystery=0.25, accuracy=0.7, **histograms), "b")
    lines = printed(capsys, "compare", "a", "b")
    assert not any("kernel" in line for line in lines)
    assert "30 more that one run alone has, and no best value: --json" in lines
    assert any(line.startswith("final mystery") for line in lines)
    assert any(line.startswith("best accuracy") for line in lines)
    assert "dense/kernel/7" in document(capsys, "compare", "a", "b")["runs"][1]["final"]


def test_steps_and_seconds_to_a_target(three: Path, capsys: Capture) -> None:
    lines = printed(capsys, "compare", "a", "b", "c", "--target", "val_loss=0.4", "--target", "accuracy>0.6")
    row = next(line for line in lines if line.startswith("to val_loss=0.4"))
    assert "step 20, epoch 2, 20 s" in row
    assert "step 10, epoch 1, 10 s" in row
    assert row.endswith("not reached")
    found = document(capsys, "compare", "a", "c", "--target", "val_loss=0.4")
    assert found["runs"][0]["targets"]["val_loss=0.4"] == {"epoch": 1, "step": 20, "seconds": 20.0, "value": 0.25}
    assert found["runs"][1]["targets"]["val_loss=0.4"] is None


def test_a_target_that_was_undone_is_not_reached(three: Path, capsys: Capture) -> None:
    make_run(three, gone_back(), "back")
    found = document(capsys, "compare", "a", "back", "--target", "val_loss=0.4")
    assert found["runs"][1]["targets"]["val_loss=0.4"] is None
    assert found["runs"][1]["final"]["val_loss"]["value"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["a"], "2 to 26 runs"),
        (["a", "nope"], "no run named"),
        (["a", "b", "--target", "val_loss"], "METRIC=VALUE"),
        (["a", "b", "--target", "val_loss=low"], "no number"),
        (["a", "b", "--target", "val_loss=nan"], "not finite"),
        (["a", "b", "--target", "mystery=3"], "mystery<3"),
        (["a", "b", "--target", "val_los<0.3"], "nearest: val_loss"),
    ],
)
def test_what_cannot_be_compared_is_said(three: Path, capsys: Capture, arguments: list[str], what: str) -> None:
    assert what in complaint(capsys, "compare", *arguments)


def test_runs_without_an_epoch_are_compared(runs: Path, capsys: Capture) -> None:
    make_run(runs, [started()], "a")
    make_run(runs, [], "b")
    assert printed(capsys, "compare", "a", "b")[-1] == "no setting that the logs have differs"
    assert document(capsys, "compare", "a", "b")["partings"] == []


def test_names_from_outside_are_shown_and_not_obeyed(runs: Path, capsys: Capture) -> None:
    for name in "ab":
        make_run(runs, trained([0.5] * 9, **{"\x1b[31mred_loss\n": 0.5}), name)
    assert "\x1b" not in "".join(printed(capsys, "compare", "a", "b"))


def test_it_is_said_from_which_epoch_on_curves_are_apart(runs: Path, capsys: Capture) -> None:
    random = np.random.default_rng(1)
    base = np.linspace(1.0, 0.5, 20) + random.normal(0, 0.001, 20)
    make_run(runs, trained(base.tolist()), "a")
    make_run(runs, trained((base - 0.1 * (np.arange(20) >= 12)).tolist()), "b")
    make_run(runs, trained((base + random.normal(0, 0.001, 20)).tolist()), "c")
    make_run(runs, trained(base.tolist()), "same")
    lines = printed(capsys, "compare", "a", "b", "c", "same")
    at = lines.index("val_loss, less that of A in the same epoch")
    assert lines[at + 1].startswith("  B  equal to the last digit until epoch 12; apart from epoch 13 on: -0.1")
    assert "not apart beyond three times their noise" in lines[at + 2]
    assert "no difference" in lines[at + 3]
    found = {one["runs"][1]: one for one in document(capsys, "compare", "a", "b", "c")["partings"]}
    assert (found["b"]["apart_after"], found["b"]["apart_from"]) == (11, 12)
    assert found["c"]["apart_from"] is None


def test_too_few_epochs_say_nothing(three: Path, capsys: Capture) -> None:
    assert any("too few epochs" in line for line in printed(capsys, "compare", "a", "b"))


def test_curves_of_one_kind_are_hardly_ever_said_to_be_apart() -> None:
    random = np.random.default_rng(0)
    numbers = np.arange(30)
    base = 1 / (1 + numbers)
    said = 0
    for _ in range(500):
        first, other = (base + random.normal(0, 0.02, 30) for _ in range(2))
        said += parting(numbers, first, numbers, other).apart_from is not None
    assert said <= 5


def test_noise_behind_equal_epochs_is_not_taken_for_a_difference() -> None:
    """Two runs of one seed are equal for long, and then differ by rounding: the median of their noise would be 0."""
    random = np.random.default_rng(0)
    numbers = np.arange(30)
    said = 0
    for _ in range(500):
        other = np.where(numbers < 20, 0.0, random.normal(0, 0.02, 30))
        said += parting(numbers, np.zeros(30), numbers, other).apart_from is not None
    assert said <= 15
    assert not parting(numbers, np.zeros(30), numbers, np.where(numbers < 25, 0.0, 1.0)).is_known


def test_the_epoch_from_which_on_curves_are_apart_is_found() -> None:
    random = np.random.default_rng(0)
    numbers = np.arange(40)
    found = []
    for _ in range(200):
        first, other = (np.exp(-numbers / 20) + random.normal(0, 0.01, 40) for _ in range(2))
        found.append(parting(numbers, first, numbers, other + 0.2 * (numbers >= 25)).apart_from)
    assert np.mean([one == 25 for one in found]) > 0.95


def test_other_epochs_and_values_that_are_not_finite() -> None:
    numbers = np.arange(12)
    values = np.linspace(1, 0, 12)
    nothing = parting(numbers, values, numbers + 100, values)
    assert (nothing.epochs, nothing.last_difference, nothing.is_known) == (0, None, False)
    spoiled = np.where(numbers > 9, np.nan, values)
    assert parting(numbers, values, numbers, spoiled).epochs == 10
    both = parting(numbers, spoiled, numbers, spoiled)
    assert (both.same_until, both.apart_from) == (11, None)
