"""The private names of Keras that tuimon leans on, all in one place, with a check that changes nothing.

Written against Keras 3.10 to 3.15 on TensorFlow.
"""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

try:
    from tensorflow.python.eager.polymorphic_function import function_context
except ImportError:  # In another TensorFlow, what the user has compiled does not obey, and that is seen.
    function_context = None
from keras.src.backend.common import global_state
from keras.src.models.functional import Functional
from keras.src.random import seed_generator
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from tensorflow.python.framework import op_def_registry

_KEPT = "_tuimon_kept"
_MISSING = object()


def why_not_steerable(model: Any) -> str:
    """Return why this model's steps cannot be changed while it trains; empty where they can."""
    if not callable(getattr(model, "make_train_function", None)) or not hasattr(model, "train_function"):
        return "this Keras makes its train function in a way that is not known here"
    layers = flatten_layers(model)
    if not all(hasattr(layer, "_trainable") and hasattr(layer, "_layers") for layer in layers):
        return "this Keras keeps `trainable` in a way that is not known here"
    return ""


def flatten_layers(model: Any) -> list[Any]:
    """Return the model and every layer in it, at any depth, each once, in the order of the model."""
    return list(dict.fromkeys(model._flatten_layers(include_self=True, recursive=True)))


def layers_by_path(model: Any) -> dict[str, Any]:
    """Return every layer in the model, at any depth, by path, in the order of the model.

    Two layers of one path (a subclassed model may have them) get ``#2``, ``#3``, … behind it.
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
    """Set a layer's own ``trainable`` and its variables' to False, not its sublayers'; returns the exact way back.

    Past the setter, which reaches every sublayer: setting it back would thaw what the user froze within.
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
    """Note the layers' own ``trainable`` and their variables'; returns what sets them so and returns the way back."""
    layers = list(layers)
    flags = [(layer, layer._trainable) for layer in layers]
    variable_flags = [(variable, variable.trainable) for layer in layers for variable in layer._trainable_variables]

    return functools.partial(set_trainable, flags, variable_flags)


def set_trainable(layers: Iterable[tuple[Any, bool]], variables: Iterable[tuple[Any, bool]]) -> Callable[[], object]:
    """Set layers' own ``trainable`` and variables', each to its flag; returns the way back."""
    former = [(layer, layer._trainable) for layer, _ in layers], [(each, each.trainable) for each, _ in variables]
    _set_flags(layers, variables)
    return functools.partial(_set_flags, *former)


def _set_flags(layers: Iterable[tuple[Any, bool]], variables: Iterable[tuple[Any, bool]]) -> None:
    for layer, flag in layers:
        layer.__dict__["_trainable"] = flag
    for variable, flag in variables:
        variable.trainable = flag


def array(variable: Any) -> Any:
    """Return what a variable holds as an array of its own dtype; mirrored on several devices, what the first has."""
    return np.array(tf.convert_to_tensor(variable.value))


def on_replicas(variable: Any) -> list[Any]:
    """Return TensorFlow's own variables behind one of Keras: one for each replica."""
    return list(getattr(variable.value, "values", (variable.value,)))


def keep(variables: Iterable[Any]) -> Callable[[], None]:
    """Note what variables hold; returns the way back.

    On each replica what it holds itself: Keras keeps one mean of a metric, and one moving mean of a layer, for each.
    """
    parts = [part for variable in variables for part in on_replicas(variable)]
    saved = [(part, np.array(tf.convert_to_tensor(part))) for part in parts]

    def undo() -> None:
        for part, value in saved:
            part.assign(value)

    return undo


def numpy_dtype(variable: Any) -> Any:
    """Return NumPy's dtype for what a variable holds."""
    return tf.as_dtype(variable.dtype).as_numpy_dtype


def bytes_of(variable: Any) -> int:
    """Return how many bytes a variable takes."""
    return int(np.prod(variable.shape)) * int(tf.as_dtype(variable.dtype).size)


def is_frozen_by_user(layer: Any) -> bool:
    """Whether a layer's own weights are not trained, outside of any mode."""
    weights = own_weights(layer)
    return bool(weights) and not any(variable.trainable for variable in weights)


def own_weights(layer: Any) -> list[Any]:
    """Return the trainable weights that a layer has itself, not through layers within, frozen or not."""
    return list(layer._trainable_variables)


