"""Values of runs in words: parameters, and how much better one run is than another."""

from tuimon.numbers import count, learning_rate, number, setting
from tuimon.runs.best import is_lower_better
from tuimon.runs.listing.parameters import Value
from tuimon.text import plain

_LONGEST = 60


def parameter(key: str, value: Value) -> str:
    """Return a parameter's value as it is shown.

    Example:
        >>> parameter("learning rate", 0.0010000000474974513), parameter("batch size", 4096), parameter("XLA", True)
        ('0.001', '4,096', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if "learning rate" in key.replace("_", " ") and isinstance(value, float):
        return learning_rate(value)
    if isinstance(value, float):
        return setting(value)
    if isinstance(value, int) and "." not in key:
        return count(value)
    return plain(str(value), _LONGEST)


def is_better(metric: str, difference: float) -> bool | None:
    """Return whether a best value is better than that of the baseline; None where both are the same, or nobody knows.

    Args:
        metric: Its name.
        difference: The value less that of the baseline.
    """
    is_lower = is_lower_better(metric)
    return None if is_lower is None or not difference else (difference < 0) is is_lower


def difference(metric: str, value: float) -> str:
    """Return how much better or worse a best value is than that of the baseline.

    Example:
        >>> difference("val_loss", -0.012), difference("val_accuracy", -0.25), difference("loss", 0.0)
        ('0.0120 better', '0.2500 worse', 'same')
    """
    better = is_better(metric, value)
    return "same" if better is None else f"{number(abs(value))} {'better' if better else 'worse'}"
