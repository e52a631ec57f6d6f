"""Which earlier run a script goes on with, where no training is needed to tell."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from helpers import a_run, make_run, stand_in, started
from trainer.keras_models import compiled, linear
from tuimon.errors import UsageError
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.checkpoints import Checkpoints, Meta
from tuimon.trainer.keras import full_state, going_on
from tuimon.trainer.keras.program_state import callback_state
from tuimon.trainer.keras.program_state.stored_values import restored, store

STOPPED = events.RunEnded(status="stopped", step=4, epoch=1)


def save(run: RunDirectory, model: keras.Model, **fields: Any) -> None:
    meta = Meta(
        **{"step": 4, "epoch": 0, "epoch_first_step": 0, "dtypes": full_state.dtypes(model), "fit": 1, **fields}
    )
    Checkpoints(run.checkpoints).save(full_state.capture(model), meta, "asked")


def refusal(run: RunDirectory, model: keras.Model) -> str:
    with pytest.raises((going_on._EndsTheSearchError, going_on._NotThisOneError, UsageError)) as info:
        going_on._checkpoint_of(run, model)
    return str(info.value)


def test_a_stopped_run_of_this_model_is_gone_on_with(runs: Path) -> None:
    model, run = compiled(linear()), make_run(runs, [*a_run()[:-1], STOPPED])
    save(run, model)
    checkpoint, wrong = going_on._checkpoint_of(run, model)
    assert (checkpoint.meta.step, wrong) == (4, [])


def test_other_runs_are_not(runs: Path) -> None:
    model = compiled(linear())
    run = make_run(runs, [*a_run()[:-1], STOPPED], "stopped")
    assert refusal(run, model) == "stopped has no checkpoint"
    save(run, model, fit=2)
    assert refusal(run, model).startswith("stopped: its checkpoint step-00000004.npz is of fit 2 of its program; ")
    save(run, compiled(keras.Sequential([keras.Input((7,)), keras.layers.Dense(1)])), step=5)
    assert refusal(run, model).startswith("stopped: the checkpoint is of another model")
    finished = make_run(runs, [*a_run()[:-1], events.RunEnded(status="finished")], "finished")
    save(finished, model)
    assert refusal(finished, model) == "finished has finished"
    elsewhere = make_run(runs, [started(boot_id="another")], "elsewhere")
    save(elsewhere, model)
    os.utime(elsewhere.session_log)
    assert refusal(elsewhere, model).startswith("elsewhere may still train elsewhere: its log grew ")
    os.utime(elsewhere.session_log, (9, 9))
    assert going_on._checkpoint_of(elsewhere, model)
    live = RunDirectory.at(runs / "live")
    save(live, model)
    with stand_in(live, "hold"):
        assert refusal(live, model) == "live still trains"
    run.path.chmod(0o777)
    assert "others can write this directory, the run is not resumed" in refusal(run, model)


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, True, "x"], 3: (float("-inf"), -(2**70)), "none": {}},
        {"scalar": np.float32(0.1), "array": np.arange(6, dtype=np.int16).reshape(2, 3)},
        keras.ops.cast([1.5, -2.0], "bfloat16").numpy(),
    ],
)
def test_a_value_is_stored_without_code(value: Any) -> None:
    arrays: dict[str, Any] = {}
    again = restored(store(value, "it", arrays), arrays)
    assert repr(again) == repr(value)
    assert all(array.dtype.isbuiltin for array in arrays.values())


def test_what_is_no_value_is_refused() -> None:
    for value in ({"a": object()}, {1, 2}, np.array([object()])):
        with pytest.raises(TypeError):
            store(value, "it", {})


def test_a_state_goes_only_where_it_fits() -> None:
    class Tells(keras.callbacks.Callback):
        def __init__(self, state: Any) -> None:
            super().__init__()
            self.state = state

        def get_state(self) -> Any:
            return self.state

        def set_state(self, state: Any) -> None:
            self.state = state["of"]

    def early(monitor: str, wait: int) -> Any:
        callback = keras.callbacks.EarlyStopping(monitor)
        callback.wait = wait
        return callback

    arrays: dict[str, Any] = {}
    mine = [early("loss", 1), early("val_loss", 2), Tells({"of": 3}), keras.callbacks.ModelCheckpoint("x.keras")]
    states = callback_state.capture(mine, arrays)
    mine = [keras.callbacks.TerminateOnNaN(), Tells(0), early("loss", 0), early("val_mae", 0)]
    wrong = callback_state.restore(mine, states, arrays)
    assert wrong == ["ModelCheckpoint is not among the callbacks any more", "EarlyStopping: its monitor was 'val_loss'"]
    assert [mine[1].state, mine[2].wait, mine[3].wait] == [3, 1, 0]
    assert callback_state.restore([early("loss", 0)], states, arrays)[-1] == "EarlyStopping: there were 2 of it, now 1"
    for wrong_state, why in (({"a": object()}, "saved"), ({"b": 1}, "restored")):
        states = callback_state.capture([Tells(wrong_state)], arrays)
        (words,) = callback_state.restore([Tells(0)], states, arrays)
        assert words.startswith(f"Tells: its state could not be {why}: ")
