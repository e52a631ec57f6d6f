"""The command line: what it prints, what it exits with, what it leaves behind."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

import tuimon
from helpers import a_run, command, environment, make_run, stand_in, until
from tuimon import commands, events
from tuimon.cli import plain
from tuimon.cli import run as run_command
from tuimon.cli.main import COMMANDS, main
from tuimon.cli.send import NO_ANSWER
from tuimon.launcher import logout_warning
from tuimon.run_directory import RunDirectory
from tuimon.session_log import Tail

Capture = pytest.CaptureFixture[str]


def complaint(capsys: Capture) -> str:
    """Return the one line on stderr."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tuimon: ")
    assert captured.err.count("\n") == 1
    return captured.err


def facts(run: RunDirectory) -> list[events.AnyEvent]:
    return Tail(run.session_log).read_all()


# Bad input


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a directory with a config and its functions."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "mine.py").write_text("def build(): ...\ndef data(): ...\n")
    (directory / "mine.py").chmod(0o644)
    (directory / "sample.toml").write_text('[model]\nbuild = "mine:build"\n[data]\nbuild = "mine:data"\n')
    return directory


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "run, watch, replay, list, send, export"),
        (["rnu"], "invalid choice: 'rnu'"),
        (["run"], "CONFIG"),
        (["run", "nope.toml"], "nope.toml: No such file"),
        (["run", "--resume", "x"], "unrecognized arguments: --resume"),
        (["watch"], "no run here yet"),
        (["watch", "nope"], "nope: is no run"),
        (["replay", "nope"], "nope: is no run"),
        (["list", "nope"], "nope: it is no directory"),
        (["send", "nope", "freeze"], "nope: is no run"),
        (["send", "nope"], "REQUEST"),
        (["send", "nope", "phase", "both"], "invalid choice: 'both'"),
        (["send", "nope", "freeze", "--timeout", "soon"], "--timeout"),
        (["export", "nope", "--to", "csv", "--out", "-"], "nope: is no run"),
        (["export", "nope", "--to", "parquet", "--out", "-"], "invalid choice: 'parquet'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments: list[str], words: str, capsys: Capture) -> None:
    assert main(arguments) == 2
    assert words in complaint(capsys)


@pytest.mark.parametrize(
    "change",
    [
        'model.build="mine:nothing"',
        "training.epochs=zero",
        "training.epoch=3",
        "training.optimizer=Adma",
    ],
)
def test_a_wrong_config_leaves_no_run_directory(project: Path, change: str, capsys: Capture) -> None:
    assert main(["run", str(project / "sample.toml"), "--set", change]) == 2
    assert change.partition("=")[0] in complaint(capsys)
    assert not Path("runs").exists()


def test_what_a_terminal_would_act_on_is_not_passed_on(capsys: Capture) -> None:
    assert main(["watch", "evil\x1b[31m\nname"]) == 2
    assert "\x1b" not in complaint(capsys)


def test_version_and_help(capsys: Capture) -> None:
    for arguments in (["--version"], ["--help"], *([name, "--help"] for name in COMMANDS)):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"tuimon {tuimon.__version__}\n")
    for name in COMMANDS:
        assert f"    {name} " in printed
    for absent in ("doctor", "compare", "--resume", "--ascii", "rollback"):
        assert absent not in printed


# list


