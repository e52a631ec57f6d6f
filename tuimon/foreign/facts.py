"""Translates another program's log into facts, a part at a time as it grows."""

import heapq
from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from tuimon.foreign.curves import Curve, FloatArray, ForeignLog
from tuimon.foreign.limits import LAST_STEP
from tuimon.foreign.records import IntArray
from tuimon.protocol import events
from tuimon.protocol.wire import Number, list_to_wire, to_wire

_STEPS_A_LINE = 256
_WIDEST_GAP = 8
"""Steps without a value that a line passes over; beyond, another line begins."""
_MOST_NAMED = 5


class _Epoch(Struct, frozen=True):
    """One epoch that ended."""

    number: int
    end: int
    """Steps completed."""
    time: float
    logs: dict[str, float]


class Translator:
    """Makes the facts of a log: each is made once, in the order of the steps.

    Args:
        log: The log, which grows.
        name: What the run is called.
        epoch: The epoch that it begins in, from 0.
        step: The steps completed before.

    Example:
        ```python
        translator = Translator(source.log, "sample")
        facts = translator.begin() + translator.new(is_settled=True)
        ```
    """

    def __init__(self, log: ForeignLog, name: str, epoch: int = 0, step: int = 0) -> None:
        self._log = log
        self._name = name
        self._seq = 0
        self._step = step
        self._epoch = epoch
        self._texts = 0
        self._covered = step
        self._told: list[_Epoch] = []
        self._noted: set[str] = set()
        for curves in log.all:
            for curve in curves.values():
                curve.taken, curve.is_void = 0, False
        log.is_void = False

    @property
    def is_void(self) -> bool:
        """Whether facts that were made hold no more: then another translator must make all of them anew."""
        if self._log.is_void or any(curve.is_void for curves in self._log.all for curve in curves.values()):
            return True
        if not self._told:
            return False
        known = {epoch.number: epoch for epoch in self._ended()}
        return any(known.get(epoch.number) != epoch for epoch in self._told)

    def begin(self) -> list[events.AnyEvent]:
        """Return the first facts of the run."""
        log = self._log
        first = min((float(curve.times.min()) for all_ in log.all for curve in all_.values() if len(curve)), default=0)
        started = events.RunStarted(
            protocol=events.PROTOCOL,
            attempt=0,
            name=self._name,
            host=log.host,
            pid=0,
            process_started=None,
            boot_id=None,
            versions={},
            config=log.config,
            source=f"{log.what} {log.source}",
        )
        return self._numbered([started], log.began or first)

    def new(self, *, is_settled: bool) -> list[events.AnyEvent]:
        """Return the facts of what is new in the log.

        Args:
            is_settled: Whether nothing more is to be expected soon: an epoch of which some values are missing is then
                told as it is.
        """
        log = self._log
        made: list[events.AnyEvent] = []
        ended = [epoch for epoch in self._ended()[len(self._told) :] if self._may_tell(epoch, is_settled=is_settled)]
        waiting = _Waits(*(self._new_steps(curves) for curves in (log.steps, log.running, log.between)))
        for epoch in ended:
            made += self._batches(waiting, epoch.end)
            made.append(self._epoch_fact(epoch))
            self._told.append(epoch)
            self._epoch = epoch.number + 1
        made += self._batches(waiting, LAST_STEP + 1)
        for curves in log.all:
            for curve in curves.values():
                curve.taken = len(curve)
        return made + self._texts_of_log() + self._notes()

    def _numbered(self, made: list[events.AnyEvent], time: float) -> list[events.AnyEvent]:
        # No further epoch begins before its first step.
        epoch = self._told[-1].number if self._told and self._step <= self._told[-1].end else self._epoch
        for fact in made:
            fact.seq, self._seq = self._seq, self._seq + 1
            fact.time = time
            fact.epoch = fact.epoch or epoch
        return made

    def _ended(self) -> list[_Epoch]:
        """Return all epochs that the log knows, in order."""
        curves = {name: curve for name, curve in self._log.epochs.items() if len(curve)}
        if not curves:
            return []
        numbers = np.unique(np.concatenate([curve.steps for curve in curves.values()]))
        times, logs = np.zeros(len(numbers)), [dict[str, float]() for _ in numbers]
        for name, curve in curves.items():
            places = np.searchsorted(numbers, curve.steps)
            times[places] = np.maximum(times[places], curve.times)
            for place, value in zip(places.tolist(), curve.values.tolist(), strict=True):
                logs[place][name] = value
        ends = np.clip(self._log.ends(numbers, times), 0, LAST_STEP)
        columns = (numbers.tolist(), ends.tolist(), times.tolist(), logs)
        return [_Epoch(*row) for row in zip(*columns, strict=True)]

    def _may_tell(self, epoch: _Epoch, *, is_settled: bool) -> bool:
        """Whether nothing is missing of an epoch: training and validation are written one after the other."""
        if is_settled or any(len(curve) and curve.steps[-1] > epoch.number for curve in self._log.epochs.values()):
            return True
        return bool(self._told) and epoch.logs.keys() >= self._told[-1].logs.keys()

    def _epoch_fact(self, epoch: _Epoch) -> events.AnyEvent:
        logs = dict(epoch.logs)
        rate = next((logs.pop(name) for name in self._log.rates if name in logs), None)
        before = self._told[-1].time if self._told and self._log.has_times else epoch.time
        fact = events.EpochEnded(
            logs={name: to_wire(value) for name, value in logs.items()},
            learning_rate=to_wire(rate),
            seconds=epoch.time - before,
            step=epoch.end,
            epoch=epoch.number,
        )
        self._step = max(self._step, epoch.end)
        return self._numbered([fact], epoch.time)[0]

    def _new_steps(self, curves: dict[str, Curve]) -> "_Waiting":
        return _Waiting({name: curve for name, curve in curves.items() if len(curve) > curve.taken})

    def _batches(self, waiting: "_Waits", end: int) -> Iterator[events.AnyEvent]:
        """Yield the facts of the steps below one, and of what is told up to it, that wait."""
        for completed, kind, values, time in waiting.told_at(end):
            yield from self._own_values(waiting.steps, completed)
            self._step = max(self._step, completed)
            if kind == "running":
                # The log may name one step of many.
                first = max(0, min(self._covered, completed - 1))
                self._covered = max(self._covered, completed)
                count = completed - first
                fact = events.Batches(first_step=first, metrics={}, running=values, batches=count, step=completed)
            else:
                metrics = {name: [value] for name, value in values.items()}
                fact = events.Batches(first_step=completed, metrics=metrics, step=completed)
            yield self._numbered([fact], time)[0]
        yield from self._own_values(waiting.steps, end)

    def _own_values(self, steps: "_Waiting", end: int) -> Iterator[events.AnyEvent]:
        for first, last in steps.lines(end):
            metrics, time = steps.take(first, last)
            self._step = max(self._step, last)
            self._covered = max(self._covered, last)
            fact = events.Batches(first_step=first, metrics=metrics, batches=last - first, step=last)
            yield self._numbered([fact], time)[0]

    def _texts_of_log(self) -> list[events.AnyEvent]:
        new, self._texts = self._log.texts[self._texts :], len(self._log.texts)
        return [self._numbered([events.Note(text=each.words, step=each.step)], each.time)[0] for each in new]

    def _notes(self) -> list[events.AnyEvent]:
        """Return notes on what must be known to read the run, each said once."""
        log = self._log
        found = list(log.remarks)
        if log.epochs and not log.has_steps:
            found.append("The log has no steps of training: one step here is one epoch.")
        if not log.has_times:
            found.append("The log has no times: what is shown is when it was read, or last written.")
        if log.left_out:
            found.append(f"Not shown: {', '.join(sorted(log.left_out))}.")
        troubles = [f"{path}: {words}" for path, words in sorted(log.troubles.items())]
        found += troubles[:_MOST_NAMED]
        if len(troubles) > _MOST_NAMED:
            found.append(f"{len(troubles) - _MOST_NAMED} more files could not be read whole.")
        new = [words for words in found if words not in self._noted]
        self._noted.update(new)
        time = max((float(curve.times[-1]) for all_ in log.all for curve in all_.values() if len(curve)), default=0.0)
        return self._numbered([events.Note(text=words, step=self._step) for words in new], max(time, log.began))


