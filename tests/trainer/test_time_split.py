"""Where the time of the steps goes, on real trainings with known sleeps and on the fake engine; nothing is changed."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from helpers import selected
from trainer.fake_engine import FakeEngine
from trainer.keras_models import compiled, count_traces, data, facts_of, same_weights, sequential
from tuimon.protocol import events, values
from tuimon.protocol.wire import from_wire
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.time_spent import TimeSpent
from tuimon.trainer import time_split
from tuimon.trainer.engine import FitFacts
from tuimon.trainer.fit import Fit
from tuimon.trainer.keras.steps.step_functions import StepFunctions
from tuimon.trainer.options import Options, ProbeOptions
from tuimon.trainer.session.recorder import Recorder
from tuimon.trainer.time_split import waited

SLEEP = 0.02
"""Longer than a step of the small model, also on a busy machine."""


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure from the first second on."""
    for name, seconds in {"FIRST_SECONDS": 0.5, "WAIT_SECONDS": 0.1, "EARLY_EVERY": 0.04}.items():
        monkeypatch.setattr(time_split, name, seconds)


def batches(sleep: float) -> Iterator[Any]:
    x, y = data()
    while True:
        time.sleep(sleep)
        yield x[:16], y[:16]


def slow_map(x: Any, y: Any) -> Any:
    def sleep(x: Any) -> Any:
        time.sleep(SLEEP)
        return x

    slow = tf.numpy_function(sleep, [x], x.dtype)
    slow.set_shape(x.shape)
    return slow, y


class SlowSequence(keras.utils.PyDataset):
    """Two workers share its sleeps."""

    def __init__(self) -> None:
        super().__init__(workers=2)

    @property
    def num_batches(self) -> int:
        return 40

    def __getitem__(self, index: int) -> Any:
        time.sleep(4 * SLEEP)
        x, y = data()
        return x[:16], y[:16]


class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        time.sleep(SLEEP)


def training(
    runs: Path, arguments: dict[str, Any], *callbacks: Any, model: keras.Model | None = None, **options: Any
) -> tuple[events.TimeSplit, float]:
    """Train; return the newest record, with the parts of all records, and the seconds that it all took."""
    monitor = tuimon.Monitor(runs_dir=runs, probe=False)
    began = time.perf_counter()
    compiled(model := model or sequential(), **options)
    model.fit(**arguments, verbose=0, callbacks=[*callbacks, monitor])
    spent = TimeSpent()
    for fact in facts_of(monitor, events.TimeSplit):
        spent.add(fact)
    assert spent.newest is not None
    whole = msgspec.structs.replace(spent.newest, steps=spent.steps, seconds=spent.seconds)
    return whole, time.perf_counter() - began


def largest(split: events.TimeSplit) -> str:
    return max(split.seconds, key=lambda name: from_wire(split.seconds[name]))


SLOW_DATA: dict[str, tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]] = {
    "generator": ("generator", {}, lambda: {"x": batches(SLEEP), "steps_per_epoch": 60, "shuffle": False}),
    "map": (
        "dataset",
        {},
        lambda: {
            "x": tf.data.Dataset.from_tensor_slices(data()).batch(16).repeat().map(slow_map),
            "steps_per_epoch": 60,
            "shuffle": False,
        },
    ),
    "several steps at once": (
        "dataset",
        {"steps_per_execution": 4},
        lambda: {
            "x": tf.data.Dataset.from_tensor_slices(data()).batch(16).repeat().map(slow_map),
            "steps_per_epoch": 80,
            "shuffle": False,
        },
    ),
    "workers": ("PyDataset", {}, lambda: {"x": SlowSequence(), "epochs": 2, "shuffle": False}),
}


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("name", selected(SLOW_DATA, "generator"))
def test_steps_that_wait_for_their_data_are_told(runs: Path, name: str) -> None:
    kind, options, arguments = SLOW_DATA[name]
    split, seconds = training(runs, arguments(), **options)
    assert split.data == kind
    assert largest(split) == "data"
    assert set(split.seconds) == {"data", "step", "validation", "callbacks", "monitoring"}
    assert all(from_wire(part) >= 0 for part in split.seconds.values())
    assert SLEEP / 4 * split.steps < from_wire(split.seconds["data"]) < sum(map(from_wire, split.seconds.values()))
    assert sum(map(from_wire, split.seconds.values())) < seconds


