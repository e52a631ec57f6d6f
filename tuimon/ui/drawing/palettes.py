"""The palettes, for terminals with true colours, with 256, with 16, and with none."""

from functools import cache, cached_property

from msgspec import Struct
from rich.style import Style
from textual.theme import Theme

from tuimon.settings import PALETTES as NAMES
from tuimon.ui.drawing.colors_256 import nearest
from tuimon.ui.drawing.palette_colors import (
    COLORBLIND,
    COLORBLIND_16,
    COLORBLIND_LIGHT,
    COLORBLIND_LIGHT_16,
    DARK,
    DARK_16,
    DARK_DRIFT,
    LIGHT,
    LIGHT_16,
    LIGHT_DRIFT,
    NONE,
    MeaningStyles,
)
from tuimon.ui.viewer.meanings import DRIFT, DRIFT_LEVELS, RUN, SELECTED, Meaning, css_style

RUN_MEANINGS = (
    Meaning.STRONG,
    Meaning.VALIDATION,
    Meaning.INFERENCE,
    Meaning.GOOD,
    Meaning.COMMAND,
    Meaning.STATISTIC,
)
"""Compared runs have the colours of these meanings: they differ in each palette, and that screen has no others."""


class Palette(Struct, frozen=True, dict=True):
    """The colours of everything; `theme` hands them to Textual."""

    name: str
    """The name of the theme."""
    meanings: MeaningStyles
    """The style of each meaning."""
    drift: tuple[str, ...]
    """The styles of drift, from the smallest to the largest."""
    selected: str
    """The style added on the line under the cursor."""
    background: str = "default"
    """The background of the screen; "default": that of the terminal."""
    surface: str = "default"
    """The background of questions and pages."""
    cursor: str = "default"
    """The background of the answer under the cursor."""
    dark: bool = True
    """True for a background darker than the text."""

    @property
    def is_ansi(self) -> bool:
        """True if the terminal's own theme sets the colours."""
        return self.background == "default"

    @cached_property
    def styles(self) -> dict[int, Style]:
        """Rich styles by the codes that cells carry."""
        coded = {int(meaning): Style.parse(style) for meaning, style in self.meanings.items()}
        coded |= {DRIFT + level: Style.parse(style) for level, style in enumerate(self.drift)}
        coded |= {RUN + slot: coded[meaning] for slot, meaning in enumerate(RUN_MEANINGS)}
        selected = Style.parse(self.selected)
        return coded | {code | SELECTED: style + selected for code, style in coded.items()}

    @cached_property
    def theme(self) -> Theme:
        """The palette as a theme, for Textual's own widgets."""
        text, accent = self._color(Meaning.TEXT), self._color(Meaning.COMMAND)
        background, surface = _css(self.background), _css(self.surface)
        variables = {
            "foreground": text,
            "background": background,
            "surface": surface,
            "panel": surface,
            # The screen behind a question shows through it, where colours can be mixed.
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
        variables |= {css_style(meaning)[1:]: _css(style) for meaning, style in self.meanings.items()}
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
        color = Style.parse(self.meanings[meaning]).color
        return _css("default" if color is None else color.name)

    def _attributes(self, meaning: Meaning) -> str:
        words = [word for word in self.meanings[meaning].split() if word in _ATTRIBUTES]
        return " ".join(words) or "none"


_ATTRIBUTES = ("bold", "dim", "reverse", "underline")
_SCROLLBAR_BACKGROUNDS = (
    "scrollbar-background",
    "scrollbar-background-hover",
    "scrollbar-background-active",
    "scrollbar-corner-color",
)


def _css(style: str) -> str:
    """Return a style of Rich as Textual writes it, with a prefix for the terminal's own colours."""
    return " ".join(
        word if word.startswith("#") or word in (*_ATTRIBUTES, "on", "none") else f"ansi_{word}"
        for word in style.split()
    )


def _true(name: str, meanings: MeaningStyles) -> Palette:
    if "light" in name:
        return Palette(name, meanings, LIGHT_DRIFT, "on #dbe4ec", "#f8f9fa", "#eceff2", "#cfdbe6", dark=False)
    return Palette(name, meanings, DARK_DRIFT, "on #22303d", "#10151c", "#182029", "#2b3c4c")


def _sixteen(name: str, meanings: MeaningStyles, dim: str, plain: str, strong: str) -> Palette:
    shades = (dim, plain, strong)
    drift = tuple(shades[level * len(shades) // DRIFT_LEVELS] for level in range(DRIFT_LEVELS))
    is_light = "light" in name
    # In reverse video, the bars in the line under the cursor would be holes.
    return Palette(f"{name}-16", meanings, drift, "bold", cursor="cyan" if is_light else "blue", dark=not is_light)


TRUE_PALETTES: dict[str, Palette] = {
    name: _true(name, meanings)
    for name, meanings in zip(NAMES, (DARK, LIGHT, COLORBLIND, COLORBLIND_LIGHT), strict=True)
}
"""By name, for terminals with true colours."""

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
"""These meanings get their colours before the others."""
_CHOSEN_256: dict[str, MeaningStyles] = {
    "colorblind-light": {
        Meaning.TRAINING: "#005fd7",
        Meaning.INFERENCE: "#5f00d7",
        Meaning.COMMAND: "#870087",
        Meaning.WARNING: "#5f0000",
        Meaning.ERROR: "#af005f",
    },
    "dark": {Meaning.GAP: "#ffffd7"},
}
"""Colours chosen by hand, because the nearest one looked like another to somebody."""
_LIGHT_DRIFT_256 = tuple("#" + 3 * f"{grey:02x}" for grey in range(0x70, 0x10, -8))
"""Greys: the 256 have too few dark greens."""
_NEVER_SELECTED = (Meaning.BATCH, Meaning.BAND)
"""These meanings never stand on the line under the cursor."""
_LINES = (Meaning.FRAME, Meaning.TRACK)


def _xterm(true: Palette) -> Palette:
    """Return a palette in the 256 colours: as easy to read, with all differences kept."""
    background, surface, selected, cursor = ("#121212", "#1c1c1c", "#262626", "#303030")
    if not true.dark:
        # Rich shows light greys one step darker than they are written.
        background, surface, selected, cursor = ("#ffffff", "#eeeeee", "#eeeeee", "#e4e4e4")
    meanings: MeaningStyles = {}
    found = {true.meanings[meaning].split()[-1]: color for meaning, color in _CHOSEN_256.get(true.name, {}).items()}
    found[true.meanings[Meaning.FRAME]] = "#6c6c6c" if true.dark else "#8a8a8a"
    for meaning in sorted(true.meanings, key=lambda meaning: meaning not in _FIRST):
        *attributes, color = true.meanings[meaning].partition(" on ")[0].split()
        if color not in found:
            on = (background,) if meaning in (*_NEVER_SELECTED, *_LINES) else (background, surface, selected)
            found[color] = nearest(color, on, 3 if meaning in _LINES else 4.5, frozenset(found.values()))
        meanings[meaning] = " ".join((*attributes, found[color]))
    for meaning in (Meaning.PAUSED, Meaning.MATCH):
        *_, below = true.meanings[meaning].split()
        meanings[meaning] = f"bold #121212 on {nearest(below, ('#121212',), 4.5)}"
    drift = tuple(nearest(shade, (background,), 4.5) for shade in true.drift) if true.dark else _LIGHT_DRIFT_256
    return Palette(f"{true.name}-256", meanings, drift, f"on {selected}", background, surface, cursor, dark=true.dark)


SIXTEEN_PALETTES: dict[str, Palette] = {
    "dark": _sixteen("dark", DARK_16, "dim cyan", "cyan", "bright_cyan"),
    "light": _sixteen("light", LIGHT_16, "dim green", "green", "bold green"),
    "colorblind": _sixteen("colorblind", COLORBLIND_16, "dim cyan", "cyan", "bright_cyan"),
    "colorblind-light": _sixteen("colorblind-light", COLORBLIND_LIGHT_16, "dim cyan", "cyan", "bold cyan"),
}
"""By name, for terminals with 16 colours."""

COLORLESS = Palette("colorless", NONE, ("dim",) * 4 + ("none",) * 4 + ("bold",) * 4, "bold", cursor="white")
"""The palette for terminals and people that want no colour; reverse video stands for backgrounds."""


@cache
def xterm_palettes() -> dict[str, Palette]:
    """Return the palettes by name, for terminals with 256 colours. Finding the colours takes long: it happens once."""
    return {name: _xterm(palette) for name, palette in TRUE_PALETTES.items()}


def palettes(colors: str) -> dict[str, Palette]:
    """Return the palettes by name, for a value of `Settings.colors`."""
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
        KeyError: No palette has this name.
    """
    for colors in ("full", "16", "none", "256"):
        for palette in palettes(colors).values():
            if palette.name == theme:
                return palette
    raise KeyError(theme)
