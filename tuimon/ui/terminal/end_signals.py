"""Signals that end the viewer leave the terminal as it was.

SIGKILL cannot be handled: after that, the command `reset` restores the terminal.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tuimon.ui.terminal.driver import TerminalDriver

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""The signals that end the viewer."""
_PATIENT_SECONDS = 5.0
"""After this long a viewer that was asked to leave is ended, whatever it does."""
_SHELL = 128
"""A shell reports a process that a signal ended by this number and the signal's."""


class EndSignals:
    """What signals do while a screen is open: the first one closes it, a second one ends the program at once.

    Args:
        driver: Returns the driver of the terminal; None while there is none.
        leave: Closes the screen, with an exit code; it is called from a signal handler.
    """

    def __init__(self, driver: Callable[[], TerminalDriver | None], leave: Callable[[int], None]) -> None:
        self._driver = driver
        self._leave = leave
        self._asked = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals meanwhile. Those that are ignored stay so: SIGHUP under nohup."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)
            if (driver := self._driver()) is not None and driver.is_on:
                driver.restore_now()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        driver = self._driver()
        is_on = driver is not None and driver.is_on
        if is_on and not self._asked and driver is not None and not driver.is_in_background:
            self._asked = True
            try:
                self._leave(_SHELL + number)
            except RuntimeError:
                # Its event loop is closed.
                pass
            else:
                # A timer in a thread would need locks, which the interrupted code may hold.
                signal.signal(signal.SIGALRM, lambda *_: self._end(number))
                signal.setitimer(signal.ITIMER_REAL, _PATIENT_SECONDS)
                return
        self._end(number)

    def _end(self, number: int) -> None:
        # Before anything that may take a while.
        signal.signal(number, signal.SIG_DFL)
        driver = self._driver()
        if driver is not None and driver.is_on:
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            driver.silence()
            driver.restore_now()
        os.kill(os.getpid(), number)
