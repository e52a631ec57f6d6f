"""Metrics that a user derives from Keras' Mean train as without a Monitor, whatever they keep and do."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
import pytest

import tuimon
from helpers import selected
from trainer.keras_models import STEPS, compiled, facts_of, fit, same_weights, sequential
from tuimon.protocol import events
from tuimon.protocol.wire import list_from_wire
from tuimon.trainer.keras.internals import losses, patches

EPOCHS = 2
ops = keras.ops


class Best(keras.metrics.Mean):
    """Keeps the largest output, in a variable of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.best = self.add_variable((), initializer="zeros", name="best")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.best.assign(ops.maximum(self.best, ops.max(y_pred)))

    def result(self) -> Any:
        return self.best + 0.0

    def reset_state(self) -> None:
        self.best.assign(0.0)


class TotalIsNone(Best):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.total = None


class CountIsANumber(Best):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.count = 1.0


class TotalIsMissing(Best):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        del self.total


class ReadOnlyTotal(keras.metrics.Mean):
    def __init__(self, **options: Any) -> None:
        keras.Metric.__init__(self, **options)
        self.sum = self.add_variable((), initializer="zeros", name="sum")
        self.count = self.add_variable((), initializer="zeros", name="count")

    @property
    def total(self) -> Any:
        return self.sum

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(y_pred)


class HiddenTotal(keras.metrics.MeanSquaredError):
    """Keeps its total behind a property of the same name, which always wins."""

    @property
    def total(self) -> Any:
        return vars(self)["total"]

    @total.setter
    def total(self, value: Any) -> None:
        vars(self)["total"] = value


class ResultIsAProperty(Best):
    asked = 0

    @property
    def result(self) -> Any:
        type(self).asked += 1
        return lambda: self.best + 0.0


class ResultTakesArguments(keras.metrics.MeanSquaredError):
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(y_true, y_pred)
        self.result(scale=2.0)

    def result(self, scale: float = 1.0) -> Any:
        return super().result() * scale


class ResultWrites(Best):
    """The largest mean so far: what it shows must be asked for once a step."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        keras.metrics.Mean.update_state(self, y_pred)

    def result(self) -> Any:
        self.best.assign(ops.maximum(self.best, self.total / self.count))
        return self.best + 0.0


class ShowsSeveral(keras.metrics.MeanSquaredError):
    def result(self) -> Any:
        mean = super().result()
        return {"several_mean": mean, "several_root": ops.sqrt(mean)}


class TotalIsAVector(keras.metrics.Mean):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.total = self.add_variable((3,), initializer="zeros", name="totals")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total.assign_add(ops.stack([ops.min(y_pred), ops.mean(y_pred), ops.max(y_pred)]))
        self.total.assign_add(ops.mean(y_pred))
        self.count.assign_add(1.0)

    def result(self) -> Any:
        return ops.max(self.total) / self.count

    def reset_state(self) -> None:
        self.total.assign(ops.zeros((3,)))
        self.count.assign(0.0)


class CountsInIntegers(keras.metrics.Mean):
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total.assign_add(ops.sum(ops.abs(y_pred)))
        self.count.assign_add(value=ops.size(y_pred))


class Assigns(keras.metrics.Mean):
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total.assign(self.total + ops.mean(y_pred))
        self.count.assign(self.count + 1.0)


class Sealed(keras.metrics.MeanSquaredError):
    """Takes no attributes but those that it has."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return MappingProxyType(value) if name == "__dict__" else value


class Private(keras.metrics.Mean):
    """Raises where anybody asks for what it does not use itself."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("__dict__", "total", "count", "metrics"):
            raise RuntimeError("this metric is nobody's business")
        return super().__getattribute__(name)

    def __init__(self, **options: Any) -> None:
        keras.Metric.__init__(self, **options)
        self.sum = self.add_variable((), initializer="zeros", name="sum")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.sum.assign_add(ops.mean(y_pred))

    def result(self) -> Any:
        return self.sum + 0.0

    def reset_state(self) -> None:
        self.sum.assign(0.0)


KINDS: dict[str, Callable[..., keras.Metric]] = {
    kind.__name__: kind
    for kind in (
        TotalIsNone,
        CountIsANumber,
        TotalIsMissing,
        ReadOnlyTotal,
        HiddenTotal,
        ResultIsAProperty,
        ResultTakesArguments,
        ResultWrites,
        ShowsSeveral,
        TotalIsAVector,
        CountsInIntegers,
        Assigns,
        Sealed,
        Private,
    )
}
ALL = "all of them"
HEARD = {"ResultTakesArguments", "TotalIsAVector", "CountsInIntegers"}
"""Those whose value of each batch is known; of the others Keras' running values are."""
HEARD_EAGERLY = {"CountsInIntegers"}
"""Those that are also known without a graph, which shows that `result` does nothing but compute."""


