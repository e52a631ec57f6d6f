"""The chart of one metric: with any x, zoom and smoothing, and a cursor that reads values off."""

import math
from functools import partial

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from textual.events import Click, MouseDown, MouseMove, MouseScrollDown, MouseScrollUp, MouseUp
from textual.message import Message

from tuimon.plot.axes import Axis, decades_of, fitted_axis, ticks_in
from tuimon.plot.raster import XOf, place_of, steps_within
from tuimon.plot.request_marks import marks
from tuimon.plot.smoothing import Smoothed
from tuimon.plot.viewport import Viewport
from tuimon.plot.x_axis import StepsToX, whole_axis, window_axis, words
from tuimon.runs.state import RunState
from tuimon.text import plain
from tuimon.ui.charts.canvas import Canvas, Curve, draw_empty, in_legend, in_words, put_middle
from tuimon.ui.charts.low_chart import LOW, draw_low, low_canvas, put_low_title
from tuimon.ui.charts.metric_lines import lines_of
from tuimon.ui.charts.reduced_curves import AxisOf, ReducedCurves
from tuimon.ui.charts.spikes import spikes_of
from tuimon.ui.drawing.cell_view import CellView, draw_panel
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

READ_DIGITS = 6
"""Digits of a value that is read off: as many as the labels of an axis have when zoomed in far."""
NAMES_WIDTH = 8
"""Room at the right, for the names of the curves."""
_CURSOR = "│"
_WIDE = 60
"""A panel this wide has room for all digits of what is read off, and for its steps."""
_SMOOTH = "smooth"


class Reading(Struct, frozen=True):
    """A value of a curve, read off at the cursor."""

    name: str
    """The name of the curve."""
    step: int
    """The step of the point nearest to the cursor."""
    x: float
    """The x of that point."""
    value: float
    """The value of that point."""
    meaning: Meaning
    """The curve's colour."""


