"""The losses of single examples: their mean is Keras' loss, or they are unknown; and what a constant answer loses."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.test_probe import watch
from tuimon.protocol.wire import from_wire
from tuimon.trainer.keras.internals.losses import losses_of_examples
from tuimon.trainer.modes import AUTO
from tuimon.trainer.probe import measure

EXAMPLES = 24


def pinball(y: Any, outputs: Any) -> Any:
    return keras.ops.maximum(0.9 * (y - outputs), -0.1 * (y - outputs))


def of_one_number(y: Any, outputs: Any) -> Any:
    return keras.ops.mean(keras.ops.square(y - outputs))


def answers(kind: str) -> tuple[Any, Any, str | None]:
    """Return labels, outputs of a model, and its last activation."""
    generator = np.random.default_rng(0)
    classes = generator.integers(0, 3, EXAMPLES)
    match kind:
        case "labels of shape (n,)":
            return generator.integers(0, 2, EXAMPLES).astype(np.float32), 1, "sigmoid"
        case "labels of shape (n, 1)":
            return generator.integers(0, 2, (EXAMPLES, 1)).astype(np.float32), 1, "sigmoid"
        case "classes":
            return classes, 3, "softmax"
        case "one of three":
            return np.eye(3, dtype=np.float32)[classes], 3, "softmax"
        case _:
            return generator.normal(size=(EXAMPLES, 2)).astype(np.float32), 2, None


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        *(
            (loss, kind)
            for loss in ("binary_crossentropy", "hinge", "mse", "poisson", pinball, keras.losses.Huber())
            for kind in ("labels of shape (n,)", "labels of shape (n, 1)")
        ),
        ("sparse_categorical_crossentropy", "classes"),
        (keras.losses.CategoricalCrossentropy(label_smoothing=0.1), "one of three"),
        ("cosine_similarity", "numbers"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "name", getattr(value, "__name__", None)),
)
def test_their_mean_is_the_loss_of_keras(loss: Any, kind: str) -> None:
    y, units, activation = answers(kind)
    x = np.random.default_rng(1).normal(size=(EXAMPLES, 4)).astype(np.float32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation)])
    model.compile("sgd", loss)
    outputs, labels = model(x), tf.constant(y)
    losses = losses_of_examples(model, labels, outputs, None)
    assert losses.shape == (EXAMPLES,)
    expected = float(model.compute_loss(x=x, y=labels, y_pred=outputs))
    assert float(tf.reduce_mean(losses)) == pytest.approx(expected, rel=1e-5)


def test_positions_that_a_mask_hides_are_left_out() -> None:
    generator = np.random.default_rng(0)
    x = generator.integers(1, 9, (EXAMPLES, 6))
    x[:, 4:] = 0
    x[::2, 2:] = 0
    layers = keras.layers
    model = keras.Sequential([keras.Input((6,), dtype="int32"), layers.Embedding(9, 4, mask_zero=True)])
    model.add(layers.Dense(3, "softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    outputs, y = model(x), tf.constant(x % 3)
    losses = losses_of_examples(model, y, outputs, None)
    expected = float(model.compute_loss(x=x, y=y, y_pred=outputs))
    assert float(tf.reduce_mean(losses)) == pytest.approx(expected, rel=1e-5)
    assert losses.shape == (EXAMPLES,)


@pytest.mark.parametrize(
    "options",
    [{"loss": of_one_number}, {"loss": keras.losses.MeanSquaredError("sum")}, {"loss": "mse", "loss_weights": [2.0]}],
    ids=("one number", "sum", "weight"),
)
def test_of_a_loss_that_is_not_their_mean_they_are_unknown(options: dict[str, Any]) -> None:
    y, units, activation = answers("labels of shape (n, 1)")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation)])
    model.compile("sgd", **options)
    outputs = model(np.ones((EXAMPLES, 4), np.float32))
    assert losses_of_examples(model, tf.constant(y), outputs, None) is None


def probed(model: keras.Model, x: Any, y: Any) -> Any:
    model.fit(x, y, verbose=0)
    return measure(watch(model), [(tf.constant(x), tf.constant(y))], [], AUTO, "asked")


def test_a_constant_answer_loses_the_variance() -> None:
    """Of the mean output, which a model without inputs of its own has learned to be the mean."""
    generator = np.random.default_rng(0)
    x, y = np.zeros((200, 4), np.float32), generator.normal(3.0, 2.0, (200, 1)).astype(np.float32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.layers[0].bias.assign([float(y.mean())])
    found = probed(model, x, y)
    assert from_wire(found.constant) == pytest.approx(float(y.var()), rel=1e-4)
    assert from_wire(found.gain) == pytest.approx(0.0, abs=1e-5)
    assert found.floor is None


def test_soft_labels_have_a_loss_of_their_own() -> None:
    y = np.full((200, 1), 0.3, np.float32)
    x = np.zeros((200, 4), np.float32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy")
    entropy = -(0.3 * np.log(0.3) + 0.7 * np.log(0.7))
    assert from_wire(probed(model, x, y).floor) == pytest.approx(entropy, rel=1e-4)


def test_half_precision_does_not_overflow() -> None:
    """The loss is made in float32, as Keras does, and no warning reaches the user."""
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        x, y = np.ones((32, 4), np.float32), np.full((32, 1), 3e4, np.float32)
        found = probed(model, x, y)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    assert np.isfinite(from_wire(found.inference)) or found.constant is None
