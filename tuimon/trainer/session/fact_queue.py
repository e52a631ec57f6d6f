"""The facts that wait for the disk: bounded in number and in bytes, whatever the disk does."""

import contextlib
from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from tuimon.protocol import events
from tuimon.runs.log.session_log import encoder

CAPACITY = 50_000
"""Events that may wait for a slow or full disk; further ones are dropped, but for those that must be kept."""
CAPACITY_BYTES = 32 * 1024 * 1024
"""Bytes, as they will be in the log, that may wait."""
KEPT_TIMES = 2
"""Events that must be kept may take so many times the room. If there are still more, the oldest are dropped."""
_FIRST_KEPT = 32
"""Of the oldest, the first ones remain: they say whose log this is."""
_MEASURED_FROM = 64
"""In a shorter queue events are not measured: the disk keeps up."""
_TRACEBACK_CHARACTERS = 8000
"""Of a traceback, if there is little room left."""


class Waiting(Struct):
    """A fact that waits."""

    event: events.AnyEvent
    """The fact."""
    when_written: Callable[[], None] | None = None
    """Called once it is on disk."""
    size: int = 0
    """Bytes, as far as they were measured."""


class FactQueue:
    """Facts that wait, the oldest first. Who uses it holds a lock.

    Args:
        capacity: Events that may wait.
        capacity_bytes: Bytes that may wait.
    """

    def __init__(self, capacity: int = CAPACITY, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self.dropped: Counter[str] = Counter()
        """How many were dropped, by type, and are in no `log_gap` yet."""
        self.lost: Counter[str] = Counter()
        """How many were dropped in all, by type."""
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._facts: list[Waiting] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._facts)

    def put(self, event: events.AnyEvent, when_written: Callable[[], None] | None = None) -> bool:
        """Add a fact at the end; return False if it was dropped."""
        if len(self._facts) >= self._capacity and not event.must_keep:
            self.drop(event)
            return False
        size = _bytes_of(event) if len(self._facts) >= _MEASURED_FROM else 0
        times = KEPT_TIMES if event.must_keep else 1
        is_full = self._is_full(size, times)
        if is_full and not event.must_keep:
            self.drop(event)
            return False
        if is_full:
            # Many at once, so that a full queue costs no more than another one.
            self._drop_oldest(max(1, len(self._facts) // 16))
        self._facts.append(Waiting(event, when_written, size))
        self._bytes += size
        return True

    def _is_full(self, size: int, times: int) -> bool:
        return len(self._facts) >= times * self._capacity or self._bytes + size > times * self._capacity_bytes

    def _drop_oldest(self, count: int) -> None:
        """Drop facts that may be dropped, or else the oldest but for the first ones."""
        chosen = [index for index, fact in enumerate(self._facts) if not fact.event.must_keep][:count]
        if not chosen:
            first = min(_FIRST_KEPT, len(self._facts) // 2)
            chosen = list(range(first, min(first + count, len(self._facts))))
        dropped = set(chosen)
        for index in chosen:
            self._bytes -= self._facts[index].size
            self.drop(self._facts[index].event)
        self._facts = [fact for index, fact in enumerate(self._facts) if index not in dropped]

    def drop(self, event: events.AnyEvent) -> None:
        """Count a fact that will not be in the log."""
        if not isinstance(event, events.Heartbeat):
            self.dropped[kind(event)] += 1
            self.lost[kind(event)] += 1

    def take(self, count: int) -> list[Waiting]:
        """Take away the oldest facts."""
        taken = self._facts[:count]
        del self._facts[:count]
        self._bytes -= sum(fact.size for fact in taken)
        return taken

    def put_back(self, taken: list[Waiting]) -> None:
        """Put facts back at the beginning. A heartbeat that comes late says nothing."""
        kept = [fact for fact in taken if not isinstance(fact.event, events.Heartbeat)]
        self._facts[:0] = kept
        self._bytes += sum(fact.size for fact in kept)

    def drop_all(self) -> None:
        """Drop all that waits."""
        for fact in self.take(len(self._facts)):
            self.drop(fact.event)

    def fit_into(self, size: int) -> None:
        """Drop what takes more bytes, samples first and then the oldest; how the run ended always remains."""
        kept: list[Waiting] = []
        for fact in reversed(self.take(len(self._facts))):
            if isinstance(fact.event, events.RunEnded):
                fact.event.traceback = fact.event.traceback[-_TRACEBACK_CHARACTERS:]
            is_wanted = fact.event.must_keep or isinstance(fact.event, events.EpochEnded)
            room = size - _bytes_of(fact.event)
            if isinstance(fact.event, events.RunStarted | events.RunEnded) or (is_wanted and room >= 0):
                kept.append(fact)
                size = room
            else:
                self.drop(fact.event)
        self.put_back(kept[::-1])

    def told(self, counts: Counter[str]) -> None:
        """Note that a `log_gap` with these counts is on disk."""
        self.dropped -= counts


def kind(event: events.AnyEvent) -> str:
    """Return the type of an event, as the log has it."""
    return str(type(event).__struct_config__.tag)


def _bytes_of(event: events.AnyEvent) -> int:
    with contextlib.suppress(Exception):
        return len(encoder.encode(event))
    return 0
