"""Records the load of the machine that trains, in a thread: a sleeping driver or file system may keep it waiting."""

import contextlib
import os
import threading
import time

from tuimon.machine.reader import MachineReader
from tuimon.trainer.session.recorder import Recorder

FIRST_SECONDS = 2.0
"""Time from the first reading to the second one, which knows the shares of the processors."""
SAMPLE_SECONDS = 10.0
"""Shortest time between two later readings."""
LOOK_SECONDS = 1.0
"""Time until the budget is asked again."""
CLOSE_SECONDS = 1.0
"""Longest time that the end of training waits for the thread."""


class SystemSampler:
    """Records `system` facts between `start` and `stop`. Its CPU time is charged to the budget of the run.

    Args:
        recorder: Writes the run's log.
        first_seconds: Time from the first reading to the second one.
        sample_seconds: Shortest time between two later readings.
    """

    def __init__(
        self, recorder: Recorder, *, first_seconds: float = FIRST_SECONDS, sample_seconds: float = SAMPLE_SECONDS
    ) -> None:
        self._recorder = recorder
        self._first_seconds = first_seconds
        self._sample_seconds = sample_seconds
        self._owner = os.getpid()
        self._thread: threading.Thread | None = None
        self._reader: MachineReader | None = None
        self._stopping = threading.Event()
        self._next: float | None = None

    def start(self) -> None:
        """Begin to sample; does nothing if it does already, or if the last thread still waits for a driver."""
        if self._thread is None or not self._thread.is_alive():
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="tuimon-system", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the sampling; waits at most 1 second for a driver."""
        self._stopping.set()
        if self._thread is not None and os.getpid() == self._owner:
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        # Whatever a driver does, training goes on, without these facts.
        with contextlib.suppress(Exception):
            visible = os.environ.get("CUDA_VISIBLE_DEVICES")
            if self._reader is None:
                self._reader = MachineReader(os.getpid(), self._recorder.run.path, visible)
            if self._next is None:
                self._sample(self._reader)
                self._next = time.monotonic() + self._first_seconds
            # A later `fit` of the run keeps the pace.
            while not self._stopping.wait(max(0.0, self._next - time.monotonic())):
                if self._is_allowed():
                    self._sample(self._reader)
                    self._next = time.monotonic() + self._sample_seconds
                else:
                    self._next = time.monotonic() + min(LOOK_SECONDS, self._sample_seconds)

    def _is_allowed(self) -> bool:
        budget = self._recorder.budget
        return budget is None or budget.allows("system", time.monotonic())

    def _sample(self, reader: MachineReader) -> None:
        # Time that the thread waits for a driver is no cost to training.
        began = time.thread_time()
        self._recorder.record(reader.read())
        if (budget := self._recorder.budget) is not None:
            budget.charge("system", time.thread_time() - began, time.monotonic())
