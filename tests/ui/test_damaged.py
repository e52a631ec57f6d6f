"""A damaged log in the app: what cannot be read is named, what cannot be drawn says so, and all else is shown."""

from pathlib import Path

import pytest

from helpers import a_run, encode_log, make_run
from tuimon.runs.log import long_log
from tuimon.ui import run_reader
from tuimon.ui.screens.dashboard.loss_chart import LossChart
from ui.facts import training
from ui.watching import LiveRun, part, press, text, until, watching


def torn(runs: Path) -> Path:
    """Return the directory of runs with one in it whose third and fourth lines are no facts."""
    run = make_run(runs, a_run(), "run")
    lines = run.session_log.read_bytes().splitlines(keepends=True)
    bad = b'{"type":"note","seq":2,"time":1e300,"text":"x"}\n' + b"[" * 3000 + b"\n"
    run.session_log.write_bytes(b"".join([*lines[:2], bad, b'{"type":"hologram"}\n', *lines[2:]]))
    return runs


SAID = ("2 lines of the log could not be read: lines 3 and 4.", "1 line is of a type that this tuimon does not know.")


async def test_lines_that_could_not_be_read_are_named_on_the_page_of_the_run(runs: Path) -> None:
    run = make_run(torn(runs), a_run(), "other")
    run.session_log.write_bytes((runs / "run" / "session.jsonl").read_bytes())
    async with watching(run) as (app, pilot):
        await press(pilot, "7", "end")
        await until(pilot, lambda: all(words in text(app) for words in SAID), "the lines are named")
        assert "2 facts" not in text(app)


async def test_of_a_long_log_the_lines_are_named_once_all_of_it_is_read(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(torn(runs), a_run(), "other")
    data = (runs / "run" / "session.jsonl").read_bytes()
    run.session_log.write_bytes(data + b"torn\n" + encode_log(a_run()))
    monkeypatch.setattr(run_reader, "LONG_BYTES", len(data) // 4)
    monkeypatch.setattr(long_log, "NEWEST_BYTES", len(data) // 4)
    async with watching(run) as (app, pilot):
        await press(pilot, "7", "end")
        count = len(data.splitlines()) + 1
        words = f"3 lines of the log could not be read: lines 3, 4 and {count}."
        await until(pilot, lambda: words in text(app), "the lines are named")


async def test_a_panel_that_cannot_be_drawn_says_so_and_takes_nothing_down(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise ZeroDivisionError("float division")

    with LiveRun(runs, *training("bn_1")) as run:
        async with watching(run.directory) as (app, pilot):
            with monkeypatch.context() as patched:
                patched.setattr(LossChart, "draw", failing)
                run.write(*training("bn_1")[4:])
                words = "cannot be drawn, an error of tuimon (ZeroDivisionError: float division)"
                await until(pilot, lambda: words in part(app, "LossChart"), "the panel says so")
                assert "bn_1" in text(app)
                await press(pilot, "7")
                await until(pilot, lambda: "Accepted requests" in text(app), "another screen")
                await press(pilot, "1")
            run.write(*training("bn_1")[4:])
            await until(pilot, lambda: "cannot be drawn" not in text(app), "the panel is drawn again")


async def test_a_neighbour_that_cannot_be_read_hides_no_run_on_the_screen_of_runs(runs: Path) -> None:
    run = make_run(torn(runs), a_run(), "healthy")
    make_run(runs, a_run(), "config")
    (runs / "config" / "config.toml").write_text(f"[model]\nunits = {'9' * 5000}\n")
    make_run(runs, a_run(), "nothing")
    (runs / "nothing" / "session.jsonl").write_bytes(b"[" * 3000 + b"\n")
    async with watching(run) as (app, pilot):
        await press(pilot, "8")
        await until(pilot, lambda: all(name in text(app) for name in ("config", "nothing", "run", "healthy")))
        await until(pilot, lambda: "1 line of the log could not be read: line 1" in text(app), "the reason is shown")
