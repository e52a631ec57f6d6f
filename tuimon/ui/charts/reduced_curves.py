"""Curves reduced to the columns of a chart, kept from one frame to the next."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from tuimon.plot.axes import Axis, fitted_axis
from tuimon.plot.raster import ColumnExtremes, XOf, place_of
from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray
from tuimon.ui.charts.axes_frame import LABEL_WIDTH
from tuimon.ui.charts.canvas import Canvas, Curve, Reduced, draw_axes
from tuimon.ui.drawing.cells import Cells

_AxisOf = Callable[[Sequence[tuple[float, float] | None], int], Axis]


@dataclass(frozen=True)
class Plot:
    """Axes that are drawn, and the curves that belong between them."""

    canvas: Canvas | None
    """The place for the data; None where there is no room."""
    values: Axis
    """The axis of the values."""
    reduced: list[Reduced]
    """The points of each curve."""

    @property
    def suffix(self) -> str:
        """What the title of the panel says of the scale."""
        return " (log)" if self.values.logarithmic else ""


class ReducedCurves:
    """The points of curves by columns.

    A curve is reduced once; then only new points are looked at, until the axis of x or the width changes. So a new
    point costs the same in a run of any length.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, ColumnExtremes] = {}
        self._drawn = 0, 0
        """Width of the axes in cells, and how many columns of cells were left for the data."""

    def forget(self) -> None:
        """Forget all points: the curves are of something else, or lie elsewhere along x, from now on."""
        self._kept.clear()

    def of_curves(self, curves: list[Curve], x: Axis, columns: int, x_of: XOf | None = None) -> list[Reduced]:
        """Return the points of each curve, of a band those of its lower and of its upper edge.

        Args:
            curves: Each has its name and its place in the list from one frame to the next.
            x: The axis.
            columns: How many columns of cells hold data.
            x_of: From steps to x; None: x is the step.
        """
        return [
            tuple(
                self.of((place, curve.name, edge), curve.steps, values, x, columns, x_of)
                for edge, values in enumerate((curve.values, curve.upper))
                if values is not None
            )
            for place, curve in enumerate(curves)
        ]

    def of(
        self, key: Hashable, steps: IntArray, values: FloatArray, x: Axis, columns: int, x_of: XOf | None = None
    ) -> ColumnExtremes:
        """Return the points of one line.

        Args:
            key: Which line this is.
            steps: Of all its points; never descending.
            values: Of all its points.
            x: The axis.
            columns: How many columns of cells hold data.
            x_of: From steps to x; None: x is the step.
        """
        points, wanted = self._kept.get(key), (2 * columns, x.first, x.last)
        if points is None or (points.columns, points.first, points.last) != wanted or points.consumed > len(steps):
            # A small part of a long run is found by halving.
            skip = max(0, place_of(x.first, steps, x_of) - 1)
            points = self._kept[key] = ColumnExtremes(2 * columns, x.last, x.first, skip)
        points.update(steps, values, x_of)
        return points

    def lay_out(
        self,
        cells: Cells,
        width: int,
        x: Axis,
        reduce: Callable[[int], list[Reduced]],
        axis_of: _AxisOf = fitted_axis,
    ) -> Plot:
        """Draw axes into a panel that hold all values.

        Args:
            cells: The panel's.
            width: Of the axes, in cells.
            x: The axis of x.
            reduce: Returns the points of each curve for a number of columns.
            axis_of: Returns the axis for the limits of each curve and the height of the chart.
        """
        # How many columns there are is known with the labels of the values, and these with the limits, which any
        # number of columns has. As many as in the frame before are nearly always right.
        before, columns = self._drawn
        if before != width:
            columns = max(1, width - 1 - LABEL_WIDTH)
        reduced = reduce(columns)
        values = axis_of([points.limits for curve in reduced for points in curve], cells.height - 2)
        canvas = draw_axes(cells, width, x, values)
        if canvas is not None and canvas.columns != columns:
            reduced = reduce(canvas.columns)
        if canvas is not None:
            self._drawn = width, canvas.columns
        return Plot(canvas, values, reduced)
