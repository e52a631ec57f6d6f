"""The table of gradients: of each layer with weights its gradient, its weights, and how far a step moves them."""

import math
from typing import Literal, get_args

from textual.message import Message

from tuimon.numbers import count, number
from tuimon.protocol.events import Probe
from tuimon.protocol.wire import from_wire
from tuimon.runs.facts_in_words import no_model
from tuimon.text import plain
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, cell_width, wrap
from tuimon.ui.drawing.list_view import ListView
from tuimon.ui.drawing.names import fit_apart
from tuimon.ui.screens.layers.bars import bar
from tuimon.ui.screens.layers.gradients import LayerGradient, layer_gradients, newest_probe, why_none
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

Order = Literal["model", "gradient", "step"]
ORDERS: tuple[Order, ...] = get_args(Order)
"""The orders of the list: the model's own, or the largest value first."""
_DECADES = 6
"""A bar is as long as the logarithm of the gradient says: empty so many decades below the largest one."""
_BAR = 8
_GAP = 2
_COLUMNS = (("gradient", 8), ("bar", _BAR), ("weights", 8), ("a step moves", 12), ("zeros", 6))
"""The columns after the layer's name, with their widths."""
_LEFT_OUT_FIRST = ("bar", "zeros", "weights")
_LEAST_NAME, _MOST_NAME = 14, 48
_MANY_ZEROS = 0.5


class GradientTable(ListView, can_focus=True):
    """Layers with weights that a step trains: gradient, weights, and how far a step moves them."""

    about = (
        "Norms of the gradient of a batch's loss and of the weights, from the newest probe. The bar is logarithmic, "
        "six decades long. A step moves: the norm of its change as a share of that of the weights, at an epoch's end."
    )

    head_rows = 2

    class Selected(Message):
        """Another layer is under the cursor."""

        def __init__(self, path: str | None) -> None:
            super().__init__()
            self.path = path
            """Path of the layer; None where none is listed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.order: Order = "model"
        """The order of the list."""
        self._cursor = 0
        self._layers: list[LayerGradient] = []
        self._announced: str | None = None

    @property
    def path(self) -> str | None:
        """Path of the layer under the cursor; None where none is listed."""
        return self._layers[self.selected].path if self._layers else None

    @property
    def length(self) -> int:
        """How many layers there are."""
        return len(self._layers)

    @property
    def selected(self) -> int:
        """The layer under the cursor."""
        return max(0, min(self._cursor, self.length - 1))

    def select_line(self, index: int) -> None:
        """Put the cursor on a layer."""
        self._cursor = index
        self.redraw()
        self._announce()

    def select(self, path: str | None) -> None:
        """Put the cursor on the layer at ``path``, if it is listed."""
        index = next((index for index, row in enumerate(self._layers) if row.path == path), None)
        if index is not None and index != self.selected:
            self.select_line(index)

    def sort_by_next(self) -> None:
        """List the layers in another order; the cursor stays on its layer."""
        path = self.path
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        if self.moment is not None:
            self._take_in(self.moment)
        self.select(path)
        self.redraw()

    def show(self, moment: Moment) -> None:
        """Show a moment, and say if another layer is under the cursor."""
        self._take_in(moment)
        super().show(moment)
        self._announce()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw a line for each layer, or a sentence without any."""
        if not self._layers:
            draw_panel(cells, "gradients")
            for row, words in enumerate(wrap(_empty_words(moment), cells.width - 6)[: max(0, cells.height - 2)], 1):
                cells.put(row, 3, words, Meaning.DIM)
            return
        draw_panel(cells, _title(moment), self._extra(cells, newest_probe(moment.state)))
        names = tuple(plain(row.path) for row in self._layers)
        has_zeros = any(_zeros(row) for row in self._layers)
        name_width, columns = _fitting(cells.width - 6, max(map(cell_width, names)), has_zeros=has_zeros)
        norms = [from_wire(row.gradient.norm) for row in self._layers if row.gradient is not None]
        largest = max(filter(math.isfinite, norms), default=0.0)
        names = fit_apart(names, name_width)
        cells.put(1, 3, "layer", Meaning.DIM, width=name_width)
        places, at = {}, 3 + name_width + _GAP
        for name, width in columns:
            places[name] = at
            if name != "bar":
                cells.put_right(1, at + width, name, Meaning.DIM)
            at += width + _GAP
        widths = dict(columns)
        for at_row, index, code in self.draw_cursor(cells):
            cells.put(at_row, 3, names[index], (Meaning.STRONG if code else Meaning.TEXT) | code)
            for name, (text, meaning) in _values(self._layers[index], largest).items():
                if name in places:
                    cells.put_right(at_row, places[name] + widths[name], text, meaning | code)

    def _take_in(self, moment: Moment) -> None:
        rows = layer_gradients(moment.state)
        if self.order != "model":
            rows.sort(key=lambda row: -_size(row, self.order))
        self._layers = rows

    def _extra(self, cells: Cells, probe: Probe | None) -> list[tuple[str, int]]:
        extra: list[tuple[str, int]] = [] if self.order == "model" else [(f"by {self.order}", int(Meaning.KEY))]
        if probe is not None:
            extra.append((f"all together {number(from_wire(probe.gradient_norm), 3)}", int(Meaning.DIM)))
        extra += self.position(cells)
        if still := sum(row.unchanged > 0 for row in self._layers):
            extra.append((f"{count(still)} not moved", int(Meaning.WARNING)))
        return extra

    def _announce(self) -> None:
        if self.path != self._announced:
            self._announced = self.path
            self.post_message(self.Selected(self.path))


