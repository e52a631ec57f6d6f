"""Lets somebody choose among the runs of a directory that are live."""

import time
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tuimon.numbers import count
from tuimon.runs.glance import Glance
from tuimon.runs.live_runs import live_runs
from tuimon.runs.run_directory import RunDirectory
from tuimon.settings import PaletteName, Settings
from tuimon.text import plain
from tuimon.ui.drawing.theme import TerminalTheme
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.terminal.hangup import exit_on_hangup
from tuimon.ui.viewer.meanings import STATUS_SIGNS, Meaning, css_style

LOOK_SECONDS = 2.0
"""How often to look what the runs do."""
_STATUS_WIDTH = len("validating")


class RunPicker(App[None]):
    """A list of the live runs, the one that began last first; a run that begins meanwhile is added above.

    ``run()`` returns once a run is chosen, or none.

    Args:
        directory: Where the runs are.
        settings: The settings, fitted to the terminal by `settings.for_terminal`.
        palette: The palette to use instead of the one in the settings.
    """

    TITLE = "tuimon"
    CSS_PATH = "tuimon.tcss"
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self, directory: Path, *, settings: Settings | None = None, palette: PaletteName | None = None
    ) -> None:
        super().__init__()
        settings = settings or Settings()
        self.directory = directory
        """Where the runs are."""
        self.chosen: RunDirectory | None = None
        """The run that was chosen; None where the list was left."""
        theme = TerminalTheme(self, settings)
        theme.choose(palette or theme.name)

    def get_default_screen(self) -> "PickerScreen":
        """Return the list."""
        return PickerScreen()

    def on_mount(self) -> None:
        """End with the terminal."""
        if not self.is_headless:
            exit_on_hangup()

    def leave(self, run: RunDirectory | None) -> None:
        """Close the list with a choice, or without one."""
        self.chosen = run
        self.exit()


class PickerScreen(Screen[None]):
    """The list, and what its keys do."""

    app: RunPicker
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,ctrl+c", "cancel", "leave"),
        Binding("j", "down", "down"),
        Binding("k", "up", "up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._list = OptionList(id="runs", markup=False)
        self._shown: list[tuple[str, str]] = []

    def compose(self) -> ComposeResult:
        """Lay out the list."""
        self._list.border_title = Content("Several runs are live: which one?")
        self._list.border_subtitle = Content("enter opens, q leaves")
        yield self._list
        yield TooSmall()

    def on_mount(self) -> None:
        """Look at the runs, now and then again."""
        self._list.focus()
        self.look()
        self.set_interval(LOOK_SECONDS, self.look)

    def on_resize(self) -> None:
        """Show a sentence where the terminal is too small."""
        for sentence in self.query(TooSmall):
            sentence.fit(self.app.size)

    def look(self) -> None:
        """Show what the runs do now; the cursor stays on its run."""
        glances = live_runs(self.app.directory)
        shown = [(str(glance.run.path), row(glance)) for glance in glances]
        # A run that has just ended stays in the list, where it may be the one under the cursor.
        ended = [(path, over(text)) for path, text in self._shown if path not in dict(shown)]
        shown += ended
        if shown == self._shown:
            return
        selected, index = self._selected(), self._list.highlighted
        self._shown = shown
        self._list.set_options(Option(_content(text), id=path) for path, text in shown)
        paths = [path for path, _ in shown]
        self._list.highlighted = paths.index(selected) if selected in paths else index or 0

    def _selected(self) -> str | None:
        index = self._list.highlighted
        return None if index is None else self._list.get_option_at_index(index).id

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Open the run under the cursor."""
        if event.option_id is not None:
            self.app.leave(RunDirectory(Path(event.option_id)))

    def action_cancel(self) -> None:
        """Leave without a run."""
        self.app.leave(None)

    def action_down(self) -> None:
        """Go to the next run."""
        self._list.action_cursor_down()

    def action_up(self) -> None:
        """Go to the run before."""
        self._list.action_cursor_up()


def row(glance: Glance) -> str:
    """Return what a run is: its state, its epoch, when it began, its name."""
    state, status = glance.state, glance.status(time.time())
    epochs = f"/{count(state.fit.epochs)}" if state.fit and state.fit.epochs else ""
    epoch = f"epoch {count(state.epoch + 1)}{epochs}" if state.fit else "–"
    began = "–" if glance.started is None else _clock(glance.started)
    return f"{status}\t{epoch}\t{began}\t{plain(glance.run.name, 200)}"


def _clock(seconds: float) -> str:
    now, then = time.localtime(), time.localtime(seconds)
    return time.strftime("%H:%M" if now[:3] == then[:3] else "%m-%d %H:%M", then)


def over(text: str) -> str:
    """Return the row of a run that is live no more."""
    return "\t".join(("over", *text.split("\t")[1:]))


def _content(text: str) -> Content:
    status, epoch, began, name = text.split("\t")
    sign, meaning = STATUS_SIGNS.get(status, (" ", Meaning.DIM))
    return Content.assemble(
        (f"{sign} {status:<{_STATUS_WIDTH}}", css_style(meaning)),
        f"  {epoch}  ",
        (began, css_style(Meaning.DIM)),
        f"\n  {name}",
    )
