"""Attach to a live or finished run.

Without RUN it follows the newest: it opens the live run, or the newest that is over, and goes on to a run that
begins once the one that is shown is over; the key O goes back. Where no run is there yet it waits for one. Where
several are live, it lets you choose. A run that was named stays; that another one has begun is said.

RUN may be a log of another program, as tuimon import takes it: it is followed while it grows, and nothing is sent.

Without a terminal, progress is printed in lines until the run ends. The exit code is then 1 for a run
that failed, crashed or was removed, else 0; without RUN it is 2 where no run is there, or several are live.
"""

import argparse
import shlex
import sys
import time
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from tuimon.cli.common import progress_lines
from tuimon.cli.common.choice import address_of, directory_of_runs, named, require_one, tell_taken
from tuimon.cli.common.loading import collect_later
from tuimon.cli.common.options import add_looks, add_runs_dir, has_screen, read_settings, warn
from tuimon.errors import UsageError
from tuimon.runs import facts_in_words, liveness
from tuimon.runs.beginnings import Beginnings
from tuimon.runs.live_runs import live_runs, newest
from tuimon.runs.log.lost_log import REMOVED, was_removed
from tuimon.runs.remote.address import Address
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.runs.state import RunState
from tuimon.settings import Settings
from tuimon.text import plain

FAILED = 1
COPY_SECONDS = 2.0
"""How often it is said how much of a log on another machine is copied."""
LOOK_SECONDS = 0.2
"""How often to look for the first run of a directory."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "run",
        metavar="RUN|DIR",
        nargs="?",
        help="a run directory, a session.jsonl, a name under the runs directory (without its date: the newest of "
        "that name), or a directory of runs, whose newest is followed (default: the runs directory); on another "
        "machine: user@host:PATH, over ssh; or another program's log, see tuimon import --help",
    )
    parser.add_argument("--readonly", action="store_true", help="change nothing: no key sends a request")
    add_runs_dir(parser)
    add_looks(parser)


def execute(options: argparse.Namespace) -> int:
    """Watch until told to leave, or until the end, and return the exit code."""
    address = None if options.run is None else address_of(options.run)
    directory = None if address is not None else directory_of_runs(options)
    settings, warning = read_settings(options)
    if not has_screen():
        warn(warning)
        if address is not None:
            with closing(_mirrored(address)) as mirrored:
                return _print_lines(mirrored)
        run = _newest_for_lines(directory) if directory is not None else _named(options)
        _send_alerts(run, settings, options)
        return _print_lines(run)
    if address is not None:
        with closing(_mirrored(address)) as mirrored:
            # Beside its copy, none begins.
            remote = _Chosen(mirrored, Beginnings(mirrored.path.parent), follows=False)
            return _show(remote, options, settings, warning)
    if directory is None:
        run = _named(options)
        chosen: _Chosen | None = _Chosen(run, Beginnings(run.path.parent), follows=False)
    else:
        chosen = _choose(directory, settings, options)
    return 0 if chosen is None else _show(chosen, options, settings, warning)


class _Chosen(Struct, frozen=True):
    """The run to show first."""

    run: RunDirectory
    beginnings: Beginnings
    """Notices the runs that begin in its directory."""
    follows: bool
    """Whether a run that begins takes its place once it is over."""


def _named(options: argparse.Namespace) -> RunDirectory:
    return named(options.run, options.runs_dir, follows=True)


def _mirrored(address: Address) -> RunDirectory:
    """Return the copy of a run on another machine, once all of its log is copied; say on stderr how far that is."""
    from tuimon.runs.remote.mirrored_run import watched

    told = time.monotonic()

    def show(copied: int, of: int) -> None:
        nonlocal told
        if time.monotonic() > told + COPY_SECONDS and of:
            told = time.monotonic()
            print(f"copying the log: {copied / 1e6:.0f} of {of / 1e6:.0f} MB", file=sys.stderr)

    return watched(address, show)


def _choose(directory: Path, settings: Settings, options: argparse.Namespace) -> _Chosen | None:
    """Return the newest run, or the one that is chosen among several live ones; None to leave."""
    # Before the choice: what begins meanwhile is not missed.
    beginnings = Beginnings(directory)
    if not any(runs_in(directory)):
        where = plain(str(directory.absolute()), 1000)
        # PyTorch's writer calls its directory `runs`, too.
        print(f"no run in {where} yet: waiting for one to begin (Ctrl-C leaves){_others(directory)}", file=sys.stderr)
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


def _others(directory: Path) -> str:
    """Return how to watch logs of another program that lie in a directory; an empty text where there is none."""
    from tuimon.foreign.sources import find

    try:
        found = find(directory)
    except UsageError:
        return ""
    return f". Logs of another program are there: tuimon watch {shlex.quote(plain(str(found[0].path), 1000))}"


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
        _send_alerts(run, settings, options)
        app.run()
        if app.next_run is None:
            break
        run, follows, warning = app.next_run, False, ""
    run = app.viewer.run
    state = progress_lines.read_state(run)
    goes_on = state.run is not None and not state.run.source and state.ended is None
    if goes_on and not run.is_gone(state.run):
        print(progress_lines.training_goes_on(run))
    return app.return_code or 0


def _send_alerts(run: RunDirectory, settings: Settings, options: argparse.Namespace) -> None:
    """Have the alerts of a run sent while it is watched; no process does it yet for a run that began without."""
    if settings.alerts.command and not options.readonly and not run.is_remote:
        # Loaded here: most have no command, and the first screen does without.
        from tuimon.alerting import helper

        helper.start(run, settings.alerts, with_parent=True)


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
        where = plain(run.place, 1000)
        what = f"{REMOVED} from {where}" if was_removed(run) else f"no log in {where} yet"
        print(f"{what}: waiting for its first line (Ctrl-C leaves)", file=sys.stderr)
    from tuimon.alerting.sent import Trouble

    has_ended, trouble = progress_lines.until_ended(run), Trouble(run.path)

    def over(state: RunState) -> bool:
        if words := trouble.news():
            print(f"tuimon: {words}", file=sys.stderr)
        return has_ended(state)

    state = progress_lines.follow(run, show=lambda line: print(line, flush=True), over=over)
    if state.ended is None and not run.session_log.exists():
        if state.run is None:
            print(
                f"{REMOVED}, nothing of it was read"
                if was_removed(run)
                else "the run's directory was removed before its training began"
            )
        print(f"what it did after step {state.step} is not known")
        return FAILED
    if state.run is not None and state.run.source:
        print(f"this is what the {plain(state.run.source, 1000)} holds now; on a terminal it is followed")
        return 0
    if state.run is None:
        print("the process that wrote the former log is gone; this one has no line that can be read")
        return FAILED
    if state.ended is None:
        print(f"crashed after {facts_in_words.counted(state.step, 'step')}: {liveness.KILLED}")
        return FAILED
    return FAILED if state.ended.status == "failed" else 0
