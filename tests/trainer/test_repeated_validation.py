"""A validation whose loss stands out is repeated, and nothing else is changed by it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from trainer.keras_models import Ask, compiled, data, facts_of, fit, same_weights, sequential
from tuimon.protocol import commands, events
from tuimon.protocol.wire import from_wire


@pytest.fixture(autouse=True)
def _a_spike_in_the_fourth_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuimon.trainer.schedule.is_spike", lambda values: len(values) == 4)


def watched(runs: Path, model: keras.Model, **options: Any) -> tuple[tuimon.Monitor, Any]:
    monitor = tuimon.Monitor(runs_dir=runs, probe_every=2, overhead=0.99)
    return monitor, fit(model, 6, [monitor], **options).history


def test_it_is_repeated_with_moving_and_with_batch_statistics(runs: Path) -> None:
    x, y = data()
    model = compiled(sequential(), "sgd")
    weights: list[Any] = []
    keeps = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: weights.append(model.get_weights()))
    monitor = tuimon.Monitor(runs_dir=runs, probe_every=2, overhead=0.99)
    history = fit(model, 6, [keeps, monitor]).history
    (fact,) = facts_of(monitor, events.ValidationRepeated)
    assert (fact.epoch, fact.metric) == (3, "val_loss")
    assert from_wire(fact.value) == history["val_loss"][3]
    assert from_wire(fact.moving) == pytest.approx(history["val_loss"][3], rel=1e-6)
    model.set_weights(weights[3])
    batches = [(x[:16], y[:16]), (x[16:24], y[16:24])]
    losses = np.concatenate([(model.predict(one, verbose=0) - other) ** 2 for one, other in batches])[:, 0]
    assert (fact.examples, fact.highest) == (24, 1)
    assert from_wire(fact.without_highest) == pytest.approx(np.sort(losses)[:-1].mean(), rel=1e-5)
    model.get_layer("dropout").rate = 0
    total = 0.0
    for one, other in batches:
        model.set_weights(weights[3])
        total += float(np.sum((model(one, training=True) - other) ** 2))
    assert from_wire(fact.batch) == pytest.approx(total / 24, rel=1e-5)
    # The held training batch tells whether the weights went too far.
    assert any(fact.step == 20 for fact in facts_of(monitor, events.Probe))


@pytest.mark.full
@pytest.mark.parametrize("options", [{"loss_weights": [10.0]}, {"loss": keras.losses.MeanSquaredError("sum")}])
def test_examples_are_told_only_where_they_are_what_the_loss_is_made_of(runs: Path, options: dict[str, Any]) -> None:
    model = sequential()
    model.compile("sgd", **{"loss": "mse", "jit_compile": False, **options})
    monitor, _ = watched(runs, model)
    (fact,) = facts_of(monitor, events.ValidationRepeated)
    assert (fact.examples, fact.without_highest) == (None, None)


def test_without_batch_statistics_it_is_repeated_once(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs, probe_every=2, overhead=0.99)
    ask = Ask(monitor, {1: [commands.Freeze()]})
    fit(compiled(sequential()), 6, [ask, monitor])
    (fact,) = facts_of(monitor, events.ValidationRepeated)
    assert fact.batch is None
    assert from_wire(fact.moving) == pytest.approx(from_wire(fact.value), rel=1e-6)


def arrays() -> Any:
    x, y = data()
    return x[:24], y[:24]


def plain_set() -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays()).map(lambda x, y: (x * 2, y)).batch(8).prefetch(2)


def shuffled() -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays()).shuffle(24, seed=1).batch(8)


def shuffled_once() -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays()).shuffle(24, seed=1).cache().batch(8)


def random_map() -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays()).map(lambda x, y: (x + tf.random.uniform(()), y)).batch(8)


def from_python() -> Any:
    x, y = arrays()
    spec = (tf.TensorSpec((6,), tf.float32), tf.TensorSpec((1,), tf.float32))
    batches = tf.data.Dataset.from_generator(lambda: zip(x, y, strict=True), output_signature=spec).batch(8)
    return batches.apply(tf.data.experimental.assert_cardinality(3))


class Sequence(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        x, y = arrays()
        return x[8 * index : 8 * index + 8], y[8 * index : 8 * index + 8]


@pytest.mark.parametrize(
    ("validation", "is_repeated"),
    [
        (arrays, True),
        (shuffled, False),
        *(
            pytest.param(*case, marks=pytest.mark.full)
            for case in (
                (plain_set, True),
                (shuffled_once, True),
                (random_map, False),
                (from_python, False),
                (Sequence, False),
            )
        ),
    ],
)
def test_the_runs_numbers_are_the_same_whatever_the_data_are(
    runs: Path, validation: Callable[[], Any], is_repeated: bool
) -> None:
    keras.utils.set_random_seed(5)
    plain = compiled(sequential())
    history = fit(plain, 6, validation_data=validation()).history
    keras.utils.set_random_seed(5)
    model = compiled(sequential())
    monitor, seen = watched(runs, model, validation_data=validation())
    assert seen == history
    assert same_weights(plain, model)
    assert len(facts_of(monitor, events.ValidationRepeated)) == is_repeated
    notes = [fact.text for fact in facts_of(monitor, events.Note)]
    assert bool(notes) != is_repeated
    assert all("the validation is not repeated: its data may come in another order" in note for note in notes)


def unknown_length() -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays()).filter(lambda x, y: x[0] > 0).batch(8)


def randomly_filtered() -> Any:
    return tf.data.Dataset.from_tensor_slices(arrays()).filter(lambda x, y: tf.random.uniform(()) < 0.7).batch(8)


@pytest.mark.full
@pytest.mark.parametrize(("validation", "is_repeated"), [(unknown_length, True), (randomly_filtered, False)])
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_data_of_unknown_length_come_to_an_end(runs: Path, validation: Callable[[], Any], is_repeated: bool) -> None:
    monitor, history = watched(runs, compiled(sequential()), validation_data=validation())
    assert len(history["val_loss"]) == 6
    repeated = facts_of(monitor, events.ValidationRepeated)
    assert len(repeated) == is_repeated
    for fact in repeated:
        assert from_wire(fact.moving) == pytest.approx(history["val_loss"][3], rel=1e-5)


@pytest.mark.parametrize(
    "value", ["n/a", *(pytest.param(other, marks=pytest.mark.full) for other in (None, np.ones(3)))]
)
def test_a_validation_loss_that_is_no_number_ends_nothing(runs: Path, value: Any) -> None:
    class Sets(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["val_loss"] = value

    monitor = tuimon.Monitor(runs_dir=runs, probe_every=2)
    fit(compiled(sequential()), 3, [Sets(), monitor])
    assert len(facts_of(monitor, events.EpochEnded)) == 3
    assert facts_of(monitor, events.RunEnded)[0].status == "finished"


def test_it_is_not_repeated_where_the_budget_does_not_pay_or_nobody_probes(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuimon.trainer.schedule.is_spike", lambda values: len(values) >= 4)
    monitor = tuimon.Monitor(runs_dir=runs, probe_every=2, overhead=1e-6)
    fit(compiled(sequential()), 8, [monitor])
    assert facts_of(monitor, events.ValidationRepeated) == []
    silent = tuimon.Monitor(runs_dir=runs, probe=False)
    fit(compiled(sequential()), 8, [silent])
    assert facts_of(silent, events.ValidationRepeated) == []


@pytest.mark.full
def test_what_a_phase_makes_of_the_validation_is_no_spike(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuimon.trainer.schedule.is_spike", lambda values: True)
    monitor = tuimon.Monitor(runs_dir=runs, probe_every=2, overhead=0.99)
    ask = Ask(monitor, {0: [commands.Phase(phase="train")], 4: [commands.Phase(phase="auto")]})
    fit(compiled(sequential()), 6, [ask, monitor])
    # The second one is not paid for yet on a slow machine.
    assert {4} <= {fact.epoch for fact in facts_of(monitor, events.ValidationRepeated)} <= {4, 5}
