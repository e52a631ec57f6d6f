"""The details of one event, complete."""

import time
from collections.abc import Iterator, Mapping

from msgspec import structs

from tuimon.numbers import count, duration, setting
from tuimon.protocol.events import Alert, Event, Note, RunStarted
from tuimon.runs.facts_in_words import applied, rejected, verified
from tuimon.runs.state import Command
from tuimon.text import plain
from tuimon.ui.drawing.scrolled_view import ScrolledView, TextLine, named, wrapped
from tuimon.ui.screens.timeline.timeline_list import Row
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Asked, Moment

_GAP = 2
_OF_EVERY_FACT = frozenset(Event.__struct_fields__)


class EventDetails(ScrolledView):
    """The event under the cursor, wrapped, field by field."""

    def __init__(self) -> None:
        super().__init__()
        self._row: Row | None = None

    def show_row(self, row: Row | None) -> None:
        """Show this event."""
        if row is None or self._row is None or row.source is not self._row.source:
            self._first = 0
        self._row = row
        self.redraw()

    def title(self, moment: Moment) -> str:
        """Return the name of the panel."""
        del moment
        return "details"

    def lines(self, moment: Moment, width: int) -> list[TextLine]:
        """Return every field that holds something, and the time; first the event in words, where no field has these."""
        if self._row is None:
            return []
        source, line = self._row.source, self._row.line
        shown: list[TextLine] = []
        if not isinstance(source, Alert | Note | Command | Asked):
            shown += [[(text, int(line.meaning))] for text in wrapped(line.words, width)]
        # The time comes last: the list has it, too.
        fields = [*_fields(source), ("when", _when(self._row, moment))]
        name_width = max(len(name) for name, _ in fields) + _GAP
        for name, text in fields:
            code = line.meaning if name in ("what", "text", "request") else Meaning.TEXT
            shown += named(name, text, width, name_width=name_width, code=code)
        return shown


def _when(row: Row, moment: Moment) -> str:
    line = row.line
    words = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.time))
    first = next((entry for entry in moment.state.timeline if isinstance(entry, RunStarted)), None)
    if first is not None and line.time >= first.time:
        words += f", {duration(line.time - first.time)} into the run"
    if line.step is not None:
        words += f", step {count(line.step)}"
    if isinstance(row.source, Event) and line.step is not None:
        words += f", epoch {count(row.source.epoch + 1)}"
    return words


def _fields(source: Event | Command | Asked) -> Iterator[tuple[str, str]]:
    """Yield names and values of the fields that hold something."""
    if isinstance(source, Asked):
        yield "request", _whole(source.words)
        yield "answer", "none yet: the trainer has not taken it up"
    elif isinstance(source, Command):
        sender = source.sender
        yield "request", _whole(source.words)
        if source.undoes is not None:
            yield "undoes", _whole(source.undoes.words)
        who = _whole(f"{sender.user or '–'} on {sender.host or '–'}, pid {sender.pid}")
        yield "asked by", f"uid {sender.uid} (as the file system says), {who} (as claimed)"
        if source.applied:
            yield "answer", applied(source.traced_seconds, "", at_step=source.step)
            if source.detail:
                yield "detail", _whole(source.detail)
            yield "next step", verified(source.verified) if source.verified else "–"
        else:
            yield "answer", rejected("").rstrip(": ")
            yield "reason", _whole(source.detail)
    else:
        # Sentences before tables: people read them first, and a small panel shows only the first lines.
        for name, value in sorted(structs.asdict(source).items(), key=lambda item: isinstance(item[1], Mapping)):
            if name not in _OF_EVERY_FACT and value not in ("", None, [], {}):
                yield name.replace("_", " "), "\n".join(_values(value))


def _values(value: object, name: str = "") -> Iterator[str]:
    """Yield the lines of a value; those of a table are named."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _values(inner, f"{name}.{_whole(str(key))}" if name else _whole(str(key)))
        return
    before = f"{name}: " if name else ""
    if isinstance(value, bool):
        yield before + ("yes" if value else "no")
    elif isinstance(value, list):
        yield before + (", ".join(_whole(str(item)) for item in value) or "–")
    elif isinstance(value, str):
        lines = value.splitlines() or [""]
        yield from (before + _whole(line) for line in lines)
    elif isinstance(value, int | float):
        yield before + (count(value) if isinstance(value, int) else setting(value))
    else:
        yield before + ("–" if value is None else _whole(str(value)))


def _whole(text: str) -> str:
    """Return all of a text, safe to show."""
    return plain(text, len(text) + 1)
