"""The dashboard of a run, and the places of its panels at every size of the terminal."""

from collections.abc import Iterable
from typing import ClassVar

from msgspec import structs
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Resize
from textual.widget import Widget

from tuimon.runs.series import Series
from tuimon.ui.charts.metric_lines import lines_of, names_of
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.frame.base_screen import TALL, WIDE, BaseScreen, bindings_of
from tuimon.ui.screens.dashboard.gap_chart import GapChart
from tuimon.ui.screens.dashboard.loss_chart import LossChart
from tuimon.ui.screens.dashboard.waiting import Waiting
from tuimon.ui.screens.layers.drift_map import DriftMap
from tuimon.ui.screens.layers.layer_panel import LayerPanel
from tuimon.ui.screens.layers.layer_table import LayerTable
from tuimon.ui.screens.layers.statistic_chart import StatisticChart
from tuimon.ui.screens.timeline.panel import Timeline
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.view_memory import View

_OTHER_ROWS = 7
"""Rows of a small screen that the table leaves free, so that the line of keys stays on the screen."""
_TAKE_TURNS: dict[tuple[bool, bool], tuple[str, ...]] = {
    (False, False): ("loss", "gap", "drift", "moving-mean", "moving-variance"),
    (False, True): ("loss", "gap", "drift"),
    (True, False): ("drift", "moving-mean", "moving-variance"),
    (True, True): (),
}
"""The charts that share one place, for a screen that is wide or not, tall or not; the others have their own."""


class Dashboard(BaseScreen):
    """Charts, layers and events. It shows moments, and knows no logs and no requests."""

    screen_name = "dashboard"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("dashboard")

    def __init__(self) -> None:
        super().__init__()
        self._table = LayerTable()
        self._charts: dict[str, CellView] = {
            "loss": LossChart(id="loss"),
            "gap": GapChart(id="gap"),
            "drift": DriftMap(id="drift"),
            "moving-mean": StatisticChart("moving_mean", id="moving-mean"),
            "moving-variance": StatisticChart("moving_variance", id="moving-variance"),
        }
        self._chosen = "loss"

    def panels(self) -> Iterable[Widget]:
        """Yield the charts, the table and the newest events."""
        yield Waiting()
        yield Container(*self._charts.values(), id="charts")
        yield self._table
        yield Timeline()

    def on_mount(self) -> None:
        """Give the keys to the table."""
        self._table.focus()

    def on_resize(self, event: Resize) -> None:
        """Fit charts and table to the new size, and show the key that changes charts where they share a place."""
        self._fit_table(event.size.height)
        self._arrange()
        self.bar.tabs = bool(self._take_turns)
        self.bar.redraw()

    def on_layer_table_selected(self, event: LayerTable.Selected) -> None:
        """Draw the layer under the cursor."""
        for chart in self._charts.values():
            if isinstance(chart, LayerPanel):
                chart.show_layer(event.path)
        self.bar.layer_path = event.path
        self.bar.redraw()

    def remember(self, view: View) -> View:
        """Return ``view`` with the layer and the chart chosen here."""
        return structs.replace(view, layer=self.selected_layer or view.layer, chart=self.chosen_chart)

    @property
    def selected_layer(self) -> str | None:
        """Path of the layer under the cursor; None in a model without one."""
        return self._table.path

    def show(self, moment: Moment) -> None:
        """Show a moment: a sentence before the first fact, then the panels."""
        self.set_class(not moment.has_facts, "waiting")
        super().show(moment)
        self._fit_table(self.size.height)

    def shown_curves(self, moment: Moment) -> list[tuple[str, str, Series]]:
        """Return the curves of the loss."""
        name = names_of(moment.state)[:1]
        return [(metric, line.name, line.series) for metric in name for line in lines_of(moment.state, metric)]

    def move_cursor(self, by: int) -> None:
        """Move the cursor of the table."""
        self._table.move(by)

    def action_next_chart(self, by: int) -> None:
        """Show the next chart, where one is shown at a time."""
        turns = self._take_turns
        if turns:
            self._chosen = turns[(turns.index(self._shown_of(turns)) + by) % len(turns)]
            self._arrange()

    @property
    def chosen_chart(self) -> str:
        """The chart that is shown where there is one at a time."""
        return self._chosen

    def choose_chart(self, name: str) -> None:
        """Show this chart where there is one at a time."""
        if name in self._charts:
            self._chosen = name
            self._arrange()

    def select_layer(self, path: str) -> None:
        """Put the cursor of the table on a layer."""
        self._table.select(path)

    @property
    def _take_turns(self) -> tuple[str, ...]:
        """The charts of which one is shown at a time."""
        return _TAKE_TURNS[self.size.width >= WIDE, self.size.height >= TALL]

    def _shown_of(self, turns: tuple[str, ...]) -> str:
        return self._chosen if self._chosen in turns else turns[0]

    def _arrange(self) -> None:
        turns = self._take_turns
        for name, chart in self._charts.items():
            chart.display = name not in turns or name == self._shown_of(turns)

    def _fit_table(self, screen_height: int) -> None:
        most = 6 if screen_height < TALL else screen_height * 3 // 10
        most = min(most, max(4, screen_height - _OTHER_ROWS))
        height = min(self._table.rows_wanted, most)
        if self._table.styles.height is None or self._table.styles.height.value != height:
            self._table.styles.height = height
