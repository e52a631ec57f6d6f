"""What a run was made with: best values, fits, parameters, config, machine, versions, notes and tags."""

from tuimon.diagnosis import time_split
from tuimon.numbers import count, figure, percent
from tuimon.plot.run_values import parameter
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.report.web.changes import notes_of, when
from tuimon.report.web.markup import Child, Markup, element, joined, outside
from tuimon.report.web.parts import named, table
from tuimon.report.web.shown_run import ShownRun
from tuimon.runs.facts_in_words import size
from tuimon.runs.state import RunState
from tuimon.text import plain

MOST_METRICS = 100
MOST_PARAMETERS = 300
_LONGEST_NOTE = 20_000
_ENVIRONMENT = frozenset(("host", "python", "tuimon", "keras", "tensorflow", "numpy", "torch", "jax"))
"""Parameters that stand under the environment."""


def values_section(state: RunState) -> Markup | None:
    """Return the newest and the best value of each metric of the epochs."""
    best = state.best.values
    rows: list[tuple[Child, ...]] = []
    for name, series in list(state.epoch_metrics.items())[:MOST_METRICS]:
        if not len(series):
            continue
        found = best.get(name)
        where = f"{state.fits.epoch_words(found.epoch, found.step)}, step {found.step:,}" if found else ""
        where = "; ".join(part for part in (where, plain(state.best.left_out(name))) if part)
        newest = figure(float(series.values[-1]))
        rows.append((outside(name), newest, figure(found.value) if found else "–", where))
    if not rows:
        return None
    return joined(
        table(("metric", "newest epoch", "best epoch", "which"), rows, numbers=(1, 2)),
        element("p", "No best value: nobody knows whether more or less of it is better.", class_="quiet")
        if any(row[2] == "–" and not row[3] for row in rows)
        else None,
    )


def fits_section(state: RunState) -> Markup | None:
    """Return the fits of a run; None if there is one alone."""
    described = state.fits.described(state.step)
    if not described:
        return None
    return named([(name, outside(words)) for name, words in described])


def settings_section(shown: ShownRun) -> Markup:
    """Return parameters and config."""
    pairs: list[tuple[str, Child]] = []
    versions = shown.state.run.versions if shown.state.run is not None else {}
    for key, value in shown.parameters.items():
        if key not in versions and key not in _ENVIRONMENT:
            pairs.append((plain(key, 200), outside(parameter(key, value))))
    parts: list[Child] = [named(pairs[:MOST_PARAMETERS])]
    if not pairs:
        parts = [element("p", "No parameter is known yet.", class_="quiet")]
    elif len(pairs) > MOST_PARAMETERS:
        parts.append(element("p", f"… and {len(pairs) - MOST_PARAMETERS:,} more in the config.", class_="quiet"))
    if shown.config:
        summary = element("summary", "The whole config")
        parts.append(element("details", summary, element("pre", element("code", shown.config), dir="ltr")))
    return joined(parts)


def environment_section(shown: ShownRun) -> Markup:
    """Return the machine, the versions, and what monitoring took."""
    state, run = shown.state, shown.state.run
    pairs: list[tuple[str, Child]] = []
    if run is not None:
        pairs += [(plain(name, 60), outside(version)) for name, version in run.versions.items()]
        pairs += [("host", outside(run.host)), ("process", str(run.pid)), ("attempt", str(run.attempt + 1))]
    pairs += _machine(state)
    if state.overhead is not None:
        pairs.append(("overhead of monitoring", percent(from_wire(state.overhead.share), 2)))
    if where := time_split.line(state.time_split.shares):
        pairs.append(("where the time went", where))
    if state.last_seq >= 0:
        pairs.append(("facts in the log", count(state.last_seq + 1)))
    return named(pairs) if pairs else element("p", "Nothing is known yet.", class_="quiet")


def notes_section(shown: ShownRun) -> Markup | None:
    """Return tags and notes; None if there are none."""
    parts: list[Child] = []
    if shown.tags.tags:
        parts.append(element("p", "Tags: ", [joined(outside(tag, "b"), " ") for tag in shown.tags.tags]))
    if shown.tags.note:
        parts.append(element("p", outside(shown.tags.note)))
    notes = notes_of(shown.state)
    if notes:
        items = [element("li", when(note.time), f", step {note.step:,}: ", _lines(note)) for note in notes]
        parts.append(element("ul", items))
    return joined(parts) if parts else None


def _lines(note: events.Note) -> Markup:
    return outside(note.text, "span", limit=_LONGEST_NOTE, class_="lines")


def _machine(state: RunState) -> list[tuple[str, Child]]:
    samples = state.system.samples
    if not samples:
        return []
    newest = samples[-1]
    found: list[tuple[str, Child]] = []
    if newest.cores is not None:
        found.append(("processors", count(newest.cores)))
    if newest.memory_total is not None:
        found.append(("memory", size(newest.memory_total)))
    if newest.process_memory is not None:
        found.append(("memory of the process", size(newest.process_memory)))
    for gpu in newest.gpus:
        memory = f", {size(gpu.memory_total)}" if gpu.memory_total is not None else ""
        found.append((f"GPU {gpu.index}", outside(f"{gpu.name}{memory}")))
    if not newest.gpus and newest.why_no_gpus:
        found.append(("GPUs", outside(newest.why_no_gpus)))
    return found
