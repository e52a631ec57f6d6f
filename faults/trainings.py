"""Trainings to make faults against: one of NumPy alone, and a real `tuimon run` with Keras."""

import contextlib
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from faults import ROOT, logs
from faults.place import PATIENCE_SECONDS, Place, waited
from faults.plain_trainer import Plan
from helpers import command
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.checkpoints import Checkpoints


class Training(ABC):
    """A run, and the process of its newest attempt.

    Args:
        place: Where it lies.
        name: Of its files.
    """

    def __init__(self, place: Place, name: str) -> None:
        self.place = place
        self.beside = place.directory(f"{name}-beside")
        self.process: subprocess.Popen[str] | None = None

    @property
    @abstractmethod
    def run(self) -> RunDirectory:
        """The run directory."""

    @abstractmethod
    def start(self, *, resumes: bool = False) -> None:
        """Start an attempt, and wait for its first step.

        Raises:
            AssertionError: It makes none.
        """

    @abstractmethod
    def trainer_pid(self) -> int:
        """Return the process that trains."""

    @property
    def moments(self) -> bytes:
        """What it has done so far, a letter each; see `faults.plain_trainer`."""
        with contextlib.suppress(FileNotFoundError):
            return (self.beside / "moments").read_bytes()
        return b""

    def until_moment(self, letter: str, seconds: float = PATIENCE_SECONDS) -> bool:
        """Wait until it begins to do something; return whether it did in time."""
        before = self.moments.count(letter.encode())
        return waited(lambda: self.moments.count(letter.encode()) > before, seconds, every=0.0005)

    def goes_on(self, moments: int) -> bool:
        """Wait for further steps; return whether there are any, or the training has come to where it is held.

        Args:
            moments: How many there were before.
        """
        return waited(lambda: len(self.moments) > moments + 2 or self.moments.endswith(b"h"))

    def until_first_step(self) -> None:
        """Wait for the first step of an attempt that was launched.

        Raises:
            AssertionError: It makes none.
        """
        process, before = self.process, self.moments.count(b"b")
        assert process is not None
        waited(lambda: self.moments.count(b"b") > before or process.poll() is not None)
        assert self.moments.count(b"b") > before, f"the trainer makes no step: {self.last_words}"

    def signal(self, number: int) -> None:
        """Send a signal to the process that trains."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.trainer_pid(), number)

    def kill(self) -> None:
        """Kill the process that trains, as the system does, and wait for whoever started it."""
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(PATIENCE_SECONDS)

    def let_go(self) -> None:
        """Let it train to its end without a pause."""
        (self.beside / "go").touch()

    def finish(self, seconds: float = 2 * PATIENCE_SECONDS) -> str:
        """Let it train to its end; return what is wrong with that, empty if nothing is."""
        self.let_go()
        assert self.process is not None
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"training has not ended after {seconds:.0f} s"
        return f"training ended with exit code {code}: {self.last_words}" if code else ""

    @property
    def last_words(self) -> str:
        """The last line that the process printed."""
        return last_line(self.beside / "printed")

    def weights(self) -> list[bytes] | None:
        """Return the weights at the end of training; None where it has not come so far."""
        try:
            with np.load(self.weights_file) as saved:
                return [saved[name].tobytes() for name in saved.files]
        except (OSError, ValueError, StopIteration):
            return None

    @property
    def weights_file(self) -> Path:
        """Where the weights are saved at the end."""
        return self.beside / "weights.npz"

    def ask(self, request: commands.AnyRequest) -> Path:
        """Put a request, and return its file."""
        return self.run.put_request(commands.signed(request, attempt=None))

    def checkpoint_error(self) -> str:
        """Return what is wrong with the newest checkpoint; empty if there is none, or if it is whole."""
        _, wrong = Checkpoints(self.run.checkpoints).newest()
        return wrong[0] if wrong else ""


def differs(training: Training, alone: Training) -> str:
    """Return how a training differs from one that was left alone; empty if it does not, bit for bit."""
    here, there = training.weights(), alone.weights()
    if here is None or there is None:
        return "training has not come to its end"
    return "" if here == there else "the weights differ from those of an undisturbed training"


def last_line(path: Path) -> str:
    """Return the last line of a file that is not empty."""
    try:
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1][:200] if lines else ""


class Plain(Training):
    """A training without a framework; its options are those of `Plan`.

    Args:
        place: Where it lies.
        name: Of its files.
        run: Its run directory, unless it is under the place's own.
        before: A command line that its own is appended to, such as that of strace.
        module: What is run.
        options: Of the plan.
    """

    def __init__(
        self,
        place: Place,
        name: str = "plain",
        *,
        run: Path | None = None,
        before: Sequence[str] = (),
        module: str = "faults.plain_trainer",
        **options: Any,
    ) -> None:
        super().__init__(place, name)
        self._module = module
        self._run = RunDirectory.at(run or place.directory("runs") / name)
        self.options = options
        self._before = before

    @property
    def run(self) -> RunDirectory:
        return self._run

    def start(self, *, resumes: bool = False) -> None:
        self.launch(resumes=resumes)
        self.until_first_step()

    def launch(self, *, resumes: bool = False) -> None:
        """Start an attempt, and wait for nothing."""
        plan = Plan(run=str(self._run.path), beside=str(self.beside), resumes=resumes, **self.options)
        line = [sys.executable, "-m", self._module, msgspec.json.encode(plan).decode()]
        with (self.beside / "printed").open("ab") as printed:
            self.process = self.place.start([*self._before, *line], cwd=ROOT, stdout=printed, stderr=printed)

    def trainer_pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def counts(self) -> dict[str, int]:
        """Return by type how many facts were recorded, once the process has ended well."""
        try:
            return msgspec.json.decode((self.beside / "counts.json").read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}


def undisturbed(place: Place, **options: Any) -> Plain:
    """Return a plain training of the same plan that nothing happened to."""
    training = Plain(place, "undisturbed", **{**options, "step_seconds": 0.0, "validation_seconds": 0.0})
    training.let_go()
    training.launch()
    wrong = training.finish()
    assert not wrong, wrong
    return training


MINE = """
import os
import time
from pathlib import Path

