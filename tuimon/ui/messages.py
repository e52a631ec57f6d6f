"""Everything that the screen hears of the world."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from textual.message import Message

from tuimon.protocol.events import AnyEvent
from tuimon.ui.screens.compare.run_curves import RunCurves, RunLine
from tuimon.ui.screens.trainer_log.log_window import Block


@dataclass
class Facts(Message):
    """The log has grown."""

    events: list[AnyEvent]
    """In the order of the log."""
    reading: float | None
    """The share of the log that is read, while a long one is; None when all of it is."""
    taken: threading.Event = field(default_factory=threading.Event)
    """Set when more is wanted: a long log must not keep the screen from being drawn."""


@dataclass
class CaughtUp(Message):
    """All that the log held at the start is read."""

    silent_seconds: float
    """How long it had not grown by then."""


@dataclass
class LogUnreadable(Message):
    """The log is there and cannot be read."""

    reason: str
    """In words; empty when it can be read again."""


@dataclass
class TrainerGone(Message):
    """Whether it is proven that no trainer writes the log has changed."""

    gone: bool
    """Whether it is."""


@dataclass
class TrainerPrinted(Message):
    """The training process printed something."""

    lines: tuple[str, ...]
    """The last lines of `trainer.log`."""


@dataclass
class TrainerExited(Message):
    """The training process that this screen started is over, or could not be started."""

    code: int | None
    """Its exit status; None where it could not be started."""
    reason: str = ""
    """Why it could not be started."""


@dataclass
class RunsListed(Message):
    """What the runs of a directory do has changed."""

    lines: tuple[RunLine, ...]
    """One for each run that was looked at by now."""


@dataclass
class RunRead(Message):
    """More is known of a run that is compared."""

    path: Path
    """Of its directory."""
    curves: RunCurves
    """All that is known."""


@dataclass
class LogChanged(Message):
    """What the training process prints has grown, is another file, or is gone."""

    size: int | None
    """In bytes; None where there is no such file."""
    is_other: bool
    """Whether what was read before is not its content any more."""
    reason: str = ""
    """Why it cannot be read; empty where it can, or is not there."""


@dataclass
class LogRead(Message):
    """A part of what the training process printed was read."""

    block: Block
    """The lines."""
    is_end: bool = False
    """Whether they are the last ones, asked for as such."""


@dataclass
class LogSearched(Message):
    """A search through what the training process printed is over."""

    words: str
    """What was searched for."""
    offset: int | None
    """Where the line that holds it begins; None where there is none."""
    back: bool
    """Whether it was searched for towards the begin of the file."""
