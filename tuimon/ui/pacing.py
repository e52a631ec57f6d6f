"""Sends no faster than the terminal takes it in: on a slow line frames are dropped, not queued.

After what is sent the terminal is asked where its cursor is. Its answer comes through the same line, behind all that
was sent before, so it says that all of that has arrived: no buffer on the way, of a terminal, of SSH, of TCP, hides it.
How much may be on its way at a time is learnt as TCP learns it: more while answers come soon, less when one is late.
"""

from collections import deque
from typing import NamedTuple

QUESTION = "\x1b[6n"
"""DSR: every terminal answers it with CPR, the position of its cursor (ECMA-48)."""
FIRST_SECONDS = 5.0
"""A terminal that has not answered by then is one that does not."""
LOST_SECONDS = 10.0
"""After this long an answer is taken to be lost."""
LATE_SECONDS = 0.5
"""How long what is sent may take, beyond what a question alone takes."""
_KEPT = 0.9
OPENING_BYTES = 400
"""What Textual sends before a screen: that it wants keys, the mouse, another buffer."""
FIRST_BYTES, LEAST_BYTES, MOST_BYTES = 4096, 512, 1 << 20
"""What may be on its way: at first, on the slowest line, on the fastest."""


class _Sent(NamedTuple):
    at: float
    size: int
    before: int
    """Bytes that were on their way already."""
    is_part: bool


class Pacing:
    """Says how much may be sent; it is told the time, so it needs no clock."""

    def __init__(self) -> None:
        self._on_the_way: deque[_Sent] = deque()
        self._answers: bool | None = None
        self._soonest = float("inf")
        self._window = float(FIRST_BYTES)

    def room(self, now: float) -> float:
        """Return how many bytes may be sent now."""
        return max(0.0, self._window - self._bytes) if self._is_known(now) else float("inf")

    def may_draw(self, now: float) -> bool:
        """Whether what merely goes on may be drawn: only what the line then takes soon."""
        return self.room(now) >= self._window / 2

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._on_the_way) and self._answers is not False

    @property
    def asks(self) -> bool:
        """Whether the terminal is to be asked after what is sent."""
        return self._answers is not False

    def asked(self, now: float, size: int, *, is_part: bool = False) -> None:
        """It was asked, after ``size`` bytes; ``is_part`` where more would have been sent, had there been room."""
        self._on_the_way.append(_Sent(now, size, self._bytes, is_part))

    def answered(self, now: float) -> None:
        """It has answered."""
        self._answers = True
        if not self._on_the_way:
            return
        sent = self._on_the_way.popleft()
        size, taken = sent.before + sent.size, now - sent.at
        self._soonest = min(self._soonest, taken)
        late = taken - self._soonest
        if late > LATE_SECONDS:
            self._window = max(LEAST_BYTES, size * LATE_SECONDS / late)
            return
        if sent.is_part and late < LATE_SECONDS / 2:
            self._window *= 2
        elif 2 * sent.size < self._window:
            # What a line took a while ago it may not take now: what is not made use of is given back.
            self._window = max(_KEPT * self._window, min(FIRST_BYTES, self._window))
        # However far away the terminal is, at least this much the line takes.
        self._window = min(MOST_BYTES, max(self._window, size * LATE_SECONDS / max(taken, 1e-6)))

    def forget(self) -> None:
        """Wait for no answer any more: another terminal may be there, or the same one drawn anew."""
        self._on_the_way.clear()

    @property
    def _bytes(self) -> int:
        return sum(sent.size for sent in self._on_the_way)

    def _is_known(self, now: float) -> bool:
        """Whether the terminal is one that answers."""
        if self._on_the_way:
            waited = now - self._on_the_way[0].at
            if self._answers is None and waited >= FIRST_SECONDS:
                self._answers = False
            if waited > LOST_SECONDS or self._answers is False:
                self._on_the_way.clear()
        return self._answers is True
