"""A run as a log directory for TensorBoard, with the runs and the names of `keras.callbacks.TensorBoard`.

`train` and `validation` hold the first `fit`. Epochs begin anew with a `fit`, and go back where a run is resumed; so
that no curve does, each further `fit`, and what comes after a rollback or a resumption, is a run of its own:
`fit_2/train`, `branch_1/train`, `fit_2/branch_1/validation`.

| name | step | holds |
| --- | --- | --- |
| `epoch_<metric>`, `epoch_learning_rate` | epoch, from 0 | metrics of epochs; those of validation in `validation` |
| `evaluation_<metric>_vs_iterations` | completed steps | those of validation again |
| `batch_<metric>` | completed steps | each batch's own value; running ones, so described, of metrics that have none |
| `epoch` | completed steps | the epoch that ended there, from 0 |
| `BatchNormalization/<layer>/<array>` | completed steps | histogram: buckets between the quantiles that were recorded |
| `BatchNormalization/<layer>/dead`, `…/non_finite` | completed steps | channels |
| `changes`, `notes`, `alerts`, `run` | completed steps | text: what was changed when, and what happened |

All else has the name of the CSV. Numbers are of single precision, unknown ones are left out. A histogram is left out
where a quantile is not finite: then `non_finite` is above 0.

The log is streamed: memory does not grow with the run.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from tuimon.atomic_file import whole_directory
from tuimon.errors import UsageError
from tuimon.export import rows
from tuimon.export.event_file import EventFile, histogram, scalar, text
from tuimon.export.output import STDOUT
from tuimon.export.reading import facts
from tuimon.protocol import events
from tuimon.protocol.commands import describe, from_fact
from tuimon.protocol.wire import Number, from_wire
from tuimon.runs import facts_in_words
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState

TRAIN, VALIDATION = "train", "validation"
ARRAYS = ("moving_mean", "moving_variance", "gamma", "beta")
PREFIX, SUFFIX = "events.out.tfevents.", ".tuimon"
"""How the names of the event files begin, as TensorBoard knows them, and end."""

RUNNING = "Keras' running value: the mean, or its like, of the epoch so far"
"""Describes the curves of metrics that have no value of a batch's own."""
_MOST_TEXTS = 1000
"""Lines of one tag and step that are written; the log has all."""
_KEPT = (events.RunStarted, events.ModelBuilt, events.FitStarted, events.RunResumed)
"""The facts that words and numbers of others need: few in any run."""
_TEXTS = {
    events.RunStarted: "run",
    events.FitStarted: "run",
    events.LogGap: "run",
    events.RunEnded: "run",
    events.CommandApplied: "changes",
    events.CommandVerified: "changes",
    events.Recalibrated: "changes",
    events.RolledBack: "changes",
    events.RunResumed: "changes",
    events.WeightsReplaced: "changes",
    events.OrderGiven: "changes",
    events.OrderFired: "changes",
    events.OrderEnded: "changes",
    events.Note: "notes",
    events.Alert: "alerts",
}


def export(run: RunDirectory, out: str, stdout: TextIO | None = None) -> None:
    """Write a run to the directory ``out``, whole or not at all.

    Args:
        run: The run.
        out: A path: nothing is there, an empty directory, or an earlier export, which is replaced.
        stdout: Not used: several files are written.

    Raises:
        UsageError: something else is there.
        OSError: the log cannot be read, or the files not written.
    """
    del stdout
    if out == STDOUT:
        raise UsageError("tensorboard is a directory: name one in place of -")
    with whole_directory(Path(out), is_former=_is_export) as directory, _Writer(directory) as writer:
        for event in facts(run):
            writer.add(event)


def _is_export(path: Path) -> bool:
    """Return whether a directory holds nothing but an earlier export."""
    files = [file for file in path.rglob("*") if not file.is_dir() or file.is_symlink()]
    return bool(files) and all(
        file.name.startswith(PREFIX) and file.suffix == SUFFIX and file.parent.name in (TRAIN, VALIDATION)
        for file in files
    )


