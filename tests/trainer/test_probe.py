"""The gap between training mode and inference mode: against a copy of the model under plain Keras flags."""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.trainers import data_adapters

import tuimon
from trainer.keras_models import Ask, compiled, data, facts_of, fit, same_weights, sequential
from trainer.kinds import Kind, every_kind, state_of
from tuimon.protocol import commands, events
from tuimon.protocol.wire import from_wire
from tuimon.trainer import probe
from tuimon.trainer.engine import PASSES_OF_A_GRADIENT, ProbeError
from tuimon.trainer.keras.internals.layers import (
    has_own_train_step,
    layers_by_path,
    random_layers,
    seed_states,
    takes_training,
)
from tuimon.trainer.keras.steps.listeners import Listeners
from tuimon.trainer.keras.watched_model import WatchedModel
from tuimon.trainer.modes import AUTO, Mode
from tuimon.trainer.probe import LIGHT, MASKS, measure

COVERING = (
    "sequential",
    "two branches",
    "subclassed",
    "shared",
    "masked",
    "own compute_loss",
    "several inputs and outputs",
    "own layer",
)
PRECISION = {"bfloat16": 2e-2, "float16": 2e-3}
"""Relative; what is computed in half precision is not more exact. All else: 1e-5."""


def watch(model: keras.Model) -> WatchedModel:
    def ignore(*_: Any) -> None:
        """Nothing is steered here."""

    watched = WatchedModel(model, batch_loss=True, listeners=Listeners(ignore, ignore, ignore, ignore, ignore))
    watched.layers.look()
    return watched


def first_batch(kind: Kind) -> tuple[Any, ...]:
    """Return the first training batch as Keras hands it to the step."""
    arguments = kind.data()
    names = ("x", "y", "sample_weight", "batch_size", "class_weight", "shuffle")
    adapter = data_adapters.get_data_adapter(**{name: arguments[name] for name in names if name in arguments})
    batch = next(iter(adapter.get_tf_dataset()))
    return tuple(batch)


class Copy:
    """A copy of a model, with nothing set but what Keras documents."""

    def __init__(self, kind: Kind, model: keras.Model, batch: Sequence[Any]) -> None:
        self.model = kind.model()
        self.parts = keras.utils.unpack_x_y_sample_weight(tuple(batch))
        self.model(self.parts[0])
        self.weights = model.get_weights()
        self.model.set_weights(self.weights)
        # Those of the model are made with its first step; its metrics', too.
        self.loss(training=False)

    def loss(self, *, training: bool) -> float:
        x, y, sample_weight = self.parts
        takes = takes_training(self.model)

        def forward() -> Any:
            outputs = self.model(x, training=training) if takes else self.model(x)
            return self.model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=sample_weight)

        # Compiled as the step is: of 53 layers, TensorFlow's two ways of computing differ by more than 1e-5.
        loss = forward() if self.model.run_eagerly else tf.function(forward, autograph=False)()
        self.model.set_weights(self.weights)
        return float(loss)

    def seed(self, number: int) -> None:
        """Give the random layers the seeds that the probe gives them."""
        states = list({id(state): state for state in seed_states(self.model)}.values())
        for position, state in enumerate(states):
            state.assign([number + position * 1000, 0])

    def switch_random_layers_off(self) -> None:
        for layer in random_layers(self.model):
            call = layer.call
            layer.call = lambda *args, call=call, training=None, **kwargs: call(*args, training=False, **kwargs)

    def train_only(self, paths: Sequence[str]) -> None:
        for path, layer in layers_by_path(self.model).items():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = path in paths


