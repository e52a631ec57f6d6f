"""List runs, newest last, with the state of each."""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

from tuimon.cli.options import add_runs_dir
from tuimon.errors import UsageError
from tuimon.runs.glance import Glance
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.text import plain

VERSION = 1
"""Of the JSON."""


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
    summaries = [summary(run) for run in runs_in(directory)]
    if options.json:
        print(json.dumps({"version": VERSION, "runs": [vars(line) for line in summaries]}, indent=2))
    elif summaries:
        _print_table(summaries)
    else:
        print(f"no runs in {directory}")
    return 0


def summary(run: RunDirectory) -> Summary:
    """Return what one run does."""
    glance = Glance(run)
    glance.look()
    state = glance.state
    word = glance.status(time.time())
    return Summary(run.name, str(run.path), word, state.epoch, state.step, glance.started, state.last_time)


def _print_table(summaries: list[Summary]) -> None:
    rows = [("NAME", "STATE", "EPOCH", "STEP", "STARTED", "UPDATED")]
    for line in summaries:
        epoch = str(line.epoch + 1) if line.step else "–"
        rows.append((plain(line.name), line.state, epoch, str(line.step), _clock(line.started), _clock(line.updated)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if column in (2, 3) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _clock(seconds: float | None) -> str:
    return "–" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
