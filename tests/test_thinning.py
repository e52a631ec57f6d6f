"""A run that is too long for its viewer keeps its newest part, and of what is older what charts show of it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import fit_started, layer, make_run, model_built, numbered, started, statistics
from tuimon.plot.raster import ColumnExtremes
from tuimon.protocol import events
from tuimon.runs.log import long_log
from tuimon.runs.series import Series
from tuimon.runs.state import RunState
from tuimon.runs.thinning import extremes, fair_share, thin
from tuimon.ui.viewer import viewer
from ui.sizes import WIDE
from ui.watching import part, press, until, watching

VALUES = st.floats(-1e3, 1e3) | st.sampled_from([float("nan"), float("inf"), float("-inf"), 0.0])
ROWS = 64


@given(st.lists(VALUES, min_size=1, max_size=900), st.integers(0, 5), st.integers(1, 4))
def test_newest_rows_stay_and_of_older_ones_the_extremes(values: list[float], first: int, stride: int) -> None:
    series, given_values = Series(), np.array(values)
    steps = np.arange(first, first + stride * len(values), stride)
    if stride == 1:
        series.extend(first, given_values)
    else:
        series.extend_rows(steps, given_values)
    kept = thin((series,), ROWS)
    if kept is None:
        assert len(values) < 2 * ROWS
        assert len(series) == len(values)
        return
    assert len(series) == len(kept) <= ROWS + 3 * (ROWS // 4) + 1
    assert kept[0] == 0
    np.testing.assert_array_equal(series.steps, steps[kept])
    np.testing.assert_array_equal(series.values, given_values[kept])
    np.testing.assert_array_equal(series.values[-ROWS:], given_values[-ROWS:])
    older = given_values[:-ROWS]
    left = series.values[:-ROWS]
    assert np.isfinite(older).all() == np.isfinite(left).all()
    if np.isfinite(older).any():
        assert (left[np.isfinite(left)].min(), left[np.isfinite(left)].max()) == (
            older[np.isfinite(older)].min(),
            older[np.isfinite(older)].max(),
        )


def test_a_part_keeps_its_first_value_that_is_not_finite() -> None:
    values = np.array([[1.0], [np.nan], [2.0], [np.inf], [5.0], [4.0], [4.5], [6.0]])
    assert extremes(np.arange(8), values, parts=2).tolist() == [0, 1, 2, 3, 5, 7]


def test_small_ones_get_all_they_want() -> None:
    assert fair_share([], 10) == float("inf")
    assert fair_share([1, 2], 10) == float("inf")
    assert fair_share([1, 100, 100], 101) == 50.0


def test_a_chart_of_the_whole_run_is_drawn_as_before() -> None:
    values = np.random.default_rng(0).lognormal(size=400_000)
    values[123_456] = np.nan
    whole, thinned, series = ColumnExtremes(400, 399_999), ColumnExtremes(400, 399_999), Series()
    series.extend(0, values)
    whole.update(series.steps.astype(np.int64), series.values.copy())
    assert thin((series,), 100_000) is not None
    thinned.update(series.steps, series.values)
    assert len(series) < 160_000
    np.testing.assert_array_equal(whole.non_finite, thinned.non_finite)
    # A part that lies in two columns keeps the extremes of both together.
    assert np.mean(whole.low == thinned.low) > 0.97
    assert np.mean(whole.high == thinned.high) > 0.97


def batches(first: int) -> events.Batches:
    metrics: dict[str, list[float | str]] = {"loss": [5.0 + (first + place) % 7 for place in range(10)]}
    return events.Batches(first_step=first, metrics=metrics, batches=10, step=first + 10)


def a_long_run(steps: int = 3000) -> list[events.AnyEvent]:
    facts: list[events.AnyEvent] = [started(), model_built(layer("bn_1")), fit_started(epochs=1, steps_per_epoch=steps)]
    facts.append(events.StateChanged(state="training"))
    for first in range(0, steps, 10):
        facts.append(batches(first))
        facts.append(events.BatchNorm(layers={"bn_1": statistics(first)}, step=first + 10))
    return numbered(facts)


def test_a_state_takes_no_more_room_than_it_may_and_its_layers_stay_in_step() -> None:
    state, largest = RunState(), 0
    for fact in a_long_run(40_000):
        state.apply([fact])
        state.thin(10_000)
        layer_of = state.layers.get("bn_1")
        numbers = sum(series.numbers for series in state.batch_metrics.values())
        if layer_of is not None:
            numbers += layer_of.moving_mean.numbers + layer_of.moving_variance.numbers
            assert layer_of.undisturbed_from == 0
        largest = max(largest, numbers)
    assert largest <= 2 * 10_000 + 200
    history = state.layers["bn_1"]
    assert history.moving_mean.steps.tolist() == history.moving_variance.steps.tolist()
    assert history.moving_mean.steps[0] == 10
    assert history.moving_mean.steps[-1] == 40_000
    assert state.thinned_before is not None
    newest = state.batch_metrics["loss"]
    tail = newest.steps[newest.steps >= state.thinned_before]
    assert tail.tolist() == list(range(state.thinned_before, 40_000))


def test_where_a_layer_was_disturbed_is_still_known() -> None:
    state = RunState()
    facts = a_long_run(20_000)
    facts[1001] = events.BatchNorm(layers={"bn_1": statistics(0, mode="frozen")}, step=facts[1001].step)
    seen: set[int] = set()
    for fact in numbered(facts):
        state.apply([fact])
        state.thin(6_000)
        if (history := state.layers.get("bn_1")) and history.undisturbed_from:
            seen.add(int(history.moving_mean.steps[history.undisturbed_from]))
    assert len(seen) >= 1
    assert min(seen) >= facts[1001].step


@pytest.mark.parametrize("is_long", [False, True])
async def test_the_screen_says_what_is_thinned(runs: Path, monkeypatch: pytest.MonkeyPatch, *, is_long: bool) -> None:
    for module in (viewer, long_log):
        monkeypatch.setattr(module, "ROOM", 2_000)
    if is_long:
        from tuimon.ui import run_reader

        monkeypatch.setattr(run_reader, "LONG_BYTES", 4000)
        monkeypatch.setattr(long_log, "NEWEST_BYTES", 4000)
    run = make_run(runs, [*a_long_run(), events.RunEnded(status="finished", step=3000)])
    async with watching(run, WIDE) as (app, pilot):
        await press(pilot, "2", "enter")
        await until(pilot, lambda: "extremes only" in part(app, "StatusLine"))
        line = next(line for line in part(app, "Statistics").splitlines() if "batch" in line)
        assert "kept" in line
        assert "–" in line
