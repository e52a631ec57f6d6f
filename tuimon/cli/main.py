"""The entry point: picks the subcommand, loads that one alone, and turns errors into one line and an exit code."""

import argparse
import codecs
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Protocol, TextIO, cast

import tuimon
from tuimon.cli.common.end_signals import cleaned_up
from tuimon.cli.common.loading import quick_loading
from tuimon.cli.common.safe_stream import SafeStream
from tuimon.errors import UsageError
from tuimon.text import plain

COMMANDS = (
    "run",
    "watch",
    "replay",
    "list",
    "get",
    "compare",
    "tag",
    "delete",
    "send",
    "wait",
    "alerts",
    "doctor",
    "export",
    "import",
    "completion",
)
"""The subcommands: modules of `tuimon.cli`, in the order of the help."""

CLEANED_UP = ("list", "get", "compare", "doctor", "export", "import")
"""Those that leave nothing half done where a signal ends them."""
BAD_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell reports of a program that SIGPIPE ended."""


class Command(Protocol):
    """A module of `tuimon.cli`: its docstring is the help."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the subcommand's arguments."""

    def execute(self, options: argparse.Namespace) -> int:
        """Do it and return the exit code."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with argparse's words."""
        raise UsageError(f"{message} (see: {self.prog} --help)")


def make_parser(commands: Sequence[str] = COMMANDS) -> Parser:
    """Return the parser of the command line, loading only the subcommands named."""
    parser = Parser(
        prog="tuimon",
        description="A terminal monitor for Keras training.",
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tuimon {tuimon.__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in commands:
        command = cast(Command, import_module(f"tuimon.cli.{name}"))
        text = (command.__doc__ or "").strip()
        subparser = subparsers.add_parser(
            name,
            help=text.partition("\n")[0].rstrip("."),
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(execute=command.execute)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    is_program = arguments is None
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    _write_what_can_be_written()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, SafeStream(before[0])), cast(TextIO, SafeStream(before[1]))
    try:
        return _run(arguments, is_program=is_program)
    finally:
        if not is_program:
            # What a program still prints when it ends, such as a traceback, is made safe as well.
            sys.stdout, sys.stderr = before


def _run(arguments: Sequence[str], *, is_program: bool) -> int:
    chosen = arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS
    try:
        if not arguments:
            raise UsageError(f"say what to do: {', '.join(COMMANDS)} (see: tuimon --help)")
        # Whoever calls this from a program of theirs has garbage and settings of their own.
        with quick_loading() if is_program else contextlib.nullcontext():
            parser = make_parser(chosen)
        options, unknown = parser.parse_known_args(arguments)
        if unknown:
            # argparse would name the help of the whole program.
            raise UsageError(f"unrecognized arguments: {' '.join(unknown)} (see: tuimon {options.command} --help)")
        # A caller's program has signals of its own; the other subcommands do themselves what is to be done.
        is_cleaned_up = is_program and options.command in CLEANED_UP
        with cleaned_up() if is_cleaned_up else contextlib.nullcontext():
            code = int(options.execute(options))
        sys.stdout.flush()
    except UsageError as error:
        return _complain(str(error), error.exit_code)
    except BrokenPipeError:
        # Whoever read us has had enough. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}")
    return code


def _write_what_can_be_written() -> None:
    """Let stdout and stderr write the nearest ASCII character for each one that their encoding lacks."""
    codecs.register_error("tuimon.nearest", _nearest)
    for stream in (sys.stdout, sys.stderr):
        # A caller of `main` may have put something else there.
        with contextlib.suppress(AttributeError, io.UnsupportedOperation):
            stream.reconfigure(errors="tuimon.nearest")  # type: ignore[union-attr]


def _nearest(error: UnicodeError) -> tuple[str, int]:
    from tuimon.ascii import AsciiTable

    assert isinstance(error, UnicodeEncodeError)
    return error.object[error.start : error.end].translate(AsciiTable()), error.end


def _complain(words: str, code: int = BAD_INPUT) -> int:
    print(f"tuimon: {plain(words, limit=2000)}", file=sys.stderr)
    return code
