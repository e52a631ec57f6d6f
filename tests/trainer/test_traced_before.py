"""A step that Keras traced before the Monitor came: flags set since have no effect, with tuimon as without."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tuimon
from helpers import selected
from trainer.keras_models import BATCH, STEPS, Ask, compiled, count_traces, data, facts_of, fit, linear, same_weights
from tuimon.protocol import commands, events
from tuimon.trainer.keras.steps import traced_before
from tuimon.trainer.keras.steps.batch_values import BatchValues
from tuimon.trainer.keras.steps.graph_uses import UnreadableGraphError, Uses

VALIDATION = "Keras' own test step runs as it is"

Build = Callable[[], keras.Model]
Phase = Callable[[keras.Model], object]


def fine_tuned(*, frozen: bool, optimizer: Any = "adam", **options: Any) -> keras.Model:
    """Return a base and a head, the base frozen or not when it is compiled."""
    keras.utils.set_random_seed(5)
    layers = keras.layers
    base = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, name="base_dense", kernel_regularizer=keras.regularizers.L2(0.01)),
            layers.BatchNormalization(name="base_bn", momentum=0.9),
            layers.BatchNormalization(name="bare_bn", momentum=0.9, center=False, scale=False),
            layers.ReLU(),
            layers.Dropout(0.25),
        ],
        name="base",
    )
    model = keras.Sequential([base, layers.Dense(1, name="head")], name="tuned")
    base.trainable = not frozen
    return compiled(model, optimizer, **options)


def set_flag(name: str, value: bool) -> Phase:
    def phase(model: keras.Model) -> None:
        next(layer for layer in model._flatten_layers() if layer.name == name).trainable = value

    return phase


def train(**options: Any) -> Phase:
    return lambda model: fit(model, 2, **options)


def on_batches(model: keras.Model) -> None:
    x, y = data()
    for start in range(0, 48, BATCH):
        model.train_on_batch(x[start : start + BATCH], y[start : start + BATCH])


def compile_anew(model: keras.Model) -> None:
    compiled(model, "adam")


def trained(build: Build, phases: Sequence[Phase], callbacks: Sequence[Any] = (), **options: Any) -> Any:
    """Return a model after some phases and a last ``fit``, and the history of that."""
    model = build()
    for phase in phases:
        phase(model)
    return model, fit(model, 2, callbacks, **options).history


def assert_no_effect(
    build: Build, phases: Sequence[Phase], runs: Path, asking: Sequence[Any] = (), **options: Any
) -> tuimon.Monitor:
    """A Monitor in the last ``fit`` changes neither weights nor history, and each step has its loss."""
    alone, history = trained(build, phases, **options)
    monitor = tuimon.Monitor(runs_dir=runs, probe=False)
    watched, same_history = trained(build, phases, [*asking, monitor], **options)
    assert same_weights(alone, watched)
    assert history == same_history
    return monitor


def notes(monitor: tuimon.Monitor) -> list[str]:
    """Return what was noted, but of validation."""
    return [text for note in facts_of(monitor, events.Note) if not (text := note.text).startswith(VALIDATION)]


def losses(monitor: tuimon.Monitor) -> int:
    return sum(len(batches.metrics.get("loss", ())) for batches in facts_of(monitor, events.Batches))


def frozen() -> keras.Model:
    return fine_tuned(frozen=True)


def free() -> keras.Model:
    return fine_tuned(frozen=False)


THAWED, FROZEN = set_flag("base", True), set_flag("base", False)
CHANGES = {
    "thawed": (frozen, [THAWED]),
    "frozen": (free, [FROZEN]),
    "frozen and thawed": (frozen, [THAWED, FROZEN]),
    "only a layer without gamma and beta, frozen": (free, [set_flag("bare_bn", False)]),
    "only a layer without gamma and beta, thawed": (
        lambda: compiled(_with(free(), set_flag("bare_bn", False))),
        [set_flag("bare_bn", True)],
    ),
    "a dense layer frozen": (free, [set_flag("base_dense", False)]),
    "the whole model frozen": (free, [set_flag("tuned", False)]),
}


def _with(model: keras.Model, phase: Phase) -> keras.Model:
    phase(model)
    return model


@pytest.mark.parametrize("name", selected(CHANGES, "thawed", "frozen", "only a layer without gamma and beta, thawed"))
def test_a_flag_set_after_the_trace_has_no_effect(name: str, tmp_path: Path) -> None:
    build, change = CHANGES[name]
    monitor = assert_no_effect(build, [train(), *change], tmp_path)
    assert losses(monitor) == 2 * STEPS
    assert ["without effect" in note for note in notes(monitor)] == ([True] if len(change) == 1 else [])


OPTIONS = {
    "XLA": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 3},
    "XLA and steps_per_execution": {"jit_compile": True, "steps_per_execution": 3},
    "loss scaling": {
        "optimizer": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), initial_scale=64.0)
    },
    "weight decay and clipping": {
        "optimizer": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1, global_clipnorm=0.5)
    },
}


@pytest.mark.parametrize("name", selected(OPTIONS, "XLA and steps_per_execution"))
@pytest.mark.parametrize("was_frozen", [True, pytest.param(False, marks=pytest.mark.full)])
def test_however_it_is_compiled(name: str, was_frozen: bool, tmp_path: Path) -> None:
    options = OPTIONS[name]

    def build() -> keras.Model:
        optimizer = options.get("optimizer", lambda: "adam")()
        return fine_tuned(frozen=was_frozen, **{**options, "optimizer": optimizer})

    monitor = assert_no_effect(build, [train(), set_flag("base", was_frozen)], tmp_path)
    assert losses(monitor) == 2 * STEPS


def test_an_eager_step_reads_the_flags_each_time(tmp_path: Path) -> None:
    monitor = assert_no_effect(lambda: fine_tuned(frozen=False, run_eagerly=True), [train(), FROZEN], tmp_path)
    assert notes(monitor) == []


def test_compiled_anew_the_flags_of_now_count(tmp_path: Path) -> None:
    monitor = assert_no_effect(frozen, [train(), THAWED, compile_anew], tmp_path)
    assert notes(monitor) == []
    assert not facts_of(monitor, events.FitStarted)[-1].frozen


def test_steps_on_single_batches_leave_no_trace_for_fit(tmp_path: Path) -> None:
    monitor = assert_no_effect(free, [on_batches, FROZEN], tmp_path)
    assert notes(monitor) == []


@pytest.mark.full
def test_other_batches_are_traced_with_the_flags_of_now(tmp_path: Path) -> None:
    monitor = assert_no_effect(free, [train(), FROZEN], tmp_path, batch_size=20)
    assert notes(monitor) == []


@pytest.mark.full
def test_validation_has_flags_of_its_own(tmp_path: Path) -> None:
    """Its loss has the regularization of what was trainable when it was traced."""
    x, y = data(24)
    phases = [lambda model: model.evaluate(x, y, batch_size=BATCH, verbose=0), FROZEN, compile_anew]
    monitor = assert_no_effect(free, phases, tmp_path / "compiled", validation_data=(x, y))
    assert facts_of(monitor, events.Note) == []
    monitor = assert_no_effect(free, phases[:2], tmp_path / "not", validation_data=(x, y))
    assert [note.text.startswith(VALIDATION) for note in facts_of(monitor, events.Note)] == [True]
    assert facts_of(monitor, events.ValidationBatches) == []
    assert losses(monitor) == 2 * STEPS


def test_batches_of_any_size_share_a_trace(tmp_path: Path) -> None:
    ragged = {"batch_size": 24}
    monitor = assert_no_effect(frozen, [train(**ragged), THAWED], tmp_path, batch_size=36)
    assert len(notes(monitor)) == 1


@pytest.mark.full
def test_an_optimizer_that_knows_more_than_the_step_trains(tmp_path: Path) -> None:
    def again(model: keras.Model) -> None:
        compiled(model, model.optimizer)

    assert_no_effect(free, [train(), FROZEN, again, train(), THAWED], tmp_path)


@pytest.mark.full
def test_a_base_that_is_called_in_inference_mode(tmp_path: Path) -> None:
    def build() -> keras.Model:
        base = free().layers[0]
        inputs = keras.Input((6,))
        return compiled(keras.Model(inputs, keras.layers.Dense(1, name="head")(base(inputs, training=False))))

    monitor = assert_no_effect(build, [train()], tmp_path / "same")
    assert notes(monitor) == []
    assert_no_effect(build, [train(), FROZEN], tmp_path / "frozen")


def test_nothing_is_said_where_nothing_was_changed(tmp_path: Path) -> None:
    monitor = assert_no_effect(free, [train(), train()], tmp_path)
    assert notes(monitor) == []
    assert len(facts_of(monitor, events.ModelBuilt)) == 1


class UntilAlert(keras.callbacks.Callback):
    """Ends training with the first alert; goes behind the Monitor."""

    def __init__(self, monitor: tuimon.Monitor) -> None:
        super().__init__()
        self.monitor = monitor

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.stop_training = epoch % 10 == 9 and bool(facts_of(self.monitor, events.Alert))


@pytest.mark.full
def test_the_doctor_finds_it(tmp_path: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=tmp_path, probe=False, overhead=0.9)
    model = frozen()
    fit(model, 1)
    THAWED(model)
    fit(model, 500, [monitor, UntilAlert(monitor)], validation_data=None)
    assert "R7" in [alert.rule for alert in facts_of(monitor, events.Alert)]


def answers(monitor: tuimon.Monitor) -> list[Any]:
    return [
        fact for fact in facts_of(monitor, object) if isinstance(fact, events.CommandApplied | events.CommandRejected)
    ]


@pytest.mark.full
def test_what_was_frozen_in_the_trace_stays_so(tmp_path: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=tmp_path, probe_every=3, overhead=0.9)
    alone, _ = trained(frozen, [train(), THAWED])
    plan = [
        commands.Unfreeze(),
        commands.Unfreeze(weights=True, layers=["base_*"]),
        commands.Freeze(weights=True, layers=["head"]),
        commands.Freeze(),
    ]
    watched, _ = trained(frozen, [train(), THAWED], [Ask(monitor, {1: plan}), monitor])
    *rejected, frozen_again = answers(monitor)
    reasons = [answer.reason for answer in rejected]
    assert ["frozen when the step was traced" in reason and "compile" in reason for reason in reasons[:2]] == [True] * 2
    assert "no weight would be left" in reasons[2]
    assert "as they are" in frozen_again.detail
    assert same_weights(alone, watched)


@pytest.mark.full
def test_what_was_free_in_the_trace_can_be_frozen(tmp_path: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=tmp_path, probe=False)
    model = free()
    fit(model, 1)
    FROZEN(model)
    before = [weight.numpy() for weight in model.layers[0].weights]
    fit(model, 1, [Ask(monitor, {0: [commands.Freeze(weights=True, layers=["base"])]}), monitor])
    assert all(np.array_equal(old, new.numpy()) for old, new in zip(before, model.layers[0].weights, strict=True))
    assert [fact.held for fact in facts_of(monitor, events.CommandVerified)] == [True]


@pytest.mark.parametrize("batch_loss", [True, pytest.param(False, marks=pytest.mark.full)])
def test_a_trace_of_another_monitor_is_kept(batch_loss: bool, tmp_path: Path) -> None:
    alone, _ = trained(frozen, [train(), THAWED])
    first, second = (tuimon.Monitor(runs_dir=tmp_path, batch_loss=batch_loss) for _ in range(2))
    asked = Ask(second, {1: [commands.Unfreeze()]})
    watched, _ = trained(frozen, [train(callbacks=[first]), THAWED], [asked, second])
    assert same_weights(alone, watched)
    assert "frozen when the step was traced" in answers(second)[0].reason
    assert "without effect" in notes(second)[0]


def test_without_values_of_batches_the_users_function_runs(tmp_path: Path) -> None:
    alone, _ = trained(frozen, [train(), THAWED])
    monitor = tuimon.Monitor(runs_dir=tmp_path, batch_loss=False)
    watched, _ = trained(frozen, [train(), THAWED], [monitor])
    assert same_weights(alone, watched)
    assert len(notes(monitor)) == 1


def test_it_is_traced_once(tmp_path: Path) -> None:
    model = free()
    traces = count_traces(model)
    model.compile("adam", "mse", jit_compile=False)
    fit(model, 1)
    before = len(traces)
    FROZEN(model)
    fit(model, 1, [tuimon.Monitor(runs_dir=tmp_path, probe=False)])
    assert len(traces) == before + 1


def test_a_loop_of_single_batches(tmp_path: Path) -> None:
    def loop(model: keras.Model, monitor: tuimon.Monitor | None) -> None:
        on_batches(model)
        FROZEN(model)
        if monitor is None:
            on_batches(model)
            return
        x, y = data()
        with monitor.watch(model) as watch:
            asked = Ask(monitor, {})
            for number in watch.steps(range(3)):
                model.train_on_batch(x[number * BATCH :][:BATCH], y[number * BATCH :][:BATCH])
                if number == 1:
                    asked.ask(commands.Freeze(layers=["bare_bn"], statistics=True))

    alone, watched = free(), free()
    loop(alone, None)
    monitor = tuimon.Monitor(runs_dir=tmp_path)
    loop(watched, monitor)
    (answer,) = answers(monitor)
    assert isinstance(answer, events.CommandApplied)
    assert [fact.held for fact in facts_of(monitor, events.CommandVerified)] == [True]
    # The others went on as they were traced.
    kernels = [model.layers[0].layers[0].kernel.numpy() for model in (alone, watched)]
    assert not np.array_equal(kernels[0], free().layers[0].layers[0].kernel.numpy())
    moving = [model.layers[0].layers[1].moving_mean.numpy() for model in (alone, watched)]
    np.testing.assert_array_equal(*moving)


# --- Where the flags cannot be told ----------------------------------------------------------------------------------


def test_where_the_graph_does_not_tell_the_users_function_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreadable(trace: Any) -> Uses:
        raise UnreadableGraphError("nothing to be seen")

    monkeypatch.setattr(traced_before, "uses_of", unreadable)
    monitor = assert_no_effect(frozen, [train(), THAWED], tmp_path)
    assert losses(monitor) == 0
    assert sum(batches.batches for batches in facts_of(monitor, events.Batches)) == 2 * STEPS
    (note,) = notes(monitor)
    assert "compile the model anew" in note
    assert facts_of(monitor, events.FitStarted)[0].can["freeze"] == note


def test_compiled_anew_it_is_steered_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreadable(trace: Any) -> Uses:
        raise UnreadableGraphError("nothing to be seen")

    monkeypatch.setattr(traced_before, "uses_of", unreadable)
    monitor = tuimon.Monitor(runs_dir=tmp_path, probe=False)
    model, _ = trained(frozen, [train(), THAWED], [monitor])
    compile_anew(model)
    fit(model, 1, [monitor])
    assert losses(monitor) == STEPS
    assert [fit_.can["freeze"] == "" for fit_ in facts_of(monitor, events.FitStarted)] == [False, True]


class Doubling(keras.layers.Layer):
    """Reads ``trainable`` and has no weights, so that no graph tells with which flag it was traced."""

    def call(self, inputs: Any) -> Any:
        return inputs * 2 if self.trainable else inputs


def test_a_layer_whose_flag_no_graph_tells(tmp_path: Path) -> None:
    def build() -> keras.Model:
        keras.utils.set_random_seed(5)
        return compiled(keras.Sequential([keras.Input((6,)), Doubling(name="doubling"), keras.layers.Dense(1)]))

    monitor = assert_no_effect(build, [train(), set_flag("doubling", False)], tmp_path)
    assert losses(monitor) == 0


# --- A step of ours that cannot be traced ----------------------------------------------------------------------------


def test_where_our_step_cannot_be_traced_the_users_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def listen(self: BatchValues) -> Any:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(BatchValues, "listen", listen)
    monitor = assert_no_effect(free, [], tmp_path)
    assert losses(monitor) == 0
    assert sum(batches.batches for batches in facts_of(monitor, events.Batches)) == 2 * STEPS
    (note,) = notes(monitor)
    assert "train step" in note
    assert "a mistake of ours" in note


def test_a_trace_of_ours_that_writes_other_variables_is_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(traced_before.TracedFlags, "put", lambda self: lambda: None)
    monitor = assert_no_effect(free, [train(), FROZEN], tmp_path)
    assert losses(monitor) == 0
    assert "train step" in notes(monitor)[-1]


class Failing(keras.layers.Layer):
    """Cannot be called in training."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            raise TypeError("the user's own mistake")
        return inputs


def _failing_layer() -> keras.Model:
    return compiled(keras.Sequential([keras.Input((6,)), keras.layers.Dense(1), Failing()]))


def _failing_loss() -> keras.Model:
    def loss(y: Any, outputs: Any) -> Any:
        raise KeyError("the user's own loss")

    model = linear()
    model.compile("adam", loss, jit_compile=False)
    return model


def _failing_metric() -> keras.Model:
    def metric(y: Any, outputs: Any) -> Any:
        raise ZeroDivisionError("the user's own metric")

    model = linear()
    model.compile("adam", "mse", metrics=[metric], jit_compile=False)
    return model


@pytest.mark.parametrize(
    ("build", "kind"),
    [(_failing_layer, TypeError), (_failing_loss, KeyError), (_failing_metric, ZeroDivisionError)],
)
def test_an_error_of_the_users_ends_training_as_ever(build: Build, kind: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(kind) as alone:
        fit(build(), 1)
    monitor = tuimon.Monitor(runs_dir=tmp_path)
    with pytest.raises(kind) as watched:
        fit(build(), 1, [monitor])
    assert str(watched.value) == str(alone.value)
    assert notes(monitor) == []
    assert facts_of(monitor, events.RunEnded)[-1].status == "failed"
