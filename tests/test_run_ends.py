"""How `tuimon run` tells of a training that something else ends: signals, the kernel, its own crash."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import command, environment, read_log, until
from tuimon.launch import exit_status
from tuimon.protocol import commands, events
from tuimon.protocol.commands import signed
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.checkpoints import Checkpoints

MINE = """
import ctypes
import os
import sys
import threading

import keras
import numpy as np

class Stall(keras.callbacks.Callback):
    "Stands still in one place: touches a file, and waits for ever, or until another is there."

    def __init__(self, hook, at, until=None):
        super().__init__()
        self.at, self.until = at, until
        setattr(self, hook, self.stall)

    def stall(self, *_, **__):
        if int(self.model.optimizer.iterations) >= self.at and not os.path.exists("stalls"):
            open("stalls", "w").close()
            while self.until is None or not os.path.exists(self.until):
                threading.Event().wait(0.01)

def build():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])

def data(end=""):
    if end == "crash":
        ctypes.string_at(0)
    if end == "leave":
        os._exit(7)
    if end == "memory":
        np.ones(2**32, "float32")
    if end == "no memory":
        raise MemoryError
    if end == "exit":
        sys.exit("no GPU")
    x = np.random.default_rng(0).standard_normal((64, 3)).astype("float32")
    return {"x": x, "y": x[:, :1], "validation_data": (x, x[:, :1])}
