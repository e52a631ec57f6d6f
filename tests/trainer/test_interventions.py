"""Learning rate, pause, checkpoints, rollback, evaluation and recalibration in a running ``fit``."""

import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from helpers import until
from trainer.inside import train_functions_of, until_seen
from trainer.keras_models import (
    BATCH,
    STEPS,
    Ask,
    compiled,
    data,
    facts,
    facts_of,
    fit,
    functional,
    same_weights,
    send,
    sequential,
)
from tuimon.protocol import commands, events
from tuimon.trainer import checkpoints
from tuimon.trainer.checkpoints import Checkpoints
from tuimon.trainer.fit import Fit
from tuimon.trainer.requests import actions


def applied(monitor: tuimon.Monitor, command: str) -> list[Any]:
    return [fact for fact in facts_of(monitor, events.CommandApplied) if fact.request["command"] == command]


def test_a_learning_rate_is_that_of_keras_and_is_told(runs: Path) -> None:
    reference = compiled(sequential(), keras.optimizers.Adam(0.01))
    fit(reference, 1)
    reference.optimizer.learning_rate = 0.002
    fit(reference, 3, initial_epoch=1)

    model = compiled(sequential(), keras.optimizers.Adam(0.01))
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(model, 3, [Ask(monitor, {1: [commands.LearningRate(learning_rate=0.002)]}), monitor])
    assert same_weights(model, reference)
    (fact,) = applied(monitor, "lr")
    assert fact.learning_rate == pytest.approx(0.002)
    assert fact.traced_seconds == 0
    assert [fact.learning_rate for fact in facts_of(monitor, events.EpochEnded)] == pytest.approx([0.01, 0.002, 0.002])


def test_whoever_else_sets_the_learning_rate_is_named(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    ask = Ask(
        monitor, {1: [commands.LearningRate(learning_rate=0.002)], 2: [commands.LearningRate(learning_rate=None)]}
    )
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss")
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate)
    fit(compiled(sequential()), 3, [plateau, scheduler, ask, monitor])
    assert applied(monitor, "lr")[0].detail == "ReduceLROnPlateau and LearningRateScheduler may set it again"
    assert facts_of(monitor, events.CommandRejected)[0].reason == "this optimizer has no schedule"


class FromOutside(keras.callbacks.Callback):
    """Sends requests from another thread once training has come to a state, as a viewer does."""

    def __init__(self, monitor: tuimon.Monitor, at_step: int, script: Callable[["FromOutside"], None]) -> None:
        super().__init__()
        self.monitor, self.at_step, self.script, self.step = monitor, at_step, script, 0
        self.thread = threading.Thread(target=self._run)
        self.error: BaseException | None = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.step == self.at_step:
            until_seen(self.monitor, self.ask(commands.Pause()))
            self.thread.start()
        self.step += 1

    def on_train_end(self, logs: Any = None) -> None:
        self.thread.join()

    def ask(self, request: commands.AnyRequest) -> str:
        return send(self.monitor, request)

    def wait_for(self, identity: str) -> Any:
        answers: list[Any] = []

        def is_there() -> bool:
            answers[:] = [
                fact
                for fact in facts(self.monitor)
                if isinstance(fact, events.CommandApplied | events.CommandRejected) and fact.id == identity
            ]
            return bool(answers)

        until(is_there, what="an answer", seconds=60)
        return answers[0]

    def _run(self) -> None:
        try:
            until(lambda: any(isinstance(f, events.StateChanged) and f.state == "paused" for f in facts(self.monitor)))
            self.script(self)
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.error = error
        finally:
            self.ask(commands.Resume())


def test_a_paused_run_uses_no_processor_and_takes_requests(runs: Path) -> None:
    answers = {}
    used: list[float] = []

    def script(outside: FromOutside) -> None:
        answers["note"] = outside.wait_for(outside.ask(commands.Note(text="here")))
        answers["freeze"] = outside.wait_for(outside.ask(commands.Freeze()))
        answers["unknown"] = outside.wait_for(outside.ask(commands.Freeze(layers=["nothing"])))
        answers["unfreeze"] = outside.wait_for(outside.ask(commands.Unfreeze()))
        answers["again"] = outside.wait_for(outside.ask(commands.Freeze(layers=["bn_1"])))
        began = resource.getrusage(resource.RUSAGE_SELF)
        started = time.monotonic()
        until(lambda: time.monotonic() - started > 1.0, what="a second to pass")
        ended = resource.getrusage(resource.RUSAGE_SELF)
        used.append(ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime)

    model = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    outside = FromOutside(monitor, STEPS, script)
    fit(model, 3, [outside, monitor])
    assert outside.error is None
    assert answers["freeze"].traced_seconds > 0.02, "it was traced while the run was paused"
    assert answers["again"].frozen == ["small/bn_1"]
    assert isinstance(answers["unknown"], events.CommandRejected)
    assert {answer.step for answer in answers.values()} == {STEPS}
    assert used[0] < 0.5

    reference = compiled(sequential())
    reference.optimizer.build(reference.trainable_variables)
    fit(reference, 1)
    reference.get_layer("bn_1").trainable = False
    compiled(reference, reference.optimizer)
    fit(reference, 3, initial_epoch=1)
    assert same_weights(model, reference)
    verified = facts_of(monitor, events.CommandVerified)
    assert [fact.held for fact in verified] == [True] * 3


