"""The sample configs, run as a user runs them, only smaller."""

import contextlib
import os
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest

from helpers import ROOT, command, environment, until
from tuimon.launch import config
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory

SAMPLES = sorted((ROOT / "sample_configs").glob("*.toml"))
SMALL = ("model.arguments.samples=20000", "model.arguments.units=128", "model.arguments.epochs=3")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_config_is_valid_and_names_what_is_there(path: Path) -> None:
    config.require_functions(config.read(path), path)
    assert tomllib.loads(path.read_text())["run"]["name"]


def end_trainer(run: RunDirectory) -> None:
    """End a trainer that a failed test has left."""
    for event in Tail(run.session_log).read():
        if isinstance(event, events.RunStarted):
            with contextlib.suppress(ProcessLookupError):
                os.kill(event.pid, signal.SIGKILL)


def losses(log: list[events.AnyEvent], first: int, last: int) -> list[tuple[float, float]]:
    """Return training and validation loss of the epochs, of one step each, from ``first`` to before ``last``."""
    ended = [event for event in log if isinstance(event, events.EpochEnded) and first <= event.step - 1 < last]
    return [(from_wire(event.logs["loss"]), from_wire(event.logs["val_loss"])) for event in ended]


def test_finetune_one_sample_shows_and_explains_the_gap(
    runs: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The question, its answer by a freeze, and what the learning phases do, steered from another process."""
    variables = environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
    settings = [part for setting in (*SMALL, "training.epochs=1000000") for part in ("--set", setting)]
    path = ROOT / "sample_configs" / "finetune_one_sample.toml"
    process = subprocess.Popen(
        command("run", path, "--headless", "--runs-dir", runs, *settings),
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(lambda: list(runs.glob("*/session.jsonl")), what="the run directory")
    run = RunDirectory(next(runs.iterdir()))
    request.addfinalizer(lambda: end_trainer(run))
    tail, log = Tail(run.session_log), []

    def facts(kind: type) -> list[events.AnyEvent]:
        log.extend(tail.read_all())
        return [event for event in log if isinstance(event, kind)]

    def wait_for_steps(steps: int) -> None:
        start = max((event.step for event in facts(events.EpochEnded)), default=0)
        until(lambda: facts(events.EpochEnded) and log[-1].step >= start + steps, what=f"{steps} more steps")

    def send(*words: str) -> int:
        done = subprocess.run(command("send", run.path, *words), env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        applied = facts(events.CommandApplied)[-1]
        assert isinstance(applied, events.CommandApplied)
        return applied.first_step

    wait_for_steps(10)
    frozen = send("freeze")
    wait_for_steps(5)
    send("snapshot")
    wait_for_steps(5)
    send("snapshot")
    thawed = send("unfreeze")
    wait_for_steps(5)
    train = send("phase", "train")
    wait_for_steps(5)
    inference = send("phase", "inference")
    wait_for_steps(5)
    stopped = send("stop")
    output, _ = process.communicate()
    assert process.returncode == 0
    assert "pre-training, epoch 3/3" in output
    facts(events.RunEnded)

    evaluated = {event.name: from_wire(event.logs["loss"]) for event in log if isinstance(event, events.Evaluated)}
    good = evaluated["before training"]
    before = losses(log, 0, frozen)
    assert before[0][1] == pytest.approx(good, abs=0.05)
    assert min(training for training, _ in before) > good + 1  # The gap of the question …
    assert losses(log, frozen, frozen + 1)[0][0] == pytest.approx(good, abs=0.1)  # … is gone with the very next step.
    assert losses(log, thawed - 1, thawed)[0][0] <= good  # Both fall together,
    assert losses(log, thawed - 1, thawed)[0][1] <= good
    assert losses(log, thawed, thawed + 1)[0][0] > good + 1  # and the gap is back without the freeze.
    bad, also_bad = losses(log, train, train + 1)[0]
    assert min(bad, also_bad) > good + 1  # Learning phase 1: both losses are bad,
    assert max(losses(log, inference, inference + 1)[0]) < good + 0.5  # 0: both are good.
    assert stopped > inference

    verified = [event for event in log if isinstance(event, events.CommandVerified)]
    assert [event.held for event in verified] == [True] * 4
    channels = [event for event in log if isinstance(event, events.BatchNormChannels) and frozen < event.step <= thawed]
    assert len(channels) >= 2
    assert all(event.layers == channels[0].layers for event in channels)
    assert [event.seq for event in log] == list(range(len(log)))
    assert {"after training", "with the weights of fine_tuned.weights.h5"} < evaluated.keys()
    assert (run.path / "fine_tuned.weights.h5").exists()
