"""The time of the trainer: what its clock says, how much time passes, and when the process stood still."""

import math
import threading
import time
from collections.abc import Callable

JUMP_SECONDS = 2.0
"""A clock that goes on by so much more or less than time does was set."""
SUSPENDED_SECONDS = 1.0
"""A thread that wakes so much too late, in a process that does nothing, was suspended with it."""


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

    @property
    def suspended_seconds(self) -> float:
        """How long the whole process stood still so far: stopped by Ctrl-Z or SIGSTOP, not waiting by itself."""
        # Right after it goes on, the thread that sleeps may be yet to wake.
        late = self.passed() - self._due
        return self._suspended + (late if late >= SUSPENDED_SECONDS else 0.0)

    def sleep(self, wake: threading.Event, seconds: float) -> None:
        """Wait for an event, and clear it; notice where the process is suspended meanwhile."""
        began, worked = self.passed(), time.process_time()
        due = self._due = began + seconds
        wake.wait(seconds)
        now, worked = self.passed(), time.process_time() - worked
        late = now - due
        # Threads that only wait their turn do so while another one computes. Before it stood still, all computed.
        if late >= SUSPENDED_SECONDS and worked < self._busy * seconds + late / 10:
            self._suspended += late
        elif now - began >= seconds / 2:
            self._busy = worked / (now - began)
        # From here to the next sleep the thread may wait for a slow disk, which is no suspension.
        self._due = math.inf
        wake.clear()
