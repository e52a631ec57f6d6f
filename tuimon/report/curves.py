"""The curve that goes with the findings of a rule."""

from collections.abc import Sequence

from msgspec.structs import replace

from tuimon.diagnosis.finding import Finding
from tuimon.plot.run_joins import joins_of
from tuimon.protocol.commands import Freeze, LearningRate, Momentum, Phase, Recalibrate, Unfreeze
from tuimon.report.chart import Curve, Mark
from tuimon.runs.series import Series
from tuimon.runs.state import Command, RunState
from tuimon.text import plain

_MARKED = Freeze | Unfreeze | Phase | Momentum | Recalibrate | LearningRate
"""Requests that change what a curve shows."""
_WORD = 20


def curve_for(finding: Finding, found: Sequence[Finding], state: RunState) -> Curve | None:
    """Return the curve that goes with a finding; None where none helps."""
    curve = None
    match finding.rule:
        case "R1" | "R2":
            curve = _curve("train - inference gap", state.gap_parts["gap"], _requests(state), is_gap=True)
        case "R5" | "R8" if finding.layer in state.layers:
            series = state.layers[finding.layer].moving_variance
            curve = _curve("smallest moving variance", series, _requests(state))
        case "R11":
            curve = _curve("val_loss, ▲ stands out", state.epoch_metrics.get("val_loss"), _spikes(found))
        case "R12":
            curve = _curve("batch loss, ✗ not finite", state.batch_metrics.get("loss"))
        case "R13":
            curve = _progress(state)
    if curve is None or finding.rule in ("R5", "R8"):
        return curve
    return replace(curve, breaks=joins_of(state, of_batches=finding.rule == "R12").breaks)


def _progress(state: RunState) -> Curve | None:
    for name in ("val_loss", "loss"):
        curve = _curve(f"{name} at the end of each epoch", state.epoch_metrics.get(name), _requests(state))
        if curve is not None:
            return curve
    return _curve("batch loss", state.batch_metrics.get("loss"), _requests(state))


def _spikes(found: Sequence[Finding]) -> tuple[Mark, ...]:
    spikes = [finding.step for finding in found if finding.rule == "R11"]
    return tuple(Mark(step, role="warning") for step in sorted(spikes))


def _curve(title: str, series: Series | None, marks: tuple[Mark, ...] = (), *, is_gap: bool = False) -> Curve | None:
    if series is None or len(series) < 2:
        return None
    return Curve(title, series.steps, series.values, marks, shows_zero=is_gap, is_broken_at_marks=is_gap)


def _requests(state: RunState) -> tuple[Mark, ...]:
    commands = [entry for entry in state.timeline if isinstance(entry, Command) and entry.applied]
    words = [(command.step, plain(command.words, 200)) for command in commands if isinstance(command.request, _MARKED)]
    return tuple(Mark(step, text if len(text) <= _WORD else f"{text[: _WORD - 1]}…") for step, text in words)
