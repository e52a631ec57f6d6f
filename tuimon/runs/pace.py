"""How fast a run trains, how long it has made no step, and what is left of it."""

from collections import deque
from statistics import fmean, median

from msgspec import Struct

RECENT_LINES = 64
"""Lines of `batches` from which the speed is read."""
RATE_SECONDS = 10.0
"""The speed is that of about this many seconds."""
USUAL_TIMES = 5
"""A step that takes so many times as long as usual is late."""
LATE_SECONDS = 5.0
"""No step is late before: lines come four times a second, and some file systems show them seconds later."""
UNKNOWN_LATE_SECONDS = 30.0
"""Where nothing usual is known yet, a step is late after this long."""
MARGIN = 1.25
"""A gap that has come before is expected to be at most so many times as long."""
RECENT_ENDS = 64
"""Ends of epochs from which is read what they take."""
FEWEST_STEPS, FEWEST_SECONDS = 3, 0.5
"""Less than this says nothing of what a step takes."""
TRACE_SECONDS = 10.0
"""So much of the first end of an epoch may be the trace of the validation, which comes once."""


class _Span(Struct, frozen=True, eq=False):
    """The time between two lines of `batches`."""

    seconds: float
    steps: int
    epochs: int
    """Epochs that ended in it; its seconds are then those of their validations and callbacks as well."""


