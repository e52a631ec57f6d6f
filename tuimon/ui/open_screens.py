"""Opens and closes full screens, and remembers what was chosen on each."""

from msgspec import structs
from textual.app import App

from tuimon.settings import PaletteName, Settings
from tuimon.ui.frame.base_screen import BaseScreen, shown_screen
from tuimon.ui.screens.catalog import new_screen
from tuimon.ui.screens.dashboard.screen import Dashboard
from tuimon.ui.viewer.key import ScreenName
from tuimon.ui.viewer.moment import Moment
from tuimon.ui.viewer.view_memory import View


class OpenScreens:
    """Opens one full screen at a time over the dashboard, with what was chosen on it the last time.

    Args:
        app: Shows them.
        dashboard: The screen below all others.
        settings: The settings.
        view: What was chosen the last time.
    """

    def __init__(self, app: App[str], dashboard: Dashboard, settings: Settings, view: View) -> None:
        self._app = app
        self._dashboard = dashboard
        self._settings = settings
        self._view = view
        """What is remembered; its layer only until that layer is selected."""
        self._opened: BaseScreen = self._dashboard

    def recall(self) -> None:
        """Show the chart that was chosen the last time, where there is one at a time."""
        if self._view.chart is not None:
            self._dashboard.choose_chart(self._view.chart)

    async def open(self, name: ScreenName) -> None:
        """Show another screen, unless a question is open."""
        shown = shown_screen(self._app)
        if shown is not self._app.screen or shown.screen_name == name:
            return
        if shown is not self._dashboard:
            self._view = shown.remember(self._view)
            await self._app.pop_screen()
        self._opened = self._dashboard
        if name != "dashboard":
            self._opened = new_screen(name, self._settings)
            self._opened.recall(self._view)
            await self._app.push_screen(self._opened)

    async def go_back(self) -> None:
        """Go back: within the screen, else to the dashboard."""
        if not shown_screen(self._app).go_back():
            await self.open("dashboard")

    def show(self, moment: Moment) -> None:
        """Show another moment on the screen that is open; select the layer that was chosen, once it is known."""
        shown_screen(self._app).show(moment)
        if self._view.layer in moment.state.layers:
            self._dashboard.select_layer(self._view.layer)
            self._view = structs.replace(self._view, layer=None)

    def choose_palette(self, palette: PaletteName) -> None:
        """Remember the palette that was chosen."""
        self._view = structs.replace(self._view, palette=palette)

    def remembered(self) -> View:
        """Return what is chosen now."""
        return self._dashboard.remember(self._opened.remember(self._view))