@pytest.mark.parametrize("kind", every_kind(*COVERING))
def test_each_part_is_what_keras_gives_under_plain_flags(kind: Kind) -> None:
    model = kind.model()
    kind.fit(model, 1)
    watched = watch(model)
    if has_own_train_step(model):
        assert "train_step" in watched.passes.why_not
        return
    batch = first_batch(kind)
    before = state_of(model)
    found = measure(watched, [batch], [], AUTO, "asked")
    assert state_of(model) == before

    def close(value: Any, expected: float) -> None:
        assert from_wire(value) == pytest.approx(expected, rel=PRECISION.get(kind.name, 1e-5), abs=scale)

    copy = Copy(kind, model, batch)
    inference = copy.loss(training=False)
    scale = PRECISION.get(kind.name, 1e-5) * max(1.0, abs(inference))
    close(found.inference, inference)
    masks = []
    for number in range(found.masks):
        copy.seed(number)
        masks.append(copy.loss(training=True))
    close(found.train, float(np.mean(masks)))
    if found.masks > 1:
        close(found.standard_error, float(np.std(masks, ddof=1) / math.sqrt(MASKS)))
    copy.switch_random_layers_off()
    quiet = copy.loss(training=True)
    close(found.stochastic, float(np.mean(masks)) - quiet)
    assert sum(map(from_wire, (found.batch_norm, found.stochastic, found.other))) == pytest.approx(
        from_wire(found.gap), abs=1e-6 * max(1.0, abs(inference))
    )
    layers = list(found.layers)
    assert set(layers) == set(watched.layers.batch_norm)
    if from_wire(found.other) == 0:
        close(found.batch_norm, quiet - inference)
        level = inference
        for count, path in enumerate(layers[:6]):
            copy.train_only(layers[: count + 1])
            switched = copy.loss(training=True)
            close(found.layers[path].in_order, switched - level)
            level = switched
            copy.train_only([path])
            close(found.layers[path].alone, copy.loss(training=True) - inference)
    shares = sum(from_wire(layer.in_order) for layer in found.layers.values())
    assert shares == pytest.approx(from_wire(found.batch_norm), abs=1e-5 * max(1.0, abs(inference)))
    assert found.passes <= 2 + found.masks + 2 * len(layers) + PASSES_OF_A_GRADIENT
    again = measure(watched, [batch], [], AUTO, "asked")
    assert again.traced_seconds == 0
    assert (again.train, again.inference, again.layers) == (found.train, found.inference, found.layers)


def fitted() -> tuple[keras.Model, tuple[Any, Any]]:
    model = compiled(sequential())
    fit(model, 1)
    x, y = data()
    return model, (tf.constant(x[:16]), tf.constant(y[:16]))


def test_a_probe_leaves_random_states_and_the_losses_of_layers_as_they_are() -> None:
    class Restless(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(0.5 * keras.ops.mean(inputs))
            return inputs

    model = compiled(keras.Sequential([sequential(), Restless()]))
    fit(model, 1)
    _, batch = fitted()
    model.evaluate(*batch, verbose=0)
    states = random.getstate(), np.random.get_state()[1].tolist(), list(model.losses)  # type: ignore[union-attr]
    found = measure(watch(model), [batch], [], AUTO, "asked")
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]  # type: ignore[union-attr]
    assert len(model.losses) == len(states[2])
    assert from_wire(found.inference) == pytest.approx(model.evaluate(*batch, verbose=0)[0], rel=1e-5)


def test_frozen_layers_have_no_part() -> None:
    model, batch = fitted()
    watched = watch(model)
    first, second = watched.layers.batch_norm
    one = measure(watched, [batch], [], Mode(frozen=frozenset([first])), "asked")
    assert (one.layers[first].in_order, one.layers[first].alone) == (0, 0)
    assert from_wire(one.layers[second].in_order) == from_wire(one.batch_norm) != 0
    held = measure(watched, [batch], [], Mode(statistics=frozenset([first, second])), "asked")
    assert held.batch_norm == 0 != held.stochastic
    inference = measure(watched, [batch], [], Mode(phase="inference"), "asked")
    assert inference.gap == inference.stochastic == inference.standard_error == 0


