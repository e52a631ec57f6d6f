"""What the command of the user gets: one message for all that happened since the last one."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from tuimon.alerting.happenings import RANKS, Happening
from tuimon.protocol.wire import Number, to_wire
from tuimon.runs.state import RunState
from tuimon.text import plain

MOST_NAMED = 20
"""Of many things that happened, so many are named in a message."""
_LONGEST = 1500
_WORDS = {
    "alert": ("alert", "alerts"),
    "end": ("end", "ends"),
    "crash": ("crash", "crashes"),
    "stall": ("stall", "stalls"),
    "silence": ("silence", "silences"),
    "order": ("order", "orders"),
}


class Message(msgspec.Struct, kw_only=True, frozen=True):
    """What the command reads on standard input, as one line of JSON."""

    event: str
    """What happened: `alert`, `end`, `crash`, `stall`, `silence`, `order`; of several things the weightiest; `test`."""
    text: str
    """All of it in one line, without control characters."""
    run: str
    """The name of the run's directory."""
    path: str
    """The run's directory."""
    host: str
    """The machine that trains."""
    status: str
    """What the run does: `training`, `finished`, `crashed` and so on."""
    time: float
    """When it happened, Unix seconds."""
    step: int = 0
    """Train steps completed."""
    epoch: int = 0
    """The epoch under way, from 0."""
    metrics: dict[str, Number] = {}
    """The newest value of each metric of the epochs, else of the batches."""
    count: int = 1
    """How many things happened since the last message."""
    counts: dict[str, int] = {}
    """How many of each kind."""
    texts: list[str] = []
    """A line about each of them, at most 20."""
    fact: msgspec.Raw = msgspec.Raw(b"null")
    """The line of `session.jsonl` that tells it; null where none does, as for a crash."""

    def variables(self) -> dict[str, str]:
        """Return the environment variables of the command, beside those of the process that runs it."""
        return {
            "TUIMON_EVENT": self.event,
            "TUIMON_TEXT": self.text,
            "TUIMON_RUN": self.run,
            "TUIMON_RUN_PATH": self.path,
            "TUIMON_STATUS": self.status,
            "TUIMON_STEP": str(self.step),
            "TUIMON_EPOCH": str(self.epoch),
            "TUIMON_COUNT": str(self.count),
        }


class About(Struct, frozen=True):
    """The run that a message is about."""

    path: Path
    """Its directory."""
    state: RunState
    """What its log adds up to."""
    status: str
    """What it does, by `liveness.status`."""


def message(happened: Sequence[Happening], about: About, more: Mapping[str, int] | None = None) -> Message:
    """Return one message about all that happened.

    Args:
        happened: What, in order; not empty.
        about: The run.
        more: How many further things of each kind happened that are not in ``happened``.
    """
    state = about.state
    counts = Counter[str](happening.kind for happening in happened)
    counts.update(more or {})
    lead = min(happened, key=lambda happening: RANKS.index(happening.kind))
    count = sum(counts.values())
    name = plain(about.path.name, 200)
    text = f"{name}: {lead.text}"
    if count > 1:
        others = counts - Counter({lead.kind: 1})
        named = ", ".join(f"{number:,} {_WORDS[kind][number > 1]}" for kind, number in others.items())
        text = f"{text[: _LONGEST - 200]} (and {named} more)"
    metrics = state.epoch_metrics or state.batch_metrics
    return Message(
        event=lead.kind,
        text=plain(text, _LONGEST),
        run=name,
        path=plain(str(about.path), 4000),
        host=plain(state.run.host, 200) if state.run is not None else "",
        status=about.status,
        time=lead.time,
        step=state.step,
        epoch=state.epoch,
        metrics={plain(key, 200): to_wire(series.last) for key, series in list(metrics.items())[:100]},
        count=count,
        counts=dict(counts),
        texts=[happening.text for happening in happened[:MOST_NAMED]],
        fact=msgspec.Raw(msgspec.json.encode(lead.fact)),
    )


def sample() -> Message:
    """Return a message about nothing, by which somebody may try a command."""
    text = "this is a test of tuimon's alerts: no run is concerned"
    return Message(
        event="test", text=text, run="test", path="", host="", status="training", time=time.time(), texts=[text]
    )
