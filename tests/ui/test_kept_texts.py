"""What was typed and could not be sent is offered again."""

from pathlib import Path

from textual.widgets import Input

from tuimon.protocol import commands, events
from tuimon.runs.listing.tags import read_tags
from tuimon.ui.dialogs.text_entry import TextDialog
from ui.facts import training
from ui.watching import LiveRun, part, press, text, until, watching


async def test_a_note_typed_as_the_run_ends_is_offered_where_notes_on_such_runs_are_left(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await press(pilot, "n")
            await until(pilot, lambda: isinstance(app.screen, TextDialog))
            await press(pilot, *"odd")
            run.write(events.RunEnded(status="finished", step=3))
            await until(pilot, lambda: app.viewer.state.ended is not None)
            await press(pilot, "enter")
            await until(pilot, lambda: "8 and then T leaves a note on it" in part(app, "Banner"))
            assert run.requests() == []
            await press(pilot, "8")
            await until(pilot, lambda: app.base_screen.selected_run == run.directory.path and "live" in text(app))
            await press(pilot, "T")
            await until(pilot, lambda: isinstance(app.screen, TextDialog))
            assert app.screen.query_one(Input).value == "odd"
            await press(pilot, *"er", "enter")
            await until(pilot, lambda: read_tags(run.directory.path).note == "odder")
            await press(pilot, "T")
            await until(pilot, lambda: isinstance(app.screen, TextDialog))
            await until(pilot, lambda: not app.screen.query_one(Input).value, "it is not offered again once it is kept")


async def test_a_note_that_was_asked_and_not_taken_is_told_and_kept(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            for words in ("one", "two"):
                await press(pilot, "n")
                await until(pilot, lambda: isinstance(app.screen, TextDialog))
                assert app.screen.query_one(Input).value == ""
                await press(pilot, *words, "enter")
                await until(pilot, lambda words=words: [note.text for note in run.requests()][-1:] == [words])
                if words == "one":
                    run.apply(run.requests()[0], step=3)
                    await until(pilot, lambda: not app.moment().asked)
            run.write(events.RunEnded(status="finished", step=3))
            await until(pilot, lambda: "No answer will come to" in part(app, "Banner"))
            await press(pilot, "8")
            await until(pilot, lambda: app.base_screen.selected_run == run.directory.path and "live" in text(app))
            await press(pilot, "T")
            await until(pilot, lambda: isinstance(app.screen, TextDialog))
            assert app.screen.query_one(Input).value == "two"


async def test_a_value_that_could_not_be_sent_is_offered_when_it_is_asked_for_again(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            run.directory.commands.rmdir()
            run.directory.commands.write_text("in the way")
            await press(pilot, "l")
            await until(pilot, lambda: isinstance(app.screen, TextDialog))
            await press(pilot, *"0.5", "enter")
            await until(pilot, lambda: "cannot be written" in part(app, "Banner"))
            run.directory.commands.unlink()
            run.directory.commands.mkdir()
            await press(pilot, "l")
            await until(pilot, lambda: isinstance(app.screen, TextDialog))
            assert app.screen.query_one(Input).value == "0.5"
            await press(pilot, "enter")
            await until(pilot, lambda: bool(run.requests()))
            [request] = run.requests()
            assert isinstance(request, commands.LearningRate)
            await press(pilot, "l")
            await until(pilot, lambda: isinstance(app.screen, TextDialog))
            assert app.screen.query_one(Input).value == ""
