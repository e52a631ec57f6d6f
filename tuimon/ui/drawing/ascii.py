"""The screen for fonts and terminals with ASCII alone: every character becomes the nearest one in ASCII.

This happens at one place, where lines go to the terminal, so that no character is missed.
"""

from rich.cells import get_character_cell_size
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from tuimon.ascii import AsciiTable

_TABLE = AsciiTable(get_character_cell_size)


def to_ascii(text: str) -> str:
    """Return ``text`` in ASCII, of the same width in cells.

    Example:
        >>> to_ascii("● training  ▁▃▆ 5–95 %"), to_ascii("bn_層 café")
        ('* training  _-* 5-95 %', 'bn_?? cafe')
    """
    return text if text.isascii() else text.translate(_TABLE)


class AsciiFilter(LineFilter):
    """Makes Textual send ASCII alone, whatever a widget draws."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments of a line in ASCII."""
        del background
        return [
            segment if segment.text.isascii() else segment._replace(text=to_ascii(segment.text)) for segment in segments
        ]
