"""Reads each batch's own loss and metrics inside the step.

Keras shows the mean of the epoch so far, and differences of it lose precision as the epoch grows. So tuimon listens
inside the step. The amounts that one step adds to a metric's total and count are that batch's part. The metric's own
``result`` for these parts alone is the batch's value. The values go into a ring on the device, which is read a few
times a second, so that no step waits for them.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tuimon.protocol.wire import FloatArray
from tuimon.trainer.keras.internals import graphs, losses, patches, variables

RING_STEPS = 256
"""Steps that fit into the ring; it is read before it is full."""
WIDTH = 32
"""Metrics that fit into the ring; of further ones only Keras' running means are known."""


class BatchValues:
    """The ring of one model's train or test step.

    Create it before the step is traced. ``names`` is known after the trace.
    """

    def __init__(self, model: Any) -> None:
        self.names: list[str] = []
        """Names, in Keras' logs, of the metrics whose value of each batch is read."""
        self.steps = 0
        """Steps completed as of the last ``read``."""
        self._model = model
        self._is_replicated = model.distribute_strategy.num_replicas_in_sync > 1
        # Outside of the strategy: only the first replica writes them.
        self._counter = variables.own(np.int64(0), "tuimon_steps")
        self._ring = variables.own(np.full((RING_STEPS, WIDTH), np.nan, np.float32), "tuimon_batch_values")
        self._lock = threading.Lock()
        self._listeners: dict[int, _Listener] = {}
        self._undo = contextlib.ExitStack()
        self._hears_all = True

    @contextlib.contextmanager
    def listen(self) -> Iterator["_Listener"]:
        """Listen to the metrics while a step's body runs (is traced, mostly).

        Replicas run the body in interleaved threads. The metrics are patched from the first one in to the last one out,
        and the patches tell the threads apart.
        """
        listener = _Listener()
        with self._lock:
            if not self._listeners:
                self._attach()
            self._listeners[threading.get_ident()] = listener
        try:
            yield listener
        finally:
            with self._lock:
                del self._listeners[threading.get_ident()]
                if not self._listeners:
                    # An error of one metric must not end the user's step, and the others are still restored.
                    with contextlib.suppress(Exception):
                        self._undo.close()

    def _attach(self) -> None:
        """Listen to every metric that allows it; raise nothing, because the user's step is under way."""
        attached: list[Any] = []
        self._hears_all = True

        def attach() -> None:
            try:
                for metric in losses.single_metrics(self._model):
                    if not any(metric is other for other in attached):
                        attached.append(metric)
                        self._attach_to(metric)
            except Exception:  # noqa: BLE001 - a user's metric may raise anything
                self._hears_all = False

        attach()
        try:
            # Keras creates the metrics of `compile` in the middle of the first trace.
            for container in losses.unbuilt_metric_containers(self._model):
                self._undo.callback(patches.after(container, "build", attach))
        except Exception:  # noqa: BLE001 - without them, Keras' running means are shown
            self._hears_all = False

    def _attach_to(self, metric: Any) -> None:
        """Listen to a metric; if that fails, note its results; if that fails, leave it alone."""
        for attach in (_listen_to, _note_what_runs):
            with contextlib.suppress(Exception), contextlib.ExitStack() as undo:
                attach(metric, self._listeners, undo)
                self._undo.callback(undo.pop_all().close)
                return
        self._hears_all = False

    def record(self, listener: "_Listener", logs: object) -> None:
        """Put the step's values into the ring and count the step. Call it within the step."""
        values = listener.batch_values(
            logs, _sum_of_replicas if self._is_replicated else None, hears_all=self._hears_all
        )
        if not self.names:
            self.names = sorted(values)[:WIDTH]
        if self._is_replicated and not _is_first_replica():
            return
        if self.names:
            missing = tf.constant(np.nan, tf.float32)
            row = [values.get(name, missing) for name in self.names] + [missing] * (WIDTH - len(self.names))
            self._ring.scatter_nd_update([[self._counter % RING_STEPS]], [tf.stack(row)])
        # If the data end unannounced, TensorFlow begins a step without data, which must not count.
        outcome = list(values.values()) or [part for part in tf.nest.flatten(logs) if tf.is_tensor(part)]
        with tf.control_dependencies(outcome):
            self._counter.assign_add(1)

    def read(self) -> dict[str, FloatArray]:
        """Return the values of the steps since the last ``read``, by name, each of shape ``(steps,)``."""
        steps = int(self._counter.numpy())
        new = range(max(self.steps, steps - RING_STEPS), steps)
        self.steps = steps
        if not self.names or not new:
            return {}
        rows = self._ring.numpy()[[step % RING_STEPS for step in new]].astype(np.float64)
        return {name: rows[:, column] for column, name in enumerate(self.names)}


