"""Attach to a live or finished run.

Without RUN it follows the newest: it opens the live run, or the newest that is over, and goes on to a run that
begins once the one that is shown is over; the key O goes back. Where no run is there yet it waits for one. Where
several are live, it lets you choose. A run that was named stays; that another one has begun is said.

Without a terminal, progress is printed in lines until the run ends. The exit code is then 1 for a run
that failed, crashed or was removed, else 0; without RUN it is 2 where no run is there, or several are live.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tuimon.cli import progress_lines
from tuimon.cli.choice import directory_of_runs, require_one, tell_taken
from tuimon.cli.loading import collect_later
from tuimon.cli.options import add_looks, add_runs_dir, has_screen, read_settings, warn
from tuimon.runs import facts_in_words, liveness
from tuimon.runs.beginnings import Beginnings
from tuimon.runs.live_runs import live_runs, newest
from tuimon.runs.log.lost_log import REMOVED, was_removed
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.settings import Settings
from tuimon.text import plain

FAILED = 1
LOOK_SECONDS = 0.2
"""How often to look for the first run of a directory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "run",
        metavar="RUN|DIR",
        nargs="?",
        help="a run directory, a session.jsonl, a name under the runs directory (without its date: the newest of "
        "that name), or a directory of runs, whose newest is followed (default: the runs directory)",
    )
    parser.add_argument("--readonly", action="store_true", help="change nothing: no key sends a request")
    add_runs_dir(parser)
    add_looks(parser)


def execute(options: argparse.Namespace) -> int:
    """Watch until told to leave, or until the end, and return the exit code."""
    directory = directory_of_runs(options)
    settings, warning = read_settings(options)
    if not has_screen():
        warn(warning)
        return _print_lines(_newest_for_lines(directory) if directory is not None else _named(options))
    if directory is None:
        run = _named(options)
        chosen: _Chosen | None = _Chosen(run, Beginnings(run.path.parent), follows=False)
    else:
        chosen = _choose(directory, settings, options)
    return 0 if chosen is None else _show(chosen, options, settings, warning)


@dataclass(frozen=True)
class _Chosen:
    """The run to show first."""

    run: RunDirectory
    beginnings: Beginnings
    """Notices the runs that begin in its directory."""
    follows: bool
    """Whether a run that begins takes its place once it is over."""


def _named(options: argparse.Namespace) -> RunDirectory:
    return RunDirectory.find(options.run, options.runs_dir)


def _choose(directory: Path, settings: Settings, options: argparse.Namespace) -> _Chosen | None:
    """Return the newest run, or the one that is chosen among several live ones; None to leave."""
    # Before the choice: what begins meanwhile is not missed.
    beginnings = Beginnings(directory)
    if not any(runs_in(directory)):
        where = plain(str(directory.absolute()), 1000)
        print(f"no run in {where} yet: waiting for one to begin (Ctrl-C leaves)", file=sys.stderr)
        while not any(runs_in(directory)):
            time.sleep(LOOK_SECONDS)
    live = live_runs(directory)
    if len(live) < 2:
        return _Chosen(live[0].run if live else newest(directory)[0], beginnings, follows=True)
    collect_later()
    from tuimon.ui.run_picker import RunPicker

    picker = RunPicker(directory, settings=settings, palette=options.palette)
    picker.run()
    return None if picker.chosen is None else _Chosen(picker.chosen, beginnings, follows=False)


def _show(chosen: _Chosen, options: argparse.Namespace, settings: Settings, warning: str) -> int:
    """Show runs until told to leave."""
    collect_later()
    from tuimon.ui.app import WatchApp
    from tuimon.ui.viewer.view_memory import ViewMemory

    memory, run, follows = ViewMemory(), chosen.run, chosen.follows
    while True:
        app = WatchApp(
            run,
            readonly=options.readonly,
            settings=settings,
            palette=options.palette,
            memory=memory,
            warning=warning,
        )
        app.shown.tell_of(chosen.beginnings, follows=follows)
        app.run()
        if app.next_run is None:
            break
        run, follows, warning = app.next_run, False, ""
    run = app.viewer.run
    state = progress_lines.read_state(run)
    if state.run is not None and state.ended is None and not liveness.is_gone(run.session_log, state.run):
        print(progress_lines.training_goes_on(run))
    return app.return_code or 0


def _newest_for_lines(directory: Path) -> RunDirectory:
    """Return the newest run, where nobody can be asked.

    Raises:
        UsageError: There is none, or several are live.
    """
    require_one(live_runs(directory), "tuimon watch RUN")
    run, status = newest(directory)
    tell_taken(run, status)
    return run


def _print_lines(run: RunDirectory) -> int:
    if not run.session_log.exists():
        # It is starting, or has lost its log for good, which cannot always be told.
        where = plain(str(run.path), 1000)
        what = f"{REMOVED} from {where}" if was_removed(run) else f"no log in {where} yet"
        print(f"{what}: waiting for its first line (Ctrl-C leaves)", file=sys.stderr)
    state = progress_lines.follow(run, show=lambda line: print(line, flush=True), over=progress_lines.until_ended(run))
    if state.ended is None and not run.session_log.exists():
        if state.run is None:
            print(
                f"{REMOVED}, nothing of it was read"
                if was_removed(run)
                else "the run's directory was removed before its training began"
            )
        print(f"what it did after step {state.step} is not known")
        return FAILED
    if state.run is None:
        print("the process that wrote the former log is gone; this one has no line that can be read")
        return FAILED
    if state.ended is None:
        print(f"crashed after {facts_in_words.counted(state.step, 'step')}: {liveness.KILLED}")
        return FAILED
    return FAILED if state.ended.status == "failed" else 0
