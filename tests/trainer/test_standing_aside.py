"""Where the Monitor cannot record, a script that has one trains all the same, and is told why in one line."""

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

from helpers import environment
from tuimon.trainer.keras import loop, monitor, standing_aside

OF_MONITOR = {"begin"}
"""Methods of a loop that only the Monitor calls."""

WITHOUT_KERAS = """
import sys
sys.modules["keras"] = sys.modules["tensorflow"] = None
"""
WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None
"""
ON_ANOTHER_BACKEND = """
import sys, keras
keras.backend.backend = lambda: "jax"
"""
ANOTHER_KERAS = """
import sys, keras
sys.modules["keras.src.trainers.data_adapters.array_data_adapter"] = None
"""

CONSTRUCT = """
import json, pickle, tuimon
monitor = tuimon.Monitor("here", name="mine", runs_dir="there", probe=False, probe_every=3, prepare=["freeze"])
found = {
    "is the class": isinstance(pickle.loads(pickle.dumps(monitor)), tuimon.Monitor),
    "run_dir": monitor.run_dir,
    "was_stopped": monitor.was_stopped,
    "wrong": [],
}
for wrong in ({"overhead": 2}, {"probe_every": 0}, {"probe": (1,)}, {"prepare": ["thaw"]}):
    try:
        tuimon.Monitor(**wrong)
    except ValueError as error:
        found["wrong"].append(str(error))
class Mine(tuimon.Monitor):
    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
mine = Mine()
mine.set_params({})
mine.on_epoch_begin(0)
mine.on_predict_batch_end(0, logs={})
"""

WATCH = """
class Model:
    stop_training = True

def loop_through(stops_at):
    model, seen = Model(), []
    with tuimon.Monitor().watch(model, optimizer=None) as loop:
        step = loop.function(lambda batch: batch * 2, jit_compile=False)
        for epoch in loop.epochs(3):
            for batch in loop.steps(range(1, 3)):
                loop.log(loss=float(step(batch)))
                seen.append([epoch, batch, float(step(batch))])
                model.stop_training = seen[-1][:2] == stops_at
            loop.log_epoch(val_loss=0.0)
    return seen
found["loop"] = loop_through(None)
found["stopped loop"] = loop_through([1, 1])
"""

FIT = """
import keras, numpy as np
def train(callbacks):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((64, 4), "float32")
    history = model.fit(x, x[:, :1], epochs=2, verbose=0, validation_split=0.25, callbacks=callbacks).history
    return history, [weight.tolist() for weight in model.get_weights()]
found["is a callback"] = isinstance(monitor, keras.callbacks.Callback)
found["trains as without"] = train([monitor]) == train([])
"""
SHOW = """
found["loaded"] = sorted(name for name in sys.modules if name.startswith("tuimon.trainer.") and sys.modules[name])
print(json.dumps(found))
"""

LOOP = [[epoch, batch, 2.0 * batch] for epoch in range(3) for batch in (1, 2)]

LOADED = [
    "tuimon.trainer.keras",
    "tuimon.trainer.keras.standing_aside",
    "tuimon.trainer.options",
    "tuimon.trainer.standard_error",
]
"""Of the trainer: what a script loads whose training is not recorded."""


def run(*parts: str, **variables: str) -> tuple[dict[str, Any], list[str]]:
    """Run a script; returns what it found and our lines on stderr."""
    result = subprocess.run(
        [sys.executable, "-c", "".join(parts)],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return json.loads(result.stdout), [line for line in result.stderr.splitlines() if "tuimon" in line]


def assert_stands_aside(found: dict[str, Any]) -> None:
    assert found["is the class"]
    assert found["run_dir"] is None
    assert found["was_stopped"] is False
    assert len(found["wrong"]) == 4
    assert found["wrong"][0] == "overhead is a share of the training time, between 0 and 1; received 2"
    assert found["loop"] == LOOP
    assert found["stopped loop"] == LOOP[:3]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("prelude", "why"),
    [
        (WITHOUT_KERAS, "import of keras halted; None in sys.modules"),
        (WITHOUT_TENSORFLOW, "No module named 'tensorflow"),
    ],
    ids=["keras", "tensorflow"],
)
def test_without_keras_or_tensorflow(prelude: str, why: str) -> None:
    found, lines = run(prelude, CONSTRUCT, WATCH, SHOW, KERAS_BACKEND="tensorflow")
    assert_stands_aside(found)
    assert len(lines) == 1
    assert lines[0].startswith("tuimon: nothing is recorded: ModuleNotFoundError: ")
    assert why in lines[0]
    assert found["loaded"] == LOADED


def test_on_another_backend_it_is_a_callback_that_loads_nothing_of_ours() -> None:
    found, lines = run(ON_ANOTHER_BACKEND, CONSTRUCT, WATCH, FIT, SHOW)
    assert_stands_aside(found)
    assert found["is a callback"]
    assert found["trains as without"]
    assert lines == ["tuimon: Keras on jax is not recorded yet, only on TensorFlow (training goes on)"]
    assert found["loaded"] == LOADED


def test_in_a_keras_that_is_not_known_steps_are_compiled_all_the_same() -> None:
    is_compiled = """