def test_drift_is_the_symmetric_divergence_of_moving_and_batch_statistics() -> None:
    keras.utils.set_random_seed(1)
    model = compiled(keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)]))
    x = np.random.default_rng(0).normal(2.0, 3.0, (32, 3)).astype(np.float32)
    model.fit(x, x[:, :1], verbose=0)
    there = x + 1
    found = measure(
        watch(model),
        [(tf.constant(x), tf.constant(x[:, :1]))],
        [(tf.constant(there), tf.constant(x[:, :1]))],
        AUTO,
        "asked",
    )
    (layer,) = found.layers.values()
    bn = model.layers[0]

    def divergence(m: Any, v: Any, n: Any, w: Any) -> float:
        v, w = v + bn.epsilon, w + bn.epsilon
        one = 0.5 * (np.log(w / v) + (v + (m - n) ** 2) / w - 1)
        other = 0.5 * (np.log(v / w) + (w + (m - n) ** 2) / v - 1)
        return float(np.mean(one + other))

    mean, variance = x.mean(0), x.var(0)
    moving = bn.moving_mean.numpy(), bn.moving_variance.numpy()
    assert from_wire(layer.drift) == pytest.approx(divergence(*moving, mean, variance), rel=1e-4)
    assert layer.elements == layer.validation_elements == 32
    expected = divergence(mean, variance, there.mean(0), there.var(0))
    assert from_wire(layer.validation_divergence) == pytest.approx(expected, rel=1e-4)
    halves = divergence(x[:16].mean(0), x[:16].var(0), x[16:].mean(0), x[16:].var(0))
    assert from_wire(layer.sampling_divergence) == pytest.approx(halves, rel=1e-4)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_numbers_that_python_draws_are_the_users(runs: Path, run_eagerly: bool) -> None:
    class Own(keras.layers.Layer):
        draws = 0

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            def draw(array: np.ndarray) -> np.ndarray:
                Own.draws += 1
                return array

            return keras.ops.reshape(tf.numpy_function(draw, [inputs], tf.float32), (-1, 6)) if training else inputs

    model = compiled(keras.Sequential([keras.Input((6,)), Own(), sequential()]), run_eagerly=run_eagerly)
    monitor = tuimon.Monitor(runs_dir=runs, probe=False)
    fit(model, 3, [Ask(monitor, {1: [commands.Probe()]}), monitor])
    assert "state that Keras does not know" in facts_of(monitor, events.CommandRejected)[0].reason
    assert Own.draws == 15


def test_a_generator_draws_nothing_twice(runs: Path) -> None:
    """Keras reads it in another thread while the probe is traced."""
    drawn: list[float] = []

    def batches() -> Iterator[Any]:
        x, y = data()
        while True:
            drawn.append(np.random.random())
            time.sleep(0.005)  # As a disk does.
            yield x[:16] + drawn[-1], y[:16]

    monitor = tuimon.Monitor(runs_dir=runs, probe=False)
    model = compiled(sequential())
    asks = [Ask(monitor, {1: [commands.Probe()], 2: [commands.Probe()]}), monitor]
    model.fit(batches(), steps_per_epoch=10, epochs=4, verbose=0, shuffle=False, callbacks=asks)
    assert len(facts_of(monitor, events.Probe)) == 2
    assert len(set(drawn)) == len(drawn)


@pytest.mark.full
def test_what_is_compiled_anew_is_probed_anew(runs: Path) -> None:
    x, y = data()
    model = compiled(sequential(dropout=0))
    monitor = tuimon.Monitor(runs_dir=runs, probe=(x[:16], y[:16]), overhead=0.99)
    fit(model, 1, [monitor])
    model.compile("adam", "mae", jit_compile=False)
    fit(model, 1, [monitor])
    last = facts_of(monitor, events.Probe)[-1]
    assert from_wire(last.inference) == pytest.approx(np.ravel(model.evaluate(x[:16], y[:16], verbose=0))[0], rel=1e-5)
    for name in ("bn_1", "bn_2"):
        model.get_layer(name).trainable = False
    model.compile("adam", "mae", jit_compile=False)
    fit(model, 1, [monitor])
    assert facts_of(monitor, events.Probe)[-1].gap == 0


