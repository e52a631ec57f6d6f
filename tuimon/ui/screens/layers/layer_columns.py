"""The columns of the table of layers: which exist, which fit, and what each shows of a layer."""

import math

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from tuimon.diagnosis.gap.shares import disputed, shares_of_layers
from tuimon.diagnosis.layers import half_life
from tuimon.numbers import count, number, percent, setting, signed
from tuimon.protocol.wire import from_wire
from tuimon.runs.state import LayerHistory
from tuimon.text import plain
from tuimon.ui.drawing.cells import Cells, cell_width, fit
from tuimon.ui.screens.layers.bars import BINS, bar, sparkline
from tuimon.ui.screens.layers.drift_levels import level_code
from tuimon.ui.viewer.meanings import MODE_MEANINGS, Meaning
from tuimon.ui.viewer.moment import Moment

_NUMBER_WIDTH = 8
_STATISTIC_WIDTH = 2 * _NUMBER_WIDTH + BINS + 2
_DRIFT_BAR, _SHARE_BAR = 7, 8
GAP = 2
"""Cells between two columns."""
_NAME_LIMIT = 48
_WANTED_NAME, _LEAST_NAME = 22, 14
"""Cells that names have before the less telling columns are shown, and before the others are."""
_TELLING = 4
"""Beside more columns than this, names are wanted nearly whole: `batch_normalization_12`."""
_MODE_LIMIT = 30


class Column(Struct, frozen=True):
    """A column of the table."""

    key: str
    """The name of its value."""
    heading: str
    """The heading."""
    width: int
    """Its width in cells."""
    right: bool = False
    """True: values end at the right edge of the column."""
    rank: int = 0
    """Without room for all, columns of high rank are left out first."""


COLUMNS = (
    Column("mode", "mode", 16),
    Column("channels", "channels", 8, right=True, rank=7),
    Column("moving_mean", "moving mean  5 – 95 %", _STATISTIC_WIDTH, rank=4),
    Column("moving_variance", "moving variance  5 – 95 %", _STATISTIC_WIDTH, rank=5),
    Column("change", "change", 9, right=True, rank=8),
    Column("drift", "drift".rjust(_NUMBER_WIDTH), _NUMBER_WIDTH + 1 + _DRIFT_BAR, rank=2),
    Column("half_life", "half-life", 12, right=True, rank=6),
    Column("share", "BatchNorm share", _SHARE_BAR + 1 + 6 + 2, rank=1),
)
"""The columns after the layer's name, from the left."""
_OF_PROBES = frozenset(("drift", "share", "half_life"))
"""The columns that appear with the first probe."""


class Measured:
    """The values of the layers in the newest probe."""

    def __init__(self, moment: Moment) -> None:
        self._momentum = moment.state.momentum
        self.probe = moment.state.probes[-1] if moment.state.probes else None
        """The newest probe; None before the first one."""
        self.disputed = disputed(self.probe) if self.probe else frozenset()
        """The layers that are marked, because the two ways to look for the worst layer do not name the same one."""
        drifts = [self.drift(layer) for layer in moment.layers]
        self.largest_drift = max((drift for drift in drifts if drift is not None and math.isfinite(drift)), default=0.0)
        """The largest drift of all layers."""
        self._shares = shares_of_layers(self.probe) if self.probe else {}
        self.largest_share = max(
            (self._shares[path] for path in moment.state.layers if path in self._shares), default=0.0
        )
        """The largest share of all layers."""

    def drift(self, layer: LayerHistory) -> float | None:
        """Return the drift of a layer; None where it is not known."""
        found = self.probe.layers.get(layer.layer.path) if self.probe else None
        return None if found is None or found.drift is None else from_wire(found.drift)

    def share(self, layer: LayerHistory) -> float | None:
        """Return a layer's share of what batch statistics make of the gap; None where it is not known."""
        return self.share_of(layer.layer.path)

    def share_of(self, path: str) -> float | None:
        """Return the share of the layer at ``path``; None where it is not known."""
        return self._shares.get(path)

    def momentum(self, layer: LayerHistory) -> float:
        """Return the momentum in force of a layer."""
        return self._momentum.get(layer.layer.path, layer.layer.momentum)


def fitting(width: int, longest_name: int, longest_mode: int, is_probed: bool) -> tuple[int, list[Column]]:
    """Return the width of the names, and the columns that fit beside them."""
    mode, *others = (column for column in COLUMNS if is_probed or column.key not in _OF_PROBES)
    shown = [replace(mode, width=max(mode.width, min(longest_mode, _MODE_LIMIT))), *others]
    name = min(longest_name, _NAME_LIMIT)
    name = max(name, len("layer"))
    while True:
        needed = sum(column.width + GAP for column in shown)
        least = min(name, _WANTED_NAME if len(shown) > _TELLING else _LEAST_NAME) if len(shown) > 1 else 5
        if needed + least <= width or len(shown) == 1:
            return max(5, min(name, width - needed)), shown
        shown.remove(max(shown, key=lambda column: column.rank))


def places_of(start: int, columns: list[Column]) -> list[tuple[Column, int]]:
    """Return columns with the cells in which they begin; the first one begins at ``start``."""
    places = []
    for column in columns:
        places.append((column, start))
        start += column.width + GAP
    return places


