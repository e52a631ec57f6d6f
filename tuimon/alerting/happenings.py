"""What happens in a run that somebody who looks elsewhere wants to know. Pure: it is told the facts and the time."""

from collections.abc import Iterable

from msgspec import Struct

from tuimon.numbers import figure, span
from tuimon.protocol import events
from tuimon.runs import facts_in_words, liveness
from tuimon.runs.state import RunState
from tuimon.settings import Alerts, Happened
from tuimon.text import plain

RANKS: tuple[Happened, ...] = ("crash", "end", "silence", "stall", "order", "alert")
"""What happens, the weightiest first."""
ENDINGS: tuple[Happened, ...] = ("crash", "end")
"""What happens at most once in an attempt."""
FURTHER_FIT_SECONDS = 2.0
"""How long after its end a run may begin another `fit`, and has not ended."""
_SEVERITIES = ("info", "warning", "error")
_ORDER = "order_fired"
"""The type of the fact that a standing order fired."""
_LONGEST = 1000


class Happening(Struct, frozen=True):
    """One thing that happened."""

    kind: Happened
    """What."""
    text: str
    """A sentence about it, which can be shown."""
    time: float
    """When, Unix seconds."""
    fact: events.AnyEvent | None = None
    """The line of the log that tells it; None where none does."""


class Told(Struct, frozen=True):
    """Which happenings without a line in the log were told already."""

    crashed_attempt: int = -1
    """The attempt whose crash was told."""
    stalled_step: int = -1
    """The step after which a stall was told."""
    silent_seq: int = -1
    """The number of the line after which a silence was told."""


class Happenings:
    """Finds what happens in a run, each thing once.

    Args:
        options: What is wanted.
        told: What was told already, by another process.

    Example:
        ```python
        happenings = Happenings(Alerts())
        state.apply(new)
        happenings.in_facts(new, state)
        happenings.in_time(state, gone=False, now=time.monotonic())
        ```
    """

    def __init__(self, options: Alerts, told: Told | None = None) -> None:
        self._options = options
        self._told = told or Told()
        self._least = _SEVERITIES.index(options.severity)
        self._ended: events.RunEnded | None = None
        self._ended_at = 0.0
        self._heard_at: float | None = None

    @property
    def told(self) -> Told:
        """What was found so far of that which has no line in the log."""
        return self._told

    def in_facts(
        self, new: Iterable[events.AnyEvent], state: RunState, *, now: float, since: int = -1
    ) -> list[Happening]:
        """Return what new facts tell, but for an end: a further `fit` may follow at once.

        Args:
            new: The facts.
            state: What the log adds up to, these facts included.
            now: The time by a clock that goes on, in seconds.
            since: The number of the newest line that was told of already.
        """
        found = []
        for event in new:
            self._heard_at = now
            if isinstance(event, events.RunStarted | events.FitStarted):
                self._ended = None
            if event.seq <= since:
                continue
            if isinstance(event, events.RunEnded):
                self._ended, self._ended_at = event, now
            elif (kind := self._kind(event)) is not None:
                found.append(Happening(kind, _words(event, state), event.time, event))
        return self._wanted(found)

    def in_time(self, state: RunState, *, gone: bool, now: float, wall: float) -> list[Happening]:
        """Return what shows in that no line comes, and an end that no further `fit` has followed.

        Args:
            state: What the log adds up to.
            gone: Whether it is proven that the trainer's process is gone.
            now: The time by the same clock as for `in_facts`.
            wall: The time, Unix seconds.
        """
        self._heard_at = now if self._heard_at is None else self._heard_at
        if self._ended is not None:
            if not gone and now - self._ended_at < FURTHER_FIT_SECONDS:
                return []
            ended, self._ended = self._ended, None
            return self._wanted([_ending(ended, state)])
        if state.ended is not None or (state.run is not None and state.run.source):
            # Of a log of another program nobody can tell whether it goes on.
            return []
        if gone:
            return self._wanted(self._crash(state, wall))
        return self._wanted([*self._stall(state, now, wall), *self._silence(state, now, wall)])

    @property
    def awaits_end(self) -> bool:
        """True while an end is not told because another `fit` may follow."""
        return self._ended is not None

    def through(self, state: RunState) -> int:
        """Return the number of the newest line that tells nothing any more which was not returned."""
        return state.last_seq if self._ended is None else min(state.last_seq, self._ended.seq - 1)

    def _crash(self, state: RunState, wall: float) -> list[Happening]:
        attempt = state.run.attempt if state.run is not None else 0
        if self._told.crashed_attempt >= attempt:
            return []
        self._told = Told(attempt, self._told.stalled_step, self._told.silent_seq)
        where = (
            f"after {facts_in_words.counted(state.step, 'step')}" if state.run is not None else "before its first line"
        )
        return [Happening("crash", f"crashed {where}: {liveness.KILLED}", wall)]

    def _stall(self, state: RunState, now: float, wall: float) -> list[Happening]:
        if liveness.status(state, gone=False, silent_seconds=0.0) != "training" or state.last_time is None:
            return []
        assert self._heard_at is not None
        # The trainer's clock may differ from this one.
        late = state.pace.seconds_without_step(state.last_time + now - self._heard_at)
        if late is None or late < self._options.stall_seconds or state.step == self._told.stalled_step:
            return []
        if now - self._heard_at >= self._options.stall_seconds:
            return []  # It is silent, which says more.
        self._told = Told(self._told.crashed_attempt, state.step, self._told.silent_seq)
        words = f"stalls at step {state.step:,}: no step for {span(late)}; the trainer lives"
        return [Happening("stall", words, wall)]

    def _silence(self, state: RunState, now: float, wall: float) -> list[Happening]:
        assert self._heard_at is not None
        silent = now - self._heard_at
        if silent < self._options.stall_seconds or state.last_seq == self._told.silent_seq or state.run is None:
            return []
        self._told = Told(self._told.crashed_attempt, self._told.stalled_step, state.last_seq)
        words = f"silent after step {state.step:,}: its log has not grown for {span(silent)}"
        return [Happening("silence", words, wall)]

    def _kind(self, event: events.AnyEvent) -> Happened | None:
        if isinstance(event, events.Alert):
            severity = event.severity if event.severity in _SEVERITIES else "warning"
            return "alert" if _SEVERITIES.index(severity) >= self._least else None
        return "order" if event.__struct_config__.tag == _ORDER else None

    def _wanted(self, found: list[Happening]) -> list[Happening]:
        return [happening for happening in found if happening.kind in self._options.on]


def _words(event: events.AnyEvent, state: RunState) -> str:
    said = facts_in_words.of(event, state)
    return plain(f"step {event.step:,}: {said}", _LONGEST)


def _ending(ended: events.RunEnded, state: RunState) -> Happening:
    shown = [
        f"{plain(name, 30)} {figure(series.last)}"
        for name, series in state.epoch_metrics.items()
        if series.last is not None
    ]
    metrics = f"   {'  '.join(shown[: facts_in_words.MOST_METRICS])}" if shown else ""
    kind: Happened = "crash" if ended.status == "failed" else "end"
    return Happening(kind, plain(f"{facts_in_words.of(ended, state)}{metrics}", _LONGEST), ended.time, ended)
