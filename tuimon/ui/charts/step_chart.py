"""The base of charts over steps."""

from functools import partial

from tuimon.plot.axes import Axis, fitted_axis, step_axis, ticks_in
from tuimon.plot.request_marks import marks
from tuimon.ui.charts.canvas import Canvas, Curve, draw_empty, put_middle
from tuimon.ui.charts.reduced_curves import Plot, ReducedCurves
from tuimon.ui.drawing.cell_view import CellView, draw_panel
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.viewer.moment import Moment


def steps_of(moment: Moment, newest: int, width: int) -> Axis:
    """Return the axis of steps that all charts of a moment share.

    Args:
        moment: The moment that is shown.
        newest: The last step that is drawn.
        width: Width of the axis, in cells.
    """
    state = moment.state
    last = max(state.step, newest)
    return step_axis(last, state.total_steps, exact=state.ended is not None, ticks=ticks_in(width))


class StepChart(CellView):
    """A panel with curves over steps. Subclasses supply the curves."""

    names_width = 6
    """Room at the right, for the names of the curves."""
    log_decades = 2.0
    """The values' axis is logarithmic when all are above 0 and they span more than this."""
    from_zero = False
    """True: the axis of the values always holds 0."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._reduced = ReducedCurves()

    def title(self, moment: Moment) -> str:
        """Return the panel's title."""
        raise NotImplementedError

    def legend(self, moment: Moment) -> list[tuple[str, int]]:
        """Return short texts with their colours for the upper edge of the panel."""
        raise NotImplementedError

    def curves(self, moment: Moment) -> list[Curve]:
        """Return the curves, from the back to the front."""
        raise NotImplementedError

    def empty_words(self, moment: Moment) -> str:
        """Return the sentence that stands in a chart without data."""
        raise NotImplementedError

    def room_for_names(self, width: int) -> int:
        """Return the width of the room right of the data, in a panel ``width`` cells wide."""
        del width
        return self.names_width

    def draw_names(self, canvas: Canvas, plot: Plot, curves: list[Curve], moment: Moment) -> None:
        """Write the names of the curves right of the data, at the height of their newest values."""
        del moment
        canvas.name(curves, plot.reduced, plot.values, self.names_width)

    def forget(self) -> None:
        """Forget all points: from now on the curves show something else."""
        self._reduced.forget()

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw axes, curves, marks and names, or a sentence without them."""
        curves = [curve for curve in self.curves(moment) if len(curve.steps)]
        if not curves:
            draw_empty(cells, self.title(moment), self.empty_words(moment))
            return
        width = cells.width - 2 - self.room_for_names(cells.width)
        steps = steps_of(moment, max(int(curve.steps[-1]) for curve in curves), width)
        plot = self._reduced.lay_out(
            cells,
            width,
            steps,
            lambda columns: self._reduced.of_curves(curves, steps, columns),
            partial(fitted_axis, log_decades=self.log_decades, from_zero=self.from_zero),
        )
        draw_panel(cells, self.title(moment) + plot.suffix, self.legend(moment))
        if not plot.has_values:
            put_middle(cells, plot.why_none)
        if plot.canvas is None:
            return
        plot.canvas.draw(curves, plot.reduced, plot.values)
        plot.canvas.mark(marks(moment.state), steps)
        self.draw_names(plot.canvas, plot, curves, moment)