def train(
    names: list[str], callbacks: list[Any], *, epochs: int = EPOCHS, **options: Any
) -> tuple[keras.Model, dict[str, Any]]:
    """Return the model and the history."""
    metrics = ["mae", *(KINDS[name](name=name) for name in names), keras.metrics.RootMeanSquaredError(name="rmse")]
    model = compiled(sequential(), metrics=metrics, **options)
    return model, fit(model, epochs, callbacks).history


def own_values(monitor: tuimon.Monitor) -> dict[str, list[float]]:
    """Return each batch's own values by name."""
    found: dict[str, list[float]] = {}
    for fact in facts_of(monitor, events.Batches):
        for name, values in fact.metrics.items():
            found.setdefault(name, []).extend(list_from_wire(values))
    return found


def left_behind(model: keras.Model) -> list[str]:
    """Return what hangs on the metrics and their variables that is not Keras'."""
    metrics = [metric for metric in losses.single_metrics(model) if not isinstance(metric, Private)]
    owners = [*metrics, *(variable for metric in metrics for variable in metric.variables)]
    return [name for owner in owners for name in ("result", "assign_add") if name in vars(owner)]


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=["graph", "eager"])
@pytest.mark.parametrize("name", selected([ALL, *KINDS], ALL))
def test_every_kind_trains_as_without(
    runs: Path, capsys: pytest.CaptureFixture[str], name: str, options: dict[str, Any]
) -> None:
    names = list(KINDS) if name == ALL else [name]
    monitor = tuimon.Monitor(runs_dir=runs)
    (plain, history), (watched, with_monitor) = train(names, [], **options), train(names, [monitor], **options)
    assert same_weights(plain, watched)
    assert history == with_monitor
    assert capsys.readouterr().err == ""
    assert left_behind(watched) == []
    values = own_values(monitor)
    heard = HEARD & HEARD_EAGERLY if options.get("run_eagerly") else HEARD
    assert set(values) == {"loss", "mae", "rmse", *(heard & set(names))}
    assert all(len(column) == EPOCHS * STEPS and np.isfinite(column).all() for column in values.values())


@pytest.mark.full
def test_whatever_fails_while_the_metrics_are_listened_to_the_step_runs(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of our own changes to a metric or a container is the one that fails."""
    set_untracked = patches.set_untracked
    fails_at = 0
    changes: list[str] = []

    def failing(owner: Any, name: str, value: object) -> Callable[[], None]:
        if name in ("result", "assign_add", "build"):
            changes.append(name)
            if len(changes) == fails_at:
                raise RuntimeError("ours")
        return set_untracked(owner, name, value)

    plain, history = train([], [], epochs=1)
    monkeypatch.setattr(patches, "set_untracked", failing)
    # Of the loss: total, count, result; two containers; a metric that comes with the first of them.
    for fails_at in (2, 3, 4, 8):
        changes.clear()
        watched, with_monitor = train([], [tuimon.Monitor(runs_dir=runs)], epochs=1)
        assert len(changes) >= fails_at
        assert same_weights(plain, watched)
        assert history == with_monitor
        assert capsys.readouterr().err == ""
        assert left_behind(watched) == []


@pytest.mark.parametrize("name", ["single_metrics", "unbuilt_metric_containers"])
def test_metrics_that_cannot_be_found_end_nothing(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plain, history = train([], [], epochs=1)

    def failing(model: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.setattr(losses, name, failing)
    watched, with_monitor = train([], [tuimon.Monitor(runs_dir=runs)], epochs=1)
    assert same_weights(plain, watched)
    assert history == with_monitor
    assert capsys.readouterr().err == ""


def test_a_container_whose_build_fails_fails_as_without(runs: Path) -> None:
    class Unbuildable(keras.metrics.Mean):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            raise ValueError("the user's own mistake")

    for callbacks in ([], [tuimon.Monitor(runs_dir=runs)]):
        model = compiled(sequential(), metrics=[Unbuildable(name="unbuildable")])
        with pytest.raises(ValueError, match="the user's own mistake"):
            fit(model, 1, callbacks)
        assert left_behind(model) == []