def optimizers(optimizer: Any) -> list[Any]:
    """Return an optimizer and those that it wraps (LossScaleOptimizer), outermost first."""
    found = []
    while optimizer is not None:
        found.append(optimizer)
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return found


def averaging_optimizer(optimizer: Any) -> Any:
    """Return the optimizer that keeps moving averages of the weights (``use_ema``); None where none does."""
    return next((each for each in optimizers(optimizer) if each.use_ema), None)


def average_only(optimizer: Any, variables: list[Any]) -> Callable[[], None]:
    """Make ``use_ema`` know only these variables; returns the way back.

    Keras averages over all variables that the optimizer was built with and, with ``ema_overwrite_frequency``,
    writes the averages into the weights, into frozen ones too.
    """
    known = {id(variable) for variable in variables}
    pairs = zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)
    left = [(variable, average) for variable, average in pairs if id(variable) in known]
    undo_averages = set_untracked(optimizer, "_model_variables_moving_average", [average for _, average in left])
    undo_variables = set_untracked(optimizer, "_trainable_variables", [variable for variable, _ in left])

    def undo() -> None:
        undo_variables()
        undo_averages()

    return undo


def settle_averages(optimizer: Any, variables: list[Any]) -> None:
    """Set the moving averages of these variables to their values: what ``fit`` writes into them at its end."""
    wanted = {id(variable) for variable in variables}
    pairs = zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)
    for variable, average in pairs:
        if id(variable) in wanted:
            average.assign(variable)


def all_optimizers(model: Any) -> list[Any]:
    """Return the model's optimizer and those that a step of its own keeps beside it, as a GAN's has."""
    found = [
        model.optimizer,
        *(value for value in vars(model).values() if isinstance(value, keras.optimizers.Optimizer)),
    ]
    return list({id(optimizer): optimizer for optimizer in found if optimizer is not None}.values())


def schedule_owner(optimizer: Any) -> Any:
    """Return the optimizer whose learning rate a schedule or a function gives; None where it is a variable."""
    owner = optimizers(optimizer)[-1]
    return None if isinstance(owner._learning_rate, keras.Variable) else owner


def learning_rate_variable(strategy: Any) -> Any:
    """Return a new variable for a learning rate, outside of every tracker and name counter."""
    with strategy.scope():
        return keras.Variable(
            0.0, name="tuimon_learning_rate", dtype="float32", trainable=False, aggregation="only_first_replica"
        )


def use_learning_rate(optimizer: Any, variable: Any) -> Callable[[], None]:
    """Make an optimizer take its learning rate from a variable instead of its schedule; returns the way back."""
    return set_untracked(optimizer, "_learning_rate", variable)


def number(variable: Any) -> float:
    """Return what a scalar variable holds; of one that is mirrored on several devices, what all of them hold."""
    value = getattr(variable, "value", variable)
    return float(value.numpy() if hasattr(value, "numpy") else value)


def as_float32(value: float) -> float:
    """Return what is left of a number in Keras' learning rates, which are float32."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))


_ON_ITERATOR, _ON_DATA = "multi_step_on_iterator", "one_step_on_data"


def trace(function: Any, data: Any) -> Any:
    """Trace a train function for an iterator (or a list of batches) without running it; returns the trace.

    Does nothing where it is not traced at all.
    """
    is_iterator = isinstance(data, tf.data.Iterator | tf.distribute.DistributedIterator)
    name, argument = (_ON_ITERATOR, data) if is_iterator else (_ON_DATA, next(iter(data), None))
    compiled = _compiled_parts(function).get(name)
    return compiled.get_concrete_function(argument) if compiled is not None else None


def traces(function: Any) -> list[Any] | None:
    """Return the traces of a train function for iterators; None where it is not made as Keras makes it."""
    parts = _compiled_parts(function)
    if _ON_ITERATOR not in parts:
        return None
    compiled = parts[_ON_ITERATOR]
    return list(compiled._list_all_concrete_functions()) if compiled is not None else []


def count_traces(function: Any) -> int:
    """Return how often the parts of a train function were traced."""
    return sum(part.experimental_get_tracing_count() for part in _compiled_parts(function).values() if part is not None)


def _compiled_parts(function: Any) -> dict[str, Any]:
    """Return the functions that TensorFlow traces within a train function, by name; None: one that runs eagerly."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    parts = {}
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=True):
        if name in (_ON_ITERATOR, _ON_DATA):
            found = cell.cell_contents
            if not hasattr(found, "get_concrete_function"):
                found = getattr(found, "__wrapped__", None)  # Keras wraps the step that is for lists.
            parts[name] = found if hasattr(found, "get_concrete_function") else None
    return parts


