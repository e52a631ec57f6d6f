"""Keeps the cost of monitoring within its share of the training time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tuimon.protocol.events import ONCE

SHARES = {
    "sampling": 0.3,
    "weights": 0.05,
    "probe": 0.2,
    "repeated validation": 0.33,
    "diagnosis": 0.05,
    "timing": 0.05,
    "system": 0.02,
}
"""Each part's share of the allowed overhead."""


class Budget:
    """Keeps each part of monitoring to its share of the time, on the mean over a run.

    After each use a part waits until its share of the elapsed time covers the cost, so expensive parts run more rarely.
    Before its first use it waits until the share covers the expected cost.

    Args:
        overhead: The share of the training time that all parts may take together.
        now: The time at the start, by `time.monotonic`.
    """

    def __init__(self, overhead: float, now: float) -> None:
        self.seconds = dict.fromkeys((*SHARES, *ONCE), 0.0)
        """Seconds used so far, by part."""
        self.overhead = overhead
        """The share of the training time that all parts may take together."""
        self.began = now
        """The time at the start, by `time.monotonic`."""
        self._free_from = dict.fromkeys(SHARES, now)

    def allows(self, part: str, now: float, expected: float = 0.0) -> bool:
        """Return True once enough time has passed to keep this part within its share.

        Args:
            part: A key of `SHARES`.
            now: By `time.monotonic`.
            expected: Seconds of the first use, counted while the part has used none.
        """
        return now >= self.allowed_at(part, expected)

    def allowed_at(self, part: str, expected: float = 0.0) -> float:
        """Return the time from which `allows` is true, by `time.monotonic`."""
        if self.seconds[part] == 0:
            return max(self._free_from[part], self.began + expected / (self.overhead * SHARES[part]))
        return self._free_from[part]

    def elapsed(self, now: float) -> float:
        """Return the seconds since the start."""
        return now - self.began

    def charge(self, part: str, seconds: float, now: float) -> None:
        """Add seconds to a part's cost, and delay its next use."""
        self.seconds[part] += seconds
        if part in SHARES:
            self._free_from[part] = max(now, self._free_from[part]) + seconds / (self.overhead * SHARES[part])

    @contextmanager
    def charged(self, part: str) -> Iterator[None]:
        """Charge a part with the duration of the block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.charge(part, time.perf_counter() - started, time.monotonic())

    def share(self, now: float) -> float:
        """Return the share of the time since the start that monitoring used, without the parts of `ONCE`."""
        taken = sum(self.seconds[part] for part in SHARES)
        return taken / max(self.elapsed(now), 1e-9)
