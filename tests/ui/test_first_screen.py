"""What is in sight on the first screen, at every size and for every kind of model."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from helpers import fold, numbered, statistics
from tuimon.protocol import events
from tuimon.protocol.wire import Number
from tuimon.runs.state import RunState
from tuimon.ui.app import WatchApp
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.frame.header import Header
from tuimon.ui.screens.dashboard.arrangement import LAYERS, Arrangement, Contents, arrange
from tuimon.ui.screens.dashboard.gap_line import spark
from tuimon.ui.screens.dashboard.gap_words import has_gap, whole_of
from tuimon.ui.viewer.key import SCREEN_NAMES
from tuimon.ui.viewer.moment import Moment
from ui.facts import alert, probe, probe_layer, training
from ui.sizes import NARROW, WIDE
from ui.watching import LiveRun, part, press, text, until, watching

MIDDLE, TINY = (120, 35), (40, 10)
ERRORS = {
    "errors": {"gap": 0.05, "batch_norm": 0.06, "stochastic": 0.01, "other": 0.0},
    "share_errors": {"batch_norm": 0.017, "stochastic": 0.002, "other": 0.0},
}
SIZES = [
    (200, 50),
    (160, 45),
    (120, 35),
    (110, 32),
    (160, 30),
    (140, 20),
    (100, 30),
    (139, 60),
    (140, 32),
    (80, 24),
    (60, 20),
    (40, 10),
]


def gradients(*paths: str, norm: float = 0.5) -> dict[str, events.ProbeGradient]:
    return {path: events.ProbeGradient(norm=norm, weight_norm=4.0, zeros=0.0) for path in paths}


def examined(step: int = 3) -> events.Probe:
    """Return a probe at an epoch's end that has measured what lies between `loss` and `val_loss` there."""
    return probe(
        step,
        train=0.45,
        inference=0.35,
        gap=0.1,
        batch_norm=0.0,
        stochastic=0.1,
        unweighted=0.35,
        unweighted_error=0.02,
        validation_unweighted=0.55,
        validation_error=0.03,
        validation_examples=64,
        errors={"gap": 0.01, "batch_norm": 0.0, "stochastic": 0.01, "other": 0.0},
        gradients=gradients("dense"),
    )


def seen(app: WatchApp, panel: str) -> str:
    """Return what a panel shows; empty if it is not on the screen."""
    view = app.base_screen.query_one(panel, CellView)
    return view.text() if view.display and view.size.area else ""


# Where the panels are


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("has_batch_norm", [True, False])
def test_loss_and_gap_have_a_place_at_every_size(size: tuple[int, int], has_batch_norm: bool) -> None:
    names = ["loss", "gap", *(f"metric-{number}" for number in range(1, 7)), "drift", "moving-mean", "moving-variance"]
    for is_probed, is_open, metrics, rows in itertools.product((True, False), (True, False), (0, 1, 9), (4, 63)):
        contents = Contents(has_batch_norm, is_probed, is_probed and is_open, metrics, rows)
        found = arrange(*size, contents, "loss")
        assert found.charts >= {"loss", "gap"}
        # The table and the events never leave less than a chart needs.
        fixed = sum(int(row.height) for row in found.rows if row.height.isdigit())
        shares = sum(not row.height.isdigit() for row in found.rows)
        free = size[1] - 4 - found.table - found.events - fixed
        assert free >= (4 if size[1] < 14 else 5) * shares
        for chosen in (*found.turns, "moving-variance", "nonsense"):
            turned = arrange(*size, contents, chosen)
            order = [name for row in turned.rows for name in row.charts]
            # A grid places its panels in the order in which they were made.
            assert order == sorted(order, key=names.index)
            assert chosen not in found.turns or chosen in turned.charts or (chosen, turned.rows) == (LAYERS, ())


def test_a_probe_moves_the_gap_from_a_line_to_a_chart() -> None:
    def height_of_gap(found: Arrangement) -> str:
        return next(row.height for row in found.rows if "gap" in row.charts)

    before = arrange(*WIDE, Contents(True, False, False, 0, 6), "loss")
    after = arrange(*WIDE, Contents(True, True, True, 0, 6), "loss")
    assert height_of_gap(before).isdigit()
    assert height_of_gap(after) == "6fr"
    # Where nothing was probed, there is no drift either.
    assert "drift" not in before.charts
    assert "drift" in after.charts


