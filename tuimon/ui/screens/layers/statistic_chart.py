"""The chart of a moving statistic of one BatchNormalization layer."""

from typing import Literal

from tuimon.runs.facts_in_words import no_model
from tuimon.runs.series import Series
from tuimon.runs.state import LayerHistory
from tuimon.ui.charts.canvas import Curve, in_legend
from tuimon.ui.charts.step_chart import StepChart
from tuimon.ui.screens.layers.layer_panel import LayerPanel
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

_BESIDE_PATH = 31
"""Cells of the upper edge that path and statistic leave free, for "(log)", the median and the frame."""


class StatisticChart(LayerPanel, StepChart):
    """A moving statistic of the layer under the cursor: median over channels, and the band from 5 to 95 %."""

    about = "Over the channels of the layer under the cursor: nine of ten lie in the band, the line is the median."

    names_width = 5
    log_decades = 1.0

    def __init__(self, statistic: Literal["moving_mean", "moving_variance"], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._statistic = statistic

    def show_layer(self, path: str | None) -> None:
        """Show the layer at ``path``."""
        if path != self._path:
            self.forget()
        super().show_layer(path)

    def title(self, moment: Moment) -> str:
        """Return the layer's path and the statistic."""
        words = self._statistic.replace("_", " ")
        room = max(8, self.size.width - len(words) - _BESIDE_PATH)
        return f"{self.layer_name(moment, room)} {words}" if self._path else words

    def legend(self, moment: Moment) -> list[tuple[str, int]]:
        """Return the newest median."""
        series = self._series(moment)
        if series is None or not len(series):
            return []
        return [(in_legend("median", float(series.rows[-1, 3])), int(Meaning.STATISTIC))]

    def curves(self, moment: Moment) -> list[Curve]:
        """Return the band and the median."""
        series = self._series(moment)
        if series is None:
            return []
        rows = series.rows
        return [
            Curve("5 %", series.steps, rows[:, 1], Meaning.BAND, upper=rows[:, 5], upper_name="95 %"),
            Curve("50 %", series.steps, rows[:, 3], Meaning.STATISTIC, over="replace"),
        ]

    def empty_words(self, moment: Moment) -> str:
        """Say why there is nothing to draw."""
        if moment.state.model is None:
            return no_model(moment.state)
        if not moment.state.layers:
            return "This model has no BatchNormalization layer: nothing to draw here."
        return "No sample of this layer yet."

    def _series(self, moment: Moment) -> Series | None:
        history: LayerHistory | None = moment.state.layers.get(self._path or "")
        if history is None:
            return None
        return history.moving_mean if self._statistic == "moving_mean" else history.moving_variance
