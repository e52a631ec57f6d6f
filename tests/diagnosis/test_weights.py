"""Gradients, steps and other weights; and a model that explains next to nothing: the thresholds of R15, R17 and R20."""

from typing import Any

import pytest

from helpers import fit_started, fold, numbered, probe_fact, started
from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.generalization import underfitting
from tuimon.diagnosis.progress import findings
from tuimon.diagnosis.values import exploded, non_finite_losses
from tuimon.diagnosis.weights import gradients, replaced
from tuimon.protocol import events
from tuimon.protocol.wire import Number
from tuimon.runs.state import RunState

STEPS = 100
"""Of an epoch."""


def probe(step: int = 500, **fields: Any) -> events.Probe:
    values = {"train": 0.5, "inference": 0.5, "reason": "end", "examples": 256, "gradient_batches": 4}
    return probe_fact(step=step, **{**values, **fields})


def of(**norms: Number) -> dict[str, events.ProbeGradient]:
    return {path: events.ProbeGradient(norm=norm, weight_norm=1.0, zeros=0.0) for path, norm in norms.items()}


def moved(step: int, **shares: Number) -> events.WeightUpdates:
    return events.WeightUpdates(layers=shares, step=step)


def ended(epoch: int, loss: float, *, rate: float = 1e-3, **logs: Number) -> events.EpochEnded:
    step = STEPS * (epoch + 1)
    return events.EpochEnded(logs={"loss": loss, **logs}, learning_rate=rate, seconds=1.0, step=step, epoch=epoch)


def state_of(*facts: events.AnyEvent, **fit: Any) -> RunState:
    return fold(numbered([started(), fit_started(epochs=10, steps_per_epoch=STEPS, **fit), *facts]))


def told(*facts: events.AnyEvent) -> list[tuple[str, str | None]]:
    found = list(gradients(state_of(*facts)))
    assert all(isinstance(each, Finding) and each.rule == "R20" for each in found)
    return [(each.severity, each.layer) for each in found]


def test_a_layer_without_a_gradient_does_not_learn() -> None:
    assert told(probe(gradients=of(a=0.0, b=0.5))) == [("warning", "a")]
    assert told(probe(gradients=of(a=0.0, b=0.0))) == [("warning", None)]
    assert told(probe(gradients=of(a=1e-30, b=0.5))) == []
    assert told(probe(step=10, gradients=of(a=0.0, b=0.5))) == [], "residual branches begin without one"
    assert told(probe(train=0.0, inference=0.0, gradients=of(a=0.0, b=0.0))) == [], "a hinge loss that is done"
    assert told(probe(constant=1.0, gain=1.0, gradients=of(a=0.0, b=0.5))) == [], "and its regularization is not"
    assert told(moved(500, a=0.01, b=0.1), probe(gradients=of(a=0.0, b=0.5))) == [], "a task of other batches"
    assert told(moved(500, a=1e-6, b=0.1), probe(gradients=of(a=0.0, b=0.5))) == [("warning", "a")], "weight decay"
    assert told(probe()) == []


def test_a_layer_that_the_loss_does_not_depend_on_is_a_note() -> None:
    """A target network behind a stop_gradient is meant so."""
    unused = events.ProbeGradient(norm=0.0, weight_norm=1.0, zeros=1.0, connected=False)
    assert told(probe(gradients={**of(a=0.5), "b": unused})) == [("info", "b")]
    assert told(probe(gradients={**of(a=0.0, c=0.5), "b": unused})) == [("warning", "a"), ("info", "b")]


def test_a_gradient_that_is_no_number_is_an_error_while_the_loss_is_one() -> None:
    assert told(probe(step=5, gradients=of(a="nan", b=0.5))) == [("error", "a")]
    assert told(probe(step=5, gradients=of(a="inf", b="nan"))) == [("error", None)]
    assert told(probe(train="nan", gradients=of(a="nan"))) == [], "that is the loss"


def test_steps_that_change_nothing_are_told_if_they_are_not_alone() -> None:
    seen = probe(gradients=of(a=0.5, b=0.5))
    rate, nothing = ended(0, 0.5), moved(100, a=0.0, b=0.001)
    assert told(rate, nothing, seen) == []
    assert told(rate, nothing, moved(200, a=0.0, b=0.0), seen) == [("warning", "a")]
    assert told(rate, nothing, moved(200, a=0.1, b=0.0), moved(300, a=0.0, b=0.1), seen) == []
    assert told(ended(0, 0.5, rate=0.0), nothing, nothing, seen) == [], "a learning rate of 0 is another rule's"
    assert told(rate, nothing, nothing, probe(gradients=of(a=0.0, b=0.5))) == [("warning", "a")], "no gradient"
    assert told(rate, nothing, nothing) == [], "whether there is a gradient is not known"


@pytest.mark.parametrize(
    ("fields", "of_trained", "severity"),
    [
        ({"moving": 1.0, "batch": 0.5, "standard_error": 0.05}, 0.0, "warning"),
        ({"moving": 1.0, "batch": 0.5, "standard_error": 0.2}, 0.0, "info"),
        ({"moving": 1.0, "batch": 0.95, "standard_error": 0.001}, 0.0, "info"),
        ({"moving": 1.0, "batch": 0.5, "standard_error": 0.05}, -0.4, "info"),
        ({"moving": 0.5, "batch": 1.0, "standard_error": 0.05}, 0.0, "info"),
        ({"moving": 1.0, "batch": None, "standard_error": None}, 0.0, "info"),
        ({}, 0.0, "info"),
    ],
)
@pytest.mark.parametrize("where", ["validation", "end"])
def test_other_weights_are_a_note_unless_the_statistics_do_not_fit_them(
    fields: dict[str, Number], of_trained: float, severity: str, where: str
) -> None:
    """Beyond chance, worth a tenth of the loss, and worse than with the trained weights."""
    examples = 256 if fields else 0
    fact = events.WeightsReplaced(where=where, change=0.1, examples=examples, step=500, **fields)  # type: ignore[arg-type]
    trained = probe(batch_norm=of_trained, inference=1.0)
    (found,) = replaced(state_of(trained, fact, averages_weights=True))
    assert (found.rule, found.severity, found.step) == ("R17", severity, 500)
    assert "moving averages of the weights" in found.what
    (found,) = replaced(state_of(fact))
    assert "other weights than those of training" in found.what
    assert list(replaced(state_of(fact, fit_started(step=500)))) == [], "of an earlier fit"


