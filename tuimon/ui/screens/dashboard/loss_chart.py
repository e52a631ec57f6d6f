"""The charts of the loss and of the other metrics."""

from functools import partial

import numpy as np

from tuimon.numbers import number
from tuimon.plot.axes import decades_of, fitted_axis
from tuimon.plot.metric_names import loss_name, names_of
from tuimon.runs.state import RunState
from tuimon.text import plain
from tuimon.ui.charts.canvas import Curve, in_legend
from tuimon.ui.charts.low_chart import LOW, draw_low, low_canvas, put_low_title
from tuimon.ui.charts.metric_lines import lines_of
from tuimon.ui.charts.step_chart import StepChart, steps_of
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.viewer.moment import Moment

_IN_LOW = ("val", "train", "batch", "running")
"""The order of the values in a low chart: the newest validation says more than a batch."""


class LossChart(StepChart):
    """The loss of each batch, of each epoch, and of each validation."""

    about = "Loss of batches, epochs and validations. A column of dots reaches from its smallest to its largest value."

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._metric: str | None = None

    def title(self, moment: Moment) -> str:
        """Return the metric's name."""
        return plain(self.metric(moment.state) or "", 40)

    def metric(self, state: RunState) -> str | None:
        """Return the metric to draw: the loss, else the first one."""
        return loss_name(state)

    def legend(self, moment: Moment) -> list[tuple[str, int]]:
        """Return the curves with their newest values."""
        return [(in_legend(curve.name, _last(curve)), int(curve.meaning)) for curve in self.curves(moment)]

    def curves(self, moment: Moment) -> list[Curve]:
        """Return batch values, epoch values and validation values, as far as the run has them."""
        metric = self.metric(moment.state)
        return [] if metric is None else [line.curve(colors=self.has_colors) for line in lines_of(moment.state, metric)]

    def empty_words(self, moment: Moment) -> str:
        """Say that there is no loss yet."""
        if moment.state.ended:
            return "The run ended before its first batch."
        return "No batch is done yet. The first one waits for Keras to trace and compile the step."

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the chart; on few lines without frame and axes."""
        metric = self.metric(moment.state)
        if metric != self._metric:
            self._metric, self.log_decades = metric, decades_of(metric or "")
            self.forget()
        curves = [curve for curve in self.curves(moment) if len(curve.steps)]
        if cells.height < LOW and curves:
            self._draw_low(cells, curves, moment)
        else:
            super().draw(cells, moment)

    def _draw_low(self, cells: Cells, curves: list[Curve], moment: Moment) -> None:
        """Draw names and newest values into the first line, and the curves below it, with their limits at the left."""
        named = sorted(curves, key=lambda curve: _IN_LOW.index(curve.name) if curve.name in _IN_LOW else 0)
        texts = [(f"{curve.name} {number(_last(curve))}", int(curve.meaning)) for curve in named]
        put_low_title(cells, self.title(moment), texts)
        canvas = low_canvas(cells)
        if canvas is None:
            return
        steps = steps_of(moment, max(int(curve.steps[-1]) for curve in curves), canvas.columns)
        reduced = self._reduced.of_curves(curves, steps, canvas.columns)
        draw_low(cells, canvas, curves, reduced, partial(fitted_axis, log_decades=self.log_decades))


class OtherMetricChart(LossChart):
    """A metric beside the loss.

    Args:
        place: Which one, counted from 0.
    """

    about = "A metric of batches, epochs and validations. Screen 2 shows all of them."

    def __init__(self, place: int, *, id: str) -> None:
        super().__init__(id=id)
        self._place = place

    def metric(self, state: RunState) -> str | None:
        """Return the metric to draw; None where there are not so many."""
        others = other_names(state)
        return others[self._place] if self._place < len(others) else None


def other_names(state: RunState) -> list[str]:
    """Return the metrics beside the loss, in their order; the learning rate is the last one."""
    return [name for name in names_of(state) if name != loss_name(state)]


def _last(curve: Curve) -> float:
    return float(np.asarray(curve.values)[-1])
