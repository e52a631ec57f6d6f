"""A moment: all that a screen is drawn from, the folded log and the time."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from tuimon.numbers import count, duration
from tuimon.protocol.events import CheckpointSaved
from tuimon.protocol.wire import from_wire
from tuimon.runs.run_directory import Blind
from tuimon.runs.state import OVER, LayerHistory, RunState
from tuimon.text import plain

Hold = Literal["frozen", "statistics", "nothing"]
"""What of a layer is held: everything, the moving statistics alone, nothing."""
READING = "reading the log"
"""The status of a run until its log is read to the end."""


class Asked(Struct, frozen=True):
    """A request of this viewer that no fact has answered yet."""

    id: str
    """Identifier of the request."""
    words: str
    """The request in words: "freeze bn_1"."""
    time: float
    """The time of the request, Unix seconds."""
    command: str = ""
    """The request's name on the wire."""
    holds: dict[str, Hold] = field(default_factory=dict)
    """How each layer is to be held, by its path."""
    momentum: dict[str, float] = field(default_factory=dict)
    """The momentum of each layer that it asks for, by path."""
    phase: str | None = None
    """The learning phase that it asks for; None for other requests."""
    learning_rate: str | None = None
    """The learning rate that it asks for, as it is shown; None for other requests."""
    undoes: int | None = None
    """Number of the fact that it takes back; None for a request of its own."""
    seq: int = -1
    """Number of the newest fact when it was asked."""


class Notice(Struct, frozen=True):
    """A sentence of the viewer's own for the person at the keyboard."""

    text: str
    """What happened, and what to do."""
    bad: bool = False
    """Whether something went wrong."""
    is_remark: bool = False
    """Whether nobody asked for it: whatever else there is to say comes first."""
    keys: tuple[tuple[str, str], ...] = ()
    """Keys with what they do; a screen on which such a key does something else leaves it out."""
    seq: int = -1
    """Number of the newest fact when it was said: an alert that came later is more important."""


class ReplayPosition(Struct, frozen=True):
    """How far a replay is, and how fast it goes."""

    playing: bool
    """Whether time goes on by itself."""
    speed: float
    """Seconds of the log in a second."""
    elapsed_seconds: float
    """Seconds of the log from its first line to the time of the replay."""
    total_seconds: float
    """Seconds of the log from its first line to its last one."""


