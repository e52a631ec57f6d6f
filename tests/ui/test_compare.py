"""Several runs side by side: what is read of them, what is drawn, what differs."""

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers import a_run, encode_log, fit_started, fold, layer, make_run, model_built, numbered, started
from tuimon.cli.main import main
from tuimon.protocol import events
from tuimon.runs.glance import Glance
from tuimon.runs.listing.summary import glanced
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.runs.state import RunState
from tuimon.ui.app import WatchApp
from tuimon.ui.screens.compare.overlay_chart import PATTERNS, Overlay
from tuimon.ui.screens.compare.run_curves import (
    OF_EACH_BATCH,
    RunCurves,
    curves_of,
    differences,
    lower_is_better,
    metric_names,
)
from tuimon.ui.screens.compare.runs_reader import RunRead, RunsListed, RunsReader
from tuimon.ui.viewer.meanings import RUN
from tuimon.ui.viewer.replay_clock import ReplayClock
from tuimon.ui.viewer.view_memory import ComparedView, View, ViewMemory
from ui.facts import training
from ui.sizes import NARROW, WIDE
from ui.terminals import terminal
from ui.watching import LiveRun, cells, part, press, text, until, watching


def epochs(*losses: float, optimizer: str = "Adam", rate: float = 1e-3, **config: Any) -> list[events.AnyEvent]:
    """Return the facts of a run with these losses, ten steps an epoch, a validation loss twice as high."""
    facts: list[events.AnyEvent] = [
        started(config={"training": {"optimizer": optimizer, "learning_rate": rate}, "model": config}),
        model_built(layer("bn_1")),
        fit_started(optimizer=optimizer, epochs=9, steps_per_epoch=10),
    ]
    for number, loss in enumerate(losses):
        step = 10 * (number + 1)
        facts += [
            events.Batches(first_step=step - 10, metrics={"loss": [loss] * 10}, batches=10, step=step, epoch=number),
            events.EpochEnded(
                logs={"loss": loss, "val_loss": 2 * loss, "accuracy": 1 - loss},
                learning_rate=rate,
                seconds=1.0,
                step=step,
                epoch=number,
            ),
        ]
    return facts


def over(*facts: events.AnyEvent) -> list[events.AnyEvent]:
    return [*facts, events.RunEnded(status="finished", step=10)]


def curves(*losses: float, **options: Any) -> RunCurves:
    return curves_of("run", fold(numbered(epochs(*losses, **options))), is_over=True)


# What is compared


def test_metrics_come_in_one_order_the_losses_first() -> None:
    first, second = curves(0.5), curves_of("other", fold(numbered(training("bn_1"))), is_over=False)
    assert metric_names([first]) == ["loss", "val_loss", "accuracy", f"loss{OF_EACH_BATCH}"]
    assert metric_names([second, first]) == ["loss", "val_loss", "accuracy", f"loss{OF_EACH_BATCH}"]
    assert metric_names([]) == []


@pytest.mark.parametrize(
    ("name", "lowest"),
    [
        ("loss", True),
        ("val_mae", True),
        ("val_accuracy", False),
        ("auc", False),
        ("accuracy_loss", True),
        ("mean_io_u", True),
    ],
)
def test_which_way_is_better_is_read_from_the_name(name: str, lowest: bool) -> None:
    assert lower_is_better(name) is lowest


def test_the_best_value_is_finite() -> None:
    points = curves(0.5, float("nan"), 0.25, 0.75).metrics["loss"]
    assert points.best(lowest=True) == (30, 0.25)
    assert points.best(lowest=False) == (40, 0.75)
    assert points.newest() == 0.75
    assert curves(float("inf")).metrics["loss"].best(lowest=True) is None


