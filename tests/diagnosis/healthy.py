"""Healthy runs of every kind, with the settings that people use and the Monitor's default options.

Data are learnable and plenty (``diagnosis.learnable``), so no rule has anything to find. Importing this module enters
them in ``HEALTHY``.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, optimizers
from keras.optimizers import schedules

import tuimon
from diagnosis import learnable
from diagnosis.trainings import HEALTHY, NOTES, Facts, Training, healthy
from trainer.keras_models import facts
from trainer.kinds import KINDS, Kind

Data = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is trained on what, and how; all of it made anew for each training."""

    model: Callable[[], keras.Model]
    data: Callable[[], Data]
    optimizer: Callable[[], Any] = optimizers.Adam
    loss: str | keras.Loss = "mse"
    compiled: Callable[[], Data] = dict
    """More arguments of ``compile``."""
    epochs: int = 8
    fit: Callable[[], Data] = dict
    """More arguments of ``fit``."""
    monitor: Data = field(default_factory=dict)
    """Options of the Monitor, where they are not the default ones."""

    def __call__(self, runs: Path) -> Facts:
        keras.utils.set_random_seed(11)
        model = self.model()
        model.compile(self.optimizer(), self.loss, **{"jit_compile": False, **self.compiled()})
        monitor = tuimon.Monitor(runs_dir=runs, name="training", **self.monitor)
        arguments = {**self.data(), **self.fit()}
        callbacks = [*arguments.pop("callbacks", ()), monitor]
        model.fit(epochs=self.epochs, callbacks=callbacks, verbose=0, **arguments)
        return facts(monitor)


STEPS = 128
"""Of an epoch of `learnable.curve`."""


def adam(rate: Any = 0.001, **options: Any) -> Callable[[], Any]:
    return lambda: optimizers.Adam(rate, **options)


# --- Models ---------------------------------------------------------------------------------------------------------


def stack(*hidden: Any, inputs: tuple[int, ...] = (8,), dtype: str = "float32") -> Callable[[], keras.Model]:
    """Return what makes a Sequential of layers that are made anew."""
    return lambda: keras.Sequential([keras.Input(inputs, dtype=dtype), *(make() for make in hidden)])


def dense(units: int, activation: str | None = "relu", **options: Any) -> Callable[[], Any]:
    return lambda: layers.Dense(units, activation, **options)


def conv(filters: int, size: int = 3, **options: Any) -> Callable[[], Any]:
    return lambda: layers.Conv2D(filters, size, **options)


def plain(out: int = 1, activation: str | None = None) -> Callable[[], keras.Model]:
    return stack(dense(32), dense(32), dense(out, activation))


linear = stack(dense(1, "sigmoid", kernel_initializer="zeros"))


def normalized(out: int = 1, activation: str | None = None, norm: Any = layers.BatchNormalization) -> Any:
    return stack(dense(32), norm, dense(32), norm, dense(out, activation))


def pictures(
    norm: Any = layers.BatchNormalization, *, dropout: float = 0.0, size: int = 8
) -> Callable[[], keras.Model]:
    return stack(
        conv(8),
        norm,
        layers.ReLU,
        layers.MaxPooling2D,
        conv(16, 2),
        norm,
        layers.ReLU,
        layers.GlobalAveragePooling2D,
        lambda: layers.Dropout(dropout),
        dense(2, "softmax"),
        inputs=(size, size, 1),
    )


def groups() -> Any:
    return layers.GroupNormalization(groups=4)


def attention() -> keras.Model:
    inputs = keras.Input((12,), dtype="int32")
    hidden = layers.Embedding(50, 16)(inputs)
    for _ in range(2):
        attended = layers.MultiHeadAttention(2, 8, dropout=0.1)(hidden, hidden)
        hidden = layers.LayerNormalization()(hidden + attended)
        hidden = layers.LayerNormalization()(hidden + layers.Dense(16)(layers.Dense(32, "gelu")(hidden)))
    return keras.Model(inputs, layers.Dense(1, "sigmoid")(layers.GlobalAveragePooling1D()(hidden)))


