"""The app: hears of the world through messages, folds them, shows the moment, turns keys into requests."""

import math
import threading
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

from msgspec import convert, structs
from textual.app import App, SystemCommand
from textual.await_complete import AwaitComplete
from textual.binding import BindingType
from textual.events import CursorPosition, Resize
from textual.screen import Screen

from tuimon import liveness, spellings
from tuimon.commands import (
    AnyRequest,
    Checkpoint,
    LearningRate,
    Note,
    Pause,
    Phase,
    Probe,
    Recalibrate,
    Resume,
    Rollback,
)
from tuimon.events import Alert, AnyEvent, Batches, BatchNorm, BatchNormChannels, EpochEnded, ValidationBatches
from tuimon.run_directory import RunDirectory
from tuimon.settings import PaletteName, Settings
from tuimon.state import OVER, Command, RunState
from tuimon.text import plain
from tuimon.ui import saving
from tuimon.ui.alerts import helping_key, pressing_alert
from tuimon.ui.chooser import phase_chooser, quit_chooser, recalibrate_chooser, rollback_chooser
from tuimon.ui.dashboard import Dashboard
from tuimon.ui.entry import learning_rate_entry, momentum_entry, note_entry
from tuimon.ui.hangup import exit_on_hangup
from tuimon.ui.help_screen import HelpScreen
from tuimon.ui.keys import Place, keys_of
from tuimon.ui.looks import Looks
from tuimon.ui.messages import CaughtUp, Facts, LogUnreadable, TrainerExited, TrainerGone, TrainerPrinted
from tuimon.ui.moment import Moment, Notice
from tuimon.ui.moment_screen import MomentScreen
from tuimon.ui.pacing import OPENING_BYTES, Pacing
from tuimon.ui.places import new_screen
from tuimon.ui.reader import Reader, Trainer
from tuimon.ui.replay import ReplayClock
from tuimon.ui.steering import Steering
from tuimon.ui.timeline_screen import TimelineScreen
from tuimon.ui.too_small import TooSmall
from tuimon.ui.undo import NothingToUndoError, newest_undo
from tuimon.ui.view_memory import View, ViewMemory
from tuimon.ui.virtual_screen import UPDATES, Frame, VirtualScreen
from tuimon.ui.why_screen import WhyScreen

__all__ = ["ReplayClock", "Trainer", "WatchApp"]

_MEASURED = Batches | ValidationBatches | EpochEnded | BatchNorm | BatchNormChannels
"""Facts that the timeline does not list, and that would take room twice."""

_REPLAY_SECONDS = 0.1
_NOTICE_SECONDS = 8.0
_BEHIND_SECONDS = 1.0
"""After this long without all having been sent, the line is slow."""
_SLOW_SECONDS = 5.0
"""How long that is said."""
_LEAVE_SECONDS, _LEAVE_ROUND_TRIPS = 1.5, 2.0
"""How long a slow terminal is waited for when the screen is closed; at least so long, however near it is."""