def test_what_the_user_has_compiled_is_probed_again_and_again(runs: Path) -> None:
    class Block(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.bn = keras.layers.BatchNormalization(name="bn")
            self.dense = keras.layers.Dense(6)

        @tf.function
        def call(self, inputs: Any, training: bool | None = None) -> Any:
            return self.dense(self.bn(inputs, training=training))

    model = compiled(keras.Sequential([keras.Input((6,)), Block(), keras.layers.Dense(1)]))
    monitor = tuimon.Monitor(runs_dir=runs, probe=False)
    plan = {1: [commands.Probe()], 2: [commands.Freeze()], 3: [commands.Probe()], 4: [commands.Unfreeze()]}
    fit(model, 6, [Ask(monitor, {**plan, 5: [commands.Probe()]}), monitor])
    first, frozen, last = facts_of(monitor, events.Probe)
    assert first.batch_norm != 0 == frozen.batch_norm
    assert last.batch_norm not in (0, first.batch_norm)


def test_an_error_of_the_data_ends_training_as_without_a_probe(runs: Path) -> None:
    def batches() -> Iterator[Any]:
        x, y = data()
        for _ in range(7):
            yield x[:16], y[:16]
        raise RuntimeError("the user's own error")

    monitor = tuimon.Monitor(runs_dir=runs, probe=False)
    asks = [Ask(monitor, {1: [commands.Probe(), commands.Recalibrate(batches=4)]}), monitor]
    model = compiled(sequential())
    with pytest.raises(Exception, match="the user's own error"):
        model.fit(batches(), steps_per_epoch=5, epochs=4, verbose=0, shuffle=False, callbacks=asks)
    assert int(model.optimizer.iterations) == 7
    assert facts_of(monitor, events.RunEnded)[0].status == "failed"


@pytest.mark.full
def test_a_flag_set_without_compile_is_not_in_the_step_and_not_in_its_probe(runs: Path) -> None:
    class Sets(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            for name in ("bn_1", "bn_2"):
                self.model.get_layer(name).trainable = epoch < 1

    monitor = tuimon.Monitor(runs_dir=runs, probe=False)
    model = compiled(sequential(dropout=0))
    plan = {2: [commands.Probe()], 3: [commands.Freeze(), commands.Probe()]}
    fit(model, 4, [Sets(), Ask(monitor, plan), monitor])
    free, frozen = facts_of(monitor, events.Probe)
    assert free.batch_norm != 0 == frozen.batch_norm
    assert sum(from_wire(layer.in_order) for layer in free.layers.values()) == pytest.approx(
        from_wire(free.batch_norm), rel=1e-5
    )
    assert not model.get_layer("bn_1").trainable


def test_what_was_asked_before_a_probe_is_in_it(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs, probe=False)
    plan = {1: [commands.Probe()], 2: [commands.Freeze(), commands.Probe()]}
    fit(compiled(sequential()), 4, [Ask(monitor, plan), monitor])
    free, frozen = facts_of(monitor, events.Probe)
    assert free.batch_norm != 0 == frozen.batch_norm


def test_a_model_that_writes_a_variable_of_its_own_is_not_probed() -> None:
    class Counts(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.counter = [tf.Variable(0)]

        def call(self, inputs: Any) -> Any:
            self.counter[0].assign_add(1)
            return inputs

    model = compiled(keras.Sequential([sequential(), Counts()]))
    fit(model, 1)
    counter = model.layers[1].counter[0]
    before = int(counter.numpy())
    with pytest.raises(ProbeError, match="state that Keras does not know"):
        measure(watch(model), [fitted()[1]], [], AUTO, "asked")
    assert int(counter.numpy()) == before


class Draws(keras.layers.Layer):
    """Random numbers from no seeds of its own, in training or always, before batch statistics."""

    def __init__(self, draw: Callable[[Any], Any], *, always: bool = False) -> None:
        super().__init__()
        self.draw = draw
        self.always = always
        self.bn = keras.layers.BatchNormalization(name="bn")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        hidden = self.draw(inputs) if training or self.always else inputs
        return self.bn(hidden, training=training)


def of(layer: keras.layers.Layer) -> WatchedModel:
    keras.utils.set_random_seed(3)
    model = compiled(keras.Sequential([keras.Input((6,)), layer, keras.layers.Dense(1)]))
    fit(model, 1)
    return watch(model)


@pytest.mark.full
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda x: keras.random.dropout(x, 0.5), id="Keras' own seeds"),
        pytest.param(lambda x: x + tf.random.normal(tf.shape(x)), id="TensorFlow's"),
    ],
)
def test_random_numbers_without_seeds_of_the_layer_are_stochastic(draw: Callable[[Any], Any]) -> None:
    _, batch = fitted()
    found = measure(of(Draws(draw)), [batch], [], AUTO, "asked")
    assert found.masks == MASKS
    assert from_wire(found.standard_error) > 0
    assert found.stochastic != 0 != found.batch_norm
    # All else of the layer is as in training: its BatchNormalization, too.
    assert from_wire(found.other) == pytest.approx(0, abs=1e-5)


