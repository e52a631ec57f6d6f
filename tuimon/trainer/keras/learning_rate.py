"""Reads and sets the learning rate of a Keras optimizer, with a schedule or without."""

import contextlib
from typing import Any

from tuimon.trainer.keras.internals import optimizers, running_fit, variables
from tuimon.trainer.modes import Mode

_DRIVERS = ("ReduceLROnPlateau", "LearningRateScheduler")


class KerasLearningRate:
    """The learning rate of one model's optimizer.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._variable: Any = None

    @property
    def variable(self) -> Any:
        """The variable that replaces the schedule in a mode with a learning rate of its own.

        `ModeScope` puts it in the place of the schedule.
        """
        if self._variable is None:
            self._variable = optimizers.learning_rate_variable(self._model.distribute_strategy)
        return self._variable

    @property
    def has_schedule(self) -> bool:
        """True if a schedule sets the rate."""
        return optimizers.schedule_owner(self._model.optimizer) is not None

    def now(self, mode: Mode) -> float | None:
        """Return the rate of the next step under ``mode``; None if it is unknown."""
        if mode.own_learning_rate:
            return self.own()
        # A user's optimizer may have a property there that raises, or anything.
        with contextlib.suppress(Exception):
            rate = getattr(self._model.optimizer, "learning_rate", None)
            return None if rate is None else variables.number(rate)
        return None

    def stored(self, rate: float) -> float:
        """Return ``rate`` as float32, as the optimizer stores it."""
        return variables.as_float32(rate)

    def put(self, rate: float) -> None:
        """Set the rate. Called only if there is no schedule."""
        self._model.optimizer.learning_rate = rate

    def own(self) -> float:
        """Return the rate that replaces the schedule."""
        return variables.number(self.variable)

    def put_own(self, rate: float) -> None:
        """Set the rate that replaces the schedule."""
        self.variable.assign(rate)

    def drivers(self) -> list[str]:
        """Return the names of this fit's callbacks that may set the rate again."""
        kinds = {type(callback).__name__ for callback in running_fit.callbacks_of_fit(self._model)}
        return [name for name in _DRIVERS if name in kinds]
