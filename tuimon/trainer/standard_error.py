"""Says on standard error what the user must know. Nothing here raises, and a closed or full stderr is no error."""

import contextlib
import sys
import traceback

from tuimon.text import plain


def say(words: str) -> None:
    """Print one line that begins with ``tuimon:``."""
    with contextlib.suppress(Exception):
        # In one piece: other threads print, too.
        sys.stderr.write(f"tuimon: {plain(words, 1000)}\n")
        sys.stderr.flush()


def say_error(error: Exception) -> None:
    """Print an error of tuimon, which does not end the training, with its traceback."""
    say(f"{error} (training goes on)")
    if getattr(sys, "stderr", None) is not None:  # Without one, the traceback would go to stdout.
        with contextlib.suppress(Exception):
            traceback.print_exception(error)