def test_where_inference_is_random_too_both_ways_draw_the_same() -> None:
    _, batch = fitted()
    inner = keras.layers.Dropout(0.5)
    watched = of(Draws(lambda x: inner(x, training=True), always=True))
    found = measure(watched, [batch], [], AUTO, "asked")
    assert found.masks == MASKS // 2
    assert found.batch_norm != 0
    assert from_wire(found.other) == pytest.approx(0, abs=1e-5)
    assert found.passes <= 2 + MASKS + 2 * len(watched.layers.batch_norm)
    frozen = measure(watched, [batch], [], Mode(frozen=frozenset(watched.layers.batch_norm)), "asked")
    assert frozen.gap == frozen.batch_norm == frozen.stochastic == 0


def test_a_model_that_draws_beside_its_layers_has_that_in_other() -> None:
    class Noisy(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            return self.dense(inputs + tf.random.normal(tf.shape(inputs)) if training else inputs)

    keras.utils.set_random_seed(3)
    model = compiled(Noisy())
    fit(model, 1)
    found = measure(watch(model), [fitted()[1]], [], AUTO, "asked")
    assert found.masks == MASKS
    assert (found.batch_norm, found.stochastic) == (0, 0)
    assert found.other == found.gap != 0


def test_a_layer_with_dropout_and_batch_statistics_of_its_own_is_taken_apart() -> None:
    class Both(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.seeds = keras.random.SeedGenerator(1)
            self.bn = keras.layers.BatchNormalization(name="bn")

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            hidden = self.bn(inputs, training=training)
            return keras.random.dropout(hidden, 0.5, seed=self.seeds) if training else hidden

    found = measure(of(Both()), [fitted()[1]], [], AUTO, "asked")
    assert found.batch_norm != 0 != found.stochastic
    assert from_wire(found.other) == pytest.approx(0, abs=1e-5)


def test_a_loop_with_a_loss_of_its_own_makes_no_metrics(runs: Path) -> None:
    inputs = keras.Input((6,))
    hidden = keras.layers.BatchNormalization()(inputs)
    model = keras.Model(inputs, [keras.layers.Dense(1, name="one")(hidden), keras.layers.Dense(1, name="two")(hidden)])
    model.compile("sgd", {"one": "mse", "two": "mae"})
    x, y = data()
    names = [metric.name for metric in model.metrics]
    watched = watch(model)
    with pytest.raises(ProbeError, match="has not been used"):
        measure(watched, [(tf.constant(x), (tf.constant(y), tf.constant(y)))], [], AUTO, "asked")
    assert [metric.name for metric in model.metrics] == names


def test_a_lighter_probe_measures_all_layers_together() -> None:
    model, batch = fitted()
    watched = watch(model)
    whole = measure(watched, [batch], [], AUTO, "asked")
    light = measure(watched, [batch], [], AUTO, "asked", depth=LIGHT)
    assert (light.gap, light.batch_norm, light.stochastic) == (whole.gap, whole.batch_norm, whole.stochastic)
    assert light.passes < whole.passes
    assert {(layer.in_order, layer.alone) for layer in light.layers.values()} == {(None, None)}
    drifts = [[layer.drift for layer in fact.layers.values()] for fact in (light, whole)]
    assert drifts[0] == drifts[1]


# --- In a fit -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", every_kind("own layer", "steps_per_execution"))
def test_training_is_the_same_with_probes(kind: Kind, runs: Path) -> None:
    plain = kind.model()
    kind.fit(plain, 3)
    expected = state_of(plain)
    monitor = tuimon.Monitor(runs_dir=runs, probe_every=2, overhead=0.99)
    probed = kind.model()
    kind.fit(probed, 3, [monitor])
    assert state_of(probed) == expected
    found = facts_of(monitor, events.Probe)
    assert bool(found) != has_own_train_step(plain)
    for fact in found:
        assert (fact.step - 2) % int(plain.steps_per_execution or 1) == 0 or fact.step > 2
        assert fact.examples


def test_asked_for_it_is_made_whatever_it_costs(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs, probe=False)
    ask = Ask(monitor, {1: [commands.Probe()], 2: [commands.Freeze()], 3: [commands.Probe()]})
    fit(compiled(sequential()), 4, [ask, monitor])
    applied = [fact.request["command"] for fact in facts_of(monitor, events.CommandApplied)]
    assert applied == ["probe", "freeze", "probe"]
    free, frozen = facts_of(monitor, events.Probe)
    assert (free.step, frozen.step) == (5, 15)
    assert free.reason == frozen.reason == "asked"
    assert free.batch_norm != 0
    assert frozen.batch_norm == 0


def test_a_change_of_mode_is_probed_where_the_run_is(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs, probe_every=2)
    fit(compiled(sequential()), 4, [Ask(monitor, {2: [commands.Freeze()]}), monitor])
    assert [(fact.reason, fact.step) for fact in facts_of(monitor, events.Probe)][-1] == ("freeze all", 11)


def test_on_a_batch_of_the_users(runs: Path) -> None:
    x, y = data()
    monitor = tuimon.Monitor(runs_dir=runs, probe=(x[:7].astype(np.float64), y[:7]), overhead=0.99)
    model = compiled(sequential())
    fit(model, 1, [monitor])
    last = facts_of(monitor, events.Probe)[-1]
    assert last.examples == 7
    assert from_wire(last.inference) == pytest.approx(model.evaluate(x[:7], y[:7], verbose=0)[0], rel=1e-5)


def bad_batches() -> Iterator[Any]:
    x, y = data()
    missing = x[:8].copy()
    missing[3, 2] = np.nan
    yield pytest.param((x[:8, :4], y[:8]), "cannot be called with the batch", id="another shape")
    yield pytest.param((x[:8], None), "no labels", id="no labels")
    yield pytest.param((missing, y[:8]), "NaN", id="NaN")
    full = pytest.mark.full
    yield pytest.param((x[:8], y[:5]), "cannot be called with the batch", id="another length", marks=full)
    yield pytest.param((["a", "b"], y[:2]), "cannot be called with the batch", id="text", marks=full)


@pytest.mark.parametrize(("batch", "words"), list(bad_batches()))
def test_a_batch_that_cannot_be_used_is_said_once_and_training_goes_on(runs: Path, batch: Any, words: str) -> None:
    monitor = tuimon.Monitor(runs_dir=runs, probe=batch, overhead=0.99)
    ask = Ask(monitor, {2: [commands.Probe()]})
    plain, watched = compiled(sequential()), compiled(sequential())
    fit(plain, 3)
    fit(watched, 3, [ask, monitor])
    assert same_weights(watched, plain)
    (note,) = [fact.text for fact in facts_of(monitor, events.Note)]
    assert note.startswith("the probe is off: ")
    assert words in note
    assert "\n" not in note
    (rejected,) = facts_of(monitor, events.CommandRejected)
    assert words in rejected.reason
    assert facts_of(monitor, events.RunEnded)[0].status == "finished"


def test_a_batch_that_does_not_fit_into_memory_turns_the_probe_off(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: Any, **__: Any) -> Any:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(probe, "_switched_shares", too_much)
    monitor = tuimon.Monitor(runs_dir=runs, probe_every=2)
    fit(compiled(sequential()), 2, [monitor])
    assert [fact.text for fact in facts_of(monitor, events.Note)] == [
        "the probe is off: the batch is too large for the memory that is left"
    ]


@pytest.mark.parametrize("value", [(1,), "x", 5])
def test_what_is_no_batch_is_said_at_once(value: Any) -> None:
    with pytest.raises(ValueError, match="probe is one batch"):
        tuimon.Monitor(probe=value)
    with pytest.raises(ValueError, match="at least 1"):
        tuimon.Monitor(probe_every=0)
