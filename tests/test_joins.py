"""Curves join what belongs together: no slope between two learning rates, no line from one fit into another one."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import fit_started, fold, model_built, numbered, started
from tuimon.plot.axes import step_axis, value_axis
from tuimon.plot.joins import Joins
from tuimon.plot.raster import ColumnExtremes, band, line
from tuimon.plot.run_joins import joins_of, known_rates
from tuimon.protocol import events
from tuimon.report.chart import Curve as TextCurve
from tuimon.report.chart import chart
from tuimon.report.web.run_charts import learning_rate_charts, metric_charts
from tuimon.report.web.svg_chart import draw
from tuimon.ui.charts.metric_lines import lines_of
from tuimon.ui.screens.compare.run_curves import curves_of
from ui.sizes import NARROW, WIDE
from ui.watching import LiveRun, cells, press, text, until, watching


def epochs(first_step: int, number: int, rate: float, loss: float, steps: int = 100) -> list[events.AnyEvent]:
    facts: list[events.AnyEvent] = []
    for epoch in range(number):
        first = first_step + epoch * steps
        where = {"step": first + steps, "epoch": epoch}
        logs = {"loss": loss, "val_loss": loss + 1, "learning_rate": rate}
        facts += [
            events.Batches(first_step=first, metrics={"loss": [loss] * steps}, batches=steps, **where),
            events.EpochEnded(logs=logs, learning_rate=rate, seconds=1.0, **where),
        ]
    return facts


def fine_tuning() -> list[events.AnyEvent]:
    """Return the facts of a head that is trained, and of the whole model that is then trained a hundredth as fast."""
    return [
        started(),
        model_built(trainable_parameters=10),
        fit_started(epochs=4, steps_per_epoch=100, learning_rate=1e-3),
        *epochs(0, 4, 1e-3, 4.0),
        events.RunEnded(status="finished", step=400, epoch=3),
        model_built(trainable_parameters=1000, step=400),
        fit_started(epochs=4, steps_per_epoch=100, learning_rate=1e-5, step=400),
        *epochs(400, 4, 1e-5, 1.0),
    ]


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("downs", [1, 2], ids=["logged by Keras", "of the log"])
async def test_no_slope_of_the_learning_rate_is_drawn_that_never_was(
    runs: Path, size: tuple[int, int], downs: int
) -> None:
    with LiveRun(runs, *fine_tuning()) as run:
        async with watching(run.directory, size) as (app, pilot):
            await press(pilot, "2", *["down"] * downs, "enter")
            await until(pilot, lambda: "smallest" in text(app) and "learning" in text(app))
            chart = app.base_screen.chosen_chart  # type: ignore[attr-defined]
            drawn = cells(chart)
            braille = (drawn.chars >= "⠁") & (drawn.chars <= "⣿") | (drawn.chars == "•")
            rows = np.flatnonzero(braille[1:-3].any(axis=1)) + 1
            assert rows[-1] > rows[0] + 3
            assert not [row for row in range(rows[0] + 1, rows[-1]) if braille[row].sum() > 1]


def test_the_learning_rate_is_known_at_the_ends_of_epochs_and_at_the_first_step_of_a_fit() -> None:
    rates = known_rates(fold(numbered(fine_tuning())))
    assert rates.steps.tolist() == [0, 100, 200, 300, 400, 400, 500, 600, 700, 800]
    assert rates.values.tolist() == [1e-3] * 5 + [1e-5] * 5
    assert not len(known_rates(fold(numbered(fine_tuning()[:3]))))


def test_a_line_ends_where_other_weights_are_trained() -> None:
    state = fold(numbered(fine_tuning()))
    assert state.fits.breaks == [400]
    for found in lines_of(state, "loss"):
        points = ColumnExtremes(160, 800)
        points.update(found.series.steps, found.series.values, joins=found.joins)
        dots = line(points, value_axis(0, 6, 4), 10)
        assert dots.any()
        assert dots.sum(axis=0).max() <= 1, found.name  # Nothing goes down from one level to the other.


def test_a_fit_that_only_goes_on_is_joined() -> None:
    facts = [started(), model_built(), fit_started(epochs=1), *epochs(0, 1, 1e-3, 4.0), fit_started(epochs=1, step=100)]
    assert not fold(numbered(facts)).fits.breaks
    facts[-1] = fit_started(epochs=1, step=100, optimizer="SGD")
    assert fold(numbered(facts)).fits.breaks == [100]


def test_the_page_draws_no_slope_either() -> None:
    state = fold(numbered(fine_tuning()))
    axis = step_axis(800, None, exact=True, ticks=6)
    (rate,) = learning_rate_charts(state)
    pieces = re.findall(r'd="([^"]*)" class="line command"', str(draw(rate, axis, "a").plot))
    assert pieces[0].count("M") == 2
    loss = next(chart for chart in metric_charts(state) if chart.title == "loss")
    drawn = str(draw(loss, axis, "b").plot)
    for kind in ("batch", "training", "validation"):
        (path,) = re.findall(rf'd="([^"]*)" class="line {kind}"', drawn)
        assert path.count("M") == 2, kind


def test_a_rate_that_differs_in_each_epoch_is_seen_on_the_page() -> None:
    rates = [fact for epoch in range(500) for fact in epochs(epoch * 2, 1, 1e-3 * 0.99**epoch, 1.0, steps=2)]
    state = fold(numbered([started(), fit_started(epochs=500), *rates]))
    (rate,) = learning_rate_charts(state)
    drawn = str(draw(rate, step_axis(1000, None, exact=True, ticks=6), "a").plot)
    path = re.findall(r'd="([^"]*)" class="line command"', drawn)
    assert path[0].count("h1") > 400


def test_a_curve_in_text_ends_there_too() -> None:
    steps, values = np.array([0, 100, 200, 300, 400, 500]), np.array([4.0, 4.0, 4.0, 1.0, 1.0, 1.0])
    whole, apart = (
        ["".join(span.text for span in row) for row in chart(TextCurve("a", steps, values, breaks=breaks), 60)]
        for breaks in ((), (200,))
    )
    assert re.search("[⠁-⣿]", whole[2])
    assert not re.search("[⠁-⣿]", apart[2] + apart[3])


@given(
    st.lists(st.integers(0, 60), max_size=4, unique=True).map(sorted),
    st.integers(2, 40),
    st.lists(st.integers(1, 61), max_size=3, unique=True).map(sorted),
)
def test_points_that_come_one_by_one_are_parted_alike(breaks: list[int], columns: int, ends: list[int]) -> None:
    steps, values = np.arange(61), np.sin(np.arange(61.0))
    joins = Joins(tuple(breaks))
    whole, grown = ColumnExtremes(columns, 60), ColumnExtremes(columns, 60)
    whole.update(steps, values, joins=joins)
    for end in [*ends, 61]:
        grown.update(steps[:end], values[:end], joins=joins)
    assert whole.parted.tolist() == grown.parted.tolist()


def test_a_band_ends_there_too() -> None:
    low, high = ColumnExtremes(100, 99), ColumnExtremes(100, 99)
    steps = np.array([0, 20, 80, 99])
    for points, value in ((low, 0.0), (high, 1.0)):
        points.update(steps, np.full(4, value), joins=Joins((20,)))
    dots = band(low, high, value_axis(0, 1, 2), 4)
    assert not dots[:, 21:80].any()
    assert dots[:, :21].any(axis=0).all()


def test_nothing_is_drawn_into_a_window_between_two_points_that_are_not_joined() -> None:
    points = ColumnExtremes(50, 60, 40)
    points.update(np.array([0, 30, 70, 99]), np.array([1.0, 1.0, 5.0, 5.0]), joins=Joins((50,)))
    assert points.limits is None
    points = ColumnExtremes(50, 60, 40)
    points.update(np.array([0, 30, 70, 99]), np.array([1.0, 1.0, 5.0, 5.0]))
    assert points.limits is not None


def test_runs_side_by_side_are_drawn_so_too() -> None:
    state = fold(numbered(fine_tuning()))
    curves = curves_of("a", state, is_over=True)
    assert curves.metrics["val_loss"].joins == joins_of(state, "val_loss") == Joins((400,))
    assert curves.metrics["learning_rate"].joins.is_held
    assert curves.metrics["loss of each batch"].joins == Joins((399,))
