"""The ``commands/`` of a run as its trainer sees it: found where the run directory is moved, made again where gone."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from tuimon.runs import request_files
from tuimon.trainer.session.moved_directory import MovedDirectory

_CLAIMED = ".claimed"


class Folder:
    """Opens ``commands/`` anew for each look, as network file systems need it, through the run directory's descriptor.

    Args:
        run: The run directory. It may be renamed afterwards.
    """

    def __init__(self, run: Path) -> None:
        # Held until a request that was taken has deleted its file, after its inbox is closed.
        self._run = MovedDirectory(run)
        self._newest: tuple[int, int] | None = None
        self.was_replaced = False
        """True if the directory is another one than at the last look."""
        with contextlib.suppress(OSError), self.looked_into():
            pass

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Yield a descriptor of the directory.

        Raises:
            OSError: There is none, or something else has its place.
        """
        with request_files.opened_folder(self._run.descriptor()) as folder:
            yield folder

    @contextmanager
    def looked_into(self) -> Iterator[int]:
        """Yield a descriptor as `opened` does, and note whether the directory is another one than before.

        Raises:
            OSError: There is none, or something else has its place.
        """
        with self.opened() as folder:
            status = os.fstat(folder)
            found = (status.st_dev, status.st_ino)
            self.was_replaced = self._newest not in (None, found)
            self._newest = found
            yield folder

    def make_again(self) -> None:
        """Make the directory where it is missing, if the run directory still holds the run's log.

        Raises:
            OSError: It cannot be made, or the run is gone.
        """
        run = self._run.descriptor()
        os.stat("session.jsonl", dir_fd=run, follow_symlinks=False)
        os.mkdir(request_files.FOLDER, 0o700, dir_fd=run)
        self._newest = None


def names_in(descriptor: int) -> list[str]:
    """Return the names in an open directory, in order."""
    with os.scandir(descriptor) as entries:
        return sorted(entry.name for entry in entries)


def requests_in(descriptor: int) -> list[str]:
    """Return the names of the requests in an open directory, in order: none before what its sender put earlier.

    A listing may miss a file that is made meanwhile, and hold one that is made after it. Whatever the first listing
    holds, the second holds all that was there before it.
    """
    first = {name for name in names_in(descriptor) if is_request(name)}
    return list(takewhile(first.__contains__, filter(is_request, names_in(descriptor)))) if first else []


def claimed_name(name: str) -> str:
    """Return the name of a request's file once a trainer has taken it.

    Example:
        >>> claimed_name("1-2-3.json")
        '.1-2-3.json.claimed'
    """
    return f".{name}{_CLAIMED}"


def is_request(name: str) -> bool:
    """Return True for the name of a request that is there to be taken."""
    return name.endswith(".json") and not name.startswith(".")


def was_claimed(name: str) -> str | None:
    """Return the name that a request had before a trainer took it; None for other files.

    Example:
        >>> was_claimed(".1-2-3.json.claimed"), was_claimed("1-2-3.json")
        ('1-2-3.json', None)
    """
    inner = name.removeprefix(".").removesuffix(_CLAIMED)
    return inner if name == claimed_name(inner) and is_request(inner) else None
