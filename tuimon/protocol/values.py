"""Values that people give: how they write those of requests, and defaults."""

import math

DEFAULT_OVERHEAD = 0.01
"""The share of the training time that monitoring may take, unless somebody says otherwise."""
SCHEDULE = "schedule"
"""Stands for the learning rate that the optimizer's own schedule gives."""
SCHEDULE_SET_ASIDE = "the optimizer's schedule is set aside"
"""The detail of the answer to a learning rate where the optimizer has a schedule: undoing it restores the schedule."""


def learning_rate(text: str) -> float | None:
    """Return the learning rate that ``text`` stands for; None: the schedule's.

    Raises:
        ValueError: it is none.

    Example:
        >>> learning_rate("1e-4"), learning_rate("schedule")
        (0.0001, None)
    """
    if text.strip().lower() == SCHEDULE:
        return None
    value = _number(text)
    if value is None or not 0 < value < math.inf:
        raise ValueError(f"expected a number above 0, or the word {SCHEDULE}; received {text!r}")
    return value


def momentum(text: str) -> float:
    """Return the momentum that ``text`` stands for.

    Raises:
        ValueError: it is none.

    Example:
        >>> momentum("0.9")
        0.9
    """
    value = _number(text)
    if value is None or not 0 <= value <= 1:
        raise ValueError(f"expected a number from 0 to 1; received {text!r}")
    return value


def note(text: str) -> str:
    """Return a note without blanks around it.

    Raises:
        ValueError: it says nothing.
    """
    if not text.strip():
        raise ValueError("expected a text")
    return text.strip()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
