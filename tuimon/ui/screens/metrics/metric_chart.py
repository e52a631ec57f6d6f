"""The chart of one metric: any x, any part of it, smoothed or not, with a cursor that reads values off."""

from dataclasses import dataclass, replace

import numpy as np
from textual.events import Click, MouseDown, MouseMove, MouseScrollDown, MouseScrollUp, MouseUp, Resize
from textual.message import Message

from tuimon.plot.axes import Axis, fitted_axis, ticks_in
from tuimon.plot.numbers import number
from tuimon.plot.raster import ColumnExtremes, XOf, within
from tuimon.plot.smoothing import Smoothed
from tuimon.plot.viewport import Viewport
from tuimon.plot.x_axis import whole_axis, window_axis, words, x_of
from tuimon.text import plain
from tuimon.ui.charts.axes_frame import LABEL_WIDTH
from tuimon.ui.charts.canvas import Curve, in_legend
from tuimon.ui.charts.metric_lines import lines_of
from tuimon.ui.charts.request_marks import marks
from tuimon.ui.charts.step_chart import draw_axes, draw_empty
from tuimon.ui.drawing.cell_view import CellView, draw_panel
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

READ_DIGITS = 6
"""Of what is read off: as many as an axis that is looked at closely has in its labels."""
NAMES_WIDTH = 8
"""Room at the right, for the names of the curves."""
_CURSOR = "│"
_SMOOTH = "smooth"


@dataclass(frozen=True)
class Reading:
    """A value of a curve, as it is read off at the cursor."""

    name: str
    """Of the curve."""
    step: int
    """Of the point nearest to the cursor."""
    x: float
    """Of that point."""
    value: float
    """The point's own value."""
    meaning: Meaning
    """The curve's colour."""


