"""Learns of the ends of a ``fit`` that Keras reports to no callback, whatever ends it.

An exception in a callback passes through Keras' list of callbacks, which tells of it. A signal is noted by its handler,
and taken between two steps. Where the program itself ends, or nothing else was told, the frame of ``fit`` shows it.
"""

import atexit
import contextlib
import functools
import os
import signal
import sys
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from tuimon.trainer.fit import Fit
from tuimon.trainer.keras.fit_watchdog import FitWatchdog
from tuimon.trainer.options import Options
from tuimon.trainer.session.end_signals import FIRST_PROCESS, SIGNALS, EndedBySignal, EndSignals, name_of
from tuimon.trainer.session.recorder import Recorder

UNNOTICED = "an exception outside of train steps and callbacks ended fit"
"""The reason of a run that ended so that Keras told nobody."""
PROGRAM_ENDED = "the end of the program while fit ran in another thread"
"""The reason of a run in the middle of which its process exited."""
SHORT_GRACE_SECONDS = 5.0
"""Longest time from a signal to the end of a process that saves no checkpoint."""
VALIDATION_SECONDS = 5.0
"""Longest time from a signal to the end of a validation that is to have its place in the checkpoint. Some send SIGKILL
10 seconds after SIGTERM."""

_HOOKS = (
    *("on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end", "on_train_end"),
    *("on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end"),
)


class Watched(Protocol):
    """The model of a ``fit``."""

    def fit_is_over(self) -> None:
        """Leave the model's functions alone from now on. Called from any thread."""


class FitEnds:
    """Watches for the end of one ``fit``, until it is closed.

    Args:
        fit: The ``fit``, which the calling thread runs.
        recorder: Writes its log.
        watched: Its model.
        failed: Called with the exception that ends it, in its thread.
        options: The Monitor's options.
        frame: The frame of Keras' ``fit``; None: this is a loop of the user's.
        callbacks: Keras' list of its callbacks; None: there is none.
        signals: Notes the signals in a process of tuimon's own, which ends the log by itself. None: it is the user's,
            and those signals are noted that nobody else handles.
    """

    def __init__(
        self,
        fit: Fit,
        recorder: Recorder,
        watched: Watched,
        failed: Callable[[BaseException], None],
        *,
        options: Options,
        frame: FrameType | None,
        callbacks: Any,
        signals: EndSignals | None,
    ) -> None:
        self._fit, self._recorder, self._watched, self._failed = fit, recorder, watched, failed
        self._others_act_in_validation = _act_in_validation(callbacks)
        self._is_of_process = signals is not None
        is_looked_at = frame is not None and not self._is_of_process
        self._watchdog = FitWatchdog(frame, self._gone_unnoticed) if frame is not None and is_looked_at else None
        self._last_value = id(getattr(sys, "last_value", None))
        self._undo = _tell_failures(callbacks, failed) if callbacks is not None else lambda: None
        self._callbacks = callbacks
        fit.program_stop.why = self._signal_of_program
        self._saves = options.checkpoint_at_stop
        self._signalled_at: float | None = None
        grace_seconds = options.grace_seconds if self._saves else SHORT_GRACE_SECONDS
        self._signals = signals or EndSignals(grace_seconds=grace_seconds, noticed=tell_all, end=_end_all)
        self._signals.raises = False
        _OPEN.add(self)
        if signals is None:
            self._signals.install(self._ending())

    @property
    def is_signalled(self) -> bool:
        """True if a signal has asked for the end."""
        return self._signals.number is not None

    def close(self) -> None:
        """Stop watching: the end is known, or tuimon has given up."""
        _OPEN.discard(self)
        self._undo()
        if self._watchdog is not None:
            self._watchdog.close()
        if self._is_of_process:
            self._signals.raises = True
        elif not self.is_signalled:
            self._signals.close()

    def last_words(self, *, in_validation: bool = False, after_epoch: bool = False) -> str:
        """Record the last facts if a signal asks for the end, with a checkpoint where a stop saves one.

        Args:
            in_validation: Whether it is in a validation.
            after_epoch: Whether it is at the end of an epoch.

        Returns:
            The name of the signal; empty: training goes on, at least until the end of the validation.
        """
        if self._signals.number is None:
            return ""
        if in_validation and self._saves and self._awaits_validation():
            return ""
        name = name_of(self._signals.number)
        with contextlib.suppress(Exception):
            self._fit.save_last(name, after_epoch=in_validation or after_epoch)
        return name

    def leave(self) -> None:
        """End as the signal would have ended it without tuimon; nothing without a signal.

        Raises:
            EndedBySignal: The process is tuimon's own, and exits by itself.
        """
        self._signals.leave()

    def tell(self, number: int) -> None:
        """Tell that a signal has come. Called from a thread."""
        if not self._recorder.is_closed:
            self._recorder.note(f"{name_of(number)}: training ends after this step")
        self._fit.leave_pause()

    def end(self, status: str, reason: str) -> None:
        """Record the end, as far as that can be done from any thread.

        The model stays untouched; the next `fit`, if any, restores it.
        """
        if not self._recorder.is_closed and not self._is_of_process:
            with contextlib.suppress(Exception):
                self._watched.fit_is_over()
                self._fit.close_inbox()
                self._recorder.end(status, reason=reason)

    def end_at_exit(self) -> None:
        """Record that the program ends: by an exception, or because its main thread is over."""
        error = getattr(sys, "last_value", None)
        if error is not None and id(error) != self._last_value:
            self._failed(error)
        elif self._watchdog is not None and self._watchdog.is_over:
            self.end("failed", UNNOTICED)
        else:
            self.end("stopped", PROGRAM_ENDED)

    def _ending(self) -> tuple[int, ...]:
        """Return the signals that end this process."""
        if self._saves:
            return (*SIGNALS, signal.SIGINT)
        # Without a checkpoint to save, Ctrl-C is Python's own business, and a signal that is dropped ends nothing.
        return () if os.getpid() == FIRST_PROCESS else SIGNALS

    def _signal_of_program(self) -> str:
        """Return the signal that a handler of the program's own took in this ``fit``, and that may have ended it.

        Empty: there was none, or a callback says itself that it has ended the training, as `EarlyStopping` does.
        """
        if any(getattr(callback, "stopped_epoch", 0) for callback in getattr(self._callbacks, "callbacks", ())):
            return ""
        number = self._signals.taken_by_other
        return "" if number is None else f"{name_of(number)}, which a handler of the program took"

    def _awaits_validation(self) -> bool:
        # Cut off, its epoch would be one that no callback has counted, such as patience, in a checkpoint after it.
        if self._others_act_in_validation:
            return True
        now = time.monotonic()
        self._signalled_at = now if self._signalled_at is None else self._signalled_at
        if now < self._signalled_at + VALIDATION_SECONDS:
            return True
        self._recorder.note(f"validation is cut off: callbacks have not counted epoch {self._recorder.epoch + 1}")
        return False

    def _gone_unnoticed(self) -> None:
        self._signals.deactivate()
        self.end("failed", UNNOTICED)


def _act_in_validation(callbacks: Any) -> bool:
    """Return True if a callback may put other weights in place for a validation, as that of moving averages does."""
    keras_own = type(callbacks).__mro__[-2]
    return any(
        getattr(getattr(callback, hook, None), "__func__", None) is not getattr(keras_own, hook, None)
        for callback in getattr(callbacks, "callbacks", ())
        for hook in ("on_test_begin", "on_test_batch_begin", "on_test_batch_end")
        if type(callback).__name__ != "ProgbarLogger" and not type(callback).__module__.startswith("tuimon.")
    )


def _tell_failures(callbacks: Any, failed: Callable[[BaseException], None]) -> Callable[[], None]:
    """Let a list of callbacks tell of the exceptions that leave it; return a function that undoes this."""
    put = {}
    for name in _HOOKS:
        if name not in vars(callbacks):
            put[name] = vars(callbacks)[name] = functools.partial(_told, getattr(callbacks, name), failed)

    def undo() -> None:
        for name, hook in put.items():
            if vars(callbacks).get(name) is hook:
                del vars(callbacks)[name]

    return undo


def _told(hook: Callable[..., Any], failed: Callable[[BaseException], None], *args: Any, **kwargs: Any) -> Any:
    try:
        return hook(*args, **kwargs)
    except (StopIteration, EndedBySignal):
        raise  # Keras takes the first one for the end of the data.
    except BaseException as error:
        with contextlib.suppress(Exception):
            failed(error)
        raise


_OPEN: "weakref.WeakSet[FitEnds]" = weakref.WeakSet()
"""Those of the ``fit``s under way."""


def tell_all(number: int) -> None:
    """Tell each ``fit`` under way that a signal has come."""
    for ends in list(_OPEN):
        ends.tell(number)


def _end_all(reason: str) -> None:
    for ends in list(_OPEN):
        ends.end("stopped", reason)


@atexit.register
def _end_at_exit() -> None:
    for ends in list(_OPEN):
        ends.end_at_exit()
