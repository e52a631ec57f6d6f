"""Files that are there whole or not at all: a full disk, a kill or a mistake leaves what was there before."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_LONGEST = 50
"""Characters of a name of which another name is made: it may have so many bytes and no more."""


@contextmanager
def whole_file(path: Path, *, permissions: int = 0o666) -> Iterator[TextIO]:
    r"""Open a text file that has its name once it is written, and on the disk.

    Lines end as they are written. Beside it lies, meanwhile, a hidden file of this process.

    Args:
        path: Its name. A file that has it already is replaced, a link followed, a pipe written to.
        permissions: Of a new file, less what the umask takes away.

    Raises:
        OSError: It cannot be written.

    Example:
        ```python
        with whole_file(Path("loss.csv")) as file:
            file.write("step,loss\n")
        ```
    """
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    unfinished = path.with_name(f".{path.name[:_LONGEST]}.{os.getpid()}.unfinished")
    try:
        # What a process of this number has left, or somebody has laid there to be written through.
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, permissions)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            if path.exists():
                os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
