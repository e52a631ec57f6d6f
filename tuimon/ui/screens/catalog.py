"""The screens beside the dashboard, each imported when it is opened: the first screen waits for none of them."""

from tuimon.settings import Settings
from tuimon.ui.frame.base_screen import BaseScreen
from tuimon.ui.viewer.key import ScreenName


def new_screen(name: ScreenName, settings: Settings) -> BaseScreen:
    """Return a screen that is not the dashboard.

    Args:
        name: The name of the screen.
        settings: The settings of the user.

    Raises:
        ValueError: The name is that of the dashboard.
    """
    screen: BaseScreen
    match name:
        case "metrics":
            from tuimon.ui.screens.metrics.screen import MetricsScreen

            screen = MetricsScreen(settings)
        case "layers":
            from tuimon.ui.screens.layers.screen import LayersScreen

            screen = LayersScreen()
        case "timeline":
            from tuimon.ui.screens.timeline.screen import TimelineScreen

            screen = TimelineScreen()
        case "log":
            from tuimon.ui.screens.trainer_log.screen import LogScreen

            screen = LogScreen()
        case "system":
            from tuimon.ui.screens.system.screen import SystemScreen

            screen = SystemScreen()
        case "run":
            from tuimon.ui.screens.run_info.screen import RunScreen

            screen = RunScreen()
        case "compare":
            from tuimon.ui.screens.compare.screen import CompareScreen

            screen = CompareScreen()
        case "dashboard":
            raise ValueError("the dashboard is there already")
    return screen
