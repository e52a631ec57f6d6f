"""The screens of the timeline, the trainer's log, the machine and the run itself."""

import os
import re
import sys
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from textual.events import MouseScrollUp
from textual.pilot import Pilot

from helpers import SENDER, a_run, fold, make_run, started
from tuimon.protocol import events
from tuimon.runs import liveness
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.ui.app import WatchApp
from tuimon.ui.dialogs.why_screen import WhyScreen
from tuimon.ui.screens.timeline import timeline_list
from tuimon.ui.screens.timeline.timeline_list import TimelineList
from tuimon.ui.screens.trainer_log.log_view import LogView
from tuimon.ui.screens.trainer_log.log_window import BLOCK_BYTES, LogWindow, find, lines_of, read_block
from tuimon.ui.viewer.key import SCREEN_NAMES, ScreenName
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.replay_clock import ReplayClock
from ui.facts import HOSTILE, training
from ui.run_states import RUNS
from ui.sizes import NARROW, SIZES, WIDE
from ui.watching import LiveRun, cells, part, press, text, until, watching

KEY_OF: dict[ScreenName, str] = {"timeline": "4", "log": "5", "system": "6", "run": "7"}


def alert(step: int = 3, **fields: Any) -> events.Alert:
    values: dict[str, Any] = {
        "rule": "R2",
        "severity": "warning",
        "what": "batch statistics of one example",
        "evidence": {"batch_size": 1, "share": 0.996},
        "advice": "Freeze BatchNormalization",
        "request": "freeze",
    }
    return events.Alert(**{**values, **fields}, step=step)


async def opened(app: WatchApp, pilot: "Pilot[str]", place: ScreenName) -> None:
    await press(pilot, KEY_OF[place])
    await until(pilot, lambda: app.base_screen.screen_name == place and "quit" in text(app), f"the screen {place}")


async def typed(pilot: "Pilot[str]", words: str) -> None:
    await press(pilot, "slash")
    await until(pilot, lambda: pilot.app.focused is not None)
    await press(pilot, *words)


def line_under_cursor(app: WatchApp) -> str:
    return next(line for line in part(app, "TimelineList").splitlines() if line.startswith("│›"))


EVERY_SCREEN = [
    pytest.param(
        kind, size, id=f"{kind}-{size[0]}", marks=() if (size == WIDE) == (kind in often) else pytest.mark.full
    )
    for often in [("empty", "training", "crashed", "no BatchNormalization")]
    for kind in RUNS
    for size in SIZES
]


@pytest.mark.parametrize(("kind", "size"), EVERY_SCREEN)
async def test_every_screen_bears_every_kind_of_run_and_every_key(kind: str, size: tuple[int, int], runs: Path) -> None:
    with ExitStack() as stack:
        async with watching(RUNS[kind][0](runs, stack), size) as (app, pilot):
            for place in SCREEN_NAMES[1:]:
                if place not in KEY_OF:
                    continue
                await opened(app, pilot, place)
                await press(pilot, "down", "up", "pagedown", "pageup", "end", "home", "J", "K", "N")
                if place == "log":  # Elsewhere, n is a question.
                    await press(pilot, "n")
                await pilot.resize_terminal(40, 12)
                await pilot.resize_terminal(*size)
                await until(pilot, lambda: "q quit" in part(app, "KeyBar"))
                assert app.export_screenshot()
            await press(pilot, "escape")
            await until(pilot, lambda: app.screen is app.dashboard)


# The timeline


async def test_the_timeline_lists_everything_newest_first_with_its_details(runs: Path) -> None:
    note = "a long word; " * 60 + "and its end"
    facts = [*training("bn_1"), alert(), events.Note(text=note, step=9), events.RunEnded(status="stopped", step=9)]
    async with watching(make_run(runs, facts)) as (app, pilot):
        await opened(app, pilot, "timeline")
        lines = part(app, "TimelineList").splitlines()
        assert ["stopped" in lines[1], "note: a long" in lines[2], "R2 batch" in lines[3]] == [True] * 3
        assert "run started" in lines[5]
        assert "stopped after 9 steps" in part(app, "EventDetails")
        await press(pilot, "down")
        await until(pilot, lambda: "and its end" in part(app, "EventDetails"))
        await press(pilot, "j")
        await until(pilot, lambda: "share: 0.996" in part(app, "EventDetails"))
        assert "Freeze BatchNormalization" in part(app, "EventDetails")
        await press(pilot, "end")
        await until(pilot, lambda: "protocol" in part(app, "EventDetails"))
        await press(pilot, "home")
        assert "stopped" in line_under_cursor(app)


