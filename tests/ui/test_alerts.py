"""Alerts as they come: where the eye goes, in the timeline, and why."""

import re
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from helpers import SENDER, fold, make_run
from tuimon.protocol import commands, events
from tuimon.ui.app import WatchApp
from tuimon.ui.dialogs.why_screen import WhyScreen
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.viewer.alerts import helping_key, pressing_alert
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.replay_clock import ReplayClock
from ui.facts import CAN, alert, training
from ui.sizes import NARROW, WIDE
from ui.watching import LiveRun, cells, part, press, text, until, watching


def applied(request: commands.AnyRequest, **mode: Any) -> events.CommandApplied:
    fields = commands.as_fields(request)
    return events.CommandApplied(id="x", request=fields, sender=SENDER, first_step=4, step=4, **mode)


def moment(*facts: events.AnyEvent, **fields: Any) -> Moment:
    state = fold([*training("bn_1", "bn_2"), *facts])
    return Moment(**{"state": state, "status": "training", "now": 0.0, "run_path": Path("run"), **fields})


def why(app: WatchApp) -> str:
    """Return what the screen that says why shows, its frame included."""
    assert isinstance(app.screen, WhyScreen)
    page = app.screen.query_one("#why")
    return f"{page.border_title}\n{page.query_one(Static).render()}\n{page.border_subtitle}"


def meanings(app: WatchApp, kind: str, words: str) -> set[int]:
    """Return the colours of the line of a panel that has ``words``."""
    view = app.dashboard.query_one(kind, CellView)
    row = next(index for index, line in enumerate(view.text().splitlines()) if words in line)
    start = view.text().splitlines()[row].index(words)
    return set(cells(view).codes[row, start : start + len(words)].tolist())


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_an_alert_is_where_the_eye_goes_with_the_key_that_helps(runs: Path, size: tuple[int, int]) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(run.directory, size) as (app, pilot):
            assert "enter" not in part(app, "KeyBar")
            run.write(alert("R10", "info"), alert())
            await until(pilot, lambda: "▲ R2 batch statistics" in part(app, "Banner"))
            assert "F freezes all" in part(app, "Banner")
            assert "w why" in part(app, "Banner")
            assert meanings(app, "Banner", "▲ R2 batch") == {Meaning.WARNING}
            assert meanings(app, "Timeline", "▲ R2 batch") == {Meaning.WARNING}
            assert meanings(app, "Timeline", "• R10 batch") == {Meaning.TEXT}
            run.write(alert("R12", "error", what="the loss is NaN"))
            await until(pilot, lambda: "✗ R12 the loss is NaN" in part(app, "Banner"))
            assert meanings(app, "Timeline", "✗ R12") == {Meaning.ERROR}


async def test_an_alert_that_comes_again_is_one_line_with_a_count_and_all_are_on_their_screen(runs: Path) -> None:
    repeats = [alert("R1", what=f"the mean drifts by {step}", step=step) for step in (1200, 3400, 5600)]
    other = alert("R1", what="another layer", layer="bn_2", step=4000)
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            run.write(repeats[0], other)
            await until(pilot, lambda: "R1 the mean drifts by 1200" in part(app, "Timeline"))
            assert "times" not in part(app, "Timeline")
            run.write(*repeats[1:])
            await until(pilot, lambda: "▲ R1 (3 times since step 1,200) the mean" in part(app, "Timeline"))
            assert "R1 another layer" in part(app, "Timeline")
            assert part(app, "Timeline").count("R1 ") == 2
            await press(pilot, "4")
            await until(pilot, lambda: text(app).count("R1 the mean drifts by") >= len(repeats))
            assert "times since" not in text(app)


def test_an_alert_that_was_answered_presses_no_more() -> None:
    older, newer = alert("R1", request="recalibrate"), alert()
    assert pressing_alert(moment(older, newer)) is newer
    assert pressing_alert(moment(older, newer, applied(commands.Freeze(layers=["bn_1"])))) is older
    # What was asked before it came is no answer.
    assert pressing_alert(moment(applied(commands.Freeze()), newer)) is newer
    assert pressing_alert(moment(alert("R10", "info"))) is None
    assert pressing_alert(moment(newer, events.RolledBack(checkpoint="a", to_step=1, to_epoch=0, step=5))) is None
    assert pressing_alert(moment(newer, *training("bn_1")[2:3])) is None
    assert pressing_alert(moment(alert(request=""), applied(commands.Freeze()))) is not None


