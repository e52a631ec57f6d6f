"""How fast a run trains."""

from collections import deque

RECENT_LINES = 64
"""Lines of `batches` from which the speed is read."""
RATE_SECONDS = 10.0
"""The speed is that of about this many seconds."""


class Pace:
    """The times and steps of the newest lines of `batches`, and the speed that follows from them.

    Example:
        >>> pace = Pace()
        >>> pace.begin(0.0, 0)
        >>> pace.advance(2.0, 10)
        >>> pace.steps_per_second
        5.0
    """

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque(maxlen=RECENT_LINES)

    def begin(self, time: float, step: int) -> None:
        """Forget what was, and start at a step."""
        self._points.clear()
        self._points.append((time, step))

    def advance(self, time: float, step: int) -> None:
        """Add the step that a line of `batches` leads to."""
        self._points.append((time, step))

    def leave_out(self, seconds: float) -> None:
        """Leave out a time in which no step could be made: a pause does not slow the training down."""
        self._points = deque(((at + seconds, step) for at, step in self._points), maxlen=RECENT_LINES)

    @property
    def steps_per_second(self) -> float | None:
        """Return the steps per second over about the last 10 s; None while not known."""
        if len(self._points) < 2:
            return None
        last_time, last_step = self._points[-1]
        first_time, first_step = next(
            (point for point in self._points if last_time - point[0] <= RATE_SECONDS), self._points[-2]
        )
        if first_time == last_time:
            first_time, first_step = self._points[0]
        seconds = last_time - first_time
        return (last_step - first_step) / seconds if seconds > 0 else None

    @property
    def steady_steps_per_second(self) -> float | None:
        """Return the steps per second over all that is kept, so that one slow validation does not double the time left.

        None while not known.
        """
        if len(self._points) < 2:
            return None
        (first_time, first_step), (last_time, last_step) = self._points[0], self._points[-1]
        return (last_step - first_step) / (last_time - first_time) if last_time > first_time else None
