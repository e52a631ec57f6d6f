"""A change of mode is what Keras itself does when one stops, sets the flags, compiles and goes on."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from helpers import selected
from trainer.keras_models import (
    STEPS,
    Ask,
    OnlyTrains,
    batch_norms,
    compiled,
    count_traces,
    data,
    facts,
    facts_of,
    fit,
    functional,
    linear,
    same_weights,
    sequential,
)
from tuimon.protocol import commands, events
from tuimon.protocol.wire import decode_array
from tuimon.trainer.keras.internals import patches
from tuimon.trainer.keras.steps.mode_scope import ModeScope
from tuimon.trainer.modes import Mode

OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "sgd": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.05, global_clipnorm=1.0),
}


def compile_anew(model: keras.Model, frozen: Sequence[str]) -> None:
    """Set the flags and compile, as Keras asks for; the optimizer keeps its state."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = layer.name not in frozen
    compiled(model, model.optimizer, jit_compile=model.jit_compile)


COVERING = ("sequential-sgd-xla", "functional-adamw-plain")
WITH_XLA_OR_NOT = [pytest.param(False, id="plain"), pytest.param(True, id="xla", marks=pytest.mark.full)]
EVERY_WAY = [
    pytest.param(kind, one, make, compiler == "xla", id=name, marks=() if name in COVERING else pytest.mark.full)
    for kind, one in ((sequential, "bn_2"), (functional, "bn_right"))
    for optimizer, make in OPTIMIZERS.items()
    for compiler in ("plain", "xla")
    for name in (f"{kind.__name__}-{optimizer}-{compiler}",)
]


@pytest.mark.parametrize(("kind", "one", "optimizer", "jit_compile"), EVERY_WAY)
def test_freeze_and_unfreeze_are_keras_own(
    runs: Path,
    kind: Callable[[], keras.Model],
    one: str,
    optimizer: Callable[[], keras.optimizers.Optimizer],
    jit_compile: bool,
) -> None:
    names = [layer.name for layer in kind().layers if isinstance(layer, keras.layers.BatchNormalization)]
    reference = compiled(kind(), optimizer(), jit_compile=jit_compile)
    reference.optimizer.build(reference.trainable_variables)
    for epochs, frozen in ((2, []), (4, names), (6, [one]), (8, [])):
        compile_anew(reference, frozen)
        fit(reference, epochs, initial_epoch=epochs - 2)

    model = compiled(kind(), optimizer(), jit_compile=jit_compile)
    monitor = tuimon.Monitor(runs_dir=runs)
    others = [name for name in names if name != one]
    plan = {2: [commands.Freeze()], 4: [commands.Unfreeze(layers=others)], 6: [commands.Unfreeze()]}
    fit(model, 8, [Ask(monitor, plan), monitor])

    assert model.jit_compile is jit_compile
    assert same_weights(model, reference)
    applied = facts_of(monitor, events.CommandApplied)
    assert [fact.first_step for fact in applied] == [2 * STEPS, 4 * STEPS, 6 * STEPS]
    assert [len(fact.frozen) for fact in applied] == [len(names), 1, 0]
    assert all(fact.held for fact in facts_of(monitor, events.CommandVerified))


def test_a_mode_is_traced_once_and_the_way_back_is_free(runs: Path) -> None:
    model = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    traces = count_traces(model)
    switches = [commands.Freeze(), commands.Unfreeze()] * 4
    fit(model, 10, [Ask(monitor, {epoch + 1: [switch] for epoch, switch in enumerate(switches)}), monitor])
    # Keras' own first trace is two: the first makes the metrics' and the optimizer's variables.
    assert len(traces) == 3
    seconds = [fact.traced_seconds for fact in facts_of(monitor, events.CommandApplied)]
    assert len(seconds) == 8
    assert seconds[0] > 0
    assert seconds[1:] == [0] * 7


