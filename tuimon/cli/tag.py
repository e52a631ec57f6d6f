"""Tag runs, and leave a note on one.

  tuimon tag RUN best slow              adds two tags
  tuimon tag RUN --remove slow          takes one away
  tuimon tag RUN --note 'lr too high'   an empty text takes the note away
  tuimon tag RUN baseline               the others are measured against this run
  tuimon tag RUN                        prints tags and note

They are in tags.json, in the run directory. Other viewers and `tuimon list` show them.
"""

import argparse

from tuimon.cli.common.choice import run_proper
from tuimon.cli.common.options import add_runs_dir
from tuimon.errors import UsageError
from tuimon.runs.listing import tags
from tuimon.runs.run_directory import runs_in


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help="a run directory, or a name under the runs directory")
    add_runs_dir(parser)
    parser.add_argument("tags", metavar="TAG", nargs="*", help="a word")
    parser.add_argument("--remove", metavar="TAG", action="append", default=[], help="take this tag away")
    parser.add_argument("--note", metavar="TEXT", help="the note, in place of the former one")


def execute(options: argparse.Namespace) -> int:
    """Change the tags, print them, and return the exit code."""
    run = run_proper(options.run, options.runs_dir)
    try:
        add = [tags.tag(word) for word in options.tags]
        note = None if options.note is None else tags.note(options.note)
        found = tags.change_tags(run.path, add, options.remove, note)
        if tags.BASELINE in add:
            tags.pin_baseline(run.path, (other.path for other in runs_in(run.path.parent)))
    except ValueError as error:
        raise UsageError(str(error)) from error
    print(f"{run.name}: {' '.join(found.tags) or 'no tags'}{f'; {found.note}' if found.note else ''}")
    return 0
