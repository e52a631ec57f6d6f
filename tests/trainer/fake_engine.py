"""The smallest engine: two BatchNormalization layers in NumPy, without any framework."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from helpers import layer, model_built
from tuimon.protocol import events
from tuimon.trainer.engine import Calls, CallTimes, Computes, FitFacts, Gradient, Moments, Pass, Prepared, Switch, Task
from tuimon.trainer.modes import AUTO, Mode

BATCH_MEAN, BATCH_VARIANCE = np.full(3, 5.0), np.full(3, 2.0)
PARTS = {"bn_1": 0.5, "bn_2": 0.25}
"""What batch statistics of each layer add to the loss, which is 1 without."""


class FakeLayers:
    def __init__(self) -> None:
        self.batch_norm: Mapping[str, events.BatchNormLayer] = {}
        self.flags_without_effect = list[str]()
        self.weighted, self.others, self.are_complete = [*PARTS, "dense"], ["dropout"], True
        names = ("moving_mean", "moving_variance", "gamma", "beta")
        self.arrays = {path: {name: np.zeros(3, np.float32) for name in names} for path in PARTS}
        self.dense = np.zeros(2, np.float32)

    def look(self) -> bool:
        known = self.batch_norm
        self.batch_norm = {path: layer(path, momentum=0.9) for path in PARTS}
        return not known

    def describe(self) -> events.ModelBuilt:
        return model_built(*self.batch_norm.values(), name="fake", other_layers=self.others)

    def describe_as_traced(self) -> events.ModelBuilt | None:
        return None

    def within(self, paths: Any) -> frozenset[str]:
        return frozenset(paths)

    def is_frozen_by_user(self, path: str) -> bool:
        return False

    def computes(self, path: str, mode: Mode) -> Computes:
        if path in mode.frozen:
            return "frozen"
        return "inference" if mode.phase == "inference" or path in mode.statistics else "training"

    flagged = computes

    def leaves_weights_to_train(self, mode: Mode) -> bool:
        return not mode.frozen.issuperset(self.weighted)

    def read(self) -> Any:
        return {path: {name: array.copy() for name, array in arrays.items()} for path, arrays in self.arrays.items()}

    def put_statistics(self, statistics: Mapping[str, Any]) -> Callable[[], None]:
        before = self.read()
        for path, (mean, variance) in statistics.items():
            self.arrays[path]["moving_mean"][:], self.arrays[path]["moving_variance"][:] = mean, variance
        return lambda: self.arrays.update(before)

    def weight_bytes(self, path: str) -> int:
        return 8

    def read_weights(self, path: str) -> Sequence[Any]:
        return [self.dense.copy()] if path == "dense" else [array.copy() for array in self.arrays[path].values()]

    def train(self, mode: Mode) -> None:
        for path, arrays in self.arrays.items():
            if self.computes(path, mode) == "training":
                rate = 1 - dict(mode.momentum).get(path, 0.9)
                arrays["moving_mean"] += rate * (BATCH_MEAN.astype(np.float32) - arrays["moving_mean"])
                arrays["moving_variance"] += rate * (BATCH_VARIANCE.astype(np.float32) - arrays["moving_variance"])
            if self.computes(path, mode) != "frozen":
                arrays["gamma"] += 0.1
        self.dense += 0.1 * ("dense" not in mode.frozen)


class FakeSteps:
    """Also the data of the next step, and what runs it."""

    steps_per_call, calls_unread = 1, 64

    def __init__(self, layers: FakeLayers) -> None:
        self.mode, self.has_run, self.made, self.values = AUTO, False, 0, list[float]()
        self.times, self.wait, self.takes, self._times_next = CallTimes(), 0.0, 0.0, False
        self._layers, self._switch, self._tasks = layers, None, list[Task]()  # type: Any, Any, Any
        self._tasks_after = list[Callable[[], None]]()

    @property
    def coming_mode(self) -> Mode | None:
        return self._switch.mode if self._switch else None

    def switch(self, switch: Switch) -> None:
        self._switch = switch

    def before_next(self, task: Task) -> None:
        self._tasks.append(task)

    def after_next(self, task: Callable[[], None]) -> None:
        self._tasks_after.append(task)

    def prepare(self, mode: Mode, prepared: Prepared) -> None:
        prepared(0.0, None)

    def time_next(self) -> None:
        self._times_next = True

    def ahead(self, count: int, maximum_bytes: int) -> list[Any]:
        return ["batch"] * count

    def catch_up(self) -> bool:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task(self)
        return bool(tasks)

    def run(self) -> None:
        """Make one training step, as the framework of an engine would."""
        self.catch_up()
        switch, self._switch = self._switch, None
        if switch:
            switch.prepare(False)
            self.mode = switch.mode
        self._layers.train(self.mode)
        self.has_run, self.made = True, self.made + 1
        self.values.append(1.0 / self.made)
        self._spend()
        if switch:
            switch.done(0.0)
            switch.ran()
        tasks, self._tasks_after = self._tasks_after, []
        for task in tasks:
            task()

    def _spend(self) -> None:
        waited = self.wait if self._times_next else None
        self.times.add(self.takes if self._times_next else self.takes + self.wait, waited)
        self._times_next = False


class FakePasses:
    """Also the passes of a probe: training mode adds the parts of the layers that use batch statistics."""

    why_not, is_ready, first_seconds = "", True, 0.0
    training_draws = inference_draws = has_random_layers = may_be_other = False

    def __init__(self, layers: FakeLayers) -> None:
        self._layers, self.calls, self.inference_calls = layers, Calls(), Calls()
        self._given = {path: [[Moments(4, BATCH_MEAN, BATCH_VARIANCE)] * 3] for path in PARTS}

    def check(self, batch: Any) -> None: ...

    def as_batch(self, given: Any) -> Any:
        return given

    def examples(self, batch: Any) -> int:
        return 4

    def bytes_of(self, batch: Any) -> int:
        return 16

    def without_weights(self, batch: Any) -> Any:
        return batch

    @contextmanager
    def begin(self, mode: Mode) -> Iterator["FakePasses"]:
        self.calls = {path: [self._layers.computes(path, mode) == "training"] for path in PARTS}
        yield self

    def has_begun(self, mode: Mode) -> bool:
        return bool(self.calls)

    def training(self, batch: Any, *, seed: int = 0, looks: bool = False) -> Pass:
        return self.inference(batch, batch_statistics=[path for path, calls in self.calls.items() if any(calls)])

    def inference(
        self, batch: Any, *, batch_statistics: Sequence[str] = (), seed: int = 0, looks: bool = False
    ) -> Pass:
        return Pass(1.0 + sum(PARTS[path] for path in batch_statistics), np.ones(4), self._given)

    quiet = training

    def losses_of_constant(self, batches: Sequence[Any], passes: Sequence[Pass]) -> Any:
        return np.full(4 * len(batches), 1.5)

    def losses_of_labels(self, batches: Sequence[Any]) -> Any:
        return None

    def gradients(self, batch: Any, *, seed: int = 0) -> Mapping[str, Gradient]:
        return {"dense": Gradient(0.5, 2.0, 0.0)}

    def costs(self) -> tuple[int, float]:
        return 1, 0.0

    def moments(self, batches: Sequence[Any], mode: Mode) -> Iterator[Any]:
        for _ in batches:
            yield {path: [Moments(4, BATCH_MEAN, BATCH_VARIANCE)] for path in PARTS}


class FakeEngine:
    compile_seconds, waits_in_step, is_stopping, reads_ahead_freely = 0.0, True, False, True

    def __init__(self) -> None:
        self.layers = FakeLayers()
        self.steps, self.passes = FakeSteps(self.layers), FakePasses(self.layers)
        self.epochs = FakeEpochs()
        self.validation, self.state, self.learning_rate = FakeValidation(), FakeState(self.layers), FakeLearningRate()

    def why_not(self, request: str) -> str:
        return "this engine cannot" if request == "momentum" else ""

    def facts(self) -> FitFacts:
        return FitFacts("SGD", False, 4, None)

    def steps_made(self) -> int:
        return self.steps.made

    def read_values(self) -> dict[str, Any]:
        values, self.steps.values = self.steps.values, []
        return {"loss": np.array(values)} if values else {}

    def running_values(self) -> Mapping[str, Any]:
        return {"accuracy": 0.5}

    def before_step(self) -> None: ...

    def stop(self) -> None:
        self.is_stopping = True

    def begin(self) -> Sequence[str]:
        return ["a note of the engine's"]

    def end(self, *, keeps_mode: bool) -> None: ...

    def fit_is_over(self) -> None: ...


class FakeEpochs:
    asked: int | None = None

    def end_after(self, epochs: int) -> None:
        self.asked = epochs


class FakeValidation:
    def before_step(self, mode: Mode) -> None: ...

    def before_next(self, task: Task) -> None: ...

    def read_values(self) -> dict[str, Any]:
        return {"loss": np.array([0.5])}

    def end(self) -> None: ...

    def run(self, mode: Mode) -> dict[str, float]:
        return {"loss": 0.5}

    def why_not_repeated(self) -> str:
        return ""

    def each_batch(self, look: Callable[[Any], None]) -> bool:
        look("batch")
        return True


class FakeState:
    def __init__(self, layers: FakeLayers) -> None:
        self._layers = layers

    def capture(self) -> Any:
        return {path: arrays["moving_mean"].copy() for path, arrays in self._layers.arrays.items()}

    def dtypes(self) -> dict[str, str]:
        return dict.fromkeys(PARTS, "float32")

    def restore(self, arrays: Mapping[str, Any], dtypes: Mapping[str, str] | None = None) -> None:
        for path, array in arrays.items():
            self._layers.arrays[path]["moving_mean"][:] = array

    def begin_epoch_anew(self) -> None: ...

    def capture_beside(self) -> tuple[dict[str, Any], Any]:
        return {}, {}

    def restore_beside(self, beside: Mapping[str, Any], arrays: Any, *, rolls_back: bool = False) -> list[str]:
        return []


class FakeLearningRate:
    has_schedule = False
    rate = 0.1

    def now(self, mode: Mode) -> float:
        return self.rate

    def stored(self, rate: float) -> float:
        return float(np.float32(rate))

    def put(self, rate: float) -> None:
        self.rate = rate

    own, put_own = now, put

    def drivers(self) -> list[str]:
        return []
