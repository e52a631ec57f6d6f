"""A run as CSV, JSON lines and Parquet."""

import csv
import io
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import a_run, command, environment, fit_started, make_run, started, until
from hostile import EVIL, obeyed
from tuimon.cli.main import main
from tuimon.export.reading import facts
from tuimon.protocol import events
from tuimon.protocol.wire import Number
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
        assert "unfinished" not in error


def test_a_full_disk_is_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(runs, a_run() * 500)
    assert main(["export", "run", "--to", "csv", "--out", "/dev/full"]) == 2
    assert capsys.readouterr().err == "tuimon: /dev/full: No space left on device; nothing was exported\n"


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


def a_steered_run() -> list[events.AnyEvent]:
    """Return the facts of a rollback, a second fit, and a resumption of it."""

    def epoch(step: int, branch: int, loss: float | str) -> events.EpochEnded:
        logs: dict[str, float | str | None] = {"loss": loss, "mystery": None}
        return events.EpochEnded(logs=logs, learning_rate=0.1, seconds=1.0, step=step, branch=branch)

    return [
        started(),
        events.Evaluated(name="before", logs={"loss": 2.0}),
        fit_started(),
        epoch(4, 0, 1.0),
        events.RolledBack(checkpoint="a.npz", to_step=2, to_epoch=0, step=4, branch=1),
        epoch(8, 1, "nan"),
        fit_started(step=8, branch=1),
        epoch(12, 1, "inf"),
        started(attempt=1, step=12, branch=2),
        events.RunResumed(checkpoint="b.npz", to_step=8, to_epoch=0, repeated_steps=0, lost_steps=4, step=12, branch=2),
        fit_started(step=12, branch=2),
        epoch(16, 2, "-inf"),
    ]


PLACES = [("0", "0", "2.0"), ("0", "1", "1.0"), ("1", "1", "nan"), ("1", "2", "inf"), ("2", "2", "-inf")]
"""Branch, fit and loss of that run."""


