"""Reads the traces of a model's train function, and keeps an object with that function."""

import contextlib
from typing import Any

import tensorflow as tf

_KEPT = "_tuimon_kept"


_ON_ITERATOR, _ON_DATA = "multi_step_on_iterator", "one_step_on_data"


def trace(function: Any, data: Any) -> Any:
    """Trace a train function for an iterator, or a list of batches, without running it; return the trace.

    Returns None if the function runs eagerly.
    """
    is_iterator = isinstance(data, tf.data.Iterator | tf.distribute.DistributedIterator)
    name, argument = (_ON_ITERATOR, data) if is_iterator else (_ON_DATA, next(iter(data), None))
    compiled = _compiled_parts(function).get(name)
    return compiled.get_concrete_function(argument) if compiled is not None else None


def traces(function: Any) -> list[Any] | None:
    """Return the traces of a train function for iterators; None if the function is not made as Keras makes it."""
    parts = _compiled_parts(function)
    if _ON_ITERATOR not in parts:
        return None
    compiled = parts[_ON_ITERATOR]
    return list(compiled._list_all_concrete_functions()) if compiled is not None else []


def count_traces(function: Any) -> int:
    """Return the number of traces of a train function's parts."""
    return sum(part.experimental_get_tracing_count() for part in _compiled_parts(function).values() if part is not None)


def _compiled_parts(function: Any) -> dict[str, Any]:
    """Return the functions that TensorFlow traces within a train function, by name; None for one that runs eagerly."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    parts = {}
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=True):
        if name in (_ON_ITERATOR, _ON_DATA):
            found = cell.cell_contents
            if not hasattr(found, "get_concrete_function"):
                found = getattr(found, "__wrapped__", None)  # Keras wraps the step for lists.
            parts[name] = found if hasattr(found, "get_concrete_function") else None
    return parts


def takes(trace: Any, element_spec: Any) -> bool:
    """Return True if TensorFlow would use a trace of a train function for an iterator over such elements."""
    (iterator_spec,), _ = trace.structured_input_signature
    traced_spec = getattr(iterator_spec, "_element_spec", None)
    try:
        tf.nest.assert_same_structure(traced_spec, element_spec)
    except (TypeError, ValueError):
        return False
    pairs = zip(tf.nest.flatten(element_spec), tf.nest.flatten(traced_spec), strict=True)
    return all(spec.is_subtype_of(traced) for spec, traced in pairs)


def keep_with_train_function(model: Any, thing: object) -> None:
    """Keep an object as long as the model keeps its present train function."""
    # Somebody may have set a train function that takes no attributes.
    with contextlib.suppress(AttributeError, TypeError):
        vars(model.train_function)[_KEPT] = thing


def kept_with_train_function(model: Any) -> object:
    """Return the object that is kept with the model's train function; None if there is none."""
    return getattr(model.train_function, "__dict__", {}).get(_KEPT)
