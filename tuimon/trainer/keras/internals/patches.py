"""Changes Keras and TensorFlow for the time of a block, past their trackers, and takes it back."""

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import keras

from tuimon.trainer.keras.internals.layers import flatten_layers, seed_generators, takes_training

try:
    from tensorflow.python.eager.polymorphic_function import function_context
except ImportError:  # In another TensorFlow, what the user has compiled does not obey, and that is seen.
    function_context = None


_MISSING = object()


def set_untracked(owner: Any, name: str, value: object) -> Callable[[], None]:
    """Give a Keras object an attribute of its own, past its tracker; returns the way back.

    What goes through the tracker may become a weight and change what ``save`` writes.
    """
    former = owner.__dict__.get(name, _MISSING)
    owner.__dict__[name] = value

    def undo() -> None:
        if former is _MISSING:
            owner.__dict__.pop(name, None)
        else:
            owner.__dict__[name] = former

    return undo


def wrap_call(layer: Any, around: Callable[[Callable[..., Any], inspect.BoundArguments], Any]) -> Callable[[], None]:
    """Run ``around`` in the place of a layer's ``call``; returns the way back.

    Args:
        layer: The layer. The instance's own ``call`` is changed, never ``__call__``: Keras hands the ``training`` of a
            ``__call__`` down to everything that is called later, also beside this layer.
        around: Given the original ``call`` and the arguments, bound to its parameters.
    """
    original = layer.call
    signature = inspect.signature(original)

    # Another wrapper around this one looks at the signature.
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return around(original, signature.bind(*args, **kwargs))

    return set_untracked(layer, "call", call)


def after(owner: Any, name: str, action: Callable[[], None]) -> Callable[[], None]:
    """Run ``action`` after each call of a method of ``owner``; returns the way back."""
    original = getattr(owner, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        action()
        return result

    return set_untracked(owner, name, method)


class _Shared:
    """A function of Keras' or TensorFlow's own that models in threads of their own may change at once."""

    def __init__(self, patch: Callable[[], Callable[[], None]]) -> None:
        self._patch = patch
        self._undo: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._changes: dict[object, Any] = {}

    def add(self, change: object) -> Callable[[], None]:
        """Have a change in force; returns the way back, in whatever order."""
        key = object()
        with self._lock:
            if not self._changes:
                self._undo = self._patch()
            self._changes = {**self._changes, key: change}

        def undo() -> None:
            with self._lock:
                self._changes = {other: change for other, change in self._changes.items() if other is not key}
                if not self._changes and self._undo is not None:
                    self._undo()

        return undo

    @property
    def changes(self) -> list[Any]:
        """Those in force now."""
        return list(self._changes.values())


def override_training(value: Callable[[Any], bool | None]) -> Callable[[], None]:
    """Make every layer that is called take ``training`` from ``value(layer)``; returns the way back.

    It reaches the layers that Keras does not track (made in ``call``, kept in a plain object). None: as Keras
    would have it.
    """
    return _FORCED.add(value)


def _patch_layers() -> Callable[[], None]:
    resolve = keras.layers.Layer._resolve_and_populate_arg

    @functools.wraps(resolve)
    def forced(self: Any, arg_name: str, call_spec: Any, call_context: Any, kwargs: dict[str, Any]) -> None:
        resolve(self, arg_name, call_spec, call_context, kwargs)
        if arg_name == "training" and takes_training(self):
            for value in _FORCED.changes:
                training = value(self)
                if training is not None:
                    kwargs["training"] = training

    keras.layers.Layer._resolve_and_populate_arg = forced

    def undo() -> None:
        keras.layers.Layer._resolve_and_populate_arg = resolve

    return undo


_FORCED = _Shared(_patch_layers)


def trace_compiled_anew(salt: object, here: Callable[[], bool]) -> Callable[[], None]:
    """Have the functions that the user has compiled, and that the step calls, traced anew; returns the way back.

    A ``tf.function`` keeps its traces by its arguments and surroundings, and what Keras reads as Python values is
    neither: without this, it would be used again as it was.

    Args:
        salt: What tells these traces from others: hashable, and equal where the same is in force.
        here: Whether a function that is called now is called from the step.
    """
    return _SALTS.add((salt, here))


def _patch_tensorflow() -> Callable[[], None]:
    make = getattr(function_context, "make_function_context", None)
    if make is None:
        return lambda: None

    def salted(*args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        salts = tuple(salt for salt, here in _SALTS.changes if here())
        return made._replace(context=(made.context, salts)) if salts else made

    function_context.make_function_context = salted

    def undo() -> None:
        function_context.make_function_context = make

    return undo


_SALTS = _Shared(_patch_tensorflow)


Seeds = list[tuple[Any, Any]]
"""State variables of a model's random layers, each with a copy of ours."""


def copy_seeds(model: Any) -> Seeds:
    """Return the random layers' seed states and copies of them, which may move in their place."""
    return [
        (generator.state, keras.Variable(generator.state.numpy(), dtype="uint32", trainable=False, name="seed"))
        for layer in flatten_layers(model)
        for generator in seed_generators(layer)
    ]


def call_without_state(model: Any, seeds: Seeds) -> Callable[[], None]:
    """Make ``model.call`` write no variable of the model; returns the way back.

    What it would write, moving statistics above all, ends with the call. Random layers draw from the
    copies in ``seeds``, so that each batch has numbers of its own.
    """
    original = model.call

    # A Keras layer looks at the signature of `call`: the wrapper must show the original's.
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        mapping = [(state, copy.value) for state, copy in seeds]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = original(*args, **kwargs)
        for state, copy in seeds:
            drawn = scope.get_current_value(state)
            if drawn is not None:
                copy.assign(drawn)
        return outputs

    return set_untracked(model, "call", call)
