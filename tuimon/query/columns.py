"""The numbers of a run as columns: each with step, epoch, time, branch and fit."""

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from tuimon.export import rows
from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, Number, from_wire, list_from_wire
from tuimon.query.line import BoolArray, Branches, Line
from tuimon.runs.fits import Fits
from tuimon.runs.series import IntArray

FROM_ZERO = ("batch/", "running/")
"""Begin the names whose step is the number of the batch, from 0, not the count of completed steps."""
STATISTICS = ("moving_mean", "moving_variance", "gamma", "beta")
"""The arrays of a BatchNormalization layer that the log has."""
_COUNT = len(events.QUANTILES)


class Metric(Struct, frozen=True, eq=False):
    """One metric of a run: all its values in the order of the log, none left out.

    Example:
        ```python
        loss = session.metric("val_loss")
        plt.plot(loss.steps, loss.values)
        ```
    """

    name: str
    """As `tuimon export --to csv` has it: Keras' name for the metrics of epochs, `batch/loss` for single batches."""
    steps: IntArray
    """Shape ``(n,)``, int64: the number of the batch, from 0, for `batch/` and `running/`; for all others, the train
    steps that were completed."""
    values: FloatArray
    """Shape ``(n,)``, float64, in the metric's own unit; NaN for a value that is NaN or not known."""
    epochs: IntArray
    """Shape ``(n,)``, int64: Keras' number of the epoch, from 0."""
    times: FloatArray
    """Shape ``(n,)``, float64: Unix seconds, by the trainer's clock. Batches of one line of the log share one time."""
    branches: IntArray
    """Shape ``(n,)``, int64: 0, and one more after each rollback or resumption."""
    fits: IntArray
    """Shape ``(n,)``, int64: the number of the `fit`, from 1; 0 before the first."""

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"<Metric {self.name!r}: {_summed_up(self.steps)}{f', last {self.last:.4g}' if len(self) else ''}>"

    @property
    def last(self) -> float | None:
        """The newest value; None where there is none."""
        return float(self.values[-1]) if len(self.values) else None

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with a row for each value; columns as `Session.to_pandas` has them.

        Raises:
            ImportError: pandas is not installed; says how to install it.
        """
        from tuimon.query.frames import tidy

        return tidy([self])


class BatchNormalization(Struct, frozen=True, eq=False):
    """One BatchNormalization layer over time; each row sums up its channels.

    Example:
        ```python
        layer = session.batch_norm("bn_1")
        median = layer.moving_mean[:, layer.quantiles == 0.5]
        ```
    """

    path: str
    """Keras path of the layer."""
    quantiles: FloatArray
    """Shape ``(7,)``, float64: which quantile over the channels each column below is; 0 the minimum, 1 the maximum."""
    steps: IntArray
    """Shape ``(n,)``, int64: train steps completed."""
    moving_mean: FloatArray
    """Shape ``(n, 7)``, float64: quantiles of the moving mean, in the unit of the layer's input."""
    moving_variance: FloatArray
    """Shape ``(n, 7)``, float64: quantiles of the moving variance, in that unit squared."""
    gamma: FloatArray
    """Shape ``(n, 7)``, float64; NaN where the layer has none (`scale=False`)."""
    beta: FloatArray
    """Shape ``(n, 7)``, float64; NaN where the layer has none (`center=False`)."""
    dead: IntArray
    """Shape ``(n,)``, int64: channels whose moving variance is at most a hundredth of epsilon."""
    non_finite: IntArray
    """Shape ``(n,)``, int64: channels with a value that is not finite."""
    epochs: IntArray
    """Shape ``(n,)``, int64: Keras' number of the epoch, from 0."""
    times: FloatArray
    """Shape ``(n,)``, float64: Unix seconds, by the trainer's clock."""
    branches: IntArray
    """Shape ``(n,)``, int64."""
    fits: IntArray
    """Shape ``(n,)``, int64."""

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"<BatchNormalization {self.path!r}: {_summed_up(self.steps)}>"


def _summed_up(steps: IntArray) -> str:
    """Return how many values there are, and of which steps."""
    values = f"{len(steps):,} value{'' if len(steps) == 1 else 's'}"
    return f"{values}, steps {steps[0]:,} to {steps[-1]:,}" if len(steps) else values


class _Column:
    """Values with their steps, and the fact that each is of."""

    def __init__(self, width: int = 1) -> None:
        self.width = width
        self.steps, self.facts, self.values = array("q"), array("q"), array("d")

    def append(self, step: int, fact: int, values: Sequence[float] | FloatArray) -> None:
        self.steps.append(step)
        self.facts.append(fact)
        self.values.extend(values)

    def extend(self, steps: Iterable[int], fact: int, values: FloatArray) -> None:
        self.steps.extend(steps)
        self.facts.extend([fact] * len(values))
        self.values.frombytes(values.tobytes())


class Rows(Struct, frozen=True):
    """What a `_Column` holds of the chosen branches and fit, as arrays of their own."""

    steps: IntArray
    values: npt.NDArray[Any]
    epochs: IntArray
    times: FloatArray
    branches: IntArray
    fits: IntArray


