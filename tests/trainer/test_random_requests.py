"""Whatever is asked, in whatever order and at whatever step: training goes on, and what the facts say is so."""

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tuimon
from helpers import until
from trainer.inside import controller_of, train_functions_of, until_seen
from trainer.keras_models import BATCH, compiled, data, facts, sequential
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.keras.internals import variables
from tuimon.trainer.keras.internals.layers import seed_states
from tuimon.trainer.requests.controller import Controller

EPOCHS, STEPS = 2, 4
NORMS = ("bn_1", "bn_2")
OWN_MOMENTUM = 0.99

Arrays = dict[str, np.ndarray]


@dataclass
class Course:
    """What a fit with requests did."""

    monitor: tuimon.Monitor
    ids: list[str] = field(default_factory=list)
    """Of all requests, as their answers name them."""
    before: list[Arrays] = field(default_factory=list)
    """The weights before each step; the last are those at the end."""
    after: list[Arrays] = field(default_factory=list)
    """The weights after each step."""
    rates: list[float] = field(default_factory=list)
    """The learning rate after each step."""


class Throw(keras.callbacks.Callback):
    """Puts files into ``commands/`` at known steps; what comes after a pause, once training is paused."""

    def __init__(self, course: Course, plan: dict[int, list[bytes]]) -> None:
        super().__init__()
        self.course, self.plan = course, plan
        self.threads: list[threading.Thread] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        step = len(self.course.after)
        self.course.before.append(weights_of(self.model))
        bodies = self.plan.get(step, [])
        pauses = [number for number, body in enumerate(bodies) if isinstance(read(body), commands.Pause)]
        now, later = (bodies[: pauses[0] + 1], bodies[pauses[0] + 1 :]) if pauses else (bodies, [])
        names = [self.put(body) for body in now]
        until_seen(self.course.monitor, *names)
        if pauses:
            self.threads.append(
                threading.Thread(target=self.put_later, args=(controller_of(self.course.monitor), later))
            )
            self.threads[-1].start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.course.after.append(weights_of(self.model))
        self.course.rates.append(float(self.model.optimizer.learning_rate.numpy()))

    def on_train_end(self, logs: Any = None) -> None:
        for thread in self.threads:
            thread.join()

    def put_later(self, controller: Controller, bodies: list[bytes]) -> None:
        until(lambda: controller.is_paused, what="the pause")
        train = train_functions_of(self.model)
        for body in [*bodies, commands.encode(commands.Resume(id=f"resume-{next(_numbers)}"))]:
            path = self.directory / self.put(body)
            # One after the other: what needs a trace has it before the next is taken.
            until(lambda path=path: self.model.stop_training or (not path.exists() and train.coming_mode is None))

    def put(self, body: bytes) -> str:
        number = next(_numbers)
        name = f"{number:020d}-1-0.json"
        request = read(body)
        self.course.ids.append(request.id if request else name.removesuffix(".json"))
        (self.directory / f".{name}").write_bytes(body)
        (self.directory / f".{name}").rename(self.directory / name)
        return name

    @property
    def directory(self) -> Path:
        assert self.course.monitor.run_dir is not None
        return RunDirectory(self.course.monitor.run_dir).commands


_numbers = itertools.count(1)


def read(body: bytes) -> commands.AnyRequest | None:
    with contextlib.suppress(ValueError, RecursionError):
        return commands.decode(body) if len(body) <= commands.MAXIMUM_REQUEST_BYTES else None
    return None


def weights_of(model: keras.Model) -> Arrays:
    return {f"{layer.name}/{weight.name}": np.array(weight) for layer in model.layers for weight in layer.weights}


Model = tuple[keras.Model, Callable[[], None]]


@pytest.fixture(scope="module")
def small() -> Model:
    """Return a model whose functions are made, and what puts it back to its begin: its traces serve all examples."""
    model = compiled(sequential(), keras.optimizers.Adam(0.01), metrics=[])
    model.optimizer.build(model.trainable_variables)
    seeds = seed_states(model)
    put_back = variables.keep([*model.weights, *model.optimizer.variables, *seeds])
    fit(model)
    return model, put_back


