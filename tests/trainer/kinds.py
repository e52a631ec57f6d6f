"""Every kind of model that a Monitor promises to handle: how it is made, and what it is fed.

Must not import tuimon: a process that has none loads from here what it needs to load a saved model.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

BATCH = 16
SAMPLES = 80

serializable = keras.saving.register_keras_serializable("kinds")


def small(*, dropout: float = 0.25) -> keras.Model:
    """Return the small model, with the random numbers that are next."""
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, name="dense_1"),
            layers.BatchNormalization(name="bn_1"),
            layers.ReLU(name="relu"),
            layers.Dropout(dropout, name="dropout"),
            layers.Dense(5, name="dense_2"),
            layers.BatchNormalization(name="bn_2"),
            layers.Dense(1, name="dense_3"),
        ],
        name="small",
    )


def _identity(optimizer: Any) -> Any:
    return optimizer


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of model with its way of being compiled and fed."""

    name: str
    build: Callable[[], keras.Model]
    """Makes the model, not compiled; every layer that can be named is."""
    data: Callable[[], dict[str, Any]]
    """Arguments of ``fit``: anew for each, a generator is used up. 3 to 6 steps an epoch."""
    options: Callable[[], dict[str, Any]] = dict
    """Arguments of ``compile`` beside the optimizer: anew for each, a metric has a state."""
    optimizer: Callable[[Any], Any] = _identity
    """Makes of an optimizer the one that this kind is about."""
    example: Callable[[], Any] | None = None
    """Input of a batch, to call a model of this kind; by default the first of the training data."""
    batch: int = BATCH
    """Samples of a step."""
    steps: int = 5
    """Steps of an epoch."""
    has_batch_norm: bool = True
    steps_are_batches: bool = True
    """Whether each step feeds one batch to one update; not so where gradients are accumulated."""
    why_no_xla: str = ""
    """Why Keras or TensorFlow themselves cannot compile it with XLA; empty where they can."""
    why_no_saved_model: str = ""
    """Why ``tf.saved_model.save`` cannot take it, without tuimon; empty where it can."""
    why_no_export: str = ""
    """Why ``model.export`` gives nothing that can be used, without tuimon; empty where it does."""
    keras_leaves: str = ""
    """An attribute of layers to which Keras itself adds something with each trace."""
    warns: str = ""
    """What Keras itself warns of when it trains this kind."""
    heavy: bool = False
    """Whether its trace takes seconds; never in a covering selection."""

    def __str__(self) -> str:
        return self.name

    def model(self, optimizer: Any = "adam", **options: Any) -> keras.Model:
        """Return a new model, compiled, with XLA off: two calls give the same, weights, seeds and names.

        Layers that are made later draw from the same random numbers only if nothing else is made in between.
        """
        keras.backend.clear_session(free_memory=False)  # For automatic names; keras.applications have some.
        keras.utils.set_random_seed(7)
        model = self.build()
        model.compile(
            self.optimizer(keras.optimizers.get(optimizer)), **{"jit_compile": False, **self.options(), **options}
        )
        keras.utils.set_random_seed(8)
        return model

    def fit(self, model: keras.Model, epochs: int, callbacks: Sequence[Any] = (), **options: Any) -> Any:
        """Train it; returns the history."""
        arguments = {"verbose": 0, **self.data(), **options}
        with warnings.catch_warnings():
            if self.warns:
                warnings.filterwarnings("ignore", message=self.warns)
            return model.fit(epochs=epochs, callbacks=list(callbacks), **arguments)

    def inputs(self) -> Any:
        """Return the input of a batch."""
        x = self.example() if self.example else self.data()["x"]
        return keras.tree.map_structure(lambda array: array[: self.batch], x)


def state_of(model: keras.Model) -> list[tuple[str, str, bytes]]:
    """Return the path, dtype and bytes of every variable: weights, seeds, metrics, the optimizer's."""
    variables = [*model.variables, *(model.optimizer.variables if model.optimizer else ())]
    arrays = [(variable.path, np.asarray(tf.convert_to_tensor(variable.value))) for variable in variables]
    return [(path, str(array.dtype), array.tobytes()) for path, array in arrays]


# --- Data -----------------------------------------------------------------------------------------------------------


