"""Every key of every screen, in one table: bindings, footer and help screen are made from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from tuimon.ui.viewer.moment import Moment

ScreenName = Literal["dashboard", "metrics", "layers", "timeline", "log", "system", "run", "compare"]
"""A screen."""
PLACES: tuple[ScreenName, ...] = get_args(ScreenName)
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
    places: tuple[ScreenName, ...] = ()
    """The screens on which it does that; empty: on all of them."""

    @property
    def full_action(self) -> str:
        """The action with its namespace."""
        return self.action if "." in self.action.partition("(")[0] else f"app.{self.action}"

    def is_useful(self, moment: Moment) -> bool:
        """Whether it does anything in such a moment."""
        match self.needs:
            case "steering":
                return not moment.refusal
            case "replay":
                return moment.replay is not None
            case "tabs":
                return moment.has_facts
            case "alerts":
                return bool(moment.state.alerts)
        return self.label != "select" or len(moment.layers) > 1


_DASHBOARD: tuple[ScreenName, ...] = ("dashboard",)
_LAYERS: tuple[ScreenName, ...] = ("dashboard", "layers")
_METRICS: tuple[ScreenName, ...] = ("metrics",)
_LINES: tuple[ScreenName, ...] = ("dashboard", "metrics", "layers", "compare")
_BESIDE: tuple[ScreenName, ...] = PLACES[1:]
_COMPARE: tuple[ScreenName, ...] = ("compare",)
_NOT_COMPARE: tuple[ScreenName, ...] = tuple(place for place in PLACES if place != "compare")
_ALERTED: tuple[ScreenName, ...] = ("dashboard", "layers", "log", "system", "run")
OTHER_WHY: tuple[ScreenName, ...] = ("metrics", "compare", "timeline")
"""The screens on which a leads to the alerts, for enter does something else."""
_NOT_LOG: tuple[ScreenName, ...] = tuple(place for place in PLACES if place != "log")
_SEARCHED: tuple[ScreenName, ...] = ("timeline", "log")
_SCROLLED: tuple[ScreenName, ...] = ("timeline", "log", "run")

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
    Key(
        "z",
        "undo",
        "z",
        "undo",
        "Take back the last request that changed something; again: the one before it.",
        "steering",
        rank=5,
    ),
    Key("n", "note", "n", "", "Leave a note in the log.", "steering", "note", places=_NOT_LOG),
    Key(
        "space",
        "pause",
        "space",
        "pause",
        "Pause before the next step, or go on.",
        "steering",
        "pause",
        4,
        _NOT_COMPARE,
    ),
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
    Key(
        "space", "pause", "space", "play/pause", "Play the replay, or pause it.", "replay", rank=1, places=_NOT_COMPARE
    ),
    Key("full_stop", "next_epoch", ".", "next epoch", "Go on to the end of the next epoch.", "replay", rank=2),
    Key("comma", "epoch_before", ",", "", "Go back to the end of the epoch before.", "replay"),
    Key("semicolon", "next_fact", ";", "", "Go on by one line of the log.", "replay"),
    Key(
        "right_curly_bracket",
        "jump(1)",
        "}",
        "next event",
        "Go on to the next request that took effect, or alert.",
        "replay",
        rank=5,
    ),
    Key("left_curly_bracket", "jump(-1)", "{", "", "Go back to the request or alert before.", "replay"),
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
    Key("pageup", "cursor(-10)", "page up", "", "Ten lines up; of settings that differ, a page.", places=_LINES),
    Key("pagedown", "cursor(10)", "page down", "", "Ten lines down; of settings that differ, a page.", places=_LINES),
    Key(
        "tab",
        "next_chart(1)",
        "tab",
        "chart",
        "Show the next chart, where there is not room for all.",
        "tabs",
        rank=3,
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
    Key("space", "screen.pick", "space", "pick", "Draw the run under the cursor, or no longer.", places=_COMPARE),
    Key("enter", "watch_run", "enter", "watch", "Watch the run under the cursor instead.", rank=1, places=_COMPARE),
    Key("tab", "screen.next_metric(1)", "tab", "metric", "Draw the next metric.", rank=1, places=_COMPARE),
    Key("shift+tab", "screen.next_metric(-1)", "shift tab", "", "Draw the metric before.", places=_COMPARE),
    Key("x", "screen.toggle_time", "x", "time", "Draw over time, or over steps again.", rank=6, places=_COMPARE),
    Key("d", "screen.toggle_settings", "d", "settings", "Give the settings more room.", rank=0, places=_COMPARE),
    Key("a", "why", "a", "why", "Say why there is an alert.", "alerts", rank=5, places=OTHER_WHY),
    Key("up,k", "cursor(-1)", "↑", "", "Go a line up.", places=_SCROLLED),
    Key("down,j", "cursor(1)", "↓", "scroll", "Go a line down.", rank=1, places=_SCROLLED),
    Key("pageup", "screen.page(-1)", "page up", "", "Go a page up.", places=_SCROLLED),
    Key("pagedown", "screen.page(1)", "page down", "", "Go a page down.", places=_SCROLLED),
    Key("home", "screen.to_first", "home", "", "Go to the first line.", places=_SCROLLED),
    Key(
        "end",
        "screen.to_last",
        "end",
        "last",
        "Go to the last line; of a log, follow it.",
        rank=4,
        places=("log", "run"),
    ),
    Key("end", "screen.to_last", "end", "oldest", "Go to the first event of the run.", rank=4, places=("timeline",)),
    Key(
        "enter",
        "screen.choose",
        "enter",
        "open",
        "Why there is an alert; another event in the charts; a replay goes there.",
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
    Key("2", "open('metrics')", "2", "screens", "Every metric: a grid of charts, or one in full.", rank=3),
    Key("3", "open('layers')", "3", "", "All BatchNormalization layers."),
    Key("8", "open('compare')", "8", "", "Several runs of this directory side by side."),
    Key("left", "screen.look('cursor', -1)", "←", "", "Read values off further left.", places=_METRICS),
    Key("right", "screen.look('cursor', 1)", "→", "read", "Read values off further right.", rank=3, places=_METRICS),
    Key("ctrl+left", "screen.look('cursor', -20)", "ctrl ←", "", "Ten columns further left.", places=_METRICS),
    Key("ctrl+right", "screen.look('cursor', 20)", "ctrl →", "", "Ten columns further right.", places=_METRICS),
    Key(
        "circumflex_accent",
        "screen.look('largest')",
        "^",
        "largest",
        "Read off the largest value shown, of validation where there is any.",
        rank=6,
        places=_METRICS,
    ),
    Key("plus,equals_sign", "screen.look('zoom', 1)", "+", "zoom", "Half as much of x.", rank=2, places=_METRICS),
    Key("minus", "screen.look('zoom', -1)", "-", "", "Twice as much of x.", places=_METRICS),
    Key(
        "less_than_sign,shift+left",
        "screen.look('pan', -1)",
        "<",
        "",
        "Move to the left; lets go of the newest.",
        places=_METRICS,
    ),
    Key("greater_than_sign,shift+right", "screen.look('pan', 1)", ">", "", "Move to the right.", places=_METRICS),
    Key("G", "screen.look('follow')", "G", "follow", "Follow the newest again.", rank=6, places=_METRICS),
    Key("0", "screen.look('all')", "0", "all", "Show all of x.", rank=8, places=_METRICS),
    Key(
        "x",
        "screen.look('x')",
        "x",
        "x axis",
        "x is the step, the epoch, the time since the start, or the time of day.",
        rank=4,
        places=_METRICS,
    ),
    Key(
        "y",
        "screen.look('scale')",
        "y",
        "scale",
        "Values on a linear or a logarithmic scale, or as fits.",
        rank=6,
        places=_METRICS,
    ),
    Key(
        "e",
        "screen.look('smoothing')",
        "e",
        "smooth",
        "Smooth the batch curve: an exponential moving average, a median, or not.",
        rank=5,
        places=_METRICS,
    ),
    Key("left_parenthesis", "screen.look('strength', -1)", "(", "", "Smooth less.", places=_METRICS),
    Key("right_parenthesis", "screen.look('strength', 1)", ")", "", "Smooth more.", places=_METRICS),
    Key("v", "screen.grid", "v", "grid", "More charts at a time, or fewer: from 1×1 to 3×3.", rank=7, places=_METRICS),
    Key(
        "enter",
        "screen.full",
        "enter",
        "full",
        "One metric in full, with its statistics, or all again.",
        rank=1,
        places=_METRICS,
    ),
    Key(
        "slash",
        "screen.filter",
        "/",
        "filter",
        "Type a glob or a regular expression: metrics that match are shown.",
        rank=2,
        places=_METRICS,
    ),
    Key(
        "o",
        "screen.sort",
        "o",
        "order",
        "List the layers by drift, by share, by change, or as the model has them.",
        rank=5,
        places=("layers",),
    ),
    Key(
        "w",
        "screen.quantity",
        "w",
        "map",
        "Have the map show drift, share, or the change of mean or of variance.",
        rank=6,
        places=("layers",),
    ),
    Key("s", "save", "s", "save", "Save the screen as SVG and the curves on it as CSV, in this directory.", rank=14),
    Key("ctrl+p,colon", "command_palette", ":", "", "Find what a key does by its words."),
    Key("C", "next_palette", "C", "", "Show the next palette: dark, light, both for people who see fewer hues."),
    Key("ctrl+l", "repaint", "ctrl l", "", "Draw the screen anew, where something else has written on it."),
    Key("4", "open('timeline')", "4", "", "All events, with what is known of each."),
    Key("5", "open('log')", "5", "", "What the training process printed."),
    Key("6", "open('system')", "6", "", "Processors, memory and GPUs."),
    Key("7", "open('run')", "7", "", "What the run is: config, model, versions, what it takes."),
    Key(
        "escape",
        "back",
        "esc",
        "back",
        "Back to all metrics, to the curves, or to the dashboard.",
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


def keys_of(place: ScreenName) -> list[Key]:
    """Return the keys of a screen."""
    return [key for key in KEYS if not key.places or place in key.places]


def sections(place: ScreenName = "dashboard") -> Iterator[tuple[str, list[Key]]]:
    """Yield headings with their keys, each key once; first what the keys of one screen are for."""
    others = [key for key in KEYS if key.needs not in ("steering", "replay")]
    dashboard = [key for key in others if not key.places or "dashboard" in key.places]
    left = [key for key in others if key not in dashboard]
    if place != "dashboard":
        here = [key for key in left if place in key.places and key.places != _BESIDE]
        left = [key for key in left if key not in here]
        yield f"On this screen, “{place}”", here
    yield "Keys", dashboard
    yield "In a run that takes requests", [key for key in KEYS if key.needs == "steering"]
    yield "In a replay", [key for key in KEYS if key.needs == "replay"]
    for other in PLACES[1:]:
        if keys := [key for key in left if other in key.places and key.places != _BESIDE]:
            yield f"On the screen “{other}”", keys
            left = [key for key in left if key not in keys]
    if left:
        yield "On every screen but the dashboard", left


def textual_name(shown: str) -> str:
    """Return how Textual names a key that is written as ``shown``."""
    return next((key.keys.split(",")[0] for key in KEYS if key.shown == shown), shown)
