"""Reads each run of a directory by some subcommands: `python -m faults.read_damaged DIRECTORY RESULT SUBCOMMAND…`.

RESULT gets, as JSON, what was raised, by the run's name; of all runs together without a name. One process reads many
runs: a start takes longer than a look.
"""

import contextlib
import io
import sys
import time
import warnings
from pathlib import Path

import msgspec

from tuimon.cli.common import progress_lines
from tuimon.cli.main import main as tuimon
from tuimon.runs.run_directory import RunDirectory, runs_in

LONGEST_SECONDS = 5.0
"""A reader that takes longer hangs, on a log so small."""
CODES = (0, 1, 2, 3)
"""Exit codes that subcommands have."""


def look(subcommand: str, run: Path) -> str:
    """Read a run, and return what is wrong; empty if nothing is."""
    arguments = [subcommand, str(run)]
    if subcommand == "export":
        arguments += ["--to", "csv", "--out", "-"]
    out, errors, began = io.StringIO(), io.StringIO(), time.monotonic()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            # The command itself waits for what a log that has no end may get.
            code = tuimon(arguments) if subcommand != "watch" else _lines_of(run)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"`{subcommand}` raises {type(error).__name__}"
    if time.monotonic() - began > LONGEST_SECONDS:
        return f"`{subcommand}` takes {time.monotonic() - began:.0f} s"
    if "Traceback" in errors.getvalue() or "Warning" in errors.getvalue():
        return f"`{subcommand}` prints {errors.getvalue().strip().splitlines()[-1][:100]}"
    if "\x1b" in out.getvalue() + errors.getvalue():
        return f"`{subcommand}` prints an escape sequence"
    return "" if code in CODES else f"`{subcommand}` ends with exit code {code}"


def _lines_of(run: Path) -> int:
    progress_lines.follow(RunDirectory(run), show=print, trainer_log=True, over=lambda _: True)
    return 0


def main(directory: Path, into: Path, subcommands: list[str]) -> None:
    """Read all runs."""
    warnings.simplefilter("always")
    raised: dict[str, str] = {}
    for run in runs_in(directory):
        for subcommand in subcommands:
            if words := look(subcommand, run.path):
                raised.setdefault(run.name, words)
    # All at once: one bad run must not take the others from the list.
    if "list" in subcommands and (words := look("list", directory)):
        raised[""] = f"{words} for a directory of all of them"
    into.write_bytes(msgspec.json.encode(raised))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
