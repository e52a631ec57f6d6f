"""Losses and metrics of a compiled model."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from tuimon.trainer.keras.internals.layers import flatten_layers


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


def compiled_loss(model: Any) -> Any:
    """Return what ``compile`` has made of the loss: another object each time."""
    return getattr(model, "_compile_loss", None)
