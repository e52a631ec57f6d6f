"""Goes on with an earlier run: finds the one that a script left unfinished, and restores its newest checkpoint."""

import time
from typing import Any

from tuimon.errors import UsageError
from tuimon.protocol import events
from tuimon.runs import facts_in_words, liveness
from tuimon.runs.glance import Glance
from tuimon.runs.run_directory import RunDirectory
from tuimon.text import plain
from tuimon.trainer.checkpoints import Checkpoint, CheckpointError, Checkpoints
from tuimon.trainer.fit import Fit
from tuimon.trainer.keras import full_state, shared_run
from tuimon.trainer.keras.internals import running_fit
from tuimon.trainer.requests.answers import reject_left_over
from tuimon.trainer.session import new_run
from tuimon.trainer.session.log_file import LogTakenError
from tuimon.trainer.session.recorder import Recorder
from tuimon.trainer.standard_error import say

SILENT_SECONDS = 60.0
"""A living trainer writes every 5 s. Where nothing else proves that it is gone, a log is silent for so long."""

_NOT_THE_FIRST = "only the first fit of a program goes on with an earlier run"


class _EndsTheSearchError(Exception):
    """The newest run that could be gone on with is none; older ones are not looked at."""


class _NotThisOneError(Exception):
    """A run is passed over."""


def begin(place: shared_run.Place, model: Any, *, resumes: bool) -> tuple[shared_run.SharedRun, Checkpoint | None]:
    """Begin the run of a ``fit``; return it, and the checkpoint from which it goes on.

    Args:
        place: What the Monitor says about where its run is.
        model: The model.
        resumes: Whether to go on with the unfinished run of this place. Its weights and its optimizer are restored.

    Raises:
        UsageError: The directory of a new run cannot be made.
        OSError: Its log cannot be opened.
    """
    if not resumes:
        return shared_run.begin(place, model), None
    reason = _NOT_THE_FIRST
    if not Fit.begun:
        try:
            recorder, checkpoint = _reopened(place, model)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with an old run, there can be a new one
            reason = plain(str(error) or repr(error), 300)
        else:
            reject_left_over(recorder)
            resumed = take_up(recorder, model, checkpoint)
            say(f"goes on with {recorder.run.path} from {checkpoint.name} {facts_in_words.where_it_goes_on(resumed)}")
            return shared_run.SharedRun(place, recorder), checkpoint
    run = shared_run.begin(place, model)
    if run.recorder.budget is None:
        run.recorder.note(f"a new run begins: {reason}")
        say(f"a new run begins in {run.recorder.run.path}: {reason}")
    return run, None


def take_up(recorder: Recorder, model: Any, checkpoint: Checkpoint) -> events.RunResumed:
    """Restore weights, optimizer and random seeds of a checkpoint; record that the run goes on, and return that fact.

    Raises:
        CheckpointError: It is of another model.
    """
    full_state.restore(model, checkpoint.arrays, checkpoint.meta.dtypes)
    meta = checkpoint.meta
    # A kill may have come after the checkpoint, but before the log reached its step.
    recorder.reach(meta.step)
    recorder.enter_epoch(meta.next_epoch)
    recorder.branch_off()
    resumed = events.RunResumed(
        checkpoint=checkpoint.name,
        to_step=meta.step,
        to_epoch=meta.next_epoch,
        repeated_steps=meta.repeated_steps,
        lost_steps=recorder.step - meta.step,
    )
    recorder.record(resumed)
    return resumed


def first_epoch(checkpoint: Checkpoint, epochs: int | None) -> int:
    """Return the epoch in which a ``fit`` of so many epochs goes on; ``epochs`` if a callback had ended it."""
    return max(checkpoint.meta.next_epoch, epochs or 0) if checkpoint.meta.is_over else checkpoint.meta.next_epoch


def _reopened(place: shared_run.Place, model: Any) -> tuple[Recorder, Checkpoint]:
    """Return the newest run of a place that can be gone on with, opened, and its checkpoint.

    Raises:
        Exception: There is none; the message says why.
    """
    if not running_fit.begins_at_epoch_of_model(model):
        raise _EndsTheSearchError("only a fit of Keras goes on with an earlier run, not a loop of your own")
    why: Exception | None = None
    for run in reversed(new_run.beginnings(place.run_dir, runs_dir=place.runs_dir, name=place.name)):
        try:
            checkpoint, wrong = _checkpoint_of(run, model)
            recorder = new_run.go_on(run, name=place.name, console=place.console)
        except (_NotThisOneError, UsageError, LogTakenError, OSError) as error:
            why = why or error
            continue
        for words in wrong:
            recorder.note(words)
        return recorder, checkpoint
    raise why or _EndsTheSearchError("there is no run of this name yet")


def _checkpoint_of(run: RunDirectory, model: Any) -> tuple[Checkpoint, list[str]]:
    """Return the newest checkpoint of a run that can be read, and the errors of newer ones."""
    # Checked before anything of it is read: another user may have planted it as the newest of this name.
    run.require_own()
    glance = Glance(run)
    glance.look()
    started, ended = glance.state.run, glance.state.ended
    if liveness.may_live_here(run.session_log, started):
        raise _NotThisOneError(f"{run.name} still trains")
    if ended is not None and ended.status == "finished":
        raise _EndsTheSearchError(f"{run.name} has finished")
    if ended is None and not liveness.is_gone(run.session_log, started):
        silent = time.time() - run.session_log.stat().st_mtime
        if silent < SILENT_SECONDS:
            raise _NotThisOneError(f"{run.name} may still train elsewhere: its log grew {max(silent, 0):.0f} s ago")
    newest, wrong = Checkpoints(run.checkpoints).newest()
    if newest is None:
        raise _NotThisOneError(f"{run.name}: {wrong[0]}" if wrong else f"{run.name} has no checkpoint")
    if newest.meta.fit != 1:
        which = f"of fit {newest.meta.fit}" if newest.meta.fit else "of a fit that is not known"
        raise _EndsTheSearchError(
            f"{run.name}: its checkpoint {newest.name} is {which} of its program; {_NOT_THE_FIRST}"
        )
    running_fit.build(model)
    try:
        full_state.require_fitting(model, newest.arrays, newest.meta.dtypes)
    except CheckpointError as error:
        raise _EndsTheSearchError(f"{run.name}: {error}") from error
    return newest, wrong