class _Writer(contextlib.AbstractContextManager["_Writer"]):
    """Puts each fact where it belongs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._state = RunState()
        self._place = Path()
        self._open: dict[str, EventFile] = {}
        self._closing = contextlib.ExitStack()
        self._name = ""
        self._texts: dict[tuple[str, int], list[str]] = {}
        """Lines by tag and step that are not written yet."""
        self._texts_time = 0.0

    def add(self, event: events.AnyEvent) -> None:
        """Write what TensorBoard can show of the next fact."""
        if isinstance(event, _KEPT):
            self._state.apply([event])
        elif isinstance(event, events.EpochEnded):
            self._state.fits.add(event)
        place = _place(rows.number_of(self._state.fits), event.branch)
        if place != self._place:
            self._close()
            self._place = place
        for kind, step, values in self._values(event):
            self._file(kind, event.time).add(event.time, step, values)
        self._add_text(event)

    def _add_text(self, event: events.AnyEvent) -> None:
        # TensorBoard shows one text of each tag and step, so those of a step are written together.
        if self._texts and (event.step > max(step for _, step in self._texts) or len(self._texts) > _MOST_TEXTS):
            self._write_texts()
        if tag := _TEXTS.get(type(event)):
            step, words = self._words(event)
            if words:
                lines = self._texts.setdefault((tag, step), [])
                if len(lines) < _MOST_TEXTS:
                    lines.append(words)
                self._texts_time = event.time

    def _write_texts(self) -> None:
        for (tag, step), lines in self._texts.items():
            self._file(TRAIN, self._texts_time).add(self._texts_time, step, [text(tag, lines)])
        self._texts.clear()

    def _values(self, event: events.AnyEvent) -> Iterator[tuple[str, int, list[bytes]]]:
        match event:
            case events.Batches():
                yield from ((TRAIN, step, values) for step, values in _batches(event))
            case events.EpochEnded():
                yield from _epoch(event)
            case events.BatchNorm():
                if values := list(self._layers(event)):
                    yield TRAIN, event.step, values
            case _:
                if values := [scalar(name, value) for _, name, value in rows.values(event) if value is not None]:
                    yield TRAIN, event.step, values

    def _layers(self, event: events.BatchNorm) -> Iterator[bytes]:
        for path, statistics in event.layers.items():
            layer = self._state.layers.get(path)
            for array in ARRAYS:
                quantiles: list[Number] = getattr(statistics, array) or []
                # Of a layer that no fact describes, the shares are known, not the number of channels.
                if buckets := _buckets(quantiles, layer.layer.channels if layer else 1):
                    yield histogram(f"BatchNormalization/{path}/{array}", buckets)
            yield scalar(f"BatchNormalization/{path}/dead", statistics.dead)
            yield scalar(f"BatchNormalization/{path}/non_finite", statistics.non_finite)

    def _words(self, event: events.AnyEvent) -> tuple[int, str]:
        match event:
            case events.CommandApplied():
                became = facts_in_words.applied(event.traced_seconds, event.detail)
                return event.first_step, f"{describe(from_fact(event.request))}: {became}"
            case events.CommandVerified(held=True) | events.Recalibrated(dry_run=True):
                return event.step, ""
            case events.CommandVerified():
                return event.step, facts_in_words.verified(event)
        return event.step, facts_in_words.of(event, self._state)

    def _file(self, kind: str, time: float) -> EventFile:
        found = self._open.get(kind)
        if found is None:
            # One name for all: what goes on in an earlier place is appended to what is there.
            self._name = self._name or f"{PREFIX}{int(time):010d}{SUFFIX}"
            path = self._directory / self._place / kind / self._name
            path.parent.mkdir(parents=True, exist_ok=True)
            is_new = not path.exists()
            found = self._open[kind] = EventFile(self._closing.enter_context(path.open("ab")))
            self._closing.callback(found.flush)
            if is_new:
                found.begin(time)
        return found

    def _close(self) -> None:
        self._write_texts()
        self._closing.close()
        self._open.clear()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._texts.clear()
        self._close()


def _place(fit: int, branch: int) -> Path:
    return Path(*([f"fit_{fit}"] if fit > 1 else []), *([f"branch_{branch}"] if branch else []))


def _batches(event: events.Batches) -> Iterator[tuple[int, list[bytes]]]:
    # The first batch completes the first step.
    first = event.first_step + 1
    of_steps: dict[int, list[bytes]] = {}
    for name, numbers in event.metrics.items():
        tag = f"batch_{name}"
        for step, number in enumerate(numbers, first):
            if number is not None:  # It was not logged in this step.
                of_steps.setdefault(step, []).append(scalar(tag, number))
    known = {name: number for name, number in event.running.items() if number is not None}
    if running := [scalar(f"batch_{name}", number, RUNNING) for name, number in known.items()]:
        of_steps.setdefault(first + max(event.batches, 1) - 1, []).extend(running)
    yield from sorted(of_steps.items())


def _epoch(event: events.EpochEnded) -> Iterator[tuple[str, int, list[bytes]]]:
    logs = {"learning_rate": event.learning_rate} | event.logs
    known = {name: value for name, value in logs.items() if value is not None}
    of_training = [scalar(f"epoch_{name}", value) for name, value in known.items() if not name.startswith("val_")]
    of_validation = {name[4:]: value for name, value in known.items() if name.startswith("val_")}
    if known:
        # At which step each epoch ended, no other value tells where there is no validation.
        yield TRAIN, event.step, [scalar("epoch", event.epoch)]
    if of_training:
        yield TRAIN, event.epoch, of_training
    if of_validation:
        yield VALIDATION, event.epoch, [scalar(f"epoch_{name}", value) for name, value in of_validation.items()]
        again = [scalar(f"evaluation_{name}_vs_iterations", value) for name, value in of_validation.items()]
        yield VALIDATION, event.step, again


def _buckets(quantiles: Sequence[Number], channels: int) -> list[tuple[float, float, float]]:
    """Return left edge, right edge and number of channels of each bucket between two quantiles; none if not finite.

    What lies between two equal quantiles counts for the bucket beside it. Where all are equal, the one bucket has no
    width, as TensorFlow writes it.
    """
    edges = [from_wire(number) for number in quantiles]
    if not edges or not all(map(math.isfinite, edges)):
        return []
    buckets: list[tuple[float, float, float]] = []
    carried = 0.0
    shares = events.QUANTILES
    for left, right, below, above in zip(edges, edges[1:], shares, shares[1:], strict=False):
        count = channels * (above - below)
        if right > left:
            buckets.append((left, right, count + carried))
            carried = 0.0
        elif buckets:
            buckets[-1] = (*buckets[-1][:2], buckets[-1][2] + count)
        else:
            carried += count
    return buckets or [(edges[0], edges[-1], float(channels))]
