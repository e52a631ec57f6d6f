"""Says on standard error what the user must know and the log cannot tell."""

import contextlib
import sys
from pathlib import Path

from tuimon.runs import facts_in_words
from tuimon.text import plain


def say(words: str) -> None:
    """Print one line that begins with ``tuimon:``; never raise."""
    with contextlib.suppress(Exception):
        # In one piece: other threads print, too.
        sys.stderr.write(f"tuimon: {plain(words, 1000)}\n")
        sys.stderr.flush()


def say_what_is_missing(path: Path, missing: int, reason: str, *, is_hung: bool, had_trouble: bool) -> None:
    """Say as a log is closed what it lacks; nothing if all went well.

    Args:
        path: The log.
        missing: How many facts were dropped and are not told of yet.
        reason: Why.
        is_hung: Whether the disk does not answer.
        had_trouble: Whether some facts had to wait for the disk.
    """
    lost = facts_in_words.not_recorded(missing)
    if is_hung:
        words = "the disk does not answer, so that the last facts may be missing"
        say(f"{path}: {words}{f'; before them, {lost}' if missing else ''}")
    elif missing:
        say(f"{path}: {lost}: {reason}")
    elif had_trouble:
        say(f"{path}: all facts are recorded by now")
