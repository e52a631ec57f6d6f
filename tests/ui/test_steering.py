"""From a key to a request, and from facts back to the screen."""

from pathlib import Path

import pytest

from helpers import a_run, make_run
from tuimon import commands, events
from tuimon.ui.chooser import Chooser
from ui.watching import CAN, LiveRun, part, text, training, until, watching

ODD = "block[0]/bn*?"


async def test_f_asks_for_the_layer_under_the_cursor_and_facts_make_it_so(runs: Path) -> None:
    with LiveRun(runs, *training("encoder/bn_1", ODD)) as run:
        async with watching(run.directory) as (app, pilot):
            assert "frozen 0/2" in part(app, "Header")
            await pilot.press("down", "f")
            await until(pilot, lambda: "frozen, asked" in part(app, "LayerTable"), "asked")
            assert "freeze block[0]/bn*?: asked" in part(app, "Timeline")
            assert "frozen 0/2" in part(app, "Header")
            [request] = run.requests()
            assert isinstance(request, commands.Freeze)
            assert request.layers == ["block[[]0]/bn[*][?]"]
            assert request.attempt == 0
            run.apply(request, step=3, frozen=[ODD])
            await until(pilot, lambda: "frozen 1/2" in part(app, "Header"), "the fact")
            assert "asked" not in part(app, "LayerTable")
            assert "verified: moving statistics unchanged" in part(app, "Timeline")
            assert "▲ freeze bn" in part(app, "#loss")
            assert "f unfreeze" in part(app, "KeyBar")
            await pilot.press("f")
            await until(pilot, lambda: len(run.requests()) == 2)
            assert isinstance(run.requests()[1], commands.Unfreeze)
            assert "training, asked" in part(app, "LayerTable")


async def test_f_twice_takes_back_what_was_asked(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("f", "f")
            await until(pilot, lambda: len(run.requests()) == 2)
            assert [type(request).__name__ for request in run.requests()] == ["Freeze", "Unfreeze"]
            assert "asked" not in part(app, "LayerTable")


async def test_capital_f_asks_for_all(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(run.directory, (80, 24)) as (app, pilot):
            await pilot.press("F")
            [request] = run.requests()
            assert isinstance(request, commands.Freeze)
            assert request.layers == []
            await until(pilot, lambda: part(app, "LayerTable").count("frozen, asked") == 2)
            run.apply(request, step=3, frozen=["bn_1", "bn_2"])
            await until(pilot, lambda: "unfreeze all" in part(app, "KeyBar"))
            await pilot.press("F")
            assert isinstance(run.requests()[1], commands.Unfreeze)


async def test_a_rejected_request_says_why(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("F")
            [request] = run.requests()
            sender = events.Sender(uid=1, user="me", host="here", pid=1)
            run.write(
                events.CommandRejected(
                    id=request.id, request=commands.as_fields(request), sender=sender, reason="not between these steps"
                )
            )
            await until(pilot, lambda: "rejected: not between these steps" in part(app, "Timeline"))
            assert "asked by me" in part(app, "Timeline")
            assert "frozen, asked" not in part(app, "LayerTable")
            assert "▲" not in part(app, "#loss")


@pytest.mark.parametrize(("keys", "phase"), [(("i",), "inference"), (("t",), "train"), (("down", "enter"), "train")])
async def test_p_lets_choose_the_learning_phase(runs: Path, keys: tuple[str, ...], phase: str) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("p", *keys)
            await until(pilot, lambda: f"phase {phase}, asked" in part(app, "Header"))
            [request] = run.requests()
            assert isinstance(request, commands.Phase)
            assert request.phase == phase
            run.apply(request, step=3, frozen=[], phase=phase)
            await until(pilot, lambda: "asked" not in part(app, "Header"))
            assert f"phase {phase}" in part(app, "Header")


async def test_escape_asks_for_nothing(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("p")
            assert isinstance(app.screen, Chooser)
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is app.dashboard)
            assert run.requests() == []


async def test_what_a_fit_does_not_take_is_said_and_not_asked(runs: Path) -> None:
    can = {**CAN, "freeze": "the step is compiled by the user's own train_step"}
    with LiveRun(runs, *training("bn_1", can=can)) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("f")
            await until(pilot, lambda: "does not take freeze: the step is compiled" in part(app, "Banner"))
            assert run.requests() == []


async def test_a_request_that_cannot_be_written_is_said(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        run.directory.commands.rmdir()
        run.directory.commands.write_text("in the way")
        async with watching(run.directory) as (app, pilot):
            await pilot.press("f")
            await until(pilot, lambda: "The request cannot be written" in part(app, "Banner"))
            assert "asked" not in part(app, "LayerTable")


async def test_readonly_asks_for_nothing(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, readonly=True) as (app, pilot):
            assert "read-only" in part(app, "KeyBar")
            assert "freeze" not in part(app, "KeyBar")
            await pilot.press("f", "F", "p")
            await until(pilot, lambda: "Nothing was asked: read-only." in part(app, "Banner"))
            assert app.screen is app.dashboard
            assert run.requests() == []
            await pilot.press("q")
            await until(pilot, lambda: not app.is_running)
        assert app.return_value is None


@pytest.mark.parametrize(("key", "choice", "asked"), [("l", "leave", []), ("s", "stop", ["Stop"])])
async def test_q_asks_how_to_leave_a_run_that_goes_on(runs: Path, key: str, choice: str, asked: list[str]) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("q")
            assert isinstance(app.screen, Chooser)
            await pilot.press(key)
            await until(pilot, lambda: not app.is_running)
        assert app.return_value == choice
        assert [type(request).__name__ for request in run.requests()] == asked


@pytest.mark.parametrize("key", ["c", "escape", "ctrl+c"])
async def test_leaving_can_be_cancelled(runs: Path, key: str) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, (80, 24)) as (app, pilot):
            await pilot.press("q", key)
            await until(pilot, lambda: app.screen is app.dashboard)
            assert app.is_running
            assert run.requests() == []


async def test_a_run_that_is_over_is_left_at_once(runs: Path) -> None:
    async with watching(make_run(runs, a_run())) as (app, pilot):
        assert "Finished after" in text(app)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)
    assert app.return_value is None
