"""Garbage collection while nobody waits: to look through all objects takes longer than a key may take."""

import gc

_QUIET_SECONDS = 1.5
"""So long after the last key, none is likely to come within the next 30 ms."""
_YOUNG_COLLECTIONS = 3
"""After so many collections of the second generation, and no sooner, all objects are worth a look."""


def is_due(now: float, touched_at: float) -> bool:
    """Return whether nobody has pressed a key for a moment and there may be old garbage.

    Args:
        now: The time by `time.monotonic`.
        touched_at: When a key was pressed last.

    Example:
        >>> is_due(now=10.0, touched_at=9.0)
        False
    """
    return now - touched_at > _QUIET_SECONDS and gc.isenabled() and gc.get_count()[2] >= _YOUNG_COLLECTIONS


def collect_if_due(now: float, touched_at: float) -> None:
    """Collect, or leave it for later."""
    if is_due(now, touched_at):
        gc.collect()
