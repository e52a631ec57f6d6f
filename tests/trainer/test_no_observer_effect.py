"""Until somebody asks for a change, training computes what it would compute without a Monitor, bit for bit."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tuimon
from trainer.keras_models import compiled, facts, facts_of, fit, functional, same_weights, sequential
from trainer.kinds import KINDS, Kind, every_kind, state_of
from tuimon.protocol import events
from tuimon.protocol.wire import list_from_wire

pytestmark = pytest.mark.examined

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "xla": {"jit_compile": True},
    "several steps at once": {"steps_per_execution": 3},
    "several steps at once, xla": {"steps_per_execution": 3, "jit_compile": True},
    "eager": {"run_eagerly": True},
    "metrics of all kinds": {"metrics": ["mae", "RootMeanSquaredError", "AUC", "Precision"]},
}


COVERING_OPTIONS = ("plain-functional", "several steps at once, xla-functional", "eager-sequential")
EVERY_WAY = [
    pytest.param(kind, options, id=name, marks=() if name in COVERING_OPTIONS else pytest.mark.full)
    for kind in (sequential, functional)
    for words, options in OPTIONS.items()
    for name in (f"{words}-{kind.__name__}",)
]


@pytest.mark.parametrize(("kind", "options"), EVERY_WAY)
def test_weights_and_history_are_those_of_a_run_without(
    runs: Path, kind: Callable[[], keras.Model], options: dict[str, Any]
) -> None:
    plain = compiled(kind(), **options)
    watched = compiled(kind(), **options)
    alone = fit(plain, 3).history
    with_monitor = fit(watched, 3, [tuimon.Monitor(runs_dir=runs)]).history
    assert plain.jit_compile is options.get("jit_compile", False)
    assert watched.jit_compile is plain.jit_compile
    assert same_weights(plain, watched)
    assert list(alone.values()) == list(with_monitor.values())


def test_two_plain_runs_are_the_same(runs: Path) -> None:
    """What the test above stands on."""
    first, second = compiled(sequential(), jit_compile=True), compiled(sequential(), jit_compile=True)
    fit(first, 3)
    fit(second, 3)
    assert same_weights(first, second)


def test_layer_names_and_the_state_of_random_numbers_are_untouched(runs: Path) -> None:
    def train(monitors: list[tuimon.Monitor]) -> tuple[str, float, Any]:
        keras.backend.clear_session()
        model = compiled(sequential())
        fit(model, 1, monitors)
        return keras.layers.Dense(1).name, float(keras.random.uniform((), seed=None)), keras.layers.Dropout(0.1).name

    assert train([]) == train([tuimon.Monitor(runs_dir=runs)])


def test_the_users_functions_are_back_and_nothing_hangs_on_the_model(runs: Path) -> None:
    model = compiled(sequential())
    fit(model, 1)
    train, test, names = model.train_function, model.test_function, set(vars(model))
    layers = [set(vars(layer)) for layer in model.layers]
    metrics = [set(vars(metric)) for metric in model.metrics]
    fit(model, 1, [tuimon.Monitor(runs_dir=runs)])
    assert model.train_function is train
    assert model.test_function is test
    assert set(vars(model)) == names
    assert [set(vars(layer)) for layer in model.layers] == layers
    assert [set(vars(metric)) for metric in model.metrics] == metrics
    fit(model, 1)


def test_without_batch_loss_keras_own_function_runs(runs: Path) -> None:
    model = compiled(sequential())
    fit(model, 1)
    train = model.train_function
    calls = []

    def counted(iterator: Any) -> Any:
        calls.append(iterator)
        return train(iterator)

    model.train_function = counted
    fit(model, 1, [tuimon.Monitor(runs_dir=runs, batch_loss=False)])
    assert len(calls) == 5


COVERING = (
    "made late",
    "float16",
    "several inputs and outputs",
    "gradient accumulation",
)
COVERING_XLA = ("own layer",)
WITH_XLA = [kind for kind in every_kind(*COVERING_XLA) if not KINDS[kind.id].why_no_xla]
EPOCHS = 2


def train(kind: Kind, *, jit_compile: bool, callbacks: Sequence[Any] = ()) -> tuple[keras.Model, Any, dict[str, Any]]:
    """Return the model, all its variables, and the history."""
    model = kind.model(jit_compile=jit_compile)
    history = kind.fit(model, EPOCHS, callbacks).history
    assert model.jit_compile is jit_compile
    return model, state_of(model), history


def watch(runs: Path, kind: Kind, *, jit_compile: bool) -> None:
    """Train a kind alone and with a Monitor, and compare."""
    _, state, history = train(kind, jit_compile=jit_compile)
    monitor = tuimon.Monitor(runs_dir=runs)
    _, watched_state, watched_history = train(kind, jit_compile=jit_compile, callbacks=[monitor])
    others = [left[0] for left, right in zip(state, watched_state, strict=True) if left != right]
    if others or history != watched_history:
        _, again, history_again = train(kind, jit_compile=jit_compile)
        assert (again, history_again) == (state, history), "Keras alone does not train it twice to the same bits"
    assert others == []
    assert history == watched_history

    # And it was watched, all along.
    ended = facts(monitor)[-1]
    assert isinstance(ended, events.RunEnded)
    assert (ended.status, ended.step) == ("finished", EPOCHS * kind.steps)
    assert facts_of(monitor, events.Note) == []
    epochs = facts_of(monitor, events.EpochEnded)
    assert [fact.logs for fact in epochs] == [
        {name: column[epoch] for name, column in history.items()} for epoch in range(EPOCHS)
    ]
    loss = "own_loss" if "own_loss" in history else "loss"
    batches = [value for fact in facts_of(monitor, events.Batches) for value in list_from_wire(fact.metrics[loss])]
    assert len(batches) == EPOCHS * kind.steps
    assert np.isfinite(batches).all()
    assert bool(facts_of(monitor, events.BatchNorm)) is kind.has_batch_norm


@pytest.mark.parametrize("kind", every_kind(*COVERING))
def test_every_kind_is_trained_as_without(runs: Path, kind: Kind) -> None:
    watch(runs, kind, jit_compile=False)


@pytest.mark.parametrize("kind", WITH_XLA)
def test_every_kind_is_trained_as_without_by_xla(runs: Path, kind: Kind) -> None:
    watch(runs, kind, jit_compile=True)
