"""Writes ``session.jsonl``: a bounded queue on one side, one thread with the file on the other.

Training must never wait for a disk. ``put`` only appends to a queue. The thread numbers the events and writes them at
most four times a second, or at once after urgent ones. It calls ``fdatasync``, so that another host sees the events and
a full quota is noticed.

Whatever the disk does, the thread goes on, the queue stays bounded, and what is missing is counted: in the log, once it
takes a line again, and on standard error when facts begin to wait and at the end.
"""

import contextlib
import math
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tuimon.protocol import events
from tuimon.runs.log.session_log import encoder
from tuimon.trainer.session.clock import Clock
from tuimon.trainer.session.fact_queue import CAPACITY, FactQueue, Waiting
from tuimon.trainer.session.log_file import RESERVE_BYTES, LogFile
from tuimon.trainer.session.missing_facts import say_removed, say_what_is_missing
from tuimon.trainer.session.short_states import ShortStates
from tuimon.trainer.standard_error import say

FLUSH_SECONDS = 0.25
"""Time between two writes, unless an event is urgent."""
HEARTBEAT_SECONDS = 5.0
"""Time until a heartbeat is written, while nothing else is."""
RETRY_SECONDS = 1.0
"""Time until the next try after a write failed."""
PLACE_SECONDS = 5.0
"""Time between two looks whether the log is still where it was."""
_SAMPLES = (events.Batches, events.ValidationBatches, events.BatchNorm, events.BatchNormChannels, events.System)

BUDGET_BYTES = 512 * 1024 * 1024
"""Size from which the log takes no more samples; epochs, requests and the end are still written."""
GAP_SECONDS = 10.0
"""Shortest time between two records of dropped events."""
CLOSE_SECONDS = 5.0
"""Longest time that the end of training waits for the disk."""
_HUNG_SECONDS = 0.1
"""The same, for a disk that has not answered since the end before."""
_STRIKES = 3
"""After so many errors of another kind than the disk's, one after the other, the thread gives up."""
_PART, _PART_BYTES = 1000, 4 * 1024 * 1024
"""So much is written at once."""
_TRIED = 16
"""So many events are tried on a disk that has refused the last ones: a try must cost nothing."""

Fact = TypeVar("Fact", bound=events.Event)


