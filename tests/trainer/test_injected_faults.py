"""Whatever fails within tuimon, and wherever, training goes on with the same numbers, and the failure is said."""

import contextlib
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from helpers import read_log
from trainer.faults import Calls, Fault, Place
from trainer.inside import inbox_of
from trainer.keras_models import compiled, send, sequential
from tuimon.protocol import commands
from tuimon.runs.run_directory import runs_in
from tuimon.trainer import sampling
from tuimon.trainer.keras.standing_aside import UnwatchedLoop

BATCHES, BATCH = 3, 4
STUCK_SECONDS = 300
ERRORS: dict[str, Callable[[], Exception]] = {
    error.__name__: lambda error=error: error("made by a test")  # type: ignore[misc]
    for error in (RuntimeError, MemoryError, AttributeError)
}


class Tiny(keras.Model):
    """Trains in a step that is traced fast: its numbers depend on each batch and on their order."""

    def __init__(self) -> None:
        super().__init__(name="tiny")
        self.norm = keras.layers.BatchNormalization(name="norm", momentum=0.5)
        self.shown = keras.metrics.Mean(name="loss")
        self.norm.build((None, 6))
        self.built = True

    def call(self, x: Any, training: bool = False) -> Any:
        return self.norm(x, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        x = data[0]
        self.norm.gamma.assign(self.norm.gamma * 0.7 + tf.reduce_mean(x * self(x, training=True), 0))
        self.optimizer.iterations.assign_add(1)
        self.shown.update_state(tf.reduce_mean(self.norm.gamma))
        return {"loss": self.shown.result()}

    def test_step(self, data: Any) -> dict[str, Any]:
        x = data[0]
        self.shown.update_state(tf.reduce_mean(self(x, training=False)))
        return {"loss": self.shown.result()}


def tiny(**options: Any) -> keras.Model:
    model = Tiny()
    model.compile(keras.optimizers.SGD(), jit_compile=False, **options)
    return model


class Ask(keras.callbacks.Callback):
    """Sends requests before the steps, and waits until they were seen, as long as anybody looks."""

    def __init__(self, monitor: tuimon.Monitor, plan: dict[int, Sequence[commands.AnyRequest]]) -> None:
        super().__init__()
        self.monitor, self.plan, self.step = monitor, plan, -1

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.step += 1
        for request in self.plan.get(self.step, ()):
            if (inbox := inbox_of(self.monitor)) is None:
                return
            sent, deadline = send(self.monitor, request), time.monotonic() + 5.0
            while inbox._thread.is_alive() and time.monotonic() < deadline:
                if any(sent == received.id for received in [*inbox.received]):
                    break
                time.sleep(0.001)


class EachBatch(keras.callbacks.Callback):
    """Keeps what Keras shows after each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.shown.append(float(logs["loss"]))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A short training, and what is asked of it."""

    model: Callable[[], keras.Model]
    asks: dict[int, Sequence[commands.AnyRequest]]
    options: dict[str, Any]

    def train(self, monitors: Sequence[tuimon.Monitor]) -> tuple[keras.Model, list[Any]]:
        """Train; return the model and all its numbers."""
        keras.utils.set_random_seed(3)
        model, each = self.model(), EachBatch()
        asks = [Ask(monitor, self.asks) for monitor in monitors if self.asks]
        data, validation = _DATA[isinstance(model, Tiny)]
        callbacks = [each, *asks, *monitors]
        history = model.fit(
            data, epochs=2, validation_data=validation, shuffle=False, verbose=0, callbacks=callbacks
        ).history
        weights = [np.asarray(each).tobytes() for each in [*model.variables, *model.optimizer.variables]]
        return model, [repr(history), each.shown, weights]

    def monitor(self, runs: Path) -> tuimon.Monitor:
        return tuimon.Monitor(runs_dir=runs, **self.options)


@dataclass(frozen=True, kw_only=True)
class LoopScenario(Scenario):
    """A short training in a loop of the user's.

    Args:
        compiled: Whether the loop lets tuimon compile its step; else it calls ``train_on_batch``.
    """

    compiled: bool

    def train(self, monitors: Sequence[tuimon.Monitor]) -> tuple[keras.Model, list[Any]]:
        """Train; return the model and all its numbers."""
        keras.utils.set_random_seed(3)
        model, shown, epochs = self.model(), [], []
        asks = [Ask(monitor, self.asks) for monitor in monitors]

        def step(x: Any) -> Any:
            return model.train_step((x,))["loss"]

        with contextlib.ExitStack() as stack:
            loop: Any = UnwatchedLoop(model, tf.function)
            for monitor in monitors:
                loop = stack.enter_context(monitor.watch(model))
            step = loop.function(step) if self.compiled else lambda x: model.train_on_batch(x)[0]
            for epoch in loop.epochs(2):
                epochs.append(epoch)
                for (x,) in loop.steps(_DATA[True][0]):
                    loss = step(x)
                    loop.log(loss=loss)
                    shown.append(float(loss))
                    for ask in asks:
                        ask.on_train_batch_begin(0)
                loop.log_epoch(val_loss=epoch)
        weights = [np.asarray(each).tobytes() for each in [*model.variables, *model.optimizer.variables]]
        return model, [epochs, shown, weights]


def _data() -> dict[bool, tuple[tf.data.Dataset, tf.data.Dataset]]:
    x = np.random.default_rng(0).normal(1.0, 2.0, (BATCHES * BATCH - 2, 6)).astype(np.float32)
    y = (x[:, :1] > 1).astype(np.float32)
    alone, pairs = (tf.data.Dataset.from_tensor_slices(arrays).batch(BATCH) for arrays in ((x,), (x, y)))
    return {True: (alone, alone.take(1)), False: (pairs, pairs.take(1))}


_DATA = _data()
QUIET = {"probe": False, "examine_at_end": False}
REQUESTS: dict[int, Sequence[commands.AnyRequest]] = {
    1: [commands.Freeze()],
    2: [commands.Checkpoint(), commands.Unfreeze()],
    3: [commands.Rollback()],
    4: [commands.LearningRate(learning_rate=0.001), commands.Recalibrate(batches=1), commands.Evaluate()],
    5: [commands.Phase(phase="inference"), commands.Pause(), commands.Resume(), commands.Stop(after="epoch")],
}
SCENARIOS = {
    "plain": Scenario(model=tiny, asks={}, options=QUIET),
    "eager": Scenario(model=lambda: tiny(run_eagerly=True), asks={}, options=QUIET),
    "asked": Scenario(model=tiny, asks=REQUESTS, options=QUIET),
    "asked eagerly": Scenario(model=lambda: tiny(run_eagerly=True), asks=REQUESTS, options=QUIET),
    "loop": LoopScenario(model=lambda: tiny(run_eagerly=True), asks={}, options=QUIET, compiled=False),
    "compiled loop": LoopScenario(model=tiny, asks={1: [commands.Freeze()]}, options=QUIET, compiled=True),
    "probed": Scenario(
        model=lambda: compiled(sequential()), asks={}, options={"probe_every": 2, "overhead": 0.9, "console": False}
    ),
}
HOT = (
    "trainer/fit.py:Fit.__init__",
    "trainer/fit.py:Fit.before_step",
    "trainer/fit.py:Fit.end:",
    "trainer/keras/internals/graphs.py:is_pure_since",
    "trainer/keras/shared_run.py:begin",
    "trainer/keras/steps/batch_values.py:BatchValues.listen",
    "trainer/keras/steps/batch_values.py:BatchValues.record",
    "trainer/keras/steps/batch_values.py:_hear.<locals>.listening",
    "trainer/keras/steps/mode_scope.py:ModeScope.__call__",
    "trainer/keras/steps/step_functions.py:StepFunctions.do_tasks",
    "trainer/keras/steps/step_functions.py:StepFunctions.restore",
    "trainer/requests/inbox.py:Inbox._look",
    "trainer/session/recorder.py:Recorder.end",
    "trainer/session/system_sampler.py:SystemSampler._sample",
)
"""Places that always have their turn: where Keras' own code is entered or left, and those of the threads."""


GUARDS = (
    "trainer/keras/guarded.py:each:",
    "trainer/keras/guarded.py:guarded",
    "trainer/keras/loop.py:LoggedValues.__init__",
    "trainer/keras/loop.py:Loop.__init__",
    "trainer/keras/steps/function_cache.py:_Noted",
)
"""These catch what the others raise, or only keep what they are given; nothing is behind them."""
SILENT = (
    "trainer/keras/internals/graphs.py:",
    "trainer/keras/internals/losses.py:",
    "trainer/keras/internals/patches.py:set_untracked",
    "trainer/keras/internals/variables.py:array",
    "trainer/keras/shared_run.py:",
    "trainer/keras/steps/batch_values.py:",
    "trainer/session/console.py:",
    "trainer/session/system_sampler.py:",
    "machine/",
    "diagnosis/",
    "runs/",
)
"""What reads metrics within the user's step, weights, what is printed, the machine: where it fails, less is shown. What
folds and judges facts is blind to some then: readers fold the log by themselves."""


@pytest.fixture(autouse=True)
def _looks_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "LOOK_SECONDS", 0.0)


