"""A traced function that computes the loss of one forward pass, in one mode, and writes no variable.

In training mode Keras calls the model in its own way, traced in the mode in force. A second function measures the
effect of each BatchNormalization layer on the loss. In it a layer computes both ways, and a variable selects one of the
two results, so one trace serves all layers. The select is exact here, where nothing trains; in a training step it is
not.
"""

import contextlib
import functools
import inspect
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from msgspec import Struct, field

from tuimon.trainer.engine import Calls, Moments, Pass, ProbeError
from tuimon.trainer.keras.internals import graphs, patches, variables
from tuimon.trainer.keras.internals.layers import (
    flatten_layers,
    may_draw,
    seed_states,
    shared_seed_state,
    takes_training,
)
from tuimon.trainer.keras.internals.losses import loss_of, losses_of_examples, regularized
from tuimon.trainer.keras.layers import KerasLayers
from tuimon.trainer.keras.measuring import moments
from tuimon.trainer.keras.steps.mode_scope import ModeScope, force_training
from tuimon.trainer.modes import Mode

Kind = Literal["training", "quiet", "selected"]
"""``training``: a pass as in a training step. ``quiet``: the same with the random layers off. ``selected``: inference,
but with batch statistics in the selected layers."""


class InForce(Struct, frozen=True):
    """The mode and flags that a training step was traced with."""

    mode: Mode
    trainable: frozenset[tuple[str, bool]]
    """Each BatchNormalization layer's flag. A flag that was set later, without `compile`, has no effect in the step."""


class Runs(Struct, frozen=True):
    """Counts of a function's use."""

    passes: int = 0
    first_seconds: float = 0.0
    """Seconds of its traces, each with its first pass."""