def test_requests_before_one_step_are_traced_once(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    model = compiled(sequential())
    both = [commands.Freeze(layers=["bn_1"]), commands.Freeze(layers=["small/bn_2"]), commands.Phase(phase="train")]
    fit(model, 3, [Ask(monitor, {1: both}), monitor])
    applied = facts_of(monitor, events.CommandApplied)
    assert [fact.request["command"] for fact in applied] == ["freeze", "freeze", "phase"]
    assert [fact.traced_seconds > 0 for fact in applied] == [True, False, False]
    assert {fact.first_step for fact in applied} == {STEPS}
    assert applied[-1].frozen == ["small/bn_1", "small/bn_2"]
    assert applied[-1].phase == "train"


def test_a_request_before_the_first_step_builds_the_optimizer_on_everything(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    model = compiled(sequential())
    fit(model, 3, [Ask(monitor, {0: [commands.Freeze()], 1: [commands.Unfreeze()]}), monitor])
    reference = compiled(sequential())
    reference.optimizer.build(reference.trainable_variables)
    for epochs, frozen in ((1, ["bn_1", "bn_2"]), (3, [])):
        compile_anew(reference, frozen)
        fit(reference, epochs, initial_epoch=0 if epochs == 1 else 1)
    assert same_weights(model, reference)


def test_frozen_statistics_are_the_same_in_every_later_fact(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Freeze()], 2: [commands.Snapshot()], 4: [commands.Snapshot()]}
    fit(compiled(sequential()), 6, [Ask(monitor, plan), monitor])
    channels = facts_of(monitor, events.BatchNormChannels)
    assert len(channels) == 3  # Two asked for, and the last.
    for path in ("small/bn_1", "small/bn_2"):
        arrays = [fact.layers[path] for fact in channels]
        assert arrays[0] == arrays[1] == arrays[2]
        assert np.isfinite(decode_array(arrays[0].moving_mean_base64)).all()


@pytest.mark.parametrize("jit_compile", WITH_XLA_OR_NOT)
def test_phase_inference_holds_statistics_while_gamma_and_beta_learn(runs: Path, jit_compile: bool) -> None:
    class InInferencePhase(keras.Sequential):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **{**kwargs, "training": False})

    reference = compiled(InInferencePhase(sequential().layers, name="small"), jit_compile=jit_compile)
    start = sequential()
    reference.build((None, 6))
    reference.set_weights(start.get_weights())
    fit(reference, 2)

    model = compiled(start, jit_compile=jit_compile)
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(model, 2, [Ask(monitor, {0: [commands.Phase(phase="inference")]}), monitor])
    assert same_weights(model, reference)
    assert facts_of(monitor, events.CommandVerified)[0].held
    modes = {statistics.mode for statistics in facts_of(monitor, events.BatchNorm)[-1].layers.values()}
    assert modes == {"inference"}


@pytest.mark.parametrize("jit_compile", WITH_XLA_OR_NOT)
def test_validation_in_phase_train_uses_batch_statistics_and_moves_nothing(runs: Path, jit_compile: bool) -> None:
    class Variables(keras.callbacks.Callback):
        changed: list[str] = []

        def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.before = [variable.numpy() for variable in self.model.variables if "/loss" not in variable.path]

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            after = [variable.numpy() for variable in self.model.variables if "/loss" not in variable.path]
            assert len(after) == len(self.before)
            self.changed += [
                variable.path
                for variable, old, new in zip(self.model.variables, self.before, after, strict=False)
                if not np.array_equal(old, new)
            ]

    x, y = data()
    model = compiled(sequential(dropout=0.0), jit_compile=jit_compile, metrics=[])
    monitor, variables = tuimon.Monitor(runs_dir=runs), Variables()
    plan = {1: [commands.Phase(phase="train")]}
    history = fit(model, 2, [Ask(monitor, plan), variables, monitor], validation_batch_size=12).history
    weights = {variable.path for variable in model.weights}
    assert not weights.intersection(variables.changed)

    predicted = np.concatenate([model(x[start : start + 12], training=True).numpy() for start in (0, 12)])
    expected = float(np.mean((predicted - y[:24]) ** 2))
    assert history["val_loss"][1] == pytest.approx(expected, rel=1e-5)


