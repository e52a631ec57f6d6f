"""Charts of the load of a machine: shares from 0 to 100 %, over the time of its samples."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tuimon.numbers import number, percent
from tuimon.plot.axes import Axis
from tuimon.plot.raster import ColumnExtremes
from tuimon.plot.x_axis import whole_axis
from tuimon.protocol.events import GpuLoad, System
from tuimon.protocol.wire import FloatArray, Number, from_wire
from tuimon.runs.facts_in_words import size
from tuimon.runs.series import IntArray
from tuimon.text import plain
from tuimon.ui.charts.canvas import Curve, Dash, Reduced, draw_axes
from tuimon.ui.charts.low_chart import low_canvas, put_limits, put_low_title
from tuimon.ui.drawing.cell_view import CellView, draw_panel
from tuimon.ui.drawing.cells import Cells, cell_width, fit
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

_SHARES = Axis(0.0, 1.0, ((0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")))
_NAMES_WIDTH = 8
_SHORTEST_SECONDS = 60.0
"""The axis of the time is not shorter while the run goes on."""
_TICK_WIDTH = 14
"""Columns for each label of the time."""
_WIDE = 60
"""A panel this wide has room for totals beside its numbers."""
_LOW = 6
"""A lower panel has no room for axes."""
_LOWEST_PANEL, _NARROWEST_PANEL = 7, 38

Measured = Sequence[tuple[str, Meaning, Dash, Callable[[System], float | None]]]
"""The curves of a chart: name, colour, dash, and a function that returns the share in a sample."""


class LoadChart(CellView):
    """A chart of samples. Subclasses draw them."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.samples: Sequence[System] = ()
        """The samples, oldest first."""
        self._is_over = False
        self._points: dict[str, tuple[IntArray, FloatArray]] = {}

    def take(self, samples: Sequence[System], *, is_over: bool = False) -> None:
        """Show these samples.

        Args:
            samples: The samples, oldest first; another list than before if it has changed.
            is_over: Whether no others follow.
        """
        self.samples, self._is_over = samples, is_over
        self._points = {}
        self.redraw()

    def draw_load(self, cells: Cells, title: str, extra: list[tuple[str, int]], measured: Measured) -> None:
        """Draw a panel with curves.

        Args:
            cells: The cells of the panel.
            title: Its title; no other panel of this view has it.
            extra: Short texts for its upper edge.
            measured: The curves.
        """
        is_low, width = cells.height < _LOW, cells.width - 2 - _NAMES_WIDTH
        seconds = self.samples[-1].time - self.samples[0].time if self.samples else 0.0
        seconds = max(seconds, 1.0 if self._is_over else _SHORTEST_SECONDS)
        times = whole_axis("relative", 0.0, seconds, None, exact=self._is_over, ticks=max(2, width // _TICK_WIDTH))
        if is_low:
            put_low_title(cells, title, extra)
            canvas = low_canvas(cells)
        else:
            draw_panel(cells, title, extra)
            canvas = draw_axes(cells, width, times, _SHARES)
        if canvas is None:
            return
        curves: list[Curve] = []
        reduced: list[Reduced] = []
        for name, meaning, dash, share in measured:
            known, values = self._known(f"{title} {name}", share)
            if len(known):
                curves.append(Curve(name, known, values, meaning, dash=dash))
                points = ColumnExtremes(2 * canvas.columns, times.last)
                points.update(known, values)
                reduced.append((points,))
        canvas.draw(curves, reduced, _SHARES)
        if is_low:
            put_limits(cells, _SHARES, ("0 %", "100 %"))
            return
        canvas.name(curves, reduced, _SHARES, _NAMES_WIDTH)

    def _known(self, key: str, share: Callable[[System], float | None]) -> tuple[IntArray, FloatArray]:
        """Return the seconds since the first sample, and the shares that are known then."""
        if key not in self._points:
            values = np.array([_nan(share(sample)) for sample in self.samples])
            seconds = np.array([sample.time - self.samples[0].time for sample in self.samples])
            known = np.isfinite(values)
            # A clock may be set back.
            times = np.maximum.accumulate(seconds[known]).astype(np.int64)
            self._points[key] = times, np.minimum(1.0, values[known])
        return self._points[key]


class CpuChart(LoadChart):
    """The load of the processors."""

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the shares of the trainer and of all processes."""
        del moment
        extra: list[tuple[str, int]] = []
        if self.samples:
            last = self.samples[-1]
            busy = "–" if last.process_cpu is None else f"{from_wire(last.process_cpu):.1f}"
            of = "" if cells.width < _WIDE or last.cores is None else f" of {last.cores} processors"
            extra = [
                (f"trainer {busy:>4}{of}", int(Meaning.TRAINING)),
                (f"host {_percent(last.cpu):>5}", int(Meaning.TEXT)),
            ]
        curves: Measured = (
            ("host", Meaning.TEXT, "solid", lambda sample: _share(sample.cpu, 1)),
            ("trainer", Meaning.TRAINING, "dashed", lambda sample: _share(sample.process_cpu, sample.cores)),
        )
        self.draw_load(cells, "CPU", extra, curves)


class MemoryChart(LoadChart):
    """The use of the memory."""

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the shares of the trainer and of all processes."""
        del moment
        extra: list[tuple[str, int]] = []
        if self.samples:
            last = self.samples[-1]
            of = "" if cells.width < _WIDE else f" of {_size(last.memory_total)}"
            extra = [
                (f"trainer {_size(last.process_memory)}", int(Meaning.TRAINING)),
                (f"host {_size(last.memory_used)}{of}", int(Meaning.TEXT)),
            ]
        curves: Measured = (
            ("host", Meaning.TEXT, "solid", lambda sample: _share(sample.memory_used, sample.memory_total)),
            ("trainer", Meaning.TRAINING, "dashed", lambda sample: _share(sample.process_memory, sample.memory_total)),
        )
        self.draw_load(cells, "memory" if cells.width >= _WIDE else "RAM", extra, curves)


class GpuView(LoadChart):
    """A panel for each GPU where there is room, else a line for each; a sentence without GPUs."""

    @property
    def gpus(self) -> list[GpuLoad]:
        """The GPUs in the newest sample."""
        return self.samples[-1].gpus if self.samples else []

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the GPUs, or the reason for showing none."""
        del moment
        if not self.gpus:
            cells.put(0, 2, fit(_why_no_gpus(self.samples), cells.width - 4), Meaning.DIM)
            return
        abreast = _abreast(len(self.gpus), cells.width, cells.height)
        if not abreast:
            self._draw_lines(cells)
            return
        rows = math.ceil(len(self.gpus) / abreast)
        for index in range(len(self.gpus)):
            row, column = divmod(index, abreast)
            top, bottom = row * cells.height // rows, (row + 1) * cells.height // rows
            left, right = column * cells.width // abreast, (column + 1) * cells.width // abreast
            part = Cells(right - left, bottom - top)
            self._draw_gpu(part, self.gpus[index])
            cells.chars[top:bottom, left:right] = part.chars
            cells.codes[top:bottom, left:right] = part.codes

    def _draw_gpu(self, cells: Cells, gpu: GpuLoad) -> None:
        is_wide = cells.width >= _WIDE
        of = f" of {_size(gpu.memory_total)}" if is_wide else ""
        extra = [
            (f"{_number(gpu.watts, 3)} W  {_number(gpu.temperature, 2)} °C", int(Meaning.DIM)),
            (f"trainer {_size(gpu.process_memory)}", int(Meaning.TRAINING)),
            (f"memory {_size(gpu.memory_used)}{of}", int(Meaning.STATISTIC)),
            (f"busy {_percent(gpu.busy):>5}", int(Meaning.TEXT)),
        ]

        def memory_of(sample: System) -> float | None:
            then = _gpu_of(sample, gpu.index)
            return None if then is None else _share(then.memory_used, then.memory_total)

        def busy_of(sample: System) -> float | None:
            then = _gpu_of(sample, gpu.index)
            return None if then is None else _share(then.busy, 1)

        curves: Measured = (
            ("memory", Meaning.STATISTIC, "dashed", memory_of),
            ("busy", Meaning.TEXT, "solid", busy_of),
        )
        name = f"  {plain(gpu.name, 40)}" if is_wide else ""
        self.draw_load(cells, f"GPU {gpu.index}{name}", extra, curves)

    def _draw_lines(self, cells: Cells) -> None:
        draw_panel(cells, f"GPUs: {len(self.gpus)}")
        for row, gpu in enumerate(self.gpus[: max(0, cells.height - 2)], start=1):
            parts = [
                (f"{gpu.index:>2}  busy {_percent(gpu.busy):>5}", Meaning.TEXT),
                (f"memory {_size(gpu.memory_used):>7} of {_size(gpu.memory_total):>7}", Meaning.STATISTIC),
                (f"trainer {_size(gpu.process_memory):>7}", Meaning.TRAINING),
                (f"{_number(gpu.temperature, 2):>3} °C  {_number(gpu.watts, 3):>4} W", Meaning.DIM),
                (plain(gpu.name, 40), Meaning.DIM),
            ]
            column = 3
            for text, meaning in parts:
                # Half a number would be another number.
                if column + cell_width(text) > cells.width - 2:
                    break
                column = cells.put(row, column, text, meaning) + 2


def _abreast(panels: int, width: int, height: int) -> int:
    """Return how many panels stand side by side; 0 if not all fit."""
    for abreast in range(1, panels + 1):
        fits = width // abreast >= _NARROWEST_PANEL
        if fits and math.ceil(panels / abreast) * _LOWEST_PANEL <= height:
            return abreast
    return 0


def _gpu_of(sample: System, index: int) -> GpuLoad | None:
    return next((gpu for gpu in sample.gpus if gpu.index == index), None)


def _why_no_gpus(samples: Sequence[System]) -> str:
    return plain(samples[-1].why_no_gpus) or "No GPU." if samples else "Looking…"


def _share(part: Number, whole: float | None) -> float | None:
    return None if part is None or not whole else from_wire(part) / whole


def _nan(value: float | None) -> float:
    return math.nan if value is None else value


def _size(size_bytes: int | None) -> str:
    return "–" if size_bytes is None else size(size_bytes)


def _percent(share: Number) -> str:
    return "–" if share is None else percent(from_wire(share), 0)


def _number(value: Number, digits: int) -> str:
    return number(None if value is None else from_wire(value), digits)