def test_steps_have_times_since_training_began() -> None:
    # `fit` began at 1002, the first epoch was over at 1004, its last batch a second earlier; the next one likewise.
    seconds = curves(0.5, 0.25).seconds(np.array([0, 10, 15, 20]))
    assert seconds.tolist() == [0.0, 2.0, 2.5, 4.0]
    assert curves_of("run", RunState(), is_over=False).seconds(np.array([3])).tolist() == [0.0]


def test_what_is_drawn_stays_as_it_was_when_it_was_read() -> None:
    state = fold(numbered(epochs(0.5)))
    then = curves_of("run", state, is_over=False)
    for step in range(20, 4000, 10):
        state.apply([events.EpochEnded(logs={"loss": 0.1}, learning_rate=1.0, seconds=1.0, step=step)])
    assert then.metrics["loss"].values.tolist() == [0.5]
    assert len(state.epoch_metrics["loss"]) > 300


def test_only_settings_that_differ_are_listed() -> None:
    first = curves(0.5, rate=1e-3, momentum=0.99, units=[1, 2], flag=True)
    second = curves(0.5, rate=1e-3, momentum=0.9, units=[1, 3], extra="x")
    assert differences([first.facts, second.facts]) == [
        ("model.momentum", ["0.99", "0.9"]),
        ("model.units[1]", ["2", "3"]),
        ("model.flag", ["yes", "–"]),
        ("model.extra", ["–", "x"]),
    ]
    # Those that not all logs have come last, wherever they stand in the config.
    assert [key for key, _ in differences([{"a": "1", "b": "1"}, {"b": "2"}])] == ["b", "a"]
    # What the run did is said once, whatever its config says.
    third = curves(0.5, rate=1e-4, optimizer="SGD", momentum=0.99, units=[1, 2], flag=True)
    assert differences([first.facts, third.facts]) == [
        ("optimizer", ["Adam", "SGD"]),
        ("learning rate", ["0.001", "1e-4"]),
        ("learning rate, newest", ["0.001", "1e-4"]),
    ]
    state = fold(numbered(epochs(0.5)))
    state.apply([events.EpochEnded(logs={}, learning_rate=1e-5, seconds=1.0, step=30)])
    changed = curves_of("run", state, is_over=True)
    assert differences([curves(0.5).facts, changed.facts]) == [("learning rate, newest", ["0.001", "1e-5"])]
    assert differences([first.facts, first.facts]) == []


# What is read


class Posted:
    """A reader in a thread of its own, and what it posted."""

    def __init__(self, directory: Path) -> None:
        self.lines: dict[str, Any] = {}
        self.read: dict[str, RunCurves] = {}
        self.on_complete: Callable[[], object] = lambda: None
        self.changed = threading.Condition()
        self.reader = RunsReader(directory, self.post)
        self.thread = threading.Thread(target=self.reader.run)

    def post(self, message: Any) -> None:
        with self.changed:
            if isinstance(message, RunsListed):
                self.lines = {line.path.name: line for line in message.lines}
                if message.is_complete:
                    self.on_complete()
                    self.on_complete = lambda: None
            elif isinstance(message, RunRead):
                self.read[message.path.name] = message.curves
            self.changed.notify_all()

    def wait(self, condition: Any) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=60), (self.lines, self.read)

    def __enter__(self) -> "Posted":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.stop()
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()


