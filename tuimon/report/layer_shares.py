"""The table of BatchNormalization layers: what each makes of the gap, how far its statistics lag."""

import math

from msgspec import Struct

from tuimon.diagnosis.frozen import ENOUGH_INTERVALS, ENOUGH_STEPS
from tuimon.diagnosis.gap.shares import cause, layers_cancel
from tuimon.diagnosis.gap.sums import Scale
from tuimon.diagnosis.gap.telling import Telling
from tuimon.diagnosis.history import beginning
from tuimon.diagnosis.layers import half_life, kept, movement
from tuimon.numbers import figure, portion
from tuimon.protocol import events
from tuimon.protocol.wire import Number, from_wire
from tuimon.report.lines import Line, Span, line, pad, shorten
from tuimon.runs.state import LayerHistory, RunState
from tuimon.text import plain, width_of, wrap

MOST_ROWS = 10
TITLES = ("in order", "own", "drift", "half-life", "initial left")
"""The columns after the layer's name."""
_SHORTEST_NAME = 10
_WIDEST_NAME = 48
_BAR = 16
_EIGHTHS = " ▏▎▍▌▋▊▉"


class LayerShare(Struct, frozen=True):
    """One row."""

    path: str
    probe: events.ProbeLayer
    half_life: float
    """Steps in which the moving average forgets half: ln 2 / −ln(momentum); inf: never."""
    initial_left: float
    """Share of the run's first moving statistics that is left in them: momentum^updates; NaN: not known."""
    is_held: bool
    """Whether its moving statistics do not follow."""


def layer_shares(state: RunState, told: Telling) -> list[LayerShare]:
    """Return the layers of a probe, those that make most of it first."""
    shares = [_share(state, told, path, layer) for path, layer in told.probe.layers.items()]
    return sorted(shares, key=lambda share: -_size(share.probe.in_order))


def _size(value: Number) -> float:
    size = abs(from_wire(value))
    # What is not finite is worth a look before all else.
    return math.inf if math.isnan(size) else size


def _share(state: RunState, told: Telling, path: str, layer: events.ProbeLayer) -> LayerShare:
    history = state.layers.get(path)
    if history is None:
        return LayerShare(path, layer, math.nan, math.nan, is_held=False)
    built = history.layer
    is_newest = state.probes[-1] is told.probe
    is_asked = path in state.frozen | state.statistics_held
    is_held = not built.trainable or (is_newest and (is_asked or _stays(history)))
    momentum = state.momentum.get(path, built.momentum)
    # With a momentum that was changed, or statistics that were held for a while, the power says nothing.
    is_known = not is_held and momentum == built.momentum
    updates = (told.probe.step - beginning(state)) * max(1, layer.calls)
    return LayerShare(path, layer, half_life(momentum), kept(momentum, updates) if is_known else math.nan, is_held)


def _stays(history: LayerHistory) -> bool:
    """Return True if the moving statistics never moved, though nobody asked for that: a `trainable` without effect."""
    seen = movement(history)
    return seen.intervals >= ENOUGH_INTERVALS and seen.steps >= ENOUGH_STEPS and seen.is_held


def said_of_cause(told: Telling) -> str:
    """Return whether one layer is the cause, in a sentence; nothing where batch statistics make nothing."""
    found = cause(told.probe)
    if len(told.probe.layers) < 2:
        return ""
    if layers_cancel(told.probe):
        return "The layers cancel out; none is named."
    if found is None:
        return ""
    first = plain(found.in_order, 200)
    if found.is_agreed:
        return (
            f"{first} makes {portion(found.share)} of what batch statistics make, added in model order, "
            "and the most of all layers on its own: both agree that it is the cause."
        )
    others = [plain(path, 200) for path in found.alone if path != found.in_order]
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    if found.in_order in found.alone:
        alone = f"but on {'their' if more else 'its'} own {others[0]}{more} make{'' if more else 's'} as much"
    else:
        alone = f"on {'their' if more else 'its'} own {others[0]}{more} {'do' if more else 'does'}"
    return f"Added in model order {first} makes most, {alone}: they do not agree, so no layer is named as the cause."


