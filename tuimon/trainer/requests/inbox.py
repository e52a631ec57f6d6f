"""Reads requests: a thread looks into ``commands/`` and passes new requests to the training thread.

The directory is not trusted. Only regular files of the trainer's own user, with one link and at most 64 KiB, are read,
through a descriptor that follows no link and waits for no pipe.
"""

import contextlib
import os
import stat
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tuimon.protocol import commands
from tuimon.protocol.events import CommandRejected, Sender
from tuimon.text import plain
from tuimon.trainer.session.recorder import Recorder

LOOK_SECONDS = 0.05
"""Time between two looks."""
IDLE_LOOK_SECONDS = 0.5
"""Time between two looks after a minute without requests: listing a directory loads a network file system."""
IDLE_AFTER_LOOKS = int(60 / LOOK_SECONDS)


@dataclass(frozen=True)
class Received:
    """A request in the directory."""

    path: Path
    """Its file."""
    request: commands.AnyRequest | None
    """The request; None if it could not be read."""
    sender: Sender
    """The user and process that sent it."""
    reason: str = ""
    """Why it could not be read."""

    @property
    def id(self) -> str:
        """The id that the answer names: the sender's, or the file's name if the request could not be read."""
        return self.request.id if self.request else plain(self.path.stem)

    @property
    def fields(self) -> dict[str, object]:
        """The request as JSON fields; empty if it could not be read."""
        return commands.as_fields(self.request) if self.request else {}

    def claim(self) -> bool:
        """Take the request by renaming its file; return False if the sender has withdrawn it."""
        try:
            self.path.rename(self._claimed)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # The file cannot be renamed, but the request needs an answer.
        return True

    def delete(self) -> None:
        """Remove a claimed request's file. Called once the answer is on disk."""
        with contextlib.suppress(OSError):
            self._claimed.unlink()

    @property
    def _claimed(self) -> Path:
        return self.path.with_name(f".{self.path.name}.claimed")


class Inbox:
    """Runs the thread that looks for requests. The training thread takes them from ``received``.

    Args:
        directory: The run's ``commands/``.
        on_error: Called, in the thread, with an exception of a look, once for each text. The thread goes on.
    """

    def __init__(self, directory: Path, on_error: Callable[[Exception], None]) -> None:
        self.received: deque[Received] = deque()
        self._directory = directory
        self._on_error = on_error
        self._arrived = threading.Event()
        self._seen: set[str] = set()
        self._quiet_looks = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tuimon-inbox", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Block until a request arrives or the inbox is closed."""
        self._arrived.wait()
        self._arrived.clear()

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
        stopped, trouble = False, ""
        while not stopped:
            idle = self._quiet_looks > IDLE_AFTER_LOOKS
            stopped = self._stop.wait(IDLE_LOOK_SECONDS if idle else LOOK_SECONDS)
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - a broken directory must not end the thread
                if str(error) != trouble:  # The same error may occur twenty times a second.
                    self._on_error(error)
                trouble = str(error)

    def _look(self) -> None:
        try:
            names = {path.name for path in self._directory.glob("[!.]*.json")}
        except FileNotFoundError:
            names = set()
        new = sorted(names - self._seen)
        self._seen &= names
        self._quiet_looks = 0 if new else self._quiet_looks + 1
        for name in new:
            self._seen.add(name)
            self.received.append(_receive(self._directory / name))
        if new:
            self._arrived.set()


def waiting(directory: Path) -> list[Received]:
    """Return the requests in ``commands/`` now."""
    return [_receive(path) for path in sorted(directory.glob("[!.]*.json"))]


def reject_what_was_left(recorder: Recorder) -> None:
    """Reject requests that a killed attempt left; a stop among them would end this attempt at its first step."""
    for received in waiting(recorder.run.commands):
        if received.claim():
            fact = CommandRejected(
                id=received.id,
                request=received.fields,
                sender=received.sender,
                reason="it was meant for an attempt that has ended",
            )
            recorder.record(fact, received.delete)


def _receive(path: Path) -> Received:
    sender = Sender(uid=-1, user="", host="", pid=0)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return Received(path, None, sender, f"its file cannot be opened: {error.strerror}")
    try:
        status = os.fstat(descriptor)
        sender.uid = status.st_uid
        if reason := _refusal(status):
            return Received(path, None, sender, reason)
        data = os.read(descriptor, commands.MAXIMUM_REQUEST_BYTES + 1)
    except OSError as error:
        return Received(path, None, sender, f"its file cannot be read: {error.strerror}")
    finally:
        os.close(descriptor)
    try:
        request = commands.decode(data)
    except (ValueError, RecursionError) as error:
        return Received(path, None, sender, f"it is not a valid request: {error}")
    sender = Sender(uid=status.st_uid, user=request.user, host=request.host, pid=request.pid)
    return Received(path, request, sender)


def _refusal(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if status.st_uid != os.getuid():
        return f"its file belongs to another user (uid {status.st_uid})"
    if status.st_nlink != 1:
        return "its file has several links"
    if status.st_size > commands.MAXIMUM_REQUEST_BYTES:
        return f"its file is larger than {commands.MAXIMUM_REQUEST_BYTES} bytes"
    return ""
