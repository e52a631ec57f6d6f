"""Until somebody asks for a change, training computes what it would compute without a Monitor, bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

import tuimon
from trainer.keras_models import compiled, fit, functional, same_weights, sequential

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "xla": {"jit_compile": True},
    "several steps at once": {"steps_per_execution": 3},
    "several steps at once, xla": {"steps_per_execution": 3, "jit_compile": True},
    "eager": {"run_eagerly": True},
    "metrics of all kinds": {"metrics": ["mae", "RootMeanSquaredError", "AUC", "Precision"]},
}


@pytest.mark.parametrize("kind", [sequential, functional])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
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
