"""Sends no faster than the terminal takes it in: on a slow line frames are dropped, not queued.

After what is sent the terminal is asked where its cursor is. Its answer comes through the same line, behind all that
was sent before, so it says that all of that has arrived: no buffer on the way, of a terminal, of SSH, of TCP, hides it.
How much may be on its way at a time is learnt as TCP learns it: more while answers come soon, less when one is late.

An answer says no more than where the cursor is, so it is put elsewhere for each question: what answers none of them, as
a key that some terminals write like an answer (Shift+F3), is known by that, and so is an answer that was lost.
"""

from collections import deque
from typing import NamedTuple

QUESTION = "\x1b[6n"
"""DSR: every terminal answers it with CPR, the position of its cursor (ECMA-48)."""
_KEEP_CURSOR, _RESTORE_CURSOR = "\x1b7", "\x1b8"
_FIRST_ROW = 2
"""Keys are written like positions in row 1."""
_MOST_GIVEN_UP = 100
FIRST_SECONDS = 5.0
"""A terminal that has not answered by then is one that does not."""
PATIENT_SECONDS = 1.0
"""A terminal that has not answered yet gets `FIRST_BYTES` each so many seconds."""
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
    column: int
    row: int
    """Where the cursor is put, from 1."""
    at: float
    size: int
    before: int
    """Bytes that were on their way already."""
    is_part: bool


class Pacing:
    """Says how much may be sent; it is told the time, so it needs no clock."""

    def __init__(self) -> None:
        self._on_the_way: deque[_Sent] = deque()
        self._questions = 0
        self._given_up = deque[tuple[int, int]](maxlen=_MOST_GIVEN_UP)
        """Where the cursor was for questions that no answer is waited for any more."""
        self._answers: bool | None = None
        self._soonest = float("inf")
        self._window = float(FIRST_BYTES)

    def room(self, now: float) -> float:
        """Return how many bytes may be sent now."""
        if self._is_known(now):
            return max(0.0, self._window - self._bytes)
        if self._answers is None and self._on_the_way:
            waited = now - self._on_the_way[0].at
            return max(0.0, FIRST_BYTES * (1 + waited // PATIENT_SECONDS) - self._bytes)
        return float("inf")

    def may_draw(self, now: float) -> bool:
        """Whether what merely goes on may be drawn: only what the line then takes soon."""
        return self.room(now) >= self._window / 2

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._on_the_way) and self._answers is not False

    @property
    def round_trip(self) -> float:
        """How many seconds an answer takes at least; 0 where there was none."""
        return 0.0 if self._soonest == float("inf") else self._soonest

    @property
    def doubts(self) -> bool:
        """Whether to ask before anything is sent: it is far away, and not slow, if that is answered as late."""
        return self._window <= LEAST_BYTES and not self._on_the_way

    @property
    def asks(self) -> bool:
        """Whether the terminal is to be asked after what is sent."""
        return self._answers is not False

    def question(self, now: float, size: int, columns: int, rows: int, *, is_part: bool = False) -> str:
        """Return what asks the terminal whether it has taken in what was sent.

        Args:
            now: Seconds.
            size: How many bytes were sent since it was asked last.
            columns: Of the terminal.
            rows: Likewise.
            is_part: Whether more would have been sent, had there been room.
        """
        row, column = divmod(self._questions, max(1, columns))
        row, column = _FIRST_ROW + row % max(1, rows - _FIRST_ROW + 1), 1 + column
        self._questions += 1
        self._on_the_way.append(_Sent(column, row, now, size, self._bytes, is_part))
        return f"{_KEEP_CURSOR}\x1b[{row};{column}H{QUESTION}{_RESTORE_CURSOR}"

    def answered(self, now: float, column: int, row: int) -> None:
        """The terminal has said that its cursor is there, the first column and the first row being 1."""
        if not any((sent.column, sent.row) == (column, row) for sent in self._on_the_way):
            # It does answer, though later than it was waited for.
            self._answers = True if (column, row) in self._given_up else self._answers
            return
        self._answers = True
        # Answers come in the order of the questions: those before it are lost.
        while (sent := self._on_the_way.popleft()) and (sent.column, sent.row) != (column, row):
            pass
        size, taken = sent.before + sent.size, now - sent.at
        self._soonest = min(self._soonest, taken) if size else taken
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
        self._given_up.extend((sent.column, sent.row) for sent in self._on_the_way)
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
                # Lost, or the line takes longer for it than that.
                self._window = max(LEAST_BYTES, self._window / 2)
                self.forget()
        return self._answers is True
