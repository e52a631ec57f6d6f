"""Write a run in another program's format.

csv: tidy, one value a line, with the columns step, epoch, time, metric and value. An epoch's metrics have
Keras' names (loss, val_loss); those of single batches begin with batch/, those of BatchNormalization are
batch_norm/LAYER/ARRAY/QUANTILE, such as batch_norm/bn_1/moving_mean/p50.
"""

import argparse
import sys

from tuimon.cli.choice import named_or_newest
from tuimon.cli.options import add_run
from tuimon.cli.safe_stream import raw
from tuimon.errors import UsageError

FORMATS = ("csv",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    parser.add_argument("--out", required=True, metavar="PATH", help="the file, written whole or not at all; -: stdout")


def execute(options: argparse.Namespace) -> int:
    """Write the file and return the exit code."""
    from tuimon.export import csv

    run = named_or_newest(options)
    try:
        # A program gets the names as they are, a terminal as they can be shown.
        csv.export(run, options.out, sys.stdout if sys.stdout.isatty() else raw(sys.stdout))
    except IsADirectoryError:
        raise UsageError(f"{options.out}: it is a directory") from None
    return 0
