"""Every key of every screen, in named groups: bindings, footer and help screen are made from them."""

from collections.abc import Iterator

from tuimon.ui.viewer.key import SCREEN_NAMES, SCROLLED, SEARCHED, Key, KeyGroup, ScreenName, all_but
from tuimon.ui.viewer.other_run import OTHER_RUN
from tuimon.ui.viewer.run_keys import BY_NAME, REPLAY, STEERING
from tuimon.ui.viewer.screen_keys import COMPARING, LAYERS, METRICS, SEARCHING, TIMELINE

WHY_KEY = "w"
"""The key that opens the alerts on every screen."""
_LINES: tuple[ScreenName, ...] = ("dashboard", "metrics", "layers", "compare")
"""The screens that have a line under the cursor."""
_ENTER_TOO: tuple[ScreenName, ...] = ("dashboard", "layers", "log", "system", "run")
"""The screens on which enter opens the alerts as well, because it does nothing else there."""
_WHY = "Say why there is an alert: what it rests on, and what to do. Of an alert under the cursor, this one."
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
            keys=f"{WHY_KEY},enter",
            action="ask('why')",
            label="why",
            help=_WHY,
            rank=5,
            screens=_ENTER_TOO,
            also="explain alert warning problem diagnosis rule doctor",
        ),
        Key(
            keys=WHY_KEY,
            action="ask('why')",
            label="why",
            help=_WHY,
            rank=5,
            screens=all_but(*_ENTER_TOO),
            also="explain alert warning problem diagnosis rule doctor",
        ),
    ),
)

SCROLLING = KeyGroup(
    "Lines that scroll",
    screens=SCROLLED,
    is_own=True,
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
        Key(
            keys="1",
            action="open('dashboard')",
            help="The dashboard: what matters now.",
            also="overview main home loss gap parts train training inference difference",
        ),
        Key(
            keys="2",
            action="open('metrics')",
            label="screens",
            help="Every metric: a grid of charts, or one in full.",
            rank=3,
            also="loss accuracy validation overfit overfitting spikes nan curves zoom plot",
        ),
        Key(
            keys="3",
            action="open('layers')",
            help="All BatchNormalization layers.",
            also="batchnorm bn drift moving mean variance statistics half-life gradients dead channels share parts gap",
        ),
        Key(
            keys="4",
            action="open('timeline')",
            help="All events, with what is known of each.",
            also="timeline requests alerts history why warnings errors problems spikes nan overfit overfitting rules",
        ),
        Key(
            keys="5",
            action="open('log')",
            help="What the training process printed.",
            also="console output trainer.log print stdout traceback error",
        ),
        Key(
            keys="6",
            action="open('system')",
            help="Processors, memory and GPUs.",
            also="cpu ram load gpu slow utilization",
        ),
        Key(
            keys="7",
            action="open('run')",
            help="What the run is: config, model, versions, best values, accepted requests.",
            also="settings hyperparameters seed time slow bottleneck input data pipeline callbacks optimizer",
        ),
        Key(
            keys="8",
            action="open('compare')",
            help="Several runs of this directory side by side.",
            also="compare runs baseline sweep experiments hyperparameters tags delete",
        ),
    ),
)

PROGRAM = KeyGroup(
    "The program",
    keys=(
        Key(
            keys="s",
            action="program('save')",
            label="save",
            help="Save the screen as SVG and the curves on it as CSV, in this directory.",
            rank=14,
            also="screenshot export picture",
        ),
        Key(
            keys="colon,ctrl+p",
            action="program('find')",
            shown=":",
            label="find",
            help="Find a key, a request, a screen or a metric by its words.",
            rank=15,
            also="command palette search",
        ),
        Key(
            keys="C",
            action="program('next_palette')",
            help="Show the next palette: dark, light, both for people who see fewer hues.",
            also="colour color theme contrast",
        ),
        Key(
            keys="ctrl+l",
            action="repaint",
            shown="ctrl l",
            help="Draw the screen anew, if something else has written on it.",
            also="redraw refresh",
        ),
        Key(
            keys="ctrl+z",
            action="suspend_process",
            shown="ctrl z",
            help="Suspend this program, as the shell's job control does; fg brings it back. Training goes on.",
            also="shell background job stop",
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
            help="Close what was opened last on this screen; then back to the dashboard.",
            screens=all_but("dashboard", *SEARCHED),
        ),
        Key(
            keys="escape",
            action="back",
            shown="esc",
            label="back",
            help="Clear the words that are searched for; then back to the dashboard.",
            screens=SEARCHED,
        ),
        Key(
            keys="question_mark",
            action="program('help')",
            shown="?",
            label="help",
            help="Show this page; type to search it.",
            rank=-1,
            also="keys manual",
        ),
        Key(
            keys="q,ctrl+c",
            action="leave",
            label="quit",
            help="Close this program; a run that goes on asks how.",
            rank=-1,
            also="exit leave stop",
        ),
    ),
)

GROUPS = (
    COMPARING,
    METRICS,
    LAYERS,
    TIMELINE,
    SEARCHING,
    SCROLLING,
    STEERING,
    REPLAY,
    LINES,
    CHARTS,
    ALERTS,
    SCREENS,
    OTHER_RUN,
    PROGRAM,
    BACK,
)
"""In the order in which the footer and the help screen have their keys: first those of single screens."""
KEYS = tuple(key for group in GROUPS for key in group)
"""All keys. One key may stand for two actions: one in a live run, one in a replay."""


def keys_of(screen: ScreenName) -> list[Key]:
    """Return the keys of a screen, its own first."""
    return [key for key in KEYS if not key.screens or screen in key.screens]


def sections(screen: ScreenName = "dashboard") -> Iterator[tuple[str, list[Key]]]:
    """Yield headings with their keys, in the order of the footer of a screen; at the end, what only others have."""
    told: list[Key] = []
    if own := [key for key in keys_of(screen) if key.is_own]:
        told += own
        yield f"On this screen, “{screen}”", own
    for group in GROUPS:
        keys = [key for key in group if key in keys_of(screen) and not key.is_own]
        told += keys
        if keys:
            yield group.name, keys
    known = {(key.shown, key.help) for key in told}
    for other in SCREEN_NAMES:
        if keys := [key for key in keys_of(other) if (key.shown, key.help) not in known]:
            yield f"On the screen “{other}”", keys
            known |= {(key.shown, key.help) for key in keys}
    yield BY_NAME.name, list(BY_NAME)


def textual_name(shown: str) -> str:
    """Return how Textual names a key that is written as ``shown``."""
    return next((key.keys.split(",")[0] for key in KEYS if key.shown == shown), shown)
