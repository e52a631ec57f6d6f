"""A recorded run, released fact by fact as its own times say. It is told how time goes on, and reads no files."""

from collections import deque
from collections.abc import Collection

from tuimon.protocol.events import (
    Alert,
    AnyEvent,
    Batches,
    BatchNorm,
    BatchNormChannels,
    EpochEnded,
    System,
    ValidationBatches,
)
from tuimon.runs.state import Command, RunState
from tuimon.ui.viewer.moment import ReplayPosition

_SLOWEST, _FASTEST = 1 / 64, 4096.0
_STEPS = (
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    21600.0,
)
"""The lengths of a step along the log, in seconds."""
_MEASURED = Batches | ValidationBatches | EpochEnded | BatchNorm | BatchNormChannels | System
"""Facts that the timeline does not list, and that would take room twice."""


class ReplayClock:
    """Says which events of a log are due.

    Args:
        speed: Seconds of the log in a second.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = min(_FASTEST, max(_SLOWEST, speed))
        """Seconds of the log in a second."""
        self.playing = True
        """Whether time goes on by itself."""
        self.time = 0.0
        """The time that the replay has reached, Unix seconds of the log."""
        self.whole = RunState()
        """The whole log folded, without measured values."""
        self._first: float | None = None
        self._last = 0.0
        self._past: list[AnyEvent] = []
        self._pending: deque[AnyEvent] = deque()

    def load(self, events: Collection[AnyEvent]) -> None:
        """Take in further events of the log."""
        self.whole.apply(event for event in events if not isinstance(event, _MEASURED))
        for event in events:
            if self._first is None:
                self._first = self.time = self._last = event.time
            self._last = max(self._last, event.time)
            self._pending.append(event)

    def release(self, seconds: float) -> list[AnyEvent]:
        """Return the events that are due after another ``seconds`` of the viewer's time."""
        if self._first is None or not self.playing:
            return []
        self.time = min(self._last, self.time + seconds * self.speed)
        due = []
        while self._pending and self._pending[0].time <= self.time:
            due.append(self._next())
        if not self._pending:
            self.time = self._last
        return due

    def next_epoch(self) -> list[AnyEvent]:
        """Return the events up to the end of the next epoch, and pause."""
        self.playing = False
        due = []
        while self._pending:
            event = self._next()
            due.append(event)
            self.time = max(self.time, event.time)
            if isinstance(event, EpochEnded):
                break
        return due

    def next_fact(self) -> list[AnyEvent]:
        """Return the next event alone, and pause."""
        self.playing = False
        if not self._pending:
            return []
        event = self._next()
        self.time = max(self.time, event.time)
        return [event]

    def epoch_before(self) -> float:
        """Return when the last epoch but one ended, Unix seconds of the log; without one, when the log begins."""
        ends = [event.time for event in self._past if isinstance(event, EpochEnded)]
        return ends[-2] if len(ends) > 1 else self._first or 0.0

    def next_event(self) -> float | None:
        """Return when the next request took effect, or the next alert came; None where neither did."""
        return min((time for time in self._event_times() if time > self.time), default=None)

    def event_before(self) -> float | None:
        """Return when the request before took effect, or the alert before came; None where neither did."""
        return max((time for time in self._event_times() if time < self.time), default=None)

    def to_end(self) -> list[AnyEvent]:
        """Return all events that are left."""
        due = list(self._pending)
        self._past += due
        self._pending.clear()
        self.time = self._last
        return due

    def to_start(self) -> None:
        """Go back to before the first event: all are pending again."""
        self._pending.extendleft(reversed(self._past))
        self._past.clear()
        self.time = self._first or 0.0

    def to_time(self, time: float) -> list[AnyEvent]:
        """Return the events up to a later time, in Unix seconds of the log, and go on from there."""
        due = []
        while self._pending and self._pending[0].time <= time:
            due.append(self._next())
        self.time = max(self.time, min(self._last, time))
        return due

    @property
    def step_seconds(self) -> float:
        """How far one key moves along the log: about a hundredth of its length, a number that is easily read."""
        length = self._last - (self._first or 0.0)
        return next((step for step in _STEPS if step >= length / 100), _STEPS[-1])

    def within(self, time: float) -> float:
        """Return the time of the log that is nearest to ``time``, both in Unix seconds."""
        return max(self._first or 0.0, min(self._last, time))

    def change_speed(self, factor: float) -> None:
        """Multiply the speed."""
        self.speed = min(_FASTEST, max(_SLOWEST, self.speed * factor))

    def _event_times(self) -> list[float]:
        return [
            entry.time
            for entry in self.whole.timeline
            if isinstance(entry, Alert) or (isinstance(entry, Command) and entry.applied)
        ]

    def _next(self) -> AnyEvent:
        event = self._pending.popleft()
        self._past.append(event)
        return event

    @property
    def position(self) -> ReplayPosition:
        """How far the replay is, and how fast it goes."""
        first = self._first or 0.0
        return ReplayPosition(self.playing and bool(self._pending), self.speed, self.time - first, self._last - first)
