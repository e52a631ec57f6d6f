"""Every kind of model and of ``compile`` that the documentation of Keras shows."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from zoo.script import Callbacks, classifier, fast, network, numbers, script


class OwnTrainStep(keras.Model):
    def train_step(self, data: Any) -> Any:
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        return {"loss": loss}


class OwnTestStep(keras.Model):
    def test_step(self, data: Any) -> Any:
        x, y = data
        return {"far": keras.ops.max(keras.ops.abs(y - self(x, training=False)))}


def of_class(kind: type[keras.Model]) -> keras.Model:
    made = network()
    return kind(made.inputs, made.outputs)


def train(model: keras.Model, callbacks: Callbacks, epochs: int = 2, **options: Any) -> keras.Model:
    model.fit(*numbers(), epochs=epochs, validation_split=0.2, callbacks=[*callbacks], **options)
    return model


@script(4)
def own_train_step(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = of_class(OwnTrainStep)
    model.compile("adam", "mse")
    yield train(model, callbacks)


@script(4)
def own_test_step(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = of_class(OwnTestStep)
    model.compile("adam", "mse")
    yield train(model, callbacks)


@script(4)
def own_layer_loss_and_metric(callbacks: Callbacks) -> Iterator[keras.Model]:
    class Scale(layers.Layer):
        def build(self, shape: Any) -> None:
            self.factor = self.add_weight(shape=(shape[-1],), initializer="ones")
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, inputs: Any, training: bool = False) -> Any:
            if training:
                self.calls.assign_add(1.0)
            return inputs * self.factor

    class Close(keras.metrics.Metric):
        def __init__(self) -> None:
            super().__init__(name="close")
            self.count = self.add_variable((), "zeros")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.count.assign_add(keras.ops.sum(keras.ops.cast(keras.ops.abs(y_true - y_pred) < 0.5, "float32")))

        def result(self) -> Any:
            return self.count

    def far(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.square(y_true - y_pred) ** 2, axis=-1)

    model = keras.Sequential([layers.Dense(4), Scale(), layers.BatchNormalization(), layers.Dense(1)])
    model.compile("adam", far, metrics=[Close(), far])
    yield train(model, callbacks)


@script(4)
def added_loss(callbacks: Callbacks) -> Iterator[keras.Model]:
    class Active(layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(1e-2 * keras.ops.mean(keras.ops.abs(inputs)))
            return inputs

    dense = layers.Dense(8, kernel_regularizer="l2", activity_regularizer="l1")
    model = keras.Sequential([keras.Input((6,)), dense, Active(), layers.Dense(1)])
    model.compile("adam", "mse")
    yield train(model, callbacks)


@script(4)
def eager(callbacks: Callbacks) -> Iterator[keras.Model]:
    yield train(classifier(run_eagerly=True), callbacks)


@script(4)
def xla(callbacks: Callbacks) -> Iterator[keras.Model]:
    yield train(classifier(jit_compile=True), callbacks)


@script(4)
def without_xla(callbacks: Callbacks) -> Iterator[keras.Model]:
    yield train(classifier(jit_compile=False), callbacks)


@script(8)
def steps_per_execution(callbacks: Callbacks) -> Iterator[keras.Model]:
    yield train(classifier(steps_per_execution=3), callbacks, batch_size=16)


@script(4)
def mixed_precision(callbacks: Callbacks) -> Iterator[keras.Model]:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        yield train(classifier(), callbacks)
    finally:
        keras.mixed_precision.set_dtype_policy(before)


@script(4)
def bfloat16(callbacks: Callbacks) -> Iterator[keras.Model]:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        yield train(classifier(jit_compile=False), callbacks)
    finally:
        keras.mixed_precision.set_dtype_policy(before)


@script(8)
def gradient_accumulation(callbacks: Callbacks) -> Iterator[keras.Model]:
    optimizer = keras.optimizers.Adam(gradient_accumulation_steps=2)
    yield train(classifier(optimizer=optimizer), callbacks, batch_size=16)


@script(8)
def averaged_weights(callbacks: Callbacks) -> Iterator[keras.Model]:
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_overwrite_frequency=3)
    yield train(classifier(optimizer=optimizer), callbacks, batch_size=16)


@script(4)
def loss_scale(callbacks: Callbacks) -> Iterator[keras.Model]:
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())
    yield train(classifier(optimizer=optimizer), callbacks)


@script(8)
def schedules(callbacks: Callbacks) -> Iterator[keras.Model]:
    for schedule in (
        keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.9),
        keras.optimizers.schedules.CosineDecay(0.0, 4, warmup_target=0.01, warmup_steps=2),
    ):
        yield train(classifier(optimizer=keras.optimizers.AdamW(schedule, clipnorm=1.0)), callbacks)


@script(4)
def no_batch_normalization(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(1)])
    model.compile("sgd", "mse")
    yield train(model, callbacks)


@script(4)
def unbuilt_sequential(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = keras.Sequential([layers.Dense(4), layers.BatchNormalization(), layers.ReLU(), layers.Dense(1)])
    model.compile("adam", "mse")
    yield train(model, callbacks)


@script(4)
def subclass_built_by_the_first_batch(callbacks: Callbacks) -> Iterator[keras.Model]:
    class Mine(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = [layers.Dense(4), layers.BatchNormalization()]
            self.head = layers.Dense(1)

        def call(self, inputs: Any, training: bool = False) -> Any:
            for layer in self.inner:
                inputs = layer(inputs)
            return self.head(inputs)

    model = Mine()
    model.compile("adam", "mse", metrics=["mae"])
    yield train(model, callbacks)


@script(4)
def metrics_of_many_kinds(callbacks: Callbacks) -> Iterator[keras.Model]:
    metrics = ["AUC", "Precision", "Recall", keras.metrics.F1Score(threshold=0.5), keras.metrics.BinaryAccuracy()]
    yield train(classifier(metrics=metrics), callbacks)


@script(4)
def images_with_augmentation(callbacks: Callbacks) -> Iterator[keras.Model]:
    images = np.random.default_rng(0).random((64, 12, 12, 3)).astype("float32")
    labels = np.arange(64) % 3
    model = keras.Sequential(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, epochs=2, callbacks=[*callbacks])
    yield model


class Gan(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.maker = keras.Sequential([keras.Input((3,)), layers.Dense(6), layers.BatchNormalization()])
        self.critic = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(1)])
        self.loss_tracker = keras.metrics.Mean(name="critic_loss")
        self.seed_generator = keras.random.SeedGenerator(3)

    def compile(self, maker: Any, critic: Any) -> None:
        super().compile()
        self.maker_optimizer, self.critic_optimizer = maker, critic

    @property
    def metrics(self) -> Any:
        return [self.loss_tracker]

    def call(self, inputs: Any) -> Any:
        return self.critic(inputs)

    def train_step(self, real: Any) -> Any:
        real = real[0] if isinstance(real, tuple) else real
        noise = keras.random.normal((tf.shape(real)[0], 3), seed=self.seed_generator)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.critic(self.maker(noise, training=True))) - tf.reduce_mean(self.critic(real))
        variables = self.critic.trainable_weights
        self.critic_optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        with tf.GradientTape() as tape:
            made = -tf.reduce_mean(self.critic(self.maker(noise, training=True)))
        variables = self.maker.trainable_weights
        self.maker_optimizer.apply_gradients(zip(tape.gradient(made, variables), variables, strict=True))
        self.loss_tracker.update_state(loss)
        return {"critic_loss": self.loss_tracker.result(), "maker_loss": made}


@script(6)
def two_optimizers(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = Gan()
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    model.fit(numbers()[0], epochs=2, callbacks=[*callbacks])
    yield model


@script(4)
def autoencoder_of_nested_models(callbacks: Callbacks) -> Iterator[keras.Model]:
    encoder = keras.Sequential([keras.Input((6,)), layers.Dense(3), layers.BatchNormalization()], name="encoder")
    decoder = keras.Sequential([keras.Input((3,)), layers.Dense(6)], name="decoder")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, decoder(encoder(inputs)))
    model.compile("adam", "mse")
    x, _ = numbers()
    model.fit(x, x, 32, 2, validation_split=0.2, callbacks=[*callbacks])
    yield model


@script(4)
def frozen_layers(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = network()
    for layer in model.layers[:2]:
        layer.trainable = False
    model.compile("adam", "mse")
    yield train(model, callbacks)


@script(4)
def low_rank_adaptation(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = network()
    model.layers[0].enable_lora(2)
    model.compile("adam", "mse")
    yield train(model, callbacks)


@script(4)
def spectral_and_other_normalization(callbacks: Callbacks) -> Iterator[keras.Model]:
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.SpectralNormalization(layers.Dense(8)),
            layers.LayerNormalization(),
            layers.GaussianNoise(0.1),
            layers.UnitNormalization(),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    yield train(model, callbacks)


@script(4)
def shared_layers_and_several_calls(callbacks: Callbacks) -> Iterator[keras.Model]:
    shared, norm = layers.Dense(4), layers.BatchNormalization()
    inputs = keras.Input((6,))
    halves = [norm(shared(half)) for half in (inputs[:, :3], inputs[:, 3:])]
    model = keras.Model(inputs, layers.Dense(1)(layers.Subtract()(halves)))
    model.compile("adam", "mse")
    yield train(model, callbacks)


@script()
def not_compiled(callbacks: Callbacks) -> Iterator[keras.Model]:
    yield train(network(), callbacks)


@script(4)
def on_one_replica(callbacks: Callbacks) -> Iterator[keras.Model]:
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        model = classifier()
    yield train(model, callbacks)


@script(4)
def fit_inside_the_scope_of_a_strategy(callbacks: Callbacks) -> Iterator[keras.Model]:
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        yield train(fast(), callbacks)
