"""The screen of the layers: in any order, over time, and channel by channel."""

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from helpers import fit_started, fold, numbered, statistics
from tuimon.protocol import events
from tuimon.protocol.wire import Number
from tuimon.ui.app import WatchApp
from tuimon.ui.screens.layers.channel_view import _WORST_WIDTH, worst_channels
from tuimon.ui.screens.layers.gradient_table import GradientTable
from tuimon.ui.screens.layers.gradients import layer_gradients, newest_probe
from tuimon.ui.screens.layers.layer_table import LayerTable
from tuimon.ui.viewer.meanings import Meaning
from ui.facts import probe, probe_layer, training
from ui.sizes import NARROW, WIDE
from ui.watching import LiveRun, part, press, text, until, watching

PATHS = ("block/bn_1", "block/bn_2", "head/bn_3")


def probed() -> list[events.AnyEvent]:
    layers = {
        "block/bn_1": probe_layer(1.0, drift=0.5),
        "block/bn_2": probe_layer(4.0, drift=20.0),
        "head/bn_3": probe_layer(0.7768, drift=90.0),
    }
    return [*training(*PATHS), probe(3, layers=layers)]


def encoded(values: np.ndarray) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def full(mean: np.ndarray, variance: np.ndarray) -> events.BatchNormChannels:
    values = events.BatchNormChannelValues(
        moving_mean_base64=encoded(mean),
        moving_variance_base64=encoded(variance),
        gamma_base64=None,
        beta_base64=None,
    )
    return events.BatchNormChannels(layers={"block/bn_1": values}, step=3, epoch=3)


async def test_layers_are_listed_in_the_order_that_is_asked_for(runs: Path) -> None:
    def listed() -> list[str]:
        lines = part(app, "LayerTable").splitlines()[2:]
        return [path for line in lines for path in PATHS if path in line]

    with LiveRun(runs, *probed()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "3", "down")
            await until(pilot, lambda: app.base_screen.selected_layer == "block/bn_2")
            assert listed() == list(PATHS)
            await press(pilot, "o")
            assert listed() == ["head/bn_3", "block/bn_2", "block/bn_1"]
            assert "by drift" in part(app, "LayerTable")
            await press(pilot, "o")
            assert listed() == ["block/bn_2", "block/bn_1", "head/bn_3"]
            # The cursor stays on its layer, and so do the keys.
            assert app.base_screen.selected_layer == "block/bn_2"
            await press(pilot, "f")
            await until(pilot, lambda: bool(run.requests()))
            assert getattr(run.requests()[0], "layers", None) == ["block/bn_2"]
            await press(pilot, "o", "o")
            assert listed() == list(PATHS)


async def test_the_map_shows_each_quantity(runs: Path) -> None:
    moved = {path: statistics(3.0) for path in PATHS}
    with LiveRun(runs, *probed()) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            run.write(events.BatchNorm(layers=moved, step=9, epoch=9))
            await press(pilot, "3")
            await until(pilot, lambda: app.viewer.state.last_seq >= 8)
            for words in ("drift of moving", "share of what", "moving mean: change", "moving variance: change"):
                await until(pilot, lambda words=words: words in part(app, "#layer-map"), words)
                if words != "moving variance: change":  # It has not changed.
                    assert any(shade in part(app, "#layer-map").partition("\n")[2] for shade in "░▒▓█")
                await press(pilot, "v")


async def test_the_channels_of_a_layer_and_the_worst_of_them(runs: Path) -> None:
    mean = np.zeros(8)
    mean[5] = 12.0
    variance = np.ones(8)
    variance[2] = 1e-9
    for size in (WIDE, NARROW):
        directory = runs / str(size[0])
        directory.mkdir()
        with LiveRun(directory, *training(*PATHS), full(mean, variance)) as run:
            async with watching(run.directory, size) as (app, pilot):
                await press(pilot, "3")
                await until(pilot, lambda app=app: "worst channels" in part(app, "ChannelView"))
                assert "2: dead" in part(app, "ChannelView")
                assert "5: mean 12" in part(app, "ChannelView")
                await press(pilot, "down")
                await until(pilot, lambda app=app: "No values of single channels" in part(app, "ChannelView"))


async def test_nothing_breaks_without_layers(runs: Path) -> None:
    for number, facts in enumerate(([], training(), training("bn_1")[:2])):
        directory = runs / str(number)
        directory.mkdir()
        with LiveRun(directory, *facts) as run:
            async with watching(run.directory, NARROW) as (app, pilot):
                await press(pilot, "3", "o", "v", "down", "f", "h", "o", "v")
                assert app.base_screen.query_one(LayerTable).order in ("share", "drift", "change", "model")
                assert "BatchNormalization" in text(app)


