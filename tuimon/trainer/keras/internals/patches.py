"""Changes Keras and TensorFlow for a while, past their trackers. Each function returns one that undoes its change."""

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

import keras

from tuimon.trainer.keras.internals.layers import flatten_layers, seed_generators, takes_training

try:
    from tensorflow.python.eager.polymorphic_function import function_context
except ImportError:  # Functions that the user compiled ignore modes then, as the answer shows.
    function_context = None


_MISSING = object()


def set_untracked(owner: Any, name: str, value: object) -> Callable[[], None]:
    """Set an attribute of a Keras object, past its tracker; return a function that undoes it.

    A tracked attribute may become a weight, and change what ``save`` writes.
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
    """Run ``around`` in place of a layer's ``call``; return a function that undoes the change.

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
    """Run ``action`` after each call of a method of ``owner``; return a function that undoes it."""
    original = getattr(owner, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        action()
        return result

    return set_untracked(owner, name, method)


class _Shared:
    """A change of a function of Keras or TensorFlow, shared by models that train in several threads at once."""

    def __init__(self, patch: Callable[[], Callable[[], None]]) -> None:
        self._patch = patch
        self._undo: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._changes: dict[object, Any] = {}

    def add(self, change: object) -> Callable[[], None]:
        """Add a change; return a function that removes it. Changes may be removed in any order."""
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
        """The changes in force."""
        return list(self._changes.values())


def override_training(value: Callable[[Any], bool | None]) -> Callable[[], None]:
    """Make every called layer take ``training`` from ``value(layer)``; return a function that undoes it.

    This also reaches layers that Keras does not track, which are created in ``call`` or kept in a plain object. If
    ``value`` returns None, Keras decides.
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
    """Trace functions that the user compiled, and that the step calls, anew; return a function that undoes it.

    A ``tf.function`` keeps its traces by its arguments and its context. The Python values that Keras reads are in
    neither, so without this a former trace would be used again.

    Args:
        salt: Distinguishes these traces from others: hashable, and equal if the same mode is in force.
        here: Returns True if the step makes the present call.
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
"""Seed states of a model's random layers, each with a copy."""


def copy_seeds(model: Any) -> Seeds:
    """Return the random layers' seed states with copies, which change in their place."""
    return [
        (generator.state, keras.Variable(generator.state.numpy(), dtype="uint32", trainable=False, name="seed"))
        for layer in flatten_layers(model)
        for generator in seed_generators(layer)
    ]


def call_without_state(model: Any, seeds: Seeds) -> Callable[[], None]:
    """Make ``model.call`` write no variable of the model; return a function that undoes it.

    Its writes, moving statistics above all, end with the call. Random layers draw from the copies in ``seeds``, so that
    each batch gets other numbers.
    """
    original = model.call

    # Keras reads the signature of `call`, so the wrapper must show that of the original.
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
