"""The causes of validation losses that stand out: R11."""

import functools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from tuimon.diagnosis.finding import Finding
from tuimon.diagnosis.history import beginning, epoch_begin
from tuimon.diagnosis.layers import request
from tuimon.diagnosis.outlier_batch import Outlier, outliers
from tuimon.diagnosis.validation_spike import limits
from tuimon.numbers import figure, learning_rate
from tuimon.protocol import commands
from tuimon.protocol.wire import FloatArray, Number, from_wire, list_from_wire, to_wire
from tuimon.runs.series import IntArray
from tuimon.runs.state import Command, RunState
from tuimon.text import plain

METRIC = "val_loss"
SCANNED = 500
"""How many of the newest epochs are looked at."""
BACK = 2 / 3
"""A cause counts if taking it away removes this share of the rise."""
JUMPED = 0.5
"""The weights went too far if the training loss rises by this share of the validation loss's rise."""
INTERVAL = 0.95
"""Confidence of the bootstrap's interval."""
RESAMPLES = 400
"""Samples that the bootstrap draws."""
FEWEST_BATCHES = 8
"""With fewer batches, the bootstrap says nothing."""
RATE_ROSE = 2.0
"""A learning rate that is so many times the lowest of the epochs before may take the loss up."""
RATE_EPOCHS = 3
"""So many epochs before are compared."""

NO_LAG = 0.5
"""With a lower momentum the moving statistics are those of the last batches: what is wrong with them is noise."""
LOWEST_ADVISED = 0.9
"""A momentum that is no higher is not to be lowered."""

CHANGES = (commands.Freeze, commands.Unfreeze, commands.Phase, commands.Momentum, commands.LearningRate)
"""Requests that may move the validation loss by themselves."""

Cause = Literal[
    "a batch far from the others",
    "moving statistics lag",
    "noise of the moving statistics",
    "a few examples",
    "sampling noise",
    "an optimizer step too far",
    "a higher learning rate",
    "unexplained",
]
FAR: Cause = "a batch far from the others"
LAGGING: Cause = "moving statistics lag"
NOISY: Cause = "noise of the moving statistics"
MEANT: tuple[Cause, ...] = ("sampling noise", "a higher learning rate")
"""A note is enough for these: chance, and what a schedule or somebody meant."""

ADVICE: dict[Cause, tuple[str, str]] = {
    FAR: ("look at the data of that batch, and recalibrate", "recalibrate"),
    LAGGING: ("take a lower momentum for BatchNormalization, or recalibrate", "momentum 0.9"),
    NOISY: (
        "take a higher momentum for BatchNormalization, such as 0.99: the moving statistics are those of the last "
        "batches",
        "momentum 0.99",
    ),
    "a few examples": ("look at the examples with the highest loss: labels, scale, rare cases", ""),
    "sampling noise": ("within sampling noise; validate on more data", ""),
    "an optimizer step too far": ("lower the learning rate, or clip the gradients", "lr"),
    "a higher learning rate": ("none is needed if the schedule means it; else lower the learning rate", "lr"),
    "unexplained": ("cause unknown: a probe and a checkpoint right behind such a spike tell more", "probe"),
}
"""By cause: what to do, and the request that helps."""


class Spike(Struct, frozen=True):
    """A validation loss that stands out."""

    epoch: int
    """The epoch, from 0."""
    step: int
    """The step at the end of that epoch."""
    metric: str
    """The metric's name in Keras' logs."""
    value: float
    """The value that stood out."""
    level: float
    """The median of the epochs before."""
    threshold: float
    """A value above this stands out."""
    cause: Cause
    """The first of the causes that holds."""
    evidence: dict[str, Number]
    """The numbers that this rests on."""

    @property
    def rise(self) -> float:
        """How far it is above the level."""
        return self.value - self.level


