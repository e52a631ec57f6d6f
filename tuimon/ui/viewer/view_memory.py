"""Remembers what a viewer chose to see of a run, in a small file of the viewer's own.

The file never lies in the run directory: that is the trainer's, and others may watch it too.
"""

import contextlib
import hashlib
import logging
import os
from pathlib import Path

import msgspec

from tuimon.atomic_file import whole_file
from tuimon.plot.viewport import Viewport
from tuimon.regular_file import read_regular
from tuimon.runs.run_directory import RunDirectory
from tuimon.settings import PaletteName, user_directory

KEPT = 200
"""How many runs are remembered: those that were left last."""
_LARGEST = 64 * 1024

_log = logging.getLogger(__name__)


class View(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was chosen on the screens of a run; None where nothing was chosen."""

    layer: str | None = None
    """Path of the layer under the cursor."""
    chart: str | None = None
    """The chart that is shown where there is one at a time."""
    palette: PaletteName | None = None
    """The palette, where it was changed by its key."""
    metrics: "MetricsView | None" = None
    """How metrics are shown."""
    compared: "ComparedView | None" = None
    """What the run is compared with."""


class MetricsView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How metrics are shown."""

    charts: Viewport
    """Axes and scales of all charts."""
    grid: tuple[int, int]
    """Rows and columns of charts."""
    is_full: bool = False
    """True where one metric is shown in full."""
    metric: str = ""
    """The metric under the cursor."""
    pattern: str = ""
    """The filter: metrics that match are shown."""


class ComparedView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a run is compared with."""

    runs: tuple[str, ...] = ()
    """Names of the directories of the other runs, in the order of their letters."""
    metric: str | None = None
    """The metric that is drawn."""
    by_time: bool = False
    """True: drawn over time; False: over steps."""
    order: str = "started"
    """What the runs are sorted by."""
    is_reversed: bool = False
    """True: the other way round."""
    filter: str = ""
    """The filter: runs that fit are listed."""
    panels: str = "both"
    """Which panels have the screen: both, the list, or the charts."""


class ViewMemory:
    """Reads and writes a `View` for each run. A file that cannot be read or written counts as nothing chosen.

    Args:
        directory: Where the files are; by default ``tuimon/views`` in the user's state directory.

    Example:
        ```python
        memory = ViewMemory()
        view = memory.load(run)
        memory.save(run, View(layer="bn_1"))
        ```
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or user_directory("XDG_STATE_HOME", ".local/state") / "tuimon" / "views"

    def load(self, run: RunDirectory) -> View:
        """Return what was chosen the last time."""
        path = self._path(run)
        try:
            return msgspec.json.decode(read_regular(path, _LARGEST), type=View)
        except FileNotFoundError:
            return View()
        except (OSError, ValueError, RecursionError) as error:
            _log.debug("the view in %s is not used: %s", path, error)
            return View()

    def save(self, run: RunDirectory, view: View) -> None:
        """Remember what was chosen, and forget the runs that were left longest ago."""
        path = self._path(run)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with whole_file(path, permissions=0o600) as file:
                file.write(msgspec.json.encode(view).decode())
            self._forget_the_oldest()
        except (OSError, UnicodeError) as error:
            _log.debug("the view in %s is not kept: %s", path, error)

    def _path(self, run: RunDirectory) -> Path:
        return self.directory / f"{hashlib.sha256(os.fsencode(run.path.resolve())).hexdigest()[:32]}.json"

    def _forget_the_oldest(self) -> None:
        ages: list[tuple[float, Path]] = []
        for path in self.directory.glob("*.json"):
            # Another viewer may forget at the same time.
            with contextlib.suppress(FileNotFoundError):
                ages.append((path.stat().st_mtime, path))
        for _, path in sorted(ages)[:-KEPT]:
            path.unlink(missing_ok=True)
