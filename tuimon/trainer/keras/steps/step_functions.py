"""Keras' own train or test function, one kept for each mode, and the swap between two steps.

A function is made by Keras itself, from a step whose body puts the mode in force. The first use of a
mode costs a trace; afterwards, and on the way back, a switch is free. A mode that cannot be traced is
given up and the former function runs on the same batch, as if it had never been asked.
"""

import contextlib
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any, Literal

import tensorflow as tf

from tuimon.trainer.engine import Prepared, Switch, Task
from tuimon.trainer.keras.internals import patches, traces
from tuimon.trainer.keras.steps.batch_values import RING_STEPS, BatchValues
from tuimon.trainer.keras.steps.batches_ahead import BatchesAhead
from tuimon.trainer.keras.steps.mode_scope import ModeScope
from tuimon.trainer.modes import AUTO, Mode

KEPT_FUNCTIONS = 6
"""Traced functions kept beside the one in use; each may hold many megabytes."""

_ITERATORS = (tf.data.Iterator, tf.distribute.DistributedIterator)
_END_OF_DATA = (StopIteration, tf.errors.OutOfRangeError)


@dataclass
class Listeners:
    """Who is told what a step came to: the Monitor of this ``fit``, another one's in the next."""

    failure: Callable[[BaseException], None]
    """Called with an exception that ends the training; it is raised again after that."""
    retreat: Callable[[Exception], None]
    """Called when the mode in force could not be traced for a new batch, and ``AUTO`` took its place."""
    validation_retreat: Callable[[Exception], None]
    """Likewise of the test function."""
    mistake: Callable[[Exception], None]
    """Called with an exception of ours, which ends nothing."""
    left: Callable[[Literal["train", "test"], Exception], None]
    """Called when the very first step of ours could not be traced, and the user's own function took its place."""


class WrongTraceError(Exception):
    """A step of ours that was traced is not the user's."""


def _is_called_from(frame: FrameType) -> bool:
    caller: FrameType | None = sys._getframe(2)
    while caller is not None and caller is not frame:
        caller = caller.f_back
    return caller is not None


class AtHand:
    """The data of the next step, and what can be done with them before it.

    Args:
        functions: Whose step it is.
        iterator: Gives the step its batch.
    """

    def __init__(self, functions: "StepFunctions", iterator: Any) -> None:
        self._functions = functions
        self._iterator = iterator

    def ahead(self, count: int, maximum_bytes: int) -> list[Any]:
        """Return the next batches; training gets them afterwards all the same."""
        return self._functions.peek(self._iterator, count, maximum_bytes)

    def catch_up(self) -> bool:
        """Put the mode that waits in force and do the waiting tasks; return whether there were tasks."""
        self._functions.trace_pending(self._iterator)
        return self._functions.do_tasks(self._iterator)


