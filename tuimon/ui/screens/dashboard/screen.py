"""The dashboard of a run, and the places of its panels at every size of the terminal."""

from collections.abc import Iterable
from typing import ClassVar

from msgspec import structs
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Resize
from textual.widget import Widget

from tuimon.plot.metric_names import names_of
from tuimon.runs.series import Series
from tuimon.ui.charts.metric_lines import lines_of
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.frame.base_screen import BaseScreen, bindings_of
from tuimon.ui.screens.dashboard.arrangement import (
    COLUMNS,
    LAYERS,
    METRICS,
    WAITING,
    Arrangement,
    Contents,
    arrange,
    metric_name,
)
from tuimon.ui.screens.dashboard.gap_chart import GapChart
from tuimon.ui.screens.dashboard.gap_words import has_gap
from tuimon.ui.screens.dashboard.loss_chart import LossChart, OtherMetricChart, other_names
from tuimon.ui.screens.dashboard.waiting import Waiting
from tuimon.ui.screens.layers.drift_map import DriftMap
from tuimon.ui.screens.layers.gradient_table import GradientTable, rows_wanted
from tuimon.ui.screens.layers.layer_panel import LayerPanel
from tuimon.ui.screens.layers.layer_table import LayerTable
from tuimon.ui.screens.layers.statistic_chart import StatisticChart
from tuimon.ui.screens.timeline.panel import Timeline
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.view_memory import View


class Dashboard(BaseScreen):
    """Charts, layers and events. It shows moments, and knows no logs and no requests.

    A model without BatchNormalization has its metrics and the gradients of its layers in the places of those layers.
    """

    screen_name = "dashboard"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("dashboard")

    def __init__(self) -> None:
        super().__init__()
        self._table = LayerTable()
        self._gradients = GradientTable()
        self._events = Timeline()
        self._charts: dict[str, CellView] = {
            "loss": LossChart(id="loss"),
            "gap": GapChart(id="gap"),
            **{metric_name(place): OtherMetricChart(place, id=metric_name(place)) for place in range(METRICS)},
            "drift": DriftMap(id="drift"),
            "moving-mean": StatisticChart("moving_mean", id="moving-mean"),
            "moving-variance": StatisticChart("moving_variance", id="moving-variance"),
        }
        self._grid = Container(*self._charts.values(), id="charts")
        self._chosen = "loss"
        self._arrangement: Arrangement | None = None
        self._moment: Moment | None = None

    def panels(self) -> Iterable[Widget]:
        """Yield the charts, the tables and the newest events."""
        yield Waiting()
        yield self._grid
        yield self._table
        yield self._gradients
        yield self._events

    def on_mount(self) -> None:
        """Give the keys to the table."""
        self._table.focus()

    def on_resize(self, _: Resize) -> None:
        """Put the panels where they belong at the new size."""
        self._arrange()

    def on_layer_table_selected(self, event: LayerTable.Selected) -> None:
        """Draw the layer under the cursor."""
        for chart in self._charts.values():
            if isinstance(chart, LayerPanel):
                chart.show_layer(event.path)
        self.bar.layer_path = event.path
        self.bar.redraw()

    def remember(self, view: View) -> View:
        """Return ``view`` with the layer and the chart chosen here."""
        return structs.replace(view, layer=self._table.path or view.layer, chart=self.chosen_chart)

    @property
    def selected_layer(self) -> str | None:
        """Path of the layer under the cursor; None in a model without one, and where the table is not shown."""
        return self._table.path if self._table.display else None

    def show(self, moment: Moment) -> None:
        """Show a moment: a sentence before the first fact, then the panels."""
        self.set_class(not moment.has_facts, "waiting")
        self._moment = moment
        self._arrange()
        super().show(moment)

    def shown_curves(self, moment: Moment) -> list[tuple[str, str, Series]]:
        """Return the curves of the loss."""
        name = names_of(moment.state)[:1]
        return [(metric, line.name, line.series) for metric in name for line in lines_of(moment.state, metric)]

    def move_cursor(self, by: int) -> None:
        """Move the cursor of the table."""
        (self._table if self._table.display else self._gradients).move(by)

    def action_next_chart(self, by: int) -> None:
        """Show the next chart, where one is shown at a time."""
        turns = self._arrangement.turns if self._arrangement is not None else ()
        if turns:
            shown = turns.index(self._chosen) if self._chosen in turns else 0
            self._chosen = turns[(shown + by) % len(turns)]
            self._arrange()

    @property
    def chosen_chart(self) -> str:
        """The chart that is shown where there is one at a time."""
        return self._chosen

    def choose_chart(self, name: str) -> None:
        """Show this chart where there is one at a time."""
        if name in self._charts or name == LAYERS:
            self._chosen = name
            self._arrange()

    def select_layer(self, path: str) -> None:
        """Put the cursor of the table on a layer."""
        self._table.select(path)

    def _arrange(self) -> None:
        """Put the panels where they belong, if that is elsewhere than before."""
        has_facts = self._moment is not None and self._moment.has_facts
        # Before its first layout a screen has no size.
        width, height = self.size if self.size.area else self.app.size
        wanted = arrange(width, height, self._contents(), self._chosen) if has_facts else WAITING
        if wanted == self._arrangement:
            return
        self._arrangement = wanted
        self._grid.display = bool(wanted.rows)
        self._grid.styles.grid_rows = " ".join(row.height for row in wanted.rows) or "1fr"
        spans = {name: COLUMNS // len(row.charts) for row in wanted.rows for name in row.charts}
        for name, chart in self._charts.items():
            chart.display = name in spans
            chart.styles.column_span = spans.get(name, 1)
        has_batch_norm = self._contents().has_batch_norm
        for table, is_shown in ((self._table, has_batch_norm), (self._gradients, not has_batch_norm)):
            table.display = is_shown and bool(wanted.table)
            table.styles.height = wanted.table if wanted.rows or not wanted.table else "1fr"
        self._events.display = bool(wanted.events)
        self._events.styles.height = wanted.events
        self.bar.tabs = bool(wanted.turns)
        self.bar.layer_path = self.selected_layer
        self.bar.redraw()

    def _contents(self) -> Contents:
        moment = self._moment
        if moment is None:
            return Contents(has_batch_norm=True, is_probed=False, has_gap=False, metrics=0, table_rows=0)
        state = moment.state
        # Until the model is built, most will have these layers.
        is_others = state.run is not None and bool(state.run.source)
        has_batch_norm = bool(state.layers) or (state.model is None and not is_others)
        return Contents(
            has_batch_norm=has_batch_norm,
            is_probed=bool(state.probes),
            has_gap=has_gap(state),
            metrics=len(other_names(state)),
            table_rows=LayerTable.rows_for(moment) if has_batch_norm else rows_wanted(moment),
        )
