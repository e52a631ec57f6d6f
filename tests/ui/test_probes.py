"""What a probe says: in the chart of the gap, in the table of layers, in the heatmap of drift, in the header."""

import re
from pathlib import Path

import numpy as np
import pytest

from helpers import a_run, fit_started, make_run
from tuimon.diagnosis.gap.shares import disputed, gap_shares, shares_of_layers
from tuimon.protocol import commands, events
from tuimon.protocol.wire import Number
from tuimon.runs.state import RunState
from tuimon.ui.app import WatchApp
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.screens.layers.drift_levels import NOT_FINITE, SHADES, levels
from tuimon.ui.viewer.meanings import DRIFT, Meaning
from ui.facts import probe, probe_layer, training
from ui.sizes import NARROW, WIDE
from ui.watching import LiveRun, cells, part, press, text, until, watching

THREE = {"bn_1": probe_layer(4.0, drift=8.0), "bn_2": probe_layer(1.5, drift=0.5), "bn_3": probe_layer(0.2768, drift=0)}


def codes(app: WatchApp, chart: str, meaning: int) -> int:
    """Return how many cells of a panel have a meaning."""
    return int((cells(app.dashboard.query_one(chart, CellView)).codes == meaning).sum())


def rows(app: WatchApp, kind: str) -> list[str]:
    """Return the lines of a panel without its frame."""
    return [line.strip("│") for line in part(app, kind).splitlines()[1:-1]]


# The gap


async def test_the_gap_stands_beside_the_loss_with_what_makes_it(runs: Path) -> None:
    errors = {"batch_norm": 0.017, "stochastic": 0.002, "other": 0.0}
    with LiveRun(runs, *training("bn_1", "bn_2", "bn_3"), probe(layers=THREE, share_errors=errors)) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "● gap" in part(app, "#gap"))
            shown = part(app, "#gap")
            assert re.search(r"● gap +\+5\.800", shown)
            assert re.search(r"◆ BatchNorm +100 ± 2 %", shown)
            assert re.search(r"○ random layers +0 ± 1 %", shown)
            assert "other" not in shown
            assert "train -0.2500" in shown.splitlines()[0]
            assert "inference -6.050" in shown.splitlines()[0]
            loss, gap = (app.dashboard.query_one(name).region for name in ("#loss", "#gap"))
            assert (loss.y, loss.bottom, loss.right) == (gap.y, gap.bottom, gap.x)


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_what_a_probe_measured_has_its_step_and_its_fit(runs: Path, size: tuple[int, int]) -> None:
    facts = [probe(3, layers=THREE), fit_started(step=4, epochs=9)]
    with LiveRun(runs, *training("bn_1"), *facts[:1]) as run:
        async with watching(run.directory, size) as (app, pilot):
            await press(pilot, *(["tab"] if size != WIDE else []))
            await until(pilot, lambda: "step 3" in part(app, "#gap") and "fit 1" not in part(app, "#gap"))
            run.write(facts[1], events.StateChanged(state="training", step=500))
            await until(pilot, lambda: "fit 1, step 3" in part(app, "#gap"))
            await until(pilot, lambda: "drift, share: fit 1, step 3" in part(app, "LayerTable").splitlines()[0])


@pytest.mark.parametrize("number", [1, 2])
async def test_one_probe_and_two_are_seen(runs: Path, number: int) -> None:
    facts = [probe(3 + step, layers=THREE, stochastic=2.9) for step in range(number)]
    with LiveRun(runs, *training("bn_1"), *facts) as run:
        for size in (WIDE, NARROW):
            async with watching(run.directory, size) as (app, pilot):
                await press(pilot, *(["tab"] if size == NARROW else []))
                await until(pilot, lambda app=app: "● gap" in part(app, "#gap"))
                inside = [line[: line.find("  ● gap")] if "● gap" in line else line for line in rows(app, "#gap")]
                # One in the data for each probe; beside the name of random layers, one in the legend.
                assert sum(line.count("●") for line in inside) == number
                assert sum(line.count("○") for line in inside) == number + 1