def put(cells: Cells, row: int, start: int, column: Column, text: str, code: int) -> None:
    """Write a value into its column, at the left or at the right edge."""
    text = fit(text, column.width)
    start += column.width - cell_width(text) if column.right else 0
    cells.put(row, start, text, code)


def draw_value(
    cells: Cells, row: int, start: int, column: Column, layer: LayerHistory, code: int, measured: Measured
) -> None:
    """Draw the value of a layer in any column but that of the mode."""
    if column.key == "channels":
        put(cells, row, start, column, count(layer.layer.channels), Meaning.TEXT | code)
    elif column.key == "change":
        change = layer.change()
        put(cells, row, start, column, "–" if change is None else f"{number(change, 3)} σ", Meaning.TEXT | code)
    elif column.key == "half_life":
        put(cells, row, start, column, _half_life(measured.momentum(layer)), Meaning.TEXT | code)
    elif column.key == "drift":
        _draw_drift(cells, row, start, measured.drift(layer), measured.largest_drift, code)
    elif column.key == "share":
        _draw_share(cells, row, start, layer.layer.path, measured, code)
    else:
        _draw_statistic(cells, row, start, column, layer, code)


def mode_of(moment: Moment, layer: LayerHistory) -> list[tuple[str, int]]:
    """Return the mode of a layer, and its momentum where that differs from the model's: texts with their colours."""
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
        shown.append((f", momentum {setting(wanted)}, asked", int(Meaning.DIM)))
    elif momentum != layer.layer.momentum:
        shown.append((f", momentum {setting(momentum)}", int(Meaning.COMMAND)))
    return shown


def draw_mode(cells: Cells, row: int, start: int, column: Column, shown: list[tuple[str, int]], code: int) -> None:
    """Draw the mode of a layer, as `mode_of` returns it."""
    end = start + column.width
    for text, meaning in shown:
        start = cells.put(row, start, text, meaning | code, width=max(0, end - start))


def _half_life(momentum: float) -> str:
    """Return how many steps it takes until half of a moving average is new."""
    if not 0 <= momentum <= 1:
        return "–"
    if momentum == 1:
        return "held"
    steps = half_life(momentum)
    if steps < 10:
        return f"{steps:.1f} steps"
    return f"{count(round(steps)) if steps < 1e5 else number(steps, 3)} steps"


def _draw_drift(cells: Cells, row: int, start: int, drift: float | None, largest: float, code: int) -> None:
    if drift is None:
        cells.put_right(row, start + _NUMBER_WIDTH, "–", Meaning.DIM | code)
        return
    cells.put_right(row, start + _NUMBER_WIDTH, number(drift), (_of_finite(drift)) | code)
    share = drift / largest if largest > 0 and math.isfinite(drift) else 0.0
    cells.put(row, start + _NUMBER_WIDTH + 1, bar(share, _DRIFT_BAR), level_code(drift) | code)


def _draw_share(cells: Cells, row: int, start: int, path: str, measured: Measured, code: int) -> None:
    end = start + _SHARE_BAR + 1 + 6
    probe = measured.probe
    layer = probe.layers.get(path) if probe else None
    if probe is None or layer is None or layer.in_order is None:
        cells.put_right(row, end, "–", Meaning.DIM | code)
        return
    share, value = measured.share_of(path), from_wire(layer.in_order)
    if share is None:
        cells.put_right(row, end, signed(value, 3), _of_finite(value) | code)
        return
    cells.put(row, start, bar(share / max(measured.largest_share, 1e-9), _SHARE_BAR), Meaning.BATCH_NORM_PART | code)
    text = percent(share, 0)
    cells.put_right(row, end, text if len(text) <= 6 else f"{'-' if share < 0 else '>'}999 %", Meaning.TEXT | code)
    if path in measured.disputed:
        cells.put(row, end + 1, "≠", Meaning.WARNING | code)


def _of_finite(value: float) -> Meaning:
    return Meaning.TEXT if math.isfinite(value) else Meaning.ERROR


def _draw_statistic(cells: Cells, row: int, start: int, column: Column, layer: LayerHistory, code: int) -> None:
    mean = column.key == "moving_mean"
    series = layer.moving_mean if mean else layer.moving_variance
    if not len(series):
        put(cells, row, start, column, "–", Meaning.DIM | code)
        return
    quantiles = series.rows[-1]
    cells.put_right(row, start + _NUMBER_WIDTH, number(float(quantiles[1])), Meaning.TEXT | code)
    channels = layer.channels
    full = (channels.moving_mean_base64 if mean else channels.moving_variance_base64) if channels else None
    bars = sparkline(np.asarray(quantiles), full)
    cells.put(row, start + _NUMBER_WIDTH + 1, bars, Meaning.STATISTIC | code)
    cells.put(row, start + _NUMBER_WIDTH + BINS + 2, number(float(quantiles[5])), Meaning.TEXT | code)
    if layer.latest is not None and layer.latest.non_finite:
        cells.put(row, start + _NUMBER_WIDTH + 1, "nonfinite"[:BINS], Meaning.ERROR | code)
