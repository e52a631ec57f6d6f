"""Sends no faster than the terminal takes it in: on a slow line frames are dropped, not queued.

After what is sent the terminal is asked where its cursor is. Its answer comes through the same line, behind all that
was sent before, so it says that all of that has arrived: no buffer on the way, of a terminal, of SSH, of TCP, hides it.
The limit of what may be on its way is learnt as TCP learns it: more while answers come soon, less when one is late.

An answer says only where the cursor is, so each question puts the cursor elsewhere. That tells which answers are lost,
and which are keys that some terminals write like an answer (Shift+F3).
"""

from collections import deque
from typing import NamedTuple

QUESTION = "\x1b[6n"
"""DSR: every terminal answers it with CPR, the position of its cursor (ECMA-48)."""
_KEEP_CURSOR, _RESTORE_CURSOR = "\x1b7", "\x1b8"
_FIRST_ROW = 2
"""Questions leave row 1 alone: some keys are written like positions in it."""
_MOST_GIVEN_UP = 100
FIRST_SECONDS = 5.0
"""A terminal that has not answered by then never answers."""
PATIENT_SECONDS = 1.0
"""Until a terminal answers for the first time, it gets `FIRST_BYTES` each so many seconds."""
LOST_SECONDS = 10.0
"""After this long an answer counts as lost."""
LATE_SECONDS = 0.5
"""How much longer than a question alone a transmission may take."""
_KEPT = 0.9
OPENING_BYTES = 400
"""Size of what Textual sends before a screen: requests for keys, the mouse, another buffer."""
FIRST_BYTES, LEAST_BYTES, MOST_BYTES = 4096, 512, 1 << 20
"""How many bytes may be on their way: at first, on the slowest line, on the fastest."""


class _Sent(NamedTuple):
    column: int
    row: int
    """The cell to which the question moves the cursor, counted from 1."""
    at: float
    size: int
    before: int
    """Bytes that were on their way before."""
    is_part: bool


class Pacing:
    """Says how much may be sent; it is told the time, so it needs no clock."""

    def __init__(self) -> None:
        self._on_the_way: deque[_Sent] = deque()
        self._questions = 0
        self._given_up = deque[tuple[int, int]](maxlen=_MOST_GIVEN_UP)
        """The cells to which questions without an answer had moved the cursor."""
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
        """Return whether changes that no key asked for may be drawn: only if the line takes them soon."""
        return self.room(now) >= self._window / 2

    @property
    def is_waiting(self) -> bool:
        """True while an answer is still to come."""
        return bool(self._on_the_way) and self._answers is not False

    @property
    def round_trip(self) -> float:
        """Seconds of the quickest answer; 0 before the first one."""
        return 0.0 if self._soonest == float("inf") else self._soonest

    @property
    def doubts(self) -> bool:
        """True where a question must go out before any data, to tell a distant terminal from a slow line."""
        return self._window <= LEAST_BYTES and not self._on_the_way

    @property
    def asks(self) -> bool:
        """True unless the terminal is known to answer nothing."""
        return self._answers is not False

    def question(self, now: float, size: int, columns: int, rows: int, *, is_part: bool = False) -> str:
        """Return the question to the terminal: its answer says that all that was sent has arrived.

        Args:
            now: The time, in seconds.
            size: How many bytes were sent since the last question.
            columns: Columns of the terminal.
            rows: Rows of the terminal.
            is_part: True if more would have been sent, had there been room.
        """
        row, column = divmod(self._questions, max(1, columns))
        row, column = _FIRST_ROW + row % max(1, rows - _FIRST_ROW + 1), 1 + column
        self._questions += 1
        self._on_the_way.append(_Sent(column, row, now, size, self._bytes, is_part))
        return f"{_KEEP_CURSOR}\x1b[{row};{column}H{QUESTION}{_RESTORE_CURSOR}"

    def answered(self, now: float, column: int, row: int) -> None:
        """Take an answer: the terminal's cursor is there, columns and rows counted from 1."""
        if not any((sent.column, sent.row) == (column, row) for sent in self._on_the_way):
            # The terminal does answer, though later than this waited.
            self._answers = True if (column, row) in self._given_up else self._answers
            return
        self._answers = True
        # Answers come in the order of the questions: the ones before this are lost.
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
            # The line may have become slower: room that is not used is given back.
            self._window = max(_KEPT * self._window, min(FIRST_BYTES, self._window))
        # The line takes at least this much, however far away the terminal is.
        self._window = min(MOST_BYTES, max(self._window, size * LATE_SECONDS / max(taken, 1e-6)))

    def forget(self) -> None:
        """Give up all answers: another terminal may be there, or the same one is drawn again."""
        self._given_up.extend((sent.column, sent.row) for sent in self._on_the_way)
        self._on_the_way.clear()

    @property
    def _bytes(self) -> int:
        return sum(sent.size for sent in self._on_the_way)

    def _is_known(self, now: float) -> bool:
        """Return whether the terminal is known to answer."""
        if self._on_the_way:
            waited = now - self._on_the_way[0].at
            if self._answers is None and waited >= FIRST_SECONDS:
                self._answers = False
            if waited > LOST_SECONDS or self._answers is False:
                # The answer is lost, or the line is even slower.
                self._window = max(LEAST_BYTES, self._window / 2)
                self.forget()
        return self._answers is True
