"""Watches a user's training loop: ``train_on_batch``, or a step with ``tf.GradientTape``."""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from tuimon.trainer.keras.steps.step_functions import StepFunctions
from tuimon.trainer.keras.steps.users_step import Call, LoopStep
from tuimon.trainer.keras.watched_model import WatchedModel
from tuimon.trainer.requests.rejected import RejectedError

Batch = TypeVar("Batch")

NO_FUNCTION = "the step of this loop is not known: let loop.function compile it"
NO_DATA = "in a loop of your own, tuimon does not have the data"

_MOST_UNREAD = 10_000


class Hooks(Protocol):
    """The callback hooks of a Monitor that a loop calls, as Keras' ``fit`` does."""

    params: dict[str, Any]

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Record that an epoch begins."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Take requests."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the epoch."""


class Loop:
    """A watched training loop; `tuimon.Monitor.watch` yields it.

    Args:
        hooks: The Monitor.
        watched: The model.
        values: Keeps the logged values.
    """

    def __init__(self, hooks: Hooks, watched: WatchedModel, values: "LoggedValues") -> None:
        self._hooks = hooks
        self._watched = watched
        self._model = watched.model
        self._values = values
        self._epoch: int | None = None
        self._logs: dict[str, float] = {}
        self._steps = 0
        self._has_function = False
        self._set_up(watched.train)

    def epochs(self, count: int) -> Iterator[int]:
        """Yield the numbers of the epochs, from 0, until the last one or a stop.

        Example:
            ```python
            for epoch in loop.epochs(10):
                for x, y in loop.steps(dataset):
                    loop.log(loss=train_step(x, y))
                loop.log_epoch(val_loss=validate())
            ```
        """
        self._hooks.params["epochs"] = count
        for epoch in range(count):
            self._epoch, self._steps = epoch, 0
            yield epoch
            logs, self._logs = {**self._values.take_means(), **self._logs}, {}
            self._hooks.on_epoch_end(epoch, logs)
            if self._model.stop_training:
                return

    def steps(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches; the body of the loop is one train step on each.

        Between two batches tuimon takes requests, and a paused run waits. The batches end at a stop.

        Args:
            batches: Anything that the loop trains on; for a number of steps, ``range(number)``.
        """
        if self._steps == 0:
            with suppress(TypeError):  # A dataset may not know its length.
                self._hooks.params["steps"] = len(batches) if isinstance(batches, Sized) else None
            self._hooks.on_epoch_begin(self._epoch or 0)
        for batch in batches:
            self._hooks.on_train_batch_begin(self._steps)
            if self._model.stop_training:
                return
            try:
                yield batch
            finally:  # Runs also if the loop breaks.
                self._steps += 1
                self._values.end_step()
                self._watched.train.restore()
                self._watched.train.give_up(RejectedError(NO_FUNCTION))

    def log(self, **values: Any) -> None:
        """Record values of the step under way: its loss, its metrics. After the last step they are of the epoch.

        Args:
            values: Numbers or scalar tensors. Tensors are read later, so that no step waits for the device.

        Raises:
            ValueError: A value is no number, or has more than one element.
        """
        self._values.log(values)

    def log_epoch(self, **values: Any) -> None:
        """Record values of the epoch under way beside the means of its steps, such as its validation loss.

        Args:
            values: Numbers or scalar tensors.
        """
        self._logs |= {name: float(value) for name, value in values.items()}

    def function(self, step: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """Compile the training step, instead of ``tf.function``, once for each mode that is requested.

        TensorFlow reads ``training`` and ``layer.trainable`` when it traces a function. This one is traced anew in each
        mode, so that freezing and the learning phase act on it.

        Args:
            step: The training step: one update of the weights. It must read ``model.trainable_variables`` itself.
            options: Options of ``tf.function``: ``jit_compile``, ``reduce_retracing``, …

        Returns:
            A function with the same arguments and results.

        Raises:
            ValueError: The loop has a step already.
        """
        if self._has_function:
            raise ValueError("a loop has one train step: make one function of what it does with a batch")
        self._has_function = True
        functions = self._watched.train_by(LoopStep(getattr(step, "python_function", step), options))
        self._set_up(functions)
        functions.install()

        def train_step(*args: Any, **kwargs: Any) -> Any:
            return functions(Call(args, kwargs))

        return train_step

    def _set_up(self, functions: StepFunctions) -> None:
        # A loop may call the function twice in a step, and may catch its exceptions.
        functions.stays, functions.tells_failures = True, False


class LoggedValues:
    """The values that each step logged. They stay on the device until they are read."""

    def __init__(self) -> None:
        self.steps = 0
        """Steps completed, as of the last ``read``."""
        self._row: dict[str, Any] = {}
        self._rows: list[dict[str, Any]] = []
        self._read: list[dict[str, float]] = []
        self._sums: dict[str, tuple[float, int]] = {}

    def log(self, values: dict[str, Any]) -> None:
        """Add values of the step under way, or of the epoch after its last step.

        Raises:
            ValueError: A value is no number, or has more than one element.
        """
        for name, value in values.items():
            shape = getattr(value, "shape", None)
            if shape is None and not isinstance(value, int | float):
                raise ValueError(f"{name} is {type(value).__name__}; log one number")
            if shape is not None and tuple(shape):
                raise ValueError(f"{name} has shape {tuple(shape)}; log one number, such as its mean")
        self._row |= values

    def end_step(self) -> None:
        """Close the row of the step under way."""
        self._rows.append(self._row)
        self._row = {}
        if len(self._rows) >= _MOST_UNREAD:
            self._convert()

    def read(self) -> dict[str, list[float | None]]:
        """Return the steps' values since the last ``read``, by name, each of shape ``(steps,)``; None: not logged."""
        self._convert()
        rows, self._read = self._read, []
        self.steps += len(rows)
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: [row.get(name) for row in rows] for name in names}

    def take_means(self) -> dict[str, float]:
        """Return the mean of each value since the last call, those included that were logged after the last step."""
        late, self._row = self._row, {}
        self._convert()
        for name, value in late.items():
            self._add(name, float(value))
        sums, self._sums = self._sums, {}
        return {name: total / count for name, (total, count) in sums.items()}

    def _convert(self) -> None:
        rows, self._rows = self._rows, []
        for row in rows:
            self._read.append({name: float(value) for name, value in row.items()})
            for name, value in self._read[-1].items():
                self._add(name, value)
        # After the Monitor has given up, nobody reads them.
        del self._read[:-_MOST_UNREAD]

    def _add(self, name: str, value: float) -> None:
        total, count = self._sums.get(name, (0.0, 0))
        self._sums[name] = total + value, count + 1
