"""What happened, in words: one sentence for each fact, for progress lines, the screen's timeline and `tuimon send`.

Whatever comes from outside (names, reasons, notes) goes through `tuimon.text.plain`.
"""

from collections.abc import Mapping
from functools import singledispatch

from tuimon.numbers import count, figure, signed_figure
from tuimon.protocol import events
from tuimon.protocol.wire import Number, from_wire
from tuimon.runs import end_reasons
from tuimon.runs.state import Command, RunState
from tuimon.text import plain

MOST_METRICS = 6
"""Metrics that a sentence names at most; the others are in the log."""
SHORTEST_TRACE_SECONDS = 0.05
"""A shorter trace is not mentioned."""


def no_model(state: RunState) -> str:
    """Return why there is nothing to say of the model's layers, as a sentence.

    Example:
        >>> no_model(RunState())
        'The model is not built yet.'
    """
    if state.run is not None and state.run.source:
        return "The log of another program says nothing of the model's layers."
    return "The model is not built yet."


@singledispatch
def of(event: events.Event, state: RunState) -> str:
    """Return the sentence for a fact, without its time; an empty text for facts that are no news.

    For requests and their answers see `became` and `verified`.

    Args:
        event: The fact.
        state: What the log adds up to, this fact included.

    Example:
        >>> of(events.RunEnded(status="finished", step=4), RunState())
        'finished after 4 steps'
    """
    del event, state
    return ""


@of.register
def _(event: events.RunStarted, state: RunState) -> str:
    del state
    if event.source:
        host = f", written on {plain(event.host, 60)}" if event.host else ""
        return f"read from {plain(event.source, 1000)}{host}"
    versions = "  ".join(f"{plain(name, 20)} {plain(version, 20)}" for name, version in event.versions.items())
    if event.protocol != events.PROTOCOL:
        versions += f"   protocol {event.protocol:,}, this tuimon reads {events.PROTOCOL}: it may be misread"
    again = f"attempt {event.attempt + 1}, " if event.attempt else ""
    return f"run started, {again}on {plain(event.host, 60)}, pid {event.pid}   {versions}"


@of.register
def _(event: events.FitStarted, state: RunState) -> str:
    of = counted(event.epochs - event.initial_epoch, "epoch") if event.epochs is not None else "training"
    steps = f" of {counted(event.steps_per_epoch, 'step')}" if event.steps_per_epoch else ""
    xla = ", XLA" if event.jit_compile else ""
    layers = f", {counted(len(state.layers), 'BatchNormalization layer')}" if state.layers else ""
    # An import does not know the optimizer.
    optimizer = f", {plain(event.optimizer, 40)}" if event.optimizer else ""
    return f"{state.fits.name(event)}: {of}{steps}{optimizer}{xla}{layers}"


@of.register
def _(event: events.StateChanged, state: RunState) -> str:
    del state
    if event.state not in ("preparing", "compiling"):
        return ""
    return event.state + (f": {plain(event.detail, 300)}" if event.detail else "")


@of.register
def _(event: events.Probe, state: RunState) -> str:
    del state
    return f"probe ({plain(event.reason, 60)}): {gap(event)}"


@of.register
def _(event: events.ValidationRepeated, state: RunState) -> str:
    del state
    parts = [f"{figure(event.moving)} with moving statistics"]
    if event.batch is not None:
        parts.append(f"{figure(event.batch)} with batch statistics")
    if event.without_highest is not None:
        parts.append(f"{figure(event.without_highest)} without its highest {counted(event.highest, 'example')}")
    return f"{plain(event.metric, 40)} {figure(event.value)} stands out, repeated: {', '.join(parts)}"


@of.register
def _(event: events.WeightsReplaced, state: RunState) -> str:
    del state
    words = {
        "validation": "validation sees other weights than those of training",
        "end": "fit left other weights than those of training",
        "restored": "fit put weights of an earlier epoch back",
    }
    parts = [words.get(event.where, f"other weights: {plain(event.where, 40)}")]
    if event.moving is not None:
        parts.append(f"loss {figure(event.moving)}")
    if event.batch is not None:
        parts.append(f"{figure(event.batch)} with batch statistics")
    return ", ".join(parts)


@of.register
def _(event: events.Alert, state: RunState) -> str:
    del state
    where = f" ({plain(event.layer, 80)})" if event.layer else ""
    return f"{plain(event.rule, 10)} {plain(event.what)}{where}: {plain(event.advice)}"


