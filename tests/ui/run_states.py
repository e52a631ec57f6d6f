"""Runs in every state that a run can be in."""

from typing import Any

from helpers import a_run, make_run, started
from tuimon.protocol import events
from ui.facts import training
from ui.watching import LiveRun


def live(*facts: events.AnyEvent) -> Any:
    return lambda runs, stack: stack.enter_context(LiveRun(runs, *facts)).directory


def over(*facts: events.AnyEvent) -> Any:
    return lambda runs, stack: make_run(runs, facts)


def preparing() -> list[events.AnyEvent]:
    return [started(), events.StateChanged(state="preparing", detail="loading Keras")]


def failed(facts: list[events.AnyEvent]) -> list[events.AnyEvent]:
    return [*facts, events.RunEnded(status="failed", traceback="Traceback:\n  line\nValueError: shapes differ\n")]


RUNS: dict[str, tuple[Any, str]] = {
    "empty": (live(), "The training process is starting"),
    "preparing": (live(*preparing()), "Models and data are being prepared"),
    "compiling": (live(*preparing(), events.StateChanged(state="compiling")), "traces and compiles"),
    "before the first step": (live(*training("bn_1")[:4]), "No batch is done yet"),
    "training": (live(*training("bn_1", "bn_2")), "● training"),
    "paused": (live(*training("bn_1"), events.StateChanged(state="paused", step=3)), "‖ paused"),
    "recalibrating": (live(*training("bn_1"), events.StateChanged(state="recalibrating", step=3)), "◎ recalibrating"),
    "checkpointing": (live(*training("bn_1"), events.StateChanged(state="checkpointing", step=3)), "◆ checkpointing"),
    "no BatchNormalization": (live(*training()), "This model has no BatchNormalization layer"),
    "finished": (over(*a_run()), "Finished after"),
    "stopped": (over(*training("bn_1"), events.RunEnded(status="stopped")), "Stopped as asked"),
    "failed": (over(*failed(training("bn_1"))), "Failed: ValueError: shapes differ"),
    "failed before the first step": (over(*failed(preparing())), "ValueError: shapes differ"),
    "crashed": (over(*training("bn_1")), "Crashed: its process is gone; no error was recorded"),
    "crashed before the first step": (over(*preparing()), "✗ crashed"),
    "silent": (over(started(boot_id="of another machine"), *training("bn_1")[1:]), "? silent for"),
}
