"""Runs the validations of a ``fit``: its own, requested ones, and repeated ones that look for a cause."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tuimon.protocol.wire import FloatArray
from tuimon.trainer.engine import Batch, Task
from tuimon.trainer.keras.internals import patches, running_fit
from tuimon.trainer.keras.internals.layers import has_own_test_step
from tuimon.trainer.keras.measuring import evaluation
from tuimon.trainer.keras.scopes import Scopes
from tuimon.trainer.keras.steps.batch_values import BatchValues
from tuimon.trainer.keras.steps.step_functions import StepFunctions
from tuimon.trainer.keras.steps.users_step import ReplacedError
from tuimon.trainer.modes import Mode


class KerasValidation:
    """Runs the validations of one model.

    Args:
        model: The model.
        functions: Its test function, by mode.
        values: Reads each test step's own values; None: they are not read.
        scopes: Chooses the mode of a validation.
        is_steerable: Whether tuimon may replace the test function.
        on_replaced: Called when the user set a test function of their own.
    """

    def __init__(
        self,
        model: Any,
        functions: StepFunctions,
        values: BatchValues | None,
        scopes: Scopes,
        *,
        is_steerable: bool,
        on_replaced: Callable[[ReplacedError], None],
    ) -> None:
        self.functions = functions
        """The test function, by mode."""
        self._model = model
        self.values = values
        """Reads each test step's own values; None: they are not read."""
        self._scopes = scopes
        self._on_replaced = on_replaced
        self.is_steerable = is_steerable
        """Whether tuimon may replace the test function."""

    def before_step(self, mode: Mode) -> None:
        """Replace the user's test function for one call."""
        if self.values is not None and self.functions.is_replaced():
            self._on_replaced(ReplacedError("test"))
        if self.is_steerable:
            self.functions.install(self._scopes.validation_mode(mode))

    def before_next(self, task: Task) -> None:
        """Run ``task`` right before the next test step."""
        self.functions.before_next(task)

    def read_values(self) -> dict[str, FloatArray]:
        """Return each step's own values since the last call."""
        return self.values.read() if self.values else {}

    def end(self) -> None:
        """Give the user's test function back."""
        self.functions.restore()

    def run(self, mode: Mode) -> dict[str, float] | None:
        """Validate on the data of the running ``fit``; return Keras' logs, None if it has no such data."""
        self.functions.tells_failures = False  # An exception here rejects the request and does not end training.
        try:
            return evaluation.evaluate(self._model, lambda: self.before_step(mode))
        finally:
            self.functions.tells_failures = True
            self.functions.restore()
            self.read_values()

    def why_not_repeated(self) -> str:
        """Return why a validation cannot be read again without an effect on the data of later ones; empty if it can.

        It can if the data are the same at each reading, and a further reading does not change the next one.
        """
        if not running_fit.validation_comes_again(self._model):
            return "its data may come in another order, or as others, when they are read again"
        if has_own_test_step(self._model):
            return "the model's test_step is its own: which loss it has is not known"
        return ""

    def each_batch(self, look: Callable[[Batch], None]) -> bool:
        """Call ``look`` with each batch of this fit's validation, in order; return False if it has no validation."""
        steps = int(self._model.steps_per_execution or 1)
        undo: list[Callable[[], None]] = []

        def look_at_batches(iterator: Any) -> dict[str, Any]:
            for number in range(steps):
                try:
                    batch = next(iterator)
                except (StopIteration, tf.errors.OutOfRangeError):
                    if not number:
                        raise  # Keras learns the length of the data from this exception.
                    break
                look(batch)
            return {}

        def before_step() -> None:
            if not undo:
                undo.append(patches.set_untracked(self._model, "test_function", look_at_batches))

        try:
            return evaluation.evaluate(self._model, before_step) is not None
        finally:
            for put_back in undo:
                put_back()
