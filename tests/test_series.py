"""A series is its rows in the order of their steps, however they came, and takes little memory."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tuimon.runs import series as series_module
from tuimon.runs.series import Series

STEPS = st.integers(0, 30) | st.integers(-5, 5) | st.integers(2**20 - 3, 2**20 + 3) | st.integers(0, 2**50)
PARTS = st.lists(st.tuples(st.sampled_from(["append", "extend", "rows", "keep"]), STEPS, st.integers(0, 90)))


@given(PARTS)
def test_rows_are_those_that_came(parts: list[tuple[str, int, int]]) -> None:
    series, steps, number = Series(), list[int](), 0
    values = list[float]()
    for kind, step, count in parts:
        new = [float(number + place) for place in range(count)]
        number += count
        match kind:
            case "append":
                series.append(step, [float(number)])
                steps, values = [*steps, step], [*values, float(number)]
            case "extend":
                series.extend(step, np.array(new))
                steps, values = [*steps, *range(step, step + count)], [*values, *new]
            case "rows":
                series.extend_rows(np.arange(step, step + 2 * count, 2), np.array(new))
                steps, values = [*steps, *range(step, step + 2 * count, 2)], [*values, *new]
            case "keep" if count:
                series.keep_newest(count)
                if len(steps) >= 2 * count:
                    steps, values = steps[-count:], values[-count:]
        order = sorted(range(len(steps)), key=steps.__getitem__)
        steps, values = [steps[place] for place in order], [values[place] for place in order]
        assert (series.steps.tolist(), series.values.tolist()) == (steps, values)
        assert (len(series), series.last) == (len(steps), values[-1] if values else None)


def test_batches_that_follow_each_other_go_on() -> None:
    series = Series()
    for first in range(0, 300, 3):
        series.extend(first, np.arange(3.0))
    assert series.steps.tolist() == list(range(300))
    # Lines that were moved: what was read before is not changed.
    before = series.steps
    series.extend(100, np.array([7.0, 8.0, 9.0]))
    assert series.steps.tolist() == sorted([*range(300), 100, 101, 102])
    assert series.values[99:106].tolist() == [0.0, 1.0, 7.0, 2.0, 8.0, 0.0, 9.0]
    assert before.tolist() == list(range(300))


def test_metrics_of_the_same_batches_share_their_steps() -> None:
    loss, accuracy = Series(), Series()
    for first in range(0, 3000, 3):
        for series in (loss, accuracy):
            series.extend(first, np.zeros(3))
    assert np.shares_memory(loss.steps, accuracy.steps)
    resumed = Series()
    resumed.extend(10**12, np.zeros(3))
    assert not np.shares_memory(loss.steps, resumed.steps)
    assert resumed.steps.tolist() == [10**12, 10**12 + 1, 10**12 + 2]


def test_room_is_bounded() -> None:
    series = Series()
    for first in range(0, 3_000_000, 1000):
        series.extend(first, np.zeros(1000))
        assert series.steps[-1] == first + 999
    assert series._rows.nbytes <= 4 * 8 * len(series)
    assert series_module._counted._steps.nbytes <= 4 * 4 * 3_500_000