class Forward:
    """Computes the loss of one pass, in one mode.

    Args:
        model: The model.
        layers: Its layers.
        kind: The kind of pass.
        in_force: The mode and flags of the pass.
        switched: For the kind "selected": the calls that a layer's switch is for. For the kind "quiet": the calls that
            use batch statistics in training.
        off: Layers to keep in inference mode.
    """

    def __init__(
        self, model: Any, layers: KerasLayers, kind: Kind, in_force: InForce, switched: Calls, off: Sequence[Any] = ()
    ) -> None:
        self.calls: Calls = {}
        """The calls of each BatchNormalization layer; known after the first pass."""
        self.draws = False
        """True if a pass draws random numbers; known after the first pass."""
        self.drawing: list[Any] = []
        """The layers that are seen to draw random numbers themselves; known after the first pass."""
        self._drawing: list[tuple[Any, list[Any]]] = []
        self.switched = switched
        """The argument ``switched``."""
        self._model = model
        self._kind = kind
        self._layers = dict(layers.batch_norm_by_path)
        self._scope = ModeScope(in_force.mode, self._model, layers.by_path)
        self._trainable = {self._layers[path]: flag for path, flag in in_force.trainable if path in self._layers}
        # Each object has its own traces of the user's compiled functions, because they read its variables.
        self._salt = ("probe", object())
        self._off = off
        # Variables, so that the graph reads them even inside a layer's call that the user compiled.
        self._selected = variables.own(np.zeros(max(1, len(self._layers)), bool), "tuimon_selected")
        self._looks = variables.own(False, "tuimon_looks")
        # The last batch of a validation may be smaller.
        self._run = tf.function(self._step, autograph=False, reduce_retracing=True)
        self._seen: dict[int, _Seen] = {}
        self._runs = Runs(0, 0.0)

    def run(self, batch: Any, *, selected: Sequence[str] = (), seed: int = 0, looks: bool = False) -> Pass:
        """Make one pass.

        Args:
            batch: The batch.
            selected: For the kind "selected": paths of the layers that use batch statistics.
            seed: Of the random layers.
            looks: Whether to return the moments of the layers' inputs.
        """
        self._looks.assign(looks)
        self._selected.assign([path in selected for path in self._layers] or [False])
        started, seed = time.perf_counter(), tf.constant(seed, tf.uint32)
        traces = self._run.experimental_get_tracing_count()
        # Trace even an eager model: only a graph shows that a pass writes nothing.
        function = self._run.get_concrete_function(batch, seed)
        is_first = self._run.experimental_get_tracing_count() > traces
        if is_first:
            if graphs.has_state_of_its_own(function):
                raise ProbeError("the model has state that Keras does not know: a variable, a generator, Python code")
            draws = graphs.used_draws(function)
            self.draws = bool(draws)
            # Numbers that a user's compiled function or a loop draws count as used.
            self.drawing = [
                layer
                for layer, operations in self._drawing
                if any(operation in draws or operation.graph is not function.graph for operation in operations)
            ]
        loss, losses, given, output = self._run(batch, seed)
        local = self._model.distribute_strategy.experimental_local_results
        # In a short batch, replicas have fewer examples, or none.
        sizes = variables.examples_of_replicas(self._model, batch)
        all_same = 0 if any(sizes) else 1
        parts = [(float(part), max(size, all_same)) for part, size in zip(local(loss), sizes, strict=True)]
        value = sum(part * size for part, size in parts if size) / sum(size for _, size in parts)
        found = tf.nest.map_structure(lambda part: np.asarray(local(part)[0], np.float64), given) if looks else {}
        seconds = time.perf_counter() - started if is_first else 0.0
        self._runs = Runs(self._runs.passes + 1, self._runs.first_seconds + seconds)
        each = None if losses is None else np.concatenate([np.asarray(part, np.float64) for part in local(losses)])
        moments_of = {path: [[Moments(*part) for part in call] for call in calls] for path, calls in found.items()}
        return Pass(value, each, moments_of, None if output is None else np.asarray(local(output)[0]))

    def take_runs(self) -> Runs:
        """Return the counts since the last call."""
        runs, self._runs = self._runs, Runs(0, 0.0)
        return runs

    def _step(self, batch: Any, seed: Any) -> Any:
        with contextlib.ExitStack() as undo:
            undo.callback(self._seen.clear)
            for path, layer in self._layers.items():
                undo.callback(self._observe(path, layer))
            for layer in self._off:
                undo.callback(force_training(layer, False))
            for layer in flatten_layers(self._model):
                if may_draw(layer):
                    undo.callback(self._listen_for_draws(layer))
            undo.callback(patches.trace_compiled_anew(self._salt, lambda: threading.get_ident() in self._seen))
            return self._model.distribute_strategy.run(self._forward, args=(batch, seed))

    def _forward(self, batch: Any, seed: Any) -> Any:
        model, is_training = self._model, self._kind != "selected"
        seen = self._seen[threading.get_ident()] = _Seen()
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(variables.without_optionals(batch))
        states = list({id(state): state for state in seed_states(model)}.values())
        shared = shared_seed_state()
        states += [] if shared is None else [shared]
        seeds = [
            (state, tf.stack([seed + number * 1000, tf.zeros((), tf.uint32)])) for number, state in enumerate(states)
        ]
        known = seeds + regularized(model)
        with contextlib.ExitStack() as scopes:
            scopes.enter_context(self._scope())
            for layer, flag in self._trainable.items() if self._kind != "selected" else ():
                scopes.callback(patches.set_untracked(layer, "_trainable", flag))
            scopes.enter_context(keras.StatelessScope(state_mapping=known, collect_losses=True))
            outputs = model(x, training=is_training) if takes_training(model) else model(x)
            loss = loss_of(model, x, y, outputs, sample_weight, training=is_training)
            losses = losses_of_examples(model, y, outputs, sample_weight)
        self.calls, self._drawing = seen.calls, list(seen.drawing.values())
        # Tensors inside a user's compiled function, or inside a loop, are out of reach here.
        reached = {
            path: calls
            for path, calls in seen.given.items()
            if graphs.is_of_this_graph(part for call in calls for given in call for part in given)
        }
        output = tf.reduce_mean(outputs, axis=0) if losses is not None and outputs.dtype.is_floating else None
        return loss, losses, reached, output

    def _observe(self, path: str, layer: Any) -> Callable[[], None]:
        """Note a layer's calls, and switch them if asked; return a function that undoes the change."""
        number = list(self._layers).index(path)

        def call(original: Callable[..., Any], bound: inspect.BoundArguments) -> Any:
            seen = self._seen.get(threading.get_ident())
            if seen is None:
                # A call of another thread: a data loader or a second model.
                return original(*bound.args, **bound.kwargs)
            training = bound.arguments.get("training")
            uses_batch = bool(layer.trainable) and (tf.is_tensor(training) or bool(training))
            calls = seen.calls.setdefault(path, [])
            is_switched = [*self.switched.get(path, []), *[False] * (len(calls) + 1)][len(calls)]
            calls.append(uses_batch)
            given = self._given(layer, next(iter(bound.arguments.values())), bound.arguments.get("mask"))
            seen.given.setdefault(path, []).append(given)
            if not is_switched:
                return original(*bound.args, **bound.kwargs)
            moving = None if self._kind == "quiet" else original(*bound.args, **bound.kwargs)
            bound.arguments["training"] = True
            # Its writes end with this scope, so a further call of a shared layer reads the variables unchanged.
            with keras.StatelessScope(), contextlib.ExitStack() as undo:
                undo.callback(patches.set_untracked(layer, "_trainable", True))
                own = original(*bound.args, **bound.kwargs)
            return own if moving is None else tf.where(self._selected[number], own, moving)

        return patches.wrap_call(layer, call)

    def _listen_for_draws(self, layer: Any) -> Callable[[], None]:
        """Note the random numbers that a layer itself draws; return a function that undoes the change."""
        original = layer.call

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            seen = self._seen.get(threading.get_ident())
            if seen is None:
                return original(*args, **kwargs)
            graph = tf.compat.v1.get_default_graph()
            before = len(graph.get_operations())
            outputs = original(*args, **kwargs)
            own = [each for each in graphs.draws_of(graph, before) if each not in seen.draws]
            seen.draws.update(own)
            if own:
                seen.drawing.setdefault(id(layer), (layer, []))[1].extend(own)
            return outputs

        return patches.set_untracked(layer, "call", call)

    def _given(self, layer: Any, inputs: Any, mask: Any) -> list[tuple[Any, Any, Any]]:
        """Return the moments of a layer's inputs; zeros unless the pass looks."""
        half = tf.shape(inputs)[0] // 2
        parts = [(inputs, mask)]
        if self._kind == "selected":
            parts += [(inputs[:half], None if mask is None else mask[:half])]
            parts += [(inputs[half:], None if mask is None else mask[half:])]

        def look() -> list[Any]:
            of_parts = (moments.of_inputs(layer, part, part_mask) for part, part_mask in parts)
            return [tf.cast(number, tf.float64) for part in of_parts for number in part]

        def zeros() -> list[Any]:
            empty = tf.zeros(layer.moving_mean.shape, tf.float64)
            return [tf.zeros((), tf.float64), empty, empty] * len(parts)

        flat = tf.cond(self._looks, look, zeros)
        return list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


class _Seen(Struct):
    """Notes about one pass of one replica."""

    calls: Calls = field(default_factory=dict)
    given: dict[str, list[list[tuple[Any, Any, Any]]]] = field(default_factory=dict)
    drawing: dict[int, tuple[Any, list[Any]]] = field(default_factory=dict)
    """The layers that draw, each with its own drawing operations, without those of the layers within."""
    draws: set[Any] = field(default_factory=set)
    """All of these operations."""
