"""What goes to the terminal for a screen of which a few cells changed: those cells.

Textual sends each changed span from the left edge of its widget on; far right in a wide chart that is
a hundred times what changed. The one module that knows how Textual's compositor hands over an update.
"""

from typing import Any

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate


class SpansUpdate(ChopsUpdate):
    """The same update, each span from its own first cell on."""

    def render_segments(self, console: Console) -> str:
        """Return what is written to the terminal."""
        sequences = []
        for row, first, last in self.spans:
            for end, (start, strip) in zip(self.chop_ends[row], self.chops[row].items(), strict=False):
                if strip is None or start >= last or end <= first:
                    continue
                begin, stop = max(start, first), min(end, last)
                part = strip if (begin, stop) == (start, end) else strip.crop(begin - start, stop - start)
                sequences += [Control.move_to(begin, row).segment.text, part.render(console)]
        return "".join(sequences)


def only_what_changed(update: Any) -> Any:
    """Return an update of parts of the screen as one that sends no more than those parts; others as they are."""
    return SpansUpdate(update.chops, update.spans, update.chop_ends) if type(update) is ChopsUpdate else update
