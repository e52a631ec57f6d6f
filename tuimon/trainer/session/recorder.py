"""Writes a run's log while its process lives: who trains and where, and when each thing happened.

It loads no framework: the log opens before Keras is imported.
"""

import os
import platform
import socket
import threading
import traceback
from collections.abc import Callable
from importlib import metadata
from typing import Literal, Protocol

import msgspec

from tuimon import __version__
from tuimon.protocol import events
from tuimon.runs import end_reasons, liveness
from tuimon.runs.log.session_log import Tail
from tuimon.runs.orders import KINDS as OF_ORDERS
from tuimon.runs.orders import Orders
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.text import plain
from tuimon.trainer.budget import Budget
from tuimon.trainer.session.live_diagnosis import LiveDiagnosis
from tuimon.trainer.session.moved_directory import MovedDirectory
from tuimon.trainer.session.session_writer import SessionWriter
from tuimon.trainer.standard_error import say

Console = Literal["", "process", "python", "off"]
"""What `trainer.log` holds, as `tuimon.protocol.events.RunStarted` has it."""

_PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")


class Companion(Protocol):
    """Something that runs beside a training while its log is open."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End, soon; `start` may follow."""


class Recorder:
    """Writes one run's facts.

    Args:
        run: The run directory.
        name: The user's name for the run.
        config: The config with every default filled in; empty for a user's own script.
        resumes: Whether this is a further attempt at a run that has a log.
        console: What the run's `trainer.log` holds.

    Raises:
        LogTakenError: Another trainer writes this run.
        OSError: The log cannot be opened.
    """

    _epochs_asked: int | None = None

    def __init__(
        self,
        run: RunDirectory,
        *,
        name: str,
        config: dict[str, object] | None = None,
        resumes: bool = False,
        console: Console = "",
    ) -> None:
        self.run = run
        self._place = MovedDirectory(run.path)
        self.attempt = 0
        """Number of this attempt at the run. A request carries the attempt that it is meant for."""
        self.config: dict[str, object] = config or {}
        """The config of this attempt."""
        self.budget: Budget | None = None
        """The budget of the run, shared by all of its fits; None before the first."""
        self.diagnosis = LiveDiagnosis()
        """Gets every fact that is recorded."""
        self._orders = Orders()
        self.answered = set[str]()
        """The ids of all requests that were answered, in former attempts as well."""
        self._step = self._epoch = self._branch = 0
        self._closed = False
        self._companions: list[Companion] = []
        self._owner = os.getpid()
        self._ending = threading.Lock()
        self._recording = threading.RLock()
        next_seq = None if resumes else 0
        self._writer = SessionWriter(run.session_log, next_seq=next_seq)
        if resumes:
            self._go_on()
        lock_error = self._writer.lock_error
        self.record(
            events.RunStarted(
                protocol=events.PROTOCOL,
                attempt=self.attempt,
                name=name,
                host=socket.gethostname(),
                pid=os.getpid(),
                process_started=liveness.process_start(os.getpid()),
                boot_id=liveness.boot_id(),
                versions=_versions(),
                config=self.config,
                lock_error=lock_error or msgspec.UNSET,
                console=console,
            )
        )
        if lock_error:
            self._tell_of_no_lock(lock_error)

    def _tell_of_no_lock(self, error: str) -> None:
        words = f"this file system has no locks ({error}), so two trainers could write one log: {self.run.session_log}"
        self.record(events.Note(text=words))
        say(words)

    def _go_on(self) -> None:
        """Continue the counts of the last attempt. This process holds the log's lock by now."""
        state = RunState()
        state.apply(Tail(self.run.session_log).read_all())
        self._step, self._epoch, self._branch = state.step, state.epoch, state.branch
        self.attempt = state.run.attempt + 1 if state.run else 0
        self.answered = set(state.commands)
        self._orders = state.orders
        self._epochs_asked = state.epochs_asked
        self.diagnosis = LiveDiagnosis(state)

    @property
    def step(self) -> int:
        """Training steps completed, as of the last `reach`."""
        return self._step

    @property
    def epoch(self) -> int:
        """The epoch under way, from 0."""
        return self._epoch

    @property
    def branch(self) -> int:
        """The number of rollbacks and resumptions so far."""
        return self._branch

    def reach(self, step: int) -> None:
        """Set the number of completed training steps; it never decreases."""
        self._step = max(self._step, step)

    def enter_epoch(self, epoch: int) -> None:
        """Set the epoch under way, from 0."""
        self._epoch = epoch

    def branch_off(self) -> None:
        """Begin a new branch: training continues from an earlier state."""
        self._branch += 1

    @property
    def orders(self) -> Orders:
        """The standing orders of the run, from every fact that is recorded."""
        return self._orders

    def take_epochs_asked(self) -> int | None:
        """Return, once, at which epoch the `fit` that is resumed ends because of a request; None: as it was given."""
        epochs, self._epochs_asked = self._epochs_asked, None
        return epochs

    @property
    def is_closed(self) -> bool:
        """True after `end` or `close`, until `reopen`."""
        return self._closed

    @property
    def suspended_seconds(self) -> float:
        """How long the whole process was suspended so far, by Ctrl-Z or SIGSTOP."""
        return self._writer.suspended_seconds

    def reopen(self) -> None:
        """Continue after ``end``, for another ``fit`` with the same Monitor."""
        with self._ending:
            if self._closed:
                # It may have been renamed since.
                self.run = RunDirectory(self._place.path)
                self._writer.reopen(self.run.session_log)
                self._closed = False
                self._companions, companions = [], self._companions
                for companion in companions:
                    self.accompany(companion)

    def accompany(self, companion: Companion) -> None:
        """Start a companion; it stops and starts again with the log. One that fails is left out, with a note."""
        try:
            companion.start()
        except Exception as error:  # noqa: BLE001 - such as a limit of threads; the log goes on
            self.note(f"{type(companion).__name__} does not run: {error!r}")
        else:
            self._companions.append(companion)

    def record(self, event: events.AnyEvent, when_written: Callable[[], None] | None = None) -> None:
        """Queue an event for the log, with the current step, epoch and branch. Called from any thread.

        Args:
            event: The event. A step that is set already stays.
            when_written: Called from another thread once the event is on disk.
        """
        if os.getpid() != self._owner:
            return  # A fork of the trainer does not own the log, and a thread that holds the lock is not in it.
        with self._recording:
            # At once: a step of the training thread in between would make the log's steps go back.
            event.step = event.step or self._step
            event.epoch = self._epoch
            event.branch = self._branch
            if isinstance(event, events.CommandApplied | events.CommandRejected):
                self.answered.add(event.id)
            self._writer.put(event, when_written)
            if isinstance(event, OF_ORDERS):
                self._tell_orders(event)
        self.diagnosis.hear(event)

    def _tell_orders(self, event: events.AnyEvent) -> None:
        try:
            self._orders.add(event)
        except Exception as error:  # noqa: BLE001 - no order may end a training
            self.drop_orders(error)

    def drop_orders(self, error: Exception) -> None:
        """End all standing orders after an error of tuimon, and say so of each. Later ones have other numbers."""
        with self._recording:
            dropped, self._orders = self._orders, Orders(dropped=self._orders)
            for given in dropped.standing:
                reason = f"dropped after an error of tuimon: {plain(repr(error), 300)}"
                self.record(events.OrderEnded(number=given.number, order=given.text, reason=reason))

    def note(self, words: str) -> None:
        """Record a note."""
        self.record(events.Note(text=words))

    def end(self, status: str, error: BaseException | None = None, *, reason: str = "") -> None:
        """Record how the run ended, and close the log.

        Args:
            status: ``finished``, ``stopped`` or ``failed``. An exception may be a wish to stop, which counts then.
            error: The exception that ended it.
            reason: Why, in one line; what the exception says unless given.
        """
        text = ""
        if error is not None:
            status, said = end_reasons.how_ended(error)
            reason = reason or said
            text = "".join(traceback.format_exception(error)) if status == "failed" else ""
        with self._ending:
            if status == "finished":
                self.record(events.StateChanged(state="finished"))
            self.record(events.RunEnded(status=status, traceback=text, reason=reason))
            self.close()

    def close(self) -> None:
        """Write the queued events and release the log."""
        self._closed = True
        try:
            for companion in self._companions:
                companion.stop()
        finally:
            # An impatient Ctrl-C may come while a companion waits for a disk.
            self._writer.close()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "tuimon": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
