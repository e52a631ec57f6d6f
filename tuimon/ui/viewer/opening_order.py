"""In which order things were opened: esc closes what was opened last."""

from collections.abc import Mapping


class OpeningOrder:
    """Notes which of several things are open, each time that they may have changed.

    Example:
        >>> order = OpeningOrder()
        >>> order.newest({"zoom": False, "filter": True}), order.newest({"zoom": True, "filter": True})
        ('filter', 'zoom')
        >>> order.newest({"zoom": False, "filter": True}), order.newest({"zoom": False, "filter": False})
        ('filter', None)
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        """What is open, the newest last."""

    def newest(self, is_open: Mapping[str, bool]) -> str | None:
        """Return what was opened last of what is open now; None where nothing is.

        Args:
            is_open: Whether each thing is open, by name; of those opened since the last call, the last is the newest.
        """
        kept = [name for name in self.names if is_open.get(name)]
        self.names = kept + [name for name, opened in is_open.items() if opened and name not in kept]
        return self.names[-1] if self.names else None
