"""Several runs of one directory side by side: their list, one metric of them, and how their settings differ."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from msgspec import structs
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Resize
from textual.widget import Widget

from tuimon.runs.series import Series
from tuimon.runs.state import OVER
from tuimon.ui.frame.base_screen import TALL, WIDE, BaseScreen, bindings_of
from tuimon.ui.screens.compare.overlay_chart import Overlay
from tuimon.ui.screens.compare.run_curves import LETTERS, RunCurves, RunLine, curves_of, line_of
from tuimon.ui.screens.compare.run_list import RunList
from tuimon.ui.screens.compare.runs_reader import RunRead, RunsListed, RunsReader
from tuimon.ui.screens.compare.settings_table import ConfigTable
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.view_memory import ComparedView, View

_MOST_LIST_ROWS = 8
"""The most rows of the list where it stands above the other panels."""


class CompareScreen(BaseScreen):
    """The list beside the overlay, above the settings. The watched run is always drawn, and first."""

    screen_name = "compare"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("compare")

    def __init__(self) -> None:
        super().__init__()
        self._list = RunList()
        self._overlay = Overlay()
        self._table = ConfigTable()
        self._reader: RunsReader | None = None
        self._moment: Moment | None = None
        self._watched = Path()
        self._lines: dict[Path, RunLine] = {}
        self._curves: dict[Path, RunCurves] = {}
        self._slots: dict[Path, int] = {}
        self._recalled: list[str] = []

    def panels(self) -> Iterable[Widget]:
        """Yield the list beside the overlay, and the settings below."""
        yield Container(self._list, self._overlay, id="compared")
        yield self._table

    def on_mount(self) -> None:
        """Give the keys to the list."""
        self._list.focus()

    def on_unmount(self) -> None:
        """Stop the reading thread."""
        if self._reader is not None:
            self._reader.stop()

    def on_resize(self, event: Resize) -> None:
        """Fit the panels to the new size."""
        self._fit(event.size.width, event.size.height)

    def on_runs_listed(self, message: RunsListed) -> None:
        """Show the new states of the runs."""
        self._lines = {line.path: line for line in message.lines}
        self._show_runs()

    def on_run_read(self, message: RunRead) -> None:
        """Draw the new points of a run."""
        if message.path in self._slots:
            self._curves[message.path] = message.curves
            self._show_runs()

    def show(self, moment: Moment) -> None:
        """Show a moment. The first one starts the reading of other runs."""
        if self._reader is None:
            self._watched = moment.run_path
            self._slots = {moment.run_path: 0}
            self._reader = reader = RunsReader(moment.run_path.parent, self.post_message)
            self.run_worker(reader.run, name="runs reader", thread=True)
            paths = (moment.run_path.parent / name for name in self._recalled)
            for path in paths:
                # `Path.is_dir` raises an error for a name that no directory can have.
                if path != moment.run_path and os.path.isdir(path):  # noqa: PTH112
                    self._draw_too(path)
            self._read_wanted()
        self._curves[self._watched] = curves_of(
            self._watched.name, moment.state, is_over=moment.status in OVER, share=moment.reading
        )
        self._moment = moment
        self._hand_out()
        super().show(moment)

    def shown_curves(self, moment: Moment) -> list[tuple[str, str, Series]]:
        """Return metric, run and points of each curve."""
        del moment
        return self._overlay.shown_curves()

    def recall(self, view: View) -> None:
        """Draw the runs and the metric of the last time, as far as they still exist."""
        if (chosen := view.compared) is not None:
            others = (name for name in dict.fromkeys(chosen.runs) if name == Path(name).name and name not in ("", ".."))
            self._recalled = list(others)[: len(LETTERS) - 1]
            self._overlay.recall(chosen.metric, by_time=chosen.by_time)

    def remember(self, view: View) -> View:
        """Return ``view`` with the runs and the metric that are drawn."""
        if self._reader is None:
            return view
        others = sorted((slot, path.name) for path, slot in self._slots.items() if path != self._watched)
        metric, by_time = self._overlay.chosen
        chosen = ComparedView(runs=tuple(name for _, name in others), metric=metric, by_time=by_time)
        return structs.replace(view, compared=chosen)

    @property
    def selected_run(self) -> Path | None:
        """Directory of the run under the cursor; None in an empty list."""
        return self._list.path

    def move_cursor(self, by: int) -> None:
        """Move the cursor of the list. By pages, scroll the settings instead, where these do not fit."""
        if abs(by) > 1 and self._table.has_more:
            self._table.scroll_pages(1 if by > 0 else -1)
        else:
            self._list.move(by)

    def action_pick(self) -> None:
        """Draw the run under the cursor, or stop drawing it."""
        path = self._list.path
        self._list.words = ""
        if path is None or path == self._watched:
            self._list.words = "the watched run is always drawn"
        elif path in self._slots:
            del self._slots[path]
            self._curves.pop(path, None)
        elif len(self._slots) == len(LETTERS):
            self._list.words = f"{len(LETTERS)} runs at most: space takes one out"
        else:
            self._draw_too(path)
        self._read_wanted()
        self._show_runs()

    def action_next_metric(self, by: int) -> None:
        """Draw another metric."""
        self._overlay.next_metric(by)

    def action_toggle_time(self) -> None:
        """Draw over time, or over steps again."""
        self._overlay.toggle_time()

    def go_back(self) -> bool:
        """Give the overlay its place back, where the settings have it."""
        has_settings = self.has_class("-settings")
        if has_settings:
            self.action_toggle_settings()
        return has_settings

    def action_toggle_settings(self) -> None:
        """Give the settings the place of the overlay, or take it back."""
        self.toggle_class("-settings")
        self._fit(self.size.width, self.size.height)

    def _draw_too(self, path: Path) -> None:
        taken = self._slots.values()
        self._slots[path] = next(slot for slot in range(len(LETTERS)) if slot not in taken)
        self._curves[path] = RunCurves(path.name, share=0.0)

    def _read_wanted(self) -> None:
        if self._reader is not None:
            self._reader.want(path for path in self._slots if path != self._watched)

    def _show_runs(self) -> None:
        self._hand_out()
        for panel in (self._list, self._overlay, self._table):
            panel.redraw()

    def _hand_out(self) -> None:
        """Hand the newest runs to the panels."""
        self._list.show_runs(self._in_order(), self._slots)
        runs = {slot: self._curves[path] for path, slot in self._slots.items()}
        self._overlay.show_runs(runs)
        self._table.show_runs(dict(sorted(runs.items())))
        self._fit(self.size.width, self.size.height)

    def _in_order(self) -> list[RunLine]:
        """Return the lines: the watched run, then the others, the newest first."""
        lines = [self._completed(line) for path, line in self._lines.items() if path != self._watched]
        lines.sort(key=lambda line: (line.started or 0.0, line.path.name), reverse=True)
        if self._moment is not None:
            lines.insert(0, line_of(self._watched, self._moment.state, self._moment.status))
        return lines

    def _completed(self, line: RunLine) -> RunLine:
        """Return a line with values that only the whole log has."""
        curves = self._curves.get(line.path)
        if curves is None or line.val_loss is not None or line.trouble or "val_loss" not in curves.metrics:
            return line
        val_loss = curves.metrics["val_loss"].newest()
        return RunLine(line.path, line.status, line.started, line.loss, val_loss)

    def _fit(self, width: int, height: int) -> None:
        wanted = min(self._list.rows_wanted, _MOST_LIST_ROWS if height >= TALL else 6)
        _set_height(self._list, "1fr" if width >= WIDE else f"{wanted}")
        most = height // 3
        _set_height(self._table, "4fr" if self.has_class("-settings") else f"{min(self._table.rows_wanted, most)}")


def _set_height(panel: Widget, height: str) -> None:
    if str(panel.styles.height) != height:
        panel.styles.height = height
