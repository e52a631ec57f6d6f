"""What tuimon keeps of one model, from one ``fit`` to the next: its functions by mode, its layers."""

from typing import Any, Protocol

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray
from tuimon.trainer.keras import keras_internals
from tuimon.trainer.keras.measuring import batch_norm
from tuimon.trainer.keras.probes.measure import Probes
from tuimon.trainer.keras.steps import traced_before
from tuimon.trainer.keras.steps.batch_values import BatchValues
from tuimon.trainer.keras.steps.modes import AUTO, LearningPhase, Mode, ModeScope
from tuimon.trainer.keras.steps.step_flags import StepFlags, as_they_are
from tuimon.trainer.keras.steps.step_functions import Listeners, StepFunctions, WrongTraceError
from tuimon.trainer.keras.steps.traced_before import TracedFlags, UnknownFlagsError

UNKNOWN_FLAGS = (
    "Keras traced the step before tuimon came, with `trainable` flags that are not known here: "
    "compile the model anew to have it steered and each batch's loss shown"
)
OTHER_FLAGS = "it was traced before tuimon came, with other `trainable` flags"


class StepValues(Protocol):
    """Reads each step's own values."""

    steps: int
    """Steps completed, as of the last ``read``."""

    def read(self) -> dict[str, FloatArray]:
        """Return the values of the steps since the last ``read``, per name of shape ``(steps,)``."""


