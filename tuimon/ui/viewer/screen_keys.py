"""The keys of single screens: several runs, events, what is searched, metrics, layers."""

from tuimon.ui.viewer.key import SEARCHED, Key, KeyGroup

COMPARING = KeyGroup(
    "Several runs",
    screens=("compare",),
    is_own=True,
    keys=(
        Key(
            keys="space",
            action="screen.compare('pick')",
            label="pick",
            help="Draw the run under the cursor, or take it out of the charts.",
        ),
        Key(
            keys="A",
            action="screen.compare('pick_all')",
            label="pick all",
            help="Draw all runs that are listed, or none of them; more than six have a small chart each.",
            rank=7,
        ),
        Key(keys="enter", action="watch_run", label="watch", help="Watch the run under the cursor instead.", rank=1),
        Key(keys="tab", action="screen.compare('next_metric')", label="metric", help="Draw the next metric.", rank=1),
        Key(
            keys="shift+tab",
            action="screen.compare('metric_before')",
            shown="shift tab",
            help="Draw the previous metric.",
        ),
        Key(
            keys="o",
            action="screen.compare('order')",
            label="sort",
            help="Sort the list by something else: age, best value, name, state, each parameter.",
            rank=1,
        ),
        Key(
            keys="O",
            action="screen.compare('reverse')",
            label="reverse",
            help="Sort the list the other way round.",
            rank=9,
        ),
        Key(
            keys="slash",
            action="screen.compare('filter')",
            shown="/",
            label="filter",
            help="List and draw only runs that fit: words, or comparisons such as val_loss<0.3, lr=1e-3, state=failed.",
            rank=1,
        ),
        Key(
            keys="P",
            action="screen.change('pin')",
            label="baseline",
            help="Measure the others against the run under the cursor, or no longer.",
            rank=2,
        ),
        Key(
            keys="v",
            action="screen.compare('panels')",
            label="view",
            help="Give the whole screen to the charts, to the list, or share it.",
            rank=3,
        ),
        Key(keys="x", action="screen.compare('time')", label="time", help="Switch x between steps and time.", rank=6),
        Key(
            keys="d",
            action="screen.compare('settings')",
            label="settings",
            help="Show the settings instead of the charts, or the charts again.",
            rank=4,
        ),
        Key(
            keys="t",
            action="screen.change('tag')",
            label="tag",
            help="Give the run under the cursor tags, or take them away; its log stays as it is.",
            rank=5,
        ),
        Key(keys="T", action="screen.change('note')", help="Leave a note on the run under the cursor, beside its log."),
        Key(
            keys="delete,D",
            action="screen.change('delete')",
            shown="D",
            label="delete",
            help="Delete the run under the cursor for good, unless it may be running; asks first.",
            rank=8,
        ),
    ),
)

TIMELINE = KeyGroup(
    "Events",
    screens=("timeline",),
    is_own=True,
    keys=(
        Key(
            keys="enter",
            action="screen.choose",
            label="open",
            help="Explain the alert, or show the event in the charts; a replay jumps to it.",
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
    is_own=True,
    keys=(
        Key(
            keys="slash",
            action="screen.search",
            shown="/",
            label="search",
            help="Search the text; on the screen of events, filter them.",
        ),
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
            help="Go to the previous match.",
            rank=1,
            screens=("log",),
        ),
    ),
)

METRICS = KeyGroup(
    "Charts of metrics",
    screens=("metrics",),
    is_own=True,
    keys=(
        Key(
            keys="left",
            action="screen.look('cursor', -1)",
            shown="←",
            help="Move the cursor left; the values at it are shown.",
        ),
        Key(
            keys="right",
            action="screen.look('cursor', 1)",
            shown="→",
            label="read",
            help="Move the cursor right; the values at it are shown.",
            rank=3,
        ),
        Key(
            keys="ctrl+left",
            action="screen.look('cursor', -20)",
            shown="ctrl ←",
            help="Move the cursor ten columns left.",
        ),
        Key(
            keys="ctrl+right",
            action="screen.look('cursor', 20)",
            shown="ctrl →",
            help="Move the cursor ten columns right.",
        ),
        Key(
            keys="circumflex_accent",
            action="screen.look('spike')",
            shown="^",
            label="spike",
            help="Move the cursor to the worst spike shown, the value that is furthest above those shortly before it "
            "(below, where higher is better): of validation, then of batches. What is not finite comes first. Again: "
            "the next one.",
            rank=6,
            also="largest peak outlier nan infinite worst",
        ),
        Key(
            keys="plus,equals_sign",
            action="screen.look('zoom', 1)",
            shown="+",
            label="zoom",
            help="Zoom in: half of what is shown.",
            rank=2,
        ),
        Key(keys="minus", action="screen.look('zoom', -1)", shown="-", help="Zoom out: twice of what is shown."),
        Key(
            keys="less_than_sign,shift+left",
            action="screen.look('pan', -1)",
            shown="<",
            help="Show what is further left; the chart no longer follows the newest values.",
        ),
        Key(
            keys="greater_than_sign,shift+right",
            action="screen.look('pan', 1)",
            shown=">",
            help="Show what is further right.",
        ),
        Key(keys="G", action="screen.look('follow')", label="follow", help="Follow the newest values again.", rank=6),
        Key(keys="0", action="screen.look('all')", label="all", help="Show the whole run.", rank=8),
        Key(
            keys="x",
            action="screen.look('x')",
            label="x axis",
            help="Switch x: step, epoch, time since the start, time of day.",
            rank=4,
        ),
        Key(
            keys="y",
            action="screen.look('scale')",
            label="scale",
            help="Switch the scale of the values: linear, logarithmic, automatic.",
            rank=6,
        ),
        Key(
            keys="e",
            action="screen.look('smoothing')",
            label="smooth",
            help="Switch the smoothing of the batch curve: exponential moving average, median, none.",
            rank=5,
        ),
        Key(keys="left_parenthesis", action="screen.look('strength', -1)", shown="(", help="Smooth less."),
        Key(keys="right_parenthesis", action="screen.look('strength', 1)", shown=")", help="Smooth more."),
        Key(
            keys="v",
            action="screen.grid",
            label="grid",
            help="Switch how many charts are shown at a time: from 1×1 to 3×3.",
            rank=7,
        ),
        Key(
            keys="enter",
            action="screen.full",
            label="full",
            help="Show one metric in full, with its statistics, or all of them again.",
            rank=1,
        ),
        Key(
            keys="slash",
            action="screen.filter",
            shown="/",
            label="filter",
            help="Show only the metrics whose names match what you type: a glob or a regular expression.",
            rank=2,
        ),
    ),
)

LAYERS = KeyGroup(
    "Layers",
    screens=("layers",),
    is_own=True,
    keys=(
        Key(
            keys="o",
            action="screen.sort",
            label="order",
            help="Switch the order of the layers: as in the model, by drift, by share, by change.",
            rank=5,
        ),
        Key(
            keys="v",
            action="screen.quantity",
            of_batch_norm=True,
            label="map",
            help="Switch what the map shows: drift, share, change of means, of variances; on a small screen the panel.",
            rank=6,
        ),
    ),
)