@pytest.mark.parametrize("size", [(200, 50), (139, 60), (139, 30), NARROW, TINY])
async def test_a_screen_is_laid_out_for_its_size_from_the_first_time_on(
    runs: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, set[tuple[int, int]]] = {}
    draw = Header.draw

    def noted(header: Header, cells: Cells, moment: Moment) -> None:
        drawn.setdefault(type(header.screen).__name__, set()).add((cells.width, cells.height))
        draw(header, cells, moment)

    monkeypatch.setattr(Header, "draw", noted)
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, size) as (app, pilot):
            for key in ("2", "3", "4", "1"):
                await press(pilot, key)
                await until(pilot, lambda key=key: app.base_screen.screen_name == SCREEN_NAMES[int(key) - 1])
                await until(pilot, lambda: "quit" in text(app))
    assert len(drawn) == 4
    assert all(len(sizes) == 1 for sizes in drawn.values()), drawn


async def test_a_panel_that_was_out_of_sight_shows_what_happened_meanwhile(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), probe(3, gap=1.0, batch_norm=0.98)) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            for mean in (4.5, 7.5):
                app.dashboard.choose_chart("moving-mean")
                await until(pilot, lambda: "moving mean" in seen(app, "#moving-mean"))
                app.dashboard.choose_chart("moving-variance")
                await until(pilot, lambda: not seen(app, "#moving-mean"))
                step = app.viewer.state.step + 1
                run.write(events.BatchNorm(layers={"bn_1": statistics(mean)}, step=step))
                await until(pilot, lambda step=step: app.viewer.state.step == step and not app.is_out_of_date)
                app.dashboard.choose_chart("moving-mean")
                median = f"median {mean + 3}"
                await until(pilot, lambda median=median: median in seen(app, "#moving-mean"))


# The gap


@pytest.mark.parametrize("size", [MIDDLE, NARROW])
async def test_the_gap_is_on_the_first_screen_with_parts_and_history(runs: Path, size: tuple[int, int]) -> None:
    facts = [
        probe(1, gap=1.0, batch_norm=0.98, stochastic=0.02),
        probe(3, layers={"bn_1": probe_layer(5.8)}, **ERRORS),
    ]
    with LiveRun(runs, *training("bn_1"), *facts) as run:
        async with watching(run.directory, size) as (app, pilot):
            await until(pilot, lambda: "● gap" in seen(app, "#gap"))
            shown = seen(app, "#gap")
            assert re.search(r"● gap +\+5\.800", shown)
            assert re.search(r"◆ BatchNorm +100 ± 2 %", shown)
            assert re.search(r"○ random layers +0 ± 1 %", shown)
            assert "▂█" in shown or "⢀" in shown or "⡄" in shown or shown.count("●") > 1
            assert re.search(r"train -0\.2500 +inference -6\.050", shown)
            assert seen(app, "#loss")
            assert "bn_1" in seen(app, "LayerTable")


async def test_the_smallest_screen_has_loss_and_gap_and_turns_to_the_layers(runs: Path) -> None:
    facts = [*training("bn_1", "bn_2"), probe(3, **ERRORS)]
    with LiveRun(runs, *facts) as run:
        async with watching(run.directory, TINY) as (app, pilot):
            await until(pilot, lambda: "● gap +5.800" in seen(app, "#gap"))
            assert "val 0.6000" in seen(app, "#loss")
            assert any("⠀" < character <= "⣿" for character in seen(app, "#loss"))
            assert "BatchNorm 100 ± 2 %" in seen(app, "#gap")
            # No key acts on a layer that nobody sees.
            assert app.dashboard.selected_layer is None
            await press(pilot, "f")
            await until(pilot, lambda: "No layer is selected" in part(app, "Banner"))
            await press(pilot, "tab")
            await until(pilot, lambda: "random 0 ± 1 %" in seen(app, "#gap"))
            await press(pilot, "tab")
            await until(pilot, lambda: "bn_2" in seen(app, "LayerTable"))
            assert app.dashboard.selected_layer == "bn_1"
            await press(pilot, "tab")
            await until(pilot, lambda: bool(seen(app, "#loss")))


