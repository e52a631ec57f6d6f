"""The colour of each meaning, a table for each palette: dark, light, and both for people who see fewer hues.

A terminal with 16 colours has a table of its own for each, chosen by hand: the nearest colour to a true one may
stand for another meaning. Without colours, only bold, dim and reverse are left.
"""

from tuimon.ui.viewer.meanings import Meaning

MeaningStyles = dict[Meaning, str]
"""A style of Rich by its meaning: attributes, a colour, and perhaps ``on`` a background."""

DARK_DRIFT = (
    "#538a79",
    "#549380",
    "#569d88",
    "#57a78f",
    "#60b198",
    "#6abaa2",
    "#78c3ad",
    "#87cdb8",
    "#98d6c4",
    "#abe0d0",
    "#c0e9dc",
    "#d7f2ea",
)
"""The hue of the moving statistics, in steps away from the background."""
LIGHT_DRIFT = (
    "#437c6b",
    "#387462",
    "#306d5a",
    "#286553",
    "#215e4b",
    "#1b5644",
    "#154e3d",
    "#114636",
    "#0d3e2f",
    "#093629",
    "#062c21",
    "#042219",
)

DARK: MeaningStyles = {
    Meaning.TEXT: "#c9d3dd",
    Meaning.STRONG: "bold #eef3f8",
    Meaning.DIM: "#8a99a9",
    Meaning.FRAME: "#55677a",
    Meaning.TITLE: "bold #a9bccd",
    Meaning.TRAINING: "#62b5f5",
    Meaning.BATCH: "#5584b0",
    Meaning.VALIDATION: "#f2ab5c",
    Meaning.INFERENCE: "#b796f5",
    Meaning.FROZEN: "bold #7fe0ee",
    Meaning.STATISTIC: "#6fd0b4",
    Meaning.BAND: "#4a8a7e",
    Meaning.COMMAND: "#ec86c0",
    Meaning.GOOD: "#83c97a",
    Meaning.WARNING: "#e8cb5f",
    Meaning.ERROR: "bold #ff6f6f",
    Meaning.KEY: "bold #eef3f8",
    Meaning.TRACK: "#55677a",
    Meaning.PAUSED: "bold #10151c on #e8cb5f",
    Meaning.GAP: "bold #f4e8cf",
    Meaning.BATCH_NORM_PART: "#b5a37f",
    Meaning.STOCHASTIC_PART: "#a3bd6b",
    Meaning.OTHER_PART: "#8f9dab",
    Meaning.MATCH: "bold #10151c on #a9bccd",
}
LIGHT: MeaningStyles = {
    Meaning.TEXT: "#25303a",
    Meaning.STRONG: "bold #0b1117",
    Meaning.DIM: "#576572",
    Meaning.FRAME: "#81909e",
    Meaning.TITLE: "bold #33485a",
    Meaning.TRAINING: "#0a5ea8",
    Meaning.BATCH: "#426f98",
    Meaning.VALIDATION: "#984f00",
    Meaning.INFERENCE: "#6b3fc0",
    Meaning.FROZEN: "bold #00606e",
    Meaning.STATISTIC: "#00705a",
    Meaning.BAND: "#3f776e",
    Meaning.COMMAND: "#b0177a",
    Meaning.GOOD: "#2b7022",
    Meaning.WARNING: "#7a6000",
    Meaning.ERROR: "bold #b8141f",
    Meaning.KEY: "bold #0b1117",
    Meaning.TRACK: "#81909e",
    Meaning.PAUSED: "bold #0b1117 on #f0c419",
    Meaning.GAP: "bold #4a3610",
    Meaning.BATCH_NORM_PART: "#75602f",
    Meaning.STOCHASTIC_PART: "#566b1c",
    Meaning.OTHER_PART: "#55636f",
    Meaning.MATCH: "bold #0b1117 on #a9bccd",
}
# The hues of Okabe and Ito, "Color Universal Design" (2008), as light or as dark as the background asks for.
COLORBLIND: MeaningStyles = DARK | {
    Meaning.TRAINING: "#56b4e9",
    Meaning.VALIDATION: "#f0a818",
    Meaning.INFERENCE: "#8094ff",
    Meaning.FROZEN: "bold #c5ecff",
    Meaning.STATISTIC: "#00b386",
    Meaning.BAND: "#338f79",
    Meaning.COMMAND: "#d98fb8",
    Meaning.GOOD: "#7fe0c0",
    Meaning.WARNING: "#f0e442",
    Meaning.ERROR: "bold #ff6a3d",
    Meaning.PAUSED: "bold #10151c on #f0e442",
    Meaning.GAP: "bold #ffffff",
    Meaning.BATCH_NORM_PART: "#c8ad74",
    Meaning.STOCHASTIC_PART: "#9fb7c9",
}
COLORBLIND_LIGHT: MeaningStyles = LIGHT | {
    Meaning.TRAINING: "#0068a2",
    Meaning.VALIDATION: "#8f5600",
    Meaning.INFERENCE: "#3f4fd0",
    Meaning.FROZEN: "bold #004a66",
    Meaning.STATISTIC: "#007152",
    Meaning.COMMAND: "#a33e76",
    Meaning.GOOD: "#005a45",
    Meaning.WARNING: "#4a3800",
    Meaning.ERROR: "bold #b3002d",
    Meaning.PAUSED: "bold #0b1117 on #f0e442",
    Meaning.GAP: "bold #000000",
    Meaning.STOCHASTIC_PART: "#4d6475",
}

