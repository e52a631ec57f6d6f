"""The list of runs: the state of each, and which are drawn. Keys act on the run under the cursor."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tuimon.plot.numbers import duration, negative
from tuimon.text import plain
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, cell_width, fit_end
from tuimon.ui.drawing.list_view import ListView
from tuimon.ui.screens.compare.run_curves import LETTERS, RunLine
from tuimon.ui.viewer.meanings import RUN, STATUS_SIGNS, Meaning
from tuimon.ui.viewer.moment import Moment

_NUMBER_WIDTH = 8
_AGE_WIDTH = 7
_STATE_WIDTH = 13
"""Width of the longest common state."""
_NAME_WIDTH = 16
"""The least width of names; with less, a column of numbers is left out."""
_HEAD = 7
"""Width of cursor, letter and sign, before the name."""


class RunList(ListView, can_focus=True):
    """A line a run: letter where it is drawn, state, name, age, newest losses."""

    head_rows = 2

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.words = ""
        """A message in the lower edge; empty for none."""
        self._lines: Sequence[RunLine] = ()
        self._slots: Mapping[Path, int] = {}
        self._path: Path | None = None

    @property
    def path(self) -> Path | None:
        """Directory of the run under the cursor; None in an empty list."""
        return self._lines[self.selected].path if self._lines else None

    @property
    def rows_wanted(self) -> int:
        """The height at which every run has its line."""
        return 3 + max(1, len(self._lines))

    def show_runs(self, lines: Sequence[RunLine], slots: Mapping[Path, int]) -> None:
        """Take the runs to list next.

        Args:
            lines: The runs, in the order of the list.
            slots: The places of the letters of runs that are drawn.
        """
        self._lines, self._slots = lines, slots

    @property
    def length(self) -> int:
        """How many runs there are."""
        return len(self._lines)

    @property
    def selected(self) -> int:
        """The line under the cursor. It stays with its run, whatever comes above it."""
        paths = [line.path for line in self._lines]
        return paths.index(self._path) if self._path in paths else 0

    def select_line(self, index: int) -> None:
        """Put the cursor on a run."""
        self._path = self._lines[index].path
        self.redraw()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw a line for each run."""
        # The other runs are shown as of now, even in a replay.
        now = time.time() if moment.replay is not None else moment.now
        extra = [*self.position(cells), (f"{len(self._slots)} drawn, {len(LETTERS)} at most", int(Meaning.DIM))]
        draw_panel(cells, "runs", extra)
        if self.words:
            cells.put(cells.height - 1, 2, f" {self.words} ", Meaning.WARNING, width=cells.width - 4)
        if not self._lines:
            cells.put(1, 3, "Looking…", Meaning.DIM)
            return
        columns = _columns(cells.width)
        name_width = cells.width - 2 - _HEAD - sum(width + 2 for _, width in columns)
        cells.put(1, _HEAD, "run", Meaning.DIM, width=name_width)
        column = _HEAD + name_width + 2
        for heading, width in columns:
            if heading == "state":
                cells.put(1, column, heading, Meaning.DIM, width=width)
            else:
                cells.put_right(1, column + width, heading, Meaning.DIM)
            column += width + 2
        for row, index, code in self.draw_cursor(cells):
            self._draw_line(cells, row, self._lines[index], now, columns, name_width, code)

    def _draw_line(
        self,
        cells: Cells,
        row: int,
        line: RunLine,
        now: float,
        columns: Sequence[tuple[str, int]],
        name_width: int,
        code: int,
    ) -> None:
        slot = self._slots.get(line.path)
        if slot is not None:
            cells.put(row, 3, LETTERS[slot], (RUN + slot) | code)
        name = fit_end(plain(line.path.name), name_width)
        if line.trouble:
            cells.put(row, 5, "✗", Meaning.ERROR | code)
            column = cells.put(row, _HEAD, name, Meaning.TEXT | code) + 2
            cells.put(row, column, plain(line.trouble), Meaning.ERROR | code, width=cells.width - column - 2)
            return
        sign, meaning = STATUS_SIGNS.get(line.status, ("●", Meaning.TEXT))
        # The header shows a pause in reverse video; in a list the word is enough.
        meaning = Meaning.WARNING if meaning == Meaning.PAUSED else meaning
        cells.put(row, 5, sign, meaning | code)
        cells.put(row, _HEAD, name, (Meaning.STRONG if slot is not None else Meaning.TEXT) | code)
        column = _HEAD + name_width + 2
        for heading, width in columns:
            if heading == "state":
                cells.put(row, column, plain(line.status), meaning | code, width=width)
            else:
                text = _text(heading, line, now)
                cells.put_right(row, column + width, text, (Meaning.DIM if text == "–" else Meaning.TEXT) | code)
            column += width + 2


def _columns(width: int) -> list[tuple[str, int]]:
    """Return headings and widths of the columns that fit beside the names."""
    columns = [("state", _STATE_WIDTH), ("age", _AGE_WIDTH), ("loss", _NUMBER_WIDTH), ("val_loss", _NUMBER_WIDTH)]
    for least in ("age", "loss", "val_loss"):
        if width - 2 - _HEAD - sum(room + 2 for _, room in columns) < _NAME_WIDTH:
            columns = [column for column in columns if column[0] != least]
    return columns


def _text(heading: str, line: RunLine, now: float) -> str:
    if heading == "age":
        return "–" if line.started is None else duration(now - line.started)
    text = negative(line.loss if heading == "loss" else line.val_loss)
    return text if cell_width(text) <= _NUMBER_WIDTH else negative(line.loss if heading == "loss" else line.val_loss, 3)
