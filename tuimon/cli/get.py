"""Print a value of a metric: the newest, or those around a step.

  tuimon get RUN val_loss                     the newest value
  tuimon get RUN batch/loss --around 1200     the values nearest to a step
  tuimon get RUN val_loss -n 5                the newest five

The names are those of `tuimon export --to csv`: Keras' names for the metrics of epochs,
batch/loss for single batches, best/val_loss, learning_rate, probe/gap,
batch_norm/LAYER/moving_mean/p50. A line is: value, step, epoch, branch, time.

After a rollback or a resumption, what was undone is left out, unless --branch asks for it.
"""

import argparse
import time
from typing import TYPE_CHECKING, Any

from tuimon.cli.common.choice import named_or_newest
from tuimon.cli.common.options import add_run
from tuimon.cli.common.safe_stream import ascii_json
from tuimon.errors import UsageError
from tuimon.text import plain

if TYPE_CHECKING:
    from tuimon.query.columns import Metric

VERSION = 1
"""Of the JSON."""
AROUND = 3
"""So many values are printed around a step, unless another number is given."""

_LAST_STEP = 2**62


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    parser.add_argument("metric", metavar="METRIC", help="a name as tuimon export --to csv has it")
    parser.add_argument("--around", metavar="STEP", type=int, help="the values whose steps are nearest to this one")
    parser.add_argument(
        "-n", dest="count", metavar="COUNT", type=int, help=f"how many values (default: 1, with --around {AROUND})"
    )
    parser.add_argument("--branch", metavar="BRANCH", default="now", help="now (default), all, or the number of one")
    parser.add_argument("--fit", metavar="NUMBER", type=int, help="of one fit alone, from 1")
    parser.add_argument("--json", action="store_true", help="for machines")


def execute(options: argparse.Namespace) -> int:
    """Print the values and return the exit code."""
    from tuimon.query.line import branches_in
    from tuimon.query.lookup import look_up
    from tuimon.query.nearest import UnknownNameError

    count = options.count if options.count is not None else 1 if options.around is None else AROUND
    if count < 1:
        raise UsageError("-n: give 1 or more")
    if options.around is not None and not 0 <= options.around <= _LAST_STEP:
        raise UsageError(f"--around: a step is 0 or more, and at most {_LAST_STEP}")
    try:
        branch = branches_in(options.branch)
    except ValueError as error:
        raise UsageError(f"--branch: {error}") from error
    run = named_or_newest(options)
    try:
        metric = look_up(run, options.metric, branch=branch, fit=options.fit)
    except UnknownNameError as error:
        raise UsageError(_named_run(options) or str(error)) from error
    if not len(metric):
        where = "of this fit" if options.fit is not None else f"of branch {branch}"
        where = "that was not undone" if branch == "now" and options.fit is None else where
        raise UsageError(f"{run.name}: {options.metric} has no value {where}; all of them: --branch all")
    rows = _chosen(metric, options.around, count)
    if options.json:
        print(ascii_json({"version": VERSION, "run": run.name, "metric": metric.name, "values": rows}))
    else:
        _print(rows, with_fit=len(set(metric.fits.tolist())) > 1)
    return 0


def _named_run(options: argparse.Namespace) -> str:
    """Return what to say to somebody who named a run and no metric; nothing where it is no run."""
    from pathlib import Path

    from tuimon.runs.run_directory import RunDirectory

    if options.run is not None:
        return ""
    try:
        RunDirectory.find(options.metric, options.runs_dir)
    except UsageError:
        if not Path(options.metric).exists():
            return ""
    named = plain(options.metric, 100)
    return f"{named}: it is a run or a log; name the metric, too: tuimon get {named} val_loss"


def _chosen(metric: "Metric", around: int | None, count: int) -> list[dict[str, Any]]:
    """Return the newest values, or those nearest to a step, in the order of the log."""
    import numpy as np

    from tuimon.protocol.wire import to_wire

    if around is None:
        places = list(range(max(0, len(metric) - count), len(metric)))
    else:
        order = np.argsort(np.abs(metric.steps - around), kind="stable")
        places = sorted(order[:count].tolist())
    return [
        {
            "value": to_wire(float(metric.values[place])),
            "step": int(metric.steps[place]),
            "epoch": int(metric.epochs[place]),
            "branch": int(metric.branches[place]),
            "fit": int(metric.fits[place]),
            "time": float(metric.times[place]),
        }
        for place in places
    ]


def _print(rows: list[dict[str, Any]], *, with_fit: bool) -> None:
    # A number as it is, without commas and with all its digits: whoever asks in a shell computes with it.
    lines = [
        [
            str(row["value"]),
            f"step {row['step']}",
            f"epoch {row['epoch'] + 1}",
            *([f"fit {row['fit']}"] if with_fit else []),
            f"branch {row['branch']}",
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["time"])),
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
