"""Lets the running ``fit`` end after another number of epochs than it was given.

Keras' ``fit`` counts its epochs with ``for epoch in range(initial_epoch, epochs)``. A name of that module comes before
the builtin one, so a ``range`` is put there until that loop begins, and gives this one ``fit`` a count whose end moves.
The numbers are the same plain integers.
"""

import builtins
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from tuimon.trainer.keras.internals import running_fit

_NAME = "range"


class EpochRange:
    """The numbers of the epochs of one ``fit``, from 0. The end may move while they are counted.

    Args:
        end: Behind the last number; None: as ``fit`` was given it.
    """

    def __init__(self, end: int | None = None) -> None:
        self.end = end
        self.has_begun = False
        """True once ``fit`` counts with it."""

    def count(self, first: int, end: int) -> Iterator[int]:
        """Yield the numbers.

        Args:
            first: The first one.
            end: Behind the last one, unless somebody has moved the end.
        """
        self.has_begun = True
        self.end = end if self.end is None else self.end
        number = first
        while number < self.end:
            yield number
            number += 1


class _Replaced:
    """The ``range`` of one module, while fits wait for the loop over their epochs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[FrameType, EpochRange]] = {}

    def put(self, frame: FrameType, epochs: EpochRange) -> None:
        """Let the next ``range`` of a frame be ``epochs``."""
        with self._lock:
            self._waiting[id(frame)] = frame, epochs
            frame.f_globals[_NAME] = self.range

    def take_back(self, epochs: EpochRange) -> None:
        """Leave the module as it was, where ``fit`` has not come to its loop."""
        with self._lock:
            for key, (frame, waiting) in list(self._waiting.items()):
                if waiting is epochs:
                    self._remove(key, frame)

    def _remove(self, key: int, frame: FrameType) -> None:
        del self._waiting[key]
        names = frame.f_globals
        is_last = not any(other.f_globals is names for other, _ in self._waiting.values())
        if is_last and names.get(_NAME) == self.range:
            del names[_NAME]

    def range(self, *arguments: Any) -> Any:
        """Return what ``range`` does, or the count that a caller waits for."""
        caller = sys._getframe(1)
        with self._lock:
            found = self._waiting.get(id(caller))
            if found is not None and found[0] is caller and len(arguments) == 2:
                self._remove(id(caller), caller)
                return found[1].count(*map(int, arguments))
        return builtins.range(*arguments)


_REPLACED = _Replaced()


def put(model: Any) -> EpochRange | None:
    """Count the epochs of the running ``fit`` with a range whose end moves; None where this Keras counts otherwise.

    Called in ``on_train_begin``. Take it back with `take_back`.
    """
    frame = running_fit.frame_of_fit(model)
    if frame is None or _NAME not in frame.f_code.co_names:
        return None
    if frame.f_globals.get(_NAME, _REPLACED.range) != _REPLACED.range:
        return None  # Somebody else has put one there.
    epochs = EpochRange()
    _REPLACED.put(frame, epochs)
    return epochs


def take_back(epochs: EpochRange) -> None:
    """Leave Keras as it was, where ``fit`` ended before it counted its epochs."""
    _REPLACED.take_back(epochs)