@of.register
def _(event: events.Evaluated, state: RunState) -> str:
    del state
    return f"evaluated {plain(event.name, 80)}: {'  '.join(_metrics(event.logs))}"


@of.register
def _(event: events.Recalibrated, state: RunState) -> str:
    del state
    parts = [f"recalibrated from {counted(event.batches, 'batch', 'batches')} ({counted(event.examples, 'example')})"]
    if event.skipped:
        parts.append(f", {counted(len(event.skipped), 'held layer')} left out")
    if event.after:
        parts.append(f": validation {', '.join(_changes(event.before, event.after))}")
    if event.dry_run:
        parts.append(" (dry run, nothing changed)")
    return "".join(parts)


@of.register
def _(event: events.CheckpointSaved, state: RunState) -> str:
    del state
    shown, reason = size(event.size_bytes), plain(event.reason, 100)
    return f"checkpoint {plain(event.name, 100)} saved, {shown} in {event.seconds:.1f} s ({reason})"


@of.register
def _(event: events.RolledBack, state: RunState) -> str:
    del state
    name = plain(event.checkpoint, 100)
    return (
        f"rolled back to {name}: weights and optimizer of step {count(event.to_step)} (epoch "
        f"{count(event.to_epoch + 1)})"
    )


@of.register
def _(event: events.RunResumed, state: RunState) -> str:
    attempt = _attempt(event, state) + 1
    return f"attempt {attempt} goes on from {plain(event.checkpoint, 100)} {where_it_goes_on(event)}"


@of.register
def _(event: events.Note, state: RunState) -> str:
    del state
    return f"note: {plain(event.text)}"


@of.register
def _(event: events.OrderGiven, state: RunState) -> str:
    del state
    detail = f" ({plain(event.detail, 300)})" if event.detail else ""
    return f"order {count(event.number)} stands: {plain(event.order, 300)}{detail}"


@of.register
def _(event: events.OrderFired, state: RunState) -> str:
    del state
    return f"order {count(event.number)} fires, as {plain(event.why, 200)}: {plain(event.order, 300)}"


@of.register
def _(event: events.OrderEnded, state: RunState) -> str:
    del state
    name = f"order {count(event.number)}" if event.number else "an order"
    return f"{name} does not stand: {plain(event.reason, 400)}: {plain(event.order, 300)}"


@of.register
def _(event: events.LogGap, state: RunState) -> str:
    del state
    if not event.dropped:
        return f"the log cannot be written for now ({plain(event.reason, 200)})"
    dropped = ", ".join(f"{count(number)} {plain(kind, 40)}" for kind, number in event.dropped.items())
    return f"not logged: {dropped} ({plain(event.reason, 200)})"


def log_trouble(state: RunState) -> str:
    """Return why the trainer could not write its log any further when it wrote its newest line; empty if it could."""
    newest = state.timeline[-1] if state.timeline else None
    if isinstance(newest, events.LogGap) and not newest.dropped and newest.seq == state.last_seq:
        return plain(newest.reason, 200)
    return ""


def lost(state: RunState) -> str:
    """Return how many facts are missing from a log and why, as a sentence without a full stop; empty if none is."""
    if trouble := log_trouble(state):
        return f"Facts after step {count(state.step)} are not recorded so far ({trouble})"
    missing = sum(state.dropped.values())
    if not missing:
        return ""
    gaps = [entry for entry in state.timeline if isinstance(entry, events.LogGap)]
    reason = f" ({plain(gaps[-1].reason, 200)})" if gaps and gaps[-1].reason else ""
    return f"{not_recorded(missing)}{reason}"


def not_recorded(missing: int) -> str:
    """Return how many facts are missing.

    Example:
        >>> not_recorded(1), not_recorded(1200)
        ('1 fact was not recorded', '1,200 facts were not recorded')
    """
    return f"{counted(missing, 'fact')} {'was' if missing == 1 else 'were'} not recorded"


@of.register
def _(event: events.RunEnded, state: RunState) -> str:
    del state
    reason = end_reasons.of_ended(event)
    return f"{plain(event.status, 40)} after {counted(event.step, 'step')}" + (f": {reason}" if reason else "")


PART_NAMES = {"batch_norm": "BatchNorm", "stochastic": "random layers", "other": "other"}
"""The parts of the gap as rows, legends and events name them."""


