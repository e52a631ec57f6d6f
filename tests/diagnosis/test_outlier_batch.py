"""R21: what one batch does to a moving average, and what else moves one, as exact averages do it."""

from collections.abc import Callable

import numpy as np
import pytest

from helpers import SENDER, fit_started, fold, layer, model_built, numbered, started, statistics
from tuimon.diagnosis.outlier_batch import findings, outliers
from tuimon.diagnosis.spike_causes import FAR, spikes
from tuimon.protocol import commands, events
from tuimon.runs.state import RunState

MOMENTUM, STEPS = 0.99, 50
"""Keras' own; of an epoch."""


def run(
    variance: Callable[[int], float],
    *,
    steps: int = 1500,
    every: int = 10,
    val_loss: Callable[[int], float] = lambda step: 1.0,
    then: dict[int, list[events.AnyEvent]] | None = None,
    ended: bool = False,
) -> RunState:
    """Return what a run adds up to whose batches have this variance at each step, sampled every so many steps."""
    facts: list[events.AnyEvent] = [started(), model_built(layer("bn_1"), layer("bn_2")), fit_started(epochs=99)]
    moving = 1.0
    for step in range(1, steps + 1):
        moving = float(np.float32(MOMENTUM * moving + (1 - MOMENTUM) * variance(step)))
        here = {"step": step, "epoch": (step - 1) // STEPS}
        for fact in (then or {}).get(step, []):
            fact.step, fact.epoch = here["step"], here["epoch"]
            facts.append(fact)
            if isinstance(fact, events.Recalibrated):
                moving = variance(step)
        if step % every == 0:
            sample = statistics(0.0, variance=moving, mode="training")
            facts.append(events.BatchNorm(layers={"bn_1": sample}, **here))
        if step % STEPS == 0:
            logs: dict[str, float | str] = {"loss": 1.0, "val_loss": val_loss(step)}
            facts.append(events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=1.0, **here))
    if ended:
        facts.append(events.RunEnded(status="finished", step=steps, epoch=steps // STEPS - 1))
    return fold(numbered(facts))


def once(at: int, times: float) -> Callable[[int], float]:
    return lambda step: times if step == at else 1.0


def test_one_batch_is_told_with_what_it_costs_and_how_long() -> None:
    state = run(once(1005, 40_000.0), val_loss=lambda step: 1.0 + (step > 1005))
    (batch,) = outliers(state)
    assert (batch.path, batch.after, batch.until) == ("bn_1", 1000, 1010)
    assert batch.times == pytest.approx(400 * MOMENTUM**5, rel=0.02)
    (found,) = findings(state)
    assert (found.rule, found.severity, found.layer) == ("R21", "warning", "bn_1")
    assert "from 1 to 2" in found.what
    assert "it is forgotten by step" in found.what
    assert found.request == "recalibrate"
    assert [spike.cause for spike in spikes(state)] == [FAR]


def test_forgotten_means_that_a_tenth_is_left() -> None:
    for steps, is_forgotten in ((1300, False), (1850, True)):
        (found,) = findings(run(once(1005, 40_000.0), steps=steps))
        assert ("it was forgotten by step 1,8" in found.what) == is_forgotten
        assert (found.request == "") == is_forgotten
        # Validation did not pay for it.
        assert found.severity == "info"


def test_training_that_ended_before_it_was_forgotten_leaves_it_in_the_model() -> None:
    (found,) = findings(run(once(1005, 40_000.0), steps=1300, ended=True))
    assert "it was not forgotten when training ended" in found.what
    assert "recalibrate" in found.advice


def test_a_batch_in_each_epoch_is_told_as_several() -> None:
    state = run(lambda step: 40_000.0 if step % STEPS == 25 else 1.0)
    (found,) = findings(state)
    assert found.evidence["batches"] == len(outliers(state)) > 20
    assert f"{found.evidence['batches']} times a batch" in found.what


@pytest.mark.parametrize("times", [10.0, 60.0])
def test_a_batch_that_the_average_hardly_feels_is_none(times: float) -> None:
    assert not outliers(run(once(1005, times)))


@pytest.mark.parametrize("times", [1e6, 1e9])
def test_the_last_digits_behind_a_huge_batch_are_no_level(times: float) -> None:
    assert [batch.until for batch in outliers(run(once(1005, times)))] == [1010]


@pytest.mark.parametrize(
    "variance",
    [
        lambda step: 1.0 + 99 * (step > 1000),
        lambda step: 100.0,
        lambda step: 1.01**step,
        lambda step: 0.001,
        lambda step: 1 + 60 * (1000 < step <= 1200),
        lambda step: float(np.random.default_rng(step).chisquare(1)),
        lambda step: float(np.exp(np.random.default_rng(step).normal())),
    ],
    ids=["a step that stays", "far from the start", "grows", "small", "a while", "of two values", "log-normal"],
)
@pytest.mark.parametrize("every", [1, 10, 70])
def test_what_stays_or_is_chance_is_none(variance: Callable[[int], float], every: int) -> None:
    assert not outliers(run(variance, every=every))


def test_what_is_too_new_is_not_told_yet() -> None:
    assert not outliers(run(once(1005, 40_000.0), steps=1020))
    assert outliers(run(once(1005, 40_000.0), steps=1030))


def test_a_recalibration_ends_it() -> None:
    def recalibrated() -> list[events.AnyEvent]:
        return [events.Recalibrated(batches=8, examples=256, dry_run=False)]

    assert not outliers(run(once(505, 40_000.0), then={700: recalibrated()}))
    assert outliers(run(once(1005, 40_000.0), then={700: recalibrated()}))


def test_a_request_that_leaves_the_statistics_alone_does_not() -> None:
    probed = events.CommandApplied(id="a", request=commands.Probe(), first_step=700, sender=SENDER)
    assert outliers(run(once(505, 40_000.0), then={700: [probed]}))
