"""What is compared: the runs of a directory, which of them are drawn, in which order, and against which one."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tuimon.plot.run_values import parameter
from tuimon.runs.best import SHOWN, Best, is_lower_better
from tuimon.runs.listing.parameters import Value, differing, short_name
from tuimon.runs.listing.selection import Filter, sorted_by
from tuimon.runs.listing.summary import Summary, baseline_of, summary_of
from tuimon.runs.run_directory import RunDirectory
from tuimon.text import plain
from tuimon.ui.drawing.cells import cell_width
from tuimon.ui.screens.compare.drawn_runs import DrawnRuns
from tuimon.ui.screens.compare.run_curves import OF_EACH_BATCH, RunCurves
from tuimon.ui.viewer.moment import Moment

NEWEST = "started"
"""The order in which runs are listed unless another one is chosen."""
BEST = "best"
"""The order by the best value of the metric that is shown."""
_WIDEST = 14
"""Of a column of parameters, in cells."""
_MOST_COLUMNS = 12


class ParameterColumn(Struct, frozen=True):
    """A column of the list: a parameter in which runs differ."""

    key: str
    """The parameter."""
    heading: str
    """Its short name."""
    width: int
    """In cells."""


class Comparison:
    """The runs, and what was chosen of them.

    The watched run and the baseline are always drawn, unless they do not fit the filter.
    """

    def __init__(self) -> None:
        self.watched = Path()
        """The directory of the watched run."""
        self.drawn = DrawnRuns()
        """The runs that are drawn."""
        self.order = NEWEST
        """`NEWEST`, `BEST`, ``name``, ``state``, or a parameter."""
        self.is_reversed = False
        """True: the other way round."""
        self.filter = Filter("")
        """Which runs are listed."""
        self.is_complete = False
        """True once every run of the directory is known."""
        self.columns: list[ParameterColumn] = []
        """The parameters in which any runs of the directory differ, whichever are listed now."""
        self._lines: dict[Path, Summary] = {}
        self._parameters: list[Mapping[str, Value]] = []
        self._pinned: Path | None = None

    def begin(self, watched: Path) -> None:
        """Draw the watched run, the first of all."""
        self.watched = watched
        self.drawn.pick(watched)

    def hear(self, lines: Iterable[Summary], *, is_complete: bool) -> None:
        """Take the newest lines of all runs, and forget runs that are gone."""
        watched = self._lines.get(self.watched)
        self._lines = {line.path: line for line in lines}
        if watched is not None:
            # What the screen knows of it is newer, but only the reader looks at its tags.
            line = self._lines.get(self.watched, watched)
            self._lines[self.watched] = replace(
                watched, tags=line.tags, parameters=line.parameters, started=line.started
            )
        self.is_complete = self.is_complete or is_complete
        if self.is_complete:
            for path in [path for path in self.drawn.slots if path not in self._lines]:
                self.drawn.leave_out(path)
        if (baseline := self.baseline) is not None:
            self.drawn.pick(baseline.path)
        parameters = [line.parameters for line in self._lines.values()]
        if parameters != self._parameters:
            self._parameters = parameters
            self.columns = [self._column(key) for key in differing(parameters)[:_MOST_COLUMNS]]

    def hear_watched(self, moment: Moment, curves: RunCurves) -> None:
        """Take what the screen knows of the watched run: it is newer than what the list knows."""
        self.drawn.curves[self.watched] = curves
        known = self._lines.get(self.watched)
        if known is None:
            self._lines[self.watched] = summary_of(RunDirectory(self.watched), moment.state, moment.status)
            return
        state = moment.state
        losses = {name: series.last for name, series in state.epoch_metrics.items() if name in SHOWN}
        batches = state.batch_metrics.get("loss")
        loss = losses.get("loss")
        self._lines[self.watched] = replace(
            known,
            status=moment.status,
            epoch=state.epoch if state.step else None,
            step=state.step,
            fits=state.fits,
            loss=batches.last if loss is None and batches is not None else loss,
            val_loss=losses.get("val_loss"),
            best=state.best.values,
            trouble="",
        )

    def line(self, path: Path | None) -> Summary | None:
        """Return the line of a run; None where there is none."""
        return self._lines.get(path) if path is not None else None

    @property
    def paths(self) -> list[Path]:
        """All runs of the directory, listed or not."""
        return list(self._lines)

    def listed(self) -> list[Summary]:
        """Return the runs that fit the filter, in the order of the list."""
        return [line for line in self._ordered() if self.filter.fits(line)]

    def drawn_in_order(self) -> list[Path]:
        """Return the runs that are drawn, in the order of the list."""
        shown = self.drawn.slots.keys() - self.drawn.hidden
        return [line.path for line in self._ordered() if line.path in shown]

    def hide_unlisted(self) -> None:
        """Leave runs that do not fit the filter out of the charts."""
        lines = ((path, self._lines.get(path)) for path in self.drawn.slots)
        self.drawn.hidden = frozenset(path for path, line in lines if line is not None and not self.filter.fits(line))

    def toggle(self, path: Path) -> str:
        """Draw a run, or no longer; return why not, empty where it is done."""
        if path == self.watched:
            return "the watched run is always drawn"
        if path not in self.drawn.slots:
            self.drawn.pick(path)
        elif self._is_baseline(path):
            return "the baseline is always drawn: P unpins it"
        else:
            self.drawn.leave_out(path)
        return ""

    def toggle_all(self) -> None:
        """Draw all runs that are listed; where they are drawn already, none of them."""
        paths = [line.path for line in self.listed() if not line.trouble]
        if any(path not in self.drawn.slots for path in paths):
            for path in paths:
                self.drawn.pick(path)
        else:
            for path in paths:
                if path != self.watched and not self._is_baseline(path):
                    self.drawn.leave_out(path)

    def labels(self, path: Path | None, *, has_settings: bool) -> dict[str, str]:
        """Return what keys do now that do something else at other times, by their actions.

        Args:
            path: The run under the cursor.
            has_settings: Whether the settings are shown instead of the charts.
        """
        fit = [line.path for line in self.listed() if not line.trouble]
        found = {"screen.compare('settings')": "charts"} if has_settings else {}
        if self.drawn.by_time:
            found["screen.compare('time')"] = "steps"
        if path in self.drawn.slots and path != self.watched and not self._is_baseline(path):
            found["screen.compare('pick')"] = "leave out"
        if len(fit) > 1 and all(each in self.drawn.slots for each in fit):
            found["screen.compare('pick_all')"] = "leave out all"
        if path is not None and self._is_baseline(path):
            found["screen.change('pin')"] = "no baseline"
        return found

    def _ordered(self) -> list[Summary]:
        newest = sorted(self._lines.values(), key=lambda line: (line.started or 0.0, line.name), reverse=True)
        if self.order == NEWEST:
            # The watched run first: it is the one that somebody looks at.
            newest.sort(key=lambda line: line.path != self.watched)
            return newest[::-1] if self.is_reversed else newest
        key = (self.best_metric or BEST) if self.order == BEST else self.order
        return sorted_by(newest, key, reverse=self.is_reversed)

    def next_order(self) -> None:
        """Sort by something else: the best value, the name, the state, each parameter with a column."""
        orders = [NEWEST, BEST, "name", "state", *(column.key for column in self.columns)]
        place = orders.index(self.order) if self.order in orders else -1
        self.order, self.is_reversed = orders[(place + 1) % len(orders)], False

    @property
    def order_in_words(self) -> str:
        """The order, for the title of the list."""
        if self.order == NEWEST:
            return "oldest first" if self.is_reversed else "newest first"
        if self.order == BEST:
            return f"by best {plain(self.best_metric or 'value', 30)}{', worst first' if self.is_reversed else ''}"
        return f"by {plain(short_name(self.order), 30)}{', reversed' if self.is_reversed else ''}"

    # Best values, and the run that they are measured against

    @property
    def best_metric(self) -> str | None:
        """The metric whose best values are listed: the one that is drawn, if its name says what is better."""
        shown = (self.drawn.shown_metric or "").removesuffix(OF_EACH_BATCH)
        if shown and is_lower_better(shown) is not None:
            return shown
        return next((name for name in SHOWN if any(name in line.best for line in self._lines.values())), None)

    def best_of(self, line: Summary) -> Best | None:
        """Return the best value of a run; None where it is not known."""
        return line.best.get(self.best_metric or "")

    @property
    def baseline(self) -> Summary | None:
        """The run that the others are measured against; None where none is pinned."""
        return self._lines.get(self._pinned) if self._pinned in self._lines else baseline_of(self._lines.values())

    def pin_here(self, path: Path | None) -> None:
        """Measure against a run on this screen alone; None: against the one with the tag."""
        self._pinned = path
        if path in self._lines:
            self.drawn.pick(path)

    def difference(self, line: Summary) -> float | None:
        """Return a run's best value less that of the baseline; None where one of both is not known."""
        baseline = self.baseline
        if baseline is None or (of := self.best_of(line)) is None or (other := self.best_of(baseline)) is None:
            return None
        return of.value - other.value

    def _is_baseline(self, path: Path) -> bool:
        return self.baseline is not None and self.baseline.path == path

    def _column(self, key: str) -> ParameterColumn:
        heading = plain(short_name(key), _WIDEST)
        values = (parameter(key, line.parameters[key]) for line in self._lines.values() if key in line.parameters)
        return ParameterColumn(key, heading, min(_WIDEST, max(map(cell_width, (heading, *values)))))
