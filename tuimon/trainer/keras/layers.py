"""Finds and reads the layers of a Keras model, and tells how each computes under a mode."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray
from tuimon.trainer.batch_norm import LayerArrays
from tuimon.trainer.engine import Computes
from tuimon.trainer.keras.internals import layers as keras_layers
from tuimon.trainer.keras.internals.layers import depends_on_training, flatten_layers, layers_by_path, path_of
from tuimon.trainer.keras.internals.variables import array, bytes_of
from tuimon.trainer.keras.measuring.moving_statistics import BatchNormReader, put_statistics
from tuimon.trainer.keras.steps.step_flags import StepFlags
from tuimon.trainer.modes import Mode


class KerasLayers:
    """The layers of one model. Creating this object leaves the model unchanged.

    Args:
        model: The model.
        flags: The ``trainable`` flags of its training step.
    """

    def __init__(self, model: Any, flags: StepFlags) -> None:
        self.by_path: dict[str, Any] = {}
        """All layers by path, from input to output."""
        self.batch_norm: Mapping[str, events.BatchNormLayer] = {}
        """Descriptions of the built BatchNormalization layers for the log, by path."""
        self.others: list[str] = []
        """Paths of the other layers whose result depends on ``training``."""
        self.version = object()
        """A new object whenever `look` finds other BatchNormalization layers."""
        self._model = model
        self._flags = flags
        self._reader = BatchNormReader({})
        self._seen: list[tuple[Any, bool]] | None = None
        self._is_first_look = False
        self._listed: dict[str, Any] = {}

    @property
    def batch_norm_by_path(self) -> dict[str, Any]:
        """The BatchNormalization layers by path."""
        return self._reader.layers

    @property
    def weighted(self) -> list[str]:
        """Paths of all layers that have weights, themselves or in a layer within."""
        return [path for path, layer in self.by_path.items() if layer.variables]

    @property
    def are_complete(self) -> bool:
        """True if the model is built. One that is not may still create any layer."""
        return bool(self._model.built)

    def look(self) -> bool:
        """Find the layers; return True if they, or the flags that the user set on them, differ from the last time."""
        listed = layers_by_path(self._model)
        if listed != self._listed:
            # The order of hundreds of layers takes a millisecond, and this is called several times a second.
            self._listed, self.by_path = listed, _in_order(self._model, listed)
        found = find_batch_norm(self.by_path)
        seen = [(layer, bool(layer.trainable)) for layer in found.values()]
        if seen == self._seen:
            return False
        if list(found.values()) != list(self._reader.layers.values()):
            self.version = object()
        self._is_first_look, self._seen = self._seen is None, seen
        self._reader = BatchNormReader(found)
        self.batch_norm = {path: describe_batch_norm(path, layer) for path, layer in found.items()}
        return True

    def look_anew(self) -> None:
        """Make the next `look` return True, because another log begins."""
        self._seen = None

    def describe(self) -> events.ModelBuilt:
        """Return the description of the model for the log."""
        found = self._reader.layers
        self.others = [
            path_of(layer)
            for layer in _layers_within(self._model)
            if depends_on_training(layer) and layer not in found.values()
        ]
        return events.ModelBuilt(
            name=self._model.name,
            parameters=_size(self._model.weights),
            trainable_parameters=_size(self._model.trainable_weights),
            batch_norm_layers=[describe_batch_norm(path, layer) for path, layer in found.items()],
            other_layers=self.others,
        )

    @property
    def flags_without_effect(self) -> list[str]:
        """Paths of the layers with weights whose ``trainable`` flag changed after the step was traced."""
        return [
            path
            for path, layer in self.by_path.items()
            if (path in self._reader.layers or keras_layers.own_weights(layer)) and self._flags.was_changed(layer)
        ]

    def describe_as_traced(self) -> events.ModelBuilt | None:
        """Return `describe` with the flags of the trace, if the first `look` found that they differ; else None."""
        if not self._is_first_look or not self.flags_without_effect:
            return None
        undo = self._flags.put()
        try:
            return self.describe()
        finally:
            undo()

    def within(self, paths: Iterable[str]) -> frozenset[str]:
        """Return the paths of these layers and of every layer within them."""
        wanted = {id(inner) for path in paths for inner in flatten_layers(self.by_path[path])}
        return frozenset(path for path, layer in self.by_path.items() if id(layer) in wanted)

    def is_frozen_by_user(self, path: str) -> bool:
        """Return True if the user froze the layer's own weights, so that the step trains none of them."""
        return self._flags.has_frozen_weights(self.by_path[path])

    def flagged(self, path: str, mode: Mode) -> Computes:
        """Return how a BatchNormalization layer computes under ``mode`` by its present flags."""
        return _computes(path, mode, is_trainable=self._reader.layers[path].trainable)

    def computes(self, path: str, mode: Mode) -> Computes:
        """Return how it computes in a step under ``mode``, where a flag that was set after the trace has no effect."""
        layer = self._reader.layers[path]
        return _computes(path, mode, is_trainable=self._flags.is_trainable(layer))

    def frozen_in_step(self, mode: Mode) -> frozenset[str]:
        """Return the paths of the BatchNormalization layers that are frozen in a step under ``mode``."""
        return frozenset(path for path in self._reader.layers if self.computes(path, mode) == "frozen")

    def leaves_weights_to_train(self, mode: Mode) -> bool:
        """Return True if a step under ``mode`` still trains any weight."""
        frozen = {
            id(variable)
            for path in mode.frozen
            if path in self.by_path
            for variable in keras_layers.own_weights(self.by_path[path])
        }
        return any(id(variable) not in frozen for variable in self._flags.trained())

    def read(self) -> dict[str, LayerArrays]:
        """Return the arrays of every BatchNormalization layer by path."""
        return self._reader.read()

    def put_statistics(self, statistics: Mapping[str, tuple[FloatArray, FloatArray]]) -> Callable[[], None]:
        """Set moving means and variances, ``(channels,)``, by path; return a function that undoes it bit for bit."""
        return put_statistics(self._reader.layers, statistics)

    def own_weights(self, paths: Iterable[str]) -> list[Any]:
        """Return the weights of these layers, without those of the layers within."""
        wanted = set(paths)
        layers = [layer for path, layer in self.by_path.items() if path in wanted]
        return [weight for layer in layers for weight in keras_layers.own_weights(layer)]

    def trained(self, mode: Mode) -> dict[str, list[Any]]:
        """Return the weights that a step under ``mode`` trains, by the path of their layer."""
        trained = {id(variable) for variable in self._flags.trained()}
        return {
            path: [weight for weight in keras_layers.own_weights(layer) if id(weight) in trained]
            for path, layer in self.by_path.items()
            if path not in mode.frozen
        }

    def weight_bytes(self, path: str) -> int:
        """Return the bytes of a layer's own weights; 0 if it has none."""
        return sum(bytes_of(variable) for variable in keras_layers.own_weights(self.by_path[path]))

    def read_weights(self, path: str) -> list[Any]:
        """Return copies of a layer's own weights."""
        return [array(variable) for variable in keras_layers.own_weights(self.by_path[path])]


