"""The screens beside the dashboard, each imported when it is opened: the first screen waits for none of them."""

from tuimon.settings import Settings
from tuimon.ui.keys import Place
from tuimon.ui.moment_screen import MomentScreen


def new_screen(place: Place, settings: Settings) -> MomentScreen:
    """Return a screen that is not the dashboard.

    Args:
        place: Which.
        settings: What is liked.

    Raises:
        ValueError: it is.
    """
    match place:
        case "metrics":
            from tuimon.ui.metrics_screen import MetricsScreen

            return MetricsScreen(settings)
        case "layers":
            from tuimon.ui.layers_screen import LayersScreen

            return LayersScreen()
        case "timeline":
            from tuimon.ui.timeline_screen import TimelineScreen

            return TimelineScreen()
        case "log":
            from tuimon.ui.log_screen import LogScreen

            return LogScreen()
        case "system":
            from tuimon.ui.system_screen import SystemScreen

            return SystemScreen()
        case "run":
            from tuimon.ui.run_screen import RunScreen

            return RunScreen()
        case "compare":
            from tuimon.ui.compare_screen import CompareScreen

            return CompareScreen()
        case "dashboard":
            raise ValueError("the dashboard is there already")
