"""Where the directory of a run is: it may be renamed while it trains."""

import contextlib
import os
from pathlib import Path

from tuimon.runs.run_directory import RunDirectory


class Place:
    """A run's directory, which may be renamed while it trains.

    Args:
        run: The run.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._first = run.path
        self.run = run
        """The run, by a path that leads to it under any name."""
        self._link: Path | None = None
        with contextlib.suppress(OSError):
            descriptor = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            link = Path(f"/proc/self/fd/{descriptor}")
            if link.is_dir():
                self._link, self.run = link, RunDirectory(link)

    @property
    def path(self) -> Path:
        """Where it is now."""
        with contextlib.suppress(OSError):
            if self._link is not None:
                return self._link.readlink()
        return self._first

    @property
    def is_gone(self) -> bool:
        """True once it is removed."""
        return not self.path.is_dir()
