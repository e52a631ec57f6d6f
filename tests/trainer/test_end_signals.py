"""The signals that ask a process to end: whose handlers stay, and what happens while nobody can look."""

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
from helpers import ROOT, until
from trainer.keras_models import compiled, fit, sequential
from tuimon.trainer.keras import fit_ends
from tuimon.trainer.session.end_signals import SIGNALS, EndedBySignal, EndSignals

SCRIPT = """
import hashlib, os, signal, sys, threading
from tuimon.trainer.session.end_signals import SIGNALS, EndSignals

how = sys.argv[1]
signals = EndSignals(
    grace_seconds=0.1 if how == "computes" else 600,
    noticed=lambda number: print("noticed", number, flush=True),
    end=lambda reason: print(reason, flush=True),
    exits=how == "exits",
)
signals.install(SIGNALS)
if how == "forks":
    child = os.fork()
    if not child:
        signal.pause()
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    print("child", os.waitstatus_to_exitcode(status), "parent", signals.number, flush=True)
    signals.close()
elif how == "leaves":
    os.kill(os.getpid(), signal.SIGTERM)
    signals.leave()
    print("still there", flush=True)
elif how == "unnoticed":
    signals.deactivate()
    os.kill(os.getpid(), signal.SIGTERM)
else:
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # No handler of Python's runs meanwhile.
"""


def started(how: str, *within: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*within, sys.executable, "-c", SCRIPT, how],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize(
    ("how", "code", "reason"),
    [
        ("computes", -signal.SIGTERM, "SIGTERM, and no step ended within 0.1 s"),
        ("again", -signal.SIGTERM, "SIGTERM, the second signal"),
        ("exits", 128 + signal.SIGTERM, "SIGTERM, the second signal"),
    ],
)
def test_a_process_in_a_long_call_ends_in_time(how: str, code: int, reason: str) -> None:
    with started(how) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.readline() == "noticed 15\n"
        while process.poll() is None:
            try:
                process.wait(None if how == "computes" else 0.1)
            except subprocess.TimeoutExpired:
                process.terminate()
        assert (process.returncode, process.stdout.read()) == (code, f"{reason}\n")


def test_a_fork_ends_by_its_signals_alone() -> None:
    out, _ = (process := started("forks")).communicate()
    assert (process.returncode, out) == (0, "child -15 parent None\n")


def test_a_process_whose_fit_is_gone_ends_as_it_would() -> None:
    out, _ = (process := started("unnoticed")).communicate()
    assert (process.returncode, out) == (-signal.SIGTERM, "")


AS_THE_FIRST = ("unshare", "--pid", "--fork", "--mount-proc")
"""Runs a command as the first process of a container is run."""


def test_a_containers_first_process_ends_too() -> None:
    """The kernel drops a signal that this process does not handle."""
    if subprocess.run([*AS_THE_FIRST, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root, and namespaces of processes")
    for within, code in ((AS_THE_FIRST, 128 + signal.SIGTERM), ((), -signal.SIGTERM)):
        out, _ = (process := started("leaves", *within)).communicate()
        assert process.returncode == code
        assert "still there" not in out


@pytest.mark.parametrize("saves", [False, True])
def test_what_a_containers_first_process_would_ignore_ends_no_training(
    runs: Path, monkeypatch: pytest.MonkeyPatch, saves: bool
) -> None:
    monkeypatch.setattr(fit_ends, "FIRST_PROCESS", os.getpid())
    handlers: set[Any] = set()
    look = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: handlers.add(signal.getsignal(signal.SIGTERM))
    )
    fit(compiled(sequential()), 1, [look, tuimon.Monitor(runs_dir=runs, resume="auto" if saves else None)])
    assert (handlers == {signal.SIG_DFL}) is not saves


def made(**options: Any) -> EndSignals:
    return EndSignals(grace_seconds=600, **{"noticed": lambda _: None, "end": lambda _: None, **options})


@pytest.fixture
def handlers_of_before() -> Any:
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGINT)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def test_what_others_handle_or_ignore_stays(handlers_of_before: dict[int, Any]) -> None:
    def of_the_user(*_: Any) -> None: ...

    signal.signal(signal.SIGTERM, of_the_user)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = made()
    signals.install((*SIGNALS, signal.SIGINT))
    assert signal.getsignal(signal.SIGTERM) is of_the_user
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGUSR1) == signals._handle
    signal.signal(signal.SIGUSR1, of_the_user)  # In the middle of the fit.
    signals.close()
    assert signal.getsignal(signal.SIGUSR1) is of_the_user
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGQUIT) == signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1
    until(lambda: not any(thread.name == "tuimon-signals" for thread in threading.enumerate()))


