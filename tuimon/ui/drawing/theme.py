"""How the screen looks on this terminal: palette, number of colours, ASCII alone.

The one module that knows how Textual filters what it draws.
"""

from functools import lru_cache
from typing import Any

from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.filter import LineFilter, Monochrome, NoColor

from tuimon.settings import PALETTES as NAMES
from tuimon.settings import PaletteName, Settings
from tuimon.ui.drawing.ascii import AsciiFilter
from tuimon.ui.drawing.palettes import palette_of, palettes

_SYSTEMS = {
    "full": ColorSystem.TRUECOLOR,
    "256": ColorSystem.EIGHT_BIT,
    "16": ColorSystem.STANDARD,
    "none": ColorSystem.STANDARD,
}


class ColorlessFilter(LineFilter):
    """Makes Textual send no colour at all, not even the terminal's default ones by name."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments of a line without their colours."""
        del background
        return [
            segment if segment.style is None else segment._replace(style=_colorless(segment.style))
            for segment in segments
        ]


class TerminalTheme:
    """The palette of an app, in the colours and characters that its terminal has.

    Args:
        app: The app.
        settings: The settings, as `settings.for_terminal` fits them to the terminal.
    """

    def __init__(self, app: App[Any], settings: Settings) -> None:
        self._app = app
        self._colors = settings.colors
        self.name: PaletteName = settings.palette
        """The name of the palette, the same for any number of colours."""
        self._palettes = palettes(settings.colors)
        for palette in self._palettes.values():
            app.register_theme(palette.theme)
        app.no_color = self._colors == "none"
        # Textual's own answer to NO_COLOR is shades of grey, which are colours too.
        kept = [line_filter for line_filter in app._filters if not isinstance(line_filter, Monochrome | NoColor)]
        if app.no_color:
            kept.append(ColorlessFilter())
        if settings.ascii:
            kept.append(AsciiFilter())
        app._filters = kept
        if self._colors in _SYSTEMS:
            app.console._color_system = _SYSTEMS[self._colors]
        self.choose(self.name)

    def choose(self, name: PaletteName) -> None:
        """Show the palette of this name."""
        self.name = name
        self._app.theme = self._palettes[name].name

    def next(self) -> PaletteName:
        """Show the next palette and return its name."""
        self.choose(NAMES[(NAMES.index(self.name) + 1) % len(NAMES)])
        return self.name


def styles_of(app: App[Any]) -> dict[int, Style]:
    """Return the styles of the palette that an app shows, by the codes that cells carry."""
    return palette_of(app.theme).styles


@lru_cache(4096)
def _colorless(style: Style) -> Style:
    kept = style.without_color
    if style.bgcolor is not None and not style.bgcolor.is_default:
        kept += Style(reverse=True)
    # The style also holds what a click does.
    return kept + Style(meta=style.meta) if style.meta else kept
