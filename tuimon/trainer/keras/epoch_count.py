"""How many epochs a ``fit`` has, and how that changes while it runs."""

from collections.abc import Iterator
from typing import Any

import keras

from tuimon.trainer.keras.internals import epoch_range, running_fit
from tuimon.trainer.keras.internals.epoch_range import EpochRange

_OWN_COUNT = "this fit counts its epochs in a way of its own; `stop --after epoch` ends it earlier"


class EpochCount:
    """The epochs of one model's fits, behind `tuimon.trainer.engine.Epochs`.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._range: EpochRange | None = None

    @property
    def why_not(self) -> str:
        """Why their number stays; empty if it can be changed."""
        return _OWN_COUNT if self._range is None else ""

    def begin(self) -> None:
        """Count the epochs of the running ``fit``."""
        self._range = epoch_range.put(self._model)

    def of_loop(self, count: int) -> Iterator[int]:
        """Yield the epochs of a user's loop, from 0."""
        self._range = EpochRange()
        return self._range.count(0, count)

    def end_after(self, epochs: int) -> None:
        """Let the ``fit`` end after another number of epochs."""
        if self._range is not None:
            self._range.end = epochs
        for callback in running_fit.callbacks_of_fit(self._model):
            if isinstance(callback, keras.callbacks.ProgbarLogger):
                callback.epochs = epochs  # It prints them before each epoch.

    def end(self) -> None:
        """Leave Keras as it was."""
        if self._range is not None:
            epoch_range.take_back(self._range)