def test_the_list_is_read_at_a_glance_and_what_is_wanted_in_full(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = epochs(*[0.5] * 20_000)
    for number, name in enumerate(("long", "longer")):
        run = RunDirectory.at(runs / name)
        run.session_log.write_bytes(encode_log(over(*long[: -1 - number])))
    for number in range(50):
        make_run(runs, over(*epochs(0.5, 0.25)), name=f"run-{number}")
    read: dict[str, int] = {}
    whole_lines = Tail._whole_lines

    def counted(tail: Tail, file: Any, limit: int) -> bytes:
        data = whole_lines(tail, file, limit)
        read[tail.path.parent.name] = read.get(tail.path.parent.name, 0) + len(data)
        return data

    monkeypatch.setattr(Tail, "_whole_lines", counted)
    size = (runs / "long" / "session.jsonl").stat().st_size
    assert size > 4_000_000
    once: dict[str, int] = {}
    posted = Posted(runs)
    posted.on_complete = lambda: once.update(read)
    with posted:
        posted.wait(lambda: len(posted.lines) == 52)
        line = posted.lines["long"]
        assert (line.status, line.loss, line.val_loss, line.started) == ("finished", 0.5, 1.0, 1000.0)
        assert posted.lines["run-7"].val_loss == 0.5
        # All are listed before any is read from beginning to end, which then finds the best values.
        assert max(once.values()) < 500_000
        assert posted.read == {}
        posted.wait(lambda: all(line.is_best_known for line in posted.lines.values()))
        assert posted.lines["longer"].best["val_loss"].epoch == 0
        posted.reader.want([runs / "long"])
        posted.wait(lambda: "long" in posted.read and posted.read["long"].share is None)
        assert len(posted.read["long"].metrics["val_loss"].values) > 19_990


def test_a_run_that_grows_is_followed_and_one_that_appears_is_listed(runs: Path) -> None:
    with LiveRun(runs, *epochs(0.5)) as run, Posted(runs) as posted:
        posted.reader.want([run.directory.path])
        posted.wait(lambda: "live" in posted.read and posted.lines["live"].val_loss == 1.0)
        run.write(events.EpochEnded(logs={"loss": 0.3, "val_loss": 0.4}, learning_rate=1.0, seconds=1.0, step=30))
        posted.wait(lambda: posted.read["live"].metrics["loss"].newest() == 0.3)
        posted.wait(lambda: posted.lines["live"].val_loss == 0.4)
        assert not posted.read["live"].is_over
        make_run(runs, over(*epochs(0.1)), name="new")
        posted.wait(lambda: "new" in posted.lines)


def test_a_run_without_facts_of_its_config_has_that_of_its_directory(runs: Path) -> None:
    facts = over(*epochs(0.5))
    facts[0] = started()
    run = make_run(runs, facts)
    run.config.write_text('[model]\nbuild = "a:b"\n[training]\nepochs = 3\n[run]\nname = "x"\n')
    with Posted(runs) as posted:
        posted.reader.want([run.path])
        posted.wait(lambda: "run" in posted.read)
        assert posted.read["run"].facts["model.build"] == "a:b"
        assert "training.epochs" not in posted.read["run"].facts
        assert "run.name" not in posted.read["run"].facts


def test_a_value_that_the_end_of_a_log_does_not_name_is_not_that_of_its_begin(runs: Path) -> None:
    facts = epochs(0.5)
    for first in range(10, 40_000, 10):
        facts.append(events.Batches(first_step=first, metrics={"loss": [0.25] * 10}, batches=10, step=first + 10))
    glance = Glance(make_run(runs, facts))
    line = glanced(glance, time.time())
    assert (line.loss, line.val_loss, line.started, line.status) == (0.25, None, 1000.0, "crashed")
    assert not glance.look()


# The screen


def rows(app: WatchApp) -> list[str]:
    return part(app, "RunList").splitlines()


def row_of(app: WatchApp, name: str) -> str:
    return next(line for line in rows(app) if f" {name} " in line)


async def test_runs_are_listed_picked_drawn_and_told_apart(runs: Path) -> None:
    make_run(runs, over(*epochs(0.5, 0.25, 0.125, momentum=0.99)), name="first")
    make_run(runs, over(*epochs(0.75, 0.5, 0.625, optimizer="SGD", momentum=0.9)), name="second")
    make_run(runs, [*epochs(0.5), events.RunEnded(status="failed")], name="third")
    async with watching(RunDirectory(runs / "first"), WIDE) as (app, pilot):
        await press(pilot, "8")
        await until(
            pilot, lambda: app.base_screen.screen_name == "compare" and len(rows(app)) > 5 and "third" in text(app)
        )
        assert "A ✓ first" in rows(app)[2]
        assert " finished " in row_of(app, "second")
        assert " 1.000      2  finished " in row_of(app, "second")
        assert "SGD" in row_of(app, "second")
        assert "✗ third" in text(app)
        assert "failed" in row_of(app, "third")
        assert "val_loss over steps" in part(app, "Overlay")
        assert "Pick another run with space" in part(app, "ConfigTable")

        # The watched one stays.
        await press(pilot, "space")
        await until(pilot, lambda: "the watched run is always drawn" in text(app))
        # The watched one first, then the newest; of one age, the last name first.
        await press(pilot, "down", "down", "space")
        await until(pilot, lambda: "B ✓ second" in text(app) and "2 drawn" in text(app))
        await until(pilot, lambda: "SGD" in part(app, "ConfigTable"))
        table = part(app, "ConfigTable")
        assert "A first" in table
        assert "B second" in table
        assert "model.momentum" in table
        assert "epochs" not in table
        await press(pilot, "shift+tab")
        await until(pilot, lambda: "─ loss over steps" in text(app))
        legend = part(app, "Overlay").splitlines()
        assert any("A " in line and "first" in line and "0.1250" in line for line in legend)
        assert any("second" in line and "0.6250" in line and "0.5000  at step 20" in line for line in legend)
        overlay = app.base_screen.query_one(Overlay)
        assert {RUN, RUN + 1} <= set(cells(overlay).codes.ravel().tolist())

        saved = app.base_screen.shown_curves(app.moment())
        assert [(metric, curve, series.values.tolist()) for metric, curve, series in saved] == [
            ("loss", "A first", [0.5, 0.25, 0.125]),
            ("loss", "B second", [0.75, 0.5, 0.625]),
        ]
        await press(pilot, "tab")
        await until(pilot, lambda: "val_loss over steps" in text(app))
        await press(pilot, "tab")
        await until(pilot, lambda: "accuracy over steps" in text(app) and "highest" in text(app))
        await press(pilot, "x")
        await until(pilot, lambda: "accuracy over time since training began" in text(app) and "0:0" in text(app))
        await press(pilot, "shift+tab", "x")
        await until(pilot, lambda: "val_loss over steps" in text(app))
        await press(pilot, "d")
        await until(pilot, lambda: not app.base_screen.query_one("Overlay").display)
        await press(pilot, "escape")
        await until(pilot, lambda: app.base_screen.query_one("Overlay").display)

        await press(pilot, "space")
        await until(pilot, lambda: "1 drawn" in text(app) and "SGD" not in part(app, "ConfigTable"))
        await press(pilot, "escape")
        await until(pilot, lambda: app.screen is app.dashboard)


async def test_up_to_six_runs_share_a_chart_and_have_letters_and_lines_of_their_own(runs: Path) -> None:
    for number in range(8):
        make_run(runs, over(*epochs(0.5, 0.1 * number)), name=f"run-{number}")
    async with watching(RunDirectory(runs / "run-0"), WIDE) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: len([line for line in rows(app) if " run-" in line]) == 8)
        for _ in range(5):
            await press(pilot, "down", "space")
        await until(pilot, lambda: "6 drawn" in text(app))
        await until(pilot, lambda: "reading" not in part(app, "Overlay") and "has no" not in part(app, "Overlay"))
        shown = part(app, "Overlay")
        assert all(f"│ {letter} " in shown for letter in "ABCDEF")
        assert len(set(PATTERNS)) == 6
        # A letter that is given back is the next one's.
        await press(pilot, "up", "up", "space", "down", "down", "down", "space")
        await until(pilot, lambda: "6 drawn" in text(app) and "Z" not in text(app))
        assert sorted(line[3] for line in rows(app) if line[3:4].strip() and " run-" in line) == list("ABCDEF")
        # The seventh has a chart of its own, as all others then, and without it they share one again, in six colours.
        await press(pilot, "A")
        await until(pilot, lambda: "8 drawn" in text(app) and not app.base_screen.query_one(Overlay).display)
        await press(pilot, "up", "up", "space", "up", "space")
        await until(pilot, lambda: "6 drawn" in text(app) and app.base_screen.query_one(Overlay).display)
        assert sorted(line[3] for line in rows(app) if line[3:4].strip() and " run-" in line) == list("ABCDEF")


