"""Play a run again: the same screens, with time under your control."""

import argparse

from tuimon.cli.common.choice import named_or_newest
from tuimon.cli.common.loading import collect_later
from tuimon.cli.common.options import add_looks, add_run, has_screen, read_settings
from tuimon.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    parser.add_argument("--speed", type=float, default=1.0, metavar="X", help="times as fast as it was (default: 1)")
    add_looks(parser)


def execute(options: argparse.Namespace) -> int:
    """Play until told to leave and return the exit code."""
    if not 0 < options.speed < float("inf"):
        raise UsageError("--speed: expected a number above 0")
    run = named_or_newest(options)
    if not has_screen():
        raise UsageError("replay needs a terminal; tuimon export writes a run's numbers to a file")
    collect_later()
    from tuimon.ui.app import WatchApp
    from tuimon.ui.viewer.replay_clock import ReplayClock
    from tuimon.ui.viewer.view_memory import ViewMemory

    settings, warning = read_settings(options)
    app = WatchApp(
        run,
        readonly=True,
        replay=ReplayClock(speed=options.speed),
        settings=settings,
        palette=options.palette,
        memory=ViewMemory(),
        warning=warning,
    )
    app.run()
    return app.return_code or 0
