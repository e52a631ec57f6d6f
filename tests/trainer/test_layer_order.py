"""The layers of a model are listed as they are computed, from input to output, at any depth."""

from typing import Any

import keras
import numpy as np
import pytest

from tuimon.trainer.keras.layers import KerasLayers
from tuimon.trainer.keras.steps.step_flags import StepFlags


def norm(name: str) -> keras.layers.Layer:
    return keras.layers.BatchNormalization(name=name)


def sequential(name: str, *names: str) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *map(norm, names), keras.layers.Dropout(0.1)], name=name)


def functional(name: str, *layers: Any) -> keras.Model:
    inputs = outputs = keras.Input((4,))
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name=name)


def branched() -> keras.Model:
    inputs = keras.Input((4,))
    first = norm("a")(inputs)
    left, right = sequential("left", "b", "c")(first), norm("d")(first)
    return keras.Model(inputs, norm("e")(keras.layers.Add()([left, right])))


class Block(keras.layers.Layer):
    def __init__(self, *names: str) -> None:
        super().__init__()
        self.norms = [norm(name) for name in names]

    def call(self, inputs: Any) -> Any:
        for layer in self.norms:
            inputs = layer(inputs)
        return inputs


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first = norm("a")
        self.inner = functional("inner", norm("b"), Block("c", "d"), norm("e"))
        self.last = norm("f")

    def call(self, inputs: Any) -> Any:
        return self.last(self.inner(self.first(inputs)))


def shared() -> keras.Model:
    both = norm("b")
    return functional("model", norm("a"), both, sequential("inner", "c", "d"), both, norm("e"))


MODELS = {
    "flat": (lambda: sequential("model", "a", "b", "c"), "abc"),
    "nested": (lambda: functional("model", norm("a"), sequential("inner", "b", "c", "d"), norm("e")), "abcde"),
    "nested twice": (
        lambda: functional(
            "model",
            sequential("first", "a", "b"),
            functional("outer", norm("c"), functional("inner", norm("d"), norm("e"), norm("f")), norm("g")),
            norm("h"),
        ),
        "abcdefgh",
    ),
    "a block": (lambda: functional("model", norm("a"), Block("b", "c"), Block("d", "e")), "abcde"),
    "subclassed": (Subclassed, "abcdef"),
    "a shared layer": (shared, "abcde"),
    "sequential in sequential": (
        lambda: keras.Sequential([keras.Input((4,)), sequential("first", "a", "b"), sequential("second", "c", "d")]),
        "abcd",
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_batch_norm_layers_are_in_the_order_of_the_model(kind: str) -> None:
    make, expected = MODELS[kind]
    model = make()
    model.compile("sgd", "mse")
    model(np.zeros((2, 4)))
    layers = KerasLayers(model, StepFlags(model))
    layers.look()
    described = layers.describe().batch_norm_layers
    assert [layer.path.rpartition("/")[2] for layer in described] == list(expected)
    assert list(layers.read()) == list(layers.batch_norm) == [layer.path for layer in described]


def test_a_branch_comes_before_what_joins_it() -> None:
    model = branched()
    model.compile("sgd", "mse")
    layers = KerasLayers(model, StepFlags(model))
    layers.look()
    names = [layer.path.rpartition("/")[2] for layer in layers.describe().batch_norm_layers]
    assert names.index("b") + 1 == names.index("c")
    assert names[0] == "a"
    assert names[-1] == "e"


def test_random_layers_are_in_the_order_of_the_model() -> None:
    drop = keras.layers.Dropout
    inner = functional("inner", drop(0.1, name="b"), drop(0.1, name="c"))
    model = functional("model", drop(0.1, name="a"), inner, drop(0.1, name="d"))
    model.compile("sgd", "mse")
    layers = KerasLayers(model, StepFlags(model))
    layers.look()
    assert [path.rpartition("/")[2] for path in layers.describe().other_layers] == list("abcd")
