"""Watching a run in a test: a log that grows as a trainer's does, and the screen as text."""

import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from textual.pilot import Pilot

from helpers import PATIENCE_SECONDS, SENDER, requests_in
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.app import WatchApp
from tuimon.ui.dialogs.help_screen import HelpPage
from tuimon.ui.drawing.cell_view import CellView
from tuimon.ui.drawing.cells import Cells
from tuimon.ui.frame import base_screen
from tuimon.ui.viewer.moment import READING
from ui.sizes import WIDE


class LiveRun:
    """A run whose log is held and written by this process, as by a trainer."""

    def __init__(self, runs: Path, *facts: events.AnyEvent, name: str = "live") -> None:
        self.directory = RunDirectory.at(runs / name)
        self._log = os.open(self.directory.session_log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._log, fcntl.LOCK_EX)
        self._seq = 0
        self.write(*facts)

    def __enter__(self) -> "LiveRun":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.die()

    def die(self) -> None:
        """Let go of the log without a last word."""
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def write(self, *facts: events.AnyEvent) -> None:
        lines = []
        for fact in facts:
            fact.seq, fact.time, self._seq = self._seq, time.time(), self._seq + 1
            lines.append(msgspec.json.encode(fact) + b"\n")
        os.write(self._log, b"".join(lines))

    @property
    def last_seq(self) -> int:
        """The number of the newest fact."""
        return self._seq - 1

    def requests(self) -> list[commands.AnyRequest]:
        """Return the requests that were put, in order."""
        return requests_in(self.directory)

    def apply(self, request: commands.AnyRequest, *, step: int, **mode: Any) -> None:
        """Answer a request as a trainer does that applies it: ``mode`` is what is in force from now on."""
        fields = commands.as_fields(request)
        self.write(
            events.CommandApplied(id=request.id, request=fields, sender=SENDER, first_step=step, step=step, **mode),
            events.CommandVerified(id=request.id, held=True, detail="moving statistics unchanged", step=step + 1),
        )


@asynccontextmanager
async def watching(
    run: RunDirectory, size: tuple[int, int] = WIDE, *, app: WatchApp | None = None, **options: Any
) -> AsyncIterator[tuple[WatchApp, "Pilot[str]"]]:
    """Open the app on a run and wait until it has read what the log holds."""
    app = app or WatchApp(run, **options)
    async with app.run_test(size=size) as pilot:
        is_live = app.viewer.replay is None
        if is_live and run.session_log.exists() and (lines := run.session_log.read_bytes().splitlines()):
            last = msgspec.json.decode(lines[-1])["seq"]
            await until(pilot, lambda: app.viewer.state.last_seq >= last, "the log is read")
            await until(pilot, lambda: app.moment().status != READING, "the log is read to its end")
        await until(pilot, lambda: bool(views(app)) and "quit" in text(app) and laid_out(app), "the first screen")
        yield app, pilot


async def until(pilot: "Pilot[str]", condition: Callable[[], object], what: str = "") -> None:
    """Let the app work until a condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        shown = text(pilot.app)  # type: ignore[arg-type]
        assert time.monotonic() < deadline, f"still not so: {what or condition}; the screen:\n{shown}"
        await pilot.pause(0.01)


async def press(pilot: "Pilot[str]", *keys: str) -> None:
    """Press keys faster than a person does."""
    for key in keys:
        pilot.app.simulate_key(key)
    await pilot.pause()


def laid_out(app: WatchApp) -> bool:
    """Whether the panels have the sizes that they asked for: that takes another frame after the first facts."""
    header, table = (app.dashboard.query_one(kind, CellView) for kind in ("Header", "LayerTable"))
    asked = table.styles.height
    fits = not table.display or (asked is not None and cells(table).height == asked.value)
    return fits and cells(header).height == (
        1 if app.size.width >= base_screen.WIDE and app.size.height < base_screen.HIGH else 2
    )


def views(app: WatchApp) -> list[CellView]:
    """Return the panels that are on the screen."""
    return [view for view in app.base_screen.query(CellView) if view.display and view.size.area]


def text(app: WatchApp) -> str:
    """Return what the panels show."""
    return "\n".join(view.text() for view in views(app))


def cells(view: CellView) -> Cells:
    """Return what a panel has drawn, its meanings included: a terminal gets colours made of them."""
    return view._cells


def help_page(app: WatchApp) -> str:
    """Return all words of the help, those that are out of sight as well, with single spaces between them."""
    page = app.screen.query_one(HelpPage)
    return " ".join("".join("".join(text for text, _ in line) + " " for line in page.lines(app.moment())).split())


def part(app: WatchApp, kind: str) -> str:
    """Return what one panel shows, by its class or, with a hash, its id."""
    return app.base_screen.query_one(kind, CellView).text()
