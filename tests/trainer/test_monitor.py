"""What a Monitor records of a fit, and that whatever happens to it, training goes on."""

import copy
import gc
import os
import stat
import weakref
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from helpers import selected, without_locks
from trainer.inside import train_functions_of, until_seen
from trainer.keras_models import (
    BATCH,
    STEPS,
    Ask,
    OnlyTrains,
    compiled,
    count_traces,
    data,
    facts,
    facts_of,
    fit,
    same_weights,
    send,
    sequential,
)
from trainer.kinds import KINDS, Adversarial
from tuimon.protocol import commands, events
from tuimon.protocol.wire import list_from_wire
from tuimon.trainer.fit import Fit
from tuimon.trainer.keras import fit_watchdog
from tuimon.trainer.keras.steps import batch_values
from tuimon.trainer.requests.controller import Controller
from tuimon.trainer.sampling import Sampling


def values(monitor: tuimon.Monitor, name: str) -> np.ndarray:
    batches = facts_of(monitor, events.Batches)
    assert [fact.first_step for fact in batches] == list(np.cumsum([0, *(fact.batches for fact in batches)])[:-1])
    return np.concatenate([list_from_wire(fact.metrics[name]) for fact in batches])


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="plain"),
        pytest.param({"jit_compile": True}, id="xla", marks=pytest.mark.full),
        pytest.param({"steps_per_execution": 2}, id="several steps at once"),
        pytest.param({"run_eagerly": True}, id="eager"),
    ],
)
def test_each_batch_has_its_own_loss_and_metrics(runs: Path, options: dict[str, Any]) -> None:
    metrics = ["mae", keras.metrics.RootMeanSquaredError(name="rmse")]
    model = compiled(sequential(dropout=0.0), metrics=metrics, **options)
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(model, 2, [monitor])

    reference = compiled(sequential(dropout=0.0), metrics=["mae", keras.metrics.RootMeanSquaredError(name="rmse")])
    x, y = data()
    logs = []
    for start in [*range(0, len(x), BATCH)] * 2:
        reference.reset_metrics()
        batch = slice(start, start + BATCH)
        logs.append(reference.train_on_batch(x[batch], y[batch], return_dict=True))
    for name in ("loss", "mae", "rmse"):
        expected = np.array([log[name] for log in logs])
        # Compiled another way, the same sums differ in their last digits.
        tolerance = 0.0 if "steps_per_execution" in options or not options else 1e-5
        np.testing.assert_allclose(values(monitor, name), expected, rtol=tolerance)


def test_no_step_is_lost_when_the_ring_runs_full(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_values, "RING_STEPS", 4)
    monkeypatch.setattr("tuimon.trainer.keras.steps.step_functions.RING_STEPS", 4)
    monkeypatch.setattr("tuimon.trainer.sampling.LOOK_SECONDS", 1000.0)
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 3, [monitor], batch_size=2, validation_batch_size=2)
    assert len(values(monitor, "loss")) == 3 * 40
    assert [fact.batches for fact in facts_of(monitor, events.ValidationBatches)] == [12] * 3


def test_metrics_without_a_value_of_a_batch_come_as_keras_runs_them(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential(), metrics=[keras.metrics.AUC(name="auc")]), 1, [monitor])
    last = facts_of(monitor, events.Batches)[-1]
    assert last.running["auc"] == facts_of(monitor, events.EpochEnded)[0].logs["auc"]
    assert "auc" not in last.metrics


