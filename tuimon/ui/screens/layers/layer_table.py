"""The table of BatchNormalization layers. Keys act on the layer under its cursor, and the lower charts show it."""

import math
from collections.abc import Callable
from typing import Literal, get_args

from textual.message import Message
from textual.reactive import reactive

from tuimon.runs.facts_in_words import counted, no_model
from tuimon.runs.state import LayerHistory
from tuimon.text import plain
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, cell_width
from tuimon.ui.drawing.list_view import ListView
from tuimon.ui.drawing.names import fit_apart
from tuimon.ui.screens.layers.layer_columns import (
    GAP,
    Measured,
    draw_mode,
    draw_value,
    fitting,
    mode_of,
    places_of,
    put,
)
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment, probe_words

Order = Literal["model", "drift", "share", "change"]
ORDERS: tuple[Order, ...] = get_args(Order)
"""The orders of the list: the model's own, or the largest value first."""


class LayerTable(ListView, can_focus=True):
    """BatchNormalization layers: mode, moving statistics, and how far they went."""

    about = "BatchNormalization layers. The line under the cursor is what f, h and m act on; ? explains the columns."

    head_rows = 2
    cursor: reactive[int] = reactive(0)
    """The layer that is selected, counted from 0."""

    class Selected(Message):
        """Another layer is under the cursor."""

        def __init__(self, path: str | None) -> None:
            super().__init__()
            self.path = path
            """Path of the layer; None in a model without one."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.order: Order = "model"
        """The order of the list."""
        self._announced: str | None = None

    @property
    def path(self) -> str | None:
        """Path of the layer under the cursor; None in a model without one."""
        layers = self._layers()
        return layers[self.selected].layer.path if layers else None

    @staticmethod
    def rows_for(moment: Moment) -> int:
        """Return the height at which every layer has its line."""
        return 3 + max(1, len(moment.layers))

    @property
    def rows_wanted(self) -> int:
        """The height at which every layer that is known has its line."""
        return 3 + max(1, self.length)

    def show(self, moment: Moment) -> None:
        """Show a moment, and say if another layer is under the cursor."""
        super().show(moment)
        self._announce()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw a line for each layer."""
        layers = self._layers()
        frozen = sum(layer.layer.path in moment.state.frozen for layer in layers)
        extra: list[tuple[str, int]] = [] if self.order == "model" else [(f"by {self.order}", int(Meaning.KEY))]
        extra += self.position(cells)
        if others := len(moment.state.frozen_weights):
            extra.append((f"{counted(others, 'other layer')} frozen", int(Meaning.FROZEN)))
        if held := len(moment.state.statistics_held):
            extra.append((f"statistics of {held} held", int(Meaning.INFERENCE)))
        if frozen:
            extra.append((f"{frozen} of {len(layers)} frozen", int(Meaning.FROZEN)))
        measured = Measured(moment)
        if measured.probe is not None and layers:
            extra.insert(0, (f"drift, share: {probe_words(moment.state)}", int(Meaning.DIM)))
        if measured.disputed:
            extra.insert(0, ("≠ shares in model order and on their own disagree", int(Meaning.WARNING)))
        draw_panel(cells, "BatchNormalization", extra)
        if not layers:
            words = "This model has no BatchNormalization layer." if moment.state.model else no_model(moment.state)
            cells.put(1, 3, words, Meaning.DIM, width=cells.width - 5)
            return
        names = tuple(plain(layer.layer.path) for layer in layers)
        modes = [mode_of(moment, layer) for layer in layers]
        widest = max(sum(cell_width(text) for text, _ in mode) for mode in modes)
        name_width, columns = fitting(cells.width - 5, max(map(cell_width, names)), widest, measured.probe is not None)
        names = fit_apart(names, name_width)
        cells.put(1, 3, "layer", Meaning.DIM, width=name_width)
        places = places_of(3 + name_width + GAP, columns)
        for column, start in places:
            put(cells, 1, start, column, column.heading, Meaning.DIM)
        for row, index, code in self.draw_cursor(cells):
            cells.put(row, 3, names[index], (Meaning.STRONG if code else Meaning.TEXT) | code)
            for column, start in places:
                if column.key == "mode":
                    draw_mode(cells, row, start, column, modes[index], code)
                else:
                    draw_value(cells, row, start, column, layers[index], code, measured)

    def watch_cursor(self) -> None:
        """Draw the cursor at its new place."""
        self.redraw()
        self._announce()

    @property
    def length(self) -> int:
        """How many layers there are."""
        return len(self.moment.layers) if self.moment else 0

    @property
    def selected(self) -> int:
        """The layer under the cursor."""
        return min(self.cursor, self.length - 1)

    def select_line(self, index: int) -> None:
        """Put the cursor on a layer."""
        self.cursor = index

    def select(self, path: str) -> None:
        """Put the cursor on the layer at ``path``, if there is one."""
        paths = [layer.layer.path for layer in self._layers()]
        if path in paths:
            self.cursor = paths.index(path)

    def sort_by_next(self) -> None:
        """List the layers in another order; the cursor stays on its layer."""
        path = self.path
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        if path is not None:
            self.select(path)
        self.redraw()

    def _layers(self) -> list[LayerHistory]:
        """Return the layers in the order of the list."""
        if self.moment is None or self.order == "model":
            return self.moment.layers if self.moment else []
        measured = Measured(self.moment)
        worst_first: dict[Order, Callable[[LayerHistory], float | None]] = {
            "drift": measured.drift,
            "share": measured.share,
            "change": LayerHistory.change,
        }
        value_of = worst_first[self.order]
        return sorted(self.moment.layers, key=lambda layer: -_size(value_of(layer)))

    def _announce(self) -> None:
        if self.path != self._announced:
            self._announced = self.path
            self.post_message(self.Selected(self.path))


def _size(value: float | None) -> float:
    """Return the weight of a value in the order: values that are not finite come first, unknown ones last."""
    if value is None:
        return -math.inf
    return abs(value) if math.isfinite(value) else math.inf
