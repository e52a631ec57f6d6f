"""A handler of the program's own that ends the training: what schedulers' manuals advise where a library has none.

People set ``model.stop_training`` in it, or note the signal and let a callback do so (Slurm's ``--signal=USR1@60``).
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import pytest

import tuimon
from helpers import read_log
from trainer.keras_models import STEPS, compiled, fit, linear
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.checkpoints import Checkpoints, Meta

EPOCHS = 4


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class At(keras.callbacks.Callback):
    """Does something in the middle of a step."""

    def __init__(self, epoch: int, batch: int, do: Callable[[keras.Model], None]) -> None:
        super().__init__()
        self.place, self.do, self.epoch = (epoch, batch), do, -1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == self.place:
            self.do(self.model)


class StopsOnceTold(keras.callbacks.Callback):
    """Ends training with the epoch in which its handler was called."""

    told = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = self.model.stop_training or self.told


def send(number: int) -> Callable[[keras.Model], None]:
    return lambda model: os.kill(os.getpid(), number)


def stop(model: keras.Model) -> None:
    model.stop_training = True


def trained(runs: Path, model: keras.Model, *callbacks: Any) -> RunDirectory:
    monitor = tuimon.Monitor(runs_dir=runs, resume="auto", probe=False, console=False)
    fit(model, EPOCHS, [monitor, *callbacks])
    assert monitor.run_dir is not None
    return RunDirectory(monitor.run_dir)


def end_of(run: RunDirectory) -> tuple[str, str]:
    (ended,) = [fact for fact in read_log(run) if isinstance(fact, events.RunEnded)]
    return ended.status, ended.reason


def checkpoint_of(run: RunDirectory) -> Meta:
    """Return what is said of the checkpoint from which the script would go on."""
    newest, _ = Checkpoints(run.checkpoints).newest()
    assert newest is not None
    return newest.meta


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("is_set_before", [True, False])
def test_a_handler_that_ends_the_training_has_stopped_it(
    runs: Path, number: signal.Signals, is_set_before: bool
) -> None:
    model = compiled(linear())

    def handle(*_: object) -> None:
        model.stop_training = True

    if is_set_before:
        signal.signal(number, handle)
    sets = At(0, 0, lambda _: signal.signal(number, handle) and None)
    run = trained(runs, model, sets, At(1, 1, send(number)))
    assert end_of(run) == ("stopped", f"{number.name}, which a handler of the program took")
    meta = checkpoint_of(run)
    assert (meta.step, meta.next_epoch, meta.repeated_steps, meta.is_over) == (STEPS + 2, 1, 2, False)


def test_a_callback_that_ends_it_for_a_signal_has_stopped_it(runs: Path) -> None:
    model, callback = compiled(linear()), StopsOnceTold()
    signal.signal(signal.SIGUSR1, lambda *_: setattr(callback, "told", True))
    run = trained(runs, model, At(1, 1, send(signal.SIGUSR1)), callback)
    assert end_of(run) == ("stopped", "SIGUSR1, which a handler of the program took")
    meta = checkpoint_of(run)
    assert (meta.step, meta.next_epoch, meta.is_over) == (2 * STEPS, 2, False)


def test_what_a_callback_ends_without_a_signal_has_finished(runs: Path) -> None:
    assert end_of(trained(runs, compiled(linear()), At(1, 1, stop))) == ("finished", "")


def test_early_stopping_has_finished_whatever_signals_came(runs: Path) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    early = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)
    run = trained(runs, compiled(linear()), At(0, 1, send(signal.SIGUSR1)), early)
    assert end_of(run) == ("finished", "")
    assert early.stopped_epoch < EPOCHS - 1


def test_a_signal_that_ends_nothing_stops_nothing(runs: Path) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    assert end_of(trained(runs, compiled(linear()), At(0, 1, send(signal.SIGUSR1)))) == ("finished", "")


def test_a_training_that_is_through_has_finished(runs: Path) -> None:
    model = compiled(linear())
    signal.signal(signal.SIGTERM, lambda *_: stop(model))
    run = trained(runs, model, At(EPOCHS - 1, STEPS - 1, send(signal.SIGTERM)))
    assert end_of(run) == ("finished", "")
