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
from pathlib import Path

import pyte

from helpers import PATIENCE_SECONDS, a_run, command, environment, make_run, statistics
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from ui.watching import LiveRun, text, training, until, watching

ROWS, COLUMNS = 24, 80


class Terminal:
    """``tuimon watch`` in a terminal of `ROWS` and `COLUMNS`, which says where its cursor is when it is asked."""

    def __init__(self, run: RunDirectory, *arguments: str, **variables: str) -> None:
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.settings = termios.tcgetattr(self.theirs)
        self.written = bytearray()
        self.answers: list[bytes] = []
        """Those that are held back."""
        self.answers_at_once = True
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._screen.write_process_input = lambda answer: self.answers.append(answer.encode())
        self._stream = pyte.ByteStream(self._screen)
        self.process = subprocess.Popen(
            command("watch", run.path, *arguments),
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env={**environment(**{"TERM": "xterm-256color", **variables}), "LINES": str(ROWS), "COLUMNS": str(COLUMNS)},
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
def terminal(run: RunDirectory, *arguments: str, **variables: str) -> Iterator[Terminal]:
    opened = Terminal(run, *arguments, **variables)
    try:
        yield opened
    finally:
        opened.process.kill()
        opened.process.wait()
        os.close(opened.ours)
        os.close(opened.theirs)


def test_watch_draws_and_q_leaves_the_terminal_as_it_was(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.read_until(lambda: "✓ finished" in there.shown and "? help  q quit" in there.shown)
        assert b"\x1b[?1049h" in there.written
        there.read_until(lambda: "Finished after" in there.shown and "› bn_1" in there.shown)
        os.write(there.ours, b"q")
        there.read_until(lambda: there.process.poll() is not None and not select.select([there.ours], [], [], 0)[0])
        assert there.process.returncode == 0
        assert there.written.rindex(b"\x1b[?1049l") > there.written.rindex(b"\x1b[?1049h")
        assert there.written.rindex(b"\x1b[?25h") > there.written.rindex(b"\x1b[?25l")
        assert termios.tcgetattr(there.theirs) == there.settings
        assert b"Traceback" not in there.written


async def test_what_is_sent_piece_by_piece_adds_up_to_the_screen(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1", "bn_層")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "● training" in there.shown and "quit" in there.shown)
        for step in range(3, 15):
            value = (-1.0) ** step * step
            run.write(
                events.Batches(first_step=step, metrics={"loss": [value]}, batches=1, step=step + 1, epoch=step),
                events.BatchNorm(layers={"bn_1": statistics(value), "bn_層": statistics(step)}, step=step + 1),
            )
            before = len(there.written)
            there.read_until(lambda before=before: len(there.written) > before)
        run.write(events.RunEnded(status="finished", step=15, epoch=14))
        async with watching(run.directory, (COLUMNS, ROWS)) as (app, pilot):
            await until(pilot, lambda: "✓ finished" in text(app))
            await until(pilot, lambda: "Finished after" in text(app))
            # pyte pads a wide character with an empty cell that it shows as nothing.
            await until(pilot, lambda: there.read(0) or there.shown.split() == text(app).split(), "both are the same")


def test_a_storm_of_sizes_leaves_the_screen_of_the_last_one(runs: Path) -> None:
    with LiveRun(runs, *training("bn_1")) as run, terminal(run.directory) as there:
        there.read_until(lambda: "● training" in there.shown and "quit" in there.shown)
        for columns, rows in [(200, 50), (31, 9), (120, 30), (300, 80), (79, 23), (COLUMNS, ROWS)] * 3:
            there.resize(columns, rows)
        run.write(events.RunEnded(status="finished", step=15, epoch=14))
        there.read_until(lambda: "✓ finished" in there.shown and "Finished after" in there.shown)
        # A terminal loses what it held when it gets smaller, whatever the viewer was sent of it meanwhile.
        there.read_until(lambda: "› bn_1" in there.shown and there.shown.endswith("the run is over"))


def test_after_a_stop_the_screen_is_drawn_anew(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.read_until(lambda: "✓ finished" in there.shown and "quit" in there.shown)
        # As the shell's ctrl+z and fg do; the answer that is on its way then is read by the shell.
        there.answers_at_once = False
        os.write(there.ours, b"?")
        there.read_until(lambda: "esc closes" in there.shown and bool(there.answers))
        there.process.send_signal(signal.SIGTSTP)
        there.read_until(there.is_stopped)
        there.answers.clear()
        there.garble()
        there.answers_at_once = True
        there.process.send_signal(signal.SIGCONT)
        there.read_until(lambda: "esc closes" in there.shown)
        os.write(there.ours, b"\x1b")
        there.read_until(lambda: "✓ finished" in there.shown and "› bn_1" in there.shown and "quit" in there.shown)


def test_a_garbled_screen_is_drawn_anew_by_a_key(runs: Path) -> None:
    with terminal(make_run(runs, a_run())) as there:
        there.read_until(lambda: "✓ finished" in there.shown and "quit" in there.shown)
        there.garble()
        assert "quit" not in there.shown
        os.write(there.ours, b"\x0c")
        there.read_until(lambda: "✓ finished" in there.shown and "› bn_1" in there.shown and "quit" in there.shown)