async def test_parts_of_both_signs_have_numbers_in_place_of_shares(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), probe(batch_norm=7.0, stochastic=0.5, other=-1.7)) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "● gap" in part(app, "#gap"))
            shown = part(app, "#gap")
            assert re.search(r"BatchNorm +\+7\.000", shown)
            assert re.search(r"random layers +\+0\.5000 ± 0\.0010", shown)
            assert re.search(r"× other +-1\.700", shown)
            assert "%" not in shown


async def test_a_part_below_zero_is_drawn_below_zero(runs: Path) -> None:
    facts = [probe(step, gap=-1.0, batch_norm=-1.0, stochastic=0.0) for step in (1, 2, 3)]
    with LiveRun(runs, *training("bn_1"), *facts) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "● gap" in part(app, "#gap"))
            assert re.search(r"BatchNorm +100 %", part(app, "#gap"))
            lines = rows(app, "#gap")
            zero = next(index for index, line in enumerate(lines) if re.match(r" +0┤", line))
            signs = [index for index, line in enumerate(lines) if "●" in line[:-42]]
            assert signs
            assert min(signs) > zero


@pytest.mark.parametrize("bad", ["nan", "inf", None])
async def test_a_probe_that_is_not_finite_says_so_and_breaks_nothing(runs: Path, bad: Number) -> None:
    layers = {"bn_1": probe_layer(bad, bad, bad), "bn_2": probe_layer(1.0)}
    facts = [probe(2, layers=THREE), probe(3, layers=layers, train=bad, gap=bad, batch_norm=bad, stochastic=bad)]
    with LiveRun(runs, *training("bn_1", "bn_2"), *facts) as run:
        for size in (WIDE, NARROW):
            async with watching(run.directory, size) as (app, pilot):
                await press(pilot, *(["tab"] if size == NARROW else []))
                await until(pilot, lambda app=app: "● gap" in part(app, "#gap"))
                shown = "inf" if bad == "inf" else "nan"
                assert shown in part(app, "#gap")
                assert "▲" in rows(app, "#gap")[0]
                table = part(app, "LayerTable")
                assert ("–" if bad is None else shown) in table
                assert "%" not in table.replace("5 – 95 %", "")
                await press(pilot, *(["tab"] if size == NARROW else []))
                await until(pilot, lambda app=app: "▲" in part(app, "#drift"))


@pytest.mark.parametrize(
    ("options", "can", "over", "words"),
    [
        ({}, {}, False, "First probe once a step is timed; g makes one now."),
        ({"readonly": True}, {}, False, "First probe once a step is timed."),
        ({}, {"probe": "the model takes no batch"}, False, "No probe: the model takes no batch."),
        ({}, {}, True, "This run has made no probe."),
    ],
)
async def test_before_the_first_probe_it_is_said_what_to_do(
    runs: Path, options: dict[str, bool], can: dict[str, str], over: bool, words: str
) -> None:
    facts = training("bn_1", can={**dict.fromkeys(commands.NAMES, ""), **can})
    end = [events.RunEnded(status="finished", step=3)] if over else []
    with LiveRun(runs, *facts, *end) as run:
        async with watching(run.directory, **options) as (app, pilot):
            await until(pilot, lambda: words in part(app, "#gap"))
            assert app.dashboard.query_one("#gap").size.height < 5
            # It is said once: what a probe tells has no place before it.
            assert text(app).count(words) == 1


