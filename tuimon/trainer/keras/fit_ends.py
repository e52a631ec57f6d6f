"""Learns of the ends of a ``fit`` that Keras reports to no callback."""

import atexit
import sys
import weakref
from collections.abc import Callable
from types import FrameType

from tuimon.trainer.keras.fit_watchdog import FitWatchdog

UNNOTICED = "an exception outside of a train step ended fit"
"""The reason of a run that ended so that Keras told nobody."""


class FitEnds:
    """Watches for the end of one ``fit``, until it is closed.

    Args:
        frame: The frame of the ``fit``, which runs in the calling thread; None: nothing looks whether it still runs.
        failed: Called with the exception that ended the program.
        gone: Called, from another thread, when the ``fit`` no longer runs.
    """

    def __init__(
        self, frame: FrameType | None, *, failed: Callable[[BaseException], None], gone: Callable[[], None]
    ) -> None:
        self._failed = failed
        self._watchdog = FitWatchdog(frame, gone) if frame is not None else None
        _OPEN.add(self)

    def close(self) -> None:
        """Stop watching: the end is known, or tuimon has given up."""
        _OPEN.discard(self)
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.close()

    def end_at_exit(self) -> None:
        """Report the exception that ends the program."""
        error = getattr(sys, "last_value", None)
        if error is not None:
            self._failed(error)


_OPEN: "weakref.WeakSet[FitEnds]" = weakref.WeakSet()
"""Those of the ``fit``s under way."""


@atexit.register
def _end_at_exit() -> None:
    for ends in list(_OPEN):
        ends.end_at_exit()
