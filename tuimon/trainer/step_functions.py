"""Keras' own train or test function, one kept for each mode, and the swap between two steps.

A function is made by Keras itself, from a step whose body puts the mode in force. The first use of a
mode costs a trace; afterwards, and on the way back, a switch is free. A mode that cannot be traced is
given up and the former function runs on the same batch, as if it had never been asked.
"""

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import tensorflow as tf

from tuimon.trainer import keras_internals
from tuimon.trainer.batch_values import BatchValues
from tuimon.trainer.modes import AUTO, Mode, ModeScope

KEPT_FUNCTIONS = 6
"""Traced functions kept beside the one in use; each may hold many megabytes."""

_END_OF_DATA = (StopIteration, tf.errors.OutOfRangeError)


@dataclass
class Switch:
    """A change of mode that takes effect with the next step."""

    mode: Mode
    """The new one."""
    prepare: Callable[[bool], None]
    """Called right before the first step under it, with whether it has to be traced."""
    done: Callable[[float], None]
    """Called right after that step with the seconds that its trace, compilation and run took; 0 if it was kept."""
    failed: Callable[[Exception], None]
    """Called when it cannot be traced; the former mode stays."""


class StepFunctions:
    """Stands in the place of ``model.train_function`` (or ``test_function``) while ``fit`` runs.

    Args:
        model: The model.
        kind: Which function.
        scope: Makes what puts a mode in force.
        values: Reads each batch's own values; None: nobody does, and ``AUTO`` is the user's very function.
        on_failure: Called with an exception that ends the training; it is raised again after that.
        on_retreat: Called when the mode in force could not be traced for a new batch, and ``AUTO`` took its place.
        on_mistake: Called with an exception of ours, which ends nothing.
    """

    def __init__(
        self,
        model: Any,
        kind: Literal["train", "test"],
        scope: Callable[[Mode], ModeScope],
        values: BatchValues | None,
        on_failure: Callable[[BaseException], None],
        on_retreat: Callable[[Exception], None],
        on_mistake: Callable[[Exception], None],
    ) -> None:
        self.mode = AUTO
        """The mode in force."""
        self.last_logs: dict[str, Any] = {}
        """What the last step returned: Keras' running values, still on the device."""
        self._model = model
        self._kind = kind
        self._scope = scope
        self._values = values
        self._on_failure = on_failure
        self._on_retreat = on_retreat
        self._on_mistake = on_mistake
        self._users_function: Any = None
        self._function: Any = None
        self._kept: OrderedDict[Mode, Any] = OrderedDict()
        self._pending: Switch | None = None
        self._has_run = False
        self._failed_in_trace = False

    @property
    def is_installed(self) -> bool:
        """Whether the model's function is this one, and not one that somebody else has put there."""
        return self._model_function is self

    @property
    def pending(self) -> Switch | None:
        """The change of mode that waits for the next step."""
        return self._pending

    def install(self, mode: Mode | None = None) -> None:
        """Take the place of the model's function.

        Another function than the one given back last time (after ``compile``, say) voids what was kept.

        Args:
            mode: The mode to begin with; by default the one in force, or that was when it was given back.
        """
        if self._model_function is not self._users_function:
            self._users_function = self._model_function
            self._kept.clear()
            self._has_run = False
        self._use(mode or self.mode)
        self._model_function = self

    def restore(self) -> None:
        """Give the user's function back."""
        if self.is_installed:
            self._model_function = self._users_function

    def switch(self, switch: Switch) -> None:
        """Change the mode with the next step."""
        self._pending = switch

    def __call__(self, iterator: Any) -> Any:
        """Run a step (or ``steps_per_execution`` of them), as Keras calls it."""
        try:
            if self._pending is not None:
                return self._first_step(iterator, self._pending)
            self.last_logs = logs = self._run(iterator)
            self._has_run = True
            return logs
        except _END_OF_DATA:
            raise
        except BaseException as error:
            self._on_failure(error)
            raise

    def _run(self, iterator: Any) -> Any:
        try:
            return self._function(iterator)
        except _END_OF_DATA:
            raise
        except Exception as error:
            if not self._take_trace_error() or self.mode == AUTO:
                raise
            # A batch of a new shape had this mode traced again, and it failed: nothing was run.
            self._use(AUTO)
            self._tell(self._on_retreat, error)
            return self._function(iterator)

    def _use(self, mode: Mode) -> None:
        self.mode, self._function = mode, self._get(mode)

    def _first_step(self, iterator: Any, switch: Switch) -> Any:
        is_kept = switch.mode in self._kept
        try:
            switch.prepare(not is_kept)
            if not self._has_run:
                # The first trace makes the variables of metrics and optimizer. One that fails leaves them half
                # made, so it must be Keras' own.
                keras_internals.trace(self._get(AUTO), iterator)
            function = self._get(switch.mode)
        except Exception as error:  # noqa: BLE001 - no step was made, so the former mode goes on
            self._pending = None
            self._tell(switch.failed, error)
            return self._function(iterator)
        started = time.perf_counter()
        try:
            logs = function(iterator)
        except _END_OF_DATA:
            raise  # No step was made: it stays pending.
        except Exception as error:
            if not self._take_trace_error():
                raise
            self._pending = None
            self._kept.pop(switch.mode, None)
            self._tell(switch.failed, error)
            return self._function(iterator)
        self._pending, self._has_run = None, True
        self.mode, self._function, self.last_logs = switch.mode, function, logs
        self._tell(switch.done, 0.0 if is_kept else time.perf_counter() - started)
        return logs

    def _tell(self, listener: Callable[[Any], None], what: Any) -> None:
        try:
            listener(what)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the user's training
            self._on_mistake(error)

    def _take_trace_error(self) -> bool:
        """Whether the exception at hand came out of the step's body, so that the batch is untouched."""
        failed, self._failed_in_trace = self._failed_in_trace, False
        return failed

    def _get(self, mode: Mode) -> Any:
        if mode == AUTO and self._values is None:
            return self._users_function
        if mode not in self._kept:
            self._kept[mode] = self._make(mode)
        self._kept.move_to_end(mode)
        while len(self._kept) > KEPT_FUNCTIONS:
            # Never the one in use, and not Keras' own step, which is the way back.
            oldest = next(kept for kept in self._kept if kept not in (AUTO, self.mode, mode))
            del self._kept[oldest]
        return self._kept[mode]

    def _make(self, mode: Mode) -> Any:
        users_step = getattr(self._model, f"{self._kind}_step")
        scope, values = self._scope(mode), self._values

        def step(data: Any) -> Any:
            try:
                with scope(), values.listen() if values else contextlib.nullcontext() as listener:
                    logs = users_step(data)
                if values is not None and listener is not None:
                    values.record(listener, logs)
            except Exception:
                self._failed_in_trace = True
                raise
            return logs

        former = self._model_function
        undo = keras_internals.set_untracked(self._model, f"{self._kind}_step", step)
        try:
            getattr(self._model, f"make_{self._kind}_function")(force=True)
            return self._model_function
        finally:
            undo()
            self._model_function = former

    @property
    def _model_function(self) -> Any:
        return getattr(self._model, f"{self._kind}_function")

    @_model_function.setter
    def _model_function(self, function: Any) -> None:
        setattr(self._model, f"{self._kind}_function", function)
