"""Replaces Keras' train or test function for the duration of a step."""

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from tuimon.trainer.engine import MAXIMUM_BYTES_AHEAD, CallTimes, Prepared, Switch, Task
from tuimon.trainer.keras.steps.batch_values import RING_STEPS, BatchValues
from tuimon.trainer.keras.steps.batches_ahead import BatchesAhead
from tuimon.trainer.keras.steps.function_cache import FunctionCache
from tuimon.trainer.keras.steps.listeners import Hooks, Kind, Listeners
from tuimon.trainer.keras.steps.mode_runner import END_OF_DATA, ModeRunner
from tuimon.trainer.keras.steps.mode_scope import ModeScope
from tuimon.trainer.keras.steps.one_call import OneCall
from tuimon.trainer.keras.steps.users_step import ITERATORS, UsersStep
from tuimon.trainer.modes import AUTO, Mode


# Whole: it is what Keras calls in the place of its function, and what the engine offers as `Steps`.
class StepFunctions:
    """Replaces one function of the user and runs its steps, each in the mode in force.

    Args:
        step: The user's step, and the attribute that holds its function.
        kind: Which step.
        scope: Makes the scope that puts a mode in force.
        values: Reads each batch's own values; None: they are not read, and ``AUTO`` is the user's own function.
        listeners: Called when a step or a mode fails.
        hooks: Called around traces and switches.
    """

    def __init__(
        self,
        step: UsersStep,
        kind: Kind,
        scope: Callable[[Mode], ModeScope],
        values: BatchValues | None,
        listeners: Listeners,
        hooks: Hooks | None = None,
    ) -> None:
        self.last_logs: dict[str, Any] = {}
        """The result of the last step: Keras' running means, still on the device."""
        self.frame_of_fit: FrameType | None = None
        """Frame of the ``fit`` that this object serves; other callers get the user's function. None: it serves all."""
        self.stays = False
        """Whether only ``restore`` gives the user's function back, and not the end of each step."""
        self.tells_failures = True
        """Whether an exception in a step ends the training, and is reported."""
        self.times = CallTimes()
        """The seconds that the calls of Keras' ``fit`` have taken."""
        hooks = hooks or Hooks()
        self._step = step
        self._listeners = listeners
        self._cache = FunctionCache(step, scope, values, hooks)
        self._runner = ModeRunner(step, kind, self._cache, listeners, hooks)
        self._tasks: list[Task] = []
        self._tasks_after: list[Callable[[], None]] = []
        self._ahead = BatchesAhead(step.steps_per_call)
        self._is_over = False
        self._times_next = False
        self._known: Any = None

    @property
    def mode(self) -> Mode:
        """The mode in force."""
        return self._runner.mode

    @property
    def has_run(self) -> bool:
        """True after the first step."""
        return self._runner.has_run

    @property
    def coming_mode(self) -> Mode | None:
        """The mode that waits for the next step; None if none waits."""
        return self._runner.pending.mode if self._runner.pending else None

    @property
    def steps_per_call(self) -> int:
        """Steps that one call makes."""
        return self._step.steps_per_call

    @property
    def calls_unread(self) -> int:
        """Calls whose values fit into the ring of batch values."""
        return max(1, RING_STEPS // self.steps_per_call)

    @property
    def users_function(self) -> Any:
        """The user's own function, which this object replaces."""
        return self._cache.users_function

    def is_replaced(self) -> bool:
        """Return True if the user set a function of their own since the last step; it is to be left as it is."""
        found = self._step.found()
        if found is self or found is self.users_function or found is self._known:
            return False
        if self._step.is_replaced():
            return True
        self._known = found
        return False

    @property
    def is_needed(self) -> bool:
        """True if training depends on this object: a mode is in force, or batches were read ahead."""
        return self.mode != AUTO or self._ahead.has_some

    def install(self, mode: Mode | None = None) -> None:
        """Replace the user's function.

        If the user's function has changed since `restore`, as after ``compile``, drop all kept functions.

        Args:
            mode: The mode to begin in; by default the last one.
        """
        self._is_over = False
        found = self._step.found()
        if found is not self.users_function and found is not self:
            self._runner.take_users_function(found)
        self._runner.use(mode or self.mode)
        self._step.put(self)

    def restore(self) -> None:
        """Give the user's function back."""
        if self._step.found() is self:
            self._step.put(self.users_function)

    def drop_waiting(self) -> None:
        """Drop the changes and tasks that wait for the next step; keep the mode, the traces and batches read ahead."""
        self._runner.forget_waiting()
        self._tasks, self._tasks_after, self._times_next = [], [], False

    def leave_fit(self) -> None:
        """Keep nothing of a ``fit`` that is over, except the mode and the traces."""
        self.drop_waiting()
        self._ahead.clear()
        self.fit_is_over()

    def fit_is_over(self) -> None:
        """Pass all calls to the user's function until the next `install`. Any thread may call this."""
        self._is_over = True
        self.frame_of_fit = None

    def begin_anew(self) -> None:
        """Return to ``AUTO``, in which the next ``fit`` begins; keep the traces."""
        self._tasks, self._tasks_after = [], []
        self._runner.begin_anew()

    def read_values(self, values: BatchValues | None) -> None:
        """Use another reader of each batch's own values, or None: then ``AUTO`` is the user's own function."""
        if values is not self._cache.values:
            self._cache.values = values
            self.forget_traces()

    def forget_traces(self) -> None:
        """Trace every mode anew at its next use."""
        self._runner.forget_traces()

    def check_first_trace(self, check: Callable[[Any], None] | None) -> None:
        """Check tuimon's first trace of ``AUTO``; ``check`` raises WrongTraceError if it is not the user's step."""
        self._runner.check = check

    def switch(self, switch: Switch) -> None:
        """Change the mode with the next step."""
        self._runner.pending = switch

    def give_up(self, reason: Exception) -> None:
        """Drop the waiting change of mode, because the step ran without this object."""
        self._runner.give_up(reason)

    def before_next(self, task: Task) -> None:
        """Run a task right before the next step."""
        self._tasks.append(task)

    def after_next(self, task: Callable[[], None]) -> None:
        """Call a task right after the next call."""
        self._tasks_after.append(task)

    def prepare(self, mode: Mode, prepared: Prepared) -> None:
        """Trace a mode before the next step."""
        self._runner.prepare(mode, prepared)

    def time_next(self) -> None:
        """Time the next call in two parts: waiting for its data, and the rest."""
        self._times_next = True

    def do_tasks(self, data: Any) -> bool:
        """Run the waiting tasks; return True if there were any. A task that asks again runs before the step after."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            self._listeners.tell(task, AtHand(self, self._runner, self._ahead, data))
        return bool(tasks)

    def __call__(self, given: Any) -> Any:
        """Run one call of the step, ``steps_per_execution`` steps, as Keras calls its function."""
        call = self._runner.call = OneCall()
        try:
            return self._take(call, given)
        except BaseException as error:
            users = self._users_error(call, error)
            if users is None and isinstance(error, Exception):
                self._listeners.report(error)
                return call.result if call.has_result else self._run_instead(call, given)
            self._tell_failure(users or error)
            if users is not None and users is not error:
                raise users from None
            raise
        finally:
            self._end_call()

    def _take(self, call: OneCall, given: Any) -> Any:
        if self._is_over or (self.frame_of_fit is not None and not _is_called_from(self.frame_of_fit)):
            # A callback raised after `install` and before the step, and another fit has begun.
            self.leave_fit()
            self.restore()
            return call.run(self.users_function, given)
        began = time.perf_counter()
        data = call.data = call.of_user(self._step.as_data, given)
        self._runner.prepare_modes(data)
        if self.do_tasks(data):
            done = time.perf_counter()
            self.times.own += done - began
            began = done
        result = self._run(call, data, began) if isinstance(data, ITERATORS) else self._runner.run(data)
        self.last_logs = self._step.logs(result)
        self._do_tasks_after()
        return result

    def _users_error(self, call: OneCall, error: BaseException) -> BaseException | None:
        """Return the user's exception because of which a call raised; None if tuimon is at fault."""
        users = call.users_error
        if users is None or users is error:
            return users
        # tuimon failed while it dealt with this exception. If that came from a trace, nothing has run.
        return None if not self._step.is_eager() and self._cache.take_trace_error() else users

    def _run_instead(self, call: OneCall, given: Any) -> Any:
        """Run the step after an error of tuimon that came before it, on the batch that the step has to take."""
        try:
            data = given if call.data is None else call.data
            if data is given and isinstance(given, ITERATORS):
                data = self._batches(call, given, self._ahead.rest)
            return self._runner.run_instead(data)
        except BaseException as error:
            self._tell_failure(error)
            raise

    def _tell_failure(self, error: BaseException) -> None:
        if self.tells_failures and not isinstance(error, END_OF_DATA):
            self._listeners.tell(self._listeners.failure, error)

    def _batches(self, call: OneCall, iterator: Any, take: Callable[[Any], Any]) -> Any:
        """Return what ``take`` returns for one call, or raise the exception that the user's data raised for it."""
        error = self._ahead.error_due(iterator)
        if error is not None:
            call.users_error = error
            raise error
        return take(iterator)

    def _end_call(self) -> None:
        """Give the user's function back, and tell of the mistakes in a step that was made all the same."""
        # The iterator of an epoch ends with it: one that is kept holds batches and threads, and the longer it lives,
        # the longer TensorFlow takes to end it, up to a minute.
        self._runner.call = OneCall()
        # Keras does not report an exception in a callback, so between steps the model has its own function.
        try:
            if not self.stays:
                self.restore()
            mistakes = self._cache.take_mistakes()
        except Exception as error:  # noqa: BLE001 - whatever it is, the step was made
            mistakes = [error]
        for mistake in mistakes:
            self._listeners.report(mistake)

    def _do_tasks_after(self) -> None:
        if self._tasks_after:
            began = time.perf_counter()
            tasks, self._tasks_after = self._tasks_after, []
            for task in tasks:
                self._listeners.tell(lambda run: run(), task)
            self.times.own += time.perf_counter() - began

    def _run(self, call: OneCall, iterator: Any, began: float) -> Any:
        """Run one call on the batches of an iterator, and note what it takes."""
        traces, waited = self._runner.may_trace, None
        if self._times_next and not traces:
            self._times_next = False
            waited = self._ahead.wait(iterator, MAXIMUM_BYTES_AHEAD)
            data = call.data = self._batches(call, iterator, self._ahead.of)
            extra = time.perf_counter() - began - (waited or 0.0)
            self.times.timing += extra
            self.times.own += extra
            began = time.perf_counter()
        else:
            data = call.data = self._batches(call, iterator, self._ahead.of)
        result = self._runner.run(data)
        seconds = time.perf_counter() - began
        if traces:
            self.times.left_out += seconds
        else:
            self.times.add(seconds, waited)
        return result


class AtHand:
    """The data of the coming step, for a task.

    Args:
        functions: The functions whose step comes.
        runner: Runs their steps.
        ahead: Reads batches ahead.
        data: The argument of the step.
    """

    def __init__(self, functions: StepFunctions, runner: ModeRunner, ahead: BatchesAhead, data: Any) -> None:
        self._functions = functions
        self._runner = runner
        self._ahead = ahead
        self._data = data

    def ahead(self, count: int, maximum_bytes: int) -> list[Any]:
        """Return the next batches; the steps still get them, in the same order."""
        return self._ahead.peek(self._data, count, maximum_bytes)

    def catch_up(self) -> bool:
        """Put the waiting mode in force by its trace and run the waiting tasks; return True if any ran."""
        self._runner.trace_pending(self._data)
        return self._functions.do_tasks(self._data)


def _is_called_from(frame: FrameType) -> bool:
    caller: FrameType | None = sys._getframe(2)
    while caller is not None and caller is not frame:
        caller = caller.f_back
    return caller is not None
