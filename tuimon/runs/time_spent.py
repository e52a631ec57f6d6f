"""Where the time of a run's steps went."""

from tuimon.protocol import events
from tuimon.protocol.wire import from_wire

PARTS = ("data", "step", "validation", "callbacks", "monitoring")
"""The parts of `tuimon.protocol.events.TimeSplit`, in the order in which they are shown."""


class TimeSpent:
    """The sum of all facts on it.

    Example:
        >>> spent = TimeSpent()
        >>> spent.add(events.TimeSplit(steps=10, seconds={"data": 3.0, "step": 1.0}, timed_calls=6))
        >>> spent.shares
        {'data': 0.75, 'step': 0.25}
    """

    def __init__(self) -> None:
        self.newest: events.TimeSplit | None = None
        """The newest fact; None while nothing is known."""
        self.steps = 0
        """Train steps of all facts."""
        self.seconds: dict[str, float] = {}
        """Seconds of all facts, by part."""

    def add(self, split: events.TimeSplit) -> None:
        """Add a fact."""
        self.newest = split
        self.steps += split.steps
        for name, seconds in split.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + from_wire(seconds)

    @property
    def shares(self) -> dict[str, float]:
        """The share of each part, in the order of `PARTS`; empty while nothing is known."""
        return shares(self.seconds)

    @property
    def newest_shares(self) -> dict[str, float]:
        """The share of each part in the newest fact."""
        seconds = self.newest.seconds if self.newest is not None else {}
        return shares({name: from_wire(value) for name, value in seconds.items()})


def shares(seconds: dict[str, float]) -> dict[str, float]:
    """Return each part's share, in the order of `PARTS`; empty if there is no time."""
    whole = sum(seconds.values())
    return {name: seconds[name] / whole for name in PARTS if name in seconds} if whole > 0 else {}
