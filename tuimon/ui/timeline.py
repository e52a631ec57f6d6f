"""What happened, newest first, a line each: requests and what became of them, evaluations, notes, the end."""

import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tuimon import events
from tuimon.state import Command, TimelineEntry
from tuimon.text import plain
from tuimon.ui.cell_view import CellView, draw_panel
from tuimon.ui.cells import Cells
from tuimon.ui.moment import Moment
from tuimon.ui.numbers import count, number
from tuimon.ui.palette import Meaning
from tuimon.wire import from_wire

_SHOWN_LOGS = 6


@dataclass(frozen=True)
class Line:
    """One line of the timeline."""

    time: float
    """Unix seconds."""
    step: int | None
    """None where no step is meant."""
    words: str
    """What happened."""
    meaning: Meaning = Meaning.TEXT
    """Its colour."""


class Timeline(CellView):
    """The newest lines, as many as there is room for. Where there is room, in a panel."""

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the lines."""
        framed = cells.height >= 5
        if framed:
            draw_panel(cells, "events")
        first, rows = (1, cells.height - 2) if framed else (0, cells.height)
        steps = max(5, len(count(moment.state.step)))
        for row, item in zip(range(first, first + rows), lines(moment), strict=False):
            column = cells.put(row, 2, time.strftime("%H:%M:%S", time.localtime(item.time)), Meaning.DIM) + 2
            if item.step is not None:
                cells.put(row, column, f"step {count(item.step):>{steps}}", Meaning.DIM)
            column += 5 + steps + 2
            cells.put(row, column, item.words, item.meaning, width=cells.width - column - 2)


def lines(moment: Moment) -> Iterator[Line]:
    """Return the lines, newest first."""
    for asked in reversed(moment.asked):
        yield Line(asked.time, None, f"{plain(asked.words, 100)}: asked", Meaning.DIM)
    for entry in reversed(moment.state.timeline):
        yield _line(entry)


def _line(entry: TimelineEntry) -> Line:
    match entry:
        case Command():
            return _command(entry)
        case events.RunStarted():
            return Line(entry.time, None, _started(entry), Meaning.DIM)
        case events.FitStarted():
            epochs = f"{count(entry.epochs)} epochs" if entry.epochs is not None else "epochs without end"
            xla = ", compiled by XLA" if entry.jit_compile else ""
            return Line(entry.time, entry.step, f"fit: {epochs}, {plain(entry.optimizer, 40)}{xla}", Meaning.DIM)
        case events.StateChanged():
            return Line(entry.time, entry.step, plain(f"{entry.state} {entry.detail}".strip(), 300), Meaning.DIM)
        case events.Evaluated():
            logs = "  ".join(
                f"{plain(name, 30)} {number(from_wire(value))}"
                for name, value in list(entry.logs.items())[:_SHOWN_LOGS]
            )
            return Line(entry.time, entry.step, f"evaluated {plain(entry.name, 80)}: {logs}", Meaning.VALIDATION)
        case events.Note():
            return Line(entry.time, entry.step, f"note: {plain(entry.text)}")
        case events.LogGap():
            dropped = ", ".join(f"{count(number_)} {plain(kind, 40)}" for kind, number_ in entry.dropped.items())
            return Line(entry.time, entry.step, f"not logged: {dropped} ({plain(entry.reason, 200)})", Meaning.WARNING)
        case events.RunEnded():
            return _ended(entry)


def _command(command: Command) -> Line:
    # What became of it comes first: a narrow screen cuts the end off.
    words, by = plain(command.words, 100), f"; asked by {_who(command.sender)}"
    detail = plain(command.detail)
    if not command.applied:
        return Line(command.time, command.step, f"{words}: rejected: {detail}{by}", Meaning.ERROR)
    words += f": applied in {command.traced_seconds:.1f} s" if command.traced_seconds >= 0.05 else ": applied"
    verified = command.verified
    if verified is None:
        return Line(command.time, command.step, f"{words}{'; ' + detail if detail else ''}{by}", Meaning.COMMAND)
    if not verified.held:
        text = f"{words}, but it did not hold: {plain(verified.detail)}{by}"
        return Line(command.time, command.step, text, Meaning.ERROR)
    return Line(command.time, command.step, f"{words}, verified: {plain(verified.detail)}{by}", Meaning.COMMAND)


def _who(sender: events.Sender) -> str:
    if sender.pid == os.getpid() and sender.host == socket.gethostname():
        return "you"
    # The name is what the request claims; the uid is what the file system says.
    return plain(sender.user, 40) or f"uid {sender.uid}"


def _started(entry: events.RunStarted) -> str:
    versions = "  ".join(f"{plain(name, 20)} {plain(version, 20)}" for name, version in entry.versions.items())
    again = f"attempt {entry.attempt + 1}, " if entry.attempt else ""
    return f"run started, {again}on {plain(entry.host, 60)}, pid {entry.pid}   {versions}"


def _ended(entry: events.RunEnded) -> Line:
    if entry.status != "failed":
        return Line(entry.time, entry.step, f"run {plain(entry.status, 40)}", Meaning.GOOD)
    last = entry.traceback.strip().splitlines()[-1:] or ["no traceback"]
    return Line(entry.time, entry.step, f"run failed: {plain(last[0])}", Meaning.ERROR)
