"""Reads data, callbacks and sizes of batches from the frame of the running ``fit``."""

import inspect
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras.src.backend import compute_output_spec
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter
from tensorflow.python.framework import op_def_registry

from tuimon.trainer.keras.internals.graphs import operation_types
from tuimon.trainer.keras.internals.patches import set_untracked


def element_spec_of_fit(model: Any) -> Any:
    """Return the element spec of the running fit's training data; None if it is unknown."""
    frame = frame_of_fit(model)
    data = getattr(frame.f_locals["epoch_iterator"], "_distributed_dataset", None) if frame is not None else None
    return getattr(data, "element_spec", None)


def distributes_data(model: Any) -> bool:
    """Return True if Keras gives the step distributed batches: under any strategy but TensorFlow's default."""
    return type(model.distribute_strategy).__name__ != "_DefaultDistributionStrategy"


def frame_of_fit(model: Any) -> FrameType | None:
    """Return the frame of this model's ``fit`` among the callers; None if there is none."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model and "epoch_iterator" in frame.f_locals:
            return frame
        frame = frame.f_back
    return None


def validation_arguments(model: Any) -> dict[str, Any] | None:
    """Return the arguments that the running ``fit`` passes to ``evaluate``; None if it does not validate.

    Before the first validation, only the local variables of ``fit`` hold them.
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


_KINDS_OF_DATA = {
    "ArrayDataAdapter": "arrays",
    "TFDatasetAdapter": "dataset",
    "PyDatasetAdapter": "PyDataset",
    "GeneratorDataAdapter": "generator",
    "TorchDataLoaderAdapter": "DataLoader",
}


def kind_of_data(model: Any) -> str:
    """Return the kind of the running fit's training data; empty if it is unknown."""
    frame = frame_of_fit(model)
    adapter = getattr(frame.f_locals.get("epoch_iterator"), "data_adapter", None) if frame is not None else None
    return _KINDS_OF_DATA.get(type(adapter).__name__, "")


class BatchSizes(NamedTuple):
    """Numbers of examples in the batches of a ``fit``; None: unknown."""

    usual: int | None = None
    last: int | None = None
    """The size of an epoch's last batch, if it is smaller."""


def batch_sizes(model: Any) -> BatchSizes:
    """Return the numbers of examples in the running fit's batches, as far as Keras or its `tf.data` set knows."""
    frame = frame_of_fit(model)
    adapter = getattr(frame.f_locals.get("epoch_iterator"), "data_adapter", None) if frame is not None else None
    if adapter is None:
        return BatchSizes()
    try:
        usual, last = adapter.batch_size, adapter.partial_batch_size if adapter.has_partial_batch else None
        if usual is None and isinstance(adapter, TFDatasetAdapter):
            return _batch_sizes_of(adapter.get_tf_dataset())
        return BatchSizes(*(None if size is None else int(size) for size in (usual, last)))
    except (AttributeError, NotImplementedError, TypeError):
        return BatchSizes()


_KEEP_BATCHES = frozenset({"CacheDataset", "MapDataset", "OptionsDataset", "ParallelMapDataset", "PrefetchDataset"})
"""Kinds of `tf.data` sets behind a batching one that leave the order and the number of batches as they are."""
_MAKE_BATCHES = frozenset({"BatchDataset", "PaddedBatchDataset", "ParallelBatchDataset"})
"""Kinds of `tf.data` sets that make batches."""


def _batch_sizes_of(data: Any) -> BatchSizes:
    """Return the sizes of the batches of a `tf.data` set by how it is made; no element is read."""
    while _kind(data) in _KEEP_BATCHES:
        (data,) = data._inputs()
    if _kind(data) not in _MAKE_BATCHES:
        return BatchSizes()
    usual, drops = (tf.get_static_value(value) for value in (data._batch_size, data._drop_remainder))
    (examples,) = (int(each.cardinality()) for each in data._inputs())
    if usual is None or drops is None or examples < 0:  # Infinite, or unknown.
        return BatchSizes(None if usual is None else int(usual))
    left = examples % int(usual)
    return BatchSizes(int(usual), None if drops or not left else left)


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
"""Kinds of `tf.data` sets that give the same elements at each reading, and keep nothing between readings."""


