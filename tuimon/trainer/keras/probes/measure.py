"""Measures how far training mode and inference mode are apart on one batch, and what makes it.

In functions of their own that write no variable, with random seeds of their own. Training mode is Keras' own way of
calling the model, traced in the mode in force. What each BatchNormalization layer does to the loss is measured in a
second function, in which a layer computes both ways and a variable selects which of the two goes on: one trace for all
layers. A select is right here, where nothing trains; in the training step it is not exact.
"""

import contextlib
import functools
import inspect
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, Number, to_wire
from tuimon.text import plain
from tuimon.trainer.keras import keras_internals
from tuimon.trainer.keras.measuring.recalibration import moments
from tuimon.trainer.keras.steps.modes import AUTO, Mode, ModeScope, force_training

if TYPE_CHECKING:
    from tuimon.trainer.keras.watched_model import WatchedModel

MASKS = 8
"""Random masks that the stochastic part is the mean of; half as many where inference is random as well, each way."""
KEPT_FUNCTIONS = 4
"""Traced functions that are kept beside the one for all layers; each holds megabytes of a large model."""

Kind = Literal["training", "quiet", "selected"]
"""A pass as training makes it; the same with the random layers off; inference, but for the layers selected."""

Calls = dict[str, list[bool]]
"""By path of a BatchNormalization layer, in the order of their first calls: of each call, whether it uses batch
statistics."""


@dataclass(frozen=True)
class _InForce:
    """What a training step was traced with."""

    mode: Mode
    trainable: frozenset[tuple[str, bool]]
    """Each BatchNormalization layer's flag. One that was set since, without `compile`, does nothing in the step."""


class ProbeError(Exception):
    """This batch or this model cannot be probed; the message says why."""


def most_passes(layers: int) -> int:
    """Return how many forward passes a probe of so many BatchNormalization layers takes at most."""
    return 2 + MASKS + 2 * layers