def test_a_metric_that_is_no_single_number_is_left_out(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    per_class = keras.metrics.F1Score(average=None, name="f1")
    history = fit(compiled(sequential(), metrics=[per_class]), 2, [monitor]).history
    assert set(facts_of(monitor, events.EpochEnded)[-1].logs) == {"loss", "val_loss"}
    assert "f1" in history


def test_the_facts_of_a_run(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs, name="my run")
    model = compiled(sequential())
    history = fit(model, 2, [monitor]).history
    log = facts(monitor)
    assert [fact.seq for fact in log] == list(range(len(log)))
    assert all(earlier.step <= later.step for earlier, later in pairwise(log))
    # The load of the machine comes from another thread.
    kinds = [type(fact).__name__ for fact in log if not isinstance(fact, events.System)]
    assert kinds[:4] == ["RunStarted", "ModelBuilt", "FitStarted", "StateChanged"]
    assert kinds[-1] == "RunEnded"
    assert log[0].name == "my run"
    assert log[0].pid == os.getpid()

    built = facts_of(monitor, events.ModelBuilt)[0]
    assert [layer.path for layer in built.batch_norm_layers] == ["small/bn_1", "small/bn_2"]
    assert [layer.channels for layer in built.batch_norm_layers] == [8, 5]
    assert built.other_layers == ["dropout"]
    assert built.parameters == model.count_params()
    started = facts_of(monitor, events.FitStarted)[0]
    assert (started.epochs, started.steps_per_epoch, started.optimizer) == (2, STEPS, "SGD")
    epochs = facts_of(monitor, events.EpochEnded)
    assert [fact.logs for fact in epochs] == [
        {name: column[epoch] for name, column in history.items()} for epoch in range(2)
    ]
    assert [fact.step for fact in epochs] == [STEPS, 2 * STEPS]
    assert epochs[0].learning_rate == pytest.approx(0.01)

    layer = model.get_layer("bn_1")
    last = facts_of(monitor, events.BatchNorm)[-1].layers["small/bn_1"]
    quantiles = np.quantile(layer.moving_mean.numpy(), events.QUANTILES)
    np.testing.assert_allclose(list_from_wire(last.moving_mean), quantiles, rtol=1e-5)
    assert last.mode == "training"


def test_a_run_has_the_name_of_its_notebook(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuimon.trainer.keras.monitor.program_name", lambda: "Fine tuning")
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 1, [monitor])
    assert facts_of(monitor, events.RunStarted)[0].name == "Fine tuning"
    session = tuimon.open_session(monitor)
    assert session.name.endswith("-Fine-tuning")
    assert session.status == "finished"
    assert len(session.metric("batch/loss")) == session.step
    assert tuimon.open_session("Fine tuning", runs_dir=runs).name == session.name


def test_a_session_leaves_out_what_a_rollback_undid(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Checkpoint()], 3: [commands.Rollback()]}
    fit(compiled(sequential()), 5, [Ask(monitor, plan), monitor])
    session = tuimon.open_session(monitor)
    steps = np.arange(5 * STEPS)
    left = steps[(steps < STEPS) | (steps >= 3 * STEPS)]
    assert session.metric("batch/loss").steps.tolist() == left.tolist()
    assert session.metric("batch/loss", branch="all").steps.tolist() == steps.tolist()
    assert session.metric("val_loss").steps.tolist() == [STEPS, 4 * STEPS, 5 * STEPS]
    assert session.best["val_loss"].value == session.metric("val_loss").values.min()
    assert session.requests()["is_undone"].tolist() == [False, False]


def test_only_the_owner_reads_a_run(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 1, [monitor])
    assert monitor.run_dir is not None
    for path, mode in ((".", 0o700), ("commands", 0o700), ("session.jsonl", 0o600)):
        assert stat.S_IMODE((monitor.run_dir / path).stat().st_mode) == mode


def test_answered_requests_are_gone(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Freeze(), commands.Note(text="[red]\x1b[31mnot markup")]}
    ask = Ask(monitor, plan)
    fit(compiled(sequential()), 3, [ask, monitor])
    assert monitor.run_dir is not None
    assert list((monitor.run_dir / "commands").iterdir()) == []
    assert [fact.id for fact in facts_of(monitor, events.CommandApplied)] == [ask.ids[1], ask.ids[0]]
    assert facts_of(monitor, events.Note)[0].text == "[red]\x1b[31mnot markup"


def test_a_stop_after_an_epoch_of_unknown_length_says_so(runs: Path) -> None:
    x, y = data()
    endless = tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(BATCH)
    monitor = tuimon.Monitor(runs_dir=runs)

    class Stops(keras.callbacks.Callback):
        """Asks for a stop after the epoch, which does not come, and ends training when that is answered."""

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            if batch == 1:
                send(monitor, commands.Stop(after="epoch"))
            self.model.stop_training = bool(facts_of(monitor, events.CommandApplied))

    compiled(model := sequential())
    model.fit(endless, epochs=2, shuffle=False, callbacks=[Stops(), monitor], verbose=0)
    (applied,) = facts_of(monitor, events.CommandApplied)
    assert applied.detail.startswith("training ends with this epoch, if it ends: its length is not known")