def _arrays(samples: int = SAMPLES) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(1.0, 2.0, (samples, 6)).astype(np.float32)
    return x, (x[:, :1] * x[:, 1:2] > 1).astype(np.float32)


def vectors(samples: int = SAMPLES) -> dict[str, Any]:
    """Six numbers a sample, and a zero or a one."""
    x, y = _arrays(samples)
    return {"x": x, "y": y, "validation_data": (x[:24], y[:24]), "batch_size": BATCH, "shuffle": False}


def weighted_classes() -> dict[str, Any]:
    return {**vectors(), "class_weight": {0: 1.0, 1: 2.5}}


def images(size: int = 8, samples: int = 40, batch: int = 8) -> dict[str, Any]:
    """Square pictures of three colours, and one of three classes."""
    generator = np.random.default_rng(1)
    x = generator.uniform(0, 255, (samples, size, size, 3)).astype(np.float32)
    y = generator.integers(0, 3, samples)
    return {"x": x, "y": y, "validation_data": (x[:batch], y[:batch]), "batch_size": batch, "shuffle": False}


def large_images() -> dict[str, Any]:
    return images(size=32, samples=24)


def sequences() -> dict[str, Any]:
    """Words of sentences of different lengths, zeros behind them."""
    generator = np.random.default_rng(2)
    x = generator.integers(1, 9, (SAMPLES, 7), dtype=np.int32)
    x[np.arange(7) >= generator.integers(2, 8, SAMPLES)[:, None]] = 0
    y = (x.sum(axis=1, keepdims=True) % 2).astype(np.float32)
    return {"x": x, "y": y, "validation_data": (x[:24], y[:24]), "batch_size": BATCH, "shuffle": False}


def series() -> dict[str, Any]:
    """Six moments of three channels a sample."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(SAMPLES, 6, 3)).astype(np.float32)
    y = x[:, 0, :1]
    return {"x": x, "y": y, "validation_data": (x[:24], y[:24]), "batch_size": BATCH, "shuffle": False}


def several() -> dict[str, Any]:
    """Two inputs, two targets, a weight for each sample and target."""
    x, y = _arrays()
    inputs = {"left": x[:, :4], "right": x[:, 2:]}
    targets = {"value": x[:, 2:3], "side": y}
    weights = {"value": np.linspace(0, 2, SAMPLES, dtype=np.float32), "side": np.ones(SAMPLES, np.float32)}
    validation = tuple({name: array[:24] for name, array in part.items()} for part in (inputs, targets, weights))
    arguments = {"x": inputs, "y": targets, "sample_weight": weights, "validation_data": validation}
    return {**arguments, "batch_size": BATCH, "shuffle": False}


def _validation() -> dict[str, Any]:
    return {"validation_data": _arrays(24), "validation_batch_size": BATCH, "shuffle": False}


def endless_generator() -> dict[str, Any]:
    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        x, y = _arrays()
        while True:
            for start in range(0, SAMPLES, BATCH):
                yield x[start : start + BATCH], y[start : start + BATCH]

    return {"x": batches(), "steps_per_epoch": 5, **_validation()}


class Endless(keras.utils.PyDataset):
    """Batches without an end."""

    @property
    def num_batches(self) -> None:
        return None

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = _arrays()
        start = index * BATCH % SAMPLES
        return x[start : start + BATCH], y[start : start + BATCH]


def endless_dataset() -> dict[str, Any]:
    return {"x": Endless(), "steps_per_epoch": 5, **_validation()}


def shuffled_dataset() -> dict[str, Any]:
    """Batches that are others in each epoch, drawn with the process's seed."""
    dataset = tf.data.Dataset.from_tensor_slices(_arrays()).shuffle(SAMPLES).batch(BATCH)
    validation = tf.data.Dataset.from_tensor_slices(_arrays(24)).batch(BATCH)
    return {"x": dataset, "validation_data": validation, "shuffle": False}


def dataset_of_unknown_length() -> dict[str, Any]:
    dataset = tf.data.Dataset.from_tensor_slices(_arrays()).filter(lambda x, y: True).batch(BATCH)
    return {"x": dataset, "validation_data": dataset.take(2), "shuffle": False}


def example() -> np.ndarray:
    return _arrays(BATCH)[0]


# --- Models ---------------------------------------------------------------------------------------------------------


def classifier() -> keras.Model:
    model = small()
    model.add(layers.Activation("sigmoid", name="sigmoid"))
    return model


