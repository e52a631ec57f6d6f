"""Arguments that several subcommands share."""

import argparse
import os
import sys
from pathlib import Path

import msgspec

from tuimon import settings as settings_file
from tuimon.runs.run_directory import ENVIRONMENT_VARIABLE, default_runs_directory
from tuimon.settings import Settings
from tuimon.text import plain


def add_runs_dir(parser: argparse.ArgumentParser) -> None:
    """Declare ``--runs-dir``."""
    parser.add_argument(
        "--runs-dir",
        type=Path,
        metavar="DIR",
        default=default_runs_directory(),
        help=f"where the runs are (default: ${ENVIRONMENT_VARIABLE}, else ./runs)",
    )


def add_run(parser: argparse.ArgumentParser, default: str = "the newest run, a live one first") -> argparse.Action:
    """Declare ``RUN``, which may be left out, and ``--runs-dir``; return the argument ``RUN``.

    Args:
        parser: Of the subcommand.
        default: Which run is taken where none is named.
    """
    run = parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="a run directory, a session.jsonl, or a name under the runs directory (without its date: the newest of "
        f"that name); default: {default}",
    )
    add_runs_dir(parser)
    return run


def add_looks(parser: argparse.ArgumentParser) -> None:
    """Declare what goes before the settings of the user: ``--palette``, ``--colors``, ``--ascii``."""
    group = parser.add_argument_group("looks", f"before those in {settings_file.PLACE}")
    group.add_argument("--palette", choices=settings_file.PALETTES, help="the colours")
    group.add_argument("--colors", choices=settings_file.COLORS, help="how many colours the terminal shows")
    group.add_argument(
        "--ascii",
        action=argparse.BooleanOptionalAction,
        help="draw with ASCII characters alone (default: where the locale has no UTF-8, and on the Linux console)",
    )


def read_settings(options: argparse.Namespace) -> tuple[Settings, str]:
    """Return the settings of the file and the command line, and an error in the file; empty: none."""
    settings, warning = settings_file.read(settings_file.settings_path())
    named = {name: getattr(options, name) for name in ("palette", "colors", "ascii")}
    named = {name: value for name, value in named.items() if value is not None}
    # Textual writes to stderr.
    encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
    return settings_file.for_terminal(msgspec.structs.replace(settings, **named), encoding=encoding), warning


def warn(warning: str) -> None:
    """Print on stderr what is wrong with the settings, if anything is."""
    if warning:
        print(f"tuimon: {plain(warning, limit=2000)}", file=sys.stderr)


def has_screen() -> bool:
    """Whether there is a terminal that a screen can be drawn on."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
