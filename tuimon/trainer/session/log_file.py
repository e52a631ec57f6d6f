"""The file of a log: whole lines at its end, an exclusive lock, and room kept for its last lines."""

import contextlib
import fcntl
import os
import time
from pathlib import Path

import msgspec

LOCK_SECONDS = 1.0
"""How long to try for the lock: a viewer that tests it holds it for an instant."""
RESERVE_BYTES = 64 * 1024
"""Room on the disk that is kept for the last lines: how the run ended, and how much is missing."""
_LINE_BYTES = 8 * 1024
"""So much of it is for a line that says that the disk is full: a line may begin a block of the disk."""
_ROOM_SECONDS = 10.0
"""Time until the next try to keep room on a disk that had none."""
_BLOCK_BYTES = 1024 * 1024
_LINES_LOOKED_AT = 10
"""Last lines to read for the last number; a crash of the machine may have damaged some."""


class LogTakenError(OSError):
    """Another trainer writes this log."""


class LogFile:
    """Owns the file of a log, and holds an exclusive lock on it until closed, where the file system has locks.

    Args:
        path: The log; created, readable by its owner alone, if it is missing.
        next_seq: Number of the first event; None: one more than that of the log's last line. A partial last line, which
            a killed writer leaves, is cut off.

    Raises:
        LogTakenError: Another process holds the lock.
        OSError: The log cannot be opened.
    """

    def __init__(self, path: Path, *, next_seq: int | None = 0) -> None:
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, flags, 0o600)
        self._reserve: int | None = None
        self._room_due = 0.0
        self._torn_at: int | None = None
        self._is_cut = False
        self.lock_error: str | None = None
        """Why the log has no lock; None if it has one."""
        try:
            self.lock_error = _lock(self._file, path)
            self.next_seq = _seq_after_last_line(self._file) if next_seq is None else next_seq
            """Number of the next event."""
            self.size = os.fstat(self._file).st_size
            """Bytes up to the end of the last line."""
        except OSError:
            os.close(self._file)
            raise

    def cut_off(self) -> int:
        """Return how many bytes somebody else has cut off from the end, and go on from the new end."""
        now = os.fstat(self._file).st_size
        lost, self.size = max(0, self.size - now), min(now, self.size)
        self._is_cut = self._is_cut or lost > 0
        return lost

    def append(self, data: bytes) -> None:
        """Add whole lines, and wait until they are on the disk.

        Raises:
            OSError: The disk does not take them. The file is as it was before, as far as the disk allows that.
        """
        before = os.fstat(self._file).st_size
        if self._torn_at is not None and before > self._torn_at and self._cut(self._torn_at):
            before = self._torn_at
        self._torn_at = None
        if (before != self.size or self._is_cut) and before and os.pread(self._file, 1, before - 1) != b"\n":
            # The line before is not whole, and must not join the next one.
            data = b"\n" + data
        try:
            _write(self._file, data)
            os.fdatasync(self._file)
        except OSError:
            # Keep whole lines only: the next line would join a partial one.
            if not self._cut(before):
                self._torn_at = before
            raise
        self.size, self._is_cut = before + len(data), False

    def _cut(self, size: int) -> bool:
        with contextlib.suppress(OSError):
            # Not if it is shorter by now: it would get zeros at its end.
            if os.fstat(self._file).st_size > size:
                os.ftruncate(self._file, size)
            return True
        return False

    @property
    def may_have_room(self) -> bool:
        """False if the disk has less left than is kept for the last lines; True where that cannot be told."""
        with contextlib.suppress(OSError):
            disk = os.fstatvfs(self._file)
            return disk.f_blocks == 0 or disk.f_bavail * disk.f_frsize >= RESERVE_BYTES
        return True

    def append_into_room(self, data: bytes) -> bool:
        """Add a short line where the disk is full: into the room of the last lines, of which the larger part stays.

        Returns:
            False if there is no room for it, and nothing was written.

        Raises:
            OSError: It cannot be written there either.
        """
        left = self._room - _LINE_BYTES
        if self._reserve is None or left < RESERVE_BYTES // 2:
            return False
        os.ftruncate(self._reserve, left)
        self.append(data)
        return True

    def keep_room(self) -> None:
        """Keep some room on the disk for the last lines, as far as there is none yet.

        The room belongs to a file without a name. So nothing is left of it when the process ends, however that happens.
        """
        now = time.monotonic()
        if now < self._room_due or self._room >= RESERVE_BYTES:
            return
        self._room_due = now + _ROOM_SECONDS
        with contextlib.suppress(OSError):
            descriptor = self._nameless() if self._reserve is None else self._reserve
            try:
                # Noise: zeros may take no room on a file system that compresses.
                _write(descriptor, os.urandom(RESERVE_BYTES - self._room))
                os.fsync(descriptor)
            except OSError:
                if self._reserve is None:
                    os.close(descriptor)
                raise
            self._reserve = descriptor

    @property
    def _room(self) -> int:
        return 0 if self._reserve is None else os.fstat(self._reserve).st_size

    def _nameless(self) -> int:
        hidden = self._path.with_name(f".{self._path.name}.room-{os.getpid()}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(hidden, flags, 0o600)
        try:
            hidden.unlink()
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def free_room(self) -> None:
        """Give the room back to the disk, for lines that must still be written."""
        descriptor, self._reserve = self._reserve, None
        if descriptor is None:
            return
        # A forked process has the file open too, and would keep its room.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):
            os.close(descriptor)

    def misplaced(self) -> str:
        """Return how the file was taken from its path; empty if it is there, or that cannot be told."""
        try:
            mine = os.fstat(self._file)
            if mine.st_nlink == 0:
                return "it was removed"
            try:
                there = os.lstat(self._path)
            except (FileNotFoundError, NotADirectoryError):
                return f"it was moved{self._whereabouts()}"
        except OSError:
            return ""
        if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
            return ""
        return f"it was moved{self._whereabouts()}, and another file is in its place"

    @property
    def is_removed(self) -> bool:
        """True if the file has no name any more: whatever is written goes with the process."""
        try:
            return os.fstat(self._file).st_nlink == 0
        except OSError:
            return False

    def _whereabouts(self) -> str:
        with contextlib.suppress(OSError):
            return f" to {Path(f'/proc/self/fd/{self._file}').readlink()}"
        return ""

    def close(self) -> None:
        """Release the lock and the room, and close the file."""
        self.free_room()
        with contextlib.suppress(OSError):
            # A forked process, such as a data loader's worker, has the file open too, and would keep the lock.
            fcntl.flock(self._file, fcntl.LOCK_UN)
        with contextlib.suppress(OSError):
            os.close(self._file)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _lock(descriptor: int, path: Path) -> str | None:
    """Take the lock; return why there is none if the file system has no locks, as Lustre and NFS may be mounted."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise LogTakenError(f"{path}: another trainer writes it") from error
            time.sleep(0.02)
        except OSError as error:
            return error.strerror or str(error)


def _seq_after_last_line(descriptor: int) -> int:
    """Cut off a partial last line; return the number after that of the last whole line."""
    end = os.fstat(descriptor).st_size
    data = b""
    start = end
    while start > 0 and data.count(b"\n") < _LINES_LOOKED_AT:
        start = max(0, start - _BLOCK_BYTES)
        data = os.pread(descriptor, end - start, start)
    whole = data.rfind(b"\n") + 1
    os.ftruncate(descriptor, start + whole)
    for line in reversed(data[:whole].splitlines()):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            return msgspec.json.decode(line, type=_Numbered).seq + 1
    return 0


class _Numbered(msgspec.Struct):
    seq: int
