"""The colours of every meaning, in each palette: dark, light, and both for people who see fewer hues.

A terminal with 16 colours has a table of its own for each, chosen by hand: the nearest colour of a true one may be
that of another meaning. Without colours, only bold, dim and reverse are left.
"""

from dataclasses import dataclass
from functools import cache, cached_property

from rich.style import Style
from textual.theme import Theme

from tuimon.settings import PALETTES as NAMES
from tuimon.ui.drawing.colors_256 import nearest
from tuimon.ui.viewer.meanings import DRIFT, DRIFT_LEVELS, RUN, SELECTED, Meaning, css_style

Looks = dict[Meaning, str]
"""A style of Rich by its meaning: attributes, a colour, and perhaps ``on`` a background."""


RUN_MEANINGS = (
    Meaning.STRONG,
    Meaning.VALIDATION,
    Meaning.INFERENCE,
    Meaning.GOOD,
    Meaning.COMMAND,
    Meaning.STATISTIC,
)
"""Whose colours the runs have that are compared, where nothing has these meanings: they are apart in each palette."""


@dataclass(frozen=True)
class Palette:
    """The colours of everything; `theme` hands them to Textual."""

    name: str
    """Of the theme."""
    looks: Looks
    """How each meaning looks."""
    drift: tuple[str, ...]
    """From the smallest drift to the largest."""
    selected: str
    """What is added on the line under the cursor."""
    background: str = "default"
    """Below everything; "default": that of the terminal."""
    surface: str = "default"
    """Below questions and pages."""
    cursor: str = "default"
    """Below the answer under the cursor."""
    dark: bool = True
    """Whether the background is darker than the text."""

    @property
    def is_ansi(self) -> bool:
        """Whether the colours are those that the terminal's own theme sets."""
        return self.background == "default"

    @cached_property
    def styles(self) -> dict[int, Style]:
        """Rich styles by the codes that cells carry."""
        coded = {int(meaning): Style.parse(look) for meaning, look in self.looks.items()}
        coded |= {DRIFT + level: Style.parse(look) for level, look in enumerate(self.drift)}
        coded |= {RUN + slot: coded[meaning] for slot, meaning in enumerate(RUN_MEANINGS)}
        selected = Style.parse(self.selected)
        return coded | {code | SELECTED: style + selected for code, style in coded.items()}

    @cached_property
    def theme(self) -> Theme:
        """The same for Textual's own widgets."""
        text, accent = self._color(Meaning.TEXT), self._color(Meaning.COMMAND)
        background, surface = _css(self.background), _css(self.surface)
        variables = {
            "foreground": text,
            "background": background,
            "surface": surface,
            "panel": surface,
            # What is behind a question shows through it, where colours can be mixed.
            "veil": background if self.is_ansi else f"{background} 70%",
            "cursor": _css(self.cursor),
            "muted": self._color(Meaning.DIM),
            "muted-style": self._attributes(Meaning.DIM),
            "error-style": self._attributes(Meaning.ERROR),
            "scrollbar": self._color(Meaning.DIM),
            "scrollbar-hover": self._color(Meaning.DIM),
            "scrollbar-active": text,
            **dict.fromkeys(_SCROLLBAR_BACKGROUNDS, surface),
            "input-cursor-background": text,
            "input-cursor-foreground": background,
            "input-cursor-text-style": "reverse" if self.is_ansi else "none",
            "input-selection-background": _css(self.cursor),
            "ansi-background": background,
            "ansi-foreground": text,
        }
        variables |= {css_style(meaning)[1:]: _css(look) for meaning, look in self.looks.items()}
        return Theme(
            name=self.name,
            ansi=self.is_ansi,
            dark=self.dark,
            primary=self._color(Meaning.TRAINING),
            secondary=self._color(Meaning.STATISTIC),
            accent=accent,
            foreground=text,
            background=background,
            surface=surface,
            panel=surface,
            success=self._color(Meaning.GOOD),
            warning=self._color(Meaning.WARNING),
            error=self._color(Meaning.ERROR),
            variables=variables,
        )

    def _color(self, meaning: Meaning) -> str:
        color = Style.parse(self.looks[meaning]).color
        return _css("default" if color is None else color.name)

    def _attributes(self, meaning: Meaning) -> str:
        words = [word for word in self.looks[meaning].split() if word in _ATTRIBUTES]
        return " ".join(words) or "none"


