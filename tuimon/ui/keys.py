"""Every key of every screen, in one table: bindings, footer and help screen are made from it."""

from dataclasses import dataclass
from typing import Literal, get_args

Place = Literal["dashboard", "metrics", "layers", "timeline", "log", "system", "run", "compare"]
"""A screen."""
PLACES: tuple[Place, ...] = get_args(Place)
"""In the order of their keys: 1, 2, …"""
Needs = Literal["always", "steering", "replay", "tabs", "alerts"]


@dataclass(frozen=True)
class Key:
    """A key and what it does."""

    keys: str
    """As Textual names them, with commas between."""
    action: str
    """The action: of the app, or with a namespace in front, as Textual writes it."""
    shown: str
    """How the key is written."""
    label: str
    """What it does, in a word or two; empty for keys that the footer does not name."""
    help: str
    """What it does, in a sentence."""
    needs: Needs = "always"
    """When it does anything: in a run that takes requests, in a replay, where there are charts to choose from, once
    there is an alert."""
    request: str = ""
    """The request that it leads to, by its name on the wire."""
    rank: int = 0
    """Where the footer has no room for all keys, those of the highest rank are left out first."""
    places: tuple[Place, ...] = ()
    """The screens on which it does that; empty: on all of them."""

    @property
    def full_action(self) -> str:
        """The action with its namespace."""
        return self.action if "." in self.action.partition("(")[0] else f"app.{self.action}"


_DASHBOARD: tuple[Place, ...] = ("dashboard",)
_LAYERS: tuple[Place, ...] = ("dashboard", "layers")
_LINES: tuple[Place, ...] = ("dashboard", "layers")
_BESIDE: tuple[Place, ...] = PLACES[1:]
_ALERTED: tuple[Place, ...] = ("dashboard", "layers", "log", "system", "run")
_SEARCHED: tuple[Place, ...] = ("timeline", "log")
_SCROLLED: tuple[Place, ...] = ("timeline", "log", "run")

