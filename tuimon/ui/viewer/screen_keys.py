"""The keys of single screens: several runs, events, what is searched, metrics, layers."""

from tuimon.ui.viewer.key import SEARCHED, Key, KeyGroup

COMPARING = KeyGroup(
    "Several runs",
    screens=("compare",),
    keys=(
        Key(keys="space", action="screen.pick", label="pick", help="Draw the run under the cursor, or no longer."),
        Key(keys="enter", action="watch_run", label="watch", help="Watch the run under the cursor instead.", rank=1),
        Key(keys="tab", action="screen.next_metric(1)", label="metric", help="Draw the next metric.", rank=1),
        Key(keys="shift+tab", action="screen.next_metric(-1)", shown="shift tab", help="Draw the metric before."),
        Key(keys="x", action="screen.toggle_time", label="time", help="Draw over time, or over steps again.", rank=6),
        Key(keys="d", action="screen.toggle_settings", label="settings", help="Give the settings more room."),
    ),
)

TIMELINE = KeyGroup(
    "Events",
    screens=("timeline",),
    keys=(
        Key(
            keys="enter",
            action="screen.choose",
            label="open",
            help="Why there is an alert; another event in the charts; a replay goes there.",
            rank=1,
        ),
        Key(
            keys="J,shift+down", action="screen.scroll_details(1)", label="details", help="Scroll the details.", rank=10
        ),
        Key(keys="K,shift+up", action="screen.scroll_details(-1)", help="Scroll the details back."),
    ),
)

SEARCHING = KeyGroup(
    "Searching",
    screens=SEARCHED,
    keys=(
        Key(keys="slash", action="screen.search", shown="/", label="search", help="Search, or filter events."),
        Key(
            keys="n",
            action="screen.next_match(1)",
            label="next",
            help="Go to the next match.",
            rank=1,
            screens=("log",),
        ),
        Key(
            keys="N",
            action="screen.next_match(-1)",
            label="previous",
            help="Go to the match before.",
            rank=1,
            screens=("log",),
        ),
    ),
)

METRICS = KeyGroup(
    "Charts of metrics",
    screens=("metrics",),
    keys=(
        Key(keys="left", action="screen.look('cursor', -1)", shown="←", help="Read values off further left."),
        Key(
            keys="right",
            action="screen.look('cursor', 1)",
            shown="→",
            label="read",
            help="Read values off further right.",
            rank=3,
        ),
        Key(keys="ctrl+left", action="screen.look('cursor', -20)", shown="ctrl ←", help="Ten columns further left."),
        Key(keys="ctrl+right", action="screen.look('cursor', 20)", shown="ctrl →", help="Ten columns further right."),
        Key(
            keys="circumflex_accent",
            action="screen.look('largest')",
            shown="^",
            label="largest",
            help="Read off the largest value shown, of validation if there is any.",
            rank=6,
        ),
        Key(
            keys="plus,equals_sign",
            action="screen.look('zoom', 1)",
            shown="+",
            label="zoom",
            help="Half as much of x.",
            rank=2,
        ),
        Key(keys="minus", action="screen.look('zoom', -1)", shown="-", help="Twice as much of x."),
        Key(
            keys="less_than_sign,shift+left",
            action="screen.look('pan', -1)",
            shown="<",
            help="Move to the left; stops following the newest.",
        ),
        Key(keys="greater_than_sign,shift+right", action="screen.look('pan', 1)", shown=">", help="Move to the right."),
        Key(keys="G", action="screen.look('follow')", label="follow", help="Follow the newest again.", rank=6),
        Key(keys="0", action="screen.look('all')", label="all", help="Show all of x.", rank=8),
        Key(
            keys="x",
            action="screen.look('x')",
            label="x axis",
            help="x is the step, the epoch, the time since the start, or the time of day.",
            rank=4,
        ),
        Key(
            keys="y",
            action="screen.look('scale')",
            label="scale",
            help="Values on a linear or a logarithmic scale, or as fits.",
            rank=6,
        ),
        Key(
            keys="e",
            action="screen.look('smoothing')",
            label="smooth",
            help="Smooth the batch curve: an exponential moving average, a median, or not.",
            rank=5,
        ),
        Key(keys="left_parenthesis", action="screen.look('strength', -1)", shown="(", help="Smooth less."),
        Key(keys="right_parenthesis", action="screen.look('strength', 1)", shown=")", help="Smooth more."),
        Key(
            keys="v",
            action="screen.grid",
            label="grid",
            help="More charts at a time, or fewer: from 1×1 to 3×3.",
            rank=7,
        ),
        Key(
            keys="enter",
            action="screen.full",
            label="full",
            help="One metric in full, with its statistics, or all again.",
            rank=1,
        ),
        Key(
            keys="slash",
            action="screen.filter",
            shown="/",
            label="filter",
            help="Type a glob or a regular expression: metrics that match are shown.",
            rank=2,
        ),
    ),
)

LAYERS = KeyGroup(
    "Layers",
    screens=("layers",),
    keys=(
        Key(
            keys="o",
            action="screen.sort",
            label="order",
            help="List the layers by drift, by share, by change, or as the model has them.",
            rank=5,
        ),
        Key(
            keys="w",
            action="screen.quantity",
            label="map",
            help="Show drift, share, or the change of mean or of variance on the map.",
            rank=6,
        ),
    ),
)
