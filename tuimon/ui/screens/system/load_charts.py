"""Charts of the load of a machine: shares from 0 to 100 %, over the last minutes."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tuimon.numbers import number, percent
from tuimon.plot.axes import Axis
from tuimon.plot.raster import ColumnExtremes
from tuimon.runs.facts_in_words import size
from tuimon.text import plain
from tuimon.ui.charts.canvas import Curve, Dash, Reduced, draw_axes
from tuimon.ui.drawing.cell_view import CellView, draw_panel
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.screens.system.gpus import Gpu
from tuimon.ui.screens.system.sampler import SAMPLE_SECONDS, Sample
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

MINUTES = 5
MOST_SAMPLES = int(MINUTES * 60 / SAMPLE_SECONDS)
_SECONDS = MINUTES * 60.0
_TIMES = Axis(0.0, _SECONDS, tuple((60.0 * minute, f"-{MINUTES - minute} min") for minute in range(1, MINUTES)))
_SHARES = Axis(0.0, 1.0, ((0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")))
_NAMES_WIDTH = 8
_WIDE = 60
"""A panel this wide has room for totals beside its numbers."""
_LOWEST_PANEL, _NARROWEST_PANEL = 7, 38

Measured = Sequence[tuple[str, Meaning, Dash, Callable[[Sample], float | None]]]
"""The curves of a chart: name, colour, dash, and a function that returns the share in a sample."""


class LoadChart(CellView):
    """A chart of samples. Subclasses draw them."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.samples: Sequence[Sample] = ()
        """The last minutes, oldest first."""

    def take(self, samples: Sequence[Sample]) -> None:
        """Show these samples."""
        self.samples = samples
        self.redraw()


class CpuChart(LoadChart):
    """The load of the processors."""

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the shares of the trainer and of all processes."""
        del moment
        extra: list[tuple[str, int]] = []
        if self.samples:
            last = self.samples[-1]
            busy = "–" if last.trainer_cpu is None else f"{last.trainer_cpu:.1f}"
            of = "" if cells.width < _WIDE else f" of {last.cores} processors"
            extra = [
                (f"trainer {busy:>4}{of}", int(Meaning.TRAINING)),
                (f"host {percent(last.cpu, 0):>5}", int(Meaning.TEXT)),
            ]
        curves: Measured = (
            ("host", Meaning.TEXT, "solid", lambda sample: sample.cpu),
            ("trainer", Meaning.TRAINING, "dashed", _trainer_cpu),
        )
        _draw_load(cells, "CPU", extra, self.samples, curves)


class MemoryChart(LoadChart):
    """The use of the memory."""

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the shares of the trainer and of all processes."""
        del moment
        extra: list[tuple[str, int]] = []
        if self.samples:
            last = self.samples[-1]
            of = "" if cells.width < _WIDE else f" of {size(last.memory_total)}"
            extra = [
                (f"trainer {_size(last.trainer_memory)}", int(Meaning.TRAINING)),
                (f"host {size(last.memory_used)}{of}", int(Meaning.TEXT)),
            ]
        curves: Measured = (
            ("host", Meaning.TEXT, "solid", lambda sample: sample.memory_used / sample.memory_total),
            ("trainer", Meaning.TRAINING, "dashed", lambda sample: _share(sample.trainer_memory, sample.memory_total)),
        )
        _draw_load(cells, "memory" if cells.width >= _WIDE else "RAM", extra, self.samples, curves)


