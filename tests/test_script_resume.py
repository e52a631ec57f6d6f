"""`Monitor(resume="auto")`: scripts that are killed as the system does it, and run again.

What people ran into: EarlyStopping's patience and best begin anew (keras#14862, transformers#28544), ModelCheckpoint
overwrites the best file with a worse one (keras#17012, #11420), ReduceLROnPlateau forgets (keras#9462), the saved state
is one epoch behind if the callback comes later in the list (Lightning#1464), training goes on though it had been
stopped early (transformers#10290), the state of one stage is that of another (keras#12803).
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import ROOT, environment, read_log
from tuimon.protocol import events
from tuimon.runs import facts_in_words
from tuimon.runs.run_directory import RunDirectory, runs_in

STEPS = 8
"""Of an epoch."""

COMMON = """
import json, os, random, signal, sys, time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import tuimon

keras.utils.set_random_seed(7)
x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
y = x[:, :1] * x[:, 1:2]

class Kill(keras.callbacks.Callback):
    "Kills the process once, before a step or at the end, as soon as the checkpoint of the last epoch is on disk."

    def __init__(self, at, epochs_before=0):
        super().__init__()
        self.at, self.before, self.epoch = at, epochs_before, -1

    def kill(self):
        step = (self.before + self.epoch + (self.at == "end")) * 8
        deadline = time.monotonic() + 60
        while not list(Path("runs").glob(f"*/checkpoints/step-{step:08}.npz")):
            assert time.monotonic() < deadline, f"no checkpoint of step {step}"
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if self.at == [self.epoch, batch]:
            self.kill()

    def on_train_end(self, logs=None):
        if self.at == "end":
            self.kill()
"""

# Without an Input: Keras builds it with the first batch. The callbacks with a state come after the Monitor.
MANY_CALLBACKS = """
class Mine(keras.callbacks.Callback):
    "Draws random numbers, and tells them."

    def __init__(self):
        super().__init__()
        self.seen = []

    def get_state(self):
        return {"seen": self.seen}

    def set_state(self, state):
        self.seen = state["seen"]

    def on_epoch_end(self, epoch, logs=None):
        drawn = tf.random.get_global_generator().normal(()), keras.random.uniform(())
        self.seen.append([random.random(), np.random.rand(), *map(float, drawn)])

tf.random.set_global_generator(tf.random.Generator.from_seed(1))
model = keras.Sequential([
    keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(1)
])
model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
stop = keras.callbacks.EarlyStopping("val_loss", patience=4, restore_best_weights=True)
plateau = keras.callbacks.ReduceLROnPlateau("val_loss", patience=2, factor=0.5, cooldown=1)
best = keras.callbacks.ModelCheckpoint("best.keras", save_best_only=True)
mine, kill = Mine(), Kill(json.loads(sys.argv[1]))
history = model.fit(
    x, y, batch_size=8, epochs=40, validation_data=(x[:16], y[:16] + 1), verbose=0,
    callbacks=[kill, tuimon.Monitor(resume="auto", checkpoint_minutes=1e-9, probe=False, console=False),
               stop, plateau, best, mine],
)
result = {
    "stop": [stop.wait, stop.best, stop.stopped_epoch, stop.best_epoch],
    "plateau": [plateau.wait, plateau.best, plateau.cooldown_counter],
    "best": best.best,
    "mine": [list(drawn) for drawn in mine.seen],
    "history": history.history,
    "epochs": history.epoch,
    "rate": float(model.optimizer.learning_rate),
}
Path("result.json").write_text(json.dumps(result, default=float))
np.savez("weights.npz", *model.get_weights(), *(v.numpy() for v in model.optimizer.variables))
"""

TWO_STAGES = """
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="body"), keras.layers.Dense(1)])
for stage, at in enumerate([None, json.loads(sys.argv[1])]):
    model.get_layer("body").trainable = stage == 0
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    monitor = tuimon.Monitor(resume="auto", checkpoint_minutes=1e-9, probe=False, console=False)
    model.fit(x, y, batch_size=8, epochs=3 - stage, verbose=0, callbacks=[monitor, Kill(at, epochs_before=3 * stage)])
