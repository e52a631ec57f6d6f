"""An app whose keys send requests: what may be asked is asked, what may not is said."""

from functools import partial

from msgspec import convert

from tuimon.protocol import values
from tuimon.protocol.commands import (
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
from tuimon.protocol.events import Alert
from tuimon.runs.state import RunState
from tuimon.text import plain
from tuimon.ui.dialogs.choice import phase_chooser, recalibrate_chooser, rollback_chooser
from tuimon.ui.dialogs.text_entry import learning_rate_entry, momentum_entry, note_entry
from tuimon.ui.dialogs.why_screen import WhyScreen
from tuimon.ui.frame.base_screen import BaseScreen
from tuimon.ui.terminal.paced_app import PacedApp
from tuimon.ui.viewer.alerts import helping_key, pressing_alert
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.steering import Steering
from tuimon.ui.viewer.undo import NothingToUndoError, newest_undo


class SteeringApp(PacedApp):
    """Turns keys into requests, of the run as a whole or of the layer under the cursor.

    Args:
        steering: Where requests go.
    """

    def __init__(self, steering: Steering) -> None:
        super().__init__()
        self.state = RunState()
        """The log so far, folded."""
        self.steering = steering
        """Requests of this screen."""
        self.read_alerts = set[int]()
        """Of which somebody has read why: by their numbers in the log."""

    @property
    def place(self) -> BaseScreen:
        """The full screen that is shown, though a question may be open over it."""
        return next(screen for screen in reversed(self.screen_stack) if isinstance(screen, BaseScreen))

    def moment(self) -> Moment:
        """Return what is to be shown now."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Show the moment."""
        raise NotImplementedError

    def say(self, text: str, *, bad: bool = False) -> None:
        """Show a sentence for some seconds."""
        raise NotImplementedError

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
            self.say_why(moment, chosen)

    def action_pause(self) -> None:
        """Pause training, or have it go on."""
        self._ask(Resume() if self.moment().is_paused else Pause())

    def say_why(self, moment: Moment, alert: Alert) -> None:
        """Say why there is an alert, and offer what helps."""
        self.read_alerts.add(alert.seq)
        self.push_screen(WhyScreen(moment, alert), self._do_what_helps)

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
            self._ask(LearningRate(learning_rate=values.learning_rate(text)))

    def _leave_note(self, text: str | None) -> None:
        if text is not None:
            self._ask(Note(text=values.note(text)))

    def _choose_momentum(self, paths: list[str], text: str | None) -> None:
        if text is not None:
            self._ask(self.steering.momentum(values.momentum(text), paths))

    def _choose_recalibration(self, choice: str | None) -> None:
        if choice is not None:
            self._ask(Recalibrate(dry_run=choice == "dry run"))

    def _choose_rollback(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self._ask(Rollback(checkpoint=checkpoint))
