"""Where copies of logs of other machines lie, so that a run that is watched again is not fetched again."""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tuimon import ownership
from tuimon.errors import UsageError
from tuimon.regular_file import open_regular
from tuimon.runs.remote.address import Address

KEPT_SECONDS = 14 * 24 * 3600.0
"""A copy that nobody looked at for so long is deleted."""
_LOCK = "lock"


def cache_directory() -> Path:
    """Return the directory of all copies: ``$XDG_CACHE_HOME/tuimon/remote``, by default in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tuimon" / "remote"


class CachePlace:
    """A directory for the copy of one run, which this process alone writes until it is closed.

    Who watches a run twice at a time gets two copies.

    Args:
        address: Of the run, with its whole path there.

    Raises:
        UsageError: It cannot be made.
    """

    def __init__(self, address: Address) -> None:
        key = hashlib.sha256(os.fsencode(f"{address.destination}\0{address.path}")).hexdigest()[:32]
        try:
            root = cache_directory()
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Whoever can change it could put another log there, or a link to a file of this user.
            ownership.require_own_directory(root, "no log is copied there")
            _delete_old(root)
            place, self._lock = next(
                found for number in itertools.count() if (found := _free(root / f"{key}-{number}"))
            )
            os.utime(place / _LOCK)
            # What a run is called is shown where its log has no name for it.
            self.run = place / address.name
            """The directory of the copy."""
            self.run.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{cache_directory()}: the log cannot be copied there: {error.strerror}") from None

    def close(self) -> None:
        """Let others use the place."""
        os.close(self._lock)


def _free(place: Path) -> tuple[Path, int] | None:
    """Return a place and the descriptor that holds its lock; None where another process holds it."""
    place.mkdir(mode=0o700, exist_ok=True)
    if place.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, f"{place.name} is a link there, not a directory", str(place))
    lock = _locked(place)
    return None if lock is None else (place, lock)


def _locked(place: Path) -> int | None:
    """Return a descriptor that holds the lock of a place; None where another process holds it."""
    descriptor = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        # A file system without locks: two viewers of one run would write one copy.
        os.close(descriptor)
        raise
    return descriptor


def _delete_old(root: Path) -> None:
    for place in _old_places(root):
        with contextlib.suppress(OSError):
            lock = _locked(place)
            if lock is not None:
                shutil.rmtree(place, ignore_errors=True)
                os.close(lock)


def _old_places(root: Path) -> Iterator[Path]:
    for place in root.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - (place / _LOCK).stat().st_mtime > KEPT_SECONDS:
                yield place


def whole_lines(log: Path) -> tuple[int, bytes]:
    """Cut off the last line of a copy if it is not whole; return the bytes that stay, and the first ones of these."""
    try:
        with open_regular(log, follow_links=False) as file:
            size = end = file.seek(0, os.SEEK_END)
            while end > 0:
                begin = max(0, end - 1024 * 1024)
                found = os.pread(file.fileno(), end - begin, begin).rfind(b"\n")
                end = begin + found + 1 if found >= 0 else begin
                if found >= 0:
                    break
            head = os.pread(file.fileno(), min(end, 512), 0)
    except FileNotFoundError:
        return 0, b""
    if end < size:
        os.truncate(log, end)
    return end, head


def last_line(log: Path) -> bytes:
    """Return the last line of a copy, which ends with a whole one; empty where there is none, or it is very long."""
    with open_regular(log) as file:
        size = file.seek(0, os.SEEK_END)
        begin = max(0, size - 1024 * 1024)
        return os.pread(file.fileno(), size - begin, begin).rstrip(b"\n").rpartition(b"\n")[2]
