"""The screen of all metrics: what is drawn is what the log says, however it is looked at."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from textual.events import MouseScrollUp
from textual.widgets import Input, OptionList

from helpers import fit_started, fold, make_run, numbered, started
from tuimon.plot.raster import ColumnExtremes
from tuimon.plot.smoothing import Smoothed, window_of
from tuimon.plot.viewport import Viewport
from tuimon.plot.x_axis import X_KINDS, XKind, window_axis, x_of
from tuimon.protocol import events
from tuimon.runs.series import Series
from tuimon.settings import Settings
from tuimon.ui.charts.metric_lines import Line, lines_of
from tuimon.ui.charts.spikes import spikes_of
from tuimon.ui.dialogs.find_dialog import FindDialog
from tuimon.ui.screens.metrics.metric_chart import MetricChart
from tuimon.ui.screens.metrics.screen import MetricsScreen
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.replay_clock import ReplayClock
from tuimon.ui.viewer.view_memory import MetricsView, View, ViewMemory
from ui.facts import training
from ui.sizes import NARROW, WIDE
from ui.watching import LiveRun, part, press, text, until, watching


def log(steps: int = 200) -> list[events.AnyEvent]:
    """Return a run whose loss falls, with one spike and one NaN."""
    losses: list[float | str] = [2.0 / (1 + step / 20) for step in range(steps)]
    losses[77], losses[120] = 9.5, "nan"
    facts: list[events.AnyEvent] = [*training("bn_1")[:4]]
    for first in range(0, steps, 10):
        chunk = losses[first : first + 10]
        numbers = {"loss": chunk, "accuracy": [first / steps] * len(chunk)}
        facts.append(events.Batches(first_step=first, metrics=numbers, batches=10, step=first + 10))
        logs = {"loss": 2.0 / (1 + first / 20), "val_loss": 2.5 / (1 + first / 20), "accuracy": first / steps}
        facts.append(events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=1.0, step=first + 10, epoch=first // 10))
    return facts


def screen(app: object) -> MetricsScreen:
    found = app.base_screen  # type: ignore[attr-defined]
    assert isinstance(found, MetricsScreen)
    return found


@pytest.mark.parametrize("size", [WIDE, pytest.param(NARROW, marks=pytest.mark.full)], ids=["wide", "narrow"])
async def test_every_key_on_every_kind_of_run(runs: Path, size: tuple[int, int]) -> None:
    keys = ["right", "left", "plus", "minus", "less_than_sign", "greater_than_sign", "G", "0", "x", "y", "e", ")", "("]
    keys += ["v", "enter", "down", "up", "0"]
    for number, facts in enumerate(([], training("bn_1")[:4], training("bn_1"), log())):
        directory = runs / str(number)
        directory.mkdir()
        with LiveRun(directory, *facts) as run:
            async with watching(run.directory, size) as (app, pilot):
                await press(pilot, "2")
                await until(pilot, lambda app=app: app.base_screen.screen_name == "metrics")
                for key in (*keys, *keys):
                    await press(pilot, key)
                assert app.export_screenshot()
                await press(pilot, "escape", "escape")
                await until(pilot, lambda app=app: app.screen is app.dashboard)


async def test_a_metric_in_full_with_its_statistics_and_a_cursor(runs: Path) -> None:
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2", "enter")
            await until(pilot, lambda: "smallest" in text(app) and "step 78" not in text(app))
            shown = part(app, "Statistics")
            assert "9.500" in shown  # The largest, and where.
            assert "step 77" in shown
            assert "1 not finite" in shown
            await press(pilot, "right")
            chart = screen(app).chosen_chart
            for _ in range(40):
                await press(pilot, "right")
                for reading in chart.readings(app.moment()):
                    line = next(line for line in lines_of(app.viewer.state, "loss") if line.name == reading.name)
                    at = list(line.series.steps).index(reading.step)
                    assert reading.value == line.series.values[at] or math.isnan(reading.value)
            await press(pilot, "enter")
            await until(pilot, lambda: "accuracy" in text(app) and "learning rate" in text(app))


async def test_a_filter_is_heeded_as_it_is_typed(runs: Path) -> None:
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2")
            await until(pilot, lambda: "accuracy" in text(app))
            await pilot.press("slash", "a", "c", "c")
            await until(pilot, lambda: "learning rate" not in text(app) and "accuracy" in text(app))
            await pilot.press("enter")
            await until(pilot, lambda: "filter acc" in part(app, "StatusLine"))
            await pilot.press("slash", "[")
            await until(pilot, lambda: "0 metrics" in part(app, "StatusLine"))
            await pilot.press("escape")
            await until(pilot, lambda: "3 metrics" in part(app, "StatusLine"))
            assert app.base_screen.screen_name == "metrics"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("val*", ["loss"]),
        ("val_loss", ["loss"]),
        ("val_loss|accuracy", ["loss", "accuracy"]),
        ("a", ["accuracy", "learning rate"]),
        ("lr", ["learning rate"]),
        ("val_accuracy", []),
        ("", ["loss", "accuracy", "learning rate"]),
    ],
)
async def test_a_filter_finds_metrics_by_the_names_of_their_lines(runs: Path, pattern: str, found: list[str]) -> None:
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2")
            await until(pilot, lambda: "3 metrics" in part(app, "StatusLine"))
            screen(app).query_one(Input).value = pattern
            words = f"{len(found)} metric{'' if len(found) == 1 else 's'}"
            await until(pilot, lambda: words in part(app, "StatusLine"))
            assert [chart.metric for chart in screen(app)._charts if chart.display and chart.metric] == found


async def test_a_curve_has_one_name_on_all_screens(runs: Path) -> None:
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            named = {line.name for line in lines_of(app.viewer.state, "loss")}
            for key, name in (("1", "dashboard"), ("2", "metrics")):
                await press(pilot, key)
                await until(pilot, lambda name=name: app.base_screen.screen_name == name and "╭─ loss" in text(app))
                title = next(line for line in text(app).splitlines() if "╭─ loss" in line)
                for word in named:
                    assert f" {word} 0." in title


async def test_following_lets_go_when_panned_and_comes_back_by_key(runs: Path) -> None:
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2", "plus", "plus")
            status = "StatusLine"
            await until(pilot, lambda: "  following" in part(app, status))
            view = screen(app).viewport
            assert view.span == pytest.approx(50)
            await press(pilot, "less_than_sign")
            await until(pilot, lambda: "not following" in part(app, status))
            whole = screen(app).chosen_chart.whole(app.moment())
            before = screen(app).viewport.window(whole)
            run.write(events.Batches(first_step=200, metrics={"loss": [0.1] * 50}, batches=50, step=250, epoch=20))
            await until(pilot, lambda: app.viewer.state.step == 250)
            whole = screen(app).chosen_chart.whole(app.moment())
            assert screen(app).viewport.window(whole) == before
            await press(pilot, "G")
            assert screen(app).viewport.window(whole) == (whole[1] - 50, whole[1])


async def test_the_mouse_zooms_and_reads_values_off(runs: Path) -> None:
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2")
            await until(pilot, lambda: "accuracy" in text(app))
            chart = screen(app).chosen_chart
            await pilot.click(chart, offset=(40, 10))
            await until(pilot, lambda: screen(app).viewport.cursor is not None)
            assert "step" in chart.text().splitlines()[0]
            chart.post_message(MetricChart.Scrolled(chart, 1))
            await until(pilot, lambda: screen(app).viewport.span is not None)
            whole, cursor = chart.whole(app.moment()), screen(app).viewport.cursor
            before = screen(app).viewport.window(whole)
            await pilot.mouse_down(chart, offset=(30, 10))
            for column in (35, 40, 50):
                await pilot.hover(chart, offset=(column, 10))
            await pilot.mouse_up(chart, offset=(50, 10))
            await until(pilot, lambda: screen(app).viewport.window(whole)[0] < before[0], "what was before")
            # It was held, not clicked.
            assert screen(app).viewport.cursor == cursor
            await pilot.hover(chart, offset=(80, 10))
            moved = screen(app).viewport
            await pilot.click(chart, offset=(80, 10))
            await until(pilot, lambda: screen(app).viewport.cursor != cursor)
            assert screen(app).viewport.first == moved.first


VALUES = st.floats(-1e6, 1e6)


@given(st.lists(VALUES, min_size=2, max_size=300), st.integers(4, 120), st.floats(0, 1), st.floats(0.01, 1))
def test_every_extreme_of_a_part_is_in_its_column(
    values: list[float], columns: int, begin: float, share: float
) -> None:
    steps, points = np.arange(len(values)), np.array(values)
    last = len(values) - 1
    first_x = begin * last
    last_x = min(float(last), first_x + max(1e-3, share * last))
    if last_x <= first_x:
        return
    skip = max(0, int(np.searchsorted(steps, first_x)) - 1)
    extremes = ColumnExtremes(columns, last_x, first_x, skip)
    for end in (len(values) // 2, len(values)):
        extremes.update(steps[:end], points[:end])
    inside = (steps >= first_x) & (steps <= last_x)
    column = np.floor((steps[inside] - first_x) / (last_x - first_x) * (columns - 1) + 0.5).astype(int)
    assert (extremes.low[column] <= points[inside]).all()
    assert (extremes.high[column] >= points[inside]).all()
    if extremes.limits is not None:
        # Nothing is drawn beyond the points around.
        around = points[max(0, int(np.floor(first_x))) : int(np.ceil(last_x)) + 1]
        assert around.min() - 1e-6 <= extremes.limits[0] <= extremes.limits[1] <= around.max() + 1e-6


@given(st.lists(VALUES, min_size=1, max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_what_is_smoothed_piece_by_piece_is_the_same(values: list[float], cuts: list[int]) -> None:
    points, steps = np.array(values), np.arange(len(values))
    mean, expected = 0.0, []
    for count, value in enumerate(points, start=1):
        mean = 0.9 * mean + 0.1 * value
        expected.append(mean / (1 - 0.9**count))
    window = window_of(0.9)
    medians = [np.median(points[max(0, end - window) : end]) for end in range(1, len(points) + 1)]
    for smoothing, wanted in (("ema", expected), ("median", medians)):
        smoothed = Smoothed(smoothing, 0.9)  # type: ignore[arg-type]
        found = Series()
        for end in sorted({min(cut, len(points)) for cut in cuts} | {len(points)}):
            found = smoothed.update(steps[:end], points[:end])
        np.testing.assert_allclose(found.values, wanted, rtol=1e-9, atol=1e-6)


def test_what_is_not_finite_has_no_part_in_what_follows() -> None:
    values = np.array([1.0, math.nan, 3.0, math.inf, 5.0])
    for smoothing in ("ema", "median"):
        found = Smoothed(smoothing, 0.5).update(np.arange(5), values)  # type: ignore[arg-type]
        assert np.isfinite(found.values).tolist() == [True, False, True, False, True]
        alone = Smoothed(smoothing, 0.5).update(np.arange(3), values[[0, 2, 4]])  # type: ignore[arg-type]
        np.testing.assert_allclose(found.values[[0, 2, 4]], alone.values)


def test_x_is_what_the_log_says_of_steps() -> None:
    state = fold(numbered(log(), start=1_700_000_000.0))
    steps = np.array([0, 10, 15, 200])
    assert x_of(state, "step")(steps).tolist() == [0, 10, 15, 200]
    np.testing.assert_allclose(x_of(state, "epoch")(steps), [0, 1, 1.5, 20])
    relative = x_of(state, "relative")(steps)
    assert relative[0] == 0
    assert (np.diff(relative) > 0).all()
    np.testing.assert_allclose(x_of(state, "wall")(steps) - relative, state.clock.values[0])


@given(st.sampled_from(X_KINDS), st.floats(0, 1e9), st.floats(1e-2, 1e8), st.integers(2, 20))
def test_ticks_are_within_the_axis_and_not_too_many(kind: str, first: float, span: float, ticks: int) -> None:
    axis = window_axis(kind, first, first + span, ticks)  # type: ignore[arg-type]
    assert len(axis.ticks) <= 2 * ticks + 3
    for at, label in axis.ticks:
        assert axis.first - 1e-6 * span <= at <= axis.last + 1e-6 * span
        assert 0 < len(label) <= 16


@given(
    st.lists(st.sampled_from(["in", "out", "left", "right", "back", "on", "follow", "all"]), max_size=40),
    st.floats(5, 1e6),
)
def test_however_it_is_looked_at_the_window_is_within_what_there_is(moves: list[str], end: float) -> None:
    view, whole = Viewport(), (0.0, end)
    for move in moves:
        match move:
            case "in" | "out":
                view = view.zoomed(whole, 1 if move == "in" else -1, 1.0)
            case "left" | "right":
                view = view.panned(whole, 1 if move == "right" else -1)
            case "back" | "on":
                view = view.at((view.cursor or 0.0) + (end / 7 if move == "on" else -end / 7), whole)
            case "follow":
                view = view.following()
            case "all":
                view = view.all()
        first, last = view.window(whole)
        assert -1e-6 * end <= first < last <= end * (1 + 1e-6)
        if view.cursor is not None and move in ("back", "on", "in"):
            assert first - 1e-6 * end <= view.cursor <= last + 1e-6 * end


async def test_what_is_seen_is_saved(runs: Path, tmp_path: Path) -> None:
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2", "enter", "s")
            await until(pilot, lambda: "Saved tuimon-" in text(app))
            await press(pilot, "s")
            await until(pilot, lambda: len(list(tmp_path.glob("tuimon-*.csv"))) == 2)
            svg, *_ = tmp_path.glob("tuimon-*.svg")
            assert "loss" in svg.read_text()
            first, *_ = sorted(tmp_path.glob("tuimon-*.csv"))
            heading, *rows = [line.split(",") for line in first.read_text().splitlines()]
            assert heading == ["metric", "curve", "step", "value"]
            found = [float(value) for metric, curve, _, value in rows if (metric, curve) == ("loss", "batch")]
            np.testing.assert_array_equal(found, app.viewer.state.batch_metrics["loss"].values)
            assert {row[0] for row in rows} == {"loss"}
            before = len(list(tmp_path.iterdir()))
            tmp_path.chmod(0o500)
            try:
                await press(pilot, "s")
                if len(list(tmp_path.iterdir())) == before:  # Root may write all the same.
                    await until(pilot, lambda: "cannot be saved" in text(app))
            finally:
                tmp_path.chmod(0o700)


async def test_escape_leads_back_to_all_metrics_and_then_to_the_dashboard(runs: Path) -> None:
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2", "enter")
            await until(pilot, lambda: "smallest" in text(app))
            await press(pilot, "escape")
            await until(pilot, lambda: "smallest" not in text(app) and "accuracy" in text(app))
            assert app.base_screen.screen_name == "metrics"
            await press(pilot, "escape")
            await until(pilot, lambda: app.base_screen is app.dashboard)


async def test_what_was_looked_at_is_looked_at_again(runs: Path) -> None:
    memory = ViewMemory()
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE, memory=memory) as (app, pilot):
            await press(pilot, "2", "plus", "e", "y", "v", "down")
            chosen, view = screen(app).chosen_chart.metric, screen(app).viewport
            assert view.span == pytest.approx(100.0)
            # On another screen, and back.
            await press(pilot, "4", "2")
            assert (screen(app).chosen_chart.metric, screen(app).viewport) == (chosen, view)
            grid = app.base_screen.query_one("#metric-charts").styles.grid_size_columns
        async with watching(run.directory, WIDE, memory=memory) as (app, pilot):
            await press(pilot, "2")
            await until(pilot, lambda: screen(app).chosen_chart.metric == chosen, "the metric of the last time")
            assert screen(app).viewport == view
            assert app.base_screen.query_one("#metric-charts").styles.grid_size_columns == grid


async def test_a_remembered_part_of_another_axis_does_no_harm(runs: Path) -> None:
    memory = ViewMemory()
    charts = Viewport(x="wall", span=1e12, first=-5.0, strength=0.123)
    with LiveRun(runs, *log()) as run:
        chosen = MetricsView(charts=charts, grid=(7, 7), metric="of another model", pattern="[")
        memory.save(run.directory, View(metrics=chosen))
        async with watching(run.directory, WIDE, memory=memory) as (app, pilot):
            await press(pilot, "2", "right_parenthesis", "plus", "minus", "less_than_sign", "slash", "escape")
            await until(pilot, lambda: screen(app).chosen_chart.metric == "loss")


def test_a_log_of_epochs_alone_has_their_times() -> None:
    epochs = [
        events.EpochEnded(
            time=100.0 + 60 * number, logs={"loss": 1.0}, learning_rate=1e-3, seconds=60, step=10 * number, epoch=number
        )
        for number in range(1, 5)
    ]
    fit = fit_started(time=100.0, epochs=4, steps_per_epoch=10)
    state = fold(numbered([started(time=100.0), fit, *epochs]))
    assert x_of(state, "relative")(np.array([10, 25, 40])).tolist() == [60.0, 150.0, 240.0]


def with_spikes() -> list[events.AnyEvent]:
    """Return a run of 30 epochs whose losses are largest where it begins: one spike of validation, two of batches."""
    facts: list[events.AnyEvent] = [*training("bn_1")[:4]]
    for epoch in range(30):
        level = 1 + 9 / (1 + epoch)
        losses: list[float | str | None] = [level + step % 3 / 20 for step in range(50)]
        for step, height in ((720, 2.0), (1000, 4.0)):
            if step // 50 == epoch:
                losses[step % 50] = level + height
        numbers = {"loss": losses, "accuracy": [0.9 - 0.5 * (epoch == 20)] * 50}
        where = {"step": 50 * epoch + 50, "epoch": epoch}
        logs = {"loss": level, "val_loss": level + (3 if epoch == 14 else 0)}
        facts.append(events.Batches(first_step=50 * epoch, metrics=numbers, batches=50, **where))
        facts.append(events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=1.0, **where))
    return facts


async def test_the_spikes_are_gone_through_by_one_key_not_the_beginning(runs: Path) -> None:
    with LiveRun(runs, *with_spikes()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2", "enter")
            await until(pilot, lambda: "newest" in text(app))
            for step in (750, 1000, 720, 750):
                await press(pilot, "circumflex_accent")
                assert screen(app).viewport.cursor == pytest.approx(step)
                await until(pilot, lambda step=step: f"step {step:,}  " in part(app, "MetricChart"))
            # What is read off elsewhere says where.
            await press(pilot, "circumflex_accent", "circumflex_accent")
            await until(pilot, lambda: "val 1.64286 at 700" in part(app, "MetricChart"))
            # Of an accuracy it is what falls.
            await press(pilot, "down", "circumflex_accent")
            assert screen(app).viewport.cursor == pytest.approx(1000)
            await press(pilot, "down", "circumflex_accent")
            await until(pilot, lambda: "no spike" in part(app, "StatusLine"))
            await press(pilot, "right")
            await until(pilot, lambda: "no spike" not in part(app, "StatusLine"))


async def test_the_spike_is_looked_for_in_what_is_shown(runs: Path) -> None:
    with LiveRun(runs, *with_spikes()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2", "enter", "plus")
            await until(pilot, lambda: "50 % of x" in text(app))
            await press(pilot, "circumflex_accent")
            assert screen(app).viewport.cursor == pytest.approx(750)
            await press(pilot, "0", "plus", "plus")
            await press(pilot, "circumflex_accent")
            await until(pilot, lambda: "no spike" in part(app, "StatusLine"))


async def test_the_place_of_the_cursor_stands_on_small_charts_too(runs: Path) -> None:
    with LiveRun(runs, *with_spikes()) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await press(pilot, "2", "circumflex_accent")
            await until(pilot, lambda: text(app).count("step 750") >= 2)
            assert "val 4.600" in text(app)


@pytest.mark.parametrize(
    ("words", "keys"), [("spike", "2"), ("peak", "2"), ("worst", "2"), ("spike", "1"), ("spike", "4")]
)
async def test_the_key_of_spikes_is_found_by_its_word(runs: Path, words: str, keys: str) -> None:
    with LiveRun(runs, *with_spikes()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, keys, "colon")
            await until(pilot, lambda: isinstance(app.screen, FindDialog))
            app.screen.query_one(Input).value = words
            options = app.screen.query_one(OptionList)
            await until(pilot, lambda: "worst spike" in str(options.options[0].prompt) if options.options else False)
            await press(pilot, "enter")
            await until(pilot, lambda: app.base_screen.screen_name == "metrics" and "val 4.6" in text(app))
            assert screen(app).viewport.cursor == pytest.approx(750)


@pytest.mark.parametrize("epochs", [6, 12, 40])
def test_a_noisy_loss_that_falls_has_no_spike_but_the_one_put_in(epochs: int) -> None:
    random = np.random.default_rng(epochs)
    values = 1 + 9 / (1 + np.arange(epochs)) + random.normal(0, 0.02, epochs)
    batches = 1 + 9 / (1 + np.arange(50 * epochs) / 50) + random.normal(0, 0.05, 50 * epochs)
    for put in (None, epochs - 2):
        valid, batch = Series(), Series()
        epoch_values = values + (3.0 * (np.arange(epochs) == put) if put is not None else 0)
        valid.extend_rows(50 * np.arange(1, epochs + 1), epoch_values)
        batch.extend(0, batches)
        lines = [Line("batch", batch, Meaning.BATCH, can_be_smoothed=True), Line("val", valid, Meaning.VALIDATION)]
        found = spikes_of(lines, "loss", [slice(0, len(line.series)) for line in lines])
        assert [spike.step for spike in found] == ([] if put is None else [50 * (put + 1)])


def test_what_is_not_finite_comes_first_and_a_batch_before_its_epoch() -> None:
    valid, batch = Series(), Series()
    valid.extend_rows(np.array([10, 20, 30]), np.array([1.0, math.nan, math.nan]))
    batch.extend(0, np.array([1.0] * 14 + [math.inf] + [math.nan] * 15))
    lines = [Line("batch", batch, Meaning.BATCH, can_be_smoothed=True), Line("val", valid, Meaning.VALIDATION)]
    assert [spike.step for spike in spikes_of(lines, "loss", [slice(0, 30), slice(0, 3)])] == [14]


async def test_a_spike_is_found_and_looked_at(runs: Path) -> None:
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2", "enter")
            await until(pilot, lambda: "newest" in text(app))
            # What is not finite comes first, then what is too large.
            await press(pilot, "circumflex_accent")
            assert screen(app).viewport.cursor == pytest.approx(120.0)
            await press(pilot, "circumflex_accent")
            assert screen(app).viewport.cursor == pytest.approx(77.0)
            before = screen(app).viewport.cursor
            await press(pilot, "ctrl+right")
            near = screen(app).viewport.cursor
            await press(pilot, *["right"] * 3)
            assert near is not None
            assert before is not None
            assert 0 < screen(app).viewport.cursor - near < near - before
            await press(pilot, "ctrl+left", "ctrl+left")
            assert screen(app).viewport.cursor < near
            await press(pilot, "0")
            assert "of x" not in part(app, "StatusLine")
            await press(pilot, "plus", "plus")
            assert "25 % of x: 0 shows all" in part(app, "StatusLine")
            await press(pilot, "0")
            assert "of x" not in part(app, "StatusLine")


async def test_the_wheel_zooms_at_the_mouse_and_a_double_click_shows_all(runs: Path) -> None:
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "2")
            await until(pilot, lambda: "accuracy" in text(app))
            chart = screen(app).chosen_chart
            whole = chart.whole(app.moment())
            for column in (20, 70):
                before = chart._x_at(column)
                assert before is not None
                for _ in range(2):
                    await pilot._post_mouse_events([MouseScrollUp], chart, offset=(column, 5))
                await until(pilot, lambda: screen(app).viewport.span == pytest.approx((whole[1] - whole[0]) / 4))
                await until(pilot, lambda at=column, x=before: chart._x_at(at) == pytest.approx(x, abs=3))
                await pilot.click(chart, offset=(40, 5), times=2)
                await until(pilot, lambda: screen(app).viewport.span is None)
                assert screen(app).viewport.cursor is None


@pytest.mark.parametrize("x", X_KINDS)
async def test_the_narrowest_part_that_may_be_remembered_has_an_axis(runs: Path, x: XKind) -> None:
    memory = ViewMemory()
    with LiveRun(runs, *log()) as run:
        charts = Viewport(x=x, span=1e-3)
        memory.save(run.directory, View(metrics=MetricsView(charts=charts, grid=(1, 1))))
        async with watching(run.directory, WIDE, memory=memory) as (app, pilot):
            await press(pilot, "2")
            await until(pilot, lambda: "loss" in text(app) and screen(app).viewport.span == 1e-3)
        # Narrower ones, which nobody can have chosen, are as if nothing had been.
        memory.save(run.directory, View(metrics=MetricsView(charts=replace(charts, span=1e-320), grid=(1, 1))))
        assert memory.load(run.directory) == View()


async def test_it_begins_as_the_settings_say(runs: Path) -> None:
    settings = Settings(x_axis="epoch", smoothing="ema", smoothing_weight=0.93)
    with LiveRun(runs, *log()) as run:
        async with watching(run.directory, WIDE, settings=settings) as (app, pilot):
            await press(pilot, "2")
            await until(pilot, lambda: "x epoch" in part(app, "StatusLine"))
            assert "EMA 0.95" in part(app, "StatusLine") or "EMA 0.9" in part(app, "StatusLine")


async def test_a_replay_jumps_to_requests_alerts_and_epochs(runs: Path) -> None:
    facts: list[events.AnyEvent] = [*training("bn_1")]
    for step in range(4, 10):
        facts.append(events.EpochEnded(logs={"loss": 0.1}, learning_rate=1e-3, seconds=1, step=step, epoch=step))
        if step == 6:
            alert = events.Alert(
                rule="R1", severity="warning", layer=None, what="stale", advice="wait", request="", evidence={}, step=6
            )
            facts.append(alert)
    facts.append(events.RunEnded(status="finished", step=9))
    run = make_run(runs, facts)
    async with watching(run, WIDE, replay=ReplayClock(speed=1 / 64), readonly=True) as (app, pilot):
        await press(pilot, "right_curly_bracket")
        await until(pilot, lambda: bool(app.viewer.state.alerts))
        assert app.viewer.state.step == 6
        await press(pilot, "comma")
        await until(pilot, lambda: not app.viewer.state.alerts and app.viewer.state.step == 5)
        await press(pilot, "semicolon")
        await until(pilot, lambda: app.viewer.state.step == 6)
        await press(pilot, "full_stop", "full_stop")
        await until(pilot, lambda: app.viewer.state.step >= 7)
        await press(pilot, "left_curly_bracket")
        await until(pilot, lambda: app.viewer.state.step == 6)
        await press(pilot, "left_curly_bracket")
        await until(pilot, lambda: "no request and no alert before this." in text(app))
        await press(pilot, "full_stop", "full_stop", "right_curly_bracket")
        await until(pilot, lambda: "no request and no alert after this; { goes back to one." in text(app))
