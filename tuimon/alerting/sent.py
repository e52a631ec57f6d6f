"""What was sent out of a run: one numbered file for each message, which also says who sends the next one.

Several processes may watch one run. A message is claimed by making the file of the next number, which only one of them
can; a process that is killed holds nothing up, because the next message has another number.
"""

import contextlib
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tuimon.alerting.happenings import Told
from tuimon.atomic_file import whole_file
from tuimon.regular_file import open_regular, read_regular
from tuimon.text import plain

DIRECTORY = "alerts"
"""Name of the directory in a run's directory."""
_TROUBLE, _SENDING = "trouble.txt", ".sending"
_NAME = re.compile(r"(\d{6,12})\.json")
_LARGEST = 64 * 1024


class Claim(msgspec.Struct, kw_only=True, frozen=True):
    """A message that is sent, or was."""

    through: int
    """The number of the newest line of the log that need not be looked at any more."""
    told: Told = Told()
    """What was told that has no line in the log."""
    time: float = 0.0
    """When it was claimed, Unix seconds."""
    ending_time: float = 0.0
    """When a message about an end or a crash was claimed the last time, Unix seconds."""
    event: str = ""
    """What the message is about; empty: nothing was sent, it is the start."""
    count: int = 0
    """How many things it tells."""
    text: str = ""
    """Its text."""
    host: str = ""
    """The host that sends it."""
    pid: int = 0
    """The process that sends it."""


class Sent:
    """The messages of one run, shared by all processes that watch it.

    In a run directory of another user nothing is written: there, each process that watches sends its own.

    Args:
        run: The run's directory.
    """

    def __init__(self, run: Path) -> None:
        self._directory = run / DIRECTORY
        self._number = -1
        self._newest: Claim | None = None
        # Somebody may have put a link there.
        self._is_shared = _is_own(run) and not self._directory.is_symlink()

    def newest(self) -> Claim | None:
        """Return the newest message; None where there is none yet."""
        if not self._is_shared:
            return self._newest
        numbers = self._numbers()
        if numbers and numbers[-1] > self._number:
            for number in reversed(numbers):
                # The newest may have been torn by a full disk: what it said is then not known.
                if (claim := self._read(number)) is not None:
                    self._newest = claim
                    break
            self._number = numbers[-1]
        return self._newest

    def claim(self, claim: Claim) -> bool:
        """Claim the message that follows the newest one; return False if another process has.

        Where nothing can be written, on a full disk say, it is this process's: rather twice than never.
        """
        number = self._number + 1
        if self._is_shared:
            try:
                self._directory.mkdir(mode=0o700, exist_ok=True)
                if not _create(self._directory / f"{number:06}.json", msgspec.json.encode(claim)):
                    return False
                self._number = number
            except OSError:
                pass
        self._newest = claim
        return True

    def _numbers(self) -> list[int]:
        with contextlib.suppress(OSError):
            found = [_NAME.fullmatch(path.name) for path in self._directory.iterdir()]
            return sorted(int(match[1]) for match in found if match)
        return []

    def _read(self, number: int) -> Claim | None:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            data = read_regular(self._directory / f"{number:06}.json", _LARGEST, follow_links=False)
            return msgspec.json.decode(data, type=Claim)
        return None

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Hold a lock while a message is claimed and sent, so that others can wait for that."""
        descriptor = None
        with contextlib.suppress(OSError):
            if self._is_shared:
                self._directory.mkdir(mode=0o700, exist_ok=True)
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                descriptor = os.open(self._directory / _SENDING, flags, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    @property
    def is_sending(self) -> bool:
        """True while a process of this machine sends a message."""
        try:
            file = open_regular(self._directory / _SENDING, follow_links=False)
        except OSError:
            return False
        with file:
            try:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:
                return False
        return False

    def say_trouble(self, words: str) -> None:
        """Note what went wrong with the newest message, for whoever shows the run; an empty text: nothing did."""
        path = self._directory / _TROUBLE
        with contextlib.suppress(OSError):
            if not self._is_shared:
                return
            if not words:
                path.unlink(missing_ok=True)
                return
            self._directory.mkdir(mode=0o700, exist_ok=True)
            with whole_file(path, permissions=0o600, follows_links=False) as file:
                file.write(f"{words}\n")


class Trouble:
    """What goes wrong with the alerts of a run, told once.

    Args:
        run: The run's directory.
    """

    def __init__(self, run: Path) -> None:
        self._path = run / DIRECTORY / _TROUBLE
        self._told = self._read()

    def news(self) -> str:
        """Return what went wrong since this was asked the last time; an empty text where nothing did."""
        words = self._read()
        if words == self._told:
            return ""
        self._told = words
        return words

    def _read(self) -> str:
        with contextlib.suppress(OSError):
            return plain(read_regular(self._path, _LARGEST, follow_links=False).decode(errors="replace").strip(), 500)
        return ""


def _is_own(directory: Path) -> bool:
    try:
        return directory.stat().st_uid == os.geteuid() and os.access(directory, os.W_OK | os.X_OK)
    except OSError:
        return False


def _create(path: Path, data: bytes) -> bool:
    """Create a file with its content at once; return False if it is there already."""
    # Processes of several machines may have the same number.
    unfinished = path.with_name(f".{path.name}.{socket.gethostname()[:50]}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    try:
        _write(unfinished, data)
        try:
            os.link(unfinished, path, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError:
            # A file system without links: there, others may see it before it has its content.
            try:
                _write(path, data)
            except FileExistsError:
                return False
    finally:
        unfinished.unlink(missing_ok=True)
    return True


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
