"""The fits of a run: several calls of `fit` with one Monitor, or the stages of one training."""

import numpy as np
from msgspec import Struct

from tuimon.protocol.events import EpochEnded, FitStarted, ModelBuilt, RunResumed
from tuimon.protocol.wire import FloatArray
from tuimon.runs.series import IntArray


class OneFit(Struct):
    """One `fit` of a run."""

    number: int
    """From 1."""
    started: FitStarted
    """How it began; of one that was resumed, the first time."""
    epochs_before: int
    """What is added to Keras' number of an epoch, so that the epochs of the run go on from those of earlier fits."""
    is_another: bool = False
    """Whether it trains another model than the fit before, other weights of it, or with another optimizer."""


class Fits:
    """Counts the fits of a run and their epochs.

    An attempt that resumes a run goes on with its fit. A `fit` that begins with Keras' epoch 0 again continues the
    count of the epochs before; one that is given an ``initial_epoch`` that does so has done it itself.

    Example:
        ```python
        state.fits.newest.number
        ```
    """

    def __init__(self) -> None:
        self.all: list[OneFit] = []
        """The fits, in order."""
        self._numbers: dict[int, int] = {}
        self._reached = 0
        self._resumes = False
        self._is_whole = True
        self._trainable: int | None = None
        self._trained: int | None = None
        """The numbers in the weights that the newest fit trains."""

    def add(self, event: FitStarted | EpochEnded | ModelBuilt | RunResumed) -> None:
        """Take in the next of these facts."""
        match event:
            case RunResumed():
                self._resumes = bool(self.all)
            case ModelBuilt():
                self._trainable = event.trainable_parameters
            case EpochEnded():
                self._reached = self.epochs_before + event.epoch + 1
            case FitStarted():
                if not self._resumes:
                    before = max(self.epochs_before, self._reached - event.initial_epoch)
                    self.all.append(OneFit(len(self.all) + 1, event, before, self._is_another(event)))
                    self._trained = self._trainable
                self._resumes = False
                self._numbers[event.seq] = len(self.all)

    @property
    def breaks(self) -> list[int]:
        """The steps after which curves begin anew, for another model or other weights are trained from then on."""
        return [fit.started.step for fit in self.all if fit.is_another]

    @property
    def are_several(self) -> bool:
        """True where a number is needed to tell the fits apart."""
        return len(self.all) > 1 and self._is_whole

    @property
    def newest(self) -> OneFit | None:
        """The newest fit; None before the first."""
        return self.all[-1] if self.all else None

    @property
    def epochs_before(self) -> int:
        """What is added to the number of an epoch of the newest fit."""
        return self.all[-1].epochs_before if self.all else 0

    @property
    def first_epoch(self) -> int:
        """The epoch in which the run began, from 0."""
        return self.all[0].started.initial_epoch if self.all else 0

    def name(self, event: FitStarted) -> str:
        """Return how the `fit` is called that a fact began: "fit", or "fit 2" where there are several."""
        number = self._numbers.get(event.seq)
        return f"fit {number}" if self.are_several and number is not None else "fit"

    def at(self, step: int) -> OneFit | None:
        """Return the fit that a completed step, or the end of an epoch there, belongs to; None before the first."""
        return next((fit for fit in reversed(self.all) if fit.started.step < step), self.all[0] if self.all else None)

    def epoch_words(self, epoch: int, step: int) -> str:
        """Return the name of an epoch that ended at a step.

        Args:
            epoch: Keras' number of it, from 0.
            step: The step at which it ended.

        Returns:
            "epoch 3", or "fit 2, epoch 3" where there are several fits.
        """
        fit = self.at(step)
        words = f"epoch {epoch + 1:,}"
        return f"fit {fit.number}, {words}" if self.are_several and fit is not None else words

    def newest_epoch_words(self, epoch: int) -> str:
        """Return the name of an epoch of the newest fit, as `epoch_words` does, by Keras' number of it."""
        words = f"epoch {epoch + 1:,}"
        return f"fit {self.all[-1].number}, {words}" if self.are_several else words

    def epoch_of_run_words(self, epoch: int, step: int) -> str:
        """Return the name of an epoch that ended at a step, as `epoch_words` does, by its number through all fits."""
        fit = self.at(step)
        return self.epoch_words(epoch - (fit.epochs_before if fit is not None else 0), step)

    def epochs_planned(self, newest: FitStarted | None) -> int | None:
        """Return how many epochs a run is to have in all: those of earlier fits, and all of the newest one.

        Args:
            newest: The newest fact of the beginning of a fit, with what was asked since; None before the first.

        Returns:
            None where it is not known.
        """
        fit = self.newest
        if fit is None or newest is None:
            return None
        # Where parts of the log were skipped, the newest fit that is counted may have begun later.
        epochs = newest.epochs if newest.seq >= fit.started.seq else fit.started.epochs
        return None if epochs is None else fit.epochs_before + epochs

    def skip(self) -> None:
        """Note that facts are left out: which number a fit has is no longer known."""
        self._is_whole = False

    def epochs_of_run(self, steps: IntArray, epochs: FloatArray) -> FloatArray:
        """Return the numbers of epochs, counted through all fits.

        Args:
            steps: The steps at which they ended.
            epochs: Keras' numbers of them, from 0.
        """
        if not self.all:
            return epochs
        first = np.array([fit.started.step for fit in self.all])
        before = np.array([fit.epochs_before for fit in self.all], dtype=np.float64)
        found: FloatArray = epochs + before[np.maximum(np.searchsorted(first, steps, side="left") - 1, 0)]
        return found

    def _is_another(self, event: FitStarted) -> bool:
        if self.newest is None:
            return False
        has_other = event.optimizer != self.newest.started.optimizer or self._trainable != self._trained
        return has_other or not event.same_model

    def described(self, last_step: int) -> list[tuple[str, str]]:
        """Return each fit's name with its epochs, steps and optimizer in words; none where there is one fit alone.

        Args:
            last_step: The steps that the run has completed.
        """
        if not self.are_several:
            return []
        ends = [fit.started.step for fit in self.all[1:]] + [last_step]
        return [(f"fit {fit.number}", _words(fit, end)) for fit, end in zip(self.all, ends, strict=True)]


def _words(fit: OneFit, end: int) -> str:
    started = fit.started
    steps = f"steps {started.step + 1:,}–{end:,}" if end > started.step else "no step"
    planned = "" if started.epochs is None else f", epochs {started.initial_epoch + 1:,}–{started.epochs:,} planned"
    other = "" if started.same_model else ", another model"
    optimizer = f", {started.optimizer}" if started.optimizer else ""
    return f"{steps}{planned}{optimizer}{other}"