def spikes(state: RunState) -> list[Spike]:
    """Return the validation losses of the newest `SCANNED` epochs that stand out, in order, each with its cause.

    Epochs in a learning phase that somebody asked for are left out: what their losses do, was asked for. So are those
    of another model in an earlier `fit`. Of several epochs on end it is the highest. What stands out,
    `tuimon.diagnosis.validation_spike` defines. The causes are tried in this order, the first that holds is taken:

    1. *A batch far from the others*: one has moved the moving statistics of a layer (R21), in this epoch or in the one
       before it.
    2. *Moving statistics lag*: validation repeated with batch statistics is back near the level, that is `BACK` of the
       rise is gone. Where it was not repeated, the probes: inference on the held training batch jumped, with batch
       statistics it did not. With a momentum below `NO_LAG` they do not lag: it is *noise of the moving statistics*.
    3. *A few examples*: without the highest 1 % of the examples, the mean is back.
    4. *Sampling noise*: the old level lies inside the bootstrap interval (`INTERVAL`) of the mean of the losses of the
       validation's batches.
    5. *An optimizer step too far*: the probe's inference loss on the held training batch rose as well, by `JUMPED` of
       the rise, and so it did with batch statistics.
    6. *A higher learning rate*: at the end of the epoch or of the one before it is at least `RATE_ROSE` times the
       lowest of the `RATE_EPOCHS` epochs before, as after a warm restart.
    7. *Unexplained*.
    """
    series = state.epoch_metrics.get(METRIC)
    if series is None:
        return []
    is_told = np.isfinite(series.values) & (series.steps > beginning(state)) & ~_is_forced(state, series.steps)
    finite = np.flatnonzero(is_told)
    values = series.values[finite]
    limit = limits(values, newest=SCANNED)
    first = len(values) - len(limit.levels)
    with np.errstate(invalid="ignore"):
        above = np.flatnonzero(values[first:] > limit.thresholds)
    found = []
    far = outliers(state) if len(above) else []
    for group in np.split(above, np.flatnonzero(np.diff(above) > 1) + 1) if len(above) else ():
        row = int(group[np.argmax(values[first + group])])
        step = int(series.steps[finite[first + row]])
        number = int(np.searchsorted(state.epoch_numbers.steps, step))
        epoch = int(state.epoch_numbers.values[number]) if number < len(state.epoch_numbers) else -1
        value, level = float(values[first + row]), float(limit.levels[row])
        cause, evidence = _cause(state, far, epoch, step, value, level)
        found.append(Spike(epoch, step, METRIC, value, level, float(limit.thresholds[row]), cause, evidence))
    return found


def _is_forced(state: RunState, steps: IntArray) -> npt.NDArray[np.bool_]:
    """Return whether each step is the end of an epoch in a learning phase that somebody asked for."""
    ends = state.epoch_phases.steps
    rows = np.minimum(np.searchsorted(ends, steps), max(len(ends) - 1, 0))
    return np.asarray(state.epoch_phases.values[rows] > 0) if len(ends) else np.zeros(len(steps), bool)


def findings(state: RunState) -> Iterator[Finding]:
    """R11: the validation loss spikes.

    Threshold: that of `tuimon.diagnosis.validation_spike`. One finding sums them up; a note if each is sampling noise
    or comes with a higher learning rate. The advice is for the cause of the worst one.

    Source: a robust z-score (Hampel, "The Influence Curve and Its Role in Robust Estimation", 1974), the bootstrap
    (Efron 1979); keras#10666 (validation loss goes up and down with BatchNormalization, a momentum of 0.9 helps).
    """
    found = spikes(state)
    if all(spike.cause == FAR for spike in found):
        # R21 tells of it.
        return
    serious = [spike for spike in found if spike.cause not in MEANT]
    worst = max(serious or found, key=lambda spike: spike.rise)
    counts = Counter(spike.cause for spike in found)
    advice, helps = _advice(state, worst.cause)
    causes = ", ".join(
        f"{'all' if count == len(found) > 1 else count} {_in_words(cause)}" for cause, count in counts.most_common()
    )
    reason, epoch = _reason(state, worst), f"in {state.fits.epoch_words(worst.epoch, worst.step)}"
    times = f"{len(found)} times ({causes}), at worst {epoch}"
    where = times if len(found) > 1 else f"once, {epoch} ({_in_words(worst.cause)})"
    yield Finding(
        rule="R11",
        severity="warning" if serious else "info",
        step=worst.step,
        what=f"the validation loss spiked {where}: {figure(worst.value, 3)} instead of {figure(worst.level, 3)}"
        + (f"; {reason}" if reason else ""),
        evidence={
            "spikes": len(found),
            "worst_epoch": worst.epoch + 1,
            "validation_loss": to_wire(worst.value),
            "level_before": to_wire(worst.level),
            "threshold": to_wire(worst.threshold),
            **worst.evidence,
        },
        advice=advice,
        request=_request(state, helps),
        weight=0.5,
    )


