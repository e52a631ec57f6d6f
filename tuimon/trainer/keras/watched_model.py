"""The Keras engine: one model, and everything that tuimon keeps about it from one ``fit`` to the next."""

from collections.abc import Mapping
from typing import Any, Protocol

from tuimon.trainer.engine import Column, FitFacts
from tuimon.trainer.keras.epoch_count import EpochCount
from tuimon.trainer.keras.full_state import KerasState
from tuimon.trainer.keras.internals import optimizers, running_fit, traces, variables
from tuimon.trainer.keras.internals.layers import why_not_steerable
from tuimon.trainer.keras.layers import KerasLayers
from tuimon.trainer.keras.learning_rate import KerasLearningRate
from tuimon.trainer.keras.probes.passes import KerasPasses
from tuimon.trainer.keras.scopes import Scopes
from tuimon.trainer.keras.steps import traced_before
from tuimon.trainer.keras.steps.batch_values import BatchValues
from tuimon.trainer.keras.steps.listeners import Hooks, Listeners
from tuimon.trainer.keras.steps.mode_runner import WrongTraceError
from tuimon.trainer.keras.steps.step_flags import OTHER_FLAGS, StepFlags
from tuimon.trainer.keras.steps.step_functions import StepFunctions
from tuimon.trainer.keras.steps.users_step import KerasStep, ReplacedError, UsersStep
from tuimon.trainer.keras.validation import KerasValidation
from tuimon.trainer.modes import Mode

UNKNOWN_FLAGS = (
    "Keras traced the step before tuimon came, with `trainable` flags that are not known here: "
    "compile the model anew to steer it and to see each batch's loss"
)
_NEED_STEERING = frozenset(("freeze", "unfreeze", "momentum", "recalibrate", "phase"))
_NEED_DATA = frozenset(("recalibrate", "evaluate", "probe"))


class StepValues(Protocol):
    """Reads each step's own values."""

    steps: int
    """Steps completed as of the last ``read``."""

    def read(self) -> Mapping[str, Column]:
        """Return the values of the steps since the last ``read``, by name: one a step, None where it is missing."""


