"""The app: owns what reads the run, what knows it, what shows it and what the keys do."""

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.events import Event, Key, Paste, Resize

from tuimon.protocol.events import Alert
from tuimon.runs.run_directory import RunDirectory
from tuimon.settings import PaletteName, Settings
from tuimon.text import plain
from tuimon.ui.drawing.theme import TerminalTheme
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.frame.base_screen import BaseScreen, shown_screen
from tuimon.ui.late_keys import LateKeys
from tuimon.ui.messages import Heard
from tuimon.ui.notifier import Notifier
from tuimon.ui.open_screens import OpenScreens
from tuimon.ui.replay_keys import ReplayKeys
from tuimon.ui.run_reader import Trainer
from tuimon.ui.screens.dashboard.screen import Dashboard
from tuimon.ui.shown_run import ShownRun
from tuimon.ui.terminal.hangup import exit_on_hangup
from tuimon.ui.terminal.paced_app import PacedApp
from tuimon.ui.viewer.key import ScreenName
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.news import CaughtUp, Facts
from tuimon.ui.viewer.replay_clock import ReplayClock
from tuimon.ui.viewer.view_memory import View, ViewMemory
from tuimon.ui.viewer.viewer import Viewer

if TYPE_CHECKING:
    from tuimon.ui.pasted_keys import Settled
    from tuimon.ui.screens.timeline.screen import TimelineScreen

__all__ = ["ReplayClock", "Trainer", "WatchApp"]

_REPLAY_SECONDS = 0.1
_LOADED_SECONDS = 1.0
"""After this long what the keys need is loaded."""


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
    ENABLE_COMMAND_PALETTE = False
    # Before any question or line to type in: it is meant for the shell.
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+z", "suspend_process", show=False, priority=True)]

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
        view = memory.load(run) if memory is not None else View()
        self._theme = TerminalTheme(self, settings)
        self._theme.choose(palette or view.palette or self._theme.name)
        self._keys = LateKeys(self, self.viewer, self._show_palette, super().on_event)
        self.dashboard = Dashboard()
        """The screen below all others."""
        self._screens = OpenScreens(self, self.dashboard, settings, view)
        self._notifier = Notifier(self, self.viewer, settings)
        self._replay = ReplayKeys(self.viewer, replay) if replay else None
        self.shown = ShownRun(self, self.viewer, self._screens, trainer, memory)
        """Reads the run, and shows another one in its place."""

    def get_default_screen(self) -> Dashboard:
        """Return the screen below all others."""
        return self.dashboard

    @property
    def base_screen(self) -> BaseScreen:
        """The full screen that is shown, though a question may be open over it."""
        return shown_screen(self)

    def on_mount(self) -> None:
        """Start the threads that read."""
        if not self.is_headless:
            exit_on_hangup()
            self.set_timer(_LOADED_SECONDS, self._keys.load)
        self.shown.begin()
        self._screens.recall()
        self._notifier.begin()
        if self.viewer.replay is not None:
            self.set_interval(_REPLAY_SECONDS, self.viewer.tick)

    async def on_settled(self, message: "Settled") -> None:
        """Take the next key: the one before has done its work."""
        await self._keys.pasted.settle(message)

    def on_resize(self, event: Resize) -> None:
        """Show a sentence where the terminal is too small for anything else."""
        for screen in self.screen_stack:
            for sentence in screen.query(TooSmall):
                sentence.fit(event.size)

    def on_unmount(self) -> None:
        """Stop the threads that read."""
        self.shown.end()

    def on_heard(self, message: Heard) -> None:
        """Tell the viewer. The first full screen is drawn at once, before the rest of the log is read."""
        if message.reader not in (None, self.shown.reader):
            message.taken.set()
            return
        knew_nothing = self.viewer.state.last_seq < 0
        self.viewer.hear(message.news)
        self._notifier.hear(message.news)
        is_whole = isinstance(message.news, Facts) and message.news.reading == 1.0
        # What the run does is known in an instant where the log is read to its end.
        is_first = knew_nothing and self.viewer.state.last_seq >= 0 and not is_whole
        if is_first or isinstance(message.news, CaughtUp):
            self.redraw_when_free()
        if is_first:
            self.call_after_refresh(message.taken.set)
        else:
            message.taken.set()

    def moment(self) -> Moment:
        """Return what is to be shown now."""
        return self.viewer.moment(is_line_slow=self.is_line_slow)

    def redraw(self) -> None:
        """Draw the moment."""
        super().redraw()
        if self.screen_stack:
            self._screens.show(self.moment())

    @property
    def version(self) -> tuple[object, object]:
        """Differs from the version before as soon as there is something new to show; its end, once more happened."""
        return self.viewer.version, self.viewer.happened

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
        self._keys.requests.ask(name)

    def action_replay(self, name: str, by: float = 1) -> None:
        """Move the replay or change its speed, by its name in the table of keys."""
        if self._replay is not None:
            self._replay.replay(name, by)
            # Of steps that are asked for meanwhile, only where all of them lead to is drawn.
            self.call_later(self._follow_replay)

    def _show_palette(self, name: PaletteName | None) -> PaletteName:
        self._theme.choose(name or self._theme.next())
        self._screens.choose_palette(self._theme.name)
        return self._theme.name

    def _follow_replay(self) -> None:
        if self._replay is not None:
            self._replay.follow()
            self.redraw()

    async def action_program(self, name: str, argument: str = "") -> None:
        """Do something with the program itself, by its name in the table of keys."""
        await self._keys.program.do(name, argument)

    async def action_open(self, name: ScreenName) -> None:
        """Show another screen; the dashboard stays below all others."""
        await self._screens.open(name)
        self.redraw()

    async def action_back(self) -> None:
        """Go back: within this screen, else to the dashboard."""
        await self._screens.go_back()
        self.redraw()

    async def action_watch_run(self, which: str = "selected") -> None:
        """Watch another run instead.

        Args:
            which: "selected": the run under the cursor; this app ends, and `next_run` is opened in another one.
                "other": the run that has begun meanwhile, or the one before.
        """
        if which == "other":
            await self.shown.change(by_hand=True)
            self.redraw()
            return
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

    def action_leave(self) -> None:
        """Close the app. Where the run goes on and this viewer may stop it, ask first whether to."""
        is_there = self.viewer.state.run is not None or self._trainer is not None
        if is_there and self.viewer.may_stop:
            self._keys.requests.leave()
        else:
            self.exit()

    async def on_event(self, event: Event) -> None:
        """Handle an event; keys that a terminal sends all at once change nothing without a question."""
        if isinstance(event, Key) and not event.is_forwarded and not self.is_headless:
            await self._keys.pasted.take(event)
            return
        if isinstance(event, Paste) and not event.is_forwarded:
            self._keys.pasted.say_if_ignored()
        await super().on_event(event)

    async def action_quit(self) -> None:
        """Leave; where a question is open, cancel the question instead."""
        if self.screen is self.base_screen:
            self.action_leave()
        else:
            self.screen.dismiss(None)

    async def on_timeline_screen_chosen(self, message: "TimelineScreen.Chosen") -> None:
        """Open the alert that was chosen; move a replay to another event, show it in the charts of a live run."""
        if self._replay is not None:
            self.viewer.go_to(message.time)
            self.redraw()
        if isinstance(message.source, Alert):
            self._keys.requests.say_why(message.source)
        elif self._replay is None and message.step is not None:
            await self.action_open("metrics")
            self.base_screen.read_at(message.step)
