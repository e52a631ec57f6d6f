"""Who is told what becomes of the steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tuimon.trainer.modes import Mode

Kind = Literal["train", "test"]


@dataclass
class Listeners:
    """The Monitor of this ``fit``, another one's in the next: told what becomes of the steps."""

    failure: Callable[[BaseException], None]
    """Called with an exception that ends the training; it is raised again after that."""
    retreat: Callable[[Exception], None]
    """Called when the mode in force could not be traced for a new batch, and ``AUTO`` took its place."""
    validation_retreat: Callable[[Exception], None]
    """The same for the test function."""
    mistake: Callable[[Exception], None]
    """Called with an exception of ours, which ends nothing."""
    left: Callable[[Kind, Exception], None]
    """Called when the very first step of ours could not be traced, and the user's own function took its place."""

    def tell(self, listener: Callable[[Any], None], news: Any) -> None:
        """Call a listener; a mistake of ours in it must not end the user's training."""
        try:
            listener(news)
        except Exception as error:  # noqa: BLE001 - whatever it is, training goes on
            self.mistake(error)


@dataclass(frozen=True)
class Hooks:
    """Called around the traces and switches of one step."""

    traced: Callable[[Any], None] | None = None
    """Told that Keras' own step was traced, with the layers as the user has them; given the trace that it ran with
    where it was traced before; None: nobody is told."""
    before_switch: Callable[[], None] = lambda: None
    """Called before a mode is put in force, or traced."""
    entered: Callable[[Mode], None] = lambda _: None
    """Told which mode is in force now."""