def residual() -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    for _ in range(2):
        inner = layers.ReLU()(layers.BatchNormalization()(hidden))
        inner = layers.Conv2D(8, 3, padding="same", use_bias=False)(inner)
        inner = layers.Conv2D(8, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(inner)))
        hidden = layers.Add()([hidden, inner])
    hidden = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(hidden)))
    return keras.Model(inputs, layers.Dense(2, "softmax")(hidden))


def unet() -> keras.Model:
    def block(hidden: Any, filters: int) -> Any:
        hidden = layers.Conv2D(filters, 3, padding="same", use_bias=False)(hidden)
        return layers.ReLU()(layers.BatchNormalization()(hidden))

    inputs = keras.Input((12, 12, 1))
    fine = block(inputs, 8)
    coarse = block(layers.MaxPooling2D()(fine), 16)
    joined = layers.Concatenate()([fine, layers.UpSampling2D()(coarse)])
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(block(joined, 8)))


def mixed() -> keras.Model:
    policy = "mixed_float16"
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(32, "relu", dtype=policy),
            layers.BatchNormalization(dtype=policy),
            layers.Dense(32, "relu", dtype=policy),
            layers.Dense(1, dtype="float32"),
        ]
    )


# --- By task --------------------------------------------------------------------------------------------------------

CLASSES, BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"

TASKS = {
    "regression": Run(model=plain(), data=learnable.curve),
    "regression with Huber's loss and BatchNormalization": Run(
        model=normalized(), data=learnable.curve, loss=keras.losses.Huber()
    ),
    "two classes": Run(model=plain(1, "sigmoid"), data=learnable.two_classes, loss=BINARY),
    "two classes from logits": Run(
        model=normalized(), data=learnable.two_classes, loss=keras.losses.BinaryCrossentropy(from_logits=True)
    ),
    "four classes": Run(model=normalized(4, "softmax"), data=learnable.four_classes, loss=CLASSES),
    "five labels": Run(model=plain(5, "sigmoid"), data=learnable.five_labels, loss=BINARY),
    "2 % positives": Run(model=plain(1, "sigmoid"), data=learnable.rare_class, loss=BINARY, epochs=4),
    "2 % positives, with BatchNormalization": Run(
        model=normalized(1, "sigmoid"), data=learnable.rare_class, loss=BINARY, epochs=4
    ),
    "2 % positives, with class weights": Run(
        model=plain(1, "sigmoid"),
        data=learnable.rare_class,
        loss=BINARY,
        epochs=4,
        fit=lambda: {"class_weight": {0: 1.0, 1: 49.0}},
    ),
    "sample weights": Run(model=normalized(), data=learnable.uncertain_examples),
    "autoencoder": Run(
        model=stack(dense(12), dense(3, None), dense(12), dense(16, None), inputs=(16,)), data=learnable.of_low_rank
    ),
    "pictures": Run(model=pictures(), data=learnable.stripes, loss=CLASSES),
    "pictures with dropout": Run(model=pictures(dropout=0.3), data=learnable.stripes, loss=CLASSES),
    "pictures with GroupNormalization": Run(model=pictures(groups), data=learnable.stripes, loss=CLASSES),
    "residual net": Run(model=residual, data=learnable.stripes, loss=CLASSES),
    "segmentation": Run(model=unet, data=learnable.squares, loss=BINARY, epochs=10),
    "words in a bag": Run(
        model=stack(
            lambda: layers.Embedding(50, 8), layers.GlobalAveragePooling1D, dense(16), dense(1, "sigmoid"),
            inputs=(12,), dtype="int32",
        ),
        data=learnable.sentences,
        loss=BINARY,
    ),
    "attention": Run(model=attention, data=learnable.sentences, loss=BINARY, epochs=4),
    "convolution over time": Run(
        model=stack(
            lambda: layers.Conv1D(16, 3, activation="relu"), layers.BatchNormalization, layers.Flatten, dense(1, None),
            inputs=(16, 1),
        ),
        data=learnable.tides,
        epochs=12,
    ),
    "GRU": Run(model=stack(lambda: layers.GRU(12), dense(1, None), inputs=(16, 1)), data=learnable.tides),
}  # fmt: skip

