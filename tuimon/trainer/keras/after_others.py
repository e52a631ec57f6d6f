"""A callback behind all others of a ``fit``: it restores what they reset, and saves what they have changed.

`EarlyStopping` and `ReduceLROnPlateau` begin anew in ``on_train_begin``, and count the epoch in ``on_epoch_end``. The
Monitor may stand before them in the list.
"""

from collections.abc import Callable
from typing import Any

import keras

from tuimon.trainer.checkpoints import Checkpoint
from tuimon.trainer.fit import Fit
from tuimon.trainer.keras import full_state, going_on
from tuimon.trainer.keras.guarded import guarded
from tuimon.trainer.keras.internals import callbacks, running_fit
from tuimon.trainer.modes import AUTO
from tuimon.trainer.session.recorder import Recorder


class AfterOthers(keras.callbacks.Callback):
    """Acts for the Monitor after all other callbacks of one ``fit``. Keras gives it no batches.

    Args:
        model: The model.
        recorder: Writes the facts.
        fit: What the Monitor knows of the ``fit``.
        checkpoint: The checkpoint from which the run goes on; None: it begins.
        give_up: Called with an error of tuimon's own.
        end_if_signalled: Called after all that is done at the end of an epoch; a signal may ask for the end there.
    """

    def __init__(
        self,
        model: Any,
        recorder: Recorder,
        fit: Fit,
        checkpoint: Checkpoint | None,
        give_up: Callable[[Exception], None],
        end_if_signalled: Callable[[], None],
    ) -> None:
        super().__init__()
        self._recorder = recorder
        self._fit = fit
        self._checkpoint = checkpoint
        self._tell = give_up
        self._end_if_signalled = end_if_signalled
        self._given_up = False
        self._begun: Callable[[], None] = lambda: None
        self._first_epoch: int | None = None
        if checkpoint is not None and checkpoint.meta.mode != AUTO:
            fit.begin_in(checkpoint.meta.mode, checkpoint.meta.learning_rate)
        self.set_model(model)
        self._remove = running_fit.add_last_callback(model, self)

    def _give_up(self, error: Exception) -> None:
        self._given_up = True
        self._tell(error)

    @guarded
    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras decides what a callback is given
        """Restore what the checkpoint holds, whatever the other callbacks have set by now."""
        checkpoint, self._checkpoint = self._checkpoint, None
        if checkpoint is None or self._fit.has_ended:
            return
        # A callback may have set the learning rate, or loaded weights.
        full_state.restore(self.model, checkpoint.arrays, checkpoint.meta.dtypes)
        state = full_state.KerasState(self.model)
        for words in state.restore_beside(checkpoint.meta.beside, checkpoint.beside):
            self._recorder.note(f"not restored: {words}")
        running = running_fit.callbacks_of_fit(self.model)
        if any(callbacks.restores_backup(callback) for callback in running):
            self._recorder.note(f"BackupAndRestore is among the callbacks; {checkpoint.name} is what was restored")
        self._first_epoch = going_on.first_epoch(checkpoint, self.params.get("epochs"))
        self._begun = running_fit.begin_at_epoch(self.model, self._first_epoch)

    @guarded
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Leave the number of the first epoch to the next ``fit``."""
        self._has_begun()
        if self._first_epoch not in (None, epoch):
            self._recorder.note(f"this fit goes on at epoch {epoch + 1}, not at {(self._first_epoch or 0) + 1}")
        self._first_epoch = None

    @guarded
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Save a checkpoint if it is time; end here if a signal has asked for it."""
        if not self._fit.has_ended:
            self._fit.save_if_due()
            self._end_if_signalled()

    def end_epoch_of_loop(self) -> None:
        """Do the same in a loop without a list of callbacks."""
        if self._remove is None:
            self._fit.save_if_due()
            self._end_if_signalled()

    def leave(self) -> None:
        """Leave the list of callbacks, which a user may keep: the ``fit`` has ended, or an exception ends it."""
        self._has_begun()
        if self._remove is not None:
            self._remove()

    def _has_begun(self) -> None:
        begun, self._begun = self._begun, lambda: None
        begun()
