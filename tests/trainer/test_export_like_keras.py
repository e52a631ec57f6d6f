"""The export for TensorBoard has the runs, names, steps and values of Keras' own callback."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import tuimon
from helpers import ROOT, environment
from tuimon.cli.main import main

EPOCHS, BATCHES = 3, 4


@pytest.mark.full
def test_dashboards_for_keras_callback_show_the_export(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    board = keras.callbacks.TensorBoard(str(tmp_path / "theirs"), update_freq=1, write_graph=False)
    monitor = tuimon.Monitor(name="run", runs_dir=tmp_path / "runs")
    model.fit(x, x[:, :1], 12, EPOCHS, validation_split=0.25, verbose=0, callbacks=[monitor, board])
    (run,) = (tmp_path / "runs").iterdir()
    assert main(["export", str(run), "--to", "tensorboard", "--out", str(tmp_path / "ours")]) == 0

    theirs, ours = read(tmp_path / "theirs"), read(tmp_path / "ours")
    assert set(theirs) == set(ours) == {"train", "validation"}
    compared = 0
    for name, tags in theirs.items():
        for tag, values in tags.items():
            steps = [step for step, _ in values]
            assert [step for step, _ in ours[name][tag]] == steps, tag
            if not tag.startswith("batch_"):
                # Of batches, the callback has the mean of the epoch so far.
                assert [value for _, value in ours[name][tag]] == [value for _, value in values], tag
            compared += 1
    assert compared == len(("loss", "mae")) * 4 + len(("epoch_learning_rate",))


def read(directory: Path) -> dict[str, dict[str, list[list[object]]]]:
    """Return the scalars that TensorBoard's own reader finds, by run and name."""
    script = [sys.executable, str(ROOT / "tests" / "read_event_files.py"), str(directory)]
    done = subprocess.run(script, env=environment(), capture_output=True, text=True, check=True)
    return {name: found["scalars"] for name, found in json.loads(done.stdout).items()}
