"""The real command in a real terminal, read back as a terminal shows it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyte

from helpers import PATIENCE_SECONDS, command, environment
from tuimon.runs.run_directory import RunDirectory

ROWS, COLUMNS = 24, 80


class Terminal:
    """``tuimon watch`` in a terminal, which says where its cursor is when it is asked."""

    def __init__(
        self, run: RunDirectory | None, *arguments: str, size: tuple[int, int] = (COLUMNS, ROWS), **variables: str
    ) -> None:
        columns, rows = size
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.settings = termios.tcgetattr(self.theirs)
        self.written = bytearray()
        self.answers: list[bytes] = []
        """Those that are held back."""
        self.answers_at_once = True
        self._screen = pyte.Screen(columns, rows)
        self._screen.write_process_input = lambda answer: self.answers.append(answer.encode())
        self._stream = pyte.ByteStream(self._screen)
        set_variables = environment(**{"TERM": "xterm-256color", **variables})
        # They would hold whatever size the terminal gets.
        for name in ("LINES", "COLUMNS"):
            set_variables.pop(name, None)
        self.process = subprocess.Popen(
            command("watch", *([] if run is None else [run.path]), *arguments),
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env=set_variables,
            start_new_session=True,
        )

    @property
    def shown(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen.resize(rows, columns)
        # Not its controlling terminal, so the kernel tells it nothing.
        self.process.send_signal(signal.SIGWINCH)

    def is_stopped(self) -> bool:
        return os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOHANG) is not None

    def garble(self) -> None:
        """Have something else write all over the screen."""
        self._stream.feed(b"\x1b[2J")

    def read_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"the terminal shows:\n{self.shown}\n{bytes(self.written[-500:])!r}"
            self.read(0.05)

    def read(self, seconds: float) -> None:
        if select.select([self.ours], [], [], seconds)[0]:
            data = os.read(self.ours, 65536)
            self.written += data
            self._stream.feed(data)
        if self.answers_at_once:
            self.answer()

    def answer(self, count: int | None = None) -> None:
        """Send the answers that were held back, or the first ones of them."""
        now, self.answers = self.answers[:count], self.answers[len(self.answers[:count]) :]
        if now:
            os.write(self.ours, b"".join(now))


@contextmanager
def terminal(
    run: RunDirectory | None, *arguments: str, size: tuple[int, int] = (COLUMNS, ROWS), **variables: str
) -> Iterator[Terminal]:
    opened = Terminal(run, *arguments, size=size, **variables)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        os.close(opened.ours)
        os.close(opened.theirs)