@pytest.mark.parametrize("size", [WIDE, (160, 30), MIDDLE, (100, 30), NARROW, (60, 20), TINY])
async def test_before_the_first_probe_the_gap_says_when_it_comes_and_is_small(
    runs: Path, size: tuple[int, int]
) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        run.write(events.ProbePlanned(seconds=80.0, reason="a budget of 1 %", step=3))
        async with watching(run.directory, size) as (app, pilot):
            await until(pilot, lambda: "First probe in about 1:" in seen(app, "#gap"))
            assert app.dashboard.query_one("#gap").size.height <= 4
            if size[0] > 60:
                assert re.search(r"about 1:\d\d \(a budget of 1 %\); g makes one now\.", seen(app, "#gap"))
            if size[0] >= 100:
                assert "loss - val_loss -0.3000" in seen(app, "#gap")
            run.write(probe(3, layers={"bn_1": probe_layer(5.8)}))
            await until(pilot, lambda: "● gap" in seen(app, "#gap"))


async def test_shares_without_a_meaning_are_losses_with_their_errors(runs: Path) -> None:
    facts = probe(batch_norm=7.0, stochastic=0.5, other=-1.7, errors={"batch_norm": 0.25, "other": 0.5})
    with LiveRun(runs, *training("bn_1"), facts) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "● gap" in seen(app, "#gap"))
            assert re.search(r"BatchNorm +\+7\.00 ± 0\.25", seen(app, "#gap"))
            assert re.search(r"other +-1\.70 ± 0\.50", seen(app, "#gap"))
            await pilot.resize_terminal(*NARROW)
            await until(pilot, lambda: "BatchNorm +7.000" in seen(app, "#gap"))
            assert "%" not in seen(app, "#gap")


def test_the_history_of_the_gap_is_a_bar_a_probe_or_several() -> None:
    def state(*gaps: float) -> RunState:
        facts = [probe(step, gap=gap) for step, gap in enumerate(gaps)]
        return fold(numbered([*training("bn_1"), *facts]))

    assert spark(state(0.0, 1.0, 2.0), 8) == "▁▅█"
    assert spark(state(-1.0, 0.0), 8) == "▁█"
    assert spark(state(1.0, float("nan")), 8) == "█▲"
    assert spark(state(0.0), 8) == "▁"
    assert spark(state(*np.arange(100.0)), 4) == "▃▄▆█"


# The whole difference of loss and val_loss


async def test_what_lies_between_loss_and_val_loss_is_taken_apart_where_there_is_room(runs: Path) -> None:
    with LiveRun(runs, *training(), examined()) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "loss - val_loss" in seen(app, "#gap"))
            shown = seen(app, "#gap")
            assert re.search(r"loss - val_loss +-0\.300", shown)
            assert re.search(r"mean over epoch +-0\.150 ± 0\.022", shown)
            assert re.search(r"random layers +\+0\.100 ± 0\.01", shown)
            assert re.search(r"data +-0\.200 ± 0\.036", shown)
            assert re.search(r"rest +-0\.050 ± 0\.03", shown)
            # It has its epoch once that is not the newest.
            logs: dict[str, Number] = {"loss": 0.2, "val_loss": 0.6}
            run.write(events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=1.0, step=6, epoch=5))
            await until(pilot, lambda: re.search(r"loss - val_loss, epoch 3 +-0\.300", seen(app, "#gap")))
            assert re.search(r"data +-0\.200 ± 0\.036", seen(app, "#gap"))


async def test_of_an_epoch_without_a_probe_at_its_end_the_part_of_the_data_is_known(runs: Path) -> None:
    with LiveRun(runs, *training(), examined(step=2)) as run:
        async with watching(run.directory) as (app, pilot):
            run.write(events.EpochEnded(logs={"loss": 0.2, "val_loss": 0.6}, learning_rate=1e-3, seconds=1.0, step=6))
            await until(pilot, lambda: re.search(r"loss - val_loss +-0\.4000", seen(app, "#gap")))
            assert re.search(r"data +-0\.200 ± 0\.036", seen(app, "#gap"))
            assert "mean over epoch" not in seen(app, "#gap")
            assert "all parts: after a probe" in seen(app, "#gap")


def test_a_run_without_validation_has_no_difference_to_take_apart() -> None:
    facts = [fact for fact in training("bn_1") if not isinstance(fact, events.EpochEnded)]
    assert whole_of(fold(numbered(facts))) is None
    assert whole_of(fold(numbered([*facts, events.EpochEnded(logs={"loss": 0.3}, learning_rate=1, seconds=1)]))) is None


# Models without BatchNormalization


