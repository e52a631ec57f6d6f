"""The state of a run, read from the two ends of its log: a list of runs must not read gigabytes."""

import contextlib
import math
import time

from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.runs import best, liveness
from tuimon.runs.log.lost_log import REMOVED, was_removed
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState

_BEGIN_BYTES = 64 * 1024
_LONGEST_BEGIN_BYTES = 1024 * 1024
_END_BYTES = 256 * 1024
_KEPT_ROWS = 1000
_NEWEST_FACTS = 12
"""So many at the end of a part are read of a run that is quiet: the values of its newest batches are among them."""


def why_unreadable(error: Exception) -> str:
    """Return what is said of a run that cannot be read.

    Example:
        >>> why_unreadable(PermissionError(13, "Permission denied")), why_unreadable(KeyError("loss"))
        ('cannot be read: Permission denied', "cannot be read, an error of tuimon (KeyError: 'loss')")
    """
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return f"cannot be read, an error of tuimon ({type(error).__name__}: {error})"


class Glance:
    """One run, looked at now and then: its begin and its end once, afterwards only new lines.

    Args:
        run: The run.
        skimmed_bytes: If no more than this lies between begin and end, the ends of epochs are searched there. Else the
            best values are not known.

    Example:
        ```python
        glance = Glance(run)
        glance.look()
        glance.status(time.time())
        ```
    """

    def __init__(self, run: RunDirectory, *, skimmed_bytes: int = 0) -> None:
        self.run = run
        """The run."""
        self.skimmed = 0
        """Bytes that were searched between begin and end."""
        self._skimmed_bytes = skimmed_bytes
        self._tail = Tail(run.session_log)
        self._begin()

    def _begin(self) -> None:
        """Know nothing of the log yet."""
        self.state = RunState()
        """The lines read so far, folded. Metrics are those of the end, without a hole; `best` is of the whole log, or
        not known."""
        self.started: float | None = None
        """When it began, Unix seconds; None while not known."""
        self.first_learning_rate: float | None = None
        """The learning rate at the end of the first epoch; None while not known."""
        self._tail.restart()
        self._is_whole = True
        self._is_quiet = False
        self._changed_at: float | None = None

    def look(self) -> bool:
        """Read what is new; return whether there was anything. A log in place of the former one is read anew.

        Raises:
            OSError: the log is there and cannot be read.
        """
        try:
            return self._look()
        except LogChangedError:
            self._begin()
            return self._look()

    def _look(self) -> bool:
        try:
            status = self.run.session_log.stat()
        except FileNotFoundError:
            if self._tail.offset:
                self._begin()
            with contextlib.suppress(OSError):
                # A trainer that never got so far as to open its log does not start for ever.
                self._changed_at = self.run.path.stat().st_mtime
            return False
        before = self._tail.offset
        if before and (status.st_size < before or (self._is_quiet and status.st_size > before)):
            # Another log has its place, or one that was quiet goes on: its pace is now of interest.
            self._begin()
            before = 0
        self._changed_at = status.st_mtime
        if before == 0:
            self._is_quiet = time.time() - status.st_mtime > liveness.SILENT_SECONDS
            self._read_begin(status.st_size)
        behind = status.st_size - self._tail.offset
        if behind > _END_BYTES:
            # The newest value of a metric that the end does not name is not that of the begin.
            self.state.batch_metrics.clear()
            self.state.epoch_metrics.clear()
            self._skip_to(status.st_size - _END_BYTES)
            self._read_all(is_end=True)
        elif behind > 0:
            self._read_all()
        self.state.forget_before(_KEPT_ROWS)
        return self._tail.offset != before

    def try_look(self) -> str:
        """Read what is new; return why the run cannot be read, an empty text where it can.

        For a list of runs: one that cannot be read never hides the others.
        """
        try:
            self.look()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other runs are listed.
            return why_unreadable(error)
        if was_removed(self.run):
            return REMOVED
        nothing = self._tail.bad_lines.count and self.state.last_time is None
        return f"cannot be read: {self._tail.bad_lines.words}" if nothing else ""

    def _read_begin(self, size: int) -> None:
        self.state.apply(self._read(_BEGIN_BYTES))
        while self.state.fit is None and self._tail.offset < min(size, _LONGEST_BEGIN_BYTES):
            # The fact of a large model fills the begin, and `fit` comes behind it.
            place = self._tail.offset
            self.state.apply(self._read(_BEGIN_BYTES))
            if self._tail.offset == place:
                break
        self.started = self.state.run.time if self.state.run else None
        self._note_first_rate()

    def _read_all(self, *, is_end: bool = False) -> None:
        while True:
            place = self._tail.offset
            new = self._read(_END_BYTES)
            if is_end and any(isinstance(event, events.Batches) for event in new):
                new.insert(0, _trains(new[0]))
            self.state.apply(new)
            self._note_first_rate()
            if self._tail.offset == place:
                return

    def _read(self, limit: int) -> list[events.AnyEvent]:
        """Read a part of the log; of one that is quiet, not what only a run that goes on is asked for."""
        if not self._is_quiet:
            return self._tail.read(limit)
        new = self._tail.outline(limit, newest=_NEWEST_FACTS)
        if any(isinstance(event, events.Batches) for event in new):
            # There is a hole before them.
            self.state.batch_metrics.clear()
        return new

    def status(self, now: float) -> str:
        """Return the word of `liveness.status` for it.

        Args:
            now: The time, Unix seconds.
        """
        if self._changed_at is None:
            return "starting"
        gone = self.run.is_gone(self.state.run)
        return liveness.status(self.state, gone=gone, silent_seconds=now - self._changed_at)

    def _note_first_rate(self) -> None:
        rates = self.state.learning_rates
        if self.first_learning_rate is None and self._is_whole and len(rates):
            first = float(rates.values[0])
            self.first_learning_rate = None if math.isnan(first) else first

    def seconds_without_step(self, now: float) -> float | None:
        """Return how long ago the last step was made, where that is longer than usual; else None.

        Args:
            now: The time, Unix seconds.
        """
        if self.state.last_time is None or self._changed_at is None or self.status(now) != "training":
            return None
        return self.state.pace.seconds_without_step(self.state.last_time + max(0.0, now - self._changed_at))

    def _skip_to(self, offset: int) -> None:
        self._is_whole = False
        between = offset - self._tail.offset
        if between > self._skimmed_bytes:
            self.state.best.skip()
            self.state.fits.skip()
            self._tail.skip_to(offset)
            return
        self.skimmed += between
        for event in self._tail.skim(offset, best.KINDS):
            self.state.best.add(event)
            if isinstance(event, events.FitStarted | events.EpochEnded | events.RunResumed):
                self.state.fits.add(event)
            if isinstance(event, events.EpochEnded) and self.first_learning_rate is None:
                told = event.learning_rate
                self.first_learning_rate = None if told is None else from_wire(told)


def _trains(first: events.AnyEvent) -> events.StateChanged:
    """Return what the trainer does: that was said before the end of the log. That batches go on means that it trains.

    Args:
        first: The first fact of the end.
    """
    return events.StateChanged(seq=first.seq, time=first.time, step=first.step, epoch=first.epoch, state="training")
