"""A training of NumPy alone: a process that starts in half a second, with everything of the trainer but a framework.

It trains a line by steps on batches that follow from their number, under `Fit`, `Recorder` and `Checkpoints`, on the
engine of the tests. So a training that was disturbed has other weights in the end. The process is
`python -m faults.plain_trainer PLAN`; the plan is JSON.
"""

import collections
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import faults  # noqa: F401 - finds the engine of the tests
from trainer.fake_engine import FakeEngine, FakeState, FakeSteps
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.checkpoints import Checkpoints
from tuimon.trainer.fit import Fit
from tuimon.trainer.options import Options, ProbeOptions
from tuimon.trainer.session.recorder import Recorder

RATE, BATCH, WIDTH = 0.05, 16, 8
TORN_SECONDS = 0.003
"""How long putting a state back takes at least, so that a kill can meet it."""


class Plan(msgspec.Struct, kw_only=True):
    """What to train."""

    run: str
    """The run directory."""
    beside: str
    """A directory for what the trainer tells the one who makes the fault; on a disk that nothing happens to."""
    resumes: bool = False
    epochs: int = 10
    steps: int = 4
    step_seconds: float = 0.0
    validation_seconds: float = 0.0
    checkpoint_minutes: float = 0.0
    ballast_bytes: int = 0
    """So much more a checkpoint holds."""
    notes: int = 0
    """Notes of 200 characters that are recorded in each epoch, to fill a disk."""
    metrics: int = 0
    """Metrics beside the loss."""
    holds: bool = False
    """Whether the last epoch waits until the file ``go`` is there."""


