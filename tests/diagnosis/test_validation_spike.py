"""Which values stand out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuimon.diagnosis.validation_spike import FEWEST, LEVEL_EPOCHS, WINDOW, is_spike, limits

LOSSES = st.lists(st.floats(-1e6, 1e6), max_size=60)


@given(LOSSES, st.integers(0, 70))
def test_each_value_is_measured_against_those_before_it_alone(values: list[float], newest: int) -> None:
    array = np.array(values)
    whole, part = limits(array), limits(array, newest=newest)
    count = min(newest, len(values))
    for all_of_them, newest_ones in ((whole.levels, part.levels), (whole.thresholds, part.thresholds)):
        np.testing.assert_array_equal(all_of_them[len(values) - count :], newest_ones)
    for index in range(len(values)):
        assert is_spike(array[: index + 1]) == bool(array[index] > whole.thresholds[index])


@given(LOSSES)
def test_a_threshold_is_above_its_level(values: list[float]) -> None:
    found = limits(np.array(values))
    known = ~np.isnan(found.thresholds)
    assert (found.thresholds[known] >= found.levels[known]).all()
    assert known.sum() == max(0, len(values) - LEVEL_EPOCHS - FEWEST)


@settings(deadline=None)  # On a busy machine the first call takes long.
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, -6.0, 100.0]))
def test_what_stands_out_by_far_is_a_spike(seed: int, level: float) -> None:
    noise = np.random.default_rng(seed).uniform(-0.01, 0.01, WINDOW + LEVEL_EPOCHS)
    assert is_spike([*(level + noise), level + abs(level)])


def test_a_loss_that_falls_hides_no_spike() -> None:
    falling = np.exp(-np.arange(20) / 4)
    assert is_spike([*falling, 0.8])
    assert not is_spike(falling)
    overfitting = 0.5 * 1.05 ** np.arange(40)
    assert not any(is_spike(overfitting[:epochs]) for epochs in range(40))


def test_a_wiggle_of_a_run_at_rest_is_no_spike() -> None:
    at_rest = -4.8983 + 1e-6 * np.sin(np.arange(30))
    assert not is_spike([*at_rest, -4.8982])
    assert is_spike([*at_rest, -4.8])


def test_noise_has_hardly_a_spike() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(1.0, 0.1, (50, 100))
    found = sum(int(np.count_nonzero(row > limits(row).thresholds)) for row in noise)
    assert found <= 8, "of 4,350"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_no_spike_and_no_level(value: float) -> None:
    assert not is_spike([*np.ones(20), value])
    assert is_spike([*np.ones(20), value, 2.0])