async def test_settings_that_there_is_no_room_for_are_scrolled(runs: Path) -> None:
    many = {f"option_{number:02}": number for number in range(30)}
    make_run(runs, over(*epochs(0.5)), name="first")
    make_run(runs, over(*epochs(0.5, **many)), name="second")
    async with watching(RunDirectory(runs / "first"), NARROW) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: "second" in text(app))
        await press(pilot, "down", "space", "d")
        await until(pilot, lambda: "model.option_00" in text(app) and "of 30, page down" in text(app))
        assert "model.option_29" not in text(app)
        seen = set[str]()
        for _ in range(30):
            seen.update(re.findall(r"option_\d\d", text(app)))
            await press(pilot, "pagedown")
        assert len(seen) == 30
        await press(pilot, *["pageup"] * 30)
        await until(pilot, lambda: "model.option_00" in text(app))
        # With room for all, a page is one of the list.
        await pilot.resize_terminal(200, 80)
        await until(pilot, lambda: "model.option_29" in text(app) and "page down" not in part(app, "ConfigTable"))


async def test_what_was_compared_is_compared_again(runs: Path) -> None:
    memory = ViewMemory()
    for number in range(4):
        make_run(runs, over(*epochs(0.5, 0.1 * number)), name=f"run-{number}")
    async with watching(RunDirectory(runs / "run-0"), WIDE, memory=memory) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: len([line for line in rows(app) if " run-" in line]) == 4)
        await press(pilot, "down", "space", "down", "space", "shift+tab", "x")
        await until(pilot, lambda: "3 drawn" in text(app) and "─ loss over time" in text(app))
    # One of them is gone, and what is remembered never leads out of the directory.
    chosen = memory.load(RunDirectory(runs / "run-0"))
    assert chosen.compared == ComparedView(runs=("run-3", "run-2"), metric="loss", by_time=True)
    others = ("run-9", "..", "../runs/run-1", "x" * 300, "a\0b", "run-0", "run-2", "run-2")
    memory.save(RunDirectory(runs / "run-0"), View(compared=ComparedView(runs=others, metric="loss", by_time=True)))
    async with watching(RunDirectory(runs / "run-0"), WIDE, memory=memory) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: "2 drawn" in text(app) and "─ loss over time" in text(app))
        await until(pilot, lambda: "B ✓ run-2" in text(app))
        await press(pilot, "1", "8")
        await until(pilot, lambda: "2 drawn" in text(app) and "─ loss over time" in text(app))