async def test_a_request_is_told_with_what_became_of_it(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            await opened(app, pilot, "timeline")
            await press(pilot, "F")
            await until(pilot, lambda: "freeze all: asked" in line_under_cursor(app))
            await until(pilot, lambda: "none yet" in part(app, "EventDetails"))
            (request,) = run.requests()
            fields = {"command": "freeze", "layers": []}
            run.write(
                events.CommandApplied(
                    id=request.id, request=fields, sender=SENDER, first_step=4, step=4, frozen=["bn_1"]
                )
            )
            await until(pilot, lambda: "freeze all: applied" in line_under_cursor(app))
            await until(pilot, lambda: "next step" in part(app, "EventDetails"))
            run.write(events.CommandVerified(id=request.id, held=True, detail="3/3 layers unchanged", step=5))
            await until(pilot, lambda: "verified: 3/3 layers" in line_under_cursor(app))
            await until(pilot, lambda: "verified: 3/3 layers" in part(app, "EventDetails"))
            assert "uid 1000 (as the file system says), somebody on somewhere" in part(app, "EventDetails")


async def test_the_cursor_stays_on_its_event_and_at_the_top_on_the_newest(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), *[events.Note(text=f"number {index}") for index in range(50)]) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await opened(app, pilot, "timeline")
            run.write(events.Note(text="number 50"))
            await until(pilot, lambda: "number 50" in line_under_cursor(app))
            await press(pilot, "pagedown")
            before = line_under_cursor(app)
            assert "number 50" not in text(app)
            run.write(*[events.Note(text=f"number {index}") for index in range(51, 60)])
            await until(pilot, lambda: len(app.viewer.state.timeline) == 62 and "of 62" in text(app))
            assert line_under_cursor(app) == before
            await press(pilot, "home")
            assert "number 59" in line_under_cursor(app)


async def test_the_mouse_selects_and_scrolls(runs: Path) -> None:
    async with watching(make_run(runs, [*training("bn_1"), alert(), events.Note(text="the newest")])) as (app, pilot):
        await opened(app, pilot, "timeline")
        await pilot.click(TimelineList, offset=(10, 2))
        assert "R2" in line_under_cursor(app)
        await pilot._post_mouse_events([MouseScrollUp], TimelineList)
        await until(pilot, lambda: "the newest" in line_under_cursor(app))
        await pilot.click(TimelineList, offset=(10, 2), times=2)
        await until(pilot, lambda: isinstance(app.screen, WhyScreen))