def test_list(runs: Path, capsys: Capture) -> None:
    finished = make_run(runs, a_run(), "b-finished")
    crashed = make_run(runs, a_run()[:-1], "a-crashed")
    RunDirectory.at(runs / "c-starting")
    os.utime(finished.session_log, (100, 100))
    os.utime(crashed.session_log, (200, 200))
    assert main(["list", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == 1
    assert [(run["name"], run["state"]) for run in document["runs"]] == [
        ("b-finished", "finished"),
        ("a-crashed", "crashed"),
        ("c-starting", "starting"),
    ]
    assert document["runs"][0] == {
        "name": "b-finished",
        "path": str(finished.path),
        "state": "finished",
        "epoch": 1,
        "step": 4,
        "started": 1000.0,
        "updated": 1015.0,
    }
    assert main(["list", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[:2]] == [
        ["NAME", "STATE", "EPOCH", "STEP"],
        ["b-finished", "finished", "2", "4"],
    ]


def test_list_reads_the_two_ends_of_a_long_log(runs: Path, capsys: Capture) -> None:
    batches: list[events.AnyEvent] = [
        events.Batches(first_step=step, metrics={"loss": [0.5] * 100}, batches=100, step=step + 100, epoch=step // 1000)
        for step in range(0, 500_000, 100)
    ]
    run = make_run(runs, [*a_run()[:5], *batches])
    assert run.session_log.stat().st_size > 2 * 1024 * 1024
    with stand_in(RunDirectory.at(runs / "other"), "hold"):
        assert main(["list", "--json"]) == 0
    listed = {line["name"]: line for line in json.loads(capsys.readouterr().out)["runs"]}
    assert (listed["run"]["step"], listed["run"]["epoch"], listed["run"]["state"]) == (500_000, 499, "crashed")
    assert listed["other"]["state"] == "training"


# send


@pytest.fixture
def run(runs: Path) -> RunDirectory:
    return RunDirectory.at(runs / "run")


def test_send_is_applied_and_verified(run: RunDirectory, capsys: Capture) -> None:
    with stand_in(run, "apply"):
        assert main(["send", "run", "freeze", "--layer", "bn_*", "--layer", "x"]) == 0
        assert capsys.readouterr().out.splitlines() == ["applied at step 3", "verified: moving statistics unchanged"]
        assert main(["send", "run", "--json", "phase", "inference", "--timeout", "30"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [fact["type"] for fact in printed] == ["command_applied", "command_verified"]
    assert printed[0]["request"] == {"command": "phase", "phase": "inference"}
    applied = [event for event in facts(run) if isinstance(event, events.CommandApplied)]
    assert applied[0].request == {"command": "freeze", "layers": ["bn_*", "x"]}
    assert applied[0].sender.pid == os.getpid()


@pytest.mark.parametrize("arguments", [["snapshot"], ["note", "hello"], ["unfreeze"], ["stop", "--after", "epoch"]])
def test_every_request_can_be_sent(run: RunDirectory, arguments: list[str], capsys: Capture) -> None:
    with stand_in(run, "apply"):
        assert main(["send", str(run.path), *arguments]) == 0
    assert capsys.readouterr().out.startswith("applied")


def test_send_is_rejected(run: RunDirectory, capsys: Capture) -> None:
    with stand_in(run, "reject"):
        assert main(["send", "run", "freeze"]) == 1
    assert capsys.readouterr().out == "rejected: not here\n"


def test_no_answer_withdraws_the_request(run: RunDirectory, capsys: Capture) -> None:
    with stand_in(run, "hold"):
        assert main(["send", "run", "freeze", "--timeout", "0.05"]) == NO_ANSWER
    assert "the request is withdrawn" in complaint(capsys)
    assert list(run.commands.iterdir()) == []


def test_a_request_that_was_taken_cannot_be_withdrawn(
    run: RunDirectory, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuimon.cli.send.LATE_SECONDS", 0.05)
    done = threading.Event()

    def take() -> None:
        while not done.wait(0.001):
            for path in run.commands.glob("[!.]*.json"):
                path.rename(path.with_name(".claimed"))

    with stand_in(run, "hold"):
        taker = threading.Thread(target=take)
        taker.start()
        try:
            assert main(["send", "run", "freeze", "--timeout", "0.5"]) == NO_ANSWER
        finally:
            done.set()
            taker.join()
    assert "may still come into force" in complaint(capsys)


def test_nobody_is_asked_where_training_is_over(runs: Path, capsys: Capture) -> None:
    run = make_run(runs, a_run())
    assert main(["send", "run", "freeze"]) == NO_ANSWER
    assert "nobody takes requests" in complaint(capsys)
    assert list(run.commands.iterdir()) == []


@pytest.mark.parametrize("arguments", [["note", ""], ["note", "x" * 20_001], ["freeze", "--layer", ""]])
def test_a_request_out_of_range_is_not_sent(run: RunDirectory, arguments: list[str], capsys: Capture) -> None:
    with stand_in(run, "hold"):
        assert main(["send", "run", *arguments]) == 2
    assert arguments[0] in complaint(capsys)
    assert list(run.commands.iterdir()) == []


# watch without a terminal


def test_watch_prints_a_finished_run(runs: Path, capsys: Capture) -> None:
    make_run(runs, a_run())
    assert main(["watch"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "preparing: loading Keras",
        "evaluated before training: loss -6.1",
        "fit: 2 epochs of 2 steps, Adam, 2 BatchNormalization layers",
        "step 2  freeze all, asked by somebody: applied, 0.5 s to trace",
        "step 3  freeze all: verified: moving statistics of 2/2 layers unchanged",
        "epoch 2/2  step 4  loss -0.375  val_loss -0.5  0.571 steps/s  phase auto  frozen 2/2",
        "finished after 4 steps",
    ]


def test_watch_takes_the_newest_run_of_a_directory(runs: Path, capsys: Capture) -> None:
    older, _ = make_run(runs, a_run()[:1], "z"), make_run(runs, a_run(), "a")
    os.utime(older.session_log, (100, 100))
    assert main(["watch", str(runs)]) == 0
    assert "finished after 4 steps" in capsys.readouterr().out


def test_watch_says_that_a_run_crashed(runs: Path, capsys: Capture) -> None:
    make_run(runs, a_run()[:-1])
    assert main(["watch", "run"]) == 1
    assert capsys.readouterr().out.endswith("crashed after 4 steps: its trainer is gone\n")


def test_watch_says_why_a_run_failed(runs: Path, capsys: Capture) -> None:
    ended = events.RunEnded(status="failed", traceback="Traceback:\n  ...\nValueError: no \x1b[31mdata\n", step=4)
    make_run(runs, [*a_run()[:-1], ended])
    assert main(["watch", "run"]) == 1
    assert capsys.readouterr().out.endswith("failed after 4 steps: ValueError: no data\n")


def test_watch_follows_a_living_run_to_its_end(run: RunDirectory) -> None:
    with stand_in(run, "apply"):
        watcher = subprocess.Popen(
            command("watch", "run"), stdout=subprocess.PIPE, text=True, cwd=run.path.parent.parent, env=environment()
        )
        assert watcher.stdout is not None
        with watcher:
            assert watcher.stdout.readline().startswith("fit: 5 epochs")
            run.put_request(commands.signed(commands.Stop(), attempt=0))
            rest = watcher.stdout.read()
    assert watcher.returncode == 0
    assert "stop after this batch" in rest
    assert rest.endswith("stopped after 0 steps\n")


def test_replay_needs_a_terminal(runs: Path, capsys: Capture) -> None:
    make_run(runs, a_run())
    assert main(["replay", "run"]) == 2
    assert "needs a terminal" in complaint(capsys)
    assert main(["replay", "run", "--speed", "0"]) == 2
    assert "--speed" in complaint(capsys)


# Progress lines


def epoch(number: int, time: float) -> list[events.AnyEvent]:
    return [
        events.Batches(first_step=number, metrics={"loss": [0.5]}, batches=1, step=number + 1, epoch=number, time=time),
        events.EpochEnded(
            logs={"loss": 0.5}, learning_rate=0.1, seconds=0.01, step=number + 1, epoch=number, time=time
        ),
    ]


def test_fast_epochs_have_a_line_a_second() -> None:
    progress = plain.Progress()
    lines = [
        line for number in range(400) for line in progress.lines(epoch(number, 1000 + number / 100), now=number / 100)
    ]
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 101", "epoch 201", "epoch 301"]


def test_a_long_epoch_has_a_line_every_ten_seconds() -> None:
    progress = plain.Progress()
    list(progress.lines(epoch(0, 1000), now=0.0))
    lines = []
    for step in range(1, 100):
        batch = events.Batches(first_step=step, metrics={"loss": [0.25]}, batches=1, step=step + 1, epoch=1)
        lines += progress.lines([batch], now=step / 4)
    assert [line.split("  ")[:3] for line in lines] == [
        ["epoch 2", "step 41", "batch loss 0.25"],
        ["epoch 2", "step 81", "batch loss 0.25"],
    ]


def test_names_from_outside_are_shown_and_not_interpreted() -> None:
    progress = plain.Progress()
    log = [events.EpochEnded(logs={"lo\x1b]0;title\x07ss\n": 1.0}, learning_rate=0.1, seconds=1.0, step=1)]
    (line,) = progress.lines(list(log), now=1.0)
    assert "\x1b" not in line
    assert "\n" not in line


def test_the_lines_of_a_log_that_grows_and_is_shortened(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    lines = plain.LogLines(path)
    assert lines.read() == []
    path.write_text("one\n 1/3 \r 2/3 \r 3/3 done\nhal")
    assert lines.read() == ["one", " 3/3 done"]
    with path.open("a") as file:
        file.write("f\n\n\x1b[31mred\n")
        file.write("I0000 00:00:1795236967.080647   30768 port.cc:153] oneDNN custom operations are on.\n")
        file.write("2026-11-21 04:00:00.1: I tensorflow/core/platform/cpu_feature_guard.cc:210] optimized\n")
    assert lines.read() == ["half", "red"]
    path.write_text("new\n")
    assert lines.read() == ["new"]


# Ctrl-C in a `run` without a screen


def test_a_second_ctrl_c_leaves_it_training(run: RunDirectory, capsys: Capture) -> None:
    leaving = run_command._Leaving(run)
    with leaving.signals():
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: list(run.commands.iterdir()))
        assert leaving.left == 0
        os.kill(os.getpid(), signal.SIGINT)
        until(lambda: leaving.left == signal.SIGINT)
    (request,) = run.commands.iterdir()
    assert isinstance(commands.decode(request.read_bytes()), commands.Stop)
    assert "Ctrl-C again leaves it training" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# Logging out


SESSION = "0::/user.slice/user-1000.slice/session-3.scope"
MANAGER = f"0::/user.slice/user-1000.slice/user@{os.getuid()}.service/app.slice/x.scope"


@pytest.mark.parametrize(
    ("environment_", "cgroup", "answer", "words"),
    [
        ({}, SESSION, "b true", "systemd-run --user --scope tuimon run"),
        ({}, SESSION, "b false", None),
        ({}, SESSION, None, None),
        ({}, MANAGER, "no", "loginctl enable-linger"),
        ({}, MANAGER, "yes", None),
        ({}, MANAGER, None, None),
        ({}, "0::/", "b true", None),
        ({}, "", "no", None),
        ({"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0"}, "", None, "step 17.0"),
        ({"SLURM_JOB_ID": "17", "ENVIRONMENT": "BATCH"}, "", None, "batch job 17"),
        ({"SLURM_JOB_ID": "17"}, "", None, None),
    ],
)
def test_logging_out(environment_: dict[str, str], cgroup: str, answer: str | None, words: str | None) -> None:
    warning = logout_warning(environment_, cgroup, lambda _: answer)
    assert warning is None if words is None else warning is not None and words in warning
    assert warning is None or "\n" not in warning
