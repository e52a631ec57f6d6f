"""All rules: what they find in a run, the worst first.

Pure: no clock, no files.
"""

from collections.abc import Callable, Iterable

from tuimon.diagnosis import (
    batch_statistics,
    data_shift,
    dead_channels,
    frozen,
    generalization,
    moving_average,
    progress,
    spike_causes,
    time_split,
    values,
    weights,
)
from tuimon.diagnosis.finding import SEVERITIES, Finding
from tuimon.runs.state import RunState

RULES: tuple[Callable[[RunState], Iterable[Finding]], ...] = (
    moving_average.stale,
    moving_average.momentum_out_of_bounds,
    moving_average.momentum_too_low,
    batch_statistics.too_noisy,
    batch_statistics.noisy_in_validation,
    batch_statistics.shared_by_different_inputs,
    data_shift.different_data,
    data_shift.batches_are_not_alike,
    data_shift.variance_shift,
    frozen.findings,
    values.bad_variances,
    dead_channels.dead_channels,
    values.non_finite_losses,
    values.exploded,
    spike_causes.findings,
    progress.findings,
    generalization.overfitting,
    generalization.underfitting,
    weights.replaced,
    weights.gradients,
    time_split.input_bound,
)
"""Each yields what it finds."""

CAUSES: dict[str, tuple[str, ...]] = {
    "R1": ("R2", "R4", "R5", "R7", "R9", "R10", "R12", "R16", "R18"),
    "R3": ("R12", "R18"),
    "R8": ("R2", "R5", "R10", "R12"),
    "R11": ("R2", "R5", "R10", "R12"),
    "R14": ("R2", "R3", "R5", "R12", "R18"),
    "R15": ("R1", "R2", "R4", "R5", "R6", "R7", "R8", "R12", "R13", "R18", "R20"),
    "R16": ("R5", "R12", "R18"),
    "R17": ("R2", "R5", "R9", "R12"),
    "R13": ("R2", "R4", "R5", "R6", "R7", "R8", "R12", "R20"),
    "R20": ("R5", "R6", "R12"),
}
"""The causes of each rule. If one of them is found, the rule is not reported: its finding follows from it."""


def findings(state: RunState) -> list[Finding]:
    """Return what is wrong with a run, the worst first; nothing for a healthy one."""
    found = [finding for rule in RULES for finding in rule(state)]
    return sorted(
        _without_consequences(found),
        key=lambda finding: (-SEVERITIES.index(finding.severity), -finding.weight, finding.rule, finding.step),
    )


def _without_consequences(found: list[Finding]) -> list[Finding]:
    rules = {finding.rule for finding in found if finding.severity != "info"}
    rest = [finding for finding in found if not rules.intersection(CAUSES.get(finding.rule, ()))]
    losses = [finding.step for finding in rest if finding.rule == "R12"]
    variances = [finding.step for finding in rest if finding.rule == "R5"]
    if losses and variances:
        # Layers are sampled now and then, losses at each step: of what came together, the loss is the cause.
        later = "R12" if min(variances) <= min(losses) else "R5"
        rest = [finding for finding in rest if finding.rule != later]
    if "R10" in rules:
        rest = [finding for finding in rest if finding.rule != "R5"]
    return rest