async def test_an_alert_that_was_read_leaves_the_line_at_the_top(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            run.write(alert("R1", request="recalibrate"), alert())
            await until(pilot, lambda: "▲ R2" in part(app, "Banner"))
            await press(pilot, "enter", "escape")
            await until(pilot, lambda: "▲ R1" in part(app, "Banner"))
            await press(pilot, "enter", "escape")
            await until(pilot, lambda: "▲" not in part(app, "Banner"))
            # It can be read again, and what comes later is said.
            await press(pilot, "enter")
            await until(pilot, lambda: "R2" in text(app) and "why" in text(app))
            await press(pilot, "escape")
            run.write(alert("R12", "error", what="the loss is NaN"))
            await until(pilot, lambda: "✗ R12 the loss is NaN" in part(app, "Banner"))


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        ("freeze", "F"),
        ("freeze --statistics", "H"),
        ("freeze --layer bn_1", "f"),
        ("freeze --layer bn_1 --statistics", "h"),
        ("momentum 0.9", "M"),
        ("momentum 0.9 --layer bn_1", "m"),
        ("recalibrate --batches 100", "r"),
        ("lr 1e-4", "l"),
        ("phase inference", "p"),
        ("pause", "space"),
        ("probe", "g"),
        ("checkpoint", "c"),
        ("freeze --weights --layer dense", None),
        ("unfreeze", None),
        ("rollback", None),
        ("note 'it is", None),
        ("something new", None),
        ("", None),
    ],
)
def test_the_key_is_the_one_that_asks_for_what_is_advised(request_: str, key: str | None) -> None:
    found = helping_key(alert(request=request_, layer="bn_1"), moment())
    assert (found and found.key) == key


def test_no_key_is_named_that_would_do_something_else() -> None:
    frozen = applied(commands.Freeze(), frozen=["bn_1", "bn_2"])
    one = applied(commands.Freeze(), frozen=["bn_1"])
    of_layer = alert(request="freeze --layer bn_1", layer="bn_1")
    assert helping_key(alert(), moment(frozen)) is None
    assert helping_key(alert(), moment(one)) is not None
    assert helping_key(of_layer, moment(one)) is None
    assert helping_key(alert(request="unfreeze"), moment(frozen)) is not None
    assert helping_key(alert(request="unfreeze"), moment(one)) is None
    assert helping_key(alert(), moment(refusal="read-only")) is None
    assert helping_key(alert(request="freeze --layer gone", layer="gone"), moment()) is None
    cannot = training("bn_1", can={**CAN, "freeze": "no"})[2:3]
    assert helping_key(alert(), moment(*cannot)) is None


