"""What monitoring may take of the time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuimon.trainer.budget import SHARES, Budget

OVERHEAD = 0.1


@given(st.sampled_from(list(SHARES)), st.floats(0.001, 5.0), st.lists(st.floats(0.0, 100.0), min_size=1, max_size=200))
def test_what_costs_as_expected_never_takes_more_than_its_share(part: str, cost: float, waits: list[float]) -> None:
    budget, now, uses = Budget(OVERHEAD, 1000.0), 1000.0, 0
    for wait in waits:
        now += wait
        if budget.allows(part, now, expected=cost):
            # The first use is paid in advance; each later one, once the one before is paid.
            assert uses * cost <= (now - 1000.0) * OVERHEAD * SHARES[part] * (1 + 1e-9)
            assert now - 1000.0 >= cost / (OVERHEAD * SHARES[part]) * (1 - 1e-9)
            budget.charge(part, cost, now)
            uses += 1


def test_what_nobody_can_foresee_is_free_the_first_time() -> None:
    budget = Budget(OVERHEAD, 0.0)
    assert budget.allows("sampling", 0.0)
    assert not budget.allows("probe", 1.0, expected=1.0)
    budget.charge("sampling", 0.3, 0.0)
    assert not budget.allows("sampling", 9.9)
    assert budget.allows("sampling", 10.1)
    assert budget.share(100.0) == pytest.approx(0.003)


def test_traces_are_not_part_of_the_share() -> None:
    budget = Budget(OVERHEAD, 0.0)
    budget.charge("traces", 5.0, 1.0)
    assert budget.share(10.0) == 0