def test_a_paused_run_can_be_stopped(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    outside = FromOutside(monitor, 2, lambda outside: outside.wait_for(outside.ask(commands.Stop())) and None)
    history = fit(compiled(sequential()), 3, [outside, monitor])
    assert outside.error is None
    assert len(history.epoch) == 1
    assert facts_of(monitor, events.RunEnded)[0].status == "stopped"
    assert facts_of(monitor, events.RunEnded)[0].step == 3


def test_stop_after_the_epoch_ends_as_stop_training_does(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    history = fit(compiled(sequential()), 5, [Ask(monitor, {1: [commands.Stop(after="epoch")]}), monitor])
    assert history.epoch == [0, 1]
    assert "val_loss" in history.history
    assert facts_of(monitor, events.RunEnded)[0].step == 2 * STEPS


@pytest.mark.parametrize("optimizer", ["adam", "scheduled"])
def test_rollback_repeats_what_came_after_the_checkpoint_bit_for_bit(runs: Path, optimizer: str) -> None:
    def new() -> Any:
        if optimizer == "adam":
            return keras.optimizers.Adam(0.01)
        return keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.8), momentum=0.9)

    weights: list[list[np.ndarray]] = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            weights.append(self.model.get_weights())

    model = compiled(sequential(dropout=0.5), new())
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Checkpoint()], 3: [commands.Rollback()]}
    fit(model, 5, [Look(), Ask(monitor, plan), monitor])
    # Epochs 3 and 4 are made from where epochs 1 and 2 were made, on the same data.
    for first, again in ((1, 3), (2, 4)):
        assert all(np.array_equal(a, b) for a, b in zip(weights[first], weights[again], strict=True))
    (saved,), (rolled,) = facts_of(monitor, events.CheckpointSaved), facts_of(monitor, events.RolledBack)
    assert saved.reason == "asked"
    assert (rolled.checkpoint, rolled.to_step, rolled.to_epoch, rolled.step) == (saved.name, STEPS, 1, 3 * STEPS)
    assert rolled.branch == 1
    assert {fact.branch for fact in facts(monitor) if fact.seq >= rolled.seq} == {1}
    assert {fact.branch for fact in facts(monitor) if fact.seq < rolled.seq} == {0}
    ended = facts_of(monitor, events.EpochEnded)
    assert ended[1].logs == ended[3].logs
    assert [fact.step for fact in ended] == [STEPS * (epoch + 1) for epoch in range(5)]


def test_rollback_brings_the_modes_of_the_checkpoint_back(runs: Path) -> None:
    model = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {
        1: [commands.Freeze(layers=["bn_1"])],
        2: [commands.Checkpoint()],
        3: [commands.Unfreeze()],
        4: [commands.Rollback()],
    }
    fit(model, 5, [Ask(monitor, plan), monitor])
    assert applied(monitor, "rollback")[0].frozen == ["small/bn_1"]
    assert facts_of(monitor, events.CommandVerified)[-1].held


