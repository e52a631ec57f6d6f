"""Writes ``session.jsonl``: a bounded queue on one side, one thread with the file on the other.

Training must never wait for a disk. ``put`` only appends to a queue. The thread numbers the events and writes them at
most four times a second, or at once after urgent ones. It calls ``fdatasync``, so that another host sees the events and
a full quota is noticed.
"""

import contextlib
import fcntl
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from tuimon.protocol import events
from tuimon.runs.session_log import encoder

FLUSH_SECONDS = 0.25
"""Time between two writes, unless an event is urgent."""
HEARTBEAT_SECONDS = 5.0
"""Time until a heartbeat is written, while nothing else is."""
HELD_SECONDS = 0.5
"""A validation that ends sooner does not appear as a state: runs with one step an epoch validate 50 times a second."""
RETRY_SECONDS = 1.0
"""Time until the next try after a write failed."""
_BLOCK_BYTES = 1024 * 1024
_LINES_LOOKED_AT = 10
"""Last lines to read for the last number; a crash of the machine may have damaged some."""
_SAMPLES = (events.Batches, events.ValidationBatches, events.BatchNorm, events.BatchNormChannels, events.System)

CAPACITY = 50_000
"""Events that may wait for a slow or full disk; further ones are dropped."""
BUDGET_BYTES = 512 * 1024 * 1024
"""Size from which the log takes no more samples; epochs, requests and the end are still written."""
GAP_SECONDS = 10.0
"""Shortest time between two records of dropped events."""
SUSPENDED_SECONDS = 1.0
"""A thread that wakes so much too late, in a process that does nothing, was suspended with it."""
CLOSE_SECONDS = 5.0
"""Longest time that the end of training waits for the disk."""

LOCK_SECONDS = 1.0
"""How long to try for the lock: a viewer that tests it holds it for an instant."""


class LogTakenError(OSError):
    """Another trainer writes this log."""


