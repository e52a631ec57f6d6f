"""The page: the verdict, what the gap is made of, the findings, the layers, and the facts that all of it rests on."""

from collections.abc import Sequence

import numpy as np

from tuimon.diagnosis import time_split
from tuimon.diagnosis.examination import Examined, can_probe, examine
from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.gap.shares import ALIKE, PARTS, gap_shares, share_error
from tuimon.diagnosis.gap.sums import Scale, sums
from tuimon.diagnosis.gap.telling import Telling, telling
from tuimon.diagnosis.gap.whole import Whole, whole
from tuimon.diagnosis.generalization import data_part
from tuimon.diagnosis.verdict import verdict
from tuimon.numbers import figure, portion
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.report.findings import blocks, ordered
from tuimon.report.gradients import gradients
from tuimon.report.layer_shares import layer_shares, legend, said_of_cause, table
from tuimon.report.layout import Subject, command, section, text_width
from tuimon.report.lines import Line, Role, Span, aligned, as_text, line, pad, shorten
from tuimon.runs import end_reasons
from tuimon.runs.best import SHOWN
from tuimon.runs.facts_in_words import PART_NAMES
from tuimon.runs.state import RunState
from tuimon.text import plain, width_of, wrap

WIDEST_TABLE = 130
"""In cells; no table needs more."""
Row = tuple[str, str, str, Role]
"""Label, number, note and role of a row of the sum."""
WORDS_OF_WHOLE = {
    "epoch mean": "mean - end of epoch",
    "weighting": "sample and class weights",
    "data": "other data",
    "rest": "batches not probed",
}
"""What the parts of a whole difference mean, where their names do not say it."""
MOST_FITS = 10
"""Of several fits, the newest ones are listed."""
EARLIER = 3
"""Findings that are no longer there: how many of the newest are shown."""


@np.errstate(all="ignore")
def page(state: RunState, found: Sequence[Finding], subject: Subject, width: int) -> list[Line]:
    """Return the page.

    Args:
        state: What the run's log says.
        found: What the rules find in it.
        subject: Its name and what it does.
        width: Of the terminal, in cells. Only commands to paste may be longer.
    """
    found, told = ordered(found), telling(state)
    lines = [_title(state, subject, width), line()]
    said = verdict(state, found, subject.status, subject.errors, subject.lacks)
    lines += [line(Span(text, "strong")) for text in wrap(said, text_width(width))]
    if told is None and can_probe(state, subject.status):
        lines += [line(), *command("probe", subject, "")]
    if told is not None:
        lines += _gap(told, width)
    parts = whole(state)
    if parts is not None and parts.is_worth_a_word:
        lines += _whole(parts, sums(state.probes[-1]).scale, width)
    lines += blocks(state, found, subject, width)
    if told is not None and told.probe.layers:
        lines += _layers(state, told, width)
    lines += gradients(state, width)
    lines += _fits(state, width)
    lines += _earlier(state, found, width)
    lines += _not_examined(examine(state, found, subject.errors, is_over=subject.is_over), width)
    return [*lines, line(), *(line(Span(text, "dim")) for text in wrap(basis(state), text_width(width)))]


def _title(state: RunState, subject: Subject, width: int) -> Line:
    where = f"step {state.step:,}" if state.last_seq >= 0 else "no line in the log"
    by = end_reasons.stopped_by(state.ended) if subject.status == "stopped" else ""
    status = f"{subject.status}{f' by {by}' if by else ''}, {where}"
    name = shorten(plain(subject.name), max(8, width - width_of(status) - 3))
    return line(Span(name, "strong"), "   ", Span(status, "dim"))


def _gap(told: Telling, width: int) -> list[Line]:
    return [*section(gap_title(told.probe), width), *_sum_lines(gap_rows(told), width)]


def gap_title(probe: events.Probe) -> str:
    """Return what `gap_rows` takes apart, where, and on what."""
    examples = f"{probe.examples:,} example{'' if probe.examples == 1 else 's'}"
    return f"what the gap is made of, step {probe.step:,}, {examples}"