def _in_order(model: Any, layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layers by path as `_layers_within` has them."""
    places = {id(layer): place for place, layer in enumerate(_layers_within(model))}
    return dict(sorted(layers.items(), key=lambda named: places[id(named[1])]))


def _layers_within(model: Any) -> list[Any]:
    """Return every layer in a model, from input to output, each once; those of a nested model come right after it.

    A model lists its own layers in the order of computation, a subclassed one in that of its attributes. Keras'
    recursive list has the layers within any of them in reverse.
    """
    found: dict[int, Any] = {}

    def visit(layer: Any) -> None:
        # The first one that is new is a layer of this one itself, since those of its own come behind it.
        for inner in flatten_layers(layer)[1:]:
            if id(inner) not in found:
                found[id(inner)] = inner
                visit(inner)

    visit(model)
    return list(found.values())


def find_batch_norm(layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the built BatchNormalization layers among ``layers``, by path."""
    return {path: layer for path, layer in layers.items() if keras_layers.is_built_batch_norm(layer)}


def describe_batch_norm(path: str, layer: Any) -> events.BatchNormLayer:
    """Return the description of a layer for the log."""
    return events.BatchNormLayer(
        path=path,
        channels=int(layer.moving_mean.shape[0]),
        momentum=float(layer.momentum),
        epsilon=float(layer.epsilon),
        trainable=bool(layer.trainable),
        synchronized=bool(layer.synchronized),
    )


def _computes(path: str, mode: Mode, *, is_trainable: bool) -> Computes:
    if path in mode.frozen or not is_trainable:
        return "frozen"
    return "inference" if mode.phase == "inference" or path in mode.statistics else "training"


def _size(variables: list[Any]) -> int:
    return sum(int(variable.value.shape.num_elements()) for variable in variables)
