"""Keeps one traced function for each mode, including the user's own."""

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from tuimon.trainer.keras.steps.batch_values import BatchValues
from tuimon.trainer.keras.steps.listeners import Hooks, Listeners
from tuimon.trainer.keras.steps.mode_scope import ModeScope
from tuimon.trainer.keras.steps.users_step import UsersStep
from tuimon.trainer.modes import AUTO, Mode

KEPT_FUNCTIONS = 6
"""Traced functions to keep; each may take many megabytes."""


class FunctionCache:
    """Makes the functions of one step and keeps the newest.

    Args:
        step: Makes a function from a step's body.
        scope: Makes the scope that puts a mode in force.
        values: Reads each batch's own values; None: they are not read, and ``AUTO`` is the user's own function.
        listeners: Called with an exception of tuimon.
        hooks: Called when the step was traced in ``AUTO``.
    """

    def __init__(
        self,
        step: UsersStep,
        scope: Callable[[Mode], ModeScope],
        values: BatchValues | None,
        listeners: Listeners,
        hooks: Hooks,
    ) -> None:
        self.users_function: Any = None
        """The user's own function, which the others replace."""
        self.values = values
        """Reads each batch's own values; None: they are not read."""
        self._step = step
        self._scope = scope
        self._listeners = listeners
        self._hooks = hooks
        self._kept: OrderedDict[Mode, Any] = OrderedDict()
        self._failed_in_trace = False

    def has(self, mode: Mode) -> bool:
        """Return True if a mode's function is kept, so that its use needs no trace."""
        return mode in self._kept or (mode == AUTO and self.values is None)

    def get(self, mode: Mode, in_use: Mode) -> Any:
        """Return a mode's function; make it if it is not kept, and never drop that of the mode ``in_use`` for it."""
        if mode == AUTO and self.values is None:
            return self.users_function
        if mode not in self._kept:
            self._kept[mode] = self._step.make(lambda users_step: self._in_mode(mode, users_step))
        self._kept.move_to_end(mode)
        while len(self._kept) > KEPT_FUNCTIONS:
            # Keep Keras' own step, too, so that unfreezing needs no trace.
            oldest = next(kept for kept in self._kept if kept not in (AUTO, in_use, mode))
            del self._kept[oldest]
        return self._kept[mode]

    def drop(self, mode: Mode) -> None:
        """Drop a mode's function."""
        self._kept.pop(mode, None)

    def clear(self) -> None:
        """Drop all functions."""
        self._kept.clear()

    def take_trace_error(self) -> bool:
        """Return True if the exception at hand came from the trace of the step's body, so that the batch is unused."""
        failed, self._failed_in_trace = self._failed_in_trace, False
        return failed

    def _in_mode(self, mode: Mode, users_step: Callable[..., Any]) -> Callable[..., Any]:
        """Return the body of a step with a mode in force in it."""
        scope, values = self._scope(mode), self.values

        def step(*args: Any, **kwargs: Any) -> Any:
            try:
                with scope(), values.listen() if values else contextlib.nullcontext() as listener:
                    logs = users_step(*args, **kwargs)
            except Exception:
                self._failed_in_trace = True
                raise
            if values is not None and listener is not None:
                try:
                    values.record(listener, logs)
                    if mode == AUTO and self._hooks.traced is not None:
                        self._hooks.traced(None)
                except Exception as error:  # noqa: BLE001 - an error of tuimon must not end the user's training
                    self._listeners.mistake(error)
            return logs

        return step
