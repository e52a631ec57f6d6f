"""Everything of the trainer that is no engine works with an engine of NumPy alone, where no framework is installed."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import PATIENCE_SECONDS, ROOT, environment, until
from trainer.fake_engine import PARTS, FakeEngine
from tuimon.protocol import commands, events
from tuimon.protocol.wire import from_wire
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer import sampling
from tuimon.trainer.engine import Engine
from tuimon.trainer.fit import Fit
from tuimon.trainer.options import Options, ProbeOptions
from tuimon.trainer.session.recorder import Recorder


class Run:
    """A ``fit`` with the fake engine."""

    def __init__(self, runs: Path, *, steps: int | None = None) -> None:
        self.engine = FakeEngine()
        self.recorder = Recorder(RunDirectory.at(runs / "run"), name="fake")
        engine: Engine = self.engine
        options = Options(probe=ProbeOptions(is_on=False))
        self.fit = Fit(self.recorder, engine, {"epochs": 10, "steps": steps}, options, on_trouble=self.fail)
        self.fit.begin_epoch(0)
        self.step()

    def fail(self, error: Exception) -> None:
        raise AssertionError from error

    def step(self) -> None:
        self.fit.before_step()
        self.engine.steps.run()

    def facts(self, kind: type) -> list[Any]:
        return [fact for fact in Tail(self.recorder.run.session_log).read_all() if isinstance(fact, kind)]

    def ask(self, request: commands.AnyRequest, *, verified: bool = False) -> Any:
        """Return the answer to a request, as the log has it."""
        signed = commands.signed(request, attempt=0)
        self.recorder.run.put_request(signed)
        kinds = (events.CommandVerified,) if verified else (events.CommandApplied, events.CommandRejected)

        def answer() -> Any:
            self.step()
            return next((fact for kind in kinds for fact in self.facts(kind) if fact.id == signed.id), None)

        return until(answer, what=f"an answer to {request}")


@pytest.fixture
def run(runs: Path) -> Iterator[Run]:
    made = Run(runs)
    yield made
    made.fit.end()
    made.recorder.end("finished")


def test_a_fit_is_recorded(run: Run) -> None:
    for _ in range(4):
        run.step()
    run.fit.begin_validation()
    run.fit.before_validation_step()
    run.fit.end_validation()
    run.fit.end_epoch({"loss": 0.5, "val_loss": 0.25})
    run.fit.write_last()
    run.fit.end()
    run.recorder.end("finished")
    losses = [value for line in run.facts(events.Batches) for value in line.metrics["loss"]]
    assert losses == [1.0, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert run.facts(events.Batches)[-1].running == {"accuracy": 0.5}
    assert run.facts(events.EpochEnded)[0].logs == {"loss": 0.5, "val_loss": 0.25}
    assert run.facts(events.ValidationBatches)[0].metrics == {"loss": [0.5]}
    assert set(run.facts(events.BatchNorm)[-1].layers) == set(PARTS)
    assert set(run.facts(events.BatchNormChannels)[-1].layers) == set(PARTS)
    assert run.facts(events.FitStarted)[0].optimizer == "SGD"
    assert [fact.status for fact in run.facts(events.RunEnded)] == ["finished"]


def test_slow_steps_are_not_compiling_for_ever(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every step takes longer than the time between two readings, the values are read before each."""
    monkeypatch.setattr(sampling, "LOOK_SECONDS", 0.0)
    run = Run(runs)
    run.step()
    until(lambda: [fact.state for fact in run.facts(events.StateChanged)] == ["compiling", "training"])
    run.fit.end()
    run.recorder.end("finished")


def test_a_frozen_layer_is_verified(run: Run) -> None:
    verified = run.ask(commands.Freeze(layers=["bn_1"]), verified=True)
    assert verified.held
    assert verified.detail == (
        "moving statistics, gamma and beta of 1 layer stayed the same; moving statistics of 1 layer changed"
    )
    before = run.engine.layers.read()["bn_1"]["moving_mean"].tolist()
    run.step()
    assert run.engine.layers.read()["bn_1"]["moving_mean"].tolist() == before
    verified = run.ask(commands.Unfreeze(), verified=True)
    assert (verified.held, verified.detail) == (True, "moving statistics of all 2 layers changed")


def test_layers_that_learn_gamma_and_beta_are_not_said_to_hold_them(run: Run) -> None:
    run.ask(commands.Freeze(layers=["bn_1"]), verified=True)
    verified = run.ask(commands.Phase(phase="inference"), verified=True)
    assert verified.detail == (
        "moving statistics, gamma and beta of 1 layer stayed the same; moving statistics of 1 layer stayed the same"
    )


def test_a_freeze_that_the_engine_does_not_make_true_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.engine.layers, "train", lambda mode: FakeEngine().layers.train(mode) or moved(run))
    verified = run.ask(commands.Freeze(layers=["bn_2"]), verified=True)
    assert not verified.held
    assert verified.unexpected == ["bn_2"]


def moved(run: Run) -> None:
    for arrays in run.engine.layers.arrays.values():
        arrays["moving_mean"] += 1


def test_a_probe_takes_the_gap_apart(run: Run) -> None:
    assert isinstance(run.ask(commands.Probe()), events.CommandApplied)
    probe = run.facts(events.Probe)[0]
    assert from_wire(probe.gap) == from_wire(probe.batch_norm) == sum(PARTS.values())
    assert {path: layer.in_order for path, layer in probe.layers.items()} == PARTS
    assert {path: layer.alone for path, layer in probe.layers.items()} == PARTS
    assert (probe.stochastic, probe.other) == (0, 0)


