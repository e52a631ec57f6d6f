"""What charts mark: where a request took effect, where a run went back or went on."""

from dataclasses import dataclass

from tuimon.plot.numbers import learning_rate
from tuimon.protocol.events import RolledBack, RunResumed
from tuimon.runs.state import Command, RunState
from tuimon.text import plain
from tuimon.ui.drawing.cells import fit

_WIDTH = 20
_QUIET = frozenset(("checkpoint", "evaluate", "note", "pause", "probe", "recalibrate, dry run", "resume", "snapshot"))
"""Requests, in their words, that change nothing that a chart shows."""


@dataclass(frozen=True)
class Mark:
    """A step to mark."""

    step: float
    """Where: a step, or where a chart has it."""
    word: str
    """What happened, in at most a few cells: "freeze all", "freeze bn_1", "rollback"."""


def marks(state: RunState) -> list[Mark]:
    """Return what is to be marked, in the order of the log."""
    found = []
    for entry in state.timeline:
        match entry:
            case Command(applied=True):
                # Where a run went back is said by the fact.
                if entry.words not in _QUIET and not entry.words.startswith("roll back"):
                    found.append(Mark(entry.step, _short(entry.words)))
            case RolledBack():
                found.append(Mark(entry.step, "rollback"))
            case RunResumed():
                found.append(Mark(entry.step, "resumed"))
    return found


def _short(words: str) -> str:
    words = plain(words, 200)
    if words.startswith("stop "):
        return "stop"
    if words.startswith("learning rate "):
        rate = words.rpartition(" ")[2]
        try:
            return f"lr {learning_rate(float(rate))}"
        except ValueError:
            return f"lr {rate}"
    for long, short in (("statistics of ", "stat. "), ("weights of ", "weights "), (" of ", " ")):
        words = words.replace(long, short, 1)
    return fit(" ".join(word.rpartition("/")[2] or word for word in words.split(" ")), _WIDTH)