class Weights:
    """What is trained: by least squares, on batches that follow from their number."""

    def __init__(self, ballast_bytes: int) -> None:
        self.line = np.zeros(WIDTH)
        self.ballast = np.zeros(ballast_bytes // 8)

    def train(self, number: int) -> float:
        """Make a step on the batch of this number; return its loss."""
        x = np.random.default_rng(number).normal(size=(BATCH, WIDTH))
        error = x @ self.line - 2 * x[:, 0] + x[:, 1]
        self.line -= RATE * x.T @ error / BATCH
        return float(np.mean(error**2))


class State(FakeState):
    """All of it, so that training goes on bit for bit."""

    def __init__(self, engine: "PlainEngine") -> None:
        super().__init__(engine.layers)
        self._engine = engine

    def capture(self) -> Any:
        layers = self._engine.layers
        parts = {f"{path}/{name}": array.copy() for path, own in layers.arrays.items() for name, array in own.items()}
        weights = self._engine.weights
        return {**parts, "dense": layers.dense.copy(), "line": weights.line.copy(), "ballast": weights.ballast.copy()}

    def dtypes(self) -> dict[str, str]:
        return {name: str(array.dtype) for name, array in self.capture().items()}

    def restore(self, arrays: Mapping[str, Any], dtypes: Mapping[str, str] | None = None) -> None:
        self._engine.tell("r")
        time.sleep(TORN_SECONDS)
        for name, array in arrays.items():
            path, _, part = name.rpartition("/")
            if path:
                self._engine.layers.arrays[path][part][:] = array
        self._engine.layers.dense[:] = arrays["dense"]
        self._engine.weights.line[:] = arrays["line"]


class Steps(FakeSteps):
    """A step also trains the weights."""

    engine: "PlainEngine"

    def run(self) -> None:
        super().run()
        self.values[-1] = self.engine.weights.train(self.engine.batch_number)


class PlainEngine(FakeEngine):
    """The engine of the tests with weights that depend on every step."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.weights, self.batch_number = Weights(plan.ballast_bytes), 0
        self.steps = Steps(self.layers)
        self.steps.engine = self
        self.state = State(self)
        self._moments = os.open(Path(plan.beside) / "moments", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def tell(self, moment: str) -> None:
        """Tell what is done now.

        Args:
            moment: b for a step, v for a validation, e for an epoch's end, r for a state put back, h for where it waits
                until it may go on.
        """
        os.write(self._moments, moment.encode())

    def facts(self) -> Any:
        return super().facts()._replace(batch_size=BATCH)

    def read_values(self) -> dict[str, Any]:
        values = super().read_values()
        for number in range(self.plan.metrics if values else 0):
            values[f"metric_{number:04}"] = values["loss"] * number
        return values


class CountingRecorder(Recorder):
    """Also counts what is recorded, by type."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._counting = threading.Lock()
        super().__init__(*arguments, **options)

    def record(self, event: events.AnyEvent, when_written: Any = None) -> None:
        with self._counting:
            self.counts[str(type(event).__struct_config__.tag)] += 1
        super().record(event, when_written)


def resume(recorder: Recorder, engine: PlainEngine) -> int:
    """Restore the newest checkpoint as the trainer of `tuimon run` does; return the epoch to begin with."""
    newest, wrong = Checkpoints(recorder.run.checkpoints).newest()
    for words in wrong:
        recorder.note(words)
    if newest is None:
        return 0
    engine.state.restore(newest.arrays, newest.meta.dtypes)
    meta = newest.meta
    recorder.reach(meta.step)
    recorder.enter_epoch(meta.next_epoch)
    recorder.branch_off()
    recorder.record(
        events.RunResumed(
            checkpoint=newest.name,
            to_step=meta.step,
            to_epoch=meta.next_epoch,
            repeated_steps=meta.repeated_steps,
            lost_steps=recorder.step - meta.step,
        )
    )
    return meta.next_epoch


def train(plan: Plan, recorder: Recorder, engine: PlainEngine) -> bool:
    """Train all epochs; return whether a request ended it."""
    first = resume(recorder, engine) if plan.resumes else 0
    options = Options(
        probe=ProbeOptions(is_on=False),
        checkpoint_minutes=plan.checkpoint_minutes,
        checkpoint_at_stop=plan.checkpoint_minutes > 0,
    )
    fit = Fit(recorder, engine, {"epochs": plan.epochs, "steps": plan.steps}, options, on_trouble=_fail)
    go = Path(plan.beside) / "go"
    for epoch in range(first, plan.epochs):
        fit.begin_epoch(epoch)
        for place in range(plan.steps):
            engine.batch_number = epoch * plan.steps + place
            engine.tell("b")
            fit.before_step()
            engine.steps.run()
            time.sleep(0.0 if go.exists() else plan.step_seconds)
            if engine.is_stopping:
                break
            if plan.holds and epoch == plan.epochs - 1 and place == 0:
                engine.tell("h")
                while not go.exists():
                    time.sleep(0.01)
        engine.tell("v")
        fit.begin_validation()
        fit.before_validation_step()
        time.sleep(0.0 if go.exists() else plan.validation_seconds)
        fit.end_validation()
        engine.tell("e")
        for _ in range(plan.notes):
            recorder.note("x" * 200)
        fit.end_epoch({"loss": 1.0 / (1 + epoch), "val_loss": 2.0 / (1 + epoch)})
        fit.save_if_due()
        if engine.is_stopping:
            break
    fit.write_last()
    fit.end()
    return fit.was_stopped


def _fail(error: Exception) -> None:
    raise error


def main(text: str) -> int:
    """Train a plan; return the exit code."""
    plan = msgspec.json.decode(text, type=Plan)
    run, beside = RunDirectory.at(Path(plan.run)), Path(plan.beside)
    recorder = CountingRecorder(run, name="plain", resumes=plan.resumes)
    engine = PlainEngine(plan)
    was_stopped = train(plan, recorder, engine)
    recorder.end("stopped" if was_stopped else "finished")
    (beside / "counts.json").write_bytes(msgspec.json.encode(recorder.counts))
    arrays = {name.replace("/", "-"): array for name, array in engine.state.capture().items()}
    del arrays["ballast"]
    np.savez(beside / "weights.npz", **arrays)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
