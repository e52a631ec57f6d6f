"""One metric of one run, read from the log without decoding what has nothing to say about it."""

from collections.abc import Iterator

from tuimon.export import rows
from tuimon.protocol import events
from tuimon.query.columns import Columns, Metric
from tuimon.query.line import LINE_KINDS, Branches
from tuimon.query.nearest import UnknownNameError, unknown
from tuimon.runs.best import KINDS
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory

_KINDS: dict[str, tuple[type[events.AnyEvent], ...]] = {
    "batch/": (events.Batches,),
    "running/": (events.Batches,),
    "batch_norm/": (events.BatchNorm,),
    "probe/": (events.Probe,),
    "system/": (events.System,),
    "weights/": (events.WeightUpdates,),
    "evaluated/": (events.Evaluated,),
    "recalibrated": (events.Recalibrated,),
    "best/": KINDS,
}
"""The facts that have metrics whose names begin so; all others are of `epoch_ended`."""
ALWAYS: tuple[type[events.AnyEvent], ...] = (
    events.FitStarted,
    events.EpochEnded,
    *LINE_KINDS,
)
"""What fits and branches are told apart by, and the metrics of epochs."""


def look_up(run: RunDirectory, name: str, *, branch: Branches = "now", fit: int | None = None) -> Metric:
    """Return a metric of a run with all its values.

    Args:
        run: The run.
        name: As `tuimon export --to csv` names it, those of `batch_norm/` among them.
        branch: As for `tuimon.query.session.Session.metric`.
        fit: As there.

    Raises:
        UnknownNameError: The run has no such metric; names the nearest.
        OSError: The log cannot be read.
    """
    columns = Columns(name)
    columns.apply(_skimmed(run, name))
    if name not in columns.names:
        # What the table above does not know is looked for in all facts.
        columns, known = _read_all(run, name)
        if name not in columns.names:
            raise UnknownNameError(unknown(f"{run.name} has", "metric", name, known))
    return columns.metric(name, branch, fit)


def _skimmed(run: RunDirectory, name: str) -> Iterator[events.AnyEvent]:
    try:
        size = run.session_log.stat().st_size
    except FileNotFoundError:
        return
    kinds = next((kinds for prefix, kinds in _KINDS.items() if name.startswith(prefix)), ())
    yield from Tail(run.session_log).skim(size, dict.fromkeys((*ALWAYS, *kinds)))


def _read_all(run: RunDirectory, name: str) -> tuple[Columns, list[str]]:
    """Return the metric's column, and the names of all metrics, those of epochs first."""
    tail, columns, known = Tail(run.session_log), Columns(name), dict[str, None]()
    while new := tail.read():
        columns.apply(new)
        for event in new:
            known |= dict.fromkeys(_names(event))
    return columns, sorted(known, key=lambda other: "/" in other)


def _names(event: events.AnyEvent) -> Iterator[str]:
    if isinstance(event, events.Batches):
        yield from (f"batch/{name}" for name in event.metrics)
        yield from (f"running/{name}" for name in event.running)
        return
    yield from (row.metric for row in rows.of_all([event]))
