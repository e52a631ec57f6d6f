"""A mode: what is in force while Keras traces its train function, and exactly nothing afterwards.

Keras reads ``training`` and ``layer.trainable`` as Python values while it traces a step, so flipping
them later does nothing, silently. Here that is the mechanism: the values are put in force inside the
body of the step, where every trace reads them, and are taken back at its end. Outside the step each
layer is as the user made it.
"""

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tuimon.trainer import keras_internals

LearningPhase = Literal["auto", "train", "inference"]


@dataclass(frozen=True)
class Mode:
    """What the user asked for, all of it.

    Example:
        >>> Mode() == AUTO
        True
    """

    frozen: frozenset[str] = frozenset()
    """Paths of the BatchNormalization layers that a request froze."""
    phase: LearningPhase = "auto"
    """The learning phase."""

    def __str__(self) -> str:
        words = [f"freeze {len(self.frozen)} layers"] if self.frozen else []
        words += [f"phase {self.phase}"] if self.phase != "auto" else []
        return ", ".join(words) or "as Keras does it"


AUTO = Mode()
"""Keras as it is."""


class ModeScope:
    """Puts one mode in force while it is entered.

    Args:
        mode: The mode.
        model: The model.
        batch_norm_layers: Its BatchNormalization layers by path.
        keeps_state: Whether the model's call may move nothing: no moving statistics, no random seed.

    A distribution strategy enters once for each replica, in threads of its own that run interleaved:
    the first one in puts the mode in force, the last one out takes it back.
    """

    def __init__(
        self, mode: Mode, model: Any, batch_norm_layers: Mapping[str, Any], *, keeps_state: bool = False
    ) -> None:
        self.mode = mode
        self._model = model
        self._frozen = [layer for path, layer in batch_norm_layers.items() if path in mode.frozen]
        self._seeds = keras_internals.copy_seeds(model) if keeps_state else None
        self._lock = threading.Lock()
        self._entered = 0
        self._undo = contextlib.ExitStack()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Put the mode in force for the time of the block."""
        with self._lock:
            if self._entered == 0:
                self._enter()
            self._entered += 1
        try:
            yield
        finally:
            with self._lock:
                self._entered -= 1
                if self._entered == 0:
                    self._undo.close()

    def _enter(self) -> None:
        with contextlib.ExitStack() as undo:
            for layer in self._frozen:
                undo.callback(keras_internals.freeze(layer))
            if self.mode.phase != "auto":
                for layer in filter(keras_internals.takes_training, keras_internals.flatten_layers(self._model)):
                    undo.callback(_force_training(layer, self.mode.phase == "train"))
            if self._seeds is not None:
                undo.callback(keras_internals.call_without_state(self._model, self._seeds))
            self._undo = undo.pop_all()


def _force_training(layer: Any, training: bool) -> Callable[[], None]:
    """Make ``layer.call`` run with ``training``, whatever it is given; returns the way back.

    Through the instance's own ``call`` and never through ``__call__``: Keras hands the ``training`` of a
    ``__call__`` down to whatever is called later, also beside this layer.
    """
    original = layer.call
    signature = inspect.signature(original)

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.arguments["training"] = training
        return original(*bound.args, **bound.kwargs)

    return keras_internals.set_untracked(layer, "call", call)
