"""Draws one chart as SVG: each column of pixels keeps its smallest and its largest value, so a long run stays small.

Texts keep their size whatever the width: places along x are per cent, and only the lines are stretched.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct, field

from tuimon.numbers import figure
from tuimon.plot.axes import Axis, fitted_axis
from tuimon.plot.joins import JOINED, Joins
from tuimon.plot.raster import ColumnExtremes, DotArray
from tuimon.protocol.wire import FloatArray
from tuimon.report.web.markup import Markup, element, short
from tuimon.runs.series import IntArray

COLUMNS = 720
"""Columns that the points of a long line are reduced to."""
FEW_POINTS = 300
"""A line of fewer points is drawn point by point."""
DOTTED_POINTS = 60
"""A line of at most so many points shows each of them."""
_PER_LETTER = 2.3
"""Per cent of a narrow chart's width that a digit takes."""
_TICK_ROWS = 3
"""`fitted_axis` counts in lines of text: so many for each tick."""


class Line(Struct, frozen=True):
    """A line, or the area between two lines."""

    name: str
    """What the legend calls it."""
    steps: IntArray
    """Never descending, shape ``(points,)``."""
    values: FloatArray
    """Shape ``(points,)``."""
    kind: str
    """The class that style sheets know it by: `training`, `validation`, …"""
    upper: FloatArray | None = None
    """The other edge of an area; None for a line."""
    is_in_legend: bool = True
    """False for an area or a line that goes with another one."""
    joins: Joins = JOINED
    """Which of its points are joined."""


class ChangeMark(Struct, frozen=True):
    """A change, on all charts."""

    step: float
    label: str
    """Its number in the table of changes."""
    words: str
    """What was changed."""


class Chart(Struct, frozen=True):
    """What one chart shows."""

    title: str
    about: str
    """A sentence or two for the reader."""
    lines: tuple[Line, ...]
    """From the back to the front."""
    log_decades: float = 2.0
    """See `fitted_axis`."""
    from_zero: bool = False
    marks: tuple[ChangeMark, ...] = ()
    undone: tuple[tuple[int, int], ...] = ()
    """Steps whose effect a rollback or a resumption took back: after the first, up to the second."""


class Drawn(Struct):
    """A chart that is drawn."""

    plot: Markup
    """An `svg` element."""
    axis: Axis
    """The axis of its values."""
    non_finite: int = 0
    """How many values are not finite."""
    newest: dict[str, str] = field(default_factory=dict)
    """The newest value of each line, by its name."""


def draw(
    chart: Chart, x: Axis, prefix: str, *, width: float | str = "100%", height: int = 230, **place: float
) -> Drawn:
    """Draw a chart without a frame: labels of the axes lie outside of its edges, left and below.

    Args:
        chart: What to draw.
        x: The axis of steps.
        prefix: Begins the ids, so that they are the only ones of their kind on a page.
        width: In pixels, or in per cent of what is there.
        height: In pixels.
        place: `x` and `y` in another picture.
    """
    reduced = [_reduced(line, x) for line in chart.lines]
    both = [points for pair in reduced for points in pair]
    values = fitted_axis(
        [points.limits for points in both],
        [points.log_limits for points in both],
        height // 38 * _TICK_ROWS,
        log_decades=chart.log_decades,
        from_zero=chart.from_zero,
    )
    has_values = any(points.limits is not None for points in both)
    # Without any value, an axis would be made up.
    values = values if has_values else Axis(values.first, values.last, ())
    drawn = Drawn(Markup(), values)
    shapes: list[Markup] = []
    for line, points in zip(chart.lines, reduced, strict=True):
        shapes += _shapes(line, points, x, values, height)
        bad = int(np.count_nonzero(~np.isfinite(line.values)))
        drawn.non_finite += bad if line.is_in_legend else 0
        drawn.newest[line.name] = figure(float(line.values[-1])) if len(line.values) else "–"
    shapes += _bad(both, height)
    drawn.plot = element(
        "svg",
        element("title", chart.title, id=f"{prefix}-title"),
        element("desc", described(chart, drawn), id=f"{prefix}-desc"),
        _undone(chart, x, height),
        _grid(x, values, height),
        _mark_lines(chart, x, height),
        _data(shapes, height),
        _mark_labels(chart, x),
        None
        if has_values
        else element("text", "no finite value", x="50%", y=height / 2, text_anchor="middle", class_="tick"),
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        aria_labelledby=f"{prefix}-title {prefix}-desc",
        class_="chart",
        width=width,
        height=height,
        overflow="visible",
        **place,
    )
    return drawn


