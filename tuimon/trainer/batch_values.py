"""Each batch's own loss and metrics, read inside the step.

What Keras shows is the mean of the epoch so far, and taking that apart again loses precision as the
epoch grows. So the step is listened to: what is added to a metric's total and count in one step is
that batch's part of it, and the metric's own ``result`` of just these parts is its value of the batch.
The values go into a ring on the device, read a few times a second, so that no step waits for them.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tuimon.trainer import keras_internals
from tuimon.wire import FloatArray

RING_STEPS = 256
"""Steps that the ring holds; it is read before it is full."""


class BatchValues:
    """The ring of one model's train or test step.

    Made before the step is traced. ``names`` is known once it was.
    """

    def __init__(self, model: Any) -> None:
        self.names: list[str] = []
        """Metrics that have a value of each batch's own, by their names in Keras' logs."""
        self.steps = 0
        """Steps completed, as of the last ``read``."""
        self._model = model
        self._ring: tf.Variable | None = None
        with tf.init_scope():
            self._counter = tf.Variable(0, dtype=tf.int64, trainable=False, name="tuimon_steps")

    @contextlib.contextmanager
    def listen(self) -> Iterator["_Listener"]:
        """Listen to the metrics while a step's body runs (is traced, mostly)."""
        listener = _Listener()
        with contextlib.ExitStack() as undo:

            def attach() -> None:
                for metric in keras_internals.mean_metrics(self._model):
                    listener.attach(metric, undo)

            attach()
            # The metrics of `compile` come into being in the middle of the first trace.
            for container in keras_internals.unbuilt_metric_containers(self._model):
                undo.callback(keras_internals.after(container, "build", attach))
            yield listener

    def record(self, listener: "_Listener", logs: object) -> None:
        """Put the step's values into the ring and count the step. Part of the step."""
        values = listener.batch_values(logs)
        if values and self._ring is None:
            self.names = sorted(values)
            with tf.init_scope():
                ring = np.full((RING_STEPS, len(self.names)), np.nan, np.float32)
                self._ring = tf.Variable(ring, trainable=False, name="tuimon_batch_values")
        if self._ring is not None:
            missing = tf.constant(np.nan, tf.float32)
            row = tf.stack([values.get(name, missing) for name in self.names])
            slot = self._counter % RING_STEPS
            self._ring.scatter_nd_update([[slot]], [row])
        self._counter.assign_add(1)

    def read(self) -> dict[str, FloatArray]:
        """Return the values of the steps since the last ``read``, per name of shape ``(steps,)``."""
        steps = int(self._counter.numpy())
        new = range(max(self.steps, steps - RING_STEPS), steps)
        self.steps = steps
        if self._ring is None or not new:
            return {}
        rows = self._ring.numpy()[[step % RING_STEPS for step in new]].astype(np.float64)
        return {name: rows[:, column] for column, name in enumerate(self.names)}


class _Listener:
    """Hears what one step adds to each metric."""

    def __init__(self) -> None:
        self._heard: list[_Heard] = []

    def attach(self, metric: Any, undo: contextlib.ExitStack) -> None:
        if any(heard.metric is metric for heard in self._heard) or "total" not in metric.__dict__:
            return
        heard = _Heard(metric)
        undo.callback(_hear(metric.total, heard.totals))
        undo.callback(_hear(metric.count, heard.counts))
        undo.callback(keras_internals.set_untracked(metric, "result", heard.result))
        self._heard.append(heard)

    def batch_values(self, logs: object) -> dict[str, Any]:
        """Return the batch's own value per name in ``logs``: tensors of this very graph."""
        if not isinstance(logs, dict):
            return {}
        values = {}
        for name, tensor in logs.items():
            heard = next((heard for heard in self._heard if heard.shown is tensor), None)
            if heard is None or not heard.is_usable():
                continue
            # A metric of the user's own may do what it likes in `result`: then it has no value of a batch.
            with contextlib.suppress(Exception):
                value = tf.cast(heard.value(), tf.float32)
                if value.shape.rank == 0:
                    values[name] = value
        return values


class _Heard:
    def __init__(self, metric: Any) -> None:
        self.metric = metric
        self.totals: list[Any] = []
        self.counts: list[Any] = []
        self.shown: Any = None
        self._result = metric.result

    def result(self) -> Any:
        self.shown = self._result()
        return self.shown

    def is_usable(self) -> bool:
        # What was added inside a function or a branch of the user's own cannot be used outside of it.
        if not self.totals or not self.counts:
            return False
        if tf.executing_eagerly():
            return True
        graph = tf.compat.v1.get_default_graph()
        return all(getattr(tensor, "graph", graph) is graph for tensor in (*self.totals, *self.counts))

    def value(self) -> Any:
        """What the metric shows when only this step was added to it."""
        with contextlib.ExitStack() as undo:
            undo.callback(keras_internals.set_untracked(self.metric, "total", tf.add_n(self.totals)))
            undo.callback(keras_internals.set_untracked(self.metric, "count", tf.add_n(self.counts)))
            return self._result()


def _hear(variable: Any, heard: list[Any]) -> Callable[[], None]:
    """Hear what is added to a metric's variable; returns the way back. The variable stays the user's own."""
    assign_add = variable.assign_add

    def listening(value: Any) -> Any:
        heard.append(tf.convert_to_tensor(value, dtype=variable.dtype))
        return assign_add(value)

    return keras_internals.set_untracked(variable, "assign_add", listening)
