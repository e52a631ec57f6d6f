"""Keeps an error of tuimon from ending the user's training."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

Hook = TypeVar("Hook", bound=Callable[..., None])


class GivesUp(Protocol):
    """A callback that leaves training alone after an error of its own."""

    _given_up: bool

    def _give_up(self, error: Exception) -> None: ...

    def _go_on_alone(self) -> None: ...


def guarded(hook: Hook) -> Hook:
    """Return a callback's hook that gives up after an exception, so that Keras goes on."""

    @functools.wraps(hook)
    def call(self: GivesUp, *args: Any, **kwargs: Any) -> None:
        if self._given_up:
            return
        try:
            hook(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, training goes on
            with contextlib.suppress(Exception):
                self._give_up(error)

    return call  # type: ignore[return-value]


def guarded_before_step(hook: Hook) -> Hook:
    """Return a guarded hook that, after the callback has given up, does what the coming step still needs."""
    guarded_hook = guarded(hook)

    @functools.wraps(hook)
    def call(self: GivesUp, *args: Any, **kwargs: Any) -> None:
        guarded_hook(self, *args, **kwargs)
        if self._given_up:
            with contextlib.suppress(Exception):
                self._go_on_alone()

    return call  # type: ignore[return-value]


def each(on_trouble: Callable[[Exception], None], *parts: Callable[[], object]) -> None:
    """Call every part, also after an exception of an earlier one; ``on_trouble`` gets each exception."""
    for part in parts:
        try:
            part()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other parts have their turn
            with contextlib.suppress(Exception):
                on_trouble(error)
