"""Standing orders in a real ``fit``: what fires, when, and that a steered run can be made again, bit for bit."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.backend.tensorflow import trainer as keras_trainer

import tuimon
from helpers import until
from trainer import keras_models
from trainer.keras_models import STEPS, Ask, compiled, facts, facts_of, same_weights, sequential
from tuimon.export import schedule
from tuimon.protocol import commands, events
from tuimon.runs.orders import Orders
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState

# Most tests look at no validation, which would be traced each time.
fit = partial(keras_models.fit, validation_data=None)


class At(keras.callbacks.Callback):
    """Puts requests before given steps, counted over all epochs. Goes before the Monitor."""

    def __init__(self, monitor: tuimon.Monitor, plan: dict[int, list[commands.AnyRequest]]) -> None:
        super().__init__()
        self.ask, self.plan, self.step = Ask(monitor, {}).ask, plan, 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        for request in self.plan.get(self.step, ()):
            self.ask(request)
        self.step += 1


def monitor(tmp_path: Path, orders: Any = (), name: str = "run", **options: Any) -> tuimon.Monitor:
    return tuimon.Monitor(runs_dir=tmp_path, name=name, probe=False, orders=orders, **options)


def applied(watched: tuimon.Monitor) -> list[tuple[str, int]]:
    """Return the applied requests in words, each with its first step."""
    return [
        (commands.describe(commands.from_fact(fact.request)), fact.first_step)
        for fact in facts_of(watched, events.CommandApplied)
    ]


def fired(watched: tuimon.Monitor) -> list[tuple[int, int]]:
    return [(fact.number, fact.step) for fact in facts_of(watched, events.OrderFired)]


def with_orders(tmp_path: Path, orders: Sequence[str], epochs: int = 3, **options: Any) -> tuimon.Monitor:
    watched = monitor(tmp_path, orders)
    fit(compiled(sequential()), epochs, [watched], **options)
    return watched


@pytest.mark.parametrize(("given", "wanted"), [(1, 3), (4, 3)], ids=["more", "fewer"])
def test_a_fit_runs_to_another_number_of_epochs_exactly_as_if_it_had_been_given(
    tmp_path: Path, given: int, wanted: int
) -> None:
    plain, steered = compiled(sequential()), compiled(sequential())
    keras.utils.set_random_seed(5)
    epochs = fit(plain, wanted, shuffle=True).epoch
    watched = monitor(tmp_path)
    seen: list[int] = []
    last = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(last.params["epochs"]))
    keras.utils.set_random_seed(5)
    asks = Ask(watched, {0: [commands.Epochs(epochs=wanted)]})
    assert fit(steered, given, [asks, watched, last], shuffle=True).epoch == epochs
    assert same_weights(plain, steered)
    assert seen == [given, *[wanted] * (wanted - 1)]
    state = RunState()
    state.apply(facts(watched))
    assert state.ended is not None
    assert state.ended.status == "finished"
    assert state.fit is not None
    assert (state.fit.epochs, state.total_steps) == (wanted, wanted * STEPS)
    assert "range" not in vars(keras_trainer)


def test_epochs_that_are_over_are_rejected_and_a_fit_that_dies_early_leaves_keras_as_it_was(tmp_path: Path) -> None:
    watched = monitor(tmp_path)
    fit(compiled(sequential()), 3, [Ask(watched, {2: [commands.Epochs(epochs=2)]}), watched])
    (answer,) = facts_of(watched, events.CommandRejected)
    assert "epoch 3 is under way" in answer.reason

    def fails(logs: Any) -> None:
        raise RuntimeError("before the first epoch")

    dies = monitor(tmp_path)
    with pytest.raises(RuntimeError, match="before the first epoch"):
        fit(compiled(sequential()), 1, [dies, keras.callbacks.LambdaCallback(on_train_begin=fails)])
    until(lambda: "range" not in vars(keras_trainer), what="Keras to be as it was")


def test_orders_fire_at_their_epoch_and_step_and_are_answered_as_requests(tmp_path: Path) -> None:
    watched = with_orders(
        tmp_path,
        [
            "at epoch 2 freeze",
            f"at step {STEPS + 2} lr 1e-4",
            "note now",
            "note later after 2 epochs",
        ],
    )
    assert applied(watched) == [
        ("note", 0),
        ("freeze all", STEPS),
        ("learning rate 1e-4", STEPS + 2),
        ("note", 2 * STEPS),
    ]
    assert fired(watched) == [(3, 0), (1, STEPS), (2, STEPS + 2), (4, 2 * STEPS)]
    frozen = facts_of(watched, events.CommandApplied)[1]
    assert (frozen.sender.user, sorted(frozen.frozen)) == ("order 1", ["small/bn_1", "small/bn_2"])
    (verified,) = facts_of(watched, events.CommandVerified)
    assert (verified.id, verified.held) == (frozen.id, True)
    assert {fact.origin for fact in facts_of(watched, events.OrderGiven)} == {"script"}


def test_an_order_at_the_end_of_the_last_epoch_is_carried_out(tmp_path: Path) -> None:
    watched = with_orders(tmp_path, ["on best loss checkpoint", "when loss < 100 note below"], epochs=2)
    assert [fact.reason for fact in facts_of(watched, events.CheckpointSaved)][-1] == "order 1"
    # The bound is crossed once.
    assert [number for number, _ in fired(watched)].count(2) == 1


class Breaks(keras.callbacks.Callback):
    """Makes the weights bad, and bad again: what loops of going back after nan run into (keras-team/keras#4849)."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        kernel = self.model.layers[-1].kernel
        kernel.assign(np.full(kernel.shape, np.nan))


def test_nan_stops_training(tmp_path: Path) -> None:
    stopped = monitor(tmp_path, ["when nan stop"])
    fit(compiled(sequential()), 50, [Breaks(), stopped])
    assert stopped.was_stopped
    (fact,) = facts_of(stopped, events.OrderFired)
    assert fact.why.startswith("loss is nan")


@pytest.mark.full
def test_nan_goes_back_but_not_for_ever(tmp_path: Path) -> None:
    again = monitor(tmp_path, ["at step 0 checkpoint", "when nan rollback"])
    fit(compiled(sequential()), 3, [Breaks(), again], batch_size=1)
    back = [number for number, _ in fired(again)].count(2)
    assert 1 <= back <= 9
    assert len(facts_of(again, events.EpochEnded)) == 3


def test_what_cannot_be_is_rejected_when_it_is_given(tmp_path: Path) -> None:
    given = {
        "at epoch 1 freeze": "epoch 1 is over",
        "at epoch 2 freeze": "epoch 2 has begun",
        "at step 3 freeze": "step 3 is over",
        "at epoch 3 freeze nowhere": "no BatchNormalization layer matches 'nowhere'",
        "at epoch 3 lr schedule": "has no schedule",
        "when val_los stalls 3 pause": "whether less or more 'val_los' is better is not known",
        "when los stalls 3 pause": "there is no metric 'los'; there are loss, mae",
        "when los > 3 pause": "there is no metric 'los'; there are loss, mae",
        "when batch/los > 3 pause": "there are batch/loss, batch/mae",
        "nonsense": "'nonsense' is no request",
    }
    watched = monitor(tmp_path)
    plan = {STEPS + 1: [commands.Order(order=text) for text in given]}
    plan[STEPS + 1].append(commands.Cancel(number=4))
    fit(compiled(sequential()), 2, [At(watched, plan), watched])
    answers = facts_of(watched, events.CommandRejected)
    for fact, said in zip(answers, [*given.values(), "no order 4 stands"], strict=True):
        assert said in fact.reason
    assert facts_of(watched, events.OrderGiven) == []


def test_orders_of_a_script_that_cannot_be_are_said_and_training_goes_on(tmp_path: Path) -> None:
    watched = with_orders(tmp_path, ["freeze nowhere", "at epoch 1 note hello", "when dice > 3 stop"], epochs=2)
    (refused,) = facts_of(watched, events.OrderEnded)
    assert (refused.number, refused.order) == (0, "freeze nowhere")
    assert [number for number, _ in fired(watched)] == [1]
    assert [fact.text for fact in facts_of(watched, events.Note)] == [
        "hello",
        "order 2 waits: no 'dice' has come so far; there are loss, mae",
    ]


def test_an_order_is_cancelled_and_one_that_fired_does_not_fire_in_the_next_fit(tmp_path: Path) -> None:
    watched = monitor(tmp_path, ["at epoch 2 note second", "on best loss note best"])
    model = compiled(sequential())
    fit(model, 2, [At(watched, {STEPS + 1: [commands.Cancel(number=2)]}), watched])
    fit(model, 2, [watched])
    assert sorted(fired(watched)) in ([(1, STEPS)], [(1, STEPS), (2, STEPS)])
    (ended,) = facts_of(watched, events.OrderEnded)
    assert (ended.number, ended.reason) == (2, "cancelled")
    assert len(facts_of(watched, events.OrderGiven)) == 2


def test_without_an_order_due_training_is_the_same(tmp_path: Path) -> None:
    plain, watched = compiled(sequential()), compiled(sequential())
    fit(plain, 2)
    fit(watched, 2, [monitor(tmp_path, ["when nan stop", "at epoch 9 freeze", "when loss stalls 50 stop"])])
    assert same_weights(plain, watched)


def test_a_steered_run_is_made_again_bit_for_bit(tmp_path: Path) -> None:
    def train(watched: tuimon.Monitor, *asks: Any, epochs: int) -> keras.Model:
        keras.utils.set_random_seed(7)
        model = compiled(sequential(dropout=0.5), keras.optimizers.Adam(0.01))
        fit(model, epochs, [*asks, watched], shuffle=True)
        return model

    plan: dict[int, list[commands.AnyRequest]] = {
        2: [commands.Freeze(layers=["bn_1"]), commands.LearningRate(learning_rate=3e-4)],
        STEPS + 1: [commands.Phase(phase="inference"), commands.Checkpoint()],
        STEPS + 4: [commands.Unfreeze(), commands.Phase(phase="auto"), commands.Momentum(momentum=0.5)],
        2 * STEPS + 3: [commands.Rollback(), commands.Recalibrate(batches=2)],
        3 * STEPS + 1: [commands.Epochs(epochs=5), commands.LearningRate(learning_rate=1e-2)],
    }
    steered = monitor(tmp_path, name="steered")
    first = train(steered, At(steered, plan), epochs=4)
    assert facts_of(steered, events.CommandRejected) == []
    assert steered.run_dir is not None
    path = tmp_path / "schedule.toml"
    schedule.export(RunDirectory(steered.run_dir), str(path))

    again = monitor(tmp_path, path, name="again")
    second = train(again, epochs=4)
    assert facts_of(again, events.CommandRejected) == []
    assert same_weights(first, second)
    assert len(facts_of(again, events.EpochEnded)) == 5
    # Without it, they are others; and the schedule of the second run is that of the first.
    assert not same_weights(first, train(monitor(tmp_path, name="unsteered"), epochs=5))
    assert schedule.schedule(facts(again)) == schedule.schedule(facts(steered))


def test_requests_that_undo_each_other_before_one_step_and_a_stop_before_an_epoch_are_made_again(
    tmp_path: Path,
) -> None:
    def train(watched: tuimon.Monitor, *asks: Any) -> keras.Model:
        keras.utils.set_random_seed(7)
        model = compiled(sequential())
        fit(model, 3, [*asks, watched])
        return model

    rates = [commands.LearningRate(learning_rate=rate) for rate in (1e-4, 3e-2, 1e-4)]
    freezing = [
        commands.Freeze(layers=["bn_1"]),
        commands.Unfreeze(),
        commands.Freeze(layers=["bn_1"]),
    ]
    steered = monitor(tmp_path, ["at epoch 2 stop"], name="steered")
    first = train(steered, At(steered, {2: [*rates, *freezing]}))
    path = tmp_path / "schedule.toml"
    assert steered.run_dir is not None
    schedule.export(RunDirectory(steered.run_dir), str(path))
    again = monitor(tmp_path, path, name="again")
    second = train(again)
    assert [fact.reason for fact in facts_of(steered, events.CommandRejected)] == []
    assert sorted(applied(again), key=lambda each: each[1]) == applied(steered)
    assert same_weights(first, second)
    steps = [RunState(), RunState()]
    for state, watched in zip(steps, (steered, again), strict=True):
        state.apply(facts(watched))
    assert steps[0].step == steps[1].step == STEPS + 1


@pytest.mark.parametrize("part", ["is_due", "reach", "begin_epoch", "_end_epoch"])
def test_an_error_in_the_orders_ends_the_orders_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def raises(*_: object) -> None:
        raise RuntimeError("no\x1b[2J")

    monkeypatch.setattr(Orders, part, raises)
    watched = with_orders(tmp_path, ["at step 2 note a", "on best loss note b"], 1)
    ended = facts_of(watched, events.OrderEnded)
    assert {fact.number for fact in ended} >= {2}, "nobody is shown that it stands"
    assert all(fact.reason.startswith("dropped after an error of tuimon: RuntimeError") for fact in ended)
    state = RunState()
    state.apply(facts(watched))
    assert not state.orders.standing
    assert len(facts_of(watched, events.EpochEnded)) == 1, "the log goes on"


def test_an_order_that_is_not_taken_is_said_once_for_all_fits_with_the_same_reason(tmp_path: Path) -> None:
    watched = monitor(tmp_path, ["freeze nosuch*", "at epoch 1 note a"])
    model = compiled(sequential())
    for number in range(3):
        fit(model, number + 1, [watched], initial_epoch=number)
    assert [fact.number for fact in facts_of(watched, events.OrderEnded)] == [0]
    assert fired(watched) == [(1, 0)]
