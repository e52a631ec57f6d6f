"""Gradients in a probe, and how far a step moves the weights: against Keras' own tape and the weights themselves."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from trainer.keras_models import compiled, data, facts_of, fit, sequential
from trainer.kinds import Kind, every_kind, state_of
from trainer.test_probe import first_batch, watch
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.trainer.keras.internals.layers import has_own_train_step, layers_by_path, own_weights, takes_training
from tuimon.trainer.modes import AUTO, Mode
from tuimon.trainer.probe import measure

EPOCHS, STEPS = 3, 5
"""Of a run, and of an epoch of the small data."""
PRECISION = {"bfloat16": 0.1, "float16": 0.02}
"""Relative; what is computed in half precision is not more exact. All else: 1e-4."""


def of_keras(model: keras.Model, batch: tuple[Any, ...]) -> dict[int, Any]:
    """Return the gradient of each weight by its identity. It changes the model, which is not used after it."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    with tf.GradientTape() as tape:
        outputs = model(x, training=True) if takes_training(model) else model(x)
        loss = model._compute_loss(x=x, y=y, y_pred=outputs, sample_weight=sample_weight, training=True)
    weights = model.trainable_variables
    return dict(zip(map(id, weights), tape.gradient(loss, [weight.value for weight in weights]), strict=True))


@pytest.mark.parametrize("kind", every_kind("sequential", "shared", "own compute_loss", "several inputs and outputs"))
def test_it_is_the_gradient_of_the_step(kind: Kind) -> None:
    model = kind.model()
    kind.fit(model, 1)
    for layer in layers_by_path(model).values():
        if hasattr(layer, "rate"):
            layer.rate = 0.0
    watched, batch = watch(model), first_batch(kind)
    before = state_of(model)
    if has_own_train_step(model):
        return  # Which loss it has is not known, and it is not probed.
    found = measure(watched, [batch], [], AUTO, "asked")
    assert state_of(model) == before, "nothing is changed"
    assert found.why_no_gradients == ""
    gradients = of_keras(model, batch)
    precision = PRECISION.get(kind.name, 1e-4)
    whole = float(np.sqrt(sum(_norm(each) ** 2 for each in gradients.values())))
    if found.masks > 1:
        return  # What draws cannot be drawn again.
    assert from_wire(found.gradient_norm) == pytest.approx(whole, rel=precision)
    for path, layer in layers_by_path(model).items():
        known = [gradients[id(weight)] for weight in own_weights(layer) if id(weight) in gradients]
        if known:
            expected = float(np.sqrt(sum(_norm(each) ** 2 for each in known)))
            assert from_wire(found.gradients[path].norm) == pytest.approx(
                expected, rel=precision, abs=precision * whole
            )


def _norm(gradient: Any) -> float:
    if gradient is None:
        return 0.0
    return float(tf.norm(tf.cast(tf.convert_to_tensor(gradient), tf.float64)))


def test_a_layer_that_is_frozen_has_none() -> None:
    model = compiled(sequential())
    fit(model, 1)
    watched = watch(model)
    x, y = data()
    batch = (tf.constant(x[:16]), tf.constant(y[:16]))
    paths = set(measure(watched, [batch], [], AUTO, "asked").gradients)
    frozen = next(path for path in sorted(paths) if "dense" in path)
    left = measure(watched, [batch], [], Mode(frozen=frozenset([frozen])), "asked").gradients
    assert paths - set(left) == {frozen}


def test_an_embedding_is_judged_by_the_rows_that_are_used() -> None:
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(1000, 4),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    compiled(model)
    x, y = np.arange(48).reshape(16, 3) % 7, np.ones((16, 1), np.float32)
    model.fit(x, y, verbose=0)
    batch = (tf.constant(x, tf.int32), tf.constant(y))
    found = measure(watch(model), [batch], [], AUTO, "asked").gradients
    embedding = next(each for path, each in found.items() if "embedding" in path)
    expected = of_keras(model, batch)[id(model.layers[0].embeddings)]
    assert from_wire(embedding.norm) == pytest.approx(_norm(expected), rel=1e-5)
    assert embedding.zeros == 0.0


def test_of_several_batches_the_mean_square_is_taken() -> None:
    model = compiled(sequential(dropout=0.0))
    fit(model, 1)
    x, y = data()
    batches = [(tf.constant(x[at : at + 16]), tf.constant(y[at : at + 16])) for at in (0, 16)]
    watched = watch(model)
    alone = [from_wire(measure(watched, [batch], [], AUTO, "asked").gradient_norm) for batch in batches]
    both = measure(watched, batches, [], AUTO, "asked")
    assert both.gradient_batches == 2
    assert from_wire(both.gradient_norm) == pytest.approx(np.sqrt(np.mean(np.square(alone))), rel=1e-6)


class NoGradient(keras.layers.Layer):
    """Its gradient cannot be traced; the loss can."""

    def call(self, inputs: Any) -> Any:
        @tf.custom_gradient
        def same(value: Any) -> Any:
            def gradient(upstream: Any) -> Any:
                if self.is_armed:
                    raise RuntimeError("no gradient here")
                return upstream

            return tf.identity(value), gradient

        return same(inputs)

    is_armed = False


def test_a_gradient_that_cannot_be_computed_leaves_the_rest_of_the_probe(runs: Path) -> None:
    layer = NoGradient()
    model = compiled(keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), layer, keras.layers.Dense(1)]))
    watched = watch(model)
    fit(model, 1)
    layer.is_armed = True
    x, y = data()
    for _ in range(2):
        found = measure(watched, [(tf.constant(x[:16]), tf.constant(y[:16]))], [], AUTO, "asked")
        assert found.gradients == {}
        assert "no gradient here" in found.why_no_gradients
        assert np.isfinite(from_wire(found.inference))


def test_how_far_a_step_moves_the_weights(runs: Path) -> None:
    """Of the last step of the run: the weights before it come from another run of one step less."""
    model, short = compiled(sequential()), compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs, overhead=1e-9)
    fit(model, EPOCHS, [monitor])
    stop = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda step, logs: before.append([weight.numpy() for weight in short.trainable_variables])
    )
    before: list[Any] = []
    fit(short, EPOCHS, [stop])
    fact = facts_of(monitor, events.WeightUpdates)[-1]
    assert (fact.step, fact.epoch) == (EPOCHS * STEPS, EPOCHS - 1)
    assert [each.epoch for each in facts_of(monitor, events.WeightUpdates)] == [0, EPOCHS - 1], "the budget has no more"
    moved = dict(zip(map(id, short.trainable_variables), before[-1], strict=True))
    paths = {path: own_weights(layer) for path, layer in layers_by_path(short).items() if own_weights(layer)}
    assert set(fact.layers) == set(paths)
    for path, weights in paths.items():
        size = np.sqrt(sum(np.sum(np.square(moved[id(weight)], dtype=np.float64)) for weight in weights))
        step = np.sqrt(
            sum(np.sum(np.square(moved[id(weight)] - weight.numpy(), dtype=np.float64)) for weight in weights)
        )
        assert from_wire(fact.layers[path]) == pytest.approx(step / size, rel=1e-5)


def test_a_model_whose_weights_are_too_many_is_not_measured(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuimon.trainer.weights.updates.MOST_BYTES", 10)
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 2, [monitor])
    assert facts_of(monitor, events.WeightUpdates) == []
