"""Models, metrics and optimizers that answer oddly when somebody looks at them, and train all the same."""

from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from zoo.script import Callbacks, classifier, fast, network, numbers, script


def train(model: keras.Model, callbacks: Callbacks, **options: Any) -> Iterator[keras.Model]:
    model.fit(*numbers(), 16, callbacks=[*callbacks], **{"epochs": 2, "validation_split": 0.2, "verbose": 0, **options})
    yield model


def with_metric(metric: keras.Metric, **options: Any) -> keras.Model:
    return classifier(optimizer="sgd", jit_compile=False, metrics=[metric], **options)


@script(8)
def metric_that_keeps_a_list_of_its_results(callbacks: Callbacks) -> Iterator[keras.Model]:
    results: list[float] = []

    class Keeps(keras.metrics.MeanSquaredError):
        def result(self) -> Any:
            shown = super().result()
            results.append(float(shown))
            return shown

    yield from train(with_metric(Keeps(name="keeps"), run_eagerly=True), callbacks)
    print(results)


@script(8)
def metric_whose_compiled_result_writes(callbacks: Callbacks) -> Iterator[keras.Model]:
    asked = tf.Variable(0.0)

    class Writes(keras.metrics.MeanSquaredError):
        @tf.function
        def result(self) -> Any:
            asked.assign_add(1.0)
            return self.total / self.count

    yield from train(with_metric(Writes(name="writes")), callbacks)
    print(asked.numpy())


@script(8)
def metric_that_shows_words(callbacks: Callbacks) -> Iterator[keras.Model]:
    class Words(keras.metrics.MeanSquaredError):
        def result(self) -> Any:
            return f"{float(super().result()):.3f}"

    yield from train(with_metric(Words(name="words"), run_eagerly=True), callbacks)


@script(8)
def layers_that_are_equal(callbacks: Callbacks) -> Iterator[keras.Model]:
    class Scale(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def call(self, inputs: Any) -> Any:
            return inputs * self.scale

        def __eq__(self, other: object) -> bool:
            return type(self) is type(other)

        def __hash__(self) -> int:
            return hash(type(self))

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.first, self.second = network(), Scale(), Scale()

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.second(self.inner(self.first(inputs), training=training))

    model = Own()
    model.compile("sgd", "mse", jit_compile=False)
    yield from train(model, callbacks)


@script(8)
def optimizer_whose_learning_rate_cannot_be_read(callbacks: Callbacks) -> Iterator[keras.Model]:
    class Shy(keras.optimizers.SGD):
        @property
        def learning_rate(self) -> Any:
            if tf.executing_eagerly():  # Not in the step.
                raise RuntimeError("it is a secret")
            return super().learning_rate

    model = fast()
    model.compile(Shy(0.01), "mse", jit_compile=False)
    yield from train(model, callbacks)


@script(8)
def model_that_answers_to_every_name(callbacks: Callbacks) -> Iterator[keras.Model]:
    class Magic(keras.Model):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            return None

    layers = network()
    model = Magic(layers.inputs, layers.outputs)
    model.compile("sgd", "mse", jit_compile=False)
    yield from train(model, callbacks)
