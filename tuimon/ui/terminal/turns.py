"""When the screen is drawn again: what goes on has turns, and what happens does not wait for one."""

LOOK_SECONDS = 0.25
"""How often to look for what happened."""


class Turns:
    """Says whether it is time to draw.

    Args:
        refresh: How often a second what goes on is drawn, at most.

    Example:
        >>> turns = Turns(refresh=2)
        >>> turns.drew(0.0, version=1, happened=1)
        >>> turns.is_due(0.25, version=2, happened=1), turns.is_due(0.5, version=2, happened=1)
        (False, True)
        >>> turns.is_due(0.25, version=2, happened=2)
        True
    """

    def __init__(self, refresh: float) -> None:
        self._seconds = 1 / refresh
        self.look_seconds = min(self._seconds, LOOK_SECONDS)
        """How often to ask."""
        self.drawn_at = 0.0
        """When the screen was drawn last, by `time.monotonic`."""
        self._version: object = None
        self._happened: object = None

    def drew(self, now: float, version: object, happened: object) -> None:
        """Note what is drawn now."""
        self.drawn_at, self._version, self._happened = now, version, happened

    def is_new(self, version: object) -> bool:
        """Return whether something else is drawn than this version."""
        return version != self._version

    def is_due(self, now: float, version: object, happened: object) -> bool:
        """Return whether to draw.

        Args:
            now: The time by `time.monotonic`.
            version: Differs from the one before once anything is new.
            happened: Differs from the one before once more has happened than that something goes on.
        """
        # Half a look early rather than half a look late.
        is_turn = now - self.drawn_at > self._seconds - self.look_seconds / 2
        return self.is_new(version) and (is_turn or happened != self._happened)
