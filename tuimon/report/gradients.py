"""The table of gradients: of each layer its gradient, its weights, and how far a step moves them."""

from tuimon.numbers import figure
from tuimon.protocol.wire import from_wire
from tuimon.report.layout import section, text_width
from tuimon.report.lines import Line, Span, line, pad, shorten
from tuimon.runs.state import RunState
from tuimon.text import plain, width_of, wrap

MOST_ROWS = 8
"""Layers that are shown: of more, the first and the last ones, since a gradient vanishes or explodes on the way."""
_WIDEST_NAME = 40


def gradients(state: RunState, width: int) -> list[Line]:
    """Return the section of the newest probe's gradients; nothing if it has none."""
    probe = state.probes[-1] if state.probes else None
    if probe is None or not probe.gradients:
        return []
    updates = state.weight_updates.layers if state.weight_updates is not None else {}
    rows = [("layer", "gradient", "weights", "a step moves")]
    for path, each in probe.gradients.items():
        share = f"{figure(100 * from_wire(updates[path]), 2)} %" if updates.get(path) is not None else "–"
        rows.append((plain(path, 400), figure(each.norm, 3), figure(each.weight_norm, 3), share))
    left_out = len(rows) - 1 - MOST_ROWS
    if left_out > 0:
        rows = [*rows[: 1 + MOST_ROWS // 2], *rows[-MOST_ROWS // 2 :]]
    sizes = [max(len(row[column]) for row in rows) for column in (1, 2, 3)]
    room = width - 2 - sum(sizes) - 2 * len(sizes)
    name = max(8, min(_WIDEST_NAME, room, max(width_of(row[0]) for row in rows)))
    lines = section(f"gradients, step {probe.step:,}: {figure(probe.gradient_norm, 3)} in all", width)
    for index, (path, *numbers) in enumerate(rows):
        if left_out > 0 and index == 1 + MOST_ROWS // 2:
            lines.append(line(Span(f"  … {left_out} more", "dim")))
        cells = "".join(f"  {text:>{size}}" for text, size in zip(numbers, sizes, strict=True))
        text = f"  {pad(shorten(path, name), name)}{cells}"
        lines.append(line(text) if index else line(Span(text, "dim")))
    legend = (
        "norms of the gradient of a batch's loss and of the weights · a step moves: the share of that norm, as measured"
    )
    return [*lines, line(), *(line(Span(words, "dim")) for words in wrap(legend, text_width(width)))]