async def test_when_the_first_probe_comes_is_shown(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            run.write(events.ProbePlanned(seconds=80.0, reason="a budget of 1 %", step=3))
            await until(pilot, lambda: "First probe in about 1:" in part(app, "#gap"))
            assert re.search(r"First probe in about 1:\d\d \(a budget of 1 %\); g makes one now\.", part(app, "#gap"))
            run.write(events.ProbePlanned(seconds=None, reason="it takes too long", step=3))
            await until(pilot, lambda: "No probe comes by itself (it takes too long); g makes" in part(app, "#gap"))


async def test_a_probe_that_the_run_does_not_live_to_see_is_not_promised(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunState, "seconds_left", property(lambda state: 30.0))
    with LiveRun(runs, *training("bn_1")) as run:
        run.write(events.ProbePlanned(seconds=80.0, reason="a budget of 1 %", step=3))
        async with watching(run.directory) as (app, pilot):
            words = "First probe about when training ends (a budget of 1 %); g makes one now."
            await until(pilot, lambda: words in part(app, "#gap"))


async def test_a_model_without_batch_normalization_has_a_gap_all_the_same(runs: Path) -> None:
    facts = probe(gap=0.5, train=1.0, inference=0.5, batch_norm=0.0, stochastic=0.5)
    with LiveRun(runs, *training(), facts) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "random layers" in part(app, "#gap"))
            assert re.search(r"random layers +100 %", part(app, "#gap"))
            assert "BatchNorm" not in part(app, "#gap")
            assert any(re.match(r" +0┤", line) for line in rows(app, "#gap"))
            assert "no BatchNormalization layer" in part(app, "GradientTable")


@pytest.mark.parametrize(
    ("fields", "shares"),
    [
        ({}, {"batch_norm": 0.996, "stochastic": 0.004, "other": 0.0}),
        ({"other": -0.001}, {"batch_norm": 0.996, "stochastic": 0.004, "other": -0.001 / 5.8}),
        ({"other": -0.1}, None),
        ({"gap": 5e-3, "batch_norm": 5e-3, "stochastic": 0.0}, None),
        ({"standard_error": 3.0}, None),
        ({"stochastic": "nan"}, None),
        ({"gap": None}, None),
        ({"gap": 0.0, "train": 0.0, "inference": 0.0}, None),
    ],
)
def test_shares_are_given_where_they_mean_something(fields: dict[str, Number], shares: dict[str, float] | None) -> None:
    found = gap_shares(probe(**fields))
    assert found == (shares if shares is None else pytest.approx(shares, abs=1e-6))


# The table


