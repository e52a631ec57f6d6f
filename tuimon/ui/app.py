"""The app: hears of the world through messages, folds them, shows the moment, turns keys into requests."""

import threading
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import structs
from textual.app import SystemCommand
from textual.binding import BindingType
from textual.events import Resize
from textual.screen import Screen

from tuimon.protocol.events import Alert, AnyEvent
from tuimon.runs import liveness
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import OVER
from tuimon.settings import PaletteName, Settings
from tuimon.text import plain
from tuimon.ui import screenshot
from tuimon.ui.dialogs.choice import quit_chooser
from tuimon.ui.dialogs.help_screen import HelpScreen
from tuimon.ui.drawing.theme import TerminalTheme
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.frame.base_screen import BaseScreen
from tuimon.ui.messages import CaughtUp, Facts, LogUnreadable, TrainerExited, TrainerGone, TrainerPrinted
from tuimon.ui.replay_keys import ReplayingApp
from tuimon.ui.run_reader import Reader, Trainer
from tuimon.ui.screens.catalog import new_screen
from tuimon.ui.screens.dashboard.screen import Dashboard
from tuimon.ui.screens.timeline.screen import TimelineScreen
from tuimon.ui.terminal.hangup import exit_on_hangup
from tuimon.ui.viewer.keys import ScreenName, keys_of
from tuimon.ui.viewer.moment import Moment, Notice
from tuimon.ui.viewer.replay_clock import ReplayClock
from tuimon.ui.viewer.steering import Steering
from tuimon.ui.viewer.view_memory import View, ViewMemory

if TYPE_CHECKING:
    from textual.command import Provider

__all__ = ["ReplayClock", "Trainer", "WatchApp"]

_REPLAY_SECONDS = 0.1
_NOTICE_SECONDS = 8.0


def _key_commands() -> "type[Provider]":
    # Loaded when the palette is opened: the first screen does without.
    from tuimon.ui.command_palette import KeyCommands

    return KeyCommands