_ATTRIBUTES = ("bold", "dim", "reverse", "underline")
_SCROLLBAR_BACKGROUNDS = (
    "scrollbar-background",
    "scrollbar-background-hover",
    "scrollbar-background-active",
    "scrollbar-corner-color",
)


def _css(look: str) -> str:
    """Return a style of Rich as Textual writes it: there, the terminal's own colours have a prefix."""
    return " ".join(
        word if word.startswith("#") or word in (*_ATTRIBUTES, "on", "none") else f"ansi_{word}"
        for word in look.split()
    )


_DARK_DRIFT = (
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
"""One hue, that of the moving statistics, ever further from the background."""
_LIGHT_DRIFT = (
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

_DARK: Looks = {
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
_LIGHT: Looks = {
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
_COLORBLIND: Looks = _DARK | {
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
_COLORBLIND_LIGHT: Looks = _LIGHT | {
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
_DARK_16: Looks = {
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
_LIGHT_16: Looks = {
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
_COLORBLIND_16: Looks = _DARK_16 | {
    Meaning.STATISTIC: "bright_cyan",
    Meaning.GOOD: "bold default",
    Meaning.ERROR: "bold reverse bright_red",
    Meaning.STOCHASTIC_PART: "cyan",
}
_COLORBLIND_LIGHT_16: Looks = _LIGHT_16 | {
    Meaning.INFERENCE: "bold blue",
    Meaning.STATISTIC: "cyan",
    Meaning.BAND: "dim cyan",
    Meaning.GOOD: "bold default",
    Meaning.STOCHASTIC_PART: "cyan",
}

_NONE: Looks = {
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


def _true(name: str, looks: Looks) -> Palette:
    if "light" in name:
        return Palette(name, looks, _LIGHT_DRIFT, "on #dbe4ec", "#f8f9fa", "#eceff2", "#cfdbe6", dark=False)
    return Palette(name, looks, _DARK_DRIFT, "on #22303d", "#10151c", "#182029", "#2b3c4c")


def _sixteen(name: str, looks: Looks, dim: str, plain: str, strong: str) -> Palette:
    shades = (dim, plain, strong)
    drift = tuple(shades[level * len(shades) // DRIFT_LEVELS] for level in range(DRIFT_LEVELS))
    is_light = "light" in name
    # Reversed, the bars in the line under the cursor would be holes.
    return Palette(f"{name}-16", looks, drift, "bold", cursor="cyan" if is_light else "blue", dark=not is_light)


TRUE_PALETTES: dict[str, Palette] = {
    name: _true(name, looks) for name, looks in zip(NAMES, (_DARK, _LIGHT, _COLORBLIND, _COLORBLIND_LIGHT), strict=True)
}
"""By their names, for terminals that show any colour."""

_FIRST = (
    Meaning.TEXT,
    Meaning.TRAINING,
    Meaning.VALIDATION,
    Meaning.INFERENCE,
    Meaning.STATISTIC,
    Meaning.COMMAND,
    Meaning.WARNING,
    Meaning.ERROR,
)
"""What gets its colour before others."""
_CHOSEN_256: dict[str, Looks] = {
    "colorblind-light": {
        Meaning.TRAINING: "#005fd7",
        Meaning.INFERENCE: "#5f00d7",
        Meaning.COMMAND: "#870087",
        Meaning.WARNING: "#5f0000",
        Meaning.ERROR: "#af005f",
    },
    "dark": {Meaning.GAP: "#ffffd7"},
}
"""Where the nearest one would be like another, to somebody at least."""
_LIGHT_DRIFT_256 = tuple("#" + 3 * f"{grey:02x}" for grey in range(0x70, 0x10, -8))
"""There are too few dark greens."""
_NEVER_SELECTED = (Meaning.BATCH, Meaning.BAND)
"""What never stands on the line under the cursor."""
_LINES = (Meaning.FRAME, Meaning.TRACK)


def _xterm(true: Palette) -> Palette:
    """Return a palette in the 256 colours of terminals, as readable; what differed still does."""
    background, surface, selected, cursor = ("#121212", "#1c1c1c", "#262626", "#303030")
    if not true.dark:
        # Rich shows light greys one step darker than they are written.
        background, surface, selected, cursor = ("#ffffff", "#eeeeee", "#eeeeee", "#e4e4e4")
    looks: Looks = {}
    found = {true.looks[meaning].split()[-1]: color for meaning, color in _CHOSEN_256.get(true.name, {}).items()}
    found[true.looks[Meaning.FRAME]] = "#6c6c6c" if true.dark else "#8a8a8a"
    for meaning in sorted(true.looks, key=lambda meaning: meaning not in _FIRST):
        *attributes, color = true.looks[meaning].partition(" on ")[0].split()
        if color not in found:
            on = (background,) if meaning in (*_NEVER_SELECTED, *_LINES) else (background, surface, selected)
            found[color] = nearest(color, on, 3 if meaning in _LINES else 4.5, frozenset(found.values()))
        looks[meaning] = " ".join((*attributes, found[color]))
    for meaning in (Meaning.PAUSED, Meaning.MATCH):
        *_, below = true.looks[meaning].split()
        looks[meaning] = f"bold #121212 on {nearest(below, ('#121212',), 4.5)}"
    drift = tuple(nearest(shade, (background,), 4.5) for shade in true.drift) if true.dark else _LIGHT_DRIFT_256
    return Palette(f"{true.name}-256", looks, drift, f"on {selected}", background, surface, cursor, dark=true.dark)


SIXTEEN_PALETTES: dict[str, Palette] = {
    "dark": _sixteen("dark", _DARK_16, "dim cyan", "cyan", "bright_cyan"),
    "light": _sixteen("light", _LIGHT_16, "dim green", "green", "bold green"),
    "colorblind": _sixteen("colorblind", _COLORBLIND_16, "dim cyan", "cyan", "bright_cyan"),
    "colorblind-light": _sixteen("colorblind-light", _COLORBLIND_LIGHT_16, "dim cyan", "cyan", "bold cyan"),
}
"""By the same names, for terminals with 16 colours."""

COLORLESS = Palette("colorless", _NONE, ("dim",) * 4 + ("none",) * 4 + ("bold",) * 4, "bold", cursor="white")
"""For terminals, and people, that want no colour; what lies on a background is reversed."""


@cache
def xterm_palettes() -> dict[str, Palette]:
    """Return the palettes by the same names, for terminals with 256 colours: they take long to find."""
    return {name: _xterm(palette) for name, palette in TRUE_PALETTES.items()}


def palettes(colors: str) -> dict[str, Palette]:
    """Return the palettes by their names, for a terminal with so many colours, as `settings.Settings` has it."""
    match colors:
        case "none":
            return dict.fromkeys(NAMES, COLORLESS)
        case "16":
            return SIXTEEN_PALETTES
        case "256":
            return xterm_palettes()
        case _:
            return TRUE_PALETTES


@cache
def palette_of(theme: str) -> Palette:
    """Return the palette of a theme.

    Raises:
        KeyError: There is none.
    """
    for colors in ("full", "16", "none", "256"):
        for palette in palettes(colors).values():
            if palette.name == theme:
                return palette
    raise KeyError(theme)
