"""The list of all events of a run, newest first, with a cursor and a filter."""

import re
from bisect import bisect_right
from fnmatch import translate

from msgspec import Struct
from textual.message import Message

from tuimon.numbers import count
from tuimon.runs.state import Command, RunState, TimelineEntry
from tuimon.text import plain
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.drawing.list_view import ListView
from tuimon.ui.screens.timeline.lines import Line, asked_line, clock_time, line_of
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Asked, Moment


class Row(Struct, frozen=True):
    """One line of the list."""

    line: Line
    """Time, step and words."""
    source: TimelineEntry | Asked
    """The event."""


class TimelineList(ListView):
    """The list. Each event is put into words once, and the cursor stays on its event as others come.

    A replay shows later events, too, dim.
    """

    class Selected(Message):
        """Another event is under the cursor, or this one has gained a result."""

        def __init__(self, row: Row | None) -> None:
            super().__init__()
            self.row = row
            """The event; None in an empty list."""

    class Chosen(Message):
        """An event was clicked twice."""

    def __init__(self) -> None:
        super().__init__()
        self._state: RunState | None = None
        self._layers = 0
        self._entries: list[Row] = []
        self._unverified: list[int] = []
        self._asked: list[Row] = []
        self._pattern: re.Pattern[str] | None = None
        self._filter = ""
        self._matching: list[int] = []
        self._cursor = 0
        self._follows = True
        self._announced: Row | None = None

    @property
    def row(self) -> Row | None:
        """The event under the cursor; None in an empty list."""
        return self._row(self._cursor) if self._cursor < self.length else None

    @property
    def length(self) -> int:
        """The number of events that match."""
        return len(self._asked) + len(self._matching)

    @property
    def selected(self) -> int:
        """The event under the cursor, counted from the newest."""
        return self._cursor

    def select_line(self, index: int) -> None:
        """Put the cursor on an event."""
        self._cursor = index
        self._follows = index == self._present
        self.redraw()
        self._announce()

    def choose(self) -> None:
        """Say that the event under the cursor was clicked twice."""
        self.post_message(self.Chosen())

    def show(self, moment: Moment) -> None:
        """Show a moment. The cursor stays on its event, or follows the newest one."""
        before = self.length
        self._take_in(moment)
        self.moment = moment
        self._place_cursor(self._cursor + self.length - before)
        self.redraw()
        self._announce()

    def filter(self, words: str) -> None:
        """Show only what matches ``words``: a glob, or a part of the line; capital or small letters are the same."""
        kept = self.row
        self._filter = words
        self._pattern = re.compile(translate(f"*{words.lower()}*")) if words else None
        self._match_all()
        if self.moment is not None:
            found = next((index for index in range(self.length) if kept and self._row(index) is kept), None)
            self._follows = found is None
            self._place_cursor(found or 0)
        self.redraw()
        self._announce()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw a line for each event, or a sentence without any."""
        draw_panel(cells, "events", self._extra(cells))
        if not self.length:
            words = f"No event matches “{plain(self._filter, 100)}”." if self._filter else "Nothing has happened yet."
            cells.put(1, 3, words, Meaning.DIM, width=cells.width - 5)
            return
        present, steps = self._present, max(5, len(count(moment.state.step)))
        for row, index, code in self.draw_cursor(cells):
            line = self._row(index).line
            column = cells.put(row, 3, clock_time(line.time), Meaning.DIM | code) + 2
            if line.step is not None:
                cells.put(row, column, f"step {count(line.step):>{steps}}", Meaning.DIM | code)
            column += 5 + steps + 2
            meaning = Meaning.DIM if index < present else line.meaning
            cells.put(row, column, line.words, meaning | code, width=cells.width - column - 2)

    @property
    def _present(self) -> int:
        """The newest event that has happened at the time of a replay."""
        if self.moment is None or self.moment.replay is None:
            return 0
        past = bisect_right(self._matching, self.moment.now, key=lambda index: self._entries[index].line.time)
        return min(len(self._matching) - past, max(0, self.length - 1))

    def _row(self, index: int) -> Row:
        """Return a row, counted from the newest."""
        if index < len(self._asked):
            return self._asked[index]
        return self._entries[self._matching[len(self._asked) - 1 - index]]

    def _extra(self, cells: Cells) -> list[tuple[str, int]]:
        extra: list[tuple[str, int]] = []
        if self._filter:
            words = f"{count(self.length)} of {count(len(self._entries))} match “{plain(self._filter, 40)}”"
            extra.append((words, int(Meaning.COMMAND)))
        if to_come := self._present:
            extra.append((f"{count(to_come)} still to come", int(Meaning.DIM)))
        return extra + self.position(cells)

    def _take_in(self, moment: Moment) -> None:
        """Put the new events into words."""
        state = moment.whole or moment.state
        # The words for the start of a fit name the layers, which may be known only later.
        if state is not self._state or len(state.layers) != self._layers:
            self._state, self._layers = state, len(state.layers)
            self._entries, self._unverified, self._matching = [], [], []
        changed = False
        for index in [index for index in self._unverified if _is_settled(state.timeline[index])]:
            self._unverified.remove(index)
            self._entries[index] = Row(line_of(state.timeline[index], state), state.timeline[index])
            changed = True
        for index in range(len(self._entries), len(state.timeline)):
            entry = state.timeline[index]
            row = Row(line_of(entry, state), entry)
            self._entries.append(row)
            if not _is_settled(entry):
                self._unverified.append(index)
            if self._matches(row):
                self._matching.append(index)
        if changed and self._pattern is not None:
            self._match_all()
        known = {id(row.source): row for row in self._asked}
        asked = [known.get(id(asked)) or Row(asked_line(asked), asked) for asked in reversed(moment.asked)]
        self._asked = [row for row in asked if self._matches(row)]

    def _place_cursor(self, index: int) -> None:
        wanted = self._present if self._follows else index
        self._cursor = max(0, min(self.length - 1, wanted))

    def _match_all(self) -> None:
        self._matching = [index for index, row in enumerate(self._entries) if self._matches(row)]

    def _matches(self, row: Row) -> bool:
        return self._pattern is None or self._pattern.match(row.line.words.lower()) is not None

    def _announce(self) -> None:
        if self.row is not self._announced:
            self._announced = self.row
            self.post_message(self.Selected(self.row))


def _is_settled(entry: TimelineEntry) -> bool:
    """Return True for an event that will gain no further result."""
    return not isinstance(entry, Command) or not entry.applied or entry.verified is not None