np.savez("weights.npz", *model.get_weights())
"""


def example() -> str:
    """Return the script of the docs, to be killed in its second epoch; of four, so that the test is short."""
    page = (ROOT / "docs" / "resume.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    for there, here in (
        ("checkpoint_minutes=5", "checkpoint_minutes=1e-9"),
        ("epochs=50", "batch_size=384, verbose=0, epochs=4"),
        ("callbacks = [", "callbacks = [Kill(json.loads(sys.argv[1])),"),
    ):
        assert script.count(there) == 1
        script = script.replace(there, here)
    return script


class Scripts:
    """The directories of some scripts, and what the processes said that were killed and run again."""

    def __init__(self, directory: Path, *scripts: tuple[str, str, list[str]]) -> None:
        self.directory = directory
        jobs: list[list[str]] = []
        for name, script, ends in scripts:
            path = directory / name
            path.mkdir()
            (path / "train.py").write_text(COMMON + script)
            jobs += [[str(path), "train.py", end] for end in ends]
        runner = [sys.executable, str(ROOT / "tests" / "scripts_with_keras_loaded.py"), json.dumps(jobs)]
        done = subprocess.run(runner, env=environment(), capture_output=True, text=True, check=False)
        self.statuses = [int(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("exit status")]
        self.said = [line for line in done.stderr.splitlines() if line.startswith("tuimon: ")]
        assert self.statuses == [0 if job[-1] == "null" else -9 for job in jobs], done.stderr

    def runs(self, name: str) -> list[RunDirectory]:
        return list(runs_in(self.directory / name / "runs"))

    def weights(self, name: str) -> list[np.ndarray]:
        with np.load(self.directory / name / "weights.npz") as saved:
            return [saved[each] for each in saved.files]

    def result(self, name: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((self.directory / name / "result.json").read_text())
        return result


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Scripts:
    return Scripts(
        tmp_path_factory.mktemp("scripts"),
        ("whole", MANY_CALLBACKS, ["null"]),
        ("killed", MANY_CALLBACKS, ["[5, 3]", '"end"', "null"]),
        ("docs", example(), ["[1, 3]", "null"]),
    )


def test_a_script_that_was_killed_twice_ends_as_if_nothing_had_happened(scripts: Scripts) -> None:
    """In the middle of an epoch, and after EarlyStopping had ended it: then no epoch follows."""
    here, there = scripts.result("killed"), scripts.result("whole")
    assert here == there
    epochs = len(there["epochs"])
    assert 6 < epochs < 40, "it is killed before it is stopped early"
    assert there["rate"] < 0.01, "the learning rate was reduced"
    assert there["stop"][3] < 5, "the best epoch is before the first kill"
    pairs = list(zip(scripts.weights("killed"), scripts.weights("whole"), strict=True))
    assert pairs
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_its_attempts_are_one_run(scripts: Scripts) -> None:
    (run,) = scripts.runs("killed")
    log = read_log(run)
    assert [fact.seq for fact in log] == list(range(len(log)))
    assert [fact.attempt for fact in log if isinstance(fact, events.RunStarted)] == [0, 1, 2]
    first, second = [fact for fact in log if isinstance(fact, events.RunResumed)]
    assert (first.checkpoint, first.to_step, first.to_epoch, first.branch) == ("step-00000040.npz", 40, 5, 1)
    steps = len(scripts.result("whole")["epochs"]) * STEPS
    assert (second.to_step, second.to_epoch, second.branch) == (steps, steps // STEPS, 2)
    ended = [fact for fact in log if isinstance(fact, events.RunEnded)]
    assert [(fact.status, fact.step) for fact in ended] == [("finished", steps)]
    epochs = [fact.epoch for fact in log if isinstance(fact, events.EpochEnded)]
    assert epochs == list(range(steps // STEPS))
    notes = {fact.text for fact in log if isinstance(fact, events.Note)}
    assert "not restored: Kill: it has no get_state and set_state" in notes


def test_what_it_goes_on_with_is_said(scripts: Scripts) -> None:
    (run,) = scripts.runs("killed")
    said = [line for line in scripts.said if str(run.path) in line]
    assert said[0] == f"tuimon: a new run begins in {run.path}: there is no run of this name yet"
    words = "from step-00000040.npz at epoch 6: back to step 40; "
    assert said[1].startswith(f"tuimon: goes on with {run.path} {words}")
    # How many of the killed steps the log knew is a matter of milliseconds; what is said is what it knew.
    resumed = next(fact for fact in read_log(run) if isinstance(fact, events.RunResumed))
    where = facts_in_words.where_it_goes_on(resumed)
    assert said[1] == f"tuimon: goes on with {run.path} from {resumed.checkpoint} {where}"
    assert len(said) == 3


def test_the_script_of_the_docs_goes_on(scripts: Scripts) -> None:
    (run,) = scripts.runs("docs")
    log = read_log(run)
    assert [fact.to_epoch for fact in log if isinstance(fact, events.RunResumed)] == [1]
    assert [fact.epoch for fact in log if isinstance(fact, events.EpochEnded)] == [0, 1, 2, 3]


@pytest.mark.full
def test_the_state_of_the_second_stage_is_not_restored_into_the_first(tmp_path: Path) -> None:
    """Nor are the stages of one process taken apart. The short form is in `trainer/test_going_on.py`."""
    scripts = Scripts(tmp_path, ("stages", TWO_STAGES, ["[1, 4]", "null"]))
    killed, again = scripts.runs("stages")
    words = (
        f"a new run begins in {again.path}: {killed.name}: its checkpoint step-00000032.npz is of fit 2 of its program"
    )
    (said,) = [line for line in scripts.said if str(again.path) in line]
    assert said == f"tuimon: {words}; only the first fit of a program goes on with an earlier run"
    log = read_log(again)
    assert [fact.initial_epoch for fact in log if isinstance(fact, events.FitStarted)] == [0, 0]
    assert not [fact for fact in log if isinstance(fact, events.RunResumed)]
    assert log[-1].step == 5 * STEPS