def fit(model: keras.Model, *callbacks: Any) -> Any:
    x, y = data(STEPS * BATCH)
    validation = (x[:BATCH], y[:BATCH])
    return model.fit(
        x,
        y,
        epochs=EPOCHS,
        batch_size=BATCH,
        validation_data=validation,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


def train(small: Model, directory: Path, plan: dict[int, list[bytes]]) -> Course:
    model, put_back = small
    put_back()
    course = Course(tuimon.Monitor(directory / f"run-{next(_numbers)}"))
    fit(model, Throw(course, plan), course.monitor)
    return course


# What is asked.

_LAYERS = st.sampled_from(
    [[], [], ["bn_1"], ["bn_2"], ["small/bn_*"], ["bn_1", "bn_2"], ["nothing"], ["dense_1"], ["["]]
)
_GLOBS = st.sampled_from([["dense_2"], ["dense_1", "bn_1"], ["*"], ["relu"], ["nothing"]])
_VALID: list[st.SearchStrategy[dict[str, Any]]] = [
    st.fixed_dictionaries({"command": st.just("freeze"), "layers": _LAYERS}),
    st.fixed_dictionaries({"command": st.just("freeze"), "layers": _LAYERS, "statistics": st.just(True)}),
    st.fixed_dictionaries({"command": st.just("freeze"), "layers": _GLOBS, "weights": st.just(True)}),
    st.fixed_dictionaries({"command": st.just("unfreeze"), "layers": _LAYERS, "statistics": st.booleans()}),
    st.fixed_dictionaries({"command": st.just("unfreeze"), "layers": _GLOBS, "weights": st.just(True)}),
    st.fixed_dictionaries({"command": st.just("phase"), "phase": st.sampled_from(["auto", "train", "inference"])}),
    st.fixed_dictionaries(
        {"command": st.just("momentum"), "momentum": st.sampled_from([0.0, 0.5, OWN_MOMENTUM, 1.0]), "layers": _LAYERS}
    ),
    st.fixed_dictionaries({"command": st.just("lr"), "learning_rate": st.sampled_from([0.02, 0.001, None])}),
    st.fixed_dictionaries({"command": st.just("recalibrate"), "batches": st.integers(1, 6), "dry_run": st.booleans()}),
    st.fixed_dictionaries({"command": st.just("rollback"), "checkpoint": st.sampled_from(["", "", "step-1", "../x"])}),
    st.just({"command": "checkpoint"}),
    st.just({"command": "pause"}),
    st.fixed_dictionaries({"command": st.sampled_from(["evaluate", "snapshot", "resume"])}),
    st.fixed_dictionaries({"command": st.just("note"), "text": st.text(min_size=1, max_size=20)}),
]
_STOP = st.fixed_dictionaries({"command": st.just("stop"), "after": st.sampled_from(["batch", "epoch"])})
_VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2, 1e-300, 1e300, 10**30]),
    st.sampled_from(["", "all", "auto", "bn_1", "\0", "ä" * 600]),
    st.lists(st.sampled_from(["bn_1", "", 3, None]), max_size=2),
)
_FIELDS = (
    "layers",
    "statistics",
    "weights",
    "phase",
    "momentum",
    "learning_rate",
    "batches",
    "dry_run",
    "after",
    "text",
)
_GUESSED = st.fixed_dictionaries(
    {"command": st.sampled_from([*(name for name in commands.NAMES if name != "stop"), "explode", "", 7])},
    optional={**dict.fromkeys((*_FIELDS, "more", "attempt", "checkpoint", "user", "pid"), _VALUE)},
)
_RAW = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [
            b"",
            b"freeze",
            b'{"command": "\xff"}',
            b"[" * 60_000,
            b" " * 70_000,
            b'{"command":"freeze"}',
            b'{"command":"lr","id":"a","learning_rate":1e999}',
            b'{"command":"lr","id":"b","learning_rate":NaN}',
            b'{"command":"freeze","id":"c","protocol":9}',
            b'{"command":"freeze","id":"d","layers":"all"}',
            b'{"command":"pause","id":"e","id":3}',
        ]
    ),
)


def _with_id(fields: dict[str, Any]) -> bytes:
    return json.dumps({"id": f"request-{next(_numbers)}", **fields}).encode()


