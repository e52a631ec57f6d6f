"""`tuimon wait` in scripts: what it waits for, and what its exit code says."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from alerting.phone import KEEPS, Kept, alert
from helpers import a_run, command, environment, fold, make_run, read_log, until
from tuimon.alerting import helper
from tuimon.alerting.happenings import Happenings
from tuimon.cli.main import main
from tuimon.protocol import events
from tuimon.settings import Alerts
from ui.facts import HOSTILE, started, training
from ui.watching import LiveRun


def facts() -> list[events.AnyEvent]:
    """Return a run of two epochs that warned."""
    *before, end = a_run()
    return [*before, alert(step=4), end]


@pytest.mark.parametrize(
    ("until_what", "code", "words"),
    [
        ("end", 0, "run: finished after 4 steps"),
        ("training", 0, "run: training at step 0"),
        ("epoch 1", 0, "run: epoch 1 ended at step 2"),
        ("epoch 2", 0, "run: epoch 2 ended at step 4"),
        ("step 3", 0, "run: step 3"),
        ("loss<0", 0, "run: loss -0.375 < 0 at epoch 2"),
        ("val_loss >= 1e9", 0, "run: val_loss inf >= 1e9 at epoch 1"),
        ("alert", 0, "run: step 4: R5 the gap is large: freeze"),
        ("alert r5", 0, "run: step 4: R5 "),
        ("paused", 1, "run: not reached: paused; finished after 4 steps"),
        ("alert error", 1, "run: not reached: alert error; finished"),
        ("epoch 3", 1, "run: not reached: epoch 3; finished"),
        ("val_los<0", 1, "run: not reached: val_los<0; finished after 4 steps; its epochs have loss, val_loss"),
        ("epoch", 2, "--until epoch: that is nothing to wait for; there are end, training"),
        ("epoch x", 2, "--until epoch x: "),
        ("loss<nan", 2, "--until loss<nan: expected a number after <"),
        ("loss<x", 2, "--until loss<x: expected a number after <"),
        ("alert R", 2, "--until alert R: expected one of info, warning, error, or a rule such as R5"),
    ],
)
def test_what_can_be_waited_for(
    runs: Path, until_what: str, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(runs, facts())
    assert main(["wait", "run", "--runs-dir", str(runs), "--until", *until_what.split(), "--timeout", "60"]) == code
    out, err = capsys.readouterr()
    assert words in (err if code else out)
    assert (out + err).count("\n") == 1


def test_a_run_that_failed_or_crashed_has_not_ended_well(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(runs, [*training(), events.RunEnded(status="failed", reason=f"ValueError: {HOSTILE}", step=3)], "failed")
    make_run(runs, training(), "crashed")
    make_run(runs, [*training(), events.RunEnded(status="stopped", step=3)], "stopped")
    assert [main(["wait", name, "--runs-dir", str(runs)]) for name in ("failed", "crashed", "stopped")] == [1, 1, 0]
    err = capsys.readouterr().err
    assert "failed after 3 steps: ValueError" in err
    assert "crashed after 3 steps: its process is gone" in err
    assert "\x1b" not in err


def test_what_a_job_ends_with_is_sent_before(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept(tmp_path)
    # Slow enough that whoever does not wait for it is too early.
    slow = [sys.executable, "-c", f"import time; time.sleep(1.5)\n{KEEPS}", kept.command[-1]]
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[alerts]\ncommand = {json.dumps(slow)}\n")
    monkeypatch.setenv("TUIMON_SETTINGS", str(settings))
    with LiveRun(runs, *training()) as run:
        process = helper.start(run.directory, Alerts(command=slow), since_bytes=0)
        until(lambda: (run.directory.path / "alerts").is_dir())
        run.write(events.RunEnded(status="finished", step=3))
        assert main(["wait", "live", "--runs-dir", str(runs)]) == 0
        assert [message["event"] for message in kept.messages] == ["end"]
        assert process is not None
        process.wait()
    assert len(kept.messages) == 1


def test_it_gives_up_when_the_time_is_over(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with LiveRun(runs, *training()):
        assert main(["wait", "live", "--runs-dir", str(runs), "--timeout", "0.1"]) == 124
        assert main(["wait", "live", "--runs-dir", str(runs), "--timeout", "-1"]) == 2
        assert main(["wait", "live", "--runs-dir", str(runs), "--timeout", "nan"]) == 2
    assert "tuimon: live: not reached in 0.1 s: end" in capsys.readouterr().err


def test_a_run_that_is_not_there_is_waited_for_only_if_asked(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wait", "later", "--runs-dir", str(runs)]) == 2
    assert "no run named" in capsys.readouterr().err
    assert main(["wait", "later", "--runs-dir", str(runs), "--missing-ok", "--timeout", "0.3"]) == 124
    assert "later: not reached in 0.3 s: end" in capsys.readouterr().err
    with subprocess.Popen(
        command("wait", "later", "--runs-dir", runs, "--missing-ok", "--until", "val_loss<0.5"),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as waiting:
        with LiveRun(runs, *training(), name="later") as run:
            values = (0.55, 0.45)
            for number, value in enumerate(values):
                run.write(
                    events.EpochEnded(
                        logs={"val_loss": value}, learning_rate=0.1, seconds=1.0, step=4 + number, epoch=3 + number
                    )
                )
            until(lambda: waiting.poll() is not None)
        assert waiting.stdout is not None
        assert waiting.stdout.read() == "later: val_loss 0.45 < 0.5 at epoch 5\n"
    assert waiting.returncode == 0


def test_a_run_is_waited_for_under_another_name_and_not_after_its_log_is_gone(runs: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[alerts]\ncommand = ["true"]\n')

    def waiting() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command("wait", "live", "--runs-dir", runs),
            env=environment(TUIMON_SETTINGS=str(settings)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    with LiveRun(runs, *training()) as run, waiting() as first:
        assert first.stdout is not None
        until(lambda: (run.directory.path / "alerts").is_dir())
        run.directory.path.rename(runs / "other")
        with (runs / "other" / "session.jsonl").open("ab") as log:
            log.write(msgspec.json.encode(events.RunEnded(status="finished", step=3, seq=10**6)) + b"\n")
        assert first.stdout.read() == "live: finished after 3 steps\n"
        assert first.wait() == 0
    with LiveRun(runs, *training()) as run, waiting() as second:
        assert second.stdout is not None
        until(lambda: (run.directory.path / "alerts").is_dir())
        run.directory.session_log.unlink()
        assert "its log was removed after step 3" in second.stdout.read()
        # Not waited for: alerts of a run of which nothing more is heard.
        assert second.wait(20) == 1


def test_of_a_log_of_another_program_nobody_says_that_it_crashed(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(runs, [started(source="TensorBoard log /logs"), *training()[1:]])
    assert main(["wait", "run", "--runs-dir", str(runs)]) == 1
    assert capsys.readouterr().err == (
        "tuimon: run: a log of another program, with 3 steps; whether that goes on is not known\n"
    )
    state = fold(read_log(run))
    happenings = Happenings(Alerts(stall_seconds=1))
    assert happenings.in_time(state, gone=False, now=0.0, wall=0.0) == []
    assert happenings.in_time(state, gone=True, now=1000.0, wall=1000.0) == []
