"""The list of runs: best value, state and parameters of each. Keys act on the run under the cursor."""

import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tuimon.numbers import duration, number
from tuimon.plot.run_values import difference, is_better, parameter
from tuimon.runs.best import Best
from tuimon.runs.listing.summary import Summary
from tuimon.text import plain
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, cell_width, fit, fit_end
from tuimon.ui.drawing.list_view import ListView
from tuimon.ui.drawing.names import short_names
from tuimon.ui.screens.compare.comparison import Comparison, ParameterColumn
from tuimon.ui.screens.compare.run_curves import code_of, letter_of
from tuimon.ui.viewer.meanings import STATUS_SIGNS, Meaning
from tuimon.ui.viewer.moment import Moment

_AGE_SECONDS = 1.0
"""The ages of runs are drawn this often."""
_NUMBER_WIDTH = 8
_LEAST_NAME, _WANTED_NAME = 14, 24
"""The width of names that a column of numbers must leave, and that the less telling columns must leave."""
_HEAD = 7
"""Width of cursor, letter and sign, before the name."""
_ROOMY = 60
"""With fewer cells, the best value has less room."""
_LESS_TELLING = 5
"""Columns of this importance and further ones are left out where names would be cut."""
_TELLING = 3
"""So many columns of parameters come before the age of a run."""


class _Column(Struct, frozen=True):
    """A column beside the names."""

    kind: str
    heading: str
    width: int
    importance: int
    """The columns of the highest one are left out first."""
    is_text: bool = False
    parameter: str = ""


