"""The main charts of a run as one SVG picture, with legends and axes: for a paper, a slide, a ticket."""

from typing import TextIO

import numpy as np

from tuimon.export.output import text_output
from tuimon.plot.axes import Axis
from tuimon.plot.undone import undone
from tuimon.report.web.changes import marks_of
from tuimon.report.web.frame import swatch
from tuimon.report.web.markup import Markup, element, for_output, joined
from tuimon.report.web.run_charts import (
    NOTHING_TO_DRAW,
    axis_of,
    drift_charts,
    gap_charts,
    learning_rate_charts,
    metric_charts,
    statistic_charts,
)
from tuimon.report.web.shown_run import ShownRun, read_run
from tuimon.report.web.style import LIGHT, chart_rules
from tuimon.report.web.svg_chart import COLUMNS, Chart, Drawn, draw
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.text import plain, width_of, wrap

MOST_CHARTS = 8
"""The loss and the gap first, then further metrics."""
MOST_CHANGES = 30
"""Changes that are named."""
_LEFT, _RIGHT, _HEIGHT = 62, 24, 200
_HEAD, _LEGEND_LINE, _BELOW = 44, 18, 40
_WIDTH = _LEFT + COLUMNS + _RIGHT
_LETTER = 6.6
"""Pixels of a letter, about."""


def export(run: RunDirectory, out: str, stdout: TextIO | None = None) -> None:
    """Write a run as a picture of its charts to the file ``out``, whole or not at all; ``-``: to stdout.

    Args:
        run: The run.
        out: A path, or ``-``.
        stdout: Takes the text for ``-``; by default that of the process.

    Raises:
        OSError: The log cannot be read, or the file not written.
    """
    with text_output(out, stdout) as file:
        file.write(for_output(picture(read_run(run)), out))


@np.errstate(all="ignore")
def picture(shown: ShownRun) -> str:
    """Return the picture: dark on white, whatever shows it."""
    state, x = shown.state, axis_of(shown.state, is_over=shown.subject.is_over)
    metrics = metric_charts(state)
    of_layers = [*drift_charts(state), *statistic_charts(state)[:2]]
    chosen = [*metrics[:1], *gap_charts(state), *of_layers, *learning_rate_charts(state), *metrics[1:]][:MOST_CHARTS]
    parts, top = _changes(state, 40.0) if chosen else ([], 40.0)
    for number, chart in enumerate(chosen):
        drawn, top = _placed(chart, x, number, top)
        parts.append(drawn)
    if not chosen:
        parts.append(element("text", NOTHING_TO_DRAW, x=_LEFT, y=top + 20))
        top += 50
    head = f"{plain(shown.subject.name, 80)}: {shown.subject.status}, step {state.step:,}"
    drawing = element(
        "svg",
        element("title", head, id="title"),
        element("style", Markup(_rules())),
        element("rect", width=_WIDTH, height=top, fill=LIGHT["paper"]),
        element("text", head, x=_LEFT, y=28, class_="head"),
        parts,
        xmlns="http://www.w3.org/2000/svg",
        width=_WIDTH,
        height=top,
        viewBox=f"0 0 {_WIDTH} {top:.0f}",
        role="img",
        aria_labelledby="title",
        class_="chart",
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{drawing}\n'


def _changes(state: RunState, top: float) -> tuple[list[Markup], float]:
    """Return what the numbers in the charts stand for, and where the charts begin."""
    marks = marks_of(state)
    words = [f"{mark.label}: {mark.words}, step {mark.step:,.0f}" for mark in marks[:MOST_CHANGES]]
    if len(marks) > MOST_CHANGES:
        words.append(f"and {len(marks) - MOST_CHANGES:,} more")
    said = [f"Changes: {'; '.join(words)}."] if marks else []
    if undone(state.timeline):
        said.append("Shaded: steps whose effect a rollback or a resumption took back.")
    lines = [line for each in said for line in wrap(each, round(COLUMNS / _LETTER))]
    texts = [element("text", line, x=_LEFT, y=top + 8 + 16 * row) for row, line in enumerate(lines)]
    return texts, top + 16 * len(lines)


def _placed(chart: Chart, x: Axis, number: int, top: float) -> tuple[Markup, float]:
    """Return a chart with its title and legend, and where the next one begins."""
    # Drawn twice: how many lines the legend takes is known by then.
    drawn = draw(chart, x, f"chart-{number}", width=COLUMNS, height=_HEIGHT)
    legend, lines = _legend(chart, drawn, top + 38)
    begin = top + _HEAD + lines * _LEGEND_LINE + 4
    drawn = draw(chart, x, f"chart-{number}", width=COLUMNS, height=_HEIGHT, x_=_LEFT, y=begin)
    scale = " (log)" if drawn.axis.logarithmic else ""
    title = element("text", f"{chart.title}{scale} over steps", x=_LEFT, y=top + 20, class_="title")
    return joined(title, legend, drawn.plot), begin + _HEIGHT + _BELOW


def _legend(chart: Chart, drawn: Drawn, y: float) -> tuple[Markup, int]:
    parts: list[Markup] = []
    left, lines = float(_LEFT), 1
    for line in chart.lines:
        if not line.is_in_legend:
            continue
        words = plain(line.name, 60) if line.upper is not None else f"{plain(line.name, 60)} {drawn.newest[line.name]}"
        needed = 34 + width_of(words) * _LETTER + 14
        if left + needed > _LEFT + COLUMNS and left > _LEFT:
            left, lines, y = float(_LEFT), lines + 1, y + _LEGEND_LINE
        sign = swatch(line.kind, is_area=line.upper is not None)
        parts.append(element("g", sign, transform=f"translate({left:.0f} {y - 9:.0f})"))
        parts.append(element("text", words, x=left + 34, y=y + 1))
        left += needed
    return joined(parts), lines


def _rules() -> str:
    return (
        f"{chart_rules(LIGHT)}.chart text.head{{font-size:17px;font-weight:bold;fill:{LIGHT['strong']}}}"
        f".chart text.title{{font-size:14px;font-weight:bold;fill:{LIGHT['strong']}}}"
    )