with monitor.watch(None) as loop:
    found["is compiled"] = hasattr(loop.function(lambda batch: batch), "get_concrete_function")
"""
    found, lines = run(ANOTHER_KERAS, CONSTRUCT, WATCH, is_compiled, FIT, SHOW)
    assert_stands_aside(found)
    assert found["is a callback"]
    assert found["is compiled"]
    assert found["trains as without"]
    assert len(lines) == 1
    assert lines[0].startswith("tuimon: nothing is recorded: ")


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_another_backend_that_is_asked_for(backend: str) -> None:
    """Whether it is installed or not."""
    hooks = """
try:
    import keras
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    callbacks = keras.callbacks.CallbackList([monitor], model=model, epochs=1)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    callbacks.on_train_batch_begin(0)
    callbacks.on_train_batch_end(0, {"loss": 1.0})
    callbacks.on_epoch_end(0, {"loss": 1.0})
    callbacks.on_train_end()
except ImportError:
    pass
"""
    found, lines = run("import sys", CONSTRUCT, WATCH, hooks, SHOW, KERAS_BACKEND=backend)
    assert_stands_aside(found)
    assert len(lines) == 1
    assert found["loaded"] == LOADED


def test_where_it_can_record_it_is_the_monitor() -> None:
    assert standing_aside.monitor_class() is monitor.Monitor


def public(owner: type) -> set[str]:
    return {name for name in vars(owner) if not name.startswith("_")}


def test_it_has_all_that_the_monitor_has() -> None:
    ours = {"for_recorder"}
    stand_in = standing_aside._stand_in("", keras.callbacks.Callback, standing_aside._as_it_is)
    assert [name for name in public(monitor.Monitor) - ours if not hasattr(stand_in, name)] == []
    assert public(loop.Loop) - OF_MONITOR == public(standing_aside.UnwatchedLoop)
    without_keras = standing_aside._callback_without_keras()
    assert [name for name in public(keras.callbacks.Callback) if not hasattr(without_keras, name)] == []


@pytest.mark.parametrize(
    ("real", "stand_in"),
    [
        (monitor.Monitor.__init__, standing_aside.StandsAside.__init__),
        (monitor.Monitor.watch, standing_aside.StandsAside.watch),
        *(
            (getattr(loop.Loop, name), getattr(standing_aside.UnwatchedLoop, name))
            for name in sorted(public(loop.Loop) - OF_MONITOR)
        ),
    ],
)
def test_it_takes_what_the_monitor_takes(real: Any, stand_in: Any) -> None:
    def parameters(function: Any) -> list[tuple[str, Any, Any]]:
        return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]

    assert parameters(stand_in) == parameters(real)
