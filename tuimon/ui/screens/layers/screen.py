"""The layers: the table of BatchNormalization, a map of it over time, the channels of one; the gradients of all."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Container
from textual.events import Resize
from textual.widget import Widget

from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.frame.base_screen import TALL, WIDE, BaseScreen, bindings_of
from tuimon.ui.screens.layers.channel_view import ChannelView
from tuimon.ui.screens.layers.drift_map import QUANTITIES, DriftMap
from tuimon.ui.screens.layers.gradient_chart import GradientChart
from tuimon.ui.screens.layers.gradient_table import GradientTable
from tuimon.ui.screens.layers.gradients import layer_gradients
from tuimon.ui.screens.layers.layer_table import LayerTable
from tuimon.ui.screens.layers.statistic_chart import StatisticChart
from tuimon.ui.viewer.moment import Moment

_MAPS = tuple(f"map {number}" for number in range(len(QUANTITIES)))
"""What the place of the map can show: a map of each quantity. Where room is short, other panels take turns with it."""

_TINY = 16
"""On fewer lines there is one panel at a time."""


class LayersScreen(BaseScreen):
    """The tables, the map, and panels about the layer under the cursor.

    A model without BatchNormalization has the table of gradients alone, and their chart.
    """

    screen_name = "layers"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("layers")

    def __init__(self) -> None:
        super().__init__()
        self._table = LayerTable()
        self._gradients = GradientTable()
        self._gradient_chart = GradientChart(id="layer-gradient")
        self._map = DriftMap(id="layer-map")
        self._channels = ChannelView()
        self._statistics = (
            StatisticChart("moving_mean", id="layer-mean"),
            StatisticChart("moving_variance", id="layer-variance"),
        )
        self._charts = Container(
            self._map, self._channels, self._gradients, *self._statistics, self._gradient_chart, id="layer-charts"
        )
        self._turn = 0
        self._has_batch_norm = True
        self._has_gradients = False

    def panels(self) -> Iterable[Widget]:
        """Yield the table of BatchNormalization, and a grid of the other panels."""
        yield self._table
        yield self._charts

    def on_mount(self) -> None:
        """Give the keys to the table."""
        self._table.focus()
        self._arrange()

    def on_resize(self, _: Resize) -> None:
        """Show the panels that there is room for."""
        self._arrange()

    def show(self, moment: Moment) -> None:
        """Show a moment, with the panels that its model has."""
        found = bool(moment.state.layers) or moment.state.model is None, bool(layer_gradients(moment.state))
        if found != (self._has_batch_norm, self._has_gradients):
            self._has_batch_norm, self._has_gradients = found
            self._arrange()
        had_gradients = self._gradients.length
        super().show(moment)
        self._table.styles.max_height = self._table.rows_wanted
        if not had_gradients:
            self._gradients.select(self._table.path)

    def on_layer_table_selected(self, event: LayerTable.Selected) -> None:
        """Draw the layer under the cursor."""
        for panel in (self._map, self._channels, *self._statistics):
            panel.show_layer(event.path)
        self._gradients.select(event.path)
        self.bar.layer_path = event.path
        self.bar.redraw()

    def on_gradient_table_selected(self, event: GradientTable.Selected) -> None:
        """Draw the gradient of the layer under the cursor, and select it in the other table if it is there."""
        self._gradient_chart.show_layer(event.path)
        if event.path is not None:
            self._table.select(event.path)

    def action_sort(self) -> None:
        """List the layers in another order."""
        (self._table if self._has_batch_norm else self._gradients).sort_by_next()

    def action_quantity(self) -> None:
        """Show another quantity in the map; where room is short, also other panels in its place."""
        if self._has_batch_norm:
            self._turn += 1
            self._arrange()

    @property
    def selected_layer(self) -> str | None:
        """Path of the layer under the cursor; None in a model without one."""
        return self._table.path

    def select_layer(self, path: str) -> None:
        """Put the cursor of the table on a layer."""
        self._table.select(path)

    def move_cursor(self, by: int) -> None:
        """Move the cursor of the table."""
        (self._table if self._has_batch_norm else self._gradients).move(by)

    def _arrange(self) -> None:
        """Show the panels that the model has and that there is room for."""
        is_wide, is_tall, is_tiny = self.size.width >= WIDE, self.size.height >= TALL, self.size.height < _TINY
        self.set_class(not self._has_batch_norm, "-no-batch-norm")
        one_place = not is_wide and not is_tall
        turns = _MAPS if is_wide else (*_MAPS, "gradients") if is_tall else ("channels", *_MAPS, "gradients")
        turns = ("table", *turns) if is_tiny else turns
        turn = turns[self._turn % len(turns)]
        if turn in _MAPS:
            self._map.show_quantity(QUANTITIES[_MAPS.index(turn)])
        shown: dict[CellView, bool] = {
            self._table: not is_tiny or turn == "table",
            self._map: turn in _MAPS,
            self._channels: not one_place or turn == "channels",
            # They have no column of their own before there are any.
            self._gradients: (is_wide and turn != "table" and self._has_gradients) or turn == "gradients",
            **dict.fromkeys(self._statistics, is_tall),
            self._gradient_chart: False,
        }
        if not self._has_batch_norm:
            shown = {panel: panel in (self._gradients, self._gradient_chart) for panel in shown}
            shown[self._gradient_chart] = not is_tiny
        for panel, is_shown in shown.items():
            panel.display = is_shown
        self._charts.display = any(is_shown for panel, is_shown in shown.items() if panel is not self._table)
        is_beside = is_wide and self._has_batch_norm and self._has_gradients
        self._gradients.styles.row_span = 2 if is_beside and is_tall else 1
        columns = 1 if not self._has_batch_norm or one_place else 3 if is_beside else 2
        self._charts.styles.grid_size_columns = columns
