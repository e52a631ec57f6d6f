"""Keys that come all at once, as a paste does where the terminal does not mark it: GNU screen, a serial line.

Such keys change nothing of the run without a question. A key that could change it waits for some milliseconds, to see
whether others come with it. Keys that only move something are not held up, and text that is typed into a line is not
either.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from textual.app import App
from textual.events import Event, Key
from textual.timer import Timer
from textual.widgets import Input

from tuimon.numbers import count
from tuimon.ui.dialogs.help_screen import HelpScreen
from tuimon.ui.dialogs.questions import pasted_question
from tuimon.ui.frame.base_screen import BaseScreen
from tuimon.ui.viewer.bursts import WAIT_SECONDS, burst_length, is_pasted
from tuimon.ui.viewer.keys import keys_of

_MOST_TYPED = 20
"""Of more keys than this, nobody is asked whether to type them."""
_TYPING_SECONDS = 0.05
"""Between keys that are typed after all: each finds the screen that the one before has opened."""


class Say(Protocol):
    """Shows a sentence."""

    def __call__(self, text: str, *, bad: bool = False) -> None:
        """Show ``text`` for some seconds."""


class PastedKeys:
    """Passes keys on, but asks about those that came at once and could change the run.

    Args:
        app: Says what takes the keys, and asks.
        pass_on: Handles a key.
        say: Shows a sentence.
    """

    def __init__(self, app: App[Any], pass_on: Callable[[Event], Awaitable[None]], say: Say) -> None:
        self._app = app
        self._pass_on = pass_on
        self._say = say
        self._held: list[Key] = []
        """Keys that wait, the oldest first. The first one could change the run."""
        self._timer: Timer | None = None
        self._before = 0.0
        """When the last key was passed on that a paste could hold."""
        self._is_asking = False

    async def take(self, event: Key) -> None:
        """Pass a key on, now or soon, or ask about it."""
        if not self._held and not self._is_risky(event):
            await self._give(event)
            return
        self._held.append(event)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._app.set_timer(WAIT_SECONDS, self._decide)

    def say_if_ignored(self) -> None:
        """Say that a paste that the terminal marks does nothing, where no line takes it."""
        if not isinstance(self._app.focused, Input):
            self._say("What is pasted is not taken as keys.")

    async def _decide(self) -> None:
        """Pass on or drop the keys that waited."""
        held, self._held = self._held, []
        while held:
            times = [key.time for key in held]
            if self._is_risky(held[0]) and is_pasted(times, self._before):
                length = burst_length(times)
                self._before = times[length - 1]
                self._ask(held[:length])
                held = held[length:]
            else:
                await self._give(held.pop(0))

    async def _give(self, event: Key) -> None:
        if _is_text(event):
            self._before = event.time
        await self._pass_on(event)

    def _is_risky(self, event: Key) -> bool:
        """Return whether a key could change the run, or end this program, where it would be handled now."""
        if not _is_text(event):
            return False
        screen = self._app.screen
        if isinstance(screen, HelpScreen):
            return False
        if isinstance(self._app.focused, Input):
            # Text is only typed. Enter sends it, or does what was found.
            return event.key == "enter" and not isinstance(screen, BaseScreen)
        if not isinstance(screen, BaseScreen):
            return True
        return any(
            key.needs == "steering" or key.action in ("leave", "watch_run")
            for key in keys_of(screen.screen_name)
            if event.key in key.keys.split(",")
        )

    def _ask(self, keys: Sequence[Key]) -> None:
        if self._is_asking:
            # The rest of the same paste.
            return
        if len(keys) > _MOST_TYPED:
            self._say(f"Pasted? {count(len(keys))} keys came at once, and none was taken.")
            return

        def answered(choice: str | None) -> None:
            self._is_asking = False
            if choice is not None:
                self._type(keys)

        self._is_asking = True
        self._app.push_screen(pasted_question([key.name for key in keys]), answered)

    def _type(self, keys: Sequence[Key]) -> None:
        for index, key in enumerate(keys, start=1):
            self._app.set_timer(index * _TYPING_SECONDS, partial(self._pass_on, Key(key.key, key.character)))


def _is_text(event: Key) -> bool:
    """Return whether a paste could hold a key: not an arrow, which a terminal sends as an escape sequence."""
    return event.key in ("enter", "tab", "ctrl+j") or event.is_printable