class Columns:
    """Collects the numbers of a run's facts, in the order of the log.

    Args:
        only: The one metric that is kept, which may be one of `batch_norm/`; None: all, and layers as arrays.

    Example:
        ```python
        columns = Columns()
        columns.apply(tail.read())
        columns.metric("val_loss").values
        ```
    """

    def __init__(self, only: str | None = None) -> None:
        self.line = Line()
        """The steps that led to where the run is now."""
        self.fits = Fits()
        """The fits."""
        self._only = only
        self._tidy = rows.Rows()
        self._epochs, self._branches, self._fits, self._times = array("q"), array("q"), array("q"), array("d")
        """Of each fact that has numbers."""
        self._metrics: dict[str, _Column] = {}
        self._layers: dict[str, dict[str, _Column]] = {}

    @property
    def names(self) -> list[str]:
        """The metrics that have values, on whichever branch, in the order in which they came."""
        return list(self._metrics)

    @property
    def layers(self) -> list[str]:
        """Paths of the BatchNormalization layers that have values, in the order of the model."""
        return list(self._layers)

    @property
    def fit(self) -> int:
        """The number of the newest fit, from 1; 0 before the first."""
        return self.fits.newest.number if self.fits.newest else 0

    def apply(self, new: Iterable[events.AnyEvent]) -> None:
        """Add the numbers of further facts."""
        for event in new:
            self.line.add(event)
            match event:
                case events.FitStarted() | events.EpochEnded() | events.RunResumed():
                    self.fits.add(event)
            match event:
                case events.Batches():
                    self._add_batches(event)
                case events.BatchNorm() if self._only is None:
                    self._add_layers(event)
                case _:
                    self._add_others(event)

    def metric(self, name: str, branch: Branches = "now", fit: int | None = None) -> Metric:
        """Return one of `names`; arguments as for `Session.metric`.

        Raises:
            KeyError: There is no such metric.
        """
        rows = self._rows(self._metrics[name], branch, fit, from_zero=name.startswith(FROM_ZERO))
        return Metric(name, rows.steps, rows.values, rows.epochs, rows.times, rows.branches, rows.fits)

    def batch_norm(self, path: str, branch: Branches = "now", fit: int | None = None) -> BatchNormalization:
        """Return one of `layers`; arguments as for `Session.batch_norm`.

        Raises:
            KeyError: There is no such layer.
        """
        columns = self._layers[path]
        found = {name: self._rows(column, branch, fit) for name, column in columns.items()}
        rows = found["dead"]
        return BatchNormalization(
            path,
            np.array(events.QUANTILES),
            rows.steps,
            moving_mean=found["moving_mean"].values,
            moving_variance=found["moving_variance"].values,
            gamma=found["gamma"].values,
            beta=found["beta"].values,
            dead=rows.values.astype(np.int64),
            non_finite=found["non_finite"].values.astype(np.int64),
            epochs=rows.epochs,
            times=rows.times,
            branches=rows.branches,
            fits=rows.fits,
        )

    def _add_batches(self, event: events.Batches) -> None:
        fact = self._note(event, event.epoch)
        for name, numbers in event.metrics.items():
            if self._only not in (None, f"batch/{name}"):
                continue
            column = self._metrics.setdefault(f"batch/{name}", _Column())
            steps = range(event.first_step, event.first_step + len(numbers))
            if None in numbers:  # It was not logged in these steps.
                known = [(step, number) for step, number in zip(steps, numbers, strict=True) if number is not None]
                column.extend([step for step, _ in known], fact, list_from_wire([number for _, number in known]))
            else:
                column.extend(steps, fact, list_from_wire(numbers))
        for name, number in event.running.items():
            if self._only not in (None, f"running/{name}"):
                continue
            last = event.first_step + max(event.batches, 1) - 1
            self._metrics.setdefault(f"running/{name}", _Column()).append(last, fact, [from_wire(number)])

    def _add_layers(self, event: events.BatchNorm) -> None:
        fact = self._note(event, event.epoch)
        for path, layer in event.layers.items():
            if path not in self._layers:
                self._layers[path] = {name: _Column(_COUNT) for name in STATISTICS}
                self._layers[path] |= {name: _Column() for name in ("dead", "non_finite")}
            columns = self._layers[path]
            for name in STATISTICS:
                columns[name].append(event.step, fact, _quantiles(getattr(layer, name)))
            columns["dead"].append(event.step, fact, [layer.dead])
            columns["non_finite"].append(event.step, fact, [layer.non_finite])

    def _add_others(self, event: events.AnyEvent) -> None:
        facts: dict[int, int] = {}
        for row in self._tidy.of(event):
            if self._only not in (None, row.metric):
                continue
            if row.epoch not in facts:
                facts[row.epoch] = self._note(event, row.epoch)
            column = self._metrics.setdefault(row.metric, _Column())
            column.append(row.step, facts[row.epoch], [from_wire(row.value)])

    def _note(self, event: events.AnyEvent, epoch: int) -> int:
        self._epochs.append(epoch)
        self._branches.append(event.branch)
        self._fits.append(self.fit)
        self._times.append(event.time)
        return len(self._epochs) - 1

    def _rows(self, column: _Column, branch: Branches, fit: int | None, *, from_zero: bool = False) -> Rows:
        # `np.array` copies: a view would keep the columns from growing.
        steps, facts = np.array(column.steps, dtype=np.int64), np.array(column.facts, dtype=np.int64)
        values = np.array(column.values, dtype=np.float64)
        branches = np.array(self._branches, dtype=np.int64)[facts]
        fits = np.array(self._fits, dtype=np.int64)[facts]
        chosen: BoolArray = self.line.chosen(branch, branches, steps + from_zero)
        if fit is not None:
            chosen &= fits == fit
        return Rows(
            steps[chosen],
            (values if column.width == 1 else values.reshape(-1, column.width))[chosen],
            np.array(self._epochs, dtype=np.int64)[facts][chosen],
            np.array(self._times, dtype=np.float64)[facts][chosen],
            branches[chosen],
            fits[chosen],
        )


def _quantiles(numbers: list[Number] | None) -> FloatArray:
    if numbers is None or len(numbers) != _COUNT:
        return np.full(_COUNT, np.nan)
    return list_from_wire(numbers)
