"""Which run a command means where none is named."""

import argparse
import atexit
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tuimon.cli.common.progress import Progress
from tuimon.errors import UsageError
from tuimon.runs.glance import Glance
from tuimon.runs.live_runs import live_runs, newest
from tuimon.runs.remote.address import Address, remote_address
from tuimon.runs.run_directory import STAYS_HERE, RunDirectory, is_run, runs_in
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
        if address_of(options.run) is not None:
            raise UsageError(f"{options.run}: {STAYS_HERE}")
        return named(options.run, options.runs_dir)
    run, status = newest(options.runs_dir)
    tell_taken(run, status)
    return run


def run_proper(name: str, runs_dir: Path) -> RunDirectory:
    """Return the run that a name or a path means, where a translation of another program's log will not do.

    Raises:
        UsageError: There is none; of another program's log, it says how to make a run of it.
    """
    run = _run_or_why_not(name, runs_dir)
    if isinstance(run, RunDirectory):
        return run
    from tuimon.foreign.sources import find

    try:
        find(Path(name))
    except UsageError:
        raise run from None
    raise UsageError(
        f"{name}: it is a log of another program; make a run of it: tuimon import {shlex.quote(name)}"
    ) from None


def named(name: str, runs_dir: Path, *, follows: bool = False) -> RunDirectory:
    """Return the run that a name or a path means. It may be another program's log: then its translation.

    The translation is removed when the program ends.

    Args:
        name: The name, or the path.
        runs_dir: Where the runs are.
        follows: Whether a translation goes on with what is added to the log.

    Raises:
        UsageError: There is none.
    """
    run = _run_or_why_not(name, runs_dir)
    if isinstance(run, RunDirectory):
        return run
    from tuimon.foreign.sources import NothingFoundError, find_one
    from tuimon.foreign.translated import Followed

    try:
        found = find_one(Path(name), "tuimon watch")
        with closing(Progress(f"reading {plain(found.name, 40)}")) as progress:
            followed = Followed(found, progress.show)
    except NothingFoundError as nothing:
        raise UsageError(f"{run} Nor is it a log of another program: {str(nothing).partition(': ')[2]}") from nothing
    atexit.register(followed.close)
    if follows:
        followed.begin()
    return followed.run


def _run_or_why_not(name: str, runs_dir: Path) -> RunDirectory | UsageError:
    """Return the run that a name or a path means; why it is none, where another program's log may lie there.

    Raises:
        UsageError: There is no such run, and nothing else there that could be read.
    """
    try:
        return RunDirectory.find(name, runs_dir)
    except UsageError as error:
        # Of a name that nothing can have, a path would raise an error.
        if not os.path.exists(name) or any(runs_in(Path(name))):  # noqa: PTH110
            raise
        return error


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
        if (address := address_of(options.run)) is not None:
            from tuimon.runs.remote.mirrored_run import asked

            return asked(address)
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


def address_of(name: str | Path) -> Address | None:
    """Return the address on another machine that a name is; None for a path, or a name of a run, of this one.

    Raises:
        UsageError: it is an address that none can be.
    """
    # Of a name that nothing can have, a path would raise an error.
    return None if os.path.exists(name) else remote_address(str(name))  # noqa: PTH110


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
