"""A chart: curves of braille cells in a panel, on axes that plotext drew."""

from textual.events import Resize

from tuimon.plot.axes import Axis, fitted_axis, step_axis, ticks_in
from tuimon.plot.raster import ColumnExtremes
from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray
from tuimon.ui.charts.axes_frame import LABEL_WIDTH, plot_frame
from tuimon.ui.charts.canvas import Canvas, Curve
from tuimon.ui.charts.request_marks import marks
from tuimon.ui.drawing.cell_view import CellView, draw_panel
from tuimon.ui.drawing.cells import Cells, wrap
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment


def steps_of(moment: Moment, newest: int, width: int) -> Axis:
    """Return the axis of steps that all charts of a moment share.

    Args:
        moment: What is shown.
        newest: The last step that is drawn.
        width: Of the axis, in cells.
    """
    state = moment.state
    last = max(state.step, newest)
    return step_axis(last, state.total_steps, exact=state.ended is not None, ticks=ticks_in(width))


def draw_axes(cells: Cells, width: int, steps: Axis, values: Axis) -> Canvas | None:
    """Draw axes ``width`` cells wide into a panel and return the place for the data; None where there is no room."""
    height = cells.height - 2
    frame, origin = plot_frame(width, height, steps, values)
    if not origin:
        return None
    cells.chars[1 : 1 + height, 1 : 1 + width] = frame
    cells.codes[1 : 1 + height, 1 : 1 + width] = Meaning.DIM
    cells.codes[1:height, origin] = Meaning.FRAME
    cells.codes[height - 1, origin : 1 + width] = Meaning.FRAME
    return Canvas(cells, column=1 + origin, columns=width - origin, rows=height - 2)


def draw_empty(cells: Cells, title: str, words: str) -> None:
    """Draw a panel without data: a sentence in its middle."""
    draw_panel(cells, title)
    lines = wrap(words, cells.width - 8)
    for index, text in enumerate(lines[: max(0, cells.height - 2)]):
        cells.put(max(1, (cells.height - len(lines)) // 2) + index, 4, text, Meaning.DIM)


class Chart(CellView):
    """A panel with curves over steps. Subclasses say which.

    The points of each curve are reduced to columns once and kept: a new point costs the same in a run of
    any length.
    """

    names_width = 6
    """Room at the right, for the names of the curves."""
    log_decades = 2.0
    """The values' axis is logarithmic when all are above 0 and they span more than this."""
    from_zero = False
    """Whether the values' axis always holds 0."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._extremes: dict[tuple[str, int, int], ColumnExtremes] = {}

    def title(self, moment: Moment) -> str:
        """Return the panel's title."""
        raise NotImplementedError

    def legend(self, moment: Moment) -> list[tuple[str, int]]:
        """Return short texts with their colours for the upper edge of the panel."""
        raise NotImplementedError

    def curves(self, moment: Moment) -> list[Curve]:
        """Return what to draw, from the back to the front."""
        raise NotImplementedError

    def empty_words(self, moment: Moment) -> str:
        """Return what is said while there is nothing to draw."""
        raise NotImplementedError

    def room_for_names(self, width: int) -> int:
        """Return how much of a panel ``width`` cells wide is for what stands right of the data."""
        del width
        return self.names_width

    def draw_names(
        self,
        canvas: Canvas,
        moment: Moment,
        curves: list[Curve],
        reduced: list[tuple[ColumnExtremes, ...]],
        values: Axis,
    ) -> None:
        """Write what stands right of the data: the names of the curves at the height of their newest values."""
        del moment
        canvas.name(curves, reduced, values, self.names_width)

    def forget(self) -> None:
        """Forget reduced points: the curves are of something else from now on."""
        self._extremes.clear()

    def on_resize(self, event: Resize) -> None:
        """Forget what was reduced to columns of another width."""
        self.forget()
        super().on_resize(event)

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw the panel."""
        curves = [curve for curve in self.curves(moment) if len(curve.steps)]
        width, height = cells.width - 2 - self.room_for_names(cells.width), cells.height - 2
        if not curves:
            draw_empty(cells, self.title(moment), self.empty_words(moment))
            return
        steps = steps_of(moment, max(int(curve.steps[-1]) for curve in curves), width)
        values = self._value_axis(curves, steps, width, height)
        suffix = " (log)" if values.logarithmic else ""
        draw_panel(cells, self.title(moment) + suffix, self.legend(moment))
        canvas = draw_axes(cells, width, steps, values)
        if canvas is None:
            return
        reduced = [self._reduced(curve, steps, canvas.columns) for curve in curves]
        canvas.draw(curves, reduced, values)
        canvas.mark(marks(moment.state), steps)
        self.draw_names(canvas, moment, curves, reduced, values)

    def _value_axis(self, curves: list[Curve], steps: Axis, width: int, height: int) -> Axis:
        # Any number of columns knows the limits; nearly always it is the number that is drawn.
        columns = max(1, width - 1 - LABEL_WIDTH)
        limits = [points.limits for curve in curves for points in self._reduced(curve, steps, columns)]
        return fitted_axis(limits, height, log_decades=self.log_decades, from_zero=self.from_zero)

    def _reduced(self, curve: Curve, steps: Axis, columns: int) -> tuple[ColumnExtremes, ...]:
        edges = (curve.values,) if curve.upper is None else (curve.values, curve.upper)
        return tuple(
            self._column_extremes((curve.name, index, columns), curve.steps, values, steps.last)
            for index, values in enumerate(edges)
        )

    def _column_extremes(
        self, key: tuple[str, int, int], steps: IntArray, values: FloatArray, last: float
    ) -> ColumnExtremes:
        points = self._extremes.get(key)
        if points is None or points.last != last or points.consumed > len(steps):
            points = self._extremes[key] = ColumnExtremes(2 * key[2], last)
        points.update(steps, values)
        return points
