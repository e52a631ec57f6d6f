"""What a request does to a running ``fit`` beside changing its mode: validate, recalibrate, save, go back."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tuimon.protocol import commands, events
from tuimon.protocol.wire import Number, scalars_to_wire
from tuimon.text import plain
from tuimon.trainer.keras import checkpoint, keras_internals
from tuimon.trainer.keras.checkpoint import Checkpoints
from tuimon.trainer.keras.measuring import evaluation, recalibration
from tuimon.trainer.keras.steps.modes import Mode
from tuimon.trainer.keras.watched_model import WatchedModel
from tuimon.trainer.requests.mode_changes import RejectedError
from tuimon.trainer.session.recorder import Recorder

MAXIMUM_BYTES = 1024**3
"""Training batches that are looked at ahead of training take no more memory than this."""

PATIENCE_SECONDS = 5.0
"""Training waits no longer for the disk, where a checkpoint is asked for and the last is still being written."""
AT_THE_END_SECONDS = 60.0
"""The same at the end of ``fit``."""

Say = Callable[[str], None]
"""Answers a request: with what is worth saying of it, or with the reason why it is not taken."""

_DRIVERS = ("ReduceLROnPlateau", "LearningRateScheduler")


@dataclass(frozen=True)
class EpochLeft:
    """What is left of an epoch; where its length is not known, nothing is known to be missing."""

    steps: int = 0
    """Of a whole epoch; 0: not known."""
    left: int = 0
    """Steps that are to come in this one."""
    follows: bool = False
    """Whether another epoch follows."""


@dataclass(frozen=True)
class RolledBackTo:
    """What a checkpoint says beside the model's variables."""

    mode: Mode
    """In force when it was made."""
    learning_rate: float | None
    """Of a request, where ``mode`` has one of its own."""
    detail: str
    """In words."""


