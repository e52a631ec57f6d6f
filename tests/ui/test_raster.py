"""Data to cells: nothing that was extreme is lost, whatever the width."""

import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuimon.plot.axes import Axis, decades_of, fitted_axis, log_axis, nice_ceiling, step_axis, value_axis
from tuimon.plot.raster import (
    ColumnExtremes,
    band,
    braille,
    dashed,
    heights,
    line,
    place_of,
    steps_within,
    thinned,
    within,
)
from tuimon.plot.x_axis import between
from tuimon.runs.series import Series
from tuimon.ui.charts.canvas import Canvas, Curve, Reduced
from tuimon.ui.charts.reduced_curves import ReducedCurves
from tuimon.ui.drawing.cells import Cells, cell_width, differences, fit, fit_end, wrap
from tuimon.ui.viewer.meanings import Meaning

ROWS = st.integers(2, 30)
COLUMNS = st.integers(2, 120)
FINITE = st.floats(-1e6, 1e6)
ANY = st.floats(allow_nan=True, allow_infinity=True, width=64)


@st.composite
def points(draw: st.DrawFn, values: st.SearchStrategy[float] = FINITE) -> tuple[np.ndarray, np.ndarray]:
    found = draw(st.lists(values, min_size=1, max_size=200))
    gaps = draw(st.lists(st.integers(0, 5), min_size=len(found), max_size=len(found)))
    return np.cumsum(np.array(gaps, dtype=np.int64)), np.array(found)


def reduced(steps: np.ndarray, values: np.ndarray, columns: int) -> ColumnExtremes:
    extremes = ColumnExtremes(columns, max(1.0, float(steps[-1])))
    extremes.update(steps, values)
    return extremes


def column_of(step: int, extremes: ColumnExtremes) -> int:
    return math.floor(step / extremes.last * (extremes.columns - 1) + 0.5)


def row_of(value: float, axis: Axis, rows: int) -> int:
    return math.floor(float(heights(np.array([value]), axis, rows)[0]) + 0.5)


@given(points(), COLUMNS, ROWS)
def test_every_value_has_its_dot(data: tuple[np.ndarray, np.ndarray], columns: int, rows: int) -> None:
    steps, values = data
    extremes = reduced(steps, values, 2 * columns)
    axis = value_axis(values.min(), values.max(), 4)
    dots = line(extremes, axis, rows)
    assert dots.shape == (4 * rows, 2 * columns)
    its_rows = np.floor(heights(values, axis, rows) + 0.5).astype(int)
    its_columns = [column_of(step, extremes) for step in steps]
    assert dots[its_rows, its_columns].all()


@given(points(), COLUMNS, ROWS)
def test_a_line_is_joined_and_stays_between_its_ends(
    data: tuple[np.ndarray, np.ndarray], columns: int, rows: int
) -> None:
    steps, values = data
    extremes = reduced(steps, values, 2 * columns)
    axis = value_axis(values.min(), values.max(), 4)
    dots = line(extremes, axis, rows)
    first, last = column_of(steps[0], extremes), column_of(steps[-1], extremes)
    assert dots[:, first : last + 1].any(axis=0).all()
    assert not dots[:, :first].any()
    assert not dots[:, last + 1 :].any()
    drawn = np.flatnonzero(dots.any(axis=1))
    assert drawn[0] == row_of(values.max(), axis, rows)
    assert drawn[-1] == row_of(values.min(), axis, rows)


@given(points(ANY), COLUMNS, st.lists(st.integers(0, 200), max_size=4))
def test_points_that_come_one_by_one_reduce_to_the_same(
    data: tuple[np.ndarray, np.ndarray], columns: int, cuts: list[int]
) -> None:
    steps, values = data
    whole = reduced(steps, values, columns)
    grown = ColumnExtremes(columns, whole.last)
    for end in sorted({min(cut, len(steps)) for cut in cuts} | {len(steps)}):
        grown.update(steps[:end], values[:end])
    for name in ("low", "high", "entry", "exit", "non_finite"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(grown, name), err_msg=name)


