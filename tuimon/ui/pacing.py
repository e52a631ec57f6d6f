"""Draws no faster than the terminal takes it in: on a slow line frames are dropped, not queued.

After a frame the terminal is asked where its cursor is. Its answer comes through the same line, behind all that was
sent before, so it says that the frame has arrived: no buffer on the way, of a terminal, of SSH, of TCP, hides it.
"""

QUESTION = "\x1b[6n"
"""DSR: every terminal answers it with CPR, the position of its cursor (ECMA-48)."""
FIRST_SECONDS = 5.0
"""A terminal that has not answered by then is one that does not."""
LOST_SECONDS = 60.0
"""After this long the answer is taken to be lost, and it is asked again."""


class Pacing:
    """Says when the next frame may be drawn; it is told the time, so it needs no clock."""

    def __init__(self) -> None:
        self._asked_at: float | None = None
        self._answers: bool | None = None

    def may_draw(self, now: float) -> bool:
        """Whether the terminal has taken in what was sent."""
        if self._asked_at is None or self._answers is False:
            return True
        if self._answers is None:
            self._answers = None if now - self._asked_at < FIRST_SECONDS else False
            return True
        if now - self._asked_at > LOST_SECONDS:
            self._asked_at = None
            return True
        return False

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is still to come."""
        return self._asked_at is not None and self._answers is not False

    def should_ask(self) -> bool:
        """Whether the terminal is to be asked, after a frame was sent."""
        return self._asked_at is None and self._answers is not False

    def asked(self, now: float) -> None:
        """It was asked."""
        self._asked_at = now

    def answered(self) -> None:
        """It has answered."""
        self._asked_at, self._answers = None, True
