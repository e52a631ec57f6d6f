"""Callbacks about the results of steps, traces and changes of mode."""

import contextlib
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from tuimon.trainer.modes import Mode

Kind = Literal["train", "test"]


class Listeners(Struct):
    """Callbacks of the Monitor of this ``fit``. The next ``fit`` may replace them by another Monitor's."""

    failure: Callable[[BaseException], None]
    """Called with an exception that ends the training; it is raised again afterwards."""
    retreat: Callable[[Exception], None]
    """Called after a batch of a new shape could not be traced in the mode in force, and ``AUTO`` replaced it."""
    validation_retreat: Callable[[Exception], None]
    """Called after this happened to the test function."""
    mistake: Callable[[Exception], None]
    """Called with an exception of tuimon, which must not end training."""
    left: Callable[[Kind, Exception], None]
    """Called after tuimon's first step could not be traced, and the user's own function replaced it."""

    def become(self, others: "Listeners") -> None:
        """Call from now on what others would call."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(others, name))

    def tell(self, listener: Callable[[Any], None], news: Any) -> None:
        """Call a listener, and report its exception as a mistake of tuimon."""
        try:
            listener(news)
        except Exception as error:  # noqa: BLE001 - whatever it is, training goes on
            self.report(error)

    def report(self, error: Exception) -> None:
        """Call ``mistake``; raise nothing, whatever that does."""
        with contextlib.suppress(Exception):
            self.mistake(error)


class Hooks(Struct, frozen=True):
    """Called around the traces and switches of one step."""

    traced: Callable[[Any], None] | None = None
    """Called after Keras' own step was traced, with the flags that the user set. Takes None after a new trace, else the
    former trace that ran. None: no callback."""
    before_switch: Callable[[], None] = lambda: None
    """Called before a mode is traced or put in force."""
    entered: Callable[[Mode], None] = lambda _: None
    """Called with the mode that is in force from now on."""