def _bodies(*, junk: bool) -> st.SearchStrategy[bytes]:
    asked = st.one_of(*_VALID, _STOP) if not junk else _GUESSED
    return st.one_of(asked.map(_with_id), _RAW) if junk else asked.map(_with_id)


_PLANS = st.lists(
    st.tuples(st.integers(0, EPOCHS * STEPS - 1), st.one_of(*[_bodies(junk=False)] * 3, _bodies(junk=True))),
    min_size=5,
    max_size=14,
).map(lambda items: {step: [body for at, body in items if at == step] for step, _ in items})


# What holds.


def modes_of(course: Course) -> Iterator[events.CommandApplied | None]:
    """Yield, per step, the fact that says the mode it was made in; None: nobody had asked for anything."""
    found = [fact for fact in facts(course.monitor) if isinstance(fact, events.CommandApplied)]
    for step in range(len(course.after)):
        yield next((fact for fact in reversed(found) if fact.first_step <= step), None)


def check_answers(course: Course) -> None:
    found = facts(course.monitor)
    answers = [fact.id for fact in found if isinstance(fact, events.CommandApplied | events.CommandRejected)]
    assert sorted(answers) == sorted(course.ids)
    assert course.monitor.run_dir is not None
    left = [path.name for path in RunDirectory(course.monitor.run_dir).commands.iterdir()]
    assert left == []
    notes = {
        str(fact.request["text"])
        for fact in found
        if isinstance(fact, events.CommandApplied) and "text" in fact.request
    }
    assert {fact.text for fact in found if isinstance(fact, events.Note)} == notes, "tuimon itself had nothing to say"