def element_spec_of_fit(model: Any) -> Any:
    """Return the types of what the ``fit`` that runs trains on; None where they are not known."""
    frame = frame_of_fit(model)
    data = getattr(frame.f_locals["epoch_iterator"], "_distributed_dataset", None) if frame is not None else None
    return getattr(data, "element_spec", None)


def takes(trace: Any, element_spec: Any) -> bool:
    """Whether TensorFlow would use a trace of a train function again for an iterator over such elements."""
    (iterator_spec,), _ = trace.structured_input_signature
    traced_spec = getattr(iterator_spec, "_element_spec", None)
    try:
        tf.nest.assert_same_structure(traced_spec, element_spec)
    except (TypeError, ValueError):
        return False
    pairs = zip(tf.nest.flatten(element_spec), tf.nest.flatten(traced_spec), strict=True)
    return all(spec.is_subtype_of(traced) for spec, traced in pairs)


def keep_with_train_function(model: Any, thing: object) -> None:
    """Keep something for as long as the model has the train function that it has."""
    # Somebody may have put a thing there that takes no attributes.
    with contextlib.suppress(AttributeError, TypeError):
        vars(model.train_function)[_KEPT] = thing


def kept_with_train_function(model: Any) -> object:
    """Return what was kept with the model's train function; None where there is nothing."""
    return getattr(model.train_function, "__dict__", {}).get(_KEPT)


def examples(model: Any, batch: Any) -> int:
    """Return how many examples a batch has, on all replicas together."""
    return sum(examples_of_replicas(model, batch))


def examples_of_replicas(model: Any, batch: Any) -> list[int]:
    """Return how many examples a batch has on each replica."""
    return list(map(_examples, model.distribute_strategy.experimental_local_results(batch)))


def _examples(batch: Any) -> int:
    first = next((part for part in tf.nest.flatten(batch) if tf.is_tensor(part)), None)
    return 0 if first is None or not first.shape.rank else int(first.shape[0] or 0)


def without_optionals(batch: Any) -> Any:
    """Return a batch with None for what is missing, as Keras gives it to its step."""
    return keras.tree.map_structure(lambda part: None if isinstance(part, tf.experimental.Optional) else part, batch)


def single_metrics(model: Any) -> Iterator[Any]:
    """Yield the model's metrics, those of `compile` one by one."""
    pending = list(model.metrics)
    while pending:
        metric = pending.pop(0)
        if inner := _metrics_within(metric):
            pending += inner
        else:
            yield metric


def _metrics_within(metric: Any) -> list[Any]:
    if isinstance(metric, keras.metrics.Mean):
        return []
    # A user's metric may keep something else under this name, or have a property that fails.
    with contextlib.suppress(Exception):
        inner = list(metric.metrics)
        return inner if all(isinstance(each, keras.Metric) for each in inner) else []
    return []


def adds_up(metric: Any) -> bool:
    """Whether a metric is a mean that keeps its total and its count in variables, as Keras' own means do."""
    return isinstance(metric, keras.metrics.Mean) and all(
        isinstance(vars(metric).get(name), keras.Variable) and not _is_property(metric, name)
        for name in ("total", "count")
    )


def can_wrap_result(metric: Any) -> bool:
    """Whether a metric's ``result`` is a method, for which a wrapper can stand."""
    return not _is_property(metric, "result")


def _is_property(owner: Any, name: str) -> bool:
    # What is put past the tracker would not be seen under such a name.
    return inspect.isdatadescriptor(inspect.getattr_static(type(owner), name, None))


def unbuilt_metric_containers(model: Any) -> list[Any]:
    """Return what will make the metrics given to ``compile`` when the first step is traced."""
    containers = (getattr(model, "_compile_metrics", None), getattr(model, "_compile_loss", None))
    return [container for container in containers if container is not None and not container.built]