def test_validation_in_phase_train_draws_other_dropout_for_each_batch(runs: Path) -> None:
    x, y = data(8)
    model = compiled(sequential(dropout=0.5), metrics=[])
    monitor = tuimon.Monitor(runs_dir=runs)
    same = (np.concatenate([x] * 4), np.concatenate([y] * 4))
    plan = {1: [commands.Phase(phase="train")]}
    fit(model, 2, [Ask(monitor, plan), monitor], validation_data=same, validation_batch_size=8)
    first, second = facts_of(monitor, events.ValidationBatches)
    assert len(set(first.metrics["loss"])) == 1
    assert len(set(second.metrics["loss"])) == 4


@pytest.mark.full
def test_what_the_user_froze_stays_frozen_and_is_shown_so(runs: Path) -> None:
    model = sequential()
    model.get_layer("bn_1").trainable = False
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Unfreeze(layers=["bn_1"])], 2: [commands.Freeze()], 3: [commands.Unfreeze()]}
    fit(compiled(model), 4, [Ask(monitor, plan), monitor])
    rejected = facts_of(monitor, events.CommandRejected)
    assert ["frozen before training" in fact.reason for fact in rejected] == [True]
    freeze, unfreeze = facts_of(monitor, events.CommandApplied)
    assert freeze.frozen == ["small/bn_1", "small/bn_2"]
    assert unfreeze.frozen == ["small/bn_1"]
    assert "stay frozen" in unfreeze.detail
    assert not model.get_layer("bn_1").trainable


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Eagerly, the failed step has used a batch up.
@pytest.mark.parametrize("eager", [False, True], ids=["graph", "eager"])
def test_a_mode_that_cannot_be_traced_is_rejected_and_training_goes_on(runs: Path, eager: bool) -> None:
    class Validating(keras.callbacks.Callback):
        def on_test_begin(self, logs: Any = None) -> None:
            validating.append(1)

        def on_test_end(self, logs: Any = None) -> None:
            validating.clear()

    validating: list[int] = []

    def model() -> keras.Model:
        keras.utils.set_random_seed(1)
        only_trains = OnlyTrains(lambda: not validating)
        layers = [keras.Input((6,)), keras.layers.BatchNormalization(), only_trains, keras.layers.Dense(1)]
        validating.append(1)
        built = keras.Sequential(layers)
        validating.clear()
        return compiled(built, run_eagerly=eager)

    monitor = tuimon.Monitor(runs_dir=runs)
    asked, plain = model(), model()
    fit(asked, 3, [Validating(), Ask(monitor, {1: [commands.Phase(phase="inference")]}), monitor])
    rejected = facts_of(monitor, events.CommandRejected)
    assert len(rejected) == 1
    assert "no inference mode" in rejected[0].reason
    assert not facts_of(monitor, events.CommandApplied)
    if not eager:  # There the batch is gone with the failed step.
        fit(plain, 3, [Validating()])
        assert same_weights(asked, plain)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            commands.Freeze(layers=["nothing*"]),
            "no BatchNormalization layer matches 'nothing*'; there are small/bn_1, small/bn_2",
        ),
        (
            commands.Freeze(layers=["bn"]),
            "no BatchNormalization layer matches 'bn'; there are small/bn_1, small/bn_2; '*bn*' matches 2 of them",
        ),
        (commands.Phase(phase="auto"), ""),
    ],
)
def test_layers_that_are_not_there_are_named(runs: Path, asked: commands.AnyRequest, words: str) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 2, [Ask(monitor, {1: [asked]}), monitor])
    assert [fact.reason for fact in facts_of(monitor, events.CommandRejected)] == ([words] if words else [])


def test_a_model_without_batch_normalization_says_so(runs: Path) -> None:
    keras.utils.set_random_seed(0)
    model = compiled(linear())
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(model, 2, [Ask(monitor, {1: [commands.Freeze(), commands.Phase(phase="train")]}), monitor])
    reasons = [fact.reason for fact in facts_of(monitor, events.CommandRejected)]
    assert reasons == [
        "this model has no BatchNormalization layers",
        "no layer of this model depends on the learning phase",
    ]
    assert facts_of(monitor, events.FitStarted)[0].can["freeze"] == reasons[0]


