"""From a key to a request, and from facts back to the screen."""

from pathlib import Path

import pytest
from textual.widgets import Static

from helpers import a_run, make_run
from tuimon.protocol import commands, events
from tuimon.ui.app import WatchApp
from tuimon.ui.dialogs.questions import ChoiceDialog
from tuimon.ui.dialogs.text_entry import TextDialog
from tuimon.ui.frame.key_bar import KeyBar
from tuimon.ui.viewer.key import Key
from tuimon.ui.viewer.keys import KEYS
from tuimon.ui.viewer.meanings import Meaning
from ui.facts import CAN, alert, training
from ui.sizes import NARROW
from ui.watching import LiveRun, cells, help_page, part, press, text, until, watching

ODD = "block[0]/bn*?"


def row(app: WatchApp, name: str) -> str:
    """Return the line of one layer in the table."""
    return next(line for line in part(app, "LayerTable").splitlines() if name in line)


def dialog(app: WatchApp) -> str:
    """Return what a question shows."""
    title = [str(widget.border_title) for widget in app.screen.query("#answers, #entry")]
    return "\n".join([*title, *(str(static.render()) for static in app.screen.query(Static))])


def dims(app: WatchApp) -> dict[str, bool]:
    """Return the keys of the footer, and whether each is dim."""
    bar = app.dashboard.query_one(KeyBar)
    return {key.shown: cells(bar).codes[0, start] != Meaning.KEY for start, _, key in bar._spans}


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
        async with watching(run.directory, NARROW) as (app, pilot):
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
            # A small screen has no timeline.
            assert "freeze all: rejected: not between these steps" in part(app, "Banner")
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


