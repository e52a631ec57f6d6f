"""Channels that are dead, channels of small scale, and channels of which it is not known yet."""

import numpy as np
import pytest

from helpers import fit_started, fold, layer, model_built, numbered, started
from tuimon.diagnosis.dead_channels import dead_channels
from tuimon.diagnosis.finding import Finding
from tuimon.protocol import events

CHANNELS = 20
EPSILON = 1e-3


def found(
    *variances: float,
    steps: int,
    momentum: float = 0.99,
    initial: float | list[float] = 1.0,
    every: int = 40,
    first: int = 0,
) -> list[Finding]:
    """Return what is found where batches have these variances, of as many channels each, sampled now and then."""
    reaching = np.repeat(variances, CHANNELS // len(variances))
    moving = np.broadcast_to(np.asarray(initial, float), CHANNELS).copy()
    facts: list[events.AnyEvent] = [
        started(),
        model_built(layer("bn", channels=CHANNELS, momentum=momentum, epsilon=EPSILON)),
        fit_started(),
    ]
    for step in range(steps + 1):
        if step >= first and (step - first) % every == 0:
            facts.append(
                events.BatchNorm(
                    layers={
                        "bn": events.BatchNormStatistics(
                            moving_mean=[0.0] * 7,
                            moving_variance=np.quantile(moving, events.QUANTILES).tolist(),
                            gamma=None,
                            beta=None,
                            dead=int(np.count_nonzero(moving <= events.DEAD_VARIANCE * EPSILON)),
                            non_finite=0,
                            mode="training",
                        )
                    },
                    step=step,
                )
            )
        moving = momentum * moving + (1 - momentum) * reaching
    state = fold(numbered(facts))
    return list(dead_channels(state))


def test_channels_whose_variance_falls_to_nothing_are_dead() -> None:
    assert found(0.0, 1.0, steps=1000) == []
    (finding,) = found(0.0, 1.0, steps=1200)
    assert finding.severity == "warning"
    assert finding.what.startswith("10 of 20 channels of bn are dead")
    assert finding.evidence["dead_channels"] == 10
    (finding,) = found(0.0, 1.0, 1.0, 1.0, 1.0, steps=20_000, every=500)
    assert (finding.severity, finding.step) == ("info", 1500)


@pytest.mark.parametrize("steps", [100, 120, 140, 160, 400, 4000])
@pytest.mark.parametrize("variance", [1.3e-6, 5e-6, 2e-7])
def test_channels_of_small_scale_are_not_dead_at_any_step(variance: float, steps: int) -> None:
    for finding in found(variance, steps=steps, momentum=0.9, every=8):
        assert finding.severity == "info"
        assert "epsilon dominates" in finding.what


def test_small_scale_is_told_as_a_note_with_what_is_left_of_unit_scale() -> None:
    (finding,) = found(1.3e-6, steps=1280, momentum=0.9)
    assert "their variance is 1.3e-6, epsilon 0.001, so that" in finding.what
    assert finding.evidence["scale_behind_the_layer"] == pytest.approx(0.036, abs=1e-3)
    assert found(1e-4, steps=1280, momentum=0.9) == []


def test_dead_channels_beside_channels_of_small_scale() -> None:
    (finding,) = found(0.0, 2e-6, steps=3000)
    assert finding.evidence["dead_channels"] == pytest.approx(10, abs=3)


def test_channels_that_were_dead_before_are_none_of_this_run() -> None:
    assert found(0.0, 1.0, steps=2000, initial=[1e-8] * 10 + [1.0] * 10) == []
    assert found(0.0, 1.0, steps=2000, initial=[0.0] * 10 + [1.0] * 10) == []


@pytest.mark.parametrize(("initial", "first"), [(0.0, 0), (1.0, 1500)])
def test_statistics_that_begin_at_0_or_are_seen_late_are_of_this_run(initial: float, first: int) -> None:
    (finding,) = found(0.0, 1.0, steps=2500, initial=initial, first=first)
    assert finding.what.startswith("10 of 20 channels of bn are dead")


def test_nothing_is_said_before_the_average_has_forgotten_half() -> None:
    assert found(0.0, 1.0, steps=1260, first=1240, every=10) == []


def test_momentum_at_its_bounds() -> None:
    (finding,) = found(0.0, 1.0, steps=100, momentum=0.0)
    assert "dead" in finding.what
    assert found(0.0, 1.0, steps=100, momentum=1.0, initial=[1e-9] * 20) == []
