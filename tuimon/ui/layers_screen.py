"""All BatchNormalization layers: their table in full, and the maps of the one under the cursor."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Container
from textual.widget import Widget

from tuimon.ui.charts import StatisticChart
from tuimon.ui.drift_map import DriftMap
from tuimon.ui.layer_table import LayerTable
from tuimon.ui.moment_screen import MomentScreen, bindings_of


class LayersScreen(MomentScreen):
    """The table above the charts of one layer."""

    place = "layers"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("layers")

    def __init__(self) -> None:
        super().__init__()
        self._table = LayerTable()
        self._charts = (StatisticChart("moving_mean"), StatisticChart("moving_variance"), DriftMap())

    def panels(self) -> Iterable[Widget]:
        """Lay out the panels."""
        yield self._table
        yield Container(*self._charts, id="layer-charts")

    def on_mount(self) -> None:
        """Have the table take the keys."""
        self._table.focus()

    def on_layer_table_selected(self, event: LayerTable.Selected) -> None:
        """Draw the layer under the cursor."""
        for chart in self._charts:
            chart.show_layer(event.path)
        self.bar.layer_path = event.path
        self.bar.redraw()

    @property
    def selected_layer(self) -> str | None:
        """Path of the layer under the cursor; None where there is none."""
        return self._table.path

    def select_layer(self, path: str) -> None:
        """Put the cursor of the table on a layer."""
        self._table.select(path)

    def move_cursor(self, by: int) -> None:
        """Move the cursor of the table."""
        self._table.move(by)