async def test_the_table_says_which_layer_makes_the_gap(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2", "bn_3")) as run:
        async with watching(run.directory) as (app, pilot):
            assert "BatchNorm share" not in part(app, "LayerTable")
            run.write(probe(layers=THREE))
            await until(
                pilot, lambda: "BatchNorm share" in part(app, "LayerTable") and len(rows(app, "LayerTable")) > 3
            )
            first, second, third = rows(app, "LayerTable")[1:4]
            assert re.search(r"8\.000 ███████ +69 steps +████████ +69 %", first)
            assert re.search(r"0\.5000 ▌ +69 steps +███ +26 %", second)
            assert re.search(r" 0 +69 steps +▌ +5 %", third)
            places = [line.index("%", line.index("steps")) for line in (first, second, third)]
            assert len(set(places)) == 1
            assert "≠" not in part(app, "LayerTable")


async def test_a_small_screen_has_the_share_where_there_is_one(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2", "bn_3")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            assert "moving mean" in part(app, "LayerTable")
            run.write(probe(layers=THREE))
            await until(pilot, lambda: re.search(r"bn_1 +training .*████████ +69 %", part(app, "LayerTable")))


async def test_layers_on_which_the_two_ways_do_not_agree_are_marked(runs: Path) -> None:
    layers = {"bn_1": probe_layer(4.0, 1.0), "bn_2": probe_layer(1.5, 3.0), "bn_3": probe_layer(0.3, 0.2)}
    with LiveRun(runs, *training("bn_1", "bn_2", "bn_3"), probe(layers=layers)) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "BatchNorm share" in part(app, "LayerTable"))
            marked = [True, True, False]
            await until(pilot, lambda: ["≠" in line for line in rows(app, "LayerTable")[1:4]] == marked)
            assert "≠ shares in model order and on their own disagree" in part(app, "LayerTable")


async def test_the_half_life_is_that_of_the_momentum_in_force(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2", "bn_3", "bn_4"), probe(layers=THREE)) as run:
        asked = commands.Momentum(id="a", momentum=0.5)
        run.apply(asked, step=3, momentum={"bn_1": 0.5, "bn_2": 0.9999, "bn_3": 1.0, "bn_4": 0.0})
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "half-life" in part(app, "LayerTable") and "bn_4" in part(app, "LayerTable"))
            table = part(app, "LayerTable")
            for path, words in (
                ("bn_1", "1.0 steps"),
                ("bn_2", "6,931 steps"),
                ("bn_3", "held"),
                ("bn_4", "0.0 steps"),
            ):
                assert re.search(rf"{path} .* {re.escape(words)} ", table), path


def test_a_share_has_a_sign_and_no_meaning_without_a_whole() -> None:
    layers = {"a": probe_layer(-1.0), "b": probe_layer(3.0)}
    assert shares_of_layers(probe(batch_norm=2.0, layers=layers)) == {"a": -0.5, "b": 1.5}
    # The whole is that of the batch on which the layers were measured.
    assert shares_of_layers(probe(batch_norm=2.5, layers=layers)) == {"a": -0.5, "b": 1.5}
    assert shares_of_layers(probe(batch_norm=1e-4, layers=layers)) == {}


def test_layers_that_make_up_for_each_other_have_no_shares() -> None:
    layers = {"a": probe_layer(-1.0), "b": probe_layer(1.5)}
    assert shares_of_layers(probe(batch_norm=0.5, layers=layers)) == {}
    layers = {"a": probe_layer(-0.5), "b": probe_layer(1.0)}
    assert shares_of_layers(probe(batch_norm=0.5, layers=layers)) == {"a": -1.0, "b": 2.0}


@pytest.mark.parametrize(
    ("batch_norm", "in_order", "found"),
    [(2.0, (3.0, -1.0, 1.0), {"a", "b"}), (-2.0, (1.0, -3.0, -1.0), {"b", "c"})],
)
def test_the_worst_layer_is_the_one_in_the_direction_of_the_gap(
    batch_norm: float, in_order: tuple[float, ...], found: set[str]
) -> None:
    alone = {"a": 0.5, "b": 1.0, "c": -1.0}
    layers = {name: probe_layer(part, alone[name]) for name, part in zip("abc", in_order, strict=True)}
    assert disputed(probe(batch_norm=batch_norm, layers=layers)) == found


def test_no_layer_is_named_where_they_cancel_out() -> None:
    layers = {"a": probe_layer(2.0, 0.5), "b": probe_layer(-3.0, 1.0), "c": probe_layer(1.0, -1.0)}
    assert disputed(probe(batch_norm=2.0, layers=layers)) == frozenset()


# The heatmap


def test_drift_has_a_level_for_each_1_2_5_and_a_shade_for_each_decade() -> None:
    drift = np.array([0.0, 0.009, 0.01, 0.099, 0.1, 0.99, 1.0, 9.9, 10.0, 99.0, 100.0, 1e6, np.nan, np.inf])
    found = levels(drift)
    assert "".join(SHADES[level] for level in found[:-2]) == "··::░░▒▒▓▓██"
    assert (found[-2:] == NOT_FINITE).all()
    assert (np.diff(levels(np.logspace(-3, 4, 200))) >= 0).all()


async def test_drift_is_a_row_a_layer_and_holds_until_the_next_probe(runs: Path) -> None:
    def of(*drift: float) -> dict[str, events.ProbeLayer]:
        return {f"bn_{number + 1}": probe_layer(1.0, drift=value) for number, value in enumerate(drift)}

    facts = [probe(0, layers=of(200.0, 20.0, 0.001)), probe(2, layers=of(20.0, 2.0, 0.001))]
    with LiveRun(runs, *training("bn_1", "bn_2", "bn_3"), *facts) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "█" in "".join(rows(app, "#drift")))
            named = [line for line in rows(app, "#drift") if "bn_" in line]
            shown = [re.sub(r"(.)\1+", r"\1", line.split("bn_")[1][2:].strip()) for line in named]
            assert shown == ["█▓", "▓▒", "·"]
            halves = [named[0].count("█"), named[0].count("▓")]
            assert halves[0] > halves[1] > 0.4 * halves[0]
            assert codes(app, "#drift", DRIFT + 9) > 0
            await press(pilot, "down")
            await until(pilot, lambda: "› bn_2" in part(app, "#drift"))
            assert "› bn_1" not in part(app, "#drift")
            assert "▓ 10 " in part(app, "#drift").splitlines()[0]