# On a dark terminal, blue, black and bright black are hardly seen; on a light one, yellow, white and the bright ones.
DARK_16: MeaningStyles = {
    Meaning.TEXT: "default",
    Meaning.STRONG: "bold bright_white",
    Meaning.DIM: "dim default",
    Meaning.FRAME: "dim default",
    Meaning.TITLE: "bold default",
    Meaning.TRAINING: "bright_blue",
    Meaning.BATCH: "white",
    Meaning.VALIDATION: "yellow",
    Meaning.INFERENCE: "bright_magenta",
    Meaning.FROZEN: "bold bright_cyan",
    Meaning.STATISTIC: "cyan",
    Meaning.BAND: "dim cyan",
    Meaning.COMMAND: "magenta",
    Meaning.GOOD: "bright_green",
    Meaning.WARNING: "bright_yellow",
    Meaning.ERROR: "bold bright_red",
    Meaning.KEY: "bold bright_white",
    Meaning.TRACK: "dim default",
    Meaning.PAUSED: "bold reverse yellow",
    Meaning.GAP: "bold bright_white",
    Meaning.BATCH_NORM_PART: "yellow",
    Meaning.STOCHASTIC_PART: "green",
    Meaning.OTHER_PART: "white",
    Meaning.MATCH: "bold reverse default",
}
LIGHT_16: MeaningStyles = {
    Meaning.TEXT: "default",
    Meaning.STRONG: "bold default",
    Meaning.DIM: "dim default",
    Meaning.FRAME: "dim default",
    Meaning.TITLE: "bold default",
    Meaning.TRAINING: "blue",
    Meaning.BATCH: "bright_black",
    Meaning.VALIDATION: "magenta",
    Meaning.INFERENCE: "cyan",
    Meaning.FROZEN: "bold cyan",
    Meaning.STATISTIC: "green",
    Meaning.BAND: "dim green",
    Meaning.COMMAND: "bold magenta",
    Meaning.GOOD: "bold green",
    Meaning.WARNING: "red",
    Meaning.ERROR: "bold reverse red",
    Meaning.KEY: "bold default",
    Meaning.TRACK: "dim default",
    Meaning.PAUSED: "bold reverse default",
    Meaning.GAP: "bold default",
    Meaning.BATCH_NORM_PART: "bright_black",
    Meaning.STOCHASTIC_PART: "green",
    Meaning.OTHER_PART: "bright_black",
    Meaning.MATCH: "bold reverse default",
}
COLORBLIND_16: MeaningStyles = DARK_16 | {
    Meaning.STATISTIC: "bright_cyan",
    Meaning.GOOD: "bold default",
    Meaning.ERROR: "bold reverse bright_red",
    Meaning.STOCHASTIC_PART: "cyan",
}
COLORBLIND_LIGHT_16: MeaningStyles = LIGHT_16 | {
    Meaning.INFERENCE: "bold blue",
    Meaning.STATISTIC: "cyan",
    Meaning.BAND: "dim cyan",
    Meaning.GOOD: "bold default",
    Meaning.STOCHASTIC_PART: "cyan",
}

NONE: MeaningStyles = {
    **dict.fromkeys(Meaning, "none"),
    **dict.fromkeys((Meaning.DIM, Meaning.FRAME, Meaning.TRACK, Meaning.BATCH, Meaning.BAND), "dim"),
    **dict.fromkeys(
        (
            Meaning.STRONG,
            Meaning.TITLE,
            Meaning.FROZEN,
            Meaning.COMMAND,
            Meaning.WARNING,
            Meaning.KEY,
            Meaning.GAP,
        ),
        "bold",
    ),
    **dict.fromkeys((Meaning.PAUSED, Meaning.ERROR, Meaning.MATCH), "bold reverse"),
}
