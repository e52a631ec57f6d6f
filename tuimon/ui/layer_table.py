"""The table of BatchNormalization layers; its cursor says which layer the keys and the lower charts mean."""

from dataclasses import dataclass, replace

import numpy as np
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.reactive import reactive

from tuimon.state import LayerHistory
from tuimon.text import plain
from tuimon.ui.cell_view import CellView, draw_panel
from tuimon.ui.cells import Cells, cell_width, fit, fit_end
from tuimon.ui.distribution import BINS, sparkline
from tuimon.ui.moment import Moment
from tuimon.ui.numbers import count, number
from tuimon.ui.palette import MODE_MEANINGS, SELECTED, Meaning
from tuimon.words import counted

_NUMBER_WIDTH = 8
_STATISTIC_WIDTH = 2 * _NUMBER_WIDTH + BINS + 2
_GAP = 2
_NAME_LIMIT = 48
_MODE_LIMIT = 30


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    key: str
    """Which value."""
    heading: str
    """Its heading."""
    width: int
    """In cells."""
    right: bool = False
    """Whether its values end at its right edge."""
    rank: int = 0
    """The columns with the highest ranks are left out first, where there is no room."""


COLUMNS = (
    Column("mode", "mode", 16),
    Column("channels", "channels", 8, right=True, rank=3),
    Column("moving_mean", "moving mean  5 – 95 %", _STATISTIC_WIDTH, rank=1),
    Column("moving_variance", "moving variance  5 – 95 %", _STATISTIC_WIDTH, rank=2),
    Column("change", "change", 9, right=True, rank=4),
)
"""The columns after the layer's name, from the left."""


class LayerTable(CellView, can_focus=True):
    """BatchNormalization layers: mode, moving statistics, and how far they went."""

    cursor: reactive[int] = reactive(0)
    """The layer that is selected, counted from 0."""

    class Selected(Message):
        """Another layer is under the cursor."""

        def __init__(self, path: str | None) -> None:
            super().__init__()
            self.path = path
            """Of the layer; None where the model has none."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._first = 0
        self._announced: str | None = None

    @property
    def path(self) -> str | None:
        """Path of the layer under the cursor; None where there is none."""
        layers = self.moment.layers if self.moment else []
        return layers[min(self.cursor, len(layers) - 1)].layer.path if layers else None

    @property
    def rows_wanted(self) -> int:
        """The height at which every layer has its line."""
        return 3 + max(1, len(self.moment.layers) if self.moment else 0)

    def show(self, moment: Moment) -> None:
        """Show another moment."""
        super().show(moment)
        self._announce()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the panel."""
        layers = moment.layers
        frozen = sum(layer.layer.path in moment.state.frozen for layer in layers)
        rows = max(0, cells.height - 3)
        cursor = min(self.cursor, len(layers) - 1)
        extra: list[tuple[str, int]] = []
        if layers and rows < len(layers):
            extra.append((f"{cursor + 1} of {len(layers)}", int(Meaning.DIM)))
        if others := len(moment.state.frozen_weights):
            extra.append((f"{counted(others, 'other layer')} frozen", int(Meaning.FROZEN)))
        if held := len(moment.state.statistics_held):
            extra.append((f"statistics of {held} held", int(Meaning.INFERENCE)))
        if frozen:
            extra.append((f"{frozen} of {len(layers)} frozen", int(Meaning.FROZEN)))
        draw_panel(cells, "BatchNormalization", extra)
        if not layers:
            words = (
                "This model has no BatchNormalization layer." if moment.state.model else "The model is not built yet."
            )
            cells.put(1, 3, words, Meaning.DIM, width=cells.width - 5)
            return
        self._first = max(0, min(self._first, cursor, len(layers) - rows), cursor - rows + 1)
        names = [plain(layer.layer.path) for layer in layers]
        modes = [_mode(moment, layer) for layer in layers]
        widest = max(sum(cell_width(text) for text, _ in mode) for mode in modes)
        name_width, columns = _fitting(cells.width - 5, max(map(cell_width, names)), widest)
        cells.put(1, 3, "layer", Meaning.DIM, width=name_width)
        places = _places(3 + name_width + _GAP, columns)
        for column, start in places:
            _put(cells, 1, start, column, column.heading, Meaning.DIM)
        for row, index in enumerate(range(self._first, min(len(layers), self._first + rows)), start=2):
            code = SELECTED if index == cursor else 0
            cells.codes[row, 1:-1] = code
            if code:
                cells.put(row, 1, "›", Meaning.STRONG | code)
            cells.put(row, 3, fit_end(names[index], name_width), (Meaning.STRONG if code else Meaning.TEXT) | code)
            for column, start in places:
                if column.key == "mode":
                    _draw_mode(cells, row, start, column, modes[index], code)
                else:
                    _draw_value(cells, row, start, column, layers[index], code)

    def watch_cursor(self) -> None:
        """Draw the cursor at its new place."""
        self.redraw()
        self._announce()

    def move(self, by: int) -> None:
        """Move the cursor, as far as there are layers."""
        layers = self.moment.layers if self.moment else []
        self.cursor = max(0, min(len(layers) - 1, self.cursor + by))

    def on_click(self, event: Click) -> None:
        """Select the layer that was clicked."""
        layers = self.moment.layers if self.moment else []
        index = self._first + event.y - 2
        if event.y >= 2 and index < len(layers):
            self.cursor = index

    def on_mouse_scroll_down(self, _: MouseScrollDown) -> None:
        """Go to the next layer."""
        self.move(1)

    def on_mouse_scroll_up(self, _: MouseScrollUp) -> None:
        """Go to the layer before."""
        self.move(-1)

    def _announce(self) -> None:
        if self.path != self._announced:
            self._announced = self.path
            self.post_message(self.Selected(self.path))