OFTEN_PROBED = {
    f"{name}, probed often": replace(TASKS[name], monitor={"probe_every": 50, "overhead": 0.5})
    for name in ("residual net", "convolution over time")
}
"""Also while the moving statistics still begin."""

# --- What a rule might stumble over ---------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("healthy")
class Sampled(layers.Layer):
    """The code of a variational autoencoder: random in both modes, with a divergence added to the loss."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator(3)

    def call(self, inputs: Any) -> Any:
        mean, log_variance = inputs[:, :3], inputs[:, 3:]
        self.add_loss(-0.005 * keras.ops.mean(1 + log_variance - mean**2 - keras.ops.exp(log_variance)))
        noise = keras.random.normal(keras.ops.shape(mean), seed=self.seed_generator)
        return mean + keras.ops.exp(0.5 * log_variance) * noise


def likelihood(y: Any, predicted: Any) -> Any:
    """Return minus the log density of a normal distribution, without its constant: below 0 in the end."""
    mean, log_scale = predicted[:, :1], predicted[:, 1:]
    return 0.5 * ((y - mean) / keras.ops.exp(log_scale)) ** 2 + log_scale


def language() -> keras.Model:
    inputs = keras.Input((16,), dtype="int32")
    hidden = layers.Embedding(12, 16)(inputs)
    hidden = layers.LayerNormalization()(hidden + layers.MultiHeadAttention(2, 8)(hidden, hidden, use_causal_mask=True))
    return keras.Model(inputs, layers.Dense(12, "softmax")(layers.Dropout(0.1)(hidden)))


def scored() -> Data:
    return {"metrics": [keras.metrics.AUC(), keras.metrics.Precision(thresholds=0.99), keras.metrics.Recall()]}


UNUSUAL = {
    "loss below 0": Run(model=plain(2), data=learnable.curve, loss=likelihood),
    "squared hinge loss": Run(
        model=normalized(1, "tanh"), data=lambda: learnable.two_classes(noise=0.0), loss="squared_hinge", epochs=15
    ),
    "counts": Run(model=plain(1, "exponential"), data=learnable.counts, loss="poisson"),
    "targets with outliers": Run(model=normalized(), data=learnable.outliers, epochs=15),
    "targets with outliers, absolute error": Run(model=plain(), data=learnable.outliers, loss="mae", epochs=15),
    "targets of a thousandth": Run(model=normalized(), data=lambda: learnable.of_scale(0.001), epochs=12),
    "targets of hundreds": Run(
        model=plain(), data=lambda: learnable.of_scale(300.0), loss="mae", optimizer=optimizers.RMSprop, epochs=20
    ),
    "labels with much noise": Run(
        model=normalized(1, "sigmoid"), data=lambda: learnable.two_classes(8192, noise=3.0), loss=BINARY
    ),
    "strong dropout": Run(
        model=stack(dense(128), lambda: layers.Dropout(0.6), dense(128), lambda: layers.Dropout(0.6), dense(1, None)),
        data=learnable.curve,
    ),
    "BatchNormalization of rare inputs": Run(
        model=stack(layers.BatchNormalization, dense(32), layers.BatchNormalization, dense(1, None), inputs=(64,)),
        data=learnable.rare_inputs,
        epochs=6,
    ),
    "BatchNormalization before and after ReLU": Run(
        model=stack(dense(64, None), layers.BatchNormalization, layers.ReLU, layers.BatchNormalization, dense(1, None)),
        data=learnable.curve,
        epochs=12,
    ),
    "a smaller last batch": Run(model=normalized(), data=lambda: learnable.curve(4113), epochs=10),
    "metrics without a value at first": Run(
        model=plain(1, "sigmoid"), data=learnable.rare_class, loss=BINARY, epochs=3, compiled=scored
    ),
    "focal loss": Run(
        model=normalized(1, "sigmoid"), data=learnable.rare_class, loss="binary_focal_crossentropy", epochs=4
    ),
    "variational autoencoder": Run(
        model=stack(dense(16), dense(6, None), Sampled, dense(16), dense(16, None), inputs=(16,)),
        data=learnable.of_low_rank,
        epochs=12,
    ),
    "language model": Run(model=language, data=learnable.next_words, loss=CLASSES, optimizer=adam(0.003)),
    "warm-up over ten epochs": Run(
        model=normalized(),
        data=learnable.curve,
        optimizer=adam(schedules.CosineDecay(0.0, 10 * STEPS, warmup_target=0.002, warmup_steps=10 * STEPS)),
        epochs=16,
    ),
    "a wide net and slow steps": Run(
        model=stack(
            dense(512, None),
            layers.BatchNormalization,
            layers.ReLU,
            dense(512, None),
            layers.BatchNormalization,
            layers.ReLU,
            dense(512),
            dense(1, None),
        ),
        data=lambda: learnable.curve(8192, batch_size=64),
        epochs=5,
    ),
    "pictures of 32 by 32": Run(
        model=pictures(size=32), data=lambda: learnable.stripes(size=32, batch_size=64, noise=1.0), loss=CLASSES
    ),
}

# --- By optimizer, each as it comes ---------------------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": Run(model=plain(), data=learnable.curve, optimizer=optimizers.SGD),
    "SGD with momentum": Run(
        model=normalized(), data=learnable.curve, optimizer=lambda: optimizers.SGD(momentum=0.9, nesterov=True)
    ),
    "Adam": Run(model=normalized(), data=learnable.curve),
    "AdamW": Run(model=normalized(), data=learnable.curve, optimizer=optimizers.AdamW),
    "Nadam": Run(model=plain(), data=learnable.curve, optimizer=optimizers.Nadam),
    "RMSprop": Run(model=normalized(), data=learnable.curve, optimizer=optimizers.RMSprop),
    "Adagrad": Run(model=plain(), data=learnable.curve, optimizer=optimizers.Adagrad),
    "Adadelta": Run(
        model=linear, data=lambda: learnable.two_classes(scale=1000.0), loss=BINARY, optimizer=optimizers.Adadelta
    ),
    "Adadelta, slow at first": Run(model=plain(), data=learnable.curve, optimizer=optimizers.Adadelta),
    "Adadelta with the rate of its paper": Run(
        model=plain(), data=learnable.curve, optimizer=lambda: optimizers.Adadelta(1.0)
    ),
    "Adamax": Run(model=normalized(), data=learnable.curve, optimizer=optimizers.Adamax),
    "Ftrl": Run(model=linear, data=lambda: learnable.two_classes(scale=30.0), loss=BINARY, optimizer=optimizers.Ftrl),
    "Lion": Run(model=normalized(), data=learnable.curve, optimizer=optimizers.Lion),
    "Adafactor": Run(model=plain(), data=learnable.curve, optimizer=optimizers.Adafactor),
    "Lamb": Run(model=normalized(), data=learnable.curve, optimizer=optimizers.Lamb),
    "Muon": Run(model=plain(), data=learnable.curve, optimizer=optimizers.Muon),
    "ScheduleFreeAdamW": Run(model=plain(), data=learnable.curve, optimizer=optimizers.ScheduleFreeAdamW),
    "LossScaleOptimizer, float16": Run(
        model=mixed, data=learnable.curve, optimizer=lambda: optimizers.LossScaleOptimizer(optimizers.Adam())
    ),
}

# --- By batch size and length ---------------------------------------------------------------------------------------

SIZES = {
    "batches of 2, LayerNormalization": Run(
        model=normalized(norm=layers.LayerNormalization), data=lambda: learnable.curve(1024, batch_size=2), epochs=4
    ),
    "batches of 8": Run(model=plain(), data=lambda: learnable.curve(2048, batch_size=8), epochs=5),
    "batches of 32, 2 epochs": Run(model=normalized(), data=lambda: learnable.curve(16_384), epochs=2),
    "batches of 128": Run(model=normalized(), data=lambda: learnable.curve(16_384, batch_size=128)),
    "batches of 1,024": Run(model=normalized(), data=lambda: learnable.curve(16_384, batch_size=1024), epochs=60),
    "one batch an epoch": Run(model=plain(), data=lambda: learnable.curve(2048, batch_size=2048), epochs=150),
    "200 epochs of 2 steps": Run(model=plain(), data=lambda: learnable.curve(2048, batch_size=1024), epochs=200),
}

# --- By what is set beside that -------------------------------------------------------------------------------------


def called(*make: Callable[[], Any]) -> Callable[[], Data]:
    """Return what makes the callbacks, as arguments of ``fit``."""
    return lambda: {"callbacks": [each() for each in make]}


def checkpoint() -> Any:
    return keras.callbacks.ModelCheckpoint("best.weights.h5", save_best_only=True, save_weights_only=True)


class AverageOfWeights(keras.callbacks.Callback):
    """Averages the weights of the last epochs, and puts the average in place when training ends."""

    def __init__(self, since: int = 5) -> None:
        super().__init__()
        self.since = since
        self.seen: list[list[np.ndarray]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch >= self.since:
            self.seen.append(self.model.get_weights())

    def on_train_end(self, logs: Any = None) -> None:
        self.model.set_weights([np.mean(each, axis=0) for each in zip(*self.seen, strict=True)])


SETTINGS = {
    "cosine schedule": Run(
        model=normalized(), data=learnable.curve, optimizer=adam(schedules.CosineDecay(0.005, 8 * STEPS))
    ),
    "cosine schedule with warm-up": Run(
        model=normalized(),
        data=learnable.curve,
        optimizer=adam(schedules.CosineDecay(0.0, 7 * STEPS, warmup_target=0.005, warmup_steps=STEPS)),
    ),
    "cosine schedule with restarts": Run(
        model=plain(), data=learnable.curve, optimizer=adam(schedules.CosineDecayRestarts(0.003, 2 * STEPS))
    ),
    "rate by steps": Run(
        model=plain(),
        data=learnable.curve,
        optimizer=adam(schedules.PiecewiseConstantDecay([3 * STEPS, 6 * STEPS], [0.003, 0.001, 0.0003])),
    ),
    "rate by a callback": Run(
        model=normalized(),
        data=learnable.curve,
        fit=called(lambda: keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.003 * 0.8**epoch)),
    ),
    "ReduceLROnPlateau": Run(
        model=normalized(),
        data=learnable.curve,
        optimizer=adam(0.01),
        epochs=15,
        fit=called(lambda: keras.callbacks.ReduceLROnPlateau(patience=2)),
    ),
    "EarlyStopping": Run(
        model=plain(),
        data=learnable.curve,
        optimizer=adam(0.005),
        epochs=40,
        fit=called(lambda: keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)),
    ),
    "ModelCheckpoint": Run(model=normalized(), data=learnable.curve, fit=called(checkpoint)),
    "use_ema": Run(model=normalized(), data=learnable.curve, optimizer=adam(use_ema=True)),
    "SwapEMAWeights": Run(
        model=normalized(),
        data=learnable.curve,
        optimizer=adam(use_ema=True),
        fit=called(lambda: keras.callbacks.SwapEMAWeights(swap_on_epoch=True)),
    ),
    "average of the last weights": Run(model=plain(), data=learnable.curve, fit=called(AverageOfWeights)),
    "clipped gradients": Run(model=normalized(), data=learnable.curve, optimizer=adam(clipnorm=1.0)),
    "globally clipped gradients": Run(
        model=stack(lambda: layers.LSTM(12), dense(1, None), inputs=(16, 1)),
        data=learnable.tides,
        optimizer=adam(0.003, global_clipnorm=1.0),
    ),
    "weight decay": Run(model=normalized(), data=learnable.curve, optimizer=adam(weight_decay=0.01)),
    "accumulated gradients, 129 steps an epoch": Run(
        model=plain(), data=lambda: learnable.curve(4097), optimizer=adam(gradient_accumulation_steps=2), epochs=7
    ),
    "L2": Run(
        model=stack(*(dense(32, kernel_regularizer=keras.regularizers.L2(1e-4)) for _ in range(2)), dense(1, None)),
        data=learnable.curve,
    ),
    "label smoothing": Run(
        model=normalized(4, "softmax"),
        data=lambda: learnable.four_classes(one_hot=True),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
    ),
    "momentum 0.9": Run(
        model=normalized(norm=lambda: layers.BatchNormalization(momentum=0.9)), data=learnable.curve
    ),
    "Normalization, adapted": Run(model=lambda: adapted(), data=lambda: learnable.curve(scale=100.0)),
    "compiled by XLA": Run(model=plain(), data=learnable.curve, compiled=lambda: {"jit_compile": True}),
    "validation every third epoch": Run(
        model=plain(), data=learnable.curve, epochs=12, fit=lambda: {"validation_freq": 3}
    ),
    "no validation": Run(model=normalized(), data=learnable.curve, fit=lambda: {"validation_data": None}),
    "validation_split": Run(
        model=normalized(), data=learnable.curve, fit=lambda: {"validation_data": None, "validation_split": 0.2}
    ),
}  # fmt: skip


def adapted() -> keras.Model:
    scaling = layers.Normalization()
    scaling.adapt(learnable.curve(scale=100.0)["x"])
    return keras.Sequential([keras.Input((8,)), scaling, layers.Dense(32, "relu"), layers.Dense(1)])


# --- Each kind of model that a Monitor promises to handle -----------------------------------------------------------


@healthy
def two_phases_of_transfer_learning(runs: Path) -> Facts:
    """The head alone, then all of it, slowly; one Monitor for both."""
    keras.utils.set_random_seed(12)
    base = stack(conv(8), layers.BatchNormalization, layers.ReLU, conv(16), layers.BatchNormalization, layers.ReLU,
                 layers.GlobalAveragePooling2D, inputs=(8, 8, 1))()  # fmt: skip
    before = keras.Sequential([base, layers.Dense(2, "softmax")])
    before.compile("adam", CLASSES, jit_compile=False)
    before.fit(**learnable.stripes(), epochs=12, verbose=0)
    base.trainable = False
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.Dense(2, "softmax")(base(inputs, training=False)))
    monitor = tuimon.Monitor(runs_dir=runs, name="training")
    data = learnable.stripes(4096, noise=0.8)
    for phase, rate in enumerate((1e-3, 1e-5)):
        base.trainable = phase == 1
        model.compile(keras.optimizers.Adam(rate), CLASSES, jit_compile=False)
        model.fit(**data, initial_epoch=6 * phase, epochs=6 * phase + 6, callbacks=[monitor], verbose=0)
    return facts(monitor)


@healthy
def training_goes_on_from_saved_weights(runs: Path) -> Facts:
    """The run before it was stopped halfway."""
    keras.utils.set_random_seed(13)
    model = normalized()()
    model.compile("adam", "mse", jit_compile=False)
    data = learnable.curve(8192)
    model.fit(**data, epochs=4, verbose=0)
    monitor = tuimon.Monitor(runs_dir=runs, name="training")
    model.fit(**data, initial_epoch=4, epochs=10, callbacks=[monitor], verbose=0)
    return facts(monitor)


class Adversaries(keras.Model):
    """A generator and a critic as the Keras guide on `train_step` has them."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = stack(dense(32), layers.BatchNormalization, dense(32), dense(2, None), inputs=(4,))()
        self.critic = stack(dense(32), dense(32), dense(1, None), inputs=(2,))()
        self.losses_of = [keras.metrics.Mean(name="d_loss"), keras.metrics.Mean(name="g_loss")]

    def compile(self, **options: Any) -> None:
        super().compile(**options)
        self.optimizers_of = [optimizers.Adam(1e-3, beta_1=0.5), optimizers.Adam(1e-3, beta_1=0.5)]
        self.criterion = keras.losses.BinaryCrossentropy(from_logits=True)

    @property
    def metrics(self) -> list[Any]:
        return self.losses_of

    def call(self, inputs: Any) -> Any:
        return self.critic(inputs)

    def train_step(self, data: Any) -> dict[str, Any]:
        count = keras.ops.shape(data)[0]
        with tf.GradientTape(persistent=True) as tape:
            fake = self.generator(tf.random.normal((count, 4)), training=True)
            told, real = self.critic(fake), self.critic(data)
            losses = [
                self.criterion(tf.ones_like(real), real) + self.criterion(tf.zeros_like(told), told),
                self.criterion(tf.ones_like(told), told),
            ]
        for loss, model, optimizer, mean in zip(
            losses, (self.critic, self.generator), self.optimizers_of, self.losses_of, strict=True
        ):
            weights = model.trainable_weights
            optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
            mean.update_state(loss)
        return {metric.name: metric.result() for metric in self.losses_of}