import keras
import numpy as np

def build():
    layers = keras.layers
    return keras.Sequential([
        keras.Input((6,)), layers.Dense(8), layers.BatchNormalization(name="bn"), layers.Dropout(0.25),
        layers.Dense(1, name="last"),
    ])

def data():
    x = np.random.default_rng(0).standard_normal((64, 6)).astype("float32")
    return {"x": x, "y": x[:, :1] * x[:, 1:2], "validation_data": (x[:16], x[:16, :1])}

class Tell(keras.callbacks.Callback):
    "Tells what is done now, saves the weights at the end, and holds the last epoch until it may go."

    def __init__(self, beside, epochs, pause):
        super().__init__()
        self.beside, self.epochs, self.pause = Path(beside), epochs, pause
        self.file = os.open(self.beside / "moments", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epochs - 1 and not (self.beside / "go").exists():
            os.write(self.file, b"h")
            while not (self.beside / "go").exists():
                time.sleep(0.01)

    def on_train_batch_begin(self, batch, logs=None):
        os.write(self.file, b"b")
        if self.pause and not (self.beside / "go").exists():
            time.sleep(self.pause)

    def on_test_begin(self, logs=None):
        os.write(self.file, b"v")

    def on_epoch_end(self, epoch, logs=None):
        os.write(self.file, b"e")

    def on_train_end(self, logs=None):
        state = [*self.model.get_weights(), *(v.numpy() for v in self.model.optimizer.variables)]
        np.savez(self.beside / "weights.npz", *state)
"""
CONFIG = """
[model]
build = "mine:build"
[data]
build = "mine:data"
[training]
loss = "mse"
learning_rate = 0.01
batch_size = 8
epochs = {epochs}
seed = 7
jit_compile = false
callbacks = [{{class = "mine:Tell", beside = "{beside}", epochs = {epochs}, pause = {pause}}}]
[monitor]
checkpoint_minutes = {minutes}
"""


class Keras(Training):
    """A `tuimon run` of a small Keras model, without a screen.

    Args:
        place: Where it lies.
        name: Of its files.
        epochs: How many.
        pause: Seconds before each step, until it is let go.
        minutes: Between checkpoints.
        before: A command line that its own is appended to, such as that of strace.
    """

    def __init__(
        self,
        place: Place,
        name: str = "keras",
        *,
        epochs: int = 40,
        pause: float = 0.0,
        minutes: float = 0.0,
        before: Sequence[str] = (),
    ) -> None:
        super().__init__(place, name)
        self._before = before
        self.runs = place.directory(f"{name}-runs")
        self.project = place.directory(f"{name}-project")
        module, config = self.project / "mine.py", self.project / "sample.toml"
        module.write_text(MINE)
        module.chmod(0o644)
        config.write_text(CONFIG.format(epochs=epochs, beside=self.beside, pause=pause, minutes=minutes))

    @property
    def run(self) -> RunDirectory:
        (path,) = self.runs.iterdir()
        return RunDirectory(path)

    def start(self, *, resumes: bool = False) -> None:
        self.launch(resumes=resumes)
        self.until_first_step()

    def launch(self, *, resumes: bool = False) -> None:
        """Start an attempt, and wait for nothing."""
        line = ["--resume", self.run.name] if resumes else [str(self.project / "sample.toml")]
        with (self.beside / "printed").open("ab") as printed:
            self.process = self.place.start(
                [*self._before, *command("run", *line, "--headless", "--runs-dir", self.runs)],
                cwd=self.project,
                stdout=printed,
                stderr=printed,
            )

    def trainer_pid(self) -> int:
        return next(fact.pid for fact in reversed(logs.read(self.run).facts) if isinstance(fact, events.RunStarted))
