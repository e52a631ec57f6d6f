"""Puts a mode in force while Keras traces a step, and undoes all of it afterwards.

Keras reads ``training`` and ``layer.trainable`` as Python values while it traces a step; later changes silently have no
effect. So the values are set inside the body of the step, where every trace reads them, and restored at its end.
Outside of the step, each layer is as the user made it.
"""

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from tuimon.trainer.keras.internals import optimizers, patches
from tuimon.trainer.keras.internals.layers import flatten_layers, freeze, takes_training
from tuimon.trainer.modes import AUTO, Mode

_TOKENS: "WeakKeyDictionary[Any, object]" = WeakKeyDictionary()


def _token_of(model: Any) -> object:
    """Return a token that is unique to a model and does not keep it alive."""
    return _TOKENS.setdefault(model, object())


class ModeScope:
    """Puts one mode in force while it is entered.

    Args:
        mode: The mode.
        model: The model.
        layers: All its layers by path.
        learning_rate: The variable that replaces the schedule in a mode with a learning rate of its own.
        keeps_state: Whether the model's call must change no moving statistics and no random seed.
        trainable: Sets the flags of the trace of Keras' own step; returns a function that undoes it. A flag that the
            user set after that trace, without `compile`, has no effect in Keras' step, and so none in a mode.

    A distribution strategy enters once for each replica, in interleaved threads. The first one in puts the mode in
    force, the last one out undoes it.
    """

    def __init__(
        self,
        mode: Mode,
        model: Any,
        layers: Mapping[str, Any],
        *,
        learning_rate: Any = None,
        keeps_state: bool = False,
        trainable: Callable[[], Callable[[], object]] = lambda: lambda: None,
    ) -> None:
        self.mode = mode
        self._model = model
        self._frozen = [layer for path, layer in layers.items() if path in mode.frozen]
        self._held = [layer for path, layer in layers.items() if path in mode.statistics]
        self._momentum = [(layers[path], momentum) for path, momentum in mode.momentum if path in layers]
        self._learning_rate = learning_rate
        self._trainable = trainable
        self._seeds = patches.copy_seeds(model) if keeps_state else None
        self._salt = (_token_of(model), mode, keeps_state)
        self._lock = threading.Lock()
        self._entered = 0
        self._threads: set[int] = set()
        self._undo = contextlib.ExitStack()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Put the mode in force within the block."""
        with self._lock:
            if self._entered == 0:
                self._enter()
            self._entered += 1
            self._threads.add(threading.get_ident())
        try:
            yield
        finally:
            with self._lock:
                self._entered -= 1
                self._threads.discard(threading.get_ident())
                if self._entered == 0:
                    self._undo.close()

    def _enter(self) -> None:
        with contextlib.ExitStack() as undo:
            undo.callback(self._trainable())
            for layer in self._frozen:
                undo.callback(freeze(layer))
            for layer, momentum in self._momentum:
                undo.callback(patches.set_untracked(layer, "momentum", momentum))
            for layer in self._held:
                undo.callback(force_training(layer, False))
            if self.mode.phase != "auto":
                self._force_phase(undo, self.mode.phase == "train")
            optimizer = self._model.optimizer
            averaging = optimizers.averaging_optimizer(optimizer) if optimizer is not None else None
            if self._frozen and averaging is not None and averaging.built:
                undo.callback(optimizers.average_only(averaging, self._model.trainable_variables))
            owner = optimizers.schedule_owner(optimizer) if self.mode.own_learning_rate else None
            if owner is not None:
                undo.callback(optimizers.use_learning_rate(owner, self._learning_rate))
            if self._seeds is not None:
                undo.callback(patches.call_without_state(self._model, self._seeds))
            if self.mode != AUTO or self._seeds is not None:
                undo.callback(patches.trace_compiled_anew(self._salt, self._is_here))
            self._undo = undo.pop_all()

    def _force_phase(self, undo: contextlib.ExitStack, training: bool) -> None:
        held = set(map(id, self._held))
        layers = [layer for layer in flatten_layers(self._model) if id(layer) not in held]
        for layer in filter(takes_training, layers):
            undo.callback(force_training(layer, training))
        # The `call` of these layers is forced above, that of held ones to inference.
        known = held.union(map(id, layers))

        def forced(layer: Any) -> bool | None:
            return None if id(layer) in known or not self._is_here() else training

        undo.callback(patches.override_training(forced))

    def _is_here(self) -> bool:
        # Another thread may call the layers meanwhile, such as a data loader or a second model.
        return threading.get_ident() in self._threads


def force_training(layer: Any, training: bool) -> Callable[[], None]:
    """Make ``layer.call`` run with ``training``, whatever its argument; return a function that undoes the change."""

    def call(original: Callable[..., Any], bound: inspect.BoundArguments) -> Any:
        bound.arguments["training"] = training
        return original(*bound.args, **bound.kwargs)

    return patches.wrap_call(layer, call)