# Gradients, and how far a step moves the weights


def of_gradients(*, batch_norm: bool = True) -> list[events.AnyEvent]:
    """Return the facts of a run whose first layer has nearly lost its gradient, and whose last one stands still."""
    norms = {"block/dense": 1e-6, "block/bn_2": 0.02, "answer": 2.0}
    found = {path: events.ProbeGradient(norm=norm, weight_norm=4.0, zeros=0.0) for path, norm in norms.items()}
    moved = {"block/dense": 2e-9, "block/bn_2": 0.0011, "answer": 0.0}
    facts = training(*PATHS) if batch_norm else training()
    return [
        *facts,
        probe(2, gradients=found, gradient_norm=2.0),
        probe(3, layers=layers_of(batch_norm), gradients=found, gradient_norm=2.0),
        events.WeightUpdates(layers=moved, step=3),
        # Measured without gradients since: those that are known stay.
        probe(4, layers=layers_of(batch_norm), why_no_gradients=""),
    ]


def layers_of(batch_norm: bool) -> dict[str, events.ProbeLayer]:
    return {path: probe_layer(1.0) for path in PATHS} if batch_norm else {}


def gradient_rows(app: WatchApp) -> list[str]:
    view = app.base_screen.query_one(GradientTable)
    return view.text().splitlines()[2:-1] if view.display and view.size.area else []


@pytest.mark.parametrize("size", [WIDE, (160, 30), (120, 35), NARROW, (40, 10)])
async def test_gradients_of_all_layers_are_beside_those_of_batch_normalization(
    runs: Path, size: tuple[int, int]
) -> None:
    with LiveRun(runs, *of_gradients()) as run:
        async with watching(run.directory, size) as (app, pilot):
            await press(pilot, "3", "down")
            # Where there is no room for all panels, v leads to it.
            for _ in range(8):
                if gradient_rows(app):
                    break
                await press(pilot, "v")
                await pilot.pause()
            await until(pilot, lambda: any("answer" in row for row in gradient_rows(app)))
            assert re.search(r"layer +gradient .*a step moves", part(app, "GradientTable").splitlines()[1])
            shown = "\n".join(gradient_rows(app))
            assert re.search(r"dense +1e-6 .*2e-7 %", shown)
            assert re.search(r"bn_2 +0\.020 .*0\.110 %", shown)
            assert re.search(r"answer +2\.00 .*nothing", shown)
            # The cursor is on the layer that the other table has selected.
            assert "› block/bn_2" in shown or "›…" in shown or "› …" in shown


async def test_a_model_without_batch_normalization_has_a_screen_of_layers(runs: Path) -> None:
    for size in (WIDE, NARROW, (40, 10)):
        directory = runs / str(size[0])
        directory.mkdir()
        with LiveRun(directory, *of_gradients(batch_norm=False)) as run:
            async with watching(run.directory, size) as (app, pilot):
                await press(pilot, "3")
                await until(pilot, lambda app=app: any("dense" in row for row in gradient_rows(app)))
                assert "BatchNormalization" not in text(app)
                await press(pilot, "down", "down")
                await until(pilot, lambda app=app: any(row.startswith("│› answer") for row in gradient_rows(app)))
                if size != (40, 10):
                    await until(pilot, lambda app=app: "gradient of answer" in part(app, "#layer-gradient"))
                    assert "layer 2.000" in part(app, "#layer-gradient")
                await press(pilot, "o")
                await until(pilot, lambda app=app: "answer" in gradient_rows(app)[0])
                assert app.base_screen.query_one(GradientTable).path == "answer"


async def test_gradients_that_are_not_known_have_a_reason(runs: Path) -> None:
    for number, (fact, words) in enumerate(
        [
            ([], "Gradients come with a probe. First probe once a step is timed; g makes one now."),
            ([probe(why_no_gradients="a layer is not differentiable")], "No gradients: a layer is not differentiable."),
            ([probe()], "The newest probe has measured no gradients"),
        ]
    ):
        directory = runs / str(number)
        directory.mkdir()
        with LiveRun(directory, *training(), *fact) as run:
            async with watching(run.directory) as (app, pilot):
                await press(pilot, "3")
                await until(pilot, lambda app=app, words=words: words in part(app, "GradientTable"), words)
                assert "no BatchNormalization layer" in part(app, "GradientTable")