def _fitting(width: int, longest_name: int, longest_mode: int) -> tuple[int, list[Column]]:
    """Return the width of the names, and the columns for which there is room beside them."""
    mode, *others = COLUMNS
    shown = [replace(mode, width=max(mode.width, min(longest_mode, _MODE_LIMIT))), *others]
    name = min(longest_name, _NAME_LIMIT)
    name = max(name, len("layer"))
    while True:
        needed = sum(column.width + _GAP for column in shown)
        least = min(name, 14) if len(shown) > 1 else 5
        if needed + least <= width or len(shown) == 1:
            return max(5, min(name, width - needed)), shown
        shown.remove(max(shown, key=lambda column: column.rank))


def _places(start: int, columns: list[Column]) -> list[tuple[Column, int]]:
    places = []
    for column in columns:
        places.append((column, start))
        start += column.width + _GAP
    return places


def _put(cells: Cells, row: int, start: int, column: Column, text: str, code: int) -> None:
    text = fit(text, column.width)
    start += column.width - cell_width(text) if column.right else 0
    cells.put(row, start, text, code)


def _draw_value(cells: Cells, row: int, start: int, column: Column, layer: LayerHistory, code: int) -> None:
    if column.key == "channels":
        _put(cells, row, start, column, count(layer.layer.channels), Meaning.TEXT | code)
    elif column.key == "change":
        change = layer.change()
        _put(cells, row, start, column, "–" if change is None else f"{number(change, 3)} σ", Meaning.TEXT | code)
    else:
        _draw_statistic(cells, row, start, column, layer, code)


def _mode(moment: Moment, layer: LayerHistory) -> list[tuple[str, int]]:
    """Return how a layer computes, with what of its momentum is not as the model has it: texts with their colours."""
    path = layer.layer.path
    mode, asked = moment.mode(layer), moment.asked_mode(path)
    momentum, wanted = moment.state.momentum.get(path, layer.layer.momentum), moment.asked_momentum(path)
    is_wanted = wanted is not None and wanted != momentum
    if asked is not None and asked != mode:
        shown = [(asked if is_wanted else f"{asked}, asked", int(Meaning.DIM))]
    elif mode is None:
        shown = [("–", int(Meaning.DIM))]
    else:
        shown = [(plain(mode), int(MODE_MEANINGS.get(mode, Meaning.TEXT)))]
    if is_wanted:
        shown.append((f", momentum {wanted:.6g}, asked", int(Meaning.DIM)))
    elif momentum != layer.layer.momentum:
        shown.append((f", momentum {momentum:.6g}", int(Meaning.COMMAND)))
    return shown


def _draw_mode(cells: Cells, row: int, start: int, column: Column, shown: list[tuple[str, int]], code: int) -> None:
    end = start + column.width
    for text, meaning in shown:
        start = cells.put(row, start, text, meaning | code, width=max(0, end - start))


def _draw_statistic(cells: Cells, row: int, start: int, column: Column, layer: LayerHistory, code: int) -> None:
    mean = column.key == "moving_mean"
    series = layer.moving_mean if mean else layer.moving_variance
    if not len(series):
        _put(cells, row, start, column, "–", Meaning.DIM | code)
        return
    quantiles = series.rows[-1]
    cells.put_right(row, start + _NUMBER_WIDTH, number(float(quantiles[1])), Meaning.TEXT | code)
    channels = layer.channels
    full = (channels.moving_mean_base64 if mean else channels.moving_variance_base64) if channels else None
    bars = sparkline(np.asarray(quantiles), full)
    cells.put(row, start + _NUMBER_WIDTH + 1, bars, Meaning.STATISTIC | code)
    cells.put(row, start + _NUMBER_WIDTH + BINS + 2, number(float(quantiles[5])), Meaning.TEXT | code)
    if layer.latest is not None and layer.latest.non_finite:
        cells.put(row, start + _NUMBER_WIDTH + 1, "not finite"[:BINS], Meaning.ERROR | code)
