"""The app: hears of the world through messages, folds them, shows the moment, turns keys into requests."""

import threading
import time
from functools import partial
from typing import Any, ClassVar

from msgspec import convert
from textual.app import App
from textual.binding import BindingType
from textual.screen import Screen

from tuimon import liveness, spellings
from tuimon.commands import AnyRequest, Checkpoint, LearningRate, Pause, Phase, Probe, Recalibrate, Resume, Rollback
from tuimon.events import Alert, AnyEvent, Batches, BatchNorm, BatchNormChannels, EpochEnded, ValidationBatches
from tuimon.run_directory import RunDirectory
from tuimon.state import RunState
from tuimon.text import plain
from tuimon.ui.alerts import helping_key, pressing_alert
from tuimon.ui.chooser import phase_chooser, quit_chooser, recalibrate_chooser, rollback_chooser
from tuimon.ui.dashboard import Dashboard
from tuimon.ui.entry import learning_rate_entry, momentum_entry
from tuimon.ui.hangup import exit_on_hangup
from tuimon.ui.help_screen import HelpScreen
from tuimon.ui.keys import Place
from tuimon.ui.layers_screen import LayersScreen
from tuimon.ui.log_screen import LogScreen
from tuimon.ui.messages import CaughtUp, Facts, LogUnreadable, TrainerExited, TrainerGone, TrainerPrinted
from tuimon.ui.moment import Moment, Notice
from tuimon.ui.moment_screen import MomentScreen
from tuimon.ui.palette import THEME
from tuimon.ui.reader import Reader, Trainer
from tuimon.ui.replay import ReplayClock
from tuimon.ui.run_screen import RunScreen
from tuimon.ui.spans import only_what_changed
from tuimon.ui.steering import Steering
from tuimon.ui.system_screen import SystemScreen
from tuimon.ui.timeline_screen import TimelineScreen
from tuimon.ui.why_screen import WhyScreen

__all__ = ["ReplayClock", "Trainer", "WatchApp"]

SCREENS: dict[Place, type[MomentScreen]] = {
    "layers": LayersScreen,
    "timeline": TimelineScreen,
    "log": LogScreen,
    "system": SystemScreen,
    "run": RunScreen,
}
"""The screens beside the dashboard."""

_MEASURED = Batches | ValidationBatches | EpochEnded | BatchNorm | BatchNormChannels
"""Facts that the timeline does not list, and that would take room twice."""

_REDRAW_SECONDS = 0.25
_REPLAY_SECONDS = 0.1
_NOTICE_SECONDS = 8.0


class WatchApp(App[str]):
    """Watches one run, and steers it.

    ``run()`` returns what was chosen on leaving: `leave` or `stop` for a run that went on, else None.

    Args:
        run: The run.
        readonly: Send no requests.
        replay: Show a recorded run by this clock; None for the run as it is now.
        trainer: The training process to start and wait for; None where another one trains.

    Example:
        ```python
        WatchApp(RunDirectory.find("runs/20261120-211503-finetune", Path("runs"))).run()
        ```
    """

    CSS_PATH = "tuimon.tcss"
    TITLE = "tuimon"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(
        self,
        run: RunDirectory,
        *,
        readonly: bool = False,
        replay: ReplayClock | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        super().__init__()
        self.register_theme(THEME)
        self.theme = THEME.name
        self.state = RunState()
        """The log so far, folded."""
        self.steering = Steering(run, readonly=readonly)
        """Requests of this screen."""
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
        self._shown_second = 0
        self._released_at = time.monotonic()

    def get_default_screen(self) -> Dashboard:
        """Return the dashboard."""
        return Dashboard()

    @property
    def dashboard(self) -> Dashboard:
        """The screen under all others."""
        screen = self.screen_stack[0]
        assert isinstance(screen, Dashboard)
        return screen

    @property
    def place(self) -> MomentScreen:
        """The full screen that is shown, though a question may be open over it."""
        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, MomentScreen))

    def on_mount(self) -> None:
        """Begin to read and to draw."""
        if not self.is_headless:
            exit_on_hangup()
        follow = self._replay is None
        reader = Reader(self._run, self.post_message, follow=follow, trainer=self._trainer)
        self.run_worker(lambda: reader.run(self._stop_reading), name="reader", thread=True)
        self.set_interval(_REDRAW_SECONDS, self._redraw_if_changed)
        if self._replay is not None:
            self.set_interval(_REPLAY_SECONDS, self._release)

    def on_unmount(self) -> None:
        """Let the reading thread end: the interpreter waits for it."""
        self._stop_reading.set()

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
            self.redraw()
            self.call_after_refresh(message.taken.set)
        else:
            message.taken.set()

    def on_caught_up(self, message: CaughtUp) -> None:
        """Know how old the newest fact is."""
        self._grown_at = time.monotonic() - message.silent_seconds
        self._reading = None
        self.redraw()

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
        )

    def redraw(self) -> None:
        """Show the moment."""
        self._changed = False
        self._shown_second = int(time.time())
        if self.screen_stack:
            self.place.show(self.moment())

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
            self.push_screen(WhyScreen(moment, chosen), self._do_what_helps)

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
            await self.pop_screen()
        if place != "dashboard":
            await self.push_screen(SCREENS[place]())
        self.redraw()

    def action_help(self) -> None:
        """Show the help screen."""
        self.push_screen(HelpScreen(self.moment()))

    def action_leave(self) -> None:
        """Close the screen; ask first how, where a run goes on that this screen may end."""
        moment = self.moment()
        over = moment.status in ("finished", "stopped", "failed", "crashed")
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
            self._apply(self._replay.next_epoch())
            self.redraw()

    def action_faster(self) -> None:
        """Replay twice as fast."""
        self._change_speed(2.0)

    def action_slower(self) -> None:
        """Replay half as fast."""
        self._change_speed(0.5)

    def action_to_end(self) -> None:
        """Go to the end of the log."""
        if self._replay is not None:
            self._apply(self._replay.to_end())
            self.redraw()

    def on_timeline_screen_chosen(self, message: TimelineScreen.Chosen) -> None:
        """Have a replay go to the event; say why there is an alert."""
        if self._replay is not None:
            self._go_to(self._replay, message.time)
        elif not isinstance(message.source, Alert) and pressing_alert(self.moment()) is not None:
            # As the line at the top says.
            self.action_why()
        if isinstance(message.source, Alert):
            self.push_screen(WhyScreen(self.moment(), message.source), self._do_what_helps)

    def _go_to(self, replay: ReplayClock, time: float) -> None:
        """Have a replay go to a time of the log, and wait there."""
        replay.playing = False
        if time < replay.time:
            # Facts cannot be taken back: they are folded anew.
            replay.to_start()
            self.state = RunState()
        self._apply(replay.to_time(time))
        self.redraw()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        super()._display(screen, only_what_changed(renderable))

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
            self._replay.change_speed(factor)
            self.redraw()

    def _redraw_if_changed(self) -> None:
        # Seconds are shown of a run that goes on, so the time alone changes the screen.
        ticking = self.state.ended is None and int(time.time()) != self._shown_second
        if self._changed or ticking or (self._notice is not None and self._current_notice() is None):
            self.redraw()

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
