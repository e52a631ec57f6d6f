"""What happened in a run as tables: NumPy arrays with a named column for each field."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from tuimon.protocol import events
from tuimon.protocol.commands import describe, from_fact
from tuimon.protocol.wire import from_wire
from tuimon.query.line import Branches, Line

Table = npt.NDArray[np.void]
"""Shape ``(n,)``: one row for each event, one named column for each field."""
_WHERE: list[tuple[str, Any]] = [
    ("step", np.int64),
    ("epoch", np.int64),
    ("time", np.float64),
    ("branch", np.int64),
    ("fit", np.int64),
    ("is_undone", np.bool_),
]
PROBE_NUMBERS = ("train", "inference", "gap", "batch_norm", "stochastic", "other", "validation")
"""The losses of a probe, and the parts of their difference, in the unit of the loss."""
COLUMNS: dict[str, list[tuple[str, Any]]] = {
    "requests": [("asked", object), ("by", object), ("is_applied", np.bool_), ("detail", object), ("checked", object)],
    "alerts": [("rule", object), ("severity", object), ("layer", object), ("what", object), ("advice", object)],
    "notes": [("text", object)],
    "probes": [
        *((name, np.float64) for name in PROBE_NUMBERS),
        ("gap_error", np.float64),
        ("examples", np.int64),
        ("reason", object),
    ],
}
"""The columns of each table behind those that all have; `object`: a text, a Python `str`."""
_TABLES: dict[type[events.AnyEvent], str] = {
    events.CommandApplied: "requests",
    events.CommandRejected: "requests",
    events.Alert: "alerts",
    events.Note: "notes",
    events.Probe: "probes",
}
AnyNoted = events.CommandApplied | events.CommandRejected | events.Alert | events.Note | events.Probe


class _Noted(Struct):
    event: AnyNoted
    fit: int


class Happenings(Struct):
    """Collects requests, alerts, notes and probes, in the order of the log."""

    _noted: dict[str, list[_Noted]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    _verified: dict[str, events.CommandVerified] = field(default_factory=dict)

    def apply(self, new: Iterable[tuple[events.AnyEvent, int]]) -> None:
        """Add further facts, each with the number of its fit."""
        for event, fit in new:
            if isinstance(event, AnyNoted):
                self._noted[_TABLES[type(event)]].append(_Noted(event, fit))
            elif isinstance(event, events.CommandVerified):
                self._verified[event.id] = event

    def table(self, name: str, line: Line, branch: Branches, fit: int | None) -> Table:
        """Return a table of `COLUMNS`; ``branch`` and ``fit`` as for `Session.requests`."""
        noted = self._noted[name]
        branches = np.array([one.event.branch for one in noted], dtype=np.int64)
        completed = np.array([one.event.step for one in noted], dtype=np.int64)
        undone = ~line.holds(branches, completed)
        chosen = line.chosen(branch, branches, completed)
        if fit is not None:
            chosen &= np.array([one.fit == fit for one in noted], dtype=np.bool_)
        rows = [(*_where(one), undone[at], *self._row(one.event)) for at, one in enumerate(noted) if chosen[at]]
        return np.array(rows, dtype=[*_WHERE, *COLUMNS[name]])

    def _row(self, event: AnyNoted) -> Sequence[object]:
        match event:
            case events.Alert():
                return event.rule, event.severity, event.layer or "", event.what, event.advice
            case events.Note():
                return (event.text,)
            case events.Probe():
                return _probe(event)
        verified = self._verified.get(event.id)
        is_applied = isinstance(event, events.CommandApplied)
        detail = event.detail if isinstance(event, events.CommandApplied) else event.reason
        checked = "" if verified is None else f"{'held' if verified.held else 'not held'}: {verified.detail}"
        return describe(from_fact(event.request)), event.sender.user, is_applied, detail, checked


def _where(one: _Noted) -> Sequence[object]:
    event = one.event
    step = event.first_step if isinstance(event, events.CommandApplied) else event.step
    return step, event.epoch, event.time, event.branch, one.fit


def _probe(event: events.Probe) -> Sequence[object]:
    numbers = [from_wire(getattr(event, name)) for name in PROBE_NUMBERS]
    return *numbers, from_wire(event.errors.get("gap")), event.examples, event.reason
