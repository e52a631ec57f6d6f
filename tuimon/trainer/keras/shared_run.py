"""Lets a new Monitor go on with the run of an earlier one: the fits of one training are one run.

A script that fine-tunes in two stages often makes a Monitor for each `fit`. Its second stage goes on with weights that
the first one has trained: the same model, or one built around a part of it. A sweep and the folds of a
cross-validation begin with weights of their own, or with those of the start: each is a run.
"""

import contextlib
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tuimon.trainer.keras.internals import variables
from tuimon.trainer.probe_memory import ProbeMemory
from tuimon.trainer.requests.answers import reject_left_over
from tuimon.trainer.session import new_run
from tuimon.trainer.session.recorder import Recorder

SAMPLED, LARGEST = 8, 4096
"""To tell whether weights were set back, so many variables of at most so many numbers are read."""
KEPT = 8
"""Runs that a new Monitor may go on with: the ones whose last `fit` ended last."""

Values = dict[int, bytes]
"""Values of variables, by the identity of each."""


class Place(NamedTuple):
    """What a Monitor says about where its run is. Only one that says the same goes on with a run."""

    run_dir: Path | None
    """The run's directory, if the Monitor names it."""
    runs_dir: Path
    """The directory of new run directories."""
    name: str
    """The name of the run."""
    console: bool = True
    """Whether what the script prints is kept."""


class SharedRun:
    """One run, and the weights that its newest `fit` has left.

    Args:
        place: What the Monitor says that began it.
        recorder: Writes its log.
    """

    def __init__(self, place: Place, recorder: Recorder) -> None:
        self.place = place
        """What the Monitor says that began it."""
        self.recorder = recorder
        """Writes its log."""
        self._process = os.getpid()
        self._model: weakref.ref[Any] | None = None
        self._memory: ProbeMemory | None = None
        self._trained: list[weakref.ref[Any]] = []
        self._sampled: list[weakref.ref[Any]] = []
        self._first: Values = {}
        self._left: Values = {}

    def begin_fit(self, model: Any) -> None:
        """Note the weights with which a `fit` begins, where the run has not had them before."""
        # Without these values the runs of a sweep over one model are one run; no reason to record nothing.
        with contextlib.suppress(Exception):
            self._sample(model)

    def _sample(self, model: Any) -> None:
        sampled = [each for each in _small(model) if not any(ref() is each for ref in self._sampled)]
        self._sampled = [ref for ref in self._sampled if ref() is not None] + [weakref.ref(each) for each in sampled]
        self._first.update(_values(sampled))

    def end_fit(self, model: Any, memory: ProbeMemory | None) -> None:
        """Note the weights that a `fit` leaves, and that a new Monitor may go on with the run."""
        self._model, self._memory = weakref.ref(model), memory
        self._trained = [weakref.ref(each) for each in model.trainable_variables]
        self._left = _values(_alive(self._sampled))
        others = [run for run in _LEFT if run is not self and run.is_reachable]
        _LEFT[:] = [*others[1 - KEPT :], self]

    @property
    def is_reachable(self) -> bool:
        """True while anything that the run has trained is there."""
        return any(True for _ in _alive(self._trained))

    def memory_of(self, model: Any) -> ProbeMemory | None:
        """Return what the probes of the newest `fit` left; None if that trained another model."""
        return self._memory if self._model is not None and self._model() is model else None

    def goes_on_with(self, model: Any) -> bool:
        """Return True if a `fit` of this model trains weights further that the run has trained."""
        if not self.recorder.is_closed or self._process != os.getpid() or not self.recorder.run.session_log.exists():
            return False
        is_same = self._model is not None and self._model() is model
        if not is_same:
            own = {id(each) for each in model.variables}
            is_same = any(id(each) in own for each in _alive(self._trained))
        return is_same and not self._is_set_back()

    def _is_set_back(self) -> bool:
        """Return True if the weights are again those of the start, which training had changed."""
        now = _values(_alive(self._sampled))
        has_learned = any(value != self._left.get(key) for key, value in now.items())
        return has_learned and all(value == self._first.get(key) for key, value in now.items())


_LEFT: list[SharedRun] = []
"""Runs whose `fit` has ended, the newest last."""


def begin(place: Place, model: Any) -> SharedRun:
    """Go on with the newest run of the same place that has trained weights of this model, or else begin a new one.

    Raises:
        UsageError: The directory of a new run cannot be made.
        OSError: Its log cannot be opened.
    """
    for run in reversed(_LEFT):
        # Whatever goes wrong with an old run, there can be a new one.
        with contextlib.suppress(Exception):
            if run.place == place and run.goes_on_with(model):
                run.recorder.reopen()
                return run
    recorder = new_run.begin(place.run_dir, runs_dir=place.runs_dir, name=place.name, console=place.console)
    if place.run_dir is not None:
        # The directory may be one whose log was removed.
        reject_left_over(recorder)
    return SharedRun(place, recorder)


def _small(model: Any) -> list[Any]:
    small = [each for each in model.trainable_variables if 0 < _size(each) <= LARGEST]
    # The larger of the small ones: biases often begin with zeros, and stay there.
    return sorted(small, key=_size, reverse=True)[:SAMPLED]


def _size(variable: Any) -> int:
    size = 1
    for length in variable.shape:
        size *= int(length or 0)
    return size


def _values(found: Iterable[Any]) -> Values:
    return {id(each): variables.array(each).tobytes() for each in found}


def _alive(refs: Iterable[weakref.ref[Any]]) -> Iterable[Any]:
    return (each for each in (ref() for ref in refs) if each is not None)