class Probes:
    """Probes one model, again and again, with the functions that were traced the first time.

    Args:
        instruments: The model.
    """

    def __init__(self, instruments: "WatchedModel") -> None:
        self._instruments = instruments
        self._model = instruments.model
        self._kept: OrderedDict[tuple[Kind, _InForce], _Forward] = OrderedDict()
        self._selected: _Forward | None = None
        self._made_for: tuple[Any, Any] = (None, None)
        self.first_seconds = 0.0
        """What all traces took so far, each with its first pass."""

    @property
    def why_not(self) -> str:
        """Why this model cannot be probed; empty where it can."""
        if self._instruments.why_not_steerable:
            return self._instruments.why_not_steerable
        if not self._model.compiled:
            return "the loss of a model that is not compiled is not known"
        if keras_internals.has_own_train_step(self._model):
            return "the model's train_step is its own: which loss it has is not known"
        return ""

    def measure(self, batch: Any, validation: Any, mode: Mode, reason: str) -> events.Probe:
        """Return what the passes over a batch show. Changes no variable and no random state.

        It takes 2 + `MASKS` + 2 × (BatchNormalization layers in training mode) passes at most; one mask is enough where
        nothing is random. Without such layers, one more where there are validation data, random layers and others that
        depend on `training`.

        What draws random numbers beside the layers (the `call` of a subclassed model, a function that the user has
        compiled) is in `other`, with what else depends on `training`. Python code in a layer's `call` that draws from
        NumPy while it is traced does so for this trace, too.

        Args:
            batch: As the train step gets it.
            validation: As the test step gets it; None: there is none.
            mode: The mode in force.
            reason: Why it is made.

        Raises:
            ProbeError: it cannot be done with this batch, or with this model.
        """
        if self.why_not:
            raise ProbeError(self.why_not)
        if keras_internals.would_make_metrics(self._model):
            raise ProbeError("the loss given to compile has not been used: the loop has one of its own")
        self._forget_what_is_old()
        with _translated_errors(), _losses_kept(self._model):
            return self._measure(batch, validation, self._in_force(mode), reason)

    def _forget_what_is_old(self) -> None:
        """Drop functions that were traced before the model was compiled anew, or its train function made anew."""
        made_for = (keras_internals.compiled_loss(self._model), self._instruments.train.users_function)
        if any(one is not other for one, other in zip(made_for, self._made_for, strict=True)):
            self._kept.clear()
            self._selected = None
        self._made_for = made_for

    def has_probed(self, mode: Mode) -> bool:
        """Whether a probe was made in this mode, so that its functions are there."""
        self._forget_what_is_old()
        return ("training", self._in_force(mode)) in self._kept

    def switches(self, mode: Mode) -> bool:
        """Whether any BatchNormalization layer uses batch statistics in training; known once a probe was made."""
        return any(map(any, self._function("training", self._in_force(mode)).calls.values()))

    def validate(self, batch: Any, mode: Mode, *, switched: bool) -> "Validated":
        """Return the loss of a validation batch in inference mode, or with batch statistics as training uses them.

        A probe must have been made in this mode.

        Raises:
            ProbeError: it cannot be done with this batch.
        """
        calls = self._function("training", self._in_force(mode)).calls
        selected = [path for path, used in calls.items() if switched and any(used)]
        with _translated_errors(), _losses_kept(self._model):
            function = self._selecting(calls)
            one = function.run(batch, selected=selected)
            self.first_seconds += function.take_runs().first_seconds
        return Validated(one.loss, keras_internals.examples(self._model, batch), one.losses)

    def _measure(self, batch: Any, validation: Any, in_force: _InForce, reason: str) -> events.Probe:
        started = time.perf_counter()
        training = self._function("training", in_force)
        trained = [training.run(batch, looks=True)]
        selecting = self._selecting(training.calls)
        inferred = [selecting.run(batch, looks=True)]
        # The same random numbers both ways, where both draw some.
        masks = 1 if not training.draws else MASKS // 2 if selecting.draws else MASKS
        trained += [training.run(batch, seed=mask) for mask in range(1, masks)]
        inferred += [selecting.run(batch, seed=mask) for mask in range(1, masks if selecting.draws else 1)]
        losses = np.array([each.loss for each in trained])
        gaps = losses - [each.loss for each in inferred]
        gap, inference = float(np.mean(gaps)), inferred[0]
        paths = [path for path, calls in training.calls.items() if any(calls)]
        shares = _shares(selecting, batch, paths, inference.loss)
        used = [training, selecting]
        randoms = _but(
            [*keras_internals.random_layers(self._model), *training.drawing],
            # What inference draws as well is not the learning phase's.
            selecting.drawing,
        )
        randoms = randoms if training.draws else []
        if not randoms:
            # Nothing to switch off. Of what both ways draw, the layers' shares are of one draw.
            quiet = trained[0].loss if selecting.draws else inference.loss + gap
        elif self._may_be_other():
            used.append(self._function("quiet", in_force, training.calls, randoms))
            quiet = used[-1].run(batch).loss
        else:
            quiet = shares.all_switched
        batch_norm, other = shares.all_switched - inference.loss, quiet - shares.all_switched
        held = selecting.run(validation, looks=True) if validation is not None else None
        error = float(np.std(gaps, ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else 0.0
        runs = [function.take_runs() for function in used]
        first_seconds = sum(run.first_seconds for run in runs)
        self.first_seconds += first_seconds
        return events.Probe(
            reason=reason,
            examples=keras_internals.examples(self._model, batch),
            train=to_wire(float(np.mean(losses))),
            inference=to_wire(float(np.mean(losses)) - gap),
            gap=to_wire(gap),
            batch_norm=to_wire(batch_norm),
            stochastic=to_wire(gap - batch_norm - other),
            other=to_wire(other),
            masks=len(trained),
            standard_error=to_wire(error),
            validation=to_wire(held.loss) if held is not None else None,
            layers={
                path: self._layer(path, shares, trained[0], inference, held)
                for path in training.calls
                if path in self._instruments.reader.layers
            },
            passes=sum(run.passes for run in runs),
            seconds=max(0.0, time.perf_counter() - started - first_seconds),
            traced_seconds=first_seconds,
        )

    def _may_be_other(self) -> bool:
        """Whether anything but BatchNormalization and randomness may depend on ``training``."""
        layers = _but(keras_internals.flatten_layers(self._model), list(self._instruments.reader.layers.values()))
        return keras_internals.has_own_call(self._model) or any(map(keras_internals.may_depend_on_training, layers))

    def _layer(
        self, path: str, shares: "_Shares", trained: "_Pass", inference: "_Pass", held: "_Pass | None"
    ) -> events.ProbeLayer:
        layer = self._instruments.reader.layers[path]
        mean, variance = (keras_internals.array(part) for part in (layer.moving_mean, layer.moving_variance))
        moving = _Given(np.nan, mean.astype(np.float64), variance.astype(np.float64))
        divergence = partial(_divergence, epsilon=float(layer.epsilon))
        in_order, alone = shares.of.get(path, (0.0, 0.0))
        calls = [call[0] for call in trained.layers.get(path, [])]
        # Of a shared layer, the first call stands for the data, and the one furthest from the moving average for drift.
        before = next(iter(inference.layers.get(path, [])), [])
        there = next(iter(held.layers.get(path, [])), []) if held is not None else []
        return events.ProbeLayer(
            in_order=to_wire(in_order),
            alone=to_wire(alone),
            drift=max((divergence(moving, call) for call in calls), key=_known, default=None),
            elements=int(min((call.count for call in calls), default=0)),
            calls=len(calls),
            calls_divergence=max(
                (divergence(one, other) for number, one in enumerate(calls) for other in calls[number + 1 :]),
                key=_known,
                default=None,
            ),
            validation_divergence=divergence(before[0], there[0]) if before and there else None,
            validation_elements=int(there[0].count) if there else 0,
            sampling_divergence=divergence(before[1], before[2]) if len(before) > 2 else None,
        )

    def _in_force(self, mode: Mode) -> _InForce:
        modes = {path: self._instruments.traced_mode(path, mode) for path in self._instruments.reader.layers}
        return _InForce(_of_calls(mode), frozenset((path, word != "frozen") for path, word in modes.items()))

    def _function(
        self, kind: Kind, in_force: _InForce, calls: Calls | None = None, off: Sequence[Any] = ()
    ) -> "_Forward":
        key = (kind, in_force)
        if key not in self._kept:
            self._kept[key] = _Forward(self._instruments, kind, in_force, calls or {}, off)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_FUNCTIONS:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _selecting(self, calls: Calls) -> "_Forward":
        """Return the function that can switch the layers that use batch statistics in training."""
        kept = self._selected
        if kept is None or any(
            kept.switched.get(path) != switched for path, switched in calls.items() if any(switched)
        ):
            kept = self._selected = _Forward(self._instruments, "selected", _InForce(AUTO, frozenset()), calls)
        return kept


@dataclass(frozen=True)
class Validated:
    """A validation batch."""

    loss: float
    """Its loss."""
    size: int
    """Its examples."""
    losses: FloatArray | None
    """The loss of each example, `(size,)`; None where that is not known."""


@dataclass(frozen=True)
class _Given:
    """What a layer was given in one call, per channel."""

    count: float
    mean: FloatArray
    variance: FloatArray


@dataclass(frozen=True)
class _Pass:
    """What one forward pass showed."""

    loss: float
    losses: FloatArray | None = None
    """Of each example; None where that is not known."""
    layers: dict[str, list[list[_Given]]] = field(default_factory=dict)
    """By path, of each call of the layer: all that it was given, then, in inference mode, the two halves of it."""


@dataclass(frozen=True)
class _Shares:
    all_switched: float
    """The loss with all of them on batch statistics."""
    of: dict[str, tuple[float, float]]
    """In order and alone, by path."""


@dataclass(frozen=True)
class _Runs:
    passes: int
    first_seconds: float
    """What was spent on the trace and on the first pass."""


def _of_calls(mode: Mode) -> Mode:
    """Return what of a mode matters to a call of the model."""
    return replace(mode, momentum=frozenset(), own_learning_rate=False)


def _but(layers: Sequence[Any], left_out: Sequence[Any]) -> list[Any]:
    known = set(map(id, left_out))
    return [layer for layer in {id(layer): layer for layer in layers}.values() if id(layer) not in known]


def check(batch: Any, model: Any) -> None:
    """Look at a batch before it is held.

    Raises:
        ProbeError: it has no labels, or holds what is not finite.
    """
    x, y, _ = keras.utils.unpack_x_y_sample_weight(keras_internals.without_optionals(batch))
    if y is None and model.loss is not None:
        raise ProbeError("the batch has no labels")
    parts = [part for part in tf.nest.flatten(x, expand_composites=True) if tf.is_tensor(part)]
    if any(part.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(part))) for part in parts):
        raise ProbeError("the batch holds NaN or infinity")


