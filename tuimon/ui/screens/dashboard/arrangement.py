"""The places of the dashboard's panels, at any size of the terminal and for any model.

The order is that of what matters: loss, gap, layers. The gap is in sight at every size, as a chart or as a few lines.
"""

from msgspec import Struct

from tuimon.ui.frame.base_screen import HIGH, TALL, WIDE

METRICS = 6
"""The most metrics beside the loss that have charts here; screen 2 has them all."""
COLUMNS = 6
"""Columns of the grid of charts."""
_TINY = 14
"""On fewer lines there is one panel at a time, and the gap in one line."""
_BESIDE = 110
"""From this width on, the charts of loss and gap stand side by side, where there are two rows of charts."""
_CHART_ROWS = 6
"""The least height of a chart with axes."""
_LEAST_TABLE = 6
"""A table of layers is made lower than it could be, down to this, so that charts have room."""
_STATISTICS = ("moving-mean", "moving-variance")
LAYERS = "layers"
"""The turn in which the table of layers is shown, where panels take turns."""


class Contents(Struct, frozen=True):
    """What there is to show."""

    has_batch_norm: bool
    """Whether the model has BatchNormalization layers."""
    is_probed: bool
    """Whether there is a probe."""
    has_gap: bool
    """Whether training and inference mode ever differed."""
    metrics: int
    """How many metrics there are beside the loss."""
    table_rows: int
    """The height at which every layer has its line in the table."""


class Row(Struct, frozen=True):
    """Charts side by side."""

    height: str
    """Its height, as the style sheet has it: a number of lines, or a share of the room such as "1fr"."""
    charts: tuple[str, ...]
    """The names of its charts; each has the same width."""


class Arrangement(Struct, frozen=True):
    """Where the panels are. What is not named is not shown."""

    rows: tuple[Row, ...]
    """The charts, from above: loss, gap, others. Empty where the table of layers is shown alone."""
    turns: tuple[str, ...]
    """The names of those of which one is shown at a time, in the order of the key; empty where all are shown."""
    table: int
    """Height of the table of layers in lines; 0: it is not shown. It has the whole room where there are no rows."""
    events: int
    """Height of the newest events; 0: they are not shown."""

    @property
    def charts(self) -> frozenset[str]:
        """The names of the charts that are shown."""
        return frozenset(chart for row in self.rows for chart in row.charts)


WAITING = Arrangement((), (), 0, 2)
"""Before the first fact: a sentence, and the newest events."""


def arrange(width: int, height: int, contents: Contents, chosen: str) -> Arrangement:
    """Return the places of the panels.

    Args:
        width: Of the terminal, in cells.
        height: Of the terminal, in lines.
        contents: What there is to show.
        chosen: The name of the chart that is shown where panels take turns, if it is one of those.
    """
    if height < _TINY:
        return _tiny(height, contents, chosen)
    is_wide, is_tall = width >= WIDE, height >= TALL
    events = 9 if height >= HIGH else 6 if is_tall else 2
    # Header, banner and keys have lines of their own.
    room = height - (1 if is_wide and height < HIGH else 2) - 2 - events
    most = height * 3 // 10 if is_tall else _LEAST_TABLE
    table = min(contents.table_rows, most, max(4, room - _CHART_ROWS - 3))
    if not is_tall:
        rows, turns = _low(is_wide, height, contents, chosen)
        return Arrangement(rows, turns, table, events)
    rows, turns = _high(is_wide, width, contents, chosen)
    fixed = sum(int(row.height) for row in rows if row.height.isdigit())
    needed = fixed + (_CHART_ROWS + 1) * sum(not row.height.isdigit() for row in rows)
    table = max(min(table, _LEAST_TABLE), min(table, room - needed))
    return Arrangement(rows, turns, table, events)


def _tiny(height: int, contents: Contents, chosen: str) -> Arrangement:
    """One panel at a time, the gap in a line below it; no events."""
    turns = ("loss", "gap", LAYERS)
    shown = _shown(turns, chosen)
    if shown == LAYERS:
        return Arrangement((), turns, contents.table_rows, 0)
    rows = [Row("1fr", (shown,))]
    if shown != "gap" and height >= 8:
        rows.append(Row("1", ("gap",)))
    return Arrangement(tuple(rows), turns, 0, 0)


def _low(is_wide: bool, height: int, contents: Contents, chosen: str) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """One row of charts: wide, with loss and gap beside each other and one that takes turns; else one chart."""
    others = tuple(group[0] for group in _others(contents, 1))
    if is_wide and contents.has_gap:
        turn = (_shown(others, chosen),) if others else ()
        return (Row("1fr", ("loss", "gap", *turn)),), others if len(others) > 1 else ()
    gap_line = Row("4" if height >= 28 else "3" if height >= 18 else "1", ("gap",))
    turns = ("loss", *(("gap",) if contents.has_gap else ()), *others)
    turns = turns if len(turns) > 1 else ()
    shown = _shown(turns, chosen) if turns else "loss"
    large = Row("1fr", (shown,))
    if shown == "gap":
        return (large,), turns
    return ((large, gap_line) if shown == "loss" else (gap_line, large)), turns


def _high(is_wide: bool, width: int, contents: Contents, chosen: str) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Two rows of charts: loss and gap above; the layers, or without those the other metrics, below."""
    if contents.has_gap and width >= _BESIDE:
        rows = [Row("6fr", ("loss", "gap"))]
    else:
        # With nothing to take apart, one line has room for all.
        is_line = not contents.is_probed or (is_wide and not contents.has_gap)
        rows = [Row("6fr", ("loss",)), Row("3" if is_line else "4", ("gap",))]
    groups = _others(contents, 3 if is_wide else 2)
    turns = tuple(group[0] for group in groups)
    if groups:
        shown = _shown(turns, chosen)
        # The two statistics of a layer are one turn.
        shown = _STATISTICS[0] if chosen == _STATISTICS[1] and _STATISTICS[0] in turns else shown
        rows.append(Row("5fr", next(group for group in groups if group[0] == shown)))
    return tuple(rows), turns if len(turns) > 1 else ()


def _others(contents: Contents, together: int) -> list[tuple[str, ...]]:
    """Return the charts below loss and gap, in groups of up to ``together`` charts that are shown at a time."""
    if not contents.has_batch_norm:
        names = [metric_name(place) for place in range(min(contents.metrics, METRICS))]
        return [tuple(names[first : first + together]) for first in range(0, len(names), together)]
    drift = ("drift",) if contents.is_probed else ()
    if together == 1:
        return [(name,) for name in (*drift, *_STATISTICS)]
    if together == 2:
        return [_STATISTICS, *((name,) for name in drift)]
    return [(*drift, *_STATISTICS)]


def metric_name(place: int) -> str:
    """Return the name of the chart of a metric beside the loss, counted from 0."""
    return f"metric-{place + 1}"


def _shown(turns: tuple[str, ...], chosen: str) -> str:
    return chosen if chosen in turns else turns[0]
