"""A signal in a validation: what callbacks would have counted at the end of its epoch belongs to the checkpoint."""

import os
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from helpers import read_log
from trainer.keras_models import compiled, linear
from tuimon import Monitor
from tuimon.protocol import events
from tuimon.runs.run_directory import runs_in
from tuimon.trainer.checkpoints import Checkpoint, Checkpoints
from tuimon.trainer.keras import fit_ends

X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
Y = X[:, :1]


class Interrupted(keras.utils.PyDataset):
    """Four validation batches; Ctrl-C comes with the third one of the second epoch."""

    is_due = False

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if self.is_due and index == 2:
            self.is_due = False
            os.kill(os.getpid(), signal.SIGINT)
        return X[:4], Y[:4]

    def of_epoch(self, epoch: int, _: Any) -> None:
        self.is_due = epoch == 1


def interrupt(runs: Path) -> tuple[keras.callbacks.EarlyStopping, Checkpoint, list[events.AnyEvent]]:
    stop = keras.callbacks.EarlyStopping("val_loss", patience=9, min_delta=1e9)
    monitor = Monitor(runs_dir=runs, checkpoint_minutes=1000, probe=False, console=False)
    validation = Interrupted()
    begins = keras.callbacks.LambdaCallback(on_epoch_begin=validation.of_epoch)
    with pytest.raises(KeyboardInterrupt):
        compiled(linear()).fit(
            *(X, Y), batch_size=4, epochs=4, verbose=0, validation_data=validation, callbacks=[monitor, stop, begins]
        )
    (run,) = runs_in(runs)
    checkpoint, _ = Checkpoints(run.checkpoints).newest()
    assert checkpoint is not None
    assert (checkpoint.meta.step, checkpoint.meta.next_epoch) == (8, 2)
    return stop, checkpoint, list(read_log(run))


def test_the_validation_is_awaited(runs: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stop, checkpoint, log = interrupt(runs)
    assert "tuimon: Ctrl-C (SIGINT): a checkpoint of step 8 is saved\n" in capfd.readouterr().err
    assert stop.wait == 1, "the first epoch is the best one"
    (patience,) = (each for each in checkpoint.meta.beside["callbacks"] if each["class"].endswith(".EarlyStopping"))
    assert "['wait', 1]" in str(patience)
    assert [fact.epoch for fact in log if isinstance(fact, events.EpochEnded)] == [0, 1]
    assert (log[-1].status, log[-1].reason) == ("stopped", "Ctrl-C (SIGINT)")  # type: ignore[union-attr]


def test_a_long_validation_is_cut_off_which_is_said(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_ends, "VALIDATION_SECONDS", 0.0)
    stop, _, log = interrupt(runs)
    assert stop.wait == 0
    assert "validation is cut off: callbacks have not counted epoch 2" in [
        fact.text for fact in log if isinstance(fact, events.Note)
    ]
