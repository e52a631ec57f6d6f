"""Tells keys that somebody presses from those of a paste, by the time between them."""

from collections.abc import Sequence

GAP_SECONDS = 0.015
"""Two keys nearer in time than this come from no hand: fingers that roll over two keys take 20 ms and more."""
WAIT_SECONDS = 0.025
"""How long a key that could change the run waits for the next one of a paste."""


def burst_length(times: Sequence[float]) -> int:
    """Return how many of the first keys came at once; 1 for a key that came alone.

    Args:
        times: When keys came, in seconds, never descending; not empty.

    Example:
        >>> burst_length([5.0, 5.001, 5.002, 6.0]), burst_length([5.0, 6.0])
        (3, 1)
    """
    length = 1
    while length < len(times) and times[length] - times[length - 1] < GAP_SECONDS:
        length += 1
    return length


def is_pasted(times: Sequence[float], before: float) -> bool:
    """Return whether the first key came at once with the key before it or after it.

    Args:
        times: When keys came, in seconds, never descending; not empty.
        before: When the key before the first one came.

    Example:
        >>> is_pasted([5.0, 6.0], before=1.0), is_pasted([5.0], before=4.999), is_pasted([5.0, 5.001], before=1.0)
        (False, True, True)
    """
    return times[0] - before < GAP_SECONDS or burst_length(times) > 1
