"""What metrics are called: others say "Loss/train" or "val_loss_epoch" where Keras says "loss" and "val_loss"."""

import re
from collections.abc import Collection

from tuimon.runs.best import is_lower_better

_TRAINING = frozenset(("train", "training"))
_VALIDATION = frozenset(("val", "valid", "validation", "eval"))
_BETWEEN = re.compile(r"[/_.\- ]+")
_HOW_OFTEN = ("step", "epoch")
"""What Lightning puts behind names."""


def of_keras(name: str) -> str | None:
    """Return what Keras would call a metric; None where the name does not say whose it is, or it is no known metric.

    Example:
        >>> of_keras("Loss/train"), of_keras("eval/accuracy"), of_keras("val_loss_epoch"), of_keras("train/grad_norm")
        ('loss', 'val_accuracy', 'val_loss', None)
    """
    words = [word for word in _BETWEEN.split(name.lower()) if word]
    if len(words) > 2 and words[-1] in _HOW_OFTEN:
        words.pop()
    for place in (0, -1):
        if len(words) < 2 or words[place] not in _TRAINING | _VALIDATION:
            continue
        role = words.pop(place)
        metric = "_".join(words)
        if is_lower_better(metric) is not None and not _VALIDATION.intersection(words):
            return metric if role in _TRAINING else f"val_{metric}"
    return None


def as_in_keras(names: Collection[str]) -> dict[str, str]:
    """Return new names by old ones, for those that Keras would call otherwise; none that takes the name of another.

    Example:
        >>> as_in_keras(["train/loss", "loss", "Loss/val"])
        {'Loss/val': 'val_loss'}
    """
    taken = set(names)
    renamed: dict[str, str] = {}
    for name in names:
        new = of_keras(name)
        if new is not None and new not in taken:
            taken.add(new)
            renamed[name] = new
    return renamed