def test_rollback_brings_the_state_of_callbacks_back_but_not_that_of_files(runs: Path, tmp_path: Path) -> None:
    """A better model that lies on disk is not overwritten by a worse one."""
    callbacks = keras.callbacks
    stop = callbacks.EarlyStopping("loss", patience=9, min_delta=99.0)
    plateau = callbacks.ReduceLROnPlateau("loss", patience=9, min_delta=99.0)
    best = callbacks.ModelCheckpoint(tmp_path / "best.keras", "loss", save_best_only=True)
    seen: list[tuple[Any, ...]] = []

    class Look(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                seen.append((stop.wait, plateau.wait, best.best))

    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {2: [commands.Checkpoint()], 4: [commands.Rollback()]}
    fit(compiled(sequential()), 5, [Ask(monitor, plan), monitor, stop, plateau, best, Look()])
    assert [waits for *waits, _ in seen] == [[0, 0], [0, 0], [1, 1], [2, 2], [1, 1]]
    losses = [fact.logs["loss"] for fact in facts_of(monitor, events.EpochEnded)]
    assert seen[4][2] == min(losses[:4]) < min(losses[:2])
    assert applied(monitor, "rollback")[0].detail == f"weights and optimizer of step {2 * STEPS}, epoch 3"


def test_rollback_to_what_is_not_there_is_rejected_and_changes_nothing(runs: Path) -> None:
    plain, model = compiled(sequential()), compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {
        0: [commands.Rollback()],
        1: [commands.Checkpoint()],
        2: [commands.Rollback(checkpoint="../../etc/passwd"), commands.Rollback(checkpoint="step-1")],
    }
    fit(model, 3, [Ask(monitor, plan), monitor])
    fit(plain, 3)
    reasons = [fact.reason for fact in facts_of(monitor, events.CommandRejected)]
    assert reasons[0] == "this run has no checkpoint"
    assert all("there are step-00000005.npz" in reason for reason in reasons[1:])
    assert same_weights(model, plain)


def test_evaluate_says_what_keras_says_and_leaves_no_trace(runs: Path) -> None:
    plain, model = compiled(sequential()), compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    x, y = data()
    asked: list[dict[str, float]] = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch in (0, 2):
                twin = compiled(sequential())
                twin.set_weights(self.model.get_weights())
                asked.append(twin.evaluate(x[:24], y[:24], batch_size=BATCH, verbose=0, return_dict=True))

    look = Look()
    alone = fit(plain, 4, [Look()])
    asked.clear()
    history = fit(model, 4, [look, Ask(monitor, {0: [commands.Evaluate()], 2: [commands.Evaluate()]}), monitor])
    evaluated = facts_of(monitor, events.Evaluated)
    assert [fact.name for fact in evaluated] == ["at step 0", f"at step {2 * STEPS}"]
    for fact, expected in zip(evaluated, asked, strict=True):
        assert fact.logs == pytest.approx(expected, rel=1e-6)
    assert same_weights(model, plain)
    assert history.history == alone.history


def test_evaluate_without_validation_data_is_rejected(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 2, [Ask(monitor, {1: [commands.Evaluate()]}), monitor], validation_data=None)
    assert facts_of(monitor, events.CommandRejected)[0].reason == "this fit has no validation data"


@pytest.mark.parametrize("kind", [sequential, functional])
def test_recalibration_is_the_mean_and_variance_of_everything_the_layers_see(
    runs: Path, kind: Callable[[], keras.Model]
) -> None:
    model = compiled(kind(dropout=0.0) if kind is sequential else kind())
    monitor = tuimon.Monitor(runs_dir=runs)
    x, _ = data()
    expected: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                for layer in self.model.layers:
                    if isinstance(layer, keras.layers.BatchNormalization):
                        seen = keras.Model(self.model.inputs[0], layer.input)
                        before = self.model.get_weights()
                        parts = [seen(x[start : start + BATCH], training=True) for start in range(0, len(x), BATCH)]
                        self.model.set_weights(before)
                        values = np.concatenate(parts).astype(np.float64)
                        expected[layer.name] = values.mean(axis=0), values.var(axis=0)

    class Found(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            train = train_functions_of(self.model)
            if not found and self.epoch == 1 and batch == 0:
                # After the recalibration, before the step.
                train.before_next(lambda _: self.look())

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.epoch = epoch

        def look(self) -> None:
            for name in expected:
                layer = self.model.get_layer(name)
                found[name] = layer.moving_mean.numpy(), layer.moving_variance.numpy()

    fit(model, 2, [Look(), Ask(monitor, {1: [commands.Recalibrate()]}), monitor, Found()])
    assert not facts_of(monitor, events.CommandRejected)
    (fact,) = facts_of(monitor, events.Recalibrated)
    assert (fact.batches, fact.examples, fact.dry_run, fact.skipped) == (STEPS, len(x), False, [])
    assert sorted(found) == sorted(expected)
    assert len(found) == 2
    for name, (mean, variance) in expected.items():
        np.testing.assert_allclose(found[name][0], mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[name][1], variance, rtol=1e-5, atol=1e-6)


def test_a_dry_run_reports_the_validation_loss_and_training_goes_on_bit_for_bit(runs: Path) -> None:
    plain, model = compiled(sequential()), compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    alone = fit(plain, 4)
    plan = {2: [commands.Recalibrate(dry_run=True, batches=3)]}
    history = fit(model, 4, [Ask(monitor, plan), monitor])
    (fact,) = facts_of(monitor, events.Recalibrated)
    assert fact.batches == 3
    assert fact.before["loss"] == pytest.approx(alone.history["val_loss"][1], rel=1e-6)
    assert fact.after["loss"] != fact.before["loss"]
    assert same_weights(model, plain)
    assert history.history == alone.history


def test_recalibration_mends_statistics_that_are_not_numbers_and_leaves_frozen_layers(runs: Path) -> None:
    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                layer = self.model.get_layer("bn_2")
                layer.moving_mean.assign(np.full(5, np.nan, np.float32))
                layer.moving_variance.assign(np.full(5, np.inf, np.float32))
                self.frozen = [weight.numpy() for weight in self.model.get_layer("bn_1").weights]

    model, poison = compiled(sequential()), Poison()
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Freeze(layers=["bn_1"])], 2: [commands.Recalibrate()]}
    fit(model, 3, [poison, Ask(monitor, plan), monitor])
    assert facts_of(monitor, events.Recalibrated)[0].skipped == ["small/bn_1"]
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert all(
        np.array_equal(a, b.numpy()) for a, b in zip(poison.frozen, model.get_layer("bn_1").weights, strict=True)
    )


