"""A run's log while its process lives: says who trains and where, and when each thing happened.

Must not import Keras: a run says that it has begun before Keras has loaded.
"""

import os
import platform
import socket
import threading
import traceback
from collections.abc import Callable
from importlib import metadata

from tuimon import __version__
from tuimon.diagnosis.live import LiveDiagnosis
from tuimon.protocol import events
from tuimon.runs import liveness
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.session_log import Tail
from tuimon.runs.state import RunState
from tuimon.trainer.budget import Budget
from tuimon.trainer.session.session_writer import SessionWriter

_PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")


class Recorder:
    """Writes one run's facts.

    Args:
        run: Where.
        name: What the user calls the run.
        config: The config with every default filled in; empty for a user's own script.
        resumes: Whether this is a further attempt at a run that has a log.

    Raises:
        LogTakenError: another trainer writes this run.
        OSError: the log cannot be opened.
    """

    def __init__(
        self, run: RunDirectory, *, name: str, config: dict[str, object] | None = None, resumes: bool = False
    ) -> None:
        self.run = run
        self.attempt = 0
        """Number of this attempt at the run; a request carries it."""
        self.config: dict[str, object] = config or {}
        """Of this attempt."""
        self.budget: Budget | None = None
        """Of the run, in all of its fits; None before the first."""
        self.diagnosis = LiveDiagnosis()
        """Hears all that is recorded."""
        self._step = self._epoch = self._branch = 0
        self._closed = False
        self._ending = threading.Lock()
        self._when_written: dict[int, Callable[[], None]] = {}
        next_seq = None if resumes else 0
        self._writer = SessionWriter(run.session_log, next_seq=next_seq, on_written=self._on_written)
        if resumes:
            self._go_on()
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
            )
        )

    def _go_on(self) -> None:
        """Take up where the last attempt ended: the log is ours by now."""
        state = RunState()
        state.apply(Tail(self.run.session_log).read_all())
        self._step, self._epoch, self._branch = state.step, state.epoch, state.branch
        self.attempt = state.run.attempt + 1 if state.run else 0
        self.diagnosis = LiveDiagnosis(state)

    @property
    def step(self) -> int:
        """Train steps completed, as of now."""
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
        """Note that so many train steps are completed; the number never goes back."""
        self._step = max(self._step, step)

    def enter_epoch(self, epoch: int) -> None:
        """Note that an epoch begins."""
        self._epoch = epoch

    def branch_off(self) -> None:
        """Note that training goes on from an earlier state."""
        self._branch += 1

    @property
    def is_closed(self) -> bool:
        """Whether the run has ended, for now."""
        return self._closed

    def reopen(self) -> None:
        """Go on after ``end``: the same Monitor was given to another ``fit``."""
        with self._ending:
            if self._closed:
                # Read from the log: a disk that was slow may have taken more, or less, than was thought.
                self._writer = SessionWriter(self.run.session_log, next_seq=None, on_written=self._on_written)
                self._closed = False

    def record(self, event: events.AnyEvent, when_written: Callable[[], None] | None = None) -> None:
        """Put an event into the log, at the step and epoch of now.

        Args:
            event: The event; its step is kept where it has one.
            when_written: Called, from another thread, once it is on disk.
        """
        event.step = event.step or self._step
        event.epoch = self._epoch
        event.branch = self._branch
        if when_written is not None:
            self._when_written[id(event)] = when_written
        self._writer.put(event)
        self.diagnosis.hear(event)

    def end(self, status: str, error: BaseException | None = None) -> None:
        """Say how the run ended, and close the log."""
        text = "".join(traceback.format_exception(error)) if error is not None else ""
        with self._ending:
            if status == "finished":
                self.record(events.StateChanged(state="finished"))
            self.record(events.RunEnded(status=status, traceback=text))
            self.close()

    def close(self) -> None:
        """Write what is queued and let go of the log."""
        self._closed = True
        self._writer.close()

    def _on_written(self, event: events.AnyEvent) -> None:
        if when_written := self._when_written.pop(id(event), None):
            when_written()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "tuimon": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
