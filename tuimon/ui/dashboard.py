"""The one screen of a run: where its panels are, at every size of the terminal."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Resize
from textual.screen import Screen

from tuimon.ui.banner import Banner
from tuimon.ui.cell_view import CellView
from tuimon.ui.chart import Chart
from tuimon.ui.charts import LossChart, StatisticChart
from tuimon.ui.header import Header
from tuimon.ui.key_bar import KeyBar
from tuimon.ui.keys import KEYS
from tuimon.ui.layer_table import LayerTable
from tuimon.ui.moment import Moment
from tuimon.ui.timeline import Timeline
from tuimon.ui.waiting import Waiting

_OTHER_ROWS = 7
"""Of a small screen, those that are not the table's: the last one, with the keys, must not be pushed out."""


class Dashboard(Screen[None]):
    """Header, charts, layers, events, keys. Shows moments; knows nothing of logs and requests."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # What means another thing in a replay is one action all the same.
        Binding(keys, f"app.{action}", show=False)
        for keys, action in dict.fromkeys((key.keys, key.action) for key in KEYS)
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (140, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (32, "-tall"), (44, "-high")]

    def __init__(self) -> None:
        super().__init__()
        # Kept, not looked up: a message may come while the app is closing and its widgets are gone.
        self._table = LayerTable()
        self._bar = KeyBar()

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        yield Header()
        yield Banner()
        yield Waiting()
        with Container(id="charts"):
            yield LossChart(id="loss")
            yield StatisticChart("moving_mean", id="moving-mean")
            yield StatisticChart("moving_variance", id="moving-variance")
        yield self._table
        yield Timeline()
        yield self._bar

    def on_mount(self) -> None:
        """Begin with the loss."""
        self.query_one("#loss").add_class("chosen")
        self._table.focus()

    def on_resize(self, event: Resize) -> None:
        """Give the table the lines that it may have, and the footer its key."""
        self._fit_table(event.size.height)
        self._bar.tabs = event.size.height < 32 and event.size.width < 140
        self._bar.redraw()

    def on_layer_table_selected(self, event: LayerTable.Selected) -> None:
        """Draw the layer under the cursor."""
        for chart in self.query(StatisticChart):
            chart.show_layer(event.path)
        self._bar.layer_path = event.path
        self._bar.redraw()

    @property
    def selected_layer(self) -> str | None:
        """Path of the layer under the cursor; None where there is none."""
        return self._table.path

    def show(self, moment: Moment) -> None:
        """Show another moment."""
        self.set_class(not moment.has_facts, "waiting")
        for view in self.query(CellView):
            view.show(moment)
        self._fit_table(self.size.height)

    def move_cursor(self, by: int) -> None:
        """Move the cursor of the table."""
        self._table.move(by)

    def next_chart(self, by: int) -> None:
        """Choose another chart, where one is shown at a time."""
        charts = list(self.query(Chart))
        chosen = next((index for index, chart in enumerate(charts) if chart.has_class("chosen")), 0)
        for index, chart in enumerate(charts):
            chart.set_class(index == (chosen + by) % len(charts), "chosen")

    def _fit_table(self, screen_height: int) -> None:
        most = 6 if screen_height < 32 else screen_height * 3 // 10
        most = min(most, max(4, screen_height - _OTHER_ROWS))
        height = min(self._table.rows_wanted, most)
        if self._table.styles.height is None or self._table.styles.height.value != height:
            self._table.styles.height = height
