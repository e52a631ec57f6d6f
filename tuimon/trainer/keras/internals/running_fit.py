"""Reads data, callbacks and sizes of batches from the frame of the running ``fit``."""

import inspect
from types import FrameType
from typing import Any, NamedTuple

import tensorflow as tf
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from tensorflow.python.framework import op_def_registry

from tuimon.trainer.keras.internals.graphs import operation_types


def element_spec_of_fit(model: Any) -> Any:
    """Return the element spec of the running fit's training data; None if it is unknown."""
    frame = frame_of_fit(model)
    data = getattr(frame.f_locals["epoch_iterator"], "_distributed_dataset", None) if frame is not None else None
    return getattr(data, "element_spec", None)


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
    """Return the numbers of examples in the running fit's batches, as far as Keras knows."""
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
    kind = type(data).__name__.lstrip("_")
    if kind == "CacheDataset":
        return True  # The cache is complete by now, so nothing before it is read again.
    if kind not in _SAME_EACH_TIME:
        return False
    if any(_has_stateful_operation(function.function) for function in data._functions()):
        return False
    return all(map(_is_the_same_each_time, data._inputs()))


def _has_stateful_operation(function: Any) -> bool:
    operations = (op_def_registry.get(name) for name in operation_types(function))
    return any(
        each is not None and each.is_stateful and not each.name.endswith("PartitionedCall") for each in operations
    )


def callbacks_of_fit(model: Any) -> list[Any]:
    """Return the callbacks of the running ``fit``."""
    frame = frame_of_fit(model)
    return list(getattr(frame.f_locals["callbacks"], "callbacks", [])) if frame is not None else []
