"""Delete runs for good: logs, checkpoints, everything in their directories.

It asks once. A run that trains is never deleted. Whether a run of another
machine goes on cannot be seen from here if its log does not say that it ended:
if you know that it is over, add --force. To delete all that a list shows:

  tuimon list --state failed --json |
    jq -r '.runs[].path' | xargs tuimon delete --yes
"""

import argparse
import sys
from pathlib import Path

from tuimon.cli.common.options import add_runs_dir
from tuimon.errors import UsageError
from tuimon.runs.listing import removal
from tuimon.runs.run_directory import RunDirectory
from tuimon.text import plain

NOT_DELETED = 1
"""The exit code where a run stays."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="a run directory, or the whole name of a run under the runs directory"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="do not ask")
    parser.add_argument(
        "--force",
        action="store_true",
        help="also a run that may be over but is not proven to be, and, with --yes, files that tuimon did not write",
    )
    add_runs_dir(parser)


def execute(options: argparse.Namespace) -> int:
    """Ask, delete, and return the exit code."""
    runs = list(dict.fromkeys(_find(name, options.runs_dir) for name in options.runs))
    kept = [run for run in runs if not _may_go(run, options)]
    going = [run for run in runs if run not in kept]
    if going and not options.yes and not _agrees(going):
        print("Nothing was deleted.")
        return NOT_DELETED
    for run in going:
        try:
            removal.delete(run, force=options.force)
        except (removal.NotDeletedError, OSError) as error:
            _refuse(run, str(error))
            kept.append(run)
        else:
            print(f"deleted {plain(run.name)}")
    return NOT_DELETED if kept else 0


def _find(name: str, runs_dir: Path) -> RunDirectory:
    run = RunDirectory.find(name, runs_dir)
    # Of a name without its date, another command takes the newest run. Here it must be said which.
    if run.name != Path(name).absolute().name and Path(name).name != "session.jsonl":
        raise UsageError(f"{name}: say its whole name, {plain(run.name)}")
    return run


def _may_go(run: RunDirectory, options: argparse.Namespace) -> bool:
    doubt = removal.doubt(run)
    if doubt is not None and not (options.force and doubt.may_be_forced):
        _refuse(run, doubt.words + ("; if you know that it is over: --force" if doubt.may_be_forced else ""))
        return False
    others = removal.contents(run).others
    if others and options.yes and not options.force:
        _refuse(run, f"tuimon did not write {plain(', '.join(others), 200)} in it; to delete that too: --force")
        return False
    return True


def _agrees(runs: list[RunDirectory]) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("nobody can answer the question here; to delete without it: --yes")
    for run in runs:
        print(f"{plain(run.name)}: {plain(removal.contents(run).words)}")
    those = "this run" if len(runs) == 1 else f"these {len(runs)} runs"
    try:
        return input(f"Delete {those} for good? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _refuse(run: RunDirectory, words: str) -> None:
    print(f"tuimon: {plain(run.name)} is not deleted: {plain(words, 1000)}", file=sys.stderr)
