"""The doctor's part of the page: verdict, sums, findings with their evidence, and what was not examined."""

from collections.abc import Sequence

from tuimon.diagnosis.examination import can_probe
from tuimon.diagnosis.finding import SEVERITIES, Finding
from tuimon.diagnosis.gap.sums import sums
from tuimon.diagnosis.gap.telling import telling
from tuimon.diagnosis.gap.whole import whole
from tuimon.diagnosis.verdict import verdict
from tuimon.numbers import figure
from tuimon.plot.axes import Axis
from tuimon.plot.joins import Joins
from tuimon.plot.undone import undone
from tuimon.report.curves import curve_for
from tuimon.report.findings import CURVES_OF_NOTES, SHOWN_OF_A_RULE, SIGNS
from tuimon.report.layout import sentence
from tuimon.report.page import (
    Row,
    basis,
    earlier,
    gap_rows,
    gap_title,
    not_examined,
    whole_rows,
    whole_title,
)
from tuimon.report.web.changes import marks_of
from tuimon.report.web.frame import framed
from tuimon.report.web.markup import Child, Markup, element, joined, outside
from tuimon.report.web.parts import named
from tuimon.report.web.shown_run import ShownRun
from tuimon.report.web.svg_chart import Chart, Line
from tuimon.text import plain

JUDGEMENTS = {"healthy": "✓ nothing found", "findings": "▲ something was found", "not examined": "? not all examined"}
_MOST_OTHERS = 200
"""Further findings of one rule that are named."""
_CHART_HEIGHT = 110


def verdict_section(shown: ShownRun, x: Axis) -> Markup:
    """Return verdict, sums, findings, and what was not examined."""
    state, subject = shown.state, shown.subject
    said = verdict(state, shown.found, subject.status, subject.errors, subject.lacks)
    parts: list[Child] = [element("p", said, class_=f"verdict {shown.judgement.replace(' ', '-')}")]
    told = telling(state)
    if told is None and can_probe(state, subject.status):
        parts.append(_command("probe", shown))
    if told is not None:
        parts.append(_sum(gap_title(told.probe), gap_rows(told)))
    apart = whole(state)
    if apart is not None and apart.is_worth_a_word:
        parts.append(_sum(whole_title(apart), whole_rows(apart, sums(state.probes[-1]).scale)))
    sums_part = element("div", parts[1:], class_="sums") if len(parts) > 1 else None
    return joined(parts[0], sums_part, _findings(shown, x), _earlier(shown), _blind(shown), _basis(shown))


def _sum(title: str, rows: Sequence[Row]) -> Markup:
    lines = [
        element(
            "tr",
            element("th", label.strip(), scope="row", class_="part" if label.startswith("  ") else role),
            element("td", text, class_="number"),
            element("td", note, class_="note"),
        )
        for label, text, note, role in rows
    ]
    return element("table", element("caption", sentence(title).rstrip(".")), element("tbody", lines), class_="sum")


def _findings(shown: ShownRun, x: Axis) -> Markup:
    drawn: set[str] = set()
    seen: dict[str, int] = {}
    cards: list[Markup] = []
    for number, finding in enumerate(shown.found):
        seen[finding.rule] = seen.get(finding.rule, 0) + 1
        if seen[finding.rule] <= SHOWN_OF_A_RULE:
            cards.append(_card(finding, number, shown, x, drawn))
        elif seen[finding.rule] == SHOWN_OF_A_RULE + 1:
            cards.append(_others(finding.rule, shown.found))
    if not cards:
        return element("p", "No finding.", class_="quiet")
    counts = [
        f"{number} {severity if severity != 'info' else 'note'}{'' if number == 1 else 's'}"
        for severity in reversed(SEVERITIES)
        if (number := sum(finding.severity == severity for finding in shown.found))
    ]
    over = shown.subject.is_over and any(finding.request for finding in shown.found)
    remark = element("p", "This run is over: the commands are for one that trains.", class_="quiet") if over else None
    return joined(element("h3", ", ".join(counts)), remark, cards)


def _card(finding: Finding, number: int, shown: ShownRun, x: Axis, drawn: set[str]) -> Markup:
    sign, role = SIGNS[finding.severity]
    word = "note" if finding.severity == "info" else finding.severity
    head = [
        element("span", f"{sign} {plain(finding.rule, 10)} {word}", class_=f"severity {role}"),
        outside(plain(finding.layer, 500), "strong") if finding.layer else None,
        element("span", f"step {finding.step:,}", class_="quiet"),
    ]
    pairs = [(plain(name, 60).replace("_", " "), figure(value)) for name, value in finding.evidence.items()]
    return element(
        "article",
        element("h4", [joined(part, " ") for part in head if part]),
        element("p", sentence(finding.what, finding.layer)),
        _curve(finding, number, shown, x, drawn),
        named(pairs) if pairs else None,
        element("p", element("span", "→ ", class_="good"), sentence(finding.advice, finding.layer)),
        _command(finding.request, shown) if finding.request else None,
        class_=f"finding {role}",
    )


def _curve(finding: Finding, number: int, shown: ShownRun, x: Axis, drawn: set[str]) -> Markup | None:
    curve = curve_for(finding, shown.found, shown.state)
    if curve is None or (finding.severity == "info" and finding.rule not in CURVES_OF_NOTES):
        return None
    key = f"{curve.title} {finding.layer}" if finding.rule in ("R5", "R8") else curve.title
    if key in drawn:
        return None
    drawn.add(key)
    title = curve.title.partition(",")[0]
    lines = (Line(title, curve.steps, curve.values, "curve", joins=Joins(curve.breaks)),)
    about = f"Step {finding.step:,} is where it was found."
    chart = Chart(title, about, lines, 2.0, curve.shows_zero, marks_of(shown.state), undone(shown.state.timeline))
    return framed(chart, x, f"finding-{number}", height=_CHART_HEIGHT, is_small=True)


def _others(rule: str, found: Sequence[Finding]) -> Markup:
    rest = [finding for finding in found if finding.rule == rule][SHOWN_OF_A_RULE:]
    shown = [
        element("li", f"{plain(finding.layer)}: {finding.what}" if finding.layer else finding.what)
        for finding in rest[:_MOST_OTHERS]
    ]
    if len(rest) > _MOST_OTHERS:
        shown.append(element("li", f"… and {len(rest) - _MOST_OTHERS:,} more"))
    return element("details", element("summary", f"{len(rest):,} more of {plain(rule, 10)}"), element("ul", shown))


def _earlier(shown: ShownRun) -> Markup | None:
    gone = earlier(shown.state, shown.found)
    if not gone:
        return None
    items = []
    for alert in gone[-_MOST_OTHERS:]:
        where = f" ({plain(alert.layer)})" if alert.layer else ""
        items.append(element("li", f"step {alert.step:,}: {plain(alert.rule, 10)} {plain(alert.what)}{where}"))
    summary = element("summary", f"Reported earlier, not now: {len(gone):,}")
    return element("details", summary, element("ul", items))


def _blind(shown: ShownRun) -> Markup | None:
    blind = not_examined(shown.examined)
    if not blind:
        return None
    items = [element("li", element("b", ", ".join(names)), ": ", why) for why, names in blind.items()]
    return joined(element("h3", "Not examined"), element("ul", items, class_="blind"))


def _basis(shown: ShownRun) -> Markup:
    return element("p", basis(shown.state), class_="quiet")


def _command(request: str, shown: ShownRun) -> Markup:
    text = f"tuimon send {plain(shown.subject.paste, 1000)} {plain(request, 1000)}"
    return element("pre", element("code", text), dir="ltr")
