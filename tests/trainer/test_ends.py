"""Whatever ends a training, its log has the end and the last step, and the process ends as without tuimon."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import keras
import pytest

import tuimon
from helpers import ROOT, read_log, until
from trainer.keras_models import compiled, data, facts, fit, sequential
from tuimon.protocol import events
from tuimon.runs import liveness
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.trainer.keras import fit_watchdog
from tuimon.trainer.keras.fit_ends import UNNOTICED

SCRIPT = Path(__file__).with_name("ending_scripts.py")
STEPS_OF_SCRIPT = 7


def started(how: str, runs: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, SCRIPT, how, runs],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def ended(runs: Path, name: str = "*") -> events.RunEnded:
    (path,) = runs.glob(name)
    *_, last = read_log(RunDirectory(path))
    assert isinstance(last, events.RunEnded)
    return last


def selected(how: str, *values: Any, full: bool = True) -> Any:
    return pytest.param(how, *values, marks=pytest.mark.full if full else ())


@pytest.mark.parametrize(
    ("how", "code", "status", "reason"),
    [
        selected("kill", -signal.SIGTERM, "stopped", "SIGTERM", full=False),
        selected("exit", 0, "stopped", "sys.exit(0) at ending_scripts.py"),
        selected("hang up", -signal.SIGHUP, "stopped", "SIGHUP"),
        selected("user's signal", -signal.SIGUSR1, "stopped", "SIGUSR1"),
        selected("handled", 0, "stopped", "sys.exit(0) at ending_scripts.py"),
        selected("traceback", 0, "finished", ""),
        selected("fail", 1, "failed", "ValueError: a mistake of the user's"),
        selected("interrupt", -signal.SIGINT, "stopped", "Ctrl-C (KeyboardInterrupt)"),
        selected("exit in words", 1, "failed", "sys.exit: no GPU at ending_scripts.py"),
        selected("thread", 0, "stopped", "the end of the program while fit ran in another thread"),
    ],
)
def test_the_end_of_a_script_is_recorded(runs: Path, how: str, code: int, status: str, reason: str) -> None:
    process = started(how, runs)
    _, err = process.communicate()
    assert process.returncode == code, err
    end = ended(runs)
    assert (end.status, end.reason.partition(":")[0]) == (status, reason.partition(":")[0]) or end.reason == reason
    assert reason in end.reason
    if how not in ("thread", "traceback"):
        assert end.step == STEPS_OF_SCRIPT


@pytest.mark.full
def test_a_process_that_vanishes_is_gone_and_nothing_more_is_said(runs: Path) -> None:
    process = started("vanish", runs)
    process.communicate()
    assert process.returncode == 7
    (path,) = runs.iterdir()
    run, state = RunDirectory(path), RunState()
    state.apply(read_log(run))
    assert state.ended is None
    assert liveness.is_gone(run.session_log, state.run)


class Raising(keras.callbacks.Callback):
    """Raises in one of Keras' hooks, once."""

    def __init__(self, hook: str, error: BaseException) -> None:
        super().__init__()
        self.error: BaseException | None = error
        setattr(self, hook, self._raise)

    def _raise(self, *_: Any, **__: Any) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


PLACES = (
    ("on_epoch_begin", 0),
    ("on_train_batch_begin", 1),
    ("on_train_batch_end", 0),
    ("on_test_begin", 1),
    ("on_test_end", 0),
    ("on_epoch_end", 1),
)


def test_an_exception_in_any_callback_ends_the_run_at_once_with_its_own_words(runs: Path) -> None:
    model, monitor = compiled(sequential()), tuimon.Monitor(runs_dir=runs)
    for hook, place in PLACES:
        callbacks: list[Any] = [monitor]
        callbacks.insert(place, Raising(hook, ValueError(f"in {hook}")))
        with pytest.raises(ValueError, match=hook):
            fit(model, 2, callbacks)
        last = facts(monitor)[-1]
        assert isinstance(last, events.RunEnded)
        assert (last.status, last.reason) == ("failed", f"ValueError: in {hook}")
    with pytest.raises(SystemExit):
        fit(model, 2, [Raising("on_epoch_end", SystemExit()), monitor])
    last = facts(monitor)[-1]
    assert (last.status, last.reason.partition(" at ")[0], last.traceback) == ("stopped", "sys.exit()", "")
    fit(model, 1, [monitor])  # The user has caught them, and goes on.
    assert facts(monitor)[-1].status == "finished"


def test_keras_list_of_callbacks_is_as_it_was(runs: Path) -> None:
    model, monitor = compiled(sequential()), tuimon.Monitor(runs_dir=runs)
    own = keras.callbacks.CallbackList([monitor], add_history=True, model=model)
    before = set(vars(own))
    model.fit(*data(), verbose=0, callbacks=own)
    assert facts(monitor)[-1].status == "finished"
    assert set(vars(own)) == before


class Unreported(keras.Sequential):
    """Raises between two epochs, where no callback and no step is."""

    raises = False

    def reset_metrics(self) -> None:
        super().reset_metrics()
        if self.raises and int(self.optimizer.iterations):
            raise RuntimeError("between two epochs")


def unreported() -> keras.Model:
    model = Unreported([keras.Input((6,)), keras.layers.Dense(1)])
    return compiled(model)


@pytest.mark.parametrize("is_kept", [True, False])
def test_an_end_that_nobody_tells_of_is_noticed_though_the_exception_is_kept(
    runs: Path, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    monkeypatch.setattr(fit_watchdog, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(fit_watchdog, "PATIENCE_SECONDS", 0.02)
    model, monitor = unreported(), tuimon.Monitor(runs_dir=runs)
    model.raises, kept = True, []
    try:
        fit(model, 2, [monitor])
    except RuntimeError as error:
        kept += [error] * is_kept
    until(lambda: isinstance(facts(monitor)[-1], events.RunEnded), what="the end")
    last = facts(monitor)[-1]
    assert (last.status, last.reason) == ("failed", UNNOTICED)
    model.raises = False
    fit(model, 1, [monitor])
    assert facts(monitor)[-1].status == "finished"


def test_a_frame_tells_whether_it_runs() -> None:
    frames = []

    def calls(inner: Any) -> None:
        frames.append(sys._getframe())
        inner()

    def in_thread() -> None:
        calls(lambda: (began.set(), goes_on.wait()))

    began, goes_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=in_thread)
    thread.start()
    began.wait()
    assert not fit_watchdog.is_over(frames[0])
    assert fit_watchdog.can_tell(frames[0])
    goes_on.set()
    thread.join()
    assert fit_watchdog.is_over(frames[0])
    with pytest.raises(ZeroDivisionError) as kept:  # Which keeps the traceback.
        calls(lambda: 1 // 0)
    assert fit_watchdog.is_over(frames[1])
    assert kept.value is not None
    assert not fit_watchdog.is_over(sys._getframe())