def would_make_metrics(model: Any) -> bool:
    """Whether computing the loss as Keras does would make what `compile` puts off to the first step."""
    loss = compiled_loss(model)
    is_used = getattr(model.compute_loss, "__func__", None) is keras.Model.compute_loss
    return is_used and loss is not None and not loss.built


def after(owner: Any, name: str, action: Callable[[], None]) -> Callable[[], None]:
    """Run ``action`` after each call of a method of ``owner``; returns the way back."""
    original = getattr(owner, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        action()
        return result

    return set_untracked(owner, name, method)


class _Shared:
    """A function of Keras' or TensorFlow's own that models in threads of their own may change at once."""

    def __init__(self, patch: Callable[[], Callable[[], None]]) -> None:
        self._patch = patch
        self._undo: Callable[[], None] | None = None
        self._lock = threading.Lock()
        self._changes: dict[object, Any] = {}

    def add(self, change: object) -> Callable[[], None]:
        """Have a change in force; returns the way back, in whatever order."""
        key = object()
        with self._lock:
            if not self._changes:
                self._undo = self._patch()
            self._changes = {**self._changes, key: change}

        def undo() -> None:
            with self._lock:
                self._changes = {other: change for other, change in self._changes.items() if other is not key}
                if not self._changes and self._undo is not None:
                    self._undo()

        return undo

    @property
    def changes(self) -> list[Any]:
        """Those in force now."""
        return list(self._changes.values())


def force_training(value: Callable[[Any], bool | None]) -> Callable[[], None]:
    """Make every layer that is called take ``training`` from ``value(layer)``; returns the way back.

    It reaches the layers that Keras does not track (made in ``call``, kept in a plain object). None: as Keras
    would have it.
    """
    return _FORCED.add(value)


def _patch_layers() -> Callable[[], None]:
    resolve = keras.layers.Layer._resolve_and_populate_arg

    @functools.wraps(resolve)
    def forced(self: Any, arg_name: str, call_spec: Any, call_context: Any, kwargs: dict[str, Any]) -> None:
        resolve(self, arg_name, call_spec, call_context, kwargs)
        if arg_name == "training" and takes_training(self):
            for value in _FORCED.changes:
                training = value(self)
                if training is not None:
                    kwargs["training"] = training

    keras.layers.Layer._resolve_and_populate_arg = forced

    def undo() -> None:
        keras.layers.Layer._resolve_and_populate_arg = resolve

    return undo


_FORCED = _Shared(_patch_layers)


def trace_compiled_anew(salt: object, here: Callable[[], bool]) -> Callable[[], None]:
    """Have the functions that the user has compiled, and that the step calls, traced anew; returns the way back.

    A ``tf.function`` keeps its traces by its arguments and surroundings, and what Keras reads as Python values is
    neither: without this, it would be used again as it was.

    Args:
        salt: What tells these traces from others: hashable, and equal where the same is in force.
        here: Whether a function that is called now is called from the step.
    """
    return _SALTS.add((salt, here))


def _patch_tensorflow() -> Callable[[], None]:
    make = getattr(function_context, "make_function_context", None)
    if make is None:
        return lambda: None

    def salted(*args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        salts = tuple(salt for salt, here in _SALTS.changes if here())
        return made._replace(context=(made.context, salts)) if salts else made

    function_context.make_function_context = salted

    def undo() -> None:
        function_context.make_function_context = make

    return undo


_SALTS = _Shared(_patch_tensorflow)


def depends_on_training(layer: Any) -> bool:
    """Whether a layer, itself and not only through layers within, may compute something else in training.

    Many layers of Keras take ``training`` and have no use for it (Dense, but for quantization). Of Keras' own,
    beside BatchNormalization, those that draw random numbers do; a layer of the user's own may.
    """
    if not takes_training(layer) or isinstance(layer, keras.Model):
        return False
    if any(takes_training(inner) for inner in flatten_layers(layer) if inner is not layer):
        return False
    return not _is_of_keras(layer) or bool(_seed_generators(layer))


def may_depend_on_training(layer: Any) -> bool:
    """Whether a layer that is no BatchNormalization and draws nothing may compute something else in training.

    Itself or in its way of calling layers within: one of the user's own may, and SpectralNormalization does.
    """
    if not takes_training(layer) or isinstance(layer, keras.Model):
        return False
    return not _is_of_keras(layer) or isinstance(layer, keras.layers.SpectralNormalization)


def _is_of_keras(layer: Any) -> bool:
    return type(layer).__module__.startswith("keras.")


def path_of(layer: Any) -> str:
    """Return a layer's path; its name where it has none, having no weights."""
    return str(layer.path or layer.name)


def _seed_generators(layer: Any) -> list[Any]:
    return list(getattr(layer, "_seed_generators", []))


def seed_states(model: Any) -> list[Any]:
    """Return what the model's random layers draw their numbers from."""
    return [generator.state for layer in flatten_layers(model) for generator in _seed_generators(layer)]


def moving_state(model: Any) -> list[Any]:
    """Return what a call of the model may move without training it: metrics, moving statistics, seeds, the user's own.

    Not the weights that a layer was frozen with.
    """
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    layers = [variable for layer in flatten_layers(model) for variable in layer._non_trainable_variables]
    shared = shared_seed_state()
    found = [*metrics, *layers, *seed_states(model), *([] if shared is None else [shared])]
    return list({id(variable): variable for variable in found}.values())


def shared_seed_state(*, make: bool = False) -> Any:
    """Return what ``keras.random`` draws from where it is given no seed; None where nobody has drawn yet."""
    shared = global_state.get_global_attribute(seed_generator.GLOBAL_SEED_GENERATOR)
    if shared is None and make:
        shared = seed_generator.global_seed_generator()
    return None if shared is None else shared.state


def random_layers(model: Any) -> list[Any]:
    """Return the layers that draw random numbers of their own in training: dropout and its kin."""
    return [
        layer
        for layer in flatten_layers(model)
        if not isinstance(layer, keras.Model) and takes_training(layer) and _seed_generators(layer)
    ]


def has_own_call(model: Any) -> bool:
    """Whether the model, or one in it, is more than a graph of layers: its ``call`` may depend on ``training``."""
    models = (layer for layer in flatten_layers(model) if isinstance(layer, keras.Model))
    return any(
        getattr(inner.call, "__func__", None) not in (Functional.call, keras.Sequential.call) for inner in models
    )


def has_own_train_step(model: Any) -> bool:
    """Whether the model's ``train_step`` is the user's: what its loss is, is not known then."""
    return getattr(model.train_step, "__func__", None) is not keras.Model.train_step


def has_own_test_step(model: Any) -> bool:
    """Whether the model's ``test_step`` is the user's."""
    return getattr(model.test_step, "__func__", None) is not keras.Model.test_step


def loss_of(model: Any, x: Any, y: Any, outputs: Any, sample_weight: Any, *, training: bool) -> Any:
    """Return the loss as Keras' own step has it: regularisation and ``add_loss`` in it, not scaled for replicas."""
    loss = model._compute_loss(x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=training)
    return tf.cast(loss, tf.float32) * model.distribute_strategy.num_replicas_in_sync


def regularized(model: Any) -> list[tuple[Any, Any]]:
    """Return the weights with a regularizer, each with its value: a stateless scope must be told them for the loss."""
    return [(weight, tf.convert_to_tensor(weight.value)) for weight in model.weights if weight.regularizer is not None]


def keep_losses(model: Any) -> Callable[[], None]:
    """Note what layers hold of ``add_loss`` from their last call; returns the way back."""
    kept = [(layer, list(layer._losses), set(layer._loss_ids)) for layer in flatten_layers(model)]

    def undo() -> None:
        for layer, losses, identities in kept:
            layer._losses[:] = losses
            layer._loss_ids.clear()
            layer._loss_ids.update(identities)

    return undo


def is_of_this_graph(tensors: Iterable[Any]) -> bool:
    """Whether tensors can be used here."""
    # What was made inside a function or a branch of the user's own cannot be used outside of it.
    if tf.executing_eagerly():
        return True
    graph = tf.compat.v1.get_default_graph()
    return all(getattr(tensor, "graph", graph) is graph for tensor in tensors)


def operations_here() -> int:
    """Return how many operations there are in the graph that is being traced; 0 outside of one."""
    return 0 if tf.executing_eagerly() else len(tf.compat.v1.get_default_graph().get_operations())


def writes_here(since: int) -> bool:
    """Whether an operation of the graph that is being traced changes a variable, from the ``since``th on."""
    if tf.executing_eagerly():
        return False
    operations = tf.compat.v1.get_default_graph().get_operations()[since:]
    return any(operation.type.startswith(_WRITERS) for operation in operations)


def result_without_writing(function: Callable[[], Any]) -> Any:
    """Return what a function returns; the Keras variables that it writes keep their values.

    Raises:
        ValueError: it writes one, so that its result is not of its inputs alone.
    """
    with keras.StatelessScope() as scope:
        result = function()
    if scope.state_mapping:
        raise ValueError("it writes variables")
    return result


_WRITERS = (
    "Assign",
    "ResourceScatter",
    "ResourceApply",
    "ResourceStridedSliceAssign",
    "LookupTableInsert",
    # What a `tf.random.Generator` of the user's draws from is a variable.
    "RngReadAndSkip",
    "RngSkip",
    "StatefulStandardNormal",
    "StatefulUniform",
    "StatefulTruncatedNormal",
    "StatefulRandomBinomial",
    # What Python code does, a graph does not tell.
    "PyFunc",
    "EagerPyFunc",
)


_DRAWS = ("Random", "TruncatedNormal", "Multinomial")


def used_draws(function: Any) -> set[Any]:
    """Return the operations of a traced function whose random numbers are used, or that call a function which draws.

    A recurrent layer makes its dropout masks in inference mode, too, and has no use for them.
    """
    pending = [output.op for output in function.graph.outputs] + list(function.graph.control_outputs)
    used: dict[int, Any] = {}
    while pending:
        operation = pending.pop()
        if id(operation) not in used:
            used[id(operation)] = operation
            pending += [tensor.op for tensor in operation.inputs]
            pending += operation.control_inputs
    library = function.graph.as_graph_def().library.function
    drawing: set[str] = set()
    grows = True
    while grows:  # Functions call functions.
        found = {
            inner.signature.name for inner in library if any(_draws(node, node.op, drawing) for node in inner.node_def)
        }
        grows = found != drawing
        drawing = found
    return {operation for operation in used.values() if _draws(operation.node_def, operation.type, drawing)}


def draws_of(graph: Any, since: int) -> list[Any]:
    """Return the operations of a graph that draw random numbers, from the ``since``th operation on."""
    return [operation for operation in graph.get_operations()[since:] if _is_draw(operation.type)]


def _draws(node: Any, operation: str, drawing: set[str]) -> bool:
    if _is_draw(operation) or operation in drawing:
        return True
    functions = (name.name for value in node.attr.values() for name in (value.func, *value.list.func))
    return any(name in drawing for name in functions)


def _is_draw(operation: str) -> bool:
    return any(word in operation for word in _DRAWS)


def may_draw(layer: Any) -> bool:
    """Whether a layer may draw random numbers in its ``call``: one that has seeds, or that is the user's own."""
    if not takes_training(layer) or isinstance(layer, keras.Model):
        return False
    return bool(_seed_generators(layer)) or not _is_of_keras(layer)


def has_state_of_its_own(function: Any) -> bool:
    """Whether a traced function, or one that it calls, changes anything that outlives it."""
    return any(operation.startswith(_WRITERS) for operation in _operations(function))


def _operations(function: Any) -> set[str]:
    definition = function.graph.as_graph_def()
    operations = {node.op for node in definition.node}
    operations.update(node.op for inner in definition.library.function for node in inner.node_def)
    return operations


def losses_of_examples(model: Any, y: Any, outputs: Any, sample_weight: Any) -> Any:
    """Return the loss of each example, without regularisation; None where it is not known.

    That is where there are several outputs, weights of samples, or a loss that is computed otherwise.
    """
    is_plain = getattr(model.compute_loss, "__func__", None) is keras.Model.compute_loss
    if not is_plain or sample_weight is not None or not (tf.is_tensor(y) and tf.is_tensor(outputs)):
        return None
    try:
        loss = keras.losses.get(model.loss)
        losses = tf.convert_to_tensor(
            loss.call(y, outputs) if isinstance(loss, keras.losses.Loss) else loss(y, outputs)
        )
    except Exception:  # noqa: BLE001 - whatever the user's loss is
        return None
    if not losses.shape.rank:
        return None
    return tf.cast(tf.reduce_mean(tf.reshape(losses, [tf.shape(losses)[0], -1]), axis=1), tf.float32)


Seeds = list[tuple[Any, Any]]
"""State variables of a model's random layers, each with a copy of ours."""


def frame_of_fit(model: Any) -> FrameType | None:
    """Return the frame of the ``fit`` of this model that calls us; None where none does."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model and "epoch_iterator" in frame.f_locals:
            return frame
        frame = frame.f_back
    return None


def validation_arguments(model: Any) -> dict[str, Any] | None:
    """Return what the ``fit`` that runs will give to ``evaluate``; None where it does not validate.

    Until the first validation, only the local variables of ``fit`` know.
    """
    frame = frame_of_fit(model)
    local = frame.f_locals if frame is not None else {}
    if local.get("validation_data") is None:
        return None
    return {
        "x": local["val_x"],
        "y": local["val_y"],
        "sample_weight": local["val_sample_weight"],
        "batch_size": local["validation_batch_size"] or local["batch_size"],
        "steps": local["validation_steps"],
    }


class BatchSizes(NamedTuple):
    """Examples in the batches of a ``fit``; None: not known."""

    usual: int | None = None
    last: int | None = None
    """Of an epoch, where it is smaller."""


def batch_sizes(model: Any) -> BatchSizes:
    """Return how many examples the batches of the ``fit`` that runs have, as far as Keras knows."""
    frame = frame_of_fit(model)
    adapter = getattr(frame.f_locals.get("epoch_iterator"), "data_adapter", None) if frame is not None else None
    try:
        usual = None if adapter is None else adapter.batch_size
        last = None if adapter is None or not adapter.has_partial_batch else adapter.partial_batch_size
        return BatchSizes(*(None if size is None else int(size) for size in (usual, last)))
    except (AttributeError, NotImplementedError, TypeError):
        return BatchSizes()


_SAME_EACH_TIME = frozenset(
    {
        "BatchDataset",
        "ConcatenateDataset",
        "FilterDataset",
        "FlatMapDataset",
        "MapDataset",
        "OptionsDataset",
        "PaddedBatchDataset",
        "ParallelBatchDataset",
        "ParallelMapDataset",
        "PrefetchDataset",
        "RangeDataset",
        "SkipDataset",
        "TFRecordDatasetV2",
        "TakeDataset",
        "TensorDataset",
        "TensorSliceDataset",
        "TextLineDatasetV2",
        "UnbatchDataset",
        "ZipDataset",
    }
)
"""Kinds of `tf.data` sets that give the same whenever they are read, and keep nothing from one reading to the next."""


def validation_comes_again(model: Any) -> bool:
    """Whether the validation of the ``fit`` that runs can be read once more without a change to its later readings."""
    adapter = getattr(getattr(model, "_eval_epoch_iterator", None), "data_adapter", None)
    arguments = validation_arguments(model)
    if adapter is None or arguments is None or arguments["steps"] is not None:
        return False
    if isinstance(adapter, ArrayDataAdapter):
        return True
    data = arguments["x"]
    return isinstance(data, tf.data.Dataset) and _is_the_same_each_time(data)


def compiled_loss(model: Any) -> Any:
    """Return what ``compile`` has made of the loss: another object each time."""
    return getattr(model, "_compile_loss", None)


def _is_the_same_each_time(data: Any) -> bool:
    kind = type(data).__name__.lstrip("_")
    if kind == "CacheDataset":
        return True  # It has been read to its end by now; nothing before it is read again.
    if kind not in _SAME_EACH_TIME:
        return False
    if any(_has_state(function.function) for function in data._functions()):
        return False
    return all(map(_is_the_same_each_time, data._inputs()))


def _has_state(function: Any) -> bool:
    operations = (op_def_registry.get(name) for name in _operations(function))
    return any(
        each is not None and each.is_stateful and not each.name.endswith("PartitionedCall") for each in operations
    )


def callbacks_of_fit(model: Any) -> list[Any]:
    """Return the callbacks of the ``fit`` that runs."""
    frame = frame_of_fit(model)
    return list(getattr(frame.f_locals["callbacks"], "callbacks", [])) if frame is not None else []


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
