"""Reads requests: a thread looks into ``commands/`` and passes new requests to the training thread.

The directory is not trusted. Only regular files of the trainer's own user, with one link and at most 64 KiB, are read,
through a descriptor that follows no link and waits for no pipe.
"""

import contextlib
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tuimon.protocol import commands
from tuimon.protocol.events import Sender
from tuimon.text import plain
from tuimon.trainer.requests.folder import Folder, claimed_name, is_request, names_in, requests_in, was_claimed

LOOK_SECONDS = 0.05
"""Time between two looks."""
IDLE_LOOK_SECONDS = 0.5
"""Time between two looks after a minute without requests: listing a directory loads a network file system."""
IDLE_AFTER_LOOKS = int(60 / LOOK_SECONDS)
WAITING = 1000
"""Requests in memory that training has not taken; further ones wait in the directory."""
SHARE = 0.05
"""Largest share of the time that looking takes: Python runs one thread at a time, so many files are read slowly."""
MISSING_LOOKS = 20
"""Looks after which a missing directory is made again. Whoever deletes the whole run needs a moment."""


@dataclass
class Received:
    """A request in the directory."""

    folder: Folder
    """The directory."""
    name: str
    """Its file, as it is called before it is claimed."""
    request: commands.AnyRequest | None
    """The request; None if it could not be read."""
    sender: Sender
    """The user and process that sent it."""
    reason: str = ""
    """Why it could not be read."""
    is_stuck: bool = field(default=False, compare=False)
    """True if its file cannot be renamed, so that it may lie there for ever."""
    is_over: bool = field(default=False, compare=False)
    """True once its name is free for another request: claimed or withdrawn."""
    taken: int = field(default=0, compare=False)
    """Its number among the requests that were taken, from 1; 0: not taken."""

    @property
    def stem(self) -> str:
        """The name of the file, as text that can be shown."""
        return plain(self.name.removesuffix(".json"))

    @property
    def id(self) -> str:
        """The id that the answer names: the sender's, or the file's name if the request could not be read."""
        return self.request.id if self.request else self.stem

    @property
    def fields(self) -> dict[str, object]:
        """The request as JSON fields; empty if it could not be read."""
        return commands.as_fields(self.request) if self.request else {}

    def claim(self) -> bool:
        """Take the request by renaming its file; return False if the sender has withdrawn it."""
        try:
            with self.folder.opened() as folder:
                os.rename(self.name, claimed_name(self.name), src_dir_fd=folder, dst_dir_fd=folder)
        except FileNotFoundError:
            self.is_over = True
            return False
        except OSError:
            self.is_stuck = True  # The request needs an answer all the same.
        else:
            self.is_over = True
        return True

    def delete(self) -> None:
        """Remove a claimed request's file. Called once the answer is on disk."""
        name = self.name if self.is_stuck else claimed_name(self.name)
        with contextlib.suppress(OSError), self.folder.opened() as folder:
            try:
                os.unlink(name, dir_fd=folder)
            except (IsADirectoryError, PermissionError):
                os.rmdir(name, dir_fd=folder)


