"""Lets a command that is told to end clean up first, as after Ctrl-C."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def cleaned_up() -> Iterator[None]:
    """Take SIGTERM and SIGHUP for an exit, which removes what is half done; one that is ignored stays so."""
    taken = [number for number in _SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _exit(number: int, _frame: FrameType | None) -> None:
    # A second one must not hinder the first.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    # What a shell reports of a program that this signal ended.
    raise SystemExit(128 + number)
