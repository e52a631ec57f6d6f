"""Runs the command of the user once: with a time limit, without a shell, its output kept out of every screen."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from tuimon.text import plain, printed_lines

KEPT_BYTES = 16 * 1024
"""Of what the command prints, its newest part of this size is kept."""
_GRACE_SECONDS = 2.0
"""How long the command has after SIGTERM before it is killed."""
_LOOK_SECONDS = 0.05
_CHUNK = 64 * 1024


class Outcome(Struct, frozen=True):
    """How a command ended."""

    code: int | None
    """Its exit status; below 0: minus the signal that ended it; None: it was not started, or ran out of time."""
    seconds: float
    """How long it took."""
    output: tuple[str, ...]
    """The last lines that it printed, as they can be shown."""
    trouble: str
    """What went wrong, in one line; empty where nothing did."""
    is_late: bool = False
    """Whether it was ended because its time was over."""


def run(arguments: Sequence[str], *, data: bytes, variables: Mapping[str, str], timeout_seconds: float) -> Outcome:
    """Run a command, and wait for it.

    Args:
        arguments: The program and its arguments. Nothing of a run is ever among them.
        data: What it gets on standard input; it need not read it.
        variables: Environment variables in addition to those of this process.
        timeout_seconds: Its process group is ended after so many seconds.
    """
    began = time.monotonic()
    program = plain(arguments[0], 100)
    try:
        process = subprocess.Popen(
            list(arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Its children are ended with it, and no terminal's signals reach them.
            start_new_session=True,
            env={**os.environ, **variables},
        )
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Outcome(None, 0.0, (), f"{program} cannot be started: {plain(words, 200)}")
    with process:
        output, is_late = _exchange(process, data, began + timeout_seconds)
    seconds = time.monotonic() - began
    lines = tuple(printed_lines(output))
    code = process.returncode
    if is_late:
        return Outcome(None, seconds, lines, f"{program} took more than {timeout_seconds:g} s and was ended", True)
    last = f": {plain(lines[-1], 200)}" if lines else ""
    if code < 0:
        return Outcome(code, seconds, lines, f"{program} was ended by signal {-code}{last}")
    return Outcome(code, seconds, lines, f"{program} ended with exit code {code}{last}" if code else "")


def _exchange(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> tuple[bytes, bool]:
    """Feed the command and take its output until it ends; return the output's end, and whether it was late."""
    assert process.stdin is not None
    assert process.stdout is not None
    kept = b""
    with selectors.DefaultSelector() as selector:
        for stream, kind in ((process.stdin, selectors.EVENT_WRITE), (process.stdout, selectors.EVENT_READ)):
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, kind)
        is_late, kill_at = False, deadline
        while process.poll() is None:
            if time.monotonic() >= kill_at:
                # First politely.
                _signal_all(process, signal.SIGKILL if is_late else signal.SIGTERM)
                is_late, kill_at = True, kill_at + _GRACE_SECONDS
            if not selector.get_map():
                time.sleep(_LOOK_SECONDS)
            for key, _ in selector.select(_LOOK_SECONDS):
                if key.fileobj is process.stdin:
                    data = _feed(process, data)
                    if not data:
                        selector.unregister(process.stdin)
                        _close_input(process)
                elif part := os.read(process.stdout.fileno(), _CHUNK):
                    kept = (kept + part)[-KEPT_BYTES:]
                else:
                    selector.unregister(process.stdout)
        # What it has left in the pipe; a child of it may hold the other end open for long.
        with contextlib.suppress(BlockingIOError):
            while part := os.read(process.stdout.fileno(), _CHUNK):
                kept = (kept + part)[-KEPT_BYTES:]
                if time.monotonic() >= deadline:
                    break
        if is_late:
            _signal_all(process, signal.SIGKILL)
        _close_input(process)
    return kept, is_late


def _feed(process: subprocess.Popen[bytes], data: bytes) -> bytes:
    """Write a part of the input; return the rest."""
    assert process.stdin is not None
    try:
        return data[os.write(process.stdin.fileno(), data) :]
    except BlockingIOError:
        return data
    except OSError:
        # It has ended, or does not want any.
        return b""


def _close_input(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()


def _signal_all(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
