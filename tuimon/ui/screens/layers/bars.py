"""Histograms and bars of a few cells."""

from functools import lru_cache

import numpy as np

from tuimon.protocol import events
from tuimon.protocol.wire import FloatArray, decode_array

BINS = 9
"""The number of cells of a histogram."""

BARS = "▁▂▃▄▅▆▇█"
"""A cell filled from below, by eighths."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int) -> str:
    """Return a bar that fills ``share`` of ``width`` cells, in eighths of a cell; at least one eighth above 0.

    Example:
        >>> bar(0.6, 4), bar(0.001, 4), bar(-1.0, 4)
        ('██▍ ', '▏   ', '    ')
    """
    eighths = min(8 * width, max(round(share * width * 8), 1 if share > 0 else 0))
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[rest] if rest else "")).ljust(width)


def sparkline(quantiles: FloatArray, channels_base64: str | None) -> str:
    """Return `BINS` bars over the range from the 5 to the 95 % quantile.

    Args:
        quantiles: Shape ``(7,)``, those of `events.QUANTILES`.
        channels_base64: The value of every channel, for an exact histogram; None where not known.
    """
    low, high = float(quantiles[1]), float(quantiles[5])
    if not (np.isfinite(low) and np.isfinite(high)):
        return " " * BINS
    if high <= low:
        return "▁" * (BINS // 2) + "█" + "▁" * (BINS - BINS // 2 - 1)
    edges = np.linspace(low, high, BINS + 1)
    heights = _from_channels(channels_base64, edges) if channels_base64 else None
    if heights is None:
        heights = _from_quantiles(quantiles, edges)
    tallest = heights.max()
    if not tallest > 0:
        return "▁" * BINS
    return "".join(BARS[int(level)] for level in np.round(heights / tallest * (len(BARS) - 1)))


def _from_quantiles(quantiles: FloatArray, edges: FloatArray) -> FloatArray:
    # The cumulative distribution, linear between the quantiles, differenced.
    finite = np.isfinite(quantiles)
    values = np.maximum.accumulate(quantiles[finite])
    cumulative = np.interp(edges, values, np.array(events.QUANTILES)[finite])
    result: FloatArray = np.diff(cumulative)
    return result


def _from_channels(channels_base64: str, edges: FloatArray) -> FloatArray | None:
    values = decoded(channels_base64)
    if values is None:
        return None
    heights = np.histogram(values, edges)[0].astype(np.float64)
    # Channels are sampled more rarely than quantiles: if both differ much, the channels are out of date.
    return heights if heights.sum() >= 0.5 * len(values) else None


@lru_cache(maxsize=512)
def decoded(channels_base64: str) -> FloatArray | None:
    """Return the value of every channel; None where they cannot be read. The result is kept for the next frames."""
    try:
        return decode_array(channels_base64).astype(np.float64)
    except ValueError:
        return None
