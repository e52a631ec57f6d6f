"""The screen of all metrics: a grid of charts, or one metric in full with its statistics."""

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
from msgspec import structs
from textual.binding import BindingType
from textual.containers import Container
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Input

from tuimon.numbers import percent
from tuimon.plot.smoothing import nearest_strength
from tuimon.plot.viewport import GRIDS, Viewport
from tuimon.plot.x_axis import StepsToX
from tuimon.runs.series import Series
from tuimon.settings import Settings
from tuimon.text import plain
from tuimon.ui.charts.metric_lines import lines_of, metrics_matching
from tuimon.ui.frame.base_screen import BaseScreen, bindings_of
from tuimon.ui.frame.searched_screen import SearchField
from tuimon.ui.screens.metrics.metric_chart import MetricChart
from tuimon.ui.screens.metrics.statistics import Statistics
from tuimon.ui.screens.metrics.status_line import StatusLine
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.opening_order import OpeningOrder
from tuimon.ui.viewer.view_memory import MetricsView, View

_STATISTICS_FROM = 17
"""Lines of a terminal that has room for a table below the chart."""
_NO_SPIKE = "no spike is shown: nothing stands out from what was before it"


class MetricsScreen(BaseScreen):
    """Charts of all metrics that match the filter, as many at a time as the grid has places.

    Args:
        settings: Hold the x axis and the smoothing to begin with.
    """

    screen_name = "metrics"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("metrics")

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.viewport = Viewport(
            x=settings.x_axis, smoothing=settings.smoothing, strength=nearest_strength(settings.smoothing_weight)
        )
        """The viewport of all charts."""
        self._moment: Moment | None = None
        steps_to_x = StepsToX()
        self._charts = [MetricChart(steps_to_x) for _ in range(max(rows * columns for rows, columns in GRIDS))]
        self._places = Container(*self._charts, id="metric-charts")
        self._status = StatusLine()
        self._statistics = Statistics()
        self._filter = SearchField("a glob or a regular expression; enter keeps it; esc clears, then closes")
        self._grid = GRIDS[2]
        self._is_full = False
        self._chosen = 0
        self._recalled = ""
        """The metric to choose as soon as the run has it."""
        self._order = OpeningOrder()
        self._said = ""
        """What the last key has to say; empty for nothing."""

    def panels(self) -> Iterable[Widget]:
        """Yield the status line, the charts, the statistics and the filter."""
        yield self._status
        yield self._places
        yield self._statistics
        yield self._filter

    def show(self, moment: Moment) -> None:
        """Show a moment, with charts for the metrics that it has."""
        self._moment = moment
        self._order.newest(self._open)
        self._arrange()
        super().show(moment)

    def shown_curves(self, moment: Moment) -> list[tuple[str, str, Series]]:
        """Return metric, line and points of each curve on the screen."""
        shown = [chart.metric for chart in self._charts if chart.display and chart.metric]
        return [(metric, line.name, line.series) for metric in shown for line in lines_of(moment.state, metric)]

    def recall(self, view: View) -> None:
        """Restore the saved zoom, grid and filter."""
        if (chosen := view.metrics) is not None:
            self.viewport = chosen.charts
            self._grid = chosen.grid if chosen.grid in GRIDS else self._grid
            self._is_full, self._recalled = chosen.is_full, chosen.metric
            self._filter.value = chosen.pattern

    def remember(self, view: View) -> View:
        """Return ``view`` with the zoom, grid and filter of now."""
        names = self._names()
        chosen = MetricsView(
            charts=self.viewport.without_cursor(),
            grid=self._grid,
            is_full=self._is_full,
            metric=names[self._chosen] if names else self._recalled,
            pattern=self._filter.value,
        )
        return structs.replace(view, metrics=chosen)

    def go_back(self) -> bool:
        """Close what was opened last: the cursor, the zoom, one metric in full, the filter; return whether any was."""
        match last := self._order.newest(self._open):
            case "cursor":
                self.viewport = self.viewport.without_cursor()
            case "zoom":
                self.viewport = self.viewport.all()
            case "full":
                self._is_full = False
            case "filter":
                self._filter.value = ""
        self._again()
        return last is not None

    @property
    def _open(self) -> dict[str, bool]:
        """What esc can close here, and whether it is open; of what was opened at once, the last comes first."""
        is_zoomed, has_cursor = self.viewport.span is not None, self.viewport.cursor is not None
        return {"filter": bool(self._filter.value), "full": self._is_full, "zoom": is_zoomed, "cursor": has_cursor}

    def show_metric(self, name: str) -> None:
        """Show one metric in full."""
        if name not in self._names():
            self._filter.value = ""
        self._recalled, self._is_full = name, True
        self._again()

    def read_at(self, step: int) -> None:
        """Put the cursor at a step."""
        if self._moment is not None:
            chart = self.chosen_chart
            x = float(chart.to_x(self._moment)(np.array([step]))[0])
            self.viewport = self.viewport.at(x, chart.whole(self._moment))
            self._again()

    @property
    def chosen_chart(self) -> MetricChart:
        """The chart that keys act on."""
        shown = [chart for chart in self._charts if chart.display]
        return next((chart for chart in shown if chart.is_chosen), self._charts[0])

    def move_cursor(self, by: int) -> None:
        """Choose another metric."""
        self._chosen += by
        self._again()

    def action_look(self, what: str, by: int = 1) -> None:
        """Change the viewport of all charts."""
        moment, viewport = self._moment, self.viewport
        if moment is None:
            return
        chart = self.chosen_chart
        whole, self._said = chart.whole(moment), ""
        match what:
            case "x":
                viewport = viewport.with_next_x()
            case "scale":
                viewport = viewport.with_next_scale()
            case "smoothing":
                viewport = viewport.with_next_smoothing()
            case "strength":
                viewport = viewport.with_strength(by)
            case "zoom":
                viewport = viewport.zoomed(whole, by, chart.least_span())
            case "pan":
                viewport = viewport.panned(whole, by)
            case "cursor":
                viewport = chart.cursor_moved(moment, by)
            case "spike":
                found = chart.at_spike(moment)
                viewport, self._said = found or viewport, "" if found else _NO_SPIKE
            case "all":
                viewport = viewport.all().without_cursor()
            case "follow":
                viewport = viewport.following()
        self.viewport = viewport
        self._again()

    def action_grid(self) -> None:
        """Show more charts at a time, or fewer."""
        self._grid = GRIDS[(GRIDS.index(self._grid) + 1) % len(GRIDS)]
        self._is_full = False
        self._again()

    def action_full(self) -> None:
        """Show one metric in full, or all again."""
        self._is_full = not self._is_full
        self._again()

    def action_filter(self) -> None:
        """Open the line in which a filter is typed."""
        self._filter.open()

    def on_input_changed(self, _: Input.Changed) -> None:
        """Show the metrics that match, while the filter is typed."""
        self._chosen = 0
        self._again()

    def on_metric_chart_pointed(self, event: MetricChart.Pointed) -> None:
        """Read values off at the clicked x; after a second click, show the whole run."""
        if event.is_second:
            self.action_look("all")
        elif self._moment is not None:
            self._choose(event.chart)
            self.viewport = self.viewport.at(event.x, event.chart.whole(self._moment))
            self._again()

    def on_metric_chart_dragged(self, event: MetricChart.Dragged) -> None:
        """Move all charts along x."""
        self._choose(event.chart)
        if self._moment is not None:
            self.viewport = self.viewport.moved(event.chart.whole(self._moment), event.by)
            self._again()

    def on_metric_chart_scrolled(self, event: MetricChart.Scrolled) -> None:
        """Zoom all charts in or out, at the mouse."""
        self._choose(event.chart)
        if self._moment is not None:
            whole = event.chart.whole(self._moment)
            self.viewport = self.viewport.zoomed(whole, event.by, event.chart.least_span(), event.x)
            self._again()

    def _choose(self, chart: MetricChart) -> None:
        found = self._names()
        if chart.metric in found:
            self._chosen = found.index(chart.metric)

    def _names(self) -> list[str]:
        return metrics_matching(self._moment.state, self._filter.value) if self._moment else []

    def _again(self) -> None:
        if self._moment is not None:
            self.show(self._moment)

    def _arrange(self) -> None:
        """Give each chart its metric, and its place."""
        found = self._names()
        if self._recalled in found:
            self._chosen, self._recalled = found.index(self._recalled), ""
        self._chosen = max(0, min(self._chosen, len(found) - 1))
        rows, columns = (1, 1) if self._is_full else self._grid
        most = _most(self.size)
        rows, columns = min(rows, most[0]), min(columns, most[1])
        room = rows * columns
        page = self._chosen // room
        shown = found[page * room : (page + 1) * room]
        # Metrics fewer than places share the whole room.
        columns = max(1, min(columns, len(shown)))
        rows = max(1, min(rows, -(-len(shown) // columns)))
        styles = self._places.styles
        if (styles.grid_size_rows, styles.grid_size_columns) != (rows, columns):
            styles.grid_size_rows, styles.grid_size_columns = rows, columns
        for position, chart in enumerate(self._charts):
            chart.display = position < len(shown) or (position == 0 and not found)
            metric = shown[position] if position < len(shown) else ""
            chart.look_at(metric, self.viewport, is_chosen=room > 1 and page * room + position == self._chosen)
        pattern = plain(self._filter.value, 60)
        self._charts[0].why_none = f"No metric matches “{pattern}”: esc shows all." if pattern else "No metric yet."
        self.bar.tell(_labels(self._open, is_alone=most == (1, 1), follows=self.viewport.follows))
        self._statistics.display = room == 1 and bool(found) and self.size.height >= _STATISTICS_FROM
        self._statistics.chart = self._charts[0]
        self._status.tell(
            self.viewport,
            self._part_words(),
            len(found),
            page + 1,
            -(-len(found) // room),
            self._filter.value,
            self._said,
        )

    def _part_words(self) -> str:
        """Return the share of x that is shown, in words; empty if all of it is."""
        if self._moment is None or self.viewport.span is None:
            return ""
        first, last = self._charts[0].whole(self._moment)
        share = self.viewport.span / (last - first)
        return f"{percent(share, 0 if share > 0.1 else 1)} of x: 0 shows all" if share < 1 else ""


def _most(size: Size) -> tuple[int, int]:
    """Return how many rows and columns of charts there is room for."""
    return max(1, size.height // 9), max(1, size.width // 38)


def _labels(opened: dict[str, bool], *, is_alone: bool, follows: bool) -> dict[str, str]:
    """Return what keys do now that do something else at other times, or nothing, by their actions.

    Args:
        opened: What esc can close, and whether it is open.
        is_alone: Whether there is room for one chart only.
        follows: Whether the newest points stay in view.
    """
    labels = {"screen.full": "all charts"} if opened["full"] else {}
    if is_alone:
        labels = {"screen.full": "", "screen.grid": ""}
    if follows and not opened["cursor"]:
        labels["screen.look('follow')"] = ""
    if not opened["zoom"] and not opened["cursor"]:
        labels["screen.look('all')"] = ""
    return labels
