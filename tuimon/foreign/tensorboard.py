"""TensorBoard log directories: the event files of one training, its validation beside it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from msgspec import structs

from tuimon.foreign import beside
from tuimon.foreign.curves import Curve, FloatArray, ForeignLog, Text
from tuimon.foreign.event_file import EventFile, directories, event_files
from tuimon.foreign.events import Event
from tuimon.foreign.pieces import Piece
from tuimon.foreign.records import IntArray

TRAINING = ("train", "training")
VALIDATION = ("validation", "val", "valid", "eval", "test")
"""Names of directories whose values are those of training and of validation: Keras has the first of each."""
_HOST = re.compile(r"tfevents\.(\d+)\.(.+?)(?:\.\d+)*(?:\.v2)?$")
_EVALUATION = re.compile(r"evaluation_(.+)_vs_iterations$")
_KERAS_HISTOGRAM = "/histogram/"
"""Is in the names of what histograms of Keras' callback tell: these alone count by epochs."""
_BEHIND_ALL = np.iinfo(np.int64).max


def runs(directory: Path, is_whole: Callable[[Path], bool] = lambda _: False) -> list[Path]:
    """Return the directories under (and including) one that are a training each.

    A directory with event files is one, with all that is below it; so is one whose directories are called `train` and
    `validation`, or alike.

    Args:
        directory: Where to look.
        is_whole: Returns whether a directory is one training with all that is below it, whatever is there.
    """
    if is_whole(directory) or event_files(directory):
        return [directory]
    below = directories(directory)
    roles = [path for path in below if path.name.lower() in (*TRAINING, *VALIDATION) and event_files(path)]
    others = [run for path in below if path not in roles for run in runs(path, is_whole)]
    return [*([directory] if roles else []), *others]


