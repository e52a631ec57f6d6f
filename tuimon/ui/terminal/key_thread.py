"""Waits for keys without a look in between: Textual's driver wakes up ten times a second, for as long as it runs."""

import contextlib
import os
import select
from codecs import getincrementaldecoder
from threading import Event
from typing import Any

from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from typing_extensions import override

_READ_BYTES = 4096
_UNDECIDED_SECONDS = 0.02
"""Time between two looks whether an escape was a key, or whether more of a sequence comes."""
_LATE_SECONDS = 0.1
"""So long after the last key, what the terminal still says is waited for."""


class _WakingEvent(Event):
    """An event that also ends a `select`. Its pipe is open as long as the program runs."""

    def __init__(self) -> None:
        super().__init__()
        self.reader, self._writer = os.pipe()
        """Can be read from while the event is set."""

    def set(self) -> None:
        if not self.is_set():
            super().set()
            os.write(self._writer, b"!")

    def clear(self) -> None:
        if self.is_set():
            super().clear()
            os.read(self.reader, 1)


class KeyThread(LinuxDriver):
    """Reads what the terminal says as Textual's driver does, in its thread, and sleeps until there is something."""

    exit_event: _WakingEvent

    @override
    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        self.exit_event = _WakingEvent()

    @override
    def run_input_thread(self) -> None:
        parser = XTermParser(self._debug)
        # A terminal of another encoding, or an old mouse, sends bytes that are no UTF-8.
        decode = getincrementaldecoder("utf-8")(errors="replace").decode
        try:
            while not self.exit_event.is_set():
                wait = None if parser._timeout_time is None else _UNDECIDED_SECONDS
                if self.fileno in select.select([self.fileno, self.exit_event.reader], [], [], wait)[0]:
                    data = os.read(self.fileno, _READ_BYTES)
                    if not data:
                        # It has ended.
                        self.exit_event.wait()
                        break
                    # Of a character of several bytes, some may be missing yet.
                    if text := decode(data):
                        for event in parser.feed(text):
                            self.process_message(event)
                for event in parser.tick():
                    self.process_message(event)
            # Textual throws away what came meanwhile: the mouse may have said something that is still on its way.
            select.select([], [], [], _LATE_SECONDS)
        finally:
            with contextlib.suppress(EOFError, ParseError):
                for _ in parser.feed(""):
                    pass