@pytest.mark.parametrize(("after", "steps"), [("batch", 2 * STEPS + 1), ("epoch", 3 * STEPS)])
def test_stop_ends_training_as_keras_does(runs: Path, after: Any, steps: int) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    history = fit(compiled(sequential()), 9, [Ask(monitor, {2: [commands.Stop(after=after)]}), monitor])
    assert len(history.epoch) == 3
    assert "val_loss" in history.history
    ended = facts(monitor)[-1]
    assert isinstance(ended, events.RunEnded)
    assert (ended.status, ended.step) == ("stopped", steps)
    assert monitor.was_stopped


def test_a_request_for_another_attempt_is_rejected(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)

    class AskAnother(Ask):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                until_seen(self.monitor, send(self.monitor, commands.Freeze(), attempt=7))

    fit(compiled(sequential()), 2, [AskAnother(monitor, {}), monitor])
    assert facts_of(monitor, events.CommandRejected)[0].reason == "it was meant for attempt 7; this is 0"


def test_a_request_that_comes_too_late_is_answered(runs: Path) -> None:
    class AskAtTheEnd(Ask):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.ask(commands.Freeze())

    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 1, [AskAtTheEnd(monitor, {}), monitor])
    assert [fact.reason for fact in facts_of(monitor, events.CommandRejected)] == ["training has ended"]


def test_ten_fits_with_one_monitor_are_one_run_and_trace_once(runs: Path) -> None:
    model = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    traces = count_traces(model)
    for _ in range(10):
        fit(model, 1, [monitor])
    assert len(traces) == 2  # As Keras alone: the first trace makes the variables.
    assert len(list(runs.iterdir())) == 1
    log = facts(monitor)
    assert [fact.seq for fact in log] == list(range(len(log)))
    assert len(values(monitor, "loss")) == 10 * STEPS
    assert log[-1].step == 10 * STEPS


def test_a_compile_between_two_fits_is_heeded(runs: Path) -> None:
    def train(monitors: list[tuimon.Monitor]) -> keras.Model:
        model = compiled(sequential())
        fit(model, 1, monitors)
        model.get_layer("bn_1").trainable = False
        compiled(model, keras.optimizers.SGD(0.1))
        fit(model, 2, monitors)
        return model

    assert same_weights(train([]), train([tuimon.Monitor(runs_dir=runs)]))


def test_a_directory_that_holds_a_run_is_not_written_to(runs: Path) -> None:
    fit(compiled(sequential()), 1, [tuimon.Monitor(runs / "mine")])
    before = (runs / "mine" / "session.jsonl").read_bytes()
    again = tuimon.Monitor(runs / "mine")
    with pytest.warns(UserWarning, match="holds a run already"):
        fit(compiled(sequential()), 1, [again])
    assert again.run_dir == runs / "mine-2"
    assert (runs / "mine" / "session.jsonl").read_bytes() == before


def test_an_error_in_a_step_ends_the_run_and_gives_everything_back(runs: Path) -> None:
    model = compiled(sequential())
    fit(model, 1)
    function = model.train_function
    monitor = tuimon.Monitor(runs_dir=runs)

    def broken() -> Any:
        x, y = data()
        for _ in range(6):  # Keras looks at some before it begins.
            yield x[:BATCH], y[:BATCH]
        raise ValueError("the data ended in a strange way")

    with pytest.raises(Exception, match="strange way"):
        model.fit(broken(), callbacks=[monitor], verbose=0, steps_per_epoch=9, shuffle=False)
    assert model.train_function is function
    ended = facts(monitor)[-1]
    assert isinstance(ended, events.RunEnded)
    assert ended.status == "failed"
    assert "strange way" in ended.traceback
    fit(model, 1, [monitor])  # And it can be used again.
    assert facts(monitor)[-1].status == "finished"


def test_ctrl_c_is_a_stop(runs: Path) -> None:
    model = compiled(sequential(), run_eagerly=True)
    monitor = tuimon.Monitor(runs_dir=runs)
    real = model.train_step

    def interrupted(batch: Any) -> Any:
        if model.optimizer.iterations == 3:
            raise KeyboardInterrupt
        return real(batch)

    model.train_step = interrupted
    with pytest.raises(KeyboardInterrupt):
        fit(model, 2, [monitor])
    assert facts(monitor)[-1].status == "stopped"
    assert "train_step" in vars(model)  # The user's own.