def gap_rows(told: Telling) -> list[Row]:
    """Return the sum: train - inference = gap = its parts."""
    probe, written = told.probe, sums(told.probe)
    scale = written.scale
    rows: list[Row] = [
        ("training loss", scale.text(written.train, unknown=figure(probe.train)), "", "training"),
        ("- inference loss", scale.text(written.inference, unknown=figure(probe.inference)), "", "inference"),
        ("= gap", scale.text(written.gap, signed=True), "", "strong"),
    ]
    # Parts that cancel are no shares of what is left.
    shares = gap_shares(probe) if written.gap else None
    for part in PARTS:
        share = portion(shares[part]) if shares else ""
        if shares and share_error(probe, part) > 0:
            share = f"{round(100 * shares[part])} ± {max(1, round(100 * share_error(probe, part)))} %"
        error = from_wire(probe.errors.get(part, probe.standard_error if part == "stochastic" else None))
        if error > 0:
            share = ", ".join(filter(None, (share, _plus_minus(error))))
        rows.append((f"  {PART_NAMES[part]}", scale.text(written.parts[part], signed=True), share, "text"))
    return rows + _data_rows(told)


def _whole(parts: Whole, scale: Scale, width: int) -> list[Line]:
    return [*section(whole_title(parts), width), *_sum_lines(whole_rows(parts, scale), width)]


def whole_title(parts: Whole) -> str:
    """Return what `whole_rows` takes apart, and when."""
    return f"what loss - val_loss is made of, {parts.epoch_words}"


def whole_rows(parts: Whole, scale: Scale) -> list[Row]:
    """Return the sum: loss - val_loss, as Keras logs them = its parts."""

    def text(value: float, *, signed: bool = False) -> str:
        return scale.text(scale.units(value), signed=signed)

    rows: list[Row] = [
        ("loss", text(parts.loss), "the mean over the epoch's batches", "training"),
        ("- val_loss", text(parts.val_loss), "at the epoch's end", "validation"),
        ("= difference", text(parts.difference, signed=True), "", "strong"),
    ]
    for part in parts.parts:
        said = WORDS_OF_WHOLE.get(part.name, "")
        if part.name == "rest" and parts.has_other_weights:
            said = "validation sees other weights (R17)"
        elif part.name == "rest" and parts.weighting.value:
            said = "not probed, and weights"
        elif part.name == "data" and parts.has_other_batches:
            said = "other data or batch size"
        words = [said, _plus_minus(part.error) if part.error > 0 else ""]
        if part.value or part.error > 0:
            note = ", ".join(filter(None, words))
            rows.append((f"  {PART_NAMES.get(part.name, part.name)}", text(part.value, signed=True), note, "text"))
    return rows


def _sum_lines(rows: Sequence[Row], width: int) -> list[Line]:
    """Return the rows of a sum, their numbers one below the other; notes where there is room."""
    texts = aligned([text for _, text, _, _ in rows])
    name = max(width_of(row[0]) for row in rows)
    lines = []
    for (label, _, note, role), text in zip(rows, texts, strict=True):
        pieces = line(Span(f"  {pad(label, name)}  {text}", role), Span(f"  {note}" if note else "", "dim"))
        lines.append(pieces if width_of(as_text(pieces)) <= width else line(pieces[0]))
    return lines


def _plus_minus(error: float) -> str:
    return f"± {figure(float(f'{error:.2g}'))} (standard error)"


def _data_rows(told: Telling) -> list[Row]:
    """Return the sum: validation - inference = data; and what weights make, if there are any."""
    probe, written = told.probe, sums(told.probe)
    scale, part = written.scale, data_part(told.probe)
    if part is None:
        if written.validation is None:
            return []
        return [("validation loss", scale.text(written.validation), "(one validation batch)", "validation")]
    training = scale.units(part.training)
    rows: list[Row] = []
    words, bare = "- inference loss", written.inference is not None and training is not None
    if bare and abs(from_wire(probe.inference) - part.training) > ALIKE * abs(from_wire(probe.inference)):
        words = "- unweighted"
        weighting = scale.units(from_wire(probe.inference) - part.training)
        rows.append(("inference loss", scale.text(written.inference), "with sample and class weights", "inference"))
        rows.append(("- unweighted", scale.text(training), "", "inference"))
        rows.append(("= weighting", scale.text(weighting, signed=True), "", "strong"))
    examples = f"{probe.validation_examples:,} example{'' if probe.validation_examples == 1 else 's'}"
    error = _plus_minus(part.error) if part.error > 0 else ""
    return [
        *rows,
        ("validation loss", scale.text(scale.units(part.validation)), examples, "validation"),
        (words, scale.text(training), "", "inference"),
        ("= data", scale.text(scale.units(part.difference), signed=True), error, "strong"),
    ]


