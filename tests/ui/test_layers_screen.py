"""The screen of the layers: in any order, over time, and channel by channel."""

import base64
from pathlib import Path

import numpy as np
import pytest

from helpers import statistics
from tuimon.protocol import events
from tuimon.ui.screens.layers.channel_view import _WORST_WIDTH, worst_channels
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
