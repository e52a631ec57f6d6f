"""Keeps one traced function for each mode, including the user's own."""

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tuimon.trainer.keras.steps.batch_values import BatchValues
from tuimon.trainer.keras.steps.listeners import Hooks
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
        hooks: Called when the step was traced in ``AUTO``.
    """

    def __init__(
        self,
        step: UsersStep,
        scope: Callable[[Mode], ModeScope],
        values: BatchValues | None,
        hooks: Hooks,
    ) -> None:
        self.users_function: Any = None
        """The user's own function, which the others replace."""
        self.values = values
        """Reads each batch's own values; None: they are not read."""
        self._step = step
        self._scope = scope
        self._hooks = hooks
        self._kept: OrderedDict[Mode, Any] = OrderedDict()
        self._failed_in_trace = False
        self._mistakes: list[Exception] = []

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

    def take_mistakes(self) -> list[Exception]:
        """Return the exceptions of tuimon in steps that were made all the same, since the last call."""
        mistakes = [*self._mistakes]
        self._mistakes.clear()
        return mistakes

    def _in_mode(self, mode: Mode, users_step: Callable[..., Any]) -> Callable[..., Any]:
        """Return the body of a step with a mode in force in it."""
        scope, values, noted = self._scope(mode), self.values, _Noted(self._mistakes)

        def step(*args: Any, **kwargs: Any) -> Any:
            undo, listener = contextlib.ExitStack(), None
            try:
                undo.enter_context(scope())
                if values is not None:
                    listener = undo.enter_context(values.listen())
            except Exception as error:
                with noted:
                    undo.close()
                if not tf.executing_eagerly():
                    # No batch is used, so another function can take it.
                    self._failed_in_trace = True
                    raise
                self._mistakes.append(error)
                return users_step(*args, **kwargs)
            try:
                logs = users_step(*args, **kwargs)
            except Exception:
                self._failed_in_trace = True
                raise
            finally:
                # The other parts are undone if one fails.
                with noted:
                    undo.close()
            if values is not None and listener is not None:
                with noted:
                    values.record(listener, logs)
                    if mode == AUTO and self._hooks.traced is not None:
                        self._hooks.traced(None)
            return logs

        return step


class _Noted:
    """Notes an exception of a block, and goes on behind it.

    Args:
        mistakes: Gets the exceptions.
    """

    def __init__(self, mistakes: list[Exception]) -> None:
        self._mistakes = mistakes

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> bool:
        if isinstance(error, Exception):
            self._mistakes.append(error)
            return True
        return False