class _Listener:
    """Hears what one step of one replica adds to each metric."""

    def __init__(self) -> None:
        self.running: list[Any] = []
        """Results of metrics that are no means. They cover all batches so far."""
        self._heard: list[_Heard] = []

    def of(self, metric: Any, result: Callable[[], Any]) -> "_Heard":
        """Return the notes about a metric; ``result`` is the metric's own method."""
        for heard in self._heard:
            if heard.metric is metric:
                return heard
        self._heard.append(_Heard(metric, result))
        return self._heard[-1]

    def batch_values(
        self, logs: object, summed: "Callable[[Any], Any] | None", *, hears_all: bool = True
    ) -> dict[str, Any]:
        """Return the batch's own value for each name in ``logs``, as tensors of this graph.

        Args:
            logs: The result of the step.
            summed: Sums a vector over all replicas; None: there is one replica.
            hears_all: Whether every metric is listened to. If not, an unknown tensor in the logs may be a running
                value, and is left out.
        """
        if not isinstance(logs, dict):
            return {}
        values = self._plain_values(logs) if summed is None and hears_all else {}
        shown: dict[str, tuple[_Heard, tuple[Any, Any]]] = {}
        for name, tensor in logs.items():
            heard = next((heard for heard in self._heard if heard.shown is tensor), None)
            # A user's step may replace a metric's total.
            with contextlib.suppress(Exception):
                if heard is not None and heard.is_usable(only_numbers=summed is not None):
                    shown[name] = heard, heard.parts()
        if not shown:
            return values
        parts = [part for _, both in shown.values() for part in both]
        if summed is not None:
            # One message for all: the cost of communication grows with the number of messages.
            parts = tf.unstack(summed(tf.stack([tf.cast(part, tf.float32) for part in parts])))
        for (name, (heard, _)), total, count in zip(shown.items(), parts[::2], parts[1::2], strict=True):
            # A user's `result` may raise; then the metric has no value of the batch.
            with contextlib.suppress(Exception):
                value = tf.cast(heard.value(total, count), tf.float32)
                if value.shape.rank == 0:
                    values[name] = value
        return values

    def _plain_values(self, logs: dict[str, Any]) -> dict[str, Any]:
        """Return the values that no metric returned, such as a loss that a user's step returns directly."""
        shown = [tensor for heard in self._heard for tensor in keras.tree.flatten(heard.shown)]
        known = {id(tensor) for tensor in (*self.running, *shown)}
        return {
            name: tf.cast(tensor, tf.float32)
            for name, tensor in logs.items()
            if tf.is_tensor(tensor)
            and id(tensor) not in known
            and tensor.shape.rank == 0
            and tensor.dtype.is_floating
            and graphs.is_of_this_graph([tensor])
        }


def _sum_of_replicas(vector: Any) -> Any:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, vector)


def _is_first_replica() -> bool:
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return int(tf.get_static_value(number) if tf.is_tensor(number) else number) == 0


