"""Values that are not finite, not positive, or far too large: R5 and R12."""

from collections.abc import Iterator, Mapping

import numpy as np
from msgspec import Struct

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.history import beginning, finite_since
from tuimon.diagnosis.layers import request
from tuimon.numbers import figure
from tuimon.protocol.wire import FloatArray, Number, to_wire
from tuimon.runs.series import Series
from tuimon.runs.state import LayerHistory, RunState

FEWEST_EPOCHS = 3
"""The losses of fewer epochs are not compared."""
EXPLODED = 9.0
"""A loss has exploded if it is ten times as large as at the start."""

# --- R5: the moving variance ----------------------------------------------------------------------------------------


def bad_variances(state: RunState) -> Iterator[Finding]:
    """R5: a moving variance is not finite, or negative.

    Threshold: any channel. In inference mode the layer divides by its root; training mode does not use it, so the
    training loss shows nothing. Zero alone is a dead channel (R8): what is left after enough steps without variance.

    Source: keras#9646 (moving mean becomes NaN), Ioffe & Szegedy 2015, algorithm 2.
    """
    for path, history in state.layers.items():
        if history.latest is None:
            continue
        rows = history.moving_variance.rows
        smallest, largest = rows[-1].min(), rows[-1].max()  # NaN if any quantile is.
        if np.isfinite(smallest) and np.isfinite(largest) and smallest >= 0:
            continue
        bad = ~np.isfinite(rows).all(axis=1) | (rows.min(axis=1) < 0)
        first = int(history.moving_variance.steps[int(np.argmax(bad))])
        is_finite = bool(np.isfinite(rows[-1]).all())
        yield Finding(
            rule="R5",
            severity="error",
            layer=path,
            step=first,
            what=f"the moving variance of {path} is {'negative' if is_finite else 'not finite'}: "
            "in inference mode the layer divides by its root, and what it gives is of no use",
            evidence={
                "moving_variance_min": to_wire(float(rows[-1, 0])),
                "moving_variance_max": to_wire(float(rows[-1, -1])),
                "non_finite_channels": history.latest.non_finite,
                "channels": history.layer.channels,
            },
            advice="estimate the statistics afresh, and look in the training data for values that are not finite, or "
            "so large that their squares are not"
            if not is_finite
            else "estimate the statistics afresh, and look at momentum and at the weights that were loaded",
            request=request(state, "recalibrate"),
            weight=0.8,
        )


# --- R12: losses and metrics ----------------------------------------------------------------------------------------


class _Broken(Struct, frozen=True):
    """A metric with values that are not finite."""

    name: str
    first_step: int
    value: float
    count: int
    of: int
    last: float
    risen: tuple[float, float] | None
    """From where to where the last finite values rose, each above the one before; None: not tenfold."""

    @property
    def is_loss(self) -> bool:
        return self.name.endswith("loss")

    @property
    def is_over(self) -> bool:
        return bool(np.isfinite(self.last))


def non_finite_losses(state: RunState) -> Iterator[Finding]:
    """R12: a loss or a metric is not finite; with the first step and the first layer in the order of the model.

    Threshold: one value of a loss; a metric that is no loss (AUC of one class, say, has no value) only where the newest
    value is not finite either. The step is exact where each batch's own value is known: the loss of the first batch of
    a run has step 0. An error while the newest value is not finite; else a warning. If the last finite values rose,
    each above the one before, by more than `EXPLODED` times what they rose from, the loss exploded: then no value of
    the data need be wrong.

    Source: IEEE 754: what is NaN or infinite stays so through sums, and so through weights.
    """
    series: dict[str, Series] = dict(state.batch_metrics)
    for name, metric in (*state.running_metrics.items(), *state.epoch_metrics.items()):
        series.setdefault(name, metric)
    broken = [
        found for found in map(_broken, series, series.values()) if found and (found.is_loss or not found.is_over)
    ]
    if not broken or (all(found.name.startswith("val_") for found in broken) and any(bad_variances(state))):
        return  # What is wrong in validation alone, a layer's variance explains.
    first = min(broken, key=lambda found: (found.first_step, not found.is_loss, found.name.startswith("val_")))
    newest_is_bad = any(not found.is_over for found in broken)
    layer = next((path for path, each in state.layers.items() if each.latest and each.latest.non_finite), None)
    others = sorted({found.name for found in broken} - {first.name})
    evidence: dict[str, Number] = {
        "first_step": first.first_step,
        "first_value": to_wire(first.value),
        "values_not_finite": first.count,
        "of_values": first.of,
        "metrics_not_finite": len(broken),
    }
    if layer is not None:
        evidence["non_finite_channels"] = _non_finite(state.layers, layer)
    where = f"; {layer} is the first layer with channels that are not finite" if layer else ""
    also = f", like {' and '.join(others[:2])}" if others and newest_is_bad else ""
    rose = ""
    if first.risen is not None:
        low, high = first.risen
        evidence |= {"rose_from": to_wire(low), "rose_to": to_wire(high)}
        rose = f"; before that it rose from {figure(low, 3)} to {figure(high, 3)}"
    since = "since" if newest_is_bad else "at"
    again = "" if newest_is_bad else ", and finite again since"
    yield Finding(
        rule="R12",
        severity="error" if newest_is_bad else "warning",
        layer=layer,
        step=first.first_step,
        what=f"{first.name} is {_word(first.value)} {since} step {first.first_step:,}{also}{again}{rose}{where}",
        evidence=evidence,
        advice=_advice(state, first),
        request=request(state, "rollback") if newest_is_bad and state.checkpoints else "",
        weight=1.0,
    )


