"""What monitoring may take of the time, and what it has taken."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

SHARES = {"sampling": 0.35, "probe": 0.2, "repeated validation": 0.4, "diagnosis": 0.05}
"""Of what is allowed, what each part may take."""


class Budget:
    """Keeps each part of monitoring to its share of the time, on the mean over a run.

    A part waits until what it took is paid; so what costs more comes more rarely. The first time, it waits until what
    it is expected to take is.

    Args:
        overhead: The share of the time that all parts may take together.
        now: The time at the start, by `time.monotonic`.
    """

    def __init__(self, overhead: float, now: float) -> None:
        self.seconds = dict.fromkeys((*SHARES, "traces"), 0.0)
        """Taken so far, by part; traces are made once and count extra."""
        self._overhead = overhead
        self._began = now
        self._free_from = dict.fromkeys(SHARES, now)

    def allows(self, part: str, now: float, expected: float = 0.0) -> bool:
        """Whether a part has paid for what it took; if it took nothing yet, for the seconds that it is expected to."""
        if self.seconds[part] == 0 and expected > (now - self._began) * self._overhead * SHARES[part]:
            return False
        return now >= self._free_from[part]

    def charge(self, part: str, seconds: float, now: float) -> None:
        """Note what a part took."""
        self.seconds[part] += seconds
        if part in SHARES:
            self._free_from[part] = max(now, self._free_from[part]) + seconds / (self._overhead * SHARES[part])

    @contextmanager
    def charged(self, part: str) -> Iterator[None]:
        """Charge a part with the time that the block takes."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.charge(part, time.perf_counter() - started, time.monotonic())

    def share(self, now: float) -> float:
        """Return the share of the time that monitoring has taken, without traces."""
        taken = sum(self.seconds[part] for part in SHARES)
        return taken / max(now - self._began, 1e-9)