async def test_the_age_of_a_run_goes_on_while_nothing_happens(runs: Path) -> None:
    with LiveRun(runs, *epochs(0.5, 0.4), events.RunEnded(status="finished", step=20)) as run:
        run.die()
        async with watching(run.directory, (120, 35)) as (app, pilot):
            await press(pilot, "8")

            def age() -> str:
                found = re.search(r" (\d+ s|\d+:\d\d)\b", part(app, "RunList"))
                return found[1] if found else ""

            await until(pilot, lambda: age() != "")
            before = age()
            await until(pilot, lambda: age() not in ("", before))


async def test_more_room_shows_no_fewer_columns(runs: Path) -> None:
    names = [f"20261201-15{number:04}-transfer_long" for number in range(3)]
    for number, name in enumerate(names):
        make_run(runs, over(*epochs(0.5, 0.4, rate=10.0**-number, units=number, depth=number)), name=name)
    async with watching(RunDirectory(runs / names[0]), (120, 35)) as (app, pilot):

        def headings() -> set[str]:
            return set(re.split(r"  +", part(app, "RunList").splitlines()[1].strip(" │")))

        await press(pilot, "8")
        await until(pilot, lambda: {"epoch", "age", "loss now"} <= headings())
        few = headings()
        await pilot.resize_terminal(*WIDE)
        await until(pilot, lambda: few <= headings() and app.base_screen.query_one(Overlay).size.width == 68)


