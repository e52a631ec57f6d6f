"""Plain progress lines, for where there is no terminal."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tuimon.numbers import count, figure, number, span
from tuimon.protocol import events
from tuimon.regular_file import open_regular
from tuimon.runs import facts_in_words, liveness
from tuimon.runs.log.lost_log import lost_words, watch_command
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.text import plain, printed_lines

LINE_SECONDS = 1.0
"""Progress is printed at the end of an epoch, at most this often."""
LONG_EPOCH_SECONDS = 10.0
"""Within an epoch, this often."""
LOOK_SECONDS = 0.1
"""How often the log is read."""
FURTHER_FIT_SECONDS = 2.0
"""How long after its end a run may begin another `fit` and still be followed."""
_LOG_BYTES = 64 * 1024


class Progress:
    """Turns a run's events into lines; it is told the time, so it needs no clock.

    Example:
        ```python
        progress = Progress()
        for line in progress.lines(tail.read(), now=time.monotonic()):
            print(line)
        ```
    """

    def __init__(self) -> None:
        self.state = RunState()
        """The fold of the events so far."""
        self._printed_at = float("-inf")
        self._heard_at: float | None = None
        self._told_late = 0.0
        self._printed_step = 0
        self._printed_epochs = 0

    def skip(self, old: list[events.AnyEvent]) -> None:
        """Fold events that were printed at another time."""
        self.state.apply(old)
        self._printed_step, self._printed_epochs = self.state.step, self.state.epochs_ended

    def lines(self, new: list[events.AnyEvent], now: float) -> Iterator[str]:
        """Fold further events and yield what is worth printing of them; a step that is late is told of, less and less.

        Args:
            new: The events.
            now: The time, by any clock that goes on.
        """
        for event in new:
            if isinstance(event, events.Evaluated | events.Recalibrated | events.RolledBack | events.RunEnded):
                # The newest numbers of training belong before what comes after it.
                yield from self._progress(now)
            self.state.apply([event])
            if line := _line(event, self.state):
                yield plain(line, limit=1000)
        waited = now - self._printed_at
        ended = self.state.epochs_ended > self._printed_epochs
        if waited >= (LINE_SECONDS if ended else LONG_EPOCH_SECONDS):
            yield from self._progress(now)
        yield from self._late(now, has_news=bool(new))

    def _late(self, now: float, *, has_news: bool) -> Iterator[str]:
        if has_news or self._heard_at is None:
            self._heard_at = now
        late = None
        if (
            liveness.status(self.state, gone=False, silent_seconds=0.0) == "training"
            and self.state.last_time is not None
        ):
            # The trainer's clock may differ from this one.
            late = self.state.pace.seconds_without_step(self.state.last_time + now - self._heard_at)
        if late is None:
            self._told_late = 0.0
        elif late >= 2 * self._told_late:
            self._told_late = late
            yield f"step {count(self.state.step)}  last step {span(late)} ago; the trainer lives"

    def _progress(self, now: float) -> Iterator[str]:
        if (self.state.step, self.state.epochs_ended) == (self._printed_step, self._printed_epochs):
            return
        self._printed_at, self._printed_step = now, self.state.step
        yield plain(progress_line(self.state, epoch_ended=self.state.epochs_ended > self._printed_epochs), limit=1000)
        self._printed_epochs = self.state.epochs_ended


def progress_line(state: RunState, *, epoch_ended: bool) -> str:
    """Return where a run is: epoch, step, metrics (the epoch's, or the newest batch's), speed, modes."""
    epochs = state.fit.epochs if state.fit else None
    epoch = state.epoch_numbers.last if epoch_ended else None
    shown_epoch = count((state.epoch if epoch is None else int(epoch)) + 1)
    parts = [f"epoch {shown_epoch}/{count(epochs)}" if epochs else f"epoch {shown_epoch}", f"step {count(state.step)}"]
    metrics = state.epoch_metrics if epoch_ended else state.batch_metrics
    prefix = "" if epoch_ended else "batch "
    shown = [(name, series.last) for name, series in metrics.items() if series.last is not None]
    parts += [f"{prefix}{name} {figure(value)}" for name, value in shown[: facts_in_words.MOST_METRICS]]
    if state.steps_per_second is not None:
        parts.append(f"{number(state.steps_per_second, 3)} steps/s")
    if state.run is None or not state.run.source:
        parts.append(f"phase {state.phase}")
    if state.layers:
        parts.append(f"frozen {len(state.frozen)}/{len(state.layers)}")
    if state.statistics_held:
        parts.append(f"held {len(state.statistics_held)}/{len(state.layers)}")
    return "  ".join(parts)


def follow(
    run: RunDirectory,
    *,
    show: Callable[[str], None] = print,
    trainer_log: bool = False,
    since: int = 0,
    over: Callable[[RunState], bool],
) -> RunState:
    """Print a run's lines until it is over.

    A log that is removed is told of, and waited for until the run is over; another one in its place is read anew.

    Args:
        run: The run.
        show: Prints a line.
        trainer_log: Whether new lines of ``trainer.log`` are passed on until `fit` begins.
        since: How many bytes of the log are an earlier attempt's, which is not printed again.
        over: Whether nothing more will be written: asked before each look at the log.

    Returns:
        The fold of the whole log.
    """
    log = _FollowedLog(run)
    output = LogLines(run.trainer_log) if trainer_log else None
    if since:
        log.skip(since)
        if output is not None:
            output.skip()
    fit_before = log.state.fit
    while True:
        # Asked before the log is read, so that everything written until the end is read.
        is_over = over(log.state)
        if output is not None:
            for line in output.read():
                show(line)
        for line in log.lines():
            show(line)
        for line in log.link_lines():
            show(line)
        if log.state.fit is not fit_before:
            output = None
        if is_over:
            return log.state
        time.sleep(LOOK_SECONDS)


class _FollowedLog:
    """The lines of a log as it grows, and what becomes of it."""

    def __init__(self, run: RunDirectory) -> None:
        self._tail, self._progress = Tail(run.session_log), Progress()
        self._is_lost = False
        self._run, self._blind = run, run.blind

    @property
    def state(self) -> RunState:
        """The fold of what was read."""
        return self._progress.state

    def skip(self, since: int) -> None:
        """Fold what an earlier attempt wrote, without a line."""
        self._progress.skip(self._tail.read_until(since))

    def lines(self) -> Iterator[str]:
        """Yield what is to be said of all that was written meanwhile."""
        try:
            before = -1
            while self._tail.offset != before:
                # A part without any fact that can be read is no end.
                before = self._tail.offset
                yield from self._progress.lines(self._tail.read(), time.monotonic())
            self._is_lost = False
        except LogChangedError as changed:
            if not changed.is_removed:
                yield f"{changed.words}: it is read anew from its beginning"
                self._tail, self._progress = Tail(self._tail.path), Progress()
            elif not self._is_lost:
                self._is_lost = True
                yield lost_words(changed, self._tail, self.state.run)

    def link_lines(self) -> Iterator[str]:
        """Yield what is to be said of the connection to a run on another machine."""
        before, self._blind = self._blind, self._run.blind
        if self._blind is not None and before is None:
            since = time.strftime("%H:%M:%S", time.localtime(self._blind.since))
            host, why = plain(self._blind.host, 60), plain(self._blind.why, 200)
            yield f"no connection to {host} since {since} ({why}); it is tried again"
        elif before is not None and self._blind is None:
            yield f"connected to {plain(before.host, 60)} again"


def training_goes_on(run: RunDirectory) -> str:
    """Return the message for somebody who leaves a run training."""
    return f"training goes on in {plain(run.place, 1000)}\nwatch it with: {plain(watch_command(run), 1000)}"


def read_state(run: RunDirectory) -> RunState:
    """Return the attempts, fits, gaps and end of a run, without its numbers."""
    tail, state = Tail(run.session_log), RunState()
    while True:
        before = tail.offset
        kinds = events.RunStarted | events.FitStarted | events.LogGap | events.RunEnded
        state.apply(event for event in tail.read() if isinstance(event, kinds))
        if tail.offset == before:
            return state


def until_ended(run: RunDirectory) -> Callable[[RunState], bool]:
    """Return a function that says whether a run is over that another process trains.

    It is over when its log says so, or its trainer is gone; and where the log was removed, nothing more is heard of it.
    """
    last_seq, changed_at, was_there = -1, time.monotonic(), False
    started: events.RunStarted | None = None

    def over(state: RunState) -> bool:
        nonlocal last_seq, changed_at, was_there, started
        started = state.run or started  # Another log in its place may say nothing of the trainer.
        is_there = run.session_log.exists()
        was_there = was_there or is_there
        if not is_there and (was_there or not run.path.exists()):
            return True
        if state.ended is None:
            # Another program's log does not say whether it goes on.
            return (started is not None and bool(started.source)) or run.is_gone(started)
        # A script may call `fit` again. The log's age is known at once, but by another host's clock maybe.
        if state.last_seq != last_seq:
            last_seq, changed_at = state.last_seq, time.monotonic()
        age = 0.0
        with contextlib.suppress(FileNotFoundError):
            age = time.time() - run.session_log.stat().st_mtime
        return max(age, time.monotonic() - changed_at) > FURTHER_FIT_SECONDS

    return over


class LogLines:
    """The new lines of a text file, as they come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def skip(self) -> None:
        """Skip everything that is in the file now."""
        with contextlib.suppress(FileNotFoundError):
            self._offset = self._path.stat().st_size

    def read(self) -> list[str]:
        """Return the new whole lines without TensorFlow's own; a progress bar gives its last state."""
        try:
            with open_regular(self._path) as file:
                if file.seek(0, 2) < self._offset:
                    # The trainer has shortened it: it is bounded.
                    self._offset = 0
                file.seek(self._offset)
                data = file.read(_LOG_BYTES)
        except FileNotFoundError:
            return []
        end = data.rfind(b"\n") + 1 or (len(data) if len(data) == _LOG_BYTES else 0)
        self._offset += end
        return printed_lines(data[:end])