class RequestActions:
    """Acts on one ``fit``, in its training thread; only a checkpoint's file is written by another.

    Args:
        recorder: Takes the facts.
        instruments: The model.
        checkpoints: Where full states are kept.
        epoch_left: Returns what is left of the epoch.
    """

    def __init__(
        self,
        recorder: Recorder,
        instruments: WatchedModel,
        checkpoints: Checkpoints,
        epoch_left: Callable[[], EpochLeft],
    ) -> None:
        self.epoch_first_step = 0
        """The step at which the epoch under way began."""
        self._recorder = recorder
        self._instruments = instruments
        self._model = instruments.model
        self._checkpoints = checkpoints
        self._epoch_left = epoch_left
        self._saving: threading.Thread | None = None

    def drivers_of_learning_rate(self) -> list[str]:
        """Names of the callbacks of this ``fit`` that set the learning rate."""
        kinds = {type(callback).__name__ for callback in keras_internals.callbacks_of_fit(self._model)}
        return [name for name in _DRIVERS if name in kinds]

    def evaluate(self, name: str) -> None:
        """Validate now, in the learning phase of now, and record it.

        Raises:
            RejectedError: this ``fit`` has no validation data.
        """
        try:
            logs = self._validate(name)
        finally:
            self._recorder.record(events.StateChanged(state="training"))
        if logs is None:
            raise RejectedError("this fit has no validation data")
        self._recorder.record(events.Evaluated(name=name, logs=logs))

    def recalibrate(self, request: commands.Recalibrate, applied: Say, rejected: Say) -> None:
        """Estimate the moving statistics afresh before the next step.

        Where this epoch has fewer batches left than are asked for, that is at the begin of the next.
        """

        def task(iterator: Any) -> None:
            epoch = self._epoch_left()
            if epoch.follows and epoch.left < min(request.batches, epoch.steps):
                self._instruments.train.before_next(task)
                return
            try:
                detail = self._recalibrate(request, iterator)
            except RejectedError as error:
                rejected(str(error))
            except Exception as error:  # noqa: BLE001 - what the user's layers raise outside of a step ends nothing
                rejected(f"the moving statistics cannot be estimated: {plain(str(error))}")
            else:
                applied(detail)
            finally:
                self._recorder.record(events.StateChanged(state="training"))

        self._instruments.train.before_next(task)

    def save_checkpoint(
        self, reason: str, applied: Say, rejected: Say, *, at_epoch_end: bool = False, mode: Mode | None = None
    ) -> None:
        """Read the full state now and write it in a thread of its own; training does not wait for the disk.

        Args:
            reason: Why it is made.
            applied: Called when it is on disk.
            rejected: Called when it could not be saved.
            at_epoch_end: Whether the epoch is through.
            mode: That of the next step; by default the one in force.
        """
        if not self.finish_saving():
            rejected("the last checkpoint is still being written")
            return
        failed = "the checkpoint could not be saved"
        self._recorder.record(events.StateChanged(state="checkpointing"))
        try:
            arrays = checkpoint.capture(self._model)
        except Exception as error:  # noqa: BLE001 - a copy of all may be too large; it must not end the user's training
            rejected(f"{failed}: {plain(str(error))}")
            return
        finally:
            self._recorder.record(events.StateChanged(state="training"))
        mode = mode or self._instruments.train.mode
        meta = checkpoint.Meta(
            step=self._recorder.step,
            epoch=self._recorder.epoch,
            epoch_first_step=self.epoch_first_step,
            at_epoch_end=at_epoch_end,
            branch=self._recorder.branch,
            mode=mode,
            learning_rate=self._instruments.learning_rate(mode) if mode.own_learning_rate else None,
            dtypes=checkpoint.dtypes(self._model),
        )

        def write() -> None:
            try:
                self._recorder.record(self._checkpoints.save(arrays, meta, reason))
            except Exception as error:  # noqa: BLE001 - a full disk must not end the user's training
                rejected(f"{failed}: {plain(str(error))}")
            else:
                applied("")

        # A disk that never answers keeps neither training nor the process.
        saving = threading.Thread(target=write, name="tuimon-checkpoint", daemon=True)
        saving.start()
        self._saving = saving

    def finish_saving(self, seconds: float | None = None) -> bool:
        """Wait until a checkpoint that is being written is on disk; returns whether it is."""
        if self._saving is not None:
            self._saving.join(PATIENCE_SECONDS if seconds is None else seconds)
            if self._saving.is_alive():
                return False
            self._saving = None
        return True

    def roll_back(self, name: str) -> RolledBackTo:
        """Put the model's and the optimizer's variables and the random seeds back; the data go on where they are.

        Raises:
            RejectedError: there is no such checkpoint, or it is not one of this model.
        """
        if not self.finish_saving():
            raise RejectedError("a checkpoint is still being written: ask again")
        names = self._checkpoints.names()
        if not names:
            raise RejectedError("this run has no checkpoint")
        try:
            saved = self._checkpoints.load(name or names[-1])
            checkpoint.restore(self._model, saved.arrays, saved.meta.dtypes)
        except (OSError, ValueError) as error:
            raise RejectedError(plain(str(error))) from error
        # The running means of this epoch are of steps that are undone.
        self._model.reset_metrics()
        self._recorder.branch += 1
        meta = saved.meta
        self._recorder.record(events.RolledBack(checkpoint=saved.name, to_step=meta.step, to_epoch=meta.epoch))
        detail = f"weights and optimizer of step {meta.step}, epoch {meta.epoch + 1}"
        return RolledBackTo(meta.mode, meta.learning_rate, detail)

    def _recalibrate(self, request: commands.Recalibrate, iterator: Any) -> str:
        started = time.monotonic()
        train, mode, layers = self._instruments.train, self._instruments.train.mode, self._instruments.reader.layers
        before = self._validate("before recalibration") if request.dry_run else None
        self._recorder.record(events.StateChanged(state="recalibrating"))
        batches = train.peek(iterator, request.batches, MAXIMUM_BYTES)
        if not batches:
            raise RejectedError("no training batch is left in this epoch")
        scope = self._instruments.forward_scope(mode)
        estimate = recalibration.estimate(self._model, layers, batches, scope)
        after = None
        if request.dry_run:
            with recalibration.in_force(layers, estimate):
                after = self._validate("after recalibration")
        else:
            recalibration.apply(layers, estimate)
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
        parts = [f"{estimate.batches} batches"] if estimate.batches < request.batches else []
        parts += (
            [f"{len(estimate.skipped)} layers that use their moving statistics left as they are"]
            if estimate.skipped
            else []
        )
        parts += ["no validation data"] if request.dry_run and after is None else []
        return ", ".join(parts)

    def _validate(self, what: str) -> dict[str, Number] | None:
        self._recorder.record(events.StateChanged(state="validating", detail=what))
        mode = self._instruments.validation_mode(self._instruments.train.mode)

        def before_step() -> None:
            if not self._instruments.why_not_steerable:
                self._instruments.test.install(mode)

        test = self._instruments.test
        test.tells_failures = False  # What the user's own step raises here ends the request, not the training.
        try:
            logs = evaluation.evaluate(self._model, before_step)
        finally:
            test.tells_failures = True
            test.restore()
            if self._instruments.test_values is not None:
                self._instruments.test_values.read()
        return None if logs is None else scalars_to_wire(logs)
