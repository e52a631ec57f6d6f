"""Training loops of one's own: watched and steered by `Monitor.watch`."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from helpers import fold, until
from trainer.inside import until_seen
from trainer.keras_models import BATCH, STEPS, compiled, data, facts, facts_of, same_weights, send, sequential
from tuimon.diagnosis.rules import findings
from tuimon.export.rows import of_all
from tuimon.protocol import commands, events
from tuimon.protocol.wire import list_from_wire
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.keras import loop as loop_module
from tuimon.trainer.keras.loop import NO_DATA, NO_FUNCTION

Plan = Mapping[int, Sequence[commands.AnyRequest]]
Step = Callable[[Any, Any], Any]


def batches() -> list[tuple[np.ndarray, np.ndarray]]:
    x, y = data()
    return [(x[start : start + BATCH], y[start : start + BATCH]) for start in range(0, len(x), BATCH)]


def ask(monitor: tuimon.Monitor, requests: Sequence[commands.AnyRequest]) -> None:
    """Put requests, so that the next step is the first under them."""
    for request in requests:
        until_seen(monitor, send(monitor, request))


def epochs(monitor: tuimon.Monitor, loop: Any, step: Step, count: int, plan: Plan) -> int:
    """Run a loop; returns the number of its steps."""
    steps = 0
    for epoch in loop.epochs(count):
        ask(monitor, plan.get(epoch, ()))
        for x, y in loop.steps(batches()):
            loop.log(loss=step(x, y))
            steps += 1
        loop.log_epoch(val_loss=epoch)
    return steps


def gradient_step(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> Step:
    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(y - model(x, training=True)))
            if loss > 1e6:  # AutoGraph makes it a part of the graph.
                loss = loss * 0.0
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    return step


def answers(monitor: tuimon.Monitor) -> Iterator[str]:
    for fact in facts(monitor):
        if isinstance(fact, events.CommandApplied):
            yield "applied"
        elif isinstance(fact, events.CommandRejected):
            yield fact.reason


def train_on_batch_with_flags(stages: Sequence[bool]) -> keras.Model:
    """What somebody gets who stops, sets ``trainable``, compiles and goes on."""
    model = compiled(sequential())
    model.optimizer.build(model.trainable_variables)
    for frozen in stages:
        for name in ("bn_1", "bn_2"):
            model.get_layer(name).trainable = not frozen
        compiled(model, model.optimizer)
        for x, y in batches():
            model.train_on_batch(x, y)
    return model


def test_train_on_batch_is_frozen_as_keras_does_it(runs: Path) -> None:
    model, monitor = compiled(sequential()), tuimon.Monitor(runs_dir=runs)
    functions = model.train_function

    def step(x: Any, y: Any) -> Any:
        return model.train_on_batch(x, y, return_dict=True)["loss"]

    with monitor.watch(model) as loop:
        steps = epochs(monitor, loop, step, 4, {1: [commands.Freeze()], 2: [commands.Unfreeze()]})
    assert functions is None
    assert model.train_function.__module__.startswith("keras.")
    assert same_weights(model, train_on_batch_with_flags([False, True, False, False]))
    assert steps == 4 * STEPS
    assert [fact.held for fact in facts_of(monitor, events.CommandVerified)] == [True, True]
    (ended,) = facts_of(monitor, events.RunEnded)
    assert (ended.status, ended.step) == ("finished", 4 * STEPS)


def test_watching_a_loop_changes_nothing_and_shows_what_it_logs(runs: Path) -> None:
    def train(watch: bool) -> tuple[keras.Model, list[float], tuimon.Monitor]:
        model, optimizer, losses = sequential(), keras.optimizers.Adam(0.01), []
        train_step = gradient_step(model, optimizer)
        monitor = tuimon.Monitor(runs_dir=runs)
        if watch:
            with monitor.watch(model, optimizer) as loop:
                compiled_step = loop.function(tf.function(train_step))

                def step(x: Any, y: Any) -> Any:
                    losses.append(compiled_step(x, y))
                    return losses[-1]

                epochs(monitor, loop, step, 2, {})
        else:
            compiled_step = tf.function(train_step)
            losses = [compiled_step(x, y) for _ in range(2) for x, y in batches()]
        return model, [float(loss) for loss in losses], monitor

    plain, expected, _ = train(watch=False)
    model, losses, monitor = train(watch=True)
    assert same_weights(model, plain)
    assert losses == expected
    assert not hasattr(model, "optimizer")
    assert "stop_training" not in vars(model)
    seen = [value for fact in facts_of(monitor, events.Batches) for value in list_from_wire(fact.metrics["loss"])]
    assert seen == pytest.approx(expected)
    ended = facts_of(monitor, events.EpochEnded)
    assert [fact.logs["loss"] for fact in ended] == pytest.approx(np.mean(np.reshape(expected, (2, STEPS)), axis=1))
    assert [fact.logs["val_loss"] for fact in ended] == [0, 1]
    (started,) = facts_of(monitor, events.FitStarted)
    assert (started.epochs, started.steps_per_epoch, started.optimizer) == (2, STEPS, "Adam")
    assert started.can["freeze"] == ""
    assert started.can["recalibrate"] == NO_DATA
    assert facts_of(monitor, events.BatchNorm)


def test_a_compiled_step_is_frozen_and_thawed_exactly(runs: Path) -> None:
    def reference() -> keras.Model:
        model, optimizer = sequential(), keras.optimizers.Adam(0.01)
        optimizer.build(model.trainable_variables)
        for frozen in (False, True, False, True):
            for name in ("bn_1", "bn_2"):
                model.get_layer(name).trainable = not frozen
            step = tf.function(gradient_step(model, optimizer))
            for x, y in batches():
                step(x, y)
        return model

    model, optimizer = sequential(), keras.optimizers.Adam(0.01)
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Freeze()], 2: [commands.Unfreeze()], 3: [commands.Freeze()]}
    with monitor.watch(model, optimizer) as loop:
        epochs(monitor, loop, loop.function(gradient_step(model, optimizer)), 4, plan)
    assert same_weights(model, reference())
    applied = facts_of(monitor, events.CommandApplied)
    assert [fact.traced_seconds > 0 for fact in applied] == [True, False, False]
    assert all(layer.trainable for layer in model.layers)


def test_in_an_eager_loop_modes_are_rejected_and_the_rest_works(runs: Path) -> None:
    model, optimizer = sequential(), keras.optimizers.SGD(0.01)
    monitor = tuimon.Monitor(runs_dir=runs)
    rates: list[float] = []
    step = gradient_step(model, optimizer)

    def noting(x: Any, y: Any) -> Any:
        rates.append(float(optimizer.learning_rate))
        return step(x, y)

    plan = {
        0: [commands.Checkpoint()],
        1: [commands.Freeze(), commands.LearningRate(learning_rate=0.5), commands.Rollback(), commands.Evaluate()],
    }
    start = [weight.copy() for weight in model.get_weights()]
    restored: list[bool] = []
    with monitor.watch(model, optimizer) as loop:
        for epoch in loop.epochs(2):
            ask(monitor, plan[epoch])
            for number, (x, y) in enumerate(loop.steps(batches())):
                if number == 0:
                    restored.append(all(map(np.array_equal, model.get_weights(), start)))
                loop.log(loss=noting(x, y))
    assert sorted(answers(monitor)) == sorted(["applied", NO_FUNCTION, "applied", "applied", NO_DATA])
    assert restored == [True, True]
    # The rollback puts the optimizer's own rate back, too.
    assert rates == pytest.approx([0.01] * 2 * STEPS)


def test_a_compiled_model_that_steps_by_itself_says_so_too(runs: Path) -> None:
    model, monitor = compiled(sequential()), tuimon.Monitor(runs_dir=runs)
    with monitor.watch(model) as loop:
        epochs(monitor, loop, gradient_step(model, model.optimizer), 2, {1: [commands.Freeze()]})
    assert list(answers(monitor)) == [NO_FUNCTION]
    assert facts_of(monitor, events.RunEnded)[-1].step == 2 * STEPS


def test_a_loop_is_paused_and_stopped(runs: Path) -> None:
    model, optimizer = sequential(), keras.optimizers.SGD(0.01)
    monitor = tuimon.Monitor(runs_dir=runs)

    def go_on() -> None:
        until(lambda: any(isinstance(f, events.StateChanged) and f.state == "paused" for f in facts(monitor)))
        for request in (commands.Stop(after="epoch"), commands.Resume()):
            send(monitor, request)

    thread = threading.Thread(target=go_on)
    with monitor.watch(model, optimizer) as loop:
        thread.start()
        steps = epochs(monitor, loop, gradient_step(model, optimizer), 5, {1: [commands.Pause()]})
    thread.join()
    assert steps == 2 * STEPS
    assert list(answers(monitor)) == ["applied"] * 3
    (ended,) = facts_of(monitor, events.RunEnded)
    assert (ended.status, ended.step) == ("stopped", 2 * STEPS)


def test_an_error_in_a_loop_is_the_users_and_is_recorded(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)

    def train() -> None:
        with monitor.watch(sequential()) as loop:
            for _ in loop.steps(range(3)):
                raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        train()
    (ended,) = facts_of(monitor, events.RunEnded)
    assert (ended.status, ended.step) == ("failed", 1)
    assert "mine" in ended.traceback


class Odd:
    """A value that cannot be read."""

    def __float__(self) -> float:
        raise RuntimeError("not ready")


class OddShape(Odd):
    """A scalar that cannot be read either."""

    shape = ()


class OddLength:
    """Batches whose length is a question of its own."""

    def __len__(self) -> int:
        raise RuntimeError("the server has gone")

    def __iter__(self) -> Iterator[int]:
        return iter(range(2))


NO_NUMBERS: dict[str, Any] = {
    "words": "much better",
    "nothing": None,
    "a_list": [1.0],
    "an_array": np.zeros(3),
    "an_object": object(),
    "words_on_the_device": tf.constant("much better"),
    "an_object_in_an_array": np.array({}, dtype=object),
    "too_large": 10**400,
    "complex": 1j,
    "complex_on_the_device": np.array(1j).reshape(1),
    "unknown_shape": tf.TensorSpec(None),
    "raises": Odd(),
    "raises_late": OddShape(),
}


def test_what_is_no_number_is_left_out_and_the_loop_goes_on(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_MOST_UNREAD", 3)
    model, monitor = compiled(sequential()), tuimon.Monitor(runs_dir=runs)
    batches_made = 0
    with monitor.watch(model) as loop:
        for epoch in loop.epochs(2):
            for number in loop.steps(OddLength()):
                batches_made += 1
                loop.log(loss=number, changes=float(number) if epoch else "not yet", **NO_NUMBERS)
            loop.log(late=epoch, **NO_NUMBERS)
            loop.log_epoch(val_loss=epoch, **NO_NUMBERS)
    assert batches_made == 4
    ended = facts_of(monitor, events.EpochEnded)
    assert [fact.logs for fact in ended] == [
        {"loss": 0.5, "late": 0, "val_loss": 0},
        {"loss": 0.5, "changes": 0.5, "late": 1, "val_loss": 1},
    ]
    names = [fact.text.partition(" is not recorded")[0] for fact in facts_of(monitor, events.Note)]
    assert sorted(names) == sorted([*NO_NUMBERS, "changes"]), "each is said once"
    assert facts_of(monitor, events.RunEnded)[-1].status == "finished"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_a_value_raises_to_end_the_program_ends_it(runs: Path, error: type[BaseException]) -> None:
    class Ends:
        shape = ()

        def __float__(self) -> float:
            raise error

    def train() -> None:
        with tuimon.Monitor(runs_dir=runs).watch(sequential()) as loop:
            for _ in loop.epochs(1):
                for _ in loop.steps(range(1)):
                    loop.log(loss=Ends())

    with pytest.raises(error):
        train()


def test_what_is_not_logged_in_each_step_is_missing_and_no_nan(runs: Path) -> None:
    model, monitor = compiled(sequential()), tuimon.Monitor(runs_dir=runs)
    with monitor.watch(model) as loop:
        for _ in loop.epochs(3):
            for number, (x, y) in enumerate(loop.steps(batches())):
                loop.log(loss=model.train_on_batch(x, y)[0])
                if number % 2:
                    loop.log(grad_norm=tf.constant(0.5))
            loop.log(late=1.0, loss=7.0)
    state = fold(facts(monitor))
    steps = np.arange(3 * STEPS)
    np.testing.assert_array_equal(state.batch_metrics["loss"].steps, steps)
    np.testing.assert_array_equal(state.batch_metrics["grad_norm"].steps, steps[np.arange(len(steps)) % STEPS % 2 == 1])
    assert (state.batch_metrics["grad_norm"].values == 0.5).all()
    assert "late" not in state.batch_metrics
    assert 7.0 not in state.batch_metrics["loss"].values
    assert list(state.epoch_metrics["late"].values) == [1.0] * 3, "of the epoch that ended"
    assert list(state.epoch_metrics["grad_norm"].values) == [0.5] * 3
    assert findings(state) == []
    written = [(row.step, row.value) for row in of_all(facts(monitor)) if row.metric == "batch/grad_norm"]
    assert [step for step, _ in written] == list(state.batch_metrics["grad_norm"].steps)


def test_a_loop_has_one_compiled_step(runs: Path) -> None:
    model, optimizer = sequential(), keras.optimizers.SGD(0.01)
    with tuimon.Monitor(runs_dir=runs).watch(model, optimizer) as loop:
        loop.function(gradient_step(model, optimizer))
        with pytest.raises(ValueError, match="one train step"):
            loop.function(gradient_step(model, optimizer))


def test_a_full_disk_does_not_end_a_loop(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunDirectory, "create", full)
    model, optimizer = sequential(), keras.optimizers.SGD(0.01)
    monitor = tuimon.Monitor(runs_dir=runs)
    with monitor.watch(model, optimizer) as loop:
        step = loop.function(gradient_step(model, optimizer))
        steps = sum(1 for _ in loop.epochs(2) for x, y in loop.steps(batches()) if step(x, y) is not None)
    assert steps == 2 * STEPS
    assert "No space left on device (training goes on)" in capsys.readouterr().err


def test_a_step_may_call_its_function_twice(runs: Path) -> None:
    """As a GAN's does, with what is real and what is not."""
    model, monitor = compiled(sequential()), tuimon.Monitor(runs_dir=runs)
    moved = []
    with monitor.watch(model) as loop:
        for epoch in loop.epochs(2):
            ask(monitor, [commands.Freeze()] if epoch else [])
            for x, y in loop.steps(batches()):
                for part in (x, -x):
                    before = np.array(model.get_layer("bn_1").moving_mean)
                    model.train_on_batch(part, y)
                    moved.append(not np.array_equal(before, model.get_layer("bn_1").moving_mean))
    assert moved == [True] * 2 * STEPS + [False] * 2 * STEPS
    assert model.train_function.__module__.startswith("keras.")


def test_a_loop_may_catch_what_its_step_raises_and_is_over_when_it_is_over(runs: Path) -> None:
    model, optimizer = sequential(), keras.optimizers.SGD(0.01)
    monitor = tuimon.Monitor(runs_dir=runs)
    step = gradient_step(model, optimizer)

    def picky(x: Any, y: Any) -> Any:
        if x.shape[0] != BATCH:
            raise ValueError("another size")
        return step(x, y)

    caught = 0
    with monitor.watch(model, optimizer) as loop:
        function = loop.function(picky)
        for epoch in loop.epochs(2):
            ask(monitor, [commands.Freeze()] if epoch else [])
            for x, y in loop.steps([*batches(), (np.ones((3, 6), np.float32), np.ones((3, 1), np.float32))]):
                try:
                    function(x, y)
                except ValueError:
                    caught += 1
    assert caught == 2
    (ended,) = facts_of(monitor, events.RunEnded)
    assert (ended.status, ended.step) == ("finished", 2 * (STEPS + 1))
    before = np.array(model.get_layer("bn_1").moving_mean)
    function(*batches()[0])
    assert not np.array_equal(before, model.get_layer("bn_1").moving_mean), "the freeze ended with the loop"
