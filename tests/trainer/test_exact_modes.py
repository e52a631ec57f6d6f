"""Every mode, on every optimizer, gives the weights of a run that stops, sets the same flags, compiles and goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tuimon
from helpers import selected
from trainer.keras_models import STEPS, Ask, compiled, count_traces, facts_of, fit, same_weights
from tuimon.protocol import commands, events

Optimizers = dict[str, Callable[[], keras.optimizers.Optimizer]]

OPTIMIZERS: Optimizers = {
    "SGD": lambda: keras.optimizers.SGD(0.02),
    "SGD, Nesterov": lambda: keras.optimizers.SGD(0.02, momentum=0.9, nesterov=True),
    "RMSprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "Adam, AMSGrad": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "AdamW": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.05),
    "Adadelta": lambda: keras.optimizers.Adadelta(0.5),
    "Adagrad": lambda: keras.optimizers.Adagrad(0.05),
    "Adamax": lambda: keras.optimizers.Adamax(0.01),
    "Adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "Nadam": lambda: keras.optimizers.Nadam(0.01),
    "Ftrl": lambda: keras.optimizers.Ftrl(0.05),
    "Lion": lambda: keras.optimizers.Lion(0.003),
    "Lamb": lambda: keras.optimizers.Lamb(0.01),
    "Muon": lambda: keras.optimizers.Muon(0.01),
    "ScheduleFreeAdamW": lambda: keras.optimizers.ScheduleFreeAdamW(0.01),
    "clipnorm": lambda: keras.optimizers.Adam(0.01, clipnorm=0.1),
    "clipvalue": lambda: keras.optimizers.Adam(0.01, clipvalue=0.05),
    "global_clipnorm": lambda: keras.optimizers.SGD(0.02, global_clipnorm=0.5, weight_decay=0.01),
    "accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "loss scaling": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), initial_scale=64.0),
    "schedule": lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.02, 5, 0.7)),
}
_COVERING = ("AdamW",)


class Held(keras.layers.BatchNormalization):
    """What ``freeze --statistics`` should do, written by hand."""

    held = False

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return super().call(inputs, training=training and not self.held, mask=mask)


class Phased(keras.Sequential):
    """What ``phase inference`` should do, written by hand."""

    inference = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.inference:
            kwargs["training"] = False
        return super().__call__(*args, **kwargs)


def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return Phased(
        [
            keras.Input((6,)),
            layers.Dense(8, name="dense_1", kernel_regularizer=keras.regularizers.L2(0.01)),
            Held(name="bn_1"),
            layers.ReLU(name="relu"),
            layers.Dropout(0.25, name="dropout"),
            layers.Dense(5, name="dense_2", kernel_constraint=keras.constraints.MaxNorm(1.0)),
            Held(name="bn_2", momentum=0.9),
            layers.Dense(1, name="dense_3"),
        ],
        name="small",
    )


@dataclass(frozen=True)
class Flags:
    """What somebody sets who stops, sets flags, compiles and goes on."""

    frozen: Sequence[str] = ()
    held: Sequence[str] = ()
    momentum: dict[str, float] = field(default_factory=dict)
    inference: bool = False


def compile_anew(reference: keras.Model, flags: Flags) -> None:
    for layer in reference.layers:
        layer.trainable = layer.name not in flags.frozen
        if isinstance(layer, Held):
            layer.held = layer.name in flags.held
            layer.momentum = flags.momentum.get(layer.name, {"bn_1": 0.99, "bn_2": 0.9}[layer.name])
    reference.inference = flags.inference
    compiled(reference, reference.optimizer, jit_compile=reference.jit_compile, metrics=[])


def trained_with_flags(
    optimizer: keras.optimizers.Optimizer, stages: Sequence[Flags], jit_compile: bool
) -> keras.Model:
    reference = compiled(model(), optimizer, jit_compile=jit_compile)
    reference.optimizer.build(reference.trainable_variables)
    for epoch, flags in enumerate(stages):
        compile_anew(reference, flags)
        fit(reference, epoch + 1, initial_epoch=epoch)
    return reference


def same_optimizers(left: keras.Model, right: keras.Model) -> bool:
    pairs = zip(left.optimizer.variables, right.optimizer.variables, strict=True)
    return all(np.array_equal(a.numpy(), b.numpy(), equal_nan=True) for a, b in pairs)


BOTH = ["bn_1", "bn_2"]


@pytest.mark.parametrize(
    "jit_compile", [pytest.param(False, id="plain"), pytest.param(True, id="xla", marks=pytest.mark.full)]
)
@pytest.mark.parametrize("name", selected(OPTIMIZERS, *_COVERING))
def test_freezing_is_exact_for_every_optimizer(runs: Path, name: str, jit_compile: bool) -> None:
    stages = [Flags(), Flags(BOTH), Flags([*BOTH, "dense_2"]), Flags(["dense_2"]), Flags()]
    reference = trained_with_flags(OPTIMIZERS[name](), stages, jit_compile)
    plan = {
        1: [commands.Freeze()],
        2: [commands.Freeze(weights=True, layers=["dense_2"])],
        3: [commands.Unfreeze()],
        4: [commands.Unfreeze(weights=True, layers=["dense_2"])],
    }
    asked = compiled(model(), OPTIMIZERS[name](), jit_compile=jit_compile, metrics=[])
    # As the reference: built within a step, Keras' ScheduleFreeAdamW begins its averages anew at each step.
    asked.optimizer.build(asked.trainable_variables)
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(asked, len(stages), [Ask(monitor, plan), monitor])
    assert asked.jit_compile is jit_compile
    assert not facts_of(monitor, events.CommandRejected)
    assert [fact.held for fact in facts_of(monitor, events.CommandVerified)] == [True] * 4
    assert same_weights(asked, reference)
    assert same_optimizers(asked, reference)


COMBINATIONS: dict[str, tuple[list[commands.AnyRequest], list[commands.AnyRequest], Flags]] = {
    "statistics": (
        [commands.Freeze(statistics=True)],
        [commands.Unfreeze()],
        Flags(held=BOTH),
    ),
    "statistics of one": (
        [commands.Freeze(statistics=True, layers=["bn_2"])],
        [commands.Unfreeze(statistics=True)],
        Flags(held=["bn_2"]),
    ),
    "weights": (
        [commands.Freeze(weights=True, layers=["dense_*"])],
        [commands.Unfreeze(weights=True)],
        Flags(["dense_1", "dense_2", "dense_3"]),
    ),
    "weights of BatchNormalization": (
        [commands.Freeze(weights=True, layers=["bn_1"])],
        [commands.Unfreeze()],
        Flags(["bn_1"]),
    ),
    "momentum": (
        [commands.Momentum(momentum=0.5)],
        [commands.Momentum(momentum=0.99, layers=["bn_1"]), commands.Momentum(momentum=0.9, layers=["bn_2"])],
        Flags(momentum={"bn_1": 0.5, "bn_2": 0.5}),
    ),
    "momentum of one": (
        [commands.Momentum(momentum=0.0, layers=["bn_2"])],
        [commands.Momentum(momentum=0.9, layers=["bn_2"])],
        Flags(momentum={"bn_2": 0.0}),
    ),
    "phase inference": (
        [commands.Phase(phase="inference")],
        [commands.Phase(phase="auto")],
        Flags(inference=True),
    ),
    "phase train": ([commands.Phase(phase="train")], [commands.Phase(phase="auto")], Flags()),
    "frozen in phase train": (
        [commands.Freeze(layers=["bn_1"]), commands.Phase(phase="train")],
        [commands.Phase(phase="auto"), commands.Unfreeze()],
        Flags(["bn_1"]),
    ),
    "held in phase train": (
        [commands.Freeze(layers=["bn_1"], statistics=True), commands.Phase(phase="train")],
        [commands.Phase(phase="auto"), commands.Unfreeze()],
        Flags(held=["bn_1"]),
    ),
    "all at once": (
        [
            commands.Freeze(layers=["bn_1"]),
            commands.Momentum(momentum=0.5, layers=["bn_2"]),
            commands.Freeze(weights=True, layers=["dense_3"]),
        ],
        [
            commands.Unfreeze(),
            commands.Momentum(momentum=0.9, layers=["bn_2"]),
            commands.Unfreeze(weights=True),
        ],
        Flags(["bn_1", "dense_3"], momentum={"bn_2": 0.5}),
    ),
}


_COVERING_COMBINATIONS = ("held in phase train", "all at once")


@pytest.mark.parametrize(
    "jit_compile", [pytest.param(False, id="plain"), pytest.param(True, id="xla", marks=pytest.mark.full)]
)
@pytest.mark.parametrize("name", selected(COMBINATIONS, *_COVERING_COMBINATIONS))
def test_every_mode_is_exact_switched_on_and_off_twice_and_traced_once(
    runs: Path, name: str, jit_compile: bool
) -> None:
    on, off, flags = COMBINATIONS[name]
    stages = [Flags(), flags, Flags(), flags, Flags()]
    optimizer = OPTIMIZERS["AdamW"]
    reference = trained_with_flags(optimizer(), stages, jit_compile)
    asked = compiled(model(), optimizer(), jit_compile=jit_compile, metrics=[])
    monitor = tuimon.Monitor(runs_dir=runs)
    traces = count_traces(asked)
    fit(asked, len(stages), [Ask(monitor, {1: on, 2: off, 3: on, 4: off}), monitor])
    assert not facts_of(monitor, events.CommandRejected)
    assert all(fact.held for fact in facts_of(monitor, events.CommandVerified))
    assert same_weights(asked, reference)
    assert same_optimizers(asked, reference)
    # Keras' own first trace is two; then one for the mode, none on the ways back.
    assert len(traces) == 3
    applied = facts_of(monitor, events.CommandApplied)
    assert [fact.traced_seconds > 0 for fact in applied] == [True] + [False] * (len(applied) - 1)
    assert {fact.first_step for fact in applied} == {STEPS * epoch for epoch in (1, 2, 3, 4)}


def test_the_facts_say_which_layers_are_held_frozen_and_how_quick_they_follow(runs: Path) -> None:
    plan = {
        1: [
            commands.Freeze(layers=["bn_1"], statistics=True),
            commands.Freeze(weights=True, layers=["dense_2"]),
            commands.Momentum(momentum=0.5, layers=["bn_2"]),
        ]
    }
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(model()), 3, [Ask(monitor, plan), monitor])
    last = facts_of(monitor, events.CommandApplied)[-1]
    assert last.frozen == []
    assert last.statistics_held == ["small/bn_1"]
    assert last.frozen_weights == ["small/dense_2"]
    assert last.momentum == {"small/bn_2": 0.5}
    modes = {path: statistics.mode for path, statistics in facts_of(monitor, events.BatchNorm)[-1].layers.items()}
    assert modes == {"small/bn_1": "inference", "small/bn_2": "training"}


@pytest.mark.parametrize("frequency", [None, 3], ids=["averaged at the end", "overwritten every 3 steps"])
def test_what_is_frozen_stays_where_it_is_although_weights_are_averaged(runs: Path, frequency: int | None) -> None:
    """Keras itself dies of a freeze by ``compile`` under ``use_ema``, or moves what is frozen."""
    optimizer = keras.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=frequency)
    asked = compiled(model(), optimizer)
    seen: list[list[np.ndarray]] = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append([weight.numpy() for name in ("bn_1", "dense_2") for weight in asked.get_layer(name).weights])

    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {2: [commands.Freeze(weights=True, layers=["bn_1", "dense_2"])]}
    fit(asked, 4, [Look(), Ask(monitor, plan), monitor])
    last = [weight.numpy() for name in ("bn_1", "dense_2") for weight in asked.get_layer(name).weights]
    for after in (*seen[2:], last):
        assert all(np.array_equal(a, b) for a, b in zip(seen[1], after, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(seen[0], seen[1], strict=True))
    assert all(fact.held for fact in facts_of(monitor, events.CommandVerified))


@pytest.mark.full
def test_a_learning_rate_takes_the_place_of_a_schedule_and_gives_it_back(runs: Path) -> None:
    def schedule() -> keras.optimizers.schedules.LearningRateSchedule:
        return keras.optimizers.schedules.ExponentialDecay(0.02, 5, 0.7)

    reference = compiled(model(), keras.optimizers.Adam(schedule()))
    fit(reference, 1)
    own = keras.optimizers.Adam(0.005)
    own.build(reference.trainable_variables)
    for mine, theirs in zip(own.variables[2:], reference.optimizer.variables[1:], strict=True):
        mine.assign(theirs)
    own.iterations.assign(reference.optimizer.iterations)
    compiled(reference, own)
    fit(reference, 3, initial_epoch=1)

    asked = compiled(model(), keras.optimizers.Adam(schedule()))
    monitor = tuimon.Monitor(runs_dir=runs)
    plan = {1: [commands.LearningRate(learning_rate=0.005)]}
    fit(asked, 3, [Ask(monitor, plan), monitor])
    assert same_weights(asked, reference)
    assert facts_of(monitor, events.EpochEnded)[-1].learning_rate == pytest.approx(0.005)
    assert isinstance(asked.optimizer._learning_rate, keras.optimizers.schedules.ExponentialDecay)

    again = compiled(model(), keras.optimizers.Adam(schedule()))
    monitor = tuimon.Monitor(runs_dir=runs)
    traces = count_traces(again)
    rates = [0.005, None, 0.001, None]
    fit(
        again,
        5,
        [Ask(monitor, {i + 1: [commands.LearningRate(learning_rate=r)] for i, r in enumerate(rates)}), monitor],
    )
    assert len(traces) == 3
    ended = [fact.learning_rate for fact in facts_of(monitor, events.EpochEnded)]
    of_schedule = [float(schedule()(STEPS * epoch)) for epoch in (1, 3, 5)]
    assert ended == pytest.approx([of_schedule[0], 0.005, of_schedule[1], 0.001, of_schedule[2]])
