"""The sentence on a terminal that is too small."""

from textual.content import Content
from textual.geometry import Size
from textual.widgets import Static

LEAST = Size(40, 10)
"""The smallest terminal that panels are drawn in."""


class TooSmall(Static):
    """Covers the screen of a terminal that is too small. Every screen has one."""

    def __init__(self) -> None:
        words = f"Too small: tuimon needs {LEAST.width} columns and {LEAST.height} lines."
        super().__init__(Content(words), markup=False)

    def on_mount(self) -> None:
        """Cover a screen that was opened in a small terminal."""
        self.fit(self.app.size)

    def fit(self, size: Size) -> None:
        """Cover the screen if a terminal of this size is too small, else show it."""
        self.display = size.width < LEAST.width or size.height < LEAST.height
        # The screen below must not show scrollbars.
        self.screen.set_class(self.display, "-too-small")
