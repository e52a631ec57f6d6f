"""Owners and permissions of files: nothing runs that another user could have put there or changed."""

import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from tuimon.errors import UsageError

_OVERFLOW_UID = Path("/proc/sys/kernel/overflowuid")
_UID_MAP = Path("/proc/self/uid_map")
_MOST_LINKS = 40
"""As many as Linux follows in one path."""


def require_trusted(path: Path, status: os.stat_result, consequence: str) -> None:
    """Check that a file or directory is the caller's or root's, and that nobody else can write it.

    Args:
        path: For the message.
        status: Of the file itself, or of its descriptor.
        consequence: What is not done otherwise, such as "its code is not run".

    Raises:
        UsageError: it is not so.
    """
    if status.st_uid != 0:
        _require_owner(path, status, consequence)
    _require_no_writers(path, status, consequence)


def require_own(path: Path, status: os.stat_result, consequence: str) -> None:
    """Check that a file or directory is the caller's, not even root's, and that nobody else can write it.

    Raises:
        UsageError: it is not so.
    """
    _require_owner(path, status, consequence)
    _require_no_writers(path, status, consequence)


def require_own_directory(path: Path, consequence: str) -> None:
    """Check that a directory is the caller's, and that nobody else can put another one in its place.

    Every directory and every link that leads to it is the caller's or root's. In a sticky directory, such as /tmp,
    others can make files, but cannot rename those of the caller.

    Raises:
        UsageError: it is not so; names the directory and what to do.
        OSError: the path leads nowhere.
    """
    *above, (place, own) = _way_to(path)
    for entry, status in above:
        if not _may_be_of_root(status.st_uid):
            _require_owner(entry, status, consequence)
        if stat.S_ISDIR(status.st_mode) and not status.st_mode & stat.S_ISVTX:
            _require_no_writers(entry, status, consequence)
    require_own(place, own, consequence)


def read_own(path: Path, consequence: str) -> bytes:
    """Return what a file of the caller's holds, which nobody else can write: no link, no pipe.

    The file that was checked is the one that is read.

    Raises:
        UsageError: it is not such a file.
        OSError: it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise UsageError(f"{path}: it is a link, {consequence}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path}: it is not a regular file, {consequence}")
        require_own(path, status, consequence)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _way_to(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each directory and link that the system passes on its way to a path, and at last what it leads to."""
    place, links = Path("/"), 0
    yield place, place.lstat()
    ahead = [*reversed(path.absolute().parts[1:])]
    while ahead:
        part = ahead.pop()
        # The place holds no links: its parent is the one that the system takes.
        entry = place.parent if part == ".." else place / part
        status = entry.lstat()
        yield entry, status
        if not stat.S_ISLNK(status.st_mode):
            place = entry
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = entry.readlink()
        if target.is_absolute():
            place = Path("/")
        ahead += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    yield place, place.lstat()


def _may_be_of_root(uid: int) -> bool:
    """Whether a directory of this owner may be root's.

    In a user namespace, as containers without root have it, the kernel shows the host's root as the owner "nobody".
    """
    if uid == 0:
        return True
    try:
        nobody, mapped = int(_OVERFLOW_UID.read_text()), _UID_MAP.read_text().split()
    except (OSError, ValueError):
        return False
    return uid == nobody and mapped != ["0", "0", "4294967295"]


def _require_owner(path: Path, status: os.stat_result, consequence: str) -> None:
    if status.st_uid != os.getuid():
        raise UsageError(f"{path}: the {_kind(status)} is another user's (uid {status.st_uid}), {consequence}")


def _require_no_writers(path: Path, status: os.stat_result, consequence: str) -> None:
    writers = [
        letter
        for bit, letter in ((stat.S_IWGRP, "g"), (stat.S_IWOTH, "o"))
        if status.st_mode & bit and not (letter == "g" and _is_private_group(status.st_gid))
    ]
    if writers:
        remedy = f"mend it with: chmod {''.join(writers)}-w {shlex.quote(str(path))}"
        if status.st_uid != os.getuid():
            remedy = "use a copy in a directory of your own"
        raise UsageError(f"{path}: others can write this {_kind(status)}, {consequence}; {remedy}")


def _kind(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "link"
    return "directory" if stat.S_ISDIR(status.st_mode) else "file"


def _is_private_group(gid: int) -> bool:
    """Whether the caller is alone in a group, as where every user has a group of their own (umask 002)."""
    if gid == 0:
        return True
    try:
        me = pwd.getpwuid(os.getuid())
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    if gid != me.pw_gid or group.gr_name != me.pw_name or set(group.gr_mem) - {me.pw_name}:
        return False
    return all(user.pw_uid == me.pw_uid for user in pwd.getpwall() if user.pw_gid == gid)
