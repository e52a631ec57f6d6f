"""What the command palette finds: what the keys of a screen do, by words and not by letters that happen to be there.

Textual's own search takes letters in their order, wherever they are: "zoom" would find "Freeze every … momentum".
"""

from functools import partial

from textual.app import SystemCommand
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content


class KeyCommands(Provider):
    """Finds commands in which each word that is typed begins a word; in the name before the rest."""

    async def discover(self) -> Hits:
        """Yield all commands, as long as nothing is typed."""
        for command in self._commands():
            yield DiscoveryHit(command.title, command.callback, text=command.title, help=command.help)

    async def search(self, query: str) -> Hits:
        """Yield the commands that hold the words that are typed."""
        wanted = query.lower().split()
        for command in self._commands():
            name, _, rest = command.title.lower().partition(": ")
            found = [all(map(partial(_begins_a_word, text), wanted)) for text in (name, f"{name} {rest}")]
            if any(found):
                yield Hit(2.0 if found[0] else 1.0, Content(command.title), command.callback, help=command.help)

    def _commands(self) -> list[SystemCommand]:
        return list(self.app.get_system_commands(self.screen))


def _begins_a_word(text: str, beginning: str) -> bool:
    return f" {text}".find(f" {beginning}") >= 0
