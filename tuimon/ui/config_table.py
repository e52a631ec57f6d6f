"""How the configs of the runs that are compared differ: a line a setting, a column a run."""

from collections.abc import Mapping

from tuimon.text import plain
from tuimon.ui.cell_view import CellView, draw_panel
from tuimon.ui.cells import Cells, cell_width, fit_end, wrap
from tuimon.ui.compare import LETTERS, RunCurves, differences
from tuimon.ui.moment import Moment
from tuimon.ui.palette import RUN, Meaning

_GAP = 2
_KEY_WIDTH = 34
_LEAST_WIDTH = 9
"""Of a column; where there is less room, the last runs have none."""


class ConfigTable(CellView):
    """The settings that are not the same in all runs."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._runs: Mapping[int, RunCurves] = {}

    @property
    def rows_wanted(self) -> int:
        """The height at which every difference has its line."""
        return 3 + len(differences([run.facts for run in self._runs.values() if run.facts]))

    def show_runs(self, runs: Mapping[int, RunCurves]) -> None:
        """Have other runs shown from the next drawing on, by the places of their letters."""
        self._runs = runs

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the panel."""
        del moment
        runs = {slot: run for slot, run in self._runs.items() if run.facts}
        if len(runs) < 2:
            draw_panel(cells, "settings that differ")
            _draw_words(cells, "Pick another run with space: the settings in which it differs stand here then.")
            return
        rows = differences([run.facts for run in runs.values()])
        room = max(0, cells.height - 3)
        hidden = len(rows) - room if len(rows) > room else 0
        extra = [(f"{hidden} more below", int(Meaning.DIM))] if hidden else []
        draw_panel(cells, "settings that differ", extra)
        if not rows:
            _draw_words(cells, "No setting that is in the logs differs, versions included.")
            return
        keys = min(_KEY_WIDTH, max(cell_width(key) for key, _ in rows), (cells.width - 5) // 3)
        wanted = [
            max([cell_width(values[index]) for _, values in rows] + [cell_width(plain(run.name)) + 2])
            for index, run in enumerate(runs.values())
        ]
        fitting = max(1, (cells.width - 5 - keys) // (_LEAST_WIDTH + _GAP))
        share = (cells.width - 5 - keys) // min(fitting, len(runs)) - _GAP
        column = 3 + keys + _GAP
        for index, (slot, run) in enumerate(list(runs.items())[:fitting]):
            width = max(_LEAST_WIDTH, min(share, wanted[index]))
            end = cells.put(1, column, f"{LETTERS[slot]} ", RUN + slot)
            cells.put(1, end, fit_end(plain(run.name), width - 2), Meaning.DIM)
            for row, (_, values) in enumerate(rows[:room], start=2):
                value = values[index]
                cells.put(row, column, value, Meaning.DIM if value == "–" else Meaning.TEXT, width=width)
            column += width + _GAP
        for row, (key, _) in enumerate(rows[:room], start=2):
            cells.put(row, 3, fit_end(key, keys), Meaning.TITLE)


def _draw_words(cells: Cells, words: str) -> None:
    for row, text in enumerate(wrap(words, cells.width - 6), start=1):
        if row < cells.height - 1:
            cells.put(row, 3, text, Meaning.DIM)