class Pace:
    """The times and steps of the newest lines of `batches`, and what follows from them.

    Time in which no step could be made does not count for the speed: the trainer compiles, validates, probes or waits.

    Example:
        >>> pace = Pace()
        >>> pace.begin(0.0, 0)
        >>> pace.advance(2.0, 0, 10)
        >>> pace.steps_per_second
        5.0
        >>> pace.seconds_without_step(5.0), pace.seconds_without_step(60.0)
        (None, 58.0)
    """

    def __init__(self) -> None:
        # Seconds of training, and steps.
        self._points: deque[tuple[float, int]] = deque(maxlen=RECENT_LINES)
        self._line_time = 0.0
        self._state: str | None = None
        self._state_since = 0.0
        self._away = 0.0
        # Since the newest line.
        self._validated = 0.0
        self._epochs = 0
        self._has_compiled = False
        # Between the ends of epochs, with them, and those that were late.
        self._spans: deque[_Span] = deque(maxlen=RECENT_LINES)
        self._ends: deque[_Span] = deque(maxlen=RECENT_ENDS)
        self._late: deque[_Span] = deque(maxlen=RECENT_LINES)
        self._late_in_a_row: list[_Span] = []
        self._newest: _Span | None = None
        self._before_end: _Span | None = None
        self._steps_in_all = 0
        self._epoch_first_step = 0
        self._steps_per_epoch: int | None = None

    def begin(self, time: float, step: int, steps_per_epoch: int | None = None) -> None:
        """Forget what was, and start at a step.

        Args:
            time: Unix seconds.
            step: Steps that were made before.
            steps_per_epoch: None while not known.
        """
        self._forget()
        # What was done before this `fit` is over.
        self._state, self._state_since = None, time
        self._epoch_first_step, self._steps_per_epoch = step, steps_per_epoch
        self._anchor(time, step)

    def enter(self, state: str, time: float) -> None:
        """Note what the trainer does from now on: a state of `tuimon.protocol.events.StateChanged`."""
        self._count_away(time)
        self._state, self._state_since = state, time
        self._has_compiled = self._has_compiled or state == "compiling"

    def advance(self, time: float, first_step: int, last_step: int) -> None:
        """Add a line of `batches`.

        Args:
            time: When it was made, Unix seconds.
            first_step: The first step of the line.
            last_step: The steps that were made by then.
        """
        if not self._points or first_step > self._points[-1][1]:
            # Lines are missing: what lies between is not known.
            self._anchor(time, last_step)
            return
        self._count_away(time)
        before, step = self._points[-1]
        seconds = time - self._away - before + (self._validated if self._epochs else 0.0)
        if not self._has_compiled:
            # The first step of a mode is part of its trace.
            self._add(_Span(max(0.0, seconds), last_step - step, self._epochs))
        self._anchor(time, last_step)

    def end_epoch(self, step: int) -> None:
        """Note that an epoch ended, with its validation.

        Args:
            step: The steps that were made by then.
        """
        self._epochs += 1
        self._steps_per_epoch = step - self._epoch_first_step or self._steps_per_epoch
        self._epoch_first_step = step
        if self._newest is not None and step == self._points[-1][1]:
            # The last steps may have been read after a validation of the user's loop, or after other callbacks.
            for spans in (self._spans, self._late):
                if self._newest in spans:
                    spans.remove(self._newest)
            self._before_end, self._newest = self._newest, None

    @property
    def steps_per_second(self) -> float | None:
        """The steps per second over about the last 10 s before the newest line; None while not known."""
        return self._speed(0.0)

    def speed(self, now: float) -> float | None:
        """Return the steps per second over about the last 10 s; None while not known.

        It falls where the next step does not come, and is not known where none could be made for that long.

        Args:
            now: The time by the trainer's clock, Unix seconds.
        """
        if self._is_away:
            return None if now - self._state_since > RATE_SECONDS else self._speed(0.0)
        # What every line leaves open is no sign that it became slower.
        return self._speed(max(0.0, self._silence(now) - (self._usual_seconds or 0.0) - 1.0))

    def seconds_without_step(self, now: float) -> float | None:
        """Return how long ago the last step was made; None where that is as usual, and where none can be made.

        It is unusual after five times what lines of steps usually take to come, but after no less than 5 s, and not as
        long as such a gap was seen before: after the epochs, or twice between their steps.

        Args:
            now: The time by the trainer's clock, Unix seconds.
        """
        if self._is_away:
            return None
        silence = self._silence(now)
        return silence if silence > self._patience else None

    @property
    def step_seconds(self) -> float | None:
        """What a step takes between the ends of epochs, in seconds; None while not known."""
        steps, seconds = sum(span.steps for span in self._spans), sum(span.seconds for span in self._spans)
        if steps < FEWEST_STEPS or seconds < FEWEST_SECONDS:
            return None
        # A single stall says nothing of what is to come; what comes again and again is part of the training.
        late = [span.seconds for span in self._late]
        again = sum(late) - max(late, default=0.0)
        return seconds / steps + again / max(1, self._steps_in_all)

    @property
    def epoch_end_seconds(self) -> float | None:
        """What the end of an epoch takes, with its validation, in seconds; None while not known."""
        step_seconds = self.step_seconds or 0.0
        ends = [max(0.0, end.seconds - end.steps * step_seconds) / end.epochs for end in self._ends]
        if not ends:
            return None
        if len(ends) == 1:
            return max(0.0, ends[0] - TRACE_SECONDS) or None
        usual = sorted(ends[1:])
        if len(usual) > 2 and usual[-1] > LATE_SECONDS + USUAL_TIMES * usual[-2]:
            # A stall.
            usual.pop()
        return fmean(usual)

    def seconds_left(self, steps: int, epochs: int) -> float | None:
        """Return how long steps take that are still to come, with the ends of their epochs; None while not known.

        Ends of epochs count for nothing before one was timed.
        """
        step_seconds = self.step_seconds
        if step_seconds is None and sum(end.steps for end in self._ends) >= FEWEST_STEPS:
            # Epochs of a few steps: every line has the end of one.
            step_seconds = 0.0
        if step_seconds is None:
            return None
        return steps * step_seconds + epochs * (self.epoch_end_seconds or 0.0)

    def _forget(self) -> None:
        for spans in (self._points, self._spans, self._ends, self._late, self._late_in_a_row):
            spans.clear()
        self._newest = self._before_end = None
        self._away = self._validated = 0.0
        self._epochs = self._steps_in_all = 0
        self._has_compiled = False

    def _anchor(self, time: float, step: int) -> None:
        self._count_away(time)
        self._points.append((time - self._away, step))
        self._line_time = time
        self._validated, self._epochs, self._before_end = 0.0, 0, None
        self._has_compiled = self._state == "compiling"

    def _add(self, span: _Span) -> None:
        self._steps_in_all += span.steps
        self._newest = None if span.epochs else span
        if span.epochs:
            before, self._before_end = self._before_end or _Span(0.0, 0, 0), None
            self._ends.append(_Span(before.seconds + span.seconds, before.steps + span.steps, span.epochs))
            return
        if self._spans and span.seconds > self._usual_late_seconds:
            self._late_in_a_row.append(span)
            self._late.append(span)
            if len(self._late_in_a_row) < FEWEST_STEPS:
                return
            # It has become slower for good.
            self._spans.clear()
            self._late.clear()
            self._spans += self._late_in_a_row
        else:
            self._spans.append(span)
        self._late_in_a_row = []

    @property
    def _is_away(self) -> bool:
        return self._state not in (None, "training")

    def _count_away(self, time: float) -> None:
        """Count the time in the present state as time in which no step is made, if it is."""
        if self._is_away:
            seconds = max(0.0, time - self._state_since)
            self._away += seconds
            self._validated += seconds if self._state == "validating" else 0.0
            self._state_since = max(self._state_since, time)

    def _silence(self, now: float) -> float:
        return max(0.0, now - max(self._line_time, self._state_since if self._state is not None else 0.0))

    @property
    def _usual_seconds(self) -> float | None:
        """What a line usually takes to come after the one before; None while not known."""
        spans = [span.seconds for span in self._spans or self._ends]
        return median(spans) if spans else None

    @property
    def _usual_late_seconds(self) -> float:
        return max(LATE_SECONDS, USUAL_TIMES * (self._usual_seconds or 0.0))

    @property
    def _patience(self) -> float:
        if self._usual_seconds is None:
            return UNKNOWN_LATE_SECONDS
        if not self._epochs and not self._is_near_end:
            seen = sorted(span.seconds for span in self._late)[-2:]
            return max(self._usual_late_seconds, MARGIN * seen[0] if len(seen) == 2 else 0.0)
        longest = max((end.seconds for end in self._ends), default=UNKNOWN_LATE_SECONDS / MARGIN)
        return max(self._usual_late_seconds, MARGIN * longest)

    @property
    def _is_near_end(self) -> bool:
        """Whether the next line may be that of the epoch's end: in a user's loop, its validation comes before."""
        if self._steps_per_epoch is None:
            return False
        left = self._epoch_first_step + self._steps_per_epoch - self._points[-1][1]
        return left <= 2 * max((span.steps for span in self._spans), default=0)

    def _speed(self, further_seconds: float) -> float | None:
        if len(self._points) < 2:
            return None
        last_time, last_step = self._points[-1]
        first_time, first_step = next(
            (point for point in self._points if last_time - point[0] <= RATE_SECONDS), self._points[-2]
        )
        if first_time == last_time:
            first_time, first_step = self._points[0]
        seconds = last_time - first_time + further_seconds
        return (last_step - first_step) / seconds if seconds > 0 else None
