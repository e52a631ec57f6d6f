"""Lets a training end in order when a signal asks for it: with its last facts and, where it saves some, a checkpoint.

Schedulers and containers send SIGTERM, Slurm SIGUSR1 before the time is up, a closed terminal SIGHUP. A handler runs in
the middle of anything, so it only notes the number; training looks at it between two steps. A thread learns of the
signal at once, also while the main thread computes, and ends the process if training does not.
"""

import contextlib
import ctypes
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
"""Signals that end a process, unless it handles them, and that somebody sends to say so."""
FIRST_PROCESS = 1
"""The first process of a container does not die of a signal that it does not handle: the kernel drops that."""
AGAIN_SECONDS = 0.5
"""One wish often comes as two signals: of a closed terminal, from the kernel and from the shell. A later one counts."""
_HANDLED = 0x80
"""Added to a signal's number, where the handler tells it and not the interpreter."""
NOTICE_SECONDS = 0.02
"""Longest time from a signal until the thread has learnt of it, where it is asked at once."""
END_SECONDS = 10.0
"""Longest time that the last facts may take when the process ends at once."""


class EndedBySignal(BaseException):
    """A signal ends the training."""

    def __init__(self, number: int) -> None:
        super().__init__(name_of(number))
        self.number = number
        """The signal's number."""