def _shares(selecting: "_Forward", batch: Any, paths: Sequence[str], inference: float) -> _Shares:
    """Switch the layers from moving to batch statistics, one after another and each alone."""
    if not paths:
        return _Shares(inference, {})
    in_order = [selecting.run(batch, selected=paths[: count + 1]).loss for count in range(len(paths))]
    alone = [in_order[0], *(selecting.run(batch, selected=[path]).loss for path in paths[1:])]
    shares = np.diff([inference, *in_order])
    return _Shares(
        in_order[-1],
        {path: (float(share), one - inference) for path, share, one in zip(paths, shares, alone, strict=True)},
    )


class _Forward:
    """One traced function: the loss of one pass, in one mode.

    Args:
        instruments: The model.
        kind: What a pass is.
        in_force: In it.
        switched: For the kind "selected": the calls that a layer's switch is for. For the kind "quiet": the calls that
            use batch statistics, as training has them.
        off: Layers that are in inference mode all the same.
    """

    def __init__(
        self, instruments: "WatchedModel", kind: Kind, in_force: _InForce, switched: Calls, off: Sequence[Any] = ()
    ) -> None:
        self.calls: Calls = {}
        """What was called; known once a pass was made."""
        self.draws = False
        """Whether a pass draws random numbers; known once one was made."""
        self.drawing: list[Any] = []
        """The layers that do so themselves, as far as it can be seen; known once a pass was made."""
        self._drawing: list[tuple[Any, list[Any]]] = []
        self.switched = switched
        """As given."""
        self._model = instruments.model
        self._kind = kind
        self._layers = dict(instruments.reader.layers)
        self._scope = ModeScope(in_force.mode, self._model, instruments.layers)
        self._trainable = {self._layers[path]: flag for path, flag in in_force.trainable if path in self._layers}
        # Another's traces of what the user has compiled read another's variables.
        self._salt = ("probe", object())
        self._off = off
        # Variables, so that they are read in the graph also where the user has compiled a layer's call.
        with tf.init_scope():
            self._selected = tf.Variable(np.zeros(max(1, len(self._layers)), bool), trainable=False)
            self._looks = tf.Variable(False, trainable=False)
        # A validation's last batch may be a smaller one.
        self._run = tf.function(self._step, autograph=False, reduce_retracing=True)
        self._seen: dict[int, _Seen] = {}
        self._runs = _Runs(0, 0.0)

    def run(self, batch: Any, *, selected: Sequence[str] = (), seed: int = 0, looks: bool = False) -> _Pass:
        """Make one pass.

        Args:
            batch: The batch.
            selected: Paths of the layers that use batch statistics, for the kind "selected".
            seed: Of the random layers.
            looks: Whether what the layers are given is returned.
        """
        self._looks.assign(looks)
        self._selected.assign([path in selected for path in self._layers] or [False])
        started, seed = time.perf_counter(), tf.constant(seed, tf.uint32)
        traces = self._run.experimental_get_tracing_count()
        # Traced also where the model runs eagerly: only of a graph it can be told that it leaves no trace.
        function = self._run.get_concrete_function(batch, seed)
        is_first = self._run.experimental_get_tracing_count() > traces
        if is_first:
            if keras_internals.has_state_of_its_own(function):
                raise ProbeError("the model has state that Keras does not know: a variable, a generator, Python code")
            draws = keras_internals.used_draws(function)
            self.draws = bool(draws)
            # What is drawn within a function that the user has compiled, or in a loop, is taken to be used.
            self.drawing = [
                layer
                for layer, operations in self._drawing
                if any(operation in draws or operation.graph is not function.graph for operation in operations)
            ]
        loss, losses, given = self._run(batch, seed)
        local = self._model.distribute_strategy.experimental_local_results
        # Of a short batch, replicas have other numbers of examples, or none.
        sizes = keras_internals.examples_of_replicas(self._model, batch)
        all_same = 0 if any(sizes) else 1
        parts = [(float(part), max(size, all_same)) for part, size in zip(local(loss), sizes, strict=True)]
        value = sum(part * size for part, size in parts if size) / sum(size for _, size in parts)
        found = tf.nest.map_structure(lambda part: np.asarray(local(part)[0], np.float64), given) if looks else {}
        seconds = time.perf_counter() - started if is_first else 0.0
        self._runs = _Runs(self._runs.passes + 1, self._runs.first_seconds + seconds)
        each = None if losses is None else np.concatenate([np.asarray(part, np.float64) for part in local(losses)])
        return _Pass(
            value, each, {path: [[_Given(*part) for part in call] for call in calls] for path, calls in found.items()}
        )

    def take_runs(self) -> _Runs:
        """Return what was done since the last time."""
        runs, self._runs = self._runs, _Runs(0, 0.0)
        return runs

    def _step(self, batch: Any, seed: Any) -> Any:
        with contextlib.ExitStack() as undo:
            undo.callback(self._seen.clear)
            for path, layer in self._layers.items():
                undo.callback(self._observe(path, layer))
            for layer in self._off:
                undo.callback(force_training(layer, False))
            for layer in keras_internals.flatten_layers(self._model):
                if keras_internals.may_draw(layer):
                    undo.callback(self._listen_for_draws(layer))
            undo.callback(keras_internals.trace_compiled_anew(self._salt, lambda: threading.get_ident() in self._seen))
            return self._model.distribute_strategy.run(self._forward, args=(batch, seed))

    def _forward(self, batch: Any, seed: Any) -> Any:
        model, is_training = self._model, self._kind != "selected"
        seen = self._seen[threading.get_ident()] = _Seen()
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(keras_internals.without_optionals(batch))
        states = list({id(state): state for state in keras_internals.seed_states(model)}.values())
        shared = keras_internals.shared_seed_state()
        states += [] if shared is None else [shared]
        seeds = [
            (state, tf.stack([seed + number * 1000, tf.zeros((), tf.uint32)])) for number, state in enumerate(states)
        ]
        known = seeds + keras_internals.regularized(model)
        with contextlib.ExitStack() as scopes:
            scopes.enter_context(self._scope())
            for layer, flag in self._trainable.items() if self._kind != "selected" else ():
                scopes.callback(keras_internals.set_untracked(layer, "_trainable", flag))
            scopes.enter_context(keras.StatelessScope(state_mapping=known, collect_losses=True))
            outputs = model(x, training=is_training) if keras_internals.takes_training(model) else model(x)
            loss = keras_internals.loss_of(model, x, y, outputs, sample_weight, training=is_training)
            losses = keras_internals.losses_of_examples(model, y, outputs, sample_weight)
        self.calls, self._drawing = seen.calls, list(seen.drawing.values())
        # What was made inside a function that the user has compiled, or in a loop, cannot be had from there.
        reached = {
            path: calls
            for path, calls in seen.given.items()
            if keras_internals.is_of_this_graph(part for call in calls for given in call for part in given)
        }
        return loss, losses, reached

    def _observe(self, path: str, layer: Any) -> Callable[[], None]:
        """Listen to a layer's calls, or have them switched; returns the way back."""
        original = layer.call
        signature = inspect.signature(original)
        number = list(self._layers).index(path)

        # A mode that forces `training` looks at the signature.
        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            seen = self._seen.get(threading.get_ident())
            if seen is None:
                return original(*args, **kwargs)  # Another thread's, of a data loader or a second model.
            bound = signature.bind(*args, **kwargs)
            training = bound.arguments.get("training")
            uses_batch = bool(layer.trainable) and (tf.is_tensor(training) or bool(training))
            calls = seen.calls.setdefault(path, [])
            is_switched = [*self.switched.get(path, []), *[False] * (len(calls) + 1)][len(calls)]
            calls.append(uses_batch)
            given = self._given(layer, next(iter(bound.arguments.values())), bound.arguments.get("mask"))
            seen.given.setdefault(path, []).append(given)
            if not is_switched:
                return original(*args, **kwargs)
            moving = None if self._kind == "quiet" else original(*bound.args, **bound.kwargs)
            bound.arguments["training"] = True
            # What it writes ends here, so that a further call of a shared layer reads what is in the variables.
            with keras.StatelessScope(), contextlib.ExitStack() as undo:
                undo.callback(keras_internals.set_untracked(layer, "_trainable", True))
                own = original(*bound.args, **bound.kwargs)
            return own if moving is None else tf.where(self._selected[number], own, moving)

        return keras_internals.set_untracked(layer, "call", call)

    def _listen_for_draws(self, layer: Any) -> Callable[[], None]:
        """Listen to whether a layer, and not one within it, draws random numbers; returns the way back."""
        original = layer.call

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            seen = self._seen.get(threading.get_ident())
            if seen is None:
                return original(*args, **kwargs)
            graph = tf.compat.v1.get_default_graph()
            before = len(graph.get_operations())
            outputs = original(*args, **kwargs)
            own = [each for each in keras_internals.draws_of(graph, before) if each not in seen.draws]
            seen.draws.update(own)
            if own:
                seen.drawing.setdefault(id(layer), (layer, []))[1].extend(own)
            return outputs

        return keras_internals.set_untracked(layer, "call", call)

    def _given(self, layer: Any, inputs: Any, mask: Any) -> list[tuple[Any, Any, Any]]:
        """Return the moments of what a layer is given; where nobody looks, zeros."""
        half = tf.shape(inputs)[0] // 2
        parts = [(inputs, mask)]
        if self._kind == "selected":
            parts += [(inputs[:half], None if mask is None else mask[:half])]
            parts += [(inputs[half:], None if mask is None else mask[half:])]

        def look() -> list[Any]:
            of_parts = (moments(layer, part, part_mask) for part, part_mask in parts)
            return [tf.cast(number, tf.float64) for part in of_parts for number in part]

        def zeros() -> list[Any]:
            empty = tf.zeros(layer.moving_mean.shape, tf.float64)
            return [tf.zeros((), tf.float64), empty, empty] * len(parts)

        flat = tf.cond(self._looks, look, zeros)
        return list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


