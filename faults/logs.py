"""What holds for every log, whatever happened to its trainer and its disk."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tuimon.protocol import events
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory

UNCOUNTED = frozenset(("state_changed", "heartbeat", "log_gap"))
"""Types of which a fact that says nothing new is not written, and the writer's own."""

HOLE = "the numbers of the facts have a hole"


@dataclass(frozen=True)
class Log:
    """A log as it is now."""

    facts: list[events.AnyEvent]
    whole: bytes
    """Its whole lines."""
    wrong: str
    """What must not be in a log; empty if nothing is."""

    @property
    def attempts(self) -> int:
        """How often a trainer began."""
        return sum(isinstance(fact, events.RunStarted) for fact in self.facts)

    def of(self, kind: type[events.AnyEvent]) -> list[events.AnyEvent]:
        """Return the facts of a type."""
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @property
    def ended(self) -> str:
        """The last word of the newest attempt; empty if there is none."""
        statuses = ""
        for fact in self.facts:
            if isinstance(fact, events.RunStarted):
                statuses = ""
            elif isinstance(fact, events.RunEnded):
                statuses = fact.status
        return statuses


def read(run: RunDirectory | Path) -> Log:
    """Read a log, and look for lines that cannot be read, holes in the numbers, and steps that go back."""
    path = run.session_log if isinstance(run, RunDirectory) else run
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    tail = Tail(path)
    facts = tail.read_until(len(whole))  # A trainer may write meanwhile.
    lines = whole.count(b"\n")
    wrong = ""
    if tail.unreadable or tail.unknown:
        wrong = f"{tail.unreadable + tail.unknown} of {lines} whole lines cannot be read"
    elif len(facts) != lines:
        wrong = f"{lines} whole lines, but {len(facts)} facts are read"
    elif [fact.seq for fact in facts] != list(range(len(facts))):
        wrong = HOLE
    elif any(after.step < before.step for before, after in itertools.pairwise(facts)):
        wrong = "a step goes back"
    return Log(facts, whole, wrong)


def gaps(facts: list[events.AnyEvent]) -> Counter[str]:
    """Return how many facts the log says it has lost, by type."""
    told: Counter[str] = Counter()
    for fact in facts:
        if isinstance(fact, events.LogGap):
            told.update(fact.dropped)
    return told


def losses(recorded: Mapping[str, int], log: Log) -> tuple[Counter[str], Counter[str]]:
    """Return by type how many facts are lost, and how many the log says are.

    Args:
        recorded: By type, how many facts the trainer recorded.
        log: What was written of them.
    """
    there = Counter(str(type(fact).__struct_config__.tag) for fact in log.facts)
    lost = Counter({kind: count - there[kind] for kind, count in recorded.items() if kind not in UNCOUNTED})
    return +lost, Counter({kind: count for kind, count in gaps(log.facts).items() if kind not in UNCOUNTED})


def last_step(run: RunDirectory) -> int:
    """Return the newest step that a log tells of; 0 while there is none."""
    try:
        lines = run.session_log.read_bytes()[-65536:].splitlines()[1:]
    except FileNotFoundError:
        return 0
    for line in reversed(lines):
        try:
            return msgspec.json.decode(line, type=_Stepped).step
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return 0


class _Stepped(msgspec.Struct):
    step: int = 0
