"""The chart of the gradient of one layer, over the probes."""

from tuimon.runs.facts_in_words import no_model
from tuimon.ui.charts.canvas import Curve, in_legend
from tuimon.ui.charts.step_chart import StepChart
from tuimon.ui.screens.layers.gradients import over_time, why_none
from tuimon.ui.screens.layers.layer_panel import LayerPanel
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

_BESIDE_PATH = 48
"""Cells of the upper edge that the path leaves free."""


class GradientChart(LayerPanel, StepChart):
    """The norm of the gradient of the layer under the cursor at each probe, and that of all weights together."""

    about = "The norm of the gradient at each probe: of the layer under the cursor, and of all weights together."

    names_width = 7
    log_decades = 1.0

    def show_layer(self, path: str | None) -> None:
        """Show the layer at ``path``."""
        if path != self._path:
            self.forget()
        super().show_layer(path)

    def title(self, moment: Moment) -> str:
        """Return the layer's path."""
        if not self._path:
            return "gradient"
        return f"gradient of {self.layer_name(moment, max(8, self.size.width - _BESIDE_PATH))}"

    def legend(self, moment: Moment) -> list[tuple[str, int]]:
        """Return the newest norms."""
        return [
            (in_legend(curve.name, float(curve.values[-1])), int(curve.meaning))
            for curve in self.curves(moment)
            if len(curve.values)
        ]

    def curves(self, moment: Moment) -> list[Curve]:
        """Return the norm of the layer, and that of all weights."""
        every, layer = over_time(moment.state, None), over_time(moment.state, self._path or "")
        return [
            Curve("all", *every, Meaning.BATCH, dash="dashed"),
            Curve("layer", *layer, Meaning.STATISTIC, over="replace", sign="●"),
        ]

    def empty_words(self, moment: Moment) -> str:
        """Say why there is nothing to draw."""
        return no_model(moment.state) if moment.state.model is None else why_none(moment)
