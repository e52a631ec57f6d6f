"""Events in words, a line each: requests with their results, alerts, notes, the end."""

import os
import socket
import time
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from tuimon.numbers import count
from tuimon.protocol import events
from tuimon.runs import facts_in_words
from tuimon.runs.state import Command, RunState, TimelineEntry
from tuimon.text import plain
from tuimon.ui.viewer.alerts import sign
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Asked, Moment

_MEANINGS: dict[type, Meaning] = {
    events.FitStarted: Meaning.DIM,
    events.StateChanged: Meaning.DIM,
    events.Evaluated: Meaning.VALIDATION,
    events.Recalibrated: Meaning.STATISTIC,
    events.RolledBack: Meaning.COMMAND,
    events.RunResumed: Meaning.COMMAND,
    events.OrderGiven: Meaning.COMMAND,
    events.OrderFired: Meaning.COMMAND,
    events.OrderEnded: Meaning.COMMAND,
    events.LogGap: Meaning.WARNING,
    events.RunEnded: Meaning.GOOD,
}
"""The colours of events; others have the colour of text."""


class Line(Struct, frozen=True):
    """One line of the timeline."""

    time: float
    """Unix seconds."""
    step: int | None
    """The step; None for an event without one."""
    words: str
    """The event in words."""
    meaning: Meaning = Meaning.TEXT
    """Its colour."""


def lines(moment: Moment) -> Iterator[Line]:
    """Return the lines, newest first. An alert that came several times is one of them, with how often it came."""
    for asked in reversed(moment.asked):
        yield asked_line(asked)
    told: set[tuple[str, str | None]] = set()
    for entry in reversed(moment.state.timeline):
        if isinstance(entry, events.Alert):
            key = entry.rule, entry.layer
            if key not in told:
                told.add(key)
                same = [alert for alert in moment.state.alerts if (alert.rule, alert.layer) == key]
                yield _repeated(entry, same, moment.state)
        else:
            yield line_of(entry, moment.state)


def clock_time(seconds: float) -> str:
    """Return the time of day of Unix seconds."""
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def asked_line(asked: Asked) -> Line:
    """Return the line of a request without an answer."""
    return Line(asked.time, None, f"{plain(asked.words, 100)}: asked", Meaning.DIM)


def line_of(entry: TimelineEntry, state: RunState) -> Line:
    """Return the line of an event.

    Args:
        entry: The event.
        state: The run, folded at least up to this event.
    """
    match entry:
        case Command():
            return _command(entry)
        case events.Alert():
            shown, meaning = sign(entry)
            return Line(entry.time, entry.step, f"{shown} {facts_in_words.of(entry, state)}", meaning)
        case events.RunStarted():
            return Line(entry.time, None, facts_in_words.of(entry, state), Meaning.DIM)
        case events.RunEnded(status="failed"):
            return Line(entry.time, entry.step, facts_in_words.of(entry, state), Meaning.ERROR)
        case _:
            return Line(
                entry.time, entry.step, facts_in_words.of(entry, state), _MEANINGS.get(type(entry), Meaning.TEXT)
            )


def _repeated(newest: events.Alert, same: list[events.Alert], state: RunState) -> Line:
    line = line_of(newest, state)
    if len(same) < 2:
        return line
    # The count comes before the sentence: a narrow screen cuts the end off.
    rule, _, words = facts_in_words.of(newest, state).partition(" ")
    since = f"{count(len(same))} times since step {count(same[0].step)}"
    return replace(line, words=f"{sign(newest)[0]} {rule} ({since}) {words}")


def _command(command: Command) -> Line:
    # The result comes first: a narrow screen cuts the end off.
    asked, by = plain(command.title, 100), f"; asked by {_who(command.sender)}"
    if not command.applied:
        return Line(
            command.time, command.step, f"{asked}: {facts_in_words.rejected(command.detail)}{by}", Meaning.ERROR
        )
    became, verified = facts_in_words.applied(command.traced_seconds, command.detail), command.verified
    if verified is not None:
        became += f", {facts_in_words.verified(verified)}"
    meaning = Meaning.COMMAND if verified is None or verified.held else Meaning.ERROR
    return Line(command.time, command.step, f"{asked}: {became}{by}", meaning)


def _who(sender: events.Sender) -> str:
    if sender.pid == os.getpid() and sender.host == socket.gethostname():
        return "you"
    # The request claims the name; the file system knows the uid.
    return plain(sender.user, 40) or f"uid {sender.uid}"
