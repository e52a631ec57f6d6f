"""Wait in a script until a run has ended, or has reached something.

`--until` says what: `end` (the default), `training`, `paused`, `alert` (a warning or an error), `alert error`,
`alert R5`, `epoch 20` (it has ended), `step 5000`, `val_loss<0.3` (at the end of an epoch; also <=, >, >=). What
was reached before counts. The exit code is 0 once it is reached: for `end`, if the run finished or was stopped;
1 if the run ended otherwise, failed, crashed or was removed; 124 after --timeout; 2 for bad input. A run that
does not exist is bad input, unless --missing-ok has it waited for. Of an imported run nobody knows whether it has
ended: 1.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable

from tuimon.alerting import helper
from tuimon.alerting.conditions import USAGE, Condition
from tuimon.alerting.place import Place
from tuimon.cli.common import progress_lines
from tuimon.cli.common.choice import address_of, run_proper
from tuimon.cli.common.options import add_runs_dir, warn
from tuimon.errors import UsageError
from tuimon.protocol import events
from tuimon.runs import facts_in_words, liveness
from tuimon.runs.log.session_log import LogChangedError, Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState
from tuimon.settings import read, settings_path
from tuimon.text import plain

REACHED, OTHERWISE, LATE = 0, 1, 124
LOOK_SECONDS = 0.2
"""How often it looks."""
_KEPT_ROWS = 100


class _LateError(Exception):
    """The time is over."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run directory, a session.jsonl, or a name under the runs directory (without its date: the newest of "
        "that name)",
    )
    parser.add_argument("--until", metavar="WHAT", nargs="+", default=["end"], help=f"one of {USAGE} (default: end)")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, help="give up after so long (default: never)")
    parser.add_argument("--missing-ok", action="store_true", help="wait for a run that does not exist yet")
    add_runs_dir(parser)


def execute(options: argparse.Namespace) -> int:
    """Wait, say what was reached in one line, and return the exit code."""
    condition = Condition.parse(" ".join(options.until))
    deadline = math.inf
    if options.timeout is not None:
        if not 0 <= options.timeout < math.inf:
            raise UsageError(f"--timeout {options.timeout:g}: expected seconds, 0 or more")
        deadline = time.monotonic() + options.timeout
    seen: list[RunDirectory] = []
    try:
        run = _find(options, deadline)
        seen.append(run)
        settings, warning = read(settings_path())
        warn(warning)
        process = helper.start(run, settings.alerts, with_parent=True)
        code, is_over = _wait(Place(run), run.name, condition, deadline)
        if is_over:
            helper.wait_until_sent(run, process, settings.alerts)
        return code
    except _LateError:
        name = plain(seen[0].name if seen else options.run, 200)
        print(f"tuimon: {name}: not reached in {options.timeout:g} s: {plain(condition.words, 200)}", file=sys.stderr)
        return LATE


def _find(options: argparse.Namespace, deadline: float) -> RunDirectory:
    while True:
        try:
            return run_proper(options.run, options.runs_dir)
        except UsageError:
            if not options.missing_ok or address_of(options.run) is not None:
                raise
        _pause(deadline)


def _pause(deadline: float) -> None:
    """Wait a moment.

    Raises:
        _LateError: The time is over.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise _LateError
    time.sleep(min(LOOK_SECONDS, left))


def _wait(place: Place, name: str, condition: Condition, deadline: float) -> tuple[int, bool]:
    """Wait for it; return the exit code, and whether the run is over and may have alerts to be sent."""
    run, name = place.run, plain(name, 200)
    log, is_over = _Log(run), progress_lines.until_ended(run)
    while True:
        # Asked before the log is read, so that everything written until the end is read.
        over = is_over(log.state)
        if said := log.read(condition.reached):
            print(f"{name}: {said}", flush=True)
            return REACHED, over
        if over:
            # Who sends alerts hears nothing more of a log that was removed, and waits for more.
            return _ended(run, name, log.state, condition), run.session_log.exists()
        _pause(deadline)


def _ended(run: RunDirectory, name: str, state: RunState, condition: Condition) -> int:
    if state.ended is not None:
        how = facts_in_words.of(state.ended, state)
    elif state.run is not None and state.run.source:
        steps = facts_in_words.counted(state.step, "step")
        how = f"a log of another program, with {steps}; whether that goes on is not known"
    elif run.session_log.exists():
        how = f"crashed after {facts_in_words.counted(state.step, 'step')}: {liveness.KILLED}"
    else:
        how = f"its log was removed after step {state.step:,}; what it did then is not known"
    if condition.check is None:
        is_well = state.ended is not None and state.ended.status != "failed"
        print(f"{name}: {how}" if is_well else f"tuimon: {name}: {how}", file=sys.stdout if is_well else sys.stderr)
        return REACHED if is_well else OTHERWISE
    known = ", ".join(plain(metric, 40) for metric in list(state.epoch_metrics)[:10]) or "no metric"
    hint = f"; its epochs have {known}" if any(sign in condition.words for sign in "<>") else ""
    print(f"tuimon: {name}: not reached: {plain(condition.words, 200)}; {how}{hint}", file=sys.stderr)
    return OTHERWISE


class _Log:
    """The log of a run as it grows; one in place of the former is read anew."""

    def __init__(self, run: RunDirectory) -> None:
        self._tail = Tail(run.session_log)
        self.state = RunState()
        """The fold of what was read, without its older rows."""

    def read(self, reached: Callable[[list[events.AnyEvent], RunState], str]) -> str:
        """Read what is new; return what ``reached`` says of it, as soon as it says anything."""
        try:
            before = -1
            while self._tail.offset != before:
                before = self._tail.offset
                new = self._tail.read()
                self.state.apply(new)
                self.state.forget_before(_KEPT_ROWS)
                if said := reached(new, self.state):
                    return said
        except LogChangedError as changed:
            if not changed.is_removed:
                self._tail, self.state = Tail(self._tail.path), RunState()
        return ""
