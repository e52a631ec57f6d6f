"""Keeps an error of tuimon from ending the user's training."""

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

Hook = TypeVar("Hook", bound=Callable[..., None])


class GivesUp(Protocol):
    """A callback that leaves training alone after an error of its own."""

    _given_up: bool

    def _give_up(self, error: Exception) -> None: ...


def guarded(hook: Hook) -> Hook:
    """Return a callback's hook that gives up after an exception, so that Keras goes on."""

    @functools.wraps(hook)
    def call(self: GivesUp, *args: Any, **kwargs: Any) -> None:
        if self._given_up:
            return
        try:
            hook(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is, training goes on
            self._give_up(error)

    return call  # type: ignore[return-value]
