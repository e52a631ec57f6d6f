"""The probe that tells most of a run, and the request that closed its gap."""

from msgspec import Struct

from tuimon.diagnosis.gap.shares import are_alike, is_open
from tuimon.protocol import events
from tuimon.protocol.commands import Freeze, Phase, Unfreeze
from tuimon.protocol.wire import from_wire
from tuimon.runs.state import Command, RunState

SHRUNK = 1.5
"""A request made the gap smaller, if it was this many times as large before."""


class Telling(Struct, frozen=True):
    """The probe that tells most of a run."""

    probe: events.Probe
    """The newest one; where a request has closed the gap since, the last one before it."""
    change: Command | None = None
    """The request that closed the gap, or made it smaller; None: there is none."""
    other: events.Probe | None = None
    """The probe on the other side of `change`, if there is one."""

    @property
    def is_closed(self) -> bool:
        """Whether the gap that `probe` shows is gone now."""
        return self.other is not None and self.other.time > self.probe.time


def telling(state: RunState) -> Telling | None:
    """Return the probe that tells most of a run; None while there is none."""
    if not state.probes:
        return None
    newest = state.probes[-1]
    for entry in reversed(state.timeline):
        if isinstance(entry, events.RolledBack | events.RunResumed):
            break
        if not isinstance(entry, Command) or not entry.applied or entry.time > newest.time:
            continue
        if _releases(entry):
            break
        before = next((probe for probe in reversed(state.probes) if probe.time < entry.time), None)
        if before is None or not _holds(entry) or not is_open(before):
            continue
        if are_alike(newest):
            return Telling(before, entry, newest)
        if abs(from_wire(before.gap)) > SHRUNK * abs(from_wire(newest.gap)):
            return Telling(newest, entry, before)
    return Telling(newest)


def _holds(command: Command) -> bool:
    match command.request:
        case Freeze() | Phase(phase="inference"):
            return True
    return False


def _releases(command: Command) -> bool:
    match command.request:
        case Unfreeze(weights=False) | Phase(phase="auto" | "train"):
            return True
    return False
