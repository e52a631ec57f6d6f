"""A run as tidy CSV: ``step,epoch,time,metric,value,branch,fit``, one value a line.

All that was measured is there, in the order of the log. `branch` counts the rollbacks and resumptions before: they undo
what rows of older branches show of the weights, not the rows, and `step` never goes back but in rows of `best/`.
`fit` is the number of the `fit`, from 1; 0 before the first one. Further columns may come behind these.

`best/<metric>` has a row for each epoch that was better than those before, with the value, step and epoch of that
epoch: the last one is the best of the run. After a rollback or a resumption that undoes it, a row repeats the best one
that is left, with its own step and epoch, in the new branch; where none is left, and where another model begins, the
value is empty. A metric of which nobody knows whether more or less is better has no such rows.

`system/<name>` and `system/gpu/<number>/<name>` are the load of the machine that trains, in the units of the log:
shares from 0 to 1, bytes, degrees Celsius, watts. What was not read has no row.

Numbers that are not finite are `nan`, `inf` or `-inf`; unknown ones are empty.

The log is streamed: memory does not grow with the run.
"""

import csv
from typing import TextIO

from tuimon.export.output import text_output
from tuimon.export.reading import facts
from tuimon.export.rows import Row, of_all
from tuimon.runs.run_directory import RunDirectory


def export(run: RunDirectory, out: str, stdout: TextIO | None = None) -> None:
    """Write a run's metrics to the file ``out``, whole or not at all; ``-``: to stdout.

    Args:
        run: The run.
        out: A path, or ``-``.
        stdout: Takes the lines for ``-``; by default that of the process.

    Raises:
        OSError: the log cannot be read, or the file not written.
    """
    with text_output(out, stdout) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(of_all(facts(run)))