class StepFunctions:
    """Stands in the place of ``model.train_function`` (or ``test_function``) for the time of a step.

    Args:
        model: The model.
        kind: Which function.
        scope: Makes what puts a mode in force.
        values: Reads each batch's own values; None: nobody does, and ``AUTO`` is the user's very function.
        listeners: Are told what it came to.
        traced: Is told that Keras' own step was traced, with the layers as the user has them. Where it was traced
            before, it is given that trace.
        before_switch: Called before a mode is put in force, or traced.
        entered: Told which mode is in force now.
    """

    def __init__(
        self,
        model: Any,
        kind: Literal["train", "test"],
        scope: Callable[[Mode], ModeScope],
        values: BatchValues | None,
        listeners: Listeners,
        traced: Callable[[Any], None] | None = None,
        before_switch: Callable[[], None] = lambda: None,
        entered: Callable[[Mode], None] = lambda _: None,
    ) -> None:
        self.mode = AUTO
        """The mode in force."""
        self.last_logs: dict[str, Any] = {}
        """What the last step returned: Keras' running values, still on the device."""
        self.frame_of_fit: FrameType | None = None
        """Of the ``fit`` that these are for; whoever else calls gets the user's function. None: for everybody."""
        self.stays = False
        """Whether it is given back by ``restore`` alone, and not after each step."""
        self.tells_failures = True
        """Whether an exception in a step ends the training."""
        self.has_run = False
        """Whether a step was made: Keras makes variables of its own with the first."""
        self.check: Callable[[Any], None] | None = None
        """Raises WrongTraceError where our first trace of ``AUTO``, which it is given, is not the user's step."""
        self._model = model
        self._kind = kind
        self._name = f"{kind}_function"
        self._scope = scope
        self._values = values
        self._listeners = listeners
        self._traced_listener = traced
        self._before_switch = before_switch
        self._entered = entered
        self._users_function: Any = None
        self._function: Any = None
        self._kept: OrderedDict[Mode, Any] = OrderedDict()
        self._pending: Switch | None = None
        self._not_run: list[Switch] = []
        self._tasks: list[Task] = []
        self._to_prepare: list[tuple[Mode, Prepared]] = []
        self._ahead = BatchesAhead(self.steps_per_call)
        self._failed_in_trace = False
        self._untraceable: set[Mode] = set()
        self._is_over = False

    @property
    def is_installed(self) -> bool:
        """Whether the model's function is this one, and not one that somebody else has put there."""
        return self._model_function is self

    @property
    def coming_mode(self) -> Mode | None:
        """The mode that waits for the next step."""
        return self._pending.mode if self._pending else None

    @property
    def steps_per_call(self) -> int:
        """Steps that Keras makes in one call."""
        return int(self._model.steps_per_execution or 1)

    @property
    def calls_unread(self) -> int:
        """How many calls fit into the ring of batch values."""
        return max(1, RING_STEPS // self.steps_per_call)

    @property
    def users_function(self) -> Any:
        """The model's own function, in whose place this one stands."""
        return self._users_function

    def install(self, mode: Mode | None = None) -> None:
        """Take the place of the model's function.

        Another function than the one given back last time (after ``compile``, say) voids what was kept.

        Args:
            mode: The mode to begin with; by default the one in force, or that was when it was given back.
        """
        self._is_over = False
        found = self._model_function
        if found is not self._users_function and found is not self:
            self._users_function, self._function = found, None
            self._kept.clear()
            self._untraceable.clear()
            self.has_run = False
        wanted = mode or self.mode
        if wanted in self._untraceable:
            wanted = AUTO
        if self._function is None or wanted != self.mode:
            self._use(wanted)
        self._model_function = self

    def forget(self) -> None:
        """Leave what waits for a next step; the mode, what was traced, and batches read ahead are kept."""
        self._pending = None
        self._tasks, self._to_prepare, self._not_run = [], [], []

    def leave_fit(self) -> None:
        """Keep nothing of a ``fit`` that is over but the mode and what was traced."""
        self.forget()
        self._ahead.clear()
        self.fit_is_over()

    def fit_is_over(self) -> None:
        """Be the user's function for whoever calls, until it is installed again; from any thread."""
        self._is_over = True
        self.frame_of_fit = None

    def read_values(self, values: BatchValues | None) -> None:
        """Have another reader of each batch's own values, or none: then ``AUTO`` is the user's very function."""
        if values is not self._values:
            self._values = values
            self.forget_traces()

    def forget_traces(self) -> None:
        """Trace every mode anew at its next use."""
        self._kept.clear()
        self._function, self.has_run = None, False

    @property
    def is_needed(self) -> bool:
        """Whether training would be another without it: a mode is in force, or batches were read ahead."""
        return self.mode != AUTO or self._ahead.has_some

    def begin_anew(self) -> None:
        """Be in ``AUTO`` again, in which the next ``fit`` begins; what was traced is kept."""
        self.forget()
        self.mode, self._function = AUTO, None

    def restore(self) -> None:
        """Give the user's function back."""
        if self.is_installed:
            self._model_function = self._users_function

    def switch(self, switch: Switch) -> None:
        """Change the mode with the next step."""
        self._pending = switch

    def before_next(self, task: Task) -> None:
        """Do something before the next step."""
        self._tasks.append(task)

    def prepare(self, mode: Mode, prepared: Prepared) -> None:
        """Trace a mode before the next step."""
        self._to_prepare.append((mode, prepared))

    def peek(self, iterator: Any, count: int, maximum_bytes: int) -> list[Any]:
        """Return the next batches; training gets them afterwards all the same."""
        return self._ahead.peek(iterator, count, maximum_bytes)

    def do_tasks(self, iterator: Any) -> bool:
        """Do now what is to be done before the next step; what a task puts off stays for the step after.

        Returns:
            Whether there was anything.
        """
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            self._tell(task, AtHand(self, iterator))
        return bool(tasks)

    def trace_pending(self, iterator: Any) -> None:
        """Put the change of mode that waits in force now, by a trace alone: the next step is not to come yet."""
        if self._pending is None:
            return
        switch, self._pending = self._pending, None
        is_kept = self._is_kept(switch.mode)
        started = time.perf_counter()
        try:
            self._before_switch()
            switch.prepare(not is_kept)
            function = self._traced(switch.mode, iterator)
        except Exception as error:  # noqa: BLE001 - no step was made, so the former mode goes on
            self._take_trace_error()
            if not is_kept:
                self._kept.pop(switch.mode, None)
            self._tell(switch.failed, error)
            return
        self.mode, self._function = switch.mode, function
        self._not_run.append(switch)
        self._tell(self._entered, switch.mode)
        self._tell(switch.done, 0.0 if is_kept else time.perf_counter() - started)

    def give_up(self, reason: Exception) -> None:
        """Leave the change of mode that waits: the step that has come did not run through here."""
        if self._pending is not None:
            switch, self._pending = self._pending, None
            self._tell(switch.failed, reason)

    def __call__(self, iterator: Any) -> Any:
        """Run a step (or ``steps_per_execution`` of them), as Keras calls it."""
        if self._is_over or (self.frame_of_fit is not None and not _is_called_from(self.frame_of_fit)):
            # A callback has raised between its place being taken and the step: this is another fit.
            self.leave_fit()
            self.restore()
            return self._users_function(iterator)
        # `train_on_batch` gives a generator, which a failed trace would have used up.
        return self._step(iterator if isinstance(iterator, _ITERATORS) else list(iterator))

    def _step(self, iterator: Any) -> Any:
        try:
            if self._to_prepare:
                self._prepare_modes(iterator)
            self.do_tasks(iterator)
            if isinstance(iterator, _ITERATORS):
                iterator = self._ahead.of(iterator)
            if self._pending is not None:
                return self._first_step(iterator, self._pending)
            self.last_logs = logs = self._run_first(iterator) if not self.has_run else self._run(iterator)
            self.has_run = True
            if self._not_run:
                self._all_ran()
            return logs
        except _END_OF_DATA:
            raise
        except BaseException as error:
            if self.tells_failures:
                self._listeners.failure(error)
            raise
        finally:
            # Keras tells nobody of an exception in a callback: between two steps the model has its own function.
            if not self.stays:
                self.restore()

    def _prepare_modes(self, iterator: Any) -> None:
        modes, self._to_prepare = self._to_prepare, []
        for mode, prepared in modes:
            started = time.perf_counter()
            try:
                self._traced(mode, iterator)
            except Exception as error:  # noqa: BLE001 - it will be said when somebody asks for this mode
                self._take_trace_error()
                self._kept.pop(mode, None)
                self._tell(partial(prepared, time.perf_counter() - started), error)
            else:
                self._tell(partial(prepared, time.perf_counter() - started), None)

    def _traced(self, mode: Mode, iterator: Any) -> Any:
        """Return the function of a mode, traced for this iterator, without a step."""
        if not self.has_run:
            self._trace_first(iterator)
        function = self._get(mode)
        self._trace(function, iterator)
        return function

    def _trace_first(self, iterator: Any) -> None:
        """Trace ``AUTO``.

        The first trace makes the variables of metrics and optimizer. One that fails leaves them half made, so it must
        be Keras' own.
        """
        function = self._get(AUTO)
        count = traces.count_traces(function)
        trace = self._trace(function, iterator)
        if function is self._users_function:
            self._note_users_trace(function, iterator, count)
        elif self.check is not None:
            self.check(trace)

    def _note_users_trace(self, function: Any, iterator: Any, count: int) -> None:
        if self._traced_listener is not None:
            is_new = count != traces.count_traces(function)
            self._tell(self._traced_listener, None if is_new else self._trace(function, iterator))

    def _run_first(self, iterator: Any) -> Any:
        """Run the first step; where ours cannot be traced, the user's own function runs on the same batch."""
        function = self._function
        if self.mode != AUTO:
            return self._run(iterator)
        if function is self._users_function:
            count = traces.count_traces(function)
            logs = function(iterator)
            self._note_users_trace(function, iterator, count)
            return logs
        try:
            if self.check is not None:
                self._trace_first(iterator)
            return function(iterator)
        except _END_OF_DATA:
            raise
        except Exception as error:
            if self._is_eager() or not (self._take_trace_error() or isinstance(error, WrongTraceError)):
                raise
            failure = error
        # If the user's model is at fault, this raises what it would raise without us.
        logs = self._users_function(iterator)
        self.read_values(None)
        self._use(AUTO)
        self._tell(partial(self._listeners.left, self._kind), failure)
        return logs

    def _all_ran(self) -> None:
        switches, self._not_run = self._not_run, []
        for switch in switches:
            self._tell(lambda switch: switch.ran(), switch)

    def _run(self, iterator: Any) -> Any:
        try:
            return self._function(iterator)
        except _END_OF_DATA:
            raise
        except Exception as error:
            # Without a trace, the error is of the step itself, and the batch is gone.
            if not self._take_trace_error() or self.mode == AUTO or self._is_eager():
                raise
            # A batch of a new shape had this mode traced again, and it failed: nothing was run.
            self._untraceable.add(self.mode)
            self._kept.pop(self.mode, None)
            self._use(AUTO)
            is_train = self._kind == "train"
            self._tell(self._listeners.retreat if is_train else self._listeners.validation_retreat, error)
            return self._function(iterator)

    def _is_eager(self) -> bool:
        return bool(self._model.run_eagerly)

    def _use(self, mode: Mode) -> None:
        self.mode, self._function = mode, self._get(mode)

    def _first_step(self, iterator: Any, switch: Switch) -> Any:
        self._untraceable.discard(switch.mode)
        is_kept = self._is_kept(switch.mode)
        try:
            self._before_switch()
            switch.prepare(not is_kept)
            if not self.has_run:
                self._trace_first(iterator)
            function = self._get(switch.mode)
        except Exception as error:  # noqa: BLE001 - no step was made, so the former mode goes on
            self._take_trace_error()
            self._pending = None
            self._tell(switch.failed, error)
            return self._run_first(iterator) if not self.has_run else self._run(iterator)
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
        self._pending, self.has_run = None, True
        self.mode, self._function, self.last_logs = switch.mode, function, logs
        self._tell(self._entered, switch.mode)
        self._tell(switch.done, 0.0 if is_kept else time.perf_counter() - started)
        self._not_run.append(switch)
        self._all_ran()
        return logs

    def _tell(self, listener: Callable[[Any], None], what: Any) -> None:
        try:
            listener(what)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the user's training
            self._listeners.mistake(error)

    def _take_trace_error(self) -> bool:
        """Whether the exception at hand came out of the step's body, so that the batch is untouched."""
        failed, self._failed_in_trace = self._failed_in_trace, False
        return failed

    def _is_kept(self, mode: Mode) -> bool:
        return mode in self._kept or (mode == AUTO and self._values is None)

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

    def _trace(self, function: Any, iterator: Any) -> Any:
        return traces.trace(function, iterator)

    def _in_mode(self, mode: Mode, users_step: Callable[..., Any]) -> Callable[..., Any]:
        """Return the body of a step with a mode in force within it."""
        scope, values = self._scope(mode), self._values

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
                    if mode == AUTO and self._traced_listener is not None:
                        self._traced_listener(None)
                except Exception as error:  # noqa: BLE001 - a mistake of ours must not end the user's training
                    self._listeners.mistake(error)
            return logs

        return step

    def _make(self, mode: Mode) -> Any:
        step = self._in_mode(mode, getattr(self._model, f"{self._kind}_step"))
        former = self._model_function
        undo = patches.set_untracked(self._model, f"{self._kind}_step", step)
        try:
            getattr(self._model, f"make_{self._kind}_function")(force=True)
            return self._model_function
        finally:
            undo()
            self._model_function = former

    @property
    def _model_function(self) -> Any:
        return getattr(self._model, self._name)

    @_model_function.setter
    def _model_function(self, function: Any) -> None:
        # At each step: past Keras' tracker, which takes microseconds to find that a function is no weight.
        self._model.__dict__[self._name] = function