class WatchApp(ReplayingApp):
    """Watches one run, and steers it.

    ``run()`` returns what was chosen on leaving: `leave` or `stop` for a run that went on, else None.

    Args:
        run: The run.
        readonly: Send no requests.
        replay: Show a recorded run by this clock; None for the run as it is now.
        trainer: The training process to start and wait for; None where another one trains.
        settings: What is liked; `settings.for_terminal` has said what the terminal can show.
        palette: The palette, whatever the settings say and whichever was chosen the last time.
        memory: Where what is chosen is remembered; None for nowhere.
        warning: What is wrong with the settings; empty where nothing is.

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
        super().__init__(Steering(run, readonly=readonly), replay)
        self._settings = settings or Settings()
        self._memory = memory
        self._view = memory.load(run) if memory is not None else View()
        """What is remembered; its layer only until it is selected."""
        self._looks = TerminalTheme(self, self._settings)
        self._looks.choose(palette or self._view.palette or self._looks.name)
        self._dashboard = Dashboard()
        self._opened: BaseScreen = self._dashboard
        """The screen that was opened last."""
        self.next_run: RunDirectory | None = None
        """The run that was chosen to be watched next; None where the screen was left."""
        self._run = run
        self._readonly = readonly
        self._trainer = trainer
        self._stop_reading = threading.Event()
        self._gone = False
        self._trainer_exit: TrainerExited | None = None
        self._printed: tuple[str, ...] = ()
        self._reading: float | None = None
        self._grown_at = time.monotonic()
        self._notice: Notice | None = None
        self._notice_until = 0.0
        self._unreadable = ""
        self._changed = True
        self._drawn_at = 0.0
        self._shown_second = 0
        self._said_slow = False
        if warning:
            self._notice, self._notice_until = Notice(warning, bad=True), time.monotonic() + _NOTICE_SECONDS

    def get_default_screen(self) -> Dashboard:
        """Return the dashboard."""
        return self._dashboard

    @property
    def dashboard(self) -> Dashboard:
        """The screen under all others."""
        return self._dashboard

    def on_mount(self) -> None:
        """Begin to read and to draw."""
        if not self.is_headless:
            exit_on_hangup()
        follow = self.clock is None
        reader = Reader(self._run, self.post_message, follow=follow, trainer=self._trainer)
        self.run_worker(lambda: reader.run(self._stop_reading), name="reader", thread=True)
        self.set_interval(1 / self._settings.refresh, self._redraw_if_changed)
        if self._view.chart is not None:
            self.dashboard.choose_chart(self._view.chart)
        if self.clock is not None:
            self.set_interval(_REPLAY_SECONDS, self.release)

    def on_resize(self, event: Resize) -> None:
        """Say so where the terminal has no room for anything."""
        for screen in self.screen_stack:
            for sentence in screen.query(TooSmall):
                sentence.fit(event.size)

    def on_unmount(self) -> None:
        """Let the reading thread end: the interpreter waits for it. Remember what was chosen."""
        self._stop_reading.set()
        if self._memory is not None:
            self._memory.save(self._run, self.dashboard.remember(self._opened.remember(self._view)))

    def on_facts(self, message: Facts) -> None:
        """Fold what is new."""
        self._grown_at = time.monotonic()
        self._reading = message.reading
        if self.clock is not None:
            self.load(self.clock, message.events)
            self._changed = True
            message.taken.set()
            return
        first = self.state.last_seq < 0
        self.take(message.events)
        if first:
            # The first full screen waits neither for the clock nor for the rest of the log.
            self._redraw_when_taken_in()
            self.call_after_refresh(message.taken.set)
        else:
            message.taken.set()

    def on_caught_up(self, message: CaughtUp) -> None:
        """Know how old the newest fact is."""
        self._grown_at = time.monotonic() - message.silent_seconds
        self._reading = None
        self._redraw_when_taken_in()

    def line_is_free(self) -> None:
        """Draw what has changed meanwhile, though not more often than at other times; or send what is left."""
        if time.monotonic() - self._drawn_at < 1 / self._settings.refresh:
            self.send_rest()
        else:
            self._redraw_if_changed()

    def on_log_unreadable(self, message: LogUnreadable) -> None:
        """Say so, until it can be read again."""
        self._unreadable = message.reason
        self._changed = True

    def on_trainer_gone(self, message: TrainerGone) -> None:
        """Know that nobody writes the log any more."""
        self._gone = message.gone
        self._changed = True

    def on_trainer_printed(self, message: TrainerPrinted) -> None:
        """Show what the training process printed."""
        self._printed = message.lines
        self._changed = True

    def on_trainer_exited(self, message: TrainerExited) -> None:
        """Know that the process that this screen started is over."""
        self._trainer_exit = message
        self._changed = True

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Yield what the command palette offers: what the keys of this screen do."""
        if not isinstance(screen, BaseScreen):
            return
        moment = self.moment()
        for key in keys_of(screen.place):
            if not key.is_useful(moment) or key.action == "command_palette":
                continue
            reason = moment.cannot(key.request) if key.request else ""
            words = f"key {key.shown}" + (f": not now, {plain(reason, 200)}" if reason else "")
            action = partial(self.run_action, key.full_action, default_namespace=screen)
            name = f"{key.label}: " if key.label else ""
            yield SystemCommand(f"{name}{key.help.rstrip('.')}", words, action)

    def moment(self) -> Moment:
        """Return what is to be shown now."""
        silent = 0.0 if self.clock else time.monotonic() - self._grown_at
        status = liveness.status(self.state, gone=self._gone, silent_seconds=silent)
        if self.state.run is None and self._trainer_exit is not None:
            status = "failed"
        return Moment(
            state=self.state,
            status=status,
            now=self.clock.time if self.clock else time.time(),
            run_path=self._run.path,
            silent_seconds=silent,
            asked=tuple(self.steering.asked),
            refusal=self.steering.refusal(self.state, status, replay=self.clock is not None),
            trainer_log=self._printed,
            notice=self._current_notice(),
            reading=self._reading,
            replay=self.clock.position if self.clock else None,
            whole=self.whole,
            exit_code=self._trainer_exit.code if self._trainer_exit else None,
            read=frozenset(self.read_alerts),
            is_line_slow=self.is_line_slow,
        )

    def redraw(self) -> None:
        """Show the moment."""
        self._changed = False
        self._drawn_at = time.monotonic()
        self._shown_second = int(time.time())
        self._said_slow = self.is_line_slow
        if self.screen_stack:
            self.place.show(self.moment())
            self._select_remembered()

    def say(self, text: str, *, bad: bool = False) -> None:
        """Show a sentence for some seconds."""
        self._notice, self._notice_until = Notice(text, bad), time.monotonic() + _NOTICE_SECONDS
        self.redraw()

    def action_cursor(self, by: int) -> None:
        """Select another layer."""
        self.place.move_cursor(by)

    def action_next_chart(self, by: int) -> None:
        """Show another chart."""
        self.dashboard.next_chart(by)

    async def action_open(self, place: ScreenName) -> None:
        """Show another screen; the dashboard stays below all others."""
        if self.place is not self.screen or self.place.place == place:
            return
        if self.place is not self.dashboard:
            self._view = self.place.remember(self._view)
            await self.pop_screen()
        self._opened = self.dashboard
        if place != "dashboard":
            self._opened = new_screen(place, self._settings)
            self._opened.recall(self._view)
            await self.push_screen(self._opened)
        self.redraw()

    async def action_back(self) -> None:
        """Go back: within this screen, else to the dashboard."""
        if not self.place.go_back():
            await self.action_open("dashboard")

    async def action_watch_run(self) -> None:
        """Watch the run under the cursor in the place of this one: this screen ends, and another begins."""
        path = self.place.selected_run
        if path is None or path == self._run.path:
            await self.action_open("dashboard")
        elif self.clock is not None:
            self.say(f"This is a replay of one run. Another one: tuimon replay {plain(path.name, 80)}")
        elif self._trainer is not None:
            self.say(
                f"This screen belongs to the run that it started. Another one: tuimon watch {plain(path.name, 80)}"
            )
        else:
            self.next_run = RunDirectory(path)
            self.exit()

    def action_save(self) -> None:
        """Save what is seen, where this program was started."""
        moment, here = self.moment(), Path.cwd()
        name = moment.state.run.name if moment.state.run else self._run.path.name
        try:
            written = screenshot.save(
                here, name, self.export_screenshot(title=plain(name)), self.place.shown_curves(moment)
            )
        except OSError as error:
            self.say(f"The screen cannot be saved in {here}: {error.strerror or error}", bad=True)
        else:
            self.say(f"Saved {' and '.join(path.name for path in written)} in {here}.")

    def action_next_palette(self) -> None:
        """Show the next palette."""
        if self.no_color:
            self.say("This screen shows no colours.")
            return
        palette = self._looks.next()
        self._view = structs.replace(self._view, palette=palette)
        self.say(f"Palette: {palette}.")

    def action_help(self) -> None:
        """Show the help screen."""
        self.push_screen(HelpScreen(self.moment(), self.place.place))

    def action_leave(self) -> None:
        """Close the screen; ask first how, where a run goes on that this screen may end."""
        moment = self.moment()
        over = moment.status in OVER
        may_stop = not over and not self._readonly and self.clock is None
        if may_stop and (self.state.run is not None or self._trainer is not None):
            self.push_screen(quit_chooser(), self._choose_leaving)
        else:
            self.exit()

    async def action_quit(self) -> None:
        """Leave; a question that is open is cancelled instead."""
        if self.screen is self.place:
            self.action_leave()
        else:
            self.screen.dismiss(None)

    async def on_timeline_screen_chosen(self, message: TimelineScreen.Chosen) -> None:
        """Say why there is an alert; have a replay go to the event, and a live view show it in the charts."""
        if self.clock is not None:
            self.go_to(self.clock, message.time)
        if isinstance(message.source, Alert):
            self.say_why(self.moment(), message.source)
        elif self.clock is None and message.step is not None:
            await self.action_open("metrics")
            self.place.read_at(message.step)

    def take(self, events: list[AnyEvent]) -> None:
        """Fold what is new, and draw it when it is time to."""
        super().take(events)
        self._changed = True

    def hush(self) -> None:
        """Show the sentence no longer that was said."""
        self._notice = None

    def _select_remembered(self) -> None:
        if self._view.layer in self.state.layers:
            self.dashboard.select_layer(self._view.layer)
            self._view = structs.replace(self._view, layer=None)

    def _redraw_if_changed(self) -> None:
        # Seconds are shown of a run that goes on, so the time alone changes the screen.
        ticking = self.state.ended is None and int(time.time()) != self._shown_second
        over = (self._notice is not None and self._current_notice() is None) or self._said_slow != self.is_line_slow
        if self._changed or ticking or over:
            self._redraw_when_taken_in()
        else:
            self.send_rest()

    def _redraw_when_taken_in(self) -> None:
        """Show the moment, if the line is free: what a key asks for is drawn at once, what merely goes on waits."""
        self._changed = True
        if self.may_draw:
            self.redraw()
            # What is drawn now comes before the rest of what was drawn before.
            self.call_after_refresh(self.send_rest)
        else:
            self.send_rest()

    def _current_notice(self) -> Notice | None:
        if self._notice is not None and time.monotonic() > self._notice_until:
            self._notice = None
        if self._notice is not None:
            return self._notice
        if self._trainer_exit is not None and self._trainer_exit.reason:
            return Notice(self._trainer_exit.reason, bad=True)
        return Notice(self._unreadable, bad=True) if self._unreadable else None

    def _choose_leaving(self, choice: str | None) -> None:
        if choice == "stop":
            try:
                self.steering.stop(self.state)
            except OSError as error:
                self.say(f"The request to stop cannot be written: {error}", bad=True)
                return
        if choice is not None:
            self.exit(choice)