@pytest.mark.usefixtures("soon")
def test_arrays_are_not_waited_for(runs: Path) -> None:
    x, y = (np.repeat(part, 40, axis=0) for part in data())
    layers = [keras.layers.Dense(1000, "relu"), keras.layers.Dense(1000, "relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input(x.shape[1:]), *layers])  # Its step is longer than a busy machine's pauses.
    split, _ = training(runs, {"x": x, "y": y, "batch_size": 16}, model=model)
    assert split.data == "arrays"
    assert from_wire(split.seconds["data"]) < from_wire(split.seconds["step"])


@pytest.mark.usefixtures("soon")
def test_a_slow_callback_and_a_validation_are_told(runs: Path) -> None:
    x, y = (np.repeat(part, 10, axis=0) for part in data())
    split, _ = training(runs, {"x": x, "y": y, "validation_data": data(), "batch_size": 16, "epochs": 2}, Slow())
    assert largest(split) == "callbacks"
    assert from_wire(split.seconds["callbacks"]) > SLEEP / 2 * split.steps
    assert from_wire(split.seconds["validation"]) > 0 or split.step <= 50


EXACT: dict[str, tuple[dict[str, Any], Callable[[], dict[str, Any]]]] = {
    "arrays with a ragged tail": ({}, lambda: {"batch_size": 18, "shuffle": True}),
    "several steps at once": ({"steps_per_execution": 3}, lambda: {"batch_size": 10}),
    "xla": ({"jit_compile": True}, dict),
    "eager": ({"run_eagerly": True}, dict),
    "a data set of unknown length": (
        {},
        lambda: {
            "x": tf.data.Dataset.from_tensor_slices(data()).filter(lambda x, y: True).shuffle(80, seed=1).batch(16),
            "y": None,
        },
    ),
    "a generator": ({}, lambda: {"x": batches(0.0), "y": None, "steps_per_epoch": 5}),
}


@pytest.mark.filterwarnings("ignore:.*ran out of data:UserWarning")
@pytest.mark.parametrize("name", selected(EXACT, "arrays with a ragged tail", "several steps at once", "a generator"))
def test_training_is_bit_for_bit_the_same(runs: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if each step is timed in two parts."""
    options, arguments = EXACT[name]
    x, y = data()
    install = StepFunctions.install

    def time_each(self: StepFunctions, *args: Any) -> None:
        self.time_next()
        install(self, *args)

    def train(*callbacks: Any) -> Any:
        keras.utils.set_random_seed(3)
        model = compiled(sequential(), **options)
        traces = count_traces(model)
        history = model.fit(
            **{"x": x, "y": y, "shuffle": False, **arguments()}, epochs=3, verbose=0, callbacks=callbacks
        )
        return model, history.history, len(traces)

    plain, history, traces = train()
    monkeypatch.setattr(StepFunctions, "install", time_each)
    watched, history_watched, traces_watched = train(tuimon.Monitor(runs_dir=runs))
    assert same_weights(plain, watched)
    assert history == history_watched
    if not options.get("run_eagerly"):
        assert traces == traces_watched


# --- The fake engine -------------------------------------------------------------------------------------------------


class Clock:
    """The time of the trainer, which only the test moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time_split.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(time_split.time, "monotonic", lambda: self.now)


class Run:
    def __init__(self, runs: Path, clock: Clock, *, returns_early: bool = False) -> None:
        self.engine, self.clock = FakeEngine(), clock
        self.engine.facts = lambda: FitFacts("SGD", False, 4, None, "arrays", returns_early)  # type: ignore[method-assign]
        self.recorder = Recorder(RunDirectory.at(runs / "run"), name="fake")
        options = Options(overhead=values.DEFAULT_OVERHEAD, probe=ProbeOptions(is_on=False))
        self.fit = Fit(self.recorder, self.engine, {"epochs": 1, "steps": None}, options, on_trouble=lambda _: None)
        self.fit.begin_epoch(0)

    def steps(self, count: int, *, wait: float, takes: float, callbacks: float = 0.0) -> None:
        self.engine.steps.wait, self.engine.steps.takes = wait, takes
        for _ in range(count):
            self.fit.before_step()
            self.engine.steps.run()
            self.clock.now += wait + takes + callbacks

    def splits(self) -> list[events.TimeSplit]:
        self.fit.write_last()
        self.fit.end()
        self.recorder.end("finished")
        log = Tail(self.recorder.run.session_log).read_all()
        return [fact for fact in log if isinstance(fact, events.TimeSplit)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def seconds(splits: Sequence[events.TimeSplit], part: str) -> float:
    return sum(from_wire(split.seconds[part]) for split in splits)


def test_the_parts_are_the_whole_time(runs: Path, clock: Clock) -> None:
    run = Run(runs, clock)
    run.steps(3000, wait=0.004, takes=0.005, callbacks=0.001)
    splits = run.splits()
    steps = sum(split.steps for split in splits)
    assert 2990 < steps <= 3000
    parts = {"data": 0.004, "step": 0.005, "validation": 0.0, "callbacks": 0.001, "monitoring": 0.0}
    assert {name: seconds(splits, name) / steps for name in splits[0].seconds} == pytest.approx(parts, abs=1e-9)


def test_the_first_record_comes_after_five_seconds_then_one_every_ten(runs: Path, clock: Clock) -> None:
    run = Run(runs, clock)
    run.steps(6000, wait=0.0, takes=0.01)
    spans = [sum(map(from_wire, split.seconds.values())) for split in run.splits()]
    assert spans[0] == pytest.approx(5.0, abs=0.5)
    assert all(10.0 <= span < 11.0 for span in spans[1:-1])
    assert len(spans) == 7


def test_a_fit_of_a_second_has_no_record(runs: Path, clock: Clock) -> None:
    run = Run(runs, clock)
    run.steps(100, wait=0.004, takes=0.006)
    assert run.splits() == []


def test_a_validation_has_a_part_of_its_own(runs: Path, clock: Clock) -> None:
    run = Run(runs, clock)
    run.steps(600, wait=0.0, takes=0.01)
    run.fit.begin_validation()
    clock.now += 2.0
    run.fit.end_validation()
    splits = run.splits()
    assert seconds(splits, "validation") == pytest.approx(2.0)
    assert seconds(splits, "callbacks") == pytest.approx(0.0, abs=1e-6)


def test_steps_that_the_engine_did_not_time_are_not_put_down_to_callbacks(runs: Path, clock: Clock) -> None:
    run = Run(runs, clock)
    run.steps(600, wait=0.0, takes=0.01)
    run.engine.steps._spend = lambda: None  # type: ignore[method-assign]
    run.steps(1200, wait=0.0, takes=0.01)
    splits = run.splits()
    assert seconds(splits, "callbacks") < 0.1
    assert sum(split.steps for split in splits) < 700


@pytest.mark.parametrize(("device", "expected"), [(0.002, 0.6), (0.02, 0.0)])
def test_a_wait_during_which_the_device_computes_is_none(
    runs: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, device: float, expected: float
) -> None:
    """A call returns after 2 ms, and reading a value waits for the device: 2 ms, or all that the host is ahead."""
    run = Run(runs, clock, returns_early=True)
    read, behind = run.engine.read_values, [0]

    def wait_and_read() -> Any:
        made = run.engine.steps.made - behind[0]
        behind[0] = run.engine.steps.made
        clock.now += device if device < 0.01 else max(0, made) * (device - 0.01)
        return read()

    monkeypatch.setattr(run.engine, "read_values", wait_and_read)
    run.steps(1500, wait=0.008, takes=0.002)
    splits = run.splits()
    assert set(splits[-1].seconds) == {"data", "step", "validation", "monitoring"}
    whole = sum(map(from_wire, splits[-1].seconds.values()))
    share = from_wire(splits[-1].seconds["data"]) / whole
    assert share == pytest.approx(expected, abs=0.05)


# --- The estimate ----------------------------------------------------------------------------------------------------


def test_a_steady_wait_is_that_of_the_timed_calls() -> None:
    assert waited([(0.004, 0.006)] * 6, 100, 1.0) == pytest.approx(0.4)


def test_batches_that_come_several_at_once_need_few_timed_calls() -> None:
    """One call in four waits 40 ms, but half of the timed ones do."""
    timed = [(0.04, 0.01), (0.0, 0.01)] * 4
    assert waited(timed, 100, 25 * 0.05 + 75 * 0.01) == pytest.approx(1.0)


def test_noise_of_the_step_is_no_wait() -> None:
    generator = np.random.default_rng(0)
    timed = [(0.0005, step) for step in generator.uniform(0.01, 0.03, 8)]
    assert waited(timed, 100, 3.0) == pytest.approx(0.05)


def test_the_wait_is_never_less_than_nothing_nor_more_than_the_calls() -> None:
    assert waited([(0.01, 0.001), (0.03, 0.001)], 10, 0.002) == 0.0
    assert waited([(0.01, 0.0)] * 6, 10, 0.05) == pytest.approx(0.05)
