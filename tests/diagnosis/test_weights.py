"""Gradients, steps and other weights; and a model that explains next to nothing: the thresholds of R15, R17 and R20."""

from typing import Any

import pytest

from helpers import fit_started, fold, numbered, started
from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.generalization import underfitting
from tuimon.diagnosis.progress import findings
from tuimon.diagnosis.weights import gradients, replaced
from tuimon.protocol import events
from tuimon.protocol.wire import Number
from tuimon.runs.state import RunState

STEPS = 100
"""Of an epoch."""


def probe(step: int = 500, **fields: Any) -> events.Probe:
    values: dict[str, Any] = {
        **dict.fromkeys(("train", "inference"), 0.5),
        **dict.fromkeys(("gap", "batch_norm", "stochastic", "other", "standard_error"), 0.0),
        "reason": "end",
        "examples": 256,
        "masks": 1,
        "passes": 4,
        "seconds": 0.1,
        "gradient_batches": 4,
    }
    return events.Probe(step=step, **{**values, **fields})


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
    assert told(probe()) == []


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
    (found,) = replaced(state_of(probe(batch_norm=of_trained), fact, averages_weights=True))
    assert (found.rule, found.severity, found.step) == ("R17", severity, 500)
    assert "moving averages of the weights" in found.what
    (found,) = replaced(state_of(fact))
    assert "other weights than those of training" in found.what
    assert list(replaced(state_of(fact, fit_started(step=500)))) == [], "of an earlier fit"


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
    ],
)
def test_a_model_that_is_hardly_better_than_a_constant_and_stands_still(
    gain: float, error: float, values: tuple[float, ...], severity: str | None
) -> None:
    seen = probe(constant=0.69, gain=gain, gain_error=error)
    found = list(underfitting(state_of(*losses(*values), seen)))
    assert [each.severity for each in found] == ([] if severity is None else [severity])
    assert list(underfitting(state_of(*losses(*values), probe(constant=None)))) == []
    few = probe(constant=0.69, gain=gain, gain_error=error, examples=32)
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