def test_an_event_loops_descriptor_stays(handlers_of_before: dict[int, Any]) -> None:
    heard: list[int] = []
    reading, writing = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(writing)
    try:
        signals = made(noticed=heard.append)
        signals.install(SIGNALS)
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: heard == [signal.SIGUSR1])
        assert os.read(reading, 9) == bytes([signal.SIGUSR1])
        with pytest.raises(EndedBySignal, match="SIGUSR1"):
            signals.check()
        signals.close()
    finally:
        assert signal.set_wakeup_fd(-1) == writing
        os.close(reading)
        os.close(writing)


def test_ctrl_c_waits_for_a_steps_end_and_is_raised_then(handlers_of_before: dict[int, Any]) -> None:
    signals = made()
    signals.install([signal.SIGINT])
    os.kill(os.getpid(), signal.SIGINT)
    assert signals.number == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
        signals.leave()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_the_user_sets_in_the_middle_of_training_is_the_only_one(
    handlers_of_before: dict[int, Any],
) -> None:
    """The interpreter tells of the signal all the same; training must not be ended for it."""
    heard, handled = list[int](), list[int]()
    signals = made(noticed=heard.append)
    signals.install((signal.SIGUSR1, signal.SIGTERM))
    signal.signal(signal.SIGUSR1, lambda number, _: handled.append(number))
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGTERM)
    until(lambda: heard)
    assert (heard, handled, signals.number) == ([signal.SIGTERM], [signal.SIGUSR1], signal.SIGTERM)
    signals.close()


def test_a_handler_that_calls_the_former_one_is_called_once(handlers_of_before: dict[int, Any]) -> None:
    heard, handled = list[int](), list[int]()
    signals = made(noticed=heard.append)
    signals.install([signal.SIGURG])  # By default it does nothing.
    former: Any = signal.getsignal(signal.SIGURG)

    def of_the_user(number: int, frame: Any) -> None:
        handled.append(number)
        former(number, frame)

    signal.signal(signal.SIGURG, of_the_user)
    os.kill(os.getpid(), signal.SIGURG)
    until(lambda: heard == [signal.SIGURG])
    signals.leave()
    assert handled == [signal.SIGURG]
    assert signal.getsignal(signal.SIGURG) == signal.SIG_DFL


def test_nothing_is_handled_from_another_thread(handlers_of_before: dict[int, Any]) -> None:
    thread = threading.Thread(target=lambda: made().install(SIGNALS))
    thread.start()
    thread.join()
    assert {number: signal.getsignal(number) for number in handlers_of_before} == handlers_of_before


def test_handlers_that_another_thread_could_not_put_back_are_in_nobodys_way(
    handlers_of_before: dict[int, Any],
) -> None:
    """The end of a fit comes from another thread where that one collects the garbage."""
    first = made()
    first.install(SIGNALS)
    thread = threading.Thread(target=first.close)
    thread.start()
    thread.join()
    heard: list[int] = []
    second = made(noticed=heard.append)
    second.install(SIGNALS)
    os.kill(os.getpid(), signal.SIGTERM)
    until(lambda: heard == [signal.SIGTERM])
    second.close()
    assert {number: signal.getsignal(number) for number in handlers_of_before} == handlers_of_before
    until(lambda: not any(thread.name == "tuimon-signals" for thread in threading.enumerate()))
