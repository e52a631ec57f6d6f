"""Terminals of few lines: no box is empty, and every scale has two numbers."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuimon.plot.axes import fitted_axis
from tuimon.plot.x_axis import X_KINDS, window_axis
from tuimon.protocol import events
from tuimon.ui.viewer.key import SCREEN_NAMES
from ui.facts import alert, probe, training
from ui.sizes import NARROW
from ui.watching import LiveRun, part, press, text, until, watching

LOW = (40, 10)
BRAILLE = re.compile("[⠁-⣿]")
EMPTY = re.compile(r"╭[^╮]*╮[^\n]*\n\s*╰")


def trained(*, is_over: bool) -> list[events.AnyEvent]:
    facts: list[events.AnyEvent] = [*training("bn_1")[:4]]
    for epoch in range(6):
        where = {"step": 10 * epoch + 10, "epoch": epoch}
        losses: list[float | str | None] = [2.0 / (1 + epoch) + step / 50 for step in range(10)]
        facts.append(events.Batches(first_step=10 * epoch, metrics={"loss": losses}, batches=10, **where))
        load = {"process_cpu": 1.5, "memory_used": 2**33, "memory_total": 2**36, "process_memory": 2**30}
        facts.append(events.System(cores=4, cpu=0.5 + epoch / 20, **load, **where))
        logs = {"loss": 2.0 / (1 + epoch), "val_loss": 1.9 / (1 + epoch)}
        facts.append(events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=1.0, **where))
    facts += [probe(step=55), alert(step=55)]
    return [*facts, events.RunEnded(status="finished", step=60, epoch=5)] if is_over else facts


@pytest.mark.parametrize("is_over", [True, False], ids=["over", "live"])
@pytest.mark.parametrize("size", [LOW, NARROW], ids=["low", "narrow"])
async def test_no_box_is_empty(runs: Path, size: tuple[int, int], is_over: bool) -> None:
    with LiveRun(runs, *trained(is_over=is_over)) as run:
        async with watching(run.directory, size) as (app, pilot):
            for number, name in enumerate(SCREEN_NAMES, 1):
                await press(pilot, str(number))
                await until(pilot, lambda name=name: app.base_screen.screen_name == name)
                await until(pilot, lambda: not EMPTY.search(text(app)), f"no empty box on the screen {name}")


async def test_the_events_have_lines_on_ten_lines(runs: Path) -> None:
    with LiveRun(runs, *trained(is_over=True)) as run:
        async with watching(run.directory, LOW) as (app, pilot):
            await press(pilot, "4")
            await until(pilot, lambda: "finished" in part(app, "TimelineList"))
            assert "›" in part(app, "TimelineList")
            assert "details" not in part(app, "KeyBar")
            await press(pilot, "down")
            await until(pilot, lambda: re.search(r"› \d\d:.*▲ R2", part(app, "TimelineList")))


@pytest.mark.parametrize("key", ["1", "2", "6", "8"])
async def test_there_are_curves_on_ten_lines(runs: Path, key: str) -> None:
    with LiveRun(runs, *trained(is_over=True)) as run:
        async with watching(run.directory, LOW) as (app, pilot):
            await press(pilot, key, *["v"] * (key == "8"))
            await until(pilot, lambda: BRAILLE.search(text(app)))


async def test_the_values_at_the_cursor_have_their_step_on_ten_lines(runs: Path) -> None:
    with LiveRun(runs, *trained(is_over=True)) as run:
        async with watching(run.directory, LOW) as (app, pilot):
            await press(pilot, "2", "right", "ctrl+right")
            await until(pilot, lambda: re.search(r"loss  step \d+  val \d", text(app)))
            assert "enter" not in part(app, "KeyBar")


@given(
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
    st.integers(2, 40),
    st.sampled_from(["auto", "linear", "log"]),
    st.sampled_from([1.0, 2.0]),
)
def test_every_scale_has_two_numbers(low: float, span: float, height: int, scale: str, decades: float) -> None:
    limits = [(low, low + span)]
    axis = fitted_axis(limits, limits, height, scale=scale, log_decades=decades)  # type: ignore[arg-type]
    assert len(axis.ticks) >= 2


@given(st.floats(1e-9, 1e9), st.floats(1, 1e9))
def test_every_logarithmic_scale_has_two_numbers(low: float, factor: float) -> None:
    limits = [(low, low * factor)]
    axis = fitted_axis(limits, limits, 7, scale="log")
    assert len(axis.ticks) >= 2
    assert axis.first <= axis.ticks[0][0] < axis.ticks[-1][0] <= axis.last


@given(st.floats(0, 1e6), st.floats(8, 1e6), st.integers(3, 20), st.sampled_from(X_KINDS))
def test_every_part_of_x_has_two_numbers(first: float, span: float, ticks: int, kind: str) -> None:
    if kind in ("step", "epoch"):
        assert len(window_axis(kind, first, first + span, ticks).ticks) >= 2  # type: ignore[arg-type]