def numbers_of(share: LayerShare, scale: Scale) -> tuple[str, str, str, str, str]:
    """Return what the columns `in order`, `own`, `drift`, `half-life` and `initial left` say of a layer."""
    return (
        _loss(scale, share.probe.in_order),
        _loss(scale, share.probe.alone),
        _drift(share.probe.drift),
        _steps(share),
        _left(share.initial_left),
    )


def table(shares: list[LayerShare], scale: Scale, width: int) -> list[Line]:
    """Return the rows that matter most as a table; columns that do not fit are left out.

    Args:
        shares: All layers, those that make most first.
        scale: How the losses of the probe are written.
        width: In cells.
    """
    shown = shares[:MOST_ROWS]
    rows = [numbers_of(share, scale) for share in shown]
    columns = [(title, [row[index] for row in rows]) for index, title in enumerate(TITLES)]
    names = [plain(share.path, 400) for share in shown]
    sizes = [max(len(title), *map(width_of, cells)) for title, cells in columns]
    longest = max(len("layer"), *map(width_of, names))
    while len(columns) > 1 and min(longest, _SHORTEST_NAME) + sum(sizes) + 2 * len(sizes) > width:
        columns.pop()
        sizes.pop()
    room = width - sum(sizes) - 2 * len(sizes)
    bars = room >= min(longest, _WIDEST_NAME) + _BAR + 2
    name = max(1, min(longest, _WIDEST_NAME, room))
    header = pad("layer", name) + "".join(f"  {title:>{size}}" for (title, _), size in zip(columns, sizes, strict=True))
    largest = max((size for share in shown if math.isfinite(size := _size(share.probe.in_order))), default=0.0)
    lines = [line(Span(header, "dim"))]
    for index, share in enumerate(shown):
        cells = [pad(texts[index], size, right=True) for (_, texts), size in zip(columns, sizes, strict=True)]
        text = "".join(f"  {cell}" for cell in cells)
        bar = _bar(_size(share.probe.in_order), largest) if bars else ""
        lines.append(line(pad(shorten(names[index], name), name) + text, Span(f"  {bar}" if bar else "", "curve")))
    if len(shares) > len(shown):
        lines.append(line(Span(f"… and {len(shares) - len(shown)} more", "dim")))
    return lines


def legend(told: Telling, width: int) -> list[Line]:
    """Return what the columns are, in lines."""
    return [line(Span(words, "dim")) for words in wrap(legend_words(told), width)]


def legend_words(told: Telling) -> str:
    """Return what the columns are."""
    of_first = f" of the first of {told.probe.batches} batches" if told.probe.batches > 1 else ""
    return (
        f"in order, own: what the loss{of_first} rises by when the layer goes from moving to batch statistics, added "
        "in model order or on its own · drift: from moving to batch statistics, in nats · half-life: of the moving "
        "average · initial left: share of the initial value that is left in the moving statistics"
    )


def _loss(scale: Scale, value: Number) -> str:
    return scale.text(scale.units(from_wire(value)), signed=True, unknown=figure(value))


def _left(share: float) -> str:
    # Nearly all is not all.
    return ">99 %" if 0.995 <= share < 1 else portion(share)


def _drift(value: Number) -> str:
    nats = from_wire(value)
    return f"{nats:.2f}" if 0 <= nats < 1e5 else figure(value, 3)


def _steps(share: LayerShare) -> str:
    if share.is_held:
        return "held"
    if math.isnan(share.half_life):
        return "–"
    if math.isinf(share.half_life):
        return "never"
    return f"{share.half_life:,.0f} steps" if share.half_life >= 9.95 else f"{share.half_life:.1f} steps"


def _bar(size: float, largest: float) -> str:
    if not math.isfinite(size) or largest <= 0:
        return ""
    eighths = round(8 * _BAR * size / largest)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()
