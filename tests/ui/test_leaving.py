"""The questions that end training: one key for one action, the first answer in sight."""

from pathlib import Path

import pytest

from tuimon.protocol import commands
from tuimon.ui.dialogs.questions import ChoiceDialog, quit_chooser, stop_chooser
from ui.facts import training
from ui.watching import LiveRun, press, until, watching

SMALL = (40, 10)


def test_the_same_action_has_the_same_key_in_every_question() -> None:
    keys = [
        {answer.label: answer.key for answer in dialog._answers}["stop after this batch"]
        for dialog in (quit_chooser(), stop_chooser())
    ]
    assert keys == ["s", "s"]


async def test_a_key_stops_training_from_either_question(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            app.action_ask("stop")
            await until(pilot, lambda: isinstance(app.screen, ChoiceDialog))
            await press(pilot, "s")
            await until(pilot, lambda: bool(run.requests()))
            [request] = run.requests()
            assert isinstance(request, commands.Stop)
            assert request.after == "batch"


@pytest.mark.parametrize(
    ("key", "labels"),
    [
        ("q", ["l  leave it training", "s  stop after this batch", "›c  cancel"]),
        ("p", ["›a  auto", "t  train (1)", "i  inference (0)"]),
    ],
)
async def test_every_answer_is_in_sight_on_a_small_screen(runs: Path, key: str, labels: list[str]) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, SMALL) as (app, pilot):

            def shown() -> str:
                return "\n".join(strip.text for strip in app.screen._compositor.render_strips())

            await press(pilot, key)
            await until(pilot, lambda: all(label in shown() for label in labels), "all answers")
            assert "Back to the screen." in shown() or "As Keras does it" in shown(), "what the marked one does"
