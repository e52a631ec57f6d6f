"""What was changed, when, by whom, and what came of it: one table, whose numbers mark the charts."""

import time
from collections.abc import Sequence

from msgspec import Struct

from tuimon.numbers import signed_figure
from tuimon.plot.request_marks import marks
from tuimon.protocol import events
from tuimon.protocol.commands import Note
from tuimon.protocol.wire import from_wire
from tuimon.report.web.markup import Child, Markup, element, joined, outside, sentence
from tuimon.report.web.parts import more, table
from tuimon.report.web.svg_chart import ChangeMark
from tuimon.runs import facts_in_words
from tuimon.runs.state import Command, RunState, TimelineEntry
from tuimon.text import plain

MOST_ROWS = 400
"""Of more changes, and of more other events, the newest are listed."""
SHOWN_ROWS = 40
"""Rows that are seen without opening the rest."""


class Change(Struct, frozen=True):
    """One row."""

    label: str
    """Its number, or nothing if it is on no chart."""
    entry: TimelineEntry


def changes_of(state: RunState) -> list[Change]:
    """Return what changed the run, in the order of the log: requests, rollbacks, resumptions, further fits."""
    marked = {mark.seq for mark in marks(state)}
    found = []
    number = 0
    for entry in state.timeline:
        is_change = isinstance(entry, Command | events.RolledBack | events.RunResumed | events.Recalibrated)
        if not is_change and not (isinstance(entry, events.FitStarted) and state.fits.are_several):
            continue
        is_marked = entry.seq in marked
        number += is_marked
        found.append(Change(str(number) if is_marked else "", entry))
    return found


def marks_of(state: RunState) -> tuple[ChangeMark, ...]:
    """Return the marks of the charts, with the numbers of their rows, in the order of the steps."""
    labels = {change.entry.seq: change.label for change in changes_of(state)}
    found = [ChangeMark(mark.step, labels.get(mark.seq, ""), mark.word) for mark in marks(state)]
    return tuple(sorted(found, key=lambda mark: mark.step))


def changes_section(state: RunState, *, is_over: bool) -> Markup:
    """Return the table of changes."""
    changes = changes_of(state)
    if not changes:
        words = f"Nothing was changed{'' if is_over else ' so far'}: no request, no rollback."
        return element("p", words, class_="quiet")
    rows = [_row(change, state) for change in changes[-MOST_ROWS:]]
    heads = ("no.", "step", "time", "what", "who", "what came of it")
    left_out = len(changes) - len(rows)
    return joined(
        element("p", "The numbers are those above the lines in the charts.", class_="quiet"),
        element("p", f"{left_out:,} earlier ones are in the log.", class_="quiet") if left_out else None,
        more(table(heads, rows[-SHOWN_ROWS:], numbers=(0, 1), kind="cards"), *_older(heads, rows)),
    )


def events_section(state: RunState) -> Markup | None:
    """Return what else happened: starts, checkpoints, alerts, evaluations, notes, ends."""
    entries = [entry for entry in state.timeline if not isinstance(entry, Command)]
    said = [(entry, _said(entry, state)) for entry in entries]
    rows = [(f"{entry.step:,}", when(entry.time), words) for entry, words in said if words]
    if not rows:
        return None
    summary = f"{facts_in_words.counted(len(rows), 'event')}: starts, checkpoints, alerts, evaluations, notes"
    left_out = max(0, len(rows) - MOST_ROWS)
    return element(
        "details",
        element("summary", summary),
        element("p", f"{left_out:,} earlier ones are in the log.", class_="quiet") if left_out else None,
        table(("step", "time", "what happened"), rows[-MOST_ROWS:], numbers=(0,)),
    )


def notes_of(state: RunState) -> list[events.Note]:
    """Return the notes that were left while it trained."""
    return [entry for entry in state.timeline if isinstance(entry, events.Note)]


def when(seconds: float) -> Markup:
    """Return a time of day with its date, as this machine's clock has it."""
    local = time.localtime(max(0.0, min(seconds, 2**33)))
    iso = time.strftime("%Y-%m-%dT%H:%M:%S%z", local)
    return element("time", time.strftime("%Y-%m-%d %H:%M:%S", local), datetime=iso)


def _older(heads: Sequence[str], rows: list[tuple[Child, ...]]) -> tuple[str, Markup | None]:
    older = rows[:-SHOWN_ROWS]
    return f"{len(older):,} earlier changes", table(heads, older, numbers=(0, 1), kind="cards") if older else None


def _row(change: Change, state: RunState) -> tuple[Child, ...]:
    entry = change.entry
    label = element("span", change.label, class_="number") if change.label else ""
    if isinstance(entry, Command):
        what: Child = outside(plain(_asked(entry), 500))
        who: Child = outside(_sender(entry.sender))
        return label, f"{entry.step:,}", when(entry.time), what, who, _outcome(entry, state)
    return label, f"{entry.step:,}", when(entry.time), facts_in_words.of(entry, state), "trainer", ""


def _asked(command: Command) -> str:
    return f"note: {command.request.text}" if isinstance(command.request, Note) else command.words


def _sender(sender: events.Sender) -> str:
    at = f"@{plain(sender.host, 60)}" if sender.host else ""
    return f"{plain(sender.user, 40)}{at}" if sender.user else f"uid {sender.uid}"


def _outcome(command: Command, state: RunState) -> Markup:
    parts = [_sign(command.applied), sentence(facts_in_words.became(command))]
    if command.verified is not None:
        words = facts_in_words.verified(command.verified)
        parts += [element("br"), _sign(command.verified.held), sentence(words)]
    if effect := _effect(command, state):
        parts += [element("br"), element("span", effect, class_="effect")]
    return joined(parts)


def _sign(is_good: bool) -> Markup:
    return element("span", "✓ " if is_good else "✗ ", class_="good" if is_good else "error")


def _effect(command: Command, state: RunState) -> str:
    """Return how far the gap is from what it was, by the probes before and after a request that changed something."""
    if not command.applied or not command.has_changed_something:
        return ""
    before = next((probe for probe in reversed(state.probes) if probe.time < command.time), None)
    after = next((probe for probe in state.probes if probe.time > command.time), None)
    if before is None or after is None:
        return ""
    gaps = from_wire(before.gap), from_wire(after.gap)
    return (
        f"gap {signed_figure(gaps[0], 3)} at step {before.step:,} before it, "
        f"{signed_figure(gaps[1], 3)} at step {after.step:,} after it"
    )


def _said(entry: TimelineEntry, state: RunState) -> str:
    if isinstance(entry, Command | events.RolledBack | events.RunResumed | events.Recalibrated):
        return ""
    return facts_in_words.of(entry, state)