async def test_where_there_are_more_layers_than_rows_a_row_has_the_largest(runs: Path) -> None:
    paths = [f"bn_{number}" for number in range(200)]
    layers = {path: probe_layer(1.0, drift=200.0 if path == "bn_117" else 0.001) for path in paths}
    with LiveRun(runs, *training(*paths), probe(0, layers=layers)) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await press(pilot, "tab", "tab")
            await until(pilot, lambda: "█" in "".join(rows(app, "#drift")))
            first, last = (int(re.findall(r"bn_(\d+)", line)[0]) for line in rows(app, "#drift")[:2])
            assert f"{last - first} layers a row" in part(app, "#drift")
            hot = [line for line in rows(app, "#drift") if "█" in line]
            assert len(hot) == 1
            assert 0 <= 117 - int(re.findall(r"bn_(\d+)", hot[0])[0]) < last - first
            await press(pilot, *["pagedown"] * 12)
            await until(pilot, lambda: "› bn_120" in part(app, "#drift"))


async def test_a_quiet_second_of_the_heatmap_sends_nothing_and_a_new_probe_little(runs: Path) -> None:
    paths = [f"bn_{number}" for number in range(20)]

    def layers(drift: float) -> dict[str, events.ProbeLayer]:
        return {path: probe_layer(1.0, drift=drift) for path in paths}

    with LiveRun(runs, *training(*paths)) as run:
        run.write(events.Batches(first_step=3, metrics={"loss": [0.3] * 50}, batches=50, step=53))
        run.write(probe(20, layers=layers(2.0)))
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "▒" in "".join(rows(app, "#drift")))
            view = app.dashboard.query_one("#drift", CellView)
            around = [app.dashboard.query_one(kind, CellView) for kind in ("LayerTable", "Timeline")]
            await until(pilot, lambda: [panel.size.height for panel in around] == [15, 9])
            await until(pilot, lambda: cells(view).height == view.size.height)
            before = cells(view)
            run.write(probe(52, layers=layers(20.0)))
            await until(pilot, lambda: "▓" in "".join(rows(app, "#drift")))
            changed = (before.chars != cells(view).chars).sum()
            assert 0 < changed < 0.1 * cells(view).chars.size


# Asking, and what it costs