def test_outside_of_the_step_every_layer_is_as_the_user_made_it(runs: Path, tmp_path: Path) -> None:
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            flags = [layer.trainable for layer in self.model.layers]
            calls = ["call" in vars(layer) for layer in self.model.layers]
            seen.append((all(flags), any(calls), "train_step" in vars(self.model)))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.save(tmp_path / f"{epoch}.keras")
            self.model.predict(data()[0][:3], verbose=0)

    model = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Freeze()], 2: [commands.Phase(phase="train")]}
    fit(model, 4, [Ask(monitor, plan), Look(), monitor])
    assert set(seen) == {(True, False, False)}
    saved = keras.saving.load_model(tmp_path / "3.keras")
    assert same_weights(saved, model)
    assert all(layer.trainable for layer in saved.layers)
    assert [fact for fact in facts(monitor) if isinstance(fact, events.Note)] == []


@pytest.mark.full
def test_a_users_callback_that_makes_a_new_function_is_heeded(runs: Path) -> None:
    class Forces(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                self.model.get_layer("bn_1").trainable = False
                self.model.make_train_function(force=True)

    watched, plain = compiled(sequential()), compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(watched, 4, [Forces(), monitor])
    fit(plain, 4, [Forces()])
    assert same_weights(watched, plain)


class CompiledStep(keras.Sequential):
    """Whose author has compiled its step."""

    @tf.function
    def train_step(self, batch: Any) -> Any:
        return super().train_step(batch)


class CompiledCall(keras.layers.BatchNormalization):
    """Whose author has compiled its call."""

    @tf.function
    def call(self, inputs: Any, training: Any = None) -> Any:
        return super().call(inputs, training=training)


def normalized(layer: Any, inputs: Any) -> Any:
    return layer(inputs, training=True)


compiled_normalized = tf.function(normalized)


class Helped(keras.layers.Layer):
    """Which calls a layer through a function."""

    def __init__(self, function: Callable[[Any, Any], Any], **options: Any) -> None:
        super().__init__(**options)
        self.norm = keras.layers.BatchNormalization(name="norm")
        self.function = function

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.function(self.norm, inputs) if training else self.norm(inputs)


def with_parts(what: str, *, are_compiled: bool, jit_compile: bool) -> keras.Model:
    """Return a model with a part that its author has compiled, or the same without that."""
    layers = sequential().layers
    keras.utils.set_random_seed(5)
    if what == "call":
        layers[1] = (CompiledCall if are_compiled else keras.layers.BatchNormalization)(name="bn_1")
    elif what == "helper":
        layers[1] = Helped(compiled_normalized if are_compiled else normalized, name="bn_1")
    kind = CompiledStep if what == "step" and are_compiled else keras.Sequential
    return compiled(kind([keras.Input((6,)), *layers], name="small"), metrics=[], jit_compile=jit_compile)


@pytest.mark.parametrize("jit_compile", WITH_XLA_OR_NOT)
@pytest.mark.parametrize("what", selected(["step", "call", "helper"], "call"))
def test_what_the_user_has_compiled_obeys(runs: Path, what: str, jit_compile: bool) -> None:
    model = with_parts(what, are_compiled=True, jit_compile=jit_compile)
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.Freeze()], 2: [commands.Unfreeze()], 3: [commands.Freeze()], 4: [commands.Unfreeze()]}
    fit(model, 5, [Ask(monitor, plan), monitor])
    assert [fact.held for fact in facts_of(monitor, events.CommandVerified)] == [True] * 4
    assert [fact.traced_seconds > 0 for fact in facts_of(monitor, events.CommandApplied)] == [True, False, False, False]
    reference = with_parts(what, are_compiled=False, jit_compile=jit_compile)
    reference.optimizer.build(reference.trainable_variables)
    for epoch in range(5):
        for layer in batch_norms(reference):
            layer.trainable = epoch not in (1, 3)
        compiled(reference, reference.optimizer, metrics=[], jit_compile=jit_compile)
        fit(reference, epoch + 1, initial_epoch=epoch)
    if jit_compile:  # XLA rounds otherwise where a part of the graph is a function, also without tuimon.
        for weights, expected in zip(model.get_weights(), reference.get_weights(), strict=True):
            np.testing.assert_allclose(weights, expected, rtol=1e-4, atol=1e-6)
    else:
        assert same_weights(model, reference)


