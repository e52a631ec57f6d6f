"""What a list says of one run: state, progress, best values, parameters, tags."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from tuimon.runs import end_reasons
from tuimon.runs.best import SHOWN, Best
from tuimon.runs.facts_in_words import log_trouble
from tuimon.runs.fits import Fits
from tuimon.runs.glance import Glance, why_unreadable
from tuimon.runs.listing.parameters import RATE, Value, config_of, is_named, parameters_of
from tuimon.runs.listing.tags import BASELINE, Tags, read_tags
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.series import Series
from tuimon.runs.state import RunState


class Summary(Struct, frozen=True):
    """One run in a list."""

    path: Path
    """The path of its directory."""
    status: str
    """The word of `liveness.status`; empty if it is not known."""
    epoch: int | None = None
    """The epoch under way, counted from 0; None before the first step."""
    step: int = 0
    """Train steps completed."""
    fits: Fits = field(default_factory=Fits)
    """Its fits, with their numbers."""
    started: float | None = None
    """The time at which the run began, Unix seconds; None while not known."""
    updated: float | None = None
    """The time of its newest fact; None while there is none."""
    loss: float | None = None
    """The newest loss; None while not known."""
    val_loss: float | None = None
    """The newest validation loss; None while not known."""
    best: Mapping[str, Best] = field(default_factory=dict)
    """The best value of each metric whose name says what is better; empty while not known."""
    is_best_known: bool = True
    """False where a part of the log was left out, so that a better value may be there."""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    """What it was made with, as far as the log says."""
    tags: Tags = field(default_factory=Tags)
    """What people wrote about it."""
    seconds_without_step: float | None = None
    """How long ago the last step was made, where it trains and that is longer than usual; else None."""
    facts_lost: int = 0
    """How many facts are missing from its log, as far as that was read."""
    log_trouble: str = ""
    """Why its trainer could not write the log any further at the newest line; empty if it could."""
    reason: str = ""
    """Why it failed, or what stopped it, in one line; empty where that is not known."""
    stopped_by: str = ""
    """What stopped it, such as a signal, in few words; empty for a request, and where it is not known."""
    trouble: str = ""
    """Why the run cannot be read; empty if it can."""

    @property
    def name(self) -> str:
        """The name of its directory."""
        return self.path.name

    @property
    def shown_best(self) -> tuple[str, Best] | None:
        """The metric and the best value to show where there is room for one; None where none is known."""
        return next(((name, self.best[name]) for name in SHOWN if name in self.best), None)

    @property
    def epoch_words(self) -> str:
        """The epoch under way: "epoch 3", or "fit 2, epoch 3"; empty before the first step."""
        return "" if self.epoch is None else self.fits.newest_epoch_words(self.epoch)

    def value_of(self, key: str) -> Value | None:
        """Return a value by the name that a person has for it; None where it is not known.

        Args:
            key: ``name``, ``state``, ``epoch`` (from 1), ``step``, ``started``, ``updated``, ``note``, ``tags``,
                ``best``, a metric (its best value), or a parameter.
        """
        fixed: dict[str, Value | None] = {
            "name": self.name,
            "state": self.status or None,
            "epoch": None if self.epoch is None else self.epoch + 1,
            "step": self.step,
            "started": self.started,
            "updated": self.updated,
            "note": self.tags.note or None,
            "tags": " ".join(self.tags.tags) or None,
            "best": self.shown_best[1].value if self.shown_best else None,
        }
        if key.lower() in fixed:
            return fixed[key.lower()]
        if key in self.best:
            return self.best[key].value
        return next((value for name, value in self.parameters.items() if is_named(name, key)), None)


def summary_of(run: RunDirectory, state: RunState, status: str) -> Summary:
    """Return what a list says of a run whose whole log is folded.

    Args:
        run: The run; its config and its tags are read.
        state: What its log says.
        status: The word of `liveness.status`.
    """
    loss = _last(state.epoch_metrics.get("loss"))
    has_config = state.run is not None and bool(state.run.config)
    return Summary(
        run.path,
        status,
        epoch=state.epoch if state.step else None,
        step=state.step,
        fits=state.fits,
        started=next((entry.time for entry in state.timeline), None),
        updated=state.last_time,
        loss=_last(state.batch_metrics.get("loss")) if loss is None else loss,
        val_loss=_last(state.epoch_metrics.get("val_loss")),
        best=state.best.values,
        is_best_known=state.best.is_known,
        parameters=parameters_of(state, None if has_config else config_of(run)),
        tags=read_tags(run.path),
        facts_lost=sum(state.dropped.values()),
        log_trouble="" if state.ended else log_trouble(state),
        reason=end_reasons.of_ended(state.ended),
        stopped_by=end_reasons.stopped_by(state.ended),
    )


def glanced(glance: Glance, now: float) -> Summary:
    """Look at a run, and return what a list says of it.

    Args:
        glance: The run.
        now: The time, Unix seconds.
    """
    trouble = glance.try_look()
    if trouble:
        return Summary(glance.run.path, "", trouble=trouble)
    try:
        return _glanced(glance, now)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other runs are listed.
        return Summary(glance.run.path, "", trouble=why_unreadable(error))


def _glanced(glance: Glance, now: float) -> Summary:
    summary = summary_of(glance.run, glance.state, glance.status(now))
    parameters = dict(summary.parameters)
    if len(glance.state.learning_rates):
        # The state has the newest rates alone.
        parameters.pop(RATE, None)
        if glance.first_learning_rate is not None:
            parameters = {RATE: glance.first_learning_rate, **parameters}
    late = glance.seconds_without_step(now)
    return replace(summary, started=glance.started, parameters=parameters, seconds_without_step=late)


def baseline_of(runs: Iterable[Summary]) -> Summary | None:
    """Return the run that the others are compared with: of those with the tag, the newest; None where none has it."""
    tagged = [run for run in runs if BASELINE in run.tags.tags]
    return max(tagged, key=lambda run: (run.started or 0.0, run.name), default=None)


def _last(series: Series | None) -> float | None:
    return series.last if series is not None else None
