"""A run is its owner's alone, whatever the umask: nobody else reads it, and nobody else steers it."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import command, environment, read_log, until
from trainer.asking import AskedFit
from tuimon.protocol import commands, events
from tuimon.runs.listing.tags import change_tags
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.trainer.session import trainer_log
from tuimon.trainer.session.console import Console

MODEL = """
import keras
import numpy as np

def build():
    return keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(name="bn"), keras.layers.Dense(1)])

def data():
    print("making the data", flush=True)
    x = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")
    return {"x": x, "y": x[:, :1]}
"""
CONFIG = """
[model]
build = "mine:build"
[data]
build = "mine:data"
[training]
loss = "mse"
epochs = 1000000
jit_compile = false
[monitor]
checkpoint_minutes = 10
probe = false
"""


@pytest.fixture(params=[0o000, 0o027, 0o077], ids=oct)
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes_in(run: RunDirectory) -> dict[str, str]:
    """Return the permissions of everything in a run, and of itself."""
    return {
        str(path.relative_to(run.path)): oct(stat.S_IMODE(path.lstat().st_mode))
        for path in (run.path, *run.path.rglob("*"))
    }


def check(run: RunDirectory) -> dict[str, str]:
    modes = modes_in(run)
    wrong = {name: mode for name, mode in modes.items() if mode != ("0o700" if (run.path / name).is_dir() else "0o600")}
    assert wrong == {}
    return modes


@pytest.mark.usefixtures("_umask")
def test_everything_in_a_run_is_its_owners_alone(tmp_path: Path) -> None:
    runs = tmp_path / "made" / "too" / "runs"
    run = RunDirectory.create(runs, "x")
    console = Console(run.trainer_log)
    console.start()
    print("said by a script")
    console.stop()
    fit = AskedFit(run)
    for request in (commands.Checkpoint(), commands.Note(text="a"), commands.Snapshot()):
        fit.run.put_request(commands.signed(request, attempt=0))
    (run.commands / "x.json").mkdir(mode=0o700)
    (run.commands / "x.json" / "y").touch(mode=0o600)
    fit.step_until(lambda: len(fit.answers()) == 4)
    run.commands.rename(run.path / "old")
    fit.step_until(run.commands.is_dir)
    fit.end()
    change_tags(run.path, add=["best"], note="a note")
    change_tags(run.path, add=["better"])
    trainer_log.keep_bounded(run.trainer_log)
    assert {"session.jsonl", "trainer.log", "tags.json", "checkpoints", "commands"} <= set(check(run))
    for directory in (runs, *runs.parents[:2]):
        assert not directory.stat().st_mode & 0o022, directory
    assert [each.path for each in runs_in(runs)] == [run.path.resolve()]


def test_a_directory_for_a_script_s_run_is_made_with_those_above_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run = RunDirectory.at(tmp_path / "a" / "b" / "run")
    finally:
        os.umask(before)
    check(run)
    assert oct((tmp_path / "a").stat().st_mode & 0o777) == oct((tmp_path / "a" / "b").stat().st_mode & 0o777) == "0o755"


def test_a_real_run_under_umask_0_is_its_owners_alone(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir(mode=0o755)
    (project / "mine.py").write_text(MODEL)
    (project / "sample.toml").write_text(CONFIG)
    runs = tmp_path / "made" / "runs"

    def start(*arguments: object) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command(*arguments),
            cwd=project,
            env=environment(TUIMON_RUNS_DIR=str(runs)),
            umask=0,
            stdin=subprocess.DEVNULL,
        )

    trainer = start("run", "sample.toml", "--headless")
    try:
        until(lambda: any(runs_in(runs)))
        (run,) = runs_in(runs)
        until(lambda: any(isinstance(fact, events.Batches) for fact in read_log(run)))
        assert start("send", run.name, "checkpoint").wait() == 0
        assert start("send", run.name, "freeze").wait() == 0
        assert start("tag", run.name, "best", "--note", "a note").wait() == 0
        assert start("send", run.name, "stop").wait() == 0
        assert trainer.wait() == 0
    finally:
        trainer.kill()
        trainer.wait()
    modes = check(run)
    assert {"config.toml", "session.jsonl", "trainer.log", "tags.json", "checkpoints", "commands"} <= set(modes)
    assert sum(name.startswith("checkpoints/") for name in modes) == 2
    assert not list(run.commands.iterdir())
    assert oct(runs.stat().st_mode & 0o777) == "0o755"
    assert oct(runs.parent.stat().st_mode & 0o777) == "0o755"