@contextlib.contextmanager
def not_stuck() -> Iterator[None]:
    """Raise in the training thread if it waits for ever."""

    def stuck(*_: Any) -> None:
        raise TimeoutError("training is stuck")

    before = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(STUCK_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def try_out(scenario: Scenario, fault: Fault, runs: Path, numbers: list[Any], said: Callable[[], str]) -> str:
    """Train with a fault; return what is wrong with the outcome, empty if nothing is."""
    threads = set(threading.enumerate())
    monitor = scenario.monitor(runs)
    said()
    try:
        with not_stuck(), fault:
            model, now = scenario.train([monitor])
    except BaseException as error:  # noqa: BLE001 - to be told with its place
        return f"it ended training: {error!r}"
    wrong = []
    if not scenario.asks and now != numbers:
        wrong.append("other numbers")
    if len(now[1]) < BATCHES * 2:
        wrong.append(f"only {len(now[1])} batches were trained")
    if left := [name for name, value in vars(model).items() if type(value).__module__.startswith("tuimon")]:
        wrong.append(f"the model has {left}")
    text = said()
    # The log's writer also says how it went on, and that of a run before that its log was removed: by this test.
    also = re.compile("all facts are recorded by now|facts? (?:was|were) not recorded: |it was removed; ")
    lines = [line for line in text.splitlines() if "tuimon:" in line and not also.search(line)]
    if len(lines) > 1:
        wrong.append(f"said more than once: {lines}")
    late = [each for each in threading.enumerate() if each not in threads and each.name == "tuimon-inbox"]
    for thread in late:
        thread.join(5.0)
        if thread.is_alive():
            wrong.append("a thread is left")
    log = [fact for run in runs_in(runs) for fact in read_log(run)] if runs.exists() else []
    facts = [fact for fact in log if "made by a test" in getattr(fact, "text", "") + getattr(fact, "reason", "")]
    if fault.raised and not text and not facts and not fault.place.startswith(SILENT):
        wrong.append("nothing tells of it")
    return ", ".join(wrong)


def enumerate_faults(
    scenario: Scenario,
    chosen: Callable[[dict[Place, int]], Sequence[tuple[Place, int, str]]],
    runs: Path,
    said: Callable[[], str],
) -> dict[str, str]:
    """Try chosen faults; return what went wrong, by fault."""
    _, numbers = scenario.train([])
    scenario.train([scenario.monitor(runs / "first")])  # Imports, and what else comes but once.
    with Calls() as calls:
        scenario.train([scenario.monitor(runs / "counted")])
    wrong: dict[str, str] = {}
    for number, (place, nth, error) in enumerate(chosen(calls.counts)):
        where = runs / str(number)
        if found := try_out(scenario, Fault(place, nth, ERRORS[error]()), where, numbers, said):
            wrong[f"{error} at call {nth} of {place}"] = found
        shutil.rmtree(where, ignore_errors=True)
    return wrong


def selected_places(counts: dict[Place, int], hot: tuple[str, ...], number: int) -> list[tuple[Place, int, str]]:
    """Return the hot places and a sample of the others, each with one call and one exception."""
    generator = random.Random(1)
    always = [place for place in sorted(counts) if hot and place.startswith(hot) and not place.startswith(GUARDS)]
    others = [place for place in sorted(counts) if not place.startswith((*HOT, *GUARDS))]
    chosen = [*always, *generator.sample(others, min(number, len(others)))]
    return [(place, generator.randint(1, min(3, counts[place])), generator.choice([*ERRORS])) for place in chosen]


def all_places(counts: dict[Place, int]) -> list[tuple[Place, int, str]]:
    """Return every place with its first, second, middle and last call, and every exception."""
    return [
        (place, nth, error)
        for place in sorted(counts)
        if not place.startswith(GUARDS)
        for nth in sorted({1, 2, counts[place] // 2, counts[place]} & {*range(1, counts[place] + 1)})
        for error in ERRORS
    ]


LOOP = ("trainer/keras/loop.py:", "trainer/keras/watched_model.py:WatchedModel.__init__")
"""Places that only a loop of the user's passes."""


@pytest.mark.parametrize(("name", "hot", "number"), [("plain", HOT, 0), ("asked eagerly", (), 3), ("loop", LOOP, 0)])
def test_a_fault_of_ours_leaves_training_as_it_is(
    name: str, hot: tuple[str, ...], number: int, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = enumerate_faults(
        SCENARIOS[name],
        lambda counts: selected_places(counts, hot, number),
        runs,
        lambda: capsys.readouterr().err,
    )
    assert not wrong, "\n".join(f"{fault}: {what}" for fault, what in wrong.items())


@pytest.mark.full
@pytest.mark.examined
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_of_ours_anywhere_leaves_training_as_it_is(
    name: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enumerate_faults(SCENARIOS[name], all_places, runs, lambda: capsys.readouterr().err) == {}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_the_user_raises_is_not_ours_to_catch(error: type[BaseException], runs: Path) -> None:
    class Leaves(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            raise error

    model = tiny(run_eagerly=True)
    with pytest.raises(error):
        model.fit(
            _DATA[True][0], shuffle=False, verbose=0, callbacks=[tuimon.Monitor(runs_dir=runs, **QUIET), Leaves()]
        )
