"""Moving along a replay: by arrows, by the bar and its marks, by the wheel."""

import math
from pathlib import Path

import pytest
from textual.events import MouseMove, MouseScrollDown, MouseScrollUp

from helpers import SENDER, fold, make_run, numbered
from tuimon.protocol import commands, events
from tuimon.ui.app import ReplayClock
from tuimon.ui.frame.replay_bar import ReplayBar, replay_marks
from tuimon.ui.viewer.key import SCREEN_NAMES
from ui.facts import alert, training
from ui.sizes import NARROW, WIDE
from ui.watching import part, press, until, watching


def facts(seconds: int = 100) -> list[events.AnyEvent]:
    """Return the facts of a run of so many seconds, with a request at 20 s, a spike at 50 s and a warning at 80 s."""
    listed: list[events.AnyEvent] = training("bn_1")
    for event in listed:
        event.time = 1000.0
    for second in range(1, seconds + 1):
        one = events.Batches(first_step=2 + second, metrics={"loss": [1.0 / second]}, batches=1, step=3 + second)
        more: list[events.AnyEvent] = [one]
        if second == 20:
            more.append(
                events.CommandApplied(
                    id="x", request=commands.as_fields(commands.Freeze()), sender=SENDER, first_step=22, frozen=["bn_1"]
                )
            )
        if second in (50, 80):
            more.append(alert("R11" if second == 50 else "R2", step=second))
        for event in more:
            event.time = 1000.0 + second
        listed += more
    return listed


def test_the_marks_are_those_of_fits_requests_alerts_and_spikes() -> None:
    marks = [(mark.time - 1000, mark.sign) for mark in replay_marks(fold(numbered(facts())))]
    assert marks == [(0, "│"), (20, "┊"), (50, "^"), (80, "▲")]


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
async def test_arrows_move_along_the_log_and_both_ways_give_the_same(runs: Path, size: tuple[int, int]) -> None:
    clock = ReplayClock(speed=1 / 64)
    log = facts()
    async with watching(make_run(runs, log), size, replay=clock, readonly=True) as (app, pilot):
        await until(pilot, lambda: clock.position.total_seconds == 100)
        await press(pilot, "space")
        await press(pilot, *["right"] * 10, "shift+right", "ctrl+right")
        await until(pilot, lambda: math.isclose(clock.position.elapsed_seconds, 35, abs_tol=1.0))
        assert "bn_1" in app.viewer.state.frozen
        at = clock.time
        await press(pilot, "shift+left", "shift+left", "shift+left", "shift+left")
        await until(pilot, lambda: clock.time == pytest.approx(at - 20))
        seen = [event for event in log if event.time <= clock.time]
        assert app.viewer.state.step == fold(seen).step
        assert not app.viewer.state.frozen
        await press(pilot, "home")
        await until(pilot, lambda: clock.position.elapsed_seconds == 0)
        await press(pilot, "left", "ctrl+left")
        await until(pilot, lambda: clock.position.elapsed_seconds == 0)
        await press(pilot, "ctrl+right", "end")
        await until(pilot, lambda: clock.position.elapsed_seconds == 100)
        assert not clock.playing


@pytest.mark.parametrize(("seconds", "step"), [(4, 0.1), (90, 1.0), (150, 2.0), (3600, 60.0), (86_400, 900.0)])
def test_a_step_suits_the_length(seconds: int, step: float) -> None:
    clock = ReplayClock()
    clock.load([events.Note(text="first", time=1000.0), events.Note(text="last", time=1000.0 + seconds)])
    assert clock.step_seconds == step


async def test_many_steps_at_once_fold_the_log_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ReplayClock(speed=1 / 64)
    async with watching(make_run(runs, facts()), replay=clock, readonly=True) as (app, pilot):
        await until(pilot, lambda: clock.position.total_seconds == 100)
        await press(pilot, "end")
        await until(pilot, lambda: clock.position.elapsed_seconds == 100)
        starts: list[float] = []
        to_start = clock.to_start
        monkeypatch.setattr(clock, "to_start", lambda: (starts.append(clock.time), to_start()))
        for _ in range(20):
            await app.run_action("replay('back')")
        await until(pilot, lambda: clock.position.elapsed_seconds == 80)
        assert len(starts) == 1


async def test_a_replay_that_plays_goes_on_after_a_step(runs: Path) -> None:
    clock = ReplayClock(speed=1 / 64)
    async with watching(make_run(runs, facts()), replay=clock, readonly=True) as (_, pilot):
        await until(pilot, lambda: clock.position.total_seconds == 100)
        await press(pilot, "ctrl+right")
        await until(pilot, lambda: clock.position.elapsed_seconds >= 20)
        assert clock.playing
        await press(pilot, "space", "right")
        await until(pilot, lambda: clock.position.elapsed_seconds >= 21)
        assert not clock.playing


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
async def test_a_click_on_a_mark_goes_to_it(runs: Path, size: tuple[int, int]) -> None:
    clock = ReplayClock(speed=1 / 64)
    async with watching(make_run(runs, facts()), size, replay=clock, readonly=True) as (app, pilot):
        await until(pilot, lambda: "▲" in part(app, "ReplayBar") and clock.position.total_seconds == 100)
        await press(pilot, "space")
        for sign, second in (("^", 50), ("┊", 20), ("▲", 80)):
            await pilot.click(ReplayBar, offset=(part(app, "ReplayBar").index(sign), 0))
            await until(pilot, lambda second=second: clock.position.elapsed_seconds == second, sign)
        line = part(app, "ReplayBar")
        await pilot.click(ReplayBar, offset=(len(line.rstrip()) - 6, 0))
        await until(pilot, lambda: clock.position.elapsed_seconds > 97)
        await pilot._post_mouse_events([MouseScrollUp], ReplayBar)
        await until(pilot, lambda: 95 < clock.position.elapsed_seconds <= 99)
        await pilot._post_mouse_events([MouseScrollDown], ReplayBar)
        first = line.index("━")
        await pilot.mouse_down(ReplayBar, offset=(first, 0))
        await until(pilot, lambda: clock.position.elapsed_seconds < 4)
        third = first + (len(line.rstrip()) - first) // 3
        await pilot._post_mouse_events([MouseMove], ReplayBar, offset=(third, 0), button=1)
        await until(pilot, lambda: 20 < clock.position.elapsed_seconds < 45)
        await pilot.mouse_up(ReplayBar, offset=(first + 5, 0))


async def test_every_screen_of_a_replay_has_the_bar_and_no_live_screen_has_it(runs: Path) -> None:
    run = make_run(runs, facts())
    async with watching(run, NARROW, replay=ReplayClock(speed=1 / 64), readonly=True) as (app, pilot):
        for name in SCREEN_NAMES:
            await app.run_action(f"open('{name}')")
            await until(
                pilot, lambda name=name: app.base_screen.screen_name == name and "1:40" in part(app, "ReplayBar")
            )
            bar = app.base_screen.query_one("ReplayBar").region
            assert (bar.height, bar.bottom) == (1, NARROW[1] - 1)
        await pilot.resize_terminal(40, 10)
        await until(pilot, lambda: not app.base_screen.query_one("ReplayBar").display)
    async with watching(run, NARROW) as (app, _):
        assert not app.base_screen.query_one("ReplayBar").display