def validation_comes_again(model: Any) -> bool:
    """Return True if the running fit's validation data can be read once more without an effect on later readings."""
    adapter = getattr(getattr(model, "_eval_epoch_iterator", None), "data_adapter", None)
    arguments = validation_arguments(model)
    if adapter is None or arguments is None or arguments["steps"] is not None:
        return False
    if isinstance(adapter, ArrayDataAdapter):
        return True
    data = arguments["x"]
    return isinstance(data, tf.data.Dataset) and _is_the_same_each_time(data)


def _is_the_same_each_time(data: Any) -> bool:
    kind = _kind(data)
    if kind == "CacheDataset":
        return True  # The cache is complete by now, so nothing before it is read again.
    if kind not in _SAME_EACH_TIME:
        return False
    if any(_has_stateful_operation(function.function) for function in data._functions()):
        return False
    return all(map(_is_the_same_each_time, data._inputs()))


def _kind(data: Any) -> str:
    return type(data).__name__.lstrip("_")


def _has_stateful_operation(function: Any) -> bool:
    operations = (op_def_registry.get(name) for name in operation_types(function))
    return any(
        each is not None and each.is_stateful and not each.name.endswith("PartitionedCall") for each in operations
    )


def is_fit_of(frame: FrameType | None, model: Any) -> bool:
    """Return True if a frame is that of the running ``fit`` of a model."""
    return frame is not None and frame is frame_of_fit(model)


def build(model: Any) -> None:
    """Create the variables that the first step of the running ``fit`` would create, without a batch."""
    spec = None if model.built else element_spec_of_fit(model)
    if spec is not None:
        inputs = keras.utils.unpack_x_y_sample_weight(spec)[0]
        symbols = keras.tree.map_structure(lambda part: keras.KerasTensor(part.shape, part.dtype.name), inputs)
        with model.distribute_strategy.scope():
            compute_output_spec(model, symbols, training=False)


def begins_at_epoch_of_model(model: Any) -> bool:
    """Return True if the running ``fit`` will look at the model for the number of its first epoch."""
    frame = frame_of_fit(model)
    return frame is not None and "_initial_epoch" in frame.f_code.co_names and "_initial_epoch" in vars(model)


def begin_at_epoch(model: Any, epoch: int) -> Callable[[], None]:
    """Let the running ``fit`` begin at an epoch, in ``on_train_begin``; return a function for after it has begun."""
    return set_untracked(model, "_initial_epoch", epoch)


def add_last_callback(model: Any, callback: Any) -> Callable[[], None] | None:
    """Add a callback behind those of the running ``fit``; return a function that removes it, or None without one.

    Keras calls it in its turn, also where the callbacks are being called just now.
    """
    frame = frame_of_fit(model)
    if frame is None:
        return None
    callbacks = getattr(frame.f_locals["callbacks"], "callbacks", None)
    if not isinstance(callbacks, list):
        return None
    # One of an earlier fit, which an exception ended, stays in a list that the user keeps.
    callbacks[:] = [each for each in callbacks if type(each) is not type(callback)]
    callback.set_params(frame.f_locals["callbacks"].params)
    callbacks.append(callback)

    def remove() -> None:
        callbacks[:] = [each for each in callbacks if each is not callback]

    return remove


def callbacks_of_fit(model: Any) -> list[Any]:
    """Return the callbacks of the running ``fit``."""
    return list(getattr(callback_list_of_fit(model), "callbacks", []))


def callback_list_of_fit(model: Any) -> Any:
    """Return the `CallbackList` of the running ``fit``; None if there is none."""
    frame = frame_of_fit(model)
    return frame.f_locals["callbacks"] if frame is not None else None
