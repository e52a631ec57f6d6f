"""Taking requests back, and leaving notes: what is asked, and what is said."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from helpers import SENDER, started
from tuimon.protocol import commands, events
from tuimon.protocol.values import SCHEDULE_SET_ASIDE
from tuimon.runs.state import RunState
from tuimon.ui.dialogs.text_entry import TextDialog
from tuimon.ui.viewer.moment import Asked, Moment
from tuimon.ui.viewer.undo import NothingToUndoError, Undo, newest_undo
from ui.facts import training
from ui.sizes import NARROW
from ui.watching import LiveRun, part, press, text, until, watching

CAN_NOT = "Nothing was undone: "
PATHS = ("a/bn_1", "a/bn_2", "bn_3")


class Folded:
    """A log that is folded, a fact at a time, and what was last applied."""

    def __init__(self) -> None:
        self.state = RunState()
        self.seq = 0
        self.mode: dict[str, Any] = {}
        self.add(*training(*PATHS))

    def add(self, *facts: events.AnyEvent) -> None:
        for fact in facts:
            fact.seq, self.seq = self.seq, self.seq + 1
        self.state.apply(facts)

    def apply(self, request: commands.AnyRequest, identity: str = "", detail: str = "", **mode: Any) -> None:
        rate = mode.pop("learning_rate", None)
        self.mode |= mode
        fields = commands.as_fields(request)
        applied = events.CommandApplied(
            id=identity or str(self.seq),
            request=fields,
            sender=SENDER,
            first_step=3,
            detail=detail,
            learning_rate=rate,
            **self.mode,
        )
        self.add(applied)

    def undo(self, *asked: Asked) -> Undo:
        return newest_undo(Moment(self.state, "training", 0.0, Path(), asked=asked))

    def way_back(self) -> list[dict[str, object]]:
        """Return what is asked, without what is not set."""
        requests = [commands.as_fields(request) for request in self.undo().requests]
        return [{name: value for name, value in fields.items() if value not in (False, [])} for fields in requests]


@pytest.mark.parametrize(
    ("before", "request_", "after", "way_back"),
    [
        ({}, commands.Freeze(), {"frozen": PATHS}, [{"command": "unfreeze"}]),
        (
            {"frozen": PATHS},
            commands.Unfreeze(layers=["bn_3"]),
            {"frozen": PATHS[:2]},
            [{"command": "freeze", "layers": ["bn_3"]}],
        ),
        (
            {"statistics_held": PATHS},
            commands.Freeze(layers=["bn_3"]),
            {"frozen": PATHS[2:], "statistics_held": PATHS},
            [{"command": "freeze", "statistics": True, "layers": ["bn_3"]}],
        ),
        (
            {"frozen": PATHS[:1]},
            commands.Freeze(statistics=True),
            {"frozen": (), "statistics_held": PATHS},
            [
                {"command": "unfreeze", "layers": ["a/bn_2", "bn_3"]},
                {"command": "unfreeze", "statistics": True, "layers": ["a/bn_1"]},
                {"command": "freeze", "layers": ["a/bn_1"]},
            ],
        ),
        (
            {"frozen": PATHS[2:], "statistics_held": PATHS[2:]},
            commands.Unfreeze(),
            {"frozen": (), "statistics_held": ()},
            [
                {"command": "freeze", "statistics": True, "layers": ["bn_3"]},
                {"command": "freeze", "layers": ["bn_3"]},
            ],
        ),
        ({}, commands.Phase(phase="train"), {"phase": "train"}, [{"command": "phase", "phase": "auto"}]),
        (
            {"momentum": {"a/bn_1": 0.5}},
            commands.Momentum(momentum=0.9),
            {"momentum": dict.fromkeys(PATHS, 0.9)},
            [
                {"command": "momentum", "momentum": 0.5, "layers": ["a/bn_1"]},
                {"command": "momentum", "momentum": 0.99, "layers": ["a/bn_2", "bn_3"]},
            ],
        ),
        # What a glob of weights takes in is thawed by the same glob; what was frozen before is frozen again.
        (
            {"frozen": PATHS[:1], "frozen_weights": ("conv[1]",)},
            commands.Freeze(weights=True, layers=["a", "conv*"]),
            {"frozen": PATHS[:2], "frozen_weights": ("a/dense", "conv[1]")},
            [
                {"command": "unfreeze", "weights": True, "layers": ["a", "conv*"]},
                {"command": "freeze", "weights": True, "layers": ["conv[[]1]"]},
                {"command": "freeze", "layers": ["a/bn_1"]},
            ],
        ),
        (
            {"frozen_weights": ("conv", "dense")},
            commands.Unfreeze(weights=True, layers=["*"]),
            {"frozen_weights": ()},
            [{"command": "freeze", "weights": True, "layers": ["conv", "dense"]}],
        ),
    ],
)
def test_what_was_in_force_is_asked_for_again(
    before: dict[str, Any], request_: commands.AnyRequest, after: dict[str, Any], way_back: list[dict[str, object]]
) -> None:
    folded = Folded()
    lists = {name: value if isinstance(value, str | dict) else list(value) for name, value in before.items()}
    folded.apply(commands.Freeze(), **lists)
    folded.apply(
        request_, **{name: value if isinstance(value, str | dict) else list(value) for name, value in after.items()}
    )
    assert folded.way_back() == way_back


def test_the_learning_rate_of_before_is_asked_for_or_that_of_the_schedule() -> None:
    folded = Folded()
    folded.apply(commands.LearningRate(learning_rate=0.5), learning_rate=0.5)
    assert folded.way_back() == [{"command": "lr", "learning_rate": 0.001}]
    # A learning rate that moves by itself is nothing that a request changed.
    folded.apply(commands.Pause(), learning_rate=0.25)
    assert folded.way_back() == [{"command": "lr", "learning_rate": 0.001}]

    folded = Folded()
    folded.apply(commands.LearningRate(learning_rate=0.5), detail=SCHEDULE_SET_ASIDE, learning_rate=0.5)
    assert folded.way_back() == [{"command": "lr", "learning_rate": None}]
    folded.apply(commands.LearningRate(learning_rate=0.2), detail=SCHEDULE_SET_ASIDE, learning_rate=0.2)
    assert folded.way_back() == [{"command": "lr", "learning_rate": 0.5}]
    folded.apply(commands.LearningRate(learning_rate=None), learning_rate=0.01)
    assert folded.way_back() == [{"command": "lr", "learning_rate": 0.2}]


def test_the_learning_rate_of_before_is_the_one_that_was_meant() -> None:
    folded = Folded()
    folded.apply(commands.LearningRate(learning_rate=0.01), learning_rate=float(np.float32(0.01)))  # As Keras has it.
    folded.apply(commands.LearningRate(learning_rate=0.003), learning_rate=float(np.float32(0.003)))
    assert folded.way_back() == [{"command": "lr", "learning_rate": 0.01}]


def test_a_checkpoint_brings_its_own_learning_rate_back() -> None:
    folded = Folded()
    saved = events.CheckpointSaved(name="a", reason="asked", size_bytes=1, seconds=0.1)
    folded.apply(commands.LearningRate(learning_rate=0.5), detail=SCHEDULE_SET_ASIDE, learning_rate=0.5)
    folded.add(saved)
    folded.apply(commands.LearningRate(learning_rate=None), learning_rate=0.01)
    folded.add(events.RolledBack(checkpoint="a", to_step=1, to_epoch=0, branch=1))
    folded.apply(commands.Rollback(), learning_rate=0.5)
    folded.apply(commands.LearningRate(learning_rate=0.2), detail=SCHEDULE_SET_ASIDE, learning_rate=0.2)
    assert folded.way_back() == [{"command": "lr", "learning_rate": 0.5}]


def test_a_learning_rate_that_was_not_known_is_not_guessed() -> None:
    folded = Folded()
    folded.state.learning_rate = None
    folded.apply(commands.LearningRate(learning_rate=0.5), learning_rate=0.5)
    with pytest.raises(NothingToUndoError, match="is not known"):
        folded.undo()


def test_undoing_goes_back_request_by_request_and_never_forth() -> None:
    folded = Folded()
    folded.apply(commands.Freeze(layers=["bn_3"]), frozen=["bn_3"])
    folded.apply(commands.Freeze(layers=["bn_3"]))
    folded.apply(commands.Note(text="seen"))
    folded.apply(commands.Phase(phase="train"), phase="train")
    undo = folded.undo()
    assert undo.command.words == "phase train"
    # Its answer, and what is asked and not answered yet, both count as taken back.
    asked = Asked("a", "undo phase train", 0.0, command="phase", undoes=undo.command.seq)
    assert folded.undo(asked).command.words == "freeze bn_3"
    signed = commands.signed(undo.requests[0], 0, undoes=undo.command.seq)
    folded.apply(signed, signed.id, phase="auto")
    undo = folded.undo()
    assert undo.command.words == "freeze bn_3"
    assert undo.command.after.frozen == {"bn_3"}
    signed = commands.signed(undo.requests[0], 0, undoes=undo.command.seq)
    folded.apply(signed, signed.id, frozen=[])
    with pytest.raises(NothingToUndoError, match="no request has changed anything"):
        folded.undo()
    # What is asked afterwards can be taken back as ever.
    folded.apply(commands.Freeze(), frozen=list(PATHS))
    assert folded.undo().command.words == "freeze all"


@pytest.mark.parametrize("request_", [commands.Rollback(checkpoint="a"), commands.Recalibrate()])
def test_what_changed_the_weights_is_not_undone(request_: commands.AnyRequest) -> None:
    folded = Folded()
    folded.apply(commands.Freeze(), frozen=list(PATHS))
    folded.apply(commands.Recalibrate(dry_run=True))
    assert folded.undo().command.words == "freeze all"
    folded.apply(request_)
    with pytest.raises(NothingToUndoError, match="cannot be undone"):
        folded.undo()


def test_another_attempt_begins_where_its_checkpoint_was() -> None:
    folded = Folded()
    folded.apply(commands.Freeze(), frozen=list(PATHS))
    folded.add(
        started(attempt=1), events.RunResumed(checkpoint="a", to_step=1, to_epoch=1, repeated_steps=1, lost_steps=1)
    )
    assert folded.state.undoable == []


async def test_z_takes_back_what_anybody_asked_in_a_real_round(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("z")
            await until(pilot, lambda: f"{CAN_NOT}no request has changed" in part(app, "Banner"))
            # Somebody else's.
            run.apply(commands.signed(commands.Phase(phase="train"), 0), step=3, phase="train")
            await until(pilot, lambda: "phase train" in part(app, "Header"))
            await pilot.press("f")
            await pilot.press("z")
            await until(pilot, lambda: f"{CAN_NOT}“freeze bn_1” has no answer yet." in part(app, "Banner"))
            [frozen] = run.requests()
            run.apply(frozen, step=3, phase="train", frozen=["bn_1"])
            await until(pilot, lambda: "frozen 1/2" in part(app, "Header"))

            await pilot.press("z")
            await until(pilot, lambda: "Asked: undo freeze bn_1." in part(app, "Banner"))
            assert "undo freeze bn_1: asked" in part(app, "Timeline")
            assert "training, asked" in part(app, "LayerTable")
            path = sorted(run.directory.commands.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)[-1]
            body = msgspec.json.decode(path.read_bytes())
            assert (body["command"], body["layers"], body["attempt"]) == ("unfreeze", ["bn_1"], 0)
            assert (body["statistics"], body["weights"]) == (False, False)
            assert commands.undone_by(body["id"]) == app.viewer.state.commands[frozen.id].seq

            # Again, before the answer: the one before.
            await pilot.press("z")
            await until(pilot, lambda: "Asked: undo phase train, and 1 more." in part(app, "Banner"))
            _, thaw, phase = run.requests()
            assert isinstance(phase, commands.Phase)
            assert phase.phase == "auto"
            await pilot.press("z")
            await until(pilot, lambda: f"{CAN_NOT}no request has changed" in part(app, "Banner"))
            run.apply(thaw, step=4, phase="train")
            run.apply(phase, step=4)
            await until(pilot, lambda: "frozen 0/2" in part(app, "Header") and "phase auto" in part(app, "Header"))
            assert "asked" not in part(app, "LayerTable")
            await pilot.press("z")
            await pilot.pause()
            assert len(run.requests()) == 3
        # A viewer that comes later knows as much.
        async with watching(run.directory) as (app, pilot):
            await pilot.press("z")
            await until(pilot, lambda: f"{CAN_NOT}no request has changed" in part(app, "Banner"))


async def test_the_answer_to_an_undo_is_that_of_the_undo(runs: Path) -> None:
    with LiveRun(runs, *training("base/bn_1", "base/bn_2")) as run:
        hold = commands.signed(commands.Freeze(statistics=True, layers=["base/bn_2"]), 0)
        run.apply(hold, step=3, statistics_held=["base/bn_2"])
        async with watching(run.directory, NARROW) as (app, pilot):
            await until(pilot, lambda: "held" in part(app, "LayerTable"))
            await press(pilot, "z")
            await until(pilot, lambda: bool(run.requests()))
            run.apply(run.requests()[0], step=3)
            await press(pilot, "4")
            await until(pilot, lambda: "undo hold statistics of base/bn_2: applied" in text(app))
            assert "  hold statistics of base/bn_2: applied" in text(app)
            assert "undoes" in text(app)
            assert "freeze" not in part(app, "TimelineList")


async def test_an_undo_that_needs_several_requests_says_them_in_order(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        run.apply(commands.signed(commands.Freeze(layers=["bn_1"]), 0), step=3, frozen=["bn_1"])
        run.apply(commands.signed(commands.Freeze(statistics=True), 0), step=3, statistics_held=["bn_1", "bn_2"])
        async with watching(run.directory) as (app, pilot):
            await pilot.press("z")
            await until(
                pilot, lambda: "Asked: undo hold statistics of all: freeze bn_1, and 2 more." in part(app, "Banner")
            )
            assert [type(request).__name__ for request in run.requests()] == ["Unfreeze", "Unfreeze", "Freeze"]
            assert "undo hold statistics of all: freeze bn_1: asked" in part(app, "Timeline")
            for request in run.requests():
                run.apply(request, step=3, frozen=["bn_1"])
            await until(pilot, lambda: "asked" not in part(app, "LayerTable"))
            for words in ("unhold statistics of bn_1", "freeze bn_1"):
                assert f"undo hold statistics of all: {words}: applied" in part(app, "Timeline")
            await pilot.press("z")
            await until(pilot, lambda: "Asked: undo freeze bn_1." in part(app, "Banner"))


async def test_what_a_run_does_not_take_is_not_undone(runs: Path) -> None:
    can = {**dict.fromkeys(commands.NAMES, ""), "unfreeze": "not by this trainer"}
    with LiveRun(runs, *training("bn_1", can=can)) as run:
        run.apply(commands.signed(commands.Freeze(), 0), step=3, frozen=["bn_1"])
        async with watching(run.directory) as (app, pilot):
            await pilot.press("z")
            await until(pilot, lambda: "does not take unfreeze: not by this trainer" in part(app, "Banner"))
            assert run.requests() == []


async def test_n_leaves_a_note(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await pilot.press("n")
            assert isinstance(app.screen, TextDialog)
            await pilot.press("space", "enter")
            assert isinstance(app.screen, TextDialog)
            await pilot.press(*"so", "space", *"far", "enter")
            await until(pilot, lambda: app.screen is app.dashboard)
            [request] = run.requests()
            assert isinstance(request, commands.Note)
            assert request.text == "so far"
            run.write(events.Note(text=request.text, step=3))
            await until(pilot, lambda: "note: so far" in part(app, "Timeline"))


async def test_the_footer_has_the_key_while_there_is_something_to_take_back(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(run.directory, (80, 24)) as (app, pilot):
            await until(pilot, lambda: "freeze" in part(app, "KeyBar"))
            assert "z undo" not in part(app, "KeyBar")
            run.apply(commands.signed(commands.Freeze(), 0), step=3, frozen=["bn_1", "bn_2"])
            await until(pilot, lambda: "z undo" in part(app, "KeyBar"))
            await press(pilot, "z")
            await until(pilot, lambda: "z undo" not in part(app, "KeyBar"))
