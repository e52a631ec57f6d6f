"""An answered request: what was asked, what became of it, and what was in force before and after."""

from msgspec import Struct, field
from msgspec.structs import replace

from tuimon.protocol import events
from tuimon.protocol.commands import AnyRequest, LearningRate, Recalibrate, Rollback, UnknownRequest


class InForce(Struct, frozen=True):
    """Everything that requests can change, at one time."""

    phase: str = "auto"
    """The learning phase."""
    frozen: frozenset[str] = frozenset()
    """Paths of the frozen BatchNormalization layers."""
    statistics_held: frozenset[str] = frozenset()
    """Paths of those whose moving statistics alone are held."""
    frozen_weights: frozenset[str] = frozenset()
    """Paths of the other layers that requests froze."""
    momentum: dict[str, float] = field(default_factory=dict)
    """The momentum of the BatchNormalization layers, by path."""
    learning_rate: float | None = None
    """The learning rate at the last epoch's end, or what a request has set since; None while not known."""
    own_learning_rate: bool = False
    """True where a request set the learning rate."""


class Command(Struct):
    """A request and what became of it."""

    id: str
    """The request's id."""
    words: str
    """The request in words: "freeze all"."""
    request: AnyRequest | UnknownRequest
    """The request; an unknown one has nothing but its name."""
    sender: events.Sender
    """Who asked."""
    time: float
    """When the answer was written."""
    step: int
    """The first step under the new mode; for a rejected one, when it was rejected."""
    applied: bool
    """Applied or rejected."""
    detail: str = ""
    """A remark of the trainer; the reason where it was rejected."""
    traced_seconds: float = 0.0
    """Seconds that tracing its mode took."""
    verified: events.CommandVerified | None = None
    """What the next step showed; None while not known."""
    seq: int = -1
    """Number of the answer."""
    before: InForce = field(default_factory=InForce)
    """What was in force until then."""
    after: InForce = field(default_factory=InForce)
    """What has been in force since then."""
    undoes: "Command | None" = None
    """The request that it takes back; None for a request of its own."""
    is_part: bool = False
    """True for one of several requests that take back the same one."""

    @property
    def title(self) -> str:
        """The request in words; of one that takes back another, as the one who pressed undo knows it."""
        if self.undoes is None:
            return self.words
        return f"undo {self.undoes.words}" + (f": {self.words}" if self.is_part else "")

    @property
    def is_final(self) -> bool:
        """True where no request can undo it: it changed what the model has learned."""
        match self.request:
            case Rollback() | Recalibrate(dry_run=False):
                return True
        return False

    @property
    def has_changed_something(self) -> bool:
        """True where it changed what is in force.

        The learning rate also moves by itself, so it counts only for a request that sets it.
        """
        before, after = self.before, self.after
        if not isinstance(self.request, LearningRate):
            before = replace(before, learning_rate=after.learning_rate)
        return before != after
