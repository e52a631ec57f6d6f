"""Try the command that sends alerts.

`tuimon alerts test` runs the command of [alerts] in the user's settings, or in a CONFIG of `tuimon run`, once
with a sample, and prints its exit status, its output and how long it took. The exit code is 0 if the command
ended with 0, else 1; 124 if it took too long; 2 where no command is set. docs/alerts.md has what it gets.
"""

import argparse
import sys
from pathlib import Path

from tuimon import settings as settings_file
from tuimon.alerting import message
from tuimon.cli.common.safe_stream import raw
from tuimon.errors import UsageError
from tuimon.runs.facts_in_words import counted
from tuimon.settings import Alerts, Settings

FAILED, LATE = 1, 124


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=("test",), help="test: run the command once")
    parser.add_argument("--config", metavar="CONFIG", type=Path, help="a TOML file of `tuimon run` (default: settings)")


def execute(options: argparse.Namespace) -> int:
    """Run the command once, print what it did, and return the exit code."""
    path = settings_file.settings_path()
    settings, warning = settings_file.read(path)
    if warning:
        # A command that is wrong would be taken for none.
        raise UsageError(warning)
    alerts = settings.alerts
    if options.config is not None:
        from tuimon.launch import config as config_file

        config = config_file.read(options.config)
        alerts = alerts if config.alerts is None else config.alerts.over(alerts)
    has_told = _tell_terminal(settings)
    if not alerts.command:
        if has_told:
            return 0
        where = path if options.config is None else f"{options.config} and {path}"
        raise UsageError(f'no command is set: put [alerts] command = ["PROGRAM", …] into {where}')
    return _try(alerts)


def _try(alerts: Alerts) -> int:
    from tuimon.alerting.sender import send

    # Its arguments may hold a password, and somebody may look on.
    program, *rest = alerts.arguments
    print(f"runs {program}, with {counted(len(rest), 'argument')} and a sample on its standard input", flush=True)
    outcome = send(alerts, message.sample())
    for line in outcome.output:
        print(f"  {line}")
    if outcome.is_late:
        print(outcome.trouble)
        return LATE
    if outcome.code is None:
        print(outcome.trouble)
        return FAILED
    how = f"signal {-outcome.code}" if outcome.code < 0 else f"exit status {outcome.code}"
    print(f"{how} after {outcome.seconds:.1f} s; it is run on: {', '.join(alerts.on) or 'nothing'}")
    return FAILED if outcome.code else 0


def _tell_terminal(settings: Settings) -> bool:
    """Tell this terminal as a screen would; return whether it was told."""
    if not settings.notify or not sys.stdout.isatty():
        return False
    from tuimon.ui.terminal.notifications import sequences

    sent = raw(sys.stdout)
    sent.write(sequences(settings.notify, "this is a test of tuimon's alerts"))
    sent.flush()
    print(f"told this terminal: {', '.join(settings.notify)}")
    return True
