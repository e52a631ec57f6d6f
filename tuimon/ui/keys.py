"""Every key of the dashboard, in one table: bindings, footer and help screen are made from it."""

from dataclasses import dataclass
from typing import Literal

Needs = Literal["always", "steering", "replay", "tabs"]


@dataclass(frozen=True)
class Key:
    """A key and what it does."""

    keys: str
    """As Textual names them, with commas between."""
    action: str
    """The action of the app."""
    shown: str
    """How the key is written."""
    label: str
    """What it does, in a word or two; empty for keys that the footer does not name."""
    help: str
    """What it does, in a sentence."""
    needs: Needs = "always"
    """When it does anything: in a run that takes requests, in a replay, where there is a chart at a time."""


KEYS = (
    Key("f", "freeze_layer", "f", "freeze", "Freeze the layer under the cursor, or thaw it.", "steering"),
    Key("F", "freeze_all", "F", "freeze all", "Freeze every BatchNormalization layer, or thaw them all.", "steering"),
    Key("p", "phase", "p", "phase", "Choose the learning phase: auto, train, inference.", "steering"),
    Key("space", "play", "space", "play/pause", "Play the replay, or pause it.", "replay"),
    Key("full_stop", "next_epoch", ".", "next epoch", "Go on to the end of the next epoch.", "replay"),
    Key("right_square_bracket", "faster", "]", "faster", "Replay twice as fast.", "replay"),
    Key("left_square_bracket", "slower", "[", "slower", "Replay half as fast.", "replay"),
    Key("end", "to_end", "end", "to the end", "Go to the end of the log.", "replay"),
    Key("up,k", "cursor(-1)", "↑", "", "Select the layer before."),
    Key("down,j", "cursor(1)", "↓", "layer", "Select the next layer."),
    Key("pageup", "cursor(-10)", "page up", "", "Ten layers up."),
    Key("pagedown", "cursor(10)", "page down", "", "Ten layers down."),
    Key("tab", "next_chart(1)", "tab", "next chart", "Show the next chart, where there is room for one.", "tabs"),
    Key("shift+tab", "next_chart(-1)", "shift tab", "", "Show the chart before.", "tabs"),
    Key("question_mark", "help", "?", "help", "Show this page."),
    Key("q,ctrl+c", "leave", "q", "quit", "Close this screen; a run that goes on asks how."),
)
"""In the order in which the footer and the help screen have them."""
