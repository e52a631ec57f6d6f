"""What lies at a path that tuimon did not write: which logs, and who reads them."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from tuimon.errors import UsageError
from tuimon.foreign import exported, tables, tensorboard
from tuimon.foreign.curves import ForeignLog
from tuimon.foreign.event_file import is_event_file
from tuimon.regular_file import read_regular

LOOKED_FOR = (
    "TensorBoard's event files (*tfevents*, also in directories below), a CSV file with a column epoch or step "
    "(Keras' CSVLogger, Lightning's metrics.csv), a JSON file with a list for each metric (History.history)."
)
OWN_TABLE = (
    "it is a table that tuimon export wrote, which is not read back. Copy the directory of its run, which has all, or "
    "export that run --to tensorboard."
)
_OWN_COLUMNS = ["step", "epoch", "time", "metric", "value", "branch", "fit"]
"""Those that a table of `tuimon export` begins with."""
_HEAD_BYTES = 64 * 1024
_MOST_NAMED = 5
_PLAIN_NAMES = ("metrics", "history", "training", "log", "logs")
"""Names that say nothing of a training: that of the directory goes before them."""


Tell = Callable[[int, int], None]


class NothingFoundError(UsageError):
    """There is no log of another program at a path."""


class Source(Protocol):
    """Follows one log."""

    log: ForeignLog
    """What was read of it so far."""

    def read(self, tell: Tell | None = None) -> bool:
        """Read what is new; return whether there was anything.

        Args:
            tell: Is told how many bytes of how many are read, now and then.
        """


class Found(Struct, frozen=True):
    """One log that can be read."""

    path: Path
    """Where it lies."""
    name: str
    """What its run is to be called."""
    open: Callable[[], Source]
    """Returns who reads it."""


def find(path: Path) -> list[Found]:
    """Return the logs at a path: one for each training.

    Raises:
        NothingFoundError: there is none; says what was looked for, and where.
        UsageError: the path cannot be read.
    """
    path = path.absolute()
    try:
        found = _in_directory(path) if path.is_dir() else _in_file(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not found:
        raise NothingFoundError(f"{path}: there is nothing here that can be read. Looked for: {LOOKED_FOR}")
    return found


def find_one(path: Path, command: str) -> Found:
    """Return the one log at a path.

    Args:
        path: The path.
        command: What is to be typed before the path of one of several, such as "tuimon watch".

    Raises:
        UsageError: there is none, or there are several; names them.
    """
    found = find(path)
    if len(found) > 1:
        named = ", ".join(str(each.path) for each in found[:_MOST_NAMED])
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise UsageError(f"{path}: {len(found)} trainings are here: {named}{more}. Name the one: {command} PATH")
    return found[0]


def _in_directory(path: Path) -> list[Found]:
    runs = tensorboard.runs(path, is_whole=exported.is_export)
    found = [Found(run, _name(path, run), partial(_open_events, run)) for run in runs]
    with_events = {each.path for each in found}
    for file in [*sorted(path.glob("*.csv")), *sorted(path.glob("*.json")), *sorted(path.glob("**/metrics.csv"))]:
        # Beside event files, a table tells the same again.
        is_told = not with_events.isdisjoint([file.parent, *file.parents])
        if not is_told and file not in [each.path for each in found]:
            found += _in_file(file, is_sought=False)
    return found


def _in_file(path: Path, *, is_sought: bool = True) -> list[Found]:
    """Return the log that a file is; none where it is no log.

    Args:
        path: The file.
        is_sought: Whether it was named: else it may also be something else.
    """
    if is_event_file(path.name):
        return [Found(path, _name(path.parent, path.parent), partial(_open_events, path))]
    try:
        head = read_regular(path, _HEAD_BYTES)
    except OSError:
        if is_sought:
            raise
        return []
    columns = [column.strip() for column in tables.header(head)]
    if _is_own_table(head, columns):
        if is_sought:
            raise NothingFoundError(f"{path}: {OWN_TABLE}")
        return []
    if not head and is_sought:
        raise NothingFoundError(f"{path}: the file is empty; nothing is logged yet.")
    name = f"{path.parent.name}-{path.stem}" if path.stem.lower() in _PLAIN_NAMES else path.stem
    if path.suffix.lower() == ".json" or head.lstrip()[:1] == b"{":
        return _table(path, name, "history of Keras", tables.history_json, is_sought=is_sought)
    if "step" in columns:
        return _table(path, name, "metrics.csv of Lightning", tables.lightning_csv, is_sought=is_sought)
    if "epoch" in columns:
        return _table(path, name, "CSVLogger file of Keras", tables.keras_csv, is_sought=is_sought)
    return []


def _is_own_table(head: bytes, columns: list[str]) -> bool:
    """Return whether `tuimon export --to csv` or `--to jsonl` wrote a file that begins so."""
    if columns[: len(_OWN_COLUMNS)] == _OWN_COLUMNS:
        return True
    try:
        line = json.loads(head.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(line, dict) and list(line)[: len(_OWN_COLUMNS)] == _OWN_COLUMNS


def _open_events(path: Path) -> Source:
    return exported.ExportedRun(path) if exported.is_export(path) else tensorboard.TensorBoardLog(path)


def _table(
    path: Path, name: str, what: str, parse: Callable[[bytes, ForeignLog], None], *, is_sought: bool
) -> list[Found]:
    table = tables.Table(path, what, parse)
    try:
        table.read()
    except tables.NotATableError as error:
        if is_sought:
            raise NothingFoundError(f"{path}: {error}. Looked for: {LOOKED_FOR}") from None
        return []
    except OSError:
        return []
    if table.log.is_empty and is_sought:
        raise NothingFoundError(f"{path}: the {what} holds no number yet.")
    return [Found(path, name, partial(tables.Table, path, what, parse))] if not table.log.is_empty else []


def _name(path: Path, run: Path) -> str:
    """Return what a run is to be called that lies in a directory."""
    words = [path.name, *run.relative_to(path).parts]
    if len(words) == 1 and words[0].lower() in (*_PLAIN_NAMES, *tensorboard.TRAINING, *tensorboard.VALIDATION):
        words.insert(0, path.parent.name)
    return "-".join(words)
