"""Leaves out of the log what the trainer does for an instant."""

from tuimon.protocol import events

HELD_SECONDS = 0.5
"""A validation that ends sooner does not appear as a state: runs with one step an epoch validate 50 times a second."""


class ShortStates:
    """Knows the state that the log has, and holds a validation until it has lasted."""

    def __init__(self) -> None:
        self._held: events.StateChanged | None = None
        self._held_at = 0.0
        self._written = ""

    def is_news(self, event: events.StateChanged, now: float) -> bool:
        """Return whether a state is to be written at once.

        Args:
            event: The state.
            now: The time, by a clock that goes on.
        """
        if event.state == "validating":
            self._held, self._held_at = event, now
            return False
        self._held = None
        is_news = event.state != self._written or bool(event.detail)
        self._written = event.state
        return is_news

    def lasting(self, now: float) -> events.StateChanged | None:
        """Return the state that was held and has lasted by now; None where there is none."""
        held = self._held
        if held is None or now - self._held_at < HELD_SECONDS:
            return None
        self._held = None
        self._written = held.state
        return held
