"""The ``trainable`` flags that the step in use was traced with; what the user has set since has no effect in it."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from tuimon.trainer.keras.internals.layers import flatten_layers, is_frozen_by_user, keep_trainable, own_weights
from tuimon.trainer.keras.steps import traced_before
from tuimon.trainer.keras.steps.graph_uses import UnreadableGraphError
from tuimon.trainer.keras.steps.mode_runner import WrongTraceError
from tuimon.trainer.keras.steps.step_functions import StepFunctions
from tuimon.trainer.keras.steps.traced_before import TracedFlags, UnknownFlagsError

OTHER_FLAGS = "it was traced before tuimon came, with other `trainable` flags"


def as_they_are() -> Callable[[], object]:
    """Set no flag; returns the way back."""
    return lambda: None


class StepFlags:
    """Remembers the flags of one model's train step.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self.before: TracedFlags | None = None
        """Those of a step that Keras traced before tuimon came; None where the flags of now are the same."""
        self._model = model
        self._traced_as: dict[int, bool] = {}
        self._put: Callable[[], Callable[[], object]] = as_they_are

    def forget(self) -> None:
        """The step will be traced with the flags of then."""
        self.before = None
        self._traced_as, self._put = {}, as_they_are

    def take(self, flags: TracedFlags) -> bool:
        """Remember the flags of a trace; returns whether other ones were remembered."""
        former, self._traced_as, self._put = self._traced_as, flags.by_layer, flags.put
        self.before = None if flags.is_of_now else flags
        return bool(former) and former != self._traced_as

    def find(self, train: StepFunctions) -> bool:
        """Find the flags of a step that Keras traced before; return whether they are known."""
        try:
            flags = traced_before.flags_of(self._model)
        except UnknownFlagsError:
            return False
        if flags is None:
            return True
        if self.take(flags):
            train.forget_traces()  # Keras' own step was traced since, in a `fit` without a Monitor.
        if not flags.is_of_now:
            train.check_first_trace(partial(self._check, flags))
        return True

    def _check(self, flags: TracedFlags, trace: Any) -> None:
        if trace is not None and not traced_before.writes_the_same(self._model, flags, trace):
            raise WrongTraceError(OTHER_FLAGS)

    def note_trace(self, trace: Any) -> None:
        """The step was traced with the flags of now; or it was traced before, and ``trace`` is what ran."""
        if self.before is not None:
            return
        if trace is not None:
            with contextlib.suppress(UnreadableGraphError):
                self.take(traced_before.flags_of_trace(self._model, trace))
                return
        layers = flatten_layers(self._model)
        self._put = keep_trainable(layers)
        self._traced_as = {id(layer): bool(layer.trainable) for layer in layers}

    def put(self) -> Callable[[], object]:
        """Set the flags of the trace; returns the way back."""
        return self._put()

    def put_before(self) -> Callable[[], object]:
        """Set the flags of a step that was traced before tuimon came, where there is one; returns the way back."""
        return self.before.put() if self.before is not None else as_they_are()

    def is_trainable(self, layer: Any) -> bool:
        """Whether a layer is trainable in the step."""
        return self._traced_as.get(id(layer), bool(layer.trainable))

    def was_changed(self, layer: Any) -> bool:
        """Whether a layer's ``trainable`` was set after the trace, without effect."""
        return self.is_trainable(layer) != bool(layer.trainable)

    def has_frozen_weights(self, layer: Any) -> bool:
        """Whether the step trains none of a layer's own weights."""
        if self.was_changed(layer):
            return bool(own_weights(layer)) and not self.is_trainable(layer)
        return is_frozen_by_user(layer)

    def trained(self) -> list[Any]:
        """Return the weights that the step trains."""
        undo = self._put()
        try:
            return list(self._model.trainable_variables)
        finally:
            undo()
