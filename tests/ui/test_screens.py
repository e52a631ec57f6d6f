"""What is on the screen in every state that a run can be in, and that nothing breaks it."""

import re
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.widget import Widget
from textual.widgets import Input

from helpers import SENDER, a_run, encode_log, fold, layer, make_run, started, statistics
from tuimon.plot.request_marks import marks
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.app import WatchApp
from tuimon.ui.dialogs.help_screen import HelpScreen
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.frame.banner import sentence
from tuimon.ui.messages import Heard
from tuimon.ui.screens.dashboard.screen import Dashboard
from tuimon.ui.viewer.key import SCREEN_NAMES, ScreenName
from tuimon.ui.viewer.keys import KEYS, keys_of
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.news import TrainerExited
from tuimon.ui.viewer.replay_clock import ReplayClock
from ui.facts import HOSTILE, training
from ui.run_states import RUNS, preparing
from ui.sizes import NARROW, SIZES, WIDE
from ui.watching import LiveRun, help_page, part, press, text, until, views, watching


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize("place", SCREEN_NAMES)
async def test_what_comes_while_it_closes_breaks_nothing(runs: Path, place: ScreenName) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await press(pilot, str(SCREEN_NAMES.index(place) + 1))
            await until(pilot, lambda: app.base_screen.screen_name == place and bool(views(app)))
            # Textual takes the panels away first, and the screens later.
            await app.base_screen.remove_children()
            app.redraw()


@pytest.mark.parametrize("size", SIZES, ids=["wide", "narrow"])
@pytest.mark.parametrize("kind", RUNS)
async def test_every_state_has_its_words_and_bears_every_key(
    kind: str, size: tuple[int, int], runs: Path, stack: ExitStack
) -> None:
    make, words = RUNS[kind]
    keys = [name for key in KEYS for name in key.keys.split(",") if key.action != "leave"]
    async with watching(make(runs, stack), size) as (app, pilot):
        await until(pilot, lambda: words in " ".join(text(app).split()) or words in text(app), words)
        opening = ("p", "l", "m", "M", "r", "b", "n", "question_mark")
        await press(pilot, *(key for key in keys if key not in opening), "enter", "home", "x")
        for key in opening:
            await pilot.press(key)
            if app.screen is not app.dashboard:
                await pilot.press("escape")
        assert words[:20] in text(app) or "Nothing was asked" in text(app) or "There is no" in text(app)
        assert app.export_screenshot()
        await pilot.press("q")
        if app.is_running and app.screen is not app.dashboard:
            await pilot.press("l")
        await until(pilot, lambda: not app.is_running, "the end")


async def test_a_finished_run_says_what_its_log_lacks(runs: Path) -> None:
    gap = events.LogGap(dropped={"batches": 1200}, reason="No space left on device")
    run = make_run(runs, [*training("bn_1"), gap, events.RunEnded(status="finished")])
    async with watching(run, WIDE) as (app, pilot):
        await until(pilot, lambda: "1,200 facts were not recorded (No space left on device)" in text(app))
        assert "Finished after" in text(app)


async def test_preparing_shows_what_the_trainer_printed(runs: Path) -> None:
    with LiveRun(runs, *preparing()) as run:
        run.directory.trainer_log.write_bytes(b"first\nbatch 1\rbatch 2\rbatch 3\n")
        async with watching(run.directory, NARROW) as (app, pilot):
            await until(pilot, lambda: "batch 3" in part(app, "Waiting"))
            assert "batch 2" not in part(app, "Waiting")
            assert "preparing loading Keras…" in part(app, "Header")
            with run.directory.trainer_log.open("ab") as file:
                file.write(b"the last word\n")
            await until(pilot, lambda: "the last word" in part(app, "Waiting"))
            run.write(*training("bn_1")[1:])
            await until(pilot, lambda: "● training" in text(app))
            assert not app.dashboard.query_one("Waiting").display


async def test_a_trainer_that_ends_before_its_first_word_is_said(runs: Path) -> None:
    class Trainer:
        def start(self) -> None:
            run.trainer_log.write_text("ModuleNotFoundError: No module named 'keras'\n")

        def poll(self) -> int:
            return 1

    run = RunDirectory.at(runs / "run")
    async with watching(run, trainer=Trainer()) as (app, pilot):
        await until(pilot, lambda: "exit status 1" in text(app))
        assert "No module named 'keras'" in text(app)