def test_the_last_step_of_an_epoch_tells_how_far_it_moves_the_weights(runs: Path) -> None:
    """And what an engine knows of a `fit` is asked for once: looking for it may take long."""
    run, asked = Run(runs, steps=3), list[None]()
    told = run.engine.facts
    run.engine.facts = lambda: asked.append(None) or told()  # type: ignore[func-returns-value, method-assign]
    for _ in range(2):
        run.step()
    run.fit.end_epoch({"loss": 0.5})
    run.fit.end()
    run.recorder.end("finished")
    (fact,) = run.facts(events.WeightUpdates)
    # The third step of 0.1 each.
    assert from_wire(fact.layers["dense"]) == pytest.approx(0.5)
    assert fact.step == 3
    assert asked == [], "it was asked for before"


def test_moving_statistics_are_estimated_and_put_back(run: Run) -> None:
    before = run.engine.layers.read()["bn_1"]["moving_mean"].tolist()
    assert isinstance(run.ask(commands.Recalibrate(batches=2, dry_run=True)), events.CommandApplied)
    assert run.facts(events.Recalibrated)[0].after == {"loss": 0.5}
    run.ask(commands.Recalibrate(batches=2))
    assert before != [5.0, 5.0, 5.0]
    assert run.facts(events.Recalibrated)[1].examples == 8


def test_a_paused_run_takes_requests_and_goes_on(run: Run) -> None:
    training = threading.Thread(target=run.ask, args=(commands.Pause(),), daemon=True)
    training.start()
    until(lambda: "paused" in [fact.state for fact in run.facts(events.StateChanged)])
    note, resume = (commands.signed(each, attempt=0) for each in (commands.Note(text="hello"), commands.Resume()))
    run.recorder.run.put_request(note)
    until(lambda: note.id in [fact.id for fact in run.facts(events.CommandApplied)])
    assert training.is_alive()
    run.recorder.run.put_request(resume)
    training.join(PATIENCE_SECONDS)
    assert not training.is_alive()


def test_a_paused_run_says_which_request_waits_until_it_goes_on(runs: Path) -> None:
    run = Run(runs, steps=3)
    run.step()
    training = threading.Thread(target=run.ask, args=(commands.Pause(),), daemon=True)
    training.start()
    until(lambda: "paused" in [fact.state for fact in run.facts(events.StateChanged)])
    # Of this epoch one batch is left, and another epoch follows.
    asked, resume = (commands.signed(each, attempt=0) for each in (commands.Recalibrate(batches=3), commands.Resume()))
    run.recorder.run.put_request(asked)
    words = "recalibrate waits for training to go on: it needs more batches than this epoch has left"
    until(lambda: words in [fact.text for fact in run.facts(events.Note)])
    assert run.facts(events.CommandApplied)[-1].id != asked.id
    run.recorder.run.put_request(resume)
    training.join(PATIENCE_SECONDS)
    run.fit.end()
    run.recorder.end("finished")
    (answer,) = [fact for fact in run.facts(events.CommandRejected) if fact.id == asked.id]
    assert answer.reason == "training ended before the next step"


@pytest.mark.parametrize("steps", [None, 3])
def test_an_epoch_without_a_known_end_is_not_said_to_end_training(runs: Path, steps: int | None) -> None:
    run = Run(runs, steps=steps)
    detail = run.ask(commands.Stop(after="epoch")).detail
    run.fit.end()
    run.recorder.end("finished")
    assert ("stop --after batch" in detail) == (steps is None)


@pytest.mark.parametrize(
    ("request_", "check"),
    [
        (commands.LearningRate(learning_rate=0.5), lambda run: run.engine.learning_rate.rate == 0.5),
        (commands.Phase(phase="inference"), lambda run: run.engine.steps.mode.phase == "inference"),
        (commands.Freeze(layers=["dense"], weights=True), lambda run: "dense" in run.engine.steps.mode.frozen),
        (commands.Evaluate(), lambda run: run.facts(events.Evaluated)[0].logs == {"loss": 0.5}),
        (commands.Note(text="hello"), lambda run: run.facts(events.Note)[-1].text == "hello"),
        (commands.Snapshot(), lambda run: run.facts(events.BatchNormChannels)),
        (commands.Checkpoint(), lambda run: run.facts(events.CheckpointSaved)),
        (commands.Stop(), lambda run: run.engine.is_stopping and run.fit.was_stopped),
    ],
    ids=lambda value: type(value).__name__ if not callable(value) else "",
)
def test_a_request_is_applied(run: Run, request_: commands.AnyRequest, check: Callable[[Run], object]) -> None:
    assert isinstance(run.ask(request_), events.CommandApplied)
    run.recorder.close()
    assert check(run)


def test_a_rollback_restores_the_state_and_begins_a_branch(run: Run) -> None:
    run.ask(commands.Checkpoint())
    saved = run.facts(events.CheckpointSaved)[0]
    assert isinstance(run.ask(commands.Rollback()), events.CommandApplied)
    assert run.facts(events.RolledBack)[0].checkpoint == saved.name
    assert run.recorder.branch == 1
    assert run.recorder.step >= saved.step


def test_what_an_engine_cannot_do_is_rejected_with_its_reason(run: Run) -> None:
    assert run.ask(commands.Momentum(momentum=0.5)).reason == "this engine cannot"
    every = commands.Freeze(layers=["*"], weights=True)
    assert run.ask(every).reason == "no weight would be left to train"


def test_the_core_needs_no_framework(tmp_path: Path) -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(['keras', 'tensorflow', 'torch', 'jax']))\n"
    options = ["-q", "-p", "no:cacheprovider", "tests/trainer/test_engine.py", "-k", "not core"]
    tests = f"import pytest; sys.exit(pytest.main({options}))"
    done = subprocess.run(
        [sys.executable, "-c", blocked + tests],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
