"""The line that shows where a replay is in its log, with marks to click."""

from msgspec import Struct
from textual.events import MouseDown, MouseMove, MouseScrollDown, MouseScrollUp, MouseUp

from tuimon.numbers import duration
from tuimon.protocol.events import Alert, FitStarted
from tuimon.runs.state import Command, RunState, TimelineEntry
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.viewer.meanings import SEVERITY_SIGNS, Meaning
from tuimon.ui.viewer.moment import Moment

LEAST_ROWS = 16
"""On a screen of fewer lines there is no bar."""
_SPIKES = ("R11", "R12")
"""The rules that find a spike of the validation loss, and a loss that is not finite."""


class ReplayMark(Struct, frozen=True):
    """Something that happened, to go to."""

    time: float
    """When, Unix seconds of the log."""
    sign: str
    """How it is marked."""
    meaning: Meaning
    """Its colour."""
    rank: int
    """Of marks in the same cell, the one of the highest rank is shown."""


def replay_marks(whole: RunState) -> list[ReplayMark]:
    """Return the marks of a log, future included: fits, requests that took effect, alerts, spikes."""
    return [mark for entry in whole.timeline if (mark := _mark(entry)) is not None]


def _mark(entry: TimelineEntry) -> ReplayMark | None:
    match entry:
        case Alert():
            is_spike = entry.rule in _SPIKES
            sign, meaning = SEVERITY_SIGNS.get(entry.severity, SEVERITY_SIGNS["info"])
            rank = {"warning": 3, "error": 5}.get(entry.severity, 0) + is_spike
            return ReplayMark(entry.time, "^" if is_spike else sign, meaning, rank)
        case Command(applied=True):
            return ReplayMark(entry.time, "┊", Meaning.COMMAND, 2)
        case FitStarted():
            return ReplayMark(entry.time, "│", Meaning.STRONG, 1)
    return None


class ReplayBar(CellView):
    """Shows how far a replay is. A click goes to the mark there, or to the time; dragging goes along."""

    about = "The log of this replay: │ a fit, ┊ a request, ▲ ✗ • an alert, ^ a spike. A click goes there."

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self._span = (0, 0)
        """The first column of the bar, and its length."""
        self._times = (0.0, 0.0)
        """The first and the last time of the log, Unix seconds."""
        self._marks: list[ReplayMark] = []
        self._known = (0, 0)
        self._is_held = False

    def show(self, moment: Moment) -> None:
        """Show another moment; the bar is there in a replay."""
        self.display = moment.replay is not None and self.screen.size.height >= LEAST_ROWS
        super().show(moment)

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the time, the bar with its marks, and the length."""
        replay, whole = moment.replay, moment.whole
        if replay is None or whole is None:
            return
        known = (id(whole), len(whole.timeline))
        if known != self._known:
            self._known, self._marks = known, replay_marks(whole)
        end = duration(replay.total_seconds)
        start = duration(replay.elapsed_seconds).rjust(len(end))
        first = cells.put(0, 1, start, Meaning.TEXT) + 1
        columns = max(1, cells.width - first - len(end) - 2)
        begin = moment.now - replay.elapsed_seconds
        self._span, self._times = (first, columns), (begin, begin + replay.total_seconds)
        here = self._column(moment.now)
        cells.put(0, first, "━" * here, Meaning.COMMAND)
        cells.put(0, first + here, "─" * (columns - here), Meaning.TRACK)
        for mark in sorted(self._marks, key=lambda mark: mark.rank):
            cells.put(0, first + self._column(mark.time), mark.sign, mark.meaning)
        cells.put(0, first + here, "●", Meaning.COMMAND)
        cells.put(0, first + columns + 1, end, Meaning.DIM)

    async def on_mouse_down(self, event: MouseDown) -> None:
        """Go to what is under the mouse."""
        self._is_held = True
        self.capture_mouse()
        await self._go_to(event.x)

    async def on_mouse_move(self, event: MouseMove) -> None:
        """Go along with the mouse while its button is down."""
        if self._is_held:
            await self._go_to(event.x)

    def on_mouse_up(self, _: MouseUp) -> None:
        """Let the mouse go."""
        self._is_held = False
        self.release_mouse()

    async def on_mouse_scroll_down(self, _: MouseScrollDown) -> None:
        """Go on by a step."""
        await self.run_action("app.replay('on')")

    async def on_mouse_scroll_up(self, _: MouseScrollUp) -> None:
        """Go back by a step."""
        await self.run_action("app.replay('back')")

    async def _go_to(self, column: int) -> None:
        first, columns = self._span
        at = max(0, min(columns - 1, column - first))
        here = [mark for mark in self._marks if self._column(mark.time) == at]
        begin, end = self._times
        time = max(here, key=lambda mark: mark.rank).time if here else begin + at / max(1, columns - 1) * (end - begin)
        await self.run_action(f"app.replay('to', {time!r})")

    def _column(self, time: float) -> int:
        (begin, end), (_, columns) = self._times, self._span
        share = (time - begin) / (end - begin) if end > begin else 1.0
        return round(max(0.0, min(1.0, share)) * (columns - 1))
