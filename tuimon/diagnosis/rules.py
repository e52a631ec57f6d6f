"""All rules: what they find in a run, the worst first.

Pure: no clock, no files.
"""

from collections.abc import Callable, Iterable

import numpy as np
from msgspec.structs import replace

from tuimon.diagnosis import (
    batch_statistics,
    data_shift,
    dead_channels,
    frozen,
    generalization,
    moving_average,
    outlier_batch,
    progress,
    spike_causes,
    time_split,
    values,
    weights,
)
from tuimon.diagnosis.finding import SEVERITIES, Finding
from tuimon.runs.state import RunState

RULES: dict[Callable[[RunState], Iterable[Finding]], tuple[str, ...]] = {
    moving_average.stale: ("R1",),
    moving_average.momentum_out_of_bounds: ("R10",),
    moving_average.momentum_too_low: ("R10",),
    batch_statistics.too_noisy: ("R2",),
    batch_statistics.noisy_in_validation: ("R2",),
    batch_statistics.shared_by_different_inputs: ("R9",),
    data_shift.different_data: ("R3",),
    data_shift.batches_are_not_alike: ("R18",),
    data_shift.variance_shift: ("R16",),
    frozen.findings: ("R4", "R6", "R7"),
    values.bad_variances: ("R5",),
    dead_channels.dead_channels: ("R8",),
    values.non_finite_losses: ("R12",),
    values.exploded: ("R12",),
    spike_causes.findings: ("R11",),
    progress.findings: ("R13",),
    generalization.overfitting: ("R14",),
    generalization.underfitting: ("R15",),
    weights.replaced: ("R17",),
    weights.gradients: ("R20",),
    outlier_batch.findings: ("R21",),
    time_split.input_bound: ("R19",),
}
"""Each yields what it finds; the numbers of what it looks for."""

CAUSES: dict[str, tuple[str, ...]] = {
    "R1": ("R2", "R4", "R5", "R7", "R9", "R10", "R12", "R16", "R18", "R21"),
    "R3": ("R12", "R18"),
    "R8": ("R2", "R5", "R10", "R12"),
    "R11": ("R2", "R5", "R10", "R12"),
    "R14": ("R2", "R3", "R5", "R12", "R18"),
    "R15": ("R1", "R2", "R4", "R5", "R6", "R7", "R8", "R12", "R13", "R18", "R20"),
    "R16": ("R5", "R12", "R18"),
    "R17": ("R2", "R5", "R9", "R12"),
    "R13": ("R2", "R4", "R5", "R6", "R7", "R8", "R12", "R20"),
    "R20": ("R5", "R6", "R12"),
    "R21": ("R2", "R5", "R10", "R12"),
}
"""The causes of each rule. If one of them is found, the rule is not reported: its finding follows from it."""


def findings(state: RunState) -> list[Finding]:
    """Return what is wrong with a run, the worst first; nothing for a healthy one."""
    return look(state)[0]


@np.errstate(all="ignore")
def look(state: RunState) -> tuple[list[Finding], dict[str, str]]:
    """Return what is wrong with a run, the worst first, and the rules that could not look for an error of tuimon.

    Returns:
        The findings, and by number of the rule what went wrong. A rule that fails hides no other.
    """
    found: list[Finding] = []
    errors: dict[str, str] = {}
    for rule, numbers in RULES.items():
        try:
            found += rule(state)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other rules look.
            errors |= dict.fromkeys(numbers, f"an error of tuimon ({type(error).__name__}: {error})")
    ordered = sorted(
        _without_consequences(found),
        key=lambda finding: (-SEVERITIES.index(finding.severity), -finding.weight, finding.rule, finding.step),
    )
    if state.run is not None and state.run.source:
        # Nobody takes requests.
        ordered = [replace(finding, request="") for finding in ordered]
    return ordered, errors


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
