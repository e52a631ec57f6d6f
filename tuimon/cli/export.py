"""Write a run in another program's format.

csv: tidy, one value a line, with the columns step, epoch, time, metric, value, branch and fit. An epoch's metrics have
Keras' names (loss, val_loss); those of single batches begin with batch/, those of BatchNormalization are
batch_norm/LAYER/ARRAY/QUANTILE, such as batch_norm/bn_1/moving_mean/p50.
jsonl: the same, one JSON object a line.
parquet: the same as a table; needs: pip install 'tuimon[parquet]'
tensorboard: a log directory for TensorBoard, with the runs and names of Keras' callback.
html: one page to send: verdict, charts, what was changed, layers, settings; no script, nothing is loaded.
svg: the main charts as a picture.
schedule: TOML with the applied requests as standing orders, each at its step. The same script, with the same seed and
this schedule, trains the same weights.
"""

import argparse
import errno
import sys
from importlib import import_module
from typing import Protocol, TextIO, cast

from tuimon.cli.common.choice import named_or_newest
from tuimon.cli.common.options import add_run
from tuimon.cli.common.safe_stream import raw
from tuimon.errors import UsageError
from tuimon.runs.run_directory import RunDirectory

FORMATS = {
    "csv": "tuimon.export.csv",
    "html": "tuimon.report.web.page",
    "jsonl": "tuimon.export.jsonl",
    "parquet": "tuimon.export.parquet",
    "schedule": "tuimon.export.schedule",
    "svg": "tuimon.report.web.picture",
    "tensorboard": "tuimon.export.tensorboard",
}
"""The module of each format, a `Format`. It is loaded when it is used."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What is wrong with the place that is written to, never with the log."""


class Format(Protocol):
    """What a module of a format has."""

    def export(self, run: RunDirectory, out: str, stdout: TextIO | None = None) -> None:
        """Write a run to the file or the directory ``out``, whole or not at all; text for ``-`` to ``stdout``.

        Raises:
            UsageError: the format cannot be written there.
            OSError: the log cannot be read, or the file not written.
        """


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_run(parser)
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    parser.add_argument(
        "--out",
        required=True,
        metavar="PATH",
        help="the file, or the directory for tensorboard, written whole or not at all; -: stdout, for text",
    )


def execute(options: argparse.Namespace) -> int:
    """Write the file or the directory and return the exit code."""
    run = named_or_newest(options)
    chosen = cast(Format, import_module(FORMATS[options.to]))
    try:
        # A program gets the names as they are, a terminal as they can be shown.
        chosen.export(run, options.out, sys.stdout if sys.stdout.isatty() else raw(sys.stdout))
    except IsADirectoryError:
        raise UsageError(f"{options.out}: it is a directory") from None
    except OSError as error:
        if error.errno in _FULL and error.filename is None:
            raise UsageError(f"{options.out}: {error.strerror}; nothing was exported") from None
        raise
    return 0
