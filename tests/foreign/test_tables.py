"""CSV files of Keras and Lightning, and dumps of `History.history`."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foreign.event_files import append
from helpers import a_run, fold, make_run, read_log
from tuimon.cli.main import main
from tuimon.errors import UsageError
from tuimon.foreign.sources import find, find_one
from tuimon.foreign.translated import Followed, import_run
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory

KERAS = "epoch,loss,mae,val_loss,val_mae\n0,2.5,1.0,1.5,0.5\n1,2.0,0.75,NA,NA\n2,1.5,0.5,1.25,0.25\n"
LIGHTNING = """epoch,lr,step,train_loss_epoch,train_loss_step,val_loss
0,,1,,0.9,
0,,3,,0.8,
0,,3,,,0.7
0,,3,0.85,,
1,,5,,0.6,
1,,7,,,0.5
1,,7,0.55,,
"""


def file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, newline="")
    return path


def imported(path: Path, tmp_path: Path) -> RunDirectory:
    return import_run(find_one(path, "tuimon import"), tmp_path / "runs", "imported")


def epochs_of(run: RunDirectory) -> list[events.EpochEnded]:
    return [fact for fact in read_log(run) if isinstance(fact, events.EpochEnded)]


def notes_of(run: RunDirectory) -> list[str]:
    return [fact.text for fact in read_log(run) if isinstance(fact, events.Note)]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_of_csvlogger_are_epochs(separator: str, tmp_path: Path) -> None:
    path = file(tmp_path / "training.csv", KERAS.replace(",", separator))
    first, second, third = epochs_of(imported(path, tmp_path))
    assert first.logs == {"loss": 2.5, "mae": 1.0, "val_loss": 1.5, "val_mae": 0.5}
    # `validation_freq=2`: what is not there is not shown.
    assert second.logs == {"loss": 2.0, "mae": 0.75}
    assert (third.epoch, third.step, third.logs["val_loss"]) == (2, 3, 1.25)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_table_that_tuimon_exported_is_not_taken_for_another_programs(form: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs", a_run(), "digits")
    out = tmp_path / "out" / f"metrics.{form}"
    out.parent.mkdir()
    assert main(["export", str(run.path), "--to", form, "--out", str(out)]) == 0
    with pytest.raises(UsageError, match="tuimon export wrote"):
        find(out)
    with pytest.raises(UsageError, match="nothing here that can be read"):
        find(out.parent)


def test_a_log_without_a_learning_rate_has_none(tmp_path: Path) -> None:
    run = imported(file(tmp_path / "training.csv", KERAS), tmp_path)
    assert fold(read_log(run)).learning_rate is None


def test_csvlogger_itself_is_read(tmp_path: Path) -> None:
    import keras

    path = tmp_path / "training.csv"
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    logger = keras.callbacks.CSVLogger(path)
    x = np.ones((8, 2), dtype=np.float32)
    fit = model.fit(x, x[:, :1], validation_data=(x, x[:, :1]), epochs=3, verbose=0, callbacks=[logger])
    written = epochs_of(imported(path, tmp_path))
    for name, values in fit.history.items():
        assert [epoch.logs[name] for epoch in written] == pytest.approx(values)


def test_a_loss_that_is_no_number_stays_and_a_validation_without_any_is_left_out(tmp_path: Path) -> None:
    # keras-team/keras#21173: without validation data, some versions write a validation of NaN.
    path = file(tmp_path / "training.csv", "epoch,loss,val_loss\n0,nan,nan\n1,inf,nan\n")
    run = imported(path, tmp_path)
    assert [epoch.logs for epoch in epochs_of(run)] == [{"loss": "nan"}, {"loss": "inf"}]
    assert "Left out, it has no number: val_loss." in notes_of(run)


def test_epochs_that_begin_again_are_counted_on(tmp_path: Path) -> None:
    # `CSVLogger(append=True)` of a second `fit`.
    path = file(tmp_path / "training.csv", "epoch,loss\n0,4\n1,3\nepoch,loss\n0,2\n1,1\n")
    run = imported(path, tmp_path)
    assert [(epoch.epoch, epoch.logs["loss"]) for epoch in epochs_of(run)] == [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]
    assert "The epochs begin again at row 3: they are counted on." in notes_of(run)


def test_a_table_without_steps_and_times_says_so(tmp_path: Path) -> None:
    notes = notes_of(imported(file(tmp_path / "training.csv", KERAS), tmp_path))
    assert "The log has no steps of training: one step here is one epoch." in notes
    assert "The log has no times: what is shown is when it was read, or last written." in notes


def test_rows_of_lightning_are_steps_and_epochs(tmp_path: Path) -> None:
    directory = tmp_path / "lightning_logs" / "version_3"
    file(directory / "metrics.csv", LIGHTNING)
    file(directory / "hparams.yaml", "lr: 0.001\nname: 'small net'\nuse_bias: true\nlayers:\n- 3\n- 4\n")
    run = imported(directory, tmp_path)
    state = fold(read_log(run))
    steps = state.batch_metrics["loss"]
    assert list(zip(steps.steps.tolist(), steps.values.tolist(), strict=True)) == [(1, 0.9), (3, 0.8), (5, 0.6)]
    first, second = epochs_of(run)
    assert (first.step, first.logs) == (4, {"loss": 0.85, "val_loss": 0.7})
    assert (second.step, second.logs) == (8, {"loss": 0.55, "val_loss": 0.5})
    assert state.run is not None
    assert state.run.config == {"hparams": {"lr": 0.001, "name": "small net", "use_bias": True}}
    assert "train_loss_step is shown as loss." in notes_of(run)


def test_a_history_is_epochs(tmp_path: Path) -> None:
    history = {"loss": [0.5, math.nan], "val_loss": [0.75, "0.25"], "words": ["a", "b"]}
    path = file(tmp_path / "model" / "history.json", json.dumps(history))
    run = imported(path, tmp_path)
    assert [epoch.logs for epoch in epochs_of(run)] == [
        {"loss": 0.5, "val_loss": 0.75},
        {"loss": "nan", "val_loss": 0.25},
    ]
    assert "Left out, it has no number: words." in notes_of(run)
    assert find_one(path, "tuimon import").name == "model-history"


def test_a_row_that_is_written_is_taken_once_it_is_whole(tmp_path: Path) -> None:
    path = file(tmp_path / "training.csv", "epoch,loss\n0,4\n1,")
    followed = Followed(find_one(path, "tuimon watch"))
    assert [epoch.logs["loss"] for epoch in epochs_of(followed.run)] == [4.0]
    append(path, b"3.5\n2,3\n")
    followed.look()
    followed.look()
    assert [epoch.logs["loss"] for epoch in epochs_of(followed.run)] == [4.0, 3.5, 3.0]
    followed.close()


def test_a_table_that_gets_another_column_is_read_anew(tmp_path: Path) -> None:
    # Lightning writes the file again where a metric is new.
    path = file(tmp_path / "metrics.csv", "epoch,step,train_loss\n0,0,1\n0,1,2\n")
    followed = Followed(find_one(path, "tuimon watch"))
    file(path, "epoch,step,train_loss,val_loss\n0,0,1,\n0,1,2,\n0,1,,5\n1,2,3,\n1,2,,4\n")
    followed.look()
    followed.look()
    state = fold(read_log(followed.run))
    assert state.batch_metrics["loss"].values.tolist() == [1.0, 2.0, 3.0]
    assert state.epoch_metrics["val_loss"].values.tolist() == [5.0, 4.0]
    followed.close()


def test_rows_of_another_length_are_left_out_and_counted(tmp_path: Path) -> None:
    path = file(tmp_path / "training.csv", "epoch,loss\n0,4\n1,3,2\n\n2\n3,1\n")
    run = imported(path, tmp_path)
    assert [epoch.epoch for epoch in epochs_of(run)] == [0, 3]
    assert f"{path}: 2 rows have another number of columns than the first line; left out" in notes_of(run)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("list.json", "[1, 2]", "expected an object with a list for each metric"),
        ("torn.json", '{"loss": [1, 2', "no JSON"),
        ("settings.json", '{"seed": 3}', "expected a list of numbers for each metric"),
        ("people.csv", "name,age\nA,3\n", "there is nothing here that can be read"),
        ("damaged.csv", "epoch\r,loss\n0,1\n", "there is nothing here that can be read"),
        ("picture.png", "\x89PNG\x00", "there is nothing here that can be read"),
    ],
)
def test_what_is_no_log_is_refused_in_words(name: str, text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        find(file(tmp_path / name, text))
    assert str(tmp_path / name) in str(refused.value)
    assert "TensorBoard's event files" in str(refused.value)


def test_a_name_of_any_length_is_a_name(tmp_path: Path) -> None:
    name = "a" * 200_000
    path = file(tmp_path / "training.csv", f"epoch,{name},loss\n0,1,2\n1,3,4\n")
    assert [epoch.logs for epoch in epochs_of(imported(path, tmp_path))] == [
        {name: 1, "loss": 2},
        {name: 3, "loss": 4},
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "nothing is logged yet"), ("epoch,loss\n", "the CSVLogger file of Keras holds no number yet")],
)
def test_a_table_without_a_row_yet_says_so(text: str, what: str, tmp_path: Path) -> None:
    """Keras' `CSVLogger` makes its file when training begins, and writes to it when an epoch ends."""
    path = file(tmp_path / "training.csv", text)
    with pytest.raises(UsageError, match=what):
        find(path)


@given(
    st.sampled_from([KERAS.encode(), LIGHTNING.encode(), json.dumps({"loss": [1, 0.5], "val_loss": [2, 3]}).encode()]),
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_ends_the_reading(tmp_path: Path, data: bytes, end: int, flips: list[tuple[int, int]]) -> None:
    damaged = bytearray(data)
    for place, byte in flips:
        damaged[place % len(data)] = byte
    path = tmp_path / "metrics.csv"
    path.write_bytes(damaged[:end])
    try:
        found = find_one(path, "tuimon import")
    except UsageError:
        return
    state = fold(read_log(import_run(found, tmp_path / "runs", "damaged")))
    assert not state.untaken
