"""The rules on logs of real training: with a fault just its rule fires, in good health none does."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnosis import tried
from diagnosis.trainings import FAULTS, HEALTHY, NOTES, SPIKE_EPOCH, SPIKES, Facts
from diagnosis.tried import EVERY
from helpers import ROOT, fold, selected
from tuimon.diagnosis.examination import RULES_SAY
from tuimon.diagnosis.finding import SEVERITIES, Finding
from tuimon.diagnosis.rules import CAUSES, findings
from tuimon.diagnosis.spike_causes import spikes
from tuimon.protocol import commands, events
from tuimon.protocol.wire import from_wire
from tuimon.runs.log.session_log import Tail
from tuimon.runs.state import RunState

Log = Callable[[str], Facts]


@pytest.fixture(scope="module")
def logs() -> dict[str, Facts]:
    """Return the logs of the runs that were trained so far, by name."""
    return {}


@pytest.fixture(scope="module")
def log(logs: dict[str, Facts], tmp_path_factory: pytest.TempPathFactory) -> Log:
    """Return the log of a training by name; each is trained once."""

    def of(name: str) -> Facts:
        if name not in logs:
            logs[name] = EVERY[name](tmp_path_factory.mktemp("runs"))
        return logs[name]

    return of


def only_finding(facts: Facts) -> Finding:
    found = findings(fold(facts))
    assert len(found) == 1, found
    return found[0]


FAULTS_OFTEN = {rule: name for name, (rule, _) in FAULTS.items()}.values()
"""One for each rule."""
OFTEN_AND_ALL = [
    pytest.param([*FAULTS_OFTEN], id="one for each rule"),
    pytest.param([*FAULTS], id="all", marks=pytest.mark.full),
]
HEALTHY_OFTEN = (
    "mlp_with_batch_normalization",
    "fine_tuning_of_a_frozen_base",
    "validation_on_few_examples",
)


@pytest.mark.parametrize("name", selected(HEALTHY, *HEALTHY_OFTEN))
def test_in_good_health_no_rule_fires(name: str, log: Log) -> None:
    """Nor has one fired on the way."""
    state = RunState()
    for fact in log(name):
        state.apply([fact])
        assert findings(state) == []


@pytest.mark.parametrize("name", selected(FAULTS, *FAULTS_OFTEN))
def test_a_fault_is_found_and_nothing_else(name: str, log: Log) -> None:
    found = findings(fold(log(name)))
    assert {finding.rule for finding in found} == {FAULTS[name][0]}
    for finding in found:
        assert finding.severity in ("warning", "error")
        assert finding.evidence
        assert not finding.what[0].isupper()
        assert not finding.what.endswith(".")
        assert not finding.advice.endswith(".")
        assert 0 <= finding.weight <= 1


@pytest.mark.parametrize("name", selected(SPIKES, *list(SPIKES)[:2]))
def test_a_spike_is_put_down_to_its_cause(name: str, log: Log) -> None:
    state = fold(log(name))
    (spike,) = spikes(state)
    assert (spike.cause, spike.epoch, spike.metric) == (SPIKES[name][0], SPIKE_EPOCH, "val_loss")
    assert spike.value > spike.threshold > spike.level
    (finding,) = findings(state)
    assert finding.rule == "R11"
    assert finding.severity == ("info" if spike.cause == "sampling noise" else "warning")
    assert spike.cause in finding.what
    assert finding.evidence["worst_epoch"] == SPIKE_EPOCH + 1


@pytest.mark.parametrize(
    "name",
    selected(
        (
            "batch_of_one",
            "last_batch_of_one",
            "frozen_while_it_trains",
            "example_that_is_not_a_number",
            "weights_that_run_away_from_the_statistics",
        ),
        "example_that_is_not_a_number",
    ),
)
def test_the_beginning_of_any_log_has_its_findings_too(name: str, log: Log) -> None:
    """Event by event, as the trainer looks at them; and with everything the numbers are for a log to carry."""
    state = RunState()
    for fact in log(name):
        state.apply([fact])
        for finding in findings(state):
            assert all(value is None or isinstance(value, float | int | str) for value in finding.evidence.values())
            assert from_wire(finding.weight) == finding.weight


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kept=st.floats(0.1, 0.9))
def test_a_log_with_gaps_has_its_findings_too(seed: int, kept: float, log: Log) -> None:
    generator = np.random.default_rng(seed)
    # Of those that other tests train as well.
    facts = log(str(generator.choice([*FAULTS_OFTEN, *SPIKES])))
    for finding in findings(fold([fact for fact in facts if generator.random() < kept])):
        assert finding.what


@pytest.mark.parametrize("names", OFTEN_AND_ALL)
def test_the_worst_is_first(names: list[str], log: Log) -> None:
    found = [finding for name in names for finding in findings(fold(log(name)))]
    assert {finding.rule for finding in found} == {FAULTS[name][0] for name in names}
    for name in names:
        severities = [SEVERITIES.index(finding.severity) for finding in findings(fold(log(name)))]
        assert severities == sorted(severities, reverse=True)


@pytest.mark.parametrize("names", OFTEN_AND_ALL)
def test_requests_are_those_that_send_takes(names: list[str], log: Log) -> None:
    for name in (*names, *SPIKES):
        for finding in findings(fold(log(name))):
            command = finding.request.split()[:1]
            assert not command or command[0] in commands.NAMES


@pytest.mark.full
def test_a_request_that_the_run_cannot_take_is_not_advised(log: Log) -> None:
    state = fold(log("batch_of_one"))
    assert findings(state)[0].request == "freeze"
    assert state.fit is not None
    state.fit.can["freeze"] = "it cannot"
    assert findings(state)[0].request == ""
    state.fit.can["freeze"] = ""


def test_no_cause_is_its_own_consequence() -> None:
    for rule, causes in CAUSES.items():
        assert rule not in causes
        assert not any(rule in CAUSES.get(cause, ()) for cause in causes)


# --- What single findings say ---------------------------------------------------------------------------------------


def test_stale_statistics_are_told_with_what_is_left_of_the_initial_ones(log: Log) -> None:
    finding = only_finding(log("momentum_too_high_for_the_run"))
    assert from_wire(finding.evidence["initial_value_left"]) == pytest.approx(0.998**finding.step)
    assert from_wire(finding.evidence["half_life_steps"]) == pytest.approx(346, abs=1)
    assert from_wire(finding.evidence["gap_of_batch_norm"]) < 0
    assert finding.request == "recalibrate"


@pytest.mark.full
def test_an_old_probe_says_nothing_of_statistics_that_arrived_since(log: Log) -> None:
    """The first one, at step 51, sees initial values; 1 % of them is left at the end of the run."""
    state, probes = RunState(), 0
    for fact in log("convolution over time, probed often"):
        probes += isinstance(fact, events.Probe)
        if probes < 2 or not isinstance(fact, events.Probe):
            state.apply([fact])
            assert findings(state) == []
    assert probes > 2
    assert state.ended is not None


@pytest.mark.full
def test_a_last_batch_of_unknown_size_is_a_note(log: Log) -> None:
    finding = only_finding(log("last_batch_of_one_of_unknown_size"))
    assert (finding.rule, finding.severity) == ("R2", "info")
    assert "look whether the last batch is smaller" in finding.advice


@pytest.mark.full
def test_channels_of_small_scale_are_a_note(log: Log) -> None:
    state = RunState()
    for fact in log("inputs_of_small_scale"):
        state.apply([fact])
        assert all(finding.severity == "info" for finding in findings(state))
    (finding,) = findings(state)
    assert (finding.rule, finding.layer) == ("R8", "small/bn_in")
    assert "epsilon dominates" in finding.what


def test_the_step_of_a_loss_that_is_no_number_is_exact(log: Log) -> None:
    finding = only_finding(log("example_that_is_not_a_number"))
    assert (finding.step, finding.evidence["first_step"], finding.layer) == (7, 7, "mlp/bn_1")


def test_a_trainable_that_nobody_reads_is_found_where_it_was_set(log: Log) -> None:
    finding = only_finding(log("frozen_while_it_trains"))
    assert finding.layer == "mlp/bn_1"
    assert 200 <= finding.step < 1280
    assert finding.request == "freeze --layer mlp/bn_1"


def test_the_ragged_last_batch_is_told_with_its_size(log: Log) -> None:
    finding = only_finding(log("last_batch_of_one"))
    assert (finding.evidence["last_batch_size"], finding.evidence["batch_size"]) == (1, 32)


@pytest.mark.full
def test_dropout_before_batch_normalization_is_noted(log: Log) -> None:
    found = only_finding(log("dropout_before_batch_normalization"))
    assert (found.rule, found.severity, found.layer) == ("R16", "info", "mlp/bn_1")
    assert from_wire(found.evidence["variance_ratio"]) > 2


@pytest.mark.full  # `tests/test_samples.py` has it often, from the config on.
def test_the_question_of_the_first_sample_is_answered(log: Log) -> None:
    """At least 95 % of the gap is in batch_norm, and freezing closes it: foretold, then measured."""
    facts = log("finetune_one_sample")
    frozen, thawed = (number for number, fact in enumerate(facts) if isinstance(fact, events.CommandApplied))

    before = only_finding(facts[:frozen])
    assert (before.rule, before.severity, before.request) == ("R2", "warning", "freeze")
    assert 0.95 <= from_wire(before.evidence["share_of_batch_norm"]) <= 1.05
    assert abs(from_wire(before.evidence["gap_without_batch_norm"])) < 0.05 * from_wire(before.evidence["gap"])

    after = only_finding(facts[:thawed])
    assert (after.rule, after.severity) == ("R2", "info")
    assert from_wire(after.evidence["share_of_batch_norm"]) >= 0.95
    assert abs(from_wire(after.evidence["gap_when_frozen"])) < 0.02 * from_wire(after.evidence["gap"])
    assert after.evidence["change_at_step"] == 40

    again = only_finding(facts)
    assert (again.rule, again.severity) == ("R2", "warning")


def test_what_a_phase_makes_of_the_validation_is_no_spike() -> None:
    """The recorded session of the first sample, in which somebody asks for the learning phase 1 for a while."""
    state = fold(Tail(ROOT / "docs" / "recorded" / "finetune_one_sample.jsonl").read_all())
    losses = state.epoch_metrics["val_loss"].values
    assert losses.max() > losses.min() + 5
    assert spikes(state) == []


# --- The table of docs/rules.md -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", selected(NOTES))
def test_what_is_to_be_noted_is_noted_and_nothing_else(name: str, log: Log) -> None:
    (found,) = findings(fold(log(name)))
    assert (found.rule, found.severity) == (NOTES[name][0], "info")


def test_the_table_has_every_run_and_every_rule(logs: dict[str, Facts]) -> None:
    """Where all runs were trained, it is written; goes last."""
    if set(logs) == set(EVERY):
        tried.write(logs)
    stale = "docs/rules.md is of other runs or rules: make test-all"
    assert [cell.partition(":")[0] for cell in tried.table("## What was tried")] == [*RULES_SAY], stale
    for group, names in tried.GROUPS.items():
        assert tried.table(f"### {group}") == [tried.in_words(name) for name in names], stale