def _data(shapes: list[Markup], height: int) -> Markup:
    """Return what is stretched to the width."""
    return element(
        "svg",
        shapes,
        class_="data",
        viewBox=f"0 0 {COLUMNS} {height}",
        preserveAspectRatio="none",
        width="100%",
        height=height,
        overflow="visible",
        aria_hidden="true",
    )


def described(chart: Chart, drawn: Drawn) -> str:
    """Return what a chart shows, for those who do not see it."""
    said = [chart.about]
    for line in chart.lines:
        finite = np.isfinite(line.values)
        if not line.is_in_legend or not finite.any():
            continue
        steps, values = line.steps[finite], line.values[finite]
        said.append(
            f"{line.name}: {figure(float(values[0]))} at step {int(steps[0]):,}, {figure(float(values[-1]))} at step "
            f"{int(steps[-1]):,}, smallest {figure(float(values.min()))} at step {int(steps[values.argmin()]):,}, "
            f"largest {figure(float(values.max()))} at step {int(steps[values.argmax()]):,}."
        )
    if drawn.non_finite:
        said.append(f"{drawn.non_finite:,} values are not finite.")
    if drawn.axis.logarithmic:
        said.append("The axis of the values is logarithmic.")
    return " ".join(said)


def _reduced(line: Line, x: Axis) -> tuple[ColumnExtremes, ...]:
    edges = (line.values,) if line.upper is None else (line.values, line.upper)
    reduced = tuple(ColumnExtremes(COLUMNS, x.last, x.first) for _ in edges)
    for points, values in zip(reduced, edges, strict=True):
        points.update(line.steps, values, joins=line.joins)
    return reduced


def _shapes(line: Line, reduced: tuple[ColumnExtremes, ...], x: Axis, values: Axis, height: int) -> list[Markup]:
    if line.upper is not None:
        return [element("path", d=_area(line, reduced, x, values, height), class_=f"area {line.kind}")]
    if len(line.steps) > FEW_POINTS:
        return [element("path", d=_columns(reduced[0], values, height), class_=f"line {line.kind}")]
    at, y = _places(line.steps, x), _heights(line.values, values, height)
    parted = line.joins.parted(line.steps, line.values, slice(0, len(line.steps)))
    found = [element("path", d=_joined(at, y, parted), class_=f"line {line.kind}")]
    # A point that is joined with no other one is seen as a dot alone.
    if len(line.steps) <= DOTTED_POINTS or line.joins.is_held:
        dots = "".join(f"M{short(a)} {short(b)}h0" for a, b in zip(at, y, strict=True) if np.isfinite(b))
        found.append(element("path", d=dots, class_=f"dots {line.kind}"))
    return found


def _joined(at: FloatArray, y: FloatArray, parted: DotArray) -> str:
    """Return a path through points; a value that is not finite is a gap, and so is what no line joins."""
    parts, pen = [], "M"
    for a, b, is_apart in zip(at, y, parted, strict=True):
        pen = "M" if is_apart else pen
        if not np.isfinite(b):
            pen = "M"
            continue
        parts.append(f"{pen}{short(a)} {short(b)}")
        pen = "L"
    return "".join(parts)


def _columns(points: ColumnExtremes, values: Axis, height: int) -> str:
    """Return a path that goes in each column from its first to its smallest, its largest and its last value."""
    rows = (points.entry, points.low, points.high, points.exit)
    entry, low, high, leave = (np.round(_heights(row, values, height), 1) for row in rows)
    is_there = np.isfinite(points.low)
    parts, pen = [], "M"
    for column in range(points.columns):
        if not is_there[column]:
            # A column without any point is joined over, one with values that are not finite is a gap.
            pen = "M" if points.non_finite[column] else pen
            continue
        y = entry[column]
        pen = "M" if points.parted[column] else pen
        # As wide as the column: a line of one point would not be seen.
        parts.append(f"{pen}{column} {short(y)}" + ("h1" if points.parted[column] else ""))
        pen = "L"
        for stop in (low[column], high[column], leave[column]):
            if stop != y:
                parts.append(f"V{short(stop)}")
                y = stop
    return "".join(parts)


