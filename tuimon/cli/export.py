"""Write a run in another program's format.

csv: tidy, one value a line, with the columns step, epoch, time, metric and value. An epoch's metrics have
Keras' names (loss, val_loss); those of single batches begin with batch/, those of BatchNormalization are
batch_norm/LAYER/ARRAY/QUANTILE, such as batch_norm/bn_1/moving_mean/p50.

schedule: TOML with the applied requests as standing orders, each at its step. The same script, with the same
seed and this schedule, trains the same weights.
"""

import argparse
import sys
from importlib import import_module

from tuimon.cli.choice import named_or_newest
from tuimon.cli.options import add_run
from tuimon.cli.safe_stream import raw
from tuimon.errors import UsageError

FORMATS = ("csv", "schedule")
"""Each a module of `tuimon.export`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    parser.add_argument("--out", required=True, metavar="PATH", help="the file, written whole or not at all; -: stdout")


def execute(options: argparse.Namespace) -> int:
    """Write the file and return the exit code."""
    module = import_module(f"tuimon.export.{options.to}")
    run = named_or_newest(options)
    try:
        # A program gets the names as they are, a terminal as they can be shown.
        module.export(run, options.out, sys.stdout if sys.stdout.isatty() else raw(sys.stdout))
    except IsADirectoryError:
        raise UsageError(f"{options.out}: it is a directory") from None
    return 0