async def test_h_holds_the_moving_statistics_of_the_layer_under_the_cursor(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", ODD)) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("down", "h")
            await until(pilot, lambda: "held, asked" in part(app, "LayerTable"))
            [request] = run.requests()
            assert isinstance(request, commands.Freeze)
            assert (request.layers, request.statistics) == (["block[[]0]/bn[*][?]"], True)
            run.apply(request, step=3, statistics_held=[ODD])
            await until(pilot, lambda: "statistics of 1 held" in part(app, "LayerTable"))
            assert "asked" not in part(app, "LayerTable")
            assert row(app, "block").split()[1:3] == [ODD, "held"]
            assert "held 1/2" in part(app, "Header")
            assert "frozen 0/2" in part(app, "Header")
            assert "h unhold" in part(app, "KeyBar")
            await pilot.press("h")
            await until(pilot, lambda: len(run.requests()) == 2)
            request = run.requests()[1]
            assert isinstance(request, commands.Unfreeze)
            assert request.statistics
            assert "training, asked" in row(app, "block")


async def test_capital_h_holds_those_of_all(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await pilot.press("H")
            [request] = run.requests()
            assert isinstance(request, commands.Freeze)
            assert (request.layers, request.statistics) == ([], True)
            await until(pilot, lambda: part(app, "LayerTable").count("held, asked") == 2)
            # What is asked can be taken back before it is so.
            await pilot.press("H")
            request = run.requests()[1]
            assert isinstance(request, commands.Unfreeze)
            assert (request.layers, request.statistics) == ([], True)


async def test_a_layer_that_is_let_go_is_in_the_mode_of_the_phase(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        run.apply(commands.signed(commands.Freeze(), 0), step=3, frozen=["bn_1"], phase="inference")
        async with watching(run.directory) as (app, pilot):
            await pilot.press("f")
            await until(pilot, lambda: "inference, asked" in row(app, "bn_1"))
            await pilot.press("f")
            await until(pilot, lambda: len(run.requests()) == 2)
            assert [type(request).__name__ for request in run.requests()] == ["Unfreeze", "Freeze"]
            assert "asked" not in row(app, "bn_1")


async def test_space_pauses_and_goes_on(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            assert "space pause" in part(app, "KeyBar")
            await pilot.press("space")
            await until(pilot, lambda: "pause, asked" in part(app, "Header"))
            assert "space resume" in part(app, "KeyBar")
            # However little room there is.
            await pilot.resize_terminal(50, 24)
            await until(pilot, lambda: "space resume" in part(app, "KeyBar") and app.size.width == 50)
            await pilot.resize_terminal(*NARROW)
            [request] = run.requests()
            assert isinstance(request, commands.Pause)
            run.apply(request, step=3)
            run.write(events.StateChanged(state="paused", step=3))
            await until(pilot, lambda: " ‖ paused " in part(app, "Header"))
            assert "asked" not in part(app, "Header")
            assert "steps/s" not in part(app, "Header")
            # Its line is laid out with the next frame.
            await until(pilot, lambda: "space goes on" in part(app, "Banner"))
            await pilot.press("space")
            await until(pilot, lambda: "resume, asked" in part(app, "Header"))
            assert isinstance(run.requests()[1], commands.Resume)
            run.apply(run.requests()[1], step=3)
            run.write(events.StateChanged(state="training", step=3))
            await until(pilot, lambda: "● training" in part(app, "Header") and "asked" not in part(app, "Header"))
            # Nothing that the chart shows has changed.
            assert "▲" not in part(app, "#loss")


async def test_a_pause_can_be_taken_back_before_it_is_so(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("space", "space")
            await until(pilot, lambda: len(run.requests()) == 2)
            assert [type(request).__name__ for request in run.requests()] == ["Pause", "Resume"]
            assert "pause, asked" not in part(app, "Header")


async def test_l_asks_for_the_learning_rate(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await pilot.press("l")
            assert isinstance(app.screen, TextDialog)
            assert "Now 0.001" in dialog(app)
            await pilot.press(*"fast")
            await until(
                pilot, lambda: "Expected a number above 0, or the word schedule; received 'fast'." in dialog(app)
            )
            # What is wrong cannot be asked for.
            await pilot.press("enter")
            assert isinstance(app.screen, TextDialog)
            await pilot.press(*["backspace"] * 4, "1", "e", "minus", "4")
            await until(pilot, lambda: "1e-4 from the next step on, 0.1 times the present rate." in dialog(app))
            await pilot.press("enter")
            await until(pilot, lambda: "lr 1e-4, asked" in part(app, "Header"))
            [request] = run.requests()
            assert isinstance(request, commands.LearningRate)
            assert request.learning_rate == 1e-4
            run.apply(request, step=3, learning_rate=1e-4)
            await until(pilot, lambda: "lr 1e-4   " in part(app, "Header"))
            assert "lr 1e-4" in part(app, "#loss")
            await pilot.press("l", *"schedule", "enter")
            await until(pilot, lambda: "lr schedule, asked" in part(app, "Header"))
            request = run.requests()[1]
            assert isinstance(request, commands.LearningRate)
            assert request.learning_rate is None


@pytest.mark.parametrize(("key", "layers"), [("m", ["block[[]0]/bn[*][?]"]), ("M", [])])
async def test_m_asks_for_the_momentum(runs: Path, key: str, layers: list[str]) -> None:
    with LiveRun(runs, *training("bn_1", ODD)) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await pilot.press("down", key)
            assert isinstance(app.screen, TextDialog)
            assert ("Momentum of all layers" if key == "M" else f"Momentum of {ODD}") in dialog(app)
            assert "Now 0.99" in dialog(app)
            await pilot.press("2", "enter")
            await until(pilot, lambda: "Expected a number from 0 to 1; received '2'." in dialog(app))
            await pilot.press("backspace", "0", "full_stop", "5")
            await until(pilot, lambda: "Half-life of the moving statistics: 1.0 steps." in dialog(app))
            await pilot.press("enter")
            await until(pilot, lambda: "training, momentum 0.5, asked" in row(app, "block"))
            assert ("asked" in row(app, "bn_1")) == (key == "M")
            [request] = run.requests()
            assert isinstance(request, commands.Momentum)
            assert (request.momentum, request.layers) == (0.5, layers)
            run.apply(request, step=3, momentum=dict.fromkeys(["bn_1", ODD] if key == "M" else [ODD], 0.5))
            await until(pilot, lambda: "asked" not in part(app, "LayerTable"))
            assert "training, momentum 0.5 " in row(app, "block")
            assert ("momentum" in row(app, "bn_1")) == (key == "M")
            await pilot.press(key)
            assert "Now 0.5" in dialog(app)


@pytest.mark.parametrize(("keys", "dry_run"), [(("r",), False), (("d",), True), (("c",), None), (("enter",), None)])
async def test_r_asks_before_it_recalibrates(runs: Path, keys: tuple[str, ...], dry_run: bool | None) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await pilot.press("r")
            assert isinstance(app.screen, ChoiceDialog)
            assert run.requests() == []
            await pilot.press(*keys)
            await until(pilot, lambda: app.screen is app.dashboard)
            assert [request.dry_run for request in run.requests() if isinstance(request, commands.Recalibrate)] == (
                [] if dry_run is None else [dry_run]
            )
            if dry_run is None:
                return
            await until(pilot, lambda: "recalibrate" in part(app, "Timeline"))
            [request] = run.requests()
            run.write(events.StateChanged(state="recalibrating", step=3))
            await until(pilot, lambda: "◎ recalibrating" in part(app, "Header"))
            run.write(
                events.Recalibrated(
                    batches=200, examples=6400, dry_run=dry_run, before={"loss": 1.2}, after={"loss": 0.31}, step=3
                )
            )
            run.apply(request, step=3)
            await until(pilot, lambda: "recalibrated from 200 batches (6,400 examples)" in part(app, "Timeline"))
            # What changed nothing is no mark.
            await until(pilot, lambda: ("recalibrate" in part(app, "#loss")) != dry_run)


SAVED = events.CheckpointSaved(name="step-00000003.npz", reason="asked", size_bytes=12_000_000, seconds=0.3, step=3)


async def test_c_saves_a_checkpoint_and_b_asks_before_it_goes_back(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("b")
            await until(pilot, lambda: "there is no checkpoint yet, c saves one" in part(app, "Banner"))
            assert app.screen is app.dashboard
            await pilot.press("c")
            await until(pilot, lambda: "checkpoint: asked" in part(app, "Timeline"))
            [request] = run.requests()
            assert isinstance(request, commands.Checkpoint)
            run.write(events.StateChanged(state="checkpointing", step=3))
            await until(pilot, lambda: "◆ checkpointing" in part(app, "Header"))
            run.write(SAVED)
            run.apply(request, step=3)
            await until(pilot, lambda: "checkpoint step-00000003.npz saved, 12 MB in 0.3 s" in part(app, "Timeline"))
            assert "▲" not in part(app, "#loss")
            for keys in (["c"], ["escape"], ["enter"]):
                await pilot.press("b")
                assert "Go back to step-00000003.npz?" in dialog(app)
                await pilot.press(*keys)
                await until(pilot, lambda: app.screen is app.dashboard)
                assert len(run.requests()) == 1
            await pilot.press("b", "b")
            await until(pilot, lambda: len(run.requests()) == 2)
            request = run.requests()[1]
            assert isinstance(request, commands.Rollback)
            assert request.checkpoint == "step-00000003.npz"
            run.write(events.RolledBack(checkpoint=request.checkpoint, to_step=3, to_epoch=2, step=3, branch=1))
            run.apply(request, step=3)
            await until(pilot, lambda: "rolled back to step-00000003.npz: weights and" in part(app, "Timeline"))
            await until(pilot, lambda: part(app, "#loss").count("rollback") == 1)


@pytest.mark.parametrize("key", ["l", "m", "M", "r", "b"])
@pytest.mark.parametrize("away", ["escape", "ctrl+c"])
async def test_every_question_can_be_left(runs: Path, key: str, away: str) -> None:
    with LiveRun(runs, *training("bn_1"), SAVED) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await pilot.press(key)
            assert app.screen is not app.dashboard
            await pilot.press("0", away)
            await until(pilot, lambda: app.screen is app.dashboard)
            assert run.requests() == []
            assert app.is_running


STEERING = [key for key in KEYS if key.needs == "steering"]


ASKING = [key for key in STEERING if key.request]


@pytest.mark.parametrize("key", ASKING, ids=[key.keys for key in ASKING])
async def test_a_key_that_cannot_work_is_dim_and_says_why(runs: Path, key: Key) -> None:
    can = {**CAN, key.request: "the step is compiled by its own tf.function"}
    with LiveRun(runs, *training("bn_1", can=can), SAVED) as run:
        async with watching(run.directory) as (app, pilot):
            if key.label:
                assert dims(app)[key.shown]
                assert not dims(app)["?"]
                assert not dims(app)["c" if key.shown == "l" else "l"]
            await pilot.press(key.keys)
            await until(pilot, lambda: f"does not take {key.request}: the step is compiled" in part(app, "Banner"))
            assert app.screen is app.dashboard
            assert run.requests() == []
            await pilot.press("question_mark")
            said = f"{key.help} not now: the step is compiled by its own tf.function"
            assert said in help_page(app)


async def test_a_trainer_that_does_not_know_a_request_is_not_asked(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", can={"freeze": "", "unfreeze": ""})) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("space")
            await until(pilot, lambda: "its trainer is of an older version" in part(app, "Banner"))
            assert run.requests() == []
            await pilot.press("f")
            assert len(run.requests()) == 1


async def test_a_run_that_ends_while_a_question_is_open_is_asked_nothing(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("l", "1")
            run.write(events.RunEnded(status="finished", step=3))
            await until(pilot, lambda: app.viewer.state.ended is not None)
            await pilot.press("enter")
            await until(pilot, lambda: "Nothing was asked: the run is over." in part(app, "Banner"))
            assert run.requests() == []


@pytest.mark.parametrize("screen", ["1", "2", "4"])
async def test_the_momentum_of_all_layers_is_set_on_every_screen(runs: Path, screen: str) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(run.directory) as (app, pilot):
            await press(pilot, screen, "M")
            await until(pilot, lambda: isinstance(app.screen, TextDialog))
            await pilot.press(*"0.9", "enter")
            await until(pilot, lambda: bool(run.requests()))
            assert commands.as_fields(run.requests()[0])["momentum"] == 0.9


async def test_escape_asks_for_nothing(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("p")
            assert isinstance(app.screen, ChoiceDialog)
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
            await pilot.press(*(key.keys for key in STEERING))
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
            assert isinstance(app.screen, ChoiceDialog)
            await pilot.press(key)
            await until(pilot, lambda: not app.is_running)
        assert app.return_value == choice
        assert [type(request).__name__ for request in run.requests()] == asked


@pytest.mark.parametrize("key", ["c", "escape", "ctrl+c"])
async def test_leaving_can_be_cancelled(runs: Path, key: str) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
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


@pytest.mark.parametrize("key", ["f", "F", "z"])
async def test_the_row_says_what_is_asked_until_it_is_answered(runs: Path, key: str) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        run.apply(commands.signed(commands.Phase(phase="train"), 0), step=3, phase="train")
        async with watching(run.directory) as (app, pilot):
            await press(pilot, "w")
            await until(pilot, lambda: "There is no alert." in part(app, "Banner"))
            await press(pilot, key)
            await until(pilot, lambda: part(app, "Banner").startswith(" Asked: "))
            [request] = run.requests()
            run.apply(request, step=7)
            await until(pilot, lambda: "applied at step 7" in part(app, "Banner"))
            run.write(alert())
            await until(pilot, lambda: "R2" in part(app, "Banner"))


async def test_a_sentence_gives_way_to_an_alert_that_comes_later(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await press(pilot, "w")
            await until(pilot, lambda: "There is no alert." in part(app, "Banner"))
            run.write(alert())
            await until(pilot, lambda: "R2" in part(app, "Banner"))
