"""An app that sends no more than the line to its terminal takes, and nothing that the terminal shows already."""

import math
import time
from functools import partial
from typing import Any, cast

from textual.events import CursorPosition, Event, InputEvent, Paste, Resize
from textual.screen import Screen

from tuimon.ui.terminal import job_control
from tuimon.ui.terminal.driver import TerminalDriver
from tuimon.ui.terminal.end_signals import EndSignals
from tuimon.ui.terminal.idle_collection import collect_if_due
from tuimon.ui.terminal.lean_app import LeanApp
from tuimon.ui.terminal.pacing import OPENING_BYTES, Pacing
from tuimon.ui.terminal.turns import Turns
from tuimon.ui.terminal.virtual_screen import UPDATES, Frame, VirtualScreen

_BEHIND_SECONDS = 1.0
"""A line is slow when something has waited for this long to be sent."""
_SLOW_SECONDS = 5.0
"""How long a slow line is reported."""
_LEAVE_SECONDS, _LEAVE_ROUND_TRIPS = 1.5, 2.0
"""How long closing waits for the terminal's last answer: the longer one of so many seconds and so many round trips."""


class PacedApp(LeanApp):
    """Sends what Textual draws cell by cell, as much at a time as the terminal's answers say it takes soon.

    What a key asks for is drawn at once. What merely goes on is drawn some times a second, and only while the line is
    free. Subclasses draw, and say when that is due.

    Args:
        refresh: How often a second what goes on is drawn, at most. News is drawn within a quarter of a second.
    """

    def __init__(self, refresh: float) -> None:
        super().__init__(driver_class=TerminalDriver)
        self._turns = Turns(refresh)
        self._pacing = Pacing()
        self._terminal = VirtualScreen()
        self._behind_since = math.inf
        self._slow_until = 0.0
        self._leaves_by = 0.0
        self._suspends_by = 0.0
        self._resumed_at = 0.0
        """When the program was continued, after it was suspended."""
        self.touched_at = time.monotonic()
        """When a key was pressed last, or the mouse moved, by `time.monotonic`."""

    def run(self, **options: Any) -> str | None:
        """Run until the app is left or a signal ends it; then the terminal is as it was. Textual has the options."""
        with EndSignals(partial(_driver_of, self), self._leave_soon).handled():
            return super().run(**options)

    @property
    def is_line_slow(self) -> bool:
        """True while the line is too slow for what there is to send, and for a moment after."""
        return time.monotonic() < self._slow_until

    def on_mount(self) -> None:
        """Ask the terminal before anything is drawn, to know early whether it answers at all."""
        self._ask_terminal(OPENING_BYTES)
        # Nothing has happened yet, and an empty screen has time until its turn.
        self._turns.drew(time.monotonic(), None, self.version[1])
        self.set_interval(self._turns.look_seconds, self._redraw_if_due)

    def on_resize(self, event: Resize) -> None:
        """Draw the whole screen again."""
        del event
        if self._terminal.has_size:
            # The first size comes while the first question is on its way, which must not be forgotten.
            self._pacing.forget()
        self._terminal.forget()

    async def on_event(self, event: Event) -> None:
        """Handle an event; ignore keys while the screen closes or is suspended, they are meant for the shell."""
        if isinstance(event, InputEvent | Paste):
            self.touched_at = time.monotonic()
        is_for_shell = bool(self._leaves_by or self._suspends_by) or event.time < self._resumed_at
        if not (is_for_shell and isinstance(event, InputEvent | Paste)):
            await super().on_event(event)

    def on_cursor_position(self, event: CursorPosition) -> None:
        """Take the terminal's answer: all that was sent before the question has arrived."""
        # The time when the answer came, not the time when it is handled.
        self._pacing.answered(event.time, event.x + 1, event.y + 1)
        # There is room on the line again.
        if time.monotonic() - self._turns.drawn_at < self._turns.look_seconds:
            self.send_rest()
        else:
            self._redraw_if_due()

    @property
    def version(self) -> tuple[object, object]:
        """Differs from the version before as soon as there is something new to show. Subclasses provide it.

        The second part differs once more has happened than that something goes on: that does not wait for its turn.
        """
        raise NotImplementedError

    @property
    def is_out_of_date(self) -> bool:
        """True where there is something to show that the screen does not show."""
        return self._turns.is_new((self.version, self.is_line_slow))

    def redraw(self) -> None:
        """Draw what is so now, however busy the line is. Subclasses do it, and call this as well."""
        self._turns.drew(time.monotonic(), (self.version, self.is_line_slow), self.version[1])

    def redraw_when_free(self) -> None:
        """Draw what is so now if the line is free; else send first what there was no room for."""
        if self._pacing.may_draw(time.monotonic()):
            self.redraw()
            # What is drawn now comes before the rest of what was drawn before.
            self.call_after_refresh(self.send_rest)
        else:
            self.send_rest()

    def _redraw_if_due(self) -> None:
        if self._turns.is_due(time.monotonic(), (self.version, self.is_line_slow), self.version[1]):
            self.redraw_when_free()
        else:
            self.send_rest()
            collect_if_due(time.monotonic(), self.touched_at)

    def send_rest(self) -> None:
        """Send what there was no room for."""
        if self._terminal.is_behind and self._pacing.room(time.monotonic()) > 0:
            self._send(self.screen, None)

    def action_repaint(self) -> None:
        """Draw the whole screen again."""
        self._terminal.forget()
        self._pacing.forget()
        self.send_rest()

    def exit(self, result: str | None = None, return_code: int = 0, message: Any = None) -> None:
        """Close the app, once the terminal has answered: else its answer would be typed into the shell."""
        now = time.monotonic()
        self._leaves_by = self._leaves_by or now + max(_LEAVE_SECONDS, _LEAVE_ROUND_TRIPS * self._pacing.round_trip)
        if self._pacing.is_waiting and now < self._leaves_by:
            self.set_timer(0.02, partial(self.exit, result, return_code, message))
        else:
            super().exit(result, return_code, message)

    def tell_terminal(self, sequence: str) -> bool:
        """Send the terminal what is no part of the screen, such as its bell; return False if it cannot be sent now.

        Nothing is sent to a terminal that another program has: the shell, while this one is left or suspended.
        """
        driver = _driver_of(self)
        if driver is None or not driver.is_on or self._leaves_by or self._suspends_by or driver.is_in_background:
            return False
        driver.write(sequence)
        driver.flush()
        return True

    def _leave_soon(self, code: int) -> None:
        """Close the app with an exit code, from a signal handler.

        Raises:
            RuntimeError: it is closed already.
        """
        if self._loop is None:
            raise RuntimeError
        # As a message: only there are Textual's context variables set.
        self._loop.call_soon_threadsafe(self.call_later, partial(self.exit, return_code=code))

    def action_suspend_process(self) -> None:
        """Suspend the program, once the terminal has answered: else its answer would be typed into the shell."""
        if self.is_headless or not job_control.can_be_continued():
            self.say("No shell started this program as a job, so ctrl z does not suspend it: q leaves.")
            return
        now = time.monotonic()
        self._suspends_by = self._suspends_by or now + _LEAVE_SECONDS
        if self._pacing.is_waiting and now < self._suspends_by:
            self.set_timer(0.02, self.action_suspend_process)
        else:
            job_control.stop_launcher()
            super().action_suspend_process()
            # Here the shell has continued the program.
            self._suspends_by, self._resumed_at = 0.0, time.monotonic()

    def say(self, text: str, *, bad: bool = False) -> None:
        """Show a sentence for some seconds. Subclasses do it."""
        raise NotImplementedError

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if isinstance(renderable, UPDATES):
            self._send(screen, renderable)
        else:
            super()._display(screen, renderable)

    def _send(self, screen: Screen[Any], update: Any) -> None:
        """Send what the terminal does not show yet, as much of it as there is room for on the line."""
        if self._leaves_by or self._suspends_by:
            # The app is gone or suspended in a moment, and the shell would get the answer to a question asked now.
            return
        if self._pacing.doubts:
            self._ask_terminal(0)
        frame = Frame(self._terminal, update, self._pacing.room(time.monotonic()))
        super()._display(screen, cast(Any, frame))
        if frame.written:
            self._ask_terminal(frame.written)
        self._know_line()

    def _know_line(self) -> None:
        """Note whether the line is too slow for what there is to send."""
        now = time.monotonic()
        if not self._terminal.is_behind:
            self._behind_since = math.inf
        elif now - (since := min(self._behind_since, now)) > _BEHIND_SECONDS:
            self._slow_until = now + _SLOW_SECONDS
        else:
            self._behind_since = since

    def _ask_terminal(self, sent: int) -> None:
        """Ask the terminal to say when it has taken in ``sent`` bytes, and all that was sent before."""
        if self._driver is not None and not self.is_headless and self._pacing.asks:
            question = self._pacing.question(time.monotonic(), sent, *self.size, is_part=self._terminal.is_behind)
            self._driver.write(question)
            self._driver.flush()


def _driver_of(app: PacedApp) -> TerminalDriver | None:
    """Return what writes to the terminal; None where there is none, as in tests."""
    return app._driver if isinstance(app._driver, TerminalDriver) else None
