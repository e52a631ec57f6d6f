"""A chart with its title, its legend and its sentence, as a figure of the page."""

from tuimon.plot.axes import Axis
from tuimon.report.web.markup import Markup, element, joined, outside
from tuimon.report.web.svg_chart import Chart, Drawn, draw
from tuimon.runs.facts_in_words import counted

HEIGHT = 230
"""Of the data, in pixels."""


def framed(chart: Chart, x: Axis, prefix: str, *, height: int = HEIGHT, is_small: bool = False) -> Markup:
    """Return a figure.

    Args:
        chart: What to draw.
        x: The axis of steps.
        prefix: Begins its ids.
        height: Of the data, in pixels.
        is_small: True for a chart beside a text: it has no sentence of its own.
    """
    drawn = draw(chart, x, prefix, height=height)
    scale = " (log)" if drawn.axis.logarithmic else ""
    caption = element("figcaption", outside(chart.title, "strong"), f"{scale} over steps", legend(chart, drawn))
    about = None if is_small and not drawn.non_finite else element("p", chart.about, remarks(drawn), class_="quiet")
    return element(
        "figure", caption, element("div", drawn.plot, class_="plot"), about, class_="small" if is_small else None
    )


def legend(chart: Chart, drawn: Drawn) -> Markup | None:
    """Return the name of each line with its sign and its newest value."""
    items = [
        element(
            "li",
            swatch(line.kind, is_area=line.upper is not None),
            outside(line.name),
            element("span", f" {drawn.newest[line.name]}", class_="value") if line.upper is None else None,
        )
        for line in chart.lines
        if line.is_in_legend
    ]
    return element("ul", items, class_="legend")


def swatch(kind: str, *, is_area: bool) -> Markup:
    """Return a short piece of a line, or of an area."""
    if is_area:
        shape = element("path", d="M0 0h26v12h-26Z", class_=f"area {kind}")
    else:
        dot = element("path", d="M13 6h0", class_=f"dots {kind}") if kind not in ("batch", "smoothed") else None
        shape = joined(element("path", d="M0 6h26", class_=f"line {kind}"), dot)
    return element("svg", shape, width=26, height=12, viewBox="0 0 26 12", aria_hidden="true")


def remarks(drawn: Drawn) -> str:
    """Return what else is to be known of a chart; begins with a blank, or is empty."""
    return f" {counted(drawn.non_finite, 'value')} not finite: red at the lower edge." if drawn.non_finite else ""
