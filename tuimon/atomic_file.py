"""Writes files that exist whole or not at all: a full disk, a kill or an error leaves the former file."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

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