class EndSignals:
    """Notes the first signal that asks the process to end. Made, installed and closed in the main thread.

    Args:
        grace_seconds: Longest time from the signal to the end of the process.
        noticed: Called once, from a thread, at the first signal.
        end: Called from a thread with the reason, when the process ends without having come to a step's end; it
            records that. It may hang.
        exits: Whether the process then exits with code 128 + n, instead of dying of the signal.
    """

    def __init__(
        self,
        *,
        grace_seconds: float,
        noticed: Callable[[int], None],
        end: Callable[[str], None],
        exits: bool = False,
    ) -> None:
        self.number: int | None = None
        """The first signal; None: there was none."""
        self.raises = False
        """Whether a signal raises `EndedBySignal` in the main thread at once: where nobody looks at `number`."""
        self._grace_seconds = grace_seconds
        self._noticed = noticed
        self._end = end
        self._exits = exits
        self._before: dict[int, Any] = {}
        self._of_others: frozenset[int] = frozenset()
        self._taken_by_other: int | None = None
        self._pipe: tuple[int, int] | None = None
        self._wakes_at_once = False
        self._is_active = True

    def install(self, numbers: Iterable[int]) -> None:
        """Handle those of the signals that nobody handles or ignores; nothing outside of the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        for other in list(_INSTALLED):
            if not other._is_active:
                other.close()  # Another thread tried, and could not.
        ours = [number for number in numbers if _is_free(number)]
        self._of_others = frozenset(number for number in numbers if number not in ours and _has_handler(number))
        if not ours and not self._of_others:
            return
        self._pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        threading.Thread(target=self._watch, args=self._pipe, name="tuimon-signals", daemon=True).start()
        former = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._wakes_at_once = former == -1
        if former != -1:
            signal.set_wakeup_fd(former)  # An event loop's: the thread then learns of it from the handler.
        _INSTALLED.append(self)
        for number in ours:
            self._before[number] = signal.signal(number, self._handle)

    def close(self) -> None:
        """Put the former handlers back, but for those that somebody else has replaced since."""
        self.deactivate()
        if self._pipe is None or threading.current_thread() is not threading.main_thread():
            return  # Elsewhere no handler can be set.
        pipe, self._pipe = self._pipe, None
        self._restore()
        os.write(pipe[1], b"\0")

    def leave_in_fork(self) -> None:
        """Put the former handlers back in a fork, which has this object, but not its thread."""
        self._pipe = None
        self._restore()

    def deactivate(self) -> None:
        """From now on act as the former handlers do. Called from any thread."""
        self._is_active = False

    @property
    def taken_by_other(self) -> int | None:
        """The first of the signals that came and that a handler of the program's own took; None: none, as is known."""
        may_come = bool(self._of_others) or not all(map(self._has, self._before))
        if may_come and self._taken_by_other is None:
            time.sleep(NOTICE_SECONDS)  # The thread needs a moment to tell.
        return self._taken_by_other

    def check(self) -> None:
        """Raise `EndedBySignal` if there was a signal.

        Raises:
            EndedBySignal: There was one.
        """
        if self.number is not None:
            raise EndedBySignal(self.number)

    def leave(self) -> None:
        """End as the first signal would have: by the former handler, or by its default action.

        Raises:
            EndedBySignal: The process is to exit by itself.
        """
        if self.number is None:
            return
        if self._exits:
            raise EndedBySignal(self.number)
        number, handler = self.number, self._before.get(self.number)
        self.close()
        if callable(handler):
            handler(number, None)  # Python's own for Ctrl-C, which raises KeyboardInterrupt.
        else:
            # A handler set since then, which calls this one, has had its turn.
            with contextlib.suppress(ValueError):
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            if os.getpid() == FIRST_PROCESS:
                # Also a death by a signal leaves Python no time.
                os._exit(128 + number)

    def _restore(self) -> None:
        if self in _INSTALLED:
            _INSTALLED.remove(self)
        for number, handler in self._before.items():
            if self._has(number):
                signal.signal(number, handler)
        if self._wakes_at_once:
            self._wakes_at_once = False
            signal.set_wakeup_fd(-1)

    def _has(self, number: int) -> bool:
        return bool(signal.getsignal(number) == self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._pipe is None or not self._is_active:
            handler = self._before.get(number, signal.SIG_DFL)
            signal.signal(number, handler)
            if callable(handler):
                handler(number, frame)
            else:
                os.kill(os.getpid(), number)
            return
        if self.number is None:
            self.number = number
        if not self._wakes_at_once or not self._has(number):
            with contextlib.suppress(OSError):
                os.write(self._pipe[1], bytes([number | _HANDLED]))
        if self.raises:
            self.raises = False
            raise EndedBySignal(number)

    def _watch(self, reading: int, writing: int) -> None:
        poll = select.poll()
        poll.register(reading, select.POLLIN)
        first, since = 0, 0.0
        try:
            while True:
                left = max(0.0, since + self._grace_seconds - time.monotonic()) if first else None
                if not poll.poll(None if left is None else left * 1000):
                    self._end_now(first, f"{name_of(first)}, and no step ended within {self._grace_seconds:g} s")
                    return
                for byte in os.read(reading, 64):
                    number = byte & ~_HANDLED
                    if number == 0:
                        return
                    if not self._is_active:
                        continue
                    # The interpreter tells of it, too, where the user has set a handler, before or since.
                    if number in self._of_others or (
                        number == byte and number in self._before and not self._has(number)
                    ):
                        self._taken_by_other = self._taken_by_other or number
                        continue
                    if number not in self._before:
                        continue
                    if not first:
                        first, since = number, time.monotonic()
                        with contextlib.suppress(Exception):
                            self._noticed(number)
                    elif time.monotonic() - since >= AGAIN_SECONDS:
                        self._end_now(number, f"{name_of(number)}, the second signal")
                        return
        finally:
            os.close(reading)
            os.close(writing)

    def _end_now(self, number: int, reason: str) -> None:
        ending = threading.Thread(target=self._end, args=(reason,), name="tuimon-end", daemon=True)
        ending.start()
        ending.join(END_SECONDS)
        if not self._exits:
            # Only the main thread may set a handler through `signal`, and it may never come back.
            ctypes.pythonapi.PyOS_setsig(number, None)
            os.kill(os.getpid(), number)
            time.sleep(1.0)
        os._exit(128 + number)


def name_of(number: int) -> str:
    """Return the name of a signal; of Ctrl-C both."""
    return "Ctrl-C (SIGINT)" if number == signal.SIGINT else signal.Signals(number).name


_INSTALLED: list[EndSignals] = []


_MASK = threading.local()


def _before_fork() -> None:
    if _INSTALLED:
        # Python forgets what reaches a fork before it has other handlers, and who waits for its end waits for ever.
        _MASK.before = signal.pthread_sigmask(signal.SIG_BLOCK, [*SIGNALS, signal.SIGINT])


def _after_fork() -> None:
    mask, _MASK.before = getattr(_MASK, "before", None), None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _leave_in_fork() -> None:
    """Let a fork, such as a data loader's worker, end by its signals and tell nobody of them."""
    for signals in list(_INSTALLED):
        signals.leave_in_fork()
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_leave_in_fork)


def _is_free(number: int) -> bool:
    handler = signal.getsignal(number)
    if number == signal.SIGINT:
        return handler is signal.default_int_handler
    return handler == signal.SIG_DFL and not _is_caught(number)


def _has_handler(number: int) -> bool:
    return callable(signal.getsignal(number))


def _is_caught(number: int) -> bool:
    """Whether a handler that Python does not know of catches a signal, such as one of `faulthandler.register`."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path("/proc/self/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
    return False