def _layers(state: RunState, told: Telling, width: int) -> list[Line]:
    text, room = text_width(width), min(width, WIDEST_TABLE) - 2
    lines = section(f"BatchNormalization layers, step {told.probe.step:,}", width)
    words = said_of_cause(told)
    if words:
        lines += [*(line(said) for said in wrap(words, text)), line()]
    lines += [line("  ", *row) for row in table(layer_shares(state, told), sums(told.probe).scale, room)]
    return [*lines, line(), *legend(told, text)]


def not_examined(examined: Sequence[Examined]) -> dict[str, list[str]]:
    """Return the rules that could not look, by the reason."""
    blind: dict[str, list[str]] = {}
    for rule in examined:
        if rule.outcome == "blind":
            blind.setdefault(rule.detail, []).append(f"{rule.rule} {rule.name}")
    return blind


def _not_examined(examined: Sequence[Examined], width: int) -> list[Line]:
    """Return the rules that could not look, each with the reason."""
    blind = not_examined(examined)
    if not blind:
        return []
    lines = section("not examined", width)
    for detail, names in blind.items():
        first, *others = wrap(f"{', '.join(names)}: {detail}", text_width(width) - 4)
        lines += [line(f"  {first}"), *(line(f"    {words}") for words in others)]
    return lines


def earlier(state: RunState, found: Sequence[Finding]) -> list[events.Alert]:
    """Return what was reported while it trained and is not any more, the newest of each kind."""
    left = {finding.key for finding in found}
    gone = {(alert.rule, alert.layer): alert for alert in state.alerts if (alert.rule, alert.layer) not in left}
    return list(gone.values())


def _earlier(state: RunState, found: Sequence[Finding], width: int) -> list[Line]:
    """Return what was reported while it trained and is not any more: it is gone, or follows from another finding."""
    gone = earlier(state, found)
    if not gone:
        return []
    lines = section("reported earlier, not now", width)
    for alert in gone[-EARLIER:]:
        where = f" ({plain(alert.layer, 100)})" if alert.layer else ""
        text = f"step {alert.step:,}: {plain(alert.rule, 10)} {plain(alert.what)}{where}"
        first, *others = wrap(text, text_width(width) - 4)
        lines += [line(f"  {first}"), *(line(f"    {words}") for words in others)]
    if len(gone) > EARLIER:
        lines.append(line(Span(f"  … and {len(gone) - EARLIER} before", "dim")))
    return lines


def _fits(state: RunState, width: int) -> list[Line]:
    """Return the fits of the run, the newest ones; nothing where there is one alone."""
    described = state.fits.described(state.step)
    if not described:
        return []
    lines = section(f"{len(described):,} fits", width)
    if len(described) > MOST_FITS:
        lines.append(line(Span(f"  … {len(described) - MOST_FITS:,} before", "dim")))
    names = max(width_of(name) for name, _ in described)
    for name, words in described[-MOST_FITS:]:
        lines.append(line(f"  {name:<{names}}  ", shorten(plain(words, 200), max(8, width - names - 4))))
    return lines


def basis(state: RunState) -> str:
    """Return what the page rests on: probes, epochs, steps; the best value and the costs."""
    counts = ((len(state.probes), "probe"), (state.epochs_ended, "epoch"), (state.step, "step"))
    rests = ", ".join(f"{count:,} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    parts = [f"This rests on {rests}."]
    if state.best.shown is not None:
        name, best = state.best.shown
        where = state.fits.epoch_words(best.epoch, best.step)
        # Where the loss is shown, it may be because no validation counts.
        reasons = filter(None, map(state.best.left_out, SHOWN[: SHOWN.index(name) + 1]))
        told = f"The best {name} was {figure(best.value)}, in {where} (step {best.step:,})"
        parts.append(f"{'; '.join([told, *reasons])}.")
    if state.overhead is not None:
        share = portion(from_wire(state.overhead.share))
        traces = from_wire(state.overhead.parts.get("traces"))
        once = f", and tracing {figure(traces, 2)} s once" if traces >= 1 else ""
        parts.append(f"Reading layers, probes and diagnosis took {share} of the time since the first step{once}.")
    where = time_split.sentence(state)
    if where:
        parts.append(where)
    return " ".join(parts)
