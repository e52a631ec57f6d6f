"""Watches the log of one run and gives what happens to the command of the user, as rarely as the user wants it."""

import contextlib
import os
import socket
import time
from collections import Counter
from pathlib import Path
from typing import get_args

import msgspec

from tuimon.alerting import command
from tuimon.alerting.happenings import ENDINGS, Happening, Happenings, Told
from tuimon.alerting.message import About, Message, message
from tuimon.alerting.place import Place
from tuimon.alerting.sent import Claim, Sent
from tuimon.protocol import events
from tuimon.runs import liveness
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.settings import Alerts
from tuimon.text import plain

_KEPT_ROWS = 100
"""Of all curves, only the newest rows are of use."""
_GONE_SECONDS = 1.0
_MOST_PENDING = 1000
_LONG_BYTES, _NEWEST_BYTES = 8 * 1024 * 1024, 1024 * 1024
"""Of a log that is longer at the start, all but the newest part is searched for the facts that matter."""
_RARE = tuple(
    kind
    for kind in get_args(events.AnyEvent)
    if kind.__struct_config__.tag
    in ("run_started", "fit_started", "state_changed", "epoch_ended", "alert", "order_fired", "run_ended")
)

Process = tuple[int, float]
"""A process: its id, and when it started, in clock ticks since boot."""


