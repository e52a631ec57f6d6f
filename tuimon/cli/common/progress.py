"""How much of long work is done: one line on stderr."""

import sys
import time

from tuimon.cli.common.safe_stream import raw

PATIENCE_SECONDS = 0.5
"""Work that takes longer shows its progress."""


class Progress:
    """One line on stderr that says how much is done; only on a terminal, and only after a while.

    Args:
        what: What is done, as it can be shown on a terminal.
    """

    def __init__(self, what: str = "reading the log") -> None:
        self._what = what
        self._began = time.monotonic()
        self._shown = False

    def show(self, done: int, total: int) -> None:
        """Show how much is done, of how much."""
        if sys.stderr.isatty() and time.monotonic() - self._began > PATIENCE_SECONDS:
            self._shown = True
            print(f"\r{self._what}: {100 * done // max(total, 1):3d} %", end="", file=raw(sys.stderr), flush=True)

    def close(self) -> None:
        """Clear the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=raw(sys.stderr), flush=True)
