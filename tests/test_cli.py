"""The command line: what it prints, what it exits with, what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import tuimon
from helpers import (
    PATIENCE_SECONDS,
    a_run,
    command,
    encode_log,
    environment,
    make_run,
    read_log,
    stand_in,
    started,
    until,
)
from trainer.asking import AskedFit
from tuimon.cli import list as list_command
from tuimon.cli import run as run_command
from tuimon.cli.common import progress_lines
from tuimon.cli.common.choice import NO_ANSWER
from tuimon.cli.main import COMMANDS, main
from tuimon.launch.launcher import logout_warning
from tuimon.protocol import commands, events
from tuimon.runs.log.session_log import newest_start
from tuimon.runs.run_directory import RunDirectory

Capture = pytest.CaptureFixture[str]


def complaint(capsys: Capture) -> str:
    """Return the one line on stderr."""
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tuimon: ")
    assert captured.err.count("\n") == 1
    return captured.err


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
        ([], "say what to do: run, watch, replay"),
        (["rnu"], "invalid choice: 'rnu'"),
        (["run"], "CONFIG"),
        (["run", "nope.toml"], "nope.toml: No such file"),
        (["run", "--resume", "nope"], 'no run named "nope" in '),
        (["run", "x.toml", "--resume", "y"], "--resume"),
        (["watch"], "no run here yet"),
        (["watch", "nope"], 'no run named "nope" in '),
        (["replay", "nope"], 'no run named "nope" in '),
        (["list", "nope"], "nope: it is no directory"),
        (["send", "nope", "freeze"], 'no run named "nope" in '),
        (["send", "nope"], "REQUEST"),
        (["wait", "nope"], 'no run named "nope" in '),
        (["alerts", "try"], "invalid choice: 'try'"),
        (["send", "nope", "phase", "both"], "invalid choice: 'both'"),
        (["send", "nope", "freeze", "--timeout", "soon"], "--timeout"),
        (["send", "nope", "freeze", "--statistics", "--weights"], "--weights: not allowed with argument --statistics"),
        (["send", "nope", "momentum", "0.9", "0.8"], "unrecognized arguments: 0.8 (see: tuimon send --help)"),
        (["watch", "--nonsense"], "unrecognized arguments: --nonsense (see: tuimon watch --help)"),
        (["list", "--nonsense"], "unrecognized arguments: --nonsense (see: tuimon list --help)"),
        (["export", "nope", "--to", "csv", "--out", "-"], 'no run named "nope" in '),
        (["export", "nope", "--to", "xlsx", "--out", "-"], "invalid choice: 'xlsx'"),
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
        assert f"    {name}" in printed


def test_the_help_of_send_fits_a_narrow_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in ([], *([name] for name in commands.NAMES)):
        with pytest.raises(SystemExit):
            main(["send", *(["run", *arguments] if arguments else []), "--help"])
        printed = capsys.readouterr().out
        assert max(map(len, printed.splitlines())) <= 80, printed
        if not arguments:
            assert all(f"    {name} " in printed for name in commands.NAMES)


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
        "best": {"loss": {"value": -0.375, "epoch": 1}, "val_loss": {"value": -0.5, "epoch": 1}},
        "parameters": document["runs"][0]["parameters"],
        "tags": [],
        "note": "",
        "seconds_without_step": None,
        "facts_lost": 0,
        "log_trouble": "",
        "reason": "",
    }
    assert document["runs"][0]["parameters"]["optimizer"] == "Adam"
    assert document["runs"][2]["best"] == {}
    assert main(["list", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:8] for line in lines[:2]] == [
        ["NAME", "STATE", "EPOCH", "STEP", "BEST", "IN", "EPOCH", "STARTED"],
        ["b-finished", "finished", "2", "4", "val_loss", "-0.5", "2", "1970-01-01"],
    ]
    assert lines[3].split() == ["c-starting", "starting", "–", "0", "–", "–", "–", "–"]


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("SIGTERM", "stopped by SIGTERM"),
        ("SIGUSR1, and no step ended within 10 s", "stopped by SIGUSR1"),
        ("SIGHUP, the second signal", "stopped by SIGHUP"),
        ("Ctrl-C (SIGINT)", "stopped by Ctrl-C"),
        ("sys.exit() at train.py:3", "stopped by sys.exit()"),
        ("", "stopped"),
    ],
)
def test_the_list_says_what_stopped_a_run(runs: Path, reason: str, state: str, capsys: Capture) -> None:
    make_run(runs, [*a_run()[:-1], events.RunEnded(status="stopped", reason=reason, step=4, epoch=1)])
    assert main(["list"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split("  ")[1:3] in ([f" {state}", ""], [f" {state}", "    2"]), line
    assert main(["list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    assert (listed["state"], listed["reason"]) == ("stopped", reason)


def test_a_run_that_never_began_does_not_start_for_ever(runs: Path, capsys: Capture) -> None:
    run = RunDirectory.at(runs / "run")
    os.utime(run.path, (100, 100))
    assert main(["list", "--json"]) == 0
    assert [each["state"] for each in json.loads(capsys.readouterr().out)["runs"]] == ["silent"]


def test_a_run_without_a_lock_is_silent_and_not_crashed(runs: Path, capsys: Capture) -> None:
    make_run(runs, [started(lock_error="No locks available"), *a_run()[1:-1]])
    assert main(["list", "--json"]) == 0
    assert [each["state"] for each in json.loads(capsys.readouterr().out)["runs"]] == ["silent"]


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


def test_the_list_searches_the_newest_logs_for_the_best_and_only_so_much(
    runs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[events.AnyEvent] = [
        events.EpochEnded(
            logs={"loss": float(abs(step - 50))}, learning_rate=0.1, seconds=1.0, step=step, epoch=step // 10
        )
        for step in range(0, 40_000, 10)
    ]
    for name in ("a-old", "b-new"):
        size = make_run(runs, [*a_run()[:5], *epochs], name).session_log.stat().st_size
    monkeypatch.setattr(list_command, "SKIMMED_IN_ALL", size * 6 // 10)
    assert main(["list", "--json"]) == 0
    found = {run["name"]: run["best"] for run in json.loads(capsys.readouterr().out)["runs"]}
    assert found == {"a-old": {}, "b-new": {"loss": {"value": 0.0, "epoch": 5}}}


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
    applied = [event for event in read_log(run) if isinstance(event, events.CommandApplied)]
    assert applied[0].request["layers"] == ["bn_*", "x"]
    assert applied[0].sender.pid == os.getpid()


SENT: list[tuple[list[str], dict[str, object]]] = [
    (["epochs", "120"], {"command": "epochs", "epochs": 120}),
    (["order", "when nan stop"], {"command": "order", "order": "when nan stop"}),
    (["cancel", "all"], {"command": "cancel", "number": 0}),
    (["freeze"], {"command": "freeze", "layers": [], "statistics": False, "weights": False}),
    (["freeze", "--statistics"], {"command": "freeze", "layers": [], "statistics": True, "weights": False}),
    (
        ["freeze", "--weights", "--layer", "conv*"],
        {"command": "freeze", "layers": ["conv*"], "statistics": False, "weights": True},
    ),
    (["unfreeze", "--weights"], {"command": "unfreeze", "layers": [], "statistics": False, "weights": True}),
    (["phase", "auto"], {"command": "phase", "phase": "auto"}),
    (["momentum", "0.9"], {"command": "momentum", "momentum": 0.9, "layers": []}),
    (
        ["momentum", "0", "--layer", "a", "--layer", "b"],
        {"command": "momentum", "momentum": 0.0, "layers": ["a", "b"]},
    ),
    (["lr", "1e-4"], {"command": "lr", "learning_rate": 1e-4}),
    (["lr", "schedule"], {"command": "lr", "learning_rate": None}),
    (["pause"], {"command": "pause"}),
    (["resume"], {"command": "resume"}),
    (["stop", "--after", "epoch"], {"command": "stop", "after": "epoch"}),
    (["snapshot"], {"command": "snapshot"}),
    (["note", "hello"], {"command": "note", "text": "hello"}),
]


def test_every_request_can_be_sent(run: RunDirectory, capsys: Capture) -> None:
    with stand_in(run, "unverified"):
        for arguments, asked in SENT:
            assert main(["send", str(run.path), *arguments]) == 0
            # What somebody else's request led to is not what this one did.
            assert capsys.readouterr().out == "applied at step 3\n"
            newest = [event for event in read_log(run) if isinstance(event, events.CommandApplied)][-1]
            assert newest.request == asked
    with_results = {"recalibrate", "evaluate", "checkpoint", "rollback", "probe"}
    assert {arguments[0] for arguments, _ in SENT} | with_results == set(commands.NAMES)


@pytest.mark.parametrize(
    ("arguments", "words", "result"),
    [
        (
            ["recalibrate", "--dry-run"],
            "recalibrated from 200 batches (6,400 examples), 1 held layer left out: validation loss 1.2 → 0.31 "
            "(dry run, nothing changed)",
            {"type": "recalibrated", "batches": 200, "dry_run": True},
        ),
        (
            ["recalibrate", "--batches", "1"],
            "recalibrated from 1 batch (6,400 examples), 1 held layer left out: validation loss 1.2 → 0.31",
            {"type": "recalibrated", "batches": 1, "dry_run": False},
        ),
        (
            ["evaluate"],
            "evaluated at step 3: loss 0.25  accuracy 0.5",
            {"type": "evaluated", "logs": {"loss": 0.25, "accuracy": 0.5}},
        ),
        (
            ["probe"],
            "probe (asked): train -0.28, inference -6.1, gap +5.82: BatchNorm +5.72, random layers +0.1 ± 0.01",
            {"type": "probe", "gap": 5.82},
        ),
        (
            ["checkpoint"],
            "checkpoint step-00000003.npz saved, 12 MB in 0.3 s (asked)",
            {"type": "checkpoint_saved", "name": "step-00000003.npz"},
        ),
        (
            ["rollback"],
            "rolled back to newest.npz: weights and optimizer of step 2 (epoch 2)",
            {"type": "rolled_back", "to_step": 2},
        ),
        (
            ["rollback", "a.npz"],
            "rolled back to a.npz: weights and optimizer of step 2 (epoch 2)",
            {"type": "rolled_back", "checkpoint": "a.npz"},
        ),
    ],
)
def test_what_a_request_led_to_is_printed(
    run: RunDirectory, arguments: list[str], words: str, result: dict[str, object], capsys: Capture
) -> None:
    with stand_in(run, "unverified"):
        assert main(["send", "run", *arguments]) == 0
        assert capsys.readouterr().out.splitlines() == [words, "applied at step 3"]
        assert main(["send", "run", *arguments, "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first.items() >= result.items()
    assert second["type"] == "command_applied"


@pytest.mark.parametrize("behaviour", ["paused", "unverified"])
@pytest.mark.parametrize("arguments", [["freeze"], ["lr", "0.1"]])
def test_a_step_that_shows_nothing_is_not_waited_for(
    run: RunDirectory, behaviour: str, arguments: list[str], capsys: Capture
) -> None:
    with stand_in(run, behaviour):
        began = time.monotonic()
        assert main(["send", "run", *arguments, "--timeout", str(10 * PATIENCE_SECONDS)]) == 0
        assert time.monotonic() - began < PATIENCE_SECONDS
    assert capsys.readouterr().out == "applied at step 3\n"


def test_a_trainer_that_dies_is_not_waited_for(run: RunDirectory, capsys: Capture) -> None:
    with stand_in(run, "die"):
        began = time.monotonic()
        assert main(["send", "run", "evaluate"]) == NO_ANSWER
        assert time.monotonic() - began < PATIENCE_SECONDS
    assert "its training is over; the trainer has taken the request" in complaint(capsys)


def test_the_newest_attempt_is_asked(run: RunDirectory, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small enough for all that can lie on the border between two chunks.
    monkeypatch.setattr("tuimon.runs.log.session_log._CHUNK_BYTES", 64)
    ended = events.RunEnded(status="stopped", step=4)
    note = events.Note(text='{"type":"run_started"}')
    run.session_log.write_bytes(encode_log([*a_run()[:-1], ended, started(attempt=1), ended, note]))
    with stand_in(run, "unverified"):
        assert main(["send", "run", "pause"]) == 0
    assert capsys.readouterr().out == "applied at step 3\n"
    assert [event.attempt for event in read_log(run) if isinstance(event, events.RunStarted)] == [0, 1, 2]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 22])
def test_the_newest_start_is_found_wherever_it_lies(
    run: RunDirectory, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuimon.runs.log.session_log._CHUNK_BYTES", size)
    assert newest_start(run.session_log) is None
    log: list[events.AnyEvent] = [started(), events.Heartbeat(), started(attempt=1), events.Heartbeat()]
    for cut in range(1, len(log) + 1):
        run.session_log.write_bytes(encode_log(log[:cut]))
        found = newest_start(run.session_log)
        assert found is not None
        assert found.attempt == (1 if cut >= 3 else 0)
    with run.session_log.open("ab") as file:
        file.write(b'{"type":"run_started","attempt":9\n{"type":"run_started","att')
    found = newest_start(run.session_log)
    assert found is not None
    assert found.attempt == 1


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


def test_a_trainer_that_is_killed_with_a_request_in_its_hands_is_said_to_be_gone(
    run: RunDirectory, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuimon.cli.send.LATE_SECONDS", 0.05)
    with stand_in(run, "claim") as trainer:
        ended = threading.Thread(target=lambda: (until(lambda: list(run.commands.glob(".*.claimed"))), trainer.kill()))
        ended.start()
        assert main(["send", "run", "freeze"]) == NO_ANSWER
        ended.join()
    assert complaint(capsys) == (
        "tuimon: its training is over; the trainer has taken the request and was gone before it answered\n"
    )


def test_a_sender_that_waits_through_a_kill_hears_from_the_next_attempt(
    run: RunDirectory, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The next attempt begins before anybody looks whether the former one is gone.
    monkeypatch.setattr("tuimon.cli.send.GONE_SECONDS", 1000.0)
    resumed: list[AskedFit] = []

    def crash_and_resume() -> None:
        until(lambda: list(run.commands.glob(".*.claimed")))
        trainer.kill()
        trainer.wait()
        resumed.append(AskedFit(run, resumes=True))

    with stand_in(run, "claim") as trainer:
        other = threading.Thread(target=crash_and_resume)
        other.start()
        assert main(["send", "run", "freeze"]) == 1
        other.join()
    resumed[0].end()
    assert "rejected: the attempt that took it was killed before it answered" in capsys.readouterr().out


def test_a_request_that_cannot_be_put_is_bad_input(run: RunDirectory, capsys: Capture, tmp_path: Path) -> None:
    with stand_in(run, "hold"):
        run.commands.rmdir()
        assert main(["send", "run", "freeze"]) == 2
        assert complaint(capsys) == f"tuimon: {run.commands}: No such file or directory\n"
        run.commands.symlink_to(tmp_path)
        assert main(["send", "run", "freeze"]) == 2
        assert complaint(capsys) == f"tuimon: {run.commands}: it is a link\n"


@pytest.mark.full
def test_twenty_senders_at_once_have_an_answer_each(run: RunDirectory) -> None:
    fit = AskedFit(run)
    senders = [
        subprocess.Popen(command("send", run.path, "note", f"{number}"), env=environment(), stdout=subprocess.PIPE)
        for number in range(20)
    ]
    fit.step_until(lambda: all(sender.poll() is not None for sender in senders))
    fit.end()
    assert [sender.wait() for sender in senders] == [0] * 20
    for sender in senders:
        sender.communicate()
    assert sorted(fit.notes())[:20] == sorted([*map(str, range(20))])


def test_nobody_is_asked_where_training_is_over(runs: Path, capsys: Capture) -> None:
    run = make_run(runs, a_run())
    assert main(["send", "run", "freeze"]) == NO_ANSWER
    assert "nobody takes requests" in complaint(capsys)
    assert list(run.commands.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        (["note", ""], "TEXT"),
        (["note", "x" * 20_001], "TEXT"),
        (["freeze", "--layer", ""], "--layer"),
        (["freeze", "--weights"], "--weights"),
        (["momentum", "1.5"], "MOMENTUM"),
        (["momentum", "nan"], "MOMENTUM"),
        (["momentum", "half"], "MOMENTUM"),
        (["momentum", "0.9", "--layer", ""], "--layer"),
        (["lr", "0"], "RATE"),
        (["lr", "inf"], "RATE"),
        (["lr", "-1e-4"], "RATE"),
        (["lr", "fast"], "RATE"),
        (["recalibrate", "--batches", "0"], "--batches"),
        (["recalibrate", "--batches", "100001"], "--batches"),
        (["recalibrate", "--batches", "many"], "--batches"),
        (["rollback", "x" * 201], "NAME"),
        (["stop", "--after", "lunch"], "--after"),
        (["phase", "both"], "phase"),
    ],
)
def test_a_request_out_of_range_is_not_sent(
    run: RunDirectory, arguments: list[str], argument: str, capsys: Capture
) -> None:
    make_run(run.path.parent, [started(boot_id="of another machine")])
    assert main(["send", "run", *arguments]) == 2
    assert argument in complaint(capsys)
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
    assert capsys.readouterr().out.endswith("crashed after 4 steps: its process is gone; no error was recorded\n")


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
    progress = progress_lines.Progress()
    lines = [
        line for number in range(400) for line in progress.lines(epoch(number, 1000 + number / 100), now=number / 100)
    ]
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 101", "epoch 201", "epoch 301"]


def test_the_end_of_an_epoch_is_told_though_its_last_step_was() -> None:
    progress = progress_lines.Progress()
    batches, ended = epoch(0, 1000)
    lines = [*progress.lines([batches], now=0.0), *progress.lines([ended], now=0.1), *progress.lines([], now=2.0)]
    assert [line.split("  ")[1:3] for line in lines] == [["step 1", "batch loss 0.5"], ["step 1", "loss 0.5"]]
    assert list(progress.lines([], now=20.0)) == []


def test_a_long_epoch_has_a_line_every_ten_seconds() -> None:
    progress = progress_lines.Progress()
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
    progress = progress_lines.Progress()
    log = [events.EpochEnded(logs={"lo\x1b]0;title\x07ss\n": 1.0}, learning_rate=0.1, seconds=1.0, step=1)]
    (line,) = progress.lines(list(log), now=1.0)
    assert "\x1b" not in line
    assert "\n" not in line


def test_the_lines_of_a_log_that_grows_and_is_shortened(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    lines = progress_lines.LogLines(path)
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


@pytest.mark.parametrize("wanted", [None, "3"])
def test_no_thread_is_started_for_linear_algebra_and_no_other_program_is_told_so(
    tmp_path: Path, wanted: str | None
) -> None:
    program = (
        "import gc, os, sys; from pathlib import Path; from tuimon.cli.main import main; "
        f"sys.argv = ['tuimon', 'list', '--runs-dir', {str(tmp_path)!r}]; main(); "
        "assert 'numpy' in sys.modules and gc.isenabled(); "
        "print('threads', len(list(Path('/proc/self/task').iterdir())), os.environ.get('OPENBLAS_NUM_THREADS'))"
    )
    variables = {name: value for name, value in environment().items() if name != "OPENBLAS_NUM_THREADS"}
    if wanted is not None:
        variables["OPENBLAS_NUM_THREADS"] = wanted
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    *_, threads, value = done.stdout.split()
    assert value == str(wanted)
    assert wanted is not None or threads == "1"