async def test_the_watched_run_is_in_sight_in_every_order(runs: Path) -> None:
    for number in range(8):
        make_run(runs, over(*epochs(0.9 - 0.1 * number)), name=f"run-{number}")
    async with watching(RunDirectory(runs / "run-3"), NARROW) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: "of 8" in part(app, "RunList"))
        for key in ("o", "O", "o", "O", "o"):
            title = part(app, "RunList").splitlines()[0]
            await press(pilot, key)
            await until(pilot, lambda title=title: part(app, "RunList").splitlines()[0] != title)
            assert "run-3" in part(app, "RunList")


async def test_the_footer_names_the_keys_that_pick_all_and_reverse(runs: Path) -> None:
    async with watching(make_run(runs, over(*epochs(0.5))), WIDE) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: "A pick all" in part(app, "KeyBar") and "O reverse" in part(app, "KeyBar"))


async def test_space_pauses_nothing_here(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "8")
            await until(pilot, lambda: "A ● live" in text(app))
            await press(pilot, "space")
            await until(pilot, lambda: "the watched run is always drawn" in text(app))
            assert run.requests() == []
            await press(pilot, "F")
            await until(pilot, lambda: len(run.requests()) == 1)


async def test_the_watched_run_and_others_go_on(runs: Path, tmp_path: Path) -> None:
    make_run(runs, over(*epochs(0.5)), name="old")
    with LiveRun(runs, *epochs(0.5)) as run:
        async with watching(RunDirectory(runs / "old"), NARROW) as (app, pilot):
            await press(pilot, "8")
            await until(pilot, lambda: "● live" in text(app) or "live" in text(app))
            await press(pilot, "down", "space")
            await until(pilot, lambda: "B" in part(app, "Overlay"))
            run.write(
                events.StateChanged(state="training"),
                events.EpochEnded(logs={"loss": 0.03, "val_loss": 0.04}, learning_rate=1.0, seconds=1.0, step=30),
            )
            await until(pilot, lambda: "0.0400" in row_of(app, "live") and "0.04" in part(app, "Overlay"))
            assert " training " in row_of(app, "live")
            run.die()
            await until(pilot, lambda: "crashed" in row_of(app, "live"))


async def test_enter_leaves_this_run_for_the_one_under_the_cursor(runs: Path) -> None:
    make_run(runs, over(*epochs(0.5)), name="old")
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(RunDirectory(runs / "old"), WIDE) as (app, pilot):
            assert "✓ finished" in text(app)
            await press(pilot, "8")
            await until(pilot, lambda: "● live" in text(app))
            # The watched one is opened on its dashboard.
            await press(pilot, "enter")
            await until(pilot, lambda: app.screen is app.dashboard)
            assert app.next_run is None
            await press(pilot, "8")
            await until(pilot, lambda: "● live" in text(app))
            await press(pilot, "down", "enter")
            await until(pilot, lambda: not app.is_running)
        assert app.next_run == run.directory


