"""What comes of a fault: of one try, and of all of them together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from faults.place import Place


class Skipped(Exception):  # noqa: N818 - nothing went wrong
    """The fault cannot be made here; the message says why."""


class Tried(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What came of one try, or of several that were made at once."""

    times: int = 1
    """How many tries it stands for."""
    lost: int = 0
    """Facts that were recorded and are not in the log."""
    told: int = 0
    """Of them, how many are told: by `log_gap`, or on the trainer's own output where the log takes nothing."""
    disturbed: str = ""
    """How training was disturbed; empty if it was not."""
    said: float | None = None
    """Seconds until a viewer said so; None if none has, or none has to."""
    wrong: str = ""
    """What else is not as it has to be."""
    note: str = ""
    """What is worth knowing."""


class Row(msgspec.Struct, kw_only=True):
    """All tries of one fault."""

    name: str
    """What it is called on the command line."""
    title: str
    """What it is, in words."""
    tried: int = 0
    lost: int = 0
    told: int = 0
    disturbed: int = 0
    said: list[float] = []
    notes: list[str] = []
    wrong: list[str] = []
    """What is not as it has to be, each once."""
    skipped: str = ""
    """Why it was not made here."""
    seconds: float = 0.0
    """How long all tries took."""

    @property
    def is_red(self) -> bool:
        """Whether something is not as it has to be."""
        return bool(self.disturbed or self.lost > self.told or self.wrong)

    @property
    def said_words(self) -> str:
        """Seconds until a viewer said so: median and longest."""
        return f"{median(self.said):.1f} ({max(self.said):.1f})" if self.said else "–"

    def add(self, tried: Tried) -> None:
        """Add one try."""
        self.tried += tried.times
        self.lost += tried.lost
        self.told += tried.told
        self.disturbed += bool(tried.disturbed)
        if tried.said is not None:
            self.said.append(tried.said)
        for words in (tried.disturbed, tried.wrong):
            if words and words not in self.wrong:
                self.wrong.append(words)
        if tried.note and tried.note not in self.notes:
            self.notes.append(tried.note)


@dataclass(frozen=True)
class Fault:
    """A fault that can be made.

    Example:
        ```python
        Fault("trainer-killed", "trainer killed (kill -9)", killed, times=80, seconds=240)
        ```
    """

    name: str
    """What it is called on the command line."""
    title: str
    """What it is, in words."""
    make: Callable[["Place", int], Iterator[Tried]]
    """Makes it so many times."""
    times: int
    """How often `make faults` makes it."""
    seconds: float
    """Longest time that all tries may take."""
    is_alone: bool = False
    """Whether it measures times, so that nothing else runs beside it."""

    def row(self) -> Row:
        """Return a row without tries."""
        return Row(name=self.name, title=self.title)

    def made(self, place: Path, times: int | None = None) -> Row:
        """Make the fault, as a test does, and return what came of it.

        Args:
            place: An empty directory.
            times: How often; as often as `make faults` does unless given.
        """
        from faults.place import Place

        row = self.row()
        with Place(place) as here:
            for tried in self.make(here, self.times if times is None else times):
                row.add(tried)
        return row