class WatchedModel:
    """One Keras model behind `tuimon.trainer.engine.Engine`. Creating this object leaves the model unchanged.

    Args:
        model: The model.
        batch_loss: Whether to read each batch's own values inside the step.
        listeners: Called when a step or a mode fails.
    """

    def __init__(self, model: Any, *, batch_loss: bool, listeners: Listeners) -> None:
        self.model = model
        self.why_not_steerable = why_not_steerable(model)
        """The reason why the steps of this model cannot be changed; empty if they can."""
        self.why_no_data = ""
        """The reason why the training data are out of reach; empty if they are not."""
        self.listeners = listeners
        """Called when a step or a mode fails."""
        self.reads_ahead_freely = not running_fit.distributes_data(model)
        """False if Keras distributes the data: a step on distributed batches that were read ahead is traced anew."""
        self.compile_seconds = 0.0
        """Seconds of the longest first step of a ``fit``: the one that was traced."""
        self.in_use = False
        """True while a ``fit`` uses this object."""
        self.epochs = EpochCount(model)
        """How many epochs a ``fit`` has."""
        self._flags = StepFlags(model)
        self.layers = KerasLayers(model, self._flags)
        """The layers."""
        self.learning_rate = KerasLearningRate(model)
        """The optimizer's learning rate."""
        self.state = KerasState(model)
        """Weights, optimizer and random seeds."""
        self.scopes = Scopes(model, self.layers, self._flags, self.learning_rate)
        """Makes the scopes that put modes in force."""
        self._batch_loss = batch_loss
        self._train_function: Any = None
        self._set_aside: tuple[StepValues | None, BatchValues | None] | None = None
        self._counted_before = self._iterations_before = 0
        reads = batch_loss and not self.why_not_steerable
        values, test_values = (BatchValues(model), BatchValues(model)) if reads else (None, None)
        self.values: StepValues | None = values
        """Reads the training step's own values; None: they are not read."""
        hooks = Hooks(self._flags.note_trace, self._build_optimizer, self._settle_averages)
        train_step, test_step = KerasStep(model, "train"), KerasStep(model, "test")
        self.train = StepFunctions(train_step, "train", self.scopes.of_training, values, listeners, hooks)
        """The train function, by mode."""
        self.test = StepFunctions(test_step, "test", self.scopes.of_validation, test_values, listeners)
        """The test function, by mode."""
        self.validation = KerasValidation(
            model,
            self.test,
            test_values,
            self.scopes,
            is_steerable=not self.why_not_steerable,
            on_replaced=lambda error: self.listeners.left("test", error),
        )
        """The validations."""
        self.passes = KerasPasses(self)
        """The forward passes of probes."""

    @classmethod
    def of(cls, model: Any, *, batch_loss: bool, listeners: Listeners) -> "WatchedModel":
        """Return the object that another Monitor made for this model, so that nothing is traced twice, or a new one.

        It is kept with the model's own train function. Compiling the model anew, or deleting it, deletes this object.
        """
        kept = traces.kept_with_train_function(model)
        if isinstance(kept, WatchedModel) and not kept.in_use and (kept.model, kept._batch_loss) == (model, batch_loss):
            kept._begin_anew(listeners)
            return kept
        new = cls(model, batch_loss=batch_loss, listeners=listeners)
        traces.keep_with_train_function(model, new)
        return new

    @property
    def steps(self) -> StepFunctions:
        """The train function, by mode."""
        return self.train

    @property
    def waits_in_step(self) -> bool:
        """True if a pause waits within the call of a step, where the data are at hand."""
        return not self.why_not_steerable and not self.why_no_data

    def why_not(self, request: str) -> str:
        """Return why a request cannot be carried out; empty if it can."""
        if request in _NEED_STEERING and self.why_not_steerable:
            return self.why_not_steerable
        if request in _NEED_DATA and self.why_no_data:
            return self.why_no_data
        if request == "epochs":
            return self.epochs.why_not
        return "this model has no optimizer" if request == "lr" and self.model.optimizer is None else ""

    def facts(self) -> FitFacts:
        """Return the facts of this ``fit`` that the log needs."""
        optimizer, sizes = self.model.optimizer, running_fit.batch_sizes(self.model)
        name = type(optimizer).__name__ if optimizer is not None else ""
        data, returns_early = running_fit.kind_of_data(self.model), variables.returns_early()
        averages = optimizer is not None and optimizers.averaging_optimizer(optimizer) is not None
        callbacks = running_fit.callbacks_of_fit(self.model)
        accumulates = any(each.gradient_accumulation_steps for each in optimizers.optimizers(optimizer))
        return FitFacts(
            name,
            bool(self.model.jit_compile),
            sizes.usual,
            sizes.last,
            data,
            returns_early,
            not accumulates,
            averages,
            any(getattr(callback, "restore_best_weights", False) for callback in callbacks),
        )

    def steps_made(self) -> int:
        """Return the count of training steps, as of the last `read_values`."""
        if self.values is not None:
            return self.values.steps
        return self._counted_before + self._iterations() - self._iterations_before

    def read_values(self) -> Mapping[str, Column]:
        """Return each step's own values since the last call."""
        return self.values.read() if self.values else {}

    def running_values(self) -> Mapping[str, Any]:
        """Return Keras' running means as of the last step."""
        return self.train.last_logs

    def before_step(self) -> None:
        """Replace the user's train function for one call."""
        if not self.why_not_steerable and self.train.is_replaced():
            self.listeners.left("train", ReplacedError("train"))
        if self.model.train_function is None and self.train.frame_of_fit is not None:
            return  # A callback compiled the model anew, and Keras ends the `fit` by an exception.
        # Batches that were read ahead reach training only through it, even if nothing else may change.
        if not self.why_not_steerable or self.train.is_needed:
            self.train.install()

    def stop(self) -> None:
        """End the training after this step."""
        self.model.stop_training = True

    @property
    def is_stopping(self) -> bool:
        """True if training ends after this step."""
        return bool(self.model.stop_training)

    def begin(self) -> list[str]:
        """Begin a ``fit``; return notes for its log.

        If Keras traced the step earlier, find the flags of that trace. If they are unknown, leave Keras' function
        untouched.
        """
        self.in_use = True
        self._take_up_values()
        if self.model.train_function is not self._train_function:
            self._train_function = self.model.train_function
            self._flags.forget()
        self._flags.before = None
        self.train.check_first_trace(None)
        tests = self.model.test_function
        self.test.check_first_trace(self._check_test_step if tests is not None and traces.traces(tests) else None)
        # In a user's loop, only the step itself shows its data.
        in_fit = running_fit.frame_of_fit(self.model) is not None
        if in_fit:
            self.epochs.begin()
        reason = self._why_left_alone() if in_fit and not self.why_not_steerable else ""
        if reason:
            self.train.begin_anew()
            self.leave_steps(reason)
        self._iterations_before = self._iterations()
        self._counted_before = self.values.steps if self.values is not None else self._iterations_before
        return [reason] if reason else []

    def _why_left_alone(self) -> str:
        """Return why Keras' function stays untouched in this ``fit``; empty if nothing is in the way."""
        if self.train.is_replaced():
            return str(ReplacedError("train"))
        return "" if self._flags.find(self.train) else UNKNOWN_FLAGS

    def leave_steps(self, reason: str) -> None:
        """Leave Keras' own functions untouched, and read no values in them, until the next ``fit``."""
        self._set_aside = self._set_aside or (self.values, self.validation.values)
        self.why_not_steerable, self.validation.is_steerable = reason, False
        self.values = None
        self.leave_test_values()

    def leave_test_values(self) -> None:
        """Read no values in the test step until the next ``fit``, so that it is Keras' own."""
        self._set_aside = self._set_aside or (self.values, self.validation.values)
        self.validation.values = None
        self.test.read_values(None)

    def end(self, *, keeps_mode: bool) -> None:
        """Give the user's functions back."""
        self.in_use = False
        self.epochs.end()
        for functions in (self.train, self.test):
            functions.restore()
            if keeps_mode:
                functions.drop_waiting()  # This may be in the middle of a call, which has batches still to take.
            else:
                functions.leave_fit()

    def fit_is_over(self) -> None:
        """Pass all calls of tuimon's functions to the user's from now on. Any thread may call this."""
        self.train.fit_is_over()
        self.test.fit_is_over()
        self.epochs.end()

    def train_by(self, step: UsersStep) -> StepFunctions:
        """Use the step of a loop to train the model; return its functions, by mode."""
        hooks = Hooks(before_switch=self._build_optimizer, entered=self._settle_averages)
        self.train = StepFunctions(step, "train", self.scopes.of_training, None, self.listeners, hooks)
        self.why_not_steerable = ""
        return self.train

    def _take_up_values(self) -> None:
        if self._set_aside is None:
            return
        (self.values, self.validation.values), self._set_aside = self._set_aside, None
        self.why_not_steerable = why_not_steerable(self.model)
        self.validation.is_steerable = not self.why_not_steerable
        self.train.read_values(self.values if isinstance(self.values, BatchValues) else None)
        self.test.read_values(self.validation.values)

    def _check_test_step(self, trace: Any) -> None:
        users = self.test.users_function
        if trace is not None and users is not None and not traced_before.tests_the_same(self.model, users, trace):
            raise WrongTraceError(OTHER_FLAGS)

    def _iterations(self) -> int:
        optimizer = self.model.optimizer
        return int(variables.number(optimizer.iterations)) if optimizer is not None else 0

    def _build_optimizer(self) -> None:
        optimizer = self.model.optimizer
        if optimizer is not None and not optimizer.built:
            # Otherwise it would be built for the weights that this mode trains, and unfreezing would end the run.
            optimizer.build(self.model.trainable_variables)

    def _settle_averages(self, mode: Mode) -> None:
        """Keep frozen weights as they are when ``fit`` replaces the weights by their moving averages."""
        optimizer = self.model.optimizer
        averaging = optimizers.averaging_optimizer(optimizer) if optimizer is not None else None
        if averaging is not None and averaging.built:
            optimizers.settle_averages(averaging, self.layers.own_weights(mode.frozen))

    def _begin_anew(self, listeners: Listeners) -> None:
        self.listeners.become(listeners)
        self.train.begin_anew()
        self.layers.look_anew()
        self.read_values()
        self.validation.read_values()