class _Waiting:
    """Rows of several curves that are not translated yet.

    Args:
        curves: Those with such rows.
    """

    def __init__(self, curves: dict[str, Curve]) -> None:
        self._columns = {
            name: (curve.steps[curve.taken :], curve.values[curve.taken :], curve.times[curve.taken :])
            for name, curve in curves.items()
        }
        columns = [steps for steps, _, _ in self._columns.values()]
        self._steps: IntArray = np.unique(np.concatenate(columns)) if columns else np.empty(0, dtype=np.int64)
        self._done = 0

    def lines(self, end: int) -> Iterator[tuple[int, int]]:
        """Yield the first step of each line that is due, and the one behind its last: of the steps below one."""
        stop = int(np.searchsorted(self._steps, end))
        due, self._done = self._steps[self._done : stop], stop
        if not len(due):
            return
        breaks = np.flatnonzero(np.diff(due) > _WIDEST_GAP) + 1
        for part in np.split(due, breaks):
            for place in range(0, len(part), _STEPS_A_LINE):
                some = part[place : place + _STEPS_A_LINE]
                yield int(some[0]), int(some[-1]) + 1

    def take(self, first: int, end: int) -> tuple[dict[str, list[Number]], float]:
        """Return the values of some steps, by name, and the newest of their times."""
        metrics, newest = {}, 0.0
        for name, (steps, values, times) in self._columns.items():
            low, high = np.searchsorted(steps, (first, end)).tolist()
            if low == high:
                continue
            newest = max(newest, float(times[high - 1]))
            if high - low == end - first:
                metrics[name] = _numbers(values[low:high])
                continue
            spread: list[Number] = [None] * (end - first)
            for place, value in zip((steps[low:high] - first).tolist(), _numbers(values[low:high]), strict=True):
                spread[place] = value
            metrics[name] = spread
        return metrics, newest

    def rows(self, end: int) -> Iterator[tuple[int, dict[str, Number], float]]:
        """Yield the values at each step up to one, by name, with their time."""
        stop = int(np.searchsorted(self._steps, end, side="right"))
        due, self._done = self._steps[self._done : stop], stop
        places = dict.fromkeys(self._columns, 0)
        lists = {name: (steps.tolist(), values, times) for name, (steps, values, times) in self._columns.items()}
        for name, (steps, _, _) in self._columns.items():
            places[name] = int(np.searchsorted(steps, due[0])) if len(due) else 0
        for step in due.tolist():
            found: dict[str, Number] = {}
            time = 0.0
            for name, (steps, values, times) in lists.items():
                place = places[name]
                if place < len(steps) and steps[place] == step:
                    found[name], time = to_wire(float(values[place])), float(times[place])
                    places[name] += 1
            yield step, found, time


class _Waits(Struct, frozen=True):
    """All that is not translated yet."""

    steps: _Waiting
    running: _Waiting
    between: _Waiting

    def told_at(self, end: int) -> Iterator[tuple[int, str, dict[str, Number], float]]:
        """Yield what is told of completed steps up to a number of them, in their order: steps, kind, values, time."""
        running = ((completed, "running", values, time) for completed, values, time in self.running.rows(end))
        between = ((completed, "between", values, time) for completed, values, time in self.between.rows(end))
        return heapq.merge(running, between, key=lambda row: row[0])


def _numbers(values: FloatArray) -> list[Number]:
    return list(values.tolist()) if np.isfinite(values).all() else list_to_wire(values)
