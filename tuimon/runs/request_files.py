"""Reaches ``commands/`` through descriptors, so that no link leads a sender or a trainer elsewhere."""

import errno
import itertools
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuimon import ownership

FOLDER = "commands"
"""The directory of the requests, in a run directory."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_counter = itertools.count()


@contextmanager
def opened_run(path: Path) -> Iterator[int]:
    """Open a run directory, and close it afterwards.

    Raises:
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, _DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_folder(run: int) -> Iterator[int]:
    """Open the ``commands/`` of a run, and close it afterwards. A link is not followed.

    Args:
        run: Descriptor of the run directory, which may have been renamed since it was opened.

    Raises:
        OSError: There is none, it cannot be opened, or something else has its place; the text says which.
    """
    try:
        descriptor = os.open(FOLDER, _DIRECTORY | os.O_NOFOLLOW, dir_fd=run)
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        is_link = stat.S_ISLNK(os.stat(FOLDER, dir_fd=run, follow_symlinks=False).st_mode)
        raise NotADirectoryError(
            errno.ENOTDIR, "it is a link" if is_link else "it is not a directory", FOLDER
        ) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def put(run: Path, data: bytes) -> Path:
    """Put a request where the trainer of a run looks, whole at once, and return its file.

    Raises:
        OSError: It cannot be written; no file of it remains.
    """
    ownership.require_no_link_of_others(run)
    name = f"{time.time_ns():020d}-{os.getpid()}-{next(_counter)}.json"
    hidden = f".{name}"
    with opened_run(run) as directory, _named(run / FOLDER), opened_folder(directory) as folder:
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                # Another host sees the file once its data are on the server.
                os.fsync(file.fileno())
            os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            _remove(hidden, folder)
            raise
    return run / FOLDER / name


def _remove(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        return


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let errors name the whole path instead of a name in a directory."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise
