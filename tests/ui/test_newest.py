"""Which run a viewer shows: the newest one, until somebody says otherwise."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from helpers import a_run, fold, make_run, numbered, started
from tuimon.protocol import commands, events
from tuimon.runs.beginnings import Beginnings, Begun
from tuimon.runs.live_runs import live_runs, newest
from tuimon.runs.run_directory import RunDirectory
from tuimon.ui import shown_run
from tuimon.ui.app import WatchApp
from tuimon.ui.dialogs.help_screen import HelpScreen
from tuimon.ui.run_picker import PickerScreen, RunPicker
from tuimon.ui.viewer import other_run
from tuimon.ui.viewer.moment import READING
from tuimon.ui.viewer.other_run import OtherRun
from ui.facts import alert, training
from ui.terminals import terminal
from ui.watching import LiveRun, part, press, text, until, watching


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown_run, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(shown_run, "SHOW_SECONDS", 0.02)
    monkeypatch.setattr(other_run, "QUIET_SECONDS", 0.05)


@asynccontextmanager
async def following_from(
    run: RunDirectory, *, follows: bool = True, **options: Any
) -> AsyncIterator[tuple[WatchApp, "Pilot[str]"]]:
    app = WatchApp(run, **options)
    app.shown.tell_of(Beginnings(run.path.parent), follows=follows)
    async with watching(run, app=app) as (app, pilot):
        yield app, pilot


async def test_a_run_that_begins_takes_the_place_of_one_that_is_over_and_a_key_goes_back(runs: Path) -> None:
    old = make_run(runs, a_run(), "old")
    async with following_from(old) as (app, pilot):
        assert "✓ finished" in part(app, "Header")
        with LiveRun(runs, *training("bn_1"), name="new") as new, LiveRun(runs, name="newer") as newer:
            await until(pilot, lambda: "● training" in part(app, "Header"), "the new run is shown")
            assert app.viewer.run == new.directory
            assert "This run has just begun.   O goes back to old" in part(app, "Banner")
            await press(pilot, "F")
            await until(pilot, lambda: new.requests(), "the new run is the one that is asked")
            await until(pilot, lambda: not app.viewer.has_just_changed)
            await press(pilot, "O")
            await until(pilot, lambda: "✓ finished" in part(app, "Header"), "the old run is shown again")
            # Who went back stays, whatever begins, and is told of it.
            newer.write(*training("bn_1"))
            await until(pilot, lambda: "Another run has begun: newer" in part(app, "Banner"))
            assert app.viewer.run == old
            await press(pilot, "O")
            await until(pilot, lambda: "● training" in part(app, "Header"), "the newer run is shown")
            assert app.viewer.run == newer.directory
            assert [type(request) for request in newer.requests() + new.requests()] == [commands.Freeze]


async def test_nothing_changes_under_the_hands_of_the_user(runs: Path) -> None:
    old = make_run(runs, a_run(), "old")
    async with following_from(old) as (app, pilot):
        await press(pilot, "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        with LiveRun(runs, *training("bn_1")) as new:
            viewer = app.viewer
            await until(pilot, lambda: viewer.others.is_due(viewer.state, viewer.moment().status, 60.0))
            for _ in range(20):
                await pilot.pause(0.01)
            assert app.viewer.run == old
            await press(pilot, "escape", "5")
            await until(pilot, lambda: app.viewer.run == new.directory)
            await until(pilot, lambda: app.base_screen.screen_name == "log", "the screen stays")
            await until(pilot, lambda: str(new.directory.path) in text(app), "its files are those of the new run")


@pytest.mark.parametrize("is_live", [True, False])
async def test_a_run_that_was_named_or_goes_on_stays_and_the_other_one_is_told(runs: Path, is_live: bool) -> None:
    facts = training("bn_1") if is_live else [*training("bn_1"), events.RunEnded(status="finished", step=3)]
    with LiveRun(runs, *facts, name="shown") as shown:
        async with following_from(shown.directory, follows=is_live) as (app, pilot):
            with LiveRun(runs, *training("bn_1"), name="other") as other:
                await until(pilot, lambda: "Another run has begun: other" in part(app, "Banner"))
                # It began beside the one that is shown, so the end of this one changes nothing.
                if is_live:
                    shown.write(events.RunEnded(status="finished", step=3))
                    await until(pilot, lambda: "✓ finished" in part(app, "Header"))
                for _ in range(20):
                    await pilot.pause(0.01)
                assert app.viewer.run == shown.directory
                await until(pilot, lambda: "O opens it" in part(app, "Banner") or "O" in part(app, "KeyBar"))
                await press(pilot, "O")
                await until(pilot, lambda: app.viewer.run == other.directory)
                await until(pilot, lambda: "● training" in part(app, "Header"))


def test_when_another_run_is_due(runs: Path) -> None:
    shown, new = RunDirectory.at(runs / "shown"), RunDirectory.at(runs / "new")
    over = fold(numbered(a_run()))
    assert over.last_time is not None
    others = OtherRun(shown)
    others.follows = True
    assert not others.begins(Begun(shown, over.last_time + 1.0)), "a further fit of the run that is shown"
    assert not others.is_due(over, "finished", 60.0)
    others.begins(Begun(new, over.last_time - 1.0))
    assert not others.is_due(over, "finished", 60.0), "it began before the end of the one that is shown"
    others.begins(Begun(new, over.last_time + 1.0))
    assert others.is_due(over, "finished", 60.0)
    assert others.is_due(over, "crashed", 60.0)
    assert not others.is_due(over, "finished", 0.0), "a key was pressed just now"
    for status in ("training", "paused", "silent", "starting", READING):
        assert not others.is_due(over, status, 60.0), status
    others.follows = False
    assert not others.is_due(over, "finished", 60.0)


def test_a_beginning_is_noticed_once_whether_new_or_gone_on_with(runs: Path) -> None:
    nowhere = Beginnings(runs / "not yet")
    assert nowhere.look() == []
    old = make_run(runs / "not yet", a_run(), "old")
    os.utime(old.session_log)
    assert [begun.run for begun in nowhere.look()] == [old]
    assert nowhere.look() == []
    beginnings = Beginnings(runs / "not yet")
    with LiveRun(runs / "not yet") as new:
        assert beginnings.look() == [], "nothing is in its log yet"
        new.write(*training("bn_1"))
        assert [begun.run for begun in beginnings.look()] == [new.directory]
        new.write(events.Heartbeat())
        with old.session_log.open("ab") as log:
            log.write(old.session_log.read_bytes().splitlines(keepends=True)[0])
        assert [begun.run for begun in beginnings.look()] == [old]
    assert beginnings.look() == []


# Until the log is read


def long_log() -> list[events.AnyEvent]:
    losses: dict[str, list[float | str | None]] = {"loss": [0.25] * 200}
    firsts = range(3, 80_003, 200)
    batches = [events.Batches(first_step=first, metrics=losses, batches=200, step=first + 200) for first in firsts]
    return [*training("bn_1"), *batches]


@pytest.mark.parametrize("status", ["finished", "crashed"])
async def test_a_run_that_is_over_never_seems_to_train(
    runs: Path, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, redraw = list[str](), WatchApp.redraw

    def noting(app: WatchApp) -> None:
        redraw(app)
        seen.append(part(app, "Header"))

    monkeypatch.setattr(WatchApp, "redraw", noting)
    ending = [events.RunEnded(status="finished", step=80_003)] if status == "finished" else []
    run = make_run(runs, [*long_log(), *ending])
    async with watching(run) as (app, pilot):
        await until(pilot, lambda: status in part(app, "Header"))
    words = {"training", "starting", "steps/s", "left", "silent"}
    assert not [shown for shown in seen if any(word in shown for word in words)], seen


# Several live runs


@pytest.mark.parametrize("size", [(80, 24), (40, 10)])
async def test_the_picker_lists_live_runs_the_newest_first(runs: Path, size: tuple[int, int]) -> None:
    make_run(runs, a_run(), "over")
    names = ("first", "a second one with a name that is much longer than the terminal is wide: 40 columns")
    with LiveRun(runs, *training("bn_1"), name=names[0]) as first, LiveRun(runs, *training("bn_1"), name=names[1]):
        picker = RunPicker(runs)
        async with picker.run_test(size=size) as pilot:
            screen = picker.screen
            assert isinstance(screen, PickerScreen)
            lines = [strip.text for strip in screen._compositor.render_strips()]
            shown = [line for line in lines if line.strip("│╭╰─╮╯ ")]
            assert "which one?" in shown[0]
            assert "● training" in shown[1]
            assert "epoch 3/1,000" in shown[1] or "epoch 4/1,000" in shown[1]
            assert "a second one" in shown[2]
            assert "first" in shown[4]
            assert "over" not in "".join(shown[1:5])
            with LiveRun(runs, *training("bn_1"), name="third"):
                first.write(events.RunEnded(status="finished"))
                screen.look()
                await pilot.pause()
                lines = [strip.text for strip in screen._compositor.render_strips()]
                assert "third" in "".join(lines[1:4]), "a run that begins is added above"
                # The cursor has stayed on its run.
                await pilot.press("down", "enter")
        assert picker.chosen == first.directory


async def test_leaving_the_picker_opens_nothing(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")):
        picker = RunPicker(runs)
        async with picker.run_test() as pilot:
            await pilot.press("q")
        assert picker.chosen is None


def test_the_newest_run_is_a_live_one_first(runs: Path) -> None:
    over = make_run(runs, a_run(), "over")
    with LiveRun(runs, *training("bn_1"), name="b") as first, LiveRun(runs, *training("bn_1"), name="a") as second:
        first.write(events.Heartbeat())
        os.utime(over.session_log)
        assert [glance.run for glance in live_runs(runs)] == [second.directory, first.directory]
        assert newest(runs) == (second.directory, "training")
        second.write(events.RunEnded(status="finished"))
        assert newest(runs) == (first.directory, "training")
        first.die()
        assert live_runs(runs) == [], "it has crashed"
    silent = make_run(runs, [started(boot_id="of another machine"), *training()[1:]], "silent")
    os.utime(silent.session_log, (2000, 2000))
    assert live_runs(runs) == []


def test_watch_waits_for_the_first_run_and_lets_choose_among_several(runs: Path) -> None:
    runs.rmdir()
    with terminal(None) as there:
        there.read_until(lambda: "waiting for one to begin" in there.shown.replace("\n", ""))
        with LiveRun(runs, *training("bn_1"), name="one") as one:
            there.read_until(lambda: "● training" in there.shown)
            with LiveRun(runs, *training("bn_1"), name="two"), terminal(None) as other:
                other.read_until(lambda: "which one?" in other.shown and "two" in other.shown)
                os.write(other.ours, b"j\r")
                other.read_until(lambda: "freeze" in other.shown and "which one?" not in other.shown)
                os.write(other.ours, b"F")
                other.read_until(lambda: bool(one.requests()))


def test_a_directory_that_is_renamed_is_no_run_that_begins(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), name="old") as live:
        beginnings = Beginnings(runs)
        live.directory.path.rename(runs / "renamed")
        assert beginnings.look() == []
        with LiveRun(runs, *training("bn_1"), name="new") as new:
            assert [begun.run for begun in beginnings.look()] == [new.directory]


async def test_an_alert_wins_the_row_over_the_remark_that_a_run_has_begun(runs: Path) -> None:
    old = make_run(runs, a_run(), "old")
    async with following_from(old) as (app, pilot):
        with LiveRun(runs, *training("bn_1"), name="new") as new:
            await until(pilot, lambda: "This run has just begun." in part(app, "Banner"))
            new.write(alert("R2"))
            await until(pilot, lambda: "R2" in part(app, "Banner"))
            new.write(alert("R12", "error"), alert("R4"))
            await until(pilot, lambda: "R12" in part(app, "Banner"), "an error, though a warning came later")


async def test_no_message_promises_a_key_that_does_something_else_on_the_screen_that_is_shown(runs: Path) -> None:
    old = make_run(runs, a_run(), "old")
    async with following_from(old) as (app, pilot):
        with LiveRun(runs, *training("bn_1"), name="new") as new:
            await until(pilot, lambda: "O goes back to old" in part(app, "Banner"))
            assert "O run before" in part(app, "KeyBar")
            await press(pilot, "8")
            await until(pilot, lambda: "This run has just begun." in part(app, "Banner"))
            assert "O " not in part(app, "Banner")
            new.write(events.StateChanged(state="paused"))
            await until(pilot, lambda: "Paused" in part(app, "Banner"))
            assert "space" not in part(app, "Banner"), "there it picks a run"
            await press(pilot, "1")
            await until(pilot, lambda: "space goes on" in part(app, "Banner"))


async def test_the_key_for_a_new_run_does_not_go_back_where_that_run_was_opened_meanwhile(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = make_run(runs, a_run(), "old")
    async with following_from(old) as (app, pilot):
        with LiveRun(runs, *training("bn_1"), name="new") as new:
            await until(pilot, lambda: app.viewer.run == new.directory)
            monkeypatch.setattr(other_run, "QUIET_SECONDS", 1000.0)
            await press(pilot, "O")
            await until(pilot, lambda: "it was opened by itself" in part(app, "Banner"))
            assert app.viewer.run == new.directory
            monkeypatch.setattr(other_run, "QUIET_SECONDS", 0.0)
            await press(pilot, "O")
            await until(pilot, lambda: app.viewer.run == old)
            await until(pilot, lambda: "O newer run" in part(app, "KeyBar"))
