"""Directories for a while."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def temporary_directory() -> "TemporaryDirectory[str]":
    """Return a new directory that is removed with the object, even where a signal ends the command while it is made.

    Between the directory and the object that removes it, an exception would leave it behind.

    Raises:
        OSError: it cannot be made.
    """
    with _held() as came:
        made = TemporaryDirectory(prefix="tuimon-", ignore_cleanup_errors=True)
    try:
        for number in came:
            signal.raise_signal(number)
    except BaseException:
        made.cleanup()
        raise
    return made


@contextmanager
def _held() -> Iterator[list[int]]:
    """Only note the signals that come; Python handles them in the main thread alone."""
    came: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    handled = [number for number in _ENDS if is_main and signal.getsignal(number) not in (signal.SIG_IGN, None)]
    former = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in handled}
    try:
        yield came
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
