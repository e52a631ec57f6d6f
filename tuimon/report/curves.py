"""Which curve says more than a sentence, for each rule. Pure. Must not import Keras, TensorFlow or Textual."""

from collections.abc import Sequence

from tuimon.diagnosis.finding import Finding
from tuimon.protocol.commands import Freeze, LearningRate, Momentum, Phase, Recalibrate, Unfreeze
from tuimon.report.chart import Curve, Mark
from tuimon.runs.series import Series
from tuimon.runs.state import Command, RunState
from tuimon.text import plain

_GAP = ("R1", "R2")
_VARIANCE = ("R5", "R8")
_MARKED = Freeze | Unfreeze | Phase | Momentum | Recalibrate | LearningRate
"""Requests that change what a curve shows."""
_WORD = 20


def curve_for(finding: Finding, found: Sequence[Finding], state: RunState) -> Curve | None:
    """Return the curve that goes with a finding; None where none helps."""
    if finding.rule in _GAP:
        return _curve("train − inference gap", state.gap_parts["gap"], _requests(state), is_gap=True)
    if finding.rule == "R11":
        spikes = tuple(
            Mark(other.step, role="warning")
            for other in sorted(found, key=lambda other: other.step)
            if other.rule == "R11"
        )
        return _curve("val_loss, ▲ stands out", state.epoch_metrics.get("val_loss"), spikes)
    if finding.rule in _VARIANCE and finding.layer is not None and finding.layer in state.layers:
        series = state.layers[finding.layer].moving_variance
        return _curve("smallest moving variance", series, _requests(state))
    if finding.rule == "R12":
        return _curve("batch loss, ✗ not finite", state.batch_metrics.get("loss"))
    if finding.rule == "R13":
        for name in ("val_loss", "loss"):
            curve = _curve(f"{name} at the end of each epoch", state.epoch_metrics.get(name), _requests(state))
            if curve is not None:
                return curve
        return _curve("batch loss", state.batch_metrics.get("loss"), _requests(state))
    return None


def _curve(title: str, series: Series | None, marks: tuple[Mark, ...] = (), *, is_gap: bool = False) -> Curve | None:
    if series is None or len(series) < 2:
        return None
    return Curve(title, series.steps, series.values, marks, shows_zero=is_gap, is_broken_at_marks=is_gap)


def _requests(state: RunState) -> tuple[Mark, ...]:
    commands = [entry for entry in state.timeline if isinstance(entry, Command) and entry.applied]
    words = [(command.step, plain(command.words, 200)) for command in commands if isinstance(command.request, _MARKED)]
    return tuple(Mark(step, text if len(text) <= _WORD else f"{text[: _WORD - 1]}…") for step, text in words)
