"""The time of the trainer: what its clock says, how much time passes, and when the process stood still."""

import contextlib
import math
import threading
import time
from collections.abc import Callable

JUMP_SECONDS = 2.0
"""A clock that goes on by so much more or less than time does was set."""
SUSPENDED_SECONDS = 1.0
"""A thread that wakes so much too late, in a process that does nothing, was suspended with it."""
WATCH_SECONDS = 0.25
"""How long the thread sleeps that notices it."""


class Clock:
    """Tells the time, and notices where it does not go on as usual.

    Args:
        wall: Gives Unix seconds; somebody may set this clock.
        passed: Gives seconds that nobody can set.
    """

    def __init__(self, wall: Callable[[], float] = time.time, passed: Callable[[], float] = time.monotonic) -> None:
        self.wall = wall
        """Gives Unix seconds."""
        self.passed = passed
        """Gives seconds for intervals."""
        self._ahead = wall() - passed()
        self._suspended, self._due = 0.0, math.inf
        self._busy = 0.0

    def jump(self) -> str:
        """Return how the clock was set since the last call; empty if it was not."""
        ahead = self.wall() - self.passed()
        jump, self._ahead = ahead - self._ahead, ahead
        if abs(jump) < JUMP_SECONDS:
            return ""
        return f"forward by {jump:,.0f} s, or the machine slept" if jump > 0 else f"back by {-jump:,.0f} s"

    @staticmethod
    def sleep(wake: threading.Event, seconds: float) -> None:
        """Wait for an event, and clear it."""
        wake.wait(seconds)
        wake.clear()

    @property
    def suspended_seconds(self) -> float:
        """How long the whole process stood still so far: stopped by Ctrl-Z or SIGSTOP, not waiting by itself."""
        # Right after it goes on, the thread that sleeps may be yet to wake.
        late = self.passed() - self._due
        return self._suspended + (late if late >= SUSPENDED_SECONDS else 0.0)

    def watched(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return ``work``, during which a thread notices where the process is suspended."""

        def run() -> None:
            over = threading.Event()
            watch = threading.Thread(target=self.watch, args=(over,), name="tuimon-clock", daemon=True)
            # Without a further thread nobody notices, and the log is written all the same.
            with contextlib.suppress(RuntimeError):
                watch.start()
            try:
                work()
            finally:
                over.set()

        return run

    def watch(self, over: threading.Event) -> None:
        """Sleep again and again, and note how much too late this thread wakes, until an event is set.

        It does nothing else: a thread that waits for a slow disk meanwhile would take that for a suspension.
        """
        while True:
            began, worked = self.passed(), time.process_time()
            self._due = began + WATCH_SECONDS
            if over.wait(WATCH_SECONDS):
                self._due = math.inf
                return
            now, worked = self.passed(), time.process_time() - worked
            late = now - self._due
            # Threads that only wait their turn do so while another one computes. Before it stood still, all computed.
            if late >= SUSPENDED_SECONDS and worked < self._busy * WATCH_SECONDS + late / 10:
                self._suspended += late
            elif now > began:
                self._busy = worked / (now - began)