def _line(event: events.AnyEvent, state: RunState) -> str:
    """Return the line for a fact; an empty text where the progress line shows it already."""
    match event:
        case events.RunStarted():
            # The lines of its fit, or of where it goes on, follow at once.
            return ""
        case events.Probe(reason="epoch" | "steps"):
            # They come often; the rules report what they show.
            return ""
        case events.CommandApplied() | events.CommandRejected():
            command = state.commands[event.id]
            who = plain(event.sender.user, 40)
            return f"step {count(command.step)}  {command.title}, asked by {who}: {facts_in_words.became(command)}"
        case events.CommandVerified():
            answered = state.commands.get(event.id)
            return (
                f"step {count(event.step)}  {answered.title if answered else event.id}: "
                f"{facts_in_words.verified(event)}"
            )
        case _:
            said = facts_in_words.of(event, state)
            return f"step {count(event.step)}  {said}" if said and isinstance(event, _AT_A_STEP) else said


_AT_A_STEP = (
    events.Probe
    | events.ValidationRepeated
    | events.Alert
    | events.Recalibrated
    | events.CheckpointSaved
    | events.RolledBack
    | events.OrderGiven
    | events.OrderFired
    | events.OrderEnded
    | events.Note
    | events.LogGap
)
"""Facts whose line begins with their step."""