@healthy
def two_adversaries(runs: Path) -> Facts:
    keras.utils.set_random_seed(14)
    model = Adversaries()
    model.compile(jit_compile=False)
    monitor = tuimon.Monitor(runs_dir=runs, name="training")
    data = {name: array for name, array in learnable.rings().items() if name != "validation_data"}
    model.fit(**data, epochs=12, callbacks=[monitor], verbose=0)
    return facts(monitor)


def loop_of_own(runs: Path, *, by_keras: bool) -> Facts:
    """The loop of docs/own-loop.md; with `train_on_batch`, or with a step that `loop.function` compiles."""
    keras.utils.set_random_seed(15)
    model, optimizer = normalized()(), optimizers.Adam(0.003)
    model.compile(optimizer, "mse", jit_compile=False)
    data = learnable.curve()
    held = data["validation_data"]
    batches = tf.data.Dataset.from_tensor_slices((data["x"], data["y"])).shuffle(4096).batch(32)

    def train_step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    monitor = tuimon.Monitor(runs_dir=runs, name="training")
    with monitor.watch(model, optimizer) as loop:
        step = model.train_on_batch if by_keras else loop.function(train_step)
        for _ in loop.epochs(8):
            for x, y in loop.steps(batches):
                loop.log(loss=step(x, y))
            loop.log_epoch(val_loss=float(np.mean((model.predict_on_batch(held[0]) - held[1]) ** 2)))
    return facts(monitor)


