"""All that a viewer can be told."""

from collections.abc import Sequence
from dataclasses import dataclass

from tuimon.protocol import events
from tuimon.protocol.events import AnyEvent
from tuimon.runs.beginnings import Begun
from tuimon.runs.log.bad_lines import BadLines
from tuimon.runs.run_directory import Blind
from tuimon.runs.state import RunState

_MEASUREMENTS = (
    events.Batches
    | events.BatchNorm
    | events.BatchNormChannels
    | events.EpochEnded
    | events.Heartbeat
    | events.Overhead
    | events.System
    | events.TimeSplit
    | events.ValidationBatches
    | events.WeightUpdates
)
"""Facts that come as long as training goes on."""


@dataclass(frozen=True)
class Facts:
    """The log has grown."""

    events: Sequence[AnyEvent]
    """The new facts, in the order of the log."""
    reading: float | None = None
    """The share of the log that is read, until `CaughtUp` and while much is behind; None when all of it is."""


@dataclass(frozen=True)
class OlderRead:
    """More of the older part of a long log is read, whose newest part was told before."""

    share: float
    """How much of the log is read, from 0 to 1."""
    whole: RunState | None = None
    """The state by all of the log, in place of the one without older curves; None while it is not all read."""


@dataclass(frozen=True)
class CaughtUp:
    """All that the log held at the start is read."""

    silent_seconds: float
    """How long the log had not grown by then."""


@dataclass(frozen=True)
class AlertTrouble:
    """An alert could not be sent to where the user wants it."""

    words: str
    """What went wrong, in one line."""


@dataclass(frozen=True)
class LogUnreadable:
    """The log is there and cannot be read."""

    reason: str
    """Why the log cannot be read, in words; empty when it can be read again."""
    is_removed: bool = False
    """Whether it was there and is not any more: nothing is known of the time since."""


@dataclass(frozen=True)
class LogReplaced:
    """Another log is in the place of the one that was read. Its facts follow, from the first one."""

    words: str
    """What happened to the former one."""


@dataclass(frozen=True)
class LinesUnread:
    """Some lines of the log are no fact, or of an unknown type; all others are read."""

    bad: BadLines
    """Those that are no fact."""
    unknown: int
    """How many are of types that this version does not know."""


@dataclass(frozen=True)
class LinkChanged:
    """The connection to the machine of a run has broken or is there again, or why there is none is another reason."""

    blind: Blind | None
    """Since when nothing is known of the run; None once all is known again."""


@dataclass(frozen=True)
class RequestLost:
    """A request did not arrive where the trainer looks, or that is not known."""

    id: str
    """Identifier of the request."""
    why: str
    """What happened, in words."""


@dataclass(frozen=True)
class TrainerGone:
    """Whether it is proven that no trainer writes the log has changed."""

    gone: bool
    """True when it is proven."""


@dataclass(frozen=True)
class TrainerPrinted:
    """The training process printed something."""

    lines: tuple[str, ...]
    """The last lines of `trainer.log`."""


@dataclass(frozen=True)
class TrainerExited:
    """The training process that this screen started is over, or could not be started."""

    code: int | None
    """The exit status of the process; None if it could not be started."""
    reason: str = ""
    """Why the process could not be started; empty if it was."""


News = (
    Begun
    | Facts
    | OlderRead
    | CaughtUp
    | LogUnreadable
    | LogReplaced
    | LinesUnread
    | LinkChanged
    | RequestLost
    | TrainerGone
    | TrainerPrinted
    | TrainerExited
    | AlertTrouble
)


def goes_on(news: News) -> bool:
    """Return whether news holds only further measurements, or a further part of a log that is being read."""
    match news:
        case Facts():
            return news.reading is not None or all(isinstance(event, _MEASUREMENTS) for event in news.events)
        case OlderRead():
            return news.whole is None
        case TrainerPrinted():
            return True
    return False
