"""Tells a training that the program itself has stopped, as for a signal, from one that a callback has ended."""

from collections.abc import Callable

from tuimon.trainer.engine import Engine
from tuimon.trainer.sampling import Sampling


class ProgramStop:
    """Knows whether the program itself has stopped one ``fit`` before all of it was done.

    Args:
        engine: The model.
        sampling: Knows how much of the ``fit`` is done.
    """

    def __init__(self, engine: Engine, sampling: Sampling) -> None:
        self.why: Callable[[], str] = str
        """Returns why the program may have stopped it; empty: a callback has, or nobody, as far as is known."""
        self.reason = ""
        """Why it has; empty: it has not."""
        self._engine, self._sampling = engine, sampling

    def look(self) -> bool:
        """Return whether the program has stopped the training."""
        if not self.reason and self._engine.is_stopping and not self._sampling.is_complete:
            self.reason = self.why()
        return bool(self.reason)
