"""Keys that come all at once, as a paste does where the terminal does not mark it: GNU screen, a serial line.

Such keys change nothing of the run without a question. A key that could change it waits for some milliseconds, to see
whether others come with it. Keys that only move something are not held up, and text that is typed into a line is not
either.

A key is passed on once the one before has done its work: the first letters after `/` are typed into the line that it
opens, however fast they come.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from textual.app import App
from textual.events import Event, Key
from textual.message import Message
from textual.screen import Screen
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
_SETTLE_SECONDS = 0.5
"""A key that is not done after this time holds up no other."""
_MOST_SCREENS = 3
"""So many screens that a key opens one after the other are waited for."""


class Settled(Message):
    """Follows a key wherever it goes: it arrives at the app when the key has done its work."""

    def __init__(self, number: int, screen: Screen[Any], screens: int = 1) -> None:
        super().__init__()
        self.number = number
        """The number of the key."""
        self.screen = screen
        """The screen that got the key, or that it has opened."""
        self.screens = screens
        """How many screens there were so far."""


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
        """Keys that wait, the oldest first."""
        self._number = 0
        """The number of the key that was passed on last."""
        self._is_settling = False
        """True until that key has done its work."""
        self._timer: Timer | None = None
        self._before = 0.0
        """When the last key was passed on that a paste could hold."""
        self._is_asking = False

    async def take(self, event: Key) -> None:
        """Pass a key on, now or soon, or ask about it."""
        self._held.append(event)
        if not self._is_settling:
            await self._go_on()

    async def settle(self, message: Settled) -> None:
        """Go on with the next key, unless the one before has opened a screen that is not ready yet."""
        if message.number != self._number or not self._is_settling:
            return
        screen = self._app.screen
        if screen is not message.screen and message.screens < _MOST_SCREENS:
            screen.post_message(Settled(self._number, screen, message.screens + 1))
            return
        self._is_settling = False
        await self._go_on()

    async def _go_on(self) -> None:
        """Pass on the keys that wait, up to one that could change the run."""
        while self._held and not self._is_settling:
            if self._is_risky(self._held[0]):
                if self._timer is not None:
                    self._timer.stop()
                self._timer = self._app.set_timer(WAIT_SECONDS, self._decide)
                return
            await self._give(self._held.pop(0))

    def say_if_ignored(self) -> None:
        """Say that a paste that the terminal marks does nothing, where no line takes it."""
        if not isinstance(self._app.focused, Input):
            self._say("What is pasted is not taken as keys.")

    async def _decide(self) -> None:
        """Pass on or drop the keys that waited."""
        if not self._held or self._is_settling:
            return
        times = [key.time for key in self._held]
        if self._is_risky(self._held[0]) and is_pasted(times, self._before):
            length = burst_length(times)
            self._before = times[length - 1]
            asked, self._held = self._held[:length], self._held[length:]
            self._ask(asked)
        else:
            await self._give(self._held.pop(0))
        await self._go_on()

    async def _give(self, event: Key) -> None:
        focused, screen = self._app.focused, self._app.screen
        await self._pass_on(event)
        if not _is_text(event):
            return
        self._before = event.time
        if isinstance(focused, Input) and event.is_printable:
            # It is only typed.
            return
        self._number += 1
        self._is_settling = True
        message = Settled(self._number, screen)
        if not (focused or screen).post_message(message):
            self._is_settling = False
        self._app.set_timer(_SETTLE_SECONDS, partial(self._give_up, self._number))

    async def _give_up(self, number: int) -> None:
        """Wait no longer for a key that is lost with its screen, or that takes long."""
        if self._is_settling and number == self._number:
            self._is_settling = False
            await self._go_on()

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
