"""Curves reduced to the columns of a chart, kept from one frame to the next."""

from collections.abc import Callable, Hashable, Sequence

from msgspec import Struct

from tuimon.plot.axes import Axis, fitted_axis
from tuimon.plot.joins import JOINED, Joins
from tuimon.plot.raster import ColumnExtremes, XOf, place_of
from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray
from tuimon.ui.charts.axes_frame import LABEL_WIDTH
from tuimon.ui.charts.canvas import Canvas, Curve, Reduced, draw_axes
from tuimon.ui.drawing.cells import Cells

_Limits = Sequence[tuple[float, float] | None]
AxisOf = Callable[[_Limits, _Limits, int], Axis]
"""Returns the axis for the limits of each curve, those of a logarithmic axis, and the chart's height."""


class Plot(Struct, frozen=True):
    """Axes that are drawn, and the reduced curves to draw between them."""

    canvas: Canvas | None
    """The canvas for the data; None if there is no room for it, or no finite value."""
    values: Axis
    """The axis of the values."""
    reduced: list[Reduced]
    """The points of each curve."""

    @property
    def has_values(self) -> bool:
        """Whether there is a finite value to draw."""
        return any(points.limits is not None for curve in self.reduced for points in curve)

    @property
    def why_none(self) -> str:
        """Why there is nothing to draw, in a sentence."""
        bad = any(points.non_finite.any() for curve in self.reduced for points in curve)
        return "No finite value here: all are nan or infinite." if bad else "No value here."

    @property
    def suffix(self) -> str:
        """Ends the title of the panel: " (log)" on a logarithmic scale."""
        return " (log)" if self.values.logarithmic else ""


class ReducedCurves:
    """Reduces curves to columns, and keeps the result.

    Until the axis of x or the width changes, only new points are looked at. So a new point costs the same in a run
    of any length.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, ColumnExtremes] = {}
        self._ends: dict[Hashable, int | None] = {}
        """The last step of each line that was looked at: another one there means other points."""
        self._drawn = 0, 0
        """Width of the axes in cells, and how many columns of cells were left for the data."""

    def forget(self) -> None:
        """Forget all points: from now on the curves show something else, or lie elsewhere along x."""
        self._kept.clear()

    def of_curves(self, curves: list[Curve], x: Axis, columns: int, x_of: XOf | None = None) -> list[Reduced]:
        """Return the points of each curve; for a band, those of both edges.

        Args:
            curves: A curve is recognized by its name and its place in the list.
            x: The axis of x.
            columns: How many columns of cells hold data.
            x_of: Converts steps to x; None: x is the step.
        """
        return [
            tuple(
                self.of((place, curve.name, edge), curve.steps, values, x, columns, x_of, curve.joins)
                for edge, values in enumerate((curve.values, curve.upper))
                if values is not None
            )
            for place, curve in enumerate(curves)
        ]

    def of(
        self,
        key: Hashable,
        steps: IntArray,
        values: FloatArray,
        x: Axis,
        columns: int,
        x_of: XOf | None = None,
        joins: Joins = JOINED,
    ) -> ColumnExtremes:
        """Return the points of one line.

        Args:
            key: Identifies the line from one frame to the next.
            steps: The steps of all its points; never descending.
            values: The values of all its points.
            x: The axis of x.
            columns: How many columns of cells hold data.
            x_of: Converts steps to x; None: x is the step.
            joins: Which points are joined.
        """
        points, wanted = self._kept.get(key), (2 * columns, x.first, x.last)
        is_another = points is not None and points.consumed and self._ends.get(key) != _step_at(steps, points.consumed)
        if points is None or (points.columns, points.first, points.last) != wanted or is_another:
            # Halving finds a small part of a long run without looking at all of it.
            skip = max(0, place_of(x.first, steps, x_of) - 1)
            points = self._kept[key] = ColumnExtremes(2 * columns, x.last, x.first, skip)
        points.update(steps, values, x_of, joins)
        self._ends[key] = _step_at(steps, points.consumed)
        return points

    def lay_out(
        self,
        cells: Cells,
        width: int,
        x: Axis,
        reduce: Callable[[int], list[Reduced]],
        axis_of: AxisOf = fitted_axis,
    ) -> Plot:
        """Draw axes that hold all values into a panel, and reduce the curves to their columns.

        Args:
            cells: The cells of the panel.
            width: Width of the axes, in cells.
            x: The axis of x.
            reduce: Returns the points of each curve for a number of columns.
            axis_of: Returns the axis for the limits of each curve, those of a logarithmic axis, and the chart's height.
        """
        # The number of columns depends on the labels of the values, and these on the limits. The limits are the same
        # for any number of columns, so the first guess is that of the frame before, which is nearly always right.
        before, columns = self._drawn
        if before != width:
            columns = max(1, width - 1 - LABEL_WIDTH)
        reduced = reduce(columns)
        lines = [points for curve in reduced for points in curve]
        values = axis_of([each.limits for each in lines], [each.log_limits for each in lines], cells.height - 2)
        without_canvas = Plot(None, values, reduced)
        if not without_canvas.has_values:
            # An axis would be made up.
            return without_canvas
        canvas = draw_axes(cells, width, x, values)
        if canvas is not None and canvas.columns != columns:
            reduced = reduce(canvas.columns)
        if canvas is not None:
            self._drawn = width, canvas.columns
        return Plot(canvas, values, reduced)


def _step_at(steps: IntArray, count: int) -> int | None:
    """Return the last one of the first ``count`` steps; None where there are fewer."""
    return int(steps[count - 1]) if 0 < count <= len(steps) else None
