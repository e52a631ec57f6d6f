"""Finds layers, their flags, weights and seeds, and whether they depend on ``training``."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import keras
from keras.src.backend.common import global_state
from keras.src.models.functional import Functional
from keras.src.random import seed_generator


def why_not_steerable(model: Any) -> str:
    """Return why this model's steps cannot be changed while it trains; empty if they can."""
    if not callable(getattr(model, "make_train_function", None)) or not hasattr(model, "train_function"):
        return "this Keras makes its train function in a way that is not known here"
    layers = flatten_layers(model)
    if not all(hasattr(layer, "_trainable") and hasattr(layer, "_layers") for layer in layers):
        return "this Keras keeps `trainable` in a way that is not known here"
    return ""


def flatten_layers(model: Any) -> list[Any]:
    """Return the model and every layer in it, at any depth, each once, in the order of the model."""
    # By identity: a user's layers may be equal.
    return list({id(layer): layer for layer in model._flatten_layers(include_self=True, recursive=True)}.values())


def layers_by_path(model: Any) -> dict[str, Any]:
    """Return every layer in the model, at any depth, by path, in the order of the model.

    If layers share a path, as in some subclassed models, the further ones get ``#2``, ``#3``, … appended.
    """
    found: dict[str, Any] = {}
    for layer in flatten_layers(model):
        if layer is model:
            continue
        path = name = path_of(layer)
        count = 1
        while name in found:
            count += 1
            name = f"{path}#{count}"
        found[name] = layer
    return found


def is_built_batch_norm(layer: Any) -> bool:
    """Return True for a BatchNormalization layer of Keras, or of a class made from it, that has its variables."""
    return isinstance(layer, keras.layers.BatchNormalization) and layer.built


def takes_training(layer: Any) -> bool:
    """Return True if ``layer.call`` has a ``training`` argument."""
    return bool(getattr(layer, "_call_has_training_arg", False))


def freeze(layer: Any) -> Callable[[], None]:
    """Set the ``trainable`` of a layer and of its variables to False; return a function that restores them exactly.

    This bypasses the setter, which sets every layer within: setting it back would unfreeze what the user froze there.
    """
    former = layer._trainable
    variables = [(variable, variable.trainable) for variable in layer._trainable_variables]
    layer.__dict__["_trainable"] = False
    for variable, _ in variables:
        variable.trainable = False

    def undo() -> None:
        layer.__dict__["_trainable"] = former
        for variable, trainable in variables:
            variable.trainable = trainable

    return undo


def keep_trainable(layers: Iterable[Any]) -> Callable[[], Callable[[], object]]:
    """Note the ``trainable`` of layers and of their variables; return `set_trainable` bound to these flags."""
    layers = list(layers)
    flags = [(layer, layer._trainable) for layer in layers]
    variable_flags = [(variable, variable.trainable) for layer in layers for variable in layer._trainable_variables]

    return functools.partial(set_trainable, flags, variable_flags)


def set_trainable(layers: Iterable[tuple[Any, bool]], variables: Iterable[tuple[Any, bool]]) -> Callable[[], object]:
    """Set the ``trainable`` of layers and of variables, each to its flag; return a function that undoes it."""
    former = [(layer, layer._trainable) for layer, _ in layers], [(each, each.trainable) for each, _ in variables]
    _set_flags(layers, variables)
    return functools.partial(_set_flags, *former)


def _set_flags(layers: Iterable[tuple[Any, bool]], variables: Iterable[tuple[Any, bool]]) -> None:
    for layer, flag in layers:
        layer.__dict__["_trainable"] = flag
    for variable, flag in variables:
        variable.trainable = flag


def is_frozen_by_user(layer: Any) -> bool:
    """Return True if the layer has weights of its own and none of them is trainable, outside of any mode."""
    weights = own_weights(layer)
    return bool(weights) and not any(variable.trainable for variable in weights)


