"""The ``trainable`` flags of a step that Keras traced before tuimon came: its graph and the optimizer tell them.

Keras reads the flags while it traces a step and keeps that step until ``compile``. A flag that was set since has no
effect, so a step that tuimon traces must be traced with the old ones.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from tuimon.trainer.keras.internals import optimizers, running_fit
from tuimon.trainer.keras.internals import traces as keras_traces
from tuimon.trainer.keras.internals.layers import flatten_layers, own_weights, set_trainable
from tuimon.trainer.keras.internals.traces import takes
from tuimon.trainer.keras.internals.variables import on_replicas
from tuimon.trainer.keras.steps.graph_uses import UnreadableGraphError, uses_of


class UnknownFlagsError(Exception):
    """A step was traced before, and with which flags cannot be told."""


@dataclass(frozen=True)
class TracedFlags:
    """The flags of a step that was traced before."""

    layers: list[tuple[Any, bool]]
    """Each layer of the model with its ``trainable``."""
    variables: list[tuple[Any, bool]]
    """Each weight with its ``trainable``."""
    changed: list[Any]
    """Layers whose ``trainable`` was set since, without effect."""
    written: frozenset[int]
    """``id`` of each variable that the step writes."""

    @property
    def is_of_now(self) -> bool:
        """Whether a step that is traced now has the same flags."""
        return all(layer._trainable == flag for layer, flag in self.layers) and all(
            variable.trainable == flag for variable, flag in self.variables
        )

    @property
    def by_layer(self) -> dict[int, bool]:
        """The ``trainable`` of each layer, by ``id``; that of now where it was not changed."""
        changed = set(map(id, self.changed))
        return {id(layer): flag if id(layer) in changed else layer.trainable for layer, flag in self.layers}

    def put(self) -> Callable[[], object]:
        """Set the layers and weights to these flags; returns the way back."""
        return set_trainable(self.layers, self.variables)


def flags_of(model: Any) -> TracedFlags | None:
    """Return the flags of the trace that the ``fit`` under way would use; None where Keras would trace now.

    Raises:
        UnknownFlagsError: there is such a trace, and the flags differ from those of now or may do so.
    """
    traces = keras_traces.traces(model.train_function)
    if traces is None:
        _check_optimizers(model, "this model makes its train function in a way of its own")
        return None
    specs = running_fit.element_spec_of_fit(model)
    used = traces if specs is None else [trace for trace in traces if takes(trace, specs)]
    if not used:
        return None
    if any(map(_hides_its_flag, flatten_layers(model))):
        raise UnknownFlagsError("a layer without weights reads `trainable`")
    try:
        found = [flags_of_trace(model, trace) for trace in used]
    except Exception as error:  # noqa: BLE001 - whatever another TensorFlow has there, training goes on
        _check_optimizers(model, str(error))
        return None
    first = found[0]
    if any(other.written != first.written for other in found) or (specs is None and first.changed):
        raise UnknownFlagsError("it was traced more than once, each time with other flags")
    return first


def written_variables(model: Any, trace: Any) -> frozenset[int]:
    """Return ``id`` of each variable of the model that a traced step writes.

    Raises:
        UnreadableGraphError: the graph does not tell.
    """
    written = uses_of(trace).writes
    return frozenset(
        id(variable)
        for variable in model.variables
        if any(id(part.handle) in written for part in on_replicas(variable))
    )


def flags_of_trace(model: Any, trace: Any) -> TracedFlags:
    """Return the flags of a step that was traced.

    Raises:
        UnreadableGraphError: the graph does not tell.
    """
    written = written_variables(model, trace)
    layers = flatten_layers(model)
    known = _known_to_optimizers(model)
    changed = [layer for layer in layers if _was_changed(layer, model, written, known)]
    variables = [(variable, id(variable) in written) for layer in layers for variable in own_weights(layer)]
    return TracedFlags([(layer, _flag(layer, written)) for layer in layers], variables, changed, written)


def _flag(layer: Any, written: frozenset[int]) -> bool:
    told = [id(variable) in written for inner in flatten_layers(layer) for variable in _telling(inner)]
    return any(told) if told else layer._trainable


def _telling(layer: Any) -> list[Any]:
    """Return the variables that a step writes if the layer is trainable, as far as it has a gradient."""
    return [*own_weights(layer), *_moving_statistics(layer)]


def _moving_statistics(layer: Any) -> list[Any]:
    is_batch_norm = isinstance(layer, keras.layers.BatchNormalization) and layer.built
    return [layer.moving_mean, layer.moving_variance] if is_batch_norm else []


def _hides_its_flag(layer: Any) -> bool:
    """Whether a layer of the user's own computes by its ``trainable``, and has no weights that would tell it."""
    code = getattr(getattr(type(layer).call, "__func__", type(layer).call), "__code__", None)
    reads = code is not None and "trainable" in code.co_names
    return reads and not _telling(layer)


def _was_changed(layer: Any, model: Any, written: frozenset[int], known: set[int]) -> bool:
    statistics, weights = _moving_statistics(layer), own_weights(layer)
    were_trained = [id(variable) in written for variable in weights]
    are_trained = [bool(model.trainable and variable.trainable) for variable in weights]
    if statistics:
        moved = any(id(variable) in written for variable in statistics)
        # With `training=False` in the model's `call`, the moving statistics of a trainable layer are held.
        if moved != bool(layer.trainable) and (moved or not any(were_trained)):
            return True
    return any(
        # A weight without a gradient is not written; the optimizer knows it all the same.
        was != now and (was or id(variable) not in known)
        for variable, was, now in zip(weights, were_trained, are_trained, strict=True)
    )


def _known_to_optimizers(model: Any) -> set[int]:
    outer = optimizers.all_optimizers(model)
    every = [inner for optimizer in outer for inner in optimizers.optimizers(optimizer)]
    return {id(variable) for optimizer in every for variable in getattr(optimizer, "_trainable_variables", [])}


def _check_optimizers(model: Any, why: str) -> None:
    known = _known_to_optimizers(model)
    if known and known != {id(variable) for variable in model.trainable_variables}:
        raise UnknownFlagsError(why)


def writes_the_same(model: Any, flags: TracedFlags, trace: Any) -> bool:
    """Whether another trace of the step writes the same variables of the model."""
    try:
        return written_variables(model, trace) == flags.written
    except UnreadableGraphError:
        return False


def tests_the_same(model: Any, function: Any, trace: Any) -> bool:
    """Whether a trace of the test step counts the regularization of the same weights as those of a test function.

    The loss of a validation depends on ``trainable`` in nothing else. A weight that counts is read once more.
    """
    regularized = [weight for weight in model.weights if weight.regularizer is not None]
    handles = [id(part.handle) for weight in regularized for part in on_replicas(weight)]
    if not handles:
        return True
    try:
        others = [uses_of(each).reads for each in keras_traces.traces(function) or ()]
        mine = uses_of(trace).reads if others else Counter()
    except UnreadableGraphError:
        return False
    return all(mine[handle] == other[handle] for other in others for handle in handles)
