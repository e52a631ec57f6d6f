"""How a function for a mode is made of the user's step: Keras' train or test step, or the step of a loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import tensorflow as tf

from tuimon.trainer.keras.internals import patches, traces

Body = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Returns the body of a step with a mode in force within it, given the user's step."""

ITERATORS = (tf.data.Iterator, tf.distribute.DistributedIterator)
"""Data of Keras' steps that can be read ahead."""


class UsersStep(Protocol):
    """One step of the user's, and the place of its function."""

    @property
    def steps_per_call(self) -> int:
        """Steps that run in one call."""

    def found(self) -> Any:
        """Return the function in its place."""

    def put(self, function: Any) -> None:
        """Put a function in its place."""

    def make(self, body: Body) -> Any:
        """Return a function whose step has the given body; leaves the place as it is."""

    def trace(self, function: Any, data: Any) -> Any:
        """Trace a function for data without running it; return the trace, None where it runs eagerly."""

    def is_eager(self) -> bool:
        """Whether steps run without a trace."""

    def as_data(self, given: Any) -> Any:
        """Return data that a failed trace does not use up."""

    def logs(self, result: Any) -> dict[str, Any]:
        """Return the running values in what a step returned."""


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
        """Steps that run in one call: ``steps_per_execution``."""
        return int(self._model.steps_per_execution or 1)

    def found(self) -> Any:
        """Return the model's function."""
        return getattr(self._model, self._name)

    def put(self, function: Any) -> None:
        """Give the model a function, past Keras' tracker: that takes microseconds at each step."""
        self._model.__dict__[self._name] = function

    def make(self, body: Body) -> Any:
        """Have Keras make its function of a step with the given body."""
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
        """Whether the model runs eagerly."""
        return bool(self._model.run_eagerly)

    def as_data(self, given: Any) -> Any:
        """Return an iterator as it is; a list of the generator that `train_on_batch` gives."""
        return given if isinstance(given, ITERATORS) else list(given)

    def logs(self, result: Any) -> dict[str, Any]:
        """Return Keras' running values."""
        logs: dict[str, Any] = result
        return logs


@dataclass(frozen=True)
class Call:
    """The arguments of one call of a loop's step."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class LoopStep:
    """The step of a user's own loop, compiled by ``tf.function``.

    Args:
        step: The user's step.
        options: Of ``tf.function``.
    """

    def __init__(self, step: Callable[..., Any], options: dict[str, Any]) -> None:
        self._step = step
        self._options = options
        self._compiled = self._compile(step)

    @property
    def steps_per_call(self) -> int:
        """Steps that run in one call: one."""
        return 1

    def found(self) -> Any:
        """Return the user's step, compiled."""
        return self._compiled

    def put(self, function: Any) -> None:
        """Do nothing: the loop calls our function itself."""

    def make(self, body: Body) -> Any:
        """Compile a step with the given body."""
        # The user's step is a function of its own in it, so that TensorFlow converts its `if` and `for`, not ours.
        return self._compile(body(tf.function(self._step)), autograph=False)

    def trace(self, function: Any, data: Call) -> Any:
        """Trace a function for the arguments of a call."""
        return function.traced.get_concrete_function(*data.args, **data.kwargs)

    def is_eager(self) -> bool:
        """Whether TensorFlow runs its functions eagerly."""
        return bool(tf.config.functions_run_eagerly())

    def as_data(self, given: Call) -> Call:
        """Return the arguments as they are."""
        return given

    def logs(self, result: Any) -> dict[str, Any]:
        """Return no values, whatever the result is: a loop logs what is to be shown."""
        del result
        return {}

    def _compile(self, step: Callable[..., Any], **options: Any) -> "_Compiled":
        return _Compiled(tf.function(step, **{**self._options, **options}))


@dataclass(frozen=True)
class _Compiled:
    traced: Any

    def __call__(self, call: Call) -> Any:
        return self.traced(*call.args, **call.kwargs)
