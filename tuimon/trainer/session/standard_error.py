"""Says on standard error what the user must know and the log cannot tell."""

import contextlib
import sys

from tuimon.text import plain


def say(words: str) -> None:
    """Print one line that begins with ``tuimon:``; never raise."""
    with contextlib.suppress(Exception):
        # In one piece: other threads print, too.
        sys.stderr.write(f"tuimon: {plain(words, 1000)}\n")
        sys.stderr.flush()
