"""Lines of a log that are no fact: how many, and where."""

from msgspec import Struct

from tuimon.protocol.events import PROTOCOL
from tuimon.runs.state import RunState
from tuimon.text import plain

NAMED = 5
"""The first ones are named by their numbers."""


class BadLines(Struct, frozen=True):
    """The lines that could not be read.

    Example:
        >>> BadLines(3, (4, 17, 20)).words
        '3 lines of the log could not be read: lines 4, 17 and 20'
        >>> BadLines(1).words
        '1 line of the log could not be read'
    """

    count: int = 0
    """How many; all other lines are read."""
    numbers: tuple[int, ...] = ()
    """The first ones, counted from 1 as `sed -n 4p` does; empty where a part of the log was skipped."""

    def and_one(self, number: int | None) -> "BadLines":
        """Return these and a further one.

        Args:
            number: Its number, from 1; None where it is not known.
        """
        is_named = number is not None and len(self.numbers) < NAMED
        return BadLines(self.count + 1, (*self.numbers, number) if is_named and number is not None else self.numbers)

    @property
    def words(self) -> str:
        """What is said of them, without a full stop; empty where there are none."""
        if not self.count:
            return ""
        said = f"{self.count:,} line{'' if self.count == 1 else 's'} of the log could not be read"
        if not self.numbers:
            return said
        *first, last = [f"{number:,}" for number in self.numbers]
        if self.count > len(self.numbers):
            return f"{said}, the first in lines {', '.join([*first, last])}"
        if not first:
            return f"{said}: line {last}"
        return f"{said}: lines {', '.join(first)} and {last}"


def unread(state: RunState, bad: BadLines, unknown: int) -> tuple[str, ...]:
    """Return what of a log could not be read, or may be misread: a sentence each; nothing where all of it was read.

    Args:
        state: What the log says.
        bad: Its lines that are no fact.
        unknown: How many lines are of types that this version does not know.
    """
    said = []
    protocol = state.run.protocol if state.run is not None else PROTOCOL
    if protocol != PROTOCOL:
        said.append(
            f"The log is of version {protocol:,} of the protocol, this tuimon reads version {PROTOCOL}: "
            "what it says may be misread."
        )
    if bad.count:
        said.append(f"{bad.words}.")
    if unknown:
        said.append(f"{unknown:,} line{' is' if unknown == 1 else 's are'} of a type that this tuimon does not know.")
    if state.untaken:
        count = len(state.untaken)
        first = plain(state.untaken[0], 200)
        said.append(
            f"{count:,} fact{' was' if count == 1 else 's were'} left out for an error of tuimon, first {first}."
        )
    return tuple(said)