async def test_enter_says_why(runs: Path) -> None:
    with LiveRun(runs, *training("encoder/bn_1"), alert(layer="encoder/bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "w why" in part(app, "KeyBar"))
            await pilot.press("enter")
            page = why(app)
            assert "why: alert 1 of 1" in page
            assert "▲ warning  R2   step 3   epoch 4" in page
            assert "Batch statistics of one sample make 99.6 % of the gap.\n" in page
            assert "encoder/bn_1" in page
            lines = [line for line in page.splitlines() if line.startswith(("  gap ", "  share ", "  examples "))]
            assert [line.split()[1] for line in lines] == ["1", "5.817", "0.9960"]
            assert len({(line + ".").index(".") for line in lines}) == 1
            assert re.search(r"\n  loss +nan\n", page)
            assert re.search(r"\n  unknown +–\n", page)
            assert "Freeze BatchNormalization." in page
            assert "F freezes all, as does  tuimon send RUN freeze" in page
            assert "This run is over" not in page
            await pilot.press("enter")
            assert app.screen is app.dashboard
            await pilot.press("enter", "escape")
            assert app.screen is app.dashboard


async def test_arrows_go_to_older_and_newer_alerts(runs: Path) -> None:
    alerts = [alert(f"R{number}", "info" if number == 3 else "warning") for number in (1, 2, 3)]
    with LiveRun(runs, *training("bn_1"), *alerts) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await until(pilot, lambda: "R2" in part(app, "Banner"))
            await pilot.press("enter")
            # The one that the first line shows, not the newest remark.
            assert "alert 2 of 3" in why(app)
            assert "← older  → newer  esc closes" in why(app)
            await press(pilot, "right", "right")
            assert "alert 3 of 3" in why(app)
            assert "→" not in why(app)
            assert "• info  R3" in why(app)
            await press(pilot, "left", "left", "left")
            assert "alert 1 of 3" in why(app)
            assert "←" not in why(app)
            await pilot.press("down", "up", "q")
            assert app.screen is app.dashboard


async def test_enter_without_an_alert_says_so(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("enter")
            await until(pilot, lambda: "There is no alert." in part(app, "Banner"))
            assert app.screen is app.dashboard


async def test_the_key_works_where_the_reason_is_read(runs: Path) -> None:
    asked = alert(request="freeze --layer bn_2", layer="bn_2")
    with LiveRun(runs, *training("bn_1", "bn_2", "bn_3"), asked, alert()) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "R2" in part(app, "Banner"))
            await pilot.press("enter", "F")
            await until(pilot, lambda: len(run.requests()) == 1)
            assert app.screen is app.dashboard
            run.apply(run.requests()[0], step=4, frozen=[])
            await until(pilot, lambda: "freeze all: applied" in part(app, "Timeline"))
            # The key of a layer means that of the alert, wherever the cursor is.
            await pilot.press("enter", "left")
            assert "f freezes it, as does  tuimon send RUN freeze --layer bn_2" in why(app)
            await pilot.press("f")
            await until(pilot, lambda: len(run.requests()) == 2)
            request = run.requests()[1]
            assert isinstance(request, commands.Freeze)
            assert request.layers == ["bn_2"]
            assert app.dashboard.selected_layer == "bn_2"


async def test_a_key_does_not_undo_what_somebody_did_while_the_reason_was_read(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), alert()) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "R2" in part(app, "Banner"))
            await pilot.press("enter")
            run.write(applied(commands.Freeze(), frozen=["bn_1"]))
            await until(pilot, lambda: app.viewer.state.frozen)
            await pilot.press("F")
            await until(pilot, lambda: "is so already" in part(app, "Banner"))
            assert run.requests() == []


async def test_a_run_that_is_over_keeps_its_alerts(runs: Path) -> None:
    facts = [*training("bn_1"), alert(), alert("R10", "info"), events.RunEnded(status="finished", step=3)]
    async with watching(make_run(runs, facts)) as (app, pilot):
        await until(pilot, lambda: "▲ R2" in part(app, "Banner"))
        await pilot.press("enter")
        assert "tuimon send RUN freeze" in why(app)
        assert "This run is over: the request is for one that trains." in why(app)
        assert "F freezes" not in why(app)
        await pilot.press("escape")
        await until(pilot, lambda: "w 2 alerts" in part(app, "Banner"))
        assert "Finished after" in part(app, "Banner")


async def test_a_replay_shows_alerts_and_asks_for_nothing(runs: Path) -> None:
    run = make_run(runs, [*training("bn_1"), alert(), events.Note(text="the end", step=3)])
    async with watching(run, replay=ReplayClock(speed=1 / 64), readonly=True) as (app, pilot):
        await pilot.press("end")
        await until(pilot, lambda: "▲ R2" in part(app, "Banner"))
        assert "freezes" not in part(app, "Banner")
        await pilot.press("enter", "F")
        assert "F freezes" not in why(app)
        assert list(run.commands.iterdir()) == []


HOSTILE = "[red]\x1b[31mx[/red]\x07\u202e\x9b2J[@click=app.bell]y[/]\nz"


async def test_an_alert_is_shown_and_not_obeyed(runs: Path) -> None:
    hostile = alert(
        HOSTILE,
        HOSTILE,
        what=HOSTILE,
        advice=HOSTILE * 40,
        layer=HOSTILE,
        request=HOSTILE,
        evidence={HOSTILE: HOSTILE, **{f"{HOSTILE}{number}": float(number) for number in range(100)}},
    )
    error = alert(HOSTILE, "error", what=HOSTILE, layer=HOSTILE, request=HOSTILE)
    with LiveRun(runs, *training("bn_1"), hostile, error) as run:
        for size in (WIDE, NARROW, (30, 10)):
            async with watching(run.directory, size) as (app, pilot):
                await until(pilot, lambda app=app: "[red]x" in part(app, "Banner") or app.size.width < 40)
                await pilot.press("enter", "left")
                page = why(app)
                assert "[red]x[/red]" in page
                shown = page + part(app, "Banner") + part(app, "Timeline") + app.export_screenshot()
                assert not set("\x1b\x07\u202e\x9b") & set(shown)
                await pilot.resize_terminal(60, 20)
                await pilot.press("down", "escape")
