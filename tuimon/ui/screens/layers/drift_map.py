"""The heatmap of drift: BatchNormalization layers from top to bottom, steps from left to right."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from tuimon.diagnosis.gap.shares import shares_of_layers
from tuimon.plot.axes import Axis
from tuimon.plot.request_marks import marks
from tuimon.protocol.wire import FloatArray
from tuimon.runs.facts_in_words import no_model
from tuimon.runs.series import IntArray
from tuimon.runs.state import LayerHistory
from tuimon.text import plain
from tuimon.ui.charts.canvas import Canvas, draw_axes, draw_empty
from tuimon.ui.charts.step_chart import steps_of
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, cell_width
from tuimon.ui.drawing.names import fit_apart
from tuimon.ui.screens.layers.drift_levels import NOT_FINITE, NOTHING, SHADES, levels
from tuimon.ui.screens.layers.layer_panel import LayerPanel
from tuimon.ui.viewer.meanings import DRIFT, Meaning
from tuimon.ui.viewer.moment import Moment, no_probe_words

_MOST_ROWS = 3
"""The most rows of cells for one layer, where layers are few."""
_CURSOR_WIDTH = 2
_SMALLEST_NAME = 6
_LEAST_COLUMNS = 36
"""Names are cut where fewer cells would be left for time."""

LevelArray = npt.NDArray[np.int64]
Points = tuple[IntArray, FloatArray]
"""Steps and values, each of shape ``(points,)``."""


class Quantity(Struct, frozen=True):
    """A quantity that the map can show of each layer."""

    short: str
    """Its short name."""
    title: str
    """Its full name."""
    points: Callable[[Moment], list[Points]]
    """Returns the values of each layer, in the order of the model."""
    legend: tuple[tuple[int, str], ...]
    """Levels with the values at which they begin."""
    is_of_probes: bool = False
    """True for a quantity that only probes measure."""


def _of_each(points_of: Callable[[LayerHistory], Points]) -> Callable[[Moment], list[Points]]:
    return lambda moment: [points_of(history) for history in moment.layers]


def _drift(history: LayerHistory) -> Points:
    return history.drift.steps, history.drift.values


def _shares(moment: Moment) -> list[Points]:
    probes = [(probe.step, shares_of_layers(probe)) for probe in moment.state.probes]
    found = []
    for path in moment.state.layers:
        known = [(step, 100 * abs(shares[path])) for step, shares in probes if path in shares]
        found.append((np.array([step for step, _ in known], dtype=np.int64), np.array([share for _, share in known])))
    return found


def _change_of_mean(history: LayerHistory) -> Points:
    means, variances = history.moving_mean.rows, history.moving_variance.rows
    if not len(means):
        return history.moving_mean.steps, np.empty(0)
    scale = np.sqrt(np.maximum(np.mean(variances[0]), history.layer.epsilon))
    return history.moving_mean.steps, np.sqrt(np.mean((means - means[0]) ** 2, axis=1)) / scale


def _change_of_variance(history: LayerHistory) -> Points:
    rows = history.moving_variance.rows + history.layer.epsilon
    if not len(rows):
        return history.moving_variance.steps, np.empty(0)
    return history.moving_variance.steps, np.mean(np.abs(np.log(rows / rows[0])), axis=1)


_DECADES = ((0, "<0.01"), (2, "0.01"), (4, "0.1"), (6, "1"), (8, "10"), (10, "100"))
QUANTITIES = (
    Quantity("drift", "drift of moving from batch statistics", _of_each(_drift), _DECADES, is_of_probes=True),
    Quantity(
        "share of BatchNorm, %", "share of what batch statistics make, in %", _shares, _DECADES, is_of_probes=True
    ),
    Quantity("change of mean, σ", "moving mean: change since start, σ", _of_each(_change_of_mean), _DECADES),
    Quantity(
        "change of variance, |ln|", "moving variance: change since start, |ln|", _of_each(_change_of_variance), _DECADES
    ),
)
"""The quantities, in the order of the key."""


class DriftMap(LayerPanel):
    """Drift of every layer at every probe, or another quantity; a value holds until the next one.

    With more layers than rows, a row shows the largest value of several layers.
    """

    about = "Layers from above to below, time from left to right; the legend says what a shade stands for."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._quantity = QUANTITIES[0]
        self._measured: tuple[tuple[tuple[str, ...], int, float, int], LevelArray] | None = None

    def show_quantity(self, quantity: Quantity) -> None:
        """Draw a quantity of the layers."""
        if quantity is not self._quantity:
            self._quantity = quantity
            self._measured = None
            self.redraw()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the map, or a sentence without values."""
        paths = list(moment.state.layers)
        words = _empty_words(moment, self._quantity)
        if words:
            draw_empty(cells, self._quantity.short, words)
            return
        width, rows = cells.width - 2, cells.height - 4
        names = tuple(plain(path) for path in paths)
        most = max(width // 3, width - _LEAST_COLUMNS)
        name_width = max(_SMALLEST_NAME, min(max(map(cell_width, names)) + _CURSOR_WIDTH, most, width // 2))
        names = fit_apart(names, name_width - _CURSOR_WIDTH)
        groups = _groups(len(paths), max(1, rows))
        each = max(1, min(_MOST_ROWS, rows // len(groups))) if rows > 0 else 1
        points = self._quantity.points(moment)
        newest = max(int(at[-1:].max(initial=0)) for at, _ in points)
        steps = steps_of(moment, newest, width)
        blank = " " * name_width
        ticks = tuple(((len(groups) - row) * each - (each - 1) // 2 - 0.5, blank) for row in range(len(groups)))
        legend = [(f"{SHADES[level]} {words}", DRIFT + level) for level, words in self._quantity.legend]
        draw_panel(cells, _title(self._quantity, cells.width, len(paths), len(groups)), legend)
        # Unused rows are at the top: the others stand on the axis of steps.
        above = max(0, rows - len(groups) * each)
        values = Axis(0.0, float(len(groups) * each + above), ticks)
        canvas = draw_axes(cells, width, steps, values)
        if canvas is None:
            return
        found = _filled(self._levels(moment, points, canvas.columns, steps), moment, canvas.columns, steps)
        cursor = paths.index(self._path) if self._path in moment.state.layers else 0
        for index, group in enumerate(groups):
            first = above + index * each
            _draw_levels(canvas, range(first, first + each), found[group])
            is_here = group.start <= cursor < group.stop
            row = 1 + first + (each - 1) // 2
            name = names[cursor if is_here else group.start]
            cells.put_right(row, canvas.column - 1, name, Meaning.STRONG if is_here else Meaning.DIM)
            if is_here:
                cells.put(row, 1, "›", Meaning.STRONG)
        canvas.mark(marks(moment.state), steps)

    def _levels(self, moment: Moment, points: list[Points], columns: int, steps: Axis) -> LevelArray:
        """Return the level of each layer in each column where there is a probe, of shape ``(layers, columns)``."""
        key = (tuple(moment.state.layers), columns, steps.last, sum(len(each) for each, _ in points))
        if self._measured is None or self._measured[0] != key:
            found = np.full((len(moment.state.layers), columns), NOTHING, dtype=np.int64)
            for row, (at, values) in enumerate(points):
                place = _columns_of(at, columns, steps)
                level = levels(values)
                bad = level == NOT_FINITE
                np.maximum.at(found[row], place[~bad], level[~bad])
                found[row, place[bad]] = NOT_FINITE
            self._measured = key, found
        return self._measured[1]


def _empty_words(moment: Moment, quantity: Quantity) -> str:
    if moment.state.model is None:
        return no_model(moment.state)
    if not moment.state.layers:
        return "This model has no BatchNormalization layer: nothing to draw here."
    if not quantity.is_of_probes:
        has_samples = any(len(layer.moving_mean) for layer in moment.layers)
        return "" if has_samples else "No sample of the layers yet."
    return "" if moment.state.probes else no_probe_words(moment)


def _title(quantity: Quantity, width: int, layers: int, rows: int) -> str:
    rest = f", {math.ceil(layers / rows)} layers a row" if rows < layers else ""
    title = quantity.title + rest
    legend = sum(cell_width(words) + 4 for _, words in quantity.legend)
    return title if len(title) + legend + 8 <= width else quantity.short + rest


def _groups(layers: int, rows: int) -> list[slice]:
    """Return the layers of each row: one each where there is room, else about as many in each row."""
    count = min(layers, rows)
    return [slice(row * layers // count, (row + 1) * layers // count) for row in range(count)]


def _columns_of(steps: npt.NDArray[np.int64], columns: int, axis: Axis) -> LevelArray:
    place = np.round(axis.positions(steps.astype(np.float64)) * (2 * columns - 1)).astype(np.int64) // 2
    result: LevelArray = np.clip(place, 0, columns - 1)
    return result


def _filled(measured: LevelArray, moment: Moment, columns: int, steps: Axis) -> LevelArray:
    """Return levels extended from each probe to the next, and from the newest one to now."""
    now = int(_columns_of(np.array([moment.state.step]), columns, steps)[0])
    source = np.maximum.accumulate(np.where(measured != NOTHING, np.arange(columns), -1), axis=1)
    held = np.where(source >= 0, np.take_along_axis(measured, np.maximum(source, 0), axis=1), NOTHING)
    held[:, now + 1 :] = measured[:, now + 1 :]
    return held


def _draw_levels(canvas: Canvas, rows: range, group: LevelArray) -> None:
    """Draw the largest level of some layers, of shape ``(layers, columns)``, into rows of cells."""
    largest = np.where((group == NOT_FINITE).any(axis=0), NOT_FINITE, group.max(axis=0))
    # Negative levels index the two last characters.
    shades = np.array([*SHADES, "▲", " "])[largest]
    codes = np.where(largest == NOT_FINITE, int(Meaning.ERROR), DRIFT + np.maximum(largest, 0))
    for row in rows:
        if 0 <= row < canvas.rows:
            canvas.chars[row] = shades
            canvas.codes[row] = codes
