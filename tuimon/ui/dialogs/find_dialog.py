"""Finds what can be done or shown by its words: keys, requests, screens, palettes, metrics.

Each word that is typed must begin a word of an entry. So "zoom" does not find "Freeze every … momentum", as a search
for letters in their order would.
"""

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from msgspec import Struct
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tuimon.text import plain
from tuimon.ui.drawing.too_small import TooSmall
from tuimon.ui.viewer.meanings import Meaning, css_style


class Entry(Struct, frozen=True):
    """Something that can be found."""

    title: str
    """A name, or a name, a colon and a sentence."""
    words: str
    """How else it is reached, or why it does nothing now."""
    run: Callable[[], object]
    """Does it; what comes of it may be awaited."""
    also: str = ""
    """Further words by which it is found."""
    is_last: bool = False
    """Whether it is listed after all that does something now."""


class FindDialog(ModalScreen[Entry | None]):
    """Returns the entry that is chosen, or None for escape. The first one found is marked, and enter chooses it.

    Args:
        entries: What can be found, in the order in which all of them are listed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "clear_or_cancel", "cancel", priority=True),
        *(
            Binding(key, f"move('{action}')", action, priority=True)
            for key, action in (
                ("up", "cursor_up"),
                ("down", "cursor_down"),
                ("pageup", "page_up"),
                ("pagedown", "page_down"),
            )
        ),
    ]

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__()
        self._entries = entries
        self._found = list(entries)

    def compose(self) -> ComposeResult:
        """Lay out the line to type in above the list."""
        with Vertical(id="find") as panel:
            panel.border_title = Content("find a key, a request, a screen, a metric")
            line = Input(placeholder="type some words", compact=True, max_length=200)
            line.cursor_blink = False
            yield line
            yield OptionList(id="found", markup=False)
            yield Static(Content("No entry has words that begin so."), id="nothing", markup=False)
        yield TooSmall()

    def on_mount(self) -> None:
        """List everything, and let the line take the first key."""
        self._list()
        self._say()
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """List what the words find."""
        self._found = found(self._entries, event.value)
        self._list()
        self._say()

    def on_input_submitted(self) -> None:
        """Choose the entry that is marked."""
        marked = self.query_one(OptionList).highlighted
        if marked is not None:
            self.dismiss(self._found[marked])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Choose the entry that is clicked."""
        self.dismiss(self._found[event.option_index])

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Move the sign to the entry that is marked."""
        self._mark(event.option_index)

    def action_move(self, action: str) -> None:
        """Mark another entry."""
        getattr(self.query_one(OptionList), f"action_{action}")()

    def action_clear_or_cancel(self) -> None:
        """Clear the words; close the list where there are none."""
        line = self.query_one(Input)
        if line.value:
            line.value = ""
        else:
            self.dismiss(None)

    def _say(self) -> None:
        """Say what enter and esc do."""
        keys = ["enter does the one marked ›"] if self._found else []
        keys.append("esc shows all" if self.query_one(Input).value else "esc cancels")
        self.query_one("#find").border_subtitle = Content(", ".join(keys))

    def _list(self) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(_shown(entry)) for entry in self._found])
        options.display = bool(self._found)
        self.query_one("#nothing").display = not self._found
        self._marked: int | None = None
        if self._found:
            options.highlighted = 0
            self._mark(0)

    def _mark(self, index: int) -> None:
        options = self.query_one(OptionList)
        if self._marked is not None and self._marked < len(self._found):
            options.replace_option_prompt_at_index(self._marked, _shown(self._found[self._marked]))
        if index < len(self._found):
            options.replace_option_prompt_at_index(index, _shown(self._found[index], marked=True))
            self._marked = index


def found(entries: Sequence[Entry], typed: str) -> list[Entry]:
    """Return the entries of which each typed word begins a word: first those whose name alone has all of them.

    Then come those whose title has them, those that other words find as well, and what does nothing now, or explains.

    Example:
        >>> entries = [Entry("freeze all: Freeze every layer", "key F", print), Entry("metric val_loss", "", print)]
        >>> [entry.title for entry in found(entries, "LOSS")]
        ['metric val_loss']
        >>> found(entries, "oss")
        []
    """
    wanted = [re.compile(rf"(?<![a-z0-9]){re.escape(word)}") for word in typed.lower().split()]
    ranks: list[list[Entry]] = [[], [], [], [], []]
    for entry in entries:
        title = entry.title.lower()
        also = f"{title} {entry.also.lower()}"
        texts = (title.partition(": ")[0], title, also, f"{also} {entry.words.lower()}")
        rank = next((rank for rank, text in enumerate(texts) if all(each.search(text) for each in wanted)), None)
        if rank is not None:
            ranks[-1 if entry.is_last else rank].append(entry)
    return [entry for ranked in ranks for entry in ranked]


def _shown(entry: Entry, *, marked: bool = False) -> Content:
    words = f"\n    {plain(entry.words, 200)}" if entry.words else ""
    return Content.assemble(
        ("› " if marked else "  ", "bold"), plain(entry.title, 200), (words, css_style(Meaning.DIM))
    )