@given(points(ANY), COLUMNS, ROWS)
def test_what_is_not_finite_is_marked_and_harms_nothing(
    data: tuple[np.ndarray, np.ndarray], columns: int, rows: int
) -> None:
    steps, values = data
    extremes = reduced(steps, values, 2 * columns)
    bad = {column_of(step, extremes) for step in steps[~np.isfinite(values)]}
    assert set(np.flatnonzero(extremes.non_finite)) == bad
    finite = np.clip(values[np.isfinite(values)], -1e300, 1e300)
    if not len(finite):
        assert extremes.limits is None
        assert extremes.newest is None
        assert not line(extremes, value_axis(0, 1, 2), rows).any()
        return
    assert extremes.limits == (finite.min(), finite.max())
    assert extremes.newest is not None
    assert extremes.newest[1] == finite[-1]
    line(extremes, value_axis(*extremes.limits, 4), rows)


def test_a_column_of_nothing_but_nan_is_a_gap() -> None:
    extremes = reduced(np.arange(5), np.array([1.0, 1.0, math.nan, 1.0, 1.0]), 5)
    assert line(extremes, value_axis(0, 2, 2), 2).any(axis=0).tolist() == [True, True, False, True, True]


@given(points(), st.lists(st.floats(0, 1e5), min_size=200, max_size=200), COLUMNS, ROWS)
def test_a_band_reaches_from_edge_to_edge(
    data: tuple[np.ndarray, np.ndarray], spreads: list[float], columns: int, rows: int
) -> None:
    steps, lower = data
    upper = lower + np.array(spreads[: len(lower)])
    low, high = reduced(steps, lower, 2 * columns), reduced(steps, upper, 2 * columns)
    axis = value_axis(lower.min(), upper.max(), 4)
    dots = band(low, high, axis, rows)
    for column in np.flatnonzero(np.isfinite(low.low)):
        drawn = np.flatnonzero(dots[:, column])
        assert drawn[0] == row_of(high.high[column], axis, rows)
        assert drawn[-1] == row_of(low.low[column], axis, rows)


@given(st.integers(1, 6), st.integers(1, 8), st.randoms(use_true_random=False))
def test_braille_has_every_dot_in_its_place(rows: int, columns: int, random: object) -> None:
    dots = np.array([[random.random() < 0.4 for _ in range(2 * columns)] for _ in range(4 * rows)])  # type: ignore[attr-defined]
    bits = {0: (0, 0), 1: (1, 0), 2: (2, 0), 3: (0, 1), 4: (1, 1), 5: (2, 1), 6: (3, 0), 7: (3, 1)}
    back = np.zeros_like(dots)
    for row, characters in enumerate(braille(dots).tolist()):
        for column, character in enumerate(characters):
            code = 0 if character == " " else ord(character) - 0x2800
            for bit, (down, right) in bits.items():
                back[4 * row + down, 2 * column + right] = bool(code >> bit & 1)
    np.testing.assert_array_equal(dots, back)


def test_the_cost_of_a_new_point_does_not_grow_with_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    series = Series()
    series.extend(0, np.zeros(100_000))
    extremes = ColumnExtremes(100, 200_000)
    extremes.update(series.steps, series.values)
    looked_at = []
    floor = np.floor
    monkeypatch.setattr(np, "floor", lambda values: looked_at.append(len(values)) or floor(values))
    series.append(100_000, [1.0])
    extremes.update(series.steps, series.values)
    assert looked_at == [1]


@given(FINITE, st.floats(0, 1e6), st.integers(2, 10))
def test_a_value_axis_holds_its_values(low: float, span: float, ticks: int) -> None:
    axis = value_axis(low, low + span, ticks)
    slack = 1e-9 * max(1.0, abs(axis.first), abs(axis.last))
    assert axis.first <= low + slack
    assert axis.last >= low + span - slack
    labels = [label for _, label in axis.ticks]
    assert len(labels) == len(set(labels))


@given(st.floats(-280, 280), st.floats(0.01, 20), st.integers(2, 8))
def test_a_logarithmic_axis_holds_its_values(exponent: float, decades: float, ticks: int) -> None:
    low, high = 10.0**exponent, 10.0 ** (exponent + decades)
    axis = log_axis(low, high, ticks)
    assert axis.ticks
    positions = axis.positions(np.array([low, high]))
    assert positions[0] >= -1e-6
    assert positions[1] <= 1 + 1e-6


@given(st.floats(-1e308, 1e308), st.floats(-1e308, 1e308))
def test_no_value_is_too_large_for_an_axis(one: float, other: float) -> None:
    axis = value_axis(min(one, other), max(one, other), 4)
    assert np.isfinite(axis.positions(np.clip([one, other], -1e300, 1e300))).all()