class MetricChart(CellView):
    """One metric, looked at through a `Viewport`."""

    about = "The wheel zooms, dragging pans, a click reads values off."

    class Pointed(Message):
        """Somebody clicked into the chart."""

        def __init__(self, chart: "MetricChart", x: float) -> None:
            super().__init__()
            self.chart = chart
            """Which."""
            self.x = x
            """Where."""

    class Scrolled(Message):
        """Somebody turned the wheel over the chart."""

        def __init__(self, chart: "MetricChart", by: int) -> None:
            super().__init__()
            self.chart = chart
            """Which."""
            self.by = by
            """1: nearer; -1: further away."""

    class Dragged(Message):
        """Somebody moved the mouse over the chart with its button down."""

        def __init__(self, chart: "MetricChart", by: float) -> None:
            super().__init__()
            self.chart = chart
            """Which."""
            self.by = by
            """How much of x what is shown is to move on."""

    def __init__(self) -> None:
        super().__init__()
        self.metric = ""
        """What is drawn; empty: nothing."""
        self.view = Viewport()
        """How."""
        self.is_chosen = False
        """Whether keys mean this one."""
        self._extremes: dict[tuple[object, ...], ColumnExtremes] = {}
        self._smoothed: dict[str, Smoothed] = {}
        self._axis: tuple[Axis, int, int] | None = None
        self._held_at: int | None = None
        """The column where the mouse is, while its button is down."""
        self._was_dragged = False

    def look_at(self, metric: str, view: Viewport, *, is_chosen: bool) -> None:
        """Draw something, or in another way."""
        if metric != self.metric:
            self._smoothed.clear()
        if (metric, view.x, view.span, view.first) != (self.metric, self.view.x, self.view.span, self.view.first):
            self._extremes.clear()
        self.metric, self.view, self.is_chosen = metric, view, is_chosen

    def whole(self, moment: Moment) -> tuple[float, float]:
        """Return the first and the last x there are."""
        to_x = self.to_x(moment)
        ends = [to_x(line.series.steps[[0, -1]]) for line in lines_of(moment.state, self.metric)]
        if not ends:
            return 0.0, 1.0
        first = 0.0 if self.view.x in ("step", "relative") else float(min(pair[0] for pair in ends))
        return first, max(first + 1e-3, float(max(pair[1] for pair in ends)))

    def to_x(self, moment: Moment) -> XOf:
        """Return the way from steps to x."""
        return x_of(moment.state, self.view.x)

    def least_span(self) -> float:
        """Return the narrowest part that is worth a look."""
        return {"step": 4.0, "epoch": 0.01, "relative": 0.5, "wall": 0.5}[self.view.x]

    def readings(self, moment: Moment) -> list[Reading]:
        """Return what is read off at the cursor: of each curve its point that is nearest."""
        if self.view.cursor is None:
            return []
        to_x = self.to_x(moment)
        found = []
        for curve in self._curves(moment):
            x = to_x(curve.steps)
            index = int(np.searchsorted(x, self.view.cursor))
            near = [at for at in (index - 1, index) if 0 <= at < len(x)]
            at = min(near, key=lambda at: abs(x[at] - self.view.cursor))
            found.append(
                Reading(curve.name, int(curve.steps[at]), float(x[at]), float(curve.values[at]), curve.meaning)
            )
        return found

    def at_largest(self, moment: Moment) -> Viewport:
        """Return the view with the cursor at the largest value that is shown, of the line in front."""
        drawn = [line.series for line in lines_of(moment.state, self.metric)]
        if not drawn:
            return self.view
        whole, x = self.whole(moment), self.to_x(moment)(drawn[-1].steps)
        inside = within(x, *self.view.window(whole))
        values = np.where(np.isfinite(drawn[-1].values[inside]), drawn[-1].values[inside], -np.inf)
        return self.view.at(float(x[inside][np.argmax(values)]), whole) if len(values) else self.view

    def cursor_moved(self, moment: Moment, by: int) -> Viewport:
        """Return the view with the cursor so many columns further, at least at the next point."""
        to_x, whole = self.to_x(moment), self.whole(moment)
        first, last = self.view.window(whole)
        if self.view.cursor is None:
            return self.view.at(last if by < 0 else first, whole)
        columns = self._axis[2] if self._axis else 80
        wanted = self.view.cursor + by * (last - first) / (2 * max(1, columns))
        beyond = []
        for curve in self._curves(moment):
            x = to_x(curve.steps)
            index = int(np.searchsorted(x, self.view.cursor, "right" if by > 0 else "left")) - (by < 0)
            beyond += [float(x[index])] if 0 <= index < len(x) else []
        if beyond:
            wanted = max(wanted, min(beyond)) if by > 0 else min(wanted, max(beyond))
        return self.view.at(wanted, whole)

    def on_resize(self, event: Resize) -> None:
        """Forget what was reduced to columns of another width."""
        self._extremes.clear()
        super().on_resize(event)

    def on_click(self, event: Click) -> None:
        """Put the cursor where it was clicked."""
        if self._axis is not None and not self._was_dragged:
            axis, column, columns = self._axis
            share = (event.x - column + 0.5) / max(1, columns)
            if 0 <= share <= 1:
                self.post_message(self.Pointed(self, axis.first + share * (axis.last - axis.first)))

    def on_mouse_down(self, event: MouseDown) -> None:
        """Take hold of the chart."""
        self._held_at, self._was_dragged = event.x, False
        self.capture_mouse()

    def on_mouse_move(self, event: MouseMove) -> None:
        """Draw along what is held."""
        if self._held_at is not None and self._axis is not None and event.x != self._held_at:
            axis, _, columns = self._axis
            by = (self._held_at - event.x) / max(1, columns) * (axis.last - axis.first)
            self._held_at, self._was_dragged = event.x, True
            self.post_message(self.Dragged(self, by))

    def on_mouse_up(self, _: MouseUp) -> None:
        """Let go."""
        self._held_at = None
        self.release_mouse()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Look from further away."""
        event.stop()
        self.post_message(self.Scrolled(self, -1))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Look from nearer."""
        event.stop()
        self.post_message(self.Scrolled(self, 1))

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the panel."""
        self._axis = None
        if not self.metric:
            return
        title = plain(self.metric, 60)
        curves = self._curves(moment)
        if not curves:
            draw_empty(cells, title, "No value yet.")
            self._mark_chosen(cells)
            return
        width, height = cells.width - 2 - NAMES_WIDTH, cells.height - 2
        to_x = self.to_x(moment)
        axis = self._x_axis(moment, width)
        drawn = self._reduced(curves, to_x, axis, max(1, width - 1 - LABEL_WIDTH))
        values = fitted_axis([each.limits for points in drawn for each in points], height, scale=self.view.scale)
        draw_panel(cells, title + (" (log)" if values.logarithmic else ""), self._legend(moment, curves))
        self._mark_chosen(cells)
        canvas = draw_axes(cells, width, axis, values)
        if canvas is None:
            return
        self._axis = axis, canvas.column, canvas.columns
        reduced = self._reduced(curves, to_x, axis, canvas.columns)
        canvas.draw(curves, reduced, values)
        seen = [replace(mark, step=float(to_x(np.array([mark.step]))[0])) for mark in marks(moment.state)]
        canvas.mark(seen, axis)
        canvas.name(curves, reduced, values, NAMES_WIDTH)
        if self.view.cursor is not None and axis.first <= self.view.cursor <= axis.last:
            share = (self.view.cursor - axis.first) / (axis.last - axis.first)
            column = round(share * (2 * canvas.columns - 1)) // 2
            blank = np.isin(canvas.chars[:, column], [" ", "┊"])
            canvas.chars[blank, column] = _CURSOR
            canvas.codes[blank, column] = Meaning.STRONG

    def _curves(self, moment: Moment) -> list[Curve]:
        found = []
        for line in lines_of(moment.state, self.metric):
            smooths = line.can_be_smoothed and self.view.smoothing != "none"
            curve = line.curve(colors=self.has_colors)
            found.append(replace(curve, name="", meaning=Meaning.FRAME) if smooths else curve)
            if smooths:
                smooth = self._smooth(line.name).update(line.series.steps, line.series.values)
                found.append(Curve(_SMOOTH, smooth.steps, smooth.values, line.meaning, over="replace"))
        return found

    def _smooth(self, name: str) -> Smoothed:
        kept = self._smoothed.get(name)
        if kept is None or (kept.smoothing, kept.strength) != (self.view.smoothing, self.view.strength):
            kept = self._smoothed[name] = Smoothed(self.view.smoothing, self.view.strength)
            self._extremes.clear()
        return kept

    def _x_axis(self, moment: Moment, width: int) -> Axis:
        whole, ticks = self.whole(moment), ticks_in(width)
        if self.view.span is None or self.view.span >= whole[1] - whole[0]:
            state = moment.state
            totals = {"step": state.total_steps, "epoch": state.fit.epochs if state.fit else None}
            total = totals.get(self.view.x)
            return whole_axis(
                self.view.x, *whole, None if total is None else float(total), exact=state.ended is not None, ticks=ticks
            )
        return window_axis(self.view.x, *self.view.window(whole), ticks)

    def _reduced(self, curves: list[Curve], to_x: XOf, axis: Axis, columns: int) -> list[tuple[ColumnExtremes, ...]]:
        found: list[tuple[ColumnExtremes, ...]] = []
        for position, curve in enumerate(curves):
            key = (curve.name, position, columns)
            points = self._extremes.get(key)
            is_same = points is not None and (points.first, points.last) == (axis.first, axis.last)
            if points is None or not is_same or points.consumed > len(curve.steps):
                # In a long run, a small part is found and not looked for.
                skip = max(0, int(np.searchsorted(to_x(curve.steps), axis.first)) - 1) if self.view.span else 0
                points = self._extremes[key] = ColumnExtremes(2 * columns, axis.last, axis.first, skip)
            points.update(curve.steps, curve.values, to_x)
            found.append((points,))
        return found

    def _legend(self, moment: Moment, curves: list[Curve]) -> list[tuple[str, int]]:
        readings = self.readings(moment)
        if readings:
            at = words(self.view.x, self.view.cursor or 0.0)
            shown = [
                (f"{each.name} {number(each.value, READ_DIGITS)}", int(each.meaning)) for each in readings if each.name
            ]
            return [(at, int(Meaning.STRONG)), *shown]
        return [(in_legend(curve.name, float(curve.values[-1])), int(curve.meaning)) for curve in curves if curve.name]

    def _mark_chosen(self, cells: Cells) -> None:
        if self.is_chosen and cells.width and cells.height:
            for edge in (cells.codes[0], cells.codes[-1], cells.codes[:, 0], cells.codes[:, -1]):
                edge[edge == Meaning.FRAME] = Meaning.KEY
