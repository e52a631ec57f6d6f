"""Reads the log of a run for an export, and says how far it is where that takes long."""

import sys
import time
from collections.abc import Iterator

from tuimon.protocol.events import AnyEvent
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory

QUIET_SECONDS = 2.0
"""Nothing is said of an export that takes no longer."""
SECONDS = 5.0
"""Between two lines."""


def facts(
    run: RunDirectory, *, quiet_seconds: float = QUIET_SECONDS, seconds: float = SECONDS, tail: Tail | None = None
) -> Iterator[AnyEvent]:
    """Yield the facts of a run, and print on stderr how far that is and which lines could not be read.

    The log is read in pieces of 4 MB: memory does not grow with it. A log that grows is read up to where it ends then.

    Args:
        run: The run.
        quiet_seconds: Nothing is said of what takes no longer.
        seconds: At least that much time is between two lines.
        tail: Reads the log; by default a new one. Who gives one can ask it what could not be read.

    Raises:
        OSError: The log cannot be read.
    """
    tail, next_line = tail or Tail(run.session_log), time.monotonic() + quiet_seconds
    while True:
        before = tail.offset
        yield from tail.read()
        if tail.offset == before:
            break
        if time.monotonic() >= next_line:
            next_line = time.monotonic() + seconds
            _say(f"{tail.offset / 1e6:,.1f} of {_size(run, tail.offset) / 1e6:,.1f} MB of the log exported")
    if words := tail.bad_lines.words:
        _say(f"{words}; all others are exported")


def _size(run: RunDirectory, least: int) -> int:
    try:
        return max(least, run.session_log.stat().st_size)
    except OSError:  # The next read says what is wrong with it.
        return least


def _say(words: str) -> None:
    print(f"tuimon: {words}", file=sys.stderr, flush=True)