def test_in_another_tensorflow_what_the_user_has_compiled_does_not_obey_and_that_is_seen(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "function_context", None)
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(with_parts("step", are_compiled=True, jit_compile=False), 4, [Ask(monitor, {2: [commands.Freeze()]}), monitor])
    (verified,) = facts_of(monitor, events.CommandVerified)
    assert not verified.held
    assert verified.unexpected == ["small/bn_1", "small/bn_2"]
    assert facts_of(monitor, events.EpochEnded)[-1].step == 4 * STEPS


def test_models_in_two_threads_do_not_get_in_each_others_way() -> None:
    """Whichever of two modes is left first, each holds for its own thread, and nothing of either stays."""
    first, second = compiled(sequential()), compiled(sequential())
    layer = keras.layers.Dropout(0.5)  # Which no model tracks.
    inputs = np.ones((64, 6), np.float32)
    original = keras.layers.Layer._resolve_and_populate_arg, patches.function_context.make_function_context
    entered, left, seen = threading.Event(), threading.Event(), {}

    def other() -> None:
        with ModeScope(Mode(phase="inference"), second, {})():
            entered.set()
            assert left.wait(60)
            seen["inference"] = bool((np.array(layer(inputs, training=True)) == inputs).all())

    thread = threading.Thread(target=other)
    with ModeScope(Mode(phase="train"), first, {})():
        thread.start()
        assert entered.wait(60)
        seen["train"] = bool((np.array(layer(inputs)) == 0).any())
    left.set()
    thread.join()
    assert seen == {"train": True, "inference": True}
    functions = keras.layers.Layer._resolve_and_populate_arg, patches.function_context.make_function_context
    assert functions == original


def test_a_phase_holds_also_where_the_model_fixes_training(runs: Path) -> None:
    """Monte Carlo dropout, and a BatchNormalization that is called with ``training=False``."""

    class Fixed(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="fixed")
            self.norm = keras.layers.BatchNormalization(name="bn")
            self.dropout = keras.layers.Dropout(0.5, name="dropout")
            self.out = keras.layers.Dense(1)

        def call(self, inputs: Any) -> Any:
            return self.out(self.dropout(self.norm(inputs, training=False), training=True))

    def fixed() -> keras.Model:
        keras.utils.set_random_seed(5)
        return compiled(Fixed())

    model, monitor = fixed(), tuimon.Monitor(runs_dir=runs)
    seen: list[tuple[bytes, bytes]] = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            mean = np.array(self.model.get_layer("bn").moving_mean)
            seed = np.array(self.model.get_layer("dropout").seed_generator.state)
            seen.append((mean.tobytes(), seed.tobytes()))

    plan = {1: [commands.Phase(phase="train")], 2: [commands.Phase(phase="inference")]}
    fit(model, 3, [Ask(monitor, plan), monitor, Look()], validation_data=None)
    (mean, seed), (train_mean, train_seed), (inference_mean, inference_seed) = seen
    assert mean == np.zeros(6, np.float32).tobytes(), "without a phase it is never moved"
    assert train_mean != mean
    assert train_seed != seed
    assert (inference_mean, inference_seed) == (train_mean, train_seed), "nothing is moved, and nothing is drawn"


