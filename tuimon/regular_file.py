"""Opens files that others may have put there: a pipe, a device or a socket in place of one holds nobody up."""

import errno
import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISLNK, "a link"),
)


class NotRegularError(OSError):
    """Something else than a file lies at a path. Reading it might wait for ever, or never end."""

    def __init__(self, path: Path, mode: int) -> None:
        what = next((words for is_kind, words in _KINDS if is_kind(mode)), "something else")
        super().__init__(errno.EINVAL, f"it is {what}, not a file", str(path))


class _Unblocked(io.FileIO):
    """A file that has nothing to read now, such as some under /proc, is an error: nobody waits for it."""

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Read into a buffer and return how many bytes that were; 0 at the end.

        Raises:
            OSError: Nothing can be read, or nothing yet.
        """
        count = super().readinto(buffer)
        if count is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), self.name)
        return count

    def readall(self) -> bytes:
        """Return everything up to the end.

        Raises:
            OSError: It cannot be read, or not yet.
        """
        parts = []
        while part := self.read(1024 * 1024):
            parts.append(part)
        if part is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), self.name)
        return b"".join(parts)


def open_regular(path: Path, *, follow_links: bool = True) -> io.BufferedReader:
    """Open a file for reading. Nothing else than a regular file is opened, and nobody waits for another process.

    Args:
        path: The file.
        follow_links: Whether the file may be a link to one, as in a copy of a run that shares its log.

    Raises:
        FileNotFoundError: Nothing is there.
        NotRegularError: Something else than a file is there.
        OSError: It cannot be opened.
    """
    # Looked at first: to open a device may set it going, and to open a pipe lets its writer go on.
    _require_regular(path, path.stat(follow_symlinks=follow_links).st_mode)
    return io.BufferedReader(_Unblocked(path, "rb", opener=_open if follow_links else _open_itself))


def read_regular(path: Path, most_bytes: int, *, follow_links: bool = True) -> bytes:
    """Return what a regular file holds, at most so many bytes of it.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    with open_regular(path, follow_links=follow_links) as file:
        return file.read(most_bytes)


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _require_regular(Path(path), os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_itself(path: str, flags: int) -> int:
    return _open(path, flags | os.O_NOFOLLOW)


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise NotRegularError(path, mode)
