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
from textual.widgets import Input

from tuimon.runs.listing.selection import Filter
from tuimon.runs.series import Series
from tuimon.runs.state import OVER
from tuimon.ui.frame.base_screen import TALL, WIDE, BaseScreen, bindings_of
from tuimon.ui.frame.searched_screen import SearchField
from tuimon.ui.screens.compare.comparison import Comparison
from tuimon.ui.screens.compare.overlay_chart import Overlay
from tuimon.ui.screens.compare.run_changes import DeletionExamined, RunChanged, RunChanges
from tuimon.ui.screens.compare.run_curves import curves_of
from tuimon.ui.screens.compare.run_list import RunList
from tuimon.ui.screens.compare.runs_reader import RunRead, RunsListed, RunsReader
from tuimon.ui.screens.compare.settings_table import ConfigTable
from tuimon.ui.screens.compare.small_multiples import SmallMultiples
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.view_memory import ComparedView, View

PANELS = ("both", "charts", "list")
"""What has the screen, in the order of the key."""
_MOST_LIST_ROWS = 8
"""The most rows of the list where it stands above the other panels."""
_LOW = 16
"""With fewer rows, either the list or the charts have the screen."""
_MOST_LIST_COLUMNS, _CHART_COLUMNS = 132, 68
"""Beside the charts, the list has so many columns once the charts have theirs; before that, not quite half."""
_REDRAW_SECONDS = 0.1
"""While many runs are read, the panels are drawn this often, not for each piece."""