@pytest.mark.parametrize(
    ("moving", "error", "step", "severity"),
    [(1.0, 0.02, 500, "warning"), (1.0, 0.3, 500, "info"), (0.52, 0.001, 500, "info"), (1.0, 0.02, 400, "info")],
)
def test_averages_that_have_not_caught_up_are_told(moving: float, error: float, step: int, severity: str) -> None:
    """Beyond chance and worth a tenth of the loss, beside a probe of the trained weights at the same step."""
    fact = events.WeightsReplaced(
        where="validation", change=0.1, examples=256, moving=moving, moving_error=error, step=500
    )
    (found,) = replaced(state_of(fact, probe(step, unweighted_error=0.01)))
    assert found.severity == severity
    assert ("above that of the trained weights" in found.what) == (severity == "warning")


def test_weights_that_early_stopping_puts_back_are_no_finding() -> None:
    assert list(replaced(state_of(events.WeightsReplaced(where="restored", change=0.1, step=500)))) == []


def losses(*values: float) -> list[events.EpochEnded]:
    return [ended(epoch, value) for epoch, value in enumerate(values)]


@pytest.mark.parametrize(
    ("gain", "error", "values", "severity"),
    [
        (0.0, 0.01, (0.7, 0.7, 0.69, 0.69, 0.69), "warning"),
        (-0.01, 0.01, (0.7, 0.7, 0.69, 0.69, 0.69), "warning"),
        (0.03, 0.01, (0.7, 0.7, 0.69, 0.69, 0.69), "info"),
        (0.1, 0.01, (0.7, 0.7, 0.69, 0.69, 0.69), None),
        (0.0, 0.05, (0.7, 0.7, 0.69, 0.69, 0.69), None),
        (0.0, 0.01, (0.9, 0.8, 0.7, 0.65, 0.6), None),
        (0.0, 0.01, (0.7, 0.69, 0.69), None),
        (0.0, 0.01, (0.7, 0.699, 0.698, 0.697, 0.696), "info"),
    ],
)
def test_a_model_that_is_hardly_better_than_a_constant_and_stands_still(
    gain: float, error: float, values: tuple[float, ...], severity: str | None
) -> None:
    seen = probe(constant=0.69, gain=gain, gain_error=error)
    found = list(underfitting(state_of(*losses(*values), seen)))
    assert [each.severity for each in found] == ([] if severity is None else [severity])
    assert list(underfitting(state_of(*losses(*values), probe(constant=None)))) == []
    soft = probe(constant=0.69, floor=0.68, gain=0.008, gain_error=0.0001)
    assert list(underfitting(state_of(*losses(*values), soft))) == [], "most of what can be had"
    few = probe(constant=0.69, gain=gain, gain_error=error, examples=16)
    assert list(underfitting(state_of(*losses(*values), few))) == []


@pytest.mark.parametrize(("fall", "is_stuck"), [(0.0, True), (0.004, False)])
def test_slow_progress_is_progress(fall: float, is_stuck: bool) -> None:
    """Below the noise of the batches, but in each epoch."""
    facts: list[events.AnyEvent] = []
    for epoch in range(8):
        loss = 1.0 - fall * epoch
        batches: list[Number] = [loss + 0.1 * (-1) ** step for step in range(STEPS)]
        first = STEPS * epoch
        facts.append(
            events.Batches(first_step=first, metrics={"loss": batches}, batches=STEPS, step=first + STEPS, epoch=epoch)
        )
        facts.append(ended(epoch, loss))
    assert bool(list(findings(state_of(*facts)))) == is_stuck


@pytest.mark.parametrize(
    ("values", "is_exploded"),
    [((1.0, 0.2, 0.1, 50.0), True), ((1.0, 0.2, 0.1, 3.0), False), ((1.0, 50.0), False), ((5.0, -3.0, 60.0), True)],
)
def test_a_loss_that_explodes_is_told_before_it_is_no_number(values: tuple[float, ...], is_exploded: bool) -> None:
    found = list(exploded(state_of(*losses(*values))))
    assert [(each.rule, each.severity) for each in found] == ([("R12", "error")] if is_exploded else [])


@pytest.mark.parametrize(
    ("values", "has_exploded"),
    [
        ((3.0, 560.0, 2.6e6, 3.3e14, "inf"), True),
        ((9.0, 1.0, 1.1, 40.0, "nan"), True),
        ((1.0, 0.9, 1.2, "nan"), False),
        ((1.0, 0.9, 0.95, 300.0, 0.9, "nan"), False),
        (("nan", "nan"), False),
    ],
)
def test_a_loss_that_exploded_is_no_matter_of_the_data(values: tuple[Number, ...], has_exploded: bool) -> None:
    batches = events.Batches(first_step=0, metrics={"loss": list(values)}, batches=len(values), step=len(values))
    (found,) = non_finite_losses(state_of(batches))
    assert ("before that it rose from" in found.what) == has_exploded
    assert found.advice.startswith("look at the data") != has_exploded
    assert ("rose_to" in found.evidence) == has_exploded