class GpuView(LoadChart):
    """A panel for each GPU where there is room, else a line for each; a sentence without GPUs."""

    missing = ""
    """The reason for showing no GPUs."""

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs in the newest sample."""
        return self.samples[-1].gpus if self.samples else ()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the GPUs, or the reason for showing none."""
        del moment
        if not self.gpus:
            draw_panel(cells, "GPUs")
            cells.put(1, 3, self.missing or "Looking…", Meaning.DIM, width=cells.width - 5)
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
            self._draw_gpu(part, index)
            cells.chars[top:bottom, left:right] = part.chars
            cells.codes[top:bottom, left:right] = part.codes

    def _draw_gpu(self, cells: Cells, index: int) -> None:
        gpu, is_wide = self.gpus[index], cells.width >= _WIDE
        of = f" of {_size(gpu.memory_total)}" if is_wide else ""
        extra = [
            (f"{number(gpu.watts, 3)} W  {number(gpu.temperature, 2)} °C", int(Meaning.DIM)),
            (f"trainer {_size(gpu.trainer_memory)}", int(Meaning.TRAINING)),
            (f"memory {_size(gpu.memory_used)}{of}", int(Meaning.STATISTIC)),
            (f"busy {_percent(gpu.busy):>5}", int(Meaning.TEXT)),
        ]

        def memory_of(sample: Sample) -> float | None:
            return _share(sample.gpus[index].memory_used, sample.gpus[index].memory_total)

        curves: Measured = (
            ("memory", Meaning.STATISTIC, "dashed", memory_of),
            ("busy", Meaning.TEXT, "solid", lambda sample: sample.gpus[index].busy),
        )
        name = f"  {plain(gpu.name, 40)}" if is_wide else ""
        _draw_load(cells, f"GPU {index}{name}", extra, self.samples, curves)

    def _draw_lines(self, cells: Cells) -> None:
        draw_panel(cells, f"GPUs: {len(self.gpus)}")
        for row, gpu in enumerate(self.gpus[: max(0, cells.height - 2)], start=1):
            column = cells.put(row, 3, f"{row - 1:>2}  busy {_percent(gpu.busy):>5}", Meaning.TEXT) + 2
            words = f"memory {_size(gpu.memory_used):>7} of {_size(gpu.memory_total):>7}"
            column = cells.put(row, column, words, Meaning.STATISTIC) + 2
            column = cells.put(row, column, f"trainer {_size(gpu.trainer_memory):>7}", Meaning.TRAINING) + 2
            words = f"{number(gpu.temperature, 2):>3} °C  {number(gpu.watts, 3):>4} W"
            column = cells.put(row, column, words, Meaning.DIM) + 2
            if cells.width - column > _NAMES_WIDTH:
                cells.put(row, column, plain(gpu.name, 40), Meaning.DIM, width=cells.width - column - 2)


def _draw_load(
    cells: Cells, title: str, extra: list[tuple[str, int]], samples: Sequence[Sample], measured: Measured
) -> None:
    draw_panel(cells, title, extra)
    canvas = draw_axes(cells, cells.width - 2 - _NAMES_WIDTH, _TIMES, _SHARES)
    if canvas is None or not samples:
        return
    seconds = np.array([_SECONDS - (samples[-1].time - sample.time) for sample in samples])
    curves: list[Curve] = []
    reduced: list[Reduced] = []
    for name, meaning, dash, share in measured:
        values = np.array([np.nan if (value := share(sample)) is None else min(1.0, value) for sample in samples])
        known = np.isfinite(values) & (seconds >= 0)
        if known.any():
            steps = seconds[known].astype(np.int64)
            curves.append(Curve(name, steps, values[known], meaning, dash=dash))
            points = ColumnExtremes(2 * canvas.columns, _SECONDS)
            points.update(steps, values[known])
            reduced.append((points,))
    canvas.draw(curves, reduced, _SHARES)
    canvas.name(curves, reduced, _SHARES, _NAMES_WIDTH)


def _abreast(panels: int, width: int, height: int) -> int:
    """Return how many panels stand side by side; 0 if not all fit."""
    for abreast in range(1, panels + 1):
        fits = width // abreast >= _NARROWEST_PANEL
        if fits and math.ceil(panels / abreast) * _LOWEST_PANEL <= height:
            return abreast
    return 0


def _trainer_cpu(sample: Sample) -> float | None:
    return None if sample.trainer_cpu is None else sample.trainer_cpu / sample.cores


def _share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole


def _size(size_bytes: int | None) -> str:
    return "–" if size_bytes is None else size(size_bytes)


def _percent(share: float | None) -> str:
    return "–" if share is None else percent(share, 0)
