"""Garbage collection that waits for the first screen."""

import gc
import threading

_SECONDS = 2.0
"""After this long the first screen is there."""


def collect_later() -> None:
    """Postpone garbage collection until the first screen is there, and exempt all objects made before.

    Modules and styles are made by the ten thousands and none of them is garbage, but they would be looked through
    several times while they are made, and again and again afterwards, each time for as long as a key may take.
    """
    gc.disable()
    later = threading.Timer(_SECONDS, _collect_again)
    later.daemon = True
    later.start()


def _collect_again() -> None:
    gc.freeze()
    gc.enable()
