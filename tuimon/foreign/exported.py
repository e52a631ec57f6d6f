"""Log directories that `tuimon export --to tensorboard` wrote: the run again, with its fits and branches.

They have the names of Keras' callback and mean more by them: a value of a batch is its own, steps are of the whole run,
and `fit_2/branch_1/train` belongs to the run whose first fit is in `train`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct

from tuimon.foreign import beside, records
from tuimon.foreign.curves import Curve, FloatArray, ForeignLog, Part, Text
from tuimon.foreign.event_file import EventFile, directories, event_files, is_event_file
from tuimon.foreign.events import parse
from tuimon.foreign.pieces import Piece, Rows
from tuimon.foreign.records import IntArray
from tuimon.regular_file import read_regular

_WRITER = "tuimon"
_TRAIN, _VALIDATION = "train", "validation"
_FIT, _BRANCH = re.compile(r"fit_([1-9]\d{0,14})"), re.compile(r"branch_([1-9]\d{0,14})")
_EPOCH = "epoch"
"""The tag that tells at which step an epoch ended."""
_LONGEST_TEXT = 1 << 20
_HEAD_BYTES = 256
"""The first record is in them: it has no name but the writer's."""


class _Place(Struct, frozen=True, order=True):
    """Which values of a run are in a directory."""

    fit: int
    branch: int


Files = dict[_Place, list[Path]]


def is_export(path: Path) -> bool:
    """Return whether a directory, or an event file, is an export of tuimon, or a part of one."""
    return bool(_files(path))


def _files(path: Path) -> Files:
    """Return the event files of an export by what they tell; none where something else is among them."""
    if is_event_file(path.name) and path.is_file():
        found = {_Place(1, 0): [path]}
    elif path.name in (_TRAIN, _VALIDATION) and (files := event_files(path)):
        found = {_Place(1, 0): files}
    else:
        found = {place: files for place, directory in _places(path) if (files := _of_place(directory))}
    every = [file for files in found.values() for file in files]
    # All of an export have one name: two that lie beside each other, called fit_1 and fit_2, are two runs.
    is_one = len({file.name for file in every}) == 1 and all(map(_is_written_by_tuimon, every))
    return dict(sorted(found.items())) if is_one else {}


def _places(directory: Path) -> Iterator[tuple[_Place, Path]]:
    yield _Place(1, 0), directory
    for below in directories(directory):
        if branch := _BRANCH.fullmatch(below.name):
            yield _Place(1, int(branch[1])), below
        elif fit := _FIT.fullmatch(below.name):
            yield _Place(int(fit[1]), 0), below
            for deeper in directories(below):
                if branch := _BRANCH.fullmatch(deeper.name):
                    yield _Place(int(fit[1]), int(branch[1])), deeper


def _of_place(directory: Path) -> list[Path]:
    return [*event_files(directory / _TRAIN), *event_files(directory / _VALIDATION)]


def _is_written_by_tuimon(path: Path) -> bool:
    try:
        data = read_regular(path, _HEAD_BYTES)
        found = records.frames(data)
        if not len(found.starts):
            return False
        start, length = int(found.starts[0]), int(found.lengths[0])
        return parse(data[start : start + length]).writer == _WRITER
    except (OSError, ValueError):
        return False