class WatchApp(App[str]):
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
        super().__init__()
        self._settings = settings or Settings()
        self._memory = memory
        self._view = memory.load(run) if memory is not None else View()
        """What is remembered; its layer only until it is selected."""
        self._looks = Looks(self, self._settings)
        self._looks.choose(palette or self._view.palette or self._looks.name)
        self._dashboard = Dashboard()
        self._opened: MomentScreen = self._dashboard
        """The screen that was opened last."""
        self.state = RunState()
        """The log so far, folded."""
        self.steering = Steering(run, readonly=readonly)
        """Requests of this screen."""
        self.next_run: RunDirectory | None = None
        """The run that was chosen to be watched next; None where the screen was left."""
        self._run = run
        self._readonly = readonly
        self._replay = replay
        self._whole = RunState() if replay else None
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
        self._released_at = time.monotonic()
        self._read = set[int]()
        self._pacing = Pacing()
        self._terminal = VirtualScreen()
        self._behind_since = math.inf
        self._slow_until = 0.0
        self._said_slow = False
        self._leaves_by = 0.0
        if warning:
            self._notice, self._notice_until = Notice(warning, bad=True), time.monotonic() + _NOTICE_SECONDS

    def get_default_screen(self) -> Dashboard:
        """Return the dashboard."""
        return self._dashboard

    @property
    def dashboard(self) -> Dashboard:
        """The screen under all others."""
        return self._dashboard

    @property
    def place(self) -> MomentScreen:
        """The full screen that is shown, though a question may be open over it."""
        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, MomentScreen))

    def on_mount(self) -> None:
        """Begin to read and to draw."""
        if not self.is_headless:
            exit_on_hangup()
        # Before anything is drawn: whether it answers at all is then known as soon as can be.
        self._ask_terminal(OPENING_BYTES)
        follow = self._replay is None
        reader = Reader(self._run, self.post_message, follow=follow, trainer=self._trainer)
        self.run_worker(lambda: reader.run(self._stop_reading), name="reader", thread=True)
        self.set_interval(1 / self._settings.refresh, self._redraw_if_changed)
        if self._view.chart is not None:
            self.dashboard.choose_chart(self._view.chart)
        if self._replay is not None:
            self.set_interval(_REPLAY_SECONDS, self._release)

    def on_resize(self, event: Resize) -> None:
        """Draw all anew; say so where the terminal has no room for anything."""
        self._terminal.forget()
        self._pacing.forget()
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
        if self._replay is not None:
            self._replay.load(message.events)
            assert self._whole is not None
            self._whole.apply(event for event in message.events if not isinstance(event, _MEASURED))
            self._changed = True
            message.taken.set()
            return
        first = self.state.last_seq < 0
        self._apply(message.events)
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

    def on_cursor_position(self, event: CursorPosition) -> None:
        """The terminal has taken in all that was sent before it was asked."""
        # When it came, not when there was time to look at it.
        self._pacing.answered(event.time, event.x + 1, event.y + 1)
        if time.monotonic() - self._drawn_at < 1 / self._settings.refresh:
            self._send_rest()
        else:
            self._redraw_if_changed()

    def exit(self, result: str | None = None, return_code: int = 0, message: Any = None) -> None:
        """Close the app, once the terminal has answered: else its answer would be typed into the shell."""
        now = time.monotonic()
        self._leaves_by = self._leaves_by or now + max(_LEAVE_SECONDS, _LEAVE_ROUND_TRIPS * self._pacing.round_trip)
        if self._pacing.is_waiting and now < self._leaves_by:
            self.set_timer(0.02, partial(self.exit, result, return_code, message))
        else:
            super().exit(result, return_code, message)

    def pop_screen(self) -> AwaitComplete:
        """Close the screen on top; the dashboard stays, however often something closes itself.

        Textual's command palette does so twice when it is clicked while it closes, and that would end the program.
        """
        return super().pop_screen() if len(self.screen_stack) > 1 else AwaitComplete.nothing()  # type: ignore[no-untyped-call]

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
        if not isinstance(screen, MomentScreen):
            return
        moment = self.moment()
        for key in keys_of(screen.place):
            if not key.is_useful(moment):
                continue
            reason = moment.cannot(key.request) if key.request else ""
            words = f"key {key.shown}" + (f": not now, {plain(reason, 200)}" if reason else "")
            action = partial(self.run_action, key.full_action, default_namespace=screen)
            yield SystemCommand(key.help.rstrip("."), words, action)

    def moment(self) -> Moment:
        """Return what is to be shown now."""
        silent = 0.0 if self._replay else time.monotonic() - self._grown_at
        status = liveness.status(self.state, gone=self._gone, silent_seconds=silent)
        if self.state.run is None and self._trainer_exit is not None:
            status = "failed"
        return Moment(
            state=self.state,
            status=status,
            now=self._replay.time if self._replay else time.time(),
            run_path=self._run.path,
            silent_seconds=silent,
            asked=tuple(self.steering.asked),
            refusal=self.steering.refusal(self.state, status, replay=self._replay is not None),
            trainer_log=self._printed,
            notice=self._current_notice(),
            reading=self._reading,
            replay=self._replay.position if self._replay else None,
            whole=self._whole,
            exit_code=self._trainer_exit.code if self._trainer_exit else None,
            read=frozenset(self._read),
            is_line_slow=self._is_line_slow,
        )

    def redraw(self) -> None:
        """Show the moment."""
        self._changed = False
        self._drawn_at = time.monotonic()
        self._shown_second = int(time.time())
        self._said_slow = self._is_line_slow
        if self.screen_stack:
            self.place.show(self.moment())
            self._select_remembered()

    def say(self, text: str, *, bad: bool = False) -> None:
        """Show a sentence for some seconds."""
        self._notice, self._notice_until = Notice(text, bad), time.monotonic() + _NOTICE_SECONDS
        self.redraw()

    def action_freeze_layer(self) -> None:
        """Freeze the layer under the cursor, or thaw it."""
        path = self.place.selected_layer
        if path is None:
            self.say("There is no BatchNormalization layer to freeze.")
        else:
            self._ask(self.steering.toggle_layer(self.moment(), path))

    def action_freeze_all(self) -> None:
        """Freeze all layers, or thaw them."""
        if not self.state.layers:
            self.say("There is no BatchNormalization layer to freeze.")
        else:
            self._ask(self.steering.toggle_all(self.moment()))

    def action_hold_layer(self) -> None:
        """Hold the moving statistics of the layer under the cursor, or let them go."""
        path = self.place.selected_layer
        if path is None:
            self.say("There is no BatchNormalization layer to hold.")
        else:
            self._ask(self.steering.toggle_held(self.moment(), [path]))

    def action_hold_all(self) -> None:
        """Hold the moving statistics of all layers, or let them go."""
        if not self.state.layers:
            self.say("There is no BatchNormalization layer to hold.")
        else:
            self._ask(self.steering.toggle_held(self.moment(), []))

    def action_learning_rate(self) -> None:
        """Ask for the learning rate."""
        if not self._refused("lr"):
            self.push_screen(learning_rate_entry(self.state), self._choose_learning_rate)

    def action_momentum(self, of_all: bool) -> None:
        """Ask for the momentum of the layer under the cursor, or of all."""
        path = self.place.selected_layer
        if path is None:
            self.say("There is no BatchNormalization layer with a momentum.")
        elif not self._refused("momentum"):
            paths = [] if of_all else [path]
            self.push_screen(momentum_entry(self.state, paths), partial(self._choose_momentum, paths))

    def action_recalibrate(self) -> None:
        """Estimate the moving statistics afresh; ask first."""
        if not self._refused("recalibrate"):
            self.push_screen(recalibrate_chooser(), self._choose_recalibration)

    def action_checkpoint(self) -> None:
        """Save a checkpoint."""
        self._ask(Checkpoint())

    def action_roll_back(self) -> None:
        """Go back to the newest checkpoint; ask first."""
        moment = self.moment()
        checkpoint = moment.newest_checkpoint
        if not self._refused("rollback") and checkpoint is not None:
            self.push_screen(rollback_chooser(checkpoint, moment.now - checkpoint.time), self._choose_rollback)

    def action_undo(self) -> None:
        """Take back the newest request that changed what is in force."""
        moment = self.moment()
        if moment.refusal:
            self.say(f"Nothing was asked: {moment.refusal}.")
            return
        try:
            undo = newest_undo(moment)
        except NothingToUndoError as reason:
            self.say(f"Nothing was undone: {reason}.")
            return
        if any(self._refused(str(request.__struct_config__.tag)) for request in undo.requests):
            return
        try:
            self.steering.undo(undo, self.state)
        except OSError as error:
            self.say(f"The request cannot be written: {error}", bad=True)
        else:
            self.say(f"undo {plain(undo.command.words, 100)}: asked")

    def action_note(self) -> None:
        """Ask for a text for the log."""
        if not self._refused("note"):
            self.push_screen(note_entry(self.state), self._leave_note)

    def action_phase(self) -> None:
        """Ask for the learning phase."""
        if self._refused("phase"):
            return
        self.push_screen(phase_chooser(self.state.phase), self._choose_phase)

    def action_probe(self) -> None:
        """Measure the gap between training mode and inference mode."""
        self._ask(Probe())

    def action_why(self) -> None:
        """Say why there is an alert: the one that matters most, else the newest."""
        moment = self.moment()
        if not moment.state.alerts:
            self.say("There is no alert.")
        else:
            chosen = pressing_alert(moment) or moment.state.alerts[-1]
            self._say_why(moment, chosen)

    def action_cursor(self, by: int) -> None:
        """Select another layer."""
        self.place.move_cursor(by)

    def action_next_chart(self, by: int) -> None:
        """Show another chart."""
        self.dashboard.next_chart(by)

    async def action_open(self, place: Place) -> None:
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
        """Save what is seen, where this program was started."""
        moment, here = self.moment(), Path.cwd()
        name = moment.state.run.name if moment.state.run else self._run.path.name
        try:
            written = saving.save(
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

    def action_repaint(self) -> None:
        """Draw the whole screen anew."""
        self._terminal.forget()
        self._pacing.forget()
        self._send_rest()

    def action_help(self) -> None:
        """Show the help screen."""
        self.push_screen(HelpScreen(self.moment(), self.place.place))

    def action_leave(self) -> None:
        """Close the screen; ask first how, where a run goes on that this screen may end."""
        moment = self.moment()
        over = moment.status in OVER
        may_stop = not over and not self._readonly and self._replay is None
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

    def action_pause(self) -> None:
        """Pause training, or have it go on; in a replay, play it or pause it."""
        if self._replay is None:
            self._ask(Resume() if self.moment().is_paused else Pause())
        else:
            self._replay.playing = not self._replay.playing
            self._released_at = time.monotonic()
            self.redraw()

    def action_next_epoch(self) -> None:
        """Go on to the end of the next epoch."""
        if self._replay is not None:
            self._notice = None
            self._apply(self._replay.next_epoch())
            self.redraw()

    def action_epoch_before(self) -> None:
        """Go back to the end of the epoch before."""
        if self._replay is not None:
            self._go_to(self._replay, self._replay.epoch_before())

    def action_next_fact(self) -> None:
        """Go on by one line of the log."""
        if self._replay is not None:
            self._notice = None
            self._apply(self._replay.next_fact())
            self.redraw()

    def action_jump(self, by: int) -> None:
        """Go to the next request that took effect, or alert; or to the one before."""
        if self._replay is None or self._whole is None:
            return
        now = self._replay.time
        times = [
            entry.time
            for entry in self._whole.timeline
            if isinstance(entry, Alert) or (isinstance(entry, Command) and entry.applied)
        ]
        wanted = [time for time in times if (time > now if by > 0 else time < now)]
        if wanted:
            self._go_to(self._replay, min(wanted) if by > 0 else max(wanted))
        else:
            self.say(f"There is no request and no alert {'after' if by > 0 else 'before'} this.")

    def action_faster(self) -> None:
        """Replay twice as fast."""
        self._change_speed(2.0)

    def action_slower(self) -> None:
        """Replay half as fast."""
        self._change_speed(0.5)

    def action_to_end(self) -> None:
        """Go to the end of the log."""
        if self._replay is not None:
            self._notice = None
            self._apply(self._replay.to_end())
            self.redraw()

    async def on_timeline_screen_chosen(self, message: TimelineScreen.Chosen) -> None:
        """Say why there is an alert; have a replay go to the event, and a live view show it in the charts."""
        if self._replay is not None:
            self._go_to(self._replay, message.time)
        if isinstance(message.source, Alert):
            self._say_why(self.moment(), message.source)
        elif self._replay is None and message.step is not None:
            await self.action_open("metrics")
            self.place.read_at(message.step)

    def _go_to(self, replay: ReplayClock, time: float) -> None:
        """Have a replay go to a time of the log, and wait there."""
        replay.playing, self._notice = False, None
        if time < replay.time:
            # Facts cannot be taken back: they are folded anew.
            replay.to_start()
            self.state = RunState()
        self._apply(replay.to_time(time))
        self.redraw()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if isinstance(renderable, UPDATES):
            self._send(screen, renderable)
        else:
            super()._display(screen, renderable)

    def _send(self, screen: Screen[Any], update: Any) -> None:
        """Send what the terminal does not show yet, as much of it as there is room for on the line."""
        if self._leaves_by:
            # It is gone in a moment, and a question now would be answered to the shell.
            return
        if self._pacing.doubts:
            self._ask_terminal(0)
        frame = Frame(self._terminal, update, self._pacing.room(time.monotonic()))
        super()._display(screen, cast(Any, frame))
        if frame.written:
            self._ask_terminal(frame.written)
        self._know_line()

    @property
    def _is_line_slow(self) -> bool:
        return time.monotonic() < self._slow_until

    def _know_line(self) -> None:
        """Know whether the line is too slow for what there is to send."""
        now = time.monotonic()
        if not self._terminal.is_behind:
            self._behind_since = math.inf
        elif now - (since := min(self._behind_since, now)) > _BEHIND_SECONDS:
            self._slow_until = now + _SLOW_SECONDS
        else:
            self._behind_since = since

    def _send_rest(self) -> None:
        """Send what there was no room for."""
        if self._terminal.is_behind and self._pacing.room(time.monotonic()) > 0:
            self._send(self.screen, None)

    def _apply(self, events: list[AnyEvent]) -> None:
        self.state.apply(events)
        self.steering.settle(self.state)
        self._changed = True

    def _release(self) -> None:
        assert self._replay is not None
        now = time.monotonic()
        seconds, self._released_at = now - self._released_at, now
        if events := self._replay.release(seconds):
            self._apply(events)

    def _change_speed(self, factor: float) -> None:
        if self._replay is not None:
            self._notice = None
            self._replay.change_speed(factor)
            self.redraw()

    def _select_remembered(self) -> None:
        if self._view.layer in self.state.layers:
            self.dashboard.select_layer(self._view.layer)
            self._view = structs.replace(self._view, layer=None)

    def _redraw_if_changed(self) -> None:
        # Seconds are shown of a run that goes on, so the time alone changes the screen.
        ticking = self.state.ended is None and int(time.time()) != self._shown_second
        over = (self._notice is not None and self._current_notice() is None) or self._said_slow != self._is_line_slow
        if self._changed or ticking or over:
            self._redraw_when_taken_in()
        else:
            self._send_rest()

    def _redraw_when_taken_in(self) -> None:
        """Show the moment, if the line is free: what a key asks for is drawn at once, what merely goes on waits."""
        self._changed = True
        if self._pacing.may_draw(time.monotonic()):
            self.redraw()
            # What is drawn now comes before the rest of what was drawn before.
            self.call_after_refresh(self._send_rest)
        else:
            self._send_rest()

    def _ask_terminal(self, sent: int) -> None:
        """Ask the terminal to say when it has taken in ``sent`` bytes, and all that was sent before."""
        if self._driver is not None and not self.is_headless and self._pacing.asks:
            question = self._pacing.question(time.monotonic(), sent, *self.size, is_part=self._terminal.is_behind)
            self._driver.write(question)
            self._driver.flush()

    def _current_notice(self) -> Notice | None:
        if self._notice is not None and time.monotonic() > self._notice_until:
            self._notice = None
        if self._notice is not None:
            return self._notice
        if self._trainer_exit is not None and self._trainer_exit.reason:
            return Notice(self._trainer_exit.reason, bad=True)
        return Notice(self._unreadable, bad=True) if self._unreadable else None

    def _refused(self, command: str) -> bool:
        moment = self.moment()
        if moment.refusal:
            self.say(f"Nothing was asked: {moment.refusal}.")
            return True
        if reason := plain(moment.cannot(command)):
            self.say(f"This run does not take {command}: {reason}", bad=True)
            return True
        return False

    def _ask(self, request: AnyRequest) -> None:
        if self._refused(str(request.__struct_config__.tag)):
            return
        try:
            self.steering.ask(request, self.state)
        except OSError as error:
            self.say(f"The request cannot be written: {error}", bad=True)
        else:
            self.redraw()

    def _say_why(self, moment: Moment, alert: Alert) -> None:
        self._read.add(alert.seq)
        self.push_screen(WhyScreen(moment, alert), self._do_what_helps)

    async def _do_what_helps(self, alert: Alert | None) -> None:
        if alert is None:
            return
        # Facts may have come while it was read, and some keys also undo what they do.
        wanted = helping_key(alert, self.moment())
        if wanted is None:
            self.say("Nothing was asked: what the alert advises is so already.")
            return
        if wanted.layer is not None:
            self.place.select_layer(wanted.layer)
        await self.run_action(wanted.action)

    def _choose_phase(self, phase: str | None) -> None:
        if phase is not None:
            self._ask(convert({"command": "phase", "phase": phase}, Phase))

    def _choose_learning_rate(self, text: str | None) -> None:
        if text is not None:
            self._ask(LearningRate(learning_rate=spellings.learning_rate(text)))

    def _leave_note(self, text: str | None) -> None:
        if text is not None:
            self._ask(Note(text=spellings.note(text)))

    def _choose_momentum(self, paths: list[str], text: str | None) -> None:
        if text is not None:
            self._ask(self.steering.momentum(spellings.momentum(text), paths))

    def _choose_recalibration(self, choice: str | None) -> None:
        if choice is not None:
            self._ask(Recalibrate(dry_run=choice == "dry run"))

    def _choose_rollback(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self._ask(Rollback(checkpoint=checkpoint))

    def _choose_leaving(self, choice: str | None) -> None:
        if choice == "stop":
            try:
                self.steering.stop(self.state)
            except OSError as error:
                self.say(f"The request to stop cannot be written: {error}", bad=True)
                return
        if choice is not None:
            self.exit(choice)