class WatchedModel:
    """Nothing of the model is changed by making them.

    Args:
        model: The model.
        batch_loss: Whether each batch's own values are read inside the step.
        listeners: Are told what the steps come to.
    """

    def __init__(self, model: Any, *, batch_loss: bool, listeners: Listeners) -> None:
        self.model = model
        self.why_not_steerable = keras_internals.why_not_steerable(model)
        """Why the steps of this model cannot be changed; empty where they can."""
        self.why_no_data = ""
        """Why what needs the data of ``fit`` cannot be; empty where it can."""
        reads = batch_loss and not self.why_not_steerable
        values = BatchValues(model) if reads else None
        self.values: StepValues | None = values
        """The train step's own values; None: not read."""
        self.test_values = BatchValues(model) if reads else None
        """The test step's own values; None: not read."""
        self.listeners = listeners
        """Are told what the steps come to."""
        self.compile_seconds = 0.0
        """What the longest first step of a ``fit`` took: the one that was traced."""
        self.in_use = False
        """Whether a ``fit`` has them."""
        self._batch_loss = batch_loss
        self.flags = StepFlags(model)
        """The ``trainable`` flags of the train step in use."""
        self.train = StepFunctions(model, "train", self.train_scope, values, listeners, traced=self.flags.note_trace)
        """The train function, by mode."""
        self.test = StepFunctions(model, "test", self._test_scope, self.test_values, listeners)
        """The test function, by mode."""
        self.layers: dict[str, Any] = {}
        """All layers by path."""
        self.reader = batch_norm.BatchNormReader({})
        """Its BatchNormalization layers."""
        self.other_layers: list[str] = []
        """Paths of the other layers whose result depends on ``training``."""
        self.probes = Probes(self)
        """What measures the gap between training mode and inference mode."""
        self._own_learning_rate: Any = None
        self._train_function: Any = None
        self._set_aside: tuple[StepValues | None, BatchValues | None] | None = None
        self._seen: list[tuple[Any, bool]] | None = None

    @classmethod
    def of(cls, model: Any, *, batch_loss: bool, listeners: Listeners) -> "WatchedModel":
        """Return those that another Monitor has made for this model, so that nothing is traced twice, or new ones.

        They hang on the model's own train function: who compiles the model anew, or lets it go, lets them go, too.
        """
        kept = keras_internals.kept_with_train_function(model)
        if isinstance(kept, WatchedModel) and not kept.in_use and (kept.model, kept._batch_loss) == (model, batch_loss):
            kept._begin_anew(listeners)
            return kept
        new = cls(model, batch_loss=batch_loss, listeners=listeners)
        keras_internals.keep_with_train_function(model, new)
        return new

    @property
    def own_learning_rate(self) -> Any:
        """The variable that stands for the optimizer's schedule once somebody has asked for a learning rate."""
        if self._own_learning_rate is None:
            self._own_learning_rate = keras_internals.learning_rate_variable(self.model.distribute_strategy)
        return self._own_learning_rate

    def learning_rate(self, mode: Mode) -> float | None:
        """Return the learning rate of the next step; None where it is not known."""
        if mode.own_learning_rate:
            return keras_internals.number(self.own_learning_rate)
        rate = getattr(self.model.optimizer, "learning_rate", None)
        return None if rate is None else keras_internals.number(rate)

    def look_for_layers(self) -> bool:
        """Find the layers anew; returns whether there are others than before, or others frozen by the user."""
        self.layers = keras_internals.layers_by_path(self.model)
        layers = batch_norm.find_layers(self.layers)
        seen = [(layer, bool(layer.trainable)) for layer in layers.values()]
        if seen == self._seen:
            return False
        if list(layers.values()) != list(self.reader.layers.values()):
            self.probes = Probes(self)
        self._seen = seen
        self.reader = batch_norm.BatchNormReader(layers)
        return True

    def begin_fit(self) -> None:
        """Find the flags of a step that Keras traced before; where they are not known, its function stays untouched."""
        self._take_up_values()
        if self.model.train_function is not self._train_function:
            self._train_function = self.model.train_function
            self.flags.forget()
        self.flags.before = self.train.check = None
        tests = self.model.test_function
        self.test.check = self._check_test_step if tests is not None and keras_internals.traces(tests) else None
        # In a loop of the user's own, only a step tells what it trains on.
        if self.why_not_steerable or keras_internals.frame_of_fit(self.model) is None:
            return
        try:
            flags = traced_before.flags_of(self.model)
        except UnknownFlagsError:
            self.train.begin_anew()
            self.leave_steps(UNKNOWN_FLAGS)
            return
        if flags is not None:
            self._take_flags(flags)

    def leave_steps(self, reason: str) -> None:
        """Leave Keras' own functions as they are, and read no values in them, until the next ``fit``."""
        self._set_aside = self._set_aside or (self.values, self.test_values)
        self.why_not_steerable = reason
        self.values = None
        self.leave_test_values()

    def leave_test_values(self) -> None:
        """Read no values in the test step, so that it is Keras' own until the next ``fit``."""
        self._set_aside = self._set_aside or (self.values, self.test_values)
        self.test_values = None
        self.test.read_values(None)

    def _take_up_values(self) -> None:
        if self._set_aside is None:
            return
        (self.values, self.test_values), self._set_aside = self._set_aside, None
        self.why_not_steerable = keras_internals.why_not_steerable(self.model)
        self.train.read_values(self.values if isinstance(self.values, BatchValues) else None)
        self.test.read_values(self.test_values)

    def _check_test_step(self, trace: Any) -> None:
        users = self.test.users_function
        if trace is not None and users is not None and not traced_before.tests_the_same(self.model, users, trace):
            raise WrongTraceError(OTHER_FLAGS)

    def _take_flags(self, flags: TracedFlags) -> None:
        if self.flags.take(flags):
            self.train.forget_traces()  # Keras' own step was traced since, in a `fit` without a Monitor.
        if flags.is_of_now:
            return

        def check(trace: Any) -> None:
            if trace is not None and not traced_before.writes_the_same(self.model, flags, trace):
                raise WrongTraceError(OTHER_FLAGS)

        self.train.check = check

    @property
    def is_described(self) -> bool:
        """Whether the layers were looked for in this run."""
        return self._seen is not None

    @property
    def changed_since_trace(self) -> list[str]:
        """Paths of the layers with weights whose ``trainable`` was set after the trace of the step, without effect."""
        return [
            path
            for path, layer in self.layers.items()
            if (path in self.reader.layers or keras_internals.own_weights(layer)) and self.flags.was_changed(layer)
        ]

    def describe_as_traced(self) -> events.ModelBuilt:
        """Return what the log says of the model, with the flags that the step was traced with."""
        undo = self.flags.put()
        try:
            return self.describe()
        finally:
            undo()

    def describe(self) -> events.ModelBuilt:
        """Return what the log says of the model."""
        self.other_layers = [
            keras_internals.path_of(layer)
            for layer in keras_internals.flatten_layers(self.model)
            if keras_internals.depends_on_training(layer) and layer not in self.reader.layers.values()
        ]
        return events.ModelBuilt(
            name=self.model.name,
            parameters=_size(self.model.weights),
            trainable_parameters=_size(self.model.trainable_weights),
            batch_norm_layers=[batch_norm.describe(path, layer) for path, layer in self.reader.layers.items()],
            other_layers=self.other_layers,
        )

    @property
    def users_frozen(self) -> list[str]:
        """Paths of the BatchNormalization layers that the user froze before training: Keras' own step holds them."""
        return [path for path in self.reader.layers if self.traced_mode(path, AUTO) == "frozen"]

    def frozen(self, mode: Mode) -> list[str]:
        """Paths of all frozen BatchNormalization layers under ``mode``, in the order of the model."""
        return [path for path in self.reader.layers if self.layer_mode(path, mode) == "frozen"]

    def frozen_weights(self, mode: Mode) -> list[str]:
        """Paths of the other layers with weights of their own that ``mode`` freezes, in the order of the model."""
        return [
            path
            for path, layer in self.layers.items()
            if path in mode.frozen and path not in self.reader.layers and keras_internals.own_weights(layer)
        ]

    def layer_mode(self, path: str, mode: Mode) -> str:
        """How a layer is said to compute under ``mode``: the word of ``BatchNormStatistics.mode``."""
        return _word(path, mode, is_trainable=self.reader.layers[path].trainable)

    def traced_mode(self, path: str, mode: Mode) -> str:
        """How a layer computes under ``mode``, in the same words: a flag that was set since the trace does nothing."""
        layer = self.reader.layers[path]
        return _word(path, mode, is_trainable=self.flags.is_trainable(layer))

    def validation_mode(self, mode: Mode) -> Mode:
        """The mode of the validation beside training's: one that needs no trace where Keras' own does the same."""
        if mode.phase == "train":
            # A frozen layer is in inference mode there, too.
            return Mode(frozen=self._frozen_in_step(mode), statistics=mode.statistics, phase="train")
        return Mode(phase=mode.phase)

    def forward_scope(self, mode: Mode) -> ModeScope:
        """What a call of the model in training mode, outside of a step, is to be made in: it moves no state."""
        phase: LearningPhase = "auto" if mode.phase == "auto" else "train"
        mode = Mode(frozen=self._frozen_in_step(mode), statistics=mode.statistics, phase=phase)
        return ModeScope(mode, self.model, self.layers, keeps_state=True, trainable=self.flags.put)

    def train_scope(self, mode: Mode) -> ModeScope:
        """What a train step is to run in."""
        rate = self.own_learning_rate if mode.own_learning_rate else None
        trainable = self.flags.put if mode != AUTO else self.flags.put_before
        return ModeScope(mode, self.model, self.layers, learning_rate=rate, trainable=trainable)

    def _frozen_in_step(self, mode: Mode) -> frozenset[str]:
        return frozenset(path for path in self.reader.layers if self.traced_mode(path, mode) == "frozen")

    def _begin_anew(self, listeners: Listeners) -> None:
        vars(self.listeners).update(vars(listeners))
        self.train.begin_anew()
        self._seen = None
        for values in (self.values, self.test_values):
            if values is not None:
                values.read()

    def _test_scope(self, mode: Mode) -> ModeScope:
        # Validation with batch statistics and dropout must not move what training uses.
        trainable = self.flags.put if mode != AUTO else as_they_are
        return ModeScope(mode, self.model, self.layers, keeps_state=mode.phase == "train", trainable=trainable)


def _word(path: str, mode: Mode, *, is_trainable: bool) -> str:
    if path in mode.frozen or not is_trainable:
        return "frozen"
    return "inference" if mode.phase == "inference" or path in mode.statistics else "training"


def _size(variables: list[Any]) -> int:
    return sum(int(variable.value.shape.num_elements()) for variable in variables)