"""
CONFIG = """
[model]
build = "mine:build"
[data]
build = "mine:data"
[training]
loss = "mse"
batch_size = 4
epochs = 1000000
"""


class Run:
    """A `tuimon run --headless`, and the processes that it started."""

    def __init__(self, directory: Path, runs: Path) -> None:
        self.runs = runs
        self.config = directory / "sample.toml"
        self.config.write_text(CONFIG)
        self.config.with_name("mine.py").write_text(MINE)
        self.config.with_name("mine.py").chmod(0o644)
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object, **variables: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            command("run", *arguments, "--headless", "--runs-dir", self.runs),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.config.parent,
            env=environment() | variables,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    @property
    def directory(self) -> RunDirectory:
        (path,) = self.runs.iterdir()
        return RunDirectory(path)

    def facts(self, kind: type[events.Event]) -> list[events.AnyEvent]:
        logs = list(self.runs.glob("*/session.jsonl"))
        return [event for event in read_log(self.directory) if isinstance(event, kind)] if logs else []

    def trainer(self) -> int:
        """Return the pid of the newest training process, once it trains."""
        attempts = len(self.processes)
        until(lambda: len(self.facts(events.RunStarted)) == attempts, what="the start")
        started = self.facts(events.RunStarted)[-1]
        assert isinstance(started, events.RunStarted)
        until(lambda: any(each.seq > started.seq for each in self.facts(events.EpochEnded)), what="an epoch")
        return started.pid

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        for started in self.facts(events.RunStarted):
            assert isinstance(started, events.RunStarted)
            try:
                os.kill(started.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def run(tmp_path: Path, runs: Path) -> Iterator[Run]:
    directory = tmp_path / "project"
    directory.mkdir()
    run = Run(directory, runs)
    yield run
    run.end()


def test_a_signal_ends_training_with_a_checkpoint_and_nothing_is_lost(run: Run) -> None:
    process = run.start(run.config)
    os.kill(run.trainer(), signal.SIGTERM)
    _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert err == f"tuimon: {run.directory.name} stopped by SIGTERM; go on: tuimon run --resume {run.directory.name}\n"
    (saved,) = run.facts(events.CheckpointSaved)
    (ended,) = run.facts(events.RunEnded)
    assert isinstance(ended, events.RunEnded)
    assert isinstance(saved, events.CheckpointSaved)
    assert (ended.status, ended.reason, saved.reason) == ("stopped", "SIGTERM", "SIGTERM")
    assert saved.step == ended.step > 0
    # In Slurm the process that was started is signalled, too, and its end would end training.
    again = run.start("--resume", run.directory.name, SLURM_STEP_ID="0", SLURM_JOB_ID="7")
    run.trainer()
    again.send_signal(signal.SIGUSR1)
    _, err = again.communicate()
    assert again.returncode == 128 + signal.SIGUSR1
    assert "stopped by SIGUSR1; go on" in err
    (resumed,) = run.facts(events.RunResumed)
    assert isinstance(resumed, events.RunResumed)
    assert (resumed.lost_steps, resumed.to_step) == (0, ended.step)


@pytest.mark.full
def test_a_kill_is_told_by_its_signal(run: Run) -> None:
    process = run.start(run.config)
    os.kill(run.trainer(), signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGKILL
    name = run.directory.name
    again = f"; go on: tuimon run --resume {name}" if list(run.directory.checkpoints.iterdir()) else ""
    assert err == f"tuimon: {name} failed: killed by SIGKILL; its output: {run.directory.trainer_log}{again}\n"


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        pytest.param("crash", 128 + signal.SIGSEGV, "failed: segmentation fault (SIGSEGV) at ", marks=pytest.mark.full),
        ("leave", 1, "failed: the training process ended with exit code 7 and recorded no reason"),
        pytest.param("no memory", 1, "failed: MemoryError at mine.py:", marks=pytest.mark.full),
        pytest.param("exit", 1, "failed: sys.exit: no GPU at mine.py:", marks=pytest.mark.full),
    ],
)
def test_an_end_of_its_own_is_told(run: Run, end: str, code: int, words: str) -> None:
    process = run.start(run.config, "--set", f"data.arguments.end={end}")
    _, err = process.communicate()
    assert process.returncode == code
    assert words in err
    assert err.count("\n") == 1


STALLS = """
[[training.callbacks]]
class = "mine:Stall"
hook = "%s"
at = %s
%s
[monitor]
grace_seconds = %s
"""


@pytest.mark.full
@pytest.mark.parametrize("again", [False, True])
def test_training_that_comes_to_no_steps_end_ends_all_the_same(run: Run, again: bool) -> None:
    with run.config.open("a") as file:
        file.write(STALLS % ("on_train_batch_end", 20, "", 600 if again else 0.5))
    process = run.start(run.config)
    until((run.config.parent / "stalls").exists)
    (started,) = run.facts(events.RunStarted)
    assert isinstance(started, events.RunStarted)
    os.kill(started.pid, signal.SIGTERM)
    while process.poll() is None:
        try:
            process.wait(1 if again else None)
        except subprocess.TimeoutExpired:
            os.kill(started.pid, signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    (ended,) = run.facts(events.RunEnded)
    assert isinstance(ended, events.RunEnded)
    words = "SIGTERM, the second signal" if again else "SIGTERM, and no step ended within 0.5 s"
    assert (ended.status, ended.reason) == ("stopped", words)
    assert not run.facts(events.CheckpointSaved)
    notes = [note.text for note in run.facts(events.Note) if isinstance(note, events.Note)]
    assert notes == ["SIGTERM: training ends after this step"]


@pytest.mark.full
@pytest.mark.parametrize(
    ("hook", "epoch_is_whole"), [("on_epoch_begin", False), ("on_epoch_end", True), ("on_test_end", True)]
)
def test_a_signal_at_any_place_saves_where_training_stands(run: Run, hook: str, epoch_is_whole: bool) -> None:
    with run.config.open("a") as file:
        file.write(STALLS % (hook, 20, 'until = "goes on"', 600))
    process = run.start(run.config)
    until((run.config.parent / "stalls").exists)
    (started,) = run.facts(events.RunStarted)
    assert isinstance(started, events.RunStarted)
    os.kill(started.pid, signal.SIGTERM)
    until(lambda: run.facts(events.Note), what="the signal")
    (run.config.parent / "goes on").touch()
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    (saved,) = run.facts(events.CheckpointSaved)
    newest, wrong = Checkpoints(run.directory.checkpoints).newest()
    assert newest is not None
    assert not wrong
    assert (newest.meta.at_epoch_end, newest.meta.step) == (epoch_is_whole, saved.step)
    assert newest.meta.repeated_steps == 0


@pytest.mark.full
def test_a_signal_ends_a_pause(run: Run) -> None:
    process = run.start(run.config)
    pid = run.trainer()
    run.directory.put_request(signed(commands.Pause(), attempt=None))
    until(
        lambda: any(getattr(each, "state", "") == "paused" for each in run.facts(events.StateChanged)), what="a pause"
    )
    os.kill(pid, signal.SIGHUP)
    process.communicate()
    assert process.returncode == 128 + signal.SIGHUP
    (saved,), (ended,) = run.facts(events.CheckpointSaved), run.facts(events.RunEnded)
    assert saved.step == ended.step


@pytest.fixture
def limited_group() -> Iterator[Path]:
    """Return a control group with a limit of memory, of whichever kernel interface can be had."""
    root = Path("/sys/fs/cgroup")
    is_first = (root / "memory").is_dir()
    group = root / ("memory" if is_first else "") / f"tuimon-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if is_first else "memory.max")).write_text(str(1500 * 2**20))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group with a limit can be made here: {error}")
    yield group
    until(lambda: not (group / "cgroup.procs").read_text().split(), what="an empty group")
    group.rmdir()


@pytest.mark.full
def test_a_kill_for_lack_of_memory_is_told_as_such(run: Run, limited_group: Path) -> None:
    run.config.with_name("in_group.sh").write_text(f'echo $$ > {limited_group}/cgroup.procs; exec "$@"\n')
    words = command("run", run.config, "--headless", "--runs-dir", run.runs, "--set", "data.arguments.end=memory")
    done = subprocess.run(
        ["sh", run.config.with_name("in_group.sh"), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=run.config.parent,
        env=environment(),
    )
    assert done.returncode == 128 + signal.SIGKILL
    assert "failed: killed by SIGKILL (out of memory: the kernel killed a process of its control group" in done.stderr


def test_what_is_known_of_kills_for_lack_of_memory_is_said() -> None:
    before = exit_status.MemoryKills(of_group=2, of_machine=7)
    assert before.words_since(before) == ""
    assert exit_status.MemoryKills(3, 8).words_since(before).startswith("out of memory: ")
    assert exit_status.MemoryKills(2, 8).words_since(before).startswith("perhaps out of memory: ")
    assert exit_status.MemoryKills(None, None).words_since(before) == ""
    assert exit_status.MemoryKills(3, 8).words_since(exit_status.MemoryKills()) == ""
    assert exit_status.in_words(-9, output="", memory="out of memory") == "killed by SIGKILL (out of memory)"
    assert exit_status.in_words(-15, output="", memory="out of memory") == "killed by SIGTERM"
    assert exit_status.in_words(-40, output="") == "killed by signal 40"
