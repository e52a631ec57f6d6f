"""The best value of each metric of the epochs, and the epoch that it came in."""

import math
import re
from functools import lru_cache

from msgspec import Struct, field

from tuimon.protocol import events
from tuimon.protocol.wire import from_wire

LOWER_IS_BETTER = frozenset(
    (
        "loss",
        "mean_squared_error",
        "mse",
        "root_mean_squared_error",
        "rmse",
        "mean_absolute_error",
        "mae",
        "mean_absolute_percentage_error",
        "mape",
        "mean_squared_logarithmic_error",
        "msle",
        "logcosh",
        "log_cosh",
        "binary_crossentropy",
        "bce",
        "categorical_crossentropy",
        "crossentropy",
        "kl_divergence",
        "kld",
        "poisson",
        "hinge",
        "squared_hinge",
        "categorical_hinge",
        "perplexity",
    )
)
"""Names of which a smaller value is better; `sparse_categorical_crossentropy` and its like end in one of them."""
HIGHER_IS_BETTER = frozenset(
    (
        "accuracy",
        "acc",
        "auc",
        "precision",
        "recall",
        "sensitivity",
        "specificity",
        "precision_at_recall",
        "recall_at_precision",
        "sensitivity_at_specificity",
        "specificity_at_sensitivity",
        "f1",
        "f1_score",
        "fbeta_score",
        "iou",
        "io_u",
        "r2_score",
        "cosine_similarity",
        "pearson_correlation",
        "concordance_correlation",
    )
)
"""Names of which a larger value is better; `binary_accuracy`, `mean_io_u` and their like end in one of them."""
SHOWN = ("val_loss", "loss")
"""Where one best value is shown, it is that of the first of these that has one."""
KINDS: tuple[type[events.AnyEvent], ...] = (
    events.EpochEnded,
    events.FitStarted,
    events.CommandApplied,
    events.CheckpointSaved,
    events.RolledBack,
    events.RunResumed,
)
"""The facts that `Bests.add` needs; all others change nothing."""
_TURNED_ROUND = frozenset(("neg", "negative", "minus", "inverse", "false"))
_NUMBERED = re.compile(r"_\d+$")


@lru_cache(maxsize=1024)
def is_lower_better(name: str) -> bool | None:
    """Return whether a smaller value of a metric is better; None where its name does not say.

    The names are those of Keras' metrics, as `keras.callbacks.ModelCheckpoint(mode="auto")` decides by the metric's
    own direction, which the log does not have. Keras writes `val_` and the name of the output before them, and a
    number behind them.

    Example:
        >>> is_lower_better("val_head_loss"), is_lower_better("val_auc_1"), is_lower_better("learning_rate")
        (True, False, None)
    """
    parts = _NUMBERED.sub("", name.lower()).split("_")
    if not _TURNED_ROUND.isdisjoint(parts):
        return None
    # The longest end that is known: the name of an output comes first.
    for start in range(len(parts)):
        end = "_".join(parts[start:])
        if end in LOWER_IS_BETTER or end in HIGHER_IS_BETTER:
            return end in LOWER_IS_BETTER
    return None


class Best(Struct, frozen=True):
    """The best value of one metric."""

    value: float
    epoch: int
    """The epoch that it came in, counted from 0."""
    step: int
    """Train steps completed when that epoch ended."""


class _Path(Struct, frozen=True):
    """What is known on a way to weights, per metric."""

    found: dict[str, list[Best]] = field(default_factory=dict)
    """Each value that was the best when it came."""
    left_out: dict[str, list[int]] = field(default_factory=dict)
    """The steps at which epochs ended whose value is none of the metric, because of the learning phase."""