@pytest.mark.parametrize("words", ["CHECKPOINT", "check*saved", "check????t"])
async def test_a_filter_shows_what_matches_until_it_is_cleared(runs: Path, words: str) -> None:
    saved = events.CheckpointSaved(name="step-3.npz", reason="asked", size_bytes=10, seconds=0.1, step=3)
    with LiveRun(runs, *training("bn_1"), alert(), saved, events.Note(text="something else")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await opened(app, pilot, "timeline")
            await typed(pilot, words)
            await until(pilot, lambda: "1 of 5 match" in text(app))
            assert "step-3.npz" in line_under_cursor(app)
            run.write(events.Note(text="a checkpoint would be saved here, I hope"), events.Note(text="not this one"))
            await until(pilot, lambda: "2 of 7 match" in text(app))
            await press(pilot, "enter")
            assert not app.base_screen.query_one("SearchField").display
            assert "2 of 7 match" in text(app)
            await press(pilot, "escape")
            await until(pilot, lambda: "match" not in text(app))
            assert app.base_screen.screen_name == "timeline"
            await press(pilot, "escape")
            await until(pilot, lambda: app.screen is app.dashboard)


async def test_a_filter_that_nothing_matches_says_so(runs: Path) -> None:
    async with watching(make_run(runs, training("bn_1")), NARROW) as (app, pilot):
        await opened(app, pilot, "timeline")
        await typed(pilot, "[q")
        await until(pilot, lambda: "No event matches “[q”." in text(app))
        await press(pilot, "escape")
        await until(pilot, lambda: "run started" in text(app))


async def test_enter_on_an_alert_says_why_and_its_key_steers(runs: Path) -> None:
    about_layer = alert(layer="bn_2", request="freeze --layer bn_2", rule="R1")
    with LiveRun(runs, *training("bn_1", "bn_2"), about_layer, alert(), events.Note(text="later")) as run:
        async with watching(run.directory) as (app, pilot):
            await opened(app, pilot, "timeline")
            await press(pilot, "down", "down")
            assert "R1" in line_under_cursor(app)
            await press(pilot, "enter")
            await until(pilot, lambda: isinstance(app.screen, WhyScreen))
            await press(pilot, "f")
            await until(pilot, lambda: bool(run.requests()))
            assert getattr(run.requests()[0], "layers", None) == ["bn_2"]


async def test_a_replay_goes_to_the_event_that_is_chosen(runs: Path) -> None:
    clock = ReplayClock(speed=1 / 64)
    facts = a_run()
    async with watching(make_run(runs, facts), replay=clock, readonly=True) as (app, pilot):
        await until(pilot, lambda: clock.position.total_seconds == 15)
        await press(pilot, "end")
        assert app.viewer.state.ended is not None
        await opened(app, pilot, "timeline")
        assert "finished" in line_under_cursor(app)
        await press(pilot, "down", "down", "down")
        assert "evaluated before training" in line_under_cursor(app)
        await press(pilot, "enter")
        await until(pilot, lambda: clock.position.elapsed_seconds == 3)
        assert not clock.playing
        assert (app.viewer.state.last_seq, app.viewer.state.step, app.viewer.state.ended) == (3, 0, None)
        assert "3 still to come" in text(app)
        assert "evaluated before training" in line_under_cursor(app)
        assert "finished" in part(app, "TimelineList")
        # Forward again: what was folded anew is what would have been folded at once.
        await press(pilot, "up", "up", "enter")
        await until(pilot, lambda: "freeze all" in line_under_cursor(app) and app.viewer.state.last_seq == 9)
        fresh = fold(facts[:10])
        assert app.viewer.state.frozen == fresh.frozen
        assert list(app.viewer.state.batch_metrics["loss"].steps) == list(fresh.batch_metrics["loss"].steps)
        await press(pilot, "escape")
        await until(pilot, lambda: app.screen is app.dashboard and "0:09/0:15" in text(app))


async def test_a_replay_goes_to_an_alert_and_says_why(runs: Path) -> None:
    facts = [*training("bn_1"), alert(), events.Batches(first_step=3, metrics={"loss": [1.0]}, batches=1, step=4)]
    clock = ReplayClock(speed=1 / 64)
    async with watching(make_run(runs, facts), replay=clock, readonly=True) as (app, pilot):
        await until(pilot, lambda: clock.position.total_seconds == 8)
        await press(pilot, "space")
        await opened(app, pilot, "timeline")
        assert "1 still to come" not in text(app)
        assert "2 still to come" in text(app)
        await press(pilot, "home", "enter")
        await until(pilot, lambda: isinstance(app.screen, WhyScreen))
        assert app.viewer.state.last_seq == 7


def test_a_clock_goes_to_any_time_of_the_log() -> None:
    clock = ReplayClock()
    facts = a_run()
    for seq, fact in enumerate(facts):
        fact.seq, fact.time = seq, 1000.0 + seq
    clock.load(facts)
    assert [event.seq for event in clock.to_time(1003.5)] == [0, 1, 2, 3]
    assert clock.position.elapsed_seconds == 3.5
    assert [event.seq for event in clock.to_time(1004.0)] == [4]
    clock.to_start()
    assert clock.position.elapsed_seconds == 0
    assert [event.seq for event in clock.to_time(9e9)] == list(range(16))
    assert clock.position.elapsed_seconds == 15
    clock.to_start()
    assert [event.seq for event in clock.next_epoch()] == list(range(8))
    assert len(clock.to_end()) == 8


async def test_ten_thousand_events_are_each_put_into_words_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = 0

    def counted(entry: Any, state: RunState) -> Any:
        nonlocal told
        told += 1
        return line_of(entry, state)

    line_of = timeline_list.line_of
    monkeypatch.setattr(timeline_list, "line_of", counted)
    notes: list[events.AnyEvent] = [events.Note(text=f"number {index}", step=index) for index in range(10_000)]
    async with watching(make_run(runs, [*training("bn_1"), *notes])) as (app, pilot):
        await opened(app, pilot, "timeline")
        await press(pilot, *["down"] * 20, "end", "pageup", "home")
        app.redraw()
        await typed(pilot, "number ??77")
        await until(pilot, lambda: "90 of 10,002 match" in text(app))
        assert "number 9977" in line_under_cursor(app)
        assert told == 10_002


async def test_the_details_of_a_hostile_event_are_shown_and_not_obeyed(runs: Path) -> None:
    ended = events.RunEnded(status="failed", traceback=f"Traceback:\n  File {HOSTILE}\nValueError: {HOSTILE}")
    async with watching(make_run(runs, [*training("bn_1"), events.Note(text=HOSTILE), ended])) as (app, pilot):
        await opened(app, pilot, "timeline")
        assert "[red]x[/red]" in part(app, "EventDetails")
        await press(pilot, "down")
        await until(pilot, lambda: "[@click=app.bell]y[/]" in part(app, "EventDetails"))
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(text(app))


# The log


async def test_the_log_follows_its_end_until_somebody_scrolls_back(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        log = run.directory.trainer_log
        log.write_text("".join(f"line {index}\n" for index in range(500)))
        async with watching(run.directory, NARROW) as (app, pilot):
            await opened(app, pilot, "log")
            await until(pilot, lambda: "line 499" in text(app) and "following" in text(app))
            with log.open("a") as file:
                file.write("line 500\nhalf a li")
            await until(pilot, lambda: "half a li" in text(app))
            with log.open("a") as file:
                file.write("ne\r and its newest text\n")
            await until(pilot, lambda: "and its newest text" in text(app))
            assert "half a line" not in text(app)
            await press(pilot, "pageup", "up")
            assert "line 500" not in text(app)
            assert "end follows" in text(app)
            shown = part(app, "LogView").splitlines()[1:]
            with log.open("a") as file:
                file.write("much later\n" * 50)
            await until(pilot, lambda: app.base_screen.query_one(LogView)._log_bytes == log.stat().st_size)
            assert part(app, "LogView").splitlines()[1:] == shown
            await press(pilot, "home")
            await until(pilot, lambda: "│ line 0 " in text(app))
            await press(pilot, "end")
            await until(pilot, lambda: "much later" in text(app) and "following" in text(app))


async def test_words_are_searched_for_in_the_whole_log(runs: Path) -> None:
    run = make_run(runs, training("bn_1"))
    lines = [f"step {index} ok" for index in range(60_000)]
    for index in (10, 30_000, 59_990):
        lines[index] = f"\x1b[31mWarn\x1b[0ming [number] {index}"
    run.trainer_log.write_text("\n".join(lines) + "\n")
    assert run.trainer_log.stat().st_size > 3 * BLOCK_BYTES
    async with watching(run, NARROW) as (app, pilot):
        await opened(app, pilot, "log")
        await until(pilot, lambda: "step 59999 ok" in text(app))
        await typed(pilot, "warning [NUMBER]")
        view = app.base_screen.query_one(LogView)
        await until(pilot, lambda: (cells(view).codes == Meaning.MATCH).sum() == len("warning [number]"))
        await press(pilot, "enter")
        await until(pilot, lambda: "│›Warning [number] 59990" in text(app))
        await press(pilot, "N")
        await until(pilot, lambda: "│›Warning [number] 30000" in text(app))
        assert "step 30001 ok" in text(app)
        assert "step 29999 ok" in text(app)
        await press(pilot, "N")
        await until(pilot, lambda: "│›Warning [number] 10 " in text(app))
        await press(pilot, "N")
        await until(pilot, lambda: "no more above" in text(app))
        await press(pilot, "n")
        await until(pilot, lambda: "│›Warning [number] 30000" in text(app))
        await press(pilot, "escape")
        await until(pilot, lambda: "“" not in part(app, "LogView"))
        await typed(pilot, "nowhere")
        await press(pilot, "enter")
        await until(pilot, lambda: "not found" in text(app))


async def test_what_was_printed_is_shown_and_not_obeyed(runs: Path) -> None:
    run = make_run(runs, training("bn_1"))
    printed = "batch 1\rbatch 2\r\n" + HOSTILE + "\n" + "wörd 層 " * 40 + "\n\n  indented\n"
    run.trainer_log.write_bytes(printed.encode() + b"\xff\xfe end")
    async with watching(run, NARROW) as (app, pilot):
        await opened(app, pilot, "log")
        await until(pilot, lambda: "��� end" in text(app) or "�� end" in text(app))
        assert "[red]x[/red]" in text(app)
        assert "batch 2" in text(app)
        assert "batch 1" not in text(app)
        assert "│   indented" in text(app)
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(text(app))


async def test_a_huge_log_opens_at_its_end_without_being_read(runs: Path) -> None:
    run = make_run(runs, training("bn_1"))
    with run.trainer_log.open("wb") as file:
        file.write(b"the first line\n")
        # A hole: nothing is on the disk.
        file.truncate(400_000_000)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + b"".join(b"line %d %s\n" % (index, b"." * 60) for index in range(30_000)))
    async with watching(run, NARROW) as (app, pilot):
        await opened(app, pilot, "log")
        await until(pilot, lambda: "line 29999" in text(app))
        view = app.base_screen.query_one(LogView)
        assert view._window.end - view._window.start <= 2 * BLOCK_BYTES
        while view._window.start > run.trainer_log.stat().st_size - 3 * BLOCK_BYTES:
            await press(pilot, *["pageup"] * 20)
        await press(pilot, "home")
        await until(pilot, lambda: "the first line" in text(app))
        await press(pilot, "end")
        await until(pilot, lambda: "line 29999" in text(app))


async def test_a_log_that_is_cut_or_missing_has_words(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run:
        log = run.directory.trainer_log
        async with watching(run.directory, NARROW) as (app, pilot):
            await opened(app, pilot, "log")
            await until(pilot, lambda: "There is no" in text(app))
            log.touch()
            await until(pilot, lambda: "has printed nothing yet" in text(app))
            log.write_text("an old line\n" * 100)
            await until(pilot, lambda: "an old line" in text(app))
            log.with_name("trainer.log.1").write_text("an old line\n" * 100)
            os.truncate(log, 0)
            await until(pilot, lambda: "trainer.log.1" in text(app))
            with log.open("a") as file:
                file.write("afterwards\n")
            await until(pilot, lambda: "afterwards" in text(app) and "an old line" not in text(app))
            log.unlink()
            await until(pilot, lambda: "There is no" in text(app))


@pytest.mark.parametrize(
    ("console", "words"),
    [
        ("off", "the script has Monitor(console=False)"),
        ("python", "the script has printed nothing while it trained"),
        ("process", "it was removed, or not copied"),
        ("", "a script of your own that an older tuimon watched"),
    ],
)
async def test_a_log_that_is_not_there_says_why(runs: Path, console: str, words: str) -> None:
    run = make_run(runs, [started(console=console), *training("bn_1")[1:]])
    async with watching(run) as (app, pilot):
        await opened(app, pilot, "log")
        await until(pilot, lambda: words in " ".join(part(app, "LogView").replace("│", " ").split()))


async def test_the_log_of_a_script_says_what_is_not_in_it(runs: Path) -> None:
    with LiveRun(runs, started(console="python"), *training("bn_1")[1:]) as run:
        run.directory.trainer_log.write_text("Epoch 1/2\n\r1/9 loss: 3\r2/9 loss: 2\n")
        async with watching(run.directory) as (app, pilot):
            await opened(app, pilot, "log")
            await until(pilot, lambda: "2/9 loss: 2" in text(app))
            assert "1/9" not in text(app)
            assert "Python's output, not that of C libraries" in part(app, "LogView")
            # The trainer cuts the log by putting a shorter file in its place.
            shorter = run.directory.path / "shorter"
            shorter.write_text("Epoch 1/2\n[tuimon: 7 bytes were left out here: the log is kept short]\nEpoch 9/9\n")
            shorter.rename(run.directory.trainer_log)
            await until(pilot, lambda: "Epoch 9/9" in text(app))
            assert "7 bytes were left out here" in text(app)
            assert "trainer.log.1" not in text(app)


async def test_the_reading_thread_ends_with_the_screen(runs: Path) -> None:
    async with watching(make_run(runs, training("bn_1"))) as (app, pilot):
        for key in ("5", "6", "7", "4", "5", "1"):
            await press(pilot, key)
        await until(pilot, lambda: app.screen is app.dashboard)
        await until(pilot, lambda: not [worker for worker in app.workers if worker.name in ("log", "sampler")])


def test_a_window_joins_blocks_in_any_order(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"%06d %s\n" % (index, b"x" * (index % 60)) for index in range(40_000)))
    end = read_block(log)
    window = LogWindow()
    window.take(end)
    window.take(read_block(log, before=window.start))
    window.take(read_block(log, start=window.lines[-1].offset))
    offsets = [(line.offset, line.end) for line in window.lines]
    assert all(before[1] == after[0] for before, after in pairwise(offsets))
    assert window.lines[-1].text.startswith("039999")
    window.take(read_block(log, start=0))
    assert window.start == 0
    assert window.lines[0].text.startswith("000000")
    assert window.lines[window.index_at(window.lines[7].offset + 1)] is window.lines[7]


def test_a_line_longer_than_a_block_is_passed_in_both_directions(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"first\n" + b"x" * (BLOCK_BYTES + 3) + b"\n" + b"y" * (BLOCK_BYTES - 1) + b"\nlast\n")
    size = log.stat().st_size
    back = find(log, "FIRST", before=size, go_on=lambda: True)
    assert back is not None
    assert back.offset == 0
    on = find(log, "last", start=0, go_on=lambda: True)
    assert on is not None
    assert on.end == size
    assert find(log, "nowhere", before=size, go_on=lambda: True) is None
    assert find(log, "first", before=size, go_on=lambda: False) is None


def test_a_line_without_end_is_taken_in_pieces() -> None:
    data = b"x" * 100_000 + b"\nlast"
    lines = list(lines_of(data, 7))
    assert lines[0].offset == 7
    assert lines[-1].end == 7 + len(data)
    assert [line.text for line in lines][-1] == "last"
    assert max(line.end - line.offset for line in lines) <= 16 * 1024


# The machine


def of_this_process(**fields: Any) -> events.RunStarted:
    return started(pid=os.getpid(), process_started=liveness.process_start(os.getpid()), **fields)


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuimon.ui.screens.system.sampler.SAMPLE_SECONDS", 0.02)


class StandInForNvml(SimpleNamespace):
    """The functions of pynvml that are asked, for two GPUs of which the second one knows little."""

    class NVMLError(Exception):
        pass

    NVML_TEMPERATURE_GPU = 0
    count = 2

    def nvmlInit(self) -> None:  # noqa: N802
        self.is_open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.is_open = False

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:  # noqa: N802
        return b"Tesla \x1b[31mT4" if handle else "NVIDIA H200"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(used=61_000_000_000, total=151_000_000_000)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=87, memory=40) if handle == 0 else self.not_supported()

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:  # noqa: N802
        return 63 if handle == 0 else self.not_supported()

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        return 412_000 if handle == 0 else self.not_supported()

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        mine = SimpleNamespace(pid=os.getpid(), usedGpuMemory=3_000_000_000 if handle == 0 else None)
        return [mine, SimpleNamespace(pid=1, usedGpuMemory=None)]

    def not_supported(self) -> Any:
        raise self.NVMLError("Not Supported")


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("size", SIZES, ids=["wide", "narrow"])
async def test_the_machine_and_the_trainer_are_measured(runs: Path, size: tuple[int, int]) -> None:
    with LiveRun(runs, of_this_process(), *training("bn_1")[1:]) as run:
        async with watching(run.directory, size) as (app, pilot):
            await opened(app, pilot, "system")
            # The trainer is this process, which may hold TensorFlow, and then has more than a GB.
            await until(pilot, lambda: re.search(r"trainer +[\d.]+ [MG]B", part(app, "MemoryChart")))
            assert "trainer" in part(app, "CpuChart")
            assert "trainer    –" not in part(app, "CpuChart")
            assert "host" in part(app, "CpuChart")
            assert "No GPU" in part(app, "GpuView")
            await until(pilot, lambda: len(app.base_screen.query_one("CpuChart").samples) > 5)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize(("size", "count"), [(WIDE, 2), (NARROW, 2), (WIDE, 8), (NARROW, 8)])
