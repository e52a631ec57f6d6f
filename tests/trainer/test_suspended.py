"""A trainer that Ctrl-Z or SIGSTOP suspends: that time is nobody's."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import environment
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.session.clock import Clock

SUSPENDED = 4.0
"""Seconds."""
SCRIPT = """
import sys
import numpy as np
import keras
import tuimon
from tuimon.trainer import time_split

time_split.FIRST_SECONDS = time_split.EVERY_SECONDS = 0.5
time_split.WAIT_SECONDS, time_split.EARLY_EVERY, time_split.LATER_EVERY = 0.1, 0.04, 0.04
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
model.compile("sgd", "mse")
x = np.zeros((4000, 4), "float32")
monitor = tuimon.Monitor(runs_dir=sys.argv[1], probe=False)
model.fit(x, x[:, :2], batch_size=4, epochs=100_000, verbose=0, callbacks=[monitor])
"""


@pytest.fixture
def trainer(runs: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", SCRIPT, str(runs)], env=environment()) as process:
        yield process
        process.kill()


def splits(runs: Path, count: int, tail: list[Tail], found: list[events.TimeSplit]) -> list[events.TimeSplit]:
    """Wait until the log has so many records of where the time went."""
    deadline = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < deadline
        if not tail:
            tail += [Tail(RunDirectory(path).session_log) for path in runs.iterdir()]
        found += [fact for each in tail for fact in each.read() if isinstance(fact, events.TimeSplit)]
    return found


def test_the_time_of_a_suspension_is_not_counted_as_a_wait_for_data(
    runs: Path, trainer: subprocess.Popen[bytes]
) -> None:
    tail: list[Tail] = []
    found: list[events.TimeSplit] = []
    splits(runs, 1, tail, found)
    trainer.send_signal(signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):
        trainer.wait(SUSPENDED)
    trainer.send_signal(signal.SIGCONT)
    first, *later = splits(runs, len(found) + 3, tail, found)
    counted = sum(from_wire(seconds) for split in later for seconds in split.seconds.values())
    assert counted <= later[-1].time - first.time - SUSPENDED


@pytest.mark.parametrize(("computed", "suspended"), [(0.0, 4.0), (16.0, 4.0), (20.0, 0.0)])
def test_what_was_computed_before_the_suspension_hides_none(
    monkeypatch: pytest.MonkeyPatch, computed: float, suspended: float
) -> None:
    """64 cores compute 16 seconds in a quarter of one. Where a thread computes all the while, none was stopped."""
    passed, worked = [0.0], [0.0]

    class Waits(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if (waited := next(waits, None)) is None:
                return True
            passed[0], worked[0] = passed[0] + waited[0], worked[0] + waited[1]
            return False

    waits = iter(((0.25, 16.0), (4.25, computed)))
    monkeypatch.setattr(time, "process_time", lambda: worked[0])
    clock = Clock(passed=lambda: passed[0])
    clock.watch(Waits())
    assert clock.suspended_seconds == suspended