def branches() -> keras.Model:
    inputs = keras.Input((6,), name="inputs")
    left = layers.Dense(4, name="left", kernel_regularizer=keras.regularizers.L2(1e-3))(inputs)
    left = layers.BatchNormalization(name="bn_left")(left)
    right = layers.BatchNormalization(name="bn_right")(layers.Dense(4, name="right")(inputs))
    joined = layers.Dropout(0.25, name="dropout")(layers.Concatenate(name="join")([left, right]))
    return keras.Model(inputs, layers.Dense(1, name="out")(joined), name="branches")


@serializable
class Subclassed(keras.Model):
    """All its layers are made with it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.hidden = layers.Dense(6, name="hidden")
        self.norms = [layers.BatchNormalization(name=f"bn_{number}") for number in (1, 2)]
        self.dropout = layers.Dropout(0.25, name="dropout")
        self.out = layers.Dense(1, name="out")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        hidden = self.norms[0](self.hidden(inputs), training=training)
        return self.out(self.dropout(self.norms[1](keras.ops.relu(hidden), training=training), training=training))


@serializable
class MadeLate(keras.Model):
    """Its BatchNormalization does not exist before it is first called."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.hidden = layers.Dense(6, name="hidden")
        self.out = layers.Dense(1, name="out")
        self.norm = None

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.norm is None:
            self.norm = layers.BatchNormalization(name="bn")
        return self.out(self.norm(self.hidden(inputs), training=training))


@serializable
class MadeInBuild(keras.Model):
    """Its BatchNormalization is made when the shape of its input is known."""

    def build(self, input_shape: Any) -> None:
        self.hidden = layers.Dense(6, name="hidden")
        self.norm = layers.BatchNormalization(name="bn")
        self.out = layers.Dense(1, name="out")
        for layer, width in ((self.hidden, input_shape[-1]), (self.norm, 6), (self.out, 6)):
            layer.build((None, width))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.out(self.norm(self.hidden(inputs), training=training))


def nested() -> keras.Model:
    innermost = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4, name="dense"),
            layers.BatchNormalization(name="bn"),
            layers.Dropout(0.25, name="dropout"),
        ],
        name="innermost",
    )
    inputs = keras.Input((6,), name="inner_inputs")
    hidden = innermost(layers.Dense(4, name="dense")(inputs))
    inner = keras.Model(inputs, layers.BatchNormalization(name="bn")(hidden), name="inner")
    inputs = keras.Input((6,), name="inputs")
    return keras.Model(inputs, layers.Dense(1, name="out")(inner(inputs)), name="outer")


def shared() -> keras.Model:
    left, right = keras.Input((3,), name="left"), keras.Input((3,), name="right")
    norm, hidden = layers.BatchNormalization(name="bn"), layers.Dense(4, name="hidden")
    joined = layers.Subtract(name="join")([norm(hidden(left)), norm(hidden(right))])
    return keras.Model([left, right], layers.Dense(1, name="out")(joined), name="shared")


def pairs() -> dict[str, Any]:
    """Two inputs, in a list as a Functional model has them."""
    x, y = _arrays()
    validation = ([x[:24, :3], x[:24, 3:]], y[:24])
    return {"x": [x[:, :3], x[:, 3:]], "y": y, "validation_data": validation, "batch_size": BATCH, "shuffle": False}


def with_batch_norm(**options: Any) -> Callable[[], keras.Model]:
    """Return what makes a small model with one BatchNormalization of these options, and one as it is."""

    def build() -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(5, name="dense_1"),
                layers.BatchNormalization(name="bn_1", **options),
                layers.ReLU(name="relu"),
                layers.Dense(4, name="dense_2"),
                layers.BatchNormalization(name="bn_2"),
                layers.Dense(1, name="dense_3"),
            ],
            name="small",
        )

    return build


def masked() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((7,), dtype="int32"),
            layers.Embedding(9, 4, mask_zero=True, name="embedding"),
            layers.BatchNormalization(name="bn"),
            layers.LSTM(3, name="lstm"),
            layers.Dense(1, name="out"),
        ],
        name="masked",
    )


def masking() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 3)),
            layers.Masking(name="masking"),
            layers.BatchNormalization(name="bn"),
            layers.GRU(3, name="gru"),
            layers.Dense(1, name="out"),
        ],
        name="masking",
    )


