"""All BatchNormalization layers: their table in full, a map of them over time, and the channels of one."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Container
from textual.widget import Widget

from tuimon.ui.frame.base_screen import BaseScreen, bindings_of
from tuimon.ui.screens.layers.channel_view import ChannelView
from tuimon.ui.screens.layers.drift_map import DriftMap
from tuimon.ui.screens.layers.layer_table import LayerTable
from tuimon.ui.screens.layers.statistic_chart import StatisticChart


class LayersScreen(BaseScreen):
    """The table, the map, and panels about the layer under the cursor."""

    screen_name = "layers"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("layers")

    def __init__(self) -> None:
        super().__init__()
        self._table = LayerTable()
        self._map = DriftMap(id="layer-map")
        self._of_one = (
            ChannelView(),
            StatisticChart("moving_mean", id="layer-mean"),
            StatisticChart("moving_variance", id="layer-variance"),
        )

    def panels(self) -> Iterable[Widget]:
        """Yield the table, and a grid of the other panels."""
        yield self._table
        yield Container(self._map, *self._of_one, id="layer-charts")

    def on_mount(self) -> None:
        """Give the keys to the table."""
        self._table.focus()

    def on_layer_table_selected(self, event: LayerTable.Selected) -> None:
        """Draw the layer under the cursor."""
        for panel in (self._map, *self._of_one):
            panel.show_layer(event.path)
        self.bar.layer_path = event.path
        self.bar.redraw()

    def action_sort(self) -> None:
        """List the layers in another order."""
        self._table.sort_by_next()

    def action_quantity(self) -> None:
        """Show another quantity in the map."""
        self._map.show_next_quantity()

    @property
    def selected_layer(self) -> str | None:
        """Path of the layer under the cursor; None in a model without one."""
        return self._table.path

    def select_layer(self, path: str) -> None:
        """Put the cursor of the table on a layer."""
        self._table.select(path)

    def move_cursor(self, by: int) -> None:
        """Move the cursor of the table."""
        self._table.move(by)