@pytest.mark.full
def test_a_validation_that_cannot_be_traced_in_a_phase_goes_on_as_keras_does_it(runs: Path) -> None:
    class Noise(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = keras.layers.Dropout(0.5)
            self.compiled = tf.function(lambda inputs: self.dropout(inputs))

        def call(self, inputs: Any) -> Any:
            return self.compiled(inputs)

    model = compiled(keras.Sequential([keras.Input((6,)), Noise(), keras.layers.BatchNormalization(name="bn")]))
    monitor = tuimon.Monitor(runs_dir=runs)
    history = fit(model, 4, [Ask(monitor, {1: [commands.Phase(phase="train")]}), monitor])
    assert len(history.epoch) == 4
    (note,) = facts_of(monitor, events.Note)
    assert note.text.startswith("validation goes on as Keras does it: the mode cannot be traced there")
    assert [fact.request["command"] for fact in facts_of(monitor, events.CommandApplied)] == ["phase"]
    assert facts_of(monitor, events.RunEnded)[-1].status == "finished"


def test_eagerly_the_users_own_exception_comes_out_also_under_a_mode(runs: Path) -> None:
    class Bad(keras.Sequential):
        steps = 0

        def train_step(self, batch: Any) -> Any:
            self.steps += 1
            if self.steps == 2 * STEPS:
                raise FloatingPointError("a bad batch")
            return super().train_step(batch)

    model = compiled(Bad(sequential().layers), run_eagerly=True)
    monitor = tuimon.Monitor(runs_dir=runs)
    with pytest.raises(FloatingPointError):
        fit(model, 4, [Ask(monitor, {1: [commands.Freeze()]}), monitor])
    assert len(facts_of(monitor, events.CommandApplied)) == 1
    assert facts_of(monitor, events.RunEnded)[-1].status == "failed"


class RaisesOnce(keras.callbacks.Callback):
    """Raises behind the Monitor, right before a step."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.epoch == 2:
            raise RuntimeError("a mistake of the user's")


@pytest.mark.parametrize("request_", [commands.Freeze(), commands.Pause()], ids=["frozen", "paused"])
def test_a_fit_without_a_monitor_is_keras_own_after_an_exception_right_before_a_step(
    runs: Path, request_: commands.AnyRequest
) -> None:
    model = compiled(sequential())
    monitor = tuimon.Monitor(runs_dir=runs)
    epoch = 1 if isinstance(request_, commands.Freeze) else 2
    with pytest.raises(RuntimeError, match="a mistake of the user's"):
        fit(model, 4, [Ask(monitor, {epoch: [request_]}), monitor, RaisesOnce()])
    before = np.array(model.get_layer("bn_1").moving_mean)
    fit(model, 1)
    assert not np.array_equal(before, model.get_layer("bn_1").moving_mean)
    assert model.train_function.__module__.startswith("keras.")


@pytest.mark.full
def test_a_flag_set_without_compile_does_nothing_and_is_no_part_of_a_mode(runs: Path) -> None:
    class Sets(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            for name in ("bn_1", "dense_2"):
                self.model.get_layer(name).trainable = epoch < 1

    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {2: [commands.Momentum(momentum=0.5)], 3: [commands.Phase(phase="train")]}
    asked = compiled(sequential())
    fit(asked, 4, [Sets(), Ask(monitor, plan), monitor])
    expected = compiled(sequential())
    fit(expected, 4, [Ask(monitor, plan), monitor])
    assert same_weights(asked, expected)


def test_what_has_a_flag_without_effect_can_be_frozen_and_thawed(runs: Path) -> None:
    class Sets(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.get_layer("bn_1").trainable = epoch < 1

    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {2: [commands.Freeze(layers=["bn_1"])], 3: [commands.Unfreeze(layers=["bn_1"])]}
    model = compiled(sequential())
    fit(model, 4, [Sets(), Ask(monitor, plan), monitor])
    assert facts_of(monitor, events.CommandRejected) == []
    assert [fact.held for fact in facts_of(monitor, events.CommandVerified)] == [True, True]
    expected = compiled(sequential())
    fit(expected, 4, [Ask(monitor, plan), monitor])
    assert same_weights(model, expected)
