"""Keeps in the run directory what a user's own script prints while it trains, and leaves the terminal to the script.

`sys.stdout` and `sys.stderr` stay the objects that they are; only their method ``write`` is shadowed. So `isatty`,
`fileno`, `input`, debuggers, progress bars, and handlers of `logging` that hold the stream work as without it. The
method of the stream is called first, and its result or its exception is the caller's. Text is kept only after it.

Messages that libraries in C write to file descriptor 2 are not kept: only a pipe or a pseudoterminal in place of the
terminal could read them.
"""

import atexit
import contextlib
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

FLUSH_SECONDS = 0.5
"""Time between two writes to the file."""
WAITING_CHARACTERS = 2_000_000
"""Characters that may wait for a slow disk; further text is left out."""
TEXT_CHARACTERS = 100_000
"""Of a longer text that is printed at once, the middle is left out."""
FIRST_BYTES = 1024 * 1024
"""Bytes from the beginning that are never dropped."""
NEWEST_BYTES = 8 * 1024 * 1024
"""Newest bytes that remain when the file is cut."""
MAXIMUM_BYTES = 16 * 1024 * 1024
"""Size from which the file is cut."""
CLOSE_SECONDS = 2.0
"""Longest time that the end of training waits for the disk."""

_MOVES = re.compile(r"\x1b(?!\[[0-9;]*[mK])")
"""An escape sequence that is more than a colour or the clearing of a line."""

Listener = Callable[[str], None]


class _Tap:
    """Shadows the method ``write`` of one stream, for all who listen to it.

    Args:
        stream: A text stream that keeps its attributes in a dictionary.

    Raises:
        TypeError: The stream is of another kind. A stream of the user's may raise anything else.
    """

    def __init__(self, stream: Any) -> None:
        # Not setattr: a proxy would hand the method to the stream behind it, and call itself.
        self._attributes = vars(stream)
        self._before = self._attributes.get("write")
        self._was_called = False
        self.listeners: tuple[Listener, ...] = ()
        """Called with each text that was written."""
        write = stream.write

        def tapped(*arguments: Any, **keywords: Any) -> Any:
            written = write(*arguments, **keywords)
            self._was_called = True
            # Not a lock: a signal handler may print while this thread is in here.
            with contextlib.suppress(Exception):
                text = _text(arguments, keywords)
                for listen in self.listeners:
                    listen(text)
            return written

        self._tapped = tapped
        self._attributes["write"] = tapped
        is_tapped = False
        try:
            is_tapped = stream.write is tapped
        finally:
            if not is_tapped:
                self.remove()
        if not is_tapped:
            raise TypeError("the stream finds its methods elsewhere")

    def is_called_by(self, stream: Any) -> bool:
        """Return whether a text that is written to the stream still comes by here.

        IPython, at the end of a cell, puts back the method that it found at its beginning, whatever is there.
        """
        if self._attributes.get("write") is self._tapped:
            return True
        self._was_called = False
        with contextlib.suppress(Exception):
            stream.write("")
        return self._was_called

    def remove(self) -> bool:
        """Put the stream's own method back; return False if somebody has put another one over this."""
        if self._attributes.get("write") is not self._tapped:
            return False
        if self._before is None:
            del self._attributes["write"]
        else:
            self._attributes["write"] = self._before
        return True


def _text(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> str:
    """Return the text that a call of ``write`` was given; empty if it was given something else."""
    given = arguments[0] if arguments else next(iter(keywords.values()), "")
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given).decode(errors="replace")
    # A class of the user's may have methods of its own.
    return str.__str__(given) if isinstance(given, str) else ""


_TAPS: dict[int, _Tap] = {}
"""The tapped streams, by identity: a class of the user's may hash and compare them as it likes.

One that somebody else has wrapped meanwhile stays, and is used again. A tap keeps its stream alive.
"""
_TAPPING = threading.Lock()


