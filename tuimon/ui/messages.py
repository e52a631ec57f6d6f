"""Everything that the screen hears of the world."""

import threading
from dataclasses import dataclass, field

from textual.message import Message

from tuimon.protocol.events import AnyEvent


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