def test_watch_goes_on_with_the_run_that_was_chosen(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class App(WatchApp):
        def run(self, **_: object) -> None:
            shown.append((self.viewer.run.name, self.moment().is_readonly))
            self.next_run = None if self.viewer.run == other else other

    shown: list[tuple[str, bool]] = []
    make_run(runs, a_run())
    other = make_run(runs, a_run(), name="other")
    monkeypatch.setattr("tuimon.ui.app.WatchApp", App)
    monkeypatch.setattr("tuimon.cli.watch.has_screen", lambda: True)
    assert main(["watch", "run", "--readonly", "--runs-dir", str(runs)]) == 0
    assert shown == [("run", True), ("other", True)]


async def test_a_replay_stays_with_its_run(runs: Path) -> None:
    make_run(runs, a_run(), name="other")
    run = make_run(runs, a_run())
    async with watching(run, WIDE, replay=ReplayClock(speed=1 / 64), readonly=True) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: "other" in text(app))
        await press(pilot, "down", "enter")
        await until(pilot, lambda: "tuimon replay other" in part(app, "Banner"))
        assert app.is_running


async def test_a_run_that_started_its_trainer_is_not_left_for_another(runs: Path) -> None:
    class Trainer:
        def start(self) -> None: ...

        def poll(self) -> None: ...

    make_run(runs, a_run(), name="other")
    async with watching(make_run(runs, a_run()), WIDE, trainer=Trainer()) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: "other" in text(app))
        await press(pilot, "down", "enter")
        await until(pilot, lambda: "tuimon watch other" in part(app, "Banner"))


HOSTILE = "[red]\x1b[31mx[/red]\x07\u202e"


async def test_what_cannot_be_read_or_is_hostile_is_said_in_its_line(runs: Path) -> None:
    (runs / "broken" / "session.jsonl").mkdir(parents=True)
    (runs / "broken" / "commands").mkdir()
    facts = epochs(0.5, **{HOSTILE: HOSTILE})
    facts.append(events.EpochEnded(logs={HOSTILE: 1.0, "loss": "nan"}, learning_rate=1.0, seconds=1.0, step=20))
    make_run(runs, over(*facts), name=HOSTILE.replace("/", "_"))
    (runs / "torn").mkdir()
    (runs / "torn" / "session.jsonl").write_bytes(b'{"type": "run_st')
    async with watching(make_run(runs, over(*epochs(0.5))), WIDE) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: "cannot be read" in text(app) and "torn" in text(app))
        for _ in range(3):
            await press(pilot, "down", "space")
        await until(pilot, lambda: "4 drawn" in text(app))
        await until(pilot, lambda: part(app, "Overlay").count("cannot be read") == 1)
        await until(pilot, lambda: "[red]x" in part(app, "ConfigTable"))
        for _ in range(5):
            await press(pilot, "tab")
            assert "\x1b" not in app.export_screenshot()
            assert "\u202e" not in text(app)
        for size in (NARROW, (40, 12), (1, 1), WIDE):
            await pilot.resize_terminal(*size)
            await press(pilot, "d", "x")
            app.redraw()
        assert app.is_running


def test_a_directory_into_which_nobody_may_look_hides_no_run(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(runs, a_run())
    (runs / "private").mkdir()
    is_file = Path.is_file

    def refused(path: Path) -> bool:
        if path.parent.name == "private":
            raise PermissionError
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refused)
    assert [run.name for run in runs_in(runs)] == ["run"]


def test_one_screen_follows_the_other_in_a_real_terminal(runs: Path) -> None:
    make_run(runs, over(*epochs(0.5)), name="old")
    with LiveRun(runs, *training("bn_1")), terminal(RunDirectory(runs / "old")) as seen:
        seen.read_until(lambda: "✓ finished" in seen.shown and "q quit" in seen.shown)
        os.write(seen.ours, b"8")
        seen.read_until(lambda: "A ✓ old" in seen.shown and "● live" in seen.shown)
        os.write(seen.ours, b"\x1b[B\r")
        seen.read_until(lambda: "● training" in seen.shown and "› bn_1" in seen.shown)
        os.write(seen.ours, b"q")
        seen.read_until(lambda: "Leave this screen?" in seen.shown)
        os.write(seen.ours, b"l")
        seen.read_until(lambda: seen.process.poll() is not None)
        assert seen.process.returncode == 0
