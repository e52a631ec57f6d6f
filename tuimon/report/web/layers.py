"""The table of BatchNormalization layers: mode, statistics, what each makes of the gap; and the gradients."""

from tuimon.diagnosis.gap.sums import Scale, sums
from tuimon.diagnosis.gap.telling import Telling, telling
from tuimon.numbers import figure, setting
from tuimon.protocol.wire import from_wire
from tuimon.report.layer_shares import TITLES, layer_shares, legend_words, numbers_of, said_of_cause
from tuimon.report.web.markup import Child, Markup, element, joined, outside
from tuimon.report.web.parts import more, table
from tuimon.runs.facts_in_words import counted
from tuimon.runs.series import Series
from tuimon.runs.state import LayerHistory, RunState

SHOWN_ROWS = 24
"""Layers that are seen without opening the rest."""
_HEADS = ("layer", "mode", "channels", "momentum", "moving mean (5 … 95 %)", "moving variance (5 … 95 %)", "change")


def layers_section(state: RunState) -> Markup:
    """Return the layers: those that make most of the gap first, else in the order of the model."""
    if state.model is None:
        return element("p", "There is no model in the log.", class_="quiet")
    if not state.layers:
        return element("p", "This model has no BatchNormalization layer.", class_="quiet")
    told = telling(state)
    numbers, scale = _of_probe(state, told)
    paths = [
        *(path for path in numbers if path in state.layers),
        *(path for path in state.layers if path not in numbers),
    ]
    heads = (*_HEADS, *TITLES) if numbers else _HEADS
    nothing = ("–",) * len(TITLES)
    rows = [(*_cells(state, state.layers[path]), *(numbers.get(path, nothing) if numbers else ())) for path in paths]
    of_numbers = range(2, len(heads))
    said = [words for words in (_of_modes(state), said_of_cause(told) if told is not None and scale else "") if words]
    legend = "change: of the moving mean since the first sample, in units of the first moving standard deviation"
    if told is not None and numbers:
        legend += f" · at step {told.probe.step:,}: {legend_words(told)}"
    rest = rows[SHOWN_ROWS:]
    return joined(
        element("p", " ".join(said)) if said else None,
        more(
            table(heads, rows[:SHOWN_ROWS], numbers=of_numbers),
            f"{len(rest):,} more layers",
            table(heads, rest, numbers=of_numbers) if rest else None,
        ),
        element("p", legend, class_="quiet"),
    )


def gradients_section(state: RunState) -> Markup | None:
    """Return the gradients of the newest probe; None if it has none."""
    probe = state.probes[-1] if state.probes else None
    if probe is None or not probe.gradients:
        return None
    updates = state.weight_updates.layers if state.weight_updates is not None else {}
    rows: list[tuple[Child, ...]] = []
    for path, each in probe.gradients.items():
        share = f"{figure(100 * from_wire(updates[path]), 2)} %" if updates.get(path) is not None else "–"
        rows.append((outside(path), figure(each.norm, 3), figure(each.weight_norm, 3), share))
    heads, numbers = ("layer", "gradient", "weights", "a step moves"), (1, 2, 3)
    rest = rows[SHOWN_ROWS:]
    return joined(
        element("h3", f"Gradients at step {probe.step:,}: {figure(probe.gradient_norm, 3)} in all"),
        more(
            table(heads, rows[:SHOWN_ROWS], numbers=numbers),
            f"{len(rest):,} more layers",
            table(heads, rest, numbers=numbers) if rest else None,
        ),
        element(
            "p",
            "Norms of the gradient of a batch's loss and of the weights. A step moves: the share of that norm, as "
            "measured.",
            class_="quiet",
        ),
    )


def _of_probe(state: RunState, told: Telling | None) -> tuple[dict[str, tuple[str, ...]], Scale | None]:
    if told is None or not told.probe.layers:
        return {}, None
    scale = sums(told.probe).scale
    return {share.path: numbers_of(share, scale) for share in layer_shares(state, told)}, scale


def _of_modes(state: RunState) -> str:
    parts = []
    if state.frozen:
        parts.append(f"{len(state.frozen):,} of {counted(len(state.layers), 'layer')} frozen")
    if state.statistics_held:
        parts.append(f"statistics of {len(state.statistics_held):,} held")
    if state.frozen_weights:
        parts.append(f"weights of {counted(len(state.frozen_weights), 'other layer')} frozen")
    return f"{', '.join(parts)}." if parts else ""


def _cells(state: RunState, layer: LayerHistory) -> tuple[Child, ...]:
    built = layer.layer
    momentum = state.momentum.get(built.path, built.momentum)
    words = layer.mode or "–"
    if built.path in state.statistics_held:
        words += ", statistics held"
    if layer.latest is not None and layer.latest.dead:
        words += f", {counted(layer.latest.dead, 'dead channel')}"
    if layer.latest is not None and layer.latest.non_finite:
        words += f", {counted(layer.latest.non_finite, 'channel')} not finite"
    change = layer.change()
    return (
        outside(built.path),
        words,
        f"{built.channels:,}",
        setting(momentum) + ("" if momentum == built.momentum else f" (was {setting(built.momentum)})"),
        _quantiles(layer.moving_mean),
        _quantiles(layer.moving_variance),
        "–" if change is None else f"{figure(change, 3)} σ",
    )


def _quantiles(series: Series) -> str:
    if not len(series):
        return "–"
    row = series.rows[-1]
    return f"{figure(float(row[3]), 3)} ({figure(float(row[1]), 3)} … {figure(float(row[5]), 3)})"
