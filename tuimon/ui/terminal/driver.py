"""Textual's driver of the terminal, which also leaves the terminal as it was when there is no time for Textual to.

The one module that knows how Textual's driver writes.
"""

import contextlib
import os
import select
import termios
import time
from collections.abc import Callable

from textual.events import Resize
from textual.geometry import Size
from typing_extensions import override

from tuimon.ui.terminal.key_thread import KeyThread

_OFF = "".join(f"\x1b[?{mode}l" for mode in (2026, 2004, 2048, 1000, 1003, 1015, 1016, 1006, 1004))
"""Synchronized output, pastes in brackets, reports of sizes, of the mouse and of the focus."""
_PLAIN = "\x1b[<u\x1b[?7h\x1b[0m"
"""Keys as they were, long lines wrapped, no colours."""
_LEAVE = "\x1b[?1049l\x1b[?25h"
"""The screen and the cursor of before."""
_LOCK_SECONDS = 0.05
_SECONDS = 1.0
"""How long a terminal that takes in nothing is waited for."""


class TerminalDriver(KeyThread):
    """Writes to the terminal, and restores it."""

    is_on = False
    """True from the first sequence that changes the terminal until the last one that restores it."""
    _terminal: int | None = None
    """The terminal, where it is no output of the program any more."""

    @override
    def start_application_mode(self) -> None:
        # A shell's job in the background is stopped here before it writes anything, and starts anew in the foreground.
        self.is_on = not self.is_in_background
        super().start_application_mode()  # type: ignore[no-untyped-call]

    @override
    def stop_application_mode(self) -> None:
        if self._writer_thread is not None:
            # Where there is no other screen to go back to, the shell goes on below this one.
            self.write(f"\x1b[0m{self._below()}")
        super().stop_application_mode()
        if self._mouse_pixels:
            # Textual leaves this on.
            self.write("\x1b[?1016l")

    @override
    def close(self) -> None:
        super().close()
        # All is written by now.
        self.is_on = False

    @override
    def _sigtstp_application(self, *_: object) -> None:
        # A signal may come while this thread writes, and holds the lock that a handler that writes would wait for.
        if self._may_write():
            super()._sigtstp_application()
        else:
            self._soon(super()._sigtstp_application)

    @override
    def _sigcont_application(self, *_: object) -> None:
        if self.is_on:
            # SIGSTOP left it as it was, though another program may have drawn over it.
            self._soon(self._draw_anew)
        else:
            super()._sigcont_application()

    def _may_write(self) -> bool:
        if self._writer_thread is None:
            return True
        lock = self._writer_thread._queue.mutex
        # The writing thread lets go of it at once, the interrupted code never.
        is_free = lock.acquire(timeout=_LOCK_SECONDS)
        if is_free:
            lock.release()
        return is_free

    def _soon(self, call: Callable[[], object]) -> None:
        if self._app._loop is not None:
            self._app._loop.call_soon_threadsafe(call)

    def _draw_anew(self) -> None:
        size = Size(*self._get_terminal_size())
        self._app.post_message(Resize(size, size))

    @property
    def is_in_background(self) -> bool:
        """True where the terminal belongs to another job of the shell."""
        try:
            return os.tcgetpgrp(self.fileno) != os.getpgrp()
        except OSError:
            # It is not the controlling terminal: nobody else has it.
            return False

    def silence(self) -> None:
        """Lose all that is still written, by whichever thread: the program ends now."""
        assert self._file is not None
        self._terminal = os.dup(self._file.fileno())
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._file.fileno())

    def restore_now(self) -> None:
        """Restore the terminal at once, from any thread, though Textual's own threads hang.

        A terminal that takes in nothing is waited for no longer than a second.
        """
        assert self._file is not None
        output = self._file.fileno() if self._terminal is None else self._terminal
        try:
            # Opened anew: what is set for this end of the terminal would hold for the shell as well.
            terminal = os.open(os.ttyname(output), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            terminal = os.dup(output)
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(self.fileno, termios.TCIOFLUSH)
        _write(terminal, f"{_OFF}{_PLAIN}{self._below()}{_LEAVE}".encode())
        # A shell whose job this was in the background has settings of its own by now.
        if self.attrs_before is not None and not self.is_in_background:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
        self.is_on = False

    def _below(self) -> str:
        """Return what moves the cursor below the screen."""
        return f"\x1b[{self._get_terminal_size()[1]};1H\r\n"


def _write(terminal: int, data: bytes) -> None:
    deadline = time.monotonic() + _SECONDS
    while data and (left := deadline - time.monotonic()) > 0:
        if select.select([], [terminal], [], left)[1]:
            try:
                data = data[os.write(terminal, data) :]
            except BlockingIOError:
                continue
            except OSError:
                return
