"""Notices a ``fit`` that ended unreported: Keras tells nobody about an exception outside of steps and callbacks.

An exception that is kept, as in a notebook, keeps the frame of ``fit`` alive, so that nothing of it is ever finalized.
But a frame that runs has its variables on the interpreter's stack, and takes them over when it ends: only then it
refers to its code. That can be asked of the frame alone; no other thread's stack is walked.
"""

import gc
import sys
import threading
from collections.abc import Callable
from types import FrameType

LOOK_SECONDS = 1.0
"""Time between two looks."""
PATIENCE_SECONDS = 3.0
"""A program that the exception ends has ended by then, with a better report."""


class FitWatchdog:
    """Looks from a thread whether the ``fit`` still runs.

    Args:
        frame: The frame of the ``fit``, which runs.
        on_gone: Called once, from the watchdog's thread, when the ``fit`` no longer runs.
    """

    def __init__(self, frame: FrameType, on_gone: Callable[[], None]) -> None:
        self._frame: FrameType | None = frame
        self._on_gone = on_gone
        self._stop = threading.Event()
        if can_tell(frame):
            threading.Thread(target=self._run, name="tuimon-lookout", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether the ``fit`` has ended, as of now."""
        frame = self._frame
        if frame is not None and is_over(frame):
            self._frame = None  # It keeps the data of the `fit` alive.
        return self._frame is None

    def close(self) -> None:
        """Stop looking."""
        self._frame = None
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            if self.is_over:
                if not self._stop.wait(PATIENCE_SECONDS):
                    self._stop.set()
                    self._on_gone()
                return


def is_over(frame: FrameType) -> bool:
    """Whether a frame has ended."""
    return any(each is frame.f_code for each in gc.get_referents(frame))


def can_tell(running: FrameType) -> bool:
    """Whether `is_over` holds for this interpreter, which is tried on a frame that runs and on one that has ended."""
    return not is_over(running) and is_over(_ended())


def _ended() -> FrameType:
    return sys._getframe()
