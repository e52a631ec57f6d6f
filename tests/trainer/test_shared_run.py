"""Which fits are one run: those that train the same weights further, also with a new Monitor each."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers

import tuimon
from helpers import fold, read_log
from trainer.keras_models import STEPS, compiled, fit, same_weights, sequential
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory, runs_in
from tuimon.trainer.keras import shared_run

Fit = Callable[..., None]


def around(base: keras.Model) -> keras.Model:
    """Return a new model: a head on another model's body."""
    body = keras.Model(base.inputs, base.layers[-2].output)
    inputs = keras.Input(base.input_shape[1:])
    return compiled(keras.Model(inputs, layers.Dense(1)(body(inputs))))


def two_stages(train: Fit) -> keras.Model:
    model = compiled(sequential())
    train(model, 2)
    model.get_layer("bn_1").trainable = False
    compiled(model, keras.optimizers.SGD(0.01))
    train(model, 1)
    return model


def a_model_around_the_first(train: Fit) -> keras.Model:
    base = compiled(sequential())
    train(base, 2)
    model = around(base)
    train(model, 1)
    return model


def the_epochs_go_on(train: Fit) -> keras.Model:
    model = compiled(sequential())
    train(model, 2)
    train(model, 3, initial_epoch=2)
    return model


def folds(train: Fit) -> keras.Model:
    for _ in range(2):
        model = compiled(sequential())
        train(model, 2)
    return model


def folds_of_one_model_that_is_set_back(train: Fit) -> keras.Model:
    model = compiled(sequential())
    first = model.get_weights()
    for _ in range(2):
        model.set_weights(first)
        train(model, 2)
    return model


def a_sweep_over_one_frozen_body(train: Fit) -> keras.Model:
    base = compiled(sequential())
    base.trainable = False
    for _ in range(2):
        model = around(base)
        train(model, 2)
    return model


@pytest.mark.parametrize(
    ("script", "runs_made"),
    [
        (two_stages, 1),
        (a_model_around_the_first, 1),
        (the_epochs_go_on, 1),
        (folds, 2),
        (folds_of_one_model_that_is_set_back, 2),
        (a_sweep_over_one_frozen_body, 2),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_fits_that_train_the_same_weights_further_are_one_run(
    script: Callable[[Fit], keras.Model], runs_made: int, runs: Path
) -> None:
    def watched(model: keras.Model, epochs: int, **options: Any) -> None:
        fit(model, epochs, [tuimon.Monitor(runs_dir=runs)], **options)

    def unwatched(model: keras.Model, epochs: int, **options: Any) -> None:
        fit(model, epochs, [], **options)

    trained = []
    for train in (unwatched, watched):
        keras.utils.set_random_seed(5)
        trained.append(script(train))
    assert same_weights(*trained)
    made = list(runs_in(runs))
    assert len(made) == runs_made
    for run in made:
        log = read_log(run)
        assert [fact.seq for fact in log] == list(range(len(log)))
        assert isinstance(log[-1], events.RunEnded)
    state = fold(read_log(made[-1]))
    assert len(state.fits.all) == 3 - runs_made
    assert state.step == STEPS * (3 if runs_made == 1 else 2)
    assert list(state.fits.epochs_of_run(state.epoch_numbers.steps, state.epoch_numbers.values)) == [
        *range(3 if runs_made == 1 else 2)
    ]
    if runs_made == 1:
        assert state.fits.all[1].started.same_model is (script is not a_model_around_the_first)


def test_each_fit_says_the_learning_rate_that_it_begins_with(runs: Path) -> None:
    model = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(model, 1, [monitor])
    compiled(model, keras.optimizers.SGD(0.0625))
    fit(model, 1, [monitor])
    compiled(model, keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)))
    fit(model, 1, [monitor])
    compiled(model, keras.optimizers.SGD(0.0625))
    # What such a callback sets before the first step is not known yet.
    fit(model, 1, [keras.callbacks.LearningRateScheduler(lambda epoch: 0.25), monitor])
    assert monitor.run_dir is not None
    log = read_log(RunDirectory(monitor.run_dir))
    begun = [fact.learning_rate for fact in log if isinstance(fact, events.FitStarted)]
    assert begun[1:] == [0.0625, 0.5, None]


@pytest.mark.parametrize("change", ["name", "runs_dir", "deleted"])
def test_a_monitor_of_another_place_begins_a_run(runs: Path, tmp_path: Path, change: str) -> None:
    model, first = compiled(sequential()), tuimon.Monitor(runs_dir=runs, name="one")
    fit(model, 1, [first])
    assert first.run_dir is not None
    if change == "deleted":
        RunDirectory(first.run_dir).session_log.unlink()
    other = tuimon.Monitor(
        runs_dir=tmp_path / "elsewhere" if change == "runs_dir" else runs, name="two" if change == "name" else "one"
    )
    fit(model, 1, [other])
    assert other.run_dir is not None
    assert other.run_dir != first.run_dir
    assert read_log(RunDirectory(other.run_dir))[-1].step == STEPS


@pytest.mark.full
def test_a_directory_that_is_named_again_is_gone_on_with(runs: Path) -> None:
    model = compiled(sequential())
    for _ in range(2):
        fit(model, 1, [tuimon.Monitor(runs / "mine")])
    assert [run.name for run in runs_in(runs)] == ["mine"]
    assert len(fold(read_log(RunDirectory(runs / "mine"))).fits.all) == 2


def test_the_first_monitor_goes_on_after_the_second(runs: Path) -> None:
    model = compiled(sequential())
    first, second = tuimon.Monitor(runs_dir=runs), tuimon.Monitor(runs_dir=runs)
    for monitor in (first, second, first):
        fit(model, 1, [monitor])
    (run,) = runs_in(runs)
    assert [fit_.started.step for fit_ in fold(read_log(run)).fits.all] == [0, STEPS, 2 * STEPS]


def test_a_run_that_may_be_gone_on_with_keeps_no_model(runs: Path) -> None:
    model = compiled(sequential())
    fit(model, 1, [tuimon.Monitor(runs_dir=runs)])
    kept = weakref.ref(model.get_layer("bn_1").gamma)
    del model
    gc.collect()
    assert kept() is None


def test_what_lies_in_a_directory_without_a_log_is_no_request_to_the_run_that_begins_there(runs: Path) -> None:
    """Somebody removed the log of a crashed run, and trains there again: a stop that was left must not end it."""
    run = RunDirectory.at(runs / "run")
    stop = commands.signed(commands.Stop(), attempt=0)
    run.put_request(stop)
    run.put_request(commands.signed(commands.Stop(), attempt=None)).rename(run.commands / ".1.json.claimed")
    begun = shared_run.begin(shared_run.Place(run.path, runs, "", console=False), None)
    begun.recorder.end("finished")
    answers = [fact for fact in read_log(run) if isinstance(fact, events.CommandRejected)]
    assert [answer.reason for answer in answers] == [
        "the attempt that took it was killed before it answered",
        "it was meant for an attempt that has ended",
    ]
    assert answers[1].id == stop.id
    assert list(run.commands.iterdir()) == []
