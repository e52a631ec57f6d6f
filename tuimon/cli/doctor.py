"""What is wrong with a run, why, and what to do.

Reads the whole log, of a run that trains, is over or was killed. First the verdict: how far training mode and
inference mode are apart and what makes it; then what was found, the worst first, each with its numbers and a
command that would help; then what each BatchNormalization layer has to do with it.

Exit code: 0 healthy, 1 something was found, 2 bad input, 3 not examined: nothing was found, but a rule that matters
for this model could not look.
"""

import argparse
import contextlib
import math
import os
import shlex
import shutil
import sys
from collections.abc import Sequence

import numpy as np
from msgspec import structs

from tuimon.cli.common.choice import named_or_newest
from tuimon.cli.common.options import add_run
from tuimon.cli.common.progress import Progress
from tuimon.cli.common.safe_stream import ascii_json, raw
from tuimon.diagnosis.examination import Examined, Judgement, examine, judge
from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.gap.whole import whole
from tuimon.diagnosis.rules import look
from tuimon.diagnosis.verdict import verdict
from tuimon.errors import UsageError
from tuimon.protocol.wire import Number, to_wire
from tuimon.report.findings import ordered
from tuimon.report.layout import Subject, lacking
from tuimon.report.lines import as_ansi, as_text
from tuimon.report.page import page
from tuimon.runs.log.bad_lines import unread
from tuimon.runs.log.lost_log import status_now
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory, default_runs_directory
from tuimon.runs.state import OVER, RunState

VERSION = 2
"""The version of the JSON."""
EXIT_CODES: dict[Judgement, int] = {"healthy": 0, "findings": 1, "not examined": 3}
WIDTH = 80
"""Where the terminal does not say."""
NARROWEST = 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    parser.add_argument("--json", action="store_true", help="for machines")


def execute(options: argparse.Namespace) -> int:
    """Print the page and return the exit code."""
    run = named_or_newest(options)
    state, tail = RunState(), Tail(run.session_log)
    with contextlib.closing(Progress()) as progress:
        read(tail, state, progress)
    found, errors = look(state)
    found = ordered(found)
    status = status_now(run, state)
    examined = examine(state, found, errors, is_over=status in OVER)
    judgement = judge(found, examined)
    said = unread(state, tail.bad_lines, tail.unknown)
    subject = Subject(run.name, _paste(run), status, lacking(run, state, said), errors)
    if options.json:
        print(ascii_json(_document(state, found, examined, judgement, subject, said)))
    else:
        _print_page(state, found, subject)
    return EXIT_CODES[judgement]


def read(tail: Tail, state: RunState, progress: Progress) -> None:
    """Fold the log as it is now: a run that trains goes on writing."""
    try:
        size = tail.path.stat().st_size
    except FileNotFoundError:
        return
    while True:
        before = tail.offset
        state.apply(tail.read())
        if tail.offset == before or tail.offset >= size:
            return
        progress.show(tail.offset, size)


def _paste(run: RunDirectory) -> str:
    """Return the run as `tuimon send` finds it from here: its name where that will do, else its path."""
    name = str(run.path)
    if not run.name.startswith("-"):
        with contextlib.suppress(UsageError):
            if RunDirectory.find(run.name, default_runs_directory()).path == run.path:
                name = run.name
    return shlex.quote(name)


@np.errstate(all="ignore")
def _document(
    state: RunState,
    found: Sequence[Finding],
    examined: Sequence[Examined],
    judgement: Judgement,
    subject: Subject,
    unread: Sequence[str],
) -> dict[str, object]:
    return {
        "version": VERSION,
        "judgement": judgement,
        "verdict": verdict(state, found, subject.status, subject.errors, subject.lacks),
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity,
                "layer": finding.layer,
                "step": finding.step,
                "evidence": {name: _number(value) for name, value in finding.evidence.items()},
                "advice": finding.advice,
                "what": finding.what,
                "request": finding.request,
            }
            for finding in found
        ],
        "best": state.best.as_fields(),
        "fits": [
            {
                "number": fit.number,
                "first_step": fit.started.step,
                "first_epoch": fit.started.initial_epoch + fit.epochs_before,
                "epochs": None if fit.started.epochs is None else fit.started.epochs + fit.epochs_before,
                "optimizer": fit.started.optimizer,
                "same_model": fit.started.same_model,
            }
            for fit in state.fits.all
        ],
        "rules": [structs.asdict(rule) for rule in examined],
        "loss_minus_val_loss": _whole(state),
        "unread": list(unread),
        "facts_lost": sum(state.dropped.values()),
    }


def _whole(state: RunState) -> dict[str, object] | None:
    """Return what lies between the last epoch's losses; None if no probe was made at its end."""
    parts = whole(state)
    if parts is None:
        return None
    return {
        "epoch": parts.epoch,
        "loss": to_wire(parts.loss),
        "val_loss": to_wire(parts.val_loss),
        "parts": {
            part.name.replace(" ", "_"): {
                "value": to_wire(part.value),
                "standard_error": None if math.isnan(part.error) else to_wire(part.error),
            }
            for part in parts.parts
        },
    }


def _number(value: Number) -> Number:
    # An integer stays one.
    return value if value is None or isinstance(value, str | int) else to_wire(float(value))


def _print_page(state: RunState, found: Sequence[Finding], subject: Subject) -> None:
    width = max(NARROWEST, shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH)
    write = as_ansi if _has_colour() else as_text
    for pieces in page(state, found, subject, width):
        print(write(pieces), file=raw(sys.stdout))


def _has_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
