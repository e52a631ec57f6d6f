"""Runs steps in the mode in force, and changes the mode between two steps.

The first use of a mode needs a trace; later switches, and the way back, need none. If a mode cannot be traced, the
former function runs on the same batch, as if nobody had asked for the mode.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import tensorflow as tf

from tuimon.trainer.engine import Prepared, Switch
from tuimon.trainer.keras.internals.traces import count_traces
from tuimon.trainer.keras.steps.function_cache import FunctionCache
from tuimon.trainer.keras.steps.listeners import Hooks, Kind, Listeners
from tuimon.trainer.keras.steps.one_call import OneCall
from tuimon.trainer.keras.steps.users_step import UsersStep
from tuimon.trainer.modes import AUTO, Mode

END_OF_DATA = (StopIteration, tf.errors.OutOfRangeError)
"""Exceptions of a step that finds no batch."""


class WrongTraceError(Exception):
    """A step that tuimon traced differs from the user's."""


class ModeRunner:
    """Runs the steps of one kind.

    Args:
        step: Makes a function from a step's body.
        kind: Which step.
        cache: Keeps the functions by mode.
        listeners: Called when a step or a mode fails.
        hooks: Called around traces and switches.
    """

    def __init__(self, step: UsersStep, kind: Kind, cache: FunctionCache, listeners: Listeners, hooks: Hooks) -> None:
        self.mode = AUTO
        """The mode in force."""
        self.pending: Switch | None = None
        """The change of mode that waits for the next step."""
        self.has_run = False
        """True after the first step, in which Keras creates variables of its own."""
        self.check: Callable[[Any], None] | None = None
        """Takes tuimon's first trace of ``AUTO``; raises WrongTraceError if it is not the user's step."""
        self.call = OneCall()
        """The call under way."""
        self._step = step
        self._kind = kind
        self._cache = cache
        self._listeners = listeners
        self._hooks = hooks
        self._function: Any = None
        self._not_run: list[Switch] = []
        self._to_prepare: list[tuple[Mode, Prepared]] = []
        self._untraceable: set[Mode] = set()

    @property
    def may_trace(self) -> bool:
        """True if the next step is the first one, or the first under a new mode."""
        return not self.has_run or self.pending is not None

    def use(self, wanted: Mode) -> None:
        """Put a mode in force without a `Switch`: a validation's, or the present one after its function was dropped."""
        wanted = AUTO if wanted in self._untraceable else wanted
        if self._function is None or wanted != self.mode:
            self._put_in_force(wanted)

    def take_users_function(self, function: Any) -> None:
        """Replace another function of the user from now on; drop all kept functions."""
        self._cache.users_function = function
        self._untraceable.clear()
        self.forget_traces()

    def forget_traces(self) -> None:
        """Trace every mode anew at its next use."""
        self._cache.clear()
        self._function, self.has_run = None, False

    def begin_anew(self) -> None:
        """Return to ``AUTO``, in which the next ``fit`` begins; keep the traces."""
        self.forget_waiting()
        self.mode, self._function = AUTO, None

    def forget_waiting(self) -> None:
        """Drop everything that waits for a next step; keep the mode and the traces."""
        self.pending = None
        self._to_prepare, self._not_run = [], []

    def prepare(self, mode: Mode, prepared: Prepared) -> None:
        """Trace a mode before the next step."""
        self._to_prepare.append((mode, prepared))

    def prepare_modes(self, data: Any) -> None:
        """Trace the modes that `prepare` was called for."""
        modes, self._to_prepare = self._to_prepare, []
        for mode, prepared in modes:
            started, failure = time.perf_counter(), None
            try:
                self._traced(mode, data)
            except Exception as error:  # noqa: BLE001 - a request for this mode will report it again
                self._cache.take_trace_error()
                self._cache.drop(mode)
                failure = error
            self._listeners.tell(partial(prepared, time.perf_counter() - started), failure)

    def trace_pending(self, data: Any) -> None:
        """Put the waiting change of mode in force by a trace, without a step."""
        if self.pending is None:
            return
        switch, self.pending = self.pending, None
        is_kept = self._cache.has(switch.mode)
        started = time.perf_counter()
        try:
            self._hooks.before_switch()
            switch.prepare(not is_kept)
            function = self._traced(switch.mode, data)
        except Exception as error:  # noqa: BLE001 - no step was made, so the former mode goes on
            self._cache.take_trace_error()
            if not is_kept:
                self._cache.drop(switch.mode)
            self._listeners.tell(switch.failed, error)
            return
        self.mode, self._function = switch.mode, function
        self._not_run.append(switch)
        self._tell_done(switch, 0.0 if is_kept else time.perf_counter() - started)

    def give_up(self, reason: Exception) -> None:
        """Drop the waiting change of mode, because the step ran without this object."""
        if self.pending is not None:
            switch, self.pending = self.pending, None
            self._listeners.tell(switch.failed, reason)

    def run(self, data: Any) -> Any:
        """Run a step; first put the waiting change of mode in force."""
        if self.pending is not None:
            return self._switch(data, self.pending)
        result = self._run(data)
        self.has_run = True
        self._tell_ran()
        return result

    def run_instead(self, data: Any) -> Any:
        """Run a step after an error of tuimon: in the mode in force, or else by the user's own function."""
        users_function = self._cache.users_function
        if self.mode != AUTO and self._function is not None:
            try:
                return self.call.run(self._function, data)
            except END_OF_DATA:
                raise
            except Exception:
                if not self._cache.take_trace_error() or self._step.is_eager():
                    raise
        return self.call.run(users_function, data)

    def _switch(self, data: Any, switch: Switch) -> Any:
        self._untraceable.discard(switch.mode)
        is_kept = self._cache.has(switch.mode)
        try:
            self._hooks.before_switch()
            switch.prepare(not is_kept)
            if not self.has_run:
                self._trace_first(data)
            function = self._cache.get(switch.mode, self.mode)
        except Exception as error:  # noqa: BLE001 - no step was made, so the former mode goes on
            self._cache.take_trace_error()
            self.pending = None
            self._listeners.tell(switch.failed, error)
            return self._run(data)
        started = time.perf_counter()
        try:
            result = self.call.run(function, data)
        except END_OF_DATA:
            raise  # No step was made, so the change still waits.
        except Exception as error:
            if not self._cache.take_trace_error():
                raise
            self.pending = None
            self._cache.drop(switch.mode)
            self._listeners.tell(switch.failed, error)
            return self._run(data)
        self.pending, self.has_run = None, True
        self.mode, self._function = switch.mode, function
        self._tell_done(switch, 0.0 if is_kept else time.perf_counter() - started)
        self._not_run.append(switch)
        self._tell_ran()
        return result

    def _run(self, data: Any) -> Any:
        if not self.has_run and self.mode == AUTO:
            return self._run_first(data)
        try:
            return self.call.run(self._function, data)
        except END_OF_DATA:
            raise
        except Exception as error:
            # If no trace failed, the step itself raised, and the batch is used up.
            if not self._cache.take_trace_error() or self._step.is_eager():
                raise
            failure = error
        # The trace for a batch of a new shape failed, so nothing has run.
        if self.mode == AUTO:
            return self._leave(data, failure)
        self._untraceable.add(self.mode)
        self._cache.drop(self.mode)
        self._put_in_force(AUTO)
        is_train = self._kind == "train"
        self._listeners.tell(self._listeners.retreat if is_train else self._listeners.validation_retreat, failure)
        return self._run(data)

    def _run_first(self, data: Any) -> Any:
        """Run the first step; if tuimon's cannot be traced, run the user's own function on the same batch."""
        function, users_function = self._function, self._cache.users_function
        if function is users_function:
            count = count_traces(function)
            result = self.call.run(function, data)
            self._note_users_trace(data, count)
            return result
        try:
            if self.check is not None:
                self._trace_first(data)
            return self.call.run(function, data)
        except END_OF_DATA:
            raise
        except Exception as error:
            if self._step.is_eager() or not (self._cache.take_trace_error() or isinstance(error, WrongTraceError)):
                raise
            failure = error
        return self._leave(data, failure)

    def _leave(self, data: Any, failure: Exception) -> Any:
        """Run the user's own function from now on, because tuimon's cannot be traced for these data."""
        # If the user's model is at fault, this raises the exception that it raises without tuimon.
        result = self.call.run(self._cache.users_function, data)
        self._cache.values = None
        self.forget_traces()
        self._put_in_force(AUTO)
        self._listeners.tell(partial(self._listeners.left, self._kind), failure)
        return result

    def _traced(self, mode: Mode, data: Any) -> Any:
        """Return a mode's function, traced for these data without a step."""
        if not self.has_run:
            self._trace_first(data)
        function = self._cache.get(mode, self.mode)
        self._step.trace(function, data)
        return function

    def _trace_first(self, data: Any) -> None:
        """Trace ``AUTO``.

        The first trace creates the variables of metrics and optimizer. It must be that of Keras' own step, because a
        trace that fails leaves these variables incomplete.
        """
        function = self._cache.get(AUTO, self.mode)
        count = count_traces(function)
        trace = self._step.trace(function, data)
        if function is self._cache.users_function:
            self._note_users_trace(data, count)
        elif self.check is not None:
            self.check(trace)

    def _note_users_trace(self, data: Any, count: int) -> None:
        if self._hooks.traced is not None:
            function = self._cache.users_function
            is_new = count != count_traces(function)
            self._listeners.tell(self._hooks.traced, None if is_new else self._step.trace(function, data))

    def _put_in_force(self, mode: Mode) -> None:
        self.mode, self._function = mode, self._cache.get(mode, self.mode)

    def _tell_done(self, switch: Switch, seconds: float) -> None:
        self._listeners.tell(self._hooks.entered, switch.mode)
        self._listeners.tell(switch.done, seconds)

    def _tell_ran(self) -> None:
        switches, self._not_run = self._not_run, []
        for switch in switches:
            self._listeners.tell(lambda switch: switch.ran(), switch)
