"""Finds the ``trainable`` flags of a step that Keras traced before tuimon came, from its graph and the optimizer.

Keras reads the flags while it traces a step, and keeps that step until ``compile``. Flags that were set after the trace
have no effect, so tuimon must trace its step with the old ones.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tuimon.trainer.keras.internals import optimizers, running_fit
from tuimon.trainer.keras.internals import traces as keras_traces
from tuimon.trainer.keras.internals.layers import flatten_layers, is_built_batch_norm, own_weights, set_trainable
from tuimon.trainer.keras.internals.traces import takes
from tuimon.trainer.keras.internals.variables import on_replicas
from tuimon.trainer.keras.steps.graph_uses import UnreadableGraphError, uses_of


class UnknownFlagsError(Exception):
    """A step was traced before, with flags that cannot be found."""


class TracedFlags(Struct, frozen=True):
    """The flags of a step that was traced before."""

    layers: list[tuple[Any, bool]]
    """Each layer of the model with its ``trainable``."""
    variables: list[tuple[Any, bool]]
    """Each weight with its ``trainable``."""
    changed: list[Any]
    """Layers whose ``trainable`` changed after the trace, without effect."""
    written: frozenset[int]
    """``id`` of each variable that the step writes."""

    @property
    def is_of_now(self) -> bool:
        """True if a step that is traced now has the same flags."""
        return all(layer._trainable == flag for layer, flag in self.layers) and all(
            variable.trainable == flag for variable, flag in self.variables
        )

    @property
    def by_layer(self) -> dict[int, bool]:
        """The ``trainable`` of each layer in the trace, by ``id`` of the layer."""
        changed = set(map(id, self.changed))
        return {id(layer): flag if id(layer) in changed else layer.trainable for layer, flag in self.layers}

    def put(self) -> Callable[[], object]:
        """Set the layers and weights to these flags; return a function that undoes it."""
        return set_trainable(self.layers, self.variables)


def flags_of(model: Any) -> TracedFlags | None:
    """Return the flags of the trace that the running ``fit`` uses; None if Keras will trace anew.

    Raises:
        UnknownFlagsError: There is such a trace, and its flags may differ from the present ones.
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
    except Exception as error:  # noqa: BLE001 - another TensorFlow may raise anything here, and training goes on
        _check_optimizers(model, str(error))
        return None
    first = found[0]
    if any(other.written != first.written for other in found) or (specs is None and first.changed):
        raise UnknownFlagsError("it was traced more than once, each time with other flags")
    return first


def written_variables(model: Any, trace: Any) -> frozenset[int]:
    """Return ``id`` of each variable of the model that a traced step writes.

    Raises:
        UnreadableGraphError: The graph does not tell.
    """
    written = uses_of(trace).writes
    return frozenset(
        id(variable)
        for variable in model.variables
        if any(id(part.handle) in written for part in on_replicas(variable))
    )


def flags_of_trace(model: Any, trace: Any) -> TracedFlags:
    """Return the flags of a traced step.

    Raises:
        UnreadableGraphError: The graph does not tell.
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
    """Return the variables that a step writes if the layer is trainable, unless they have no gradient."""
    return [*own_weights(layer), *_moving_statistics(layer)]


def _moving_statistics(layer: Any) -> list[Any]:
    return [layer.moving_mean, layer.moving_variance] if is_built_batch_norm(layer) else []


def _hides_its_flag(layer: Any) -> bool:
    """Return True if a user's layer reads its ``trainable`` in ``call``, and has no weights that tell the flag."""
    code = getattr(getattr(type(layer).call, "__func__", type(layer).call), "__code__", None)
    reads = code is not None and "trainable" in code.co_names
    return reads and not _telling(layer)


def _was_changed(layer: Any, model: Any, written: frozenset[int], known: set[int]) -> bool:
    statistics, weights = _moving_statistics(layer), own_weights(layer)
    were_trained = [id(variable) in written for variable in weights]
    are_trained = [bool(model.trainable and variable.trainable) for variable in weights]
    if statistics:
        moved = any(id(variable) in written for variable in statistics)
        # A trainable layer that is called with `training=False` holds its moving statistics.
        if moved != bool(layer.trainable) and (moved or not any(were_trained)):
            return True
    return any(
        # A step does not write a weight without a gradient, but the optimizer knows it.
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
    """Return True if another trace of the step writes the same variables of the model."""
    try:
        return written_variables(model, trace) == flags.written
    except UnreadableGraphError:
        return False


def tests_the_same(model: Any, function: Any, trace: Any) -> bool:
    """Return True if a trace of the test step counts the regularization of the same weights as a test function.

    In nothing else does the loss of a validation depend on ``trainable``. A counted weight is read once more.
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
