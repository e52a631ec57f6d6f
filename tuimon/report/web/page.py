"""A run as one page of HTML that needs nothing else: no script, no network. For a colleague, a ticket, an archive."""

import base64
import hashlib
import itertools
from typing import TextIO

import numpy as np

from tuimon.export.output import text_output
from tuimon.numbers import count, duration
from tuimon.plot.undone import undone
from tuimon.report.web.about import (
    environment_section,
    fits_section,
    notes_section,
    settings_section,
    values_section,
)
from tuimon.report.web.changes import changes_section, events_section, marks_of, when
from tuimon.report.web.frame import framed
from tuimon.report.web.layers import gradients_section, layers_section
from tuimon.report.web.markup import Child, Markup, element, for_output, joined, outside
from tuimon.report.web.parts import section
from tuimon.report.web.run_charts import NOTHING_TO_DRAW, axis_of, charts_of, metrics_without_chart
from tuimon.report.web.shown_run import ShownRun, read_run
from tuimon.report.web.style import page_style
from tuimon.report.web.verdict import JUDGEMENTS, verdict_section
from tuimon.runs import end_reasons
from tuimon.runs.facts_in_words import counted
from tuimon.runs.run_directory import RunDirectory
from tuimon.text import plain


def export(run: RunDirectory, out: str, stdout: TextIO | None = None) -> None:
    """Write a run as a page to the file ``out``, whole or not at all; ``-``: to stdout.

    Args:
        run: The run.
        out: A path, or ``-``.
        stdout: Takes the text for ``-``; by default that of the process.

    Raises:
        OSError: The log cannot be read, or the file not written.
    """
    with text_output(out, stdout) as file:
        file.write(for_output(page(read_run(run)), out))


@np.errstate(all="ignore")
def page(shown: ShownRun) -> str:
    """Return the page."""
    style = page_style()
    name = plain(shown.subject.name, 300)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(style)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content="tuimon"),
        element("title", f"{name}: {shown.subject.status}"),
        element("style", Markup(style)),
    )
    sections = _sections(shown)
    body = element("body", _header(shown, sections), element("main", [part for _, _, part in sections]), _footer(shown))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _policy(style: str) -> str:
    """Return what the page may do: show its own style. No script runs, nothing is loaded, no form is sent."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _sections(shown: ShownRun) -> list[tuple[str, str, Markup]]:
    """Return names, titles and sections, of those that have something to say."""
    state, is_over = shown.state, shown.subject.is_over
    x, changes = axis_of(state, is_over=is_over), changes_section(state, is_over=is_over)
    found: list[tuple[str, str, Child]] = [
        ("verdict", "Verdict", verdict_section(shown, x)),
        ("charts", "Charts", _charts(shown)),
        ("changes", "What was changed", joined(changes, events_section(state))),
        ("values", "Values", values_section(state)),
        ("fits", "Fits", fits_section(state)),
        ("layers", "BatchNormalization layers", joined(layers_section(state), gradients_section(state))),
        ("settings", "Settings", settings_section(shown)),
        ("environment", "Environment", environment_section(shown)),
        ("notes", "Notes and tags", notes_section(shown)),
    ]
    return [(name, title, section(title, name, part)) for name, title, part in found if part is not None]


def _header(shown: ShownRun, sections: list[tuple[str, str, Markup]]) -> Markup:
    state, subject = shown.state, shown.subject
    facts: list[Child] = [element("b", outside(subject.status)), JUDGEMENTS[shown.judgement]]
    if state.last_seq >= 0:
        total = f" of {count(state.total_steps)}" if state.total_steps and not state.ended else ""
        facts.append(f"step {count(state.step)}{total}")
        facts.append(f"{counted(state.epochs_ended, 'epoch')} ended")
    if state.run is not None:
        facts.append(joined("started ", when(state.run.time), " on ", outside(state.run.host)))
        if state.last_time is not None:
            facts.append(f"{duration(state.last_time - state.run.time)} long")
    facts += [outside(f"#{tag}") for tag in shown.tags.tags]
    parts: list[Child] = [
        element("h1", outside(subject.name)),
        element("ul", [element("li", each) for each in facts], class_="facts"),
    ]
    if state.ended is not None and (reason := end_reasons.of_ended(state.ended)):
        parts.append(element("p", outside(reason), class_="error"))
    if shown.tags.note:
        parts.append(element("p", outside(shown.tags.note)))
    if not subject.is_over:
        words = "It is not over: this page shows it as it was then, and does not follow it."
        parts.append(element("p", "Read ", when(shown.read_at), ". ", words, class_="quiet"))
    links = [joined(element("a", title, href=f"#{name}"), " ") for name, title, _ in sections]
    return element("header", parts, element("nav", links, aria_label="Sections"))


def _charts(shown: ShownRun) -> Markup:
    x, number = axis_of(shown.state, is_over=shown.subject.is_over), itertools.count()
    groups = [
        [framed(chart, x, f"chart-{next(number)}") for chart in charts] for charts in charts_of(shown.state) if charts
    ]
    if not groups:
        return element("p", NOTHING_TO_DRAW, class_="quiet")
    left_out = metrics_without_chart(shown.state)
    words = f"{counted(left_out, 'further metric')} without a chart; the log has all of them."
    return joined(
        _key(shown),
        [element("div", figures, class_="charts") for figures in groups],
        element("p", words, class_="quiet") if left_out else None,
    )


def _key(shown: ShownRun) -> Markup | None:
    """Return what the numbers and the shades of the charts mean; None where there are none."""
    said = []
    if marks_of(shown.state):
        said.append("Lines with numbers: what was changed, by the numbers of the table below.")
    if undone(shown.state.timeline):
        said.append("Shaded: steps whose effect a rollback or a resumption took back.")
    return element("p", " ".join(said), class_="quiet") if said else None


def _footer(shown: ShownRun) -> Markup:
    words = "Times are those of the machine that made it."
    return element("footer", element("p", "Made by tuimon, ", when(shown.read_at), ". ", words, class_="quiet"))
