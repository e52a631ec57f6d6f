"""The chart of the loss."""

import numpy as np

from tuimon.runs.state import RunState
from tuimon.text import plain
from tuimon.ui.charts.canvas import Curve, in_legend
from tuimon.ui.charts.metric_lines import lines_of
from tuimon.ui.charts.step_chart import StepChart
from tuimon.ui.viewer.moment import Moment

_WORDS = {"batch": "batch", "running": "running mean", "train": "training", "valid": "validation"}
"""What the legend calls each line of the metric."""


class LossChart(StepChart):
    """The loss of each batch, of each epoch, and of each validation."""

    about = "Loss of batches, epochs and validations. A column of dots reaches from its smallest to its largest value."

    def title(self, moment: Moment) -> str:
        """Return the metric's name."""
        return plain(_loss_name(moment.state), 40)

    def legend(self, moment: Moment) -> list[tuple[str, int]]:
        """Return the curves with their newest values."""
        return [(in_legend(_WORDS[curve.name], _last(curve)), int(curve.meaning)) for curve in self.curves(moment)]

    def curves(self, moment: Moment) -> list[Curve]:
        """Return batch loss, epoch loss and validation loss, as far as the run has them."""
        return [line.curve(colors=self.has_colors) for line in lines_of(moment.state, _loss_name(moment.state))]

    def empty_words(self, moment: Moment) -> str:
        """Say that there is no loss yet."""
        if moment.state.ended:
            return "The run ended before its first batch."
        return "No batch is done yet. The first one waits for Keras to trace and compile the step."


def _loss_name(state: RunState) -> str:
    """Return the metric to draw: the loss, else the first one."""
    names = [*state.batch_metrics, *(name for name in state.epoch_metrics if not name.startswith("val_"))]
    return "loss" if "loss" in names or not names else names[0]


def _last(curve: Curve) -> float:
    return float(np.asarray(curve.values)[-1])