def test_recalibration_late_in_an_epoch_waits_for_the_next(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)

    class Late(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 3 and not ask.ids:
                ask.ask(commands.Recalibrate(batches=4))

    ask = Ask(monitor, {})
    fit(compiled(sequential()), 2, [Late(), ask, monitor])
    (fact,) = facts_of(monitor, events.Recalibrated)
    assert (fact.batches, fact.step) == (4, STEPS)


def test_prepared_modes_cost_nothing_when_they_are_asked_for(runs: Path) -> None:
    from trainer.keras_models import count_traces

    plain, model = compiled(sequential()), compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs, prepare=["freeze", "phase inference", "freeze nothing"])
    traces = count_traces(model)
    counted: list[int] = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            counted.append(len(traces))

    fit(model, 2, [monitor, Count()])
    fit(plain, 2)
    assert same_weights(model, plain)
    assert set(counted) == {4}
    notes = [fact.text for fact in facts_of(monitor, events.Note)]
    assert any("no BatchNormalization layer matches 'nothing'" in note for note in notes)

    again = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs, prepare="freeze")
    fit(again, 2, [Ask(monitor, {1: [commands.Freeze()]}), monitor])
    assert [fact.traced_seconds for fact in facts_of(monitor, events.CommandApplied)] == [0.0]


def test_what_cannot_be_prepared_is_told_before_training() -> None:
    with pytest.raises(ValueError, match='expected "freeze"'):
        tuimon.Monitor(prepare=["melt"])
    with pytest.raises(ValueError, match="phase"):
        tuimon.Monitor(prepare=["phase hot"])


def test_an_evaluation_that_fails_is_rejected_and_nothing_else_ends(runs: Path) -> None:
    class Fails(keras.Sequential):
        fails = False

        def test_step(self, batch: Any) -> Any:
            if self.fails:
                raise RuntimeError("out of memory, once")
            return super().test_step(batch)

    class Once(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.fails = epoch == 2

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.fails = False

    model = compiled(Fails(sequential().layers, name="small"), run_eagerly=True)
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Freeze()], 2: [commands.Evaluate()]}
    fit(model, 4, [Once(), Ask(monitor, plan), monitor])
    (rejected,) = facts_of(monitor, events.CommandRejected)
    assert "out of memory, once" in rejected.reason
    (ended,) = facts_of(monitor, events.RunEnded)
    assert (ended.status, ended.step) == ("finished", 4 * STEPS)
    assert {layer.mode for layer in facts_of(monitor, events.BatchNorm)[-1].layers.values()} == {"frozen"}