def gap(event: events.Probe) -> str:
    """Return the losses of a probe in training and inference mode, and the parts of their gap.

    Example:
        >>> gap(events.Probe(reason="asked", examples=1, train=-0.25, inference=-6.0, gap=5.75, batch_norm=5.5,
        ...     stochastic=0.25, other=0.0, masks=8, standard_error=0.01, passes=16, seconds=0.1))
        'train -0.25, inference -6, gap +5.75: BatchNorm +5.5, random layers +0.25 ± 0.01'
    """
    parts = [f"{PART_NAMES['batch_norm']} {signed_figure(event.batch_norm)}"]
    if event.masks > 1 or from_wire(event.stochastic):
        parts.append(f"{PART_NAMES['stochastic']} {signed_figure(event.stochastic)} ± {figure(event.standard_error)}")
    if from_wire(event.other):
        parts.append(f"{PART_NAMES['other']} {signed_figure(event.other)}")
    losses = f"train {figure(event.train)}, inference {figure(event.inference)}"
    return f"{losses}, gap {signed_figure(event.gap)}: {', '.join(parts)}"


def became(command: Command) -> str:
    """Return the outcome of an answered request, without its verification."""
    return applied(command.traced_seconds, command.detail) if command.applied else rejected(command.detail)


def applied(traced_seconds: float, detail: str, *, at_step: int | None = None) -> str:
    """Return the outcome of an applied request.

    Example:
        >>> applied(0.5, "", at_step=3)
        'applied at step 3, 0.5 s to trace'
    """
    place = "" if at_step is None else f" at step {count(at_step)}"
    traced = f", {traced_seconds:.1f} s to trace" if traced_seconds >= SHORTEST_TRACE_SECONDS else ""
    return f"applied{place}{traced}" + (f" ({plain(detail)})" if detail else "")


def rejected(reason: str) -> str:
    """Return the outcome of a rejected request."""
    return f"rejected: {plain(reason)}"


def verified(event: events.CommandVerified) -> str:
    """Return the result of checking a request after the next step."""
    return f"{'verified' if event.held else 'NOT in force'}: {plain(event.detail)}"


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return a number of things.

    Example:
        >>> counted(1, "step"), counted(6400, "example"), counted(2, "batch", "batches")
        ('1 step', '6,400 examples', '2 batches')
    """
    return f"{count(number)} {noun if number == 1 else nouns or f'{noun}s'}"


def where_it_goes_on(event: events.RunResumed) -> str:
    """Return at which epoch and step a run goes on, and what of its work is repeated or lost.

    Example:
        `at epoch 16: back to step 705, 33 steps of the epoch repeated; no work lost`
    """
    repeated = f", {counted(event.repeated_steps, 'step')} of the epoch repeated" if event.repeated_steps else ""
    lost = f"{counted(event.lost_steps, 'step')} of work lost" if event.lost_steps else "no work lost"
    return f"at epoch {count(event.to_epoch + 1)}: back to step {count(event.to_step)}{repeated}; {lost}"


def size(size_bytes: int) -> str:
    """Return a size of a file or of memory.

    Example:
        >>> size(400), size(3_200_000), size(150_994_944_000)
        ('400 bytes', '3.2 MB', '151 GB')
    """
    for power, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= power:
            return f"{size_bytes / power:.{0 if size_bytes >= 10 * power else 1}f} {unit}"
    return f"{size_bytes} bytes"


def _attempt(event: events.RunResumed, state: RunState) -> int:
    """Return the attempt that began before ``event``, which need not be the newest one."""
    is_before = False
    for entry in reversed(state.timeline):
        if entry is event:
            is_before = True
        elif is_before and isinstance(entry, events.RunStarted):
            return entry.attempt
    return state.run.attempt if state.run else 0


def _metrics(logs: Mapping[str, Number]) -> list[str]:
    return [f"{plain(name, 30)} {figure(value)}" for name, value in list(logs.items())[:MOST_METRICS]]


def _changes(before: Mapping[str, Number], after: Mapping[str, Number]) -> list[str]:
    return [
        f"{plain(name.removeprefix('val_'), 30)} "
        + (f"{figure(before[name])} → {figure(value)}" if name in before else figure(value))
        for name, value in list(after.items())[:MOST_METRICS]
    ]
