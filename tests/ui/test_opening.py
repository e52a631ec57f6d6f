"""How screens and pages open: once, whole, with the lines in sight alone, and without leaving anything behind."""

import gc
from pathlib import Path
from typing import Any

import pytest
from textual._styles_cache import StylesCache
from textual.screen import Screen
from textual.widget import Widget

from helpers import a_run, make_run
from tuimon.ui.app import WatchApp
from tuimon.ui.dialogs.help_screen import HelpPage, HelpScreen
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.terminal.idle_collection import is_due
from tuimon.ui.viewer.key import SCREEN_NAMES
from ui.sizes import WIDE
from ui.watching import press, until, watching


class _Sent:
    """Notes of each picture that is sent whether every panel in sight had something to show."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.of: dict[str, list[bool]] = {}
        display = WatchApp._display

        def noted(app: WatchApp, screen: Screen[Any], renderable: Any) -> None:
            views = [view for view in screen.query(CellView) if view.display and view.size]
            ready = bool(views) and all(view.is_ready for view in views)
            self.of.setdefault(type(screen).__name__, []).append(ready)
            display(app, screen, renderable)

        patch.setattr(WatchApp, "_display", noted)


async def test_every_screen_is_first_sent_with_all_of_its_panels(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = _Sent(monkeypatch)
    async with watching(make_run(runs, a_run()), WIDE) as (app, pilot):
        for number in range(1, len(SCREEN_NAMES) + 1):
            await press(pilot, str(number))
        await press(pilot, "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen) and sent.of.get("HelpScreen"))
    assert len(sent.of) == len(SCREEN_NAMES) + 1
    assert {name: first for name, (first, *_) in sent.of.items() if not first} == {}


async def test_pages_that_are_closed_are_forgotten(runs: Path) -> None:
    async with watching(make_run(runs, a_run()), WIDE) as (app, pilot):

        async def open_and_close(times: int) -> int:
            for _ in range(times):
                for key in ("question_mark", "colon", *"2345678"):
                    await press(pilot, key)
                    await until(pilot, lambda: app.screen is not app.dashboard)
                    await press(pilot, "escape")
                    await until(pilot, lambda: app.screen is app.dashboard)
            gc.collect()
            return sum(isinstance(each, StylesCache | Widget) for each in gc.get_objects())

        known = await open_and_close(1)
        assert await open_and_close(3) <= known + 6


async def test_help_says_which_lines_are_in_sight(runs: Path) -> None:
    async with watching(make_run(runs, a_run()), WIDE) as (app, pilot):
        await press(pilot, "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        page = app.screen.query_one(HelpPage)

        def said() -> str:
            return str(app.screen.query_one("#help").border_subtitle)

        all_lines, rows = len(page.lines(app.moment())), page.size.height
        await until(pilot, lambda: said() == f"1–{rows} of {all_lines} · esc closes")
        await press(pilot, "pagedown")
        await until(pilot, lambda: said().startswith(f"{rows}–{2 * rows - 1} of"))
        await press(pilot, "end")
        await until(pilot, lambda: said().startswith(f"{all_lines - rows + 1}–{all_lines} of"))
        assert "change" in page.text()
        await press(pilot, "u", "n", "d", "o")
        await until(pilot, lambda: said() == "esc shows all")
        await press(pilot, "escape")
        await until(pilot, lambda: said().startswith("1–"))


def test_all_objects_are_looked_through_while_nobody_presses_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, 9))
    assert is_due(now=100.0, touched_at=98.0)
    assert not is_due(now=100.0, touched_at=99.5)
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, 0))
    assert not is_due(now=100.0, touched_at=0.0)