async def test_g_asks_for_a_probe(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("g")
            await until(pilot, lambda: "probe: asked" in part(app, "Timeline"))
            [request] = run.requests()
            assert isinstance(request, commands.Probe)
            run.write(events.StateChanged(state="probing", step=3))
            await until(pilot, lambda: "◍ probing" in part(app, "Header"))
            run.write(probe(layers={"bn_1": probe_layer(5.7768)}))
            run.apply(request, step=3)
            await until(pilot, lambda: "probe: applied" in part(app, "Timeline"))
            assert "● gap" in part(app, "#gap")
            assert "┊" not in part(app, "#loss")


async def test_the_header_says_what_monitoring_costs(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        for size in (WIDE, NARROW):
            async with watching(run.directory, size) as (app, pilot):
                run.write(events.Overhead(share=0.0042, parts={"probe": 0.1}, step=3))
                await until(pilot, lambda app=app: "overhead 0.4 %" in part(app, "Header"))
                assert "frozen 0/1" in part(app, "Header")
                run.write(events.Overhead(share=None, parts={}, step=3))
                await until(pilot, lambda app=app: "overhead" not in part(app, "Header"))


# Where the panels are


@pytest.mark.parametrize(
    ("size", "turns", "always"),
    [
        ((80, 24), ["loss", "gap", "drift", "moving-mean", "moving-variance"], ["gap"]),
        ((100, 40), ["moving-mean moving-variance", "drift"], ["loss", "gap"]),
        ((150, 28), ["drift", "moving-mean", "moving-variance"], ["loss", "gap"]),
        ((200, 50), [], ["loss", "gap", "drift", "moving-mean", "moving-variance"]),
    ],
)
async def test_charts_take_turns_where_there_is_no_room_for_all(
    runs: Path, size: tuple[int, int], turns: list[str], always: list[str]
) -> None:
    def shown() -> set[str | None]:
        return {chart.id for chart in app.dashboard.query("#charts > *") if chart.display and chart.size.area}

    with LiveRun(runs, *training("bn_1"), probe()) as run:
        async with watching(run.directory, size) as (app, pilot):
            for turn in [*turns, *turns[:1]] or [""]:
                expected = {*always, *turn.split()}
                await until(pilot, lambda expected=expected: shown() == expected, str(expected))
                await press(pilot, "tab")
            assert ("tab chart" in part(app, "KeyBar")) == bool(turns)
            await pilot.resize_terminal(200, 50)
            await until(pilot, lambda: len(shown()) == 5)


async def test_the_banner_moves_nothing_when_it_comes(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        for size in (WIDE, NARROW):
            async with watching(run.directory, size) as (app, pilot):
                await until(pilot, lambda app=app: app.dashboard.query_one("#loss").size.area)
                before = app.dashboard.query_one("#loss").region
                app.say("Something happened.")
                await until(pilot, lambda app=app: "Something happened." in part(app, "Banner"))
                assert app.dashboard.query_one("#loss").region == before


async def test_marks_leave_the_axis_its_ticks(runs: Path) -> None:
    def ticks() -> list[str]:
        return re.findall(r"\d+k?", part(app, "#loss").splitlines()[-2])

    with LiveRun(runs, *training("bn_1")) as run:
        run.write(events.Batches(first_step=3, metrics={"loss": [0.3] * 95}, batches=95, step=98))
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: len(ticks()) > 4)
            before = ticks()
            for step in range(5, 80, 6):
                request = commands.LearningRate(id=str(step), learning_rate=1 / step)
                run.apply(request, step=step, learning_rate=1 / step)
            await until(pilot, lambda: part(app, "#loss").splitlines()[-1].count("▲") == 13)
            assert ticks() == before
            assert "▲ lr 0.013 " in part(app, "#loss").splitlines()[-1]


@pytest.mark.parametrize("layers", [0, 1, 200])
async def test_any_number_of_layers_at_any_size(runs: Path, layers: int) -> None:
    paths = [f"[b]层{number}\x1b[31m" for number in range(layers)]
    found = {path: probe_layer("nan" if number % 3 else 1e9, -1e9, 10.0**number) for number, path in enumerate(paths)}
    with LiveRun(runs, *training(*paths), probe(0), probe(3, layers=found)) as run:
        async with watching(run.directory) as (app, pilot):
            for size in [(80, 24), (40, 12), (1, 1), (3, 40), (140, 32), (300, 3), (139, 31), (200, 60)]:
                await pilot.resize_terminal(*size)
                await press(pilot, "tab", "down")
                app.redraw()
            await until(pilot, lambda: "● gap" in part(app, "#gap"))
            assert "\x1b" not in text(app)


async def test_an_old_log_without_probes_is_as_it_was(runs: Path) -> None:
    async with watching(make_run(runs, a_run())) as (app, pilot):
        await until(pilot, lambda: "This run has made no probe" in part(app, "#gap"))
        assert "change" in part(app, "LayerTable")
        assert "drift" not in part(app, "LayerTable")
        assert codes(app, "#drift", Meaning.ERROR) == 0