async def test_a_trainer_that_cannot_be_started_is_said(runs: Path) -> None:
    async with watching(RunDirectory.at(runs / "run")) as (app, pilot):
        app.post_message(Heard(TrainerExited(None, "The training process cannot be started: no memory")))
        await until(pilot, lambda: "cannot be started: no memory" in part(app, "Banner"))


async def test_a_run_that_dies_is_called_crashed_and_what_was_asked_has_no_answer(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await pilot.press("f")
            await until(pilot, lambda: "frozen, asked" in text(app))
            run.die()
            await until(pilot, lambda: "✗ crashed" in part(app, "Header"))
            await until(pilot, lambda: "No answer will come to “freeze bn_1”: the trainer is gone." in text(app))
            assert "the run is over" in part(app, "KeyBar")
            assert "asked" not in text(app)


async def test_a_log_that_cannot_be_written_is_told_until_it_can(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        run.write(events.LogGap(dropped={}, reason="No space left on device", step=3, epoch=3))
        async with watching(run.directory, NARROW) as (app, pilot):
            said = "Log cannot be written: No space left on device. This is of step 3."
            await until(pilot, lambda: said in " ".join(part(app, "Banner").split()))
            run.write(events.Heartbeat(step=3, epoch=3))
            await until(pilot, lambda: "cannot be written" not in part(app, "Banner"))


async def test_what_comes_from_outside_is_shown_and_not_obeyed(runs: Path) -> None:
    facts = training("bn_1")
    facts[0] = started(name=HOSTILE, host=HOSTILE, versions={HOSTILE: HOSTILE})
    facts[1] = events.ModelBuilt(
        name=HOSTILE,
        parameters=1,
        trainable_parameters=1,
        batch_norm_layers=[layer(HOSTILE)],
        other_layers=[HOSTILE],
    )
    hostile = [
        events.BatchNorm(layers={HOSTILE: statistics()}, step=3, epoch=3),
        events.StateChanged(state="compiling", detail=HOSTILE),
        events.StateChanged(state=HOSTILE),
        events.Evaluated(name=HOSTILE, logs={HOSTILE: "nan"}),
        events.Recalibrated(batches=1, examples=1, dry_run=True, after={HOSTILE: 1.0}, skipped=[HOSTILE]),
        events.CheckpointSaved(name=HOSTILE, reason=HOSTILE, size_bytes=1, seconds=1.0, step=3),
        events.RolledBack(checkpoint=HOSTILE, to_step=1, to_epoch=1, step=3),
        events.RunResumed(checkpoint=HOSTILE, to_step=1, to_epoch=1, repeated_steps=1, lost_steps=1, step=3),
        events.Note(text=HOSTILE),
        events.LogGap(dropped={HOSTILE: 3}, reason=HOSTILE),
        events.CommandApplied(
            id="a",
            request={"command": "freeze", "layers": [HOSTILE]},
            sender=events.Sender(uid=1, user=HOSTILE, host=HOSTILE, pid=1),
            first_step=1,
            frozen=[HOSTILE],
            phase=HOSTILE,
            statistics_held=[HOSTILE],
            frozen_weights=[HOSTILE],
            momentum={HOSTILE: 0.5},
            detail=HOSTILE,
            step=3,
        ),
    ]
    metrics: dict[str, list[float | str]] = {HOSTILE: [1.0, "inf"]}
    facts[4] = events.Batches(first_step=0, metrics=metrics, batches=2, step=2)
    facts[5] = events.EpochEnded(logs={HOSTILE: 1.0, f"val_{HOSTILE}": 2.0}, learning_rate="nan", seconds=1.0, step=3)
    with LiveRun(runs, *facts, *hostile) as run:
        run.directory.trainer_log.write_text(HOSTILE * 3)
        for size in SIZES:
            async with watching(run.directory, size) as (app, pilot):
                for ending in ([], [events.RunEnded(status="failed", traceback=HOSTILE)]):
                    run.write(*ending if size == NARROW else [])
                    await pilot.press(
                        "tab", "down", "question_mark", "escape", "p", "escape", "b", "escape", "m", "escape"
                    )
                    app.redraw()
                    shown = text(app)
                    assert "[red]x[/red]" in shown
                    assert not [
                        character
                        for character in shown
                        if unicodedata.category(character) == "Cc" and character != "\n"
                    ]
                    assert "\u202e" not in shown
                    assert "\x1b" not in app.export_screenshot()


async def test_numbers_that_are_not_finite_are_marked(runs: Path) -> None:
    statistic = statistics()
    statistic.moving_mean, statistic.non_finite = ["nan", *statistic.moving_mean[1:6], "inf"], 2
    with LiveRun(runs, *training("bn_1")) as run:
        run.write(
            events.Batches(first_step=3, metrics={"loss": ["nan", "inf", "-inf"]}, batches=3, step=6),
            events.BatchNorm(layers={"bn_1": statistic}, step=6),
        )
        async with watching(run.directory) as (app, _):
            assert "▲" in part(app, "#loss").splitlines()[1]
            assert "batch -inf" in part(app, "#loss")
            assert "nonfinite" in part(app, "LayerTable")


async def test_tab_shows_one_chart_after_the_other_where_there_is_room_for_one(runs: Path) -> None:
    def shown() -> list[str | None]:
        return [chart.id for chart in app.dashboard.query("#charts > *") if chart.display and chart.size.area]

    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            # Without a probe there is no drift; the gap has its lines beside each of them.
            for expected in ("loss", "moving-mean", "moving-variance", "loss"):
                await until(pilot, lambda expected=expected: set(shown()) == {expected, "gap"})
                await pilot.press("tab")
            await pilot.press("shift+tab")
            await until(pilot, lambda: shown() == ["loss", "gap"])
            assert "train " in part(app, "#loss")


async def test_the_cursor_chooses_the_layer_of_the_lower_charts(runs: Path) -> None:
    paths = [f"bn_{number}" for number in range(30)]
    with LiveRun(runs, *training(*paths)) as run:
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: "bn_0 moving mean" in part(app, "#moving-mean"))
            for keys, number in ((["down"], 1), (["pagedown", "j"], 12), (["k"], 11), (["pagedown"] * 4, 29)):
                await press(pilot, *keys)
                await until(pilot, lambda number=number: f"bn_{number} moving mean" in part(app, "#moving-mean"))
                assert f"› bn_{number} " in part(app, "LayerTable")
                assert f"{number + 1} of 30" in part(app, "LayerTable")
            await press(pilot, *["up"] * 40)
            await until(pilot, lambda: "bn_0 moving variance" in part(app, "#moving-variance"))


async def test_a_click_selects_the_line_under_it_and_none_on_the_frame(runs: Path) -> None:
    with LiveRun(runs, *training(*(f"bn_{number}" for number in range(30)))) as run:
        async with watching(run.directory) as (app, pilot):
            table, below = app.base_screen.query_one("LayerTable"), app.base_screen.query_one("Timeline")
            # Where it is depends on what is below it.
            await until(pilot, lambda: (table.size.height, below.size.height) == (15, 9))
            await until(pilot, lambda: "› bn_0 " in part(app, "LayerTable"))
            await pilot.click(table, offset=(10, 4))
            await until(pilot, lambda: "› bn_2 " in part(app, "LayerTable"))
            # There are more lines below the frame: none of them was clicked.
            for row in (0, 1, table.size.height - 1):
                await pilot.click(table, offset=(10, row))
                assert "› bn_2 " in part(app, "LayerTable")


async def test_help_names_every_key(runs: Path) -> None:
    async with watching(make_run(runs, a_run())) as (app, pilot):
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        page = help_page(app)
        assert all(key.help in page for key in KEYS)
        await pilot.press("q")
        await until(pilot, lambda: app.screen is app.dashboard)


def some_time(**fields: object) -> events.CommandApplied:
    return events.CommandApplied(**{"id": "a", "sender": SENDER, "first_step": 0, **fields})  # type: ignore[arg-type]


def marked(*facts: events.AnyEvent) -> list[tuple[int, str]]:
    return [(mark.step, mark.word) for mark in marks(fold([*training("bn_1"), *facts]))]


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (commands.Freeze(layers=["encoder/bn_1"]), "freeze bn_1"),
        (commands.Freeze(statistics=True), "hold all"),
        (commands.Freeze(statistics=True, layers=["base/bn2"]), "hold bn2"),
        (commands.Unfreeze(statistics=True, layers=["base/bn2"]), "unhold bn2"),
        (commands.Unfreeze(weights=True, layers=["a/conv"]), "unfreeze weights co…"),
        (commands.Momentum(momentum=0.9, layers=["a/bn"]), "momentum 0.9 bn"),
        (commands.LearningRate(learning_rate=1e-5), "lr 1e-5"),
        (commands.LearningRate(learning_rate=None), "lr schedule"),
        (commands.Recalibrate(), "recalibrate"),
        (commands.Recalibrate(dry_run=True), None),
        (commands.Pause(), None),
        (commands.Resume(), None),
        (commands.Checkpoint(), None),
        (commands.Evaluate(), None),
        (commands.Rollback(), None),
    ],
)
def test_what_changes_training_is_marked(request_: commands.AnyRequest, word: str | None) -> None:
    asked = some_time(request=commands.as_fields(request_), first_step=3, step=3)
    assert marked(asked) == ([] if word is None else [(3, word)])