def padded_series() -> dict[str, Any]:
    arguments = series()
    arguments["x"][::2, 4:] = 0.0
    return {**arguments, "validation_data": (arguments["x"][:24], arguments["y"][:24])}


def first_axis() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 3)),
            layers.BatchNormalization(axis=1, name="bn"),
            layers.Flatten(name="flatten"),
            layers.Dense(1, name="out"),
        ],
        name="first_axis",
    )


def mixed(policy: str) -> Callable[[], keras.Model]:
    """Return what makes a model whose layers, not the process, have this policy."""

    def build() -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(8, name="dense_1", dtype=policy),
                layers.BatchNormalization(name="bn_1", dtype=policy),
                layers.ReLU(name="relu", dtype=policy),
                layers.Dropout(0.25, name="dropout", dtype=policy),
                layers.Dense(5, name="dense_2", dtype=policy),
                layers.BatchNormalization(name="bn_2", dtype=policy),
                layers.Dense(1, name="dense_3", dtype="float32"),
            ],
            name="mixed",
        )

    return build


@serializable
class OwnTrainStep(keras.Sequential):
    """Trains by its own step, with a mean that it keeps itself."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loss_mean = keras.metrics.Mean(name="own_loss")

    @property
    def metrics(self) -> list[Any]:
        return [self.loss_mean]

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(y - self(x, training=True)))
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.loss_mean.update_state(loss)
        return {"own_loss": self.loss_mean.result()}

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        self.loss_mean.update_state(keras.ops.mean(keras.ops.square(y - self(x, training=False))))
        return {"own_loss": self.loss_mean.result()}


@serializable
class OwnLoss(keras.Sequential):
    """Computes its loss itself, and counts something beside it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.distance = keras.metrics.Mean(name="distance")

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        distance = keras.ops.abs(y - y_pred)
        self.distance.update_state(distance)
        return keras.ops.mean(distance) + 0.1 * super().compute_loss(x, y, y_pred, sample_weight, training=training)


@serializable
class Adversarial(keras.Model):
    """Two models that are trained in turn in one step, each by an optimizer of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.generator = keras.Sequential(
            [layers.Dense(6, name="dense"), layers.BatchNormalization(name="bn"), layers.Dense(6, name="out")],
            name="generator",
        )
        self.critic = keras.Sequential(
            [layers.Dense(5, name="dense"), layers.BatchNormalization(name="bn"), layers.Dense(1, name="out")],
            name="critic",
        )

    def compile(self, optimizer: Any, **options: Any) -> None:
        super().compile(optimizer=optimizer, **options)
        # Compiled anew with the same, it has its other one as well.
        self.critic_optimizer = getattr(self, "critic_optimizer", None) or keras.optimizers.Adam(0.002)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.critic(self.generator(inputs, training=training), training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        real, _ = data
        with tf.GradientTape() as tape:
            fake = self.generator(real[:, ::-1], training=True)
            critic_loss = keras.ops.mean(self.critic(fake, training=True) - self.critic(real, training=True))
        weights = self.critic.trainable_weights
        self.critic_optimizer.apply_gradients(zip(tape.gradient(critic_loss, weights), weights, strict=True))
        with tf.GradientTape() as tape:
            fake = self.generator(real[:, ::-1], training=True)
            loss = keras.ops.mean(keras.ops.square(fake - real)) - keras.ops.mean(self.critic(fake, training=True))
        weights = self.generator.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return {"loss": loss, "critic_loss": critic_loss}

    def test_step(self, data: Any) -> dict[str, Any]:
        return {"loss": keras.ops.mean(self(data[0], training=False))}


def own(model: type[keras.Model]) -> Callable[[], keras.Model]:
    return lambda: model(small().layers, name="own")


def several_ways() -> keras.Model:
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    hidden = layers.Concatenate(name="join")(
        [layers.BatchNormalization(name="bn_left")(left), layers.Dense(3, name="dense")(right)]
    )
    hidden = layers.BatchNormalization(name="bn")(layers.Dense(6, name="hidden", activation="relu")(hidden))
    outputs = {
        "value": layers.Dense(1, name="value")(hidden),
        "side": layers.Dense(1, name="side", activation="sigmoid")(hidden),
    }
    return keras.Model({"left": left, "right": right}, outputs, name="several")


def other_normalization() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, name="dense_1"),
            layers.GroupNormalization(groups=4, name="group"),
            layers.ReLU(name="relu"),
            layers.Dense(8, name="dense_2"),
            layers.LayerNormalization(name="layer"),
            layers.Dense(1, name="dense_3"),
        ],
        name="other",
    )


def dense() -> keras.Model:
    return keras.Sequential(
        [keras.Input((6,)), layers.Dense(8, "relu", name="dense_1"), layers.Dense(1, name="dense_2")], name="dense"
    )


def recurrent() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 3)),
            layers.LSTM(4, dropout=0.2, recurrent_dropout=0.3, return_sequences=True, name="lstm_1"),
            layers.BatchNormalization(name="bn"),
            layers.LSTM(3, recurrent_dropout=0.3, name="lstm_2"),
            layers.Dense(1, name="out"),
        ],
        name="recurrent",
    )


def augmented() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.RandomFlip(name="flip"),
            layers.RandomContrast(0.4, name="contrast"),
            layers.Rescaling(1 / 255, name="rescaling"),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.GlobalAveragePooling2D(name="pool"),
            layers.Dense(3, activation="softmax", name="out"),
        ],
        name="augmented",
    )


def noisy() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.GaussianNoise(0.3, name="noise"),
            layers.Dense(6, name="dense_1"),
            layers.BatchNormalization(name="bn"),
            layers.GaussianDropout(0.3, name="gaussian_dropout"),
            layers.Dense(1, name="dense_2"),
        ],
        name="noisy",
    )


@serializable
class Jitter(layers.Layer):
    """A user's own layer: in training it draws random numbers and keeps a moving maximum."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator(3)

    def build(self, input_shape: Any) -> None:
        self.largest = self.add_weight(shape=(), initializer="zeros", trainable=False, name="largest")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training:
            return inputs
        self.largest.assign(keras.ops.maximum(self.largest, keras.ops.max(inputs)))
        return inputs + 0.1 * keras.random.normal(keras.ops.shape(inputs), seed=self.seed_generator)


