"""Carries out requests that do more than change the mode: validate, recalibrate, save, roll back."""

import threading
import time
from collections.abc import Callable

from msgspec import Struct

from tuimon.numbers import count
from tuimon.protocol import commands, events
from tuimon.protocol.wire import Number, scalars_to_wire
from tuimon.text import plain
from tuimon.trainer import recalibration
from tuimon.trainer.checkpoints import Checkpoints, Meta
from tuimon.trainer.engine import MAXIMUM_BYTES_AHEAD, Data, Engine
from tuimon.trainer.modes import Mode
from tuimon.trainer.requests.rejected import RejectedError
from tuimon.trainer.sampling import Sampling
from tuimon.trainer.session.recorder import Recorder

PATIENCE_SECONDS = 5.0
"""Longest wait of training, at a request for a checkpoint, until the last one is written."""
AT_THE_END_SECONDS = 60.0
"""Longest wait at the end of ``fit`` until the last checkpoint is written."""
STILL_SECONDS = 20.0
"""The same where nothing of it reaches the disk: that one does not answer."""
_LOOK_SECONDS = 0.5

Say = Callable[[str], None]
"""Answers a request: with details, or with the reason for its rejection."""


class RolledBackTo(Struct, frozen=True):
    """The part of a checkpoint that the caller must still restore."""

    mode: Mode
    """The mode of the checkpoint."""
    learning_rate: float | None
    """The learning rate of a request if ``mode`` has its own, else None."""
    detail: str
    """Details for the answer."""