def test_the_axis_of_steps_grows_rarely() -> None:
    lengths = {step_axis(step, None, exact=False, ticks=5).last for step in range(1, 100_001)}
    assert len(lengths) <= 50
    assert step_axis(5_500, 6_000, exact=False, ticks=5).last == 6_000
    assert step_axis(5_555, 6_000, exact=True, ticks=5).last == 5_555


@given(st.floats(1e-6, 1e12))
def test_a_round_number_is_not_below(value: float) -> None:
    assert value * (1 - 1e-9) <= nice_ceiling(value) <= 2.01 * value


CHARACTERS = st.text(st.sampled_from("ab …⣿層\x1b\x07e\u0301"), max_size=12)


@given(st.lists(CHARACTERS, min_size=3, max_size=3), st.lists(CHARACTERS, min_size=3, max_size=3))
def test_the_regions_that_differ_are_all_that_differs(before: list[str], after: list[str]) -> None:
    old, new = Cells(14, 3), Cells(14, 3)
    for row in range(3):
        old.put(row, 1, before[row])
        new.put(row, 1, after[row])
        new.codes[row, 3] = 5
    for region in differences(old, new):
        span = slice(region.x, region.right)
        old.chars[region.y, span], old.codes[region.y, span] = new.chars[region.y, span], new.codes[region.y, span]
    np.testing.assert_array_equal(old.chars, new.chars)
    np.testing.assert_array_equal(old.codes, new.codes)
    assert differences(new, new) == []


@given(CHARACTERS, st.integers(0, 12), st.integers(0, 14))
def test_text_keeps_to_its_cells_and_is_never_obeyed(written: str, column: int, width: int) -> None:
    cells = Cells(12, 1)
    cells.put(0, column, written, width=width)
    shown = cells.text(0)
    assert cell_width(shown) == 12
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert shown[:column].strip() == ""


@given(st.text(st.sampled_from("ab …⣿層"), max_size=12), st.integers(1, 12))
def test_texts_are_made_to_fit(written: str, width: int) -> None:
    assert cell_width(fit(written, width)) <= width
    assert cell_width(fit_end(written, width)) <= width
    if width > 1:
        assert all(cell_width(row) <= width for row in wrap(written, width))


@pytest.mark.parametrize("value", [1e-3, 0.7, 5.0, 1e8])
def test_one_value_has_room_around_it_on_a_logarithmic_axis(value: float) -> None:
    axis = log_axis(value, value, 4)
    assert axis.first < value < axis.last
    assert axis.ticks


@given(points(), COLUMNS, ROWS)
def test_a_broken_line_hides_neither_a_jump_nor_an_extreme(
    data: tuple[np.ndarray, np.ndarray], columns: int, rows: int
) -> None:
    steps, values = data
    extremes = reduced(steps, values, 2 * columns)
    axis = value_axis(values.min(), values.max(), 4)
    whole = line(extremes, axis, rows)
    broken = dashed(whole, "100000")
    assert not (broken & ~whole).any()
    used = np.flatnonzero(whole.any(axis=1))
    assert broken[used[[0, -1]]].any(axis=1).all()
    steep = whole.sum(axis=0) > 2
    assert (broken[:, steep] == whole[:, steep]).all()


@given(points(), COLUMNS, ROWS)
def test_what_is_thick_keeps_its_outline(data: tuple[np.ndarray, np.ndarray], columns: int, rows: int) -> None:
    steps, values = data
    whole = line(reduced(steps, values, 2 * columns), value_axis(values.min(), values.max(), 4), rows)
    thin = thinned(whole)
    assert not (thin & ~whole).any()
    for axis in (0, 1):
        assert (thin.any(axis=axis) == whole.any(axis=axis)).all()
        assert (thin.argmax(axis=axis) == whole.argmax(axis=axis)).all()
        flipped = np.flip(thin, axis), np.flip(whole, axis)
        assert (flipped[0].argmax(axis=axis) == flipped[1].argmax(axis=axis)).all()
    # A wall of noise is half as heavy.
    assert thinned(np.ones((40, 40), dtype=bool)).sum() < 900


