"""The base of the screens that are searched: above the keys, a line to type in."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from tuimon.ui.frame.base_screen import BaseScreen


class SearchField(Input):
    """A line to type in, shown only while somebody types.

    Args:
        hint: What may be typed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear_or_close", "clear", show=False),
        # An input line would copy with ctrl+c.
        Binding("ctrl+c", "clear_search", "clear", show=False),
    ]

    def __init__(self, hint: str) -> None:
        super().__init__(placeholder=hint, compact=True, max_length=200)
        self.cursor_blink = False
        self.display = False

    def open(self) -> None:
        """Show the line, and let it take the next key."""
        self.display = True
        # Not `focus`, which comes later: the next key may be the first letter.
        self.screen.set_focus(self)

    def close(self) -> None:
        """Hide the line; the words stay in force."""
        self.display = False
        self.screen.set_focus(None)

    async def action_submit(self) -> None:
        """Take the words, and hide the line."""
        await super().action_submit()
        self.close()

    def action_clear_or_close(self) -> None:
        """Clear the words, and stay: the next keys are typed for this line. Hide it where there are no words."""
        if self.value:
            self.value = ""
        else:
            self.close()

    def action_clear_search(self) -> None:
        """Clear the words, and hide the line."""
        self.value = ""
        self.close()


class SearchedScreen(BaseScreen):
    """A screen with a search field. A subclass yields `field` among its panels, and does something with the words."""

    AUTO_FOCUS = ""
    hint: ClassVar[str]
    """What may be typed."""

    def __init__(self) -> None:
        super().__init__()
        self.field = SearchField(self.hint)
        """The line to type in."""

    def search(self, words: str) -> None:
        """Show what ``words`` find, while they are being typed."""
        raise NotImplementedError

    def searched(self) -> None:
        """Go to what was found, once all words are typed."""

    def action_search(self) -> None:
        """Open the search field."""
        self.field.open()

    def go_back(self) -> bool:
        """Clear the words; return whether there were any."""
        is_searched = bool(self.field.value or self.field.display)
        if is_searched:
            self.field.action_clear_search()
        return is_searched

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search for the words typed so far."""
        self.search(event.value)

    def on_input_submitted(self) -> None:
        """Go to what was found."""
        self.searched()
