"""Remembers the ``trainable`` flags of the trace of the step. Flags that the user sets later have no effect in it."""

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
    """Change no flag; return a function that has nothing to undo."""
    return lambda: None


class StepFlags:
    """Remembers the flags of one model's training step.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self.before: TracedFlags | None = None
        """Flags of a step that Keras traced before tuimon came; None if the present flags are the same."""
        self._model = model
        self._traced_as: dict[int, bool] = {}
        self._put: Callable[[], Callable[[], object]] = as_they_are

    def forget(self) -> None:
        """Forget the flags: the step will be traced anew, with the flags at that time."""
        self.before = None
        self._traced_as, self._put = {}, as_they_are

    def take(self, flags: TracedFlags) -> bool:
        """Remember the flags of a trace; return True if they replace different ones."""
        former, self._traced_as, self._put = self._traced_as, flags.by_layer, flags.put
        self.before = None if flags.is_of_now else flags
        return bool(former) and former != self._traced_as

    def find(self, train: StepFunctions) -> bool:
        """Find the flags of a step that Keras traced before; return False if they are unknown."""
        try:
            flags = traced_before.flags_of(self._model)
        except UnknownFlagsError:
            return False
        if flags is None:
            return True
        if self.take(flags):
            train.forget_traces()  # A `fit` without a Monitor traced Keras' own step meanwhile.
        if not flags.is_of_now:
            train.check_first_trace(partial(self._check, flags))
        return True

    def _check(self, flags: TracedFlags, trace: Any) -> None:
        if trace is not None and not traced_before.writes_the_same(self._model, flags, trace):
            raise WrongTraceError(OTHER_FLAGS)

    def note_trace(self, trace: Any) -> None:
        """Remember the flags of the step that ran: those of ``trace``, or the present ones if it is None."""
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
        """Set the flags of the trace; return a function that undoes it."""
        return self._put()

    def put_before(self) -> Callable[[], object]:
        """Set the flags of a step that was traced before tuimon came, if any; return a function that undoes it."""
        return self.before.put() if self.before is not None else as_they_are()

    def is_trainable(self, layer: Any) -> bool:
        """Return True if a layer is trainable in the step."""
        return self._traced_as.get(id(layer), bool(layer.trainable))

    def was_changed(self, layer: Any) -> bool:
        """Return True if a layer's ``trainable`` changed after the trace, without effect."""
        return self.is_trainable(layer) != bool(layer.trainable)

    def has_frozen_weights(self, layer: Any) -> bool:
        """Return True if a layer has weights of its own and the step trains none of them."""
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