def own_layer() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(6, name="dense_1"),
            Jitter(name="jitter"),
            layers.BatchNormalization(name="bn"),
            layers.Dense(1, name="dense_2"),
        ],
        name="own_layer",
    )


def application(make: Callable[..., keras.Model]) -> Callable[[], keras.Model]:
    return lambda: make(weights=None, input_shape=(32, 32, 3), classes=3)


# --- The table ------------------------------------------------------------------------------------------------------


def regression(**options: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"loss": "mse", "metrics": ["mae"], **options}


def classification() -> dict[str, Any]:
    return {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}


def _several_options() -> dict[str, Any]:
    return {
        "loss": {"value": "mse", "side": "binary_crossentropy"},
        "loss_weights": {"value": 0.5, "side": 2.0},
        "metrics": {"value": ["mae"], "side": ["accuracy", keras.metrics.AUC(name="auc")]},
        "weighted_metrics": {"value": ["mse"]},
    }


def _accumulating(optimizer: Any) -> Any:
    optimizer.gradient_accumulation_steps = 2
    return optimizer


def _averaging(optimizer: Any) -> Any:
    optimizer.use_ema, optimizer.ema_momentum, optimizer.ema_overwrite_frequency = True, 0.9, 4
    return optimizer


def _loss_scaling(optimizer: Any) -> Any:
    # It grows within an epoch, and what is too large is taken back.
    return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**12, dynamic_growth_steps=3)


_ENDLESS = {"example": example}

