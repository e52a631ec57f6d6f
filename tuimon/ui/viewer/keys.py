"""Every key of every screen, in named groups: bindings, footer and help screen are made from them."""

from collections.abc import Iterator

from tuimon.ui.viewer.key import SCREEN_NAMES, SCROLLED, SEARCHED, Key, KeyGroup, ScreenName, all_but
from tuimon.ui.viewer.other_run import OTHER_RUN
from tuimon.ui.viewer.run_keys import REPLAY, STEERING
from tuimon.ui.viewer.screen_keys import COMPARING, LAYERS, METRICS, SEARCHING, TIMELINE

OTHER_WHY: tuple[ScreenName, ...] = ("metrics", "compare", "timeline")
"""The screens on which a opens the alerts, because enter does something else."""
_LINES: tuple[ScreenName, ...] = ("dashboard", "metrics", "layers", "compare")
"""The screens that have a line under the cursor."""
_ALERTED: tuple[ScreenName, ...] = ("dashboard", "layers", "log", "system", "run")
"""The screens on which enter opens the alerts."""
LINES = KeyGroup(
    "A line under the cursor",
    screens=_LINES,
    keys=(
        Key(keys="up,k", action="screen.cursor(-1)", shown="↑", help="Select the line before."),
        Key(keys="down,j", action="screen.cursor(1)", shown="↓", label="select", help="Select the next line.", rank=9),
        Key(
            keys="pageup",
            action="screen.cursor(-10)",
            shown="page up",
            help="Ten lines up; of settings that differ, a page.",
        ),
        Key(
            keys="pagedown",
            action="screen.cursor(10)",
            shown="page down",
            help="Ten lines down; of settings that differ, a page.",
        ),
    ),
)

CHARTS = KeyGroup(
    "Charts that take turns",
    needs="tabs",
    screens=("dashboard",),
    keys=(
        Key(
            keys="tab",
            action="screen.next_chart(1)",
            label="chart",
            help="Show the next chart, if there is no room for all.",
            rank=3,
        ),
        Key(keys="shift+tab", action="screen.next_chart(-1)", shown="shift tab", help="Show the chart before."),
    ),
)

ALERTS = KeyGroup(
    "Alerts",
    needs="alerts",
    keys=(
        Key(
            keys="enter",
            action="why",
            label="why",
            help="Say why there is an alert: what it rests on, and what to do.",
            rank=5,
            screens=_ALERTED,
        ),
        Key(keys="a", action="why", label="why", help="Say why there is an alert.", rank=5, screens=OTHER_WHY),
    ),
)

SCROLLING = KeyGroup(
    "Lines that scroll",
    screens=SCROLLED,
    keys=(
        Key(keys="up,k", action="screen.cursor(-1)", shown="↑", help="Go a line up."),
        Key(keys="down,j", action="screen.cursor(1)", shown="↓", label="scroll", help="Go a line down.", rank=1),
        Key(keys="pageup", action="screen.page(-1)", shown="page up", help="Go a page up."),
        Key(keys="pagedown", action="screen.page(1)", shown="page down", help="Go a page down."),
        Key(keys="home", action="screen.to_first", help="Go to the first line."),
        Key(
            keys="end",
            action="screen.to_last",
            label="last",
            help="Go to the last line; of a log, follow it.",
            rank=4,
            screens=("log", "run"),
        ),
        Key(
            keys="end",
            action="screen.to_last",
            label="oldest",
            help="Go to the first event of the run.",
            rank=4,
            screens=("timeline",),
        ),
    ),
)

SCREENS = KeyGroup(
    "Screens",
    keys=(
        Key(keys="1", action="open('dashboard')", help="The dashboard: what matters now."),
        Key(
            keys="2",
            action="open('metrics')",
            label="screens",
            help="Every metric: a grid of charts, or one in full.",
            rank=3,
        ),
        Key(keys="3", action="open('layers')", help="All BatchNormalization layers."),
        Key(keys="8", action="open('compare')", help="Several runs of this directory side by side."),
    ),
)

PROGRAM = KeyGroup(
    "The program",
    keys=(
        Key(
            keys="s",
            action="save",
            label="save",
            help="Save the screen as SVG and the curves on it as CSV, in this directory.",
            rank=14,
        ),
        Key(keys="ctrl+p,colon", action="command_palette", shown=":", help="Find what a key does by its words."),
        Key(
            keys="C",
            action="next_palette",
            help="Show the next palette: dark, light, both for people who see fewer hues.",
        ),
        Key(
            keys="ctrl+l",
            action="repaint",
            shown="ctrl l",
            help="Draw the screen anew, if something else has written on it.",
        ),
    ),
)

MORE_SCREENS = KeyGroup(
    "More screens",
    keys=(
        Key(keys="4", action="open('timeline')", help="All events, with what is known of each."),
        Key(keys="5", action="open('log')", help="What the training process printed."),
        Key(keys="6", action="open('system')", help="Processors, memory and GPUs."),
        Key(
            keys="7",
            action="open('run')",
            help="What the run is: config, model, versions, best values, accepted requests.",
        ),
    ),
)

BACK = KeyGroup(
    "Back, help and the end",
    keys=(
        Key(
            keys="escape",
            action="back",
            shown="esc",
            label="back",
            help="Back to all metrics, to the curves, or to the dashboard.",
            screens=all_but("dashboard", *SEARCHED),
        ),
        Key(
            keys="escape",
            action="back",
            shown="esc",
            label="back",
            help="Forget what was searched for; then back to the dashboard.",
            screens=SEARCHED,
        ),
        Key(keys="question_mark", action="help", shown="?", label="help", help="Show this page."),
        Key(
            keys="q,ctrl+c",
            action="leave",
            label="quit",
            help="Close this screen; a run that goes on asks how.",
            rank=-1,
        ),
    ),
)

GROUPS = (
    STEERING,
    REPLAY,
    LINES,
    CHARTS,
    COMPARING,
    ALERTS,
    SCROLLING,
    TIMELINE,
    SEARCHING,
    SCREENS,
    OTHER_RUN,
    METRICS,
    LAYERS,
    PROGRAM,
    MORE_SCREENS,
    BACK,
)
"""In the order in which the footer and the help screen have their keys."""
KEYS = tuple(key for group in GROUPS for key in group)
"""All keys. One key may stand for two actions: one in a live run, one in a replay."""


def keys_of(screen: ScreenName) -> list[Key]:
    """Return the keys of a screen."""
    return [key for key in KEYS if not key.screens or screen in key.screens]


def sections(screen: ScreenName = "dashboard") -> Iterator[tuple[str, list[Key]]]:
    """Yield headings with their keys, each key once; first what the keys of one screen are for."""
    others = [key for group in GROUPS if group not in (STEERING, REPLAY) for key in group]
    dashboard = [key for key in others if not key.screens or "dashboard" in key.screens]
    left = [key for key in others if key not in dashboard]
    if screen != "dashboard":
        here = [key for key in left if screen in key.screens]
        left = [key for key in left if key not in here]
        yield f"On this screen, “{screen}”", here
    yield "Keys", dashboard
    for group in (STEERING, REPLAY):
        yield group.name, list(group)
    for other in SCREEN_NAMES[1:]:
        if keys := [key for key in left if other in key.screens]:
            yield f"On the screen “{other}”", keys
            left = [key for key in left if key not in keys]


def textual_name(shown: str) -> str:
    """Return how Textual names a key that is written as ``shown``."""
    return next((key.keys.split(",")[0] for key in KEYS if key.shown == shown), shown)