KEYS = (
    Key(
        "f",
        "freeze_layer",
        "f",
        "freeze",
        "Freeze the layer under the cursor, or thaw it.",
        "steering",
        "freeze",
        1,
        _LAYERS,
    ),
    Key(
        "F",
        "freeze_all",
        "F",
        "freeze all",
        "Freeze every BatchNormalization layer, or thaw them all.",
        "steering",
        "freeze",
        2,
    ),
    Key(
        "h",
        "hold_layer",
        "h",
        "hold",
        "Hold the layer's moving statistics alone; gamma and beta go on learning.",
        "steering",
        "freeze",
        10,
        _LAYERS,
    ),
    Key(
        "H", "hold_all", "H", "", "Hold the moving statistics of every layer, or let them all go.", "steering", "freeze"
    ),
    Key("p", "phase", "p", "phase", "Choose the learning phase: auto, train, inference.", "steering", "phase", 3),
    Key("l", "learning_rate", "l", "lr", "Set the learning rate.", "steering", "lr", 6),
    Key(
        "m",
        "momentum(False)",
        "m",
        "momentum",
        "Set the momentum of the layer under the cursor.",
        "steering",
        "momentum",
        8,
        _LAYERS,
    ),
    Key("M", "momentum(True)", "M", "", "Set the momentum of every layer.", "steering", "momentum"),
    Key(
        "r",
        "recalibrate",
        "r",
        "recalibrate",
        "Estimate the moving statistics afresh from training batches; asks first.",
        "steering",
        "recalibrate",
        12,
    ),
    Key("space", "pause", "space", "pause", "Pause before the next step, or go on.", "steering", "pause", 4),
    Key("c", "checkpoint", "c", "checkpoint", "Save a checkpoint: the full state.", "steering", "checkpoint", 11),
    Key(
        "b",
        "roll_back",
        "b",
        "roll back",
        "Go back to the newest checkpoint; asks first.",
        "steering",
        "rollback",
        13,
    ),
    Key(
        "g",
        "probe",
        "g",
        "probe",
        "Measure the gap between training mode and inference mode now.",
        "steering",
        "probe",
        7,
    ),
    Key("space", "pause", "space", "play/pause", "Play the replay, or pause it.", "replay", rank=1),
    Key("full_stop", "next_epoch", ".", "next epoch", "Go on to the end of the next epoch.", "replay", rank=2),
    Key("right_square_bracket", "faster", "]", "faster", "Replay twice as fast.", "replay", rank=3),
    Key("left_square_bracket", "slower", "[", "slower", "Replay half as fast.", "replay", rank=4),
    Key(
        "end",
        "to_end",
        "end",
        "to the end",
        "Go to the end of the log.",
        "replay",
        rank=6,
        places=tuple(place for place in PLACES if place not in _SCROLLED),
    ),
    Key("up,k", "cursor(-1)", "↑", "", "Select the line before.", places=_LINES),
    Key("down,j", "cursor(1)", "↓", "select", "Select the next line.", rank=9, places=_LINES),
    Key("pageup", "cursor(-10)", "page up", "", "Ten lines up.", places=_LINES),
    Key("pagedown", "cursor(10)", "page down", "", "Ten lines down.", places=_LINES),
    Key(
        "tab",
        "next_chart(1)",
        "tab",
        "chart",
        "Show the next chart, where there is not room for all.",
        "tabs",
        rank=5,
        places=_DASHBOARD,
    ),
    Key("shift+tab", "next_chart(-1)", "shift tab", "", "Show the chart before.", "tabs", places=_DASHBOARD),
    Key(
        "enter",
        "why",
        "enter",
        "why",
        "Say why there is an alert: what it rests on, and what to do.",
        "alerts",
        rank=5,
        places=_ALERTED,
    ),
    Key("up,k", "cursor(-1)", "↑", "", "Go a line up.", places=_SCROLLED),
    Key("down,j", "cursor(1)", "↓", "scroll", "Go a line down.", rank=1, places=_SCROLLED),
    Key("pageup", "screen.page(-1)", "page up", "", "Go a page up.", places=_SCROLLED),
    Key("pagedown", "screen.page(1)", "page down", "", "Go a page down.", places=_SCROLLED),
    Key("home", "screen.to_first", "home", "", "Go to the first line.", places=_SCROLLED),
    Key("end", "screen.to_last", "end", "last", "Go to the last line; of a log, follow it.", rank=4, places=_SCROLLED),
    Key(
        "enter",
        "screen.choose",
        "enter",
        "open",
        "Say why there is an alert; a replay goes to the event.",
        rank=1,
        places=("timeline",),
    ),
    Key(
        "J,shift+down", "screen.scroll_details(1)", "J", "details", "Scroll the details.", rank=10, places=("timeline",)
    ),
    Key("K,shift+up", "screen.scroll_details(-1)", "K", "", "Scroll the details back.", places=("timeline",)),
    Key("slash", "screen.search", "/", "search", "Search, or filter events.", rank=0, places=_SEARCHED),
    Key(
        "n", "screen.next_match(1)", "n", "next", "Go to the next place that was searched for.", rank=1, places=("log",)
    ),
    Key("N", "screen.next_match(-1)", "N", "previous", "Go to the one before.", rank=1, places=("log",)),
    Key("1", "open('dashboard')", "1", "", "The dashboard: what matters now."),
    Key("3", "open('layers')", "3", "", "All BatchNormalization layers."),
    Key("4", "open('timeline')", "4", "", "All events, with what is known of each."),
    Key("5", "open('log')", "5", "", "What the training process printed."),
    Key("6", "open('system')", "6", "", "Processors, memory and GPUs."),
    Key("7", "open('run')", "7", "", "What the run is: config, model, versions, what it takes."),
    Key(
        "escape",
        "open('dashboard')",
        "esc",
        "back",
        "Back to the dashboard.",
        places=tuple(place for place in _BESIDE if place not in _SEARCHED),
    ),
    Key(
        "escape",
        "screen.back",
        "esc",
        "back",
        "Forget what was searched for; then back to the dashboard.",
        places=_SEARCHED,
    ),
    Key("question_mark", "help", "?", "help", "Show this page."),
    Key("q,ctrl+c", "leave", "q", "quit", "Close this screen; a run that goes on asks how.", rank=-1),
)
"""In the order in which the footer and the help screen have them. A key may mean another thing in a replay."""


def keys_of(place: Place) -> list[Key]:
    """Return the keys of a screen."""
    return [key for key in KEYS if not key.places or place in key.places]


def textual_name(shown: str) -> str:
    """Return how Textual names a key that is written as ``shown``."""
    return next((key.keys.split(",")[0] for key in KEYS if key.shown == shown), shown)
