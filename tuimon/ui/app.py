"""The app: owns what reads the run, what knows it, what shows it and what the keys do."""

import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import SystemCommand
from textual.binding import BindingType
from textual.events import Resize
from textual.screen import Screen

from tuimon.protocol.events import Alert
from tuimon.runs.run_directory import RunDirectory
from tuimon.settings import PaletteName, Settings
from tuimon.text import plain
from tuimon.ui.dialogs.help_screen import HelpScreen
from tuimon.ui.drawing.theme import TerminalTheme
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.frame.base_screen import BaseScreen, shown_screen
from tuimon.ui.messages import Heard
from tuimon.ui.open_screens import OpenScreens
from tuimon.ui.replay_keys import ReplayKeys
from tuimon.ui.request_keys import RequestKeys
from tuimon.ui.run_reader import Reader, Trainer
from tuimon.ui.screens.dashboard.screen import Dashboard
from tuimon.ui.screens.timeline.screen import TimelineScreen
from tuimon.ui.terminal.hangup import exit_on_hangup
from tuimon.ui.terminal.paced_app import PacedApp
from tuimon.ui.viewer.key import ScreenName
from tuimon.ui.viewer.keys import keys_of
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.news import CaughtUp
from tuimon.ui.viewer.replay_clock import ReplayClock
from tuimon.ui.viewer.view_memory import View, ViewMemory
from tuimon.ui.viewer.viewer import Viewer

if TYPE_CHECKING:
    from textual.command import Provider

__all__ = ["ReplayClock", "Trainer", "WatchApp"]

_REPLAY_SECONDS = 0.1


def _key_commands() -> "type[Provider]":
    # Loaded when the palette is opened: the first screen does without.
    from tuimon.ui.command_palette import KeyCommands

    return KeyCommands


