"""A ``fit`` of the engine without a framework, asked by requests in its directory, for tests of requests."""

import os
from pathlib import Path
from typing import Any

from helpers import until
from trainer.fake_engine import FakeEngine
from tuimon.protocol import commands, events
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.fit import Fit
from tuimon.trainer.options import Options, ProbeOptions
from tuimon.trainer.requests.answers import reject_left_over
from tuimon.trainer.session.recorder import Recorder

Answer = events.CommandApplied | events.CommandRejected


class AskedFit:
    """A ``fit`` whose steps the test makes.

    Args:
        run: The run directory.
        resumes: Whether it is a further attempt at the run.
    """

    def __init__(self, run: RunDirectory, *, resumes: bool = False) -> None:
        self.run = run
        self.engine = FakeEngine()
        self.recorder = Recorder(run, name="fake", resumes=resumes)
        if resumes:
            reject_left_over(self.recorder)
        self.errors: list[Exception] = []
        self.fit = self._fit()

    def another_fit(self) -> None:
        """End the ``fit`` and begin another one of the same run."""
        self.fit.end()
        self.recorder.end("finished")
        self.recorder.reopen()
        self.fit = self._fit()

    def end(self) -> None:
        """End the run."""
        self.fit.end()
        self.recorder.end("finished")

    def step(self) -> None:
        """Make a step."""
        self.fit.before_step()
        self.engine.steps.run()

    def answers(self) -> list[Answer]:
        """Return the answers in the log."""
        return [fact for fact in Tail(self.run.session_log).read_all() if isinstance(fact, Answer)]

    def notes(self) -> list[str]:
        """Return the notes in the log."""
        return [fact.text for fact in Tail(self.run.session_log).read_all() if isinstance(fact, events.Note)]

    def step_until(self, condition: Any) -> Any:
        """Make steps until something is so."""
        return until(lambda: self.step() or condition())

    def _fit(self) -> Fit:
        options = Options(probe=ProbeOptions(is_on=False))
        fit = Fit(self.recorder, self.engine, {"epochs": 10, "steps": None}, options, on_trouble=self.errors.append)
        fit.begin_epoch(0)
        self.step_of(fit)
        return fit

    def step_of(self, fit: Fit) -> None:
        """Make a step of a ``fit``."""
        fit.before_step()
        self.engine.steps.run()


def put(run: RunDirectory, request: commands.AnyRequest, name: str) -> Path:
    """Put a request under a name of its own."""
    return put_bytes(run, commands.encode(request), name)


def put_bytes(run: RunDirectory, data: bytes, name: str | bytes) -> Path:
    """Put a file under a name of its own, whole at once."""
    hidden = run.commands / ".made"
    hidden.write_bytes(data)
    final = run.commands / os.fsdecode(name)
    hidden.rename(final)
    return final
