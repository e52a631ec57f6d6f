"""The settings in which the compared runs differ: a line for each setting, a column for each run."""

from collections.abc import Mapping

from tuimon.text import plain
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, cell_width, fit_end, wrap
from tuimon.ui.drawing.lines_view import LinesView
from tuimon.ui.drawing.names import short_names
from tuimon.ui.screens.compare.run_curves import UNKNOWN, RunCurves, code_of, differences, letter_of
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

_GAP = 2
_KEY_WIDTH = 34
_LEAST_WIDTH = 9
"""The least width of a column; with less room, the last runs have no column."""


class ConfigTable(LinesView):
    """The settings that are not the same in all runs."""

    head_rows = 2

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._runs: Mapping[int, RunCurves] = {}
        self._first = self._hidden = 0

    @property
    def rows_wanted(self) -> int:
        """The height at which every difference has its line."""
        return 3 + len(differences([run.facts for run in self._runs.values() if run.facts]))

    @property
    def has_more(self) -> bool:
        """True where some lines do not fit."""
        return self._hidden > 0

    def show_runs(self, runs: Mapping[int, RunCurves]) -> None:
        """Take the runs to compare next, by the places of their letters."""
        self._runs = runs

    def move(self, by: int) -> None:
        """Scroll, as far as there are lines."""
        self._first = max(0, min(self._hidden, self._first + by))
        self.redraw()

    def scroll_pages(self, by: int) -> None:
        """Scroll by pages; one line of the former page stays."""
        self.move(by * max(1, self.page - 1))

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the table, or a sentence where no settings differ."""
        del moment
        runs = {slot: run for slot, run in self._runs.items() if run.facts}
        if len(runs) < 2:
            draw_panel(cells, "settings that differ")
            _draw_words(cells, "Pick another run with space: the settings in which it differs stand here then.")
            return
        rows = differences([run.facts for run in runs.values()])
        room = max(0, cells.height - 3)
        self._hidden = max(0, len(rows) - room)
        self._first = min(self._first, self._hidden)
        last = self._first + min(room, len(rows))
        partly = sum(UNKNOWN in values for _, values in rows)
        extra = [(f"{len(rows) - partly} differ, {partly} not in every log", int(Meaning.DIM))] if partly else []
        if self._hidden:
            # People look for a setting by eye: say how many there are, and which key shows more.
            extra.append((f"{self._first + 1}–{last} of {len(rows)}, page down", int(Meaning.DIM)))
        draw_panel(cells, "settings that differ", extra)
        if not rows:
            _draw_words(cells, "No setting that is in the logs differs, versions included.")
            return
        shown = rows[self._first : last]
        keys = min(_KEY_WIDTH, max(cell_width(key) for key, _ in rows), (cells.width - 5) // 3)
        names = [plain(name) for name in short_names([run.name for run in runs.values()])]
        wanted = [
            max([cell_width(values[index]) for _, values in rows] + [cell_width(name) + 2])
            for index, name in enumerate(names)
        ]
        fitting = max(1, (cells.width - 5 - keys) // (_LEAST_WIDTH + _GAP))
        share = (cells.width - 5 - keys) // min(fitting, len(runs)) - _GAP
        column = 3 + keys + _GAP
        for index, slot in enumerate(list(runs)[:fitting]):
            width = max(_LEAST_WIDTH, min(share, wanted[index]))
            end = cells.put(1, column, f"{letter_of(slot)} ", code_of(slot))
            cells.put(1, end, fit_end(names[index], width - 2), Meaning.DIM)
            for row, (_, values) in enumerate(shown, start=2):
                value = values[index]
                cells.put(row, column, value, Meaning.DIM if value == UNKNOWN else Meaning.TEXT, width=width)
            column += width + _GAP
        if missing := " ".join(letter_of(slot) for slot in list(runs)[fitting:]):
            cells.put(cells.height - 1, 3, f" no room for {missing} ", Meaning.WARNING)
        for row, (key, values) in enumerate(shown, start=2):
            cells.put(row, 3, fit_end(key, keys), Meaning.DIM if UNKNOWN in values else Meaning.TITLE)


def _draw_words(cells: Cells, words: str) -> None:
    for row, text in enumerate(wrap(words, cells.width - 6), start=1):
        if row < cells.height - 1:
            cells.put(row, 3, text, Meaning.DIM)
