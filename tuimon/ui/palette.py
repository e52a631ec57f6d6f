"""Every colour of the screen, by what it means: one meaning, one colour, everywhere.

Nothing is told by colour alone: a line has its name at its end, a state its own sign, a mode its word.
"""

from enum import IntEnum

from rich.style import Style
from textual.theme import Theme


class Meaning(IntEnum):
    """What a cell of the screen is, which decides how it looks."""

    TEXT = 0
    STRONG = 1
    DIM = 2
    FRAME = 3
    TITLE = 4
    TRAINING = 5
    BATCH = 6
    VALIDATION = 7
    INFERENCE = 8
    FROZEN = 9
    STATISTIC = 10
    BAND = 11
    COMMAND = 12
    GOOD = 13
    WARNING = 14
    ERROR = 15
    KEY = 16
    TRACK = 17
    PAUSED = 18
    GAP = 19
    BATCH_NORM_PART = 20
    STOCHASTIC_PART = 21
    OTHER_PART = 22
    MATCH = 23


DRIFT = 32
"""The code of the smallest drift; each further one of `DRIFT_COLORS` is one more."""
SELECTED = 64
"""Added to a meaning: the cell is on the line under the cursor."""

BACKGROUND = "#10151c"
SURFACE = "#182029"
CURSOR = "#22303d"
FOREGROUND = "#c9d3dd"
FRAME = "#3a4856"

_STYLES = {
    Meaning.TEXT: Style(color=FOREGROUND),
    Meaning.STRONG: Style(color="#eef3f8", bold=True),
    Meaning.DIM: Style(color="#758494"),
    Meaning.FRAME: Style(color=FRAME),
    Meaning.TITLE: Style(color="#a9bccd", bold=True),
    Meaning.TRAINING: Style(color="#62b5f5"),
    Meaning.BATCH: Style(color="#3a658c"),
    Meaning.VALIDATION: Style(color="#f2ab5c"),
    Meaning.INFERENCE: Style(color="#b796f5"),
    Meaning.FROZEN: Style(color="#7fe0ee", bold=True),
    Meaning.STATISTIC: Style(color="#6fd0b4"),
    Meaning.BAND: Style(color="#37645c"),
    Meaning.COMMAND: Style(color="#ec86c0"),
    Meaning.GOOD: Style(color="#83c97a"),
    Meaning.WARNING: Style(color="#e8cb5f"),
    Meaning.ERROR: Style(color="#ff6f6f", bold=True),
    Meaning.KEY: Style(color="#eef3f8", bold=True),
    Meaning.TRACK: Style(color="#2d3945"),
    Meaning.PAUSED: Style(color=BACKGROUND, bgcolor="#e8cb5f", bold=True),
    Meaning.GAP: Style(color="#f4e8cf", bold=True),
    Meaning.BATCH_NORM_PART: Style(color="#b5a37f"),
    Meaning.STOCHASTIC_PART: Style(color="#a3bd6b"),
    Meaning.OTHER_PART: Style(color="#8f9dab"),
    Meaning.MATCH: Style(color=BACKGROUND, bgcolor="#a9bccd", bold=True),
}

DRIFT_COLORS = (
    "#3a4b53",
    "#35525a",
    "#2f5358",
    "#326263",
    "#38726f",
    "#40837c",
    "#4a9488",
    "#57a595",
    "#68b7a3",
    "#81c8b4",
    "#a4dac8",
    "#d3efe3",
)
"""From the smallest drift to the largest: one hue, that of the moving statistics, ever lighter."""

_CURSOR_STYLE = Style(bgcolor=CURSOR)

_CODED = {int(meaning): style for meaning, style in _STYLES.items()} | {
    DRIFT + level: Style(color=color) for level, color in enumerate(DRIFT_COLORS)
}

STYLES: dict[int, Style] = _CODED | {code | SELECTED: style + _CURSOR_STYLE for code, style in _CODED.items()}
"""Rich styles by the codes that cells carry."""

STATUS_SIGNS: dict[str, tuple[str, Meaning]] = {
    "starting": ("◌", Meaning.DIM),
    "preparing": ("◔", Meaning.WARNING),
    "compiling": ("◑", Meaning.WARNING),
    "training": ("●", Meaning.TRAINING),
    "validating": ("◉", Meaning.VALIDATION),
    "probing": ("◍", Meaning.GAP),
    "recalibrating": ("◎", Meaning.STATISTIC),
    "checkpointing": ("◆", Meaning.GOOD),
    "paused": ("‖", Meaning.PAUSED),
    "finished": ("✓", Meaning.GOOD),
    "stopped": ("■", Meaning.TEXT),
    "failed": ("✗", Meaning.ERROR),
    "crashed": ("✗", Meaning.ERROR),
    "silent": ("?", Meaning.WARNING),
}
"""The sign and the colour of each word of `liveness.status`."""

SEVERITY_SIGNS: dict[str, tuple[str, Meaning]] = {
    "info": ("•", Meaning.TEXT),
    "warning": ("▲", Meaning.WARNING),
    "error": ("✗", Meaning.ERROR),
}
"""The sign and the colour of each severity of an alert."""

MODE_MEANINGS = {"training": Meaning.TRAINING, "frozen": Meaning.FROZEN, "inference": Meaning.INFERENCE}
"""The colour of each mode of a BatchNormalization layer."""

THEME = Theme(
    name="tuimon",
    dark=True,
    primary="#62b5f5",
    secondary="#6fd0b4",
    accent="#ec86c0",
    foreground=FOREGROUND,
    background=BACKGROUND,
    surface=SURFACE,
    panel=SURFACE,
    success="#83c97a",
    warning="#e8cb5f",
    error="#ff6f6f",
)
