"""`tuimon run` without a terminal, with real training."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import ROOT, command, environment, read_log, until
from tuimon.launch import config
from tuimon.protocol import events
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory

MODEL = """
import keras
import numpy as np

def build(units=4):
    layers = [keras.Input((3,)), keras.layers.Dense(units), keras.layers.BatchNormalization(name="bn")]
    return keras.Sequential([*layers, keras.layers.Dense(1)])

def data(fail=False):
    if fail:
        raise ValueError("no data today")
    print("making the data", flush=True)
    x = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")
    return {"x": x, "y": x[:, :1], "validation_data": (x, x[:, :1])}
"""
NO_FLOCK = """
import errno
import fcntl

def flock(*_):
    raise OSError(errno.ENOSYS, "Function not implemented")

fcntl.flock = flock
"""
CONFIG = """
[model]
build = "mine:build"
[data]
build = "mine:data"
[training]
loss = "mse"
batch_size = 4
epochs = 3
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a directory with a config and its functions."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "mine.py").write_text(MODEL)
    (directory / "mine.py").chmod(0o644)
    (directory / "sample.toml").write_text(CONFIG)
    return directory


@pytest.fixture
def running(project: Path, runs: Path) -> Iterator["subprocess.Popen[str]"]:
    """Return a `tuimon run` without a terminal that will take very long; its trainer is ended afterwards."""
    process = subprocess.Popen(
        command("run", project / "sample.toml", "--runs-dir", runs, "--set", "training.epochs=1000000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=project,
        env=environment(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        for log in runs.glob("*/session.jsonl"):
            for event in Tail(log).read_all():
                if isinstance(event, events.RunStarted):
                    end(event.pid)


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def only_run(runs: Path) -> RunDirectory:
    (path,) = runs.iterdir()
    return RunDirectory(path)


def has_trained(runs: Path) -> bool:
    return any(
        isinstance(event, events.EpochEnded) for path in runs.iterdir() for event in read_log(RunDirectory(path))
    )


def test_run_headless(project: Path, runs: Path) -> None:
    done = subprocess.run(
        command("run", project / "sample.toml", "--headless", "--runs-dir", runs, "--name", "first try"),
        capture_output=True,
        text=True,
        check=False,
        cwd=runs.parent,
        env=environment(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    run = only_run(runs)
    assert run.name.endswith("-first-try")
    lines = done.stdout.splitlines()
    assert lines[0] == f"run {run.path}"
    assert "making the data" in lines
    assert any(line.startswith("fit: 3 epochs of 2 steps, Adam") for line in lines)
    assert any(line.startswith("epoch 3/3  step 6  loss ") for line in lines)
    assert lines[-1] == "finished after 6 steps"
    assert 'name = "first try"' in run.config.read_text()
    modes = {path.name: path.stat().st_mode & 0o777 for path in run.path.iterdir()}
    assert modes["session.jsonl"] == modes["config.toml"] == modes["trainer.log"] == 0o600
    assert modes["commands"] == 0o700


def test_a_file_system_without_locks_is_told_and_recorded_on(project: Path, runs: Path) -> None:
    (project / "sitecustomize.py").write_text(NO_FLOCK)
    done = subprocess.run(
        command("run", project / "sample.toml", "--headless", "--runs-dir", runs),
        capture_output=True,
        text=True,
        check=False,
        cwd=runs.parent,
        env=environment() | {"PYTHONPATH": f"{ROOT}:{project}"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    run = only_run(runs)
    words = "this file system has no locks (Function not implemented), so two trainers could write one log"
    assert done.stdout.count(f"tuimon: {words}: {run.session_log}") == 1
    assert run.trainer_log.read_text().count(words) == 1
    assert done.stdout.splitlines()[-1] == "finished after 6 steps"
    first, second, *_ = read_log(run)
    assert isinstance(first, events.RunStarted)
    assert first.lock_error == "Function not implemented"
    assert isinstance(second, events.Note)


def test_a_run_that_fails_says_why_and_where_to_look(project: Path, runs: Path) -> None:
    done = subprocess.run(
        command("run", project / "sample.toml", "--headless", "--runs-dir", runs, "--set", "data.arguments.fail=true"),
        capture_output=True,
        text=True,
        check=False,
        cwd=runs.parent,
        env=environment(),
    )
    assert done.returncode == 1
    assert done.stderr.startswith("tuimon: ")
    assert "failed: ValueError: no data today; its output: " in done.stderr
    assert done.stderr.strip().endswith(str(only_run(runs).trainer_log))


def test_ctrl_c_asks_training_to_stop(running: "subprocess.Popen[str]", runs: Path) -> None:
    until(lambda: has_trained(runs), what="the first epoch")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate()
    assert "asked to stop after this batch" in err
    assert "stopped after" in out
    assert running.returncode == 0
    assert [event.status for event in read_log(only_run(runs)) if isinstance(event, events.RunEnded)] == ["stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_it_training(running: "subprocess.Popen[str]", runs: Path, number: signal.Signals) -> None:
    until(lambda: has_trained(runs), what="the first epoch")
    running.send_signal(number)
    out, err = running.communicate()
    assert (running.returncode, err) == (128 + number, "")
    run = only_run(runs)
    assert f"watch it with: tuimon watch {run.path}" in out
    step = read_log(run)[-1].step
    until(lambda: read_log(run)[-1].step > step, what="further steps")


def test_what_is_printed_on_a_full_disk_is_dropped_and_training_goes_on(project: Path, runs: Path) -> None:
    with (project / "mine.py").open("a") as file:
        file.write("""
class Says(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print("epoch", epoch, flush=True)
""")
    with (project / "sample.toml").open("a") as file:
        file.write('[[training.callbacks]]\nclass = "mine:Says"\n')
    settings = config.read(project / "sample.toml")
    run = RunDirectory.create(runs, "full")
    config.write(settings, run.config)
    with Path("/dev/full").open("wb") as full:
        line = [sys.executable, "-P", "-m", "tuimon.trainer.keras.job", str(run.path)]
        done = subprocess.run(line, stdout=full, stderr=full, cwd=project, env=environment(), check=False)
    assert done.returncode == 0
    assert [event.status for event in read_log(run) if isinstance(event, events.RunEnded)] == ["finished"]
    assert len([event for event in read_log(run) if isinstance(event, events.EpochEnded)]) == 3