class Inbox:
    """Runs the thread that looks for requests. The training thread takes them from ``received``.

    Args:
        directory: The run's ``commands/``.
        on_error: Called, in the thread, with an exception of a look, once for each text. The thread goes on.
        note: Called, in the thread, with a sentence on what is wrong with the directory, once for each sentence.
    """

    def __init__(
        self, directory: Path, on_error: Callable[[Exception], None], note: Callable[[str], object] = lambda _: None
    ) -> None:
        self.received: deque[Received] = deque()
        self._folder = Folder(directory.parent)
        self._on_error = on_error
        self._note = note
        self._noted = set[str]()
        self._arrived = threading.Event()
        self._seen = dict[str, Received]()
        self._unread: deque[str] = deque()
        self._missing_looks = 0
        self._is_unreadable = False
        self._quiet_looks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tuimon-inbox", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Block until a request arrives or the inbox is closed."""
        # More than may be in memory have arrived together.
        if not self.received or self._stop.is_set():
            self._arrived.wait()
        self._arrived.clear()

    def wake(self) -> None:
        """Let `wait` return."""
        self._arrived.set()

    def close(self) -> None:
        """Stop looking, after one last look."""
        self._stop.set()
        self._thread.join(1.0)
        self._arrived.set()

    @property
    def is_closed(self) -> bool:
        """True once `close` was called."""
        return self._stop.is_set()

    def _run(self) -> None:
        stopped, trouble, took = False, "", 0.0
        while not stopped:
            idle = self._quiet_looks > IDLE_AFTER_LOOKS
            stopped = self._stop.wait(max(IDLE_LOOK_SECONDS if idle else LOOK_SECONDS, took / SHARE))
            began = time.perf_counter()
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - a broken directory must not end the thread
                if str(error) != trouble:  # The same error may occur twenty times a second.
                    self._on_error(error)
                trouble = str(error)
            took = time.perf_counter() - began

    def _look(self) -> None:
        before = len(self.received)
        try:
            with self._folder.looked_into() as folder:
                self._read(folder)
        except FileNotFoundError:
            self._make_again()
        except OSError as error:
            self._is_unreadable = True
            self._say(f"commands/ cannot be read, so requests are not taken: {error.strerror}")
        else:
            self._missing_looks = 0
            if self._is_unreadable:
                self._is_unreadable = False
                self._say("commands/ can be read again: requests are taken")
        has_new = len(self.received) > before or bool(self._unread)
        self._quiet_looks = 0 if has_new else self._quiet_looks + 1

    def _read(self, folder: int) -> None:
        if self._folder.was_replaced:
            self._say("commands/ was replaced by another directory: requests are taken from that one")
        if not self._unread:
            names = requests_in(folder)
            seen, self._seen = self._seen, {}
            for name in names:
                if name in seen and not seen[name].is_over:
                    self._seen[name] = seen[name]
                else:
                    self._unread.append(name)
        while self._unread and len(self.received) < WAITING:
            name = self._unread.popleft()
            received = _receive(self._folder, folder, name)
            if received is not None:
                self._seen[name] = received
                self.received.append(received)
                self._arrived.set()

    def _make_again(self) -> None:
        self._missing_looks += 1
        if self._missing_looks % MISSING_LOOKS:
            return
        try:
            self._folder.make_again()
        except OSError as error:
            self._say(f"commands/ is gone and cannot be made again, so requests are not taken: {error.strerror}")
        else:
            self._say("commands/ was removed and is made again; requests that lay there are lost")

    def _say(self, sentence: str) -> None:
        if sentence not in self._noted:
            self._noted.add(sentence)
            self._note(sentence)


def waiting(folder: Folder) -> Iterator[Received]:
    """Yield the requests in ``commands/`` now, oldest first."""
    with contextlib.suppress(OSError), folder.opened() as descriptor:
        for name in filter(is_request, names_in(descriptor)):
            received = _receive(folder, descriptor, name)
            if received is not None:
                yield received


def claimed(folder: Folder) -> Iterator[Received]:
    """Yield the requests that a trainer took and whose files are there still, oldest first."""
    with contextlib.suppress(OSError), folder.opened() as descriptor:
        for place in names_in(descriptor):
            name = was_claimed(place)
            received = None if name is None else _receive(folder, descriptor, name, place)
            if received is not None:
                yield received


def _receive(folder: Folder, descriptor: int, name: str, place: str | None = None) -> Received | None:
    """Read a request; return None if it is withdrawn.

    Args:
        folder: The directory.
        descriptor: Its descriptor.
        name: The request's file, as it is called before it is claimed.
        place: What the file is called now, if not ``name``.
    """
    sender = Sender(uid=-1, user="", host="", pid=0)
    try:
        data = _content(place or name, descriptor, sender)
        request = commands.decode(data)
    except FileNotFoundError:
        return None
    except RefusedError as error:
        return Received(folder, name, None, sender, str(error))
    except OSError as error:
        return Received(folder, name, None, sender, f"its file cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        return Received(folder, name, None, sender, f"it is not a valid request: {plain(str(error))}")
    sender = Sender(uid=sender.uid, user=request.user, host=request.host, pid=request.pid)
    return Received(folder, name, request, sender)


class RefusedError(Exception):
    """A file is not read; the message says why."""


def _content(place: str, folder: int, sender: Sender) -> bytes:
    """Return the bytes of a request's file; tell ``sender`` whose it is."""
    # A device may act when it is opened, so it is looked at first.
    _check(os.stat(place, dir_fd=folder, follow_symlinks=False), sender)
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        # Another file may have its name by now.
        _check(os.fstat(descriptor), sender)
        data = os.read(descriptor, commands.MAXIMUM_REQUEST_BYTES + 1)
        _check(os.fstat(descriptor), sender)
        return data
    finally:
        os.close(descriptor)


def _check(status: os.stat_result, sender: Sender) -> None:
    sender.uid = status.st_uid
    if stat.S_ISLNK(status.st_mode):
        raise RefusedError("it is a link")
    if not stat.S_ISREG(status.st_mode):
        raise RefusedError("it is not a regular file")
    if status.st_uid != os.getuid():
        raise RefusedError(f"its file belongs to another user (uid {status.st_uid})")
    if status.st_nlink != 1:
        raise RefusedError("its file has several links")
    if status.st_size > commands.MAXIMUM_REQUEST_BYTES:
        raise RefusedError(f"its file is larger than {commands.MAXIMUM_REQUEST_BYTES} bytes")