class RequestActions:
    """Acts on one ``fit``, in its training thread; another thread writes a checkpoint's file.

    Args:
        recorder: Writes the facts.
        engine: The model.
        checkpoints: Keeps full states.
        sampling: Knows the position in the epoch.
        fit: Number of the ``fit`` in this process, from 1.
    """

    def __init__(
        self, recorder: Recorder, engine: Engine, checkpoints: Checkpoints, sampling: Sampling, fit: int = 1
    ) -> None:
        self._recorder = recorder
        self._engine = engine
        self._checkpoints = checkpoints
        self._sampling = sampling
        self._number_of_fit = fit
        self._saving: threading.Thread | None = None
        self._waited_for: threading.Thread | None = None

    def end_after(self, epochs: int) -> str:
        """Let the ``fit`` end after another number of epochs; return details for the answer.

        Raises:
            RejectedError: These are over.
        """
        now, before = self._recorder.epoch + 1, self._sampling.last_epoch
        if epochs < now:
            raise RejectedError(f"epoch {count(now)} is under way; `stop --after epoch` ends training with it")
        self._engine.epochs.end_after(epochs)
        self._sampling.end_after(epochs)
        return "" if before is None else f"before, they were {count(before)}"

    def evaluate(self, name: str) -> None:
        """Validate now, in the learning phase in force, and record the result.

        Raises:
            RejectedError: This ``fit`` has no validation data.
        """
        try:
            logs = self._validate(name)
        finally:
            self._recorder.record(events.StateChanged(state="training"))
        if logs is None:
            raise RejectedError("this fit has no validation data")
        self._recorder.record(events.Evaluated(name=name, logs=logs))

    def recalibrate(self, request: commands.Recalibrate, applied: Say, rejected: Say) -> None:
        """Estimate the moving statistics anew before the next step.

        If this epoch has fewer batches left than requested, wait for the next epoch.
        """

        def task(data: Data) -> None:
            epoch = self._sampling.epoch_left
            if epoch.follows and epoch.left < min(request.batches, epoch.steps):
                self._engine.steps.before_next(task)
                return
            try:
                detail = self._recalibrate(request, data)
            except RejectedError as error:
                rejected(str(error))
            except Exception as error:  # noqa: BLE001 - an error of the user's layers outside of a step must not end training
                rejected(f"the moving statistics cannot be estimated: {plain(str(error))}")
            else:
                applied(detail)
            finally:
                self._recorder.record(events.StateChanged(state="training"))

        self._engine.steps.before_next(task)

    def save_checkpoint(
        self,
        reason: str,
        applied: Say,
        rejected: Say,
        *,
        at_epoch_end: bool = False,
        is_over: bool = False,
        mode: Mode | None = None,
    ) -> None:
        """Copy the full state now and write it in another thread, so that training does not wait for the disk.

        Args:
            reason: Why the checkpoint is saved.
            applied: Called when it is on disk, from that thread.
            rejected: Called if it cannot be saved, perhaps from that thread.
            at_epoch_end: Whether the epoch is complete.
            is_over: Whether a callback has ended the training.
            mode: The mode of the next step; by default the one in force.
        """
        if not self.finish_saving():
            rejected("the last checkpoint is still being written")
            return
        failed = "the checkpoint could not be saved"
        self._recorder.record(events.StateChanged(state="checkpointing"))
        try:
            arrays = self._engine.state.capture()
            beside, beside_arrays = self._engine.state.capture_beside()
        except Exception as error:  # noqa: BLE001 - the copy may not fit into memory, which must not end training
            rejected(f"{failed}: {plain(str(error))}")
            return
        finally:
            self._recorder.record(events.StateChanged(state="training"))
        mode = mode or self._engine.steps.mode
        meta = Meta(
            step=self._recorder.step,
            epoch=self._recorder.epoch,
            epoch_first_step=self._sampling.epoch_first_step,
            at_epoch_end=at_epoch_end,
            branch=self._recorder.branch,
            mode=mode,
            learning_rate=self._engine.learning_rate.now(mode) if mode.own_learning_rate else None,
            dtypes=self._engine.state.dtypes(),
            fit=self._number_of_fit,
            is_over=is_over,
            beside=beside,
        )

        def write() -> None:
            try:
                self._recorder.record(self._checkpoints.save(arrays, meta, reason, beside_arrays))
            except Exception as error:  # noqa: BLE001 - a full disk must not end training
                rejected(f"{failed}: {plain(str(error))}")
            else:
                applied("")

        # Daemon: a disk that never answers delays neither training nor the end of the process.
        saving = threading.Thread(target=write, name="tuimon-checkpoint", daemon=True)
        saving.start()
        self._saving = saving

    def finish_saving(self, seconds: float | None = None) -> bool:
        """Wait until no checkpoint is being written; return False if that takes longer than ``seconds``."""
        if self._saving is not None:
            # A disk that does not answer is not waited for at the end of each epoch.
            patience = 0.0 if self._saving is self._waited_for else PATIENCE_SECONDS
            self._saving.join(patience if seconds is None else seconds)
            if self._saving.is_alive():
                self._waited_for = self._saving
                return False
            self._saving = None
        return True

    def finish_saving_at_end(self) -> None:
        """Wait until no checkpoint is being written: for a slow disk longer than for one that does not answer."""
        saving, began = self._saving, time.monotonic()
        seen, moved_at = self._checkpoints.synced_parts, began
        while saving is not None and saving.is_alive():
            now = time.monotonic()
            if self._checkpoints.synced_parts != seen:
                seen, moved_at = self._checkpoints.synced_parts, now
            if now - began > AT_THE_END_SECONDS or now - moved_at > STILL_SECONDS:
                return
            saving.join(_LOOK_SECONDS)

    def roll_back(self, name: str) -> RolledBackTo:
        """Restore the variables of model and optimizer, the random seeds and the state of the callbacks.

        The data continue where they are.

        Args:
            name: The checkpoint; empty: the newest one.

        Raises:
            RejectedError: There is no such checkpoint, or it is of another model.
        """
        if not self.finish_saving():
            raise RejectedError("a checkpoint is still being written: ask again")
        names = self._checkpoints.names()
        if not names:
            raise RejectedError("this run has no checkpoint")
        try:
            saved = self._checkpoints.load(name or names[-1])
            self._engine.state.restore(saved.arrays, saved.meta.dtypes)
        except (OSError, ValueError) as error:
            raise RejectedError(plain(str(error))) from error
        wrong = self._engine.state.restore_beside(saved.meta.beside, saved.beside, rolls_back=True)
        self._engine.state.begin_epoch_anew()
        self._sampling.count_anew()
        self._recorder.branch_off()
        meta = saved.meta
        self._recorder.record(events.RolledBack(checkpoint=saved.name, to_step=meta.step, to_epoch=meta.epoch))
        detail = "; ".join([f"weights and optimizer of step {meta.step:,}, epoch {meta.epoch + 1}", *wrong])
        return RolledBackTo(meta.mode, meta.learning_rate, detail)

    def _recalibrate(self, request: commands.Recalibrate, data: Data) -> str:
        started = time.monotonic()
        before = self._validate("before recalibration") if request.dry_run else None
        self._recorder.record(events.StateChanged(state="recalibrating"))
        batches = data.ahead(request.batches, MAXIMUM_BYTES_AHEAD)
        if not batches:
            raise RejectedError("no training batch is left in this epoch")
        estimate = recalibration.estimate(self._engine, batches, self._engine.steps.mode)
        put_back = self._engine.layers.put_statistics(estimate.layers)
        after = None
        if request.dry_run:
            try:
                after = self._validate("after recalibration")
            finally:
                put_back()
        self._recorder.record(
            events.Recalibrated(
                batches=estimate.batches,
                examples=estimate.examples,
                dry_run=request.dry_run,
                before=before or {},
                after=after or {},
                skipped=list(estimate.skipped),
                seconds=time.monotonic() - started,
            )
        )
        skipped = len(estimate.skipped)
        parts = [f"{estimate.batches} batches"] if estimate.batches < request.batches else []
        parts += [f"{skipped} layers that use their moving statistics left as they are"] if skipped else []
        parts += ["no validation data"] if request.dry_run and after is None else []
        return ", ".join(parts)

    def _validate(self, what: str) -> dict[str, Number] | None:
        self._recorder.record(events.StateChanged(state="validating", detail=what))
        logs = self._engine.validation.run(self._engine.steps.mode)
        return None if logs is None else scalars_to_wire(dict(logs))