@dataclass
class _Seen:
    """What one pass of one replica has called."""

    calls: Calls = field(default_factory=dict)
    given: dict[str, list[list[tuple[Any, Any, Any]]]] = field(default_factory=dict)
    drawing: dict[int, tuple[Any, list[Any]]] = field(default_factory=dict)
    """The layers that draw, each with its own operations, not those of the layers within."""
    draws: set[Any] = field(default_factory=set)
    """All of these operations."""


def _divergence(left: _Given, right: _Given, *, epsilon: float) -> Number:
    """Return the mean over channels of KL(left ‖ right) + KL(right ‖ left) of normal distributions, in nats.

    With variances v and w and distance d of the means: (v / w + w / v − 2 + d² (1 / v + 1 / w)) / 2. Source: Kullback &
    Leibler, "On Information and Sufficiency", 1951.
    """
    v, w = left.variance + epsilon, right.variance + epsilon
    distance = (left.mean - right.mean) ** 2
    return to_wire(float(np.mean((v / w + w / v - 2 + distance * (1 / v + 1 / w)) / 2)))


def _known(number: Number) -> float:
    return number if isinstance(number, float) else float("inf")


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except ProbeError:
        raise
    except (tf.errors.ResourceExhaustedError, MemoryError):
        raise ProbeError("the batch is too large for the memory that is left") from None
    except Exception as error:
        first_line = next(iter(str(error).strip().splitlines()), "")
        raise ProbeError(
            f"the model cannot be called with the batch: {plain(first_line or repr(error), 200)}"
        ) from error


@contextlib.contextmanager
def _losses_kept(model: Any) -> Iterator[None]:
    """A trace leaves its losses with the layers."""
    put_losses_back = keras_internals.keep_losses(model)
    try:
        yield
    finally:
        put_losses_back()
