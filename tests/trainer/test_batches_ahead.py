"""Who looks ahead changes nothing for training: the same batches, in the same order, by the same traced function."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from helpers import selected
from trainer.inside import train_functions_of
from trainer.keras_models import BATCH, STEPS, compiled, count_traces, data, fit, same_weights, sequential
from tuimon.trainer.keras.steps.batches_ahead import BatchesAhead

ROOM = 1 << 30


class Peek(keras.callbacks.Callback):
    """Looks ahead at known steps, through the Monitor's own functions. Goes after the Monitor."""

    def __init__(self, monitor: tuimon.Monitor, plan: dict[int, int]) -> None:
        super().__init__()
        self.monitor, self.plan, self.step = monitor, plan, 0
        self.seen: list[list[Any]] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        train = train_functions_of(self.model)
        if count := self.plan.get(self.step):
            train.before_next(lambda data: self.seen.append(data.ahead(count, ROOM)))
        self.step += 1


def dataset() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(data()).shuffle(80, seed=1).batch(BATCH).prefetch(1)


def generator() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    x, y = data()
    for start in range(0, 7 * BATCH, BATCH):
        yield x[start % 80 : start % 80 + BATCH], y[start % 80 : start % 80 + BATCH]


KINDS: dict[str, tuple[dict[str, Any], Callable[[], dict[str, Any]]]] = {
    "arrays with a ragged tail": ({}, lambda: {"batch_size": 18, "shuffle": True}),
    "several steps at once": ({"steps_per_execution": 3}, lambda: {"batch_size": 10}),
    "eager": ({"run_eagerly": True}, dict),
    "xla": ({"jit_compile": True}, dict),
    "a data set": ({}, lambda: {"x": dataset(), "y": None, "batch_size": None}),
    "a data set without end": (
        {},
        lambda: {"x": dataset().repeat(), "y": None, "batch_size": None, "steps_per_epoch": 4},
    ),
    "a generator": ({}, lambda: {"x": generator(), "y": None, "batch_size": None, "steps_per_epoch": 2}),
    "sample weights": ({}, lambda: {"sample_weight": np.linspace(0, 1, 80)}),
}


@pytest.mark.filterwarnings("ignore:.*sample_weight:UserWarning")
@pytest.mark.parametrize("name", selected(KINDS, "arrays with a ragged tail", "several steps at once", "a data set"))
def test_training_is_bit_for_bit_the_same(runs: Path, name: str) -> None:
    options, arguments = KINDS[name]
    x, y = data()

    def train(*callbacks: Any) -> keras.Model:
        model = compiled(sequential(), **options)
        traces = count_traces(model)
        fitted = {"x": x, "y": y, "shuffle": False, **arguments()}
        model.fit(**fitted, epochs=3, verbose=0, callbacks=list(callbacks))
        model.traces = len(traces)
        return model

    monitor = tuimon.Monitor(runs_dir=runs)
    peek = Peek(monitor, {0: 2, 1: 4, 3: 1, 4: 50})
    plain, watched = train(), train(monitor, peek)
    assert [len(seen) > 0 for seen in peek.seen] == [True] * len(peek.seen)
    assert len(peek.seen) >= 2
    assert same_weights(plain, watched)
    if not options.get("run_eagerly"):
        assert watched.traces == plain.traces


def test_the_batches_are_those_that_training_gets(runs: Path) -> None:
    x, _ = data()
    monitor = tuimon.Monitor(runs_dir=runs)
    peek = Peek(monitor, {1: 3, 3: 10})
    fit(compiled(sequential()), 2, [monitor, peek])
    first, second = peek.seen
    assert [np.array_equal(batch[0], x[BATCH * i : BATCH * (i + 1)]) for i, batch in enumerate(first, 1)] == [True] * 3
    assert len(second) == STEPS - 3


def test_no_more_is_read_than_there_is_room_for() -> None:
    iterator = iter(tf.data.Dataset.from_tensor_slices(np.zeros((10, 100), np.float32)).repeat())
    assert len(BatchesAhead(1).peek(iterator, 50, maximum_bytes=1000)) == 3


def test_what_a_stopped_epoch_has_left_is_not_given_to_the_next() -> None:
    ahead = BatchesAhead(1)
    numbers = tf.data.Dataset.range(5)
    first, second = iter(numbers), iter(numbers)
    ahead.peek(first, 3, ROOM)
    assert [int(next(ahead.of(first))) for _ in range(2)] == [0, 1]
    assert [int(next(ahead.of(second))) for _ in range(5)] == [0, 1, 2, 3, 4]