async def test_gradients_have_no_column_before_there_are_any(runs: Path) -> None:
    with LiveRun(runs, *training(*PATHS)) as run:
        async with watching(run.directory) as (app, pilot):
            await press(pilot, "3")
            await until(pilot, lambda: app.base_screen.query_one("#layer-map").size.width > 90)
            assert gradient_rows(app) == []
            run.write(events.WeightUpdates(layers={"answer": 0.001}, step=3))
            await until(pilot, lambda: any("answer" in row for row in gradient_rows(app)))
            # The gradient itself is not known yet.
            assert re.search(r"answer +– +– +0\.100 %", gradient_rows(app)[0])


def test_gradients_are_those_of_the_newest_fit() -> None:
    facts = numbered([*of_gradients(), fit_started()])
    known = newest_probe(fold(facts[:-1]))
    assert known is not None
    assert known.step == 3
    assert newest_probe(fold(facts)) is None
    assert layer_gradients(fold(facts)) == []


async def test_gradients_of_any_value_are_drawn(runs: Path) -> None:
    values: list[Number] = ["nan", "inf", None, 0.0, 1e300, -1.0]
    found = {
        f"[b]层{number}\x1b[31m": events.ProbeGradient(
            norm=value, weight_norm=value, zeros=value, connected=bool(number)
        )
        for number, value in enumerate(values)
    }
    with LiveRun(runs, *training(), probe(gradients=found, gradient_norm="nan")) as run:
        async with watching(run.directory) as (app, pilot):
            for size in (WIDE, NARROW, (40, 10), (139, 33)):
                await pilot.resize_terminal(*size)
                await press(pilot, "3", "o", "down", "1")
            await press(pilot, "3")
            await until(pilot, lambda: "层" in part(app, "GradientTable"))
            assert "none" in part(app, "GradientTable")
            assert "\x1b" not in text(app)


def test_the_worst_channels_come_first() -> None:
    mean = np.array([0.0, np.nan, 0.1, -5.0, 1.0])
    variance = np.array([1.0, 1.0, 1e-9, 1.0, 1.0])
    found = worst_channels(mean, variance, 1e-3)
    assert [words.partition(":")[0] for words, _ in found] == ["1", "2", "3", "4", "0"]
    assert [meaning for _, meaning in found[:3]] == [Meaning.ERROR, Meaning.WARNING, Meaning.TEXT]


def test_a_channel_of_small_scale_is_not_dead() -> None:
    # Inputs that are divided by 255 twice, say: far below epsilon, but not nothing.
    variance = np.array([1.0, 5e-6, 0.0, 9e-6])
    found = worst_channels(np.zeros(4), variance, 1e-3)
    assert found[:3] == [
        ("2: dead, variance 0", Meaning.WARNING),
        ("1: small scale, variance 5e-6", Meaning.TEXT),
        ("3: small scale, variance 9e-6", Meaning.TEXT),
    ]
    many = worst_channels(np.zeros(4096), np.full(4096, 1.25e-6), 1e-3)
    assert max(len(words) for words, _ in many) <= _WORST_WIDTH - 2


@pytest.mark.parametrize("values", [np.zeros(0), np.array([np.nan, np.inf]), np.full(4, 7.0)])
async def test_channels_of_any_value_are_drawn(runs: Path, values: np.ndarray) -> None:
    with LiveRun(runs, *training(*PATHS), full(values, values)) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "3")
            await until(pilot, lambda: "channels" in part(app, "ChannelView"))


def names_in(app: WatchApp, panel: str) -> list[str]:
    """Return the names that stand in the first column of a list of layers."""
    lines = part(app, panel).splitlines()[2:]
    return [words[0] for line in lines if (words := line.strip("│› ").split()) and words[0][0] not in "╰─"]


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 35)])
@pytest.mark.parametrize(
    "paths",
    [
        [f"functional/backbone/efficientnet_block{number}a_project_conv_batch_normalization" for number in (1, 2, 3)],
        [f"functional/efficientnet_backbone_{name}/stage_2/conv_batch_normalization" for name in ("left", "right")],
        [f"sequential/batch_normalization{name}" for name in ("", "_1", "_2", "_10")],
    ],
)
async def test_layers_with_long_names_can_be_told_apart(runs: Path, size: tuple[int, int], paths: list[str]) -> None:
    with LiveRun(runs, *training(*paths), probe(3, layers=dict.fromkeys(paths, probe_layer(1.0)))) as run:
        async with watching(run.directory, size) as (app, pilot):
            await press(pilot, "3")
            await until(pilot, lambda: len(names_in(app, "LayerTable")) == len(paths))
            assert len(set(names_in(app, "LayerTable"))) == len(paths)
            titles = part(app, "#layer-mean").splitlines()[:1]
            for _ in paths[1:]:
                await press(pilot, "down")
                titles += part(app, "#layer-mean").splitlines()[:1]
            # A small screen has no room for the chart.
            assert len(set(titles)) == (len(paths) if size == (120, 35) else 0)
