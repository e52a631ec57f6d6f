"""The runs that are drawn: their places, their curves, and the metric."""

from pathlib import Path

from tuimon.runs.best import SHOWN
from tuimon.runs.series import Series
from tuimon.ui.screens.compare.run_curves import MOST_IN_ONE, RunCurves, letter_of, metric_names


class DrawnRuns:
    """The runs that are drawn. Each has a place: it decides its letter, its colour and its line."""

    def __init__(self) -> None:
        self.slots: dict[Path, int] = {}
        """The places of the runs."""
        self.curves: dict[Path, RunCurves] = {}
        """The curves of the runs."""
        self.hidden: frozenset[Path] = frozenset()
        """The runs that keep their places and are not drawn: the filter leaves them out."""
        self.metric: str | None = None
        """The metric that was chosen; None: the one that is usual."""
        self.by_time = False
        """True where x is time."""

    def pick(self, path: Path) -> None:
        """Draw a run too."""
        if path not in self.slots:
            taken = set(self.slots.values())
            self.slots[path] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
            self.curves[path] = RunCurves(path.name, share=0.0)

    def leave_out(self, path: Path) -> None:
        """Draw a run no longer."""
        self.slots.pop(path, None)
        self.curves.pop(path, None)
        if len(self.slots) <= MOST_IN_ONE:
            # In one chart, no two have the same colour.
            free = iter(sorted(set(range(MOST_IN_ONE)) - set(self.slots.values())))
            self.slots = {path: slot if slot < MOST_IN_ONE else next(free) for path, slot in self.slots.items()}

    @property
    def is_in_one_chart(self) -> bool:
        """True while the runs that are drawn share a chart."""
        return len(self.slots) <= MOST_IN_ONE

    def runs(self) -> dict[int, RunCurves]:
        """Return the curves of the runs that are drawn, by their places."""
        shown = [(slot, path) for path, slot in self.slots.items() if path not in self.hidden]
        return {slot: self.curves[path] for slot, path in sorted(shown)}

    def metrics(self) -> list[str]:
        """Return the metrics that can be drawn."""
        return metric_names(self.runs().values())

    @property
    def why_none(self) -> str:
        """Why there is no metric to draw, in a sentence."""
        if self.hidden and not self.runs():
            return "The filter leaves out every run that is drawn: esc clears it."
        return "No metric yet: they come with the first batches."

    @property
    def shown_metric(self) -> str | None:
        """The metric that is drawn: the chosen one, else the validation loss; None where there is none yet."""
        names = self.metrics()
        wanted = (self.metric, *SHOWN)
        return next((name for name in wanted if name in names), names[0] if names else None)

    def next_metric(self, by: int) -> None:
        """Draw another metric."""
        names = self.metrics()
        if names:
            self.metric = names[(names.index(self.shown_metric or names[0]) + by) % len(names)]

    def shown_curves(self) -> list[tuple[str, str, Series]]:
        """Return metric, run and points of each curve that is drawn."""
        found, metric = [], self.shown_metric
        for slot, run in self.runs().items():
            if metric is not None and (points := run.metrics.get(metric)) is not None:
                series = Series()
                series.extend_rows(points.steps, points.values)
                found.append((metric, f"{letter_of(slot)} {run.name}", series))
        return found
