"""Tells where a directory is now: somebody may have renamed it, or the program may work elsewhere by now."""

import contextlib
import os
import weakref
from pathlib import Path


class MovedDirectory:
    """Holds a directory open, to find it under another name.

    Args:
        path: Where it is now. If it is not there, it is looked for at this path later, too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):
            self.descriptor()

    def descriptor(self) -> int:
        """Return the descriptor that holds it open, for as long as this object lives.

        Raises:
            OSError: It was never there, and is not now.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            # Not at the program's end: other threads may still need it.
            weakref.finalize(self, os.close, self._descriptor).atexit = False
        return self._descriptor

    @property
    def path(self) -> Path:
        """Where it is; its first path if that cannot be told, or if it was removed."""
        if self._descriptor is not None and not self._is_at(self._path):
            # The kernel's name of a directory that was removed, or that is in another namespace, leads nowhere.
            with contextlib.suppress(OSError):
                found = Path(f"/proc/self/fd/{self._descriptor}").readlink()
                if self._is_at(found):
                    return found
        return self._path

    def _is_at(self, path: Path) -> bool:
        with contextlib.suppress(OSError):
            return self._descriptor is not None and os.path.samestat(path.stat(), os.fstat(self._descriptor))
        return False
