"""Attach to a live or finished run.

Without a terminal, progress is printed in lines until the run ends. The exit code is then 1 for a run
that failed or crashed, else 0.
"""

import argparse

from tuimon.cli import progress_lines
from tuimon.cli.garbage_collection import collect_later
from tuimon.cli.options import add_looks, add_runs_dir, find_run, has_screen, read_settings, warn
from tuimon.runs import liveness

FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "run",
        metavar="RUN|DIR",
        nargs="?",
        help="a run directory, a session.jsonl, a name under the runs directory (without its date: the newest of "
        "that name), or a directory of runs, whose newest is taken (default: the newest run)",
    )
    parser.add_argument("--readonly", action="store_true", help="change nothing: no key sends a request")
    add_runs_dir(parser)
    add_looks(parser)


def execute(options: argparse.Namespace) -> int:
    """Watch until told to leave, or until the end, and return the exit code."""
    run = find_run(options)
    settings, warning = read_settings(options)
    if has_screen():
        collect_later()
        from tuimon.ui.app import WatchApp
        from tuimon.ui.viewer.view_memory import ViewMemory

        memory = ViewMemory()
        while True:
            app = WatchApp(
                run,
                readonly=options.readonly,
                settings=settings,
                palette=options.palette,
                memory=memory,
                warning=warning,
            )
            app.run()
            if app.next_run is None:
                break
            run, warning = app.next_run, ""
        state = progress_lines.read_state(run)
        if state.run is not None and state.ended is None and not liveness.is_gone(run.session_log, state.run):
            print(progress_lines.training_goes_on(run))
        return app.return_code or 0
    warn(warning)
    state = progress_lines.follow(run, show=lambda line: print(line, flush=True), over=progress_lines.until_ended(run))
    if state.ended is None:
        print(f"crashed after {state.step} steps: its trainer is gone")
        return FAILED
    return FAILED if state.ended.status == "failed" else 0