class SessionWriter:
    """Owns a session log and holds an exclusive lock on it until closed, where the file system has locks.

    Args:
        path: The log; created, readable by its owner alone, if it is missing.
        next_seq: Number of the first event; None: one more than that of the log's last line. A partial last line, which
            a killed writer leaves, is cut off.
        clock: Gives the time.
        capacity: Events kept while the disk does not take them.
        budget_bytes: Size of the log from which samples are dropped.

    Raises:
        LogTakenError: Another process holds the lock.
        OSError: The log cannot be opened, or no thread can be started.
    """

    def __init__(
        self,
        path: Path,
        *,
        next_seq: int | None = 0,
        clock: Clock | None = None,
        capacity: int = CAPACITY,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        self._path = path
        self._clock = clock or Clock()
        self._budget_bytes = budget_bytes
        # A signal's handler may record while its thread is in here.
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._queue = FactQueue(capacity)
        self._states = ShortStates()
        self._beginning: dict[type[events.AnyEvent], events.AnyEvent] = {}
        self._gap_told = -math.inf
        self._placed_at, self._misplaced, self._is_removed = self._clock.passed(), "", False
        self._is_failing = self._is_trouble_told = self._has_given_up = False
        self._strikes, self._lost_told, self._hung_at = 0, 0, -1
        self._drop_reason, self._closing = "the disk did not keep up", False
        self._position, self._owner = (0, 0, 0), os.getpid()
        self._log: LogFile | None = LogFile(path, next_seq=next_seq)
        self.lock_error = self._log.lock_error
        """Why the log has no lock; None if it has one."""
        self._next_seq = self._log.next_seq
        self._thread = threading.Thread(target=self._clock.watched(self._run), name="tuimon-writer", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._log.close()
            raise OSError(f"the log has no thread: {error}") from error

    @property
    def next_seq(self) -> int:
        """Number of the next event; exact once the writer is closed."""
        return self._next_seq

    def put(self, event: events.AnyEvent, when_written: Callable[[], None] | None = None) -> None:
        """Queue an event; never waits for the disk, never raises.

        If the queue is full, an event that may be dropped is dropped, and a later ``log_gap`` counts it.

        Args:
            event: The event.
            when_written: Called from the writer's thread once the event is on disk.
        """
        if os.getpid() != self._owner:
            return  # A fork of the trainer, such as a data loader's worker, does not own the log.
        with self._lock:
            event.time = event.time or self._clock.wall()
            self._position = (event.step, event.epoch, event.branch)
            if isinstance(event, events.StateChanged) and not self._states.is_news(event, self._clock.passed()):
                return
            if self._is_removed or self._has_given_up or self._has_no_place(event):
                self._queue.drop(event)
                return
            is_queued = self._queue.put(event, when_written)
        if is_queued and event.urgent and not self._is_failing:
            self._wake.set()

    def close(self) -> bool:
        """Write the queued events and release the log; return True if all of them reached the disk.

        Waits at most 5 seconds for a disk that does not answer. Says on standard error what is missing.
        """
        if os.getpid() != self._owner or self._closing:
            return True
        self._closing = True
        self._wake.set()
        self._thread.join(_HUNG_SECONDS if self._hung_at == self._next_seq else CLOSE_SECONDS)
        is_hung = self._thread.is_alive()
        self._hung_at = self._next_seq if is_hung else -1
        new, self._lost_told = self._queue.lost.total() - self._lost_told, self._queue.lost.total()
        say_what_is_missing(self._path, new, self._drop_reason, is_hung=is_hung, had_trouble=self._is_trouble_told)
        return not is_hung and not self._has_untold

    def reopen(self, path: Path | None = None) -> None:
        """Go on after `close`, at ``path`` if it was moved. Where the disk still does not answer, open the log later.

        Raises:
            LogTakenError: Another process has gone on with it.
            OSError: The log cannot be opened.
        """
        former, self._strikes, self._path = self._thread, 0, path or self._path
        if self._log is None and not former.is_alive():
            self._open()
        self._closing = False
        self._is_trouble_told = self._has_given_up = self._is_removed = False
        self._thread = threading.Thread(target=self._run, args=(former,), name="tuimon-writer", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._give_up(f"the log has no thread: {error}")

    @property
    def suspended_seconds(self) -> float:
        """How long the whole process stood still so far: stopped by Ctrl-Z or SIGSTOP, not waiting by itself."""
        return self._clock.suspended_seconds

    @property
    def _has_untold(self) -> bool:
        return bool(self._queue or self._queue.dropped)

    def _has_no_place(self, event: events.AnyEvent) -> bool:
        if event.must_keep:
            return False
        if isinstance(event, _SAMPLES) and self._log is not None and self._log.size > self._budget_bytes:
            self._drop_reason = f"the log has reached its {self._budget_bytes / 1e6:.0f} MB"
            return True
        return self._is_failing and isinstance(event, events.BatchNormChannels)

    def _run(self, former: threading.Thread | None = None) -> None:
        if former is not None:
            former.join()
        while True:
            try:
                if (log := self._opened()) is not None:
                    self._write_until_closed(log)
                return
            except BaseException as error:  # noqa: BLE001 - a thread that dies would take the log with it
                self._strikes += 1
                if self._strikes >= _STRIKES:
                    self._give_up(f"the log's thread failed: {error!r}")
                    return
                self._fail(f"the log's thread failed: {error!r}")
                if not self._closing:
                    self._clock.sleep(self._wake, RETRY_SECONDS)

    def _opened(self) -> LogFile | None:
        """Open the log if it was closed; return None if that fails until the end of training."""
        while self._log is None:
            try:
                return self._open()
            except OSError as error:
                self._fail(error.strerror or str(error))
                if self._closing:
                    with self._lock:
                        self._queue.drop_all()
                    return None
                self._clock.sleep(self._wake, RETRY_SECONDS)
        return self._log

    def _open(self) -> LogFile:
        # The log tells the next number: a slow disk may hold fewer events than were queued.
        log = self._log = LogFile(self._path, next_seq=None)
        self._next_seq, self._misplaced = log.next_seq, ""
        return log

    def _write_until_closed(self, log: LogFile) -> None:
        last_written = self._clock.passed()
        while True:
            self._clock.sleep(self._wake, RETRY_SECONDS if self._is_failing else FLUSH_SECONDS)
            # In this order: what was put before the end is written.
            closing, now = self._closing, self._clock.passed()
            self._look_at_place(log, now, closing=closing)
            if jump := self._clock.jump():
                self._put_here(events.Note(text=f"the clock of this machine was set {jump}"))
            with self._lock:
                if (state := self._states.lasting(now)) is not None:
                    self._queue.put(state)
                if not self._queue and not closing and now - last_written >= HEARTBEAT_SECONDS:
                    self._put_here(events.Heartbeat())
            if self._flush(log, closing=closing):
                last_written = now
            if closing:
                self._end(log)
                return

    def _put_here(self, event: events.AnyEvent) -> None:
        """Queue a fact of the writer's own."""
        with self._lock:
            self._queue.put(self._dated(event))

    def _dated(self, event: Fact) -> Fact:
        event.time = self._clock.wall()
        event.step, event.epoch, event.branch = self._position
        return event

    def _look_at_place(self, log: LogFile, now: float, *, closing: bool) -> None:
        if not closing and now - self._placed_at < PLACE_SECONDS:
            return
        self._placed_at = now
        words = log.misplaced()
        former, self._misplaced = self._misplaced, words
        if words in ("", former):
            return
        if log.is_removed:
            with self._lock:
                self._is_removed, self._drop_reason = True, "the log was removed"
                self._queue.drop_all()
            self._is_trouble_told = True
            say_removed(self._path)
        else:
            say(f"{self._path}: {words}; facts are recorded there")
            self._put_here(events.Note(text=f"this log is not at {self._path} any more: {words}"))

    def _begin_anew(self, log: LogFile) -> None:
        """Where somebody has emptied the log, say again what it begins with; readers need that."""
        lost = log.cut_off()
        if lost:
            say(f"{self._path}: somebody has cut off its last {lost:,} bytes; facts are recorded after the rest")
            self._put_here(events.Note(text=f"somebody has cut off {lost:,} bytes before this line"))
        if log.size == 0 and self._beginning:
            with self._lock:
                self._queue.put_back([Waiting(event) for event in self._beginning.values()])
                self._beginning = {}

    def _flush(self, log: LogFile, *, closing: bool) -> bool:
        """Write what waits; return whether anything was written."""
        if self._is_removed or (self._is_failing and not closing and not log.may_have_room):
            return False
        has_written = False
        while True:
            self._begin_anew(log)
            with self._lock:
                batch = self._queue.take(_TRIED if self._is_failing else _PART)
                gap = self._gap(closing=closing) if not self._queue else None
                if gap is not None:
                    # Behind what waited, for it is newer. But the end comes last.
                    if batch and isinstance(batch[-1].event, events.RunEnded):
                        gap.time = batch[-1].event.time
                        batch.insert(-1, Waiting(gap))
                    else:
                        batch.append(Waiting(gap))
            if not batch or not self._write(log, batch):
                return has_written
            has_written = True

    def _gap(self, *, closing: bool) -> events.LogGap | None:
        is_due = closing or self._clock.passed() - self._gap_told >= GAP_SECONDS
        if not is_due or not self._queue.dropped:
            return None
        return self._dated(events.LogGap(dropped=dict(self._queue.dropped), reason=self._drop_reason))

    def _write(self, log: LogFile, batch: list[Waiting]) -> bool:
        """Write facts, or put them back; return whether they were written."""
        done, odd, is_written = list[Waiting](), list[Waiting](), False
        try:
            seq, data, reason = self._next_seq, bytearray(), ""
            for fact in batch:
                if len(data) > _PART_BYTES:
                    break
                done.append(fact)
                fact.event.seq = seq
                try:
                    data += encoder.encode(fact.event) + b"\n"
                except Exception as error:  # noqa: BLE001 - a value from outside that JSON cannot hold
                    odd.append(fact)
                    reason = f"{type(error).__name__}: {error}"
                else:
                    seq += 1
            log.append(bytes(data))
            is_written = True
        except OSError as error:
            if self._fail(error.strerror or str(error)) and not self._closing:
                self._tell_readers(log, batch[0].event)
        finally:
            with self._lock:
                left = batch[len(done) :] if is_written else batch
                self._queue.put_back([fact for fact in left if not isinstance(fact.event, events.LogGap)])
        if is_written:
            self._next_seq, self._strikes, self._is_failing = seq, 0, False
            log.keep_room()
            if odd:
                with self._lock:
                    self._drop_reason = reason
                    for fact in odd:
                        self._queue.drop(fact.event)
            for fact in done:
                self._wrote(fact)
        return is_written

    def _tell_readers(self, log: LogFile, first: events.AnyEvent) -> None:
        """Write that facts wait for the disk, into the room of the last ones, before those that wait."""
        gap = events.LogGap(dropped={}, reason=self._drop_reason, seq=self._next_seq, time=first.time)
        gap.step, gap.epoch, gap.branch = first.step, first.epoch, first.branch
        with contextlib.suppress(OSError):
            if log.append_into_room(encoder.encode(gap) + b"\n"):
                self._next_seq += 1

    def _wrote(self, fact: Waiting) -> None:
        event = fact.event
        if isinstance(event, events.LogGap):
            with self._lock:
                self._queue.told(Counter(event.dropped))
            self._gap_told = self._clock.passed()
        elif isinstance(event, events.RunStarted | events.ModelBuilt | events.FitStarted):
            self._beginning[type(event)] = event
        if fact.when_written is not None:
            try:
                fact.when_written()
            except Exception as error:  # noqa: BLE001 - the log does not depend on what others do then
                say(f"{self._path}: after a fact was written: {error!r}")

    def _end(self, log: LogFile) -> None:
        """Write the last words, where the disk is full into the room that was kept for them; release the log.

        If they cannot be written, the lock is kept as long as the process lives: a free lock proves that it is gone.
        """
        if self._has_untold:
            log.free_room()
            with self._lock:
                self._queue.fit_into(RESERVE_BYTES // 2)
            self._flush(log, closing=True)
        if self._has_untold and not self._is_removed:
            with self._lock:
                self._queue.drop_all()
        else:
            log.close()
            self._log = None

    def _fail(self, reason: str) -> bool:
        """Note that the log cannot be written; return whether that is new."""
        is_new, self._is_failing, self._drop_reason = not self._is_failing, True, reason
        is_told, self._is_trouble_told = self._is_trouble_told, True
        if not is_told:
            say(f"{self._path}: facts are not recorded now, training goes on: {reason}")
        return is_new

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self._has_given_up, self._drop_reason = True, reason
            self._queue.drop_all()
        self._is_trouble_told = True
        say(f"{self._path}: facts are not recorded any more, training goes on: {reason}")
