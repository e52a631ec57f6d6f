"""Which run a command means where none is named."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tuimon.errors import UsageError
from tuimon.runs.glance import Glance
from tuimon.runs.live_runs import live_runs, newest
from tuimon.runs.run_directory import RunDirectory, is_run, runs_in
from tuimon.text import plain

NO_ANSWER = 3
"""Exit code where nobody answers a request."""
_NAMED = 5
"""Runs that a sentence names at most."""


class NoLiveRunError(UsageError):
    """No run is named, and none of those that are there is live."""

    exit_code = NO_ANSWER


def named_or_newest(options: argparse.Namespace) -> RunDirectory:
    """Return the run that ``RUN`` names, else the newest one; say on stderr which one that is.

    Raises:
        UsageError: There is none.
    """
    if options.run is not None:
        return RunDirectory.find(options.run, options.runs_dir)
    run, status = newest(options.runs_dir)
    tell_taken(run, status)
    return run


def named_or_live(options: argparse.Namespace, usage: str) -> RunDirectory:
    """Return the run that ``RUN`` names, else the only live one; say on stderr which one that is.

    A request to the wrong run does harm, so none is chosen among several.

    Args:
        options: Of the command line.
        usage: How to name a run, such as "tuimon send RUN stop".

    Raises:
        NoLiveRunError: None of the runs is live.
        UsageError: There is no run, or several are live.
    """
    if options.run is not None:
        return RunDirectory.find(options.run, options.runs_dir)
    live = live_runs(options.runs_dir)
    if not live:
        run, status = newest(options.runs_dir)
        raise NoLiveRunError(
            f"no run in {options.runs_dir} is live; the newest, {run.name}, is {status}. Name the one: {usage}"
        )
    require_one(live, usage)
    tell_taken(live[0].run, "the only live run")
    return live[0].run


def require_one(live: Sequence[Glance], usage: str) -> None:
    """Check that there is no choice between live runs.

    Raises:
        UsageError: There are several; names them.
    """
    if len(live) > 1:
        names = ", ".join(glance.run.name for glance in live[:_NAMED])
        more = f" and {len(live) - _NAMED} more" if len(live) > _NAMED else ""
        raise UsageError(f"{len(live)} runs are live: {names}{more}. Name the one: {usage}")


def tell_taken(run: RunDirectory, what: str) -> None:
    """Say on stderr which run is taken, where none was named."""
    print(f"tuimon: {plain(run.name, 200)} ({plain(what, 60)})", file=sys.stderr)


def directory_of_runs(options: argparse.Namespace) -> Path | None:
    """Return the directory whose newest run is meant; None where ``RUN`` names one run."""
    if options.run is None:
        return Path(options.runs_dir)
    directory = Path(options.run)
    try:
        is_empty = directory.is_dir() and not any(directory.iterdir())
    except (OSError, ValueError):
        return None
    return directory if is_empty or (not is_run(directory) and any(runs_in(directory))) else None
