"""Notices a ``fit`` that ended unreported: Keras tells nobody about an exception in a callback."""

import sys
import threading
from collections.abc import Callable
from types import FrameType

LOOK_SECONDS = 1.0
"""Time between two looks."""
MISSES = 3
"""Looks in a row without the ``fit``. A program that the exception ends has ended by then, with a better report."""


class FitWatchdog:
    """Looks from a thread whether the ``fit`` still runs.

    Args:
        frame: The frame of the ``fit``, which runs in the calling thread.
        on_gone: Called once, from the watchdog's thread, when the ``fit`` no longer runs.
    """

    def __init__(self, frame: FrameType, on_gone: Callable[[], None]) -> None:
        self._frame: FrameType | None = frame
        self._thread_of_fit = threading.get_ident()
        self._on_gone = on_gone
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="tuimon-lookout", daemon=True).start()

    def close(self) -> None:
        """Stop looking."""
        self._frame = None  # The frame keeps the data of the `fit` alive.
        self._stop.set()

    def _run(self) -> None:
        misses = 0
        while misses < MISSES and not self._stop.wait(LOOK_SECONDS):
            misses = 0 if self._runs() else misses + 1
        if not self._stop.is_set():
            self.close()
            self._on_gone()

    def _runs(self) -> bool:
        frame = sys._current_frames().get(self._thread_of_fit)
        while frame is not None and frame is not self._frame:
            frame = frame.f_back
        return frame is not None