def test_each_value_has_its_branch_and_fit(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(runs, a_steered_run())
    assert main(["export", "run", "--to", "csv", "--out", "-"]) == 0
    losses = [row for row in rows(capsys.readouterr().out) if row["metric"] in ("loss", "evaluated/before/loss")]
    assert [(row["branch"], row["fit"], row["value"]) for row in losses] == PLACES


def test_json_lines_have_the_rows_of_the_csv(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for facts_of_run in (a_run(), a_steered_run()):
        make_run(runs, facts_of_run)
        assert main(["export", "run", "--to", "csv", "--out", "-"]) == 0
        expected = rows(capsys.readouterr().out)
        assert main(["export", "run", "--to", "jsonl", "--out", "-"]) == 0
        found = [json.loads(line, parse_constant=pytest.fail) for line in capsys.readouterr().out.splitlines()]
        assert list(found[0]) == HEADER.split(",")
        as_text = [{name: "" if value is None else str(value) for name, value in row.items()} for row in found]
        assert as_text == expected
    assert {row["value"] for row in found} >= {"nan", "inf", "-inf", None}


def test_names_in_json_lines_are_what_they_are_and_nothing_is_obeyed(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = (EVIL, "層", '"quoted"\\', "a\nb", "\U000e0001tag", "")
    logs = dict.fromkeys(names, 1.0)
    make_run(runs, [*a_run()[:5], events.EpochEnded(logs=logs, learning_rate=0.1, seconds=1.0, step=2)])
    assert main(["export", "run", "--to", "jsonl", "--out", "-"]) == 0
    said = capsys.readouterr().out
    assert obeyed(said) == []
    assert "層" in said
    found = {json.loads(line)["metric"] for line in said.splitlines()}
    assert found >= set(names)


def test_parquet_has_the_rows_of_the_csv(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    make_run(runs, [*a_run()[:-1], *a_steered_run()])
    assert main(["export", "run", "--to", "csv", "--out", "-"]) == 0
    expected = rows(capsys.readouterr().out)
    assert main(["export", "run", "--to", "parquet", "--out", str(tmp_path / "run.parquet")]) == 0
    table = parquet.read_table(tmp_path / "run.parquet")
    assert table.column_names == HEADER.split(",")
    assert {name: str(table.schema.field(name).type) for name in ("step", "time", "metric", "value")} == {
        "step": "int64",
        "time": "double",
        "metric": "string",
        "value": "double",
    }
    found = table.to_pylist()
    values = [row.pop("value") for row in found]
    written = [row.pop("value") for row in expected]
    assert [{name: str(value) for name, value in row.items()} for row in found] == expected
    assert ["" if value is None else str(value) for value in values] == [text and str(float(text)) for text in written]
    assert any(value is None for value in values)
    assert any(value is not None and math.isnan(value) for value in values)


def test_parquet_of_a_run_without_a_line_has_columns(runs: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    RunDirectory.at(runs / "run")
    assert main(["export", "run", "--to", "parquet", "--out", str(tmp_path / "run.parquet")]) == 0
    assert parquet.read_table(tmp_path / "run.parquet").column_names == HEADER.split(",")


def test_parquet_without_pyarrow_is_one_line_that_says_what_to_install(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(runs, a_run())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    out = tmp_path / "run.parquet"
    assert main(["export", "run", "--to", "parquet", "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        "tuimon: parquet needs pyarrow, which is not installed here: pip install 'tuimon[parquet]'\n"
    )
    assert not out.exists()


def test_parquet_is_not_text(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow")
    make_run(runs, a_run())
    assert main(["export", "run", "--to", "parquet", "--out", "-"]) == 2
    assert capsys.readouterr().err == "tuimon: parquet is not text: name a file in place of -\n"


def test_long_work_says_how_far_it_is(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(runs, a_run() * 500)
    assert len(list(facts(run))) == len(a_run()) * 500
    assert capsys.readouterr().err == ""
    list(facts(run, quiet_seconds=0.0, seconds=0.0))
    size = f"{run.session_log.stat().st_size / 1e6:,.1f}"
    assert capsys.readouterr().err == f"tuimon: {size} of {size} MB of the log exported\n"


def test_lines_that_could_not_be_read_are_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(runs, a_run())
    with run.session_log.open("ab") as log:
        log.write(b"torn\n")
    assert main(["export", "run", "--to", "jsonl", "--out", "-"]) == 0
    said = capsys.readouterr()
    assert "epoch" in said.out
    assert said.err == (
        f"tuimon: 1 line of the log could not be read: line {len(a_run()) + 1}; all others are exported\n"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_half(runs: Path, tmp_path: Path, number: signal.Signals) -> None:
    values: list[Number] = [0.1] * 2000
    batches = (events.Batches(first_step=2000 * part, metrics={"loss": values}) for part in range(300))
    make_run(runs, [started(), *batches])
    place = tmp_path / "out"
    place.mkdir()
    command = [sys.executable, "-m", "tuimon", "export", "run", "--to", "csv", "--out", str(place / "metrics.csv")]
    process = subprocess.Popen(command)
    try:
        until(lambda: any(place.iterdir()))
        process.send_signal(number)
        # On a fast machine it may be through before.
        assert process.wait(60) in (128 + number, 0)
    finally:
        process.kill()
    assert not list(place.glob(".*"))


def test_a_signal_leaves_no_translation_of_a_log(tmp_path: Path) -> None:
    log, place = tmp_path / "training.csv", tmp_path / "place"
    place.mkdir()
    log.write_text("epoch,loss\n" + "".join(f"{epoch},1.0\n" for epoch in range(30_000)))
    command = [sys.executable, "-m", "tuimon", "export", str(log), "--to", "csv", "--out", str(tmp_path / "out.csv")]
    process = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(place)})
    try:
        until(lambda: any(place.iterdir()))
        process.terminate()
        assert process.wait(60) in (128 + signal.SIGTERM, 0)
    finally:
        process.kill()
    assert not any(place.iterdir())
