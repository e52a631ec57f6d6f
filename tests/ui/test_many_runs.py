"""Many runs on one screen: order, filter, baseline, small charts, tags, and deletion."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from helpers import fit_started, layer, make_run, model_built, requests_in, started
from tuimon.protocol import events
from tuimon.runs.listing.tags import BASELINE, FILE_NAME, Tags, change_tags, read_tags
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.app import WatchApp
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.screens.compare.run_list import RunList
from tuimon.ui.screens.compare.runs_reader import RunsListed, RunsReader
from tuimon.ui.screens.compare.small_multiples import Grid, SmallMultiples, grid_for
from tuimon.ui.viewer.meanings import RUN, Meaning
from tuimon.ui.viewer.view_memory import ViewMemory
from ui.sizes import NARROW, WIDE
from ui.watching import LiveRun, cells, part, press, text, until, watching

TINY = (40, 10)


def trained(
    *losses: float | str, rate: float = 1e-3, batch: int = 32, optimizer: str = "Adam", **fields: Any
) -> list[events.AnyEvent]:
    """Return the facts of a run over with these validation losses."""
    facts: list[events.AnyEvent] = [
        started(**fields),
        model_built(layer("bn_1")),
        fit_started(epochs=9, batch_size=batch, optimizer=optimizer, steps_per_epoch=10),
    ]
    for epoch, loss in enumerate(losses):
        facts.append(
            events.EpochEnded(
                logs={"loss": loss, "val_loss": loss, "val_accuracy": 1 - loss if isinstance(loss, float) else loss},
                learning_rate=rate,
                seconds=1.0,
                step=10 * (epoch + 1),
                epoch=epoch,
            )
        )
    return [*facts, events.RunEnded(status="finished", step=10 * len(losses), epoch=max(0, len(losses) - 1))]


@pytest.fixture
def five(runs: Path) -> Path:
    """Return a directory of five runs: the watched one, a better and a worse one, one of nan, one that failed early."""
    make_run(runs, trained(0.5, 0.25, 0.75, rate=1e-4), "watched")
    make_run(runs, trained(0.5, 0.125, batch=64), "good")
    make_run(runs, trained(0.5, rate=1e-4), "bad")
    make_run(runs, trained("nan"), "broken")
    make_run(runs, [*trained()[:-1], events.RunEnded(status="failed")], "early")
    return runs


def listed(app: WatchApp) -> list[str]:
    """Return the names in the list, in its order."""
    lines = [line[7:].split() for line in part(app, "RunList").splitlines()[2:-1]]
    return [line[0] for line in lines if line and line[0] not in ("Looking…", "run", "│")]


def row(app: WatchApp, name: str) -> str:
    return next(line for line in part(app, "RunList").splitlines() if f" {name} " in line)


async def opened(pilot: "Pilot[str]", app: WatchApp, count: int) -> None:
    """Open the screen, and wait until its list has all runs."""
    await press(pilot, "8")
    await until(pilot, lambda: app.base_screen.screen_name == "compare" and len(listed(app)) == count, "all are listed")


async def answer(pilot: "Pilot[str]", app: WatchApp, key: str, *keys: str) -> None:
    """Press a key that asks, and answer with other keys."""
    await press(pilot, key)
    await until(pilot, lambda: app.screen is not app.base_screen, "the question")
    await press(pilot, *keys)
    await until(pilot, lambda: app.screen is app.base_screen, "the answer is taken")


def put_on(app: WatchApp, name: str) -> list[str]:
    """Return the keys that put the cursor on a run."""
    order = listed(app)
    selected = app.base_screen.selected_run
    assert selected is not None
    by = order.index(name) - order.index(selected.name)
    return ["down" if by > 0 else "up"] * abs(by)


async def search(pilot: "Pilot[str]", app: WatchApp, words: str, *, more: bool = False) -> None:
    """Type a filter, and keep it; ``more``: behind the words that are there."""
    await press(pilot, "slash")
    await press(pilot, *(["end"] if more else []), *words)
    await press(pilot, "enter")
    await until(pilot, lambda: isinstance(app.focused, RunList), "the keys are the list's again")


# Order and filter


async def test_runs_are_sorted_by_their_best_value_and_unknown_ones_come_last(five: Path) -> None:
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await opened(pilot, app, 5)
        assert listed(app)[0] == "watched"
        assert "0.1250      2 " in row(app, "good")
        assert "–" in row(app, "broken")
        await press(pilot, *put_on(app, "bad"))
        await press(pilot, "o")
        await until(pilot, lambda: "by best val_loss" in text(app))
        assert listed(app)[:3] == ["good", "watched", "bad"]
        # The cursor stays with its run.
        assert app.base_screen.selected_run == five / "bad"
        await press(pilot, "O")
        await until(pilot, lambda: "worst first" in text(app))
        assert listed(app)[:3] == ["bad", "watched", "good"]
        assert set(listed(app)[3:]) == {"broken", "early"}
        # Of an accuracy, the highest is the best.
        await press(pilot, "O", "tab")
        await until(pilot, lambda: "by best val_accuracy" in text(app))
        assert listed(app)[:3] == ["good", "watched", "bad"]
        await press(pilot, "o")
        await until(pilot, lambda: "by name" in text(app) and listed(app) == sorted(listed(app)))
        await press(pilot, "o", "o")
        await until(pilot, lambda: "by lr" in text(app))
        assert set(listed(app)[:2]) == {"watched", "bad"}


async def test_a_filter_lists_what_fits_and_columns_stay(five: Path) -> None:
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await opened(pilot, app, 5)
        headings = part(app, "RunList").splitlines()[1]
        assert " lr " in headings
        assert " batch " in headings
        # While it is typed.
        await press(pilot, "slash")
        await press(pilot, *"val_loss<0.3")
        await until(pilot, lambda: sorted(listed(app)) == ["good", "watched"])
        assert "2 of 5 fit val_loss<0.3" in text(app)
        assert part(app, "RunList").splitlines()[1] == headings
        # What is typed into it is no key of the screen.
        await press(pilot, "enter")
        await search(pilot, app, " -good DFpA", more=True)
        await until(pilot, lambda: listed(app) == [])
        assert "No run fits" in text(app)
        assert (five / "good").exists()
        await press(pilot, "escape")
        await until(pilot, lambda: len(listed(app)) == 5)
        assert app.base_screen.screen_name == "compare"


async def test_what_does_not_fit_the_filter_is_not_drawn(five: Path) -> None:
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await opened(pilot, app, 5)
        await press(pilot, "A")
        await until(pilot, lambda: "5 drawn" in text(app))
        assert "B " in part(app, "Overlay")
        await search(pilot, app, "val_loss<0.3")
        await until(pilot, lambda: "2 drawn" in text(app) and "2 of 5 fit" in text(app))
        assert "good" in part(app, "Overlay")
        assert "bad" not in part(app, "Overlay")
        await search(pilot, app, "val_loss<0.1")
        await until(pilot, lambda: "The filter leaves out every run" in part(app, "Overlay"))
        await press(pilot, "escape")
        # Each has its letter again.
        await until(pilot, lambda: "5 drawn" in text(app) and "bad" in part(app, "Overlay"))


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
async def test_a_run_without_a_finite_value_has_no_axis_but_words(runs: Path, size: tuple[int, int]) -> None:
    make_run(runs, trained("nan", "nan", "inf"), "broken")
    make_run(runs, trained(0.5, 0.25), "other")
    async with watching(RunDirectory(runs / "broken"), size) as (app, pilot):
        await opened(pilot, app, 2)
        await until(pilot, lambda: "No finite value here: all are nan or infinite." in text(app))
        assert "1.0┤" not in text(app)
        await press(pilot, "1")
        await until(pilot, lambda: "No finite value" in text(app) or "no finite value" in text(app))
        await press(pilot, "2")
        await until(pilot, lambda: "No finite value here" in text(app))


async def test_the_footer_says_what_keys_of_runs_do_now(five: Path) -> None:
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await opened(pilot, app, 5)
        bar = "KeyBar"
        await until(pilot, lambda: "space pick  A pick all" in part(app, bar))
        await press(pilot, "x")
        await until(pilot, lambda: "x steps" in part(app, bar))
        await press(pilot, "d")
        await until(pilot, lambda: "d charts" in part(app, bar))
        await press(pilot, "A", *put_on(app, "good"))
        await until(pilot, lambda: "space leave out  A leave out all" in part(app, bar))
        await press(pilot, "space")
        await until(pilot, lambda: "space pick  A pick all" in part(app, bar))


async def test_escape_closes_what_was_opened_last_and_no_more(five: Path) -> None:
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await opened(pilot, app, 5)
        await search(pilot, app, "good")
        await press(pilot, "v", "d")
        await until(pilot, lambda: app.base_screen.has_class("-settings"))
        await press(pilot, "escape")
        await until(pilot, lambda: not app.base_screen.has_class("-settings"))
        assert not app.base_screen.query_one("RunList").display
        await press(pilot, "escape")
        await until(pilot, lambda: app.base_screen.query_one("RunList").display and listed(app) == ["good"])
        await press(pilot, "escape")
        await until(pilot, lambda: len(listed(app)) == 5)
        await press(pilot, "escape")
        await until(pilot, lambda: app.screen is app.dashboard)


async def test_order_filter_and_view_are_kept(five: Path) -> None:
    memory = ViewMemory()
    async with watching(RunDirectory(five / "watched"), WIDE, memory=memory) as (app, pilot):
        await opened(pilot, app, 5)
        await press(pilot, "o", "O")
        await search(pilot, app, "e")
        await press(pilot, "v", "v")
        await until(pilot, lambda: "worst first" in text(app))
    async with watching(RunDirectory(five / "watched"), WIDE, memory=memory) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: "by best val_loss, worst first" in text(app) and "of 5 fit e" in text(app))
        assert not app.base_screen.query_one("Overlay").display


# Baseline and small charts


async def test_runs_are_measured_against_a_pinned_baseline(five: Path) -> None:
    log = (five / "bad" / "session.jsonl").read_bytes()
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await opened(pilot, app, 5)
        assert "baseline" not in part(app, "RunList")
        await press(pilot, *put_on(app, "bad"), "P")
        await until(pilot, lambda: " baseline " in row(app, "bad"))
        assert "0.3750 better" in row(app, "good")
        assert "0.2500 better" in row(app, "watched")
        # Of what is not known, nothing is said.
        assert "better" not in row(app, "early")
        assert "worse" not in row(app, "broken")
        assert read_tags(five / "bad").tags == (BASELINE,)
        assert (five / "bad" / "session.jsonl").read_bytes() == log
        # It is drawn, and stays so.
        assert "2 drawn" in text(app)
        await press(pilot, "space")
        await until(pilot, lambda: "P unpins it" in text(app))
        # Another one takes its place.
        await press(pilot, *put_on(app, "good"), "P")
        await until(pilot, lambda: " baseline " in row(app, "good"))
        assert "0.3750 worse" in row(app, "bad")
        assert read_tags(five / "bad") == Tags()
        await press(pilot, "P")
        await until(pilot, lambda: "baseline" not in part(app, "RunList"))
        assert not (five / "good" / FILE_NAME).exists()


async def test_a_baseline_that_cannot_be_written_is_pinned_on_this_screen(
    five: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tuimon.runs.listing.tags.write_tags", refuse)
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await opened(pilot, app, 5)
        await press(pilot, *put_on(app, "bad"), "P")
        await until(pilot, lambda: "pinned on this screen alone" in text(app) and "0.3750 better" in row(app, "good"))


def many(runs: Path, count: int) -> None:
    for number in range(count):
        make_run(runs, trained(1.0, 0.5 + number / count, rate=10.0 ** -(number % 3 + 2)), f"run-{number:03}")


async def test_more_than_six_runs_have_a_small_chart_each_with_the_baseline_in_it(runs: Path) -> None:
    many(runs, 9)
    change_tags(runs / "run-004", [BASELINE])
    async with watching(RunDirectory(runs / "run-000"), WIDE) as (app, pilot):
        await opened(pilot, app, 9)
        await press(pilot, "A", "o")
        chart = app.base_screen.query_one(SmallMultiples)
        await until(pilot, lambda: chart.display and "9 drawn" in text(app) and "%" not in chart.text())
        shown = chart.text()
        assert all(f" {number:03} " in shown for number in range(9)), shown
        assert "dashed: the baseline, run-004" in shown
        # In the order of the list, the best first, each with its best value.
        assert shown.index(" 000 ") < shown.index(" 001 ") < shown.index(" 008 ")
        assert "0.944" in shown
        codes = cells(chart).codes
        assert {RUN, int(Meaning.KEY), int(Meaning.DIM)} <= set(codes[1:-1, 1:-1].ravel().tolist())
        # Values of batches are left out of what is read: the chart of every epoch is the same.
        saved = app.base_screen.shown_curves(app.moment())
        assert len(saved) == 9
        assert all(series.values.tolist()[0] == 1.0 for _, _, series in saved)


async def test_pages_of_small_charts_follow_the_cursor(runs: Path) -> None:
    many(runs, 40)
    async with watching(RunDirectory(runs / "run-000"), NARROW) as (app, pilot):
        await opened(pilot, app, 3)
        await until(pilot, lambda: "of 40" in text(app))
        await press(pilot, "o", "o", "A", "v")
        chart = app.base_screen.query_one(SmallMultiples)
        await until(pilot, lambda: chart.display and "1–16 of 40" in chart.text() and " 000 " in chart.text())
        assert " 020 " not in chart.text()
        await press(pilot, "pagedown", "pagedown")
        await until(pilot, lambda: "17–32 of 40" in chart.text() and " 020 " in chart.text())
        await press(pilot, *["pagedown"] * 3)
        await until(pilot, lambda: "33–40 of 40" in chart.text())


@pytest.mark.parametrize(
    ("charts", "width", "height", "grid"),
    [(7, 106, 40, Grid(3, 3)), (40, 78, 18, Grid(4, 4)), (300, 198, 44, Grid(11, 11)), (7, 10, 3, Grid(1, 1))],
)
def test_a_grid_has_charts_that_can_be_read(charts: int, width: int, height: int, grid: Grid) -> None:
    assert grid_for(charts, width, height) == grid


# Tags and deletion


async def test_a_run_gets_tags_and_a_note_beside_its_log(five: Path) -> None:
    log = (five / "good" / "session.jsonl").read_bytes()
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await opened(pilot, app, 5)
        await press(pilot, *put_on(app, "good"))
        await answer(pilot, app, "t", *"fine odd", "enter")
        await until(pilot, lambda: read_tags(five / "good").tags == ("fine", "odd"))
        await until(pilot, lambda: "Tags of good: fine odd" in text(app))
        await press(pilot, "v", "v")
        await until(pilot, lambda: "fine odd" in row(app, "good"))
        await answer(pilot, app, "t", *"-odd", "enter")
        await until(pilot, lambda: read_tags(five / "good").tags == ("fine",))
        await answer(pilot, app, "T", *"try again", "enter")
        await until(pilot, lambda: read_tags(five / "good").note == "try again" and "try again" in text(app))
        # Of another viewer, or of `tuimon tag`.
        change_tags(five / "bad", ["late"])
        await until(pilot, lambda: " late" in row(app, "bad"))
        await search(pilot, app, "tag=fine")
        await until(pilot, lambda: listed(app) == ["good"])
        await answer(pilot, app, "T", "-", "enter")
        await until(pilot, lambda: read_tags(five / "good").note == "")
    assert (five / "good" / "session.jsonl").read_bytes() == log


async def test_who_only_looks_changes_nothing(five: Path) -> None:
    async with watching(RunDirectory(five / "watched"), WIDE, readonly=True) as (app, pilot):
        await opened(pilot, app, 5)
        await press(pilot, "down")
        for key in ("t", "T", "P", "D"):
            await press(pilot, "up", "down", key)
            await until(pilot, lambda: "read-only: nothing was changed" in text(app))
            assert app.screen is app.base_screen
    assert not list(five.glob(f"*/{FILE_NAME}"))


async def test_a_run_is_deleted_once_somebody_has_agreed(five: Path) -> None:
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await opened(pilot, app, 5)
        await press(pilot, *put_on(app, "good"), "space")
        await until(pilot, lambda: "2 drawn" in text(app))
        # Enter does what is marked, and that is to do nothing.
        for key in ("escape", "enter", "c"):
            await answer(pilot, app, "D", key)
        assert (five / "good" / "session.jsonl").exists()
        await press(pilot, "O")
        await until(pilot, lambda: "oldest first" in text(app))
        after = listed(app)[listed(app).index("good") + 1]
        await answer(pilot, app, "delete", "d")
        await until(pilot, lambda: len(listed(app)) == 4 and "Deleted good." in text(app) and "1 drawn" in text(app))
        assert not (five / "good").exists()
        # The cursor is where it was.
        assert app.base_screen.selected_run == five / after


async def test_the_watched_run_and_one_that_trains_are_not_deleted(five: Path) -> None:
    with LiveRun(five, *trained(0.5)[:-1]) as run:
        async with watching(RunDirectory(five / "watched"), NARROW) as (app, pilot):
            await press(pilot, "8")
            await until(pilot, lambda: "of 6" in text(app))
            await press(pilot, "D")
            await until(pilot, lambda: "the watched run stays" in text(app))
            await press(pilot, *["down"] * 1)
            assert app.base_screen.selected_run == run.directory.path
            await answer(pilot, app, "D", "d", "enter")
            assert run.directory.session_log.exists()
            assert requests_in(run.directory) == []


async def test_runs_come_and_go_while_the_screen_is_open(five: Path) -> None:
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await opened(pilot, app, 5)
        await press(pilot, "A")
        await until(pilot, lambda: "5 drawn" in text(app))
        shutil.rmtree(five / "bad")
        make_run(five, trained(0.0625), "new")
        await until(pilot, lambda: "new" in listed(app) and "bad" not in listed(app))
        await until(pilot, lambda: "4 drawn" in text(app) and "bad" not in part(app, "Overlay"))
        # The watched run is gone as well: what was read of it stays.
        shutil.rmtree(five / "watched")
        await press(pilot, "A", "o")
        await until(pilot, lambda: "new" in listed(app)[0] and "watched" in listed(app))


# What cannot be read, and what is large


async def test_damaged_empty_and_old_runs_are_listed_at_every_size(five: Path) -> None:
    (five / "broken-log").mkdir()
    (five / "broken-log" / "session.jsonl").write_bytes(b"\x00\xff{]\n" * 50)
    RunDirectory.at(five / "empty")
    (five / "directory" / "session.jsonl").mkdir(parents=True)
    (five / "directory" / "commands").mkdir()
    make_run(five, [started(protocol=1)], "old")
    old = [json.loads(line) for line in (five / "bad" / "session.jsonl").read_bytes().splitlines()]
    for fact in old:
        # An older format: without fields that came later, and with a type that is no more.
        for later in ("batch_size", "frozen", "momentum", "can"):
            fact.pop(later, None)
    lines = [json.dumps(fact) for fact in [*old[:3], {"type": "forgotten", "seq": 3, "time": 1.0}, *old[3:]]]
    (five / "older").mkdir()
    (five / "older" / "session.jsonl").write_text("\n".join(lines) + "\n")
    other = trained()
    other[-1:-1] = [
        events.EpochEnded(logs={"my_score": 1e9, "loss": "inf"}, learning_rate=1e-9, seconds=1.0, step=10**9)
    ]
    make_run(five, other, "other-units")
    (five / "other-units" / FILE_NAME).write_text('{"tags": ["\\u001b[31m"], "note": "\\u202e"}')
    async with watching(RunDirectory(five / "watched"), WIDE) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: len(part(app, "RunList").splitlines()) > 10 and "cannot be read" in text(app))
        await press(pilot, "A", "o")
        await until(pilot, lambda: "9 drawn" in text(app))
        for size in (NARROW, TINY, (1, 1), WIDE):
            await pilot.resize_terminal(*size)
            for key in ("v", "v", "v", "d", "d", "x", "P", "tab", "o", "tab", "down"):
                await press(pilot, key)
                app.redraw()
            assert "\x1b" not in text(app)
            assert "\u202e" not in text(app)
        assert app.is_running


@pytest.mark.parametrize("count", [2, 7, 40, 300])
async def test_any_number_of_runs_is_shown_at_every_size(runs: Path, count: int) -> None:
    many(runs, count)
    async with watching(RunDirectory(runs / "run-001"), TINY) as (app, pilot):
        await press(pilot, "8")
        words = f"of {count}" if count > 3 else "run-000"
        await until(pilot, lambda: words in text(app))
        # On a screen that is too small for both, the list has it, then the charts.
        assert [type(view).__name__ for view in shown(app)] == ["RunList"]
        await press(pilot, "o", "A", "v")
        await until(pilot, lambda: [type(view).__name__ for view in shown(app)] == [kind_for(count)])
        await press(pilot, "v")
        for size in (NARROW, WIDE):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: len(shown(app)) >= 2 and "by best val_loss" in text(app))
        assert listed(app)[0] == "run-000"
        assert f"{count} drawn" in text(app)


def shown(app: WatchApp) -> list[CellView]:
    """Return the panels of the list and the charts that are on the screen."""
    kinds = ("RunList", "Overlay", "SmallMultiples", "ConfigTable")
    return [view for view in app.base_screen.query(CellView) if view.display and type(view).__name__ in kinds]


def kind_for(count: int) -> str:
    return "Overlay" if count <= 6 else "SmallMultiples"


def test_what_is_over_is_read_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many(runs, 30)
    read: list[str] = []
    whole_lines = Tail._whole_lines

    def counted(tail: Tail, file: Any, limit: int) -> bytes:
        read.append(tail.path.parent.name)
        return whole_lines(tail, file, limit)

    monkeypatch.setattr(Tail, "_whole_lines", counted)
    posted: list[RunsListed] = []
    reader = RunsReader(runs, lambda message: posted.append(message) if isinstance(message, RunsListed) else None)
    reader._scan()
    reader._look()
    assert {line.path.name for line in posted[-1].lines} == set(read)
    assert len(posted[-1].lines) == 30
    read.clear()
    for _ in range(3):
        reader._scan()
        reader._look()
    assert read == []
    # Until something is written.
    change_tags(runs / "run-003", ["x"])
    reader._look()
    assert read == []
    assert {line.name: line.tags.tags for line in posted[-1].lines}["run-003"] == ("x",)
    with (runs / "run-004" / "session.jsonl").open("ab") as log:
        log.write(b'{"type":"heartbeat","seq":9,"time":1.0}\n')
    reader._look()
    assert set(read) == {"run-004"}