def _area(line: Line, reduced: tuple[ColumnExtremes, ...], x: Axis, values: Axis, height: int) -> str:
    if len(line.steps) <= FEW_POINTS and line.upper is not None:
        finite = np.isfinite(line.values) & np.isfinite(line.upper)
        at, lower, upper = _places(line.steps[finite], x), line.values[finite], line.upper[finite]
    else:
        finite = np.isfinite(reduced[0].low) & np.isfinite(reduced[1].high)
        at, lower, upper = np.flatnonzero(finite).astype(np.float64), reduced[0].low[finite], reduced[1].high[finite]
    bottom, top = _heights(lower, values, height), _heights(upper, values, height)
    there = [f"{short(a)} {short(b)}" for a, b in zip(at, top, strict=True)]
    back = [f"{short(a)} {short(b)}" for a, b in zip(at[::-1], bottom[::-1], strict=True)]
    return f"M{'L'.join([*there, *back])}Z" if there else ""


def _bad(reduced: Sequence[ColumnExtremes], height: int) -> list[Markup]:
    columns = np.flatnonzero(np.any([points.non_finite for points in reduced], axis=0)) if reduced else ()
    path = "".join(f"M{column} {height - 9}v9" for column in columns)
    return [element("path", d=path, class_="line bad")] if path else []


def _places(steps: IntArray, x: Axis) -> FloatArray:
    result: FloatArray = (steps.astype(np.float64) - x.first) / (x.last - x.first) * (COLUMNS - 1) + 0.5
    return result


def _heights(values: FloatArray, axis: Axis, height: int) -> FloatArray:
    with np.errstate(all="ignore"):
        result: FloatArray = np.clip((1.0 - axis.positions(values)) * height, 0, height)
        result[~np.isfinite(values)] = np.nan
    return result


def _grid(x: Axis, values: Axis, height: int) -> list[Markup]:
    found = []
    for value, label in values.ticks:
        y = float(_heights(np.array([value]), values, height)[0])
        is_zero = value == 0 and values.first < 0
        found.append(element("line", x1=0, x2="100%", y1=y, y2=y, class_="zero" if is_zero else "grid"))
        found.append(element("text", label, x=-7, y=y + 4, text_anchor="end", class_="tick"))
    for value, label in x.ticks:
        place = f"{short(_percent(value, x))}%"
        found.append(element("line", x1=place, x2=place, y1=height, y2=height + 4, class_="axis"))
        found.append(element("text", label, x=place, y=height + 18, text_anchor="middle", class_="tick"))
    found.append(element("line", x1=0, x2="100%", y1=height, y2=height, class_="axis"))
    return found


def _undone(chart: Chart, x: Axis, height: int) -> list[Markup]:
    found = []
    for first, last in chart.undone:
        left, right = _percent(first, x), _percent(last, x)
        box = element("title", f"steps {first + 1:,} to {last:,}: undone")
        width = f"{short(right - left)}%"
        found.append(element("rect", box, x=f"{short(left)}%", y=0, width=width, height=height, class_="undone"))
    return found


def _mark_lines(chart: Chart, x: Axis, height: int) -> list[Markup]:
    found: dict[str, list[str]] = {}
    for mark in chart.marks:
        found.setdefault(f"{short(round(_percent(mark.step, x), 1))}%", []).append(f"{mark.label}: {mark.words}")
    return [
        element("line", element("title", "\n".join(words)), x1=place, x2=place, y1=0, y2=height, class_="mark")
        for place, words in found.items()
    ]


def _mark_labels(chart: Chart, x: Axis) -> list[Markup]:
    """Return the numbers above the lines; those that would touch are one: `3–5`."""
    groups: list[tuple[float, str, str]] = []
    for mark in chart.marks:
        place = _percent(mark.step, x)
        if groups:
            begin, first, last = groups[-1]
            size = len(first) + (len(last) + 1 if last != first else 0) + len(mark.label) + 1
            if place - begin < _PER_LETTER * size / 2 + 1:
                groups[-1] = begin, first, mark.label
                continue
        groups.append((place, mark.label, mark.label))
    return [
        element(
            "text",
            first if first == last else f"{first}–{last}",
            x=f"{short(place)}%",
            y=-5,
            text_anchor="middle",
            class_="mark",
        )
        for place, first, last in groups
    ]


def _percent(step: float, x: Axis) -> float:
    return 100 * min(1.0, max(0.0, (step - x.first) / (x.last - x.first)))
