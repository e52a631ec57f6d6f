"""The escape sequences that move the cursor and change how text looks."""

from rich.color import Color, ColorSystem
from rich.style import Style

Look = tuple[int, Color | None, Color | None]
"""Rich's bits of bold, dim and the like; the colour of the text, and the one behind it."""
PLAIN: Look = (0, None, None)
"""Text as the terminal writes it by itself."""
RESET = "\x1b[0m"
"""Turns any look into the plain one."""


def move(cursor: int, position: int, columns: int) -> str:
    """Return the sequence that moves the cursor from one cell to another; a cursor below 0 may be anywhere."""
    row, column = divmod(position, columns)
    if cursor >= 0 and cursor // columns == row and cursor % columns and position > cursor:
        ahead = position - cursor
        return f"\x1b[{ahead}C" if ahead > 1 else "\x1b[C"
    return f"\x1b[{row + 1};{column + 1}H"


def look(style: Style) -> Look:
    """Return the visible part of a style: Rich's bits of bold, dim and the like, and the colours."""
    return style._attributes & style._set_attributes, style.color, style.bgcolor


def transition(old: Look, new: Look, colors: ColorSystem) -> str:
    """Return the SGR sequence that turns one look into another; it leaves out what they share."""
    attributes, *inks = new
    if old[0] != attributes:
        # Some attributes have no code of their own that ends them.
        set_bits = [code for bit, code in Style._style_map.items() if attributes & (1 << bit)]
        codes = ["0", *set_bits, *(_color(ink, colors, index == 0) for index, ink in enumerate(inks) if ink)]
    else:
        codes = [_color(ink, colors, index == 0) for index, ink in enumerate(inks) if ink != old[1 + index]]
    return f"\x1b[{';'.join(codes)}m" if codes else ""


def _color(color: Color | None, colors: ColorSystem, foreground: bool) -> str:
    if color is None:
        return "39" if foreground else "49"
    return ";".join(color.downgrade(colors).get_ansi_codes(foreground))