async def test_gpus_are_shown_with_what_is_known_of_them(
    runs: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], count: int
) -> None:
    library = StandInForNvml(count=count)
    monkeypatch.setitem(sys.modules, "pynvml", library)  # type: ignore[arg-type]
    with LiveRun(runs, of_this_process(), *training("bn_1")[1:]) as run:
        async with watching(run.directory, size) as (app, pilot):
            await opened(app, pilot, "system")
            await until(
                pilot, lambda: "memory 61 GB" in part(app, "GpuView") or "memory   61 GB" in part(app, "GpuView")
            )
            shown = part(app, "GpuView")
            assert "87 %" in shown
            assert "\x1b" not in shown
            assert "–" in shown
            if size == WIDE and count == 2:
                assert "NVIDIA H200" in shown
                assert "trainer 3.0 GB" in shown
                assert "63 °C" in shown
                assert "412 W" in shown
            await press(pilot, "1")
            await until(pilot, lambda: not library.is_open)


@pytest.mark.parametrize(
    ("module", "words"), [("psutil", "pip install psutil"), ("pynvml", "pip install nvidia-ml-py")]
)
@pytest.mark.usefixtures("_often")
async def test_a_missing_package_is_named(runs: Path, monkeypatch: pytest.MonkeyPatch, module: str, words: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    with LiveRun(runs, of_this_process(), *training("bn_1")[1:]) as run:
        async with watching(run.directory) as (app, pilot):
            await opened(app, pilot, "system")
            await until(pilot, lambda: words in text(app))


@pytest.mark.parametrize(
    ("first", "ended", "words"),
    [
        (started(boot_id="of another machine", host="node-17"), False, "This run trains on node-17"),
        (started(boot_id=None, host="node-17"), False, "This run trains on node-17"),
        (started(), True, "The run is over, and its process (pid 1) is gone"),
    ],
)
async def test_where_the_machine_cannot_be_seen_it_is_said(
    runs: Path, first: events.RunStarted, ended: bool, words: str
) -> None:
    facts = [first, *training("bn_1")[1:], *([events.RunEnded(status="finished")] if ended else [])]
    with LiveRun(runs, *facts) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await opened(app, pilot, "system")
            await until(pilot, lambda: words in text(app))
            assert not [worker for worker in app.workers if worker.name == "sampler"]


@pytest.mark.usefixtures("_often")
async def test_a_trainer_in_a_container_is_not_known(runs: Path) -> None:
    with LiveRun(runs, started(pid=2**22 + 1), *training("bn_1")[1:]) as run:
        async with watching(run.directory) as (app, pilot):
            await opened(app, pilot, "system")
            await until(pilot, lambda: "trainer    – of" in part(app, "CpuChart"))
            assert "trainer –" in part(app, "MemoryChart")


def load(**fields: Any) -> events.System:
    values: dict[str, Any] = {
        "cores": 16,
        "cpu": 0.73,
        "process_cpu": 11.4,
        "memory_used": 61_000_000_000,
        "memory_total": 128_000_000_000,
        "process_memory": 9_300_000_000,
        "disk_free": 412_000_000_000,
        "disk_total": 2_000_000_000_000,
        "why_no_gpus": "No GPU: NVIDIA's driver was not found here.",
    }
    return events.System(**{**values, **fields})


def gpu(index: int, **fields: Any) -> events.GpuLoad:
    values: dict[str, Any] = {"name": "NVIDIA H200", "busy": 0.87, "memory_used": 10**10, "memory_total": 10**11}
    return events.GpuLoad(index=index, **{**values, **fields})


ELSEWHERE = {"boot_id": "of another machine", "host": "node-17", "console": "process"}


@pytest.mark.parametrize("size", SIZES, ids=["wide", "narrow"])
@pytest.mark.parametrize("kind", ["live", "over", "replay"])
async def test_the_load_is_that_of_the_log(runs: Path, size: tuple[int, int], kind: str) -> None:
    facts: list[events.AnyEvent] = [started(**ELSEWHERE), *training("bn_1")[1:]]
    facts += [load(cpu=None, process_cpu=None), load()]
    ended = [] if kind == "live" else [events.RunEnded(status="finished")]
    with ExitStack() as stack:
        if kind == "live":
            run = stack.enter_context(LiveRun(runs, *facts)).directory
        else:
            run = make_run(runs, [*facts, *ended])
        replay = ReplayClock() if kind == "replay" else None
        async with watching(run, size, replay=replay, readonly=kind == "replay") as (app, pilot):
            if kind == "replay":
                await press(pilot, "end")
            await opened(app, pilot, "system")
            await until(pilot, lambda: "11.4" in part(app, "CpuChart"))
            assert "host  73 %" in part(app, "CpuChart")
            assert "trainer 9.3 GB" in part(app, "MemoryChart")
            assert "61 GB" in part(app, "MemoryChart")
            line = part(app, "SourceLine")
            assert "node-17, read by the trainer" in line
            assert "disk: 412 GB free" in line
            assert ("since" in line) == (kind == "live")
            assert ("from" in line) == (kind != "live") or size == NARROW
            assert "No GPU" in part(app, "GpuView")
            assert not [worker for worker in app.workers if worker.name == "sampler"]


async def test_the_first_sample_has_no_share_of_the_processors(runs: Path) -> None:
    facts = [started(**ELSEWHERE), *training("bn_1")[1:], load(cpu=None, process_cpu=None, memory_used=None)]
    with LiveRun(runs, *facts) as run:
        async with watching(run.directory) as (app, pilot):
            await opened(app, pilot, "system")
            await until(pilot, lambda: "trainer    – of 16 processors" in part(app, "CpuChart"))
            assert "host     –" in part(app, "CpuChart")
            assert "host – of 128 GB" in part(app, "MemoryChart")
            assert "0.0" not in part(app, "CpuChart")
            run.write(load(cpu=0.0, process_cpu=0.0))
            await until(pilot, lambda: "trainer  0.0 of 16 processors" in part(app, "CpuChart"))
            assert "host   0 %" in part(app, "CpuChart")


async def test_the_gpus_of_the_log_are_told_apart_by_their_numbers(runs: Path) -> None:
    # At first all GPUs that the run may use, then those that it uses.
    both = load(gpus=[gpu(0, busy=0.11), gpu(3, busy=0.22)])
    with LiveRun(runs, started(**ELSEWHERE), *training("bn_1")[1:], both, load(gpus=[gpu(3, watts=412.0)])) as run:
        async with watching(run.directory) as (app, pilot):
            await opened(app, pilot, "system")
            await until(pilot, lambda: "GPU 3  NVIDIA H200" in part(app, "GpuView"))
            assert "GPU 0" not in part(app, "GpuView")
            assert "busy  87 %" in part(app, "GpuView")
            assert "412 W" in part(app, "GpuView")
            assert "– °C" in part(app, "GpuView")


async def test_a_line_of_a_gpu_has_no_half_numbers(runs: Path) -> None:
    facts = [started(**ELSEWHERE), *training("bn_1")[1:], load(gpus=[gpu(index) for index in range(8)])]
    with LiveRun(runs, *facts) as run:
        async with watching(run.directory, (40, 24)) as (app, pilot):
            await opened(app, pilot, "system")
            await until(pilot, lambda: "busy" in part(app, "GpuView"))
            lines = [line.strip("│ ") for line in part(app, "GpuView").splitlines() if "busy" in line]
            assert lines == [f"{index}  busy  87 %" for index in range(len(lines))]


@pytest.mark.usefixtures("_often")
async def test_a_log_that_begins_to_tell_the_load_replaces_what_the_screen_measures(runs: Path) -> None:
    with LiveRun(runs, of_this_process(), *training("bn_1")[1:]) as run:
        async with watching(run.directory) as (app, pilot):
            await opened(app, pilot, "system")
            await until(pilot, lambda: "read by this screen since" in part(app, "SourceLine"))
            assert "the log has none" in part(app, "SourceLine")
            run.write(load(cores=77))
            await until(pilot, lambda: "of 77 processors" in part(app, "CpuChart"))
            assert "read by the trainer since" in part(app, "SourceLine")
            await until(pilot, lambda: not [worker for worker in app.workers if worker.name == "sampler"])
            # Another attempt is another process: its samples are waited for.
            run.write(of_this_process(attempt=1, console="process"))
            await until(pilot, lambda: "The trainer is about to read the load of somewhere" in text(app))
            run.write(load(cores=78))
            await until(pilot, lambda: "of 78 processors" in part(app, "CpuChart"))


async def test_a_replay_of_an_older_log_knows_nothing_of_the_machine(runs: Path) -> None:
    async with watching(make_run(runs, a_run()), replay=ReplayClock(), readonly=True) as (app, pilot):
        await opened(app, pilot, "system")
        await until(
            pilot, lambda: "The log does not hold the load of somewhere. It was written by an older" in text(app)
        )


async def test_a_disk_that_is_nearly_full_is_a_warning(runs: Path) -> None:
    with LiveRun(runs, started(**ELSEWHERE), *training("bn_1")[1:], load(disk_free=300_000_000)) as run:
        async with watching(run.directory) as (app, pilot):
            await opened(app, pilot, "system")
            await until(pilot, lambda: "disk: 300 MB free of 2000 GB" in part(app, "SourceLine"))
            line = cells(app.base_screen.query_one("SourceLine"))
            column = line.text(0).index("disk:")
            assert line.codes[0, column] == Meaning.WARNING


# The run


def whole_page(app: WatchApp) -> str:
    """Return all lines of the page, though there is not room for them."""
    view: Any = app.base_screen.query_one("RunView")
    return "\n".join("".join(text for text, _ in line) for line in view.lines(app.moment(), 150))


async def test_the_run_screen_says_what_the_run_is(runs: Path) -> None:
    reason = "the optimizer keeps nothing that could be rolled back"
    facts = training("bn_1", "bn_2", can={"freeze": "", "rollback": reason})
    facts[0] = of_this_process(name="fine-tuning", host="node-17", versions={"keras": "3.11.3"})
    saved = events.CheckpointSaved(name="step-3.npz", reason="asked", size_bytes=104_000_000, seconds=0.1, step=3)
    overhead = events.Overhead(share=0.0042, parts={"probe": 3.4})
    seconds = {"data": 4.1, "step": 5.2, "validation": 0.4, "callbacks": 0.2, "monitoring": 0.1}
    split = events.TimeSplit(steps=100, seconds=seconds, timed_calls=8)
    with LiveRun(runs, *facts, saved, overhead, split, started(attempt=1, pid=77, name="fine-tuning")) as run:
        run.directory.config.write_text('[training]\nepochs = 40\nname = "[red]x[/red]"\n')
        async with watching(run.directory, NARROW) as (app, pilot):
            await opened(app, pilot, "run")
            await until(pilot, lambda: "epochs = 40" in whole_page(app))
            page = whole_page(app)
            for words in (
                str(run.directory.path),
                "Adam",
                "fine-tuning",
                f"no: {reason}",
                "0.42 %",
                "3.40 s",
                "data 41 % · step 52 % · validation 4 % · callbacks 2 % · monitoring 1 %",
                "0.6000, epoch 3, step 3",
                "step-3.npz: step 3, epoch 1, 104 MB",
                "bn_2: 3 channels, momentum 0.99",
                "[red]x[/red]",
                "dropped facts",
                "node-17, pid",
                "pid 77",
            ):
                assert words in page
            assert "–" in page
            assert "Run" in part(app, "RunView")
            await press(pilot, "end")
            await until(pilot, lambda: 'name = "[red]x[/red]"' in text(app))
            await press(pilot, "home")
            await until(pilot, lambda: str(run.directory.path)[:20] in text(app))


async def test_a_run_without_a_word_has_dashes(runs: Path) -> None:
    async with watching(RunDirectory.at(runs / "empty"), NARROW) as (app, pilot):
        await opened(app, pilot, "run")
        await until(pilot, lambda: "Reading…" not in whole_page(app))
        assert "Training has not begun." in whole_page(app)
        assert whole_page(app).count("–") >= 8


async def test_a_config_that_is_only_in_the_log_is_shown(runs: Path) -> None:
    config: dict[str, object] = {"training": {"epochs": 7, "name": HOSTILE}}
    run = make_run(runs, [started(config=config), *training("bn_1")[1:]])
    async with watching(run) as (app, pilot):
        await opened(app, pilot, "run")
        await until(pilot, lambda: "epochs = 7" in whole_page(app))
        assert not {"\x1b", "\x07"} & set(whole_page(app))


async def test_the_command_line_is_that_of_the_trainer(runs: Path) -> None:
    with LiveRun(runs, of_this_process(), *training("bn_1")[1:]) as run:
        async with watching(run.directory) as (app, pilot):
            await opened(app, pilot, "run")
            await until(pilot, lambda: "pytest" in text(app))


async def test_a_log_that_cannot_be_read_says_why(runs: Path) -> None:
    run = make_run(runs, training("bn_1"))
    run.trainer_log.mkdir()
    async with watching(run, NARROW) as (app, pilot):
        await opened(app, pilot, "log")
        await until(pilot, lambda: "cannot be read: it is a directory, not a file" in text(app))
        run.trainer_log.rmdir()
        run.trainer_log.write_text("now it can\n")
        await until(pilot, lambda: "now it can" in text(app))


async def test_typing_is_ended_by_the_key_that_would_copy(runs: Path) -> None:
    async with watching(make_run(runs, training("bn_1")), NARROW) as (app, pilot):
        await opened(app, pilot, "timeline")
        await typed(pilot, "run started")
        await until(pilot, lambda: "1 of 2 match" in text(app))
        await press(pilot, "ctrl+c")
        await until(pilot, lambda: "match" not in text(app))
        assert app.is_running


async def test_enter_on_an_event_reads_the_charts_at_its_step(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1"), alert(), events.Note(text="here", step=2)) as run:
        run.write(events.Batches(first_step=3, metrics={"loss": [0.5] * 7}, batches=7, step=10))
        async with watching(run.directory, (120, 36)) as (app, pilot):
            await opened(app, pilot, "timeline")
            assert "here" in line_under_cursor(app)
            await press(pilot, "enter")
            await until(pilot, lambda: app.base_screen.screen_name == "metrics" and "step 2" in text(app))
            await press(pilot, "4")
            await until(pilot, lambda: app.base_screen.screen_name == "timeline")


@pytest.mark.parametrize("place", ["log", "system", "run"])
async def test_enter_does_what_the_line_at_the_top_says(runs: Path, place: ScreenName) -> None:
    with LiveRun(runs, *training("bn_1"), alert(), events.Note(text="later")) as run:
        async with watching(run.directory, NARROW) as (app, pilot):
            await opened(app, pilot, place)
            assert "w why" in part(app, "Banner")
            for key in ("w", "enter"):
                await press(pilot, key)
                await until(pilot, lambda: isinstance(app.screen, WhyScreen))
                await press(pilot, "escape")
                await until(pilot, lambda: app.screen is app.base_screen)