def _cause(
    state: RunState, far: list[Outlier], epoch: int, step: int, value: float, level: float
) -> tuple[Cause, dict[str, Number]]:
    begin = epoch_begin(state, step, epochs=2)
    if batch := next((each for each in far if each.until > begin and each.after < step), None):
        return FAR, {"after_step": batch.after, "until_step": batch.until}
    evidence: dict[str, Number] = {}
    for cause, holds, numbers in _tried(state, epoch, step, value, level):
        evidence |= numbers
        if holds:
            return (NOISY if cause == LAGGING and _lowest_momentum(state) < NO_LAG else cause), evidence
    return "unexplained", evidence


def _tried(
    state: RunState, epoch: int, step: int, value: float, level: float
) -> Iterator[tuple[Cause, bool, dict[str, Number]]]:
    """Yield each cause that can be looked into, whether it holds, and the numbers that say so."""
    rise = value - level
    repeated = state.repeated_validations.get(epoch)
    if repeated is not None and repeated.step != step:
        repeated = None  # Of an epoch of the same number in another `fit`.
    if repeated is not None and not abs(from_wire(repeated.moving) - value) <= (1 - BACK) * rise:
        repeated = None  # Not the same data, where they are drawn anew each time.
    if repeated is not None and np.isfinite(batch := from_wire(repeated.batch)):
        yield "moving statistics lag", value - batch >= BACK * rise, {"with_batch_statistics": batch}
    jump = _jump(state, step)
    if jump is not None:
        inference, with_batch = jump
        lags = repeated is None and inference >= JUMPED * rise and with_batch <= (1 - BACK) * inference
        numbers: dict[str, Number] = {"rise_of_training_batch": inference, "rise_with_batch_statistics": with_batch}
        yield "moving statistics lag", lags, numbers
    if repeated is not None and repeated.highest and np.isfinite(without := from_wire(repeated.without_highest)):
        numbers = {"without_highest": without, "highest_examples": repeated.highest}
        yield "a few examples", value - without >= BACK * rise, numbers
    if (interval := _interval_of(state, epoch, step)) is not None:
        yield "sampling noise", interval[0] <= level, {"interval_low": interval[0], "interval_high": interval[1]}
    if jump is not None:
        went_too_far = jump[0] >= JUMPED * rise and jump[1] > (1 - BACK) * jump[0]
        yield "an optimizer step too far", went_too_far, {}
    if (rates := _rates(state, step)) is not None:
        before, rate = rates
        yield (
            "a higher learning rate",
            rate > before and rate >= RATE_ROSE * before,
            {"learning_rate": rate, "learning_rate_before": before},
        )


def _rates(state: RunState, step: int) -> tuple[float, float] | None:
    """Return the lowest learning rate of the epochs before, and the highest at the ends of an epoch and the last one.

    The end of an epoch shows the rate of the next step. None: they are not known.
    """
    steps, values = state.learning_rates.steps, state.learning_rates.values
    end = int(np.searchsorted(steps, step, side="right"))
    newest, before = values[max(end - 2, 0) : end], values[max(end - 2 - RATE_EPOCHS, 0) : max(end - 2, 0)]
    if not len(before) or not (np.isfinite(newest).all() and np.isfinite(before).all()):
        return None
    return float(before.min()), float(newest.max())


def _jump(state: RunState, step: int) -> tuple[float, float] | None:
    """Return what the losses of the held training batch rose by, with moving and with batch statistics.

    From the newest probe before the epoch to the first at its end; None: there are not both.
    """
    ends, steps = state.epoch_numbers.steps, state.gap_parts["inference"].steps
    number, begin = int(np.searchsorted(ends, step)), epoch_begin(state, step)
    end = int(ends[number + 1]) if number + 1 < len(ends) else step
    before, after = int(np.searchsorted(steps, begin, side="right")) - 1, int(np.searchsorted(steps, step))
    if before < 0 or after >= len(steps) or steps[after] > max(end - 1, step):
        return None
    inference = state.gap_parts["inference"].values
    batch = inference + state.gap_parts["batch_norm"].values
    rises = float(inference[after] - inference[before]), float(batch[after] - batch[before])
    return rises if all(map(np.isfinite, rises)) else None


