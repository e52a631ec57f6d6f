"""Checks owners and permissions of files, so that tuimon runs nothing that another user could have changed."""

import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from tuimon.errors import UsageError
from tuimon.regular_file import NotRegularError, open_regular

_OVERFLOW_UID = Path("/proc/sys/kernel/overflowuid")
_UID_MAP = Path("/proc/self/uid_map")
_MOST_LINKS = 40
"""The limit of Linux for the links in one path."""


def require_trusted(path: Path, status: os.stat_result, consequence: str) -> None:
    """Check that a file or directory belongs to the caller or to root, and that nobody else can write it.

    Args:
        path: The file, for the message.
        status: Its status, or that of its descriptor.
        consequence: What tuimon does not do if the check fails, such as "its code is not run".

    Raises:
        UsageError: The check fails.
    """
    if status.st_uid != 0:
        _require_owner(path, status, consequence)
    _require_no_writers(path, status, consequence)


def require_own(path: Path, status: os.stat_result, consequence: str) -> None:
    """Check that a file or directory belongs to the caller, not even to root, and that nobody else can write it.

    Raises:
        UsageError: The check fails.
    """
    _require_owner(path, status, consequence)
    _require_no_writers(path, status, consequence)


def require_own_directory(path: Path, consequence: str) -> None:
    """Check that a directory belongs to the caller, and that nobody else can replace it by another one.

    Every directory and every link on the way must belong to the caller or to root. In a sticky directory, such as /tmp,
    others can create files, but cannot rename the caller's.

    Raises:
        UsageError: The check fails; the message names the directory and the remedy.
        OSError: The path leads nowhere.
    """
    *above, (place, own) = _way_to(path)
    for entry, status in above:
        if not _may_be_of_root(status.st_uid):
            _require_owner(entry, status, consequence)
        if stat.S_ISDIR(status.st_mode) and not status.st_mode & stat.S_ISVTX:
            _require_no_writers(entry, status, consequence)
    require_own(place, own, consequence)


def require_no_link_of_others(path: Path) -> None:
    """Check that a path is no link that another user made, which may lead to any directory of the caller's.

    Raises:
        OSError: It is one, or it is not there.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode) and not _may_be_of_root(status.st_uid) and status.st_uid != os.getuid():
        raise OSError(errno.EPERM, f"it is a link of another user (uid {status.st_uid})", str(path))


def read_own(path: Path, consequence: str) -> bytes:
    """Return the bytes of a regular file that belongs to the caller and that nobody else can write.

    The check and the reading use one descriptor, so nobody can exchange the file in between.

    Raises:
        UsageError: The check fails, or the path is a link or a pipe.
        OSError: The file cannot be read.
    """
    try:
        file = open_regular(path, follow_links=False)
    except NotRegularError as error:
        raise UsageError(f"{path}: {error.strerror}, {consequence}") from None
    with file:
        require_own(path, os.fstat(file.fileno()), consequence)
        return file.read()


def _way_to(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each directory and link that the system passes on its way to a path, then the target."""
    place, links = Path("/"), 0
    yield place, place.lstat()
    ahead = [*reversed(path.absolute().parts[1:])]
    while ahead:
        part = ahead.pop()
        # `place` has no links in it, so its parent is the one that the system takes.
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
    """Return True if this owner may be root.

    In a user namespace, as in a rootless container, the kernel shows the host's root as the owner "nobody".
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
    """Return True if the caller is alone in a group, as on systems that give every user a group (umask 002)."""
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
