"""Make a run of a log that another program wrote.

PATH is a TensorBoard log directory or event file, a CSV file of Keras' CSVLogger or of Lightning, or a JSON dump of
Keras' History.history. The log is read and left as it is. Of a directory with several trainings each becomes a run.
The paths of the runs are printed, one a line; all other subcommands take them.
"""

import argparse
import sys
from contextlib import closing
from pathlib import Path

from tuimon.cli.common.choice import address_of
from tuimon.cli.common.options import add_runs_dir
from tuimon.cli.common.progress import Progress
from tuimon.errors import UsageError
from tuimon.runs.run_directory import STAYS_HERE
from tuimon.text import plain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="PATH", type=Path, help="the log: a file or a directory")
    parser.add_argument("--name", metavar="NAME", help="what the run is called (default: as the log's directory)")
    add_runs_dir(parser)


def execute(options: argparse.Namespace) -> int:
    """Import each training and return the exit code."""
    from tuimon.foreign.sources import find
    from tuimon.foreign.translated import import_run

    if address_of(options.path) is not None:
        raise UsageError(f"{options.path}: {STAYS_HERE}")
    found = find(options.path)
    errors = []
    for each in found:
        name = each.name
        if options.name:
            # Several need names of their own.
            name = options.name if len(found) == 1 else f"{options.name}-{each.name}"
        try:
            with closing(Progress(f"reading {plain(each.name, 40)}")) as progress:
                run = import_run(each, options.runs_dir, name, progress.show)
        except UsageError as error:
            # One that is empty hides none of the others.
            errors.append(error)
            continue
        print(run.path)
    if len(errors) == len(found):
        raise errors[0]
    for empty in errors:
        print(f"tuimon: {plain(str(empty), 2000)}", file=sys.stderr)
    return 0
