"""Which names somebody may have meant."""

import difflib
from collections.abc import Collection

from tuimon.text import plain

NAMED = 5
"""So many names a sentence has at most."""


class UnknownNameError(KeyError):
    """Somebody asked for a metric or a layer that a run does not have."""

    def __str__(self) -> str:
        """Return the sentence as it is: a `KeyError` shows it in quotes."""
        return str(self.args[0]) if self.args else ""


def nearest(name: str, known: Collection[str]) -> list[str]:
    """Return the names that are most like one, the most alike first.

    Example:
        >>> nearest("valloss", ["loss", "val_loss", "learning_rate"])
        ['val_loss', 'loss']
        >>> nearest("lr", ["loss", "learning_rate"])
        ['learning_rate']
    """
    initials = [other for other in known if name.lower() == "".join(part[:1] for part in other.lower().split("_"))]
    lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), list(lower), n=NAMED, cutoff=0.5)
    within = [other for other in lower if name.lower() in other and other not in close]
    return list(dict.fromkeys([*initials, *(lower[other] for other in [*close, *sorted(within, key=len)])]))[:NAMED]


def unknown(who: str, what: str, name: str, known: Collection[str]) -> str:
    """Return the sentence for a name that a run does not have.

    Args:
        who: Who does not have it, and "has" or "have".
        what: What it would be: "metric", "layer".
        name: As it was asked for.
        known: The names that are there.

    Example:
        >>> unknown("digits has", "metric", "vall_loss", ["loss", "val_loss"])
        'digits has no metric "vall_loss"; the nearest: val_loss, loss'
    """
    said = f'{plain(who, 100)} no {what} "{plain(name, 100)}"'
    if not known:
        return f"{said}: there is none yet"
    if found := nearest(name, known):
        return f"{said}; the nearest: {', '.join(plain(other, 100) for other in found)}"
    first = ", ".join(plain(other, 100) for other in list(known)[:NAMED])
    return f"{said}; there is {first}{f' and {len(known) - NAMED:,} more' if len(known) > NAMED else ''}"