@healthy
def loop_of_own_with_a_gradient_tape(runs: Path) -> Facts:
    return loop_of_own(runs, by_keras=False)


@healthy
def loop_of_own_with_train_on_batch(runs: Path) -> Facts:
    return loop_of_own(runs, by_keras=True)


DATA_OF_KINDS: dict[str, Callable[[], Data]] = {
    "shared": learnable.pairs,
    "masked": learnable.short_sentences,
    "masking": lambda: learnable.moments(padded=True),
    "axis 1": learnable.moments,
    "recurrent": learnable.moments,
    "augmented": learnable.colours,
    "several inputs and outputs": learnable.several,
    "generator": learnable.endless,
    "endless dataset": learnable.endless_data_set,
    "shuffled dataset": learnable.data_set,
    "data of unknown length": lambda: learnable.data_set(length_is_known=False),
    "weighted classes": learnable.classes,
    "run_eagerly": lambda: learnable.numbers(1024),
}
"""Of the other kinds: `learnable.numbers`."""


def of_kind(kind: Kind) -> Callable[[Path], Facts]:
    def training(runs: Path) -> Facts:
        model, monitor = kind.model(), tuimon.Monitor(runs_dir=runs, name="training")
        data = DATA_OF_KINDS.get(kind.name, learnable.numbers)()
        with warnings.catch_warnings():
            if kind.warns:
                warnings.filterwarnings("ignore", message=kind.warns)
            model.fit(**data, epochs=8, callbacks=[monitor], verbose=0)
        return facts(monitor)

    return training


GROUPS: tuple[dict[str, Training], ...] = (
    {**TASKS},
    {**OFTEN_PROBED},
    {**UNUSUAL},
    {**OPTIMIZERS},
    {**SIZES},
    {**SETTINGS},
    {f"kind: {kind.name}": of_kind(kind) for kind in KINDS.values() if not kind.heavy},
)
AVERAGES = ("use_ema", "SwapEMAWeights", "average of the last weights")
"""They train well, and the weights that are validated or left are not those of training, which is noted."""
for group in GROUPS:
    HEALTHY.update({name: training for name, training in group.items() if name not in AVERAGES})
    NOTES.update({name: ("R17", training) for name, training in group.items() if name in AVERAGES})
NOTES["warm restarts of a high rate"] = (
    "R11",
    Run(
        model=plain(),
        data=learnable.curve,
        optimizer=adam(schedules.CosineDecayRestarts(0.02, 2 * STEPS)),
        epochs=24,
    ),
)
