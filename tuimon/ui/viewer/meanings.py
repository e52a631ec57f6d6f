"""The meanings of cells, and the signs. One meaning has one colour everywhere, from `drawing.palette_colors`.

Colour alone says nothing: a line has its name at its end, a state its own sign, a mode its word.
"""

from enum import IntEnum


class Meaning(IntEnum):
    """The meaning of a cell, which decides how the cell looks."""

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
"""The code of the smallest drift; each further one of `DRIFT_LEVELS` is one more."""
DRIFT_LEVELS = 12
"""How many shades of drift there are."""
RUN = 48
"""The code of the first of the runs that are compared; of each further one, one more. Each has a letter as well."""
SELECTED = 64
"""Added to a meaning: the cell is on the line under the cursor."""

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
    "imported": ("◇", Meaning.TEXT),
    "reading the log": ("◌", Meaning.DIM),
}
"""The sign and the colour of each word of a moment's status."""

SEVERITY_SIGNS: dict[str, tuple[str, Meaning]] = {
    "info": ("•", Meaning.TEXT),
    "warning": ("▲", Meaning.WARNING),
    "error": ("✗", Meaning.ERROR),
}
"""The sign and the colour of each severity of an alert."""

MODE_MEANINGS = {
    "training": Meaning.TRAINING,
    "frozen": Meaning.FROZEN,
    "held": Meaning.INFERENCE,
    "inference": Meaning.INFERENCE,
}
"""The colour of each mode of a BatchNormalization layer."""


def css_style(meaning: Meaning) -> str:
    """Return the name of a meaning's style in Textual's texts and style sheets: it follows the palette."""
    return f"$style-{meaning.name.lower().replace('_', '-')}"