class WatchApp(PacedApp):
    """Watches one run, and steers it.

    The app owns a `Viewer`, which knows the run; a `Reader`, which tells the viewer what happens; `OpenScreens`, which
    show the viewer's moments; `RequestKeys` and `ReplayKeys`, which do what keys ask for.

    ``run()`` returns what was chosen on leaving: `leave` or `stop` for a run that went on, else None.

    Args:
        run: The run to watch.
        readonly: Send no requests.
        replay: Show a recorded run by this clock; None for the run as it is now.
        trainer: The training process to start and wait for; None where another one trains.
        settings: The settings, fitted to the terminal by `settings.for_terminal`.
        palette: The palette to use instead of the one in the settings and the one that was chosen the last time.
        memory: Keeps what is chosen until the next time; None forgets it.
        warning: What is wrong with the settings, in a sentence; empty where nothing is wrong.

    Example:
        ```python
        WatchApp(RunDirectory.find("runs/20261120-211503-finetune", Path("runs"))).run()
        ```
    """

    CSS_PATH = "tuimon.tcss"
    TITLE = "tuimon"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[Any]] = {_key_commands}
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        run: RunDirectory,
        *,
        readonly: bool = False,
        replay: ReplayClock | None = None,
        trainer: Trainer | None = None,
        settings: Settings | None = None,
        palette: PaletteName | None = None,
        memory: ViewMemory | None = None,
        warning: str = "",
    ) -> None:
        settings = settings or Settings()
        super().__init__(settings.refresh)
        self.viewer = Viewer(run, readonly=readonly, replay=replay)
        """Knows the run, and sends requests to it."""
        if warning:
            self.viewer.say(warning, bad=True)
        self.next_run: RunDirectory | None = None
        """The run to watch next; None where the screen was left."""
        self._trainer = trainer
        self._memory = memory
        view = memory.load(run) if memory is not None else View()
        self._theme = TerminalTheme(self, settings)
        self._theme.choose(palette or view.palette or self._theme.name)
        self.dashboard = Dashboard()
        """The screen below all others."""
        self._screens = OpenScreens(self, self.dashboard, settings, view)
        self._requests = RequestKeys(self.viewer, self, self.redraw)
        self._replay = ReplayKeys(self.viewer, replay) if replay else None
        self._stop_reading = threading.Event()

    def get_default_screen(self) -> Dashboard:
        """Return the screen below all others."""
        return self.dashboard

    @property
    def base_screen(self) -> BaseScreen:
        """The full screen that is shown, though a question may be open over it."""
        return shown_screen(self)

    def on_mount(self) -> None:
        """Start the thread that reads the run."""
        if not self.is_headless:
            exit_on_hangup()
        viewer = self.viewer
        reader = Reader(viewer.run, self.post_message, follow=viewer.replay is None, trainer=self._trainer)
        self.run_worker(lambda: reader.run(self._stop_reading), name="reader", thread=True)
        self._screens.recall()
        if viewer.replay is not None:
            self.set_interval(_REPLAY_SECONDS, viewer.tick)

    def on_resize(self, event: Resize) -> None:
        """Show a sentence where the terminal is too small for anything else."""
        for screen in self.screen_stack:
            for sentence in screen.query(TooSmall):
                sentence.fit(event.size)

    def on_unmount(self) -> None:
        """Stop the reading thread, for which the interpreter waits; keep what was chosen until the next time."""
        self._stop_reading.set()
        if self._memory is not None:
            self._memory.save(self.viewer.run, self._screens.remembered())

    def on_heard(self, message: Heard) -> None:
        """Tell the viewer. The first full screen is drawn at once, before the rest of the log is read."""
        knew_nothing = self.viewer.state.last_seq < 0
        self.viewer.hear(message.news)
        is_first = knew_nothing and self.viewer.state.last_seq >= 0
        if is_first or isinstance(message.news, CaughtUp):
            self.redraw_when_free()
        if is_first:
            self.call_after_refresh(message.taken.set)
        else:
            message.taken.set()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Yield a command for each key that does something on this screen now."""
        if not isinstance(screen, BaseScreen):
            return
        moment = self.moment()
        for key in keys_of(screen.screen_name):
            if not key.is_useful(moment) or key.action == "command_palette":
                continue
            reason = moment.cannot(key.request) if key.request else ""
            words = f"key {key.shown}" + (f": not now, {plain(reason, 200)}" if reason else "")
            action = partial(self.run_action, key.full_action, default_namespace=screen)
            name = f"{key.label}: " if key.label else ""
            yield SystemCommand(f"{name}{key.help.rstrip('.')}", words, action)

    def moment(self) -> Moment:
        """Return what is to be shown now."""
        return self.viewer.moment(is_line_slow=self.is_line_slow)

    def redraw(self) -> None:
        """Draw the moment."""
        super().redraw()
        if self.screen_stack:
            self._screens.show(self.moment())

    @property
    def version(self) -> object:
        """Differs from the version before as soon as there is something new to show."""
        return self.viewer.version

    def say(self, text: str, *, bad: bool = False) -> None:
        """Show a sentence for some seconds."""
        self.viewer.say(text, bad=bad)
        self.redraw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disable the keys of a replay in a live run, and in a replay the other meaning of space: pause training."""
        if action == "replay":
            return self._replay is not None
        return not (action == "ask" and parameters == ("pause",) and self._replay is not None)

    def action_ask(self, name: str) -> None:
        """Ask for a change of the run, by its name in the table of keys."""
        self._requests.ask(name)

    def action_replay(self, name: str) -> None:
        """Move the replay or change its speed, by its name in the table of keys."""
        if self._replay is not None:
            self._replay.replay(name)
            self.redraw()

    def action_why(self) -> None:
        """Open the alert that matters most."""
        self._requests.why()

    async def action_open(self, name: ScreenName) -> None:
        """Show another screen; the dashboard stays below all others."""
        await self._screens.open(name)
        self.redraw()

    async def action_back(self) -> None:
        """Go back: within this screen, else to the dashboard."""
        await self._screens.go_back()
        self.redraw()

    async def action_watch_run(self) -> None:
        """Watch the run under the cursor instead: this app ends, and `next_run` is opened in another one."""
        path = self.base_screen.selected_run
        if path is None or path == self.viewer.run.path:
            await self.action_open("dashboard")
        elif self._replay is not None:
            self.say(f"This is a replay of one run. Another one: tuimon replay {plain(path.name, 80)}")
        elif self._trainer is not None:
            self.say(
                f"This screen belongs to the run that it started. Another one: tuimon watch {plain(path.name, 80)}"
            )
        else:
            self.next_run = RunDirectory(path)
            self.exit()

    def action_save(self) -> None:
        """Save the screen and its curves in the directory where this program was started."""
        # The first screen does without.
        from tuimon.ui import screenshot
        from tuimon.ui.drawing.svg import picture

        moment, here = self.moment(), Path.cwd()
        name = moment.state.run.name if moment.state.run else self.viewer.run.path.name
        try:
            written = screenshot.save(here, name, picture(self, plain(name)), self.base_screen.shown_curves(moment))
        except OSError as error:
            self.say(f"The screen cannot be saved in {here}: {error.strerror or error}", bad=True)
        else:
            self.say(f"Saved {' and '.join(path.name for path in written)} in {here}.")

    def action_next_palette(self) -> None:
        """Change to the next palette, and remember it."""
        if self.no_color:
            self.say("This screen shows no colours.")
            return
        palette = self._theme.next()
        self._screens.choose_palette(palette)
        self.say(f"Palette: {palette}.")

    def action_help(self) -> None:
        """Open the page of keys and signs."""
        self.push_screen(HelpScreen(self.moment(), self.base_screen.screen_name))

    def action_leave(self) -> None:
        """Close the app. Where the run goes on and this viewer may stop it, ask first whether to."""
        is_there = self.viewer.state.run is not None or self._trainer is not None
        if is_there and self.viewer.may_stop:
            self._requests.leave()
        else:
            self.exit()

    async def action_quit(self) -> None:
        """Leave; where a question is open, cancel the question instead."""
        if self.screen is self.base_screen:
            self.action_leave()
        else:
            self.screen.dismiss(None)

    async def on_timeline_screen_chosen(self, message: TimelineScreen.Chosen) -> None:
        """Open the alert that was chosen; move a replay to another event, show it in the charts of a live run."""
        if self._replay is not None:
            self.viewer.go_to(message.time)
            self.redraw()
        if isinstance(message.source, Alert):
            self._requests.say_why(message.source)
        elif self._replay is None and message.step is not None:
            await self.action_open("metrics")
            self.base_screen.read_at(message.step)