class _Heard:
    """Notes about one metric in one step of one replica."""

    def __init__(self, metric: Any, result: Callable[[], Any]) -> None:
        self.metric = metric
        self.totals: list[Any] = []
        self.counts: list[Any] = []
        self.shown: Any = None
        self.is_pure = True
        """False if ``result`` does more than compute, so that it must not be called again."""
        self._result = result

    def is_usable(self, *, only_numbers: bool) -> bool:
        """Return True if the metric's value of the batch can be computed.

        Args:
            only_numbers: Whether its total and count must be scalars.
        """
        if not (self.totals and self.counts) or not self.is_pure:
            return False
        if only_numbers and (len(self.metric.total.shape) or len(self.metric.count.shape)):
            return False
        return graphs.is_of_this_graph((*self.totals, *self.counts))

    def parts(self) -> tuple[Any, Any]:
        """Return the amounts that this step added to the metric's total and count."""
        return _sum(self.totals, self.metric.total), _sum(self.counts, self.metric.count)

    def value(self, total: Any, count: Any) -> Any:
        """Return the metric's result for this step alone; the metric keeps its attributes."""
        attributes = vars(self.metric)
        kept = dict(attributes)
        try:
            attributes.update(total=total, count=count)
            return graphs.result_without_writing(self._result)
        finally:
            # A user's `result` may count its calls. Not emptied first: another thread may read the metric.
            attributes.update(kept)
            for name in attributes.keys() - kept.keys():
                del attributes[name]


def _or_none(function: Callable[[], Any]) -> Any:
    with contextlib.suppress(Exception):
        return function()
    return None


def _sum(values: list[Any], variable: Any) -> Any:
    # Created here, after the step: a further operation within it would change the seeds of the later ones.
    # Keras allows an added value of another dtype or shape than the variable's.
    tensors = [keras.ops.convert_to_tensor(value, dtype=variable.dtype) for value in values]
    return tf.add_n(
        [tensor if tensor.shape == variable.shape else tf.broadcast_to(tensor, variable.shape) for tensor in tensors]
    )


def _listen_to(metric: Any, listeners: Mapping[int, _Listener], undo: contextlib.ExitStack) -> None:
    """Note the amounts that are added to a metric, and its results; its variables stay in place.

    Raises:
        TypeError: The metric is not made as Keras' means.
    """
    if not (losses.adds_up(metric) and losses.can_wrap_result(metric)):
        raise TypeError("it adds nothing up in two variables")
    own_result = metric.result

    def heard() -> _Heard:
        listener = listeners.get(threading.get_ident())
        # Another thread may use the metric meanwhile; its amounts do not belong to the step.
        return (listener or _Listener()).of(metric, own_result)

    def may_be_called_again(before: int) -> bool:
        # A graph shows all that a user's `result` does. Outside of one it may do anything at each call.
        return graphs.is_pure_since(before) if not tf.executing_eagerly() else losses.has_keras_result(metric)

    def result(*args: Any, **kwargs: Any) -> Any:
        before = _or_none(graphs.operations_here)
        shown = own_result(*args, **kwargs)
        # Within the user's step nothing of tuimon may raise: half of a trace is worse than none.
        with contextlib.suppress(Exception):
            mine = heard()
            mine.shown = shown
            mine.is_pure = mine.is_pure and before is not None and may_be_called_again(before)
        return shown

    undo.callback(_hear(metric.total, lambda value: heard().totals.append(value)))
    undo.callback(_hear(metric.count, lambda value: heard().counts.append(value)))
    undo.callback(patches.set_untracked(metric, "result", result))


def _note_what_runs(metric: Any, listeners: Mapping[int, _Listener], undo: contextlib.ExitStack) -> None:
    """Note the results of a metric that is no mean.

    Raises:
        TypeError: Its ``result`` is not a method.
    """
    if not losses.can_wrap_result(metric):
        raise TypeError("its result is a property")
    own_result = metric.result

    def result(*args: Any, **kwargs: Any) -> Any:
        shown = own_result(*args, **kwargs)
        with contextlib.suppress(Exception):
            if (listener := listeners.get(threading.get_ident())) is not None:
                listener.running += keras.tree.flatten(shown)
        return shown

    undo.callback(patches.set_untracked(metric, "result", result))


def _hear(variable: Any, tell: Callable[[Any], None]) -> Callable[[], None]:
    assign_add = variable.assign_add

    def listening(value: Any) -> Any:
        # Read a variable now, before it changes. If that fails, None marks that the metric has no value.
        added = None
        with contextlib.suppress(Exception):
            added = tf.convert_to_tensor(value) if isinstance(value, keras.Variable | tf.Variable) else value
        with contextlib.suppress(Exception):
            tell(added)
        return assign_add(value)

    return patches.set_untracked(variable, "assign_add", listening)
