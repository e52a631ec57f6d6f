"""Tables of metrics: Keras' `CSVLogger`, Lightning's `metrics.csv`, a dump of `History.history`."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tuimon.foreign.curves import Curve, FloatArray, ForeignLog
from tuimon.foreign.limits import LAST_STEP, possible_time
from tuimon.foreign.records import IntArray
from tuimon.regular_file import read_regular

BoolArray = npt.NDArray[np.bool_]

MOST_BYTES = 1 << 30
"""A table that is longer is not read."""
HYPERPARAMETERS = "hparams.yaml"
_MISSING = ("", "na", "n/a", "none", "null")
_LIGHTNING = ("epoch", "step")
_DELIMITERS = ",;\t|"


class NotATableError(ValueError):
    """A file is no table of metrics; says what was expected."""


class Table:
    """Follows a file that holds a table, which is read anew as soon as it changes.

    Args:
        path: The file.
        what: What it is.
        parse: Makes a log of what the file holds; raises `NotATableError`.
    """

    def __init__(self, path: Path, what: str, parse: "Callable[[bytes, ForeignLog], None]") -> None:
        self._path = path
        self._parse = parse
        self._seen: tuple[int, int] | None = None
        self.log = ForeignLog(what, str(path), has_times=False)

    def read(self, tell: Callable[[int, int], None] | None = None) -> bool:  # noqa: ARG002 - it is read at once.
        """Read the file if it changed; return whether it did. What cannot be read leaves what was read before.

        Raises:
            NotATableError: It is none, and was none before.
            OSError: It cannot be read, and was not before.
        """
        try:
            status = self._path.stat()
            seen = (status.st_size, status.st_mtime_ns)
            if seen == self._seen:
                return False
            found = ForeignLog(self.log.what, self.log.source, has_times=False)
            self._parse(read_regular(self._path, MOST_BYTES), found)
        except (OSError, NotATableError) as error:
            if self._seen is None:
                raise
            self.log.troubles = {str(self._path): str(error)}
            return False
        self._seen = seen
        self._take(found, possible_time(status.st_mtime))
        return True

    def _take(self, found: ForeignLog, time: float) -> None:
        log = self.log
        for mine, others in zip(log.all, found.all, strict=True):
            for name, curve in others.items():
                curve.times = np.full(len(curve), time)
                mine.setdefault(name, Curve()).replace(curve)
            for name in mine.keys() - others.keys():
                del mine[name]
                log.is_void = True
        log.ends, log.has_steps, log.left_out = found.ends, found.has_steps, found.left_out
        log.config = hyperparameters(self._path.with_name(HYPERPARAMETERS)) if log.has_steps else {}
        log.remarks, log.troubles = found.remarks, found.troubles


def keras_csv(data: bytes, log: ForeignLog) -> None:
    """Take what Keras' `CSVLogger` wrote: one row an epoch.

    Raises:
        NotATableError: it has no column `epoch`.
    """
    cells = _cells(data, log)
    if "epoch" not in cells.names:
        raise NotATableError("no column named epoch")
    numbers, is_row = cells.counts("epoch")
    epochs = numbers[is_row]
    backwards = np.flatnonzero(np.diff(epochs) <= 0) + 1
    if len(backwards):
        # `append=True`: another `fit` went on with the file. Its epochs follow those before.
        epochs = epochs.copy()
        for place in backwards.tolist():
            epochs[place:] += epochs[place - 1] + 1 - epochs[place]
        again = ", ".join(f"row {place + 1}" for place in backwards[:5].tolist())
        log.remarks.append(f"The epochs begin again at {again}: they are counted on.")
    _fill(log.epochs, cells, is_row, epochs, [name for name in cells.names if name != "epoch"], log)


def lightning_csv(data: bytes, log: ForeignLog) -> None:
    """Take what Lightning's `CSVLogger` wrote: rows of steps and rows of epochs, each with some of the columns.

    Raises:
        NotATableError: it has no column `step`.
    """
    cells = _cells(data, log)
    if "step" not in cells.names:
        raise NotATableError("no column named step")
    steps, is_row = cells.counts("step")
    epochs, has_epoch = cells.counts("epoch") if "epoch" in cells.names else (steps, np.zeros(len(steps), dtype=bool))
    has_epoch &= is_row
    log.has_steps = True
    by_step: list[str] = []
    by_epoch: list[str] = []
    for name in (name for name in cells.names if name not in _LIGHTNING):
        is_told = cells.is_told[:, cells.names.index(name)] & is_row
        known = epochs[is_told & has_epoch]
        is_of_epoch = 0 < is_told.sum() == len(np.unique(known)) == len(known)
        (by_epoch if is_of_epoch else by_step).append(name)
    _fill(log.steps, cells, is_row, steps[is_row], by_step, log)
    _fill(log.epochs, cells, has_epoch, epochs[has_epoch], by_epoch, log)
    log.name_as_keras()
    known, place = np.unique(epochs[has_epoch], return_inverse=True)
    ends = np.zeros(len(known), dtype=np.int64)
    np.maximum.at(ends, place, steps[has_epoch] + 1)
    log.ends = lambda wanted, _: ends[np.searchsorted(known, wanted)]


def history_json(data: bytes, log: ForeignLog) -> None:
    """Take a dump of Keras' `History.history`: a list of numbers for each metric, one an epoch.

    Raises:
        NotATableError: it is none.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotATableError(f"no JSON: {error}") from None
    if isinstance(document, dict) and isinstance(document.get("history"), dict):
        document = document["history"]
    if not isinstance(document, dict):
        raise NotATableError("expected an object with a list for each metric")
    for name, numbers in document.items():
        cells = _Cells([name], [[_number(each)] for each in numbers] if isinstance(numbers, list) else [])
        _fill(log.epochs, cells, np.ones(len(cells.values), dtype=bool), np.arange(len(cells.values)), [name], log)
    if not log.epochs:
        raise NotATableError("expected a list of numbers for each metric")