_ALL = [
    Kind(name="sequential", build=small, data=vectors, options=regression()),
    Kind(name="two branches", build=branches, data=vectors, options=regression()),
    Kind(name="subclassed", build=lambda: Subclassed(name="subclassed"), data=vectors, options=regression()),
    Kind(name="made late", build=lambda: MadeLate(name="late"), data=vectors, options=regression()),
    Kind(name="made in build", build=lambda: MadeInBuild(name="in_build"), data=vectors, options=regression()),
    Kind(name="nested", build=nested, data=vectors, options=regression()),
    Kind(name="shared", build=shared, data=pairs, options=regression()),
    Kind(name="renorm", build=with_batch_norm(renorm=True), data=vectors, options=regression()),
    Kind(name="synchronized", build=with_batch_norm(synchronized=True), data=vectors, options=regression()),
    Kind(name="no center", build=with_batch_norm(center=False), data=vectors, options=regression()),
    Kind(name="no scale", build=with_batch_norm(scale=False), data=vectors, options=regression()),
    Kind(
        name="no center, no scale", build=with_batch_norm(center=False, scale=False), data=vectors, options=regression()
    ),
    Kind(name="masked", build=masked, data=sequences, options=regression()),
    Kind(name="masking", build=masking, data=padded_series, options=regression()),
    Kind(name="axis 1", build=first_axis, data=series, options=regression()),
    Kind(name="bfloat16", build=mixed("mixed_bfloat16"), data=vectors, options=regression()),
    Kind(
        name="float16",
        build=mixed("mixed_float16"),
        data=vectors,
        options=regression(),
        optimizer=_loss_scaling,
    ),
    Kind(
        name="steps_per_execution",
        build=small,
        data=lambda: vectors(72),  # In an epoch three steps and two, the last of half a batch.
        options=regression(steps_per_execution=3),
    ),
    Kind(
        name="run_eagerly",
        build=small,
        data=vectors,
        options=regression(run_eagerly=True),
        why_no_xla="nothing is compiled",
    ),
    Kind(name="own train_step", build=own(OwnTrainStep), data=vectors),
    Kind(name="own compute_loss", build=own(OwnLoss), data=vectors, options=regression()),
    Kind(name="two models in turn", build=lambda: Adversarial(name="adversarial"), data=vectors),
    Kind(name="several inputs and outputs", build=several_ways, data=several, options=_several_options),
    Kind(
        name="other normalizations",
        build=other_normalization,
        data=vectors,
        options=regression(),
        has_batch_norm=False,
    ),
    Kind(name="dense", build=dense, data=vectors, options=regression(), has_batch_norm=False),
    Kind(
        name="recurrent",
        build=recurrent,
        data=series,
        options=regression(),
        why_no_saved_model="the masks of recurrent dropout are resources that nothing tracks",
        keras_leaves="_tracked",
    ),
    Kind(
        name="augmented",
        build=augmented,
        data=images,
        options=classification,
        batch=8,
        why_no_saved_model="the seeds of augmentation layers are variables that nothing tracks",
        why_no_export="what is loaded gives something else than the model does",
    ),
    Kind(name="noisy", build=noisy, data=vectors, options=regression()),
    Kind(name="own layer", build=own_layer, data=vectors, options=regression()),
    Kind(name="generator", build=small, data=endless_generator, options=regression(), **_ENDLESS),
    Kind(name="endless dataset", build=small, data=endless_dataset, options=regression(), **_ENDLESS),
    Kind(name="shuffled dataset", build=small, data=shuffled_dataset, options=regression(), **_ENDLESS),
    Kind(
        name="data of unknown length",
        build=small,
        data=dataset_of_unknown_length,
        options=regression(),
        warns="Your input ran out of data",
        **_ENDLESS,
    ),
    Kind(
        name="gradient accumulation",
        build=small,
        data=vectors,
        options=regression(),
        optimizer=_accumulating,
        steps_are_batches=False,
    ),
    Kind(name="use_ema", build=small, data=vectors, options=regression(), optimizer=_averaging),
    Kind(
        name="weighted classes",
        build=classifier,
        data=weighted_classes,
        options=lambda: {"loss": "binary_crossentropy", "weighted_metrics": ["accuracy"]},
    ),
    *(
        Kind(
            name=name, build=application(make), data=large_images, options=classification, batch=8, steps=3, heavy=True
        )
        for name, make in {
            "ResNet50": keras.applications.ResNet50,
            "MobileNetV3Small": keras.applications.MobileNetV3Small,
            "EfficientNetV2B0": keras.applications.EfficientNetV2B0,
        }.items()
    ),
]

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
assert len(KINDS) == len(_ALL), "two kinds of one name"


def every_kind(*covering: str) -> list[Any]:
    """Return the table as parameters of a test: those named always run, the others in the full tests."""
    assert set(covering) <= set(KINDS), set(covering) - set(KINDS)
    return [
        pytest.param(kind, id=name, marks=() if name in covering else pytest.mark.full) for name, kind in KINDS.items()
    ]