async def test_a_model_without_batch_normalization_has_metrics_and_gradients_in_place_of_its_layers(
    runs: Path,
) -> None:
    logs: dict[str, float] = {"loss": 0.3, "accuracy": 0.5, "val_loss": 0.6, "val_accuracy": 0.4}
    facts = [
        *training(),
        events.EpochEnded(logs={**logs}, learning_rate=1e-3, seconds=1.0, step=3, epoch=3),
        events.WeightUpdates(layers={"dense": 0.0011, "answer": 0.0}, step=3),
        probe(
            3,
            batch_norm=0.0,
            stochastic=5.8,
            gradients=gradients("dense", "answer"),
            gradient_norm=0.7,
            gradient_batches=1,
        ),
    ]
    with LiveRun(runs, *facts) as run:
        for size in (WIDE, (160, 45), MIDDLE, (100, 30), NARROW):
            async with watching(run.directory, size) as (app, pilot):
                await until(pilot, lambda app=app: "answer" in seen(app, "GradientTable"), str(size))
                assert re.search(r"dense +0\.500 .*4\.00 .*0\.110 %", seen(app, "GradientTable"))
                assert re.search(r"answer +0\.500 .* nothing", seen(app, "GradientTable"))
                assert not re.search("freeze|hold|momentum|recalibrate", part(app, "KeyBar"))
                assert "phase" in part(app, "KeyBar")
                for panel in ("#drift", "#moving-mean", "#moving-variance", "LayerTable"):
                    assert not seen(app, panel), panel
                if size[1] >= 32:
                    assert "accuracy" in seen(app, "#metric-1").splitlines()[0]
                    assert "learning rate" in seen(app, "#metric-2").splitlines()[0]
                else:
                    await press(pilot, "tab", "tab")
                    await until(pilot, lambda app=app: "accuracy" in seen(app, "#metric-1"))


async def test_a_model_that_computes_the_same_in_both_modes_has_a_line_that_says_so(runs: Path) -> None:
    same = probe(train=0.5, inference=0.5, gap=0.0, batch_norm=0.0, stochastic=0.0, standard_error=0.0)
    with LiveRun(runs, *training(), same) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "both modes compute the same" in seen(app, "#gap"))
            assert app.dashboard.query_one("#gap").size.height == 3
            assert "loss - val_loss -0.3000" in seen(app, "#gap")


def test_rounding_is_no_gap_and_what_is_not_finite_is_one() -> None:
    def state(gap: float) -> RunState:
        facts = probe(train=0.5, inference=0.5, gap=gap, batch_norm=0.0, stochastic=0.0)
        return fold(numbered([*training(), facts]))

    assert not has_gap(state(0.0))
    assert not has_gap(state(1e-8))
    assert has_gap(state(1e-3))
    assert has_gap(state(float("nan")))


async def test_many_metrics_take_turns(runs: Path) -> None:
    logs: dict[str, float] = {"loss": 0.3, **{f"output_{number}_loss": 0.1 for number in range(4)}}
    facts = [*training(), events.EpochEnded(logs={**logs}, learning_rate=1e-3, seconds=1.0, step=3, epoch=3)]
    with LiveRun(runs, *facts) as run:
        async with watching(run.directory, MIDDLE) as (app, pilot):
            for first, second in ((1, 2), (3, 4), (5, None), (1, 2)):
                await until(pilot, lambda first=first: bool(seen(app, f"#metric-{first}")))
                assert second is None or seen(app, f"#metric-{second}")
                assert seen(app, "#loss")
                await press(pilot, "tab")


# The newest alert


async def test_the_newest_alert_is_above_all_panels_also_when_the_run_is_over(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), alert()) as run:
        for size in (WIDE, NARROW, TINY):
            async with watching(run.directory, size) as (app, pilot):
                await until(pilot, lambda app=app: "▲ R2 batch statistics" in part(app, "Banner"))
                assert "F freezes all" in part(app, "Banner")
                banner, loss = app.dashboard.query_one("Banner"), app.dashboard.query_one("#loss")
                await until(pilot, lambda banner=banner, loss=loss: banner.region.bottom <= loss.region.y)
        run.write(events.RunEnded(status="finished", step=3))
        run.die()
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "✓ finished" in part(app, "Header"))
            assert "▲ R2 batch statistics" in part(app, "Banner")
            # Once it is read, the run's end is what there is to say.
            await pilot.press("enter")
            await until(pilot, lambda: app.screen is not app.base_screen)
            await pilot.press("escape")
            await until(pilot, lambda: "Finished after" in text(app))
