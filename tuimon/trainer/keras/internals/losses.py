"""Reads the losses and metrics of a compiled model."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from tuimon.trainer.keras.internals.layers import flatten_layers


def single_metrics(model: Any) -> Iterator[Any]:
    """Yield the model's metrics; those given to `compile` one by one."""
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
    # A user's metric may use this name for something else, or for a property that raises.
    with contextlib.suppress(Exception):
        inner = list(metric.metrics)
        return inner if all(isinstance(each, keras.Metric) for each in inner) else []
    return []


def adds_up(metric: Any) -> bool:
    """Return True if a metric is a mean with its total and its count in variables, as Keras' own means."""
    return isinstance(metric, keras.metrics.Mean) and all(
        isinstance(vars(metric).get(name), keras.Variable) and not _is_property(metric, name)
        for name in ("total", "count")
    )


def can_wrap_result(metric: Any) -> bool:
    """Return True if a metric's ``result`` is a method, which a wrapper can replace."""
    return not _is_property(metric, "result")


def has_keras_result(metric: Any) -> bool:
    """Return True if a metric's ``result`` is Keras' own, which only computes."""
    return str(getattr(type(metric).result, "__module__", "")).startswith("keras.")


def _is_property(owner: Any, name: str) -> bool:
    # A property would hide an attribute that is set past the tracker.
    return inspect.isdatadescriptor(inspect.getattr_static(type(owner), name, None))


def unbuilt_metric_containers(model: Any) -> list[Any]:
    """Return the containers that create the metrics given to ``compile`` when the first step is traced."""
    containers = (getattr(model, "_compile_metrics", None), getattr(model, "_compile_loss", None))
    return [container for container in containers if container is not None and not container.built]


def would_make_metrics(model: Any) -> bool:
    """Return True if Keras' way of computing the loss would create the metrics that the first step creates."""
    loss = compiled_loss(model)
    is_used = getattr(model.compute_loss, "__func__", None) is keras.Model.compute_loss
    return is_used and loss is not None and not loss.built


def loss_of(model: Any, x: Any, y: Any, outputs: Any, sample_weight: Any, *, training: bool) -> Any:
    """Return the loss as in Keras' own step: with regularization and ``add_loss``, not scaled for replicas."""
    loss = model._compute_loss(x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=training)
    return tf.cast(loss, tf.float32) * model.distribute_strategy.num_replicas_in_sync


def regularized(model: Any) -> list[tuple[Any, Any]]:
    """Return the weights with a regularizer and their values, which a stateless scope needs for the loss."""
    return [(weight, tf.convert_to_tensor(weight.value)) for weight in model.weights if weight.regularizer is not None]


def keep_losses(model: Any) -> Callable[[], None]:
    """Note the ``add_loss`` values that layers hold from their last call; return a function that restores them."""
    kept = [(layer, list(layer._losses), set(layer._loss_ids)) for layer in flatten_layers(model)]

    def undo() -> None:
        for layer, losses, identities in kept:
            layer._losses[:] = losses
            layer._loss_ids.clear()
            layer._loss_ids.update(identities)

    return undo


_MEANS = ("mean", "sum_over_batch_size", "mean_with_sample_weight")
"""Reductions after which the loss is the mean over the examples."""


def losses_of_examples(model: Any, y: Any, outputs: Any, sample_weight: Any) -> Any:
    """Return the loss of each example, ``(examples,)``, without regularization; None if it is unknown.

    They are made as Keras makes them, so that their mean is its loss: labels and outputs in the dtype of the loss and
    of one rank, masked positions left out. They are unknown with several outputs, with weights, and if the model
    computes its loss in its own way.
    """
    is_plain = getattr(model.compute_loss, "__func__", None) is keras.Model.compute_loss
    is_weighted = sample_weight is not None or getattr(compiled_loss(model), "_user_loss_weights", None) is not None
    if not is_plain or is_weighted or not (tf.is_tensor(y) and tf.is_tensor(outputs)):
        return None
    try:
        loss = loss_object(model)
        if loss.reduction not in _MEANS:
            return None
        y_true, y_pred = (tf.cast(part, loss.dtype) for part in (y, outputs))
        losses = tf.convert_to_tensor(loss.call(y_true, y_pred))
        mask = getattr(outputs, "_keras_mask", None)
        if mask is not None:
            valid = tf.broadcast_to(tf.cast(mask, losses.dtype), tf.shape(losses))
            losses *= valid / tf.maximum(tf.reduce_mean(valid), 1e-9)
    except Exception:  # noqa: BLE001 - a user's loss may raise anything
        return None
    if not losses.shape.rank:
        return None
    losses = tf.reduce_mean(tf.reshape(losses, [tf.shape(losses)[0], -1]), axis=1)
    return tf.cast(losses, tf.float32)


def loss_object(model: Any) -> Any:
    """Return the loss given to `compile` as an object, as Keras wraps a function."""
    loss = keras.losses.get(model.loss)
    return loss if isinstance(loss, keras.losses.Loss) else keras.src.losses.losses.LossFunctionWrapper(loss)


def takes_distributions(model: Any) -> bool:
    """Return True if the loss is a cross-entropy of probabilities: of soft labels it is above 0 even for the labels."""
    loss = loss_object(model)
    name = getattr(getattr(loss, "fn", None), "__name__", "")
    is_of_logits = bool(getattr(loss, "_fn_kwargs", {}).get("from_logits"))
    return name in ("binary_crossentropy", "categorical_crossentropy") and not is_of_logits


def compiled_loss(model: Any) -> Any:
    """Return the loss object that ``compile`` makes; each `compile` makes a new one."""
    return getattr(model, "_compile_loss", None)
