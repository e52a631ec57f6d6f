"""The callback that records a ``fit`` in its run directory and takes requests from there."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
from msgspec.structs import replace

from tuimon.launch.program_name import program_name
from tuimon.protocol.values import DEFAULT_OVERHEAD
from tuimon.runs.run_directory import default_runs_directory
from tuimon.text import plain
from tuimon.trainer.checkpoints import Checkpoint
from tuimon.trainer.fit import Fit
from tuimon.trainer.keras import going_on, shared_run
from tuimon.trainer.keras.after_others import AfterOthers
from tuimon.trainer.keras.fit_ends import UNNOTICED, FitEnds
from tuimon.trainer.keras.guarded import each, guarded, guarded_before_step
from tuimon.trainer.keras.internals import patches, running_fit
from tuimon.trainer.keras.loop import LoggedValues, Loop, watched_in_loop
from tuimon.trainer.keras.steps.listeners import Listeners
from tuimon.trainer.keras.steps.users_step import ReplacedError
from tuimon.trainer.keras.watched_model import WatchedModel
from tuimon.trainer.options import Options, Resume
from tuimon.trainer.probe_memory import ProbeMemory
from tuimon.trainer.session.end_signals import EndSignals
from tuimon.trainer.session.recorder import Recorder
from tuimon.trainer.standard_error import say_error


class Monitor(keras.callbacks.Callback):
    """Records a training run, which ``tuimon watch`` shows and steers.

    Until a request changes something, training computes the same weights, bit for bit, as without the Monitor. If the
    Monitor itself fails (a full disk, an error of tuimon), training goes on without it.

    Several ``fit``s with one Monitor are one run. A new Monitor of the same name goes on with that run, too, if its
    ``fit`` trains weights that the run has trained: the same model, or one built around a part of it.

    Args:
        run_dir: The run's directory. By default a new one, ``<date>-<time>-<name>``, under ``runs_dir``.
            If it holds a run already, ``-2`` (``-3``, …) is appended to its name.
        name: Name of the run; by default that of the notebook or the program.
        runs_dir: The directory of new run directories; by default ``$TUIMON_RUNS_DIR``, or ``./runs``.
        probe: The batch on which to measure the gap between training mode and inference mode, ``(x, y)`` or
            ``(x, y, sample_weight)``. By default a training batch; False: only requests measure it.
        probe_every: Steps from one probe to the next. By default probes come at the ends of epochs, once the trace
            takes less than a twentieth of the time so far.
        overhead: The share of the training time that watching may take: reading the layers, probes, diagnosis. These
            run more rarely to stay within it. The cost of requests comes on top.
        batch_loss: Whether to read each batch's own loss and metrics inside the step. Without it, Keras' own train
            function runs untouched, and only its running means are shown.
        examine_at_end: Whether to probe the model once more as training leaves it, if the last probe is old. Whatever
            ``overhead`` says, it takes at most a tenth of the run or 3 seconds, whichever is more, and never more than
            60 seconds.
        console: Whether to keep in the run directory what the script prints while it trains. Its terminal stays as is.
        prepare: Modes to trace before the first step, so that their first use needs no trace later: ``"freeze"``,
            ``"freeze statistics"``, ``"freeze weights conv*"``, ``"phase inference"``, ``"momentum 0.9"``, each with
            its layers if it is not for all. XLA still compiles at the first use.
        resume: ``"auto"``: the first ``fit`` of the program goes on with the newest run of this name (or ``run_dir``)
            if that is unfinished: same weights, optimizer, epoch, callbacks' state, random numbers. Else a run begins.
        checkpoint_minutes: Minutes after which the next end of an epoch saves a checkpoint, from which a run resumes; a
            stop saves one, too. 0: only requests do. By default 10 with ``resume``, else 0.
        orders: Standing orders, such as ``"when nan stop"``; or the path of a TOML file with them.

    Raises:
        ValueError: An argument is out of range, ``prepare`` names no mode, or an order is none; the message names it.

    Example:
        ```python
        model.fit(x, y, callbacks=[tuimon.Monitor()])
        ```
    """

    def __init__(
        self,
        run_dir: str | Path | None = None,
        *,
        name: str | None = None,
        runs_dir: str | Path | None = None,
        probe: tuple[Any, ...] | bool | None = None,
        probe_every: int | None = None,
        overhead: float = DEFAULT_OVERHEAD,
        batch_loss: bool = True,
        examine_at_end: bool = True,
        console: bool = True,
        prepare: Sequence[str] = (),
        resume: Resume | None = None,
        checkpoint_minutes: float | None = None,
        orders: Sequence[str] | str | Path = (),
    ) -> None:
        super().__init__()
        self._options = Options.checked(
            overhead=overhead,
            probe=probe,
            probe_every=probe_every,
            prepare=prepare,
            examine_at_end=examine_at_end,
            resume=resume,
            checkpoint_minutes=checkpoint_minutes,
            orders=orders,
        )
        self._run_dir = Path(run_dir) if run_dir is not None else None
        self._name = name or (self._run_dir.name if self._run_dir else "") or program_name()
        self._runs_dir = Path(runs_dir) if runs_dir is not None else default_runs_directory()
        self._batch_loss, self._console = batch_loss, bool(console)
        self._recorder: Recorder | None = None
        self._checkpoint: Checkpoint | None = None
        self._shared: shared_run.SharedRun | None = None
        self._ends_run = True
        self._after: AfterOthers | None = None
        self._watched: WatchedModel | None = None
        self._memory: ProbeMemory | None = None
        self._fit: Fit | None = None
        self._ends: FitEnds | None = None
        self._signals: EndSignals | None = None
        self._was_stopped = self._given_up = False

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy begins with, as for the trials of a tuner: the options, and nothing of a run."""
        unused = Monitor(self._run_dir, name=self._name, runs_dir=self._runs_dir, batch_loss=self._batch_loss)
        options = replace(self._options, resumes=False)  # Which trial it will be is not known.
        return {**vars(self), **vars(unused), "_options": options, "_console": self._console}

    @classmethod
    def for_recorder(
        cls,
        recorder: Recorder,
        *,
        options: Options,
        batch_loss: bool,
        checkpoint: Checkpoint | None = None,
        signals: EndSignals | None = None,
    ) -> "Monitor":
        """Return a Monitor for a run that the caller began and will end, as ``tuimon run`` does.

        Args:
            recorder: Writes the run's log.
            options: The options, from a config.
            batch_loss: Whether to read each batch's own values.
            checkpoint: The checkpoint from which this attempt goes on.
            signals: Notes the signals that end the process.
        """
        monitor = cls(recorder.run.path, batch_loss=batch_loss)
        monitor._options = options
        monitor._recorder = recorder
        monitor._ends_run, monitor._signals = False, signals
        monitor._checkpoint = checkpoint
        return monitor

    @contextlib.contextmanager
    def watch(self, model: keras.Model, optimizer: keras.optimizers.Optimizer | None = None) -> Iterator[Loop]:
        """Watch a training loop of your own: ``train_on_batch``, or a step with ``tf.GradientTape``.

        Learning rate, pause, stop, checkpoints, rollback and notes work in any loop. Freezing, the learning phase and
        momentum need a step that tuimon can trace: ``model.train_on_batch``, or one that ``loop.function`` compiles. In
        another step tuimon rejects them, with that reason.

        Args:
            model: The model whose layers are watched; compiled, or with an ``optimizer`` beside it.
            optimizer: The optimizer of a model that is not compiled.

        Yields:
            The loop, which yields epochs and batches.

        Example:
            ```python
            with tuimon.Monitor().watch(model, optimizer) as loop:
                train_step = loop.function(train_step)
                for epoch in loop.epochs(10):
                    for x, y in loop.steps(dataset):
                        loop.log(loss=train_step(x, y))
            ```
        """

        def note(words: str) -> None:
            if self._recorder is not None:
                self._recorder.note(words)

        values, undo = LoggedValues(note), contextlib.ExitStack()
        loop = Loop(self, model, values, self._give_up)

        def begin() -> None:
            undo.callback(patches.set_untracked(model, "stop_training", False))
            if optimizer is not None or getattr(model, "optimizer", None) is None:
                undo.callback(patches.set_untracked(model, "optimizer", optimizer))
            self._watched = watched_in_loop(model, values, self._listeners())
            self.set_model(model)
            self.set_params({"epochs": None, "steps": None})
            self.on_train_begin()
            loop.begin(self._watched)

        each(self._give_up, begin)
        try:
            yield loop
        except BaseException as error:
            each(say_error, partial(self._fail, error))
            raise
        else:
            self.on_train_end()
        finally:
            each(say_error, undo.close)

    @property
    def run_dir(self) -> Path | None:
        """The run's directory; None before training begins."""
        return self._recorder.run.path if self._recorder else None

    @property
    def was_stopped(self) -> bool:
        """True if a request ended the last ``fit``."""
        return self._was_stopped

    @guarded
    def on_train_begin(self, logs: Any = None) -> None:
        """Begin the run, or another ``fit`` of it."""
        if keras.backend.backend() != "tensorflow":
            # TensorFlow would read another backend's variables as they were at the start.
            raise NotImplementedError(f"Keras on {keras.backend.backend()} is not recorded yet, only on TensorFlow")
        callbacks = running_fit.callbacks_of_fit(self.model)
        if any(isinstance(other, Monitor) and other is not self and other._fit for other in callbacks):
            raise RuntimeError("another Monitor watches this fit; this one records nothing")
        if self._fit and self._watched and running_fit.is_fit_of(self._watched.train.frame_of_fit, self.model):
            return  # It is in the list of callbacks twice.
        if self._recorder is None:
            place = shared_run.Place(self._run_dir, self._runs_dir.absolute(), self._name, self._console)
            self._shared, self._checkpoint = going_on.begin(place, self.model, resumes=self._options.resumes)
            self._recorder, self._memory = self._shared.recorder, self._shared.memory_of(self.model)
        self._close_ends()
        if self._fit is not None:
            # An exception in a callback ended it; Keras does not report these.
            self._fit.end()
            if self._ends_run and not self._recorder.is_closed:
                self._recorder.end("failed", reason=UNNOTICED)
        self._recorder.reopen()
        if self._shared is not None:
            self._shared.begin_fit(self.model)
        if self._watched is None or self._watched.model is not self.model:
            self._memory = self._memory if self._watched is None else None
            self._watched = WatchedModel.of(self.model, batch_loss=self._batch_loss, listeners=self._listeners())
        else:
            self._watched.listeners.become(self._listeners())  # Another Monitor may have used this object.
        self._fit = fit = Fit(
            self._recorder, self._watched, self.params, self._options, on_trouble=say_error, memory=self._memory
        )
        self._memory = fit.memory
        frame = running_fit.frame_of_fit(self.model)
        self._watched.train.frame_of_fit = self._watched.test.frame_of_fit = frame
        self._ends = FitEnds(
            *(fit, self._recorder, self._watched, self._fail),
            options=self._options,
            frame=frame,
            callbacks=running_fit.callback_list_of_fit(self.model),
            signals=self._signals,
        )
        checkpoint, self._checkpoint = self._checkpoint, None
        signalled = partial(self._end_if_signalled, after_epoch=True)
        self._after = AfterOthers(self.model, self._recorder, fit, checkpoint, self._give_up, signalled)

    @guarded
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Record that an epoch begins."""
        if self._fit:
            self._fit.begin_epoch(epoch)

    @guarded_before_step
    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Take requests, in the training thread, between two steps."""
        self._end_if_signalled()
        if self._fit:
            self._fit.before_step()

    @guarded
    def on_test_begin(self, logs: Any = None) -> None:
        """Record that a validation begins."""
        self._end_if_signalled(in_validation=True)
        if self._fit:
            self._fit.begin_validation()

    @guarded
    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Prepare the coming validation step."""
        self._end_if_signalled(in_validation=True)
        if self._fit:
            self._fit.before_validation_step()

    @guarded
    def on_test_end(self, logs: Any = None) -> None:
        """Record the validation."""
        if self._fit:
            self._fit.end_validation()

    @guarded
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the epoch with Keras' values."""
        if self._fit and self._after:
            self._fit.end_epoch(logs or {})
            self._after.end_epoch_of_loop()

    def on_train_end(self, logs: Any = None) -> None:
        """Give everything back and close the run."""
        self._was_stopped, stopped_by = False, ""
        fit, ends = self._fit, self._ends

        def last_facts() -> None:
            nonlocal stopped_by
            if fit:
                with contextlib.suppress(Exception):
                    self._was_stopped, stopped_by = fit.was_stopped, fit.program_stop.reason
                (fit.read_steps if ends is not None and ends.is_signalled else fit.write_last)()

        each(self._give_up, last_facts)
        each(say_error, partial(self._end, "stopped" if self._was_stopped else "finished", reason=stopped_by))
        if ends is not None:
            each(say_error, ends.leave)

    def _end_if_signalled(self, **where: bool) -> None:
        if self._ends is not None and (signal := self._ends.last_words(**where)):
            ends = self._ends
            self._end("stopped", reason=signal)
            ends.leave()

    def _listeners(self) -> Listeners:
        return Listeners(
            failure=self._fail,
            retreat=self._retreat,
            validation_retreat=self._retreat_of_validation,
            mistake=self._give_up,
            left=self._leave_steps,
        )

    def _retreat(self, error: Exception) -> None:
        if self._fit:
            self._fit.retreat(error)

    def _retreat_of_validation(self, error: Exception) -> None:
        if self._recorder:
            words = "validation goes on as Keras does it: the mode cannot be traced there"
            self._recorder.note(f"{words}: {plain(str(error))}")

    def _leave_steps(self, kind: str, error: Exception) -> None:
        words = f"Keras' own {kind} step runs as it is, without values of single batches: {plain(str(error))}"
        if isinstance(error, ReplacedError):
            words = str(error)
        if self._watched and self._recorder and self._fit:
            if kind == "test":
                self._watched.leave_test_values()
            else:
                self._fit.read_steps()
                self._watched.leave_steps(words)
            self._recorder.note(words)

    def _fail(self, error: BaseException) -> None:
        """End the run after an exception in a step, which Keras does not report to callbacks."""
        with contextlib.suppress(Exception):
            if self._fit:
                self._fit.read_steps()
        self._end("failed", error)

    def _close_ends(self) -> None:
        ends, self._ends = self._ends, None
        if ends is not None:
            ends.close()

    def _end(self, status: str, error: BaseException | None = None, *, reason: str = "") -> None:
        fit, self._fit = self._fit, None
        after, self._after = self._after, None
        parts: list[Callable[[], object]] = [self._close_ends, partial(self._end_run, status, error, reason)]
        if after is not None:
            parts.append(after.leave)
        if fit is not None:
            parts[1:1] = [fit.end, fit.close_inbox]
            if self._shared is not None:
                parts.append(partial(self._shared.end_fit, self.model, self._memory))
        each(say_error, *parts)

    def _end_run(self, status: str, error: BaseException | None, reason: str) -> None:
        if self._recorder is not None and self._ends_run and not self._recorder.is_closed:
            self._recorder.end(status, error, reason=reason)

    def _give_up(self, error: Exception) -> None:
        if self._given_up:
            return  # Said and done.
        self._given_up = True
        fit, self._fit = self._fit, None
        text = f"monitoring ended by an error of tuimon's own, training goes on as it is: {error!r}"
        parts: list[Callable[[], object]] = [partial(say_error, error), self._close_ends]
        parts += [partial(fit.end, keeps_mode=True), fit.close_inbox] if fit is not None else []
        parts += [partial(self._recorder.note, text)] if self._recorder is not None else []
        each(say_error, *parts)

    def _go_on_alone(self) -> None:
        # The mode stays in force, and batches that were read ahead reach training.
        if self._watched is not None and self._watched.train.is_needed:
            self._watched.train.install()