def test_where_a_run_went_back_or_on_is_marked() -> None:
    assert marked(
        events.RolledBack(checkpoint="a", to_step=1, to_epoch=0, step=5, branch=1),
        started(attempt=1, step=8, branch=1),
        events.RunResumed(checkpoint="a", to_step=1, to_epoch=0, repeated_steps=1, lost_steps=7, step=8, branch=2),
    ) == [(5, "rollback"), (8, "resumed")]


async def test_what_is_held_and_what_momentum_was_asked_for_is_in_the_table(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2", "bn_3")) as run:
        mode = {
            "frozen": ["bn_1"],
            "statistics_held": ["bn_2"],
            "momentum": {"bn_2": 0.5, "bn_3": 0.99},
            "frozen_weights": ["dense"],
        }
        run.write(some_time(request={"command": "momentum"}, first_step=3, step=3, **mode))
        for size in SIZES:
            async with watching(run.directory, size) as (app, pilot):
                await until(pilot, lambda app=app: "statistics of 1 held" in part(app, "LayerTable"))
                table = part(app, "LayerTable")
                assert ("1 other layer frozen" in table) == (size == WIDE)
                assert re.search(r"bn_1 +frozen +", table)
                assert re.search(r"bn_2 +held, momentum 0.5 +", table)
                # As the model has it.
                assert re.search(r"bn_3 +training  +", table)
                assert "held 1/3" in part(app, "Header")


# What is sent


class Refreshes:
    """Which widgets Textual is asked to draw again, and how many cells of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[Widget, tuple[Any, ...]]] = []
        refresh = Widget.refresh

        def recorded(widget: Widget, *regions: Any, **options: Any) -> Any:
            if isinstance(widget, CellView | Dashboard):
                self.seen.append((widget, regions))
            return refresh(widget, *regions, **options)

        monkeypatch.setattr(Widget, "refresh", recorded)

    @property
    def cells(self) -> float:
        return sum(sum(region.area for region in regions) if regions else float("inf") for _, regions in self.seen)


async def test_only_the_cells_that_change_are_sent(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        # In the middle of a step of the axis, with no limit that moves.
        run.write(events.Batches(first_step=3, metrics={"loss": [0.31] * 50}, batches=50, step=53))
        async with watching(run.directory) as (app, pilot):
            await until(pilot, lambda: app.viewer.state.step == 53)
            app.redraw()
            await pilot.pause()
            refreshes = Refreshes(monkeypatch)
            run.write(events.Batches(first_step=53, metrics={"loss": [0.32]}, batches=1, step=54))
            await until(pilot, lambda: app.viewer.state.step == 54 and refreshes.seen)
            assert 0 < refreshes.cells < 0.05 * 200 * 50


async def test_an_idle_screen_sends_nothing(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with watching(make_run(runs, a_run())) as (app, pilot):
        await until(pilot, lambda: "finished" in part(app, "Header") and not app.is_out_of_date)
        app.redraw()
        await pilot.pause()
        refreshes = Refreshes(monkeypatch)
        for _ in range(5):
            app.redraw()
            await pilot.pause()
        assert refreshes.seen == []
        assert not app.is_out_of_date


async def test_the_screen_is_the_same_whichever_way_it_came_about(runs: Path) -> None:
    facts = training("bn_1", "bn_2")
    with LiveRun(runs, *facts[:5]) as run:
        async with watching(run.directory) as (grown, pilot):
            for fact in facts[5:]:
                run.write(fact)
                await until(pilot, lambda: grown.viewer.state.last_seq == run.last_seq)
                grown.redraw()
            await pilot.resize_terminal(*NARROW)
            await pilot.resize_terminal(*WIDE)
            async with watching(run.directory) as (fresh, _):
                await until(pilot, lambda: text(grown) == text(fresh), text(fresh))


async def test_a_storm_of_sizes(runs: Path) -> None:
    sizes = [(80, 24), (120, 36), (40, 12), (1, 1), (200, 50), (160, 28), (3, 40), (300, 3), (139, 31), (140, 44)]
    with LiveRun(runs, *training("bn_1", "層" * 40)) as run:
        async with watching(run.directory) as (app, pilot):
            for number, size in enumerate([*sizes, *reversed(sizes)]):
                step = 3 + number
                run.write(events.Batches(first_step=step, metrics={"loss": [number]}, batches=1, step=step + 1))
                await pilot.resize_terminal(*size)
                app.redraw()
            await pilot.resize_terminal(*NARROW)
            await until(pilot, lambda: app.viewer.state.step == 3 + 2 * len(sizes))
            await until(pilot, lambda: "q quit" in part(app, "KeyBar"))
            assert all(view.size.width <= 80 for view in views(app))
            assert "epoch" in part(app, "Header")


@pytest.mark.parametrize("size", [(40, 12), (60, 16), (80, 24), (100, 30), (139, 40), (140, 24), (200, 50)])
async def test_the_last_line_has_help_and_quit_at_every_size(runs: Path, size: tuple[int, int]) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2", "bn_3")) as run:
        async with watching(run.directory, size) as (app, pilot):
            bar = app.dashboard.query_one("KeyBar")
            await until(pilot, lambda: bar.region.bottom == size[1])
            assert "? help  q quit" in part(app, "KeyBar")
            # On the smallest, the layers have a turn of their own.
            assert size[1] < 14 or "› bn_1" in part(app, "LayerTable")


# Long runs and replays


async def test_a_long_log_shows_its_first_screen_before_it_is_read(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["loss", *(f"metric_{number}" for number in range(7))]
    facts = training("bn_1")[:4]
    for first in range(0, 100_000, 20):
        values = [first / 100_000 + number / 1e6 for number in range(20)]
        metrics: dict[str, Any] = dict.fromkeys(names, values)
        facts.append(events.Batches(first_step=first, metrics=metrics, batches=20, step=first + 20))
    run = RunDirectory.at(runs / "long")
    run.session_log.write_bytes(encode_log(facts))
    shown: list[Moment] = []
    steps: list[int] = []

    app = WatchApp(run)
    redraw = app.redraw

    def recorded() -> None:
        redraw()
        shown.append(app.moment())
        steps.append(app.viewer.state.step)

    monkeypatch.setattr(app, "redraw", recorded)
    async with watching(run, app=app) as (_, pilot):
        await until(pilot, lambda: app.viewer.state.step == 100_000 and app.moment().reading is None)
        app.redraw()
        first = next(step for step in steps if step)
        assert first < 20_000
        assert any(moment.reading is not None for moment in shown)
        assert "80k" in part(app, "#loss")
        assert len(app.viewer.state.batch_metrics["metric_6"]) == 100_000


async def test_a_replay_is_under_the_keys(runs: Path) -> None:
    clock = ReplayClock(speed=1 / 64)
    run = make_run(runs, a_run())
    async with watching(run, replay=clock, readonly=True) as (app, pilot):
        await until(pilot, lambda: clock.position.total_seconds == 15)
        assert "replay ×0.015625" in part(app, "Header")
        assert "play/pause" in part(app, "KeyBar")
        assert "freeze" not in part(app, "KeyBar")
        await pilot.press("right_square_bracket", "right_square_bracket", "left_square_bracket")
        assert clock.speed == 1 / 32
        await pilot.press("space")
        assert not clock.playing
        assert "‖ replay" in part(app, "Header")
        await pilot.press("full_stop")
        assert (app.viewer.state.epochs_ended, app.viewer.state.step, app.viewer.state.commands) == (1, 2, {})
        await pilot.press("full_stop")
        assert app.viewer.state.frozen == {"bn_1", "bn_2"}
        assert "▲" in part(app, "#loss")
        await pilot.press("f", "F", "p")
        assert list(run.commands.iterdir()) == []
        await pilot.press("end")
        assert app.viewer.state.ended is not None
        assert "✓ finished" in part(app, "Header")
        await pilot.press("space", "full_stop", "end", "q")
        await until(pilot, lambda: not app.is_running)


async def test_a_replay_plays_to_its_end_by_itself(runs: Path) -> None:
    async with watching(make_run(runs, a_run()), replay=ReplayClock(speed=4096), readonly=True) as (app, pilot):
        await until(pilot, lambda: app.viewer.state.ended is not None)
        await until(pilot, lambda: "0:15/0:15" in part(app, "Header"))


async def test_lines_that_are_no_events_stop_nothing(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        with run.directory.session_log.open("ab") as file:
            file.write(b'{"type": "from_the_future", "seq": 9}\n\xff\xfe\n{"type": "bat')
        app = WatchApp(run.directory)
        async with app.run_test(size=WIDE) as pilot:
            await until(pilot, lambda: app.viewer.state.step == 3 and "● training" in text(app))


def test_facts_of_these_tests_are_facts() -> None:
    assert [msgspec.json.decode(line)["type"] for line in encode_log(training("bn_1")).splitlines()][-1] == "batch_norm"


async def test_screens_open_by_their_keys_and_the_dashboard_stays_below(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_2")) as run:
        async with watching(run.directory, WIDE) as (app, pilot):
            await press(pilot, "3")
            await until(pilot, lambda: app.base_screen.screen_name == "layers" and "bn_2" in text(app))
            await press(pilot, "down")
            assert app.base_screen.selected_layer == "bn_2"
            await press(pilot, "f")
            await until(pilot, lambda: bool(run.requests()))
            assert getattr(run.requests()[0], "layers", None) == ["bn_2"]
            await press(pilot, "3")
            assert app.base_screen.screen_name == "layers"
            await press(pilot, "escape")
            await until(pilot, lambda: app.screen is app.dashboard and "q quit" in text(app))


EVERY_KEY = [
    pytest.param(kind, size, id=f"{kind}-{size[0]}", marks=() if (kind, size) in covering else pytest.mark.full)
    for covering in [(("training", WIDE),)]
    for kind in ("empty", "training", "no BatchNormalization", "finished", "crashed")
    for size in SIZES
]


@pytest.mark.parametrize(("kind", "size"), EVERY_KEY)
async def test_every_key_of_every_screen_is_borne(
    kind: str, size: tuple[int, int], runs: Path, stack: ExitStack
) -> None:
    leaving = ("leave", "watch_run", "open", "back")
    async with watching(RUNS[kind][0](runs, stack), size) as (app, pilot):
        for place in SCREEN_NAMES:
            await app.run_action(f"open('{place}')")
            await until(pilot, lambda place=place: app.base_screen.screen_name == place, place)
            keys = [key for key in keys_of(place) if not key.action.startswith(leaving)]
            for name in [name for key in keys for name in key.keys.split(",")]:
                await press(pilot, name)
                # What a key has opened takes the keys that come next: it is closed again.
                while app.screen is not app.base_screen or isinstance(app.focused, Input):
                    await pilot.press("escape")
                    await pilot.pause()
                assert app.is_running, (place, name)
                # An event is shown in the charts.
                await app.run_action(f"open('{place}')")
            assert app.base_screen.screen_name == place
            assert app.export_screenshot()


async def test_a_panel_says_what_it_shows_where_the_mouse_rests(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory, WIDE) as (app, _):
            assert "smallest to its largest" in str(app.dashboard.query_one("#loss").tooltip)
            assert "g measures it" in str(app.dashboard.query_one("#gap").tooltip)


@pytest.mark.parametrize(
    ("last", "status"),
    [(None, "crashed"), (None, "paused"), (events.RunEnded(status="stopped", reason="Ctrl-C (SIGINT)"), "stopped")],
)
def test_the_banner_of_a_usual_run_is_whole_at_80_columns(last: events.RunEnded | None, status: str) -> None:
    state = fold([*training("bn_1"), *([last] if last else [])])
    path = Path("runs/20261130-221413-train").absolute()
    found = sentence(Moment(state, status, state.last_time or 0.0, path, trainer_log=("a line",)))
    assert found is not None
    assert len(found.words.removesuffix("  ·  q closes this screen.")) <= 78