class MetricChart(CellView):
    """One metric, looked at through a `Viewport`.

    Args:
        steps_to_x: Converts steps to x; shared by all charts of the screen.
    """

    about = "The wheel zooms at the mouse, dragging pans, a click reads values off, a double click shows the whole run."

    class Pointed(Message):
        """Somebody clicked into the chart."""

        def __init__(self, chart: "MetricChart", x: float, *, is_second: bool = False) -> None:
            super().__init__()
            self.chart = chart
            """The chart."""
            self.x = x
            """The x that was clicked."""
            self.is_second = is_second
            """True for the second click of a double click."""

    class Scrolled(Message):
        """Somebody turned the wheel over the chart."""

        def __init__(self, chart: "MetricChart", by: int, x: float | None = None) -> None:
            super().__init__()
            self.chart = chart
            """The chart."""
            self.by = by
            """1: zoom in; -1: zoom out."""
            self.x = x
            """The x under the mouse; None where it is beside the data."""

    class Dragged(Message):
        """Somebody moved the mouse over the chart with its button down."""

        def __init__(self, chart: "MetricChart", by: float) -> None:
            super().__init__()
            self.chart = chart
            """The chart."""
            self.by = by
            """How far to move along x."""

    def __init__(self, steps_to_x: StepsToX) -> None:
        super().__init__()
        self.metric = ""
        """The metric that is drawn; empty for none."""
        self.why_none = ""
        """Why no metric is drawn, in a sentence."""
        self.viewport = Viewport()
        """The part of x that is shown, scale, smoothing and cursor."""
        self.is_chosen = False
        """True for the chart that keys act on."""
        self._steps_to_x = steps_to_x
        self._reduced = ReducedCurves()
        self._smoothed: dict[str, Smoothed] = {}
        self._axis: tuple[Axis, int, int] | None = None
        self._held_at: int | None = None
        """The column of the mouse while its button is down; None while it is up."""
        self._was_dragged = False

    def look_at(self, metric: str, viewport: Viewport, *, is_chosen: bool) -> None:
        """Take the metric to draw next, and the viewport."""
        if metric != self.metric:
            self._smoothed.clear()
        if (metric, viewport.x) != (self.metric, self.viewport.x):
            self._reduced.forget()
        self.metric, self.viewport, self.is_chosen = metric, viewport, is_chosen

    def whole(self, moment: Moment) -> tuple[float, float]:
        """Return the first and the last x of the metric."""
        to_x = self.to_x(moment)
        ends = [to_x(line.series.steps[[0, -1]]) for line in lines_of(moment.state, self.metric)]
        if not ends:
            return 0.0, 1.0
        first = 0.0 if self.viewport.x in ("step", "relative") else float(min(pair[0] for pair in ends))
        return first, max(first + 1e-3, float(max(pair[1] for pair in ends)))

    def to_x(self, moment: Moment) -> XOf:
        """Return the function that converts steps to x."""
        return self._steps_to_x.of(moment.state, self.viewport.x)

    def least_span(self) -> float:
        """Return the narrowest span of x to zoom in to."""
        return {"step": 4.0, "epoch": 0.01, "relative": 0.5, "wall": 0.5}[self.viewport.x]

    def readings(self, moment: Moment) -> list[Reading]:
        """Return the values at the cursor: the nearest point of each curve."""
        return self._read(self._curves(moment), self.to_x(moment))

    def at_spike(self, moment: Moment) -> Viewport | None:
        """Return the viewport with the cursor at the visible value that stands out most, from there at the next one.

        None where no value stands out.
        """
        lines, whole, to_x = lines_of(moment.state, self.metric), self.whole(moment), self.to_x(moment)
        first, last = self.viewport.window(whole)
        parts = [steps_within(line.series.steps, first, last, to_x) for line in lines]
        steps = dict.fromkeys(spike.step for spike in spikes_of(lines, self.metric, parts))
        places = [float(to_x(np.array([step]))[0]) for step in steps]
        if not places:
            return None
        here = places.index(self.viewport.cursor) if self.viewport.cursor in places else -1
        return self.viewport.at(places[(here + 1) % len(places)], whole)

    def cursor_moved(self, moment: Moment, by: int) -> Viewport:
        """Return the viewport with the cursor moved by columns of dots, and at least to the next point."""
        to_x, whole = self.to_x(moment), self.whole(moment)
        first, last = self.viewport.window(whole)
        if self.viewport.cursor is None:
            return self.viewport.at(last if by < 0 else first, whole)
        columns = self._axis[2] if self._axis else 80
        wanted = self.viewport.cursor + by * (last - first) / (2 * max(1, columns))
        beyond = []
        for curve in self._curves(moment):
            here = math.nextafter(self.viewport.cursor, math.inf) if by > 0 else self.viewport.cursor
            index = place_of(here, curve.steps, to_x) - (by < 0)
            if 0 <= index < len(curve.steps):
                beyond.append(float(to_x(curve.steps[index : index + 1])[0]))
        if beyond:
            wanted = max(wanted, min(beyond)) if by > 0 else min(wanted, max(beyond))
        return self.viewport.at(wanted, whole)

    def on_click(self, event: Click) -> None:
        """Ask for the cursor at the clicked x; with a second click, for the whole run."""
        if not self._was_dragged and (x := self._x_at(event.x)) is not None:
            self.post_message(self.Pointed(self, x, is_second=event.chain == 2))

    def _x_at(self, mouse: int) -> float | None:
        """Return the x under a column of the panel; None beside the data."""
        if self._axis is None:
            return None
        axis, column, columns = self._axis
        share = (mouse - column + 0.5) / max(1, columns)
        return axis.first + share * (axis.last - axis.first) if 0 <= share <= 1 else None

    def on_mouse_down(self, event: MouseDown) -> None:
        """Begin to drag."""
        self._held_at, self._was_dragged = event.x, False
        self.capture_mouse()

    def on_mouse_move(self, event: MouseMove) -> None:
        """Move the chart along with the mouse."""
        if self._held_at is not None and self._axis is not None and event.x != self._held_at:
            axis, _, columns = self._axis
            by = (self._held_at - event.x) / max(1, columns) * (axis.last - axis.first)
            self._held_at, self._was_dragged = event.x, True
            self.post_message(self.Dragged(self, by))

    def on_mouse_up(self, _: MouseUp) -> None:
        """End dragging."""
        self._held_at = None
        self.release_mouse()

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Zoom out."""
        event.stop()
        self.post_message(self.Scrolled(self, -1, self._x_at(event.x)))

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Zoom in."""
        event.stop()
        self.post_message(self.Scrolled(self, 1, self._x_at(event.x)))

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the curves, the marks and the cursor."""
        self._axis = None
        if not self.metric:
            draw_empty(cells, "metrics", self.why_none)
            return
        title = plain(self.metric, 60)
        curves = self._curves(moment)
        if not curves:
            draw_empty(cells, title, "No value yet.")
            self._mark_chosen(cells)
            return
        if cells.height < LOW:
            self._draw_low(cells, title, curves, moment)
            return
        width, to_x = cells.width - 2 - NAMES_WIDTH, self.to_x(moment)
        axis = self._x_axis(moment, width)
        plot = self._reduced.lay_out(
            cells,
            width,
            axis,
            lambda columns: self._reduced.of_curves(curves, axis, columns, to_x),
            self._axis_of,
        )
        readings = self._read(curves, to_x)
        legend = self._read_off(readings, cells.width) if readings else _legend(curves)
        draw_panel(cells, title + plot.suffix, legend, kept=len(readings[:1]))
        self._mark_chosen(cells)
        canvas = plot.canvas
        if not plot.has_values:
            put_middle(cells, plot.why_none)
        if canvas is None:
            return
        self._axis = axis, canvas.column, canvas.columns
        canvas.draw(curves, plot.reduced, plot.values)
        seen = [replace(mark, step=float(to_x(np.array([mark.step]))[0])) for mark in marks(moment.state)]
        canvas.mark(seen, axis)
        canvas.name(curves, plot.reduced, plot.values, NAMES_WIDTH)
        self._draw_cursor(canvas, axis)

    @property
    def _axis_of(self) -> AxisOf:
        return partial(fitted_axis, scale=self.viewport.scale, log_decades=decades_of(self.metric))

    def _draw_low(self, cells: Cells, title: str, curves: list[Curve], moment: Moment) -> None:
        """Draw what there is room for without frame and axes."""
        to_x, canvas = self.to_x(moment), low_canvas(cells)
        readings = self._read(curves, to_x)
        texts = self._read_off(readings, cells.width) if readings else _legend(curves)
        # The line in front says most.
        put_low_title(cells, title, [*texts[: len(readings[:1])], *reversed(texts[len(readings[:1]) :])])
        if canvas is None:
            return
        axis = self._x_axis(moment, canvas.columns)
        reduced = self._reduced.of_curves(curves, axis, canvas.columns, to_x)
        if draw_low(cells, canvas, curves, reduced, self._axis_of):
            self._axis = axis, canvas.column, canvas.columns
            self._draw_cursor(canvas, axis)

    def _draw_cursor(self, canvas: Canvas, axis: Axis) -> None:
        if self.viewport.cursor is not None and axis.first <= self.viewport.cursor <= axis.last:
            share = (self.viewport.cursor - axis.first) / (axis.last - axis.first)
            column = round(share * (2 * canvas.columns - 1)) // 2
            blank = np.isin(canvas.chars[:, column], [" ", "┊"])
            canvas.chars[blank, column] = _CURSOR
            canvas.codes[blank, column] = Meaning.STRONG

    def _curves(self, moment: Moment) -> list[Curve]:
        found = []
        for line in lines_of(moment.state, self.metric):
            smooths = line.can_be_smoothed and self.viewport.smoothing != "none"
            curve = line.curve(colors=self.has_colors)
            found.append(replace(curve, name="", meaning=Meaning.FRAME) if smooths else curve)
            if smooths:
                smooth = self._smooth(line.name).update(line.series.steps, line.series.values)
                smoothed = Curve(_SMOOTH, smooth.steps, smooth.values, line.meaning, over="replace", joins=line.joins)
                found.append(smoothed)
        return found

    def _smooth(self, name: str) -> Smoothed:
        kept = self._smoothed.get(name)
        if kept is None or (kept.smoothing, kept.strength) != (self.viewport.smoothing, self.viewport.strength):
            kept = self._smoothed[name] = Smoothed(self.viewport.smoothing, self.viewport.strength)
            self._reduced.forget()
        return kept

    def _x_axis(self, moment: Moment, width: int) -> Axis:
        whole, ticks, state = self.whole(moment), ticks_in(width), moment.state
        x, span = self.viewport.x, self.viewport.span
        if span is not None and span < whole[1] - whole[0]:
            return window_axis(x, *self.viewport.window(whole), ticks)
        total = {"step": state.total_steps, "epoch": _epochs(state)}.get(x)
        end = None if total is None else float(total)
        return whole_axis(x, *whole, end, exact=state.ended is not None, ticks=ticks)

    def _read_off(self, readings: list[Reading], width: int) -> list[tuple[str, int]]:
        """Return the place of the cursor and the values there, in a panel ``width`` cells wide.

        A value of another step than the place says has its step beside it, where there is room.
        """
        cursor, is_wide = self.viewport.cursor or 0.0, width >= _WIDE
        place, step = words(self.viewport.x, cursor), round(cursor)
        if self.viewport.x != "step":
            step = readings[-1].step
            place = f"{place}, step {step:,}" if is_wide else place
        shown = []
        for each in readings:
            if each.name:
                where = f" at {each.step:,}" if is_wide and each.step != step else ""
                value = in_words(each.name, each.value, *([READ_DIGITS] if is_wide else []))
                shown.append((f"{each.name} {value}{where}", int(each.meaning)))
        return [(place, int(Meaning.STRONG)), *shown]

    def _read(self, curves: list[Curve], to_x: XOf) -> list[Reading]:
        """Return the nearest point of each curve to the cursor."""
        if (cursor := self.viewport.cursor) is None:
            return []
        found = []
        for curve in curves:
            index = place_of(cursor, curve.steps, to_x)
            near = slice(max(0, index - 1), index + 1)
            steps, values = curve.steps[near], curve.values[near]
            x = to_x(steps)
            at = int(np.argmin(np.abs(x - cursor)))
            found.append(Reading(curve.name, int(steps[at]), float(x[at]), float(values[at]), curve.meaning))
        return found

    def _mark_chosen(self, cells: Cells) -> None:
        if self.is_chosen and cells.width and cells.height:
            for edge in (cells.codes[0], cells.codes[-1], cells.codes[:, 0], cells.codes[:, -1]):
                edge[edge == Meaning.FRAME] = Meaning.KEY


def _legend(curves: list[Curve]) -> list[tuple[str, int]]:
    return [(in_legend(curve.name, float(curve.values[-1])), int(curve.meaning)) for curve in curves if curve.name]


def _epochs(state: RunState) -> int | None:
    """Return the epoch of the run at which its newest fit will end; None while not known."""
    epochs = state.fit.epochs if state.fit else None
    return None if epochs is None else epochs + state.fits.epochs_before