def check_steps(course: Course) -> None:
    found = facts(course.monitor)
    expected = EPOCHS * STEPS
    for fact in found:
        if isinstance(fact, events.CommandApplied) and fact.request["command"] == "stop":
            after_epoch = (fact.first_step // STEPS + 1) * STEPS
            expected = min(expected, after_epoch if fact.request["after"] == "epoch" else fact.first_step + 1)
    assert len(course.after) == expected
    (ended,) = [fact for fact in found if isinstance(fact, events.RunEnded)]
    stopped = any(isinstance(fact, events.CommandApplied) and fact.request["command"] == "stop" for fact in found)
    assert (ended.status, ended.step) == ("stopped" if stopped else "finished", expected)


def check_modes(course: Course) -> None:
    """What the facts say of each step is what the variables did."""
    found = facts(course.monitor)
    assigned = {
        fact.first_step
        for fact in found
        if isinstance(fact, events.CommandApplied) and fact.request["command"] in ("recalibrate", "rollback")
    }
    inputs = data(STEPS * BATCH)[0].reshape(STEPS, BATCH, -1)
    for step, mode in enumerate(modes_of(course)):
        if step in assigned:
            continue
        before, after = course.before[step], course.after[step]
        moved = {name for name in before if not np.array_equal(before[name], after[name])}
        expected = set(before)
        for layer in NORMS:
            path = f"small/{layer}"
            frozen, held = (mode and path in mode.frozen), (mode and path in mode.statistics_held)
            momentum = mode.momentum.get(path, OWN_MOMENTUM) if mode else OWN_MOMENTUM
            if frozen:
                expected -= {f"{layer}/gamma", f"{layer}/beta"}
            if frozen or held or momentum == 1 or (mode and mode.phase == "inference"):
                expected -= {f"{layer}/moving_mean", f"{layer}/moving_variance"}
            elif layer == "bn_1":
                seen = inputs[step % STEPS] @ before["dense_1/kernel"] + before["dense_1/bias"]
                mean = momentum * before["bn_1/moving_mean"] + (1 - momentum) * seen.mean(axis=0)
                np.testing.assert_allclose(after["bn_1/moving_mean"], mean, rtol=1e-4, atol=1e-5)
        for path in mode.frozen_weights if mode else ():
            expected = {name for name in expected if not name.startswith(path.removeprefix("small/") + "/")}
        assert moved == expected, f"step {step}: {mode}"
        rate = mode.learning_rate if mode else 0.01
        assert course.rates[step] == pytest.approx(rate, rel=1e-6), f"step {step}: {mode}"
    for fact in found:
        if isinstance(fact, events.CommandVerified):
            assert fact.held, fact


def check_nothing_left(model: keras.Model, functions: tuple[Any, Any]) -> None:
    assert (model.train_function, model.test_function) == functions
    assert not {"train_step", "test_step", "call"} & vars(model).keys()
    for layer in model.layers:
        assert layer.trainable
        assert all(weight.trainable for weight in layer._trainable_variables)
        assert "call" not in vars(layer)
    assert [model.get_layer(name).momentum for name in NORMS] == [OWN_MOMENTUM] * 2


def check(small: Model, directory: Path, plan: dict[int, list[bytes]]) -> None:
    model, _ = small
    functions = model.train_function, model.test_function
    course = train(small, directory, plan)
    check_answers(course)
    check_steps(course)
    check_modes(course)
    check_nothing_left(model, functions)


def _settings(examples: int) -> settings:
    # Shrinking would train hundreds of times.
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def asked(*requests: commands.AnyRequest) -> list[bytes]:
    return [commands.encode(commands.signed(request, attempt=0)) for request in requests]


WHILE_PAUSED: dict[str, dict[int, list[bytes]]] = {
    "rolled back when frozen": {
        0: asked(commands.Checkpoint()),
        3: asked(commands.Pause(), commands.Freeze(), commands.Rollback()),
        5: asked(commands.Freeze(), commands.Pause(), commands.Note(text="here"), commands.Rollback()),
    },
    "rolled back to the mode of now": {
        0: asked(commands.Freeze()),
        1: asked(commands.Checkpoint(), commands.Note(text="here")),
        2: asked(commands.Unfreeze()),
        4: asked(commands.Pause(), commands.Freeze(), commands.Rollback()),
    },
    "rolled back to what was frozen": {
        0: asked(commands.Freeze(layers=["bn_1"])),
        1: asked(commands.Checkpoint()),
        3: asked(commands.Pause(), commands.Unfreeze(), commands.Phase(phase="inference"), commands.Rollback()),
    },
    "recalibrated in inference": {
        4: asked(commands.Pause(), commands.Phase(phase="inference"), commands.Recalibrate(batches=3)),
        6: asked(commands.Pause(), commands.Freeze(statistics=True), commands.Recalibrate(batches=2)),
    },
    "stopped": {2: asked(commands.Pause(), commands.Freeze(), commands.Stop())},
    "changed with batches ahead": {
        0: asked(commands.Recalibrate(batches=3)),
        1: asked(commands.Pause(), commands.Momentum(momentum=0.5), commands.Phase(phase="train")),
        2: asked(commands.Freeze(weights=True, layers=["dense_2"])),
    },
}


@pytest.mark.parametrize("name", list(WHILE_PAUSED))
def test_what_is_asked_while_training_is_paused(small: Model, tmp_path: Path, name: str) -> None:
    check(small, tmp_path, WHILE_PAUSED[name])


@pytest.mark.parametrize(("rate", "words"), [(1e300, "1e300 is inf"), (1e-300, "1e-300 is 0")])
def test_a_learning_rate_that_the_optimizer_cannot_hold_is_rejected(
    small: Model, tmp_path: Path, rate: float, words: str
) -> None:
    course = train(small, tmp_path, {1: asked(commands.LearningRate(learning_rate=rate))})
    (rejected,) = [fact for fact in facts(course.monitor) if isinstance(fact, events.CommandRejected)]
    assert rejected.reason == f"the optimizer keeps it as float32, in which {words}"
    assert set(course.rates) == {course.rates[0]}


@given(_PLANS)
@_settings(10)
def test_training_goes_on_and_the_facts_are_so(
    small: Model, tmp_path_factory: pytest.TempPathFactory, plan: dict[int, list[bytes]]
) -> None:
    check(small, tmp_path_factory.mktemp("random"), plan)


@pytest.mark.full
@given(_PLANS)
@_settings(300)
def test_training_goes_on_and_the_facts_are_so_at_length(
    small: Model, tmp_path_factory: pytest.TempPathFactory, plan: dict[int, list[bytes]]
) -> None:
    check(small, tmp_path_factory.mktemp("random"), plan)
