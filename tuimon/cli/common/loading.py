"""Loads the program quickly: nothing is looked for among what was just made."""

import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_THREADS = "OPENBLAS_NUM_THREADS"
_SECONDS = 2.0
"""After this long the first screen is there."""
_THRESHOLDS = 10_000, 20, 50
"""By themselves, all objects are looked through only after ten million new ones: `ui.terminal` does it sooner."""


@contextmanager
def quick_loading() -> Iterator[None]:
    """Load modules without looking for garbage among them, and exempt them from then on.

    NumPy's library for linear algebra, which is not used here, starts a thread for each core unless it is told not to:
    that takes as long as the rest of NumPy. Processes that this one starts are not told so.
    """
    gc.disable()
    is_ours = _THREADS not in os.environ
    if is_ours:
        os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if is_ours:
            del os.environ[_THREADS]
        gc.freeze()
        gc.enable()


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
    gc.set_threshold(*_THRESHOLDS)
    gc.enable()
