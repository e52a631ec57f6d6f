"""The state of a run, read from the two ends of its log: a list of runs must not read gigabytes."""

import contextlib

from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.runs import best, liveness
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.session_log import Tail
from tuimon.runs.state import RunState

_BEGIN_BYTES = 64 * 1024
_LONGEST_BEGIN_BYTES = 1024 * 1024
_END_BYTES = 256 * 1024
_KEPT_ROWS = 1000


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
        self.state = RunState()
        """The lines read so far, folded. Metrics are those of the end, without a hole; `best` is of the whole log, or
        not known."""
        self.started: float | None = None
        """When it began, Unix seconds; None while not known."""
        self.first_learning_rate: float | None = None
        """The learning rate at the end of the first epoch; None while not known."""
        self.skimmed = 0
        """Bytes that were searched between begin and end."""
        self._skimmed_bytes = skimmed_bytes
        self._tail = Tail(run.session_log)
        self._is_whole = True
        self._changed_at: float | None = None

    def look(self) -> bool:
        """Read what is new; return whether there was anything.

        Raises:
            OSError: the log is there and cannot be read.
        """
        try:
            status = self.run.session_log.stat()
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                # A trainer that never got so far as to open its log does not start for ever.
                self._changed_at = self.run.path.stat().st_mtime
            return False
        self._changed_at = status.st_mtime
        before = self._tail.offset
        if before == 0:
            self.state.apply(self._tail.read(_BEGIN_BYTES))
            while self.state.fit is None and self._tail.offset < min(status.st_size, _LONGEST_BEGIN_BYTES):
                # The fact of a large model fills the begin, and `fit` comes behind it.
                place = self._tail.offset
                self.state.apply(self._tail.read(_BEGIN_BYTES))
                if self._tail.offset == place:
                    break
            self.started = self.state.run.time if self.state.run else None
            self._note_first_rate()
        behind = status.st_size - self._tail.offset
        if behind > _END_BYTES:
            # The newest value of a metric that the end does not name is not that of the begin.
            self.state.batch_metrics.clear()
            self.state.epoch_metrics.clear()
            self._skip_to(status.st_size - _END_BYTES)
            self.state.apply(self._end())
        elif behind > 0:
            self.state.apply(self._tail.read_all())
            self._note_first_rate()
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
        nothing = self._tail.bad_lines.count and self.state.last_time is None
        return f"cannot be read: {self._tail.bad_lines.words}" if nothing else ""

    def status(self, now: float) -> str:
        """Return the word of `liveness.status` for it.

        Args:
            now: The time, Unix seconds.
        """
        if self._changed_at is None:
            return "starting"
        gone = liveness.is_gone(self.run.session_log, self.state.run)
        return liveness.status(self.state, gone=gone, silent_seconds=now - self._changed_at)

    def _note_first_rate(self) -> None:
        rates = self.state.learning_rates
        if self.first_learning_rate is None and self._is_whole and len(rates):
            self.first_learning_rate = float(rates.values[0])

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
            self._tail.offset = offset
            return
        self.skimmed += between
        for event in self._tail.skim(offset, best.KINDS):
            self.state.best.add(event)
            if isinstance(event, events.EpochEnded) and self.first_learning_rate is None:
                self.first_learning_rate = from_wire(event.learning_rate)

    def _end(self) -> list[events.AnyEvent]:
        new = self._tail.read_all()
        # What the trainer did last was said before these lines; that batches go on means that it trains.
        if any(isinstance(event, events.Batches) for event in new):
            first = new[0]
            trains = events.StateChanged(
                seq=first.seq, time=first.time, step=first.step, epoch=first.epoch, state="training"
            )
            new.insert(0, trains)
        return new
