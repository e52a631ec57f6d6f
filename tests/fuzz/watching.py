"""Opens the app on a log, and all of its screens."""

import os
from pathlib import Path

from fuzz.reading import HEALTHY
from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.app import WatchApp
from tuimon.ui.drawing.cell_view import NOT_DRAWN
from tuimon.ui.viewer.replay_clock import ReplayClock
from ui.watching import text, until

KEYS = (
    *("1", "2", "down", "l", "v", "o", "enter", "escape", "3", "down", "v", "o", "enter", "left", "right", "escape"),
    *("x", "y", "e", "plus", "minus", "circumflex_accent", "0", "v", "4", "down", "o", "v", "enter", "escape", "5"),
    *("down", "x", "y", "enter", "escape", "6", "down", "v", "7", "x", "8", "down", "space", "tab", "x", "d", "v", "o"),
    *("escape", "9", "question_mark", "escape", "1", "end", "home"),
)
"""Every screen, and on it what moves a cursor, opens a chart and changes an axis."""


async def watch(runs: Path, data: bytes, *, replayed: bool, size: tuple[int, int]) -> None:
    """Check that every screen of a damaged log can be opened beside a healthy run.

    Args:
        runs: Holds the healthy run; the damaged one is written there.
        data: The damaged log.
        replayed: Replay it instead of watching it.
        size: Of the terminal, in cells.

    Raises:
        AssertionError: a panel cannot be drawn.
    """
    run = RunDirectory.at(runs / "damaged")
    run.session_log.write_bytes(data)
    os.utime(run.session_log, (1_700_000_000, 1_700_000_000))
    app = WatchApp(run, replay=ReplayClock() if replayed else None)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.viewer._has_caught_up, "the log is read")
        for key in KEYS:
            app.simulate_key(key)
            await pilot.pause()
            shown = text(app)
            assert NOT_DRAWN not in shown, (key, shown)
            assert app.is_running, key
            if key == "8" and app.base_screen.screen_name == "compare":
                await until(pilot, lambda: HEALTHY in text(app), "the healthy run is listed")
        assert not app.viewer.state.untaken
