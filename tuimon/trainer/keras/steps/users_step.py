"""Makes the function of a mode from the user's step: Keras' train or test step, or the step of a loop."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import tensorflow as tf
from msgspec import Struct

from tuimon.trainer.keras.internals import patches, traces

Body = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Takes the user's step; returns the body of a step with a mode in force in it."""

ITERATORS = (tf.data.Iterator, tf.distribute.DistributedIterator)
"""Kinds of data of Keras' steps that can be read ahead."""


class ReplacedError(Exception):
    """The model's train or test function is not one that the model makes."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"`model.{kind}_function` was set by the user and runs untouched: it has no values of single batches, "
            "and no request can change it"
        )


class UsersStep(Protocol):
    """A step of the user, and the attribute that holds its function."""

    @property
    def steps_per_call(self) -> int:
        """Steps that one call makes."""

    def found(self) -> Any:
        """Return the function that the attribute holds."""

    def put(self, function: Any) -> None:
        """Set the attribute to a function."""

    def is_replaced(self) -> bool:
        """Return True if the attribute holds a function of the user's own, which is not made from the step."""

    def make(self, body: Body) -> Any:
        """Return a function whose step has the given body; leave the attribute as it is."""

    def trace(self, function: Any, data: Any) -> Any:
        """Trace a function for data without running it; return the trace, or None if it runs eagerly."""

    def is_eager(self) -> bool:
        """Return True if steps run without a trace."""

    def as_data(self, given: Any) -> Any:
        """Return data that a failed trace does not use up."""

    def logs(self, result: Any) -> dict[str, Any]:
        """Return the running means in the result of a step."""


class KerasStep:
    """``train_step`` or ``test_step`` of a Keras model.

    Args:
        model: The model.
        kind: Which step.
    """

    def __init__(self, model: Any, kind: Literal["train", "test"]) -> None:
        self._model = model
        self._kind = kind
        self._name = f"{kind}_function"

    @property
    def steps_per_call(self) -> int:
        """Steps that one call makes: ``steps_per_execution``."""
        return int(self._model.steps_per_execution or 1)

    def found(self) -> Any:
        """Return the model's function."""
        return getattr(self._model, self._name)

    def put(self, function: Any) -> None:
        """Set the model's function past Keras' tracker, which would take microseconds at each step."""
        self._model.__dict__[self._name] = function

    def is_replaced(self) -> bool:
        """Return True if the model's function is not one that the model makes: the user set it, perhaps around that."""
        found = self.found()
        if found is None:
            return False
        made = self.make(lambda users_step: users_step)
        return getattr(found, "__code__", None) is not getattr(made, "__code__", None)

    def make(self, body: Body) -> Any:
        """Let Keras make its function from a step with the given body."""
        name, former = f"{self._kind}_step", self.found()
        undo = patches.set_untracked(self._model, name, body(getattr(self._model, name)))
        try:
            getattr(self._model, f"make_{self._name}")(force=True)
            return self.found()
        finally:
            undo()
            self.put(former)

    def trace(self, function: Any, data: Any) -> Any:
        """Trace a function for an iterator or a list of batches."""
        return traces.trace(function, data)

    def is_eager(self) -> bool:
        """Return True if the model runs eagerly."""
        return bool(self._model.run_eagerly)

    def as_data(self, given: Any) -> Any:
        """Return an iterator unchanged, and the generator of `train_on_batch` as a list."""
        return given if isinstance(given, ITERATORS) else list(given)

    def logs(self, result: Any) -> dict[str, Any]:
        """Return Keras' running means."""
        logs: dict[str, Any] = result
        return logs


class Call(Struct, frozen=True):
    """The arguments of one call of a loop's step."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class LoopStep:
    """The step of a user's own loop, compiled by ``tf.function``.

    Args:
        step: The user's step.
        options: Options of ``tf.function``.
    """

    def __init__(self, step: Callable[..., Any], options: dict[str, Any]) -> None:
        self._step = step
        self._options = options
        self._compiled = self._compile(step)

    @property
    def steps_per_call(self) -> int:
        """Steps that one call makes: one."""
        return 1

    def found(self) -> Any:
        """Return the compiled step of the user."""
        return self._compiled

    def put(self, function: Any) -> None:
        """Do nothing, because the loop itself calls tuimon's function."""

    def is_replaced(self) -> bool:
        """Return False: nobody else has the function."""
        return False

    def make(self, body: Body) -> Any:
        """Compile a step with the given body."""
        # The user's step is a separate function, so that TensorFlow converts only its `if` and `for`.
        return self._compile(body(tf.function(self._step)), autograph=False)

    def trace(self, function: Any, data: Call) -> Any:
        """Trace a function for the arguments of a call."""
        return function.traced.get_concrete_function(*data.args, **data.kwargs)

    def is_eager(self) -> bool:
        """Return True if TensorFlow runs its functions eagerly."""
        return bool(tf.config.functions_run_eagerly())

    def as_data(self, given: Call) -> Call:
        """Return the arguments as they are."""
        return given

    def logs(self, result: Any) -> dict[str, Any]:
        """Return no values: a loop logs its values itself."""
        del result
        return {}

    def _compile(self, step: Callable[..., Any], **options: Any) -> "_Compiled":
        return _Compiled(tf.function(step, **{**self._options, **options}))


class _Compiled(Struct, frozen=True):
    traced: Any

    def __call__(self, call: Call) -> Any:
        return self.traced(*call.args, **call.kwargs)
