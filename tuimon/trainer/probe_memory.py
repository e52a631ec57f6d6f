"""What the probes of a model leave for its next ``fit``."""

from collections import deque

from msgspec import Struct, field

from tuimon.protocol import events

REMEMBERED = 200
"""Epochs whose validation loss is remembered."""


class ProbeMemory(Struct):
    """What the probes of a model leave for its next ``fit``: many scripts call ``fit(epochs=1)`` in a loop."""

    newest: events.Probe | None = None
    """The newest probe."""
    validation_losses: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """The newest validation losses."""
