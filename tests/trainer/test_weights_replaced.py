"""Other weights than those of training that are validated, or left by `fit`, are noticed; nothing else is."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tuimon
from trainer.keras_models import compiled, data, facts_of, fit, sequential
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire

EPOCHS = 4


class Clips(keras.callbacks.Callback):
    """Keeps weights small after each step, as a Wasserstein GAN does."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        for weight in self.model.trainable_weights:
            weight.assign(keras.ops.clip(weight, -0.05, 0.05))


class BeginsALayerAnew(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            kernel = self.model.layers[-1].kernel
            kernel.assign(keras.ops.ones_like(kernel))


class OwnAverages(keras.callbacks.Callback):
    """Averages the weights of the epochs itself, and leaves the averages at the end (SWA)."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        weights = self.model.get_weights()
        self.sums = weights if epoch == 0 else [one + other for one, other in zip(self.sums, weights, strict=True)]

    def on_train_end(self, logs: Any = None) -> None:
        self.model.set_weights([each / EPOCHS for each in self.sums])


def averaging() -> keras.Model:
    return compiled(sequential(), keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9))


def batch_loss(model: keras.Model, x: Any, y: Any) -> float:
    """Return the loss with batch statistics, without dropout, of a model that is not used any more."""
    model.get_layer("dropout").rate = 0
    return float(np.mean((model(x, training=True) - y) ** 2))


def watched(runs: Path, model: keras.Model, *before: Any, after: Any = (), epochs: int = EPOCHS, **options: Any) -> Any:
    monitor = tuimon.Monitor(runs_dir=runs, **options)
    fit(model, epochs, [*before, monitor, *after])
    return monitor, facts_of(monitor, events.WeightsReplaced)


@pytest.mark.parametrize("on_epoch", [False, True])
@pytest.mark.parametrize("is_first", [False, True])
def test_averages_that_are_swapped_in_for_the_validation(runs: Path, on_epoch: bool, is_first: bool) -> None:
    swap = [keras.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)]
    model, given = averaging(), data()
    monitor, found = watched(runs, model, *(swap if is_first else ()), after=() if is_first else swap, probe=given)
    first, last = found[0], found[-1]
    assert {fact.where for fact in found} == {"validation"}
    assert from_wire(first.change) > 0.01
    assert facts_of(monitor, events.FitStarted)[0].averages_weights
    # Of the last validation it is known what the averages do with the statistics of the trained weights.
    assert last.epoch == EPOCHS - 1
    assert last.examples == len(given[0])
    # `fit` leaves the averages, and the statistics have not moved since.
    assert from_wire(last.moving) == pytest.approx(model.evaluate(*given, verbose=0)[0], rel=1e-5)
    assert from_wire(last.batch) == pytest.approx(batch_loss(model, *given), rel=1e-5)


def test_averages_that_fit_leaves_unvalidated(runs: Path) -> None:
    _, found = watched(runs, averaging())
    assert [fact.where for fact in found] == ["end"]
    _, found = watched(runs, compiled(sequential()), OwnAverages())
    assert [fact.where for fact in found] == ["end"]


def test_one_fit_of_one_epoch_after_another(runs: Path) -> None:
    model, swap = averaging(), keras.callbacks.SwapEMAWeights()
    monitor = tuimon.Monitor(runs_dir=runs)
    for _ in range(3):
        fit(model, 1, [swap, monitor])
    assert {fact.where for fact in facts_of(monitor, events.WeightsReplaced)} == {"validation"}


@pytest.mark.parametrize("is_first", [False, True])
def test_the_best_weights_that_are_put_back_are_told_as_such(runs: Path, is_first: bool) -> None:
    stop = [keras.callbacks.EarlyStopping(monitor="loss", mode="max", patience=2, restore_best_weights=True)]
    _, found = watched(runs, compiled(sequential()), *(stop if is_first else ()), after=() if is_first else stop)
    # At the end of training, a callback behind the Monitor acts after it.
    assert [fact.where for fact in found] == (["restored"] if is_first else [])


@pytest.mark.parametrize(
    "callback",
    [
        Clips,
        BeginsALayerAnew,
        lambda: keras.callbacks.ReduceLROnPlateau(patience=1),
    ],
)
@pytest.mark.parametrize("is_first", [False, True])
def test_what_callbacks_do_to_the_weights_of_training_is_training(runs: Path, callback: Any, is_first: bool) -> None:
    given = [callback()]
    _, found = watched(runs, compiled(sequential()), *(given if is_first else ()), after=() if is_first else given)
    assert found == []


def test_other_weights_are_seen_by_what_they_are_not_by_bits(runs: Path) -> None:
    """A swap by addition and subtraction rounds; without an optimizer step, averages are the weights."""
    model = compiled(sequential(), keras.optimizers.SGD(0.0, use_ema=True))
    _, found = watched(runs, model, keras.callbacks.SwapEMAWeights())
    assert found == []


@pytest.mark.parametrize("is_averaging", [False, True])
def test_layers_whose_paths_change_while_the_model_is_built(
    runs: Path, capsys: pytest.CaptureFixture[str], is_averaging: bool
) -> None:
    """With one step in an epoch, they do so after the first look at the weights."""

    class Named(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="named")
            self.norm = keras.layers.BatchNormalization(name="bn")
            self.out = keras.layers.Dense(1)

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.out(self.norm(inputs, training=training))

    monitor = tuimon.Monitor(runs_dir=runs)
    given = data()
    model = compiled(Named(), keras.optimizers.Adam(0.01, use_ema=is_averaging))
    swap = [keras.callbacks.SwapEMAWeights()] if is_averaging else []
    model.fit(*given, batch_size=len(given[0]), epochs=4, verbose=0, validation_data=given, callbacks=[*swap, monitor])
    assert "training goes on" not in capsys.readouterr().err
    assert {fact.where for fact in facts_of(monitor, events.WeightsReplaced)} == ({"validation"} if swap else set())


def test_the_numbers_of_training_stay_the_same(runs: Path) -> None:
    models = [averaging(), averaging()]
    swap = keras.callbacks.SwapEMAWeights
    alone = fit(models[0], EPOCHS, [swap()]).history
    monitor = tuimon.Monitor(runs_dir=runs)
    assert fit(models[1], EPOCHS, [swap(), monitor]).history == alone
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        assert np.array_equal(one, other)
