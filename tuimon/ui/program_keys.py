"""The keys of the program itself: help, find, palettes, saving the screen."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import App

from tuimon.numbers import number
from tuimon.plot.metric_names import names_of
from tuimon.settings import PALETTES as NAMES
from tuimon.settings import PaletteName
from tuimon.text import plain
from tuimon.ui.charts.metric_lines import lines_of
from tuimon.ui.dialogs.help_screen import HelpScreen
from tuimon.ui.frame.base_screen import BaseScreen, shown_screen
from tuimon.ui.viewer.key import Key
from tuimon.ui.viewer.keys import keys_of
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.run_keys import BY_NAME
from tuimon.ui.viewer.screen_keys import METRICS
from tuimon.ui.viewer.viewer import Viewer

if TYPE_CHECKING:
    from tuimon.ui.dialogs.find_dialog import Entry


class ProgramKeys:
    """Does what keys ask of the program itself.

    Args:
        viewer: Knows the run.
        app: Opens pages over the screen that it shows.
        redraw: Draws the screen again.
        show_palette: Shows a palette, or with None the next one, and returns its name.
    """

    def __init__(
        self,
        viewer: Viewer,
        app: App[str],
        redraw: Callable[[], None],
        show_palette: Callable[[PaletteName | None], PaletteName],
    ) -> None:
        self._viewer = viewer
        self._app = app
        self._redraw = redraw
        self._show = show_palette

    async def do(self, name: str, argument: str = "") -> None:
        """Do what a key does.

        Args:
            name: What `program` is given in the table of keys.
            argument: The name of the palette or metric.

        Raises:
            ValueError: no key does this.
        """
        moment = self._viewer.moment()
        match name:
            case "help":
                self._app.push_screen(HelpScreen(moment, shown_screen(self._app).screen_name))
            case "find":
                self._find(moment)
            case "screens":
                self._find(moment, of_screens=True)
            case "save":
                self._save(moment)
            case "next_palette":
                self._show_palette(None)
            case "palette":
                self._show_palette(next(known for known in NAMES if known == argument))
            case "metric":
                await self._app.run_action("open('metrics')")
                shown_screen(self._app).show_metric(argument)
                self._redraw()
            case "spike":
                await self._app.run_action("open('metrics')")
                self._redraw()
                await self._app.run_action("screen.look('spike')", default_namespace=shown_screen(self._app))
            case _:
                raise ValueError(f"no key of the program does this: {name}")

    def _save(self, moment: Moment) -> None:
        """Save the screen and its curves in the directory where this program was started."""
        # The first screen does without.
        from tuimon.ui import screenshot
        from tuimon.ui.drawing.svg import picture

        here = Path.cwd()
        name = moment.state.run.name if moment.state.run else self._viewer.run.path.name
        curves = shown_screen(self._app).shown_curves(moment)
        try:
            written = screenshot.save(here, name, picture(self._app, plain(name)), curves)
        except OSError as error:
            self._say(f"The screen cannot be saved in {here}: {error.strerror or error}", bad=True)
        else:
            self._say(f"Saved {' and '.join(path.name for path in written)} in {here}.")

    def _show_palette(self, name: PaletteName | None) -> None:
        if self._app.no_color:
            self._say("This screen shows no colours.")
        else:
            self._say(f"Palette: {self._show(name)}.")

    def _find(self, moment: Moment, *, of_screens: bool = False) -> None:
        # Loaded when it is opened: the first screen does without.
        from tuimon.ui.dialogs.find_dialog import FindDialog

        screen = shown_screen(self._app)
        if screen is not self._app.screen:
            return

        def run(entry: "Entry | None") -> None:
            if entry is not None:
                self._app.call_later(entry.run)

        entries = self._screens(moment) if of_screens else self.entries(screen, moment)
        self._app.push_screen(FindDialog(list(entries)), run)

    def entries(self, screen: BaseScreen, moment: Moment) -> "Iterator[Entry]":
        """Yield what can be found on a screen: its keys, the requests without keys, screens, palettes, metrics."""
        from tuimon.ui.dialogs.find_dialog import Entry

        for key in [*keys_of(screen.screen_name), *BY_NAME]:
            if not key.is_useful(moment) or key.action == "program('find')" or key.action.startswith("open("):
                continue
            reason = moment.cannot(key.request) if key.request else ""
            not_now = f"not now, {plain(reason, 200)}" if reason else ""
            words = ": ".join(part for part in (f"key {key.shown}" if key.keys else "", not_now) if part)
            yield Entry(_title(key), words, self._action(key), f"{key.also} {key.request}")
        if screen.screen_name != "metrics":
            key = next(key for key in METRICS if key.label == "spike")
            words = f"key {key.shown} on the screen metrics"
            yield Entry(_title(key), words, partial(self.do, "spike"), key.also)
        yield from self._screens(moment)
        if moment.replay is None and not moment.remote:
            command = f"tuimon replay {plain(moment.run_path.name, 80)}"
            yield Entry("replay this run", f"in a shell: {command}", partial(self._say, command), "again history")
        for name in NAMES:
            run = partial(self.do, "palette", name)
            yield Entry(f"palette {name}", "", run, "colours colors theme dark light")
        for metric in names_of(moment.state):
            newest = [f"{line.name} {number(float(line.series.values[-1]))}" for line in lines_of(moment.state, metric)]
            words = f"on the screen metrics: {', '.join(newest)}"
            yield Entry(f"metric {metric}", words, partial(self.do, "metric", metric), f"chart curve val_{metric}")

    def _screens(self, moment: Moment) -> "Iterator[Entry]":
        from tuimon.ui.dialogs.find_dialog import Entry

        for key in keys_of("dashboard"):
            if key.action.startswith("open(") and key.is_useful(moment):
                name = key.action.partition("'")[2].partition("'")[0]
                title = f"screen {name}: {key.help.rstrip('.')}"
                yield Entry(title, f"key {key.shown}", self._action(key), key.also)

    def _action(self, key: Key) -> Callable[[], object]:
        return partial(self._app.run_action, key.full_action, default_namespace=shown_screen(self._app))

    def _say(self, text: str, *, bad: bool = False) -> None:
        self._viewer.say(text, bad=bad)
        self._redraw()


def _title(key: Key) -> str:
    name = f"{key.label}: " if key.label else ""
    return f"{name}{key.help.rstrip('.')}"
