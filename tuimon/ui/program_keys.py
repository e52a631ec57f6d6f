"""The keys of the program itself: help, find, palettes, saving the screen."""

import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import App

from tuimon.plot.metric_names import names_of
from tuimon.settings import PALETTES as NAMES
from tuimon.settings import PaletteName
from tuimon.text import plain
from tuimon.ui.charts.canvas import in_words
from tuimon.ui.charts.metric_lines import lines_of
from tuimon.ui.dialogs.help_screen import TERMS, HelpScreen
from tuimon.ui.frame.base_screen import BaseScreen, shown_screen
from tuimon.ui.viewer.key import Key
from tuimon.ui.viewer.keys import keys_of
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.run_keys import BY_NAME
from tuimon.ui.viewer.screen_keys import METRICS
from tuimon.ui.viewer.shell_commands import SHELL_COMMANDS
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
                self._help()
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

    def _help(self, typed: str = "") -> None:
        moment = self._viewer.moment()
        self._app.push_screen(HelpScreen(moment, shown_screen(self._app).screen_name, typed))

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
        """Yield what can be found on a screen: keys, requests, screens, commands, palettes, metrics, words."""
        from tuimon.ui.dialogs.find_dialog import Entry

        keys = [*keys_of(screen.screen_name), *BY_NAME]
        keys = [key for key in keys if key.action != "program('find')" and not key.action.startswith("open(")]
        yield from (self._of_key(key, moment) for key in keys if key.is_useful(moment))
        if screen.screen_name != "metrics":
            key = next(key for key in METRICS if key.label == "spike")
            words = f"key {key.shown} on the screen metrics"
            yield Entry(_title(key), words, partial(self.do, "spike"), key.also)
        yield from self._screens(moment)
        if not moment.remote:
            yield from self._of_the_shell(moment)
        for name in NAMES:
            run = partial(self.do, "palette", name)
            yield Entry(f"palette {name}", "", run, "colours colors theme dark light")
        for metric in names_of(moment.state):
            newest = [
                f"{line.name} {in_words(line.name, float(line.series.values[-1]))}"
                for line in lines_of(moment.state, metric)
            ]
            words = f"on the screen metrics: {', '.join(newest)}"
            yield Entry(f"metric {metric}", words, partial(self.do, "metric", metric), f"chart curve val_{metric}")
        yield from (self._of_key(key, moment) for key in keys if _is_missed(key, moment))
        for term, _, meaning in TERMS:
            yield Entry(f"word {term}: {meaning}", "in the help", partial(self._help, term), is_last=True)

    def _of_key(self, key: Key, moment: Moment) -> "Entry":
        from tuimon.ui.dialogs.find_dialog import Entry

        reason = (moment.cannot(key.request) if key.request else "") or _missing(key, moment)
        not_now = f"not now, {plain(reason, 200)}" if reason else ""
        words = ": ".join(part for part in (f"key {key.shown}" if key.keys else "", not_now) if part)
        is_idle = _is_missed(key, moment)
        return Entry(_title(key), words, self._action(key), f"{key.also} {key.request}", is_last=is_idle)

    def _of_the_shell(self, moment: Moment) -> "Iterator[Entry]":
        from tuimon.ui.dialogs.find_dialog import Entry

        for each in SHELL_COMMANDS:
            if moment.replay is None or "replay" not in each.command:
                command = each.command.replace("{run}", shlex.quote(plain(moment.run_path.name, 80)))
                yield Entry(
                    each.does, f"in a shell: {command}", partial(self._say, f"Type in a shell: {command}"), each.also
                )

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


def _is_missed(key: Key, moment: Moment) -> bool:
    """Return whether somebody may look for a key that does nothing now, and be told why."""
    has_no_layers = key.of_batch_norm and moment.state.model is not None and not moment.layers
    return not has_no_layers and not key.is_useful(moment) and bool(_missing(key, moment))


def _missing(key: Key, moment: Moment) -> str:
    """Return what a key waits for; empty where it waits for nothing, or where that is no news."""
    if key.needs == "alerts" and not moment.state.alerts:
        return "there is no alert"
    return moment.refusal if key.needs == "steering" else ""