class Bests:
    """The best values on the way that led to the present weights.

    A rollback or a resumption undoes the epochs that ended after its checkpoint was made: their weights are no longer
    on that way. Those before it stay, also if the checkpoint is of a branch that was left earlier. A `fit` of another
    model begins anew.

    A value that is not finite is never best; of equal values the first is. With `phase inference` metrics of training
    are not those of training, with `phase train` metrics of validation are not those of validation: none of such an
    epoch is best.

    Example:
        >>> bests = Bests()
        >>> for epoch, loss in enumerate((0.5, 0.25, 0.375)):
        ...     bests.add(events.EpochEnded(logs={"val_loss": loss}, learning_rate=0.1, seconds=1.0, epoch=epoch))
        >>> bests.values
        {'val_loss': Best(value=0.25, epoch=1, step=0)}
    """

    def __init__(self) -> None:
        self._path: _Path | None = _Path()
        """None: facts were skipped, so nothing is known."""
        self._path_of: dict[str, _Path | None] = {}
        """The way on which each checkpoint was made, by its name."""
        self._phases = {"auto"}
        """The learning phases since the last epoch ended, the present one included."""
        self._phase = "auto"

    @property
    def is_known(self) -> bool:
        """False where facts were skipped: then a better value may be among them."""
        return self._path is not None

    @property
    def values(self) -> dict[str, Best]:
        """The best value of each metric by name, of metrics with a known direction; empty while nothing is known."""
        return {name: found[-1] for name, found in self._found.items()}

    @property
    def shown(self) -> tuple[str, Best] | None:
        """The metric and the best value to show where there is room for one, by `SHOWN`; None while there is none."""
        return next(((name, self._found[name][-1]) for name in SHOWN if name in self._found), None)

    def left_out(self, name: str) -> str:
        """Return how many epochs cannot be the best ones of a metric, and why, in words; empty where none is left out.

        Example:
            "3 epochs with learning phase train are left out: batch statistics made their val_loss"
        """
        epochs = len(self._path.left_out.get(name, ())) if self._path is not None else 0
        if not epochs:
            return ""
        phase, by = ("train", "batch statistics") if name.startswith("val_") else ("inference", "inference mode")
        counted = "1 epoch" if epochs == 1 else f"{epochs:,} epochs"
        verb, whose = ("is", "its") if epochs == 1 else ("are", "their")
        return f"{counted} with learning phase {phase} {verb} left out: {by} made {whose} {name}"

    def as_fields(self) -> dict[str, dict[str, float | int]]:
        """Return `values` for JSON: ``{metric: {"value", "epoch"}}``, epochs from 0."""
        return {name: {"value": best.value, "epoch": best.epoch} for name, best in self.values.items()}

    def add(self, event: events.AnyEvent) -> None:
        """Take a fact into account, in the order of the log; most facts change nothing."""
        match event:
            case events.EpochEnded():
                self._end_epoch(event)
                self._phases = {self._phase}
            case events.FitStarted():
                if not event.same_model:
                    self._path = _Path()
                self._phase, self._phases = event.phase, {event.phase}
            case events.CommandApplied():
                self._phase = event.phase
                self._phases.add(event.phase)
            case events.CheckpointSaved():
                # Its fact may come behind the epoch in which it was made: only a rollback says at which step.
                self._path_of[event.name] = self._path
            case events.RolledBack() | events.RunResumed():
                # A checkpoint without a fact: the trainer was killed before it was told. It is of the last way.
                self._go_back(self._path_of.get(event.checkpoint, self._path), event.to_step)

    def skip(self) -> None:
        """Note that facts are left out: which epoch was best is not known until training begins anew."""
        self._path = None

    @property
    def _found(self) -> dict[str, list[Best]]:
        return self._path.found if self._path is not None else {}

    def _end_epoch(self, event: events.EpochEnded) -> None:
        if self._path is None:
            return
        for name, number in event.logs.items():
            value, is_lower = from_wire(number), is_lower_better(name)
            is_other = self._phase == "train" if name.startswith("val_") else "inference" in self._phases
            if is_lower is None or not math.isfinite(value):
                continue
            if is_other:
                self._path.left_out.setdefault(name, []).append(event.step)
                continue
            found = self._path.found.setdefault(name, [])
            if not found or (value < found[-1].value if is_lower else value > found[-1].value):
                found.append(Best(value, event.epoch, event.step))

    def _go_back(self, path: _Path | None, step: int) -> None:
        if path is None:
            self._path = None
            return
        kept = {name: [best for best in found if best.step <= step] for name, found in path.found.items()}
        left_out = {name: [each for each in steps if each <= step] for name, steps in path.left_out.items()}
        self._path = _Path({name: found for name, found in kept.items() if found}, left_out)
