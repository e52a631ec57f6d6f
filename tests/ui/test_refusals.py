"""A refusal can be read to its end, and what is refused for sure is not offered."""

from pathlib import Path

import pytest

from helpers import SENDER, fit_started, layer, model_built
from tuimon.protocol import commands, events
from tuimon.ui.frame.key_bar import KeyBar
from tuimon.ui.viewer.meanings import Meaning
from ui.facts import CAN, training
from ui.watching import LiveRun, cells, part, press, text, until, watching

REASON = (
    "set trainable=True before compile: these layers were frozen before training, so the optimizer does not know "
    "their weights, and this is the end of the reason"
)


@pytest.mark.parametrize("size", [(80, 24), (120, 30), (200, 50)])
async def test_the_reason_of_a_refusal_is_shown_to_its_end(runs: Path, size: tuple[int, int]) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, size) as (app, pilot):
            await press(pilot, "F")
            await until(pilot, lambda: bool(run.requests()))
            [request] = run.requests()
            fields = commands.as_fields(request)
            run.write(events.CommandRejected(id=request.id, request=fields, sender=SENDER, reason=REASON, step=3))
            await until(
                pilot,
                lambda: f"freeze all: rejected: {REASON}" in " ".join(part(app, "Banner").split()),
                "the whole reason",
            )
            app.viewer.hush()
            app.redraw()
            await until(pilot, lambda: part(app, "Banner").count("\n") == 0, "one line again")


async def test_layers_that_were_frozen_before_training_are_not_offered_to_be_unfrozen(runs: Path) -> None:
    facts = training("bn_1", "bn_2")
    facts[1] = model_built(layer("bn_1", trainable=False), layer("bn_2", trainable=False))
    facts[2] = fit_started(epochs=1000, steps_per_epoch=1, can=CAN, frozen=["bn_1", "bn_2"])
    with LiveRun(runs, *facts) as run:
        async with watching(run.directory, (120, 30)) as (app, pilot):
            await until(pilot, lambda: "f unfreeze" in part(app, "KeyBar"))
            bar = app.base_screen.query_one(KeyBar)
            line = part(app, "KeyBar")
            for words in ("f unfreeze", "F unfreeze all"):
                assert cells(bar).codes[0][line.index(words)] == Meaning.FRAME
            await press(pilot, "f")
            await until(pilot, lambda: "set trainable=True before compile: bn_1 was frozen" in part(app, "Banner"))
            await press(pilot, "F")
            await until(pilot, lambda: "set trainable=True before compile: the layers were" in part(app, "Banner"))
            assert "weights." in text(app)
            assert run.requests() == []