class Moment(Struct, frozen=True):
    """What a screen shows."""

    state: RunState
    """The log, folded."""
    status: str
    """The word of `liveness.status`; `READING` while the log is not read to its end."""
    now: float
    """The time, Unix seconds: the viewer's, or the replay's."""
    run_path: Path
    """The run directory; of a run on another machine, that of the copy."""
    remote: str = ""
    """The address of a run on another machine; empty for one of this machine."""
    blind: Blind | None = None
    """Since when nothing is known of a run on another machine; None where all is known."""
    silent_seconds: float = 0.0
    """How long the log has not grown, by the viewer's clock."""
    asked: tuple[Asked, ...] = ()
    """Requests without an answer, oldest first."""
    refusal: str = ""
    """Why this viewer sends no requests now; empty if it does."""
    trainer_log: tuple[str, ...] = ()
    """The last lines that the training process printed."""
    notice: Notice | None = None
    """What the viewer itself has to say."""
    reading: float | None = None
    """The share of a long log that is read; None when all of it is."""
    older: float | None = None
    """The share that is read behind the newest part of a long log; None when nothing of its curves is missing."""
    replay: ReplayPosition | None = None
    """The position in a replay; None for a live view."""
    whole: RunState | None = None
    """The whole log of a replay folded, future included, without measured values; None for a live view."""
    exit_code: int | None = None
    """Exit code of the trainer that this screen started; None while it runs, or if this screen started none."""
    read: frozenset[int] = frozenset()
    """The alerts that were read in this viewer, by their numbers in the log."""
    other_run: str = ""
    """Name of the run that a key shows instead of this one; empty where there is none."""
    other_is_newer: bool = False
    """Whether that run has begun after this one."""
    is_line_slow: bool = False
    """Whether the terminal takes in less than there is to send."""
    is_readonly: bool = False
    """Whether this viewer changes nothing, at its user's wish."""
    is_log_removed: bool = False
    """Whether the log was there and is not any more: nothing is known of the time since."""
    unread: tuple[str, ...] = ()
    """What of the log could not be read, or may be misread: a sentence each."""

    @property
    def trainer_time(self) -> float:
        """The time by the trainer's clock, which may differ from the viewer's: that of its newest line, and since."""
        if self.replay is not None or self.state.last_time is None:
            return self.now
        return self.state.last_time + self.silent_seconds

    @property
    def seconds_without_step(self) -> float | None:
        """How long ago the last step was made, where that is longer than usual; None where nothing is wrong."""
        return self.state.pace.seconds_without_step(self.trainer_time) if self.status == "training" else None

    @property
    def layers(self) -> list[LayerHistory]:
        """The BatchNormalization layers, in the order of the model."""
        return list(self.state.layers.values())

    @property
    def has_facts(self) -> bool:
        """True where there is something to draw in a chart or a table."""
        over = self.status in OVER
        return bool(self.state.batch_metrics or self.state.epoch_metrics or (self.state.model and not over))

    def mode(self, layer: LayerHistory) -> str | None:
        """Return how a layer computes now, by the newest facts; None while not known."""
        path = layer.layer.path
        if path in self.state.frozen:
            return "frozen"
        if path in self.state.statistics_held:
            return "held"
        # A sample may be older than the last request: it says that there is a mode, not which.
        return None if layer.mode is None else self._usual_mode

    @property
    def is_paused(self) -> bool:
        """True where training waits, or will wait once the requests are applied."""
        asked = next((asked.command for asked in reversed(self.asked) if asked.command in ("pause", "resume")), None)
        return self.status == "paused" if asked is None else asked == "pause"

    @property
    def newest_checkpoint(self) -> CheckpointSaved | None:
        """The newest full state that is on disk; None where there is none."""
        return next(reversed(self.state.checkpoints.values()), None)

    def cannot(self, command: str) -> str:
        """Return why a request does nothing now; empty where it does something, and where that is not known yet."""
        if self.state.fit is None:
            return ""
        if command not in self.state.fit.can:
            return "its trainer is of an older version"
        if command == "rollback" and self.newest_checkpoint is None:
            return self.state.fit.can[command] or "there is no checkpoint yet, c saves one"
        return self.state.fit.can[command]

    def is_frozen(self, path: str) -> bool:
        """Return whether a layer is frozen, or will be once the requests are applied."""
        asked = self._asked_hold(path)
        return path in self.state.frozen if asked is None else asked == "frozen"

    def stays_frozen(self, paths: Collection[str]) -> bool:
        """Return whether no layer of some can be unfrozen, because all were frozen before training; empty: of all."""
        layers = [self.state.layers[path].layer for path in paths or self.state.layers if path in self.state.layers]
        return bool(layers) and all(layer.path in self.state.frozen and not layer.trainable for layer in layers)

    def is_held(self, path: str) -> bool:
        """Return whether a layer's moving statistics alone are held, or will be once the requests are applied."""
        asked = self._asked_hold(path)
        return path in self.state.statistics_held if asked is None else asked == "statistics"

    def asked_mode(self, path: str) -> str | None:
        """Return the mode that was asked for a layer and is not yet fact; None where there is none."""
        match self._asked_hold(path):
            case "frozen":
                return "frozen"
            case "statistics":
                return "held"
            case "nothing":
                return self._usual_mode
        return None

    def asked_momentum(self, path: str) -> float | None:
        """Return the momentum that was asked for a layer and is not yet fact; None where there is none."""
        return next((asked.momentum[path] for asked in reversed(self.asked) if path in asked.momentum), None)

    @property
    def _usual_mode(self) -> str:
        """The mode of a layer of which nothing is held."""
        return "inference" if self.state.phase == "inference" else "training"

    def _asked_hold(self, path: str) -> Hold | None:
        return next((asked.holds[path] for asked in reversed(self.asked) if path in asked.holds), None)


def no_probe_words(moment: Moment) -> str:
    """Return why there is no probe, and what to do."""
    if moment.state.ended or moment.status in ("crashed", "failed"):
        return "This run has made no probe."
    if moment.status == "imported":
        return "No probe: the log is another program's."
    if reason := moment.cannot("probe"):
        return f"No probe: {reason}."
    now = "" if moment.refusal else "; g makes one now"
    planned = moment.state.probe_planned
    if moment.status == "paused":
        return f"First probe after training goes on{now}."
    if planned is None:
        return f"First probe once a step is timed{now}."
    if planned.seconds is None:
        return f"No probe comes by itself ({plain(planned.reason, 100)}){now}."
    left = planned.time + from_wire(planned.seconds) - moment.trainer_time
    ends_in = moment.state.seconds_left
    if ends_in is not None and ends_in < left:
        when = "about when training ends"
    else:
        when = f"in about {duration(left)}" if left > 0 else "soon, at a step or the end of an epoch"
    return f"First probe {when} ({plain(planned.reason, 100)}){now}."


def probe_words(state: RunState) -> str:
    """Return where the newest probe was made: "step 1,695", or "fit 1, step 1,695" where that fit is over."""
    step = state.probes[-1].step
    fit, newest = state.fits.at(step), state.fits.newest
    words = f"step {count(step)}"
    return words if fit is newest or fit is None else f"fit {fit.number}, {words}"