def _listen(stream: Any, listener: Listener) -> bool:
    """Call ``listener`` with each text written to a stream; return False if the stream cannot be tapped."""
    with _TAPPING, contextlib.suppress(Exception):
        tap = _TAPS.get(id(stream))
        if tap is None or not tap.is_called_by(stream):
            listeners = tap.listeners if tap is not None else ()
            tap = _TAPS[id(stream)] = _Tap(stream)
            tap.listeners = listeners
        if listener not in tap.listeners:
            tap.listeners = (*tap.listeners, listener)
        return True
    return False


def _leave(stream: Any, listener: Listener) -> None:
    with _TAPPING, contextlib.suppress(Exception):
        tap = _TAPS[id(stream)]
        tap.listeners = tuple(other for other in tap.listeners if other != listener)
        if not tap.listeners and tap.remove():
            del _TAPS[id(stream)]


class Console:
    """Copies the text that is printed through `sys.stdout` and `sys.stderr` into a file, between `start` and `stop`.

    The streams are those of the time of `start`. Text goes into a bounded queue; a thread writes it. A print never
    waits for the disk, and no error of the file reaches it. A forked process prints as without this.

    Args:
        path: The file; created, readable by its owner alone. It keeps its beginning and its newest part.
        flush_seconds: Time between two writes.
        maximum_bytes: Size from which the file is cut.
        first_bytes: Bytes from its beginning that remain.
        newest_bytes: Bytes from its end that remain.
    """

    def __init__(
        self,
        path: Path,
        *,
        flush_seconds: float = FLUSH_SECONDS,
        maximum_bytes: int = MAXIMUM_BYTES,
        first_bytes: int = FIRST_BYTES,
        newest_bytes: int = NEWEST_BYTES,
    ) -> None:
        self._file = BoundedFile(path, maximum_bytes, first_bytes, newest_bytes)
        self._flush_seconds = flush_seconds
        self._owner = os.getpid()
        self._texts: deque[str] = deque()
        self._waiting = 0
        self._left_out = 0
        self._streams: list[Any] = []
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to copy; where that is so already, copy again from a stream that was taken away meanwhile."""
        is_running = self._thread is not None and self._thread.is_alive()
        if is_running and self._closing.is_set():
            return  # The disk has not yet taken the text before.
        # A stream that was put in place meanwhile may write to the one before, and each text would come twice.
        streams = self._streams if is_running else [getattr(sys, name, None) for name in ("stdout", "stderr")]
        unlike = {id(stream): stream for stream in streams if stream is not None}
        if not is_running:
            self._closing.clear()
            self._thread = threading.Thread(target=self._run, name="tuimon-console", daemon=True)
            self._thread.start()
            atexit.register(self.stop)
        self._streams = [stream for stream in unlike.values() if _listen(stream, self._keep)]

    def stop(self) -> None:
        """Put the streams back as they were, and write what is left. Waits at most 2 seconds for the disk."""
        thread = self._thread
        if thread is None or self._closing.is_set() or os.getpid() != self._owner:
            return
        atexit.unregister(self.stop)
        for stream in self._streams:
            _leave(stream, self._keep)
        self._streams = []
        self._closing.set()
        thread.join(CLOSE_SECONDS)

    def _keep(self, text: str) -> None:
        try:
            if os.getpid() != self._owner:
                return
            if self._waiting > WAITING_CHARACTERS:
                self._left_out += len(text)
                return
            if len(text) > TEXT_CHARACTERS:
                text = _without_middle(text)
            self._waiting += len(text)
            self._texts.append(text)
        except Exception:  # noqa: BLE001, S110 - a print must not fail because of this
            pass

    def _run(self) -> None:
        while True:
            closing = self._closing.wait(self._flush_seconds)
            # Text is lost where this fails, and a thread that ended here would lose all that comes.
            with contextlib.suppress(Exception):
                self._write_waiting()
            if closing:
                break
        self._file.close()

    def _write_waiting(self) -> None:
        texts = [self._texts.popleft() for _ in range(len(self._texts))]
        # Threads that print at once may miscount; at each turn the count begins anew.
        self._waiting = 0
        left_out, self._left_out = self._left_out, 0
        text = collapsed("".join(texts))
        if left_out:
            text += _left_out(left_out, "characters", "the disk did not keep up")
        if text:
            self._file.append(text.encode(errors="replace"))


class BoundedFile:
    """A file of printed text that keeps its beginning and its newest part, and says where it has left something out.

    Args:
        path: The file, made with the first text.
        maximum_bytes: Size from which it is cut.
        first_bytes: Bytes from its beginning that remain.
        newest_bytes: Bytes from its end that remain; both together are less than ``maximum_bytes``.
    """

    def __init__(self, path: Path, maximum_bytes: int, first_bytes: int, newest_bytes: int) -> None:
        self._path = path
        self._maximum_bytes = maximum_bytes
        self._first_bytes = first_bytes
        self._newest_bytes = newest_bytes
        self._descriptor: int | None = None
        self._cut = 0
        self._lost = 0
        self._reason = ""

    def append(self, data: bytes) -> None:
        """Add text; what the disk does not take is left out, and the next text that it takes says so."""
        left = memoryview(data)
        try:
            descriptor = self._opened()
            if os.fstat(descriptor).st_size > self._maximum_bytes:
                descriptor = self._shortened(descriptor)
            if self._lost:
                _write(descriptor, _left_out(self._lost, "bytes", self._reason).encode())
                self._lost = 0
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError as error:
            self._lost += len(left)
            self._reason = error.strerror or str(error)

    def close(self) -> None:
        """Close the file; the next text opens it again."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = None

    def _opened(self) -> int:
        if self._descriptor is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
        return self._descriptor

    def _shortened(self, descriptor: int) -> int:
        """Put a shorter file in the place of this one. Readers see another file, never one that is half written."""
        size = os.fstat(descriptor).st_size
        first = os.pread(descriptor, self._first_bytes, 0)
        newest = os.pread(descriptor, self._newest_bytes, size - self._newest_bytes)
        first = first[: first.rfind(b"\n") + 1] or first
        newest = newest[newest.find(b"\n", 0, -1) + 1 :]
        # What was cut before lay between the two as well: only a sentence of it is left.
        cut = self._cut + size - len(first) - len(newest)
        hidden = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        other = os.open(hidden, flags, 0o600)
        try:
            _write(other, first + _left_out(cut, "bytes", "the log is kept short").encode() + newest)
            hidden.rename(self._path)
        except OSError:
            os.close(other)
            with contextlib.suppress(OSError):
                hidden.unlink()
            raise
        self.close()
        self._descriptor, self._cut = other, cut
        return other


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def collapsed(text: str) -> str:
    r"""Return printed text without the states of a progress bar that were overwritten.

    A line that moves the cursor elsewhere than to its own start stays as it is.

    Example:
        >>> collapsed("epoch\n 1/9\b\b\b\b\r 2/9\b\b\b\b\r 3/9")
        'epoch\n\r 3/9'
    """
    if "\r" not in text:
        return text
    return "\n".join(map(_collapsed_line, text.split("\n")))


def _collapsed_line(line: str) -> str:
    shown = line.rstrip("\r")
    before, overwrites, newest = shown.rpartition("\r")
    if not overwrites or _MOVES.search(before):
        return line
    # The first one overwrites what came before this text.
    return "\r" + newest + line[len(shown) :]


def _without_middle(text: str) -> str:
    half = TEXT_CHARACTERS // 2
    words = _left_out(len(text) - 2 * half, "characters", "one text was this long")
    return text[:half] + words + text[-half:]


def _left_out(count: int, unit: str, reason: str) -> str:
    return f"\n[tuimon: {count:,} {unit} were left out here: {reason}]\n"