def test_noise_gives_way_to_what_it_is_the_noise_of() -> None:
    steps = np.arange(400)
    noise = Curve("batch", steps, np.where(steps % 2, 0.0, 1.0), Meaning.BATCH, gives_way=True)
    train = Curve("train", steps, np.full(400, 0.5), Meaning.TRAINING)

    def drawn(*curves: Curve) -> Canvas:
        canvas = Canvas(Cells(22, 10), 1, 20, 8)
        found = [(ColumnExtremes(40, 399.0),) for _ in curves]
        for curve, (extremes,) in zip(curves, found, strict=True):
            extremes.update(curve.steps, curve.values)
        canvas.draw(list(curves), found, value_axis(0.0, 1.0, 4))
        return canvas

    alone, both = drawn(train), drawn(noise, train)
    line_cells = alone.chars != " "
    assert line_cells.any()
    assert (both.chars[line_cells] == alone.chars[line_cells]).all()
    assert (both.codes[line_cells] == Meaning.TRAINING).all()
    assert (both.chars[~line_cells] != " ").all()
    assert (both.codes[~line_cells] == Meaning.BATCH).all()


@given(points(), st.floats(-10, 2000), st.floats(0, 500))
def test_a_place_among_steps_is_found_without_converting_all(
    data: tuple[np.ndarray, np.ndarray], first: float, span: float
) -> None:
    steps = data[0]
    x_of = between(np.array([0.0, 10.0, 400.0]), np.array([5.0, 7.0, 1000.0]), grows=True)
    x = x_of(steps)
    assert place_of(first, steps, x_of) == np.searchsorted(x, first)
    assert place_of(first, steps) == np.searchsorted(steps, first)
    assert steps_within(steps, first, first + span, x_of) == within(x, first, first + span)


def test_x_between_known_steps_never_descends() -> None:
    # The clock of the machine was set back.
    x = between(np.array([0, 10, 20, 30]), np.array([0.0, 50.0, 20.0, 60.0]))(np.arange(31))
    assert (np.diff(x) >= 0).all()
    assert x[[0, 10, 20, 30]].tolist() == [0.0, 50.0, 50.0, 60.0]


def test_a_frame_reduces_its_curves_once_and_looks_only_at_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    def update(self: ColumnExtremes, steps: np.ndarray, *others: object) -> None:
        looked_at.append(len(steps) - self.consumed)
        kept(self, steps, *others)  # type: ignore[arg-type]

    kept, looked_at = ColumnExtremes.update, []  # type: ignore[var-annotated]
    monkeypatch.setattr(ColumnExtremes, "update", update)
    curves, cells = ReducedCurves(), Cells(80, 20)
    for points in (50, 60, 70):
        # Wide labels: at first, fewer columns are left than are expected.
        curve = Curve("loss", np.arange(points), np.arange(points) % 2 * 1e-5 + 1.2345, Meaning.BATCH)
        x = step_axis(100, None, exact=True, ticks=4)

        def reduce(columns: int, curve: Curve = curve, x: Axis = x) -> list[Reduced]:
            return curves.of_curves([curve], x, columns)

        plot = curves.lay_out(cells, 70, x, reduce)
        assert plot.canvas is not None
        assert plot.reduced[0][0].columns == 2 * plot.canvas.columns
    assert looked_at == [50, 50, 10, 10]


def axis_of(*values: float, scale: Literal["auto", "linear", "log"] = "auto") -> Axis:
    extremes = ColumnExtremes(40, len(values) - 1)
    extremes.update(np.arange(len(values)), np.array(values))
    return fitted_axis([extremes.limits], [extremes.log_limits], 20, scale=scale)


FALLING = [10.0 / 1.1**step for step in range(100)]


def test_a_loss_of_exactly_0_leaves_the_axis_logarithmic() -> None:
    axis = axis_of(*FALLING, 0.0)
    assert axis.logarithmic
    assert axis == axis_of(*FALLING)
    assert axis_of(*FALLING, 0.0, scale="log") == axis
    rows = heights(np.array([0.0, min(FALLING)]), axis, 40)
    assert rows[0] >= rows[1], "it lies at the lower edge"


def test_many_zeros_or_a_negative_loss_make_the_axis_linear() -> None:
    assert not axis_of(*FALLING, *[0.0] * 20).logarithmic
    assert not axis_of(*FALLING, -0.5).logarithmic
    assert axis_of(*FALLING, -0.5).first <= -0.5


def test_the_first_values_of_a_loss_do_not_make_the_others_a_flat_line() -> None:
    limits = [(0.26, 5.6)]
    assert fitted_axis(limits, limits, 20, log_decades=decades_of("val_loss")).logarithmic
    assert not fitted_axis(limits, limits, 20, log_decades=decades_of("accuracy")).logarithmic
