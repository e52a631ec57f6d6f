"""The findings: what was found, its numbers, a curve where one helps, what to do."""

from collections.abc import Sequence

from tuimon.diagnosis.finding import SEVERITIES, Finding
from tuimon.numbers import figure
from tuimon.report.chart import chart
from tuimon.report.curves import curve_for
from tuimon.report.layout import Subject, command, section, sentence, text_width
from tuimon.report.lines import Line, Role, Span, aligned, as_text, line, pad, shorten
from tuimon.runs.state import RunState
from tuimon.text import plain, width_of, wrap

SHOWN_OF_A_RULE = 3
"""Findings of one rule that are shown in full; of the others, the layers."""
NAMED_LAYERS = 8
"""How many layers are named."""
SIGNS: dict[str, tuple[str, Role]] = {"error": ("✗", "error"), "warning": ("▲", "warning"), "info": ("·", "info")}
"""How heavy a finding is, without a colour and with one."""
CURVES_OF_NOTES = ("R1", "R2", "R11")
"""Rules whose curve is worth its room also where the finding is a note: a gap that was closed, a spike that is over."""
_CHART_BESIDE = 104
"""From this width on a chart is beside the numbers, not below them."""
_NUMBERS = 40


def ordered(found: Sequence[Finding]) -> list[Finding]:
    """Return findings by severity, the worst first, and within one by weight."""
    return sorted(found, key=lambda finding: (-SEVERITIES.index(finding.severity), -finding.weight))


def blocks(state: RunState, found: Sequence[Finding], subject: Subject, width: int) -> list[Line]:
    """Return the section of the findings; nothing where there are none."""
    if not found:
        return []
    counts = [
        f"{number} {severity if severity != 'info' else 'note'}{'' if number == 1 else 's'}"
        for severity in reversed(SEVERITIES)
        if (number := sum(finding.severity == severity for finding in found))
    ]
    lines = section(", ".join(counts), width)
    if subject.is_over and any(finding.request for finding in found):
        text = "This run is over: the commands are for one that trains."
        lines += [*(line(Span(words, "dim")) for words in wrap(text, text_width(width))), line()]
    drawn: set[str] = set()
    shown: dict[str, int] = {}
    parts = []
    for finding in found:
        shown[finding.rule] = shown.get(finding.rule, 0) + 1
        if shown[finding.rule] <= SHOWN_OF_A_RULE:
            parts.append(_finding(finding, found, state, subject, width, drawn))
        elif shown[finding.rule] == SHOWN_OF_A_RULE + 1:
            parts.append(_others(finding.rule, found, subject, width))
    for index, part in enumerate(parts):
        lines += [*([line()] if index else []), *part]
    return lines


def _finding(
    finding: Finding, found: Sequence[Finding], state: RunState, subject: Subject, width: int, drawn: set[str]
) -> list[Line]:
    sign, role = SIGNS[finding.severity]
    head = f" {plain(finding.rule, 10)} {finding.severity if finding.severity != 'info' else 'note'}"
    where = f"  step {finding.step:,}"
    room = width - width_of(sign + head + where) - 2
    layer = shorten(plain(finding.layer), max(8, room)) if finding.layer else ""
    lines = [line(Span(sign + head, role), Span(f"  {layer}" if layer else "", "strong"), Span(where, "dim"))]
    lines += [line(f"  {text}") for text in wrap(sentence(finding.what, finding.layer), text_width(width) - 2)]
    lines += _evidence(finding, _chart(finding, found, state, width, drawn), width)
    lines += [
        line(Span("→ ", "good"), text) if not index else line(f"  {text}")
        for index, text in enumerate(wrap(sentence(finding.advice, finding.layer), text_width(width) - 4))
    ]
    if finding.request:
        lines += command(finding.request, subject, "  ")
    return lines


def _chart(finding: Finding, found: Sequence[Finding], state: RunState, width: int, drawn: set[str]) -> list[Line]:
    curve = curve_for(finding, found, state)
    if curve is None or (finding.severity == "info" and finding.rule not in CURVES_OF_NOTES):
        return []
    # The same curve is not drawn twice.
    key = f"{curve.title} {finding.layer}" if finding.rule in ("R5", "R8") else curve.title
    if key in drawn:
        return []
    drawn.add(key)
    return chart(curve, width - (_NUMBERS if width >= _CHART_BESIDE else 4))


def _evidence(finding: Finding, beside: list[Line], width: int) -> list[Line]:
    """Return the numbers of a finding, one below the other, and its chart: beside them where there is room."""
    labels = [plain(name, 60).replace("_", " ") for name in finding.evidence]
    texts = aligned([figure(value) for value in finding.evidence.values()])
    name = min(max(map(width_of, labels), default=0), max(8, width - 6 - max(map(len, texts), default=0)))
    rows = []
    for label, text in zip(labels, texts, strict=True):
        *first, last = wrap(label, name) or [""]
        rows += [line(Span(f"    {part}", "dim")) for part in first]
        rows.append(line(Span(f"    {pad(last, name)}", "dim"), f"  {text}"))
    is_beside = width >= _CHART_BESIDE and all(width_of(as_text(row)) < _NUMBERS for row in rows)
    if not is_beside or not beside:
        return [*rows, *(line("    ", *pieces) for pieces in beside)]
    height = max(len(rows), len(beside))
    left = [*rows, *([line()] * (height - len(rows)))]
    right = [*beside, *([line()] * (height - len(beside)))]
    return [
        line(*first, " " * (_NUMBERS - sum(width_of(span.text) for span in first)), *second)
        for first, second in zip(left, right, strict=True)
    ]


def _others(rule: str, found: Sequence[Finding], subject: Subject, width: int) -> list[Line]:
    rest = [finding for finding in found if finding.rule == rule][SHOWN_OF_A_RULE:]
    named = list(dict.fromkeys(plain(finding.layer, 80) for finding in rest if finding.layer))
    names = ", ".join(named[:NAMED_LAYERS]) + (
        f" and {len(named) - NAMED_LAYERS} more" if len(named) > NAMED_LAYERS else ""
    )
    text = f"{len(rest)} more of {plain(rule, 10)}{f': {names}' if names else ''}. "
    text += "All of them:"
    sign, role = SIGNS[max(rest, key=lambda finding: SEVERITIES.index(finding.severity)).severity]
    first, *others = wrap(text, text_width(width) - 2)
    whole = Span(f"tuimon doctor {plain(subject.paste, 1000)} --json", "command")
    return [line(Span(sign, role), f" {first}"), *(line(f"  {words}") for words in others), line("    ", whole)]