def hyperparameters(path: Path) -> dict[str, object]:
    """Return the plain values of Lightning's `hparams.yaml`: one a line, nothing nested."""
    try:
        text = read_regular(path, 1 << 20).decode(errors="replace")
    except OSError:
        return {}
    found: dict[str, object] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and name and not name[0].isspace() and not name.startswith(("#", "-")) and value.strip():
            found[name] = _typed(value.strip())
    return {"hparams": found} if found else {}


def _typed(value: str) -> object:
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        return number if math.isfinite(number) and abs(number) < 2**63 else value
    return {"true": True, "false": False}.get(value, value.strip("'\""))


def header(data: bytes) -> list[str]:
    """Return the names in the first line of a table; none where it is no text."""
    line = data.split(b"\n", 1)[0]
    try:
        text = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return []
    if not text or "\0" in text:
        return []
    try:
        with _of_any_length():
            return next(csv.reader([text], delimiter=_delimiter(text)), [])
    except csv.Error:  # A carriage return in it, say.
        return []


@contextmanager
def _of_any_length() -> Iterator[None]:
    """Let cells be as long as the file; the limit is that of the whole process."""
    before = csv.field_size_limit(MOST_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _delimiter(line: str) -> str:
    return max(_DELIMITERS, key=line.count)


class _Cells:
    """The cells of a table below its first line.

    Args:
        names: Of the columns.
        rows: A number for each cell, None where it has none.
    """

    def __init__(self, names: list[str], rows: list[list[float | None]]) -> None:
        self.names = names
        """Of the columns."""
        shape = (len(rows), len(names))
        self.values: FloatArray = np.array(rows, dtype=np.float64).reshape(shape)
        """Shape ``(rows, columns)``; NaN also where a cell has no number."""
        self.is_told = np.array([[cell is not None for cell in row] for row in rows], dtype=bool).reshape(shape)
        """Which cells have a number, shape ``(rows, columns)``. NaN is one if it is written."""

    def counts(self, name: str) -> tuple[IntArray, BoolArray]:
        """Return a column as integers, and in which rows it has one that can be a step or an epoch."""
        column = self.values[:, self.names.index(name)]
        is_count = np.isfinite(column) & (column >= 0) & (column <= LAST_STEP)
        return np.where(is_count, column, 0).astype(np.int64), is_count


def _cells(data: bytes, log: ForeignLog) -> _Cells:
    """Return the cells of a table. A last line without its end is being written; rows of another length are counted."""
    names = [name.strip() for name in header(data)]
    text = data[: data.rfind(b"\n") + 1].decode("utf-8-sig", errors="replace").replace("\0", "")
    lines = io.StringIO(text)
    delimiter = _delimiter(lines.readline())
    rows: list[list[float | None]] = []
    odd = 0
    try:
        with _of_any_length():
            for row in csv.reader(lines, delimiter=delimiter):
                if not row or [cell.strip() for cell in row] == names:
                    continue
                odd += len(row) != len(names)
                if len(row) == len(names):
                    rows.append([_number(cell) for cell in row])
    except csv.Error as error:
        log.troubles[log.source] = f"not read whole: {error}"
    if odd:
        log.troubles[log.source] = f"{odd:,} rows have another number of columns than the first line; left out"
    return _Cells(names, rows)


def _number(cell: object) -> float | None:
    """Return a cell's number; None where it has none."""
    if isinstance(cell, str) and cell.strip().lower() in _MISSING:
        return None
    try:
        return float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _fill(
    curves: dict[str, Curve], cells: _Cells, is_row: BoolArray, steps: IntArray, wanted: list[str], log: ForeignLog
) -> None:
    """Add a curve for each column that has a number in some rows, at these steps."""
    for name in filter(None, wanted):
        place = cells.names.index(name)
        values, is_told = cells.values[is_row, place], cells.is_told[is_row, place]
        # Keras 3.8 to 3.10 writes NaN for a validation that there was none of: keras-team/keras#21173.
        if not is_told.any() or (name.startswith("val_") and not np.isfinite(values).any()):
            log.remarks.append(f"Left out, it has no number: {name}.")
            continue
        curves[name] = Curve()
        curves[name].add(steps[is_told], values[is_told], np.zeros(int(is_told.sum())))
