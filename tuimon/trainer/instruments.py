"""What tuimon keeps of one model, from one ``fit`` to the next: its functions by mode, its layers."""

from collections.abc import Callable
from typing import Any, Protocol

from tuimon import events
from tuimon.trainer import batch_norm, keras_internals
from tuimon.trainer.batch_values import BatchValues
from tuimon.trainer.modes import AUTO, LearningPhase, Mode, ModeScope
from tuimon.trainer.probe import Probes
from tuimon.trainer.step_functions import Listeners, StepFunctions
from tuimon.wire import FloatArray


class StepValues(Protocol):
    """Reads each step's own values."""

    steps: int
    """Steps completed, as of the last ``read``."""

    def read(self) -> dict[str, FloatArray]:
        """Return the values of the steps since the last ``read``, per name of shape ``(steps,)``."""


class Instruments:
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
        self.train = StepFunctions(model, "train", self.train_scope, values, listeners, traced=self._note_trace)
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
        self._traced_as: dict[int, bool] = {}
        self._put_trainable: Callable[[], Callable[[], object]] = lambda: lambda: None
        self._seen: list[tuple[Any, bool]] | None = None

    @classmethod
    def of(cls, model: Any, *, batch_loss: bool, listeners: Listeners) -> "Instruments":
        """Return those that another Monitor has made for this model, so that nothing is traced twice, or new ones.

        They hang on the model's own train function: who compiles the model anew, or lets it go, lets them go, too.
        """
        kept = keras_internals.kept_with_train_function(model)
        if isinstance(kept, Instruments) and not kept.in_use and (kept.model, kept._batch_loss) == (model, batch_loss):
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
        return _word(path, mode, is_trainable=self._traced_as.get(id(layer), layer.trainable))

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
        return ModeScope(mode, self.model, self.layers, keeps_state=True, trainable=self._as_traced)

    def train_scope(self, mode: Mode) -> ModeScope:
        """What a train step is to run in."""
        rate = self.own_learning_rate if mode.own_learning_rate else None
        return ModeScope(mode, self.model, self.layers, learning_rate=rate, trainable=self._as_traced)

    def _frozen_in_step(self, mode: Mode) -> frozenset[str]:
        return frozenset(path for path in self.reader.layers if self.traced_mode(path, mode) == "frozen")

    def _as_traced(self) -> Callable[[], object]:
        return self._put_trainable()

    def _note_trace(self) -> None:
        layers = keras_internals.flatten_layers(self.model)
        self._put_trainable = keras_internals.keep_trainable(layers)
        self._traced_as = {id(layer): bool(layer.trainable) for layer in layers}

    def _begin_anew(self, listeners: Listeners) -> None:
        vars(self.listeners).update(vars(listeners))
        self.train.begin_anew()
        self._seen = None
        for values in (self.values, self.test_values):
            if values is not None:
                values.read()

    def _test_scope(self, mode: Mode) -> ModeScope:
        # Validation with batch statistics and dropout must not move what training uses.
        return ModeScope(mode, self.model, self.layers, keeps_state=mode.phase == "train", trainable=self._as_traced)


def _word(path: str, mode: Mode, *, is_trainable: bool) -> str:
    if path in mode.frozen or not is_trainable:
        return "frozen"
    return "inference" if mode.phase == "inference" or path in mode.statistics else "training"


def _size(variables: list[Any]) -> int:
    return sum(int(variable.value.shape.num_elements()) for variable in variables)
