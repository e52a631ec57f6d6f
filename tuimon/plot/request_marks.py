"""The marks of charts: where a request took effect, where a run was rolled back or resumed, where a fit began."""

from msgspec import Struct

from tuimon.numbers import learning_rate
from tuimon.protocol import commands
from tuimon.protocol.events import FitStarted, RolledBack, RunResumed
from tuimon.runs.state import Command, RunState
from tuimon.text import plain, width_of

_WIDTH = 20
MOST_FITS = 10
"""The beginnings of more fits are not marked: those of `fit(epochs=1)` in a loop say no more than the axis."""
_QUIET = (
    commands.Checkpoint
    | commands.Evaluate
    | commands.Note
    | commands.Pause
    | commands.Probe
    | commands.Resume
    | commands.Rollback
    | commands.Snapshot
)
"""Requests that change no curve; the fact `rolled_back` marks a rollback, at the right step."""


class Mark(Struct, frozen=True):
    """A step to mark."""

    step: float
    """The step, or its place on the x axis."""
    word: str
    """The event in a few cells: "freeze all", "freeze bn_1", "rollback"."""
    seq: int = -1
    """Number of its fact; -1: not known."""


def marks(state: RunState) -> list[Mark]:
    """Return the marks of a run, in the order of the log."""
    found = []
    for entry in state.timeline:
        match entry:
            case Command(applied=True):
                if _is_shown(entry.request):
                    found.append(Mark(entry.step, _short(entry.request), entry.seq))
            case RolledBack():
                found.append(Mark(entry.step, "rollback", entry.seq))
            case RunResumed():
                found.append(Mark(entry.step, "resumed", entry.seq))
            case FitStarted() if entry.step and 1 < len(state.fits.all) <= MOST_FITS:
                found.append(Mark(entry.step, state.fits.name(entry), entry.seq))
    return found


def _is_shown(request: commands.AnyRequest | commands.UnknownRequest) -> bool:
    is_dry = isinstance(request, commands.Recalibrate) and request.dry_run
    return not is_dry and not isinstance(request, _QUIET)


def _short(request: commands.AnyRequest | commands.UnknownRequest) -> str:
    words = commands.describe(request)
    match request:
        case commands.Stop():
            words = "stop"
        case commands.LearningRate(learning_rate=rate):
            words = "lr schedule" if rate is None else f"lr {learning_rate(rate)}"
        case commands.Freeze(statistics=True):
            words = f"hold {_layers(request.layers)}"
        case commands.Unfreeze(statistics=True):
            words = f"unhold {_layers(request.layers)}"
        case commands.Freeze() | commands.Unfreeze():
            words = f"{commands.name_of(request)} {'weights ' if request.weights else ''}{_layers(request.layers)}"
        case commands.Momentum():
            words = f"momentum {request.momentum} {_layers(request.layers)}"
    return _cut(plain(words, 200))


def _layers(globs: list[str]) -> str:
    return ", ".join(glob.rpartition("/")[2] or glob for glob in globs) or "all"


def _cut(text: str) -> str:
    if width_of(text) <= _WIDTH:
        return text
    while width_of(text) > _WIDTH - 1:
        text = text[:-1]
    return f"{text.rstrip()}…"
