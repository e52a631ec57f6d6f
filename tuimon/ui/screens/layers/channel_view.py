"""The channels of one BatchNormalization layer: histograms, and the worst channels by number."""

import numpy as np

from tuimon.diagnosis.dead_channels import NOTHING
from tuimon.numbers import count, number
from tuimon.protocol.events import DEAD_VARIANCE
from tuimon.protocol.wire import FloatArray
from tuimon.runs.state import OVER, LayerHistory
from tuimon.ui.drawing.cell_view import draw_panel
from tuimon.ui.drawing.cells import Cells, wrap
from tuimon.ui.screens.layers.bars import BARS, decoded
from tuimon.ui.screens.layers.layer_panel import LayerPanel
from tuimon.ui.viewer.meanings import Meaning
from tuimon.ui.viewer.moment import Moment

_WORST_WIDTH = 36
_LEAST_BINS = 8


class ChannelView(LayerPanel):
    """Moving mean and moving variance of every channel of a layer, as they were last recorded."""

    about = "Histograms of moving mean and moving variance over the channels, and the worst channels by number."

    def draw(self, cells: Cells, moment: Moment) -> None:
        """Draw both histograms and the worst channels, or a sentence where they are not recorded."""
        history = moment.state.layers.get(self._path or "")
        title = "channels" if history is None else f"{self.layer_name(moment, 40)} channels"
        draw_panel(cells, title, [] if history is None else [(count(history.layer.channels), int(Meaning.DIM))])
        arrays = None if history is None else _arrays(history)
        if history is None or arrays is None:
            for row, words in enumerate(wrap(_why_empty(moment, history), cells.width - 6), start=1):
                if row < cells.height - 1:
                    cells.put(row, 3, words, Meaning.DIM)
            return
        mean, variance = arrays
        room, height = cells.width - 4, cells.height - 2
        worst = _WORST_WIDTH if room >= _WORST_WIDTH + 2 * _LEAST_BINS + 4 else 0
        each = (room - worst - 2) // 2
        _draw_histogram(cells, 2, each, height, "moving mean", mean)
        _draw_histogram(cells, 4 + each, each, height, "moving variance", variance)
        if worst:
            lines = worst_channels(mean, variance, history.layer.epsilon)
            cells.put(1, cells.width - worst, "worst channels", Meaning.DIM)
            for row, (text, meaning) in enumerate(lines[: height - 1], start=2):
                cells.put(row, cells.width - worst, text, meaning, width=worst - 2)


def worst_channels(mean: FloatArray, variance: FloatArray, epsilon: float) -> list[tuple[str, Meaning]]:
    """Return the channels worth a look, the worst first, in words with their colours.

    First channels with a value that is not finite, then dead ones, then those of so small a scale that epsilon decides
    what the layer divides by, then those whose mean is furthest from 0, in their own standard deviations. Limits are
    those of rule R8; one sample does not tell whether a small variance still falls.
    """
    finite = np.isfinite(mean) & np.isfinite(variance)
    found = [(f"{channel}: not finite", Meaning.ERROR) for channel in np.flatnonzero(~finite).tolist()]
    low, dead = finite & (variance <= DEAD_VARIANCE * epsilon), finite & (variance <= NOTHING * epsilon)
    for word, which, meaning in (("dead", dead, Meaning.WARNING), ("small scale", low & ~dead, Meaning.TEXT)):
        found += [
            (f"{channel}: {word}, variance {number(float(variance[channel]), 3)}", meaning)
            for channel in np.flatnonzero(which).tolist()
        ]
    distance = np.full(len(mean), -1.0)
    others = finite & ~low
    distance[others] = np.abs(mean[others]) / np.sqrt(np.maximum(variance[others], 0.0) + epsilon)
    for channel in np.argsort(-distance, kind="stable").tolist():
        if distance[channel] < 0:
            break
        found.append((f"{channel}: mean {number(float(distance[channel]), 3)} σ from 0", Meaning.TEXT))
    return found


def _arrays(history: LayerHistory) -> tuple[FloatArray, FloatArray] | None:
    if history.channels is None:
        return None
    mean, variance = decoded(history.channels.moving_mean_base64), decoded(history.channels.moving_variance_base64)
    if mean is None or variance is None:
        return None
    return (mean, variance) if len(mean) and len(mean) == len(variance) else None


def _draw_histogram(cells: Cells, column: int, width: int, height: int, title: str, values: FloatArray) -> None:
    """Draw a histogram of the finite values, with its range below."""
    cells.put(1, column, title, Meaning.DIM, width=width)
    finite = values[np.isfinite(values)]
    rows = height - 2
    if width < _LEAST_BINS or rows < 1 or not len(finite):
        return
    low, high = float(finite.min()), float(finite.max())
    if high <= low:
        low, high = low - (abs(low) or 1.0) * 0.1, high + (abs(high) or 1.0) * 0.1
    counts = np.histogram(finite, np.linspace(low, high, width + 1))[0]
    # A bin with any channel is at least an eighth high.
    eighths = np.where(counts > 0, np.maximum(1, np.round(counts / counts.max() * 8 * rows)), 0).astype(int)
    for row in range(rows):
        level = np.clip(eighths - 8 * (rows - 1 - row), 0, 8)
        for bin_, filled in enumerate(level.tolist()):
            if filled:
                cells.put(2 + row, column + bin_, BARS[filled - 1], Meaning.STATISTIC)
    left, right = number(low), number(high)
    cells.put(height, column, left, Meaning.DIM)
    if len(left) + len(right) + 1 < width:
        cells.put_right(height, column + width, right, Meaning.DIM)
    tallest = int(counts.max())
    of = f"{count(tallest)} channel{'' if tallest == 1 else 's'}"
    for words in (f"tallest bar: {of}", f"tallest: {of}", f"tallest {count(tallest)}"):
        if len(title) + len(words) + 2 < width:
            cells.put_right(1, column + width, words, Meaning.DIM)
            break


def _why_empty(moment: Moment, history: LayerHistory | None) -> str:
    if history is None:
        return "This model has no BatchNormalization layer."
    if moment.status in OVER or moment.replay is not None:
        return "The log has no values of single channels. While a run trains, `tuimon send RUN snapshot` records them."
    return "No values of single channels yet. `tuimon send RUN snapshot` records them; so does the end of an epoch."