@pytest.mark.parametrize("what", ["recalibrated ahead", pytest.param("frozen", marks=pytest.mark.full)])
def test_when_tuimon_gives_up_the_steps_stay_what_they_are(
    runs: Path, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = compiled(sequential())
    reference.optimizer.build(reference.trainable_variables)
    fit(reference, 1)
    if what == "frozen":
        for name in ("bn_1", "bn_2"):
            reference.get_layer(name).trainable = False
        compiled(reference, reference.optimizer)
    fit(reference, 3, initial_epoch=1)

    model, monitor = compiled(sequential()), tuimon.Monitor(runs_dir=runs)

    class Break(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 1 and facts_of(monitor, events.CommandApplied):
                monkeypatch.setattr(Fit, "before_step", None)

    request = commands.Freeze() if what == "frozen" else commands.Recalibrate(dry_run=True)
    fit(model, 3, [Break(), Ask(monitor, {1: [request]}), monitor])
    assert "monitoring ended by an error of tuimon's own" in facts_of(monitor, events.Note)[-1].text
    assert "training goes on" in capsys.readouterr().err
    assert same_weights(model, reference)


def test_a_disk_that_does_not_answer_holds_training_only_so_long(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "PATIENCE_SECONDS", 0.1)
    answers, real = threading.Event(), Checkpoints.save

    def save(*arguments: Any) -> Any:
        answers.wait(60)
        return real(*arguments)

    monkeypatch.setattr(Checkpoints, "save", save)
    waits: list[float | None] = []

    class Saving(threading.Thread):
        def join(self, timeout: float | None = None) -> None:
            waits.append(timeout)
            super().join(timeout)

    monkeypatch.setattr(actions, "threading", SimpleNamespace(Thread=Saving))

    class Later(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                answers.set()

    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {0: [commands.Checkpoint()], 1: [commands.Checkpoint(), commands.Rollback()]}
    fit(compiled(sequential()), 3, [Ask(monitor, plan), monitor, Later()])
    reasons = [fact.reason for fact in facts_of(monitor, events.CommandRejected)]
    assert reasons == ["the last checkpoint is still being written", "a checkpoint is still being written: ask again"]
    assert len(facts_of(monitor, events.CheckpointSaved)) == 1
    assert waits[:2] == [0.1, 0.0], "it is not waited for again"


class SlowDisk:
    """Stands for `os`, with a disk that takes in one part after the other, or none."""

    def __init__(self, parts: int) -> None:
        self.parts, self.hangs = parts, threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fdatasync(self, descriptor: int) -> None:
        if self.parts == 0:
            self.hangs.wait(60)
        self.parts -= 1
        time.sleep(0.02)


@pytest.mark.parametrize("parts", [1000, 0, 3])
def test_the_end_waits_for_a_slow_disk_and_not_for_one_that_does_not_answer(
    runs: Path, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "STILL_SECONDS", 1.5)
    monkeypatch.setattr(checkpoints, "SYNCED_BYTES", 128)
    disk = SlowDisk(parts)
    monkeypatch.setattr(checkpoints, "os", disk)
    monitor = tuimon.Monitor(runs_dir=runs, probe=False)
    fit(compiled(sequential()), 1, [Ask(monitor, {0: [commands.Checkpoint()]}), monitor])
    disk.hangs.set()
    assert len(facts_of(monitor, events.CheckpointSaved)) == (parts == 1000)
    if parts == 1000:
        assert monitor.run_dir is not None
        newest, wrong = Checkpoints(monitor.run_dir / "checkpoints").newest()
        assert (newest is not None, wrong) == (True, [])
        assert disk.parts < 925, "longer than a disk that does not answer is waited for"


def test_steps_are_counted_on_after_a_rollback_without_batch_values(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs, batch_loss=False)
    plan = {1: [commands.Checkpoint()], 3: [commands.Rollback()]}
    fit(compiled(sequential()), 5, [Ask(monitor, plan), monitor])
    assert [fact.step for fact in facts_of(monitor, events.EpochEnded)] == [STEPS * (epoch + 1) for epoch in range(5)]


def test_a_learning_rate_that_was_rejected_with_a_mode_is_not_in_force(runs: Path) -> None:
    class OnlyTrains(keras.layers.Layer):
        def call(self, inputs: Any, training: bool = False) -> Any:
            if not training and tf.inside_function() and self.armed:
                raise ValueError("only in training")
            return inputs

    OnlyTrains.armed = False
    layers = sequential().layers
    model = keras.Sequential([*layers[:-1], OnlyTrains(), layers[-1]])
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 100, 0.9)
    compiled(model, keras.optimizers.Adam(schedule))
    monitor = tuimon.Monitor(runs_dir=runs)

    class Arm(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            OnlyTrains.armed = epoch >= 2

    plan = {
        1: [commands.LearningRate(learning_rate=0.001)],
        2: [commands.LearningRate(learning_rate=0.5), commands.Phase(phase="inference")],
    }
    fit(model, 4, [Arm(), Ask(monitor, plan), monitor], validation_data=None)
    assert len(facts_of(monitor, events.CommandRejected)) == 2
    assert [fact.learning_rate for fact in facts_of(monitor, events.EpochEnded)][1:] == pytest.approx([0.001] * 3)
