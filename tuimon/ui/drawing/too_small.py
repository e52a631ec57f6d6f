"""What a terminal shows that has no room for anything: one sentence."""

from textual.content import Content
from textual.geometry import Size
from textual.widgets import Static

LEAST = Size(40, 10)
"""The smallest terminal in which something is drawn."""


class TooSmall(Static):
    """Lies over everything where the terminal is too small for it. Every screen has one."""

    def __init__(self) -> None:
        words = f"Too small: tuimon needs {LEAST.width} columns and {LEAST.height} lines."
        super().__init__(Content(words), markup=False)

    def on_mount(self) -> None:
        """Cover what was opened in a small terminal."""
        self.fit(self.app.size)

    def fit(self, size: Size) -> None:
        """Cover the screen in a terminal of this size, or not."""
        self.display = size.width < LEAST.width or size.height < LEAST.height
        # What is below may want to scroll.
        self.screen.set_class(self.display, "-too-small")
