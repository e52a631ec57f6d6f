"""The keys that change a run: they ask a question first where one is due, then send a request."""

from collections.abc import Callable
from functools import partial

from msgspec import convert
from textual.app import App
from textual.screen import ModalScreen

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
from tuimon.ui.dialogs.questions import phase_chooser, quit_chooser, recalibrate_chooser, rollback_chooser
from tuimon.ui.dialogs.text_entry import learning_rate_entry, momentum_entry, note_entry
from tuimon.ui.dialogs.why_screen import WhyScreen
from tuimon.ui.frame.base_screen import shown_screen
from tuimon.ui.viewer.alerts import helping_key, pressing_alert
from tuimon.ui.viewer.steering import freeze_or_unfreeze, hold_or_release, set_momentum
from tuimon.ui.viewer.viewer import Viewer


class RequestKeys:
    """Turns keys into requests, of the run as a whole or of the layer under the cursor.

    Args:
        viewer: Sends the requests.
        app: Opens the questions over the screen that it shows.
        redraw: Draws the screen again, after each request.
    """

    def __init__(self, viewer: Viewer, app: App[str], redraw: Callable[[], None]) -> None:
        self._viewer = viewer
        self._app = app
        self._redraw = redraw
        self._asks: dict[str, Callable[[], None]] = {
            "freeze_layer": partial(self._freeze, of_all=False),
            "freeze_all": partial(self._freeze, of_all=True),
            "hold_layer": partial(self._hold, of_all=False),
            "hold_all": partial(self._hold, of_all=True),
            "momentum_of_layer": partial(self._momentum, of_all=False),
            "momentum_of_all": partial(self._momentum, of_all=True),
            "phase": self._phase,
            "learning_rate": self._learning_rate,
            "recalibrate": self._recalibrate,
            "undo": viewer.undo,
            "note": self._note,
            "pause": self._pause,
            "checkpoint": partial(viewer.ask, Checkpoint()),
            "roll_back": self._roll_back,
            "probe": partial(viewer.ask, Probe()),
        }

    def ask(self, name: str) -> None:
        """Do what a key does.

        Args:
            name: What `ask` is given in the table of keys.
        """
        self._asks[name]()
        self._redraw()

    def why(self) -> None:
        """Open the alert that matters most, else the newest."""
        moment = self._viewer.moment()
        if moment.state.alerts:
            self.say_why(pressing_alert(moment) or moment.state.alerts[-1])
        else:
            self._viewer.say("There is no alert.")
            self._redraw()

    def say_why(self, alert: Alert) -> None:
        """Open an alert, and do what it advises if its key is pressed there."""
        moment = self._viewer.moment()
        self._viewer.read_alerts.add(alert.seq)
        # Where the run is over, no fact comes that draws the banner without it.
        self._redraw()
        self._app.push_screen(WhyScreen(moment, alert), self._do_what_helps)

    def leave(self) -> None:
        """Ask how to leave a run that goes on; close the app with the answer."""

        def leave(choice: str | None) -> None:
            if choice == "stop" and not self._viewer.stop():
                self._redraw()
            elif choice is not None:
                self._app.exit(choice)

        self._app.push_screen(quit_chooser(), leave)

    def _freeze(self, *, of_all: bool) -> None:
        paths = self._layers(of_all)
        if paths is None:
            self._viewer.say("There is no BatchNormalization layer to freeze.")
        else:
            self._viewer.ask(freeze_or_unfreeze(self._viewer.moment(), paths))

    def _hold(self, *, of_all: bool) -> None:
        paths = self._layers(of_all)
        if paths is None:
            self._viewer.say("There is no BatchNormalization layer to hold.")
        else:
            self._viewer.ask(hold_or_release(self._viewer.moment(), paths))

    def _momentum(self, *, of_all: bool) -> None:
        paths = self._layers(of_all)
        if paths is None:
            self._viewer.say("There is no BatchNormalization layer with a momentum.")
        elif not self._viewer.refuses("momentum"):
            question = momentum_entry(self._viewer.state, paths)
            self._send_answer(question, lambda text: set_momentum(values.momentum(text), paths))

    def _phase(self) -> None:
        if not self._viewer.refuses("phase"):
            question = phase_chooser(self._viewer.state.phase)
            self._send_answer(question, lambda phase: convert({"command": "phase", "phase": phase}, Phase))

    def _learning_rate(self) -> None:
        if not self._viewer.refuses("lr"):
            question = learning_rate_entry(self._viewer.state)
            self._send_answer(question, lambda text: LearningRate(learning_rate=values.learning_rate(text)))

    def _recalibrate(self) -> None:
        if not self._viewer.refuses("recalibrate"):
            self._send_answer(recalibrate_chooser(), lambda choice: Recalibrate(dry_run=choice == "dry run"))

    def _note(self) -> None:
        if not self._viewer.refuses("note"):
            self._send_answer(note_entry(self._viewer.state), lambda text: Note(text=values.note(text)))

    def _pause(self) -> None:
        self._viewer.ask(Resume() if self._viewer.moment().is_paused else Pause())

    def _roll_back(self) -> None:
        moment = self._viewer.moment()
        checkpoint = moment.newest_checkpoint
        if not self._viewer.refuses("rollback") and checkpoint is not None:
            question = rollback_chooser(checkpoint, moment.now - checkpoint.time)
            self._send_answer(question, lambda name: Rollback(checkpoint=name))

    def _layers(self, of_all: bool) -> list[str] | None:
        """Return the paths of the layers that a key means, none for all layers; None where there is no such layer."""
        if of_all:
            return [] if self._viewer.state.layers else None
        path = shown_screen(self._app).selected_layer
        return None if path is None else [path]

    def _send_answer(self, question: ModalScreen[str | None], request_of: Callable[[str], AnyRequest]) -> None:
        """Ask, and send the request that the answer stands for; none where the question is cancelled."""

        def send(answer: str | None) -> None:
            if answer is not None:
                self._viewer.ask(request_of(answer))
                self._redraw()

        self._app.push_screen(question, send)

    def _do_what_helps(self, alert: Alert | None) -> None:
        if alert is None:
            return
        # Facts may have come while the alert was read, and some keys also undo what they do.
        wanted = helping_key(alert, self._viewer.moment())
        if wanted is None:
            self._viewer.say("Nothing was asked: what the alert advises is so already.")
            self._redraw()
            return
        if wanted.layer is not None:
            shown_screen(self._app).select_layer(wanted.layer)
        self.ask(wanted.asks)