def rows_wanted(moment: Moment) -> int:
    """Return the height at which every layer has its line."""
    return 3 + max(1, len(layer_gradients(moment.state)))


def _title(moment: Moment) -> str:
    probe = newest_probe(moment.state)
    if probe is None:
        return "gradients –"
    return f"gradients, step {count(probe.step)}"


def _empty_words(moment: Moment) -> str:
    if moment.state.model is None:
        return no_model(moment.state)
    first = "" if moment.state.layers else "This model has no BatchNormalization layer. "
    return first + why_none(moment)


def _fitting(width: int, longest_name: int, *, has_zeros: bool) -> tuple[int, list[tuple[str, int]]]:
    """Return the width of the names, and the columns that fit beside them."""
    columns = [column for column in _COLUMNS if column[0] != "zeros" or has_zeros]
    name = max(len("layer"), min(longest_name, _MOST_NAME))
    for left_out in (*_LEFT_OUT_FIRST, ""):
        needed = sum(each + _GAP for _, each in columns)
        if needed + min(name, _LEAST_NAME) <= width:
            break
        columns = [column for column in columns if column[0] != left_out]
    needed = sum(each + _GAP for _, each in columns)
    return max(5, min(name, width - needed)), columns


def _values(row: LayerGradient, largest: float) -> dict[str, tuple[str, Meaning]]:
    """Return text and colour of each column."""
    known, gradient = Meaning.TEXT, row.gradient
    values: dict[str, tuple[str, Meaning]] = dict.fromkeys(("gradient", "weights", "zeros"), ("–", Meaning.DIM))
    if gradient is not None:
        norm = from_wire(gradient.norm)
        values["gradient"] = (number(norm, 3), known if math.isfinite(norm) else Meaning.ERROR)
        if not gradient.connected:
            values["gradient"] = ("none", Meaning.WARNING)
        values["weights"] = (number(from_wire(gradient.weight_norm), 3), known)
        values["zeros"] = (_zeros(row), Meaning.WARNING)
        values["bar"] = (_bar(norm, largest), Meaning.STATISTIC)
    moved = from_wire(row.moved)
    if row.unchanged:
        values["a step moves"] = ("nothing", Meaning.WARNING)
    elif row.moved is None:
        values["a step moves"] = ("–", Meaning.DIM)
    else:
        text = f"{number(100 * moved, 3)} %"
        values["a step moves"] = (text, known if math.isfinite(moved) else Meaning.ERROR)
    return values


def _zeros(row: LayerGradient) -> str:
    """Return the share of the weights without a gradient; empty for a few, as ReLU makes them: they are no news."""
    share = math.nan if row.gradient is None else from_wire(row.gradient.zeros)
    return f"{100 * share:.0f} %" if share >= _MANY_ZEROS else ""


def _bar(norm: float, largest: float) -> str:
    if not math.isfinite(norm) or norm <= 0 or largest <= 0:
        return " " * _BAR
    return bar(1 + math.log10(norm / largest) / _DECADES, _BAR)


def _size(row: LayerGradient, order: Order) -> float:
    """Return the weight of a layer in the order: values that are not finite come first, unknown ones last."""
    value = row.moved if order == "step" else None if row.gradient is None else row.gradient.norm
    if value is None:
        return -math.inf
    return from_wire(value) if math.isfinite(from_wire(value)) else math.inf