def test_a_run_directory_that_cannot_be_made_does_not_stop_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    watched, plain = compiled(sequential()), compiled(sequential())
    fit(watched, 2, [tuimon.Monitor(runs_dir=tmp_path / "file")])
    fit(plain, 2)
    assert same_weights(watched, plain)
    assert "training goes on" in capsys.readouterr().err


def test_a_file_system_without_locks_is_told_once_and_recorded_on(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_locks(monkeypatch)
    model, monitor = compiled(sequential()), tuimon.Monitor(runs_dir=runs)
    for _ in range(2):
        fit(model, 1, [monitor])
    words = "this file system has no locks (No locks available), so two trainers could write one log"
    assert capsys.readouterr().err == f"tuimon: {words}: {monitor.run_dir}/session.jsonl\n"
    assert [fact.step for fact in facts_of(monitor, events.RunEnded)] == [STEPS, 2 * STEPS]
    assert len(facts_of(monitor, events.Note)) == 1


def test_a_log_that_cannot_be_opened_leaves_no_run_directory(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_size(descriptor: int) -> Any:
        raise OSError("no quota")

    model = compiled(sequential())
    monkeypatch.setattr("tuimon.trainer.session.session_writer.os.fstat", no_size)
    fit(model, 1, [tuimon.Monitor(runs_dir=runs)])
    monkeypatch.undo()
    assert "no quota" in capsys.readouterr().err
    assert list(runs.iterdir()) == []


@pytest.mark.parametrize(
    ("part", "method"),
    [
        pytest.param(part, method, id=method, marks=() if method in ("before_step", "end") else pytest.mark.full)
        for part, methods in (
            (Fit, ("before_step", "end_epoch", "begin_validation", "end")),
            (Sampling, ("read_steps", "sample")),
        )
        for method in methods
    ],
)
def test_a_mistake_of_ours_does_not_stop_training(
    runs: Path, part: type, method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def broken(*args: Any) -> None:
        calls.append(args)
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(part, method, broken)
    watched, plain = compiled(sequential()), compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(watched, 2, [monitor])
    fit(plain, 2)
    assert calls
    assert same_weights(watched, plain)
    assert "a mistake of ours" in capsys.readouterr().err
    fit(watched, 1)


def test_what_waits_for_a_step_is_dropped_when_the_monitor_gives_up(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, calls, done = compiled(sequential()), [], []
    before_step = Fit.before_step

    def broken(fit: Fit) -> None:
        before_step(fit)
        calls.append(fit)
        if len(calls) == 3:
            train_functions_of(model).before_next(done.append)
            raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(Fit, "before_step", broken)
    monitor = tuimon.Monitor(runs_dir=runs)
    # A mode is in force, so our functions go on after the Monitor gave up.
    fit(model, 1, [Ask(monitor, {0: [commands.Freeze()]}), monitor])
    assert len(calls) == 3
    assert done == []


@pytest.mark.parametrize("method", selected(("_prepare", "_switched", "_verify", "_take"), "_switched", "_take"))
def test_a_mistake_of_ours_in_a_change_of_mode_does_not_stop_training(
    runs: Path, method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(Controller, method, broken)
    model = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(model, 3, [Ask(monitor, {1: [commands.Freeze()]}), monitor])
    assert model.optimizer.iterations == 3 * STEPS
    assert "a mistake of ours" in capsys.readouterr().err + str(facts_of(monitor, events.CommandRejected))
    fit(model, 1)


def test_a_mode_that_fails_for_a_batch_of_a_new_shape_is_left(runs: Path) -> None:
    class OnlyFull(keras.layers.Layer):
        def call(self, inputs: Any, training: bool = False) -> Any:
            if not training and inputs.shape[0] is None and not validating:
                raise RuntimeError("only batches of a known size in inference mode")
            return inputs

    validating = [1]
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), keras.layers.BatchNormalization(name="bn"), OnlyFull()])
    model.add(keras.layers.Dense(1))
    validating.clear()
    monitor = tuimon.Monitor(runs_dir=runs)
    samples = tf.data.Dataset.from_tensor_slices(data())
    compiled(model)
    plan = {1: [commands.Phase(phase="inference")]}
    options = {"verbose": 0, "shuffle": False}
    asking = [Ask(monitor, plan), monitor]
    model.fit(samples.batch(16, drop_remainder=True), epochs=2, callbacks=asking, **options)
    assert facts_of(monitor, events.CommandVerified)[-1].held
    model.fit(samples.batch(32), callbacks=[monitor], **options)
    last = facts_of(monitor, events.CommandApplied)[-1]
    assert last.phase == "auto"
    assert "known size" in last.detail
    assert model.optimizer.iterations == 5 + 5 + 3


def test_another_backend_is_not_recorded_and_told_so(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    monitor.set_model(model)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monitor.on_train_begin()
    assert "Keras on jax is not recorded yet" in capsys.readouterr().err
    assert list(runs.iterdir()) == []


def test_a_copy_of_a_used_monitor_has_its_options_and_no_run(runs: Path) -> None:
    class Mine(tuimon.Monitor):
        pass

    monitor = Mine(runs / "mine", name="a name", probe_every=7, batch_loss=False)
    monitor.extra = [1]
    fit(compiled(sequential()), 1, [monitor])
    before = facts(monitor)
    copied = copy.deepcopy(monitor)
    assert isinstance(copied, Mine)
    assert (copied.extra, copied.run_dir, copied.model) == ([1], None, None)
    with pytest.warns(UserWarning, match="holds a run already"):
        fit(compiled(sequential()), 1, [copied])
    assert copied.run_dir == runs / "mine-2"
    assert facts(copied)[0].name == "a name"
    assert facts(monitor) == before


def test_overhead_is_a_share() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        tuimon.Monitor(overhead=2)


def test_metrics_of_the_users_own_are_left_alone(runs: Path) -> None:
    class Assigns(keras.metrics.Mean):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.total.assign(self.total + keras.ops.mean(y_pred))
            self.count.assign(self.count + 1.0)

    class Strange(keras.metrics.MeanSquaredError):
        def result(self) -> Any:
            return self.total.value / self.count.value  # A plain number has no `value`.

    def train(monitors: list[tuimon.Monitor]) -> tuple[keras.Model, Any]:
        model = compiled(sequential(), metrics=["mae", Assigns(name="assigns"), Strange(name="strange")])
        return model, fit(model, 2, monitors).history

    monitor = tuimon.Monitor(runs_dir=runs)
    (plain, history), (watched, with_monitor) = train([]), train([monitor])
    assert same_weights(plain, watched)
    assert history == with_monitor
    last = facts_of(monitor, events.Batches)[-1]
    assert set(last.metrics) == {"loss", "mae"}
    assert last.running == {name: history[name][-1] for name in ("assigns", "strange")}


def test_a_mode_asked_for_before_the_first_step_that_fails_leaves_a_run_that_goes_on(runs: Path) -> None:
    trains: list[int] = []

    def model() -> keras.Model:
        trains.clear()
        keras.utils.set_random_seed(1)
        only_trains = OnlyTrains(lambda: bool(trains))
        built = keras.Sequential([keras.Input((6,)), keras.layers.BatchNormalization(), only_trains])
        built.add(keras.layers.Dense(1))
        trains.append(1)
        return compiled(built, metrics=["mae", "AUC"])

    monitor = tuimon.Monitor(runs_dir=runs)
    asked = model()
    plan = {0: [commands.Phase(phase="inference")]}
    fit(asked, 2, [Ask(monitor, plan), monitor], validation_data=None)
    plain = model()
    fit(plain, 2, validation_data=None)
    assert same_weights(asked, plain)
    assert "no inference mode" in facts_of(monitor, events.CommandRejected)[0].reason


def test_a_later_fit_begins_where_it_is_told_to(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 5, [monitor], initial_epoch=3)
    started = facts_of(monitor, events.FitStarted)[0]
    assert (started.initial_epoch, started.epochs) == (3, 5)


def test_a_mode_is_kept_from_one_fit_to_the_next(runs: Path) -> None:
    model = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(model, 2, [Ask(monitor, {1: [commands.Freeze()]}), monitor])
    before = model.get_layer("bn_1").moving_mean.numpy()
    fit(model, 1, [monitor])
    np.testing.assert_array_equal(model.get_layer("bn_1").moving_mean.numpy(), before)
    assert facts_of(monitor, events.FitStarted)[1].frozen == ["small/bn_1", "small/bn_2"]
    fit(model, 1)  # Without the Monitor it is Keras' again.
    assert not np.array_equal(model.get_layer("bn_1").moving_mean.numpy(), before)


def test_a_fit_that_a_callback_ended_is_told_though_keras_tells_nobody(runs: Path) -> None:
    class Interrupted(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise KeyboardInterrupt

    model, monitor = compiled(sequential()), tuimon.Monitor(runs_dir=runs)
    with pytest.raises(KeyboardInterrupt):
        fit(model, 2, [monitor, Interrupted()])
    (ended,) = facts_of(monitor, events.RunEnded)
    assert (ended.status, ended.step) == ("stopped", STEPS)
    # In a notebook one goes on, with the same Monitor.
    fit(model, 1, [monitor])
    assert [fact.status for fact in facts_of(monitor, events.RunEnded)] == ["stopped", "finished"]


def test_a_long_step_is_not_taken_for_the_end(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_watchdog, "LOOK_SECONDS", 0.001)
    model, monitor = compiled(sequential(), run_eagerly=True), tuimon.Monitor(runs_dir=runs)
    fit(model, 3, [monitor])
    assert [fact.status for fact in facts_of(monitor, events.RunEnded)] == ["finished"]


@pytest.mark.parametrize("reused", [True, pytest.param(False, marks=pytest.mark.full)])
def test_fits_of_one_epoch_are_traced_once(runs: Path, reused: bool) -> None:
    plain, model = compiled(sequential()), compiled(sequential())
    traces = count_traces(model)
    monitors = [tuimon.Monitor(runs_dir=runs)]
    counts = []
    for epoch in range(4):
        if not reused and epoch:
            monitors.append(tuimon.Monitor(runs_dir=runs))
        plan = {0: [commands.Freeze()]} if epoch in (1, 2) else {0: [commands.Unfreeze()]}
        fit(model, 1, [Ask(monitors[-1], plan), monitors[-1]])
        counts.append(len(traces))
    # Keras' own, twice the first time, and one for the freeze.
    assert counts == [2, 3, 3, 3]
    for frozen in (False, True, True, False):
        for name in ("bn_1", "bn_2"):
            plain.get_layer(name).trainable = not frozen
        compiled(plain, plain.optimizer)
        fit(plain, 1)
    assert same_weights(model, plain)
    # They are one run.
    for monitor in monitors:
        assert facts_of(monitor, events.ModelBuilt)
        batches = facts_of(monitor, events.Batches)
        assert sum(fact.batches for fact in batches) == STEPS * 4
        assert [fact.held for fact in facts_of(monitor, events.CommandVerified)] == [True] * 4


@pytest.mark.full
def test_a_model_that_was_watched_is_let_go(runs: Path) -> None:
    model = compiled(sequential())
    fit(model, 1, [tuimon.Monitor(runs_dir=runs)])
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_two_monitors_in_one_fit_do_not_fight(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, model = compiled(sequential()), compiled(sequential())
    first, second = tuimon.Monitor(runs_dir=runs), tuimon.Monitor(runs_dir=runs)
    fit(model, 2, [first, second])
    fit(plain, 2)
    assert same_weights(model, plain)
    assert [fact.step for fact in facts_of(first, events.EpochEnded)] == [STEPS, 2 * STEPS]
    assert second.run_dir is None
    assert "another Monitor watches this fit" in capsys.readouterr().err


def test_what_a_step_of_ones_own_returns_as_it_is_is_the_batchs_own(runs: Path) -> None:
    class Counting(Adversarial):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.auc = keras.metrics.AUC(name="auc")
            self.mean = keras.metrics.Mean(name="mean")

        def train_step(self, data: Any) -> dict[str, Any]:
            logs = super().train_step(data)
            self.auc.update_state([0.0, 1.0, 1.0], [0.4, 0.1, 0.9])
            self.mean.update_state(logs["critic_loss"])
            return {**logs, "area": self.auc.result(), "mean": self.mean.result(), "epochs": tf.constant(3)}

    class Logs(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[dict[str, float]] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append({name: float(value) for name, value in logs.items()})

    kind = KINDS["two models in turn"]
    keras.utils.set_random_seed(7)
    model = Counting(name="counting")
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    monitor, logs = tuimon.Monitor(runs_dir=runs), Logs()
    kind.fit(model, 2, [monitor, logs])
    for name in ("loss", "critic_loss"):
        np.testing.assert_allclose(values(monitor, name), [seen[name] for seen in logs.seen], rtol=1e-6)
    np.testing.assert_allclose(values(monitor, "mean"), values(monitor, "critic_loss"), rtol=1e-6)
    last = facts_of(monitor, events.Batches)[-1]
    assert set(last.metrics) == {"loss", "critic_loss", "mean"}
    assert set(last.running) == {"area", "epochs"}