def _interval_of(state: RunState, epoch: int, step: int) -> tuple[float, float] | None:
    batches = state.validation_history.get(epoch)
    if batches is None or batches.step != step:  # Of an epoch of the same number in another `fit`.
        return None
    losses = list_from_wire(batches.metrics.get("loss", []))
    if len(losses) < FEWEST_BATCHES or not np.isfinite(losses).all():
        return None
    return _bootstrap(losses.tobytes())


@functools.lru_cache(maxsize=512)
def _bootstrap(losses: bytes) -> tuple[float, float]:
    """Return the interval of the mean of losses (float64), from resamples that are always the same."""
    values: FloatArray = np.frombuffer(losses)
    generator = np.random.default_rng(0)
    means = values[generator.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    return float(low), float(high)


def _lowest_momentum(state: RunState) -> float:
    """Return the lowest momentum of the layers, as the model has it or as a request set it."""
    momenta = [
        min(history.layer.momentum, state.momentum.get(path, history.layer.momentum))
        for path, history in state.layers.items()
    ]
    return min(momenta, default=math.inf)


def _advice(state: RunState, cause: Cause) -> tuple[str, str]:
    """Return what to do, and the request that helps."""
    if cause == "unexplained" and state.run is not None and state.run.source:
        return "cause unknown; `tuimon.Monitor` records what can tell it", ""
    if cause == LAGGING and _lowest_momentum(state) <= LOWEST_ADVISED:
        return (
            "recalibrate before validation, or take a smaller learning rate: the weights move too fast",
            "recalibrate",
        )
    return ADVICE[cause]


def _in_words(cause: Cause) -> str:
    return cause if cause == "unexplained" else f"from {cause}"


def _request_before(state: RunState, step: int) -> Command | None:
    """Return the newest request that changed how the model computes or learns, within the epoch up to ``step``."""
    begin = epoch_begin(state, step)
    asked = (entry for entry in reversed(state.timeline) if isinstance(entry, Command) and entry.applied)
    return next((each for each in asked if begin <= each.step <= step and isinstance(each.request, CHANGES)), None)


def _reason(state: RunState, spike: Spike) -> str:
    evidence = spike.evidence
    match spike.cause:
        case "a batch far from the others":
            return f"it came between steps {evidence['after_step']:,} and {evidence['until_step']:,}"
        case "moving statistics lag" | "noise of the moving statistics" if "with_batch_statistics" in evidence:
            return f"with batch statistics it is {figure(evidence['with_batch_statistics'], 3)}"
        case "moving statistics lag" | "noise of the moving statistics":
            return "with batch statistics, a training batch shows no rise"
        case "a few examples":
            without = figure(evidence["without_highest"], 3)
            return f"without the {evidence['highest_examples']} with the highest loss it is {without}"
        case "sampling noise":
            return (
                f"its 95 % interval is {figure(evidence['interval_low'], 3)} to {figure(evidence['interval_high'], 3)}"
            )
        case "a higher learning rate":
            return (
                f"the learning rate went from {learning_rate(from_wire(evidence['learning_rate_before']))} to "
                f"{learning_rate(from_wire(evidence['learning_rate']))}"
            )
        case "an optimizer step too far":
            return f"the loss of a held training batch rose by {figure(evidence['rise_of_training_batch'], 3)} as well"
        case _:
            asked = _request_before(state, spike.step)
            return f"“{plain(asked.words, 100)}” was applied in that epoch" if asked is not None else ""


def _request(state: RunState, helps: str) -> str:
    if helps == "lr":
        rate = state.learning_rate
        return request(state, "lr", learning_rate(rate / 2)) if rate is not None and 0 < rate < np.inf else ""
    command, *arguments = helps.split() or [""]
    return request(state, command, *arguments) if command else ""
