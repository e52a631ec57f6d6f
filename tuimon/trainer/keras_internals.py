"""The private names of Keras that tuimon leans on, all in one place, with a check that changes nothing.

Written against Keras 3.10 to 3.15 on TensorFlow.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras

_MISSING = object()


def why_not_steerable(model: Any) -> str:
    """Return why this model's steps cannot be changed while it trains; empty where they can."""
    if not callable(getattr(model, "make_train_function", None)) or not hasattr(model, "train_function"):
        return "this Keras makes its train function in a way that is not known here"
    if model.distribute_strategy.num_replicas_in_sync > 1:
        return "modes are not made for several replicas yet"
    layers = flatten_layers(model)
    if not all(hasattr(layer, "_trainable") and hasattr(layer, "_layers") for layer in layers):
        return "this Keras keeps `trainable` in a way that is not known here"
    return ""


def flatten_layers(model: Any) -> list[Any]:
    """Return the model and every layer in it, at any depth, each once, in the order of the model."""
    return list(dict.fromkeys(model._flatten_layers(include_self=True, recursive=True)))


def takes_training(layer: Any) -> bool:
    """Whether ``layer.call`` has a ``training`` argument."""
    return bool(getattr(layer, "_call_has_training_arg", False))


def set_untracked(owner: Any, name: str, value: object) -> Callable[[], None]:
    """Give a Keras object an attribute of its own, past its tracker; returns the way back.

    What goes through the tracker may become a weight and change what ``save`` writes.
    """
    former = owner.__dict__.get(name, _MISSING)
    owner.__dict__[name] = value

    def undo() -> None:
        if former is _MISSING:
            owner.__dict__.pop(name, None)
        else:
            owner.__dict__[name] = former

    return undo


def freeze(layer: Any) -> Callable[[], None]:
    """Set ``layer.trainable = False``; returns the exact way back.

    The setter reaches every sublayer and variable, so setting it back would thaw what the user froze
    within: what was there is saved and restored one by one.
    """
    sublayers = [(sublayer, sublayer._trainable) for sublayer in flatten_layers(layer)]
    variables = [(variable, variable.trainable) for variable in layer.variables]
    layer.trainable = False

    def undo() -> None:
        for sublayer, trainable in sublayers:
            sublayer.__dict__["_trainable"] = trainable
        for variable, trainable in variables:
            if variable.trainable != trainable:
                variable.trainable = trainable

    return undo


def number(variable: Any) -> float:
    """Return what a scalar variable holds; of one that is mirrored on several devices, what all of them hold."""
    value = getattr(variable, "value", variable)
    return float(value.numpy() if hasattr(value, "numpy") else value)


def trace(function: Any, iterator: Any) -> None:
    """Trace a train function for ``iterator`` without running it; does nothing where it is not traced at all."""
    names = function.__code__.co_freevars
    cells = dict(zip(names, function.__closure__ or (), strict=True))
    if "multi_step_on_iterator" in cells:
        inner = cells["multi_step_on_iterator"].cell_contents
        if hasattr(inner, "get_concrete_function"):
            inner.get_concrete_function(iterator)


def mean_metrics(model: Any) -> Iterator[Any]:
    """Yield the model's metrics that are a mean over batches: a total and a count."""
    pending = list(model.metrics)
    while pending:
        metric = pending.pop(0)
        if isinstance(metric, keras.metrics.Mean):
            yield metric
        elif inner := getattr(metric, "metrics", None):
            pending += inner


def unbuilt_metric_containers(model: Any) -> list[Any]:
    """Return what will make the metrics given to ``compile`` when the first step is traced."""
    containers = (getattr(model, "_compile_metrics", None), getattr(model, "_compile_loss", None))
    return [container for container in containers if container is not None and not container.built]


def after(owner: Any, name: str, action: Callable[[], None]) -> Callable[[], None]:
    """Run ``action`` after each call of a method of ``owner``; returns the way back."""
    original = getattr(owner, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        action()
        return result

    return set_untracked(owner, name, method)


def depends_on_training(layer: Any) -> bool:
    """Whether a layer, itself and not only through layers within, may compute something else in training.

    Many layers of Keras take ``training`` and have no use for it (Dense, but for quantization). Of Keras' own,
    beside BatchNormalization, those that draw random numbers do; a layer of the user's own may.
    """
    if not takes_training(layer) or isinstance(layer, keras.Model):
        return False
    if any(takes_training(inner) for inner in flatten_layers(layer) if inner is not layer):
        return False
    return not type(layer).__module__.startswith("keras.") or bool(_seed_generators(layer))


def path_of(layer: Any) -> str:
    """Return a layer's path; its name where it has none, having no weights."""
    return str(layer.path or layer.name)


def _seed_generators(layer: Any) -> list[Any]:
    return list(getattr(layer, "_seed_generators", []))


Seeds = list[tuple[Any, Any]]
"""State variables of a model's random layers, each with a copy of ours."""


def copy_seeds(model: Any) -> Seeds:
    """Return the random layers' seed states and copies of them, which may move in their place."""
    return [
        (generator.state, keras.Variable(generator.state.numpy(), dtype="uint32", trainable=False, name="seed"))
        for layer in flatten_layers(model)
        for generator in _seed_generators(layer)
    ]


def call_without_state(model: Any, seeds: Seeds) -> Callable[[], None]:
    """Make ``model.call`` write no variable of the model; returns the way back.

    What it would write, moving statistics above all, ends with the call. Random layers draw from the
    copies in ``seeds``, so that each batch has numbers of its own.
    """
    original = model.call

    # A Keras layer looks at the signature of `call`: the wrapper must show the original's.
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        mapping = [(state, copy.value) for state, copy in seeds]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = original(*args, **kwargs)
        for state, copy in seeds:
            drawn = scope.get_current_value(state)
            if drawn is not None:
                copy.assign(drawn)
        return outputs

    return set_untracked(model, "call", call)
