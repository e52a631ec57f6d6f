"""Watches a user's training loop: ``train_on_batch``, or a step with ``tf.GradientTape``."""

from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import tensorflow as tf

from tuimon.trainer.keras.guarded import each
from tuimon.trainer.keras.steps.listeners import Listeners
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


def watched_in_loop(model: Any, values: "LoggedValues", listeners: Listeners) -> WatchedModel:
    """Return the model of a user's loop, as the engine sees it.

    Args:
        model: The model.
        values: The values that the loop logs.
        listeners: Called when a step or a mode fails.
    """
    watched = WatchedModel(model, batch_loss=False, listeners=listeners)
    watched.values, watched.why_no_data = values, NO_DATA
    if model.compiled:
        model.make_train_function()
    else:
        watched.why_not_steerable = NO_FUNCTION
    return watched


class Loop:
    """A watched training loop; `tuimon.Monitor.watch` yields it.

    An error of tuimon's own ends the watching, and the loop goes on: it yields every epoch and every batch.

    Args:
        hooks: The Monitor.
        model: The model.
        values: Keeps the logged values.
        give_up: Called with an error of tuimon's own.
    """

    def __init__(self, hooks: Hooks, model: Any, values: "LoggedValues", give_up: Callable[[Exception], None]) -> None:
        self._hooks = hooks
        self._model = model
        self._watched: WatchedModel | None = None
        self._values = values
        self._give_up = give_up
        self._epoch: int | None = None
        self._logs: dict[str, float] = {}
        self._steps = 0
        self._has_function = False

    def begin(self, watched: WatchedModel) -> None:
        """Steer the steps of a model."""
        self._watched = watched
        self._set_up(watched.train)

    def epochs(self, count: int) -> Iterator[int]:
        """Yield the numbers of the epochs, from 0, until the last one or a stop. A request may change their number.

        Example:
            ```python
            for epoch in loop.epochs(10):
                for x, y in loop.steps(dataset):
                    loop.log(loss=train_step(x, y))
                loop.log_epoch(val_loss=validate())
            ```
        """
        each(self._give_up, partial(self._note_epochs, count))
        for epoch in range(count) if self._watched is None else self._watched.epochs.of_loop(count):
            self._epoch, self._steps = epoch, 0
            yield epoch
            each(self._give_up, self._end_epoch)
            if getattr(self._model, "stop_training", False):
                return

    def steps(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield the batches; the body of the loop is one train step on each.

        Between two batches tuimon takes requests, and a paused run waits. The batches end at a stop.

        Args:
            batches: Anything that the loop trains on; for a number of steps, ``range(number)``.
        """
        if self._steps == 0:
            each(self._give_up, partial(self._begin_epoch, batches))
        for batch in batches:
            each(self._give_up, self._begin_step)
            if getattr(self._model, "stop_training", False):
                return
            try:
                yield batch
            finally:  # Runs also if the loop breaks.
                self._steps += 1
                each(self._give_up, self._values.end_step, self._end_step)

    def log(self, **values: Any) -> None:
        """Record values of the step under way: its loss, its metrics. After the last step they are of the epoch.

        What is not one number is left out, and a note in the log says so.

        Args:
            values: Numbers or scalar tensors. Tensors are read later, so that no step waits for the device.
        """
        each(self._give_up, partial(self._values.log, values))

    def log_epoch(self, **values: Any) -> None:
        """Record values of the epoch under way beside the means of its steps, such as its validation loss.

        What is not one number is left out, and a note in the log says so.

        Args:
            values: Numbers or scalar tensors.
        """
        each(self._give_up, partial(self._log_epoch, values))

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
        users_step = getattr(step, "python_function", step)
        compiled: list[Callable[..., Any]] = [tf.function(users_step, **options)]
        each(self._give_up, lambda: compiled.append(self._steered(LoopStep(users_step, options))))
        return compiled[-1]

    def _steered(self, step: LoopStep) -> Callable[..., Any]:
        if self._watched is None:
            raise RuntimeError("the model is not watched")
        functions = self._watched.train_by(step)
        self._set_up(functions)
        functions.install()

        def train_step(*args: Any, **kwargs: Any) -> Any:
            return functions(Call(args, kwargs))

        return train_step

    def _set_up(self, functions: StepFunctions) -> None:
        # A loop may call the function twice in a step, and may catch its exceptions.
        functions.stays, functions.tells_failures = True, False

    def _note_epochs(self, count: int) -> None:
        self._hooks.params["epochs"] = count

    def _begin_epoch(self, batches: Iterable[Any]) -> None:
        with suppress(Exception):  # A dataset may not know its length, and a class of the user's may raise anything.
            self._hooks.params["steps"] = len(batches) if isinstance(batches, Sized) else None
        self._hooks.on_epoch_begin(self._epoch or 0)

    def _begin_step(self) -> None:
        self._hooks.on_train_batch_begin(self._steps)

    def _end_step(self) -> None:
        if self._watched is not None:
            self._watched.train.restore()
            self._watched.train.give_up(RejectedError(NO_FUNCTION))

    def _end_epoch(self) -> None:
        logs, self._logs = {**self._values.take_means(), **self._logs}, {}
        self._hooks.on_epoch_end(self._epoch or 0, logs)

    def _log_epoch(self, values: dict[str, Any]) -> None:
        self._logs |= self._values.numbers(values)


class LoggedValues:
    """The values that each step logged. They stay on the device until they are read.

    What is not one number is left out: a loop goes on, whatever it logs.

    Args:
        note: Called once for each name of which a value was left out, with words about it.
    """

    def __init__(self, note: Callable[[str], object]) -> None:
        self.steps = 0
        """Steps completed, as of the last ``read``."""
        self._note = note
        self._noted: set[str] = set()
        self._row: dict[str, Any] = {}
        self._rows: list[dict[str, Any]] = []
        self._read: list[dict[str, float]] = []
        self._sums: dict[str, tuple[float, int]] = {}

    def log(self, values: dict[str, Any]) -> None:
        """Add values of the step under way, or of the epoch after its last step."""
        for name, value in values.items():
            if why := _why_no_number(value):
                self._leave_out(name, why)
            else:
                self._row[name] = value

    def end_step(self) -> None:
        """Close the row of the step under way."""
        row, self._row = self._row, {}
        self._rows.append(row)
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
        self._add(self.numbers(late))
        sums, self._sums = self._sums, {}
        return {name: total / count for name, (total, count) in sums.items()}

    def numbers(self, values: dict[str, Any]) -> dict[str, float]:
        """Return the values that are numbers; leave the others out."""
        numbers: dict[str, float] = {}
        for name, value in values.items():
            why = _why_no_number(value)
            try:
                if not why:
                    numbers[name] = float(value)
            except Exception as error:  # noqa: BLE001 - a value of the user's may raise anything
                why = f"{type(error).__name__} for a {type(value).__name__}"
            if why:
                self._leave_out(name, why)
        return numbers

    def _convert(self) -> None:
        rows, self._rows = self._rows, []
        for row in rows:
            self._read.append(self.numbers(row))
            self._add(self._read[-1])
        # After the Monitor has given up, nobody reads them.
        del self._read[:-_MOST_UNREAD]

    def _add(self, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value, count + 1

    def _leave_out(self, name: str, why: str) -> None:
        if name not in self._noted:
            self._noted.add(name)
            self._note(f"{name} is not recorded where it is not one number: {why}")


def _why_no_number(value: Any) -> str:
    """Return why a value is not one number, without waiting for it; empty if nothing is known against it."""
    try:
        shape = getattr(value, "shape", None)
        if shape is None:
            return "" if isinstance(value, int | float) else f"it is {type(value).__name__}"
        return f"it has shape {tuple(shape)}; log its mean, say" if tuple(shape) else ""
    except Exception as error:  # noqa: BLE001 - a value of the user's may raise anything
        return f"{type(error).__name__} for a {type(value).__name__}"