class CompareScreen(BaseScreen):
    """The list beside the charts, above the settings. The watched run is always drawn."""

    screen_name = "compare"
    BINDINGS: ClassVar[list[BindingType]] = bindings_of("compare")

    def __init__(self) -> None:
        super().__init__()
        self._comparison = Comparison()
        self._list = RunList(self._comparison)
        self._overlay = Overlay(self._comparison)
        self._multiples = SmallMultiples(self._comparison)
        self._table = ConfigTable()
        self._field = SearchField("words, key=value, key<number; - before a word leaves out what has it")
        self._changes = RunChanges(self)
        self._reader: RunsReader | None = None
        self._recalled: list[str] = []
        self._panels = PANELS[0]
        self._opened: list[str] = []
        """What was opened and is closed by esc, the newest last."""
        self._is_redrawing = False

    def panels(self) -> Iterable[Widget]:
        """Yield the list beside the charts, the settings below, and the filter."""
        yield Container(self._list, self._overlay, self._multiples, id="compared")
        yield self._table
        yield self._field

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
        drawn = set(self._comparison.drawn.slots)
        self._comparison.hear(message.lines, is_complete=message.is_complete)
        if drawn != set(self._comparison.drawn.slots):
            self._read_wanted()
        self._show_runs()

    def on_run_read(self, message: RunRead) -> None:
        """Draw the new points of a run."""
        if message.path in self._comparison.drawn.slots:
            self._comparison.drawn.curves[message.path] = message.curves
            if not self._is_redrawing:
                self._is_redrawing = True
                self.set_timer(_REDRAW_SECONDS, self._show_runs)

    def on_run_changed(self, message: RunChanged) -> None:
        """Say what has become of a change, and look at the directory."""
        self._list.words = message.words
        self._comparison.pin_here(message.pinned_here)
        self._read_wanted()
        if self._reader is not None:
            self._reader.refresh()
        self._show_runs()

    def on_deletion_examined(self, message: DeletionExamined) -> None:
        """Ask whether to delete."""
        if self.is_current:
            self._changes.ask_to_delete(message)

    def show(self, moment: Moment) -> None:
        """Show a moment. The first one starts the reading of other runs."""
        known = self._comparison
        if self._reader is None:
            known.begin(moment.run_path)
            self._reader = reader = RunsReader(moment.run_path.parent, self.post_message)
            self.run_worker(reader.run, name="runs reader", thread=True)
            paths = (moment.run_path.parent / name for name in self._recalled)
            for path in paths:
                # `Path.is_dir` raises an error for a name that no directory can have.
                if path != moment.run_path and os.path.isdir(path):  # noqa: PTH112
                    known.drawn.pick(path)
            self._read_wanted()
        curves = curves_of(known.watched.name, moment.state, is_over=moment.status in OVER, share=moment.reading)
        known.hear_watched(moment, curves)
        self._hand_out()
        super().show(moment)

    def shown_curves(self, moment: Moment) -> list[tuple[str, str, Series]]:
        """Return metric, run and points of each curve."""
        del moment
        return self._comparison.drawn.shown_curves()

    def recall(self, view: View) -> None:
        """Draw the runs and the metric of the last time, as far as they still exist."""
        if (chosen := view.compared) is not None:
            others = (name for name in dict.fromkeys(chosen.runs) if name == Path(name).name and name not in ("", ".."))
            self._recalled = list(others)
            known = self._comparison
            known.drawn.metric, known.drawn.by_time = chosen.metric, chosen.by_time
            known.order, known.is_reversed = chosen.order, chosen.is_reversed
            if chosen.panels in PANELS:
                self._panels = chosen.panels
            if chosen.filter:
                known.filter = Filter(chosen.filter)
                with self._field.prevent(Input.Changed):
                    self._field.value = chosen.filter
                self._open("filter")

    def remember(self, view: View) -> View:
        """Return ``view`` with what is chosen on this screen."""
        known = self._comparison
        if self._reader is None:
            return view
        others = sorted((slot, path.name) for path, slot in known.drawn.slots.items() if path != known.watched)
        chosen = ComparedView(
            runs=tuple(name for _, name in others),
            metric=known.drawn.metric,
            by_time=known.drawn.by_time,
            order=known.order,
            is_reversed=known.is_reversed,
            filter=known.filter.text,
            panels=self._panels,
        )
        return structs.replace(view, compared=chosen)

    @property
    def selected_run(self) -> Path | None:
        """Directory of the run under the cursor; None in an empty list."""
        return self._list.path

    def move_cursor(self, by: int) -> None:
        """Move the cursor of the list. By pages, scroll the settings instead, where these do not fit."""
        self._list.words = ""
        if abs(by) > 1 and self._table.display and self._table.has_more:
            self._table.scroll_pages(1 if by > 0 else -1)
        else:
            self._list.move(by)
            self._hand_out()
            self._multiples.redraw()

    def action_compare(self, what: str) -> None:
        """Change what is drawn, or the order and the place of the panels."""
        known = self._comparison
        self._list.words = ""
        match what:
            case "pick" if self._list.path is not None:
                self._list.words = known.toggle(self._list.path)
            case "pick_all":
                known.toggle_all()
            case "next_metric" | "metric_before":
                known.drawn.next_metric(1 if what == "next_metric" else -1)
            case "time":
                known.drawn.by_time = not known.drawn.by_time
            case "order":
                known.next_order()
            case "reverse":
                known.is_reversed = not known.is_reversed
            case "settings":
                self.toggle_class("-settings")
                self._open("settings", is_open=self.has_class("-settings"))
            case "panels":
                panels = [each for each in PANELS if each != "list" or self.size.height >= _LOW]
                place = panels.index(self._panels) if self._panels in panels else 0
                self._panels = panels[(place + 1) % len(panels)]
                self._open("panels", is_open=self._panels != PANELS[0])
            case "filter":
                self._open("filter")
                self._field.open()
        self._read_wanted()
        self._show_runs()

    def action_change(self, what: str) -> None:
        """Change the run under the cursor: its tags, its note, whether it is the baseline, whether it is there."""
        known, moment = self._comparison, self._list.moment
        line = known.line(self._list.path)
        if line is None or moment is None:
            return
        self._list.words = ""
        if moment.is_readonly:
            self._list.words = "read-only: nothing was changed"
        elif what == "tag":
            self._changes.tag(line)
        elif what == "note":
            self._changes.note(line, moment)
        elif what == "pin":
            self._changes.pin(line, known.paths)
        elif line.path == known.watched:
            self._list.words = "the watched run stays: watch another first"
        else:
            self._changes.delete(line)
        self._show_runs()

    def on_input_changed(self, event: Input.Changed) -> None:
        """List the runs that fit, while the filter is typed."""
        self._comparison.filter = Filter(event.value)
        self._open("filter", is_open=bool(event.value) or self._field.display)
        self._show_runs()

    def on_input_submitted(self) -> None:
        """Keep the filter, and give the keys back to the list."""
        self._open("filter", is_open=bool(self._field.value))
        self._list.focus()

    def go_back(self) -> bool:
        """Close what was opened last: the filter, the settings, or a panel that has the whole screen."""
        if not self._opened:
            return False
        match self._opened[-1]:
            case "filter":
                self._field.action_clear_search()
                self._open("filter", is_open=False)
            case "settings":
                self.remove_class("-settings")
                self._open("settings", is_open=False)
            case _:
                self._panels = PANELS[0]
                self._open("panels", is_open=False)
        self._show_runs()
        return True

    def _open(self, what: str, *, is_open: bool = True) -> None:
        """Note what esc is to close, and what no longer."""
        self._opened = [each for each in self._opened if each != what] + [what] * is_open

    def _read_wanted(self) -> None:
        known = self._comparison
        if self._reader is not None:
            others = (path for path in known.drawn.slots if path != known.watched)
            self._reader.want(others, only_epochs=not known.drawn.is_in_one_chart)

    def _show_runs(self) -> None:
        self._is_redrawing = False
        self._hand_out()
        for panel in (self._list, self._overlay, self._multiples, self._table):
            panel.redraw()

    def _hand_out(self) -> None:
        """Hand the newest runs to the panels."""
        known = self._comparison
        known.hide_unlisted()
        self._list.show_runs(known.listed())
        self._multiples.selected = self._list.path
        self._table.show_runs(known.drawn.runs())
        self.bar.tell(known.labels(self._list.path, has_settings=self.has_class("-settings")))
        self._fit(self.size.width, self.size.height)

    def _fit(self, width: int, height: int) -> None:
        is_low = 0 < height < _LOW
        has_settings = self.has_class("-settings")
        charts = self._panels != "list" and not (is_low and self._panels == PANELS[0]) and not has_settings
        self._list.display = self._panels != "charts" and not (has_settings and is_low)
        self._overlay.display = charts and self._comparison.drawn.is_in_one_chart
        self._multiples.display = charts and not self._comparison.drawn.is_in_one_chart
        self._table.display = has_settings or (height >= TALL and self._panels == PANELS[0])
        wanted = min(self._list.rows_wanted, _MOST_LIST_ROWS if height >= TALL else 6)
        is_alone = width >= WIDE or not (charts or has_settings)
        _set_height(self._list, "1fr" if is_alone else f"{wanted}")
        columns = max(width * 9 // 20, min(_MOST_LIST_COLUMNS, width - _CHART_COLUMNS))
        _set_width(self._list, f"{columns}" if width >= WIDE and charts else "1fr")
        _set_height(self._table, "4fr" if has_settings else f"{min(self._table.rows_wanted, height // 3)}")


def _set_width(panel: Widget, width: str) -> None:
    if str(panel.styles.width) != width:
        panel.styles.width = width


def _set_height(panel: Widget, height: str) -> None:
    if str(panel.styles.height) != height:
        panel.styles.height = height