def exploded(state: RunState) -> Iterator[Finding]:
    """R12: the loss has risen far above where it began.

    Threshold: of at least `FEWEST_EPOCHS` epochs, the newest training loss is above the first one by more than
    `EXPLODED` times the size of the first, and by more than twice the fall to the best one.

    Source: Goodfellow, Bengio & Courville, "Deep Learning", 2016, section 8.2.4 (cliffs and exploding gradients).
    """
    steps, losses = finite_since(state, "loss", beginning(state))
    if len(losses) < FEWEST_EPOCHS:
        return
    first, best, newest = float(losses[0]), int(np.argmin(losses)), float(losses[-1])
    if not newest - first > max(EXPLODED * abs(first), 2 * (first - float(losses[best]))):
        return
    back = "go back to a checkpoint and lower" if state.checkpoints else "lower"
    yield Finding(
        rule="R12",
        severity="error",
        step=int(steps[-1]),
        what=f"the loss has exploded: it is {figure(newest, 3)}, and was {figure(losses[best], 3)} at step "
        f"{steps[best]:,}",
        evidence={
            "first_loss": to_wire(first),
            "best_loss": to_wire(float(losses[best])),
            "newest_loss": to_wire(newest),
            "learning_rate": to_wire(state.learning_rate),
        },
        advice=f"{back} the learning rate, or clip the gradient (`clipnorm`)",
        request=request(state, "rollback") if state.checkpoints else "",
        weight=1.0,
    )


def _broken(name: str, series: Series) -> _Broken | None:
    values = series.values
    bad = ~np.isfinite(values)
    count = int(np.count_nonzero(bad))
    if not count:
        return None
    first = int(np.argmax(bad))
    step, value, last = int(series.steps[first]), float(values[first]), float(values[-1])
    return _Broken(name, step, value, count, len(values), last, _risen(values[:first]))


def _risen(values: FloatArray) -> tuple[float, float] | None:
    """Return from where to where the last values have risen, each above the one before; None: not tenfold."""
    falls = np.flatnonzero(np.diff(values) <= 0)
    start = int(falls[-1]) + 1 if len(falls) else 0
    if start >= len(values) - 1:
        return None
    low, high = float(values[start]), float(values[-1])
    return (low, high) if high - low > EXPLODED * abs(low) else None


def _non_finite(layers: Mapping[str, LayerHistory], path: str) -> int:
    latest = layers[path].latest
    return latest.non_finite if latest is not None else 0


def _word(value: float) -> str:
    return "NaN" if np.isnan(value) else "infinite"


def _advice(state: RunState, first: _Broken) -> str:
    if first.name.startswith("val_"):
        return "look for values that are not finite in the validation data, and at the layers' moving statistics"
    batch = f"batch {first.first_step:,} of the run" if first.name in state.batch_metrics else "the batches before it"
    back = "go back to a checkpoint" if state.checkpoints else "begin anew"
    if first.risen is not None:
        return f"{back} with a smaller learning rate, or clip the gradient (`clipnorm`): it exploded"
    return (
        f"look at the data of {batch} for values that are not finite, at logarithms, roots and divisions in the loss, "
        f"then {back} with a smaller learning rate or with clipping"
    )
