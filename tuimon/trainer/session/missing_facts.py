"""Says on standard error what is missing in a log."""

from pathlib import Path

from tuimon.runs import facts_in_words
from tuimon.runs.log.lost_log import TOLD_REMOVED
from tuimon.trainer.standard_error import say


def say_removed(path: Path) -> None:
    """Say that a log was removed while it was written."""
    say(f"{path}: {TOLD_REMOVED}")


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
