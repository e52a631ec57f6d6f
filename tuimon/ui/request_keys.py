"""The keys that change a run: they ask a question first where one is due, then send a request."""

import glob
from collections.abc import Callable
from functools import partial

from msgspec import convert, structs
from textual.app import App
from textual.screen import ModalScreen

from tuimon.protocol import values
from tuimon.protocol.commands import (
    AnyRequest,
    Cancel,
    Checkpoint,
    Epochs,
    Evaluate,
    Freeze,
    LearningRate,
    Note,
    Order,
    Pause,
    Phase,
    Probe,
    Recalibrate,
    Resume,
    Rollback,
    Snapshot,
    Stop,
    Unfreeze,
    name_of,
)
from tuimon.protocol.events import Alert
from tuimon.protocol.orders import parse, spell
from tuimon.runs.state import OVER
from tuimon.text import plain
from tuimon.ui.dialogs.kept_texts import kept_texts, note_on, unsent_note
from tuimon.ui.dialogs.order_entry import cancel_entry, epochs_entry, order_entry, order_number
from tuimon.ui.dialogs.questions import (
    checkpoint_chooser,
    phase_chooser,
    quit_chooser,
    recalibrate_chooser,
    rollback_chooser,
    stop_chooser,
)
from tuimon.ui.dialogs.text_entry import (
    TextDialog,
    batches_entry,
    layers_entry,
    learning_rate_entry,
    matching_layers,
    momentum_entry,
    note_entry,
)
from tuimon.ui.dialogs.why_screen import WhyScreen
from tuimon.ui.frame.base_screen import shown_screen
from tuimon.ui.viewer.alerts import helping_key, pressing_alert
from tuimon.ui.viewer.steering import freeze_or_unfreeze, hold_or_unhold, set_momentum
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
        self._asks: dict[str, Callable[[], object]] = {
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
            "evaluate": partial(viewer.ask, Evaluate()),
            "snapshot": partial(viewer.ask, Snapshot()),
            "stop": self._stop,
            "recalibrate_from": self._recalibrate_from,
            "roll_back_to": self._roll_back_to,
            "freeze_some": partial(self._layers_by_name, "Freeze which BatchNormalization layers?", Freeze()),
            "hold_some": partial(self._layers_by_name, "Hold the statistics of which layers?", Freeze(statistics=True)),
            "unfreeze_some": partial(self._layers_by_name, "Unfreeze which BatchNormalization layers?", Unfreeze()),
            "freeze_weights": partial(
                self._layers_by_name, "Freeze all weights of which layers?", Freeze(weights=True, layers=["*"])
            ),
            "unfreeze_weights": partial(
                self._layers_by_name, "Unfreeze all weights of which layers?", Unfreeze(weights=True)
            ),
            "order": self._order,
            "cancel_order": self._cancel_order,
            "epochs": self._epochs,
            "why": self._why,
        }

    def ask(self, name: str) -> None:
        """Do what a key does.

        Args:
            name: What `ask` is given in the table of keys.
        """
        self._asks[name]()
        self._redraw()

    def _why(self) -> None:
        """Open the alert under the cursor, else the one that matters most, else the newest one of the layer chosen."""
        moment, screen = self._viewer.moment(), shown_screen(self._app)
        alerts = moment.state.alerts
        of_layer = [alert for alert in alerts if alert.layer is not None and alert.layer == screen.selected_layer]
        # A replay lists alerts that are still to come.
        here = [alert for alert in alerts if alert is screen.selected_alert]
        if alerts:
            self.say_why(here[0] if here else pressing_alert(moment) or [*alerts, *of_layer][-1])
        else:
            self._viewer.say("There is no alert.")

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
            self._say_no_layer("to freeze")
            return
        moment = self._viewer.moment()
        if moment.stays_frozen(paths) and not self._viewer.refuses("unfreeze"):
            words = "was frozen before training, so the optimizer does not know its weights"
            if len(paths or moment.layers) > 1:
                words = "were frozen before training, so the optimizer does not know their weights"
            layers = ", ".join(map(plain, paths)) or "the layers"
            self._viewer.say(f"To unfreeze, set trainable=True before compile: {layers} {words}.", bad=True)
        else:
            self._viewer.ask(freeze_or_unfreeze(self._viewer.moment(), paths))

    def _hold(self, *, of_all: bool) -> None:
        paths = self._layers(of_all)
        if paths is None:
            self._say_no_layer("to hold")
        else:
            self._viewer.ask(hold_or_unhold(self._viewer.moment(), paths))

    def _momentum(self, *, of_all: bool) -> None:
        paths = self._layers(of_all)
        if paths is None:
            self._say_no_layer("with a momentum")
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
        viewer = self._viewer

        def send(text: str | None) -> None:
            if text is None:
                return
            kept_texts(self._app)[note_on(viewer.run.path)] = text
            if not viewer.ask(Note(text=values.note(text))):
                _say_where_notes_go(viewer, "What you typed is kept: ")
            self._redraw()

        if viewer.refuses("note"):
            _say_where_notes_go(viewer, "")
        else:
            self._app.push_screen(
                note_entry(viewer.state, unsent_note(self._app, viewer.run.path, viewer.moment())), send
            )

    def _order(self) -> None:
        if not self._viewer.refuses("order"):
            self._send_answer(order_entry(self._viewer.state), lambda text: Order(order=spell(parse(text))))

    def _cancel_order(self) -> None:
        state = self._viewer.state
        if self._viewer.refuses("cancel"):
            return
        if not state.orders.standing:
            self._viewer.say("No order stands.")
            return
        self._send_answer(cancel_entry(state), lambda text: Cancel(number=order_number(state, text)))

    def _epochs(self) -> None:
        if not self._viewer.refuses("epochs"):
            question = epochs_entry(self._viewer.state)
            self._send_answer(question, lambda text: Epochs(epochs=int(text.replace(",", ""))))

    def _stop(self) -> None:
        if not self._viewer.refuses("stop"):
            self._send_answer(stop_chooser(), lambda after: convert({"command": "stop", "after": after}, Stop))

    def _recalibrate_from(self) -> None:
        if not self._viewer.refuses("recalibrate"):
            self._send_answer(batches_entry(), lambda text: Recalibrate(batches=int(text)))

    def _roll_back_to(self) -> None:
        moment = self._viewer.moment()
        if not self._viewer.refuses("rollback"):
            question = checkpoint_chooser(list(moment.state.checkpoints.values()), moment.now)
            self._send_answer(question, lambda name: Rollback(checkpoint=name))

    def _layers_by_name(self, title: str, request: Freeze | Unfreeze) -> None:
        state = self._viewer.state
        if not self._viewer.refuses(name_of(request)):
            question = layers_entry(state, title, of_any=request.weights)
            self._send_answer(question, lambda text: structs.replace(request, layers=layers_of(text)))

        def layers_of(text: str) -> list[str]:
            return text.split() if request.weights else list(map(glob.escape, matching_layers(state, text)))

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

    def _say_no_layer(self, to_do: str) -> None:
        if self._viewer.state.layers:
            # The screen is too small for the list of layers, or shows something else in its place.
            self._viewer.say("No layer is selected: the list of layers is not in sight. tab or 3 shows it.")
        else:
            self._viewer.say(f"There is no BatchNormalization layer {to_do}.")

    def _send_answer(self, question: ModalScreen[str | None], request_of: Callable[[str], AnyRequest]) -> None:
        """Ask, and send the request that the answer stands for; none where the question is cancelled."""

        def send(answer: str | None) -> None:
            if answer is None:
                return
            is_sent = self._viewer.ask(request_of(answer))
            if isinstance(question, TextDialog):
                kept_texts(self._app)[question.question] = "" if is_sent else answer
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


def _say_where_notes_go(viewer: Viewer, words: str) -> None:
    if viewer.moment().status in OVER:
        viewer.say(f"Nothing was asked: the run is over. {words}8 and then T leaves a note on it.", bad=bool(words))
