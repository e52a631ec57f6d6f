"""Writes files and directories that exist whole or not at all: a full disk, a kill or an error leaves the former."""

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tuimon.errors import UsageError

_LONGEST = 50
"""Characters of a name that its temporary name keeps, because file systems limit the length of names."""


@contextmanager
def whole_file(path: Path, *, permissions: int = 0o666, follows_links: bool = True) -> Iterator[TextIO]:
    r"""Open a text file that gets its name once it is complete and on the disk.

    Until then it is a hidden file in the same directory. Line ends are written unchanged.

    Args:
        path: Its name. An existing file is replaced, a link is followed, a pipe is written to.
        permissions: Permissions of a new file, before the umask.
        follows_links: False where others may put a link in its place: then a link is replaced, not what it leads to.

    Raises:
        OSError: The file cannot be written.

    Example:
        ```python
        with whole_file(Path("loss.csv")) as file:
            file.write("step,loss\n")
        ```
    """
    if follows_links and path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    path = Path(os.path.realpath(path)) if follows_links else path.absolute()
    _require_directory(path.parent)
    unfinished = path.with_name(f".{path.name[:_LONGEST]}.{os.getpid()}.unfinished")
    try:
        # A killed process with this id may have left the file, or somebody may have put a link there.
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, permissions)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            if path.exists() and (follows_links or not path.is_symlink()):
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def whole_directory(path: Path, *, is_former: Callable[[Path], bool]) -> Iterator[Path]:
    r"""Make a directory that gets its name once all its files are complete and on the disk.

    Until then it is a hidden directory beside it.

    Args:
        path: Its name. An empty directory is replaced, a link to one is followed.
        is_former: Whether a directory that is there may be replaced, with all that is in it.

    Raises:
        UsageError: Something else is there.
        OSError: The files cannot be written.

    Example:
        ```python
        with whole_directory(Path("logs"), is_former=lambda former: False) as directory:
            (directory / "loss.csv").write_text("step,loss\n")
        ```
    """
    path = Path(os.path.realpath(path))
    _require_free(path, is_former)
    unfinished = path.with_name(f".{path.name[:_LONGEST]}.{os.getpid()}.unfinished")
    former = path.with_name(f".{path.name[:_LONGEST]}.{os.getpid()}.former")
    try:
        # A killed process with this id may have left it.
        shutil.rmtree(unfinished, ignore_errors=True)
        _require_directory(path.parent)
        unfinished.mkdir()
        yield unfinished
        for place, _, files in os.walk(unfinished, topdown=False):
            for name in (*files, "."):
                _to_disk(Path(place, name))
        # Somebody may have put something there in the meantime.
        _require_free(path, is_former)
        _replace(path, unfinished, former)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    shutil.rmtree(former, ignore_errors=True)


def _require_directory(path: Path) -> None:
    if not path.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such directory", str(path))


def _require_free(path: Path, is_former: Callable[[Path], bool]) -> None:
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise UsageError(f"{path}: a file is there; name a directory that is new or empty")
    if any(path.iterdir()) and not is_former(path):
        raise UsageError(f"{path}: something else is in this directory; name one that is new or empty")


def _replace(path: Path, new: Path, former: Path) -> None:
    if not path.exists() or not any(path.iterdir()):
        # A directory replaces an empty one at once.
        new.rename(path)
        return
    path.rename(former)
    try:
        new.rename(path)
    except BaseException:
        former.rename(path)
        raise


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