class SessionWriter:
    """Owns a session log and holds an exclusive lock on it until closed, where the file system has locks.

    Args:
        path: The log; created, readable by its owner alone, if it is missing.
        next_seq: Number of the first event; None: one more than that of the log's last line. A partial last line, which
            a killed writer leaves, is cut off.
        on_written: Called from the writer's thread with each event once it is on disk.
        clock: Gives Unix seconds.
        capacity: Events kept while the disk does not take them.
        budget_bytes: Size of the log from which samples are dropped.

    Raises:
        LogTakenError: Another process holds the lock.
        OSError: The log cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        next_seq: int | None = 0,
        on_written: Callable[[events.AnyEvent], None] | None = None,
        clock: Callable[[], float] = time.time,
        capacity: int = CAPACITY,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        self._path = path
        self._on_written = on_written
        self._clock = clock
        self._capacity = capacity
        self._budget_bytes = budget_bytes
        self._gap_told = -GAP_SECONDS
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._queue: list[events.AnyEvent] = []
        self._held: events.StateChanged | None = None
        self._written_state = ""
        self._dropped: Counter[str] = Counter()
        self._is_failing = False
        self._drop_reason = "the disk did not keep up"
        self._closing = False
        self._position = (0, 0, 0)
        self._owner = os.getpid()
        self._suspended = 0.0
        self._due, self._worked = math.inf, 0.0
        self.lock_error: str | None = None
        """Why the log has no lock; None if it has one."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, flags, 0o600)
        try:
            self.lock_error = _lock(self._file, path)
            self._next_seq = _seq_after_last_line(self._file) if next_seq is None else next_seq
            self._size = os.fstat(self._file).st_size
        except OSError:
            os.close(self._file)
            raise
        self._thread = threading.Thread(target=self._run, name="tuimon-writer", daemon=True)
        self._thread.start()

    @property
    def next_seq(self) -> int:
        """Number of the next event; exact once the writer is closed."""
        return self._next_seq

    def put(self, event: events.AnyEvent) -> None:
        """Queue an event; never waits for the disk, never raises.

        If the queue is full, an event that may be dropped is dropped, and a later ``log_gap`` counts it.
        """
        if os.getpid() != self._owner:
            return  # A fork of the trainer, such as a data loader's worker, does not own the log.
        with self._lock:
            event.time = event.time or self._clock()
            self._position = (event.step, event.epoch, event.branch)
            if isinstance(event, events.StateChanged) and not self._is_news(event):
                return
            is_large = isinstance(event, events.BatchNormChannels)
            if not event.must_keep and (self._has_no_room(event) or (is_large and self._is_failing)):
                self._dropped[_kind(event)] += 1
                return
            self._queue.append(event)
        if event.urgent:
            self._wake.set()

    def close(self) -> bool:
        """Write the queued events and release the log; return True if all of them reached the disk.

        Waits at most 5 seconds for a disk that does not answer.
        """
        if os.getpid() != self._owner or self._closing:
            return True
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSE_SECONDS)
        return not self._thread.is_alive() and not self._queue

    def _has_no_room(self, event: events.AnyEvent) -> bool:
        if isinstance(event, _SAMPLES) and self._size > self._budget_bytes:
            self._drop_reason = f"the log has reached its {self._budget_bytes / 1e6:.0f} MB"
            return True
        return len(self._queue) >= self._capacity

    def _is_news(self, event: events.StateChanged) -> bool:
        if event.state == "validating":
            self._held = event  # The thread writes it once it has lasted.
            return False
        self._held = None
        is_news = event.state != self._written_state or bool(event.detail)
        self._written_state = event.state
        return is_news

    def _take_held(self, now: float) -> None:
        held = self._held
        if held is not None and now - held.time >= HELD_SECONDS:
            self._held = None
            self._written_state = held.state
            self._queue.append(held)

    @property
    def suspended_seconds(self) -> float:
        """How long the whole process stood still so far: stopped by Ctrl-Z or SIGSTOP, not waiting by itself."""
        # Right after it goes on, the thread that writes may be yet to wake.
        late = self._clock() - self._due
        return self._suspended + (late if late >= SUSPENDED_SECONDS else 0.0)

    def _sleep(self, seconds: float) -> None:
        """Wait for something to write; notice where the process is suspended meanwhile."""
        now, worked = self._clock(), time.process_time()
        late = now - self._due
        # Threads that only wait their turn do so while another one computes.
        if late >= SUSPENDED_SECONDS and worked - self._worked < late / 10:
            self._suspended += late
        self._due, self._worked = now + seconds, worked
        self._wake.wait(seconds)

    def _run(self) -> None:
        last_written = self._clock()
        while True:
            self._sleep(RETRY_SECONDS if self._is_failing else FLUSH_SECONDS)
            closing = self._closing
            self._wake.clear()
            now = self._clock()
            with self._lock:
                self._take_held(now)
                if not self._queue and not closing and now - last_written >= HEARTBEAT_SECONDS:
                    step, epoch, branch = self._position
                    self._queue.append(events.Heartbeat(time=now, step=step, epoch=epoch, branch=branch))
                batch, self._queue = self._queue, []
            if batch and self._write(batch):
                last_written = now
            if closing:
                break
        with contextlib.suppress(OSError):
            # A forked process, such as a data loader's worker, has the file open too, and would keep the lock.
            fcntl.flock(self._file, fcntl.LOCK_UN)
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _write(self, batch: list[events.AnyEvent]) -> bool:
        with self._lock:
            is_due = self._closing or self._clock() - self._gap_told >= GAP_SECONDS
            dropped = Counter(self._dropped) if is_due else Counter[str]()
        lines = [self._gap(batch[0], dropped), *batch] if dropped else batch
        seq, data = self._next_seq, bytearray()
        for event in lines:
            event.seq = seq
            try:
                data += encoder.encode(event) + b"\n"
            except (TypeError, ValueError, OverflowError) as error:
                # A value from outside that JSON cannot hold: drop this event, keep the others.
                self._drop_reason = str(error)
                self._dropped[_kind(event)] += 1
            else:
                seq += 1
        try:
            self._append(bytes(data))
        except OSError as error:
            self._is_failing = True
            self._drop_reason = error.strerror or str(error)
            self._put_back(batch)
            return False
        self._is_failing = False
        self._next_seq = seq
        if dropped:
            with self._lock:
                self._dropped -= dropped
            self._gap_told = self._clock()
        for event in batch:
            if self._on_written is not None:
                self._on_written(event)
        return True

    def _append(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fdatasync(self._file)
        except OSError:
            # Keep whole lines only: the next line would join a partial one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def _put_back(self, batch: list[events.AnyEvent]) -> None:
        with self._lock:
            waiting = batch + self._queue
            room = self._capacity
            kept: list[events.AnyEvent] = []
            # The newest events matter most; those that must be kept stay at any age.
            for event in reversed(waiting):
                if event.must_keep or room > 0:
                    kept.append(event)
                    room -= 1
                elif not isinstance(event, events.Heartbeat):
                    self._dropped[_kind(event)] += 1
            self._queue = kept[::-1]

    def _gap(self, first: events.AnyEvent, dropped: Counter[str]) -> events.LogGap:
        counts, reason = dict(dropped), self._drop_reason
        return events.LogGap(
            time=first.time, step=first.step, epoch=first.epoch, branch=first.branch, dropped=counts, reason=reason
        )


def _lock(descriptor: int, path: Path) -> str | None:
    """Take the lock; return why there is none if the file system has no locks, as Lustre and NFS may be mounted."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise LogTakenError(f"{path}: another trainer writes it") from error
            time.sleep(0.02)
        except OSError as error:
            return error.strerror or str(error)


def _seq_after_last_line(descriptor: int) -> int:
    """Cut off a partial last line; return the number after that of the last whole line."""
    end = os.fstat(descriptor).st_size
    data = b""
    start = end
    while start > 0 and data.count(b"\n") < _LINES_LOOKED_AT:
        start = max(0, start - _BLOCK_BYTES)
        data = os.pread(descriptor, end - start, start)
    whole = data.rfind(b"\n") + 1
    os.ftruncate(descriptor, start + whole)
    for line in reversed(data[:whole].splitlines()):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            return msgspec.json.decode(line, type=_Numbered).seq + 1
    return 0


class _Numbered(msgspec.Struct):
    seq: int


def _kind(event: events.AnyEvent) -> str:
    return str(type(event).__struct_config__.tag)
