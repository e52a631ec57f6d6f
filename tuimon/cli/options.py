"""Arguments that several subcommands share."""

import argparse
import os
import sys
from pathlib import Path

from tuimon.run_directory import ENVIRONMENT_VARIABLE, RunDirectory, default_runs_directory, is_run, newest_run, runs_in


def add_runs_dir(parser: argparse.ArgumentParser) -> None:
    """Declare ``--runs-dir``."""
    parser.add_argument(
        "--runs-dir",
        type=Path,
        metavar="DIR",
        default=default_runs_directory(),
        help=f"where the runs are (default: ${ENVIRONMENT_VARIABLE}, else ./runs)",
    )


def add_run(parser: argparse.ArgumentParser) -> None:
    """Declare ``RUN`` and ``--runs-dir``."""
    parser.add_argument(
        "run", metavar="RUN", help="a run directory, a session.jsonl, or a name under the runs directory"
    )
    add_runs_dir(parser)


def find_run(options: argparse.Namespace) -> RunDirectory:
    """Return the run that ``RUN`` names; a directory of runs stands for the newest in it, nothing for the newest run.

    Raises:
        UsageError: there is none.
    """
    if options.run is None:
        return newest_run(options.runs_dir)
    directory = Path(options.run)
    runs = [] if is_run(directory) else list(runs_in(directory))
    return runs[-1] if runs else RunDirectory.find(options.run, options.runs_dir)


def has_screen() -> bool:
    """Whether there is a terminal that a screen can be drawn on."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
