"""Notices a ``fit`` that has ended without a word: Keras tells nobody of an exception in a callback."""

import sys
import threading
from collections.abc import Callable
from types import FrameType

LOOK_SECONDS = 1.0
"""How often it looks."""
MISSES = 3
"""Looks in a row that must not find it; a program that ends of the exception is through by then, and says more."""


class FitWatchdog:
    """The thread that looks.

    Args:
        frame: Of the ``fit``, which runs in this thread.
        on_gone: Called once, from a thread of its own, when it runs no more.
    """

    def __init__(self, frame: FrameType, on_gone: Callable[[], None]) -> None:
        self._frame: FrameType | None = frame
        self._thread_of_fit = threading.get_ident()
        self._on_gone = on_gone
        self._stop = threading.Event()
        threading.Thread(target=self._run, name="tuimon-lookout", daemon=True).start()

    def close(self) -> None:
        """Stop looking."""
        self._frame = None  # It holds the data of the `fit`.
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