def own_weights(layer: Any) -> list[Any]:
    """Return a layer's own trainable weights, frozen or not, without those of the layers within."""
    return list(layer._trainable_variables)


def depends_on_training(layer: Any) -> bool:
    """Return True if a layer, itself and not only through layers within, may compute otherwise in training.

    Many layers of Keras take ``training`` but ignore it (Dense, unless it is quantized). Of Keras' own layers, only
    BatchNormalization and those that draw random numbers depend on it. A user's layer may.
    """
    if not takes_training(layer) or isinstance(layer, keras.Model):
        return False
    if any(takes_training(inner) for inner in flatten_layers(layer) if inner is not layer):
        return False
    return not _is_of_keras(layer) or bool(seed_generators(layer))


def may_depend_on_training(layer: Any) -> bool:
    """Return True if a layer without BatchNormalization and random numbers may compute otherwise in training.

    A user's layer may, itself or in its calls of layers within. Of Keras' own, SpectralNormalization does.
    """
    if not takes_training(layer) or isinstance(layer, keras.Model):
        return False
    return not _is_of_keras(layer) or isinstance(layer, keras.layers.SpectralNormalization)


def _is_of_keras(layer: Any) -> bool:
    return type(layer).__module__.startswith("keras.")


def path_of(layer: Any) -> str:
    """Return a layer's path; its name if it has no path, as a layer without weights."""
    return str(layer.path or layer.name)


def seed_generators(layer: Any) -> list[Any]:
    """Return the seed generators of a layer itself."""
    return list(getattr(layer, "_seed_generators", []))


def seed_states(model: Any) -> list[Any]:
    """Return the seed states from which the model's random layers draw."""
    return [generator.state for layer in flatten_layers(model) for generator in seed_generators(layer)]


def moving_state(model: Any) -> list[Any]:
    """Return the variables that a call of the model may change without training it.

    These are metrics, moving statistics, seeds and the user's own; frozen weights are not among them.
    """
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    layers = [variable for layer in flatten_layers(model) for variable in layer._non_trainable_variables]
    shared = shared_seed_state()
    found = [*metrics, *layers, *seed_states(model), *([] if shared is None else [shared])]
    return list({id(variable): variable for variable in found}.values())


def shared_seed_state(*, make: bool = False) -> Any:
    """Return the state from which ``keras.random`` draws without a seed.

    Args:
        make: Whether to create the state if nothing was drawn yet; otherwise return None then.
    """
    shared = global_state.get_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR)
    if shared is None and make:
        shared = seed_generator.global_seed_generator()
    return None if shared is None else shared.state


def random_layers(model: Any) -> list[Any]:
    """Return the layers that draw random numbers themselves in training, such as dropout."""
    return [
        layer
        for layer in flatten_layers(model)
        if not isinstance(layer, keras.Model) and takes_training(layer) and seed_generators(layer)
    ]


def has_own_call(model: Any) -> bool:
    """Return True if the model, or one within, has a ``call`` of its own, which may depend on ``training``."""
    models = (layer for layer in flatten_layers(model) if isinstance(layer, keras.Model))
    return any(
        getattr(inner.call, "__func__", None) not in (Functional.call, keras.Sequential.call) for inner in models
    )


def has_own_train_step(model: Any) -> bool:
    """Return True if the user wrote the model's ``train_step``, so that its loss is unknown."""
    return getattr(model.train_step, "__func__", None) is not keras.Model.train_step


def has_own_test_step(model: Any) -> bool:
    """Return True if the user wrote the model's ``test_step``."""
    return getattr(model.test_step, "__func__", None) is not keras.Model.test_step


def may_draw(layer: Any) -> bool:
    """Return True if a layer may draw random numbers in its ``call``: it has seeds, or the user wrote it."""
    if not takes_training(layer) or isinstance(layer, keras.Model):
        return False
    return bool(seed_generators(layer)) or not _is_of_keras(layer)