class Sender:
    """Looks at a run when it is told to, and runs the command when something is due.

    Args:
        run: The run.
        options: The command, and what it is run for.
        since_bytes: What the log held before, in bytes, is no news; None: what it holds now is none. Where messages of
            this run were sent before, all after the newest of them is news.
        trainer: The process that writes the log, or will, where it is known: it may end before its first line, and on a
            file system without locks nothing else tells that it ended.

    Example:
        ```python
        sender = Sender(run, options)
        while not sender.is_over:
            sender.look()
            time.sleep(0.5)
        ```
    """

    def __init__(
        self, run: RunDirectory, options: Alerts, *, since_bytes: int | None = None, trainer: Process | None = None
    ) -> None:
        self._options = options
        self._trainer = trainer
        self._place = Place(run)
        self._run = self._place.run
        self._sent = Sent(self._run.path)
        self._gone = False
        self._heard_at = time.monotonic()
        self._looks_for_gone_at = 0.0
        self._pending: list[Happening] = []
        self._more: Counter[str] = Counter()
        self._begin(since_bytes)

    def _begin(self, since_bytes: int | None) -> None:
        """Read what the log holds; what of it is news is pending."""
        self._tail, self._state = Tail(self._run.session_log), RunState()
        claim, now = self._sent.newest(), time.monotonic()
        self._since = -1 if claim is None else claim.through
        self._happenings = Happenings(self._options, None if claim is None else claim.told)
        size = _size(self._run.session_log)
        history = 0 if claim is not None else size if since_bytes is None else since_bytes
        with contextlib.suppress(OSError):
            if size > _LONG_BYTES and (claim is not None or history == size):
                self._hear(list(self._tail.skim(size - _NEWEST_BYTES, _RARE)), now, is_news=claim is not None)
            if history:
                self._hear(self._tail.read_until(history), now, is_news=False)
        if claim is None:
            self._since = self._state.last_seq
            if since_bytes is None:
                self._happenings = Happenings(self._options, self._old_news())
            # Whoever takes over knows from where.
            self._sent.claim(self._claim(None))

    def _old_news(self) -> Told:
        """Return what was so before anybody watched: a crash, a silence."""
        state, log = self._state, self._run.session_log
        crashed = state.run.attempt if state.run is not None and liveness.is_gone(log, state.run) else -1
        is_silent = time.time() - _changed_at(log) >= self._options.stall_seconds
        return Told(crashed_attempt=crashed, silent_seq=state.last_seq if is_silent else -1)

    @property
    def is_over(self) -> bool:
        """True once the run is over and all of it is sent, and where its directory is gone."""
        is_told = self._state.ended is not None and not self._happenings.awaits_end
        return self._place.is_gone or ((is_told or self._gone) and not self._pending)

    @property
    def has_pending(self) -> bool:
        """True while something waits to be sent."""
        return bool(self._pending)

    @property
    def silent_seconds(self) -> float:
        """How long nothing was heard of the run."""
        return time.monotonic() - self._heard_at

    def look(self) -> None:
        """Read what is new, and send what is due. It takes as long as the command does."""
        self._read()
        now = time.monotonic()
        if now >= self._looks_for_gone_at:
            self._looks_for_gone_at = now + _GONE_SECONDS
            gone = self._is_gone()
            if gone:
                # It may have written its last line between our last look and its end.
                self._read()
            self._gone = gone
        self._add(self._happenings.in_time(self._state, gone=self._gone, now=time.monotonic(), wall=time.time()))
        self._send_due()

    def _is_gone(self) -> bool:
        if self._trainer is None:
            return liveness.is_gone(self._run.session_log, self._state.run)
        # Its parent knows it, so no lock is needed to tell. But somebody else may go on with its run.
        ended = liveness.process_start(self._trainer[0]) != self._trainer[1]
        return ended and not liveness.may_live_here(self._run.session_log, self._state.run)

    def _read(self) -> None:
        try:
            before = -1
            while self._tail.offset != before:
                before = self._tail.offset
                self._hear(self._tail.read(), time.monotonic(), is_news=True)
        except LogChangedError as changed:
            if not changed.is_removed:
                # Another run has its place: all that it tells is news.
                self._sent.claim(Claim(through=-1))
                self._begin(0)
        except OSError:
            # It cannot be read now; silence is told of.
            return

    def _hear(self, new: list[events.AnyEvent], now: float, *, is_news: bool) -> None:
        if not new:
            return
        self._heard_at = now
        self._state.apply(new)
        self._state.forget_before(_KEPT_ROWS)
        since = self._since if is_news else new[-1].seq
        self._add(self._happenings.in_facts(new, self._state, now=now, since=since))

    def _add(self, found: list[Happening]) -> None:
        for happening in found:
            # Endings, stalls and silences are few; they are never only counted.
            if len(self._pending) < _MOST_PENDING or happening.fact is None or happening.kind in ENDINGS:
                self._pending.append(happening)
            else:
                self._more[happening.kind] += 1

    def _send_due(self) -> None:
        if not self._pending:
            return
        newest = self._sent.newest()
        if newest is not None:
            self._drop_told(newest)
        if not self._pending or not self._is_due(newest, time.time()):
            return
        status = liveness.status(self._state, gone=self._gone, silent_seconds=0.0)
        told = message(self._pending, About(self._place.path, self._state, status), self._more)
        with self._sent.sending():
            if not self._sent.claim(self._claim(told)):
                # Another process sends it; with the next look, it is known what.
                return
            self._pending, self._more = [], Counter()
            outcome = send(self._options, told)
            self._sent.say_trouble(f"alerts: {outcome.trouble}" if outcome.trouble else "")

    def _drop_told(self, newest: Claim) -> None:
        """Forget what another process has sent."""
        own, theirs = self._happenings.told, newest.told
        is_told = {
            "crash": theirs.crashed_attempt >= own.crashed_attempt,
            "stall": theirs.stalled_step == own.stalled_step,
            "silence": theirs.silent_seq == own.silent_seq,
        }
        self._pending = [
            happening
            for happening in self._pending
            if not (happening.fact.seq <= newest.through if happening.fact is not None else is_told[happening.kind])
        ]
        if not self._pending:
            self._more = Counter()

    def _is_due(self, newest: Claim | None, now: float) -> bool:
        if newest is None:
            return True
        if any(happening.kind in ENDINGS for happening in self._pending):
            return _is_past(newest.ending_time, self._options.every_seconds, now)
        return _is_past(newest.time, self._options.every_seconds, now)

    def _claim(self, told: Message | None) -> Claim:
        """Return the claim of a message; of None, for the start."""
        now, newest = time.time(), self._sent.newest()
        is_ending = told is not None and told.event in ENDINGS
        return Claim(
            through=self._happenings.through(self._state),
            told=self._happenings.told,
            time=0.0 if told is None else now,
            ending_time=now if is_ending else newest.ending_time if newest is not None else 0.0,
            event="" if told is None else told.event,
            count=0 if told is None else told.count,
            text="" if told is None else told.text,
            host=plain(socket.gethostname(), 200),
            pid=os.getpid(),
        )


def send(options: Alerts, told: Message) -> command.Outcome:
    """Give a message to the command of the user, and wait for it."""
    return command.run(
        options.arguments,
        data=msgspec.json.encode(told) + b"\n",
        variables=told.variables(),
        timeout_seconds=options.timeout_seconds,
    )


def _is_past(then: float, seconds: float, now: float) -> bool:
    # A clock that was set back holds nothing up for long.
    return not then <= now < then + seconds


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