class RunList(ListView, can_focus=True):
    """A line a run: letter where it is drawn, name, best value, state, parameters.

    Args:
        comparison: The runs.
        id: Of the widget.
    """

    head_rows = 2

    def __init__(self, comparison: Comparison, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.words = ""
        """A message in the lower edge; empty for none."""
        self._comparison = comparison
        self._lines: Sequence[Summary] = ()
        self._short: dict[Path, str] = {}
        """The names without what all of them have in common."""
        self._path: Path | None = None
        self._place = 0
        self._shown_at = time.monotonic()

    def on_mount(self) -> None:
        """Let the ages go on while nothing else happens."""
        self.set_interval(_AGE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        if self.screen.is_current:
            self.redraw()

    def show(self, moment: Moment) -> None:
        """Show a moment; the ages of the runs go on from it."""
        self._shown_at = time.monotonic()
        super().show(moment)

    @property
    def _seconds_shown(self) -> int:
        return int(time.monotonic() - self._shown_at)

    @property
    def path(self) -> Path | None:
        """Directory of the run under the cursor; None in an empty list."""
        return self._lines[self.selected].path if self._lines else None

    @property
    def rows_wanted(self) -> int:
        """The height at which every run has its line."""
        return 3 + max(1, len(self._lines))

    def show_runs(self, lines: Sequence[Summary]) -> None:
        """Take the runs to list next, in their order."""
        if self._path is None:
            # In whatever order, the run that is watched is in sight until another one is chosen.
            self._path = self._comparison.watched
        if self._lines:
            # Where the run under the cursor goes, the next one has the cursor.
            self._place = self.selected
        if [line.path for line in lines] != [line.path for line in self._lines]:
            short = short_names([line.name for line in lines])
            self._short = {line.path: plain(name) for line, name in zip(lines, short, strict=True)}
        self._lines = lines

    @property
    def length(self) -> int:
        """How many runs are listed."""
        return len(self._lines)

    @property
    def selected(self) -> int:
        """The line under the cursor. It stays with its run, whatever the order."""
        place = next((index for index, line in enumerate(self._lines) if line.path == self._path), None)
        if place is None and self._path is not None:
            return max(0, min(self._place, len(self._lines) - 1))
        return place or 0

    def select_line(self, index: int) -> None:
        """Put the cursor on a run."""
        self._path = self._lines[index].path
        self.redraw()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw a line for each run."""
        # The other runs are shown as of now, even in a replay.
        now = time.time() if moment.replay is not None else moment.now + self._seconds_shown
        known = self._comparison
        extra = [(f"{len(known.drawn.runs())} drawn", int(Meaning.DIM)), *self.position(cells)]
        if known.filter:
            extra.append(
                (f"{len(self._lines)} of {len(known.paths)} fit {plain(known.filter.text, 30)}", int(Meaning.KEY))
            )
        draw_panel(cells, f"runs, {known.order_in_words}", extra)
        self._draw_edge(cells)
        if not self._lines:
            words = "No run fits: esc clears the filter." if known.paths and known.filter else "Looking…"
            cells.put(1, 3, words, Meaning.DIM, width=cells.width - 5)
            return
        columns = self._columns(cells.width)
        name_width = cells.width - 2 - _HEAD - sum(column.width + 2 for column in columns)
        cells.put(1, _HEAD, "run", Meaning.DIM, width=name_width)
        place = _HEAD + name_width + 2
        for column in columns:
            _put(cells, 1, place, column, fit(column.heading, column.width), Meaning.DIM)
            place += column.width + 2
        for row, index, code in self.draw_cursor(cells):
            self._draw_line(cells, row, self._lines[index], now, columns, name_width, code)

    def _draw_edge(self, cells: Cells) -> None:
        line = self._lines[self.selected] if self._lines else None
        text, meaning = self.words, Meaning.WARNING
        if not text and line is not None and line.tags.note:
            text, meaning = line.tags.note, Meaning.DIM
        if text:
            cells.put(cells.height - 1, 2, f" {fit(plain(text), cells.width - 6)} ", meaning, width=cells.width - 4)

    def _draw_line(
        self,
        cells: Cells,
        row: int,
        line: Summary,
        now: float,
        columns: Sequence[_Column],
        name_width: int,
        code: int,
    ) -> None:
        slot = self._comparison.drawn.slots.get(line.path)
        if slot is not None:
            cells.put(row, 3, letter_of(slot), code_of(slot) | code)
        name = plain(line.name)
        if cell_width(name) > name_width:
            name = fit_end(self._short[line.path], name_width)
        if line.trouble:
            cells.put(row, 5, "✗", Meaning.ERROR | code)
            place = cells.put(row, _HEAD, name, Meaning.TEXT | code) + 2
            cells.put(row, place, plain(line.trouble), Meaning.ERROR | code, width=cells.width - place - 2)
            return
        sign, meaning = _status(line)
        cells.put(row, 5, sign, meaning | code)
        cells.put(row, _HEAD, name, (Meaning.STRONG if slot is not None else Meaning.TEXT) | code)
        place = _HEAD + name_width + 2
        for column in columns:
            text, meaning = self._text(column, line, now)
            _put(cells, row, place, column, fit(text, column.width), (Meaning.DIM if text == "–" else meaning) | code)
            place += column.width + 2

    def _text(self, column: _Column, line: Summary, now: float) -> tuple[str, Meaning]:
        known = self._comparison
        match column.kind:
            case "best" | "epoch":
                if (best := known.best_of(line)) is None:
                    return "–", Meaning.DIM
                return (_number(best.value), Meaning.STRONG) if column.kind == "best" else _epoch(line, best)
            case "against":
                return self._against(line)
            case "state":
                return plain(line.status), _status(line)[1]
            case "age":
                return ("–" if line.started is None else duration(now - line.started)), Meaning.TEXT
            case "tags":
                return " ".join(line.tags.tags), Meaning.KEY
            case "parameter":
                value = line.parameters.get(column.parameter)
                return ("–" if value is None else parameter(column.parameter, value)), Meaning.TEXT
        return _number(line.loss if column.kind == "loss" else line.val_loss), Meaning.TEXT

    def _against(self, line: Summary) -> tuple[str, Meaning]:
        known, baseline = self._comparison, self._comparison.baseline
        if baseline is not None and baseline.path == line.path:
            return "baseline", Meaning.KEY
        if (value := known.difference(line)) is None or known.best_metric is None:
            return "–", Meaning.DIM
        better = is_better(known.best_metric, value)
        meaning = {True: Meaning.GOOD, False: Meaning.WARNING, None: Meaning.TEXT}[better]
        return difference(known.best_metric, value), meaning

    def _columns(self, width: int) -> list[_Column]:
        """Return the columns that fit beside the names."""
        known = self._comparison
        best = plain(known.best_metric or "value", 14)
        epochs = [_epoch(line, found)[0] for line in self._lines if (found := known.best_of(line)) is not None]
        wanted = [
            _Column("best", f"best {best}" if width >= _ROOMY else best, 14 if width >= _ROOMY else 9, 0),
            _Column("epoch", "epoch", max([5, *map(cell_width, epochs)]), 5),
            *([_Column("against", "baseline", 14, 1)] if known.baseline is not None else []),
            _Column("state", "state", 10, 3, is_text=True),
            *(_of_parameter(place, column) for place, column in enumerate(known.columns)),
            _Column("age", "age", 8, 7),
            _Column("loss", "loss now", _NUMBER_WIDTH, 6),
            _Column("val_loss", "val now", _NUMBER_WIDTH, 8),
        ]
        tags = max((cell_width(" ".join(line.tags.tags)) for line in self._lines), default=0)
        if tags:
            wanted.append(_Column("tags", "tags", min(24, max(4, tags)), 5, is_text=True))
        whole = max((cell_width(plain(line.name)) for line in self._lines), default=0)
        names = max([min(whole, _LEAST_NAME), *map(cell_width, self._short.values())])
        chosen: list[_Column] = []
        for column in sorted(wanted, key=lambda column: column.importance):
            left = width - 2 - _HEAD - sum(each.width + 2 for each in [*chosen, column])
            # The less telling columns leave room for whole names.
            needed = names if column.importance < _LESS_TELLING else whole
            if left >= min(needed, _LEAST_NAME if column.importance < 2 else _WANTED_NAME):
                chosen.append(column)
            elif column.kind == "parameter":
                # No later one in its place: those that people look for come first.
                break
        return [column for column in wanted if column in chosen]


def _of_parameter(place: int, column: ParameterColumn) -> _Column:
    importance = 2 if place == 0 else 4 if place < _TELLING else 9
    return _Column("parameter", column.heading, column.width, importance, parameter=column.key)


def _put(cells: Cells, row: int, place: int, column: _Column, text: str, code: int) -> None:
    if column.is_text:
        cells.put(row, place, text, code)
    else:
        cells.put_right(row, place + column.width, text, code)


def _status(line: Summary) -> tuple[str, Meaning]:
    sign, meaning = STATUS_SIGNS.get(line.status, ("●", Meaning.TEXT))
    # The header shows a pause in reverse video; in a list the word is enough.
    return sign, Meaning.WARNING if meaning == Meaning.PAUSED else meaning


def _epoch(line: Summary, best: Best) -> tuple[str, Meaning]:
    return line.fits.epoch_words(best.epoch, best.step).removeprefix("epoch "), Meaning.TEXT


def _number(value: float | None) -> str:
    text = number(value)
    return text if cell_width(text) <= _NUMBER_WIDTH else number(value, 3)
