"""A run as CSV."""

import csv
import io
import subprocess
from pathlib import Path

import pytest

from helpers import a_run, command, environment, make_run
from tuimon.cli.main import main
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory

HEADER = "step,epoch,time,metric,value,branch,fit"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_values_are_tidy(runs: Path, tmp_path: Path) -> None:
    make_run(runs, a_run())
    out = tmp_path / "out.csv"
    assert main(["export", "run", "--to", "csv", "--out", str(out)]) == 0
    text = out.read_text()
    assert text.startswith(HEADER + "\n")
    assert list(tmp_path.glob(".*unfinished")) == []
    found = {(row["metric"], int(row["step"])): row["value"] for row in rows(text)}
    assert found["batch/loss", 0] == "0.5"
    assert found["batch/loss", 1] == "nan"
    assert found["batch/loss", 3] == "-0.5"
    assert found["running/auc", 1] == "0.75"
    assert found["val_loss", 2] == "inf"
    assert found["loss", 4] == "-0.375"
    assert found["learning_rate", 4] == "0.001"
    assert found["evaluated/before training/loss", 0] == "-6.1"
    assert found["batch_norm/bn_1/moving_mean/p0", 2] == "0.0"
    assert found["batch_norm/bn_1/moving_mean/p50", 2] == "3.0"
    assert found["batch_norm/bn_1/moving_mean/p100", 2] == "6.0"
    assert found["batch_norm/bn_1/beta/p5", 4] == "0.0"
    assert ("batch_norm/bn_2/gamma/p50", 2) not in found
    assert {row["epoch"] for row in rows(text)} == {"0", "1"}


def test_what_was_asked_for_has_names_without_steps(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[events.AnyEvent] = [
        events.Evaluated(name="at step 4", logs={"loss": 0.5}, step=4),
        events.Evaluated(name="at step 6", logs={"loss": "nan"}, step=6, branch=1),
        events.Recalibrated(
            batches=2, examples=4, dry_run=True, before={"loss": 1.5}, after={"loss": 0.25}, step=6, branch=1
        ),
        events.Recalibrated(batches=2, examples=4, dry_run=False, after={"loss": 0.25}, step=8, branch=1),
        events.RolledBack(checkpoint="a.npz", to_step=2, to_epoch=0, step=8, branch=2),
        events.CheckpointSaved(name="a.npz", reason="asked", size_bytes=1, seconds=0.1, step=8, branch=2),
    ]
    make_run(runs, [*a_run()[:-1], *asked])
    assert main(["export", "run", "--to", "csv", "--out", "-"]) == 0
    found = [(row["step"], row["metric"], row["value"]) for row in rows(capsys.readouterr().out)]
    found = [row for row in found if not row[1].startswith("best/")]
    assert found[-5:] == [
        ("4", "evaluated/loss", "0.5"),
        ("6", "evaluated/loss", "nan"),
        ("6", "recalibrated_dry_run/before/loss", "1.5"),
        ("6", "recalibrated_dry_run/after/loss", "0.25"),
        ("8", "recalibrated/after/loss", "0.25"),
    ]


def test_the_best_has_a_row_for_each_epoch_that_improves(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def epoch(number: int, loss: float, **others: float) -> events.EpochEnded:
        return events.EpochEnded(
            logs={"loss": loss, **others}, learning_rate=0.1, seconds=1.0, step=10 * number + 10, epoch=number
        )

    facts: list[events.AnyEvent] = [
        *a_run()[:5],
        epoch(0, 0.5),
        events.CheckpointSaved(name="a.npz", reason="asked", size_bytes=1, seconds=0.1, step=10),
        epoch(1, 0.75),
        epoch(2, 0.25, accuracy=0.5, temperature=1.0),
        events.RolledBack(checkpoint="a.npz", to_step=10, to_epoch=0, step=30, epoch=3, branch=1),
        epoch(3, 0.375),
    ]
    make_run(runs, facts)
    assert main(["export", "run", "--to", "csv", "--out", "-"]) == 0
    found = [row for row in rows(capsys.readouterr().out) if row["metric"].startswith("best/")]
    assert [(row["step"], row["epoch"], row["metric"], row["value"]) for row in found] == [
        ("10", "0", "best/loss", "0.5"),
        ("30", "2", "best/loss", "0.25"),
        ("30", "2", "best/accuracy", "0.5"),
        ("10", "0", "best/loss", "0.5"),
        ("30", "3", "best/accuracy", ""),
        ("40", "3", "best/loss", "0.375"),
    ]


def test_the_load_of_the_machine_has_rows_for_what_was_read(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpus = [events.GpuLoad(index=3, name="H200", busy=0.5, memory_used=7)]
    loads: list[events.AnyEvent] = [
        events.System(cores=2, memory_used=5, disk_free=9, step=1),
        events.System(cores=2, cpu=0.25, process_cpu=1.5, gpus=gpus, step=2),
    ]
    make_run(runs, [*a_run()[:-1], *loads])
    assert main(["export", "run", "--to", "csv", "--out", "-"]) == 0
    found = [(row["step"], row["metric"], row["value"]) for row in rows(capsys.readouterr().out)]
    assert [row for row in found if row[1].startswith("system/")] == [
        ("1", "system/memory_used", "5"),
        ("1", "system/disk_free", "9"),
        ("2", "system/cpu", "0.25"),
        ("2", "system/process_cpu", "1.5"),
        ("2", "system/gpu/3/busy", "0.5"),
        ("2", "system/gpu/3/memory_used", "7"),
    ]


def test_stdout(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(runs, a_run())
    assert main(["export", "run", "--to", "csv", "--out", "-"]) == 0
    assert rows(capsys.readouterr().out)


def test_a_run_without_a_line_has_a_header(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    RunDirectory.at(runs / "run")
    assert main(["export", "run", "--to", "csv", "--out", "-"]) == 0
    assert capsys.readouterr().out == HEADER + "\n"


def test_a_file_that_cannot_be_written_is_one_line(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(runs, a_run())
    for out in ("nowhere/out.csv", "runs"):
        assert main(["export", "run", "--to", "csv", "--out", out]) == 2
        error = capsys.readouterr().err
        assert error.startswith("tuimon: ")
        assert error.count("\n") == 1


def test_a_reader_that_has_had_enough_is_no_error(runs: Path) -> None:
    make_run(runs, a_run() * 500)
    process = subprocess.Popen(
        command("export", "run", "--to", "csv", "--out", "-"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=runs.parent,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
