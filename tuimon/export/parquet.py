"""A run as a Parquet file: one value a row, with the columns of the CSV.

`step`, `epoch`, `branch` and `fit` are int64, `time` and `value` float64, `metric` is a string. A value that is not
finite is one of IEEE 754, so NaN is not null; null is "not known". pandas shows both as NaN, unless it is told
`dtype_backend="pyarrow"`. What the metrics are is said in `tuimon.export.csv`.

pyarrow writes it. The log is streamed: memory does not grow with the run.
"""

from itertools import islice
from typing import TextIO

from tuimon.errors import UsageError
from tuimon.export.output import binary_output
from tuimon.export.reading import facts
from tuimon.export.rows import Row, of_all
from tuimon.protocol.wire import from_wire
from tuimon.runs.run_directory import RunDirectory

INSTALL = "pip install 'tuimon[parquet]'"
_GROUP = 64 * 1024
"""Rows of a row group: what is in memory at once."""


def export(run: RunDirectory, out: str, stdout: TextIO | None = None) -> None:
    """Write a run's metrics to the file ``out``, whole or not at all.

    Args:
        run: The run.
        out: A path.
        stdout: Not used: what is written is not text.

    Raises:
        UsageError: pyarrow is missing, or ``out`` is ``-``.
        OSError: the log cannot be read, or the file not written.
    """
    del stdout
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError:
        raise UsageError(f"parquet needs pyarrow, which is not installed here: {INSTALL}") from None

    kinds = {"time": pyarrow.float64(), "metric": pyarrow.string(), "value": pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.int64())) for name in Row._fields])
    rows = of_all(facts(run))
    with binary_output(out, "parquet") as file, ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, _GROUP)):
            columns = dict(zip(Row._fields, map(list, zip(*group, strict=True)), strict=True))
            columns["value"] = [None if value is None else from_wire(value) for value in columns["value"]]
            writer.write_table(pyarrow.table(columns, schema=schema))
