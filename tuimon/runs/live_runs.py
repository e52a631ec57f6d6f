"""Which runs of a directory are live, and which of them is the newest."""

import time
from pathlib import Path

from tuimon.runs.glance import Glance
from tuimon.runs.run_directory import RunDirectory, newest_run, runs_in
from tuimon.runs.state import OVER

RECENT_SECONDS = 60.0
"""A live run writes every 5 s: one whose log is so much older than the newest log is none, and is not read."""
_MOST = 100
"""Of the logs that are recent, the newest ones that are looked at."""


def live_runs(directory: Path) -> list[Glance]:
    """Return the runs of a directory that train, pause or are about to begin, the one that began last first.

    A run that is silent is none: nobody here can tell whether it still trains. Nor is one that cannot be read.
    """
    looked = [(glance, glance.try_look()) for glance in map(Glance, _recent(directory))]
    recent = [glance for glance, trouble in looked if not trouble]
    now = time.time()
    return sorted((glance for glance in recent if is_live(glance.status(now))), key=began, reverse=True)


def newest(directory: Path) -> tuple[RunDirectory, str]:
    """Return the newest run of a directory, and the word of `liveness.status` for it, or why it cannot be read.

    A live run is newer than one that is over: of several live ones, the one that began last. One that cannot be read is
    the newest only where none can be.

    Raises:
        UsageError: there is no run.
    """
    if live := live_runs(directory):
        return live[0].run, live[0].status(time.time())
    newest = newest_run(directory)
    for run in reversed(list(runs_in(directory))):
        glance = Glance(run)
        if not glance.try_look():
            return run, glance.status(time.time())
    glance = Glance(newest)
    return newest, glance.try_look() or glance.status(time.time())


def is_live(status: str) -> bool:
    """Return whether a word of `liveness.status` says that a run goes on."""
    return status not in OVER and status != "silent"


def began(glance: Glance) -> tuple[float, str]:
    """Return what runs are sorted by: when each began, Unix seconds; one without a line begins just now."""
    return (time.time() if glance.started is None else glance.started), glance.run.name


def _recent(directory: Path) -> list[RunDirectory]:
    """Return the runs whose logs were written last, the newest first."""
    runs = [(_written(run), run) for run in runs_in(directory)]
    newest = max((written for written, _ in runs), default=0.0)
    return [run for written, run in reversed(runs) if newest - written <= RECENT_SECONDS][:_MOST]


def _written(run: RunDirectory) -> float:
    for path in (run.session_log, run.path):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0
