"""The base of the screens that are searched: a line to type in, above the keys."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from tuimon.ui.frame.base_screen import BaseScreen


class SearchField(Input):
    """The line that is typed in; there only while somebody types.

    Args:
        hint: What may be typed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        # An input line would copy with ctrl+c.
        Binding("escape,ctrl+c", "clear_search", "clear", show=False)
    ]

    def __init__(self, hint: str) -> None:
        super().__init__(placeholder=hint, compact=True, max_length=200)
        self.cursor_blink = False
        self.display = False

    def open(self) -> None:
        """Have it type at once."""
        self.display = True
        # Not `focus`, which comes later: the next key may be the first letter.
        self.screen.set_focus(self)

    def close(self) -> None:
        """Go away; what was typed stays in force."""
        self.display = False
        self.screen.set_focus(None)

    async def action_submit(self) -> None:
        """Go away, all words typed."""
        await super().action_submit()
        self.close()

    def action_clear_search(self) -> None:
        """Forget what was typed, and go away."""
        self.value = ""
        self.close()


class SearchedScreen(BaseScreen):
    """A screen with a search field. Subclasses yield it among their panels and say what is done with the words."""

    AUTO_FOCUS = ""
    hint: ClassVar[str]
    """What may be typed."""

    def __init__(self) -> None:
        super().__init__()
        self.field = SearchField(self.hint)
        """Where the words are typed."""

    def search(self, words: str) -> None:
        """Show what ``words`` find; they are still being typed."""
        raise NotImplementedError

    def searched(self) -> None:
        """Go to what was found: all words are typed."""

    def action_search(self) -> None:
        """Type what to search for."""
        self.field.open()

    def go_back(self) -> bool:
        """Forget what was searched for; return whether anything was."""
        is_searched = bool(self.field.value or self.field.display)
        if is_searched:
            self.field.action_clear_search()
        return is_searched

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while it is typed."""
        self.search(event.value)

    def on_input_submitted(self) -> None:
        """Go to what was found."""
        self.searched()
