"""Recalibration on every kind of model: what Keras itself computes of one batch, and the pool of several calls."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from trainer.inside import train_functions_of
from trainer.keras_models import Ask, batch_norms, facts_of
from trainer.kinds import KINDS, Kind, every_kind
from tuimon.protocol import commands, events

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]

LEFT_OUT = {
    "renorm": "its statistics are those of the elements; Keras' own are averages of corrected ones",
    "shared": "Keras' momentum of 0 keeps the last of its two calls; it has a test of its own",
    "shuffled dataset": "which batch comes next is not known here",
}
COMPARED = [
    parameter
    for parameter in every_kind("masked", "axis 1", "bfloat16", "made late", "nested")
    if KINDS[parameter.id].has_batch_norm and parameter.id not in LEFT_OUT
]


def statistics(model: keras.Model) -> Statistics:
    return {layer.path: (np.array(layer.moving_mean), np.array(layer.moving_variance)) for layer in batch_norms(model)}


class Compare(keras.callbacks.Callback):
    """Has Keras make the moving statistics of one batch, and looks at those of tuimon; goes behind the Monitor."""

    def __init__(self, monitor: tuimon.Monitor, kind: Kind) -> None:
        super().__init__()
        self.monitor, self.kind = monitor, kind
        self.epoch = 0
        self.expected: Statistics = {}
        self.found: Statistics = {}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.epoch == 1 and batch == 0:
            self.expected = self.by_keras()
            # After the recalibration, before the step.
            train_functions_of(self.model).before_next(self.look)

    def look(self, _: object) -> None:
        self.found = statistics(self.model)

    def by_keras(self) -> Statistics:
        variables = [(variable, tf.identity(variable.value)) for variable in self.model.variables]
        layers = [(layer, layer.momentum) for layer in batch_norms(self.model)]
        try:
            for layer, _ in layers:
                layer.momentum = 0.0
            self.model(self.kind.inputs(), training=True)
            return statistics(self.model)
        finally:
            for layer, momentum in layers:
                layer.momentum = momentum
            for variable, value in variables:
                variable.assign(value)


@pytest.mark.parametrize("kind", COMPARED)
def test_of_one_batch_it_is_what_keras_computes(runs: Path, kind: Kind) -> None:
    model, monitor = kind.model(), tuimon.Monitor(runs_dir=runs)
    compare = Compare(monitor, kind)
    kind.fit(model, 2, [Ask(monitor, {1: [commands.Recalibrate(batches=1)]}), monitor, compare])
    (fact,) = facts_of(monitor, events.Recalibrated)
    assert (fact.batches, fact.examples, fact.skipped) == (1, kind.batch, [])
    assert list(compare.found) == list(compare.expected)
    tolerance = 2e-2 if "float16" in kind.name else 1e-4
    for path, (mean, variance) in compare.expected.items():
        np.testing.assert_allclose(compare.found[path][0], mean, rtol=tolerance, atol=tolerance, err_msg=path)
        np.testing.assert_allclose(compare.found[path][1], variance, rtol=tolerance, atol=tolerance, err_msg=path)


def test_a_shared_layer_gets_the_mean_and_variance_of_both_its_inputs(runs: Path) -> None:
    kind = KINDS["shared"]
    model, monitor = kind.model(), tuimon.Monitor(runs_dir=runs)

    class Expect(Compare):
        def by_keras(self) -> Statistics:
            hidden = self.model.get_layer("hidden")
            elements = np.concatenate([np.array(hidden(part)) for part in kind.inputs()]).astype(np.float64)
            return {"bn": (elements.mean(axis=0), elements.var(axis=0))}

    compare = Expect(monitor, kind)
    kind.fit(model, 2, [Ask(monitor, {1: [commands.Recalibrate(batches=1)]}), monitor, compare])
    ((path, (mean, variance)),) = compare.found.items()
    assert path.rpartition("/")[2] == "bn"
    np.testing.assert_allclose(mean, compare.expected["bn"][0], rtol=1e-5)
    np.testing.assert_allclose(variance, compare.expected["bn"][1], rtol=1e-5)