class ExportedRun:
    """Reads an export, and reads it anew once another one takes its place.

    Args:
        path: A directory or event file for which `is_export` is true.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: list[tuple[Path, int, int, int]] = []
        self.log = ForeignLog("TensorBoard log of tuimon", str(path))

    def read(self, tell: Callable[[int, int], None] | None = None) -> bool:
        """Read it if it is new; return whether it was.

        Args:
            tell: Is told how many bytes of how many are read, now and then.

        Raises:
            OSError: it is gone.
        """
        files = _files(self._path)
        every = [file for listed in files.values() for file in listed]
        seen = [(path, each.st_ino, each.st_mtime_ns, each.st_size) for path in every for each in [path.stat()]]
        if not seen or seen == self._seen:
            # One that is gone, or not whole yet, leaves what was read of it.
            return False
        self.log.is_void, self._seen = True, seen
        self.log = ForeignLog(self.log.what, self.log.source)
        done, total = 0, sum(size for *_, size in seen)
        for place, listed in files.items():
            part = _PartReading(self.log)
            for path in listed:
                file = EventFile(path)
                for piece in file.read():
                    part.add(piece, is_validation=path.parent.name == _VALIDATION)
                    if tell is not None:
                        tell(done + file.offset, total)
                done += file.offset
                if file.trouble:
                    self.log.troubles[str(path)] = file.trouble
            self.log.parts.append(Part(place.fit, place.branch, part.finished()))
        return True


class _PartReading:
    """Fills the log of one place.

    Args:
        whole: Is told what is left out.
    """

    def __init__(self, whole: ForeignLog) -> None:
        self._whole = whole
        self._log = ForeignLog(whole.what, whole.source, has_steps=True, rates=("learning_rate",))
        self._ends: dict[float, int] = {}
        """The completed steps at the end of each epoch, by its number in single precision."""

    def add(self, piece: Piece, *, is_validation: bool) -> None:
        """Add what a piece of a file holds."""
        for tag, rows in piece.scalars.items():
            if is_validation:
                if tag.startswith("epoch_"):
                    _add(self._log.epochs, "val_" + tag.removeprefix("epoch_"), rows)
            elif tag == _EPOCH:
                self._ends.update(zip(rows.values.tolist(), rows.steps.tolist(), strict=True))
            elif tag.startswith("epoch_"):
                _add(self._log.epochs, tag.removeprefix("epoch_"), rows)
            elif tag.startswith("batch_"):
                self._add_batches(tag, rows, is_running=tag in piece.described)
            else:
                _add(self._log.between, tag, rows)
        found = beside.read([event for _, event in piece.others], len(self._log.texts), _LONGEST_TEXT)
        self._whole.left_out.update(found.left_out)
        for tag, told in found.histograms.items():
            self._log.between.setdefault(tag, Curve()).add(told.steps, told.values, told.times)
        for _, text in found.texts:
            self._add_lines(text)

    def _add_batches(self, tag: str, rows: Rows, *, is_running: bool) -> None:
        name = tag.removeprefix("batch_")
        if is_running:
            _add(self._log.running, name, rows)
        else:
            # The first batch completes the first step.
            rows = rows.of_steps(rows.steps > 0)
            self._log.steps.setdefault(name, Curve()).add(rows.steps - 1, rows.values, rows.times)

    def _add_lines(self, text: Text) -> None:
        # All that is told at a step is one text, each line of which begins with four blanks.
        for line in text.words.split("\n"):
            if len(self._log.texts) < beside.MOST_TEXTS:
                words = line.removeprefix("    ")[: beside.LONGEST_TEXT]
                self._log.texts.append(Text(text.step, text.time, words))

    def finished(self) -> ForeignLog:
        """Return the log, once all files are read."""
        log = self._log
        for name in [name for name in log.between if name in log.steps]:
            # A metric may be called as what tuimon measures.
            log.between[_free(name, log.steps.keys() | log.between.keys())] = log.between.pop(name)
        log.texts.sort(key=lambda text: text.step)
        log.ends = self._ends_of
        return log

    def _ends_of(self, epochs: IntArray, times: FloatArray) -> IntArray:
        """Return the steps completed when epochs ended, shape ``(epochs,)``; of one that is not told, as before it."""
        del times
        told = [self._ends.get(number, -1) for number in epochs.astype(np.float32).tolist()]
        return np.maximum.accumulate(np.array([0, *told]))[1:]


def _add(curves: dict[str, Curve], name: str, rows: Rows) -> None:
    curves.setdefault(name, Curve()).add(rows.steps, rows.values, rows.times)


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"other/{name}"
    return name