class TensorBoardLog:
    """Follows the event files of one training.

    Args:
        directory: One of those that `runs` returns, or an event file.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.log = ForeignLog("TensorBoard log", str(directory))
        self._begin()

    def _begin(self) -> None:
        self._files: dict[Path, EventFile] = {}
        self._writers: dict[Path, _Writer] = {}
        self._is_anew = False

    def read(self, tell: Callable[[int, int], None] | None = None) -> bool:
        """Read what is new; return whether there was anything. What was replaced or removed makes all of it void.

        Args:
            tell: Is told how many bytes of how many are read, now and then.
        """
        if any(file.is_replaced() for file in self._files.values()) or self._is_out_of_order():
            self._begin()
            self._is_anew = True
        self.log.troubles.clear()
        before = sum(file.offset for file in self._files.values())
        paths = list(self._paths())
        total = sum(map(_size, paths)) if tell is not None else 0
        for path in paths:
            file = self._files.setdefault(path, EventFile(path))
            if path.parent not in self._writers:
                self._writers[path.parent] = _Writer(self._directory, path.parent)
            writer = self._writers[path.parent]
            for piece in file.read():
                writer.add(piece, self.log)
                if tell is not None:
                    tell(sum(file.offset for file in self._files.values()), total)
            if file.trouble:
                self.log.troubles[str(path)] = file.trouble
        has_news = self._is_anew or sum(file.offset for file in self._files.values()) != before
        if has_news:
            self._bring_together()
        return has_news

    def _is_out_of_order(self) -> bool:
        """Return whether a file goes on behind which another one was read: what it tells comes before that one."""
        grown = {path.parent: path for path in sorted(self._files, reverse=True) if self._files[path].has_grown()}
        return any(
            path.parent in grown and path > grown[path.parent] and file.offset for path, file in self._files.items()
        )

    def _paths(self) -> Iterator[Path]:
        if self._directory.is_file():
            yield self._directory
            return
        yield from event_files(self._directory)
        waiting = directories(self._directory)
        is_run = bool(event_files(self._directory))
        while waiting:
            path = waiting.pop(0)
            if is_run or path.name.lower() in (*TRAINING, *VALIDATION):
                yield from event_files(path)
            if is_run:
                waiting[:0] = directories(path)

    def _bring_together(self) -> None:
        """Give the curves of all writers their names in the log."""
        log = self.log
        found: tuple[dict[str, Curve], ...] = ({}, {}, {})
        writers = sorted(self._writers.values(), key=lambda writer: writer.is_validation)
        # What histograms tell comes last: there is much of it.
        for is_told, writer in ((is_told, writer) for is_told in (False, True) for writer in writers):
            for place, curves in enumerate((writer.steps, writer.running, writer.epochs)):
                for name, curve in curves.items():
                    if (curve in writer.of_histograms) == is_told:
                        # Two directories may call different things alike.
                        found[place][f"{writer.name}/{name}" if name in found[place] else name] = curve
        log.is_void = log.is_void or self._is_anew
        self._is_anew = False
        log.steps, log.running, log.epochs = found
        log.remarks = list(dict.fromkeys(remark for writer in writers if (remark := writer.remark)))
        log.name_as_keras()
        evaluations = [writer.evaluations for writer in self._writers.values() if len(writer.evaluations)]
        batches = [curve for curve in found[1].values() if len(curve)]
        log.has_steps = bool(evaluations or batches)
        log.ends = _Ends(evaluations, batches)
        log.texts = sorted(
            (text for writer in self._writers.values() for text in writer.texts), key=lambda text: text.step
        )
        if not log.host and (names := [_HOST.search(path.name) for path in self._files]) and names[0] is not None:
            log.began, log.host = float(names[0][1]), names[0][2]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Ends:
    """At which step each epoch ended.

    Keras tells the steps completed with each validation, and with `update_freq` with batches. Between what it tells,
    epochs are taken to be of one length.
    """

    def __init__(self, evaluations: list[Curve], batches: list[Curve]) -> None:
        self._curves = [*evaluations, *batches]

    def __call__(self, epochs: IntArray, times: FloatArray) -> IntArray:
        """Return the steps completed when epochs ended, shape ``(epochs,)``."""
        known = np.full(len(epochs), -1, dtype=np.int64)
        for curve in self._curves:
            # What was written since the epoch before, the newest.
            last = np.searchsorted(curve.times, times, side="right") - 1
            before = np.concatenate(([-1], last[:-1]))
            is_told = (last > before) & (known < 0)
            known[is_told] = curve.steps[last[is_told]]
        told = np.flatnonzero(known >= 0)
        if not len(told):
            return epochs + 1
        ends = np.interp(epochs, np.append(-1, epochs[told]), np.append(0, known[told]))
        behind = epochs > epochs[told[-1]]
        ends[behind] = (epochs[behind] + 1) * known[told[-1]] / (epochs[told[-1]] + 1)
        rounded: IntArray = np.round(ends).astype(np.int64)
        return rounded


class _Writer:
    """The curves of one directory of event files.

    Args:
        run: The directory of the training.
        directory: It, or one below it.
    """

    def __init__(self, run: Path, directory: Path) -> None:
        self.name = directory.name
        """The directory's name."""
        role = self.name.lower()
        self.is_validation = role in VALIDATION
        """Whether they are of validation."""
        self.steps: dict[str, Curve] = {}
        """By name, values of single steps."""
        self.running: dict[str, Curve] = {}
        """By name, Keras' running means, by steps completed."""
        self.epochs: dict[str, Curve] = {}
        """By name, values of epochs."""
        self.evaluations = Curve()
        """One of the values of validation by steps completed."""
        self.of_histograms: set[Curve] = set()
        """Those of the curves that histograms tell."""
        self.texts: list[Text] = []
        """In the order of the files."""
        # As Keras calls it: then tags tell epochs from batches.
        self._is_keras = self.name in (TRAINING[0], VALIDATION[0])
        self._evaluation = ""
        self._prefix = "val_" if self.is_validation else ""
        if not self.is_validation and role not in TRAINING and directory not in (run, run.parent):
            self._prefix = directory.relative_to(run).as_posix() + "/"

    def add(self, piece: Piece, log: ForeignLog) -> None:
        """Add what a piece of a file holds."""
        begin = 0
        starts = [(record, event.step) for record, event in piece.others if event.begins_anew]
        for record, step in [*starts, (_BEHIND_ALL, None)]:
            for tag, rows in piece.scalars.items():
                part = rows.between(begin, record)
                self._curve(tag).add(part.steps, part.values, part.times)
            self._add_others([event for place, event in piece.others if begin <= place < record], log)
            begin = record
            if step is not None:
                self._purge(step)

    def _purge(self, step: int) -> None:
        for curves in (self.steps, self.running, self.epochs):
            for curve in curves.values():
                curve.cut(step)
        self.texts = [text for text in self.texts if text.step < step]

    def _add_others(self, others: list[Event], log: ForeignLog) -> None:
        found = beside.read(others, len(self.texts))
        log.left_out.update(found.left_out)
        for tag, text in found.texts:
            words = f"{tag.removesuffix('/text_summary')}: {text.words}"
            self.texts.append(structs.replace(text, words=words))
        for tag, told in found.histograms.items():
            layer, is_by_epochs, number = tag.rpartition(_KERAS_HISTOGRAM)
            name = f"{layer}/{number}" if is_by_epochs else number
            curve = self._curve(("epoch_" if self._is_keras and is_by_epochs else "") + name)
            self.of_histograms.add(curve)
            curve.add(told.steps, told.values, told.times)

    @property
    def remark(self) -> str:
        """What is missing because Keras never wrote it; nothing where all is there.

        With `update_freq=N`, its callback leaves out whatever is told at a step that N does not divide, and so most
        values of epochs: `keras.callbacks.TensorBoard`, `record_if`.
        """
        steps = np.concatenate([curve.steps for curve in self.running.values()] or [np.empty(0, dtype=np.int64)])
        every = int(np.gcd.reduce(steps)) if len(steps) else 1
        epochs = [curve for curve in self.epochs.values() if curve not in self.of_histograms and len(curve)]
        is_whole = any(len(np.unique(curve.steps)) > curve.steps.max() for curve in epochs)
        if every < 2 or is_whole:
            return ""
        what = f"Keras' TensorBoard callback with update_freq={every} writes the values of an epoch"
        return f"{what} only where {every} divides its last step: other epochs are not in the log."

    def _curve(self, tag: str) -> Curve:
        """Return the curve of a tag."""
        name = tag
        if self._is_keras and (match := _EVALUATION.match(tag)):
            self._evaluation = self._evaluation or match[1]
            return self.evaluations if match[1] == self._evaluation else Curve()
        curves = self.steps
        for prefix, others in (("epoch_", self.epochs), ("batch_", self.running)):
            if self._is_keras and tag.startswith(prefix):
                curves, name = others, tag.removeprefix(prefix)
        return curves.setdefault(self._prefix + name, Curve())
