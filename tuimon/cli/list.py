"""List runs, newest last, with the state of each."""

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tuimon.cli.options import add_runs_dir
from tuimon.errors import UsageError
from tuimon.numbers import count, figure, span
from tuimon.runs.best import Bests
from tuimon.runs.glance import Glance
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.text import plain

VERSION = 1
"""Of the JSON."""
SKIMMED_BYTES = 64 * 1024 * 1024
"""The best value may be anywhere in a log. Up to this length, the whole log is searched for it."""
SKIMMED_IN_ALL = 4 * SKIMMED_BYTES
"""So much is searched in all logs together, the newest first: a long list takes no longer than about a second."""
_RIGHT = (2, 3, 5)
"""The columns that end at their right edge."""


@dataclass(frozen=True)
class Summary:
    """One run in the list."""

    name: str
    path: str
    state: str
    """What `tuimon.runs.liveness.status` returns."""
    epoch: int
    """The epoch, counted from 0."""
    step: int
    started: float | None
    """Unix time; None while not known."""
    updated: float | None
    """Unix time of the newest line."""
    best: Bests
    """The best values; without any where the log is too long to be searched."""
    seconds_without_step: float | None = None
    """How long ago the last step was made, where it trains and that is longer than usual; else None."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "directory", metavar="DIR", nargs="?", type=Path, help="where to look (default: the runs directory)"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    add_runs_dir(parser)


def execute(options: argparse.Namespace) -> int:
    """Print the list and return the exit code."""
    directory = options.directory or options.runs_dir
    if options.directory is not None and not directory.is_dir():
        raise UsageError(f"{directory}: it is no directory")
    summaries = _summaries(runs_in(directory))
    if options.json:
        runs = [{**vars(line), "best": line.best.as_fields()} for line in summaries]
        print(json.dumps({"version": VERSION, "runs": runs}, indent=2))
    elif summaries:
        _print_table(summaries)
    else:
        print(f"no runs in {directory}")
    return 0


def summary(glance: Glance) -> Summary:
    """Return what one run does."""
    glance.look()
    run, state, now = glance.run, glance.state, time.time()
    return Summary(
        run.name,
        str(run.path),
        glance.status(now),
        state.epoch,
        state.step,
        glance.started,
        state.last_time,
        state.best,
        glance.seconds_without_step(now),
    )


def _summaries(runs: Iterable[RunDirectory]) -> list[Summary]:
    left, found = SKIMMED_IN_ALL, []
    for run in reversed(list(runs)):
        glance = Glance(run, skimmed_bytes=min(left, SKIMMED_BYTES))
        found.append(summary(glance))
        left -= glance.skimmed
    return found[::-1]


def _print_table(summaries: list[Summary]) -> None:
    rows = [("NAME", "STATE", "EPOCH", "STEP", "BEST", "IN EPOCH", "STARTED", "UPDATED")]
    for line in summaries:
        epoch = count(line.epoch + 1) if line.step else "–"
        late = line.seconds_without_step
        doing = line.state if late is None else f"{line.state}, last step {span(late)} ago"
        name, times = plain(line.name), (_clock(line.started), _clock(line.updated))
        best, best_epoch = _best(line.best)
        rows.append((name, doing, epoch, count(line.step), best, best_epoch, *times))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column in _RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _best(best: Bests) -> tuple[str, str]:
    if best.shown is None:
        return "–", "–"
    name, found = best.shown
    return f"{name} {figure(found.value)}", count(found.epoch + 1)


def _clock(seconds: float | None) -> str:
    return "–" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
