"""All that a viewer can be told."""

from collections.abc import Sequence

from msgspec import Struct

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


class Facts(Struct, frozen=True):
    """The log has grown."""

    events: Sequence[AnyEvent]
    """The new facts, in the order of the log."""
    reading: float | None = None
    """The share of the log that is read, until `CaughtUp` and while much is behind; None when all of it is."""


class OlderRead(Struct, frozen=True):
    """More of the older part of a long log is read, whose newest part was told before."""

    share: float
    """How much of the log is read, from 0 to 1."""
    whole: RunState | None = None
    """The state by all of the log, in place of the one without older curves; None while it is not all read."""


class CaughtUp(Struct, frozen=True):
    """All that the log held at the start is read."""

    silent_seconds: float
    """How long the log had not grown by then."""


class AlertTrouble(Struct, frozen=True):
    """An alert could not be sent to where the user wants it."""

    words: str
    """What went wrong, in one line."""


class LogUnreadable(Struct, frozen=True):
    """The log is there and cannot be read."""

    reason: str
    """Why the log cannot be read, in words; empty when it can be read again."""
    is_removed: bool = False
    """Whether it was there and is not any more: nothing is known of the time since."""


class LogReplaced(Struct, frozen=True):
    """Another log is in the place of the one that was read. Its facts follow, from the first one."""

    words: str
    """What happened to the former one."""


class LinesUnread(Struct, frozen=True):
    """Some lines of the log are no fact, or of an unknown type; all others are read."""

    bad: BadLines
    """Those that are no fact."""
    unknown: int
    """How many are of types that this version does not know."""


class LinkChanged(Struct, frozen=True):
    """The connection to the machine of a run has broken or is there again, or why there is none is another reason."""

    blind: Blind | None
    """Since when nothing is known of the run; None once all is known again."""


class RequestLost(Struct, frozen=True):
    """A request did not arrive where the trainer looks, or that is not known."""

    id: str
    """Identifier of the request."""
    why: str
    """What happened, in words."""


class TrainerGone(Struct, frozen=True):
    """Whether it is proven that no trainer writes the log has changed."""

    gone: bool
    """True when it is proven."""


class TrainerPrinted(Struct, frozen=True):
    """The training process printed something."""

    lines: tuple[str, ...]
    """The last lines of `trainer.log`."""


class TrainerExited(Struct, frozen=True):
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
