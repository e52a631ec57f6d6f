"""Raises an exception at a chosen call of a chosen function of tuimon, wherever it is and in whichever thread."""

import contextlib
import functools
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import tuimon

_ROOT = str(Path(tuimon.__file__).parent) + "/"
Place = str
"""A function: its file in the package, its qualified name and its first line."""
_PLACES: dict[Any, Place] = {}


def place_of(frame: FrameType) -> Place:
    """Return the place of a frame; empty if it is not tuimon's."""
    code = frame.f_code
    if (place := _PLACES.get(code)) is None:
        name = code.co_filename
        inside = name.startswith(_ROOT)
        place = _PLACES[code] = f"{name[len(_ROOT) :]}:{code.co_qualname}:{code.co_firstlineno}" if inside else ""
    return place


def is_guarded(frame: FrameType) -> bool:
    """Return True if tuimon itself makes the call.

    An exception at the very entry of what Keras, the user or a thread calls is out of reach of every guard.
    """
    caller = frame.f_back
    while caller is not None and caller.f_code.co_filename in (contextlib.__file__, functools.__file__):
        caller = caller.f_back
    return caller is not None and bool(place_of(caller))


class _Traces:
    """Calls `seen` with each frame of tuimon that begins or goes on, in every thread that starts meanwhile."""

    def __enter__(self) -> Self:
        self._before = sys.gettrace(), threading.gettrace()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        sys.settrace(self._before[0])
        threading.settrace(self._before[1])  # type: ignore[arg-type]

    def _trace(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and place_of(frame):
            self.seen(frame)

    def seen(self, frame: FrameType) -> None:
        raise NotImplementedError


class Calls(_Traces):
    """Counts the calls that a guard can reach, by place."""

    def __init__(self) -> None:
        self.counts: Counter[Place] = Counter()
        self.unguarded: Counter[Place] = Counter()

    def seen(self, frame: FrameType) -> None:
        (self.counts if is_guarded(frame) else self.unguarded)[place_of(frame)] += 1


class Fault(_Traces):
    """Raises ``error`` at one call of a place.

    Args:
        place: The function.
        nth: Which call, from 1.
        error: The exception.
    """

    def __init__(self, place: Place, nth: int, error: BaseException) -> None:
        self.place, self.nth, self.error = place, nth, error
        self.calls = 0
        self.raised = False

    def seen(self, frame: FrameType) -> None:
        if _PLACES[frame.f_code] == self.place and not self.raised and is_guarded(frame):
            self.calls += 1
            if self.calls == self.nth:
                self.raised = True
                raise self.error
